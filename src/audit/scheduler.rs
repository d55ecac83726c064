//! Takes units by lease and runs each in a task of its own; gives up what it loses.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::causes::chain;
use crate::metrics::{RunKind, Store};
use crate::state::change::{Lease, UnitName};
use crate::state::{StateError, StateStore};

use super::unit::{Shared, Unit, UnitError, UnitParts};

/// Why the scheduler gave up.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// A unit cannot go on and trying again would not help.
    #[error("unit `{unit}` stopped")]
    Unit {
        /// Which unit.
        unit: UnitName,
        /// Why.
        #[source]
        source: UnitError,
    },
    /// A unit's task died: a bug of ours.
    #[error("the task of a unit died")]
    Died(#[source] JoinError),
}

/// Runs units.
pub struct Scheduler {
    units: BTreeMap<UnitName, Arc<UnitParts>>,
    shared: Arc<Shared>,
    state: StateStore,
    lease_time: Duration,
    running: HashMap<UnitName, Running>,
    tasks: JoinSet<Result<(), UnitError>>,
    names: HashMap<Id, UnitName>,
}

struct Running {
    lease: Lease,
    stop: CancellationToken,
}

impl Scheduler {
    /// Over `units`, with leases of `lease_time`.
    pub fn new(units: Vec<Arc<UnitParts>>, shared: Arc<Shared>, state: StateStore, lease_time: Duration) -> Self {
        Self {
            units: units.into_iter().map(|parts| (parts.name.clone(), parts)).collect(),
            shared,
            state,
            lease_time,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
        }
    }

    /// Runs until `stop`, then lets every unit finish the run it is in, and gives the leases back.
    ///
    /// # Errors
    /// When a unit can no longer keep what it finds, or dies.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), SchedulerError> {
        let mut beat = tokio::time::interval(self.lease_time / 3);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let outcome = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(ended) = self.tasks.join_next_with_id() => {
                    if let Err(error) = self.ended(ended) {
                        break Err(error);
                    }
                }
                _ = beat.tick() => {
                    if let Err(error) = self.share_out().await {
                        // Without state nobody can take our leases over either; units notice by themselves.
                        self.shared.metrics.store_error(Store::State);
                        tracing::error!("leases could not be renewed: {}", chain(&error));
                    }
                }
            }
        };
        self.wind_down().await;
        outcome
    }

    /// Renews, takes and gives back leases so that every live auditor has its share.
    async fn share_out(&mut self) -> Result<(), StateError> {
        let names: Vec<UnitName> = self.units.keys().cloned().collect();
        let held: Vec<Lease> = self.running.values().map(|running| running.lease.clone()).collect();
        self.state.renew(&self.shared.auditor, &held, self.lease_time).await?;
        let held = self.state.acquire(&names, &self.shared.auditor, self.lease_time, usize::MAX).await?;
        let kept: HashSet<&Lease> = held.iter().collect();
        for (name, running) in &self.running {
            if !kept.contains(&running.lease) {
                tracing::info!(unit = %name, "given up");
                running.stop.cancel();
            }
        }
        for lease in held {
            // A unit that still winds down under an older token is started at the next beat.
            if !self.running.contains_key(&lease.unit) {
                self.start(lease);
            }
        }
        Ok(())
    }

    fn start(&mut self, lease: Lease) {
        let Some(parts) = self.units.get(&lease.unit).cloned() else { return };
        tracing::info!(unit = %lease.unit, token = lease.token, "taken up");
        self.shared.metrics.lease_held(RunKind::Changes, &parts.entity, &parts.owner.system, true);
        let stop = CancellationToken::new();
        let running = Running { lease: lease.clone(), stop: stop.clone() };
        self.running.insert(lease.unit.clone(), running);
        let (shared, unit) = (Arc::clone(&self.shared), lease.unit.clone());
        let task = self.tasks.spawn(async move { Unit::resume(parts, shared, lease).await?.run(stop).await });
        self.names.insert(task.id(), unit);
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), UnitError>), JoinError>) -> Result<(), SchedulerError> {
        let (id, result) = ended.map_err(SchedulerError::Died)?;
        let Some(unit) = self.names.remove(&id) else { return Ok(()) };
        self.running.remove(&unit);
        if let Some(parts) = self.units.get(&unit) {
            self.shared.metrics.lease_held(RunKind::Changes, &parts.entity, &parts.owner.system, false);
        }
        match result {
            Ok(()) => Ok(()),
            Err(error @ UnitError::LeaseLost(_)) => {
                tracing::warn!("{error}");
                Ok(())
            }
            Err(UnitError::Store { source, .. }) if source.store == Store::State => {
                // State is away for now: the lease runs out or is renewed, and the unit is taken up again.
                self.shared.metrics.store_error(Store::State);
                tracing::error!(%unit, "{}", chain(&source));
                Ok(())
            }
            Err(source) => Err(SchedulerError::Unit { unit, source }),
        }
    }

    async fn wind_down(&mut self) {
        self.running.values().for_each(|running| running.stop.cancel());
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Err(error) = self.ended(ended) {
                tracing::error!("{}", chain(&error));
            }
        }
        if let Err(error) = self.state.leave(&self.shared.auditor).await {
            tracing::warn!("leases could not be given back, they will run out: {}", chain(&error));
        }
    }
}
