//! Keeps the gauges that nobody pushes, and answers whether the auditor can do its work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use crate::connect::Usage;
use crate::ledger::engine::EmbeddedEngine;
use crate::ledger::{ShipperStatus, Spool};
use crate::metrics::{Metrics, SpoolDepth, Store, Used};
use crate::model::SystemId;
use crate::readiness::{Readiness, Status};
use crate::state::StateStore;

use super::plan::Readers;

const EVERY: Duration = Duration::from_secs(1);

/// Looks at the parts of a running auditor from outside.
pub struct Watch {
    metrics: Arc<Metrics>,
    state: StateStore,
    spool: Spool,
    shipper: Receiver<ShipperStatus>,
    engine: Option<Arc<EmbeddedEngine>>,
    readers: Readers,
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
    ) -> Self {
        Self { metrics, state, spool, shipper, engine, readers, before: Mutex::default() }
    }

    /// Refreshes the gauges every second until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.refresh();
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
