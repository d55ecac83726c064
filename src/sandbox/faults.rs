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
    /// The sync job updates one target and silently not the other.
    Partial,
    /// The sync job loses a change.
    Drop,
    /// The sync job writes a record twice.
    Duplicate,
    /// Somebody edits the target by hand.
    Drift,
    /// The owner's webhooks are lost, so that the sync job never hears of the record's changes.
    Webhook,
    /// The sync job writes an older state over the newer one.
    Reorder,
    /// Somebody deletes a record in the target.
    Lose,
    /// The target cuts a value shorter than it should.
    Truncate,
    /// Somebody changes a line of an order in the target and leaves the order's stamp as it is.
    Child,
    /// A record appears in the target that the owner never had.
    Stray,
    /// The owner archives a record, and the target keeps it.
    Archive,
    /// A key that never stops changing is not carried any more.
    HotKey,
    /// An order is cancelled, and the targets keep it.
    Leave,
    /// Two records have each other's values in the target.
    Swap,
    /// The owner deletes a record without a trace, and the target keeps it.
    Delete,
}

/// What befalls a whole system for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisturbanceKind {
    /// It does not answer.
    Outage,
    /// It refuses most requests, and the sync job hammers it the more.
    Throttle,
    /// A field of its answers has another name.
    Schema,
}

impl FaultKind {
    /// All of them, in the order in which they take turns.
    pub const ALL: [Self; 17] = [
        Self::Delay,
        Self::Corrupt,
        Self::Partial,
        Self::Drop,
        Self::Duplicate,
        Self::Drift,
        Self::Webhook,
        Self::Reorder,
        Self::Lose,
        Self::Truncate,
        Self::Child,
        Self::Stray,
        Self::Archive,
        Self::HotKey,
        Self::Leave,
        Self::Swap,
        Self::Delete,
    ];

    /// The word in lists and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Corrupt => "corrupt",
            Self::Partial => "partial",
            Self::Drop => "drop",
            Self::Duplicate => "duplicate",
            Self::Drift => "drift",
            Self::Webhook => "webhook",
            Self::Reorder => "reorder",
            Self::Lose => "lose",
            Self::Truncate => "truncate",
            Self::Child => "child",
            Self::Stray => "stray",
            Self::Archive => "archive",
            Self::HotKey => "hot-key",
            Self::Leave => "leave",
            Self::Swap => "swap",
            Self::Delete => "delete",
        }
    }

    /// Whether it leaves no stamp at the owner, so that only a probe that looks at all keys can see it.
    pub const fn is_unstamped(self) -> bool {
        match self {
            Self::Swap
            | Self::Drift
            | Self::Lose
            | Self::Stray
            | Self::Delete
            | Self::Archive
            | Self::Child
            | Self::Reorder => true,
            Self::Delay
            | Self::Corrupt
            | Self::Partial
            | Self::Drop
            | Self::Duplicate
            | Self::Webhook
            | Self::Truncate
            | Self::HotKey
            | Self::Leave => false,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl DisturbanceKind {
    /// All of them, in the order in which they take turns.
    pub const ALL: [Self; 3] = [Self::Outage, Self::Throttle, Self::Schema];

    /// The word in lists and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Throttle => "throttle",
            Self::Schema => "schema",
        }
    }
}

impl fmt::Display for DisturbanceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which faults are planted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// What happens to single keys, in the order of their turns.
    pub keys: Vec<FaultKind>,
    /// What happens to whole systems, in the order of their turns.
    pub systems: Vec<DisturbanceKind>,
    /// Whether the clocks of store and CRM are wrong.
    pub skew: bool,
    /// Whether people save without changing anything, and commit long after the stamp. Neither must be reported.
    pub noise: bool,
}

/// The word for wrong clocks.
const SKEW: &str = "skew";
/// What a sync job does to the changes that it carries.
const BASIC: [FaultKind; 4] = [FaultKind::Delay, FaultKind::Corrupt, FaultKind::Drop, FaultKind::Duplicate];

impl Faults {
    /// What a sync job does to the changes that it carries, and nothing else.
    pub fn basic() -> Self {
        Self { keys: BASIC.to_vec(), ..Self::default() }
    }

    /// Everything.
    pub fn all() -> Self {
        Self { keys: FaultKind::ALL.to_vec(), systems: DisturbanceKind::ALL.to_vec(), skew: true, noise: true }
    }

    /// Whether a key can be spoiled in a way that only a probe sees which looks at all keys.
    pub fn is_unstamped(&self) -> bool {
        self.keys.iter().any(|kind| kind.is_unstamped())
    }

    fn add(&mut self, name: &str) -> Result<(), String> {
        if let Some(kind) = FaultKind::ALL.into_iter().find(|kind| kind.as_str() == name) {
            self.keys.push(kind);
        } else if let Some(kind) = DisturbanceKind::ALL.into_iter().find(|kind| kind.as_str() == name) {
            self.systems.push(kind);
        } else {
            match name {
                "all" => *self = Self::all(),
                "basic" => self.keys.extend(BASIC),
                SKEW => self.skew = true,
                _ => return Err(format!("`{name}` is no fault; there are `{}`", names().join("`, `"))),
            }
        }
        Ok(())
    }
}

fn names() -> Vec<&'static str> {
    let systems = DisturbanceKind::ALL.map(DisturbanceKind::as_str);
    ["all", "basic"].into_iter().chain(FaultKind::ALL.map(FaultKind::as_str)).chain(systems).chain([SKEW]).collect()
}

impl FromStr for Faults {
    type Err = String;

    /// `all`, `basic`, or names with commas between.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for name in text.split(',') {
            faults.add(name.trim())?;
        }
        faults.keys.sort();
        faults.keys.dedup();
        faults.systems.sort();
        faults.systems.dedup();
        faults.noise = faults != Self::basic();
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_one_by_one_or_together() {
        let check = |text: &str, expect: Faults| assert_eq!(text.parse(), Ok(expect), "{text}");
        check("all", Faults::all());
        check("basic", Faults::basic());
        let noisy = |keys: &[FaultKind]| Faults { keys: keys.to_vec(), noise: true, ..Faults::default() };
        check("hot-key, drop", noisy(&[FaultKind::Drop, FaultKind::HotKey]));
        let outage = Faults { systems: vec![DisturbanceKind::Outage], skew: true, ..noisy(&BASIC) };
        check("basic,outage,skew,drop", outage);
    }

    #[test]
    fn a_word_that_is_no_fault_is_refused_with_those_that_are() {
        for (text, expect) in
            [("drops", "`drops` is no fault; there are `all`, `basic`, `delay`"), ("", "`` is no fault")]
        {
            let error = text.parse::<Faults>().expect_err(text);
            assert!(error.starts_with(expect), "{error}");
        }
    }

    #[test]
    fn every_fault_has_its_own_name() {
        let all = names();
        let each: std::collections::BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(each.len(), all.len());
    }
}
