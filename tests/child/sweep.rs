//! The program that crash tests of sweeps kill: one unit with a sweep, its state, spool and shipper, as `serve` runs them.
//!
//! `sweep-child DIR URL USER PASSWORD ERP STORE`: takes up the sweep of the config in DIR where it was left, or begins it if there
//! never was one; then looks at keys in flight until all are decided; says `done` when every row is in the ledger.

#![allow(clippy::expect_used, reason = "a test program that cannot go on fails")]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clickhouse::Client;
use plumbline::audit::durable::Durable;
use plumbline::audit::key_store::Indexes;
use plumbline::audit::plan::{Readers, units};
use plumbline::audit::unit::{Shared, Unit};
use plumbline::clock::{AnchoredClock, Clock};
use plumbline::config::{Config, Environment, parse_with};
use plumbline::connect;
use plumbline::ledger::{Shipper, Spool, SpoolOptions};
use plumbline::metrics::Metrics;
use plumbline::state::change::sweep_name;
use plumbline::state::{StateSecret, StateStore};
use tokio_util::sync::CancellationToken;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, url, user, password, erp, store] = &arguments[..] else {
        panic!("six arguments, got {}", arguments.len());
    };
    let dir = Path::new(dir);
    let config = config(dir, erp, store);
    let secret = StateSecret::from_bytes([7; 32]);
    let state = StateStore::open(&format!("sqlite://{}", dir.join("state.db").display()), &secret).await;
    let state = state.expect("the state opens");
    state.migrate().await.expect("the state is migrated");
    let options = SpoolOptions { segment_age: Duration::from_millis(20), ..SpoolOptions::new(64 << 20) };
    let (spool, _) = Spool::open(&dir.join("spool"), options, &state).await.expect("the spool opens");
    let client = Client::default().with_url(url).with_user(user).with_password(password).with_database("plumbline");
    let stop = CancellationToken::new();
    let shipper = tokio::spawn(Shipper::new(spool.clone(), client, dir.join("dead-letters")).run(stop.clone()));

    let mut unit = unit(&config, &state, &spool, &secret).await;
    sweep(&mut unit, &state).await;

    while spool.status().segments > 0 {
        spool.seal().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    shipper.await.expect("the shipper ends");
    let mut output = std::io::stdout().lock();
    writeln!(output, "done").and_then(|()| output.flush()).expect("somebody listens");
}

fn config(dir: &Path, erp: &str, store: &str) -> Config {
    let path = dir.join("plumbline.toml");
    let text = std::fs::read_to_string(&path).expect("the config can be read");
    let environment = Environment::fixed([("ERP", erp), ("STORE", store)]);
    parse_with(&text, &path, dir, &environment).unwrap_or_else(|problems| panic!("{problems}"))
}

async fn unit(config: &Config, state: &StateStore, spool: &Spool, secret: &StateSecret) -> Unit {
    let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::from_machine());
    let mut readers = Readers::new();
    for system in config.systems.values() {
        readers.insert(system.id.clone(), connect::open(system, Arc::clone(&clock)).expect("a reader"));
    }
    let indexes = Indexes::new(state.clone(), secret.digest_key(), Arc::clone(&clock));
    let parts = units(config, &readers, &indexes, clock.now()).pop().expect("a unit");
    let mut parts = Arc::into_inner(parts).expect("nobody else has it yet");
    // Every piece is a part of its own, so that there are checkpoints to be killed at.
    parts.sweep.as_mut().expect("a sweep").part = Duration::ZERO;
    let names = [parts.name.clone()];
    let leases = state.acquire(&names, "child", Duration::from_secs(3600), 1).await.expect("the lease is free");
    let shared = Arc::new(Shared {
        tenant: config.plumbline.tenant.clone(),
        auditor: "child".to_owned(),
        clock,
        journal: Arc::new(Durable { state: state.clone(), spool: spool.clone() }),
        metrics: Arc::new(Metrics::new()),
        secret: secret.digest_key(),
        in_flight: AtomicU64::new(0),
        max_in_flight: config.plumbline.max_in_flight,
        only_reports: false,
    });
    let lease = leases.into_iter().next().expect("one lease");
    Unit::resume(Arc::new(parts), shared, lease).await.expect("the unit is taken up")
}

async fn sweep(unit: &mut Unit, state: &StateStore) {
    let name = sweep_name("changes/stock/erp");
    if state.position(&name).await.expect("the state answers").is_none() {
        unit.begin_sweep();
    }
    while unit.is_sweeping() {
        let summary = unit.sweep_part().await.expect("a part of the sweep");
        assert_eq!(summary.failure, None);
    }
    while unit.next_undecided().is_some() {
        unit.recheck_due().await.expect("keys in flight");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
