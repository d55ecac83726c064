//! The running auditor: builds the parts from a config, runs them, and stops them in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::alert::heartbeat::Heartbeat;
use crate::alert::sender::{Pace, Sender};
use crate::alert::teller::Teller;
use crate::causes::chain;
use crate::clock::{AnchoredClock, Clock};
use crate::config::{Config, Ledger as LedgerConfig};
use crate::connect;
use crate::ledger::engine::{EmbeddedEngine, EmbeddedOptions, ReaderAccess};
use crate::ledger::{self, Ledger, LedgerOptions, Shipper, ShipperStatus, Spool, SpoolOptions};
use crate::metrics::{Metrics, RunKind};
use crate::retry::Backoff;
use crate::state::{SECRET_FILE, StateSecret, StateStore};

use super::durable::Durable;
use super::key_store::Indexes;
use super::plan::{Readers, units};
use super::promises::{self, Evaluator};
use super::scheduler::Scheduler;
use super::sweep::joiner::Joiner;
use super::unit::{Shared, UnitParts};
use super::watch::Watch;

/// When to stop: first gently, then at once.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No new work; what runs is finished, the spool is shipped.
    pub gentle: CancellationToken,
    /// Whatever still runs is dropped. Nothing is lost by it: the spool holds what was committed.
    pub now: CancellationToken,
}

/// What is started besides the config.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that has the subcommand `clickhouse`, for the embedded engine; this program usually.
    pub program: PathBuf,
}

/// How long a gentle stop waits for the spool to be shipped.
const DRAIN: Duration = Duration::from_secs(20);

/// A built auditor.
pub struct Auditor {
    config: Arc<Config>,
    state: StateStore,
    spool: Spool,
    shipper: Shipper,
    client: clickhouse::Client,
    engine: Option<Arc<EmbeddedEngine>>,
    readers: Readers,
    indexes: Arc<Indexes>,
    shared: Arc<Shared>,
    units: Vec<Arc<UnitParts>>,
    sender: Sender,
    heartbeat: Option<Heartbeat>,
}

impl Auditor {
    /// Opens state and spool, starts the embedded engine if there is no ClickHouse server, and prepares the units.
    /// Audited systems are not touched yet.
    ///
    /// # Errors
    /// When a part of our own cannot be opened; the error says which and what to do.
    pub async fn open(config: Arc<Config>, options: &Options) -> anyhow::Result<Self> {
        let data_dir = &config.plumbline.data_dir;
        std::fs::create_dir_all(data_dir).with_context(|| format!("cannot make `{}`", data_dir.display()))?;
        let secret = secret(&config)?;
        let state = open_state(&config, &secret).await?;
        let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::at(state.now().await.context("the state's clock")?));
        let spool_options = SpoolOptions::new(config.plumbline.max_spool_bytes);
        let (spool, recovered) = Spool::open(&data_dir.join("spool"), spool_options, &state).await?;
        tracing::info!(?recovered, "spool opened");
        let (engine, client) = open_ledger(&config, options).await?;
        let metrics = Arc::new(Metrics::new());
        let mut readers = Readers::new();
        for system in config.systems.values() {
            metrics.watch_system(&system.id);
            readers.insert(system.id.clone(), connect::open(system, Arc::clone(&clock))?);
        }
        let indexes = Arc::new(Indexes::new(state.clone(), secret.digest_key(), Arc::clone(&clock)));
        let units = units(&config, &readers, &indexes, clock.now());
        for unit in &units {
            if unit.changes.is_some() {
                metrics.watch_probe(RunKind::Changes, &unit.entity, &unit.owner.system);
            }
            if unit.sample.is_some() {
                metrics.watch_probe(RunKind::Sample, &unit.entity, &unit.owner.system);
                unit.flows.iter().for_each(|flow| metrics.watch_samples(&flow.flow.id));
            }
            if let Some(schema) = &unit.schema {
                metrics.watch_probe(RunKind::Schema, &unit.entity, &unit.owner.system);
                schema.tells.iter().for_each(|system| metrics.watch_schema(&unit.entity, system));
            }
            if unit.sweep.is_some() {
                metrics.watch_probe(RunKind::Sweep, &unit.entity, &unit.owner.system);
                unit.flows.iter().for_each(|flow| metrics.watch_sweep(&flow.flow.id));
            }
            if let Some(totals) = &unit.totals {
                metrics.watch_probe(RunKind::Totals, &unit.entity, &unit.owner.system);
                totals.flows.iter().for_each(|flow| metrics.watch_totals(&unit.flows[*flow].flow.id));
            }
            metrics.watch_probe(RunKind::Recheck, &unit.entity, &unit.owner.system);
            unit.flows.iter().for_each(|flow| metrics.watch_flow(&flow.flow.id));
        }
        metrics.in_flight_limit(config.plumbline.max_in_flight);
        metrics.spool_limit(config.plumbline.max_spool_bytes);
        let shared = Arc::new(Shared {
            tenant: config.plumbline.tenant.clone(),
            auditor: auditor_name(&config),
            clock,
            journal: Arc::new(Durable { state: state.clone(), spool: spool.clone() }),
            metrics,
            secret: secret.digest_key(),
            in_flight: AtomicU64::new(0),
            max_in_flight: config.plumbline.max_in_flight,
            only_reports: false,
        });
        let sender = Sender::new(
            Arc::clone(&config.alerting),
            Arc::clone(&shared.metrics),
            &shared.tenant,
            &shared.auditor,
            Pace::default(),
        )?;
        let heartbeat = Heartbeat::new(&config.alerting).map_err(anyhow::Error::msg)?;
        let shipper = Shipper::new(spool.clone(), client.clone(), data_dir.join("dead-letters"))
            .replicated(config.plumbline.ledger.cluster.is_some());
        Ok(Self { config, state, spool, shipper, client, engine, readers, indexes, shared, units, sender, heartbeat })
    }

    /// Counters and gauges of this auditor.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.shared.metrics)
    }

    /// The state database.
    pub fn state(&self) -> StateStore {
        self.state.clone()
    }

    /// A client of the ledger's database.
    pub fn ledger(&self) -> clickhouse::Client {
        self.client.clone()
    }

    /// Answers whether the auditor can do its work, and keeps the metrics that nobody pushes.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::new(Watch::new(
            Arc::clone(&self.shared.metrics),
            self.state.clone(),
            self.spool.clone(),
            self.shipper.status(),
            self.engine.clone(),
            self.readers.clone(),
            Arc::clone(&self.indexes),
        ))
    }

    /// Runs until `stop`. A gentle stop finishes runs, ships the spool for up to 20 s and gives leases back.
    ///
    /// # Errors
    /// When the auditor can no longer keep what it finds.
    pub async fn run(self, stop: Stop) -> anyhow::Result<()> {
        let after_units = CancellationToken::new();
        let watch = tokio::spawn(self.watch().run(after_units.clone()));
        let sending = tokio::spawn(self.sender.run(self.state.clone(), after_units.clone()));
        let beating =
            self.heartbeat.map(|heartbeat| tokio::spawn(heartbeat.run(self.state.clone(), after_units.clone())));
        let options = ledger_options(&self.config.plumbline.ledger);
        let status = self.shipper.status();
        let shipping = tokio::spawn(ship(self.shipper, self.client.clone(), options, after_units.clone()));
        let lease_time = self.config.plumbline.lease;
        let evaluator = Evaluator::new(promises::Parts {
            config: Arc::clone(&self.config),
            state: self.state.clone(),
            ledger: Ledger::new(self.client.clone(), self.config.plumbline.tenant.clone()),
            spool: self.spool.clone(),
            metrics: Arc::clone(&self.shared.metrics),
            clock: Arc::clone(&self.shared.clock),
            auditor: self.shared.auditor.clone(),
            lease_time,
            tell: Arc::new(Teller::new(Arc::clone(&self.config.alerting))),
        });
        let evaluating = tokio::spawn(evaluator.run(stop.gentle.clone()));
        let joiner = Joiner::new(&self.units, Arc::clone(&self.shared), self.state.clone(), lease_time);
        let joining = tokio::spawn(joiner.run(stop.gentle.clone()));
        let scheduler = Scheduler::new(self.units, self.shared, self.state.clone(), lease_time);
        let outcome = tokio::select! {
            outcome = scheduler.run(stop.gentle.clone()) => outcome.map_err(anyhow::Error::from),
            () = stop.now.cancelled() => Ok(()),
        };
        stop.gentle.cancel();
        tokio::select! {
            ended = evaluating => ended.context("the evaluation of promises died")?,
            () = stop.now.cancelled() => {}
        }
        tokio::select! {
            ended = joining => ended.context("the work on other auditors' sweeps died")?,
            () = stop.now.cancelled() => {}
        }
        self.spool.seal().await;
        tokio::select! {
            () = drained(status, &self.spool) => {}
            () = tokio::time::sleep(DRAIN) => {
                tracing::warn!("the ledger did not take everything in time; the spool keeps it for the next start");
            }
            () = stop.now.cancelled() => {}
        }
        after_units.cancel();
        watch.await.context("the watch died")?;
        shipping.await.context("the shipper died")?;
        sending.await.context("the sender of messages died")?;
        if let Some(beating) = beating {
            beating.await.context("the heartbeat died")?;
        }
        if let Some(engine) = self.engine.and_then(Arc::into_inner) {
            engine.stop().await;
        }
        self.state.close().await;
        outcome
    }
}

/// Brings the ledger's tables up to date (for as long as it takes: ClickHouse may be away), then ships.
async fn ship(shipper: Shipper, client: clickhouse::Client, options: LedgerOptions, stop: CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let Some(done) = stop.run_until_cancelled(ledger::migrate(&client, &options)).await else { return };
        match done {
            Ok(()) => break,
            Err(error) => {
                tracing::warn!("the ledger's tables cannot be brought up to date yet: {}", chain(&error));
                if stop.run_until_cancelled(tokio::time::sleep(backoff.next_wait())).await.is_none() {
                    return;
                }
            }
        }
    }
    shipper.run(stop).await;
}

async fn drained(mut status: tokio::sync::watch::Receiver<ShipperStatus>, spool: &Spool) {
    while spool.status().segments > 0 {
        let step = tokio::time::timeout(Duration::from_millis(100), status.changed()).await;
        if matches!(step, Ok(Err(_))) {
            return;
        }
    }
}

/// The installation's secret: from the config, else from the data directory, where it is made at the first start.
///
/// # Errors
/// When it is malformed or cannot be read.
pub fn secret(config: &Config) -> anyhow::Result<StateSecret> {
    match &config.plumbline.secret_key {
        Some(text) => StateSecret::from_hex(text.expose_secret()).context("`secret_key`"),
        None => Ok(StateSecret::in_dir(&config.plumbline.data_dir)?),
    }
}

/// The state database with its schema up to date.
///
/// # Errors
/// When it cannot be opened or brought up to date.
pub async fn open_state(config: &Config, secret: &StateSecret) -> anyhow::Result<StateStore> {
    let embedded = || format!("sqlite://{}", config.plumbline.data_dir.join("state.db").display());
    let url = config.plumbline.state_url.as_ref().map_or_else(embedded, |url| url.expose_secret().to_owned());
    let state = StateStore::open(&url, secret).await.context("the state database cannot be opened")?;
    state.migrate().await.context("the state database cannot be brought up to date")?;
    Ok(state)
}

/// The state database as it is, to be looked at; `None` when none has been begun. Its schema may be an older one.
///
/// # Errors
/// When there is one that cannot be opened.
pub async fn stored_state(config: &Config) -> anyhow::Result<Option<StateStore>> {
    let data_dir = &config.plumbline.data_dir;
    let has_secret = config.plumbline.secret_key.is_some() || data_dir.join(SECRET_FILE).exists();
    let file = data_dir.join("state.db");
    let url = match &config.plumbline.state_url {
        Some(url) => url.expose_secret().to_owned(),
        None if file.exists() => format!("sqlite://{}", file.display()),
        None => return Ok(None),
    };
    if !has_secret {
        return Ok(None);
    }
    Ok(Some(StateStore::open(&url, &secret(config)?).await.context("the state database cannot be opened")?))
}

/// A client of the ledger's database, and the embedded engine behind it unless there is a server.
///
/// # Errors
/// When the embedded engine does not start.
pub async fn open_ledger(
    config: &Config,
    options: &Options,
) -> anyhow::Result<(Option<Arc<EmbeddedEngine>>, clickhouse::Client)> {
    let settings = &config.plumbline.ledger;
    if let Some(url) = &settings.url {
        let mut client = clickhouse::Client::default().with_database(&settings.database).with_url(url);
        if let Some(user) = &settings.user {
            client = client.with_user(user);
        }
        if let Some(password) = &settings.password {
            client = client.with_password(password.expose_secret());
        }
        return Ok((None, client));
    }
    let mut embedded = EmbeddedOptions::new(options.program.clone(), config.plumbline.data_dir.join("ledger"));
    embedded.libchdb.clone_from(&settings.libchdb);
    let engine = EmbeddedEngine::start(embedded).await.context("the embedded ledger cannot be started")?;
    let client = ledger::embedded_client(&engine.url()).with_database(&settings.database);
    let client = client.with_user(engine.user()).with_password(engine.password());
    Ok((Some(Arc::new(engine)), client))
}

/// A client that reads the ledger's database: of a server, of the auditor that runs on the embedded ledger, or of an engine
/// of its own while none does.
///
/// # Errors
/// When the embedded engine can neither be reached nor started.
pub async fn read_ledger(
    config: &Config,
    options: &Options,
) -> anyhow::Result<(Option<Arc<EmbeddedEngine>>, clickhouse::Client)> {
    let settings = &config.plumbline.ledger;
    if settings.url.is_none() {
        let dir = config.plumbline.data_dir.join("ledger");
        let found = ReaderAccess::find(&dir);
        let found = found.with_context(|| format!("how to read the ledger in `{}` cannot be read", dir.display()))?;
        if let Some(ReaderAccess { url, login }) = found {
            let client = ledger::embedded_client(&url).with_database(&settings.database);
            let client = client.with_user(&login.user).with_password(login.password.expose_secret());
            if ledger::answers(&client).await {
                return Ok((None, client));
            }
        }
    }
    open_ledger(config, options).await
}

/// What the config says about the ledger's tables.
pub fn ledger_options(ledger: &LedgerConfig) -> LedgerOptions {
    LedgerOptions { database: ledger.database.clone(), cluster: ledger.cluster.clone(), ..LedgerOptions::default() }
}

/// The configured name, else host and process id: two auditors of one state database must differ.
fn auditor_name(config: &Config) -> String {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let made = || format!("{}-{}", host().trim(), std::process::id());
    config.plumbline.auditor.clone().unwrap_or_else(made)
}
