//! The engine: schedules probes, looks, judges, keeps unsettled keys in flight until they are settled, and commits
//! every run as one unit of state and ledger rows.
//!
//! A *unit* is one entity as one owner holds it, with all flows that start there. Units are taken by lease, so any
//! number of auditors share them. The engine decides when to look; what a look means is `compare`'s business.

pub mod auditor;
pub mod clocks;
pub mod discrepancy;
pub mod durable;
pub mod entry;
pub mod journal;
pub mod key_store;
pub mod looks;
pub mod once;
pub mod plan;
pub mod position;
pub mod promises;
pub mod queue;
pub mod recent;
pub mod redact;
pub mod run;
pub mod sampling;
pub mod scheduler;
pub mod schema;
pub mod sweep;
pub mod timing;
pub mod totals;
pub mod unit;
pub mod walk;
pub mod watch;
