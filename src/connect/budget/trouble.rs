//! Whether a system answers at present.

use std::time::Duration;

use tokio::time::Instant;

use crate::connect::ReadError;
use crate::model::SystemId;

/// A failure says something about the present for so long. A system in trouble is asked again and again; one that nobody
/// asks may have recovered.
const FRESH_FOR: Duration = Duration::from_secs(15);

/// The last request came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    kind: Kind,
    at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It refused, because we are too fast.
    Refuses,
    /// It was not reached, or did not answer in time.
    Away,
}

impl Trouble {
    /// What a request that ended at `now` tells. Other errors are answers, too.
    pub fn after(error: Option<&ReadError>, now: Instant) -> Option<Self> {
        let kind = match error? {
            ReadError::Budget { .. } => Kind::Refuses,
            ReadError::Unreachable { .. } | ReadError::TimedOut { .. } => Kind::Away,
            _ => return None,
        };
        Some(Self { kind, at: now })
    }

    /// Whether it still says something at `now`.
    pub fn is_fresh(self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) <= FRESH_FOR
    }

    /// As the outcome of a read that does not wait for the system.
    pub fn error(self, system: SystemId) -> ReadError {
        match self.kind {
            Kind::Refuses => ReadError::Budget { system, limit: "it refuses requests at present".to_owned() },
            Kind::Away => ReadError::Unreachable { system, reason: "it does not answer at present".to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_and_silence_are_trouble_and_only_for_a_while() {
        let system = || "erp".parse::<SystemId>().unwrap();
        let now = Instant::now();
        let check = |error: Option<ReadError>, expect: Option<&str>| {
            let trouble = Trouble::after(error.as_ref(), now);
            assert_eq!(trouble.map(|trouble| trouble.error(system()).reason_code()), expect, "{error:?}");
            assert!(trouble.is_none_or(|trouble| trouble.is_fresh(now + FRESH_FOR)));
            assert!(trouble.is_none_or(|trouble| !trouble.is_fresh(now + FRESH_FOR * 2)));
        };
        check(None, None);
        check(Some(ReadError::Budget { system: system(), limit: "429".to_owned() }), Some("budget"));
        check(Some(ReadError::Unreachable { system: system(), reason: "refused".to_owned() }), Some("unreachable"));
        check(Some(ReadError::TimedOut { system: system(), limit: FRESH_FOR }), Some("unreachable"));
        check(Some(ReadError::BadAnswer { system: system(), reason: "not JSON".to_owned() }), None);
        check(Some(ReadError::Refused { system: system(), reason: "403".to_owned() }), None);
    }
}
