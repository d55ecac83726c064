//! What the outbox keeps of a message until it is sent: facts, not text. A format byte, then JSON, which a later release
//! can read when fields have been added. The types of this file derive serde for this form alone.

use serde::{Deserialize, Serialize};

use crate::incident::{Damaged, Incident, Severity, Step};
use crate::model::Moment;

const FORMAT: u8 = 1;

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Payload {
    /// A step of an incident, with the incident as it was after it.
    Step(Box<Told>),
    /// Several messages in one.
    Several(Several),
    /// A channel does not deliver.
    Undelivered(Box<Undelivered>),
    /// Somebody tries the channel.
    Test,
}

/// A step of an incident, with the incident as it was after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The incident.
    pub incident: Incident,
    /// What happened.
    pub step: Step,
    /// How often to tell again, in seconds; 0 never.
    pub remind_every_secs: u64,
}

/// Several messages in one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Several {
    /// Whether a digest was asked for; else the channel's rate was used up.
    pub digest: bool,
    /// A line each, the oldest first.
    pub lines: Vec<Line>,
    /// How many have no line.
    pub more: u64,
}

/// One of several messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it happened.
    pub at: Moment,
    /// How urgent it is.
    pub severity: Severity,
    /// What happened, and to what.
    pub text: String,
    /// The incident.
    pub incident: String,
}

/// A channel does not deliver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Undelivered {
    /// The channel.
    pub channel: String,
    /// What its receiver answered, or why it did not.
    pub why: String,
    /// Whether it will never take the message; else it is tried on.
    pub for_good: bool,
    /// Whether others have it: only some of the channel's receivers will never take it.
    #[serde(default)]
    pub in_part: bool,
    /// When that was.
    pub at: Moment,
    /// The message; `None` when it was not one about an incident.
    pub told: Option<Told>,
}

impl Payload {
    /// For state.
    pub fn to_stored(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        // Serialising into a vector fails only for maps whose keys are no texts; there are none.
        let written = serde_json::to_writer(&mut bytes, self);
        debug_assert!(written.is_ok(), "{written:?}");
        bytes
    }

    /// From state.
    ///
    /// # Errors
    /// When it is of another format or damaged.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, Damaged> {
        match bytes.split_first() {
            Some((&FORMAT, body)) => serde_json::from_slice(body).map_err(|_| Damaged),
            _ => Err(Damaged),
        }
    }

    /// The step, if it is about one.
    pub fn told(&self) -> Option<&Told> {
        match self {
            Self::Step(told) => Some(told),
            Self::Undelivered(undelivered) => undelivered.told.as_ref(),
            Self::Several(_) | Self::Test => None,
        }
    }
}
