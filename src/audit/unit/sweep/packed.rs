//! Rows of a side as bytes, in an order of their keys that is the same on both sides: they take a sixth of what records
//! take, and two that are the same are the same bytes.

use crate::audit::unit::examine::key_digest;
use crate::connect::ReadWindow;
use crate::model::digest::{decode, encode, put_text};
use crate::model::{Key, Moment, Number, Record, Value, Version};

/// The rows of a side.
#[derive(Debug)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    pub window: ReadWindow,
}

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub place: u128,
    begin: usize,
    end: usize,
}

/// What a row takes beside its bytes.
const ROW: usize = size_of::<Row>();

/// The place of a key in the order of all keys; `None` where there is none.
pub(super) type Order = fn(&Key) -> Option<u128>;

/// The order of numbers. No other key has a place in it.
pub(super) fn by_number(key: &Key) -> Option<u128> {
    match key.parts() {
        [Value::Number(number)] => Some(u128::from(number.as_i64()?.cast_unsigned() ^ (1 << 63))),
        _ => None,
    }
}

/// The order of digests.
pub(super) fn by_digest(key: &Key) -> Option<u128> {
    Some(key_digest(key))
}

/// Why rows cannot be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// They take more than they may.
    TooHeavy,
    /// A key has no place in the order.
    Unordered,
}

/// Packs rows as they come.
pub(super) struct Packing {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    room: usize,
    order: Order,
    refused: Option<Refused>,
}

impl Packing {
    /// Of rows that may take so many bytes.
    pub fn new(room: usize, order: Order) -> Self {
        Self { bytes: Vec::new(), rows: Vec::new(), room, order, refused: None }
    }

    /// Takes the next row up. What has no usable key names nothing.
    pub fn take(&mut self, record: &Record) {
        if self.refused.is_some() || !record.key.is_usable() {
            return;
        }
        let Some(place) = (self.order)(&record.key) else {
            self.refused = Some(Refused::Unordered);
            return;
        };
        let begin = self.bytes.len();
        put(record, &mut self.bytes);
        self.rows.push(Row { place, begin, end: self.bytes.len() });
        if self.bytes.len() + self.rows.len() * ROW > self.room {
            self.refused = Some(Refused::TooHeavy);
        }
    }

    /// All rows, and the room that they leave.
    pub fn end(self, window: ReadWindow) -> Result<(Packed, usize), Refused> {
        let Self { bytes, mut rows, room, refused, .. } = self;
        if let Some(refused) = refused {
            return Err(refused);
        }
        if !rows.is_sorted() {
            rows.sort_unstable();
        }
        let room = room.saturating_sub(bytes.len() + rows.len() * ROW);
        Ok((Packed { bytes, rows, window }, room))
    }
}

impl Packed {
    /// The rows in the order of their keys.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What a row is packed as.
    pub fn bytes(&self, row: Row) -> &[u8] {
        &self.bytes[row.begin..row.end]
    }

    /// The record of a row.
    pub fn record(&self, row: Row) -> Option<Record> {
        take(self.bytes(row))
    }
}

/// A row that is packed only to be held against another one.
#[derive(Default)]
pub(super) struct Scratch(Vec<u8>);

impl Scratch {
    /// What the record is packed as.
    pub fn of(&mut self, record: &Record) -> &[u8] {
        self.0.clear();
        put(record, &mut self.0);
        &self.0
    }
}

const IN_SCOPE: u8 = 1;
const NATIVE: u8 = 2;
const CHANGED_AT: u8 = 4;
const SOURCE_VERSION: u8 = 8;
const SEQUENCE: u8 = 16;
const STAMP: u8 = 32;
const TAG: u8 = 48;
const VERSION: u8 = 48;

fn put(record: &Record, out: &mut Vec<u8>) {
    let bit = |is_there: bool, bit: u8| if is_there { bit } else { 0 };
    let version = match &record.version {
        None => 0,
        Some(Version::Sequence(_)) => SEQUENCE,
        Some(Version::Stamp(_)) => STAMP,
        Some(Version::Tag(_)) => TAG,
    };
    out.push(
        bit(record.in_scope, IN_SCOPE)
            | bit(record.native.is_some(), NATIVE)
            | bit(record.changed_at.is_some(), CHANGED_AT)
            | bit(record.source_version.is_some(), SOURCE_VERSION)
            | version,
    );
    out.extend(record.changed_at.map(|moment| moment.micros().to_le_bytes()).into_iter().flatten());
    match &record.version {
        None => {}
        Some(Version::Sequence(number)) => encode(&Value::Number(number.clone()), out),
        Some(Version::Stamp(moment)) => out.extend(moment.micros().to_le_bytes()),
        Some(Version::Tag(tag)) => put_text(tag, out),
    }
    out.push(u8::try_from(record.key.parts().len()).unwrap_or(u8::MAX));
    record.key.parts().iter().take(usize::from(u8::MAX)).for_each(|part| encode(part, out));
    let others = [&record.native, &record.source_version];
    others.into_iter().flatten().chain(&record.fields).for_each(|value| encode(value, out));
}

fn take(bytes: &[u8]) -> Option<Record> {
    let (flags, mut rest) = bytes.split_first()?;
    let has = |bit: u8| flags & bit != 0;
    let changed_at = if has(CHANGED_AT) { Some(moment(&mut rest)?) } else { None };
    let version = match flags & VERSION {
        SEQUENCE => Some(Version::Sequence(sequence(&mut rest)?)),
        STAMP => Some(Version::Stamp(moment(&mut rest)?)),
        TAG => match decode(&mut rest)? {
            Value::Text(tag) => Some(Version::Tag(tag)),
            _ => return None,
        },
        _ => None,
    };
    let (parts, behind) = rest.split_first()?;
    rest = behind;
    let key = match parts {
        1 => Key::from(decode(&mut rest)?),
        parts => Key::new((0..*parts).map(|_| decode(&mut rest)).collect::<Option<Vec<Value>>>()?),
    };
    let native = if has(NATIVE) { Some(decode(&mut rest)?) } else { None };
    let source_version = if has(SOURCE_VERSION) { Some(decode(&mut rest)?) } else { None };
    let mut fields = Vec::with_capacity(rest.len() / 8);
    while !rest.is_empty() {
        fields.push(decode(&mut rest)?);
    }
    let (in_scope, fields) = (has(IN_SCOPE), fields.into_boxed_slice());
    Some(Record { key, native, version, changed_at, source_version, in_scope, fields })
}

fn moment(input: &mut &[u8]) -> Option<Moment> {
    let (micros, rest) = input.split_first_chunk::<8>()?;
    *input = rest;
    Some(Moment::from_micros(i64::from_le_bytes(*micros)))
}

fn sequence(input: &mut &[u8]) -> Option<Number> {
    match decode(input)? {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Interval;

    fn record(key: i64, version: Option<Version>, fields: &[Value]) -> Record {
        Record {
            key: Key::from(key),
            native: Some(Value::from("n-1")).filter(|_| key % 2 == 0),
            changed_at: Some(Moment::from_micros(-key)).filter(|_| key % 3 == 0),
            source_version: Some(Value::from(key)).filter(|_| key % 5 == 0),
            version,
            in_scope: key % 7 != 0,
            fields: fields.into(),
        }
    }

    #[test]
    fn records_come_back_as_they_were_in_the_order_of_their_keys() {
        let versions = [
            None,
            Some(Version::Sequence("12345678901234567890.5".parse().unwrap())),
            Some(Version::Stamp(Moment::from_micros(-1))),
            Some(Version::Tag("etag".into())),
        ];
        let fields = [Value::Null, Value::from("a\0b"), Value::from(i64::MIN), Value::invalid("wanted a day")];
        let count = fields.len() as i64 + 1;
        let records: Vec<Record> = (0_i64..210)
            .map(|number| (number * 7919) % 211 - 100)
            .map(|key| {
                let kept = key.rem_euclid(count) as usize;
                record(key, versions[key.rem_euclid(4) as usize].clone(), &fields[..kept])
            })
            .collect();
        let mut packing = Packing::new(usize::MAX, by_number);
        records.iter().for_each(|record| packing.take(record));
        packing.take(&Record { key: Key::from(Value::Null), ..records[0].clone() });
        let at = Moment::from_micros(0);
        let (packed, _) = packing.end(Interval::new(at, at)).unwrap();
        assert!(packed.rows().is_sorted_by_key(|row| row.place) && packed.rows().len() == records.len());
        let mut scratch = Scratch::default();
        for record in &records {
            let place = packed.rows().binary_search_by_key(&by_number(&record.key).unwrap(), |row| row.place).unwrap();
            let row = packed.rows()[place];
            assert_eq!(packed.record(row).as_ref(), Some(record));
            assert_eq!(packed.bytes(row), scratch.of(record));
        }
        let distinct: std::collections::HashSet<_> = records.iter().map(|record| scratch.of(record).to_vec()).collect();
        assert!(distinct.len() > 50, "records that differ beside their keys are other bytes");
    }

    #[test]
    fn numbers_have_an_order() {
        let keys = [i64::MIN, -5, -1, 0, 1, 7, i64::MAX].map(|number| by_number(&Key::from(number)));
        assert!(keys.is_sorted() && keys.iter().all(Option::is_some));
        assert_eq!(by_number(&Key::from("7")), None);
    }

    #[test]
    fn what_is_too_heavy_or_has_no_place_is_refused() {
        let at = Moment::from_micros(0);
        let check = |room, records: &[Record], expect| {
            let mut packing = Packing::new(room, by_number);
            records.iter().for_each(|record| packing.take(record));
            assert_eq!(packing.end(Interval::new(at, at)).map(|(packed, _)| packed.rows().len()), expect);
        };
        let one = record(1, None, &[Value::from("x".repeat(100).as_str())]);
        check(200, std::slice::from_ref(&one), Ok(1));
        check(200, &[one.clone(), one.clone()], Err(Refused::TooHeavy));
        let named = Record { key: Key::new([Value::from("a"), Value::from(1)]), ..one };
        check(200, std::slice::from_ref(&named), Err(Refused::Unordered));
        let mut packing = Packing::new(usize::MAX, by_digest);
        packing.take(&named);
        let (packed, _) = packing.end(Interval::new(at, at)).unwrap();
        assert_eq!(packed.record(packed.rows()[0]), Some(named));
    }
}
