//! What a message says when it is sent, some time after it was written.

use super::Worker;
use crate::alert::payload::{Payload, Told};
use crate::incident::{Happened, IncidentState};
use crate::model::Moment;
use crate::state::StateError;

/// What is told now.
#[derive(Debug)]
pub(super) enum Present {
    /// This.
    Told(Payload),
    /// The records that it should name are not known yet.
    Late,
    /// Nothing any more.
    Nothing,
}

impl Worker {
    /// The beginning of an incident is told with records, for which it waits a little; a reminder tells how the incident is
    /// now. Everything else is told as it was written.
    pub(super) async fn present(&self, payload: Payload, now: Moment) -> Result<Present, StateError> {
        let Payload::Step(told) = payload else { return Ok(Present::Told(payload)) };
        match told.step.happened {
            Happened::Reminder | Happened::Escalated { .. } => self.still(told).await,
            Happened::Opened | Happened::Reopened | Happened::Worsened if told.incident.lacks_records() => {
                self.with_records(told, now).await
            }
            _ => Ok(Present::Told(Payload::Step(told))),
        }
    }

    /// Nothing when somebody looks after the incident or it is over.
    async fn still(&self, mut told: Box<Told>) -> Result<Present, StateError> {
        if let Some(held) = self.state.incident(told.incident.id).await? {
            if held.incident.state != IncidentState::Open {
                tracing::debug!("nobody has to be reminded of {} any more", told.incident.id);
                return Ok(Present::Nothing);
            }
            told.incident = held.incident;
        }
        Ok(Present::Told(Payload::Step(told)))
    }

    /// Evaluation renews the figures of an open incident; once it has found records, the message has them, too.
    async fn with_records(&self, mut told: Box<Told>, now: Moment) -> Result<Present, StateError> {
        if let Some(held) = self.state.incident(told.incident.id).await? {
            let is_early = now.since(told.step.at) < self.shared.pace.records_within;
            if held.incident.lacks_records() && held.incident.is_open() && is_early {
                return Ok(Present::Late);
            }
            if !held.incident.evidence.samples.is_empty() {
                told.incident.evidence = held.incident.evidence;
            }
        }
        Ok(Present::Told(Payload::Step(told)))
    }
}
