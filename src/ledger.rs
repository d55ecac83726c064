//! The history in ClickHouse: tables, rows, the spool in front of it, and the embedded engine.

pub mod engine;
pub mod rows;
pub mod spool;

pub use spool::{Recovered, Spool, SpoolError, SpoolOptions, SpoolStatus};
