//! Whether a system answers at present.

use std::time::Duration;

use tokio::time::Instant;

use crate::connect::ReadError;
use crate::model::SystemId;

/// A failure says something about the present for so long. A system in trouble is asked again and again; one that nobody
/// asks may have recovered.
const FRESH_FOR: Duration = Duration::from_secs(15);

/// A request came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    kind: Kind,
    at: Instant,
    /// It has answered since.
    is_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It refused, because we are too fast.
    Refuses,
    /// It was not reached, or did not answer in time.
    Away,
}

impl Trouble {
    /// What is known after a request that ended at `now`. Other errors are answers, too.
    pub fn after(known: Option<Self>, error: Option<&ReadError>, now: Instant) -> Option<Self> {
        let kind = match error {
            Some(ReadError::Budget { .. }) => Kind::Refuses,
            Some(ReadError::Unreachable { .. } | ReadError::TimedOut { .. }) => Kind::Away,
            _ => return known.map(|known| Self { is_over: true, ..known }),
        };
        Some(Self { kind, at: now, is_over: false })
    }

    /// Whether it lasts at `now`, as far as anybody has asked.
    pub fn lasts(self, now: Instant) -> bool {
        !self.is_over && self.is_recent(now)
    }

    /// Whether it was a moment ago: who has just been refused asks slowly.
    pub fn is_recent(self, now: Instant) -> bool {
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
        let check = |error: ReadError, expect: Option<&str>| {
            let trouble = Trouble::after(None, Some(&error), now);
            assert_eq!(trouble.map(|trouble| trouble.error(system()).reason_code()), expect, "{error:?}");
            let Some(trouble) = trouble else { return };
            assert!(trouble.lasts(now + FRESH_FOR) && !trouble.lasts(now + FRESH_FOR * 2));
            let over = Trouble::after(Some(trouble), None, now + FRESH_FOR).unwrap();
            assert!(!over.lasts(now + FRESH_FOR) && over.is_recent(now + FRESH_FOR));
            assert!(!over.is_recent(now + FRESH_FOR * 2));
        };
        assert_eq!(Trouble::after(None, None, now), None);
        check(ReadError::Budget { system: system(), limit: "429".to_owned() }, Some("budget"));
        check(ReadError::Unreachable { system: system(), reason: "refused".to_owned() }, Some("unreachable"));
        check(ReadError::TimedOut { system: system(), limit: FRESH_FOR }, Some("unreachable"));
        check(ReadError::BadAnswer { system: system(), reason: "not JSON".to_owned() }, None);
        check(ReadError::Refused { system: system(), reason: "403".to_owned() }, None);
    }
}
