//! A channel does not deliver: that is an incident of its own, and another channel is told.

use super::Worker;
use crate::alert::payload::{Payload, Undelivered};
use crate::incident::Severity;
use crate::model::Moment;
use crate::state::{Claimed, OutboxRow, Outgoing, StateError};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It is late, and tried on.
    Late,
    /// Some of its receivers will never take it.
    InPart,
    /// Its receiver will never take it.
    Whole,
}

impl Worker {
    /// Tells that messages do not come through, or not to everybody, once an hour: all of them for the same reason.
    pub(super) async fn tell_hourly(
        &self,
        claimed: &Claimed,
        payload: &Payload,
        why: &str,
        loss: Loss,
        now: Moment,
    ) -> Result<(), StateError> {
        let hour = Moment::from_micros(now.micros() - now.micros().rem_euclid(3_600_000_000));
        match self.elsewhere(claimed, Some(payload), why, loss, hour).await? {
            Some(row) => self.state.tell(&Outgoing { rows: vec![row], ..Outgoing::default() }).await,
            None => Ok(()),
        }
    }

    /// Begins the incident, and gives what another channel is told as part of it; `None` where there is no other, and for a
    /// message that tells of such a thing itself: two dead channels must not write to each other for ever.
    pub(super) async fn elsewhere(
        &self,
        claimed: &Claimed,
        payload: Option<&Payload>,
        why: &str,
        loss: Loss,
        at: Moment,
    ) -> Result<Option<OutboxRow>, StateError> {
        if claimed.row.kind == "undelivered" {
            return Ok(None);
        }
        let Some(incident) = self.trouble.begins(&self.state, self.name(), at).await? else { return Ok(None) };
        let names = || self.shared.alerting.channels.keys();
        let next = || names().find(|name| name.as_str() > self.name()).or_else(|| names().next());
        let fallback = self.channel.config.fallback.as_ref().or_else(next).filter(|name| *name != self.name());
        let Some(channel) = fallback else { return Ok(None) };
        let undelivered = Undelivered {
            channel: self.name().to_owned(),
            why: why.to_owned(),
            for_good: loss == Loss::Whole,
            in_part: loss == Loss::InPart,
            at,
            told: payload.and_then(Payload::told).cloned(),
        };
        let about = if loss == Loss::Whole { &claimed.row.id } else { &incident };
        Ok(Some(OutboxRow {
            id: OutboxRow::id_of(about, channel, "undelivered", at),
            incident,
            channel: channel.clone(),
            kind: "undelivered".to_owned(),
            severity: Severity::Page.as_str().to_owned(),
            happened_at: at,
            due_at: at,
            bundled: false,
            payload: Payload::Undelivered(Box::new(undelivered)).to_stored(),
        }))
    }
}
