//! How a track is kept in state: a format version, then postcard of the structs below. They are a stored format:
//! a change needs a new format version.

use serde::{Deserialize, Serialize};

use super::{Held, OwnerState, Standing, State, Track};
use crate::model::digest::{decode, encode};
use crate::model::{Digest, Interval, Moment, Version};

const FORMAT: u8 = 4;

#[derive(Serialize, Deserialize)]
struct StoredTrack {
    states: Vec<StoredOwnerState>,
    diverged: Interval,
    target: Option<StoredState>,
    target_version: Option<StoredVersion>,
    target_born: Interval,
    target_seen: Moment,
    counted_bad: bool,
    possible_until: Moment,
    target_moved: bool,
    target_may_lead: bool,
    standing: Vec<Standing>,
}

#[derive(Serialize, Deserialize)]
struct StoredOwnerState {
    state: StoredState,
    born: Interval,
    first_seen: Moment,
    last_seen: Moment,
    version: Option<StoredVersion>,
    gap_after: bool,
    touched: Moment,
}

#[derive(Serialize, Deserialize)]
enum StoredState {
    Absent,
    Present(StoredHeld),
    Duplicate(u32),
    Invalid(Vec<usize>),
    Untranslated(Vec<usize>),
}

#[derive(Serialize, Deserialize)]
struct StoredHeld {
    digest: Digest,
    two_way: Option<Digest>,
    one_way: Option<Digest>,
    /// How many values `tolerant` holds, in the digest's encoding.
    count: usize,
    tolerant: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
enum StoredVersion {
    Sequence(String),
    Stamp(Moment),
    Tag(String),
}

impl Track {
    /// Encoded for state; starts with a format version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = StoredTrack {
            states: self.states.iter().map(store_owner_state).collect(),
            diverged: self.diverged,
            target: self.target.as_ref().map(store_state),
            target_version: self.target_version.as_ref().map(store_version),
            target_born: self.target_born,
            target_seen: self.target_seen,
            counted_bad: self.counted_bad,
            possible_until: self.possible_until,
            target_moved: self.target_moved,
            target_may_lead: self.target_may_lead,
            standing: self.standing.clone(),
        };
        // Writing plain structs into a growing buffer has no way to fail; an empty one reads back as `None`.
        postcard::to_extend(&stored, vec![FORMAT]).unwrap_or_default()
    }

    /// Decodes what [`Self::to_bytes`] wrote; `None` for another format.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&FORMAT, rest) = bytes.split_first()? else { return None };
        let stored: StoredTrack = postcard::from_bytes(rest).ok()?;
        Some(Self {
            states: stored.states.into_iter().map(load_owner_state).collect::<Option<_>>()?,
            diverged: stored.diverged,
            target: match stored.target {
                Some(target) => Some(load_state(target)?),
                None => None,
            },
            target_version: match stored.target_version {
                Some(version) => Some(load_version(version)?),
                None => None,
            },
            target_born: stored.target_born,
            target_seen: stored.target_seen,
            counted_bad: stored.counted_bad,
            possible_until: stored.possible_until,
            target_moved: stored.target_moved,
            target_may_lead: stored.target_may_lead,
            standing: stored.standing,
        })
    }
}

fn store_owner_state(known: &OwnerState) -> StoredOwnerState {
    StoredOwnerState {
        state: store_state(&known.state),
        born: known.born,
        first_seen: known.first_seen,
        last_seen: known.last_seen,
        version: known.version.as_ref().map(store_version),
        gap_after: known.gap_after,
        touched: known.touched,
    }
}

fn load_owner_state(stored: StoredOwnerState) -> Option<OwnerState> {
    Some(OwnerState {
        state: load_state(stored.state)?,
        born: stored.born,
        first_seen: stored.first_seen,
        last_seen: stored.last_seen,
        version: match stored.version {
            Some(version) => Some(load_version(version)?),
            None => None,
        },
        gap_after: stored.gap_after,
        touched: stored.touched,
    })
}

fn store_state(state: &State) -> StoredState {
    match state {
        State::Absent => StoredState::Absent,
        State::Present(held) => StoredState::Present(store_held(held)),
        State::Duplicate(count) => StoredState::Duplicate(*count),
        State::Invalid(fields) => StoredState::Invalid(fields.clone()),
        State::Untranslated(fields) => StoredState::Untranslated(fields.clone()),
    }
}

fn load_state(stored: StoredState) -> Option<State> {
    Some(match stored {
        StoredState::Absent => State::Absent,
        StoredState::Present(held) => State::Present(load_held(&held)?),
        StoredState::Duplicate(count) => State::Duplicate(count),
        StoredState::Invalid(fields) => State::Invalid(fields),
        StoredState::Untranslated(fields) => State::Untranslated(fields),
    })
}

fn store_held(held: &Held) -> StoredHeld {
    let mut tolerant = Vec::new();
    held.tolerant.iter().for_each(|value| encode(value, &mut tolerant));
    StoredHeld {
        digest: held.digest,
        two_way: held.two_way,
        one_way: held.one_way,
        count: held.tolerant.len(),
        tolerant,
    }
}

fn load_held(stored: &StoredHeld) -> Option<Held> {
    let mut input = stored.tolerant.as_slice();
    let tolerant = (0..stored.count).map(|_| decode(&mut input)).collect::<Option<_>>()?;
    Some(Held { digest: stored.digest, two_way: stored.two_way, one_way: stored.one_way, tolerant })
}

fn store_version(version: &Version) -> StoredVersion {
    match version {
        Version::Sequence(number) => StoredVersion::Sequence(number.to_string()),
        Version::Stamp(moment) => StoredVersion::Stamp(*moment),
        Version::Tag(tag) => StoredVersion::Tag(tag.to_string()),
    }
}

fn load_version(stored: StoredVersion) -> Option<Version> {
    Some(match stored {
        StoredVersion::Sequence(number) => Version::Sequence(number.parse().ok()?),
        StoredVersion::Stamp(moment) => Version::Stamp(moment),
        StoredVersion::Tag(tag) => Version::Tag(tag.into()),
    })
}
