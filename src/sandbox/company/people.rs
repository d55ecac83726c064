//! Who acts in the company: clerks and shoppers who follow the plan, and whoever spoils things.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::FaultKind;
use super::super::book::{Manner, worker_of};
use super::super::network::Network;
use super::super::plan::{Action, Change, Deed, Disturbance, Effect, Fault, Meddle, Meddling, Plan};
use super::super::record::{Content, Entity, System};
use super::super::score::{Disturbed, Plant};
use super::super::service::Switches;
use super::super::spoil;
use super::super::sync::protocol::Spoiled;
use super::super::truth::Address;
use super::super::{DisturbanceKind, THROTTLED_TO};
use super::{Child, Office, Records};
use crate::clock::{AnchoredClock, Clock};
use crate::model::{Interval, Moment};

/// Each has its own keys, so that nobody changes what another is changing.
const DESKS: usize = 8;
/// Deeds that may wait for a desk.
const WAITING: usize = 1_000;

/// Everybody who works there.
pub struct People(Arc<Staff>);

struct Staff {
    office: Arc<Office>,
    network: Arc<Network>,
    clock: AnchoredClock,
    records: Records,
    sync: Child,
}

impl People {
    /// They work with these systems and write down here what they spoil.
    pub fn new(
        office: Arc<Office>,
        network: Arc<Network>,
        clock: AnchoredClock,
        records: Records,
        sync: Child,
    ) -> Self {
        Self(Arc::new(Staff { office, network, clock, records, sync }))
    }

    /// Follows the plan until `stop`.
    ///
    /// # Errors
    /// When a system cannot be written or the sync job ends by itself.
    pub async fn work(self, plan: Plan, stop: CancellationToken) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        let desks: Vec<mpsc::Sender<Action>> = (0..DESKS)
            .map(|_| {
                let (sender, actions) = mpsc::channel(WAITING);
                tasks.spawn(Arc::clone(&self.0).sit(actions));
                sender
            })
            .collect();
        let done = tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = hand_out(plan, desks) => Ok(()),
            Some(ended) = tasks.join_next() => ended?,
        };
        // Whoever is in the middle of something finishes it: the desks' channels are closed now.
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        done
    }
}

/// Hands out every action when its time has come.
async fn hand_out(plan: Plan, desks: Vec<mpsc::Sender<Action>>) {
    let start = Instant::now();
    for action in plan {
        tokio::time::sleep_until(start + action.at).await;
        let desk = worker_of(&action.deed.keys().map(|(entity, keys)| (entity, keys[0].to_owned())), desks.len());
        if desks[desk].send(action).await.is_err() {
            return;
        }
    }
}

impl Staff {
    async fn sit(self: Arc<Self>, mut actions: mpsc::Receiver<Action>) -> anyhow::Result<()> {
        let mut repairs = JoinSet::new();
        while let Some(action) = actions.recv().await {
            if let Some(repair) = self.act(action).await? {
                repairs.spawn(Arc::clone(&self).set_right(repair));
            }
            while let Some(done) = repairs.try_join_next() {
                done??;
            }
        }
        Ok(())
    }

    async fn act(&self, action: Action) -> anyhow::Result<Option<Repair>> {
        if let Deed::Meddle(meddling) = &action.deed
            && !self.is_possible(meddling).await?
        {
            return Ok(None);
        }
        let repair = match &action.fault {
            Some(fault) => self.begin(&action.deed, fault).await?,
            None => None,
        };
        match &action.deed {
            Deed::Change(change) => self.change(change, action.held_open).await?,
            Deed::Meddle(meddling) => self.meddle(meddling).await?,
            Deed::Disturb(disturbance) => return Ok(self.disturb(*disturbance)),
        }
        Ok(repair)
    }

    /// From now on the deed's keys are spoiled. Says what is to be set right, and when.
    async fn begin(&self, deed: &Deed, fault: &Fault) -> anyhow::Result<Option<Repair>> {
        let Some((entity, keys)) = deed.keys() else { return Ok(None) };
        for key in &keys {
            if fault.kind == FaultKind::Webhook {
                self.lose_webhooks(entity, key);
            } else {
                let fault = Spoiled { kind: fault.kind, targets: fault.targets.clone() };
                self.sync.spoil(entity, key, fault).await?;
            }
        }
        let at = self.clock.now();
        let until = fault.life.map(|life| at + life);
        for key in &keys {
            for target in &fault.targets {
                let address = Address { entity, target: *target, key: (*key).to_owned() };
                let effect = self.effect(deed, *target, entity, key).await?;
                self.records.plant(Plant { address, kind: fault.kind, effect, at, until });
            }
        }
        let keys = keys.into_iter().map(str::to_owned).collect();
        Ok(until.map(|at| Repair { at, what: Broken::Keys { entity, keys } }))
    }

    /// What a deed means for what the target should do. A record that has not arrived yet when it changes has still to
    /// appear there.
    async fn effect(&self, deed: &Deed, target: System, entity: Entity, key: &str) -> anyhow::Result<Effect> {
        match effect(deed, target) {
            Effect::Changes if matches!(deed, Deed::Change(_)) => {
                let held = self.office.read(target, entity, key).await?;
                Ok(if held.is_empty() { Effect::Appears } else { Effect::Changes })
            }
            effect => Ok(effect),
        }
    }

    async fn change(&self, change: &Change, held_open: Duration) -> anyhow::Result<()> {
        let manner = Manner { held_open, softly: change.softly, ..Manner::default() };
        let contents: Vec<Content> = change.after.iter().cloned().collect();
        self.office.write(change.entity.owner(), change.entity, &change.key, &contents, manner).await
    }

    /// Nobody edits a record that has not arrived yet.
    async fn is_possible(&self, Meddling { target, entity, key, how }: &Meddling) -> anyhow::Result<bool> {
        let holds = async |key: &str| anyhow::Ok(!self.office.read(*target, *entity, key).await?.is_empty());
        match how {
            Meddle::Invent => Ok(true),
            Meddle::Edit | Meddle::EditUnstamped | Meddle::Remove => holds(key).await,
            Meddle::Swap { other } => Ok(holds(key).await? && holds(other).await?),
        }
    }

    /// Writes into the target by hand.
    async fn meddle(&self, meddling: &Meddling) -> anyhow::Result<()> {
        let Meddling { target, entity, key, how } = meddling;
        let manner = Manner { unstamped: *how == Meddle::EditUnstamped, ..Manner::default() };
        let write = async |key: &str, contents: &[Content]| -> anyhow::Result<()> {
            self.office.write(*target, *entity, key, contents, manner).await
        };
        let held = self.office.read(*target, *entity, key).await?;
        match how {
            Meddle::Edit | Meddle::EditUnstamped => {
                let wrong: Vec<Content> = held.iter().map(|content| spoil::wrong(*entity, content)).collect();
                write(key, &wrong).await
            }
            Meddle::Remove => write(key, &[]).await,
            Meddle::Invent => write(key, &[spoil::invented(*entity)]).await,
            Meddle::Swap { other } => {
                let others: Vec<Content> = self.office.read(*target, *entity, other).await?;
                write(key, &others).await?;
                write(other, &held).await
            }
        }
    }

    /// What changes of the record is told to nobody: nothing carries it until it is told again.
    fn lose_webhooks(&self, entity: Entity, key: &str) {
        match entity.owner() {
            System::Store => self.office.store.lose_webhooks(entity, key),
            System::Crm => self.office.crm.lose_webhooks(entity, key),
            // They send none.
            System::Erp | System::Warehouse => {}
        }
    }

    fn resume_webhooks(&self, entity: Entity, key: &str) {
        match entity.owner() {
            System::Store => self.office.store.resume_webhooks(entity, key),
            System::Crm => self.office.crm.resume_webhooks(entity, key),
            System::Erp | System::Warehouse => {}
        }
    }

    /// Disturbs a system. Says what is to be set right, and when.
    fn disturb(&self, Disturbance { system, kind, lasts }: Disturbance) -> Option<Repair> {
        let from = self.clock.now();
        let until = from + lasts;
        self.records.disturb(Disturbed { system, kind, span: Interval::new(from, until) });
        if let Some(switches) = self.switches(system) {
            match kind {
                DisturbanceKind::Outage => switches.outage(until),
                DisturbanceKind::Throttle => switches.throttle(THROTTLED_TO, until),
                DisturbanceKind::Schema => switches.drift_schema(true),
            }
        } else if kind == DisturbanceKind::Outage {
            self.network.cut(system);
        }
        // Services know the end of their outages and limits themselves.
        let ends_by_itself = self.switches(system).is_some() && kind != DisturbanceKind::Schema;
        (!ends_by_itself).then_some(Repair { at: until, what: Broken::System(system) })
    }

    /// What makes a system misbehave, if it can.
    fn switches(&self, system: System) -> Option<&Switches> {
        match system {
            System::Store => Some(self.office.store.switches()),
            System::Crm => Some(self.office.crm.switches()),
            System::Erp | System::Warehouse => None,
        }
    }

    /// Waits until it is time and sets right what was spoiled.
    async fn set_right(self: Arc<Self>, repair: Repair) -> anyhow::Result<()> {
        tokio::time::sleep(repair.at.since(self.clock.now())).await;
        match repair.what {
            Broken::Keys { entity, keys } => {
                for key in &keys {
                    self.resume_webhooks(entity, key);
                    self.sync.repair(entity, key).await?;
                }
            }
            Broken::System(system) => match self.switches(system) {
                Some(switches) => switches.drift_schema(false),
                None => self.network.mend(system),
            },
        }
        Ok(())
    }
}

/// Something to be set right.
struct Repair {
    at: Moment,
    what: Broken,
}

enum Broken {
    Keys { entity: Entity, keys: Vec<String> },
    System(System),
}

/// What a deed means for what a target should do that holds what it should.
fn effect(deed: &Deed, target: System) -> Effect {
    match deed {
        Deed::Change(change) => change.effect(target),
        Deed::Meddle(Meddling { how: Meddle::Remove, .. }) => Effect::Appears,
        Deed::Meddle(Meddling { how: Meddle::Invent, .. }) => Effect::Vanishes,
        Deed::Meddle(_) | Deed::Disturb(_) => Effect::Changes,
    }
}
