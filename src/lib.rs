//! Plumbline: an observability-first sync auditor and SLA monitor.
//!
//! In reading order, each part above all that it uses:
//!
//! - [`model`]: the words of the field as types. Pure.
//! - [`compare`]: two looks at one key become a verdict. Pure.
//! - [`sweep`]: which rows of two sides go together, what databases may compare by themselves. Pure.
//! - [`totals`]: records and money by business day, currency and status. Pure.
//! - [`estimate`]: what a sample says of all; how soon a drift is seen. Pure.
//! - [`incident`]: one episode of a broken promise, from breach to recovery. Pure.
//! - [`slo`]: whether promises are kept, and who must know. Pure.
//! - [`config`]: TOML to checked config, all problems at once.
//! - [`plan`]: what a config costs, how soon it sees a drift, what it never sees. Pure.
//! - [`connect`]: readers of external systems; reads only.
//! - [`state`]: the small mutable part, in SQLite or PostgreSQL.
//! - [`ledger`]: the history, in ClickHouse; the spool in front of it; the embedded engine.
//! - [`alert`]: who is told of incidents: channels, routes, templates, the outbox's sender.
//! - [`audit`]: the engine: scheduler, probes, in-flight queue, discrepancies.
//! - [`metrics`]: what the auditor says about itself, for Prometheus.
//! - [`readiness`]: whether the process can do its work.
//! - [`server`]: health, readiness, metrics.
//! - [`sandbox`]: the demo company, its faulty sync job and the list of what was planted.
//! - [`cli`]: the commands; no logic.

pub mod alert;
pub mod audit;
pub mod causes;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod config;
pub mod connect;
pub mod estimate;
pub mod fault;
pub mod incident;
pub mod ledger;
pub mod metrics;
pub mod model;
pub mod plan;
pub mod readiness;
pub mod retry;
pub mod sandbox;
pub mod server;
pub mod slo;
pub mod state;
pub mod sweep;
pub mod totals;

/// Records are many small allocations, freed page by page: the system's allocator spends a fifth of a comparison on
/// them, this one a tenth of that. Without huge pages (`no_thp`), which would double what an idle auditor holds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
