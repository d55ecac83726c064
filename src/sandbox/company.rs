//! The running company: clerks, sync job, and the list of what was planted.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::plan::{Action, Change, Deed, Meddling, OrderState, Plan, first_price};
use super::score::{Effect, Plant};
use super::sync::{Faults, Notice, SyncJob, spoiled};
use super::systems::{self, Systems};
use super::truth::{Content, Side, Write, WriteLog};
use super::{Entity, FaultKind, Options};
use crate::clock::{AnchoredClock, Clock};
use crate::model::{Interval, Moment};

/// Changes that may wait for the sync job; the clerk waits when it is full.
const NOTICES: usize = 10_000;

/// A company at work. Stops when dropped.
pub struct Company {
    systems: Systems,
    records: Records,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// What the company writes down about itself; may be read while it works.
#[derive(Clone)]
pub struct Records {
    log: Arc<WriteLog>,
    plants: Arc<Mutex<Vec<Plant>>>,
}

impl Records {
    /// What was planted so far, oldest first.
    pub fn plants(&self) -> Vec<Plant> {
        self.plants.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every write so far.
    pub fn writes(&self) -> Vec<Write> {
        self.log.writes()
    }
}

impl Company {
    /// Makes `erp.db` and `warehouse.db` in `directory`, in agreement with each other. Nobody works yet.
    ///
    /// # Errors
    /// When the databases are already there or cannot be written.
    pub async fn create(directory: &Path, options: Options) -> anyhow::Result<Self> {
        let clock = AnchoredClock::from_machine();
        let opening = clock.now();
        let systems = Systems::create(directory, options.products, opening).await?;
        let records = Records { log: Arc::default(), plants: Arc::default() };
        note_opening(&systems, options.products, Interval::new(opening, clock.now()), &records.log).await?;
        Ok(Self { systems, records, stop: CancellationToken::new(), tasks: JoinSet::new() })
    }

    /// Sets the clerk and the sync job to work.
    pub fn open(&mut self, options: Options) {
        let clock = Arc::new(AnchoredClock::from_machine());
        let faults = Arc::new(Faults::default());
        let (sender, receiver) = mpsc::channel(NOTICES);
        let job = SyncJob {
            systems: self.systems.clone(),
            clock: clock.clone(),
            faults: faults.clone(),
            log: self.records.log.clone(),
            options,
        };
        let clerk =
            Clerk { systems: self.systems.clone(), clock, faults, records: self.records.clone(), notices: sender };
        self.tasks.spawn(job.run(receiver, self.stop.clone()));
        self.tasks.spawn(clerk.run(Plan::new(options), self.stop.clone()));
    }

    /// What the company writes down about itself.
    pub fn records(&self) -> Records {
        self.records.clone()
    }

    /// The two systems.
    pub fn systems(&self) -> &Systems {
        &self.systems
    }

    /// Waits until clerk or sync job ends by itself, which only an error does.
    ///
    /// # Errors
    /// That error.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => ended?,
            None => std::future::pending().await,
        }
    }

    /// Sends everybody home and closes both systems.
    ///
    /// # Errors
    /// What went wrong for the clerk or the sync job.
    pub async fn close(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        let mut result = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            result = result.and(ended?);
        }
        self.systems.close().await;
        result
    }
}

/// Notes what both sides hold before anybody works.
async fn note_opening(systems: &Systems, products: usize, at: Interval, log: &WriteLog) -> anyhow::Result<()> {
    for product in 0..products {
        let key = super::plan::sku(product);
        for entity in [Entity::Product, Entity::Stock] {
            let contents = Vec::from_iter(systems.read_owner(entity, &key).await?);
            for side in [Side::Owner, Side::Target] {
                let (key, contents) = (key.clone(), contents.clone());
                log.note(Write { side, entity, key, contents, committed: at });
            }
        }
    }
    Ok(())
}

struct Clerk {
    systems: Systems,
    clock: Arc<AnchoredClock>,
    faults: Arc<Faults>,
    records: Records,
    notices: mpsc::Sender<Notice>,
}

impl Clerk {
    async fn run(self, plan: Plan, stop: CancellationToken) -> anyhow::Result<()> {
        let opened = self.clock.now();
        for action in plan {
            let wait = (opened + action.at).since(self.clock.now());
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => self.act(action).await?,
            }
        }
        Ok(())
    }

    async fn act(&self, action: Action) -> anyhow::Result<()> {
        let entity = action.deed.entity();
        let planted_at = self.clock.now();
        let repair_at = action.fault.and_then(|fault| fault.life).map(|life| planted_at + life);
        for key in action.deed.keys() {
            if let Some(fault) = action.fault {
                self.faults.begin((entity, key.to_owned()), fault).await;
                self.note_plant(&action.deed, key, fault.kind, (planted_at, repair_at));
            }
        }
        let at = match &action.deed {
            Deed::Change(change) => self.write(change, action.held_open).await?,
            Deed::Meddle(meddling) => self.meddle(meddling).await?,
        };
        for key in action.deed.keys() {
            let address = (entity, key.to_owned());
            // The job only goes away when everybody is sent home.
            let _gone = self.notices.send(Notice { address, at, repair_at }).await;
        }
        Ok(())
    }

    fn note_plant(&self, deed: &Deed, key: &str, kind: FaultKind, (at, until): (Moment, Option<Moment>)) {
        let plant = Plant { entity: deed.entity(), key: key.to_owned(), kind, effect: effect(deed), at, until };
        self.records.plants.lock().unwrap_or_else(PoisonError::into_inner).push(plant);
    }

    /// Writes into the target by hand; says when.
    async fn meddle(&self, meddling: &Meddling) -> sqlx::Result<Moment> {
        let deed = Deed::Meddle(meddling.clone());
        let (entity, keys) = (deed.entity(), deed.keys());
        let mut tx = self.systems.write_target(entity).await?;
        let now = self.clock.now();
        match meddling {
            Meddling::Edit { key, .. } => {
                for content in systems::target_contents(&mut tx, entity, key).await? {
                    systems::update(&mut tx, key, &spoiled(&content), now).await?;
                }
            }
            Meddling::Remove { key, .. } => systems::delete(&mut tx, entity, key).await?,
            Meddling::Invent { key, .. } => systems::insert(&mut tx, key, &invented(entity), now).await?,
            Meddling::Swap { sku, other } => {
                let (one, two) = (
                    systems::target_contents(&mut tx, entity, sku).await?,
                    systems::target_contents(&mut tx, entity, other).await?,
                );
                for (key, contents) in [(other, one), (sku, two)] {
                    for content in contents {
                        systems::update(&mut tx, key, &content, now).await?;
                    }
                }
            }
        }
        systems::commit_target(tx, entity, &keys, &self.records.log, &*self.clock).await?;
        Ok(self.clock.now())
    }

    /// Stamps the change, holds it open for so long, and commits it; says when.
    async fn write(&self, change: &Change, held_open: Duration) -> sqlx::Result<Moment> {
        let (entity, key) = (change.entity(), change.key());
        let mut tx = self.systems.write_owner(entity).await?;
        systems::change(&mut tx, change, self.clock.now()).await?;
        let contents = Vec::from_iter(systems::owner_content(&mut tx, entity, key).await?);
        tokio::time::sleep(held_open).await;
        let before = self.clock.now();
        tx.commit().await?;
        let committed = Interval::new(before, self.clock.now());
        self.records.log.note(Write { side: Side::Owner, entity, key: key.to_owned(), contents, committed });
        Ok(committed.high)
    }
}

/// A record that the owner never had.
fn invented(entity: Entity) -> Content {
    match entity {
        Entity::Product => Content::Product { title: "Made up".to_owned(), cents: first_price(0) },
        Entity::Order => Content::Order { status: "open".to_owned(), cents: first_price(0) },
        Entity::Stock => Content::Stock { pieces: 1 },
    }
}

/// What a deed means for what the target should do.
const fn effect(deed: &Deed) -> Effect {
    match deed {
        Deed::Change(Change::Advance { state: OrderState::Sale, .. }) | Deed::Meddle(Meddling::Remove { .. }) => {
            Effect::Appears
        }
        Deed::Change(Change::Advance { state: OrderState::Cancel, .. } | Change::Erase { .. })
        | Deed::Meddle(Meddling::Invent { .. }) => Effect::Vanishes,
        _ => Effect::Changes,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::score::{Reports, score};
    use super::*;

    /// A company in a hurry: every kind of fault within a second or two.
    fn hurried() -> Options {
        Options {
            products: 20,
            changes_per_second: 200.0,
            deadline: Duration::from_millis(100),
            probe_every: Duration::from_millis(25),
            sync_delay: (Duration::from_millis(2), Duration::from_millis(8)),
            first_fault: Duration::from_millis(50),
            fault_every: Duration::from_millis(40),
            ..Options::for_run(11, None)
        }
    }

    async fn worked_day() -> (tempfile::TempDir, Records, Moment) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut company = Company::create(directory.path(), hurried()).await.expect("a company");
        company.open(hurried());
        let records = company.records();
        while records.plants().len() < 12 || records.writes().len() < 400 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        company.close().await.expect("a clean end");
        (directory, records, AnchoredClock::from_machine().now())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_log_says_what_the_systems_hold() {
        let (directory, records, _) = worked_day().await;
        let mut last: BTreeMap<(Entity, String, bool), Vec<Content>> = BTreeMap::new();
        for write in records.writes() {
            last.insert((write.entity, write.key, write.side == Side::Owner), write.contents);
        }
        let systems = Systems::open(directory.path()).await.expect("both systems");
        for ((entity, key, is_owner), logged) in last {
            let held = match is_owner {
                true => Vec::from_iter(systems.read_owner(entity, &key).await.expect("a read")),
                false => {
                    let mut tx = systems.write_target(entity).await.expect("a transaction");
                    systems::target_contents(&mut tx, entity, &key).await.expect("a read")
                }
            };
            assert_eq!(held, logged, "{entity} {key}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_silent_auditor_misses_what_could_be_seen() {
        let (_directory, records, closing) = worked_day().await;
        let found = score(&records.plants(), &records.writes(), &Reports::default(), closing, &hurried());
        assert_eq!((found.found, found.planted), (0, found.missed + found.undecided));
        assert!(found.missed > 0 && !found.is_right(), "{found:?}");
    }
}
