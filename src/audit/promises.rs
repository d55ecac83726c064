//! Holds promises against what the ledger and state say, and opens, moves and ends incidents.
//!
//! One auditor does it, whoever holds the lease [`UNIT`]; all it needs to know is in ledger and state, so that another can
//! take over at any moment. An incident changes in one transaction that checks the lease and writes what people are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::causes::chain;
use crate::clock::Clock;
use crate::config::Config;
use crate::incident::{Cause, Evidence, Finding, IncidentId, REOPEN_WITHIN, Standing, advance};
use crate::ledger::{Ledger, Spool};
use crate::metrics::{Metrics, Store};
use crate::model::TenantId;
use crate::slo::{CauseStanding, Evaluation, Judged, Maintenance, Minute, standings};
use crate::state::change::Lease;
use crate::state::{Changed, HeldIncident, IncidentChange, StateError, StateStore, Tell};

mod contributors;
mod evidence;
mod facts;
mod past;
mod status;
mod told;
mod watched;

use contributors::WorstKeys;
pub use evidence::in_words;
use facts::Gauges;
pub use facts::{FactsError, all_maintenance};
pub use past::{Past, past};
pub use status::{Line, Status};
use told::Minutes;
pub use watched::{Watched, watched};

/// What is leased: evaluation as a whole.
pub const UNIT: &str = "promises";

/// How often promises are held against the facts.
const EVERY: Duration = Duration::from_secs(5);

/// Facts of so many minutes are read again each time: runs that ended earlier have been shipped.
const OVERLAP: i64 = 20;

/// How often everything is read again: what was shipped very late is seen by then.
const AGAIN: i64 = 60;

/// Incidents that ended so long ago are forgotten by state; the ledger keeps their history.
const KEPT: Duration = Duration::from_secs(90 * 86_400);

/// Why an evaluation could not be made. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// State did not answer.
    #[error("state failed")]
    State(#[from] StateError),
}

/// What an evaluation came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Promises that were held against the facts.
    pub evaluated: usize,
    /// Of them: a tier fires.
    pub burning: usize,
    /// Of them: too little was seen.
    pub blind: usize,
    /// Steps of incidents.
    pub steps: usize,
}

/// What evaluation works with.
pub struct Parts {
    /// The promises.
    pub config: Arc<Config>,
    /// Incidents, leases, keys in flight.
    pub state: StateStore,
    /// Facts.
    pub ledger: Ledger,
    /// The way into the ledger.
    pub spool: Spool,
    /// Gauges.
    pub metrics: Arc<Metrics>,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// This auditor's name.
    pub auditor: String,
    /// How long the lease lives.
    pub lease_time: Duration,
    /// Writes what people are told.
    pub tell: Arc<dyn Tell>,
}

/// Holds promises against the facts.
pub struct Evaluator {
    parts: Parts,
    watched: Vec<Watched>,
    /// The lease and what is known under it; nothing while another auditor evaluates.
    held: Option<Held>,
}

struct Held {
    lease: Lease,
    since: Minute,
    /// When everything was read last; `None`: it must be.
    read_all: Option<Minute>,
    /// When anything was read last: what came since then is new.
    read_at: Minute,
    gauges: Gauges,
    minutes: Minutes,
    /// What is worked on, as far as any promise looks back.
    maintenance: Vec<Maintenance>,
    worst_keys: WorstKeys,
}

impl Evaluator {
    /// Over the promises of a config.
    pub fn new(parts: Parts) -> Self {
        let watched = watched(&parts.config);
        for one in &watched {
            parts.metrics.watch_promise(&one.labels(), one.promise.objective.share());
        }
        Self { parts, watched, held: None }
    }

    /// Evaluates every few seconds until `stop`; does nothing without promises.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = tick.tick() => {}
            }
            if let Err(error) = self.tick().await {
                self.parts.metrics.store_error(Store::State);
                tracing::error!("promises could not be evaluated: {}", chain(&error));
            }
        }
        self.parts.metrics.evaluating(false);
        if let Some(held) = self.held.take()
            && let Err(error) = self.parts.state.release(&self.parts.auditor, &[held.lease]).await
        {
            tracing::debug!("the lease of evaluation runs out by itself: {}", chain(&error));
        }
    }

    /// One evaluation, if this auditor holds the lease; `None` when another does.
    ///
    /// # Errors
    /// When state does not answer. A ledger that does not answer is blindness, not an error.
    pub async fn tick(&mut self) -> Result<Option<Summary>, EvaluationError> {
        let is_here = self.hold_lease().await?;
        self.parts.metrics.evaluating(is_here);
        if !is_here {
            return Ok(None);
        }
        let now = self.parts.clock.now();
        let minute = Minute::of(now);
        let overdue = self.parts.state.in_flight_stats(now).await?;
        let Some(held) = &mut self.held else { return Ok(None) };
        held.gauges.note(minute, now, &overdue);
        if let Err(error) = facts::read(&self.parts, &mut self.watched, held, minute).await {
            // What cannot be read stays unseen; after a while nobody can say anything, and that is told.
            held.read_all = None;
            self.parts.metrics.store_error(Store::Ledger);
            tracing::warn!("facts about promises cannot be read: {}", chain(&error));
        } else if let Err(error) = held.gauges.note_fields(minute, &self.parts, &self.watched).await {
            self.parts.metrics.store_error(Store::Ledger);
            tracing::warn!("what is overdue in single fields cannot be read: {}", chain(&error));
        }
        held.gauges.apply(&mut self.watched);
        held.maintenance = facts::maintenance(&self.parts, &self.watched, minute).await?;
        let evaluations: Vec<Evaluation> =
            self.watched.iter_mut().map(|one| one.evaluate(minute, held.since, &held.maintenance)).collect();
        let burning = evaluations.iter().filter(|found| found.severity().is_some()).count();
        contributors::refresh(&self.parts, &self.watched, held, minute, burning > 0).await;
        for (one, evaluation) in self.watched.iter().zip(&evaluations) {
            self.parts.metrics.promise(&one.labels(), evaluation);
        }
        let steps = self.move_incidents(&evaluations).await?;
        let blind = evaluations.iter().filter(|found| found.no_data).count();
        self.tell_ledger(minute, &evaluations).await?;
        Ok(Some(Summary { evaluated: evaluations.len(), burning, blind, steps }))
    }

    async fn hold_lease(&mut self) -> Result<bool, StateError> {
        if self.watched.is_empty() {
            return Ok(false);
        }
        let Parts { state, auditor, lease_time, clock, .. } = &self.parts;
        // What is known of the minute under way outlives the lease's time, as long as nobody else has taken the lease.
        if let Some(held) = &self.held
            && state.renew(auditor, std::slice::from_ref(&held.lease), *lease_time).await?.contains(&held.lease)
        {
            return Ok(true);
        }
        let leases = state.acquire(&[UNIT.to_owned()], auditor, *lease_time, 1).await?;
        let Some(lease) = leases.into_iter().next() else {
            if self.held.take().is_some() {
                tracing::info!("another auditor evaluates promises now");
            }
            return Ok(false);
        };
        if self.held.as_ref().is_none_or(|held| held.lease != lease) {
            tracing::info!(token = lease.token, "evaluates promises");
            let since = Minute::of(clock.now());
            self.held = Some(Held {
                lease,
                since,
                read_all: None,
                read_at: since,
                gauges: Gauges::default(),
                minutes: Minutes::default(),
                maintenance: Vec::new(),
                worst_keys: WorstKeys::default(),
            });
        }
        Ok(true)
    }

    fn tenant(&self) -> &TenantId {
        &self.parts.config.plumbline.tenant
    }

    /// Opens, moves and ends incidents; gives the number of their steps.
    async fn move_incidents(&self, evaluations: &[Evaluation]) -> Result<usize, StateError> {
        let now = self.parts.clock.now();
        let last = self.parts.state.last_incidents(self.tenant(), now - REOPEN_WITHIN).await?;
        let open: BTreeSet<Cause> = last
            .iter()
            .filter(|held| held.incident.is_open() && !matches!(held.incident.cause, Cause::Delivery { .. }))
            .map(|held| held.incident.cause.clone())
            .collect();
        let judged = judged(&self.watched, evaluations);
        let mut known: BTreeMap<Cause, HeldIncident> =
            last.into_iter().map(|held| (held.incident.cause.clone(), held)).collect();
        let mut steps = 0;
        for found in standings(&judged, &open) {
            let last = known.remove(&found.cause);
            steps += self.move_incident(&found, last, &judged).await?;
        }
        let open = self.parts.state.incidents(self.tenant(), true, 10_000).await?;
        let open: Vec<_> = open.iter().map(|held| (held.incident.severity, held.incident.state)).collect();
        self.parts.metrics.evaluated(&open);
        Ok(steps)
    }

    async fn move_incident(
        &self,
        found: &CauseStanding,
        last: Option<HeldIncident>,
        judged: &[Judged<'_>],
    ) -> Result<usize, StateError> {
        let Some(held) = &self.held else { return Ok(0) };
        let standing = self.standing(found, last.as_ref(), judged).await;
        let now = self.parts.clock.now();
        let moved = advance(last.as_ref().map(|held| &held.incident), &standing, now, IncidentId(Uuid::now_v7()));
        let Some((incident, steps)) = moved else { return Ok(0) };
        let is_same = last.as_ref().is_some_and(|held| held.incident == incident);
        if is_same && steps.is_empty() {
            return Ok(0);
        }
        for step in &steps {
            tracing::warn!(
                incident.id = %incident.id,
                "incident {}: {} ({})",
                step.happened.as_str(),
                incident.cause,
                incident.severity.as_str()
            );
        }
        let count = steps.len();
        let version = last.filter(|held| held.incident.id == incident.id).map(|held| held.version);
        let change = IncidentChange { incident, version, steps };
        match self.parts.state.change_incident(&change, Some(&held.lease), self.parts.tell.as_ref()).await? {
            Changed::Done => Ok(count),
            // The next evaluation looks at what somebody else made of it.
            Changed::Overtaken | Changed::Fenced => Ok(0),
        }
    }

    async fn standing(&self, found: &CauseStanding, last: Option<&HeldIncident>, judged: &[Judged<'_>]) -> Standing {
        let Some(severity) = found.severity else {
            let evidence = last.map_or_else(Evidence::default, |held| held.incident.evidence.clone());
            return if found.is_clean { Standing::Clean } else { Standing::Holding(evidence) };
        };
        let now = self.parts.clock.now();
        let evidence = match (evidence::of_this_minute(last, now), found.broken.first()) {
            (Some(evidence), _) => evidence,
            (None, Some(worst)) => self.evidence(*worst, last, judged).await,
            (None, None) => Evidence::default(),
        };
        Standing::Firing(Finding {
            tenant: self.tenant().clone(),
            entity: evidence::entity(found, judged),
            cause: found.cause.clone(),
            severity,
            broken: evidence::broken(found, judged, now),
            blame: found.blame.clone(),
            evidence,
        })
    }
}

/// The promises with how they stand.
fn judged<'w>(watched: &'w [Watched], evaluations: &'w [Evaluation]) -> Vec<Judged<'w>> {
    watched.iter().zip(evaluations).map(|(one, evaluation)| one.judged(evaluation)).collect()
}
