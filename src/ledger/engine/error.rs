//! Errors as ClickHouse's HTTP interface tells them: a code, a status, and `Code: N. DB::Exception: …`.

use axum::http::StatusCode;

use super::chdb::QueryError;

/// ClickHouse's error codes that this layer gives itself, with their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A parameter of the request is wrong.
    BadArguments,
    /// The statement cannot be read.
    SyntaxError,
    /// No such setting.
    UnknownSetting,
    /// Not allowed to readers.
    Readonly,
    /// More statements at once than the engine takes.
    TooManySimultaneousQueries,
    /// The statement's text is too long.
    QueryIsTooLarge,
    /// A compressed block's checksum is wrong.
    ChecksumDoesntMatch,
    /// The body cannot be decompressed.
    CannotDecompress,
    /// The result is larger than may be held in memory, or the body than may be taken.
    TooManyRowsOrBytes,
    /// No such session, though the request says that it exists.
    SessionNotFound,
    /// Another statement is running in the session.
    SessionIsLocked,
    /// Allowed to nobody.
    AccessDenied,
    /// The user or the password is wrong.
    AuthenticationFailed,
    /// A setting that may not be changed here.
    SettingConstraintViolation,
    /// The engine or its disk failed.
    StdException,
}

impl Code {
    fn number_and_name(self) -> (u32, &'static str) {
        match self {
            Self::BadArguments => (36, "BAD_ARGUMENTS"),
            Self::SyntaxError => (62, "SYNTAX_ERROR"),
            Self::UnknownSetting => (115, "UNKNOWN_SETTING"),
            Self::Readonly => (164, "READONLY"),
            Self::TooManySimultaneousQueries => (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
            Self::QueryIsTooLarge => (552, "QUERY_IS_TOO_LARGE"),
            Self::ChecksumDoesntMatch => (40, "CHECKSUM_DOESNT_MATCH"),
            Self::CannotDecompress => (271, "CANNOT_DECOMPRESS"),
            Self::TooManyRowsOrBytes => (396, "TOO_MANY_ROWS_OR_BYTES"),
            Self::SessionNotFound => (372, "SESSION_NOT_FOUND"),
            Self::SessionIsLocked => (373, "SESSION_IS_LOCKED"),
            Self::AccessDenied => (497, "ACCESS_DENIED"),
            Self::AuthenticationFailed => (516, "AUTHENTICATION_FAILED"),
            Self::SettingConstraintViolation => (452, "SETTING_CONSTRAINT_VIOLATION"),
            Self::StdException => (1001, "STD_EXCEPTION"),
        }
    }
}

/// A failed request: what the client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// ClickHouse's error code.
    pub code: u32,
    /// The HTTP status.
    pub status: StatusCode,
    /// `Code: N. DB::Exception: … (NAME)`, without version and line end.
    pub text: String,
}

impl Failure {
    /// A failure that this layer found.
    pub fn new(code: Code, message: impl std::fmt::Display) -> Self {
        let (number, name) = code.number_and_name();
        Self {
            code: number,
            status: status_of(number),
            text: format!("Code: {number}. DB::Exception: {message}. ({name})"),
        }
    }

    /// The same with another status, where HTTP has a closer word than ClickHouse's mapping.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The text as ClickHouse ends it, with a line end.
    pub fn body(&self, version: &str) -> String {
        format!("{} (version {version} (libchdb))\n", self.text)
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let code = code_of(&error.0).unwrap_or(1002);
        Self { code, status: status_of(code), text: error.0.trim_end().to_owned() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => Self::new(Code::StdException, error),
        }
    }
}

impl From<Failure> for std::io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure)
    }
}

fn code_of(text: &str) -> Option<u32> {
    let rest = text.trim_start().strip_prefix("Code: ")?;
    rest.split('.').next()?.trim().parse().ok()
}

/// The status of an error code, from `exceptionCodeToHTTPStatus` of ClickHouse's HTTP handler.
fn status_of(code: u32) -> StatusCode {
    match code {
        194 => StatusCode::UNAUTHORIZED,
        192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
        6 | 8 | 15 | 25 | 26 | 27 | 36 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 167 | 168 | 223 | 321 | 376 | 427
        | 441 | 442 => StatusCode::BAD_REQUEST,
        46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
        159 => StatusCode::REQUEST_TIMEOUT,
        76 | 202 | 209 => StatusCode::SERVICE_UNAVAILABLE,
        552 => StatusCode::PAYLOAD_TOO_LARGE,
        48 => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_errors_keep_code_and_get_clickhouse_status() {
        fn check(text: &str, code: u32, status: u16) {
            let failure = Failure::from(QueryError(text.to_owned()));
            assert_eq!((failure.code, failure.status.as_u16()), (code, status), "{text}");
        }
        check("Code: 60. DB::Exception: Table default.t does not exist. (UNKNOWN_TABLE)", 60, 404);
        check("Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR)", 62, 400);
        check("Code: 241. DB::Exception: Memory limit. (MEMORY_LIMIT_EXCEEDED)", 241, 500);
        check("something else", 1002, 500);
    }

    #[test]
    fn own_errors_read_like_the_engine_s() {
        let failure = Failure::new(Code::AuthenticationFailed, "wrong user or password");
        assert_eq!(failure.status, StatusCode::FORBIDDEN);
        assert_eq!(
            failure.body("26.5.1.1"),
            "Code: 516. DB::Exception: wrong user or password. (AUTHENTICATION_FAILED) (version 26.5.1.1 (libchdb))\n"
        );
    }

    #[test]
    fn a_failure_survives_a_reader() {
        let failure = Failure::new(Code::ChecksumDoesntMatch, "x");
        assert_eq!(Failure::from(std::io::Error::from(failure.clone())), failure);
    }
}
