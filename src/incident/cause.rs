//! What an incident is about. There is one open incident a cause.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text;
use crate::model::{FlowId, SystemId};

/// What is wrong. Its text is the cause's key in state and the deduplication key of messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// A flow does not keep its promises.
    Flow(FlowId),
    /// A system cannot be read, so that nothing can be said about what flows from and to it.
    Blind {
        /// The system.
        system: SystemId,
    },
    /// What goes through a system does not arrive: most flows through it break their promises.
    Path {
        /// The system.
        system: SystemId,
    },
    /// A queue is too deep or too old.
    Queue {
        /// The system that has it.
        system: SystemId,
        /// Its name there.
        queue: String,
    },
    /// The auditor itself does not see: its probes do not run, or its ledger does not answer.
    Auditor,
    /// Messages cannot be delivered.
    Delivery {
        /// The channel.
        channel: String,
    },
}

/// The text does not name a cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not name a cause")]
pub struct UnknownCause(pub String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(flow) => write!(f, "flow {flow}"),
            Self::Blind { system } => write!(f, "blind {system}"),
            Self::Path { system } => write!(f, "path {system}"),
            Self::Queue { system, queue } => write!(f, "queue {system} {queue}"),
            Self::Auditor => f.write_str("auditor"),
            Self::Delivery { channel } => write!(f, "delivery {channel}"),
        }
    }
}

impl FromStr for Cause {
    type Err = UnknownCause;

    fn from_str(text: &str) -> Result<Self, UnknownCause> {
        let unknown = || UnknownCause(text.to_owned());
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "flow" => flow(rest).map(Self::Flow),
            "blind" => rest.parse().ok().map(|system| Self::Blind { system }),
            "path" => rest.parse().ok().map(|system| Self::Path { system }),
            "queue" => rest.split_once(' ').and_then(|(system, queue)| {
                Some(Self::Queue { system: system.parse().ok()?, queue: queue.to_owned() })
            }),
            "auditor" if rest.is_empty() => Some(Self::Auditor),
            "delivery" if !rest.is_empty() => Some(Self::Delivery { channel: rest.to_owned() }),
            _ => None,
        }
        .ok_or_else(unknown)
    }
}

/// `stock: erp -> store`.
fn flow(text: &str) -> Option<FlowId> {
    let (entity, systems) = text.split_once(": ")?;
    let (owner, target) = systems.split_once(" -> ")?;
    Some(FlowId { entity: entity.parse().ok()?, owner: owner.parse().ok()?, target: target.parse().ok()? })
}

/// Which system is to blame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// The system.
    #[serde(with = "text::one")]
    pub system: SystemId,
    /// Why we think so, in words.
    pub because: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_read_back_as_they_are_written() {
        for text in [
            "flow stock: erp -> store",
            "blind store",
            "path store",
            "queue store woo webhooks",
            "auditor",
            "delivery ops-mail",
        ] {
            assert_eq!(text.parse::<Cause>().map(|cause| cause.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "flow stock", "flow stock: erp", "blind Store", "auditor x", "delivery ", "fire"] {
            assert_eq!(text.parse::<Cause>(), Err(UnknownCause(text.to_owned())));
        }
    }
}
