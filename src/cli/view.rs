//! The live terminal view: what an auditor sees, twice a second.
//!
//! [`View`] holds everything that is shown; [`draw`] and [`plain::lines`] turn it into a picture or into lines and
//! nothing else. [`feed`] fills it, [`screen`] owns the terminal.

use std::fmt;
use std::time::Duration;

use crate::model::Verdict;

mod draw;
pub mod feed;
pub mod plain;
#[cfg(test)]
mod sample;
pub mod screen;

pub use draw::draw;

/// Everything that is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// What is audited.
    pub title: String,
    /// Since the start.
    pub elapsed: Duration,
    /// When the run ends by itself.
    pub run_for: Option<Duration>,
    /// In the config's order.
    pub flows: Vec<FlowLine>,
    /// Checks in each of the last seconds, oldest first.
    pub checks_per_second: Vec<u64>,
    /// Open discrepancies, newest first; more may be open than are listed.
    pub discrepancies: Vec<DiscrepancyLine>,
    /// How many are open.
    pub open: u64,
    /// Incidents, newest first, ended ones too; empty outside the demo.
    pub incidents: Vec<IncidentLine>,
    /// What was planted, newest first; empty outside the demo.
    pub plants: Vec<PlantLine>,
    /// What the looks cost, in the order of the systems' names.
    pub costs: Vec<CostLine>,
    /// Spool, engine, stores.
    pub health: Health,
}

/// What looking at one system costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CostLine {
    /// The system.
    pub system: String,
    /// Requests or statements so far.
    pub calls: u64,
    /// Records that it answered so far.
    pub records: u64,
}

/// One flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowLine {
    /// `stock: erp -> warehouse`.
    pub name: String,
    /// Checks so far, in the order of [`Verdict::ALL`].
    pub verdicts: [u64; Verdict::ALL.len()],
    /// Keys in flight now.
    pub in_flight: u64,
    /// Keys past their deadline now.
    pub overdue: u64,
    /// How far the oldest is past it.
    pub oldest: Duration,
    /// Discrepancies open now.
    pub open: u64,
    /// Half of all changes took at most this long; `None` before the first arrived.
    pub lag_p50: Option<Duration>,
    /// All but one in a hundred took at most this long.
    pub lag_p99: Option<Duration>,
    /// 0.0..=1.0.
    pub coverage: f64,
    /// What samples say; `None` before they say anything.
    pub samples: Option<Samples>,
}

/// What samples say of all keys of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Samples {
    /// Of the owner's keys: how many agree.
    pub agreement: Option<Share>,
    /// Of the owner's keys: how many the target has.
    pub completeness: Option<Share>,
    /// Of the target's keys: how many the owner lacks.
    pub extra: Option<Share>,
    /// Keys that the agreement rests on.
    pub keys: u64,
    /// Every key has been looked at at least once in so long; `None` before the first walk came around.
    pub every_key: Option<Duration>,
}

/// A share with its 95 % interval, each within 0.0..=1.0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Lower end.
    pub low: f64,
    /// The estimate.
    pub estimate: f64,
    /// Upper end.
    pub high: f64,
}

impl fmt::Display for Share {
    /// `99.23 % (98.40 to 99.71)`: never rounded to all or nothing.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| match share * 100.0 {
            most if most < 100.0 && most > 99.99 => 99.99,
            least if least > 0.0 && least < 0.01 => 0.01,
            percent => percent,
        };
        let [estimate, low, high] = [self.estimate, self.low, self.high].map(percent);
        write!(formatter, "{estimate:.2} % ({low:.2} to {high:.2})")
    }
}

impl FlowLine {
    /// Checks with this verdict.
    pub fn count(&self, verdict: Verdict) -> u64 {
        Verdict::ALL.iter().position(|known| *known == verdict).map_or(0, |index| self.verdicts[index])
    }
}

/// One open discrepancy.
#[derive(Clone, Debug, PartialEq)]
pub struct DiscrepancyLine {
    /// The flow.
    pub flow: String,
    /// The key, as its store rule allows.
    pub key: String,
    /// What is wrong.
    pub verdict: Verdict,
    /// Stale against mismatch is likely, not certain.
    pub likely: bool,
    /// How long the sides have differed, at most.
    pub lasted: Duration,
    /// What differs: field, owner's value, target's value.
    pub fields: Vec<(String, String, String)>,
}

/// One incident.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentLine {
    /// Its id.
    pub id: String,
    /// When it was opened, since the start.
    pub at: Duration,
    /// `page` or `ticket`.
    pub severity: &'static str,
    /// `open`, `acknowledged` or `resolved`.
    pub state: &'static str,
    /// What is wrong, in words.
    pub matter: String,
    /// Files of the mails about it, oldest first.
    pub mails: Vec<String>,
}

/// One planted fault.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantLine {
    /// When, since the start.
    pub at: Duration,
    /// `delay`, `drop`, `outage`.
    pub fault: String,
    /// `product in store`, `all of crm`.
    pub place: String,
    /// Of which; empty where a whole system is disturbed.
    pub key: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a planted fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// Too young to be told from slowness.
    Young,
    /// Reported.
    Found {
        /// As what.
        verdict: Verdict,
        /// How long after it was planted.
        after: Duration,
    },
    /// Over before it could be told from slowness.
    Over,
    /// Old enough, and not reported.
    Unseen,
    /// A whole system is disturbed: nothing to find, but reason for what else is seen.
    Disturbance {
        /// For so long still; `None` when it is over.
        left: Option<Duration>,
    },
}

/// Spool, engine, stores.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Health {
    /// The embedded engine answers.
    pub engine_up: bool,
    /// It was started again this often.
    pub engine_restarts: u64,
    /// Bytes not yet in the ledger.
    pub spool_bytes: u64,
    /// Age of the oldest of them.
    pub spool_oldest: Duration,
    /// Failed calls to state and ledger.
    pub store_errors: u64,
    /// Reads that waited for a budget.
    pub throttles: u64,
    /// Failed runs of probes.
    pub failed_runs: u64,
}

/// `8.4 s`, `3 min 20 s`, `2 h 05 min`: as short as a person would say it.
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `8.4 s`, `59 min`, `24.0 h`, `12.5 d`: for a column of a table, at most eight characters.
fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => spoken(duration),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{:.1} h", duration.as_secs_f64() / 3_600.0),
        _ => format!("{:.1} d", duration.as_secs_f64() / 86_400.0),
    }
}

/// `01:05`, with hours when there are any.
pub fn clock_face(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds / 3600 {
        0 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// `512 B`, `3.4 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_rounded_to_all_or_nothing() {
        let share = Share { low: 0.000_01, estimate: 0.5, high: 0.999_999 };
        assert_eq!(share.to_string(), "50.00 % (0.01 to 99.99)");
        let all = Share { low: 0.0, estimate: 1.0, high: 1.0 };
        assert_eq!(all.to_string(), "100.00 % (0.00 to 100.00)");
    }

    #[test]
    fn durations_are_said_as_people_do() {
        let check = |seconds: f64, expect: &str| assert_eq!(spoken(Duration::from_secs_f64(seconds)), expect);
        check(0.0, "0.0 s");
        check(8.44, "8.4 s");
        check(61.0, "61 s");
        check(200.0, "3 min 20 s");
        check(7_500.0, "2 h 05 min");
        let check = |seconds: u64, expect: &str| assert_eq!(brief(Duration::from_secs(seconds)), expect);
        check(8, "8.0 s");
        check(7_199, "119 min");
        check(86_400, "24.0 h");
        check(86_400 * 9_999, "9999.0 d");
        assert_eq!(clock_face(Duration::from_secs(65)), "01:05");
        assert_eq!(clock_face(Duration::from_secs(3_665)), "1:01:05");
    }

    #[test]
    fn sizes_are_said_as_people_do() {
        assert_eq!((size(0), size(1536), size(5 << 30)), ("0 B".into(), "1.5 KiB".into(), "5.0 GiB".into()));
    }
}
