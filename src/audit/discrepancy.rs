//! The life of a discrepancy: opened by a confirmed bad verdict, changed with it, resolved when the sides agree or
//! the target has caught up with what the divergence was about.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::Verdict;

use super::entry::OpenDiscrepancy;

/// One step to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new discrepancy.
    Open(OpenDiscrepancy),
    /// The same difference, judged differently than before.
    Change(OpenDiscrepancy),
    /// The end.
    Resolve(OpenDiscrepancy),
}

/// What a verdict does to a key's discrepancy. `new_id` is used when one opens.
///
/// `in_flight` ends one as well: the target has reached a newer state, and what it now lacks is younger than its
/// deadline. `unknown` changes nothing: what cannot be read is neither better nor worse.
pub fn step(open: Option<OpenDiscrepancy>, verdict: Verdict, new_id: Uuid) -> Option<Step> {
    match (open, verdict) {
        (None, verdict) if verdict.is_bad() => Some(Step::Open(OpenDiscrepancy { id: new_id, verdict })),
        (Some(open), verdict) if verdict.is_bad() && verdict != open.verdict => {
            Some(Step::Change(OpenDiscrepancy { verdict, ..open }))
        }
        (Some(open), Verdict::Match | Verdict::InFlight) => Some(Step::Resolve(open)),
        _ => None,
    }
}

impl Step {
    /// The word in the ledger.
    pub const fn event(self) -> &'static str {
        match self {
            Self::Open(_) => "opened",
            Self::Change(_) => "changed",
            Self::Resolve(_) => "resolved",
        }
    }

    /// The status in state.
    pub const fn status(self) -> &'static str {
        match self {
            Self::Open(_) | Self::Change(_) => "open",
            Self::Resolve(_) => "resolved",
        }
    }

    /// The discrepancy that the step is about.
    pub const fn discrepancy(self) -> OpenDiscrepancy {
        match self {
            Self::Open(one) | Self::Change(one) | Self::Resolve(one) => one,
        }
    }

    /// What the key's entry holds afterwards.
    pub const fn open_after(self) -> Option<OpenDiscrepancy> {
        match self {
            Self::Open(one) | Self::Change(one) => Some(one),
            Self::Resolve(_) => None,
        }
    }
}

/// What state keeps (encrypted) of a discrepancy for the people who must act: the record and both sides' values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The key, readable.
    pub key: String,
    /// Whether stale against mismatch is likely only.
    pub likely: bool,
    /// Differing field, the owner's value, the target's value.
    pub fields: Vec<(String, String, String)>,
}

impl Details {
    /// For state.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Cannot fail: strings and vectors into a growing vector.
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// From state; `None` when damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life() {
        let id = Uuid::from_u128(1);
        let open = |verdict| OpenDiscrepancy { id, verdict };
        let check = |before, verdict, expect| assert_eq!(step(before, verdict, id), expect, "{before:?} {verdict}");
        check(None, Verdict::Match, None);
        check(None, Verdict::InFlight, None);
        check(None, Verdict::Unknown, None);
        check(None, Verdict::Stale, Some(Step::Open(open(Verdict::Stale))));
        check(Some(open(Verdict::Stale)), Verdict::Stale, None);
        check(Some(open(Verdict::Stale)), Verdict::Unknown, None);
        check(Some(open(Verdict::Stale)), Verdict::Mismatch, Some(Step::Change(open(Verdict::Mismatch))));
        check(Some(open(Verdict::Stale)), Verdict::Match, Some(Step::Resolve(open(Verdict::Stale))));
        check(Some(open(Verdict::Stale)), Verdict::InFlight, Some(Step::Resolve(open(Verdict::Stale))));
    }
}
