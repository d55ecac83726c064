//! The sync job: carries every change to the other system after a normal delay, and spoils what it is told to.
//!
//! It carries states, not events: it reads what the owner holds when its turn comes and makes the target hold the
//! same. It works one change at a time, so it never overtakes itself. It knows nothing of the auditor.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::plan::Fault;
use super::systems::{self, Systems};
use super::truth::{Content, WriteLog};
use super::{Entity, FaultKind, Options};
use crate::clock::Clock;
use crate::model::Moment;

/// An entity and a key.
pub type Address = (Entity, String);

/// The keys that are spoiled now. A delivery holds the lock, so that a fault cannot begin in its middle.
#[derive(Debug, Default)]
pub struct Faults(Mutex<HashMap<Address, Fault>>);

impl Faults {
    /// From now on the key is spoiled.
    pub async fn begin(&self, address: Address, fault: Fault) {
        self.0.lock().await.insert(address, fault);
    }
}

/// What the clerk tells the job after a commit.
#[derive(Debug)]
pub struct Notice {
    /// What changed.
    pub address: Address,
    /// When it was committed.
    pub at: Moment,
    /// If a fault began with this change: when it ends.
    pub repair_at: Option<Moment>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Deliver(Address),
    Repair(Address),
    /// Writes what the target held before the last delivery, as a message that was overtaken would.
    Overwrite(Address, Vec<Content>),
}

/// An overtaken message arrives this much after the one that overtook it.
const OVERTAKEN_BY: Duration = Duration::from_millis(150);
/// As much as a cut title keeps.
const CUT_TITLE: usize = 10;

/// The job's parts.
pub struct SyncJob<C> {
    /// Both systems.
    pub systems: Systems,
    /// Who tells the time.
    pub clock: Arc<C>,
    /// What is spoiled.
    pub faults: Arc<Faults>,
    /// Where every write is noted.
    pub log: Arc<WriteLog>,
    /// How fast it is.
    pub options: Options,
}

impl<C: Clock> SyncJob<C> {
    /// Carries changes until `stop`.
    ///
    /// # Errors
    /// When a system cannot be read or written.
    pub async fn run(self, mut notices: mpsc::Receiver<Notice>, stop: CancellationToken) -> anyhow::Result<()> {
        // Another stream of chance than the plan's, from the same seed.
        let mut random = StdRng::seed_from_u64(self.options.seed ^ 0x5359_4e43);
        let mut due: BinaryHeap<Reverse<(Moment, Task)>> = BinaryHeap::new();
        loop {
            let wait = due.peek().map(|Reverse((at, _))| at.since(self.clock.now()));
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(notice) = notices.recv() => {
                    let (low, high) = self.options.sync_delay;
                    let delay = random.random_range(low..=high);
                    due.push(Reverse((notice.at + delay, Task::Deliver(notice.address.clone()))));
                    if let Some(at) = notice.repair_at {
                        due.push(Reverse((at, Task::Repair(notice.address))));
                    }
                }
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    if let Some(Reverse((_, task))) = due.pop() {
                        due.extend(self.work(task).await?.map(Reverse));
                    }
                }
            }
        }
    }

    /// Does a task; says what follows from it.
    async fn work(&self, task: Task) -> anyhow::Result<Option<(Moment, Task)>> {
        let mut faults = self.faults.0.lock().await;
        match task {
            Task::Repair(address) => {
                faults.remove(&address);
                self.carry(&address, None).await?;
            }
            Task::Overwrite(address, contents) => {
                // It may have been set right meanwhile.
                if faults.contains_key(&address) {
                    self.overwrite(&address, &contents).await?;
                }
            }
            Task::Deliver(address) => match faults.get(&address).map(|fault| fault.kind) {
                None => drop(self.carry(&address, None).await?),
                Some(kind @ (FaultKind::Corrupt | FaultKind::Duplicate | FaultKind::Truncate)) => {
                    self.carry(&address, Some(kind)).await?;
                }
                Some(FaultKind::Reorder) => {
                    let before = self.carry(&address, None).await?;
                    // From now on nothing is carried any more: what is old stays.
                    faults.entry(address.clone()).and_modify(|fault| fault.kind = FaultKind::Drop);
                    return Ok(Some((self.clock.now() + OVERTAKEN_BY, Task::Overwrite(address, before))));
                }
                Some(_) => {}
            },
        }
        Ok(None)
    }

    /// Makes the target hold what the owner holds; says what it held before.
    async fn carry(&self, (entity, key): &Address, fault: Option<FaultKind>) -> sqlx::Result<Vec<Content>> {
        let content = self.systems.read_owner(*entity, key).await?;
        let mut tx = self.systems.write_target(*entity).await?;
        let now = self.clock.now();
        let held = systems::target_contents(&mut tx, *entity, key).await?;
        match content.map(|content| fault.map_or_else(|| content.clone(), |kind| spoiled_by(kind, &content))) {
            None => systems::delete(&mut tx, *entity, key).await?,
            Some(content) => put(&mut tx, (*entity, key), &content, fault == Some(FaultKind::Duplicate), now).await?,
        }
        systems::commit_target(tx, *entity, &[key], &self.log, &*self.clock).await?;
        Ok(held)
    }

    async fn overwrite(&self, (entity, key): &Address, contents: &[Content]) -> sqlx::Result<()> {
        let mut tx = self.systems.write_target(*entity).await?;
        systems::delete(&mut tx, *entity, key).await?;
        for content in contents {
            systems::insert(&mut tx, key, content, self.clock.now()).await?;
        }
        systems::commit_target(tx, *entity, &[key], &self.log, &*self.clock).await
    }
}

/// Makes the target hold `content` once, or twice.
async fn put(
    tx: &mut sqlx::SqliteConnection,
    (entity, key): (Entity, &str),
    content: &Content,
    twice: bool,
    now: Moment,
) -> sqlx::Result<()> {
    let wanted = if twice { 2 } else { 1 };
    let mut held = systems::update(tx, key, content, now).await?;
    if held > wanted {
        systems::delete(tx, entity, key).await?;
        held = 0;
    }
    for _ in held..wanted {
        systems::insert(tx, key, content, now).await?;
    }
    Ok(())
}

fn spoiled_by(fault: FaultKind, content: &Content) -> Content {
    match (fault, content) {
        (FaultKind::Corrupt, content) => spoiled(content),
        (FaultKind::Truncate, Content::Product { title, cents }) => {
            Content::Product { title: title.chars().take(CUT_TITLE).collect(), cents: *cents }
        }
        (_, content) => content.clone(),
    }
}

/// A wrong value that was never right: honest prices end in 49 or 99, honest stocks stay below a thousand.
pub(super) fn spoiled(content: &Content) -> Content {
    match content {
        Content::Product { title, cents } => Content::Product { title: title.clone(), cents: cents + 7 },
        Content::Order { status, cents } => Content::Order { status: status.clone(), cents: cents + 1_000_000 },
        Content::Stock { pieces } => Content::Stock { pieces: pieces + 1000 },
    }
}
