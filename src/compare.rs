//! Two looks at one key become a verdict. Pure: no I/O, no clock, no randomness.
//!
//! Follows the design's "What a verdict means". [`judge`] is the whole decision for one key; the engine calls it
//! with what it read and does what the [`Judgement`] says.

mod history;
mod join;
mod judge;
pub mod shape;
mod standing;
mod state;
mod stored;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use join::{Pair, join};
pub use judge::{agreed_at_once, judge, target_unread};
pub use state::{agrees, differing, is_projected, projected_field, state_and_fields, state_of, within as tolerates};

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
    /// One record with fields that a table does not translate yet, and none that is unreadable otherwise.
    Untranslated(Vec<usize>),
}

/// The compared content of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Digest of the exactly compared fields, in flow order.
    pub digest: Digest,
    /// Digest of the two-way fields alone, for the agreed baseline; `None` in one-way flows.
    pub two_way: Option<Digest>,
    /// Digest of the other exactly compared fields, in two-way flows; `None` in one-way flows.
    pub one_way: Option<Digest>,
    /// Values of the fields compared with tolerance, in flow order.
    pub tolerant: Vec<Value>,
}

/// One read of one side for one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// What it held.
    pub state: State,
    /// A hash of each of the flow's fields: [`state_and_fields`]. Empty where they are not told.
    pub fields: Vec<u64>,
    /// When the read's snapshot was taken.
    pub window: Interval,
    /// The record's own stamp on our timeline, as wide as the clock measurement makes it: when the change was
    /// written. It was committed then or later: a lower bound of the state's birth always.
    pub changed_at: Option<Interval>,
    /// How long after its stamp a change is committed at most; `None` when the stamp bounds no birth from above.
    pub commit_within: Option<Duration>,
    /// The record's version inside its system.
    pub version: Option<Version>,
    /// The owner's version as this side stores it (targets only).
    pub source_version: Option<Value>,
    /// The last complete read of this side that would have shown this state had it existed, and did not;
    /// [`Moment::MIN`] when there was none. On the owner's side anything later than that says that the owner was
    /// seen to change: a match of a key without a track is then a change that arrived and counts for freshness.
    pub not_before: Moment,
    /// Whether the side may, unseen, have held other states since [`Look::not_before`]: the stamp tells of the last change
    /// alone, and the first one may have been any time before it.
    pub may_hide: bool,
}

impl Look {
    /// What a read in `window` found, of which nothing else is known.
    pub const fn new(state: State, window: Interval) -> Self {
        Self {
            state,
            fields: Vec::new(),
            window,
            changed_at: None,
            commit_within: None,
            version: None,
            source_version: None,
            not_before: Moment::MIN,
            may_hide: false,
        }
    }

    /// When the change that the stamp tells of was committed at the latest, as far as that is known.
    fn committed_by(&self) -> Option<Moment> {
        Some(self.changed_at?.high + self.commit_within?)
    }
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
    /// When the sides were last found to agree, if that is remembered. Of no use for a key with a track.
    pub agreed: Option<Agreed>,
}

/// Two looks that found the sides to agree: what the owner held then had arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Both looks.
    pub looks: Interval,
    /// Changes of the owner up to then have been counted for freshness; [`Moment::MIN`] when none has.
    pub counted: Moment,
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
    /// Stale against mismatch is likely, not certain: the owner's history has gaps. Or the lateness is: a field stood apart
    /// at look after look of a record that moves faster than it is looked at.
    pub likely: bool,
    /// How long the change took (match) or has so far taken (everything else).
    pub lag: Lag,
    /// A bad verdict that still lacks its sandwich: read the owner again and call [`judge`] with the same track,
    /// the same looks and `confirm`. Until then there is no verdict: record nothing. If the second read fails,
    /// keep the old track (the one given here when there was none).
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
    /// The version of the target's record at that look. Another one says that the target was written since, also if it
    /// holds the same again.
    pub target_version: Option<Version>,
    /// When the target came to hold it.
    pub target_born: Interval,
    /// When the target was last looked at: a state that it did not hold then arrived later.
    pub target_seen: Moment,
    /// Whether this divergence's freshness event (bad) has been counted.
    pub counted_bad: bool,
    /// The latest moment at which the owner may, unseen, have held what the target holds. Later than `diverged`
    /// when the target moved to a state that we never saw while the owner moved faster than it was read.
    pub possible_until: Moment,
    /// Whether the target was seen to change into a state unknown to us since the divergence began.
    pub target_moved: bool,
    /// The target was read after the owner and held a state unknown to us: the owner may have moved to it in
    /// between. Settled by the next look at the owner.
    pub target_may_lead: bool,
    /// The fields in which the sides differed at the last look, since when each of them has done so.
    pub standing: Vec<Standing>,
}

/// A field in which the target held one value, and the owner was not met with it, at every look since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which, in the flow's order.
    pub field: usize,
    /// What the target held, as a hash.
    pub target: u64,
    /// When the first of these looks ended.
    pub since: Moment,
    /// When the last of them ended that counted: looks close to each other count as one.
    pub counted: Moment,
    /// How many counted.
    pub looks: u32,
}

impl Track {
    /// After this moment a look that still differs is late for certain.
    pub fn overdue_at(&self, deadline: Duration) -> Moment {
        self.diverged.high + deadline
    }
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
    /// When it was first seen holding it.
    pub first_seen: Moment,
    /// When it was last seen holding it.
    pub last_seen: Moment,
    /// Its version inside the owner.
    pub version: Option<Version>,
    /// Whether states between this one and the next may not have been seen.
    pub gap_after: bool,
    /// When its version last moved though the state was the same, at the latest: a touch, or a return from states that
    /// were not seen. [`Moment::MIN`] when it never did.
    pub touched: Moment,
}

/// Which side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The system that is right.
    Owner,
    /// The system that must follow.
    Target,
}
