//! The sync job: a program of its own that carries every change to the systems that must follow, after a normal
//! delay, and spoils what it is told to.
//!
//! It hears of changes in three ways: by webhook from the store and the CRM, from a queue (an outbox table) of the
//! ERP, and by a batch that asks the warehouse again and again what has changed. It carries states, not events: it
//! reads what the owner holds when its turn comes and makes the targets hold the same. It knows nothing of the auditor.
//!
//! Whoever starts it writes orders to its stdin and reads lines from its stdout ([`protocol`]). It ends with its stdin.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::book::{WriteLog, worker_of};
use super::books::Books;
use super::crm::CrmClient;
use super::database::Database;
use super::record::{Entity, System};
use super::store::StoreClient;
use crate::clock::{AnchoredClock, Clock};

pub mod protocol;
mod sources;
mod worker;

use protocol::{Line, Order, Setup, tell};
use worker::{Job, Worker};

/// Each has its own keys.
const WORKERS: usize = 128;
/// Notices that may wait for a worker; sources wait when it is full.
const WAITING: usize = 10_000;

/// An entity and a key.
type Key = (Entity, String);
/// What the sync job works with.
type Doors = Books<StoreClient, CrmClient>;

/// Sends every job to the worker that has its key.
#[derive(Clone)]
struct Workers(Vec<mpsc::Sender<Job>>);

impl Workers {
    async fn send(&self, key: &Key, job: Job) {
        // A worker only goes away when the program ends.
        let _gone = self.0[worker_of(key, self.0.len())].send(job).await;
    }
}

/// Works until `orders` ends. The first line is the [`Setup`], every other an [`Order`].
///
/// # Errors
/// When the setup or an order cannot be read, or a system cannot be opened.
pub async fn run(orders: impl AsyncBufRead + Unpin) -> anyhow::Result<()> {
    let mut orders = orders.lines();
    let first = orders.next_line().await?.context("no setup on stdin")?;
    let setup: Setup = serde_json::from_str(&first).context("the setup on stdin")?;
    let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::of(setup.anchor));
    let doors = Arc::new(open(&setup, &clock).await?);

    let mut tasks = JoinSet::new();
    let mut senders = Vec::with_capacity(WORKERS);
    for number in 0..WORKERS as u64 {
        let (sender, jobs) = mpsc::channel(WAITING);
        senders.push(sender);
        let worker = Worker::new(Arc::clone(&doors), Arc::clone(&clock), &setup, number);
        tasks.spawn(worker.run(jobs));
    }
    let workers = Workers(senders);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no port for webhooks")?;
    let hooks = format!("http://{}", listener.local_addr()?);
    tasks.spawn(sources::hear(listener, workers.clone()));
    tasks.spawn(sources::empty_outbox(Arc::clone(&doors), workers.clone()));
    tasks.spawn(sources::ask_warehouse(doors, workers.clone(), clock.now()));
    tell(&Line::Ready { hooks });
    while let Some(line) = orders.next_line().await? {
        let order: Order = serde_json::from_str(&line).with_context(|| format!("the order `{line}`"))?;
        workers.send(&order.key(), Job::Order(order)).await;
    }
    Ok(())
}

async fn open(setup: &Setup, clock: &Arc<dyn Clock>) -> anyhow::Result<Doors> {
    let log = Arc::new(WriteLog::told(|write| tell(&Line::Wrote(write))));
    let database = async |system, url: &str| Database::open(system, url, Arc::clone(&log), Arc::clone(clock)).await;
    Ok(Books {
        erp: database(System::Erp, &setup.systems.erp).await?,
        warehouse: database(System::Warehouse, &setup.systems.warehouse).await?,
        store: StoreClient::new(&setup.systems.store)?,
        crm: CrmClient::new(&setup.systems.crm)?,
    })
}
