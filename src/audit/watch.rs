//! Keeps the gauges that nobody pushes, and answers whether the auditor can do its work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use crate::causes::chain;
use crate::connect::Usage;
use crate::ledger::engine::EmbeddedEngine;
use crate::ledger::{ShipperStatus, Spool};
use crate::metrics::{Metrics, SpoolDepth, Store, Used};
use crate::model::SystemId;
use crate::readiness::{Readiness, Status};
use crate::state::StateStore;

use super::key_store::Indexes;
use super::plan::Readers;

const EVERY: Duration = Duration::from_secs(1);
/// How often the heart beats.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// An index of keys that nobody has used for so long is of a mapping that has changed or gone.
const UNUSED: Duration = Duration::from_secs(7 * 86_400);
/// How often such indexes are looked for, and how many addresses go at once.
const CLEARED: Duration = Duration::from_secs(600);
const FORGOTTEN: u64 = 100_000;

/// Looks at the parts of a running auditor from outside.
pub struct Watch {
    metrics: Arc<Metrics>,
    state: StateStore,
    spool: Spool,
    shipper: Receiver<ShipperStatus>,
    engine: Option<Arc<EmbeddedEngine>>,
    readers: Readers,
    indexes: Arc<Indexes>,
    before: Mutex<Before>,
}

/// Growing figures as of the last look; the metrics get the difference.
#[derive(Default)]
struct Before {
    usage: BTreeMap<SystemId, Usage>,
    restarts: u64,
    ledger_failures: u64,
}

impl Watch {
    /// Over these parts.
    pub fn new(
        metrics: Arc<Metrics>,
        state: StateStore,
        spool: Spool,
        shipper: Receiver<ShipperStatus>,
        engine: Option<Arc<EmbeddedEngine>>,
        readers: Readers,
        indexes: Arc<Indexes>,
    ) -> Self {
        Self { metrics, state, spool, shipper, engine, readers, indexes, before: Mutex::default() }
    }

    /// Refreshes the gauges every second until `stop`, and clears state of what is not used any more.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut clear = tokio::time::interval(CLEARED);
        clear.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = tick.tick() => self.refresh(),
                _ = beat.tick() => self.beat().await,
                _ = clear.tick() => self.forget_unused_indexes().await,
            }
        }
    }

    /// Without its state an auditor keeps nothing of what it finds: its heart does not beat then.
    async fn beat(&self) {
        match self.state.now().await {
            Ok(now) => self.metrics.heartbeat(now),
            Err(error) => tracing::warn!("no heartbeat: {}", chain(&error)),
        }
    }

    async fn forget_unused_indexes(&self) {
        let forgotten = match self.state.now().await {
            Ok(now) => self.state.forget_unused_key_indexes(now - UNUSED, FORGOTTEN).await,
            Err(error) => Err(error),
        };
        if let Err(error) = forgotten {
            tracing::debug!("unused indexes of keys stay: {error}");
        }
    }

    fn refresh(&self) {
        let spool = self.spool.status();
        self.metrics.spool(SpoolDepth {
            bytes: spool.bytes,
            segments: spool.segments as u64,
            oldest: spool.oldest_age,
        });
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        for (system, reader) in &self.readers {
            let usage = reader.usage();
            let last = before.usage.insert(system.clone(), usage).unwrap_or_default();
            let Usage { requests, rows, throttled, waited, retries } = usage.since(last);
            self.metrics.used(system, Used { requests, rows, retries, throttled, waited });
        }
        for index in self.indexes.all() {
            if let Some(status) = index.status() {
                self.metrics.key_index(index.entity(), index.system(), status.entries, index.lag());
            }
        }
        let failures = self.shipper.borrow().retries;
        (before.ledger_failures..failures).for_each(|_| self.metrics.store_error(Store::Ledger));
        before.ledger_failures = failures;
        if let Some(engine) = &self.engine {
            self.metrics.engine_up(engine.is_up());
            (before.restarts..engine.restarts()).for_each(|_| self.metrics.engine_restarted());
            before.restarts = engine.restarts();
        }
    }
}

#[async_trait]
impl Status for Watch {
    async fn readiness(&self) -> Readiness {
        let state = self.state.now().await;
        let detail = state.as_ref().map_or_else(ToString::to_string, |_| "answers".to_owned());
        let shipper = self.shipper.borrow().clone();
        let depth = self.spool.status();
        let full = depth.waiting > 0;
        let spool = format!("{} bytes in {} segments", depth.bytes, depth.segments);
        // Without the ledger the auditor still works, as long as the spool has room.
        let ledger = shipper.last_error.unwrap_or_else(|| "takes what is spooled".to_owned());
        Readiness::default()
            .with("state", state.is_ok(), detail)
            .with("spool", !full, spool)
            .with("ledger", true, ledger)
    }
}
