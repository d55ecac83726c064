//! What can go wrong in the company, and which of it is planted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a key is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The sync job carries a change long after the deadline.
    Delay,
    /// The sync job writes a wrong value.
    Corrupt,
    /// The sync job loses a change.
    Drop,
    /// The sync job writes a record twice.
    Duplicate,
    /// The sync job writes an older state over the newer one.
    Reorder,
    /// The target cuts a value shorter than it should.
    Truncate,
    /// A key that never stops changing is not carried any more.
    HotKey,
    /// Two records have each other's values in the target.
    Swap,
    /// Somebody edits the target by hand.
    Drift,
    /// Somebody deletes a record in the target.
    Lose,
    /// A record appears in the target that the owner never had.
    Stray,
    /// The owner deletes a record without a trace, and the target keeps it.
    Delete,
}

impl FaultKind {
    /// All of them, in the order in which they take turns.
    pub const ALL: [Self; 12] = [
        Self::Delay,
        Self::Corrupt,
        Self::Drop,
        Self::Duplicate,
        Self::Drift,
        Self::Reorder,
        Self::Lose,
        Self::Truncate,
        Self::Stray,
        Self::HotKey,
        Self::Swap,
        Self::Delete,
    ];

    /// The word in lists and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Corrupt => "corrupt",
            Self::Drop => "drop",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Truncate => "truncate",
            Self::HotKey => "hot-key",
            Self::Swap => "swap",
            Self::Drift => "drift",
            Self::Lose => "lose",
            Self::Stray => "stray",
            Self::Delete => "delete",
        }
    }

    /// Whether it leaves no stamp at the owner, so that only a probe that looks at all keys can see it.
    pub const fn is_unstamped(self) -> bool {
        matches!(self, Self::Swap | Self::Drift | Self::Lose | Self::Stray | Self::Delete | Self::Reorder)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which kinds of faults are planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultKinds(u16);

impl FaultKinds {
    /// What a sync job does to the changes that it carries.
    pub const BASIC: Self = Self::of(&[FaultKind::Delay, FaultKind::Corrupt, FaultKind::Drop, FaultKind::Duplicate]);
    /// Everything.
    pub const ALL: Self = Self::of(&FaultKind::ALL);

    /// These.
    pub const fn of(kinds: &[FaultKind]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < kinds.len() {
            set |= 1 << kinds[index] as u16;
            index += 1;
        }
        Self(set)
    }

    /// The kinds, in the order in which they take turns.
    pub fn iter(self) -> impl Iterator<Item = FaultKind> {
        FaultKind::ALL.into_iter().filter(move |kind| self.0 & (1 << *kind as u16) != 0)
    }

    /// The kind whose turn it is.
    pub fn turn(self, number: usize) -> Option<FaultKind> {
        self.iter().nth(number % (self.0.count_ones() as usize).max(1))
    }
}

impl FromStr for FaultKinds {
    type Err = String;

    /// `all`, `basic`, or names with commas between.
    fn from_str(text: &str) -> Result<Self, String> {
        let one = |name: &str| match name {
            "all" => Ok(Self::ALL),
            "basic" => Ok(Self::BASIC),
            name => {
                FaultKind::ALL.into_iter().find(|kind| kind.as_str() == name).map(|kind| Self::of(&[kind])).ok_or_else(
                    || {
                        let names = FaultKind::ALL.map(FaultKind::as_str).join("`, `");
                        format!("`{name}` is no fault; there are `all`, `basic`, `{names}`")
                    },
                )
            }
        };
        text.split(',').try_fold(Self(0), |set, name| Ok(Self(set.0 | one(name.trim())?.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<FaultKinds, &str>) {
        match (text.parse::<FaultKinds>(), expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{text}"),
            (Err(found), Err(expect)) => assert!(found.starts_with(expect), "{text}: {found}"),
            (found, expect) => panic!("{text}: {found:?}, not {expect:?}"),
        }
    }

    #[test]
    fn faults_are_named_one_by_one_or_together() {
        check("all", Ok(FaultKinds::ALL));
        check("basic", Ok(FaultKinds::BASIC));
        check("drop, hot-key", Ok(FaultKinds::of(&[FaultKind::Drop, FaultKind::HotKey])));
        check("basic,swap", Ok(FaultKinds(FaultKinds::BASIC.0 | FaultKinds::of(&[FaultKind::Swap]).0)));
        check("drops", Err("`drops` is no fault; there are `all`, `basic`, `delay`"));
        check("", Err("`` is no fault"));
    }

    #[test]
    fn every_kind_gets_its_turn() {
        for kinds in [FaultKinds::ALL, FaultKinds::BASIC] {
            let all: Vec<FaultKind> = kinds.iter().collect();
            let turns: Vec<FaultKind> = (0..all.len() * 2).filter_map(|number| kinds.turn(number)).collect();
            assert_eq!(turns, all.repeat(2));
        }
    }
}
