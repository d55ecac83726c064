//! The demo company: an ERP and a warehouse in SQLite, clerks who write, a sync job that carries their changes
//! over and sometimes spoils them, and the exact list of what it spoiled.
//!
//! Stands beside the auditor, not on it: uses neither `compare` nor `connect`, so that its truth is found another
//! way than the auditor's. [`truth`] reads the systems' own write log; [`score`] holds the auditor's reports
//! against it.

use std::fmt;
use std::time::Duration;

pub mod book;
pub mod company;
pub mod crm;
pub mod database;
pub mod faults;
pub mod plan;
pub mod record;
pub mod score;
pub mod service;
pub mod store;
pub mod sync;
pub mod systems;
pub mod truth;
pub mod wire;

pub use company::{Company, Records};
pub use faults::{FaultKind, FaultKinds};

use serde::{Deserialize, Serialize};

/// What lives in both systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entity {
    /// Owned by the ERP.
    Product,
    /// Owned by the ERP; only confirmed ones concern the warehouse.
    Order,
    /// Owned by the warehouse.
    Stock,
}

impl Entity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Product, Self::Order, Self::Stock];

    /// The name in plumbline.toml.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Order => "order",
            Self::Stock => "stock",
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A sample of a walk around the products.
const KEYS_A_WALK: usize = 100;
/// More keys than a demo has: every sample looks at all of them.
const KEYS_A_SAMPLE: usize = 20_000;

/// How big the company is and how it behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Decides everything that chance decides.
    pub seed: u64,
    /// Products; each has a stock.
    pub products: usize,
    /// Changes that the clerks make, on average.
    pub changes_per_second: f64,
    /// The promise: a change reaches the other system within this.
    pub deadline: Duration,
    /// How often the auditor looks.
    pub probe_every: Duration,
    /// The shortest and longest time that the sync job takes when nothing is wrong.
    pub sync_delay: (Duration, Duration),
    /// When the company closes; never without it.
    pub run_for: Option<Duration>,
    /// Which kinds of faults are planted.
    pub faults: FaultKinds,
    /// When the first fault is planted.
    pub first_fault: Duration,
    /// How far apart faults are, on average.
    pub fault_every: Duration,
    /// After this no fault is planted, so that the last one can still be seen.
    pub last_fault: Option<Duration>,
    /// How long a key is left alone after its fault was set right.
    pub rest: Duration,
}

impl Options {
    /// For a run of the given length; endless without one.
    pub fn for_run(seed: u64, run_for: Option<Duration>) -> Self {
        let mut options = Self {
            seed,
            products: 200,
            changes_per_second: 8.0,
            deadline: Duration::from_secs(5),
            probe_every: Duration::from_secs(1),
            sync_delay: (Duration::from_millis(200), Duration::from_millis(800)),
            run_for,
            faults: FaultKinds::BASIC,
            first_fault: Duration::from_secs(3),
            fault_every: Duration::from_millis(2200),
            last_fault: None,
            rest: Duration::from_secs(3),
        };
        options.last_fault = run_for.map(|end| end.saturating_sub(options.decidable_after() + Duration::from_secs(3)));
        options
    }

    /// The config with which an auditor audits the company, for a file beside its databases.
    pub fn plumbline_toml(&self) -> String {
        include_str!("sandbox/plumbline.toml")
            .replace("{{samples}}", &self.samples())
            .replace("{{probe_every}}", &format!("{}ms", self.probe_every.as_millis()))
            .replace("{{deadline}}", &format!("{}ms", self.deadline.as_millis()))
    }

    /// A walk around the products; where there are faults that no stamp shows, probes that look at all keys every time.
    fn samples(&self) -> String {
        let probe = |entity: Entity, every: &str, keys: usize| {
            format!(
                "[[probe]]\nentity = \"{entity}\"\nkind = \"sample\"\nschedule = \"every {every}\"\n\
                 keys_per_run = {keys}\n\n"
            )
        };
        if !self.faults.iter().any(FaultKind::is_unstamped) {
            return probe(Entity::Product, "2s", KEYS_A_WALK);
        }
        Entity::ALL.map(|entity| probe(entity, "{{probe_every}}", KEYS_A_SAMPLE)).concat()
    }

    /// A fault that lives shorter cannot be told from slowness: the deadline and then four looks.
    pub fn decidable_after(&self) -> Duration {
        self.deadline + self.probe_every * 4
    }
}
