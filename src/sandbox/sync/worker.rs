//! One worker of the sync job: carries what it hears of to the targets when its time comes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;

use super::super::FaultKind;
use super::super::book::Manner;
use super::super::record::{Content, Entity, Field, System, status};
use super::super::spoil;
use super::protocol::{Line, Order, Setup, tell};
use super::{Doors, Key};
use crate::clock::Clock;
use crate::model::Moment;

/// An overtaken message arrives this much after the one that overtook it.
const OVERTAKEN_BY: Duration = Duration::from_millis(150);
/// When a system does not answer or refuses, the job asks again after this, and again, and never slower.
const HAMMERS_EVERY: Duration = Duration::from_millis(250);

/// What a worker is given to do.
#[derive(Debug)]
pub enum Job {
    /// Something changed.
    Notice(Key),
    /// It is told what to spoil or to set right.
    Order(Order),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// Makes the target hold what the owner holds.
    Carry(Key, System),
    /// Writes what the target held before the last delivery, as a message that was overtaken would.
    Overwrite(Key, System, Vec<Content>),
}

/// A worker and the keys that are spoiled.
pub struct Worker {
    doors: Arc<Doors>,
    clock: Arc<dyn Clock>,
    random: StdRng,
    delay: (Duration, Duration),
    /// How each key is spoiled in each target.
    spoiled: HashMap<(Key, System), FaultKind>,
    due: BinaryHeap<Reverse<(Moment, Task)>>,
    /// What waits to be carried. It is read when its turn comes, so that a change meanwhile is carried with it.
    waiting: HashSet<(Key, System)>,
}

impl Worker {
    /// A worker that knows of nothing yet.
    pub fn new(doors: Arc<Doors>, clock: Arc<dyn Clock>, setup: &Setup, number: u64) -> Self {
        // Another stream of chance than the plan's, from the same seed.
        let random = StdRng::seed_from_u64(setup.seed ^ (0x5359_4e43 + number));
        Self {
            doors,
            clock,
            random,
            delay: setup.delay,
            spoiled: HashMap::new(),
            due: BinaryHeap::new(),
            waiting: HashSet::new(),
        }
    }

    /// Works until nobody gives it anything any more.
    pub async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let wait = self.due.peek().map(|Reverse((at, _))| at.since(self.clock.now()));
            tokio::select! {
                biased;
                job = jobs.recv() => match job {
                    Some(job) => self.take(job),
                    None => return,
                },
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    if let Some(Reverse((_, task))) = self.due.pop() {
                        self.work(task).await;
                    }
                }
            }
        }
    }

    fn take(&mut self, job: Job) {
        let now = self.clock.now();
        match job {
            Job::Notice(key) => {
                let (low, high) = self.delay;
                let at = now + self.random.random_range(low..=high);
                self.carry_everywhere(key, at);
            }
            Job::Order(Order::Spoil { number, entity, key, fault }) => {
                let key = (entity, key);
                self.spoiled.extend(fault.targets.iter().map(|target| ((key.clone(), *target), fault.kind)));
                tell(&Line::Done(number));
            }
            Job::Order(Order::Repair { entity, key }) => {
                let key = (entity, key);
                self.spoiled.retain(|(spoiled, _), _| *spoiled != key);
                self.carry_everywhere(key, now);
            }
        }
    }

    fn carry_everywhere(&mut self, key: Key, at: Moment) {
        for target in key.0.targets() {
            if self.waiting.insert((key.clone(), *target)) {
                self.due.push(Reverse((at, Task::Carry(key.clone(), *target))));
            }
        }
    }

    /// How the key is spoiled in this target.
    fn fault(&self, key: &Key, target: System) -> Option<FaultKind> {
        self.spoiled.get(&(key.clone(), target)).copied()
    }

    async fn work(&mut self, task: Task) {
        let done = match &task {
            Task::Carry(key, target) => {
                self.waiting.remove(&(key.clone(), *target));
                self.deliver(key, *target).await
            }
            // It may have been set right meanwhile.
            Task::Overwrite(key, target, _) if self.fault(key, *target).is_none() => Ok(()),
            Task::Overwrite((entity, key), target, contents) => {
                self.doors.write(*target, *entity, key, contents, Manner::default()).await
            }
        };
        if let Err(error) = done {
            eprintln!("{task:?} failed and is tried again: {error:#}");
            if let Task::Carry(key, target) = &task {
                self.waiting.insert((key.clone(), *target));
            }
            self.due.push(Reverse((self.clock.now() + HAMMERS_EVERY, task)));
        }
    }

    async fn deliver(&mut self, key: &Key, target: System) -> anyhow::Result<()> {
        match self.fault(key, target) {
            None => self.carry(key, target, Vec::clone).await,
            Some(FaultKind::Corrupt) => {
                let entity = key.0;
                self.carry(key, target, |held| held.iter().map(|content| spoil::wrong(entity, content)).collect()).await
            }
            Some(FaultKind::Truncate) => {
                self.carry(key, target, |held| held.iter().map(spoil::truncated).collect()).await
            }
            Some(FaultKind::Duplicate) => {
                self.carry(key, target, |held| held.iter().flat_map(|content| [content, content]).cloned().collect())
                    .await
            }
            Some(FaultKind::Reorder) => self.overtake(key, target).await,
            Some(_) => Ok(()),
        }
    }

    /// Carries the newer state, and later the older one over it. From then on nothing is carried: what is old stays.
    async fn overtake(&mut self, key: &Key, target: System) -> anyhow::Result<()> {
        let before = self.doors.read(target, key.0, &key.1).await?;
        self.carry(key, target, Vec::clone).await?;
        let task = Task::Overwrite(key.clone(), target, before);
        self.due.push(Reverse((self.clock.now() + OVERTAKEN_BY, task)));
        self.spoiled.insert((key.clone(), target), FaultKind::Drop);
        Ok(())
    }

    /// Makes the target hold what `spoil` makes of what the owner holds.
    async fn carry(
        &self,
        (entity, key): &Key,
        target: System,
        spoil: impl Fn(&Vec<Content>) -> Vec<Content>,
    ) -> anyhow::Result<()> {
        let held = self.doors.read(entity.owner(), *entity, key).await?;
        let carried: Vec<Content> = held.iter().filter_map(|content| carried(*entity, target, content)).collect();
        self.doors.write(target, *entity, key, &spoil(&carried), Manner::default()).await
    }
}

/// What the job writes into the target for a record of the owner. The ERP keeps cancelled orders.
fn carried(entity: Entity, target: System, content: &Content) -> Option<Content> {
    let is_cancelled = entity == Entity::Order && content.text(Field::Status) == status::CANCELLED;
    if is_cancelled && target == System::Erp {
        let open = content.clone().with(Field::Status, status::OPEN).for_target(entity, target)?;
        return Some(open.with(Field::Status, status::CANCELLED));
    }
    content.for_target(entity, target)
}
