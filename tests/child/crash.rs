//! The program that crash tests kill: state, spool and shipper under load, as `serve` runs them.
//!
//! `crash-child DIR URL USER PASSWORD ENTITY TOTAL PADDING SEGMENT_MS`: does the runs of both units up to number TOTAL,
//! says `ready` when it has recovered, `refused REASON` for a run that has to be repeated, `failed REASON` when the
//! ledger did not take a segment, and `done` when every row is in the ledger.

#![allow(clippy::expect_used, reason = "a test program that cannot go on fails")]

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clickhouse::Client;
use plumbline::clock::{AnchoredClock, Clock};
use plumbline::ledger::{Shipper, ShipperStatus, Spool, SpoolOptions};
use plumbline::retry::Decision;
use plumbline::state::change::Lease;
use plumbline::state::{Applied, StateStore};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod workload;

struct Work {
    entity: String,
    total: u64,
    padding: String,
    state: StateStore,
    spool: Spool,
    clock: AnchoredClock,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, url, user, password, entity, total, padding, segment_ms] = &arguments[..] else {
        panic!("eight arguments, got {}", arguments.len());
    };
    let dir = Path::new(dir);
    let state_url = format!("sqlite://{}", dir.join("state.db").display());
    let state = StateStore::open(&state_url, &workload::secret()).await.expect("the state opens");
    state.migrate().await.expect("the state is migrated");
    let segment_age = Duration::from_millis(segment_ms.parse().expect("a number"));
    let options = SpoolOptions { segment_bytes: 200_000, segment_age, ..SpoolOptions::new(64 << 20) };
    let (spool, _) = Spool::open(&dir.join("spool"), options, &state).await.expect("the spool opens");
    let units: Vec<String> = workload::OWNERS.iter().map(|owner| workload::unit(entity, owner)).collect();
    let ttl = Duration::from_secs(3600);
    let leases = state.acquire(&units, "child", ttl, units.len()).await.expect("the leases are free");
    say("ready");

    let client = Client::default().with_url(url).with_user(user).with_password(password).with_database("plumbline");
    let stop = CancellationToken::new();
    let shipper = Shipper::new(spool.clone(), client, dir.join("dead-letters"));
    let failures = tokio::spawn(say_failures(shipper.status()));
    let shipper = tokio::spawn(shipper.run(stop.clone()));
    let work = Work {
        entity: entity.clone(),
        total: total.parse().expect("a number"),
        padding: "x".repeat(padding.parse().expect("a number")),
        state,
        spool,
        clock: AnchoredClock::from_machine(),
    };
    futures_util::future::join_all(leases.iter().map(|lease| work.run_unit(lease))).await;
    while work.spool.status().segments > 0 {
        work.spool.seal().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    shipper.await.expect("the shipper ends");
    failures.await.expect("the failures end with the shipper");
    say("done");
}

impl Work {
    async fn run_unit(&self, lease: &Lease) {
        let done = self.state.position(&lease.unit).await.expect("the state answers");
        for number in workload::number_of(done) + 1..=self.total {
            self.run(lease, number).await;
        }
    }

    async fn run(&self, lease: &Lease, number: u64) {
        let owner = lease.unit.rsplit('/').next().unwrap_or_default();
        let padded = (workload::OWNERS[0], workload::PADDED_RUN);
        let padding = if (owner, number) == padded { self.padding.as_str() } else { "" };
        loop {
            let run_id = Uuid::new_v4();
            let change = workload::change(&self.entity, lease, number, run_id);
            let rows = workload::rows(&self.entity, owner, number, run_id, self.clock.now(), padding);
            match self.spool.commit(change, &rows).await {
                Ok(applied) => return assert_eq!(applied, Applied::Now),
                Err(error) if error.decision() == Decision::Retry => say(&format!("refused {error}")),
                Err(error) => panic!("{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn say_failures(mut status: watch::Receiver<ShipperStatus>) {
    let mut retries = 0;
    while status.changed().await.is_ok() {
        let status = status.borrow_and_update().clone();
        if let Some(error) = status.last_error.filter(|_| status.retries > retries) {
            say(&format!("failed {error}"));
        }
        retries = status.retries;
    }
}

fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}").and_then(|()| output.flush()).expect("somebody listens");
}
