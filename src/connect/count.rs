//! How many keys a dataset has: found by its order in few small steps, or told by its list.

use super::{Bound, KeyRange, Landmark, Reach, ReadError, Reader};
use crate::model::Mapping;

/// Keys of a full step: a statement of a few milliseconds.
const STEP: usize = 50_000;
/// The last step is halved until it is so small a part of what was counted.
const PART: u64 = 1_000;

/// The keys of a mapping's dataset, to about one part in a thousand; `None` when the system has no order of keys and its
/// list does not tell its length.
///
/// # Errors
/// When the system cannot be read.
pub async fn count_keys(reader: &dyn Reader, mapping: &Mapping) -> Result<Option<u64>, ReadError> {
    let (mut counted, mut step) = (0_u64, STEP);
    let mut at: Option<Landmark> = None;
    loop {
        let after = at.as_ref().map_or(Bound::Open, |at| Bound::Place(&at.place));
        match reader.landmark(mapping, KeyRange { after, until: Bound::Open }, step).await? {
            Reach::At(landmark) => {
                counted += step as u64;
                at = Some(landmark);
            }
            Reach::End if step as u64 <= counted / PART || step == 1 => return Ok(Some(counted)),
            Reach::End => step /= 2,
            Reach::Nowhere => return Ok(reader.follow(mapping, None).await?.and_then(|page| page.total)),
        }
    }
}
