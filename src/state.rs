//! The small mutable part: positions, in-flight work, discrepancies, baselines, key indexes, leases. SQLite or PostgreSQL.
//!
//! One SQL text runs on both (sqlx `Any`). What differs is in `dialect`: how a connection is set up, and the view
//! `database_clock`, by which every statement takes its time from the database and not from an auditor.

mod acceptances;
mod apply;
mod baselines;
pub mod change;
mod chunks;
mod dialect;
mod discrepancies;
mod error;
mod in_flight;
mod incidents;
mod key_indexes;
mod leases;
mod maintenance;
mod migrations;
mod outbox;
mod secret;
mod sql;
mod store;

pub use acceptances::Acceptance;
pub use apply::Applied;
pub use baselines::Baseline;
pub use chunks::{Chunk, ChunksOf, Left};
pub use discrepancies::{Discrepancy, OpenCount};
pub use error::StateError;
pub use in_flight::{FlowInFlight, InFlight};
pub use incidents::{Changed, HeldIncident, IncidentChange, Tell, Untold, UntoldStep};
pub use key_indexes::{HeldAddress, KeyIndexId, KeyIndexRow};
pub use maintenance::MaintenanceRow;
pub use outbox::{Claimed, Echo, OutboxDepth, OutboxRow, Outgoing};
pub(crate) use secret::Cipher;
pub use secret::{SECRET_FILE, SecretError, StateSecret};
pub use store::StateStore;
