//! One run of a probe, while it runs: gathers ledger rows and state changes until they are committed as one.

use std::time::Duration;

use uuid::Uuid;

use crate::compare::{FreshnessEvent, Outcome};
use crate::ledger::rows::{
    CheckRow, CoverageRow, DiscrepancyRow, EstimateRow, FreshnessRow, RunRow, RunRows, SampleRow, SchemaChangeRow,
    SweepRow, TotalsRow,
};
use crate::metrics::RunKind;
use crate::model::{Flow, Lag, Moment, TenantId, Verdict};
use crate::state::change::{BaselineChange, ChunkChange, DiscrepancyChange, InFlightChange, Lease, StateChange};

use super::queue::Slot;
use super::sampling::{Decided, Finding, Frame, Seen};

/// What a run did, for logs, metrics and callers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records read from the owner.
    pub owner_records: u64,
    /// Records read from targets.
    pub target_records: u64,
    /// Checks by verdict, in [`Verdict::ALL`]'s order.
    pub checks: [u64; Verdict::ALL.len()],
    /// Whether everything visible was read.
    pub complete: bool,
    /// The first failure, as a word from a closed list; `None` when everything could be read.
    pub failure: Option<&'static str>,
}

/// How so many keys came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// They agree.
    pub good: u64,
    /// They do not.
    pub bad: u64,
    /// Of the bad ones, those that the target lacks.
    pub missing: u64,
    /// They could not be decided.
    pub unknown: u64,
}

impl Summary {
    /// Checks with this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.checks[verdict as usize - 1]
    }

    /// All checks.
    pub fn total(&self) -> u64 {
        self.checks.iter().sum()
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.owner_records += other.owner_records;
        self.target_records += other.target_records;
        self.checks.iter_mut().zip(other.checks).for_each(|(mine, theirs)| *mine += theirs);
        self.complete = other.complete;
        self.failure = self.failure.or(other.failure);
    }
}

/// A run while it runs.
#[derive(Debug)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// What kind of look it is.
    pub kind: RunKind,
    /// When it began.
    pub started: Moment,
    /// Under which lease.
    pub lease: Lease,
    /// Its counts.
    pub summary: Summary,
    /// Where the sample probe walks after this run, if it moved.
    pub walk: Option<Vec<u8>>,
    /// What is known of shapes after this run, if it changed.
    pub schema: Option<Vec<u8>>,
    /// How far the sweep has come after this run, if it went on.
    pub sweep: Option<Vec<u8>>,
    /// Pieces of the sweep that this run settles.
    pub chunks: Vec<ChunkChange>,
    /// State changes so far.
    pub in_flight: Vec<InFlightChange>,
    /// Baselines agreed so far.
    pub baselines: Vec<BaselineChange>,
    /// Steps of discrepancies so far.
    pub discrepancies: Vec<DiscrepancyChange>,
    /// How each look came out, where the unit has samples that may wait for it.
    pub seen: Vec<(Slot, Seen)>,
    rows: RunRows,
}

/// What one check row says beyond its flow and run.
#[derive(Debug)]
pub struct CheckParts {
    /// When it was judged.
    pub at: Moment,
    /// Keyed hash of the key.
    pub key_hash: String,
    /// The key as it may be stored.
    pub key: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Stale against mismatch is likely only.
    pub likely: bool,
    /// The lag.
    pub lag: Lag,
    /// Why, for `unknown` and `invalid`.
    pub reason: &'static str,
    /// Differing fields with both sides' values as they may be stored.
    pub fields: Vec<(String, String, String)>,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The ledger's DateTime64(6) spans 1900 to 2299; moments outside it are stored as its ends.
pub fn ledger_time(moment: Moment) -> i64 {
    const FIRST: i64 = -2_208_988_800_000_000;
    const LAST: i64 = 10_413_791_999_000_000;
    moment.micros().clamp(FIRST, LAST)
}

impl Run {
    /// Begins a run.
    pub fn begin(kind: RunKind, lease: Lease, started: Moment) -> Self {
        Self {
            id: Uuid::now_v7(),
            kind,
            started,
            lease,
            summary: Summary::default(),
            walk: None,
            schema: None,
            sweep: None,
            chunks: Vec::new(),
            in_flight: Vec::new(),
            baselines: Vec::new(),
            discrepancies: Vec::new(),
            seen: Vec::new(),
            rows: RunRows::default(),
        }
    }

    /// Records one check.
    pub fn check(&mut self, flow: &Flow, parts: CheckParts) {
        let names = [
            flow.tenant.to_string(),
            flow.id.entity.to_string(),
            flow.id.owner.to_string(),
            flow.id.target.to_string(),
            self.kind.as_str().to_owned(),
        ];
        self.add_check(names, flow.deadline, parts);
    }

    /// Records one check for a report, which knows its flow: the row does not name it.
    pub fn report(&mut self, parts: CheckParts) {
        self.add_check(Default::default(), Duration::ZERO, parts);
    }

    fn add_check(
        &mut self,
        [tenant, entity, owner, target, probe]: [String; 5],
        deadline: Duration,
        parts: CheckParts,
    ) {
        self.summary.checks[parts.verdict as usize - 1] += 1;
        let mut row = CheckRow {
            tenant,
            entity,
            owner,
            target,
            at: ledger_time(parts.at),
            run_id: self.id,
            token: self.lease.token,
            probe,
            key_hash: parts.key_hash,
            key: parts.key,
            verdict: parts.verdict.as_str().to_owned(),
            likely: parts.likely,
            lag_low_us: micros(parts.lag.low),
            lag_high_us: micros(parts.lag.high),
            deadline_us: micros(deadline),
            reason: parts.reason.to_owned(),
            fields: Vec::with_capacity(parts.fields.len()),
            owner_values: Vec::with_capacity(parts.fields.len()),
            target_values: Vec::with_capacity(parts.fields.len()),
        };
        for (name, owner, target) in parts.fields {
            row.fields.push(name);
            row.owner_values.push(owner);
            row.target_values.push(target);
        }
        self.rows.checks.push(row);
    }

    /// Records the outcome of one divergence.
    pub fn freshness(&mut self, flow: &Flow, key_hash: &str, decided_at: Moment, event: &FreshnessEvent) {
        let outcome = match event.outcome {
            Outcome::Good => "good",
            Outcome::Bad => "bad",
            Outcome::Undecided => "undecided",
        };
        // Where nothing says how long ago it began, all that is known of a lag is that it is longer than so much; a lag
        // since the beginning of time would be the only one that quantiles show.
        let unbounded = event.changed.low == Moment::MIN && event.outcome == Outcome::Bad;
        let lag_high = if unbounded { event.lag.low } else { event.lag.high };
        self.rows.freshness.push(FreshnessRow {
            tenant: flow.tenant.to_string(),
            entity: flow.id.entity.to_string(),
            owner: flow.id.owner.to_string(),
            target: flow.id.target.to_string(),
            decided_at: ledger_time(decided_at),
            changed_low: ledger_time(event.changed.low),
            changed_high: ledger_time(event.changed.high),
            run_id: self.id,
            key_hash: key_hash.to_owned(),
            outcome: outcome.to_owned(),
            lag_low_us: micros(event.lag.low),
            lag_high_us: micros(lag_high),
            deadline_us: micros(flow.deadline),
        });
    }

    /// Records what the run covered of one flow.
    pub fn coverage(&mut self, flow: &Flow, span: (Moment, Moment), expected: u64, decided: u64, blind: &str) {
        self.coverage_of(self.kind.as_str(), flow, span, expected, decided, blind);
    }

    /// Records a walk around all keys that this run ended: everything was looked at between its begin and its end.
    pub fn whole_pass(&mut self, flow: &Flow, span: (Moment, Moment), keys: u64) {
        self.coverage_of("sample_pass", flow, span, keys, keys, "");
    }

    fn coverage_of(
        &mut self,
        probe: &str,
        flow: &Flow,
        span: (Moment, Moment),
        expected: u64,
        decided: u64,
        blind: &str,
    ) {
        self.rows.coverage.push(CoverageRow {
            tenant: flow.tenant.to_string(),
            entity: flow.id.entity.to_string(),
            owner: flow.id.owner.to_string(),
            target: flow.id.target.to_string(),
            probe: probe.to_owned(),
            run_id: self.id,
            from: ledger_time(span.0),
            to: ledger_time(span.1),
            expected,
            decided,
            blind: blind.to_owned(),
        });
    }

    /// Records what samples say of a flow.
    pub fn estimate(&mut self, flow: &Flow, at: Moment, finding: &Finding) {
        self.rows.estimates.push(EstimateRow {
            tenant: flow.tenant.to_string(),
            entity: flow.id.entity.to_string(),
            owner: flow.id.owner.to_string(),
            target: flow.id.target.to_string(),
            at: ledger_time(at),
            run_id: self.id,
            measure: finding.measure.as_str().to_owned(),
            frame: Frame::of(finding.measure).as_str().to_owned(),
            sampled: finding.estimate.sampled,
            bad: finding.estimate.bad,
            population: finding.population,
            design_effect: finding.estimate.design_effect,
            low: finding.low,
            estimate: finding.share,
            high: finding.high,
        });
    }

    /// Records the sampled keys of a flow that were decided, one row for each frame.
    pub fn samples(&mut self, flow: &Flow, name: &str, at: Moment, decided: &[Decided]) {
        for frame in [Frame::Owner, Frame::Target] {
            let of_frame = || decided.iter().filter(|keys| keys.flow == name && keys.frame == frame);
            if of_frame().next().is_none() {
                continue;
            }
            let sum = |part: fn(&Decided) -> u64| of_frame().map(part).sum();
            let keys = Keys {
                good: sum(|keys| keys.good),
                bad: sum(|keys| keys.bad),
                missing: sum(|keys| keys.missing),
                unknown: sum(|keys| keys.unknown),
            };
            self.keys_of(flow, at, frame.as_str(), &keys);
        }
    }

    /// Records the keys that a sweep of a flow has compared.
    pub fn swept_keys(&mut self, flow: &Flow, at: Moment, keys: &Keys) {
        self.keys_of(flow, at, "sweep", keys);
    }

    fn keys_of(&mut self, flow: &Flow, at: Moment, frame: &str, keys: &Keys) {
        self.rows.samples.push(SampleRow {
            tenant: flow.tenant.to_string(),
            entity: flow.id.entity.to_string(),
            owner: flow.id.owner.to_string(),
            target: flow.id.target.to_string(),
            at: ledger_time(at),
            run_id: self.id,
            frame: frame.to_owned(),
            good: keys.good,
            bad: keys.bad,
            missing: keys.missing,
            unknown: keys.unknown,
        });
    }

    /// Records a step of a discrepancy in the ledger.
    pub fn discrepancy_event(&mut self, row: DiscrepancyRow) {
        self.rows.discrepancies.push(row);
    }

    /// Records a step of a sweep.
    pub fn swept(&mut self, row: SweepRow) {
        self.rows.sweeps.push(row);
    }

    /// Records a line of totals.
    pub fn total(&mut self, row: TotalsRow) {
        self.rows.totals.push(row);
    }

    /// Records a step of a change of a shape.
    pub fn schema_change(&mut self, row: SchemaChangeRow) {
        self.rows.schema_changes.push(row);
    }

    /// Closes the run: its row, its state change, its rows.
    pub fn finish(
        mut self,
        who: &RunOf<'_>,
        ended: Moment,
        position: Option<Vec<u8>>,
    ) -> (StateChange, RunRows, Summary) {
        let outcome = match (self.summary.failure, self.summary.total()) {
            (None, _) => "ok",
            (Some(_), 0) => "failed",
            (Some(_), _) => "partial",
        };
        self.rows.runs.push(RunRow {
            tenant: who.tenant.to_string(),
            entity: who.entity.to_owned(),
            owner: who.owner.to_owned(),
            probe: self.kind.as_str().to_owned(),
            run_id: self.id,
            token: self.lease.token,
            auditor: who.auditor.to_owned(),
            started_at: ledger_time(self.started),
            ended_at: ledger_time(ended),
            outcome: outcome.to_owned(),
            reason: self.summary.failure.unwrap_or_default().to_owned(),
            owner_records: self.summary.owner_records,
            target_records: self.summary.target_records,
            checks: self.summary.total(),
            in_flight: who.in_flight,
        });
        let change = StateChange {
            run_id: self.id,
            lease: self.lease,
            position,
            walk: self.walk,
            schema: self.schema,
            sweep: self.sweep,
            chunks: self.chunks,
            in_flight: self.in_flight,
            baselines: self.baselines,
            discrepancies: self.discrepancies,
        };
        (change, self.rows, self.summary)
    }
}

/// Whose run it is, for its row.
#[derive(Debug)]
pub struct RunOf<'a> {
    /// Tenant.
    pub tenant: &'a TenantId,
    /// Entity name.
    pub entity: &'a str,
    /// Owner system's name.
    pub owner: &'a str,
    /// The auditor process.
    pub auditor: &'a str,
    /// Keys in flight after the run.
    pub in_flight: u64,
}
