//! A message in the form that channels are given.

use chrono::{DateTime, Utc};

use super::view::View;
use crate::incident::{Incident, Severity};
use crate::model::Moment;

/// A message, told in words but not yet in a receiver's form.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Names the message: the same one sent again has the same id.
    pub id: String,
    /// Names what it is about; a receiver that holds alerts tells repetitions and ends by it.
    pub subject_id: String,
    /// What it means to a receiver that holds alerts.
    pub phase: Phase,
    /// How urgent it is.
    pub severity: Severity,
    /// When it happened.
    pub at: Moment,
    /// When its incident began.
    pub began: Moment,
    /// The incident, if it is about one.
    pub incident: Option<Incident>,
    /// What it says.
    pub view: View,
    /// What it says, as one line.
    pub summary: String,
    /// What it says, as plain text.
    pub text: String,
}

/// What a message means to a receiver that holds alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Something is wrong.
    Firing,
    /// Somebody looks at it.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl Notice {
    /// When it happened, in RFC 3339.
    pub fn timestamp(&self) -> String {
        rfc3339(self.at)
    }
}

/// In UTC with milliseconds.
pub(super) fn rfc3339(moment: Moment) -> String {
    let time: DateTime<Utc> = moment.to_utc();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The first `limit` characters, with an ellipsis where something is cut off.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(limit.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}
