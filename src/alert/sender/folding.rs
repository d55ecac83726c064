//! Several messages told as one: digests of tickets, and what exceeds a channel's rate.

use std::time::Duration;

use super::{HOUR, Worker};
use crate::alert::payload::{Line, Payload, Several};
use crate::alert::view::matter;
use crate::incident::Severity;
use crate::metrics::Delivery;
use crate::model::Moment;
use crate::state::{OutboxRow, StateError};

/// How often at most a channel that has had too many is told of the rest.
const MORE_EVERY: Duration = Duration::from_secs(600);
/// Lines of a message that stands for several.
const LINES: usize = 20;
/// Messages that are folded at once.
const FOLDED: u32 = 10_000;

impl Worker {
    /// Tickets whose time has come are told together; one alone goes as it is.
    pub(super) async fn make_digest(&self, now: Moment) -> Result<(), StateError> {
        let due = self.state.due_for_digest(self.name(), now, FOLDED).await?;
        match &due[..] {
            [] => Ok(()),
            [one] => self.state.unbundle(&one.id).await.map(drop),
            several => self.fold(several, "digest", now).await,
        }
    }

    /// Whether the channel has had as many messages as it may.
    pub(super) async fn is_full(&self, now: Moment) -> Result<bool, StateError> {
        let Some(most) = self.channel.config.max_per_hour else { return Ok(false) };
        Ok(self.state.delivered_since(self.name(), now - HOUR).await? >= most)
    }

    /// What exceeds the channel's rate is told as "and N more".
    pub(super) async fn make_more(&self, now: Moment) -> Result<(), StateError> {
        let foldable = self.state.due_beyond_rate(self.name(), now, FOLDED).await?;
        if foldable.is_empty() {
            return Ok(());
        }
        match self.state.last_of_kind(self.name(), "more").await? {
            Some(last) if now.since(last) < MORE_EVERY => {
                let ids: Vec<String> = foldable.into_iter().map(|row| row.id).collect();
                self.state.postpone(&ids, last + MORE_EVERY).await
            }
            _ => self.fold(&foldable, "more", now).await,
        }
    }

    async fn fold(&self, rows: &[OutboxRow], kind: &str, now: Moment) -> Result<(), StateError> {
        let lines: Vec<Line> = rows.iter().take(LINES).map(line).collect();
        let more = (rows.len() - lines.len()) as u64;
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let is_page = rows.iter().any(|row| row.severity == Severity::Page.as_str());
        let severity = if is_page { Severity::Page } else { Severity::Ticket };
        let into = OutboxRow {
            id: OutboxRow::id_of(&ids.concat(), self.name(), kind, now),
            incident: format!("{kind} {}", self.name()),
            channel: self.name().to_owned(),
            kind: kind.to_owned(),
            severity: severity.as_str().to_owned(),
            happened_at: now,
            due_at: now,
            bundled: false,
            payload: Payload::Several(Several { digest: kind == "digest", lines, more }).to_stored(),
        };
        if self.state.fold(&ids, &into, now).await? {
            self.shared.metrics.notified(self.name(), Delivery::Folded, rows.len() as u64);
        }
        Ok(())
    }
}

fn line(row: &OutboxRow) -> Line {
    let payload = Payload::from_stored(&row.payload).ok();
    let told = payload.as_ref().and_then(Payload::told);
    let severity = if row.severity == Severity::Page.as_str() { Severity::Page } else { Severity::Ticket };
    let what = told.map_or_else(|| row.incident.clone(), |told| matter(&told.incident));
    let incident = told.map_or_else(String::new, |told| told.incident.id.to_string());
    Line { at: row.happened_at, severity, text: format!("{}: {what}", row.kind), incident }
}
