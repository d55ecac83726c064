//! Incidents: one episode of a broken promise or of blindness, from first breach to recovery. Pure.
//!
//! There is one open incident a [`Cause`]; it groups the SLOs that the cause breaks. [`advance`] moves it along with what
//! evaluation says, the methods of [`Incident`] with what people do; both answer the [`Step`]s that they made, and each
//! step is a line of the timeline and what messages are made of. Ids and times are handed in.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::{EntityId, FlowId, Moment, Money, SystemId, TenantId};

mod advance;
mod cause;
mod stored;
mod text;

pub use advance::{Finding, REOPEN_WITHIN, Refused, Standing, advance};
pub use cause::{Blame, Cause, UnknownCause};
pub use stored::Damaged;

/// Names an incident for as long as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IncidentId(pub Uuid);

impl std::fmt::Display for IncidentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for IncidentId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// How urgently somebody must know. The greater one is the more urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// In working hours.
    Ticket,
    /// Now.
    Page,
}

impl Severity {
    /// The word used in config, tables, metrics and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Page => "page",
        }
    }
}

/// How far an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IncidentState {
    /// Nobody has said that they look at it.
    Open,
    /// Somebody looks at it.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl IncidentState {
    /// The word used in tables, metrics and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// A promise that the incident's cause breaks, with its figures at the last evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokenSlo {
    /// The SLO's name.
    pub name: String,
    /// The promise in words: `99.5 % of stock changes erp -> store within 5m over 30d`.
    pub promise: String,
    /// The burn tier that fired, in words: `14.4x over 1h and 5m`.
    pub tier: String,
    /// How many times faster than allowed the budget is used over the tier's long window.
    pub burn: f64,
    /// The share of good over the SLO's window if everything unknown was good.
    pub sli_best: f64,
    /// The share of good over the SLO's window if everything unknown was bad.
    pub sli_worst: f64,
    /// The share that was promised.
    pub objective: f64,
    /// What is left of the budget, as a share of it; negative when it is overdrawn.
    pub budget_left: f64,
    /// Since when the promise is broken: when the tier first fired in this incident.
    pub since: Moment,
}

/// Records that show what is wrong of an incident.
pub const SAMPLES: u64 = 3;

/// A record that shows what is wrong. Key and values are masked as their store rules say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRecord {
    /// The key.
    pub key: String,
    /// The verdict's word.
    pub verdict: String,
    /// The differing fields.
    pub fields: Vec<String>,
    /// The owner's values of `fields`.
    pub owner_values: Vec<String>,
    /// The target's values of `fields`.
    pub target_values: Vec<String>,
    /// Where a person can look at it.
    pub link: Option<String>,
}

/// What uses up most of a budget, the worst first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contributors {
    /// Records by their masked keys, with how often each came to differ for certain within the promise's window.
    pub keys: Vec<(String, u64)>,
    /// Hours of the world's time, with bad events; where no event is bad, with minutes in which too much was overdue.
    pub hours: Vec<(Moment, u64)>,
    /// Targets, with bad events.
    pub targets: Vec<(String, u64)>,
}

/// The figures and records behind an incident, as of the last evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// 99 in 100 changes of the last hour took at most this, in microseconds; `None` when there were none.
    pub lag_p99_us: Option<u64>,
    /// Records found wrong since the incident began.
    pub wrong: u64,
    /// Records checked since then.
    pub checked: u64,
    /// Keys past their deadline now.
    pub overdue: u64,
    /// Since when the oldest of them is.
    pub oldest: Option<Moment>,
    /// What the wrong records are worth, a line a currency.
    #[serde(with = "text::list")]
    pub money_at_risk: Vec<Money>,
    /// A few records.
    pub samples: Vec<SampleRecord>,
    /// What uses up most of the budget of the promise that burns fastest.
    #[serde(default)]
    pub contributors: Contributors,
    /// The SLI by minute over the last hours, oldest first; `None` where nothing was decided. For charts.
    pub series: Vec<(Moment, Option<f64>)>,
}

impl Evidence {
    /// Whether there is something to draw: a scale, and a minute in which something was decided.
    pub fn has_chart(&self) -> bool {
        self.series.len() > 1 && self.series.iter().any(|(_, sli)| sli.is_some())
    }
}

/// What happened to an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Happened {
    /// It began.
    Opened,
    /// It became more urgent, or breaks another promise.
    Worsened,
    /// It came back within [`REOPEN_WITHIN`] of its end.
    Reopened,
    /// Somebody looks at it.
    Acknowledged {
        /// Who.
        by: String,
    },
    /// Somebody is in charge.
    Assigned {
        /// In charge.
        to: String,
        /// Who said so.
        by: String,
    },
    /// Somebody wrote something down.
    Note {
        /// Who.
        by: String,
        /// What.
        text: String,
    },
    /// Quiet until then.
    Snoozed {
        /// Until when.
        until: Moment,
        /// Who said so.
        by: String,
    },
    /// People were told again.
    Reminder,
    /// Others were told, because nobody acknowledged.
    Escalated {
        /// How often by now, from 1.
        level: u32,
    },
    /// A message went out, or could not.
    Notified {
        /// The channel.
        channel: String,
        /// What became of it: `delivered`, `dead`.
        outcome: String,
    },
    /// It is over.
    Resolved {
        /// Who said so; `None` when the figures did.
        by: Option<String>,
    },
}

impl Happened {
    /// The word used in tables, metrics and messages.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Worsened => "worsened",
            Self::Reopened => "reopened",
            Self::Acknowledged { .. } => "acknowledged",
            Self::Assigned { .. } => "assigned",
            Self::Note { .. } => "note",
            Self::Snoozed { .. } => "snoozed",
            Self::Reminder => "reminder",
            Self::Escalated { .. } => "escalated",
            Self::Notified { .. } => "notified",
            Self::Resolved { .. } => "resolved",
        }
    }

    /// Who did it, if a person did.
    pub fn actor(&self) -> Option<&str> {
        match self {
            Self::Acknowledged { by }
            | Self::Assigned { by, .. }
            | Self::Note { by, .. }
            | Self::Snoozed { by, .. } => Some(by),
            Self::Resolved { by } => by.as_deref(),
            Self::Opened
            | Self::Worsened
            | Self::Reopened
            | Self::Reminder
            | Self::Escalated { .. }
            | Self::Notified { .. } => None,
        }
    }
}

/// One line of an incident's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Moment,
    /// What.
    pub happened: Happened,
}

/// One episode of a broken promise or of blindness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    /// Whose it is.
    #[serde(with = "text::one")]
    pub tenant: TenantId,
    /// The business thing, where there is one.
    #[serde(with = "text::optional")]
    pub entity: Option<EntityId>,
    /// What is wrong.
    #[serde(with = "text::one")]
    pub cause: Cause,
    /// The most urgent it was since it was opened.
    pub severity: Severity,
    /// How far it is.
    pub state: IncidentState,
    /// When it began.
    pub opened_at: Moment,
    /// When somebody first said that they look at it, since it was last opened.
    pub acknowledged_at: Option<Moment>,
    /// When it ended.
    pub resolved_at: Option<Moment>,
    /// Since when its figures are clean, while it is not resolved.
    pub clean_since: Option<Moment>,
    /// How often it came back.
    pub reopened: u32,
    /// Who is in charge.
    pub assignee: Option<String>,
    /// Quiet until then.
    pub snoozed_until: Option<Moment>,
    /// The promises that it breaks.
    pub broken: Vec<BrokenSlo>,
    /// Which system is to blame, and why we think so.
    pub blame: Option<Blame>,
    /// Figures and records.
    pub evidence: Evidence,
}

impl Incident {
    /// Whether it is not over.
    pub fn is_open(&self) -> bool {
        self.state != IncidentState::Resolved
    }

    /// The flow that it is about, if it is about one.
    pub fn flow(&self) -> Option<&FlowId> {
        match &self.cause {
            Cause::Flow(flow) => Some(flow),
            Cause::Blind { .. }
            | Cause::Path { .. }
            | Cause::Queue { .. }
            | Cause::Auditor
            | Cause::Delivery { .. } => None,
        }
    }

    /// Whether records would show what is wrong, and too few of them are known yet: a flow can be known to be late before the
    /// ledger holds the checks that found it out.
    pub fn lacks_records(&self) -> bool {
        let is_about_records = matches!(self.cause, Cause::Flow(_) | Cause::Path { .. });
        let wanted = self.evidence.overdue.clamp(1, SAMPLES);
        is_about_records && (self.evidence.samples.len() as u64) < wanted
    }

    /// The system that it is about: the blind one, the queue's, the blamed one, else the flow's target.
    pub fn system(&self) -> Option<&SystemId> {
        match &self.cause {
            Cause::Blind { system } | Cause::Path { system } | Cause::Queue { system, .. } => Some(system),
            Cause::Flow(flow) => Some(self.blame.as_ref().map_or(&flow.target, |blame| &blame.system)),
            Cause::Auditor | Cause::Delivery { .. } => None,
        }
    }
}
