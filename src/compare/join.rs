//! Brings the two sides' records together by key.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::model::{Key, Record};

/// What both sides hold for one key: no record, one, or (a duplicate) several.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair<'a> {
    /// The owner's records.
    pub owner: SmallVec<[&'a Record; 1]>,
    /// The target's records.
    pub target: SmallVec<[&'a Record; 1]>,
}

/// Pairs records by key: keys in the order of the owner's records, then those that only the target has. Records
/// whose key is not [usable](Key::is_usable) are left out: they name nothing.
pub fn join<'a>(owner: &'a [Record], target: &'a [Record]) -> Vec<Pair<'a>> {
    let mut places: HashMap<&Key, usize, RandomState> =
        HashMap::with_capacity_and_hasher(owner.len(), RandomState::default());
    let mut pairs: Vec<Pair<'a>> = Vec::with_capacity(owner.len());
    let usable = |record: &&Record| record.key.is_usable();
    let mut pair_of = |record: &'a Record, pairs: &mut Vec<Pair<'a>>| {
        *places.entry(&record.key).or_insert_with(|| {
            pairs.push(Pair { owner: SmallVec::new(), target: SmallVec::new() });
            pairs.len() - 1
        })
    };
    for record in owner.iter().filter(usable) {
        let place = pair_of(record, &mut pairs);
        pairs[place].owner.push(record);
    }
    for record in target.iter().filter(usable) {
        let place = pair_of(record, &mut pairs);
        pairs[place].target.push(record);
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;

    fn record(key: Key) -> Record {
        Record {
            key,
            native: None,
            version: None,
            changed_at: None,
            source_version: None,
            in_scope: true,
            fields: Box::new([]),
        }
    }

    #[test]
    fn keys_of_either_side_appear_once() {
        let owner = [1_i64, 2, 2].map(|number| record(Key::from(number)));
        let target = [record(Key::from(3_i64)), record(Key::from(2_i64)), record(Key::new([Value::Null]))];
        let counts: Vec<_> = join(&owner, &target).iter().map(|pair| (pair.owner.len(), pair.target.len())).collect();
        assert_eq!(counts, [(1, 0), (2, 1), (0, 1)]);
    }
}
