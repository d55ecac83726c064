//! What ClickHouse says when it refuses, and whether trying again can help.

use crate::retry::Decision;

/// Why the ledger did not answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// ClickHouse failed or could not be reached.
    #[error("could not {action} in the ledger")]
    ClickHouse {
        /// What was attempted.
        action: String,
        /// What the client or the server said.
        #[source]
        source: clickhouse::error::Error,
    },
    /// No answer in time.
    #[error("could not {action} in the ledger within {limit:?}")]
    TimedOut {
        /// What was attempted.
        action: String,
        /// The limit.
        limit: std::time::Duration,
    },
    /// A migration file differs from what was applied to this ledger.
    #[error("migration `{name}` was applied with other contents; this ledger belongs to another release")]
    ChangedMigration {
        /// The file's name.
        name: String,
    },
    /// A database or cluster name that cannot be written into SQL.
    #[error("`{0}` cannot be a database or cluster name: letters, digits and `_`, not beginning with a digit")]
    Name(String),
    /// Rows would be thrown away at once.
    #[error("`{0}` days are more than the ledger can keep rows: at most {limit}", limit = super::schema::MOST_DAYS)]
    Days(u32),
}

impl LedgerError {
    /// Names the attempt.
    pub(super) fn while_doing(action: impl Into<String>) -> impl FnOnce(clickhouse::error::Error) -> Self {
        let action = action.into();
        move |source| Self::ClickHouse { action, source }
    }

    /// Whether the same call may succeed later.
    pub fn decision(&self) -> Decision {
        match self {
            Self::ClickHouse { source, .. } => decide(source),
            Self::TimedOut { .. } => Decision::Retry,
            Self::ChangedMigration { .. } | Self::Name(_) | Self::Days(_) => Decision::Fail,
        }
    }

    /// ClickHouse's error code, when it was the server that refused.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::ClickHouse { source: clickhouse::error::Error::BadResponse(text), .. } => code_of(text),
            _ => None,
        }
    }
}

/// Codes by which ClickHouse says that the rows themselves are wrong (`src/Common/ErrorCodes.cpp`). Everything else
/// (no table yet, no space, too many parts, wrong password, shutting down) may pass, so audit evidence waits for it.
const DATA_ERRORS: &[u32] = &[
    6,   // CANNOT_PARSE_TEXT
    9,   // SIZES_OF_COLUMNS_DOESNT_MATCH
    25,  // CANNOT_PARSE_ESCAPE_SEQUENCE
    26,  // CANNOT_PARSE_QUOTED_STRING
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    33,  // CANNOT_READ_ALL_DATA
    38,  // CANNOT_PARSE_DATE
    41,  // CANNOT_PARSE_DATETIME
    53,  // TYPE_MISMATCH
    69,  // ARGUMENT_OUT_OF_BOUND
    70,  // CANNOT_CONVERT_TYPE
    72,  // CANNOT_PARSE_NUMBER
    117, // INCORRECT_DATA
    128, // TOO_LARGE_ARRAY_SIZE
    131, // TOO_LARGE_STRING_SIZE
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    407, // DECIMAL_OVERFLOW
    469, // VIOLATED_CONSTRAINT
];

fn decide(error: &clickhouse::error::Error) -> Decision {
    use clickhouse::error::Error;
    match error {
        Error::BadResponse(text) => match code_of(text) {
            Some(code) if DATA_ERRORS.contains(&code) => Decision::Fail,
            _ => Decision::Retry,
        },
        // Our own rows could not be written as bytes: they never will be.
        Error::SequenceMustHaveLength
        | Error::DeserializeAnyNotSupported
        | Error::InvalidTagEncoding(_)
        | Error::VariantDiscriminatorIsOutOfBound(_)
        | Error::Custom(_) => Decision::Fail,
        // The network, the schema of another release, and what later releases of the client may add.
        _ => Decision::Retry,
    }
}

/// `Code: 241. DB::Exception: …`
fn code_of(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use clickhouse::error::Error;

    use super::*;

    #[test]
    fn the_code_decides_whether_to_try_again() {
        let check = |text: &str, expect: Decision| {
            assert_eq!(decide(&Error::BadResponse(text.to_owned())), expect, "{text}");
        };
        check("Code: 241. DB::Exception: Memory limit exceeded", Decision::Retry);
        check("Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space", Decision::Retry);
        check("Code: 252. DB::Exception: Too many parts", Decision::Retry);
        check("Code: 60. DB::Exception: Table plumbline.checks does not exist", Decision::Retry);
        check("Code: 516. DB::Exception: Authentication failed", Decision::Retry);
        check("Code: 33. DB::Exception: Cannot read all data", Decision::Fail);
        check("Code: 469. DB::Exception: Constraint is violated", Decision::Fail);
        check("502 Bad Gateway", Decision::Retry);
    }

    #[test]
    fn our_own_mistakes_are_not_repeated() {
        assert_eq!(decide(&Error::Custom("bad row".to_owned())), Decision::Fail);
        assert_eq!(decide(&Error::TimedOut), Decision::Retry);
        assert_eq!(decide(&Error::SchemaMismatch("column `new`".to_owned())), Decision::Retry);
    }
}
