//! What the people of the company will do and what will go wrong, all decided by a seed. Pure.
//!
//! A [`Plan`] is an endless iterator: the same seed and options give the same actions, keys and faults.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::record::{Content, Entity, System};
use super::{DisturbanceKind, FaultKind, Options};

mod choose;
mod daily;
mod opening;

pub use opening::{customer_key, first_customer, first_product, first_stock, sku};

use daily::Daily;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// When, since the start.
    pub at: Duration,
    /// What.
    pub deed: Deed,
    /// How its keys are spoiled from now on, if they are.
    pub fault: Option<Fault>,
    /// How long the transaction stays open after its stamp.
    pub held_open: Duration,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Somebody changes what an owner holds.
    Change(Change),
    /// Somebody writes into a target, past the sync job.
    Meddle(Meddling),
    /// A system is disturbed.
    Disturb(Disturbance),
}

impl Deed {
    /// The entity and the keys that it is about.
    pub fn keys(&self) -> Option<(Entity, Vec<&str>)> {
        match self {
            Self::Change(change) => Some((change.entity, vec![&change.key])),
            Self::Meddle(Meddling { entity, key, how, .. }) => {
                let other = if let Meddle::Swap { other } = how { Some(other.as_str()) } else { None };
                Some((*entity, std::iter::once(key.as_str()).chain(other).collect()))
            }
            Self::Disturb(_) => None,
        }
    }
}

/// A change in the system that owns the entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// What the owner held; `None` for a new record.
    pub before: Option<Content>,
    /// What it holds afterwards; `None` for a record that goes.
    pub after: Option<Content>,
    /// Whether a record that goes is only marked.
    pub softly: bool,
}

impl Change {
    /// The targets that must follow it. A record that concerns nobody yet moves none, and a touch neither.
    pub fn moves(&self) -> Vec<System> {
        let targets = self.entity.targets().iter().copied();
        targets.filter(|target| self.seen(&self.before, *target) != self.seen(&self.after, *target)).collect()
    }

    /// What it means for a target that must follow it.
    pub fn effect(&self, target: System) -> Effect {
        match (self.seen(&self.before, target), self.seen(&self.after, target)) {
            (None, _) => Effect::Appears,
            (_, None) => Effect::Vanishes,
            _ => Effect::Changes,
        }
    }

    fn seen(&self, content: &Option<Content>, target: System) -> Option<Content> {
        content.as_ref().and_then(|content| content.for_target(self.entity, target))
    }
}

/// What a change means for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A record must appear.
    Appears,
    /// A record must change.
    Changes,
    /// A record must vanish.
    Vanishes,
}

/// A write into a target that the sync job knows nothing of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meddling {
    /// Into which.
    pub target: System,
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// In which way.
    pub how: Meddle,
}

/// How somebody meddles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meddle {
    /// A wrong value.
    Edit,
    /// A wrong value, and the record's stamp stays as it is.
    EditUnstamped,
    /// The record is deleted.
    Remove,
    /// A record that the owner never had.
    Invent,
    /// The record and this one get each other's values.
    Swap {
        /// The other key.
        other: String,
    },
}

/// A system is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// Which.
    pub system: System,
    /// In which way.
    pub kind: DisturbanceKind,
    /// For how long.
    pub lasts: Duration,
}

/// How a key is spoiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In which way.
    pub kind: FaultKind,
    /// Where it shows.
    pub targets: Vec<System>,
    /// After this long the sync job sets it right; `None` never.
    pub life: Option<Duration>,
}

/// A hot key changes this often.
const HOT_EVERY: Duration = Duration::from_millis(120);
/// What the price of a hot key grows by, in cents: more than any other price, and ending like them.
const HOT_STEP: i64 = 10_000;
/// The longest time that a transaction stays open; well below what the config declares as `commit_delay`.
const LONGEST_OPEN: Duration = Duration::from_millis(150);
/// The first time that a system is disturbed, and how long it is quiet between two disturbances: a tenth of the day,
/// within these.
const QUIET: (Duration, Duration) = (Duration::from_secs(14), Duration::from_secs(40));

/// The endless list of actions.
#[derive(Debug)]
pub struct Plan {
    random: StdRng,
    options: Options,
    daily: Daily,
    now: Duration,
    next_fault: Duration,
    faults: usize,
    next_disturbance: Duration,
    disturbances: usize,
    /// The next action of no special kind.
    next_action: Duration,
    /// When the price of which hot key rises again, in order of time.
    queued: VecDeque<(Duration, String)>,
    /// Spoiled keys and until when; no key is spoiled twice at a time.
    spoiled: BTreeMap<(Entity, String), Duration>,
    /// Keys changed so lately that the sync job may still be carrying them: a fault begins with a settled key.
    moving: BTreeMap<(Entity, String), Duration>,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(options: Options) -> Self {
        Self {
            random: StdRng::seed_from_u64(options.seed),
            daily: Daily::new(&options),
            now: Duration::ZERO,
            next_fault: options.first_fault,
            faults: 0,
            next_disturbance: quiet(&options),
            disturbances: 0,
            next_action: Duration::ZERO,
            queued: VecDeque::new(),
            spoiled: BTreeMap::new(),
            moving: BTreeMap::new(),
            options,
        }
    }

    fn is_late(&self) -> bool {
        self.options.last_fault.is_some_and(|last| self.now > last)
    }

    /// The disturbance that begins now, if one does.
    fn disturbance(&mut self) -> Option<Disturbance> {
        if self.now < self.next_disturbance || self.is_late() {
            return None;
        }
        let kinds = &self.options.faults.systems;
        let kind = *kinds.get(self.disturbances % kinds.len().max(1))?;
        let turn = self.disturbances / kinds.len();
        let systems: &[System] = match kind {
            DisturbanceKind::Outage => self.options.breakable,
            DisturbanceKind::Throttle => &[System::Store, System::Crm],
            DisturbanceKind::Schema => &[System::Store],
        };
        let system = *systems.get(turn % systems.len().max(1))?;
        // Long enough that nobody who asks again a few times rides it out.
        let lasts = self.options.probe_every * 4 + Duration::from_millis(self.random.random_range(2000..4000));
        self.disturbances += 1;
        self.next_disturbance = self.now + lasts + quiet(&self.options);
        Some(Disturbance { system, kind, lasts })
    }

    /// A deed and its fault; an everyday deed when the fault's own shows nowhere or its key is not free.
    fn spoiled_deed(&mut self) -> (Deed, Option<Fault>) {
        let kinds = &self.options.faults.keys;
        let kind = kinds.get(self.faults % kinds.len().max(1)).copied();
        let chosen = kind.and_then(|kind| Some((kind, choose::deed(&mut self.daily, &mut self.random, kind)?)));
        let Some((kind, (deed, targets))) = chosen.filter(|(_, (deed, _))| self.is_free(deed)) else {
            return (self.everyday(), None);
        };
        let fault = Fault { kind, targets, life: self.life(kind) };
        let until = fault.life.map_or(Duration::MAX, |life| self.now + life + self.options.rest);
        if let Some((entity, keys)) = deed.keys() {
            self.spoiled.extend(keys.into_iter().map(|key| ((entity, key.to_owned()), until)));
        }
        if let (FaultKind::HotKey, Deed::Change(change)) = (kind, &deed) {
            let key = change.key.clone();
            self.keep_hot(&key, fault.life.unwrap_or_default());
        }
        self.faults += 1;
        let gap = self.options.fault_every.mul_f64(self.random.random_range(0.6..1.4));
        self.next_fault = self.now + gap;
        (deed, Some(fault))
    }

    fn everyday(&mut self) -> Deed {
        Deed::Change(self.daily.change(&mut self.random))
    }

    /// Whether nothing else happens to the keys: not spoiled, and not on their way.
    fn is_free(&self, deed: &Deed) -> bool {
        let Some((entity, keys)) = deed.keys() else { return true };
        keys.into_iter().all(|key| {
            let address = (entity, key.to_owned());
            !self.spoiled.contains_key(&address) && !self.moving.contains_key(&address)
        })
    }

    /// Goes on raising the price as long as nothing of it is carried.
    fn keep_hot(&mut self, key: &str, life: Duration) {
        let mut at = self.now + HOT_EVERY;
        while at < self.now + life {
            self.queued.push_back((at, key.to_owned()));
            at += HOT_EVERY;
        }
        self.queued.make_contiguous().sort_by_key(|(at, _)| *at);
    }

    /// How long a fault lasts: always long enough to be seen; delays and hot keys end, one in three others never does.
    fn life(&mut self, kind: FaultKind) -> Option<Duration> {
        let shortest = self.options.decidable_after();
        let ends = matches!(kind, FaultKind::Delay | FaultKind::HotKey);
        if !ends && self.random.random_range(0..3) == 0 {
            return None;
        }
        Some(shortest + Duration::from_millis(self.random.random_range(0..6000)))
    }

    /// What people do now, be it spoiled.
    fn deed(&mut self) -> Action {
        let spoils = self.now >= self.next_fault && !self.is_late();
        let (deed, fault) = if spoils { self.spoiled_deed() } else { (self.everyday(), None) };
        let mut held_open = Duration::ZERO;
        if let Deed::Change(change) = &deed {
            self.daily.note(change);
            self.moving.insert((change.entity, change.key.clone()), self.now + self.options.settles_after());
            if self.options.faults.noise && self.random.random_bool(0.05) {
                held_open = LONGEST_OPEN.mul_f64(self.random.random_range(0.2..1.0));
            }
        }
        Action { at: self.now, deed, fault, held_open }
    }
}

fn quiet(options: &Options) -> Duration {
    options.run_for.map_or(QUIET.1, |day| (day / 10).clamp(QUIET.0, QUIET.1))
}

impl Iterator for Plan {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        let plain = |at, deed| Some(Action { at, deed, fault: None, held_open: Duration::ZERO });
        if let Some((at, key)) = self.queued.pop_front_if(|(at, _)| *at < self.next_action) {
            self.now = at;
            let change = self.daily.dearer(key, HOT_STEP);
            self.daily.note(&change);
            return plain(at, Deed::Change(change));
        }
        self.now = self.next_action;
        if let Some(disturbance) = self.disturbance() {
            return plain(self.now, Deed::Disturb(disturbance));
        }
        let gap = self.random.random_range(0.4..1.6) / self.options.changes_per_second / self.daily.rhythm(self.now);
        self.next_action += Duration::from_secs_f64(gap);
        let now = self.now;
        self.spoiled.retain(|_, until| *until > now);
        self.moving.retain(|_, until| *until > now);
        Some(self.deed())
    }
}

#[cfg(test)]
mod tests;
