//! Two looks at one key become a verdict. Pure: no I/O, no clock, no randomness.
//!
//! Follows the design's "What a verdict means". [`judge`] is the whole decision for one key; the engine calls it
//! with what it read and does what the [`Judgement`] says.

mod state;

use std::time::Duration;

pub use state::{agrees, differing, state_of};

use crate::model::{Digest, Flow, Interval, Lag, Moment, Tolerance, Value, Verdict, Version};

/// What one side held for a key, projected through the flow and reduced to what comparing needs.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// No record, or a record outside the scope. A state like any other.
    Absent,
    /// One record in scope with readable fields.
    Present(Held),
    /// More than one record in scope.
    Duplicate(u32),
    /// One record with unreadable fields: indices into [`Flow::fields`].
    Invalid(Vec<usize>),
}

/// The compared content of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Digest of the exactly compared fields, in flow order.
    pub digest: Digest,
    /// Digest of the two-way fields alone, for the agreed baseline; `None` in one-way flows.
    pub two_way: Option<Digest>,
    /// Values of the fields compared with tolerance, in flow order.
    pub tolerant: Vec<Value>,
}

/// One read of one side for one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// What it held.
    pub state: State,
    /// When the read's snapshot was taken.
    pub window: Interval,
    /// The record's own stamp on our timeline, as wide as the clock measurement and, where the system declares
    /// it, the commit delay make it. A lower bound of the state's birth always; an upper bound only with
    /// `commit_bounded`.
    pub changed_at: Option<Interval>,
    /// Whether `changed_at.high` bounds the commit as well.
    pub commit_bounded: bool,
    /// The record's version inside its system.
    pub version: Option<Version>,
    /// The owner's version as this side stores it (targets only).
    pub source_version: Option<Value>,
    /// The last complete read of this side that would have shown this state had it existed; [`Moment::MIN`] when
    /// there was none.
    pub not_before: Moment,
}

/// What else a judgement needs.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The deadline D.
    pub deadline: Duration,
    /// For two-way flows: the digest of the two-way fields that both sides last agreed on.
    pub baseline: Option<Digest>,
    /// Parallel to [`Held::tolerant`]: [`tolerances`] of the flow.
    pub tolerances: &'a [Tolerance],
}

/// A flow's tolerances, in flow order, for [`Context::tolerances`].
pub fn tolerances(flow: &Flow) -> Vec<Tolerance> {
    flow.fields.iter().filter_map(|field| field.tolerance.clone()).collect()
}

/// What one check says and what the engine must do next.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Stale against mismatch is likely, not certain: the owner's history has gaps.
    pub likely: bool,
    /// How long the change took (match) or has so far taken (everything else).
    pub lag: Lag,
    /// A bad verdict that still lacks its sandwich: read the owner again and call [`judge`] with the same track,
    /// the same looks and `confirm`. Until then there is no verdict: record nothing and keep the old track.
    pub needs_confirmation: bool,
    /// The freshness event that this judgement decides, if any: one for each key, flow and divergence.
    pub event: Option<FreshnessEvent>,
    /// Only the target moved, in two-way fields alone: the flow in the other direction owes the change, this one
    /// owes nothing. The engine records no check.
    pub owed_elsewhere: bool,
    /// What to keep of the key; `None` when it is settled.
    pub track: Option<Track>,
}

/// How one divergence counts for the freshness indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshnessEvent {
    /// When the owner changed.
    pub changed: Interval,
    /// How long the change took, or has so far taken.
    pub lag: Lag,
    /// Whether that kept the deadline.
    pub outcome: Outcome,
}

/// Whether a change kept its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived, certainly within the deadline.
    Good,
    /// It is, or was, certainly late.
    Bad,
    /// It arrived, but the reads are too far apart to say whether in time.
    Undecided,
}

/// What is kept of an unsettled key: the owner's last states and the divergence's clock. Stored (encrypted) in
/// state through [`Track::to_bytes`].
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// The owner's last states, oldest first; at most [`MAX_STATES`].
    pub states: Vec<OwnerState>,
    /// When the owner left the state that the target holds.
    pub diverged: Interval,
    /// The target's state at the last look that could read it.
    pub target: Option<State>,
    /// When the target was last seen in a state other than the owner's: the lower bound of its arrival.
    pub target_last_differed: Moment,
    /// Whether this divergence's freshness event (bad) has been counted.
    pub counted_bad: bool,
}

/// How many states of the owner are kept for a key that is not settled.
pub const MAX_STATES: usize = 64;

/// A state of the owner and when the owner held it.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnerState {
    /// What it held.
    pub state: State,
    /// When it began to hold it.
    pub born: Interval,
    /// When it was last seen holding it.
    pub last_seen: Moment,
    /// Its version inside the owner.
    pub version: Option<Version>,
    /// Whether states between this one and the next may not have been seen.
    pub gap_after: bool,
}

/// Which side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The system that is right.
    Owner,
    /// The system that must follow.
    Target,
}

/// The whole decision for one key of one flow.
///
/// `confirm` is the second read of the owner (the sandwich S, T, S). `None` for a first judgement: a bad verdict
/// then comes back with [`Judgement::needs_confirmation`].
pub fn judge(
    track: Option<Track>,
    owner: &Look,
    target: &Look,
    confirm: Option<&Look>,
    context: Context<'_>,
) -> Judgement {
    todo!("{track:?} {owner:?} {target:?} {confirm:?} {context:?}")
}

impl Track {
    /// Encoded for state; starts with a format version.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }

    /// Decodes what [`Self::to_bytes`] wrote; `None` for another format.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        todo!("{bytes:?}")
    }
}
