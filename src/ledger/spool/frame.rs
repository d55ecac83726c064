//! One run on disk: `PLF1`, the body's length, the sealed body, then the commit record `PLC1`, run id, checksum.
//!
//! Without its commit record a frame is not there. A discard record, `PLD1`, run id, checksum, says that the frame
//! of that run never happened.

use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

use super::SpoolError;
use crate::ledger::rows::RunRows;
use crate::state::Cipher;
use crate::state::change::StateChange;

const BEGIN: &[u8; 4] = b"PLF1";
const COMMIT: &[u8; 4] = b"PLC1";
const DISCARD: &[u8; 4] = b"PLD1";
const HEAD: usize = 8;
const TAIL: usize = 4 + 16 + 8;

/// Largest body, in bytes. A run of that size is a mistake in its probe's budget.
pub(super) const MAX_BODY: usize = 1 << 30;

/// Layout of the bytes inside a body. Another number was written by another release.
const FORMAT: u8 = 8;

/// What a segment holds, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A run; the body lies at `offset` for `length` bytes.
    Run { run_id: Uuid, offset: usize, length: usize },
    /// That run never happened.
    Discard { run_id: Uuid },
}

/// A run as bytes, ready to be appended.
pub(super) fn encode(cipher: &Cipher, change: &StateChange, rows: &RunRows) -> Result<Vec<u8>, SpoolError> {
    let clear = postcard::to_extend(&(change, rows), vec![FORMAT]).map_err(SpoolError::Encode)?;
    let body = cipher.seal(change.run_id.as_bytes(), &clear);
    if body.len() > MAX_BODY {
        return Err(SpoolError::TooLarge { bytes: body.len() });
    }
    let mut frame = Vec::with_capacity(HEAD + body.len() + TAIL);
    frame.extend(BEGIN);
    // Bounded by `MAX_BODY` above.
    frame.extend((body.len() as u32).to_le_bytes());
    frame.extend(&body);
    frame.extend(COMMIT);
    frame.extend(change.run_id.as_bytes());
    let sum = checksum(&frame);
    frame.extend(sum);
    Ok(frame)
}

/// A record that takes back a run whose change the state database refuses for good.
pub(super) fn encode_discard(run_id: Uuid) -> Vec<u8> {
    let mut record = Vec::with_capacity(TAIL);
    record.extend(DISCARD);
    record.extend(run_id.as_bytes());
    let sum = checksum(&record);
    record.extend(sum);
    record
}

/// The body's clear content.
pub(super) fn decode(cipher: &Cipher, run_id: Uuid, body: &[u8]) -> Result<(StateChange, RunRows), FrameError> {
    let clear = cipher.open(run_id.as_bytes(), body).map_err(|_| FrameError::Secret)?;
    match clear.split_first() {
        Some((&FORMAT, rest)) => postcard::from_bytes(rest).map_err(|_| FrameError::Format),
        _ => Err(FrameError::Format),
    }
}

/// Why a whole frame cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Written under another secret.
    #[error("it was written under another secret key")]
    Secret,
    /// Written by another release.
    #[error("it was written by another release; let that release drain the spool first")]
    Format,
}

/// All whole entries of a segment's bytes and where they end. What lies beyond is torn.
pub(super) fn scan(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let mut entries = Vec::new();
    let mut end = 0;
    while let Some((entry, length)) = entry_at(bytes, end) {
        entries.push(entry);
        end += length;
    }
    (entries, end)
}

fn entry_at(bytes: &[u8], at: usize) -> Option<(Entry, usize)> {
    let rest = bytes.get(at..)?;
    match rest.first_chunk::<4>()? {
        BEGIN => {
            let length = u32::from_le_bytes(*rest.get(4..)?.first_chunk()?) as usize;
            let tail = HEAD.checked_add(length).filter(|_| length <= MAX_BODY)?;
            let run_id = record_at(rest, tail, COMMIT)?;
            Some((Entry::Run { run_id, offset: at + HEAD, length }, tail + TAIL))
        }
        DISCARD => Some((Entry::Discard { run_id: record_at(rest, 0, DISCARD)? }, TAIL)),
        _ => None,
    }
}

/// The run id of the record at `at`, whose checksum covers everything from the frame's begin.
fn record_at(frame: &[u8], at: usize, kind: &[u8; 4]) -> Option<Uuid> {
    let record = frame.get(at..at.checked_add(TAIL)?)?;
    let whole = record.starts_with(kind) && checksum(&frame[..at + TAIL - 8]) == record[TAIL - 8..];
    whole.then(|| Uuid::from_slice(&record[4..20]).ok()).flatten()
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    let mut hasher = Xxh3::new();
    hasher.update(bytes);
    hasher.digest().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateSecret;
    use crate::state::change::Lease;

    fn change(number: u128) -> StateChange {
        StateChange {
            position: Some(vec![1, 2, 3]),
            ..StateChange::new(Uuid::from_u128(number), Lease { unit: "changes/stock/erp".to_owned(), token: 1 })
        }
    }

    fn cipher() -> Cipher {
        StateSecret::from_bytes([3; 32]).spool_cipher()
    }

    fn segment() -> Vec<u8> {
        let frame = |number| encode(&cipher(), &change(number), &RunRows::default()).unwrap();
        [frame(1), encode_discard(Uuid::from_u128(1)), frame(2)].concat()
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = segment();
        let (entries, end) = scan(&bytes);
        assert_eq!(end, bytes.len());
        let ids: Vec<Uuid> = entries
            .iter()
            .map(|entry| match entry {
                Entry::Run { run_id, .. } | Entry::Discard { run_id } => *run_id,
            })
            .collect();
        assert_eq!(ids, [1, 1, 2].map(Uuid::from_u128));
        let Entry::Run { run_id, offset, length } = entries[2] else { panic!("{entries:?}") };
        let body = &bytes[offset..offset + length];
        assert_eq!(decode(&cipher(), run_id, body), Ok((change(2), RunRows::default())));
        let other = StateSecret::from_bytes([4; 32]).spool_cipher();
        assert_eq!(decode(&other, run_id, body), Err(FrameError::Secret));
    }

    #[test]
    fn a_tail_torn_at_any_byte_leaves_the_frames_before_it() {
        let bytes = segment();
        let ends: Vec<usize> = (0..=bytes.len()).map(|length| scan(&bytes[..length]).1).collect();
        let mut boundaries = ends.clone();
        boundaries.dedup();
        assert_eq!(boundaries.len(), 4, "nothing, one frame, with its discard, two frames: {boundaries:?}");
        for (length, end) in ends.iter().enumerate() {
            assert!(*end <= length);
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_not_taken_for_a_frame() {
        let bytes = encode(&cipher(), &change(1), &RunRows::default()).unwrap();
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1;
            assert_eq!(scan(&damaged), (vec![], 0), "bit flipped in byte {position}");
        }
    }
}
