//! Whether a side is a replica that lags too far behind: then a sweep rests, so as not to slow it down any more, and not to
//! compare what is long past.

use std::time::Duration;

use super::SweepSide;
use crate::model::{Moment, SystemId};

/// A replica that lags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Which system.
    pub system: SystemId,
    /// How far what it shows lies behind its primary.
    pub lag: Duration,
}

/// Both sides are asked at most so often.
const PAUSE: Duration = Duration::from_secs(2);
/// While one lags, so often.
pub const WHILE_BEHIND: Duration = Duration::from_secs(1);

/// What was last heard of both sides.
#[derive(Debug, Default)]
pub struct Replicas {
    asked: Option<Moment>,
}

impl Replicas {
    /// The side that lags by more than it may, if one does. A side that does not answer is none: reading it tells why.
    pub async fn behind(&mut self, sides: &[SweepSide; 2], now: Moment) -> Option<Behind> {
        if self.asked.is_some_and(|asked| now.since(asked) < PAUSE) {
            return None;
        }
        self.asked = Some(now);
        for side in sides {
            match side.reader.behind().await {
                Ok(Some(lag)) => {
                    // Asked again before anything is read.
                    self.asked = None;
                    return Some(Behind { system: side.mapping.system.clone(), lag });
                }
                Ok(None) => {}
                Err(error) => tracing::debug!("whether it lags is not known: {error}"),
            }
        }
        None
    }
}
