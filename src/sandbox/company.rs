//! The running company: its systems, the people who work with them, the sync job, and the list of what was planted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Options;
use super::book::{Write, WriteLog};
use super::books::Books;
use super::config::Addresses;
use super::crm::Crm;
use super::database::Database;
use super::network::Network;
use super::plan::{self, Plan};
use super::record::{Content, Entity, System};
use super::score::{Day, Disturbed, Plant};
use super::store::Store;
use crate::clock::{AnchoredClock, Clock};
use crate::model::Interval;

mod child;
mod people;

use child::Child;
use people::People;

/// The systems as the people reach them who work there.
pub(super) type Office = Books<Store, Crm>;

/// What webhooks are signed with. The sync job does not look.
const HOOK_SECRET: &str = "plumb";

/// A company at work. Stops when dropped.
pub struct Company {
    office: Arc<Office>,
    network: Arc<Network>,
    addresses: Addresses,
    places: Places,
    options: Options,
    clock: AnchoredClock,
    records: Records,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// Where the company's databases are and its programs.
#[derive(Clone, Debug)]
pub struct Places {
    /// URL of the ERP's database, which is empty.
    pub erp: String,
    /// URL of the warehouse's database, which is empty.
    pub warehouse: String,
    /// If the systems are reached over a network of the company's own: how long a question and its answer travel.
    pub network: Option<Duration>,
    /// The program that is the sync job when it is called with `sandbox-sync`.
    pub program: PathBuf,
    /// Where the sync job complains.
    pub complaints: PathBuf,
}

impl Places {
    /// Two SQLite files in a directory.
    ///
    /// # Errors
    /// When a database of that name is already there.
    pub fn in_directory(directory: &Path, program: &Path) -> anyhow::Result<Self> {
        let file = |name: &str| {
            let file = directory.join(name);
            anyhow::ensure!(!file.exists(), "`{}` is already there: name an empty directory", file.display());
            Ok(format!("sqlite:{}", file.display()))
        };
        Ok(Self {
            erp: file("erp.db")?,
            warehouse: file("warehouse.db")?,
            network: None,
            program: program.to_owned(),
            complaints: directory.join("sync.log"),
        })
    }
}

/// What the company writes down about itself; may be read while it works.
#[derive(Clone, Default)]
pub struct Records {
    log: Arc<WriteLog>,
    plants: Arc<Mutex<Vec<Plant>>>,
    disturbed: Arc<Mutex<Vec<Disturbed>>>,
}

impl Records {
    /// Everything so far.
    pub fn day(&self) -> Day {
        Day { plants: copy(&self.plants), disturbed: copy(&self.disturbed), writes: self.log.writes() }
    }

    fn plant(&self, plant: Plant) {
        self.plants.lock().unwrap_or_else(PoisonError::into_inner).push(plant);
    }

    fn disturb(&self, disturbed: Disturbed) {
        self.disturbed.lock().unwrap_or_else(PoisonError::into_inner).push(disturbed);
    }
}

fn copy<T: Clone>(list: &Mutex<Vec<T>>) -> Vec<T> {
    list.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Company {
    /// Founds the company: its databases get their tables, store and CRM open their doors on the loopback interface, and
    /// all hold the same. Nobody works yet.
    ///
    /// # Errors
    /// When a database is already in use or cannot be written, or there is no free port.
    pub async fn create(places: Places, options: Options, clock: AnchoredClock) -> anyhow::Result<Self> {
        let records = Records::default();
        let office = office(&places, &options, &clock, &records.log).await?;
        open_books(&office, &options, &clock, &records.log).await.context("the opening books")?;
        let inside = Addresses {
            erp: places.erp.clone(),
            warehouse: places.warehouse.clone(),
            store: office.store.url().to_owned(),
            crm: office.crm.url().to_owned(),
        };
        let (network, addresses) = outside(inside, places.network).await.context("the company's network")?;
        let office = Arc::new(office);
        let network = Arc::new(network);
        Ok(Self {
            office,
            network,
            addresses,
            places,
            options,
            clock,
            records,
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
        })
    }

    /// Sets the people and the sync job to work.
    ///
    /// # Errors
    /// When the sync job does not start.
    pub async fn open(&mut self) -> anyhow::Result<()> {
        let child = Child::start(&self.places, &self.setup(), &self.records.log).await.context("the sync job")?;
        self.office.store.hook(&format!("{}/store", child.hooks()), HOOK_SECRET);
        self.office.crm.hook(&format!("{}/crm", child.hooks()), HOOK_SECRET);
        let (office, network) = (Arc::clone(&self.office), Arc::clone(&self.network));
        let people = People::new(office, network, self.clock.clone(), self.records.clone(), child);
        self.tasks.spawn(people.work(Plan::new(self.options.clone()), self.stop.clone()));
        Ok(())
    }

    fn setup(&self) -> super::sync::protocol::Setup {
        super::sync::protocol::Setup {
            anchor: self.clock.anchor(),
            systems: self.addresses.clone(),
            seed: self.options.seed,
            delay: self.options.sync_delay,
        }
    }

    /// Where the systems are reached from outside.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What the company writes down about itself.
    pub fn records(&self) -> Records {
        self.records.clone()
    }

    /// What a system holds for a key now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&self, system: System, entity: Entity, key: &str) -> anyhow::Result<Vec<Content>> {
        self.office.read(system, entity, key).await
    }

    /// Waits until somebody stops working, which only an error makes them do.
    ///
    /// # Errors
    /// That error.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => ended?,
            None => std::future::pending().await,
        }
    }

    /// Sends everybody home. Store and CRM go on answering until the company is dropped.
    ///
    /// # Errors
    /// What went wrong for the people or the sync job.
    pub async fn close(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        let mut result = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            result = result.and(ended?);
        }
        result
    }
}

/// How the systems are reached over the company's network, if it has one.
async fn outside(inside: Addresses, round_trip: Option<Duration>) -> anyhow::Result<(Network, Addresses)> {
    let mut network = Network::default();
    let Some(round_trip) = round_trip else { return Ok((network, inside)) };
    let outside = Addresses {
        erp: network.lay(System::Erp, &inside.erp, round_trip).await?,
        warehouse: network.lay(System::Warehouse, &inside.warehouse, round_trip).await?,
        store: network.lay(System::Store, &inside.store, round_trip).await?,
        crm: network.lay(System::Crm, &inside.crm, round_trip).await?,
    };
    Ok((network, outside))
}

async fn office(
    places: &Places,
    options: &Options,
    clock: &AnchoredClock,
    log: &Arc<WriteLog>,
) -> anyhow::Result<Office> {
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let database = async |system, url: &str| Database::create(system, url, Arc::clone(log), Arc::clone(&shared)).await;
    let office = Office {
        erp: database(System::Erp, &places.erp).await.context("the ERP")?,
        warehouse: database(System::Warehouse, &places.warehouse).await.context("the warehouse")?,
        store: Store::open(Arc::clone(log), Arc::clone(&shared)).await.context("the store")?,
        crm: Crm::open(Arc::clone(log), shared).await.context("the CRM")?,
    };
    if options.faults.skew {
        office.store.switches().clock_offset(super::STORE_IS_AHEAD);
        office.crm.switches().clock_offset(super::CRM_IS_AHEAD);
    }
    Ok(office)
}

/// Writes what the company opens with into every system, and notes it.
async fn open_books(office: &Office, options: &Options, clock: &AnchoredClock, log: &WriteLog) -> anyhow::Result<()> {
    let products = || (0..options.products).map(|number| (plan::sku(number), plan::first_product(number)));
    let stocks = || (0..options.products).map(|number| (plan::sku(number), plan::first_stock(number)));
    let customers = || (0..options.customers).map(|number| (plan::customer_key(number), plan::first_customer(number)));
    let opening: [(Entity, Vec<(String, Content)>); 3] = [
        (Entity::Product, products().collect()),
        (Entity::Stock, stocks().collect()),
        (Entity::Customer, customers().collect()),
    ];
    let began = clock.now();
    for (entity, records) in &opening {
        for system in entity.systems() {
            fill(office, system, *entity, records).await.with_context(|| format!("{entity} in {system}"))?;
        }
    }
    let committed = Interval::new(began, clock.now());
    for (entity, records) in opening {
        for system in entity.systems() {
            for (key, content) in &records {
                let contents = vec![content.clone()];
                log.note(Write { system, entity, key: key.clone(), contents, committed });
            }
        }
    }
    Ok(())
}

async fn fill(office: &Office, system: System, entity: Entity, records: &[(String, Content)]) -> anyhow::Result<()> {
    match system {
        System::Erp => office.erp.fill(entity, records.iter().cloned()).await,
        System::Warehouse => office.warehouse.fill(entity, records.iter().cloned()).await,
        System::Store | System::Crm => {
            for (key, content) in records {
                office.write(system, entity, key, std::slice::from_ref(content), Default::default()).await?;
            }
            Ok(())
        }
    }
}
