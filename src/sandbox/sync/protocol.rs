//! What is written to the sync job's stdin and stdout: lines of JSON.

use std::io::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::FaultKind;
use super::super::book::Write;
use super::super::config::Addresses;
use super::super::record::{Entity, System};
use super::Key;
use crate::clock::Anchor;

/// The first line to stdin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The time.
    pub anchor: Anchor,
    /// Where the systems are.
    pub systems: Addresses,
    /// Decides how long each change takes.
    pub seed: u64,
    /// The shortest and longest time that a change takes when nothing is wrong.
    pub delay: (Duration, Duration),
}

/// Every other line to stdin.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// From now on the key is spoiled. Answered by [`Line::Done`].
    Spoil {
        /// Comes back with the answer.
        number: u64,
        /// Of what.
        entity: Entity,
        /// Of which.
        key: String,
        /// How.
        fault: Spoiled,
    },
    /// The key is no longer spoiled: what the owner holds is carried to all its targets.
    Repair {
        /// Of what.
        entity: Entity,
        /// Of which.
        key: String,
    },
}

impl Order {
    /// What it is about.
    pub fn key(&self) -> Key {
        match self {
            Self::Spoil { entity, key, .. } | Self::Repair { entity, key } => (*entity, key.clone()),
        }
    }
}

/// How a key is spoiled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spoiled {
    /// In which way.
    pub kind: FaultKind,
    /// Where; all other targets are served as ever.
    pub targets: Vec<System>,
}

/// A line from stdout.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The job is at work.
    Ready {
        /// Where it hears webhooks.
        hooks: String,
    },
    /// The order with this number is carried out.
    Done(u64),
    /// It wrote into a database.
    Wrote(Write),
}

/// Says a line on stdout.
pub fn tell(line: &Line) {
    let Ok(line) = serde_json::to_string(line) else { return };
    // Nobody is left to be told when this fails: the one who started this program is gone.
    let _gone = writeln!(std::io::stdout().lock(), "{line}");
}
