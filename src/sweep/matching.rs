//! Rows of two sides go together by key; what finds no equal is suspect.
//!
//! Needs no order: a row waits until the other side shows the same key. Where both sides come in about the same order
//! few rows wait, whatever their collations make of the rest. What waits when nothing more comes has no partner.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::compare::{Side, tolerates};
use crate::model::{Tolerance, Value};

/// Rows of one side, reduced to what going together needs.
#[derive(Debug, Default)]
pub struct Batch {
    rows: Vec<Row>,
    /// The rows' keys, one behind the other.
    names: Vec<u8>,
}

#[derive(Debug)]
struct Row {
    key: u128,
    content: Content,
    name_until: usize,
}

/// What of a row is compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Digest of the exactly compared fields; `None` when a field cannot be read, which is equal to nothing.
    pub digest: Option<u128>,
    /// Values of the fields compared with tolerance, in flow order.
    pub tolerant: Box<[Value]>,
}

impl Batch {
    /// Adds a row: the digest of its key, what is compared, and its key in the canonical encoding, which `name` appends.
    pub fn push(&mut self, key: u128, content: Content, name: impl FnOnce(&mut Vec<u8>)) {
        name(&mut self.names);
        self.rows.push(Row { key, content, name_until: self.names.len() });
    }

    /// Rows in it.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// A row without a partner so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// Digest of its key.
    pub key: u128,
    /// Whose row it is.
    pub side: Side,
    /// What is compared.
    pub content: Content,
    /// Its key in the canonical encoding.
    pub name: Box<[u8]>,
}

/// Rows that wait for their partners.
#[derive(Debug)]
pub struct Matching {
    open: HashMap<u128, Open, FixedState>,
    bytes: usize,
    waiting: [usize; 2],
    tolerances: Vec<Tolerance>,
}

/// What an entry takes besides the texts that it points to: the table's slot at its usual load, the allocations' heads.
const ENTRY: usize = 192;

impl Matching {
    /// `tolerances` are those of the flow, in flow order.
    pub fn new(tolerances: Vec<Tolerance>) -> Self {
        Self { open: HashMap::default(), bytes: 0, waiting: [0; 2], tolerances }
    }

    /// Takes rows of one side; `suspect` gets the keys of those that differ from their partner or come twice.
    pub fn take(&mut self, side: Side, batch: Batch, mut suspect: impl FnMut(&[u8])) {
        let mut begin = 0;
        for row in batch.rows {
            let name = &batch.names[begin..row.name_until];
            begin = row.name_until;
            self.meet(side, row.key, row.content, name, &mut suspect);
        }
    }

    /// Takes back a row that had waited elsewhere.
    pub fn take_open(&mut self, open: Open, mut suspect: impl FnMut(&[u8])) {
        self.meet(open.side, open.key, open.content, &open.name, &mut suspect);
    }

    fn meet(&mut self, side: Side, key: u128, content: Content, name: &[u8], suspect: &mut impl FnMut(&[u8])) {
        match self.open.get_mut(&key) {
            None => {
                let open = Open { key, side, content, name: name.into() };
                self.bytes += size(&open);
                self.waiting[side as usize] += 1;
                self.open.insert(key, open);
            }
            // The same side twice: whatever the other side holds, somebody has to look.
            Some(other) if other.side == side => other.content.digest = None,
            Some(_) => {
                let Some(other) = self.open.remove(&key) else { return };
                self.bytes -= size(&other);
                self.waiting[other.side as usize] -= 1;
                if !self.equal(side, &content, &other.content) {
                    suspect(name);
                }
            }
        }
    }

    fn equal(&self, side: Side, content: &Content, other: &Content) -> bool {
        let (owner, target) = if side == Side::Owner { (content, other) } else { (other, content) };
        let values = owner.tolerant.iter().zip(&target.tolerant).zip(&self.tolerances);
        owner.digest.is_some()
            && owner.digest == target.digest
            && owner.tolerant.len() == target.tolerant.len()
            && values.into_iter().all(|((owner, target), tolerance)| tolerates(tolerance, owner, target))
    }

    /// Which side to read on: the one that fewer rows wait for.
    pub fn behind(&self) -> Side {
        if self.waiting[Side::Owner as usize] > self.waiting[Side::Target as usize] {
            Side::Target
        } else {
            Side::Owner
        }
    }

    /// What the waiting rows take in memory, about.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows that wait.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Gives up all rows that wait.
    pub fn drain(&mut self) -> impl Iterator<Item = Open> {
        self.bytes = 0;
        self.waiting = [0; 2];
        std::mem::take(&mut self.open).into_values()
    }
}

fn size(open: &Open) -> usize {
    let text = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    let tolerant: usize = open.content.tolerant.iter().map(|value| size_of::<Value>() + text(value)).sum();
    ENTRY + open.name.len() + tolerant
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(digest: u128) -> Content {
        Content { digest: Some(digest), tolerant: Box::default() }
    }

    /// Rows as `(key, content)`, taken in this order; gives the suspects, those that wait at the end among them.
    fn suspects(rows: &[(Side, u8, u128)]) -> Vec<u8> {
        let mut matching = Matching::new(Vec::new());
        let mut found = Vec::new();
        for (side, key, digest) in rows {
            let mut batch = Batch::default();
            batch.push(u128::from(*key), content(*digest), |names| names.push(*key));
            matching.take(*side, batch, |name| found.extend(name));
        }
        assert_eq!(matching.bytes() == 0, matching.is_empty());
        found.extend(matching.drain().map(|open| open.name[0]));
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn partners_are_found_in_any_order() {
        use Side::{Owner, Target};
        let check = |rows: &[(Side, u8, u128)], expect: &[u8]| assert_eq!(suspects(rows), expect, "{rows:?}");
        check(&[(Owner, 1, 7), (Owner, 2, 8), (Target, 2, 8), (Target, 1, 7)], &[]);
        check(&[(Owner, 1, 7), (Owner, 2, 8), (Target, 2, 7), (Target, 1, 8)], &[1, 2]);
        check(&[(Owner, 1, 7), (Target, 2, 7)], &[1, 2]);
        check(&[(Owner, 1, 7), (Target, 1, 7), (Target, 1, 7)], &[1]);
        check(&[(Target, 1, 7), (Target, 1, 7), (Owner, 1, 7)], &[1]);
    }

    #[test]
    fn what_cannot_be_read_is_equal_to_nothing() {
        let mut matching = Matching::new(Vec::new());
        let mut found = 0;
        for side in [Side::Owner, Side::Target] {
            let mut batch = Batch::default();
            batch.push(1, Content { digest: None, tolerant: Box::default() }, |names| names.push(1));
            matching.take(side, batch, |_| found += 1);
        }
        assert_eq!(found, 1);
    }

    #[test]
    fn tolerance_holds_without_digests() {
        let tolerance = Tolerance::Absolute("0.5".parse().unwrap());
        let mut matching = Matching::new(vec![tolerance]);
        let mut found = Vec::new();
        for (side, key, value) in
            [(Side::Owner, 1, "1"), (Side::Target, 1, "1.5"), (Side::Owner, 2, "1"), (Side::Target, 2, "1.6")]
        {
            let mut batch = Batch::default();
            let tolerant = Box::new([Value::Number(value.parse().unwrap())]);
            batch.push(key, Content { digest: Some(0), tolerant }, |names| names.push(key as u8));
            matching.take(side, batch, |name| found.extend_from_slice(name));
        }
        assert_eq!(found, [2]);
    }

    proptest! {
        #[test]
        fn a_key_is_suspect_exactly_when_its_sides_differ(
            owner in prop::collection::btree_map(0_u8..40, 0_u128..3, 0..30),
            target in prop::collection::btree_map(0_u8..40, 0_u128..3, 0..30),
            order in prop::collection::vec(any::<bool>(), 60),
        ) {
            let expect: Vec<u8> = (0..40).filter(|key| owner.get(key) != target.get(key)).collect();
            let (mut ours, mut theirs) = (owner.into_iter(), target.into_iter().rev());
            let mut rows = Vec::new();
            for owner_next in order {
                let next = if owner_next { ours.next() } else { None };
                rows.extend(next.map(|(key, digest)| (Side::Owner, key, digest)));
                let next = if owner_next { None } else { theirs.next() };
                rows.extend(next.map(|(key, digest)| (Side::Target, key, digest)));
            }
            rows.extend(ours.map(|(key, digest)| (Side::Owner, key, digest)));
            rows.extend(theirs.map(|(key, digest)| (Side::Target, key, digest)));
            prop_assert_eq!(suspects(&rows), expect);
        }
    }
}
