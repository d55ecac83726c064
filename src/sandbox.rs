//! The demo company: an ERP, a warehouse, a store and a CRM, people who work with them, a sync job that carries their
//! changes over and sometimes spoils them, and the exact list of what it spoiled.
//!
//! Stands beside the auditor, not on it: uses neither `compare` nor `connect`, so that its truth is found another
//! way than the auditor's. [`truth`] reads the systems' own write logs; [`score`] holds the auditor's reports
//! against it.

use std::time::Duration;

pub mod book;
pub mod books;
pub mod company;
pub mod config;
pub mod crm;
pub mod database;
pub mod faults;
pub mod network;
pub mod plan;
pub mod post;
pub mod record;
pub mod score;
pub mod service;
pub mod spoil;
pub mod store;
pub mod sync;
pub mod truth;
pub mod wire;

pub use company::{Company, Places, Records};
pub use faults::{DisturbanceKind, FaultKind, Faults};
pub use record::{Entity, System};

/// Requests a second that a throttled system answers.
pub(crate) const THROTTLED_TO: u32 = 4;
/// By how much the clocks of store and CRM are wrong where clocks are, in microseconds.
pub(crate) const STORE_IS_AHEAD: i64 = 1_700_000;
pub(crate) const CRM_IS_AHEAD: i64 = -3_200_000;

/// How big the company is and how it behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Decides everything that chance decides.
    pub seed: u64,
    /// Products; each has a stock.
    pub products: usize,
    /// Customers.
    pub customers: usize,
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
    /// Which faults are planted.
    pub faults: Faults,
    /// The systems that an outage can befall.
    pub breakable: &'static [System],
    /// How long a day of the company is, from morning to morning; without one there is no day and night.
    pub day: Option<Duration>,
    /// When the first fault is planted.
    pub first_fault: Duration,
    /// How far apart faults are, on average.
    pub fault_every: Duration,
    /// After this no fault is planted, so that the last one can still be seen.
    pub last_fault: Option<Duration>,
    /// How long a key is left alone after its fault was set right.
    pub rest: Duration,
    /// How long a question to a system and its answer travel.
    pub round_trip: Duration,
}

impl Options {
    /// For a run of the given length, endless without one, with so long between two looks.
    pub fn for_run(seed: u64, run_for: Option<Duration>, probe_every: Duration, faults: Faults) -> Self {
        // All kinds should have their turn in a minute.
        let fault_every = Duration::from_millis(if faults.keys.len() > 8 { 1700 } else { 2200 });
        let mut options = Self {
            seed,
            products: 200,
            customers: 60,
            changes_per_second: 8.0,
            // Whoever looks every d knows a lag to about d: less than twice that could not be decided.
            deadline: Duration::from_secs(5).max(probe_every * 2),
            probe_every,
            sync_delay: (Duration::from_millis(200), Duration::from_millis(800)),
            run_for,
            faults,
            breakable: &[System::Store, System::Crm],
            day: Some(Duration::from_secs(60)),
            first_fault: Duration::from_secs(3),
            fault_every,
            last_fault: None,
            rest: Duration::from_secs(3),
            round_trip: Duration::ZERO,
        };
        options.last_fault = run_for.map(|end| end.saturating_sub(options.decidable_after() + Duration::from_secs(3)));
        options
    }

    /// A fault that lives shorter cannot be told from slowness: the deadline and then four looks.
    pub fn decidable_after(&self) -> Duration {
        self.deadline + self.probe_every * 4
    }

    /// After this a change has been carried if nothing is wrong.
    pub fn settles_after(&self) -> Duration {
        self.sync_delay.1 * 3
    }
}
