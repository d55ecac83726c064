//! Verdicts: what one check says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What one comparison of one key in one flow at one time says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Verdict {
    /// The target's state equals the owner's, within tolerance.
    Match = 1,
    /// They differ, within the deadline.
    InFlight = 2,
    /// Past the deadline, the target holds an older state of the owner.
    Stale = 3,
    /// Past the deadline, absent in the target.
    Missing = 4,
    /// Past the deadline, absent in the owner.
    Extra = 5,
    /// Past the deadline, the target holds no known state of the owner.
    Mismatch = 6,
    /// A two-way field changed on both sides since they last agreed.
    Conflict = 7,
    /// More than one record for the key.
    Duplicate = 8,
    /// A value cannot be read as its declared type.
    Invalid = 9,
    /// Not known: the read failed, was cut short or refused, or the interval cannot decide.
    Unknown = 10,
}

impl Verdict {
    /// All verdicts, in table order.
    pub const ALL: [Self; 10] = [
        Self::Match,
        Self::InFlight,
        Self::Stale,
        Self::Missing,
        Self::Extra,
        Self::Mismatch,
        Self::Conflict,
        Self::Duplicate,
        Self::Invalid,
        Self::Unknown,
    ];

    /// The word used in config, tables, metrics and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::InFlight => "in_flight",
            Self::Stale => "stale",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Mismatch => "mismatch",
            Self::Conflict => "conflict",
            Self::Duplicate => "duplicate",
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the verdict opens a discrepancy. `unknown` and `in_flight` never do.
    pub const fn is_bad(self) -> bool {
        !matches!(self, Self::Match | Self::InFlight | Self::Unknown)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
