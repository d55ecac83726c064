//! The history in ClickHouse: tables, rows, the spool in front of it, and the embedded engine.

mod embedded;
pub mod engine;
mod error;
mod history;
mod migrate;
pub mod promises;
mod queries;
pub mod rows;
mod schema;
mod shipper;
pub mod spool;

pub use embedded::{answers, embedded_client};
pub use error::LedgerError;
pub use history::{Looks, Notice, OpenDiscrepancy, SampledShare, Second};
pub use migrate::migrate;
pub use queries::{LagQuantiles, Ledger, VerdictCounts};
pub use schema::LedgerOptions;
pub use shipper::{ShipError, Shipper, ShipperStatus};
pub use spool::{Recovered, Spool, SpoolError, SpoolOptions, SpoolStatus};
