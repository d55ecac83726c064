//! What one run changes in state: applied in one transaction, once.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::Moment;

/// A unit of work under a lease: one entity as one owner holds it, with all its probes. Written `changes/stock/erp`,
/// also where it has no changes probe: what is leased and what is kept must not depend on that.
pub type UnitName = String;

/// Under which name a unit keeps where its sample probe walks.
pub fn walk_name(unit: &str) -> String {
    format!("{unit}/walk")
}

/// Under which name a unit keeps what it knows of its systems' shapes.
pub fn schema_name(unit: &str) -> String {
    format!("{unit}/schema")
}

/// Under which name a unit keeps how far its sweep has come.
pub fn sweep_name(unit: &str) -> String {
    format!("{unit}/sweep")
}

/// A held lease. The token grows with each holder; writes with an older token are refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// What is leased.
    pub unit: UnitName,
    /// Fencing token.
    pub token: u64,
}

/// Everything one run changes in state. Spooled beside its ledger rows, applied in one transaction; applying it
/// twice is harmless, applying it under an older token is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateChange {
    /// The run.
    pub run_id: Uuid,
    /// Under which lease.
    pub lease: Lease,
    /// The unit's new position, if it moved.
    pub position: Option<Vec<u8>>,
    /// Where the unit's sample probe walks, if it moved.
    pub walk: Option<Vec<u8>>,
    /// What is known of the shapes of the unit's systems, if it changed.
    pub schema: Option<Vec<u8>>,
    /// How far the unit's sweep has come, if it went on.
    pub sweep: Option<Vec<u8>>,
    /// Pieces of the unit's sweep that were gone through and judged.
    pub chunks: Vec<ChunkChange>,
    /// In-flight keys added, changed (`Some`) or settled (`None`).
    pub in_flight: Vec<InFlightChange>,
    /// Agreed baselines of two-way flows.
    pub baselines: Vec<BaselineChange>,
    /// Discrepancies opened, changed or closed.
    pub discrepancies: Vec<DiscrepancyChange>,
}

impl StateChange {
    /// The change of a run that moved nothing.
    pub const fn new(run_id: Uuid, lease: Lease) -> Self {
        Self {
            run_id,
            lease,
            position: None,
            walk: None,
            schema: None,
            sweep: None,
            chunks: Vec::new(),
            in_flight: Vec::new(),
            baselines: Vec::new(),
            discrepancies: Vec::new(),
        }
    }
}

/// A piece of a sweep, or the part of it that was gone through, has been judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkChange {
    /// The piece.
    pub id: Uuid,
    /// What it had when it was taken, or found.
    pub token: u64,
    /// Nothing of it is left.
    pub is_settled: bool,
    /// What is left of it, encoded.
    pub content: Vec<u8>,
}

/// One key of one flow enters, changes in, or leaves the in-flight queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InFlightChange {
    /// The flow, as [`crate::model::FlowId`] writes it.
    pub flow: String,
    /// Keyed BLAKE3 of the key, 32 hex digits.
    pub key_hash: String,
    /// `None` removes the key.
    pub entry: Option<InFlightEntry>,
}

/// What is kept of an unsettled key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InFlightEntry {
    /// When to look again.
    pub due_at: Moment,
    /// When the deadline passes (lower age bound beyond D), for the `overdue` gauge.
    pub overdue_at: Moment,
    /// Key and track, encoded; encrypted at rest by the store.
    pub payload: Vec<u8>,
}

/// The digest that both sides of a two-way flow last agreed on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineChange {
    /// The entity and the two systems in name order: `contact: crm <-> support`.
    pub pair: String,
    /// Keyed BLAKE3 of the key, 32 hex digits.
    pub key_hash: String,
    /// Digest of the two-way fields.
    pub digest: u128,
    /// When they agreed.
    pub agreed_at: Moment,
}

/// One step in the life of a discrepancy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiscrepancyChange {
    /// The discrepancy.
    pub id: Uuid,
    /// The flow, as [`crate::model::FlowId`] writes it.
    pub flow: String,
    /// Keyed BLAKE3 of the key, 32 hex digits.
    pub key_hash: String,
    /// `open`, `resolving`, `resolved`, `accepted`.
    pub status: String,
    /// The verdict's word.
    pub verdict: String,
    /// When this happened.
    pub at: Moment,
    /// Since when the sides differ (upper bound of the divergence's start).
    pub since: Moment,
    /// Key, differing fields, values; encrypted at rest by the store.
    pub payload: Vec<u8>,
}
