//! The totals probe: what each side comes to by day, currency and status, and the keys behind what differs.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::NaiveDate;

use crate::audit::entry::key_from_bytes;
use crate::audit::run::{Run, Summary, ledger_time};
use crate::audit::sweep::disk::Shelf;
use crate::audit::sweep::finder::{Name, SweepError};
use crate::audit::sweep::sides;
use crate::audit::totals::drill::suspects;
use crate::audit::totals::{SideTotals, tolerance_of, totals};
use crate::audit::unit::{Unit, UnitError, UnitParts};
use crate::causes::chain;
use crate::connect::ReadError;
use crate::ledger::rows::TotalsRow;
use crate::metrics::{RunKind, Skip};
use crate::model::{Flow, Key, Moment, Number};
use crate::totals::{Days, Question, Variance, lines};

/// Days whose keys are looked for, flow by flow. Not kept in state: the next run finds the same lines again.
#[derive(Default)]
pub(in crate::audit::unit) struct Drills {
    waiting: VecDeque<Drill>,
    /// When the next part may begin.
    next: Option<Moment>,
}

struct Drill {
    flow: usize,
    question: Question,
    days: BTreeSet<Option<NaiveDate>>,
    /// Found and not judged yet; `None` before anything was read.
    suspects: Option<Shelf<Name>>,
}

/// After a failure, or while no key may enter the queue, nothing is looked for.
const REST: std::time::Duration = std::time::Duration::from_secs(10);
/// What looking for keys may keep in memory, in bytes.
const MEMORY: usize = 32 << 20;
/// Suspects that one read asks for.
const BATCH: usize = 1_000;
/// Suspects of one part: a run stays small enough to be spooled as one.
const MOST_SUSPECTS: usize = 20_000;
/// Digits before and behind the point that the ledger's decimals have.
const DIGITS: u32 = 38;

impl Unit {
    /// One run of the totals probe: every flow's totals, compared and recorded. Days that differ wait for
    /// [`drill_part`](Self::drill_part).
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail. A system that cannot be read is a recorded outcome.
    pub async fn totals(&mut self) -> Result<Summary, UnitError> {
        let parts = Arc::clone(&self.parts);
        let Some(probe) = &parts.totals else { return Ok(Summary { complete: true, ..Summary::default() }) };
        let mut run = Run::begin(RunKind::Totals, self.lease.clone(), self.shared.clock.now());
        run.summary.complete = true;
        let days = Days::last(&probe.settings.calendar, run.started, probe.settings.days);
        let question = Question { calendar: probe.settings.calendar, fields: probe.settings.fields, days };
        self.drills = Drills::default();
        for flow in probe.flows.iter().copied() {
            match totals(&sides(&parts, flow), &question).await {
                Ok(sides) => self.take_totals(&mut run, flow, question, &sides),
                Err(error) => self.no_totals(&mut run, flow, &error),
            }
        }
        self.commit(run, None).await
    }

    fn take_totals(&mut self, run: &mut Run, flow: usize, question: Question, sides: &[SideTotals; 2]) {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow].flow;
        let tolerance = tolerance_of(unit_flow, &question);
        let found = lines(&sides[0].totals, &sides[1].totals, tolerance.as_ref());
        let now = self.shared.clock.now();
        let amount = question.fields.amount.map_or("", |field| parts.fields[field].name.as_str());
        let is_readable = sides.iter().all(|side| side.totals.unreadable == 0);
        let rows: Vec<TotalsRow> =
            found.iter().map(|line| row(run, unit_flow, (amount, now), line, sides, is_readable)).collect();
        let is_complete = is_readable && rows.iter().all(|row| row.complete);
        let differing: BTreeSet<Option<NaiveDate>> =
            found.iter().filter(|line| line.differs()).map(|line| line.line.day).collect();
        let count = found.iter().filter(|line| line.differs()).count() as u64;
        self.shared.metrics.totals(&unit_flow.id, rows.len() as u64, count, is_complete.then_some(now));
        let (expected, span) = (rows.len() as u64, (run.started, now));
        run.summary.complete &= is_complete;
        run.coverage(unit_flow, span, expected, if is_complete { expected } else { 0 }, "");
        rows.into_iter().for_each(|row| run.total(row));
        if !differing.is_empty() {
            tracing::info!(flow = %unit_flow.id, differing = count, "{count} lines of totals differ: looking for their keys");
            self.drills.waiting.push_back(Drill { flow, question, days: differing, suspects: None });
        }
    }

    fn no_totals(&mut self, run: &mut Run, flow: usize, error: &ReadError) {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow].flow;
        self.note_failure(run, error);
        run.summary.complete = false;
        let blind = if *error.system() == unit_flow.id.owner { "owner" } else { "target" };
        run.coverage(unit_flow, (run.started, self.shared.clock.now()), 0, 0, blind);
    }

    /// When the search for keys goes on; `None` when nothing is looked for.
    pub(in crate::audit::unit) fn drill_goes_on(&self) -> Option<Moment> {
        self.drills.waiting.front()?;
        Some(self.drills.next.unwrap_or_else(|| self.shared.clock.now()))
    }

    /// Whether keys behind differing lines are still looked for.
    pub fn is_drilling(&self) -> bool {
        !self.drills.waiting.is_empty()
    }

    /// Looks for the keys behind the differing lines of one flow and judges some of them, committed as one. What cannot be read
    /// is given up: the next run of the probe meets the same lines again.
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail. A system that cannot be read is a recorded outcome.
    pub async fn drill_part(&mut self) -> Result<Summary, UnitError> {
        let mut run = Run::begin(RunKind::Totals, self.lease.clone(), self.shared.clock.now());
        let Some(mut drill) = self.drills.waiting.pop_front() else {
            run.summary.complete = true;
            return Ok(run.summary);
        };
        if self.room() == 0 {
            run.summary.failure = Some("in_flight_full");
            let (entity, owner) = (&self.parts.entity, &self.parts.owner.system);
            self.shared.metrics.skipped(RunKind::Totals, entity, owner, Skip::InFlightFull);
            self.drills.next = Some(self.shared.clock.now() + REST);
            self.drills.waiting.push_front(drill);
            return self.commit(run, None).await;
        }
        self.drills.next = None;
        match self.judge_drill(&mut run, &mut drill).await {
            Ok(()) => {
                let is_over = drill.suspects.as_ref().is_none_or(Shelf::is_empty);
                if !is_over && run.summary.failure.is_none() {
                    self.drills.waiting.push_front(drill);
                }
            }
            Err(SweepError::Read(error)) => self.note_failure(&mut run, &error),
            Err(error) => {
                tracing::warn!(unit = %self.parts.name, "the search for keys stopped: {}", chain(&error));
                run.summary.failure.get_or_insert("internal");
            }
        }
        run.summary.complete = self.drills.waiting.is_empty();
        self.commit(run, None).await
    }

    async fn judge_drill(&mut self, run: &mut Run, drill: &mut Drill) -> Result<(), SweepError> {
        let parts: Arc<UnitParts> = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[drill.flow];
        let suspects = match &mut drill.suspects {
            Some(suspects) => suspects,
            none => {
                let (sides, tolerances) = (sides(&parts, drill.flow), unit_flow.tolerances.clone());
                none.insert(suspects(&sides, drill.question, &drill.days, tolerances, MEMORY).await?)
            }
        };
        self.measure_clock(&parts.owner).await;
        self.measure_clock(&unit_flow.target).await;
        let mut judged = 0;
        while !suspects.is_empty() && judged < MOST_SUSPECTS && self.room() > 0 {
            let most = usize::try_from(self.room()).unwrap_or(usize::MAX).min(BATCH);
            let keys: Vec<Key> = suspects.take(most)?.iter().filter_map(|name| key_from_bytes(name)).collect();
            judged += keys.len();
            if !self.judge_suspects(run, drill.flow, &keys).await {
                break;
            }
        }
        Ok(())
    }
}

fn row(
    run: &Run,
    flow: &Flow,
    (amount, now): (&str, Moment),
    found: &Variance,
    sides: &[SideTotals; 2],
    is_readable: bool,
) -> TotalsRow {
    let Variance { line, owner, target, allowed } = found;
    let sums = [
        &owner.debit,
        &owner.credit,
        &owner.net(),
        &target.debit,
        &target.credit,
        &target.net(),
        &found.net(),
        allowed,
    ];
    let is_exact = sums.iter().all(|sum| fits(sum));
    let [owner_debit, owner_credit, owner_net, target_debit, target_credit, target_net, variance, allowed] =
        sums.map(|sum| if is_exact { sum.to_string() } else { "0".to_owned() });
    let reason = match (is_readable, is_exact) {
        (false, _) => "unreadable",
        (true, false) => "digits",
        (true, true) => "",
    };
    let [owner_way, target_way] =
        [&sides[0], &sides[1]].map(|side| if side.is_pushed_down { "database" } else { "records" }.to_owned());
    TotalsRow {
        tenant: flow.tenant.to_string(),
        entity: flow.id.entity.to_string(),
        owner: flow.id.owner.to_string(),
        target: flow.id.target.to_string(),
        at: ledger_time(now),
        run_id: run.id,
        amount: amount.to_owned(),
        day: line.day.map(|day| day.to_string()).unwrap_or_default(),
        currency: line.currency.clone(),
        status: line.status.clone(),
        owner_records: owner.records,
        target_records: target.records,
        owner_debit,
        owner_credit,
        owner_net,
        target_debit,
        target_credit,
        target_net,
        variance,
        allowed,
        differs: found.differs(),
        complete: reason.is_empty(),
        reason: reason.to_owned(),
        owner_way,
        target_way,
    }
}

/// Whether the ledger's decimals hold the number exactly.
fn fits(number: &Number) -> bool {
    let most = Number::from(1_i64).shifted(i64::from(DIGITS));
    number.scale() <= DIGITS && number.abs() < most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_ledger_holds_exactly() {
        let check = |text: &str, expect| assert_eq!(fits(&text.parse().unwrap()), expect, "{text}");
        check("0", true);
        check("-99999999999999999999999999999999999999.99999999999999999999999999999999999999", true);
        check("100000000000000000000000000000000000000", false);
        check("1e-38", true);
        check("1e-39", false);
    }
}
