//! What the judge says: the stored format of `plumbline demo --summary`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::{DisturbanceKind, Entity, FaultKind, System};

/// How right the auditor was. The stored format of `plumbline demo --summary`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The seed of the run.
    pub seed: u64,
    /// Faults that were planted.
    pub planted: usize,
    /// Of these, reported with a fitting verdict while they lasted.
    pub found: usize,
    /// Of these, long enough to be seen and not reported so.
    pub missed: usize,
    /// Of these, over before they could be told from slowness.
    pub undecided: usize,
    /// Why these were undecided.
    pub undecided_why: BTreeMap<WhyUndecided, usize>,
    /// Discrepancies opened without a difference longer than the deadline.
    pub false_reports: usize,
    /// Measured lags whose truth is known.
    pub lag_checked: usize,
    /// Of these, measured so that the truth lies outside.
    pub lag_outside: usize,
    /// Measured lags of which the truth is not known: no difference began when the report says, or it has not ended.
    pub lag_unknown: usize,
    /// Of the lags checked that no disturbance of a system touched, how wide the reported bounds were, in seconds: 95 in
    /// 100 were not wider.
    pub lag_width_p95_secs: f64,
    /// Of the faults found, those that were reported later than their deadline and two looks allow.
    pub late: usize,
    /// By kind of fault, what each was reported as: a verdict's word, or `nothing`.
    pub matrix: BTreeMap<FaultKind, BTreeMap<String, usize>>,
    /// By kind of fault, how long it took until the fitting report.
    pub delays: BTreeMap<FaultKind, Delay>,
    /// What the auditor's looks cost, by system.
    pub cost: BTreeMap<System, Cost>,
    /// Checks that the auditor made.
    pub checks: u64,
    /// Of these, those that could not tell (`unknown`) while neither system was disturbed.
    pub unknown: u64,
    /// Changes whose lateness the auditor could not tell from punctuality while neither system was disturbed.
    pub lag_undecided: usize,
    /// Estimates of samples whose truth is known: no disturbance touched what they rest on.
    pub estimates_checked: usize,
    /// Of these, those whose interval holds no share that was true meanwhile. Their intervals are meant for 95 in 100.
    pub estimates_outside: usize,
    /// Outages and changed schemas that the auditor said nothing of.
    pub unnoticed: usize,
    /// Every disturbance of a whole system.
    pub disturbances: Vec<DisturbanceCase>,
    /// Every planted fault.
    pub cases: Vec<Case>,
    /// Every false report.
    pub false_cases: Vec<Said>,
    /// Every lag that was measured wrongly.
    pub lag_cases: Vec<LagCase>,
    /// Every measured lag of which the truth is not known.
    pub lag_unknown_cases: Vec<UnknownLag>,
    /// Every estimate that was wrong.
    pub estimate_cases: Vec<EstimateCase>,
}

impl Summary {
    /// Nothing missed, nothing made up, 999 of 1,000 lags inside their bounds, no outage unnoticed, and samples as right as
    /// they say.
    pub fn is_right(&self) -> bool {
        let is_sound = self.estimates_outside * 20 <= self.estimates_checked;
        let is_exact = self.lag_outside * 1_000 <= self.lag_checked;
        self.missed == 0 && self.false_reports == 0 && is_exact && self.unnoticed == 0 && is_sound
    }
}

/// What the auditor's looks cost one system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Requests or statements.
    pub calls: u64,
    /// Records that it answered.
    pub records: u64,
}

/// What became of a disturbance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DisturbanceCase {
    /// What was disturbed.
    pub system: System,
    /// In which way.
    pub kind: DisturbanceKind,
    /// From when on, RFC 3339 with milliseconds.
    pub from: String,
    /// Until when.
    pub to: String,
    /// Seconds until the auditor said so: by a failed run, checks that could not tell, or a change of the schema.
    pub noticed_after_secs: Option<f64>,
}

/// How long faults of one kind took to be reported, from the beginning of the difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delay {
    /// How many were found.
    pub found: usize,
    /// Half of them within so many seconds.
    pub median_secs: f64,
    /// All of them within so many seconds.
    pub longest_secs: f64,
}

/// What became of one planted fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// In which target.
    pub target: System,
    /// In which way it was spoiled.
    pub fault: FaultKind,
    /// When, RFC 3339 with milliseconds.
    pub planted_at: String,
    /// When the two systems began to differ; empty if they never did.
    pub differed_from: String,
    /// When they agreed again; empty if they had not when the company closed.
    pub differed_to: String,
    /// `found`, `missed` or `undecided`.
    pub outcome: CaseOutcome,
    /// Why it was undecided, if it was.
    pub undecided_why: Option<WhyUndecided>,
    /// The verdict of the fitting report.
    pub found_as: Option<String>,
    /// Seconds from the beginning of the difference to the fitting report.
    pub found_after_secs: Option<f64>,
    /// Everything that the auditor said about the key while it lasted.
    pub said: Vec<Said>,
}

/// What became of a planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseOutcome {
    /// Reported with a fitting verdict while it lasted.
    Found,
    /// Long enough to be seen, and not reported so.
    Missed,
    /// Over before it could be told from slowness.
    Undecided,
}

/// Why a planted fault could not be told from slowness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhyUndecided {
    /// The systems agreed again before the deadline, or never differed: no promise was broken.
    Punctual,
    /// A system was disturbed while they differed, and too little time was left.
    Disturbed,
    /// They differed for longer than the deadline, and agreed again before it could be told.
    Brief,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// In which target.
    pub target: System,
    /// When, RFC 3339 with milliseconds.
    pub at: String,
    /// The verdict's word.
    pub verdict: String,
    /// Whether stale against mismatch was only likely.
    pub likely: bool,
}

/// A lag that was measured wrongly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LagCase {
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// In which target.
    pub target: System,
    /// Reported bounds, seconds.
    pub reported_secs: (f64, f64),
    /// True bounds, seconds, of every difference that began when the report says.
    pub true_secs: Vec<(f64, f64)>,
}

/// A measured lag of which the truth is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnknownLag {
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// In which target.
    pub target: System,
    /// When the owner changed according to the report, RFC 3339 with milliseconds.
    pub changed: (String, String),
    /// Reported bounds, seconds.
    pub reported_secs: (f64, f64),
    /// Why it is not known.
    pub why: WhyUnknown,
}

/// An estimate of samples whose interval does not hold the truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EstimateCase {
    /// Of what.
    pub entity: Entity,
    /// In which target.
    pub target: System,
    /// `agreement`, `completeness` or `extra`.
    pub measure: String,
    /// When, RFC 3339 with milliseconds.
    pub at: String,
    /// The reported interval, shares.
    pub reported: (f64, f64),
    /// The least and the largest share that was true while the keys were looked at.
    pub true_share: (f64, f64),
}

/// Why the truth of a measured lag is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyUnknown {
    /// The two systems did not begin to differ when the report says that the owner changed.
    NoDifferenceBegan,
    /// The difference had not ended when the company closed.
    NotEnded,
}
