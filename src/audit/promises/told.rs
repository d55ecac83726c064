//! What evaluation leaves in the ledger: one row for each promise and minute, and the steps of incidents.

use uuid::Uuid;

use super::facts::Gauges;
use super::{EvaluationError, Evaluator, KEPT, Status, Watched};
use crate::audit::run::ledger_time;
use crate::causes::chain;
use crate::incident::{Cause, Happened, Incident};
use crate::ledger::SpoolError;
use crate::ledger::rows::{IncidentRow, RunRows, SloMinuteRow};
use crate::metrics::Store;
use crate::slo::{Evaluation, Maintenance, Minute, TierState};
use crate::state::change::{Lease, StateChange};
use crate::state::{Applied, UntoldStep};

/// Steps that one run takes to the ledger.
const STEPS: usize = 500;

/// The minute that is under way.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    last: Option<(Minute, Vec<SloMinuteRow>)>,
}

impl Minutes {
    /// Takes in an evaluation; gives the rows of the minute before when that is over.
    fn note(&mut self, minute: Minute, rows: Vec<SloMinuteRow>) -> Option<Vec<SloMinuteRow>> {
        let before = self.last.replace((minute, rows));
        before.filter(|(last, _)| *last < minute).map(|(_, rows)| rows)
    }
}

impl Evaluator {
    /// Writes the rows of a minute that is over, and steps that the ledger does not have.
    pub(super) async fn tell_ledger(
        &mut self,
        minute: Minute,
        evaluations: &[Evaluation],
    ) -> Result<(), EvaluationError> {
        let tenant = self.tenant().to_string();
        let Some(held) = &mut self.held else { return Ok(()) };
        let told = self.watched.iter().zip(evaluations);
        let rows = told.map(|(one, found)| row(&tenant, one, found, minute, &held.gauges, &held.maintenance)).collect();
        let mut run =
            RunRows { slo_minutes: held.minutes.note(minute, rows).unwrap_or_default(), ..RunRows::default() };
        let is_over = !run.slo_minutes.is_empty();
        let steps = self.parts.state.untold_steps(STEPS).await?;
        if !is_over && steps.is_empty() {
            return Ok(());
        }
        let run_id = Uuid::now_v7();
        run.slo_minutes.iter_mut().for_each(|row| row.run_id = run_id);
        run.incident_events = steps.iter().map(|untold| event(run_id, untold)).collect();
        let status = Status::of(minute, &self.watched, evaluations, held);
        match self.parts.spool.commit(change(run_id, &held.lease, &status), &run).await {
            Ok(Applied::Now | Applied::Already) => self.parts.state.steps_told(&steps).await?,
            Ok(Applied::Fenced) => self.held = None,
            Err(SpoolError::State(error)) => return Err(error.into()),
            Err(error) => {
                // Incidents live in state; steps are told again later, a minute of figures is missing.
                self.parts.metrics.store_error(Store::Spool);
                tracing::error!("what promises came to cannot be kept: {}", chain(&error));
            }
        }
        if is_over {
            self.parts.state.forget_incidents(self.parts.clock.now() - KEPT).await?;
        }
        Ok(())
    }
}

fn change(run_id: Uuid, lease: &Lease, status: &Status) -> StateChange {
    StateChange { position: Some(status.to_stored()), ..StateChange::new(run_id, lease.clone()) }
}

/// The word for how a promise stands.
pub fn state_word(found: &Evaluation) -> &'static str {
    let holds = found.tiers.iter().any(|status| status.state == TierState::Holds) || found.overdue == Some(true);
    match found.severity() {
        Some(_) => "burning",
        None if found.no_data => "no_data",
        None if holds => "holding",
        None if found.budget_left < 0.0 => "overdrawn",
        None => "kept",
    }
}

fn row(
    tenant: &str,
    one: &Watched,
    found: &Evaluation,
    minute: Minute,
    gauges: &Gauges,
    maintenance: &[Maintenance],
) -> SloMinuteRow {
    let (entity, owner, target) = one.place();
    let gauge = one.gauge().and_then(|gauge| gauges.of(minute, &gauge)).unwrap_or_default();
    let systems = one.systems();
    let works = |work: &Maintenance| {
        (work.from..work.to).contains(&minute) && work.concerns(systems.iter().map(|system| system.as_str()))
    };
    let burn = found.burn();
    SloMinuteRow {
        tenant: tenant.to_owned(),
        slo: one.promise.name.clone(),
        entity: entity.to_owned(),
        owner: owner.to_owned(),
        target: target.to_owned(),
        at: ledger_time(minute.start()),
        run_id: Uuid::nil(),
        indicator: one.promise.indicator.as_str().to_owned(),
        state: state_word(found).to_owned(),
        sli_best: found.sli.0,
        sli_worst: found.sli.1,
        raw_best: found.raw.0,
        raw_worst: found.raw.1,
        burn_best: burn.best,
        burn_worst: burn.worst,
        budget_left: found.budget_left,
        budget_left_worst: found.budget_left_worst,
        coverage: found.coverage,
        good: found.counts.good,
        bad: found.counts.bad,
        unknown: found.counts.unknown,
        overdue: gauge.overdue,
        oldest_us: u64::try_from(gauge.oldest.as_micros()).unwrap_or(u64::MAX),
        in_maintenance: maintenance.iter().any(works),
    }
}

fn event(run_id: Uuid, untold: &UntoldStep) -> IncidentRow {
    let Incident { cause, broken, entity, tenant, severity, evidence, id, .. } = &untold.incident;
    let worst = broken.first();
    let (owner, target) = match cause {
        Cause::Flow(flow) => (flow.owner.to_string(), flow.target.to_string()),
        Cause::Blind { system } | Cause::Path { system } | Cause::Queue { system, .. } => {
            (String::new(), system.to_string())
        }
        Cause::Auditor | Cause::Delivery { .. } => (String::new(), String::new()),
    };
    IncidentRow {
        tenant: tenant.to_string(),
        slo: worst.map_or_else(String::new, |slo| slo.name.clone()),
        entity: entity.as_ref().map_or_else(String::new, ToString::to_string),
        owner,
        target,
        at: ledger_time(untold.step.at),
        incident_id: id.0,
        event: untold.step.happened.as_str().to_owned(),
        severity: severity.as_str().to_owned(),
        cause: cause.to_string(),
        actor: untold.step.happened.actor().unwrap_or_default().to_owned(),
        burn_rate: worst.map_or(0.0, |slo| slo.burn),
        records: evidence.wrong,
        detail: detail(&untold.step.happened),
        run_id,
    }
}

fn detail(happened: &Happened) -> String {
    match happened {
        Happened::Note { text, .. } => text.clone(),
        Happened::Assigned { to, .. } => to.clone(),
        Happened::Snoozed { until, .. } => format!("{until:?}"),
        Happened::Notified { channel, outcome } => format!("{channel}: {outcome}"),
        Happened::Escalated { level } => level.to_string(),
        Happened::Opened
        | Happened::Worsened
        | Happened::Reopened
        | Happened::Acknowledged { .. }
        | Happened::Reminder
        | Happened::Resolved { .. } => String::new(),
    }
}
