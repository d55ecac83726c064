//! Closed lists of label values.

macro_rules! closed_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// The label's value.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

closed_list! {
    /// What kind of look a run was.
    RunKind {
        /// What the owner changed, then the same keys in the targets.
        Changes = "changes",
        /// Keys in flight, looked at again.
        Recheck = "recheck",
        /// Pieces of the key order on both sides.
        Sample = "sample",
        /// Columns and JSON shapes of every side.
        Schema = "schema",
        /// Everything on both sides.
        Sweep = "sweep",
        /// What each side comes to by day, currency and status.
        Totals = "totals",
    }
}

closed_list! {
    /// What samples estimate.
    Measure {
        /// The share of the owner's keys that agree.
        Agreement = "agreement",
        /// The share of the owner's keys that the target has.
        Completeness = "completeness",
        /// The share of the target's keys that the owner lacks.
        Extra = "extra",
    }
}

closed_list! {
    /// A point of an interval.
    Point {
        /// Its lower end.
        Low = "low",
        /// What the sample shows.
        Estimate = "estimate",
        /// Its upper end.
        High = "high",
    }
}

closed_list! {
    /// What became of a try to deliver a message.
    Delivery {
        /// The receiver took it.
        Delivered = "delivered",
        /// It did not get through and will be tried again.
        Retried = "retried",
        /// The receiver will never take it.
        Dead = "dead",
        /// It went into a message that stands for several.
        Folded = "folded",
    }
}

closed_list! {
    /// How a run ended.
    Outcome {
        /// Everything was read and judged.
        Ok = "ok",
        /// Some of it.
        Partial = "partial",
        /// Nothing.
        Failed = "failed",
    }
}

closed_list! {
    /// Why a run was not ok.
    Reason {
        /// It was ok.
        None = "none",
        /// A system did not take the connection, or dropped it.
        Unreachable = "unreachable",
        /// The login was refused.
        Refused = "refused",
        /// No answer within the limit.
        TimedOut = "timed_out",
        /// A table or column is gone.
        Shape = "shape",
        /// The system's budget is used up.
        Budget = "budget",
        /// An answer that cannot be understood.
        BadAnswer = "bad_answer",
        /// The stored position does not fit.
        Cursor = "cursor",
        /// Our index of the system's keys does not tell yet.
        Index = "index",
        /// Our own state failed.
        State = "state",
        /// The spool failed.
        Spool = "spool",
        /// The lease was lost during the run.
        Lease = "lease",
        /// Anything else.
        Other = "other",
    }
}

impl Reason {
    /// The reason with this word; [`Reason::Other`] for a word that is not on the list.
    pub fn from_code(code: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == code).unwrap_or(Self::Other)
    }
}

closed_list! {
    /// Why a run that was due did not happen.
    Skip {
        /// The run before had not ended.
        Overlap = "overlap",
        /// Too many keys are in flight.
        InFlightFull = "in_flight_full",
        /// The spool is full.
        SpoolFull = "spool_full",
    }
}

closed_list! {
    /// Our own stores.
    Store {
        /// SQLite or PostgreSQL.
        State = "state",
        /// The spool in front of both.
        Spool = "spool",
        /// ClickHouse.
        Ledger = "ledger",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connect::ReadError;

    #[test]
    fn every_read_error_has_a_reason_of_its_own() {
        let system: crate::model::SystemId = "erp".parse().expect("a name");
        let text = String::new;
        let errors = [
            ReadError::Unreachable { system: system.clone(), reason: text() },
            ReadError::Refused { system: system.clone(), reason: text() },
            ReadError::TimedOut { system: system.clone(), limit: Duration::ZERO },
            ReadError::Shape { system: system.clone(), reason: text() },
            ReadError::Budget { system: system.clone(), limit: text() },
            ReadError::BadAnswer { system: system.clone(), reason: text() },
            ReadError::Cursor { system, reason: text() },
        ];
        for error in errors {
            assert_eq!(Reason::from_code(error.reason_code()).as_str(), error.reason_code());
        }
        assert_eq!(Reason::from_code("no such word"), Reason::Other);
    }
}
