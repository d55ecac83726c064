//! Hashes rows here, from what the servers sent, without making values of it: where two systems hold the same columns
//! in ways whose content can be compared ([`Form`]), equal hashes prove that the records are equal.
//!
//! Each value becomes a tag and its canonical content: numbers without trailing zeros, stamps as microseconds, texts and
//! bytes with their length. What could not be read as a value gets the side's mark, which differs between the sides.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::engine::Kind;
use crate::connect::Mark;
use crate::model::digest::{put_text, put_uuid, put_whole};
use crate::model::{FieldType, Number};
use crate::sweep::{Batch, Content as Compared, Form, RowHash};

/// How one column of an answer is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// How the server sends it.
    pub kind: Kind,
    /// What counts of it.
    pub form: Form,
}

/// What a value comes to, between the drivers and the hash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Content<'v> {
    Int(i64),
    /// An exact number: so many times ten to the power.
    Decimal {
        mantissa: i128,
        power: i32,
    },
    /// An exact number with more digits.
    Long(&'v Number),
    /// Of the kind that the form says.
    Bytes(&'v [u8]),
    /// Microseconds or days.
    Count(i64),
    Float(f64),
    /// Nothing that can be read.
    Odd,
}

/// Receives each row. The key is that of the first column.
pub(super) type OnHash<'a> = &'a mut (dyn FnMut(RowHash) + Send);

/// Takes up the values of one row after the other.
pub(super) struct RowHasher<'a> {
    cells: &'a [Cell],
    mark: Mark,
    next: usize,
    buffer: Vec<u8>,
    rows: Rows<'a>,
}

/// What becomes of a row.
enum Rows<'a> {
    /// Its key is the number in the first column. Rows without one are in nobody's span.
    Counted { key: Option<i64>, on_row: OnHash<'a> },
    /// Its key is the first columns, which go into its name and not into its hash.
    Named(Named<'a>),
}

/// Rows whose keys are read as these types. Those whose key cannot be read name nothing and are left out.
struct Named<'a> {
    keys: &'a [FieldType],
    name: Vec<u8>,
    is_whole: bool,
    batch: Batch,
    sender: &'a mpsc::Sender<Batch>,
    progress: &'a AtomicU64,
}

/// Rows that are handed over at once.
const BATCH: usize = 512;
/// What [`Named::progress`] shows while rows are handed over: it is not the server that makes us wait.
pub(super) const HANDING_OVER: u64 = u64::MAX;

/// Stamps before the year 1 and from 9999 on may not be readable as times.
const FIRST_MICROS: i64 = -62_135_596_800_000_000;
const END_MICROS: i64 = 253_370_764_800_000_000;
/// The same in days of the common era.
const FIRST_DAY: i64 = 1;
const END_DAY: i64 = 3_651_695;
/// Floats beyond these may not be readable as numbers.
const END_FLOAT: f64 = 1e30;

impl<'a> RowHasher<'a> {
    pub fn new(cells: &'a [Cell], mark: Mark, on_row: OnHash<'a>) -> Self {
        Self { cells, mark, next: 0, buffer: Vec::with_capacity(256), rows: Rows::Counted { key: None, on_row } }
    }

    /// For rows that are told apart by the first columns, whatever they are, and handed over in batches. `progress` moves with
    /// each row.
    pub fn named(
        cells: &'a [Cell],
        mark: Mark,
        keys: &'a [FieldType],
        sender: &'a mpsc::Sender<Batch>,
        progress: &'a AtomicU64,
    ) -> Self {
        let named = Named { keys, name: Vec::new(), is_whole: true, batch: Batch::default(), sender, progress };
        Self { cells, mark, next: 0, buffer: Vec::with_capacity(256), rows: Rows::Named(named) }
    }

    /// How the next value is taken up; `None` beyond the last one.
    pub fn cell(&self) -> Option<Cell> {
        self.cells.get(self.next).copied()
    }

    /// Takes up the next value.
    pub fn push(&mut self, content: Option<Content<'_>>) {
        let Some(cell) = self.cell() else { return };
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let content = content.map(|content| as_held(cell, content, &mut text));
        let number = self.next;
        self.next += 1;
        match &mut self.rows {
            Rows::Counted { key, .. } if number == 0 => {
                *key = if let Some(Content::Int(key)) = content { Some(key) } else { None };
            }
            Rows::Named(named) if number < named.keys.len() => {
                named.is_whole &=
                    content.is_some_and(|content| put_name(named.keys[number], cell, content, &mut named.name));
                return;
            }
            _ => {}
        }
        match content {
            None => self.buffer.push(0),
            Some(content) if is_odd(cell.form, content) => self.buffer.extend([1, self.mark as u8]),
            Some(content) => encode(content, &mut self.buffer),
        }
    }

    /// The row is over.
    pub fn end(&mut self) {
        let is_complete = self.next == self.cells.len();
        match &mut self.rows {
            Rows::Counted { key, on_row } => {
                if let (Some(key), true) = (key.take(), is_complete) {
                    on_row(RowHash { key, hash: xxh3_128(&self.buffer) });
                }
            }
            Rows::Named(named) => {
                if is_complete && std::mem::replace(&mut named.is_whole, true) {
                    let compared = Compared { digest: Some(xxh3_128(&self.buffer)), tolerant: Box::default() };
                    named.batch.push(xxh3_128(&named.name), compared, |names| names.extend_from_slice(&named.name));
                }
                named.name.clear();
                named.progress.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.buffer.clear();
        self.next = 0;
    }

    /// Hands over what has come, if it is enough. `false` when nobody listens any more.
    pub async fn hand_over_if_full(&mut self) -> bool {
        match &self.rows {
            Rows::Named(named) if named.batch.len() >= BATCH => self.hand_over().await,
            _ => true,
        }
    }

    /// Hands over what has come. `false` when nobody listens any more.
    pub async fn hand_over(&mut self) -> bool {
        let Rows::Named(named) = &mut self.rows else { return true };
        let before = named.progress.swap(HANDING_OVER, Ordering::Relaxed);
        let is_taken = named.sender.send(std::mem::take(&mut named.batch)).await.is_ok();
        named.progress.store(before.wrapping_add(1), Ordering::Relaxed);
        is_taken
    }
}

/// A UUID as the text that the other side holds, where that is the form in common.
fn as_held<'v>(cell: Cell, content: Content<'v>, text: &'v mut [u8; uuid::fmt::Hyphenated::LENGTH]) -> Content<'v> {
    match (cell, content) {
        (Cell { kind: Kind::Uuid, form: Form::Text }, Content::Bytes(bytes)) => match Uuid::from_slice(bytes) {
            Ok(uuid) => Content::Bytes(uuid.hyphenated().encode_lower(text).as_bytes()),
            Err(_) => Content::Odd,
        },
        (_, content) => content,
    }
}

/// Adds a part of a key in its canonical encoding; `false` when it cannot be read as that type.
fn put_name(field_type: FieldType, cell: Cell, content: Content<'_>, name: &mut Vec<u8>) -> bool {
    match (field_type, content) {
        (FieldType::Text, Content::Bytes(bytes)) if cell == (Cell { kind: Kind::Uuid, form: Form::Uuid }) => {
            let Ok(uuid) = Uuid::from_slice(bytes) else { return false };
            put_text(uuid.hyphenated().encode_lower(&mut [0; uuid::fmt::Hyphenated::LENGTH]), name);
        }
        (FieldType::Integer, Content::Int(value)) => put_whole(value, name),
        (FieldType::Text, Content::Bytes(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => put_text(text, name),
            Err(_) => return false,
        },
        (FieldType::Uuid, Content::Bytes(bytes)) => {
            match Uuid::from_slice(bytes).or_else(|_| Uuid::try_parse_ascii(bytes)) {
                Ok(uuid) => put_uuid(uuid, name),
                Err(_) => return false,
            }
        }
        _ => return false,
    }
    true
}

fn is_odd(form: Form, content: Content<'_>) -> bool {
    match (form, content) {
        (_, Content::Odd) => true,
        (Form::Instant | Form::Naive, Content::Count(micros)) => !(FIRST_MICROS..END_MICROS).contains(&micros),
        (Form::Date, Content::Count(days)) => !(FIRST_DAY..END_DAY).contains(&days),
        (Form::Text, Content::Bytes(bytes)) => std::str::from_utf8(bytes).is_err(),
        (_, Content::Float(value)) => !(-END_FLOAT..END_FLOAT).contains(&value),
        _ => false,
    }
}

fn encode(content: Content<'_>, out: &mut Vec<u8>) {
    let mut tagged = |tag: u8, body: &[u8]| {
        out.push(tag);
        out.extend_from_slice(body);
    };
    match content {
        Content::Int(value) => tagged(2, &value.to_le_bytes()),
        Content::Count(value) => tagged(3, &value.to_le_bytes()),
        // Zero has a sign that nobody means.
        Content::Float(value) => tagged(4, &(value + 0.0).to_bits().to_le_bytes()),
        Content::Decimal { mantissa, power } => {
            let (mantissa, power) = shortest(mantissa, power);
            tagged(5, &mantissa.to_le_bytes());
            out.extend_from_slice(&power.to_le_bytes());
        }
        Content::Long(number) => {
            let text = number.to_string();
            tagged(6, &(text.len() as u64).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        Content::Bytes(bytes) => {
            tagged(7, &(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        Content::Odd => {}
    }
}

/// The one way to write a number in which the mantissa does not end in zero.
fn shortest(mut mantissa: i128, mut power: i32) -> (i128, i32) {
    if mantissa == 0 {
        return (0, 0);
    }
    // Divisions of 64 bits are many times faster, and nearly always enough.
    if let Ok(mut short) = i64::try_from(mantissa) {
        while short % 10 == 0 {
            (short, power) = (short / 10, power + 1);
        }
        return (short.into(), power);
    }
    while mantissa % 10 == 0 {
        (mantissa, power) = (mantissa / 10, power + 1);
    }
    (mantissa, power)
}

/// Most digits of a [`Content::Decimal`], trailing and leading zeros left out; numbers with more are [`Content::Long`].
/// Both engines have to draw the line at the same numbers.
pub(super) const MOST_DIGITS: usize = 25;

/// A decimal in ASCII, as MySQL sends it.
pub(super) fn decimal_text(text: &[u8]) -> Option<Content<'static>> {
    let (is_negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        [b'+', body @ ..] | body => (false, body),
    };
    let point = body.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = point.map_or((body, &[][..]), |point| (&body[..point], &body[point + 1..]));
    let zeros = fraction.iter().rev().take_while(|byte| **byte == b'0').count();
    let fraction = &fraction[..fraction.len() - zeros];
    let leading = whole.iter().take_while(|byte| **byte == b'0').count();
    let whole = &whole[leading..];
    if whole.len() + fraction.len() > MOST_DIGITS || (whole.is_empty() && fraction.is_empty() && body.is_empty()) {
        return None;
    }
    let mut mantissa: i128 = 0;
    for byte in whole.iter().chain(fraction) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        mantissa = mantissa * 10 + i128::from(digit);
    }
    let power = -i32::try_from(fraction.len()).ok()?;
    Some(Content::Decimal { mantissa: if is_negative { -mantissa } else { mantissa }, power })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::key_to_bytes;
    use crate::compare::Side;
    use crate::model::{Key, Value};
    use crate::sweep::Matching;

    fn decimal(text: &str) -> Option<(i128, i32)> {
        match decimal_text(text.as_bytes()) {
            Some(Content::Decimal { mantissa, power }) => Some(shortest(mantissa, power)),
            _ => None,
        }
    }

    #[test]
    fn a_number_has_one_form() {
        let check = |text: &str, expect| assert_eq!(decimal(text), expect, "{text}");
        check("0", Some((0, 0)));
        check("-0.00", Some((0, 0)));
        check("1.50", Some((15, -1)));
        check("001.5", Some((15, -1)));
        check("-1200", Some((-12, 2)));
        check("0.0001", Some((1, -4)));
        check("99999999999999999999.5", Some((999_999_999_999_999_999_995, -1)));
        check("12345678901234567890123456", None);
        check("", None);
        check("1e5", None);
    }

    fn hashed(form: Form, mark: Mark, contents: &[Option<Content<'_>>]) -> Vec<RowHash> {
        let key = Cell { kind: Kind::Dynamic, form: Form::Int8 };
        let cells: Vec<Cell> = [key].into_iter().chain(contents.iter().map(|_| Cell { form, ..key })).collect();
        let mut rows = Vec::new();
        let mut on_row = |row| rows.push(row);
        let mut hasher = RowHasher::new(&cells, mark, &mut on_row);
        hasher.push(Some(Content::Int(7)));
        contents.iter().for_each(|content| hasher.push(*content));
        hasher.end();
        rows
    }

    #[test]
    fn hashes_are_equal_exactly_when_the_content_is() {
        let hash = |form, contents: &[Option<Content<'_>>]| hashed(form, Mark::Owner, contents)[0].hash;
        let text = |text: &'static str| Some(Content::Bytes(text.as_bytes()));
        assert_ne!(hash(Form::Text, &[text("a|b"), text("c")]), hash(Form::Text, &[text("a"), text("b|c")]));
        assert_ne!(hash(Form::Text, &[text("ab"), text("c")]), hash(Form::Text, &[text("a"), text("bc")]));
        assert_ne!(hash(Form::Text, &[None, text("")]), hash(Form::Text, &[text(""), None]));
        let float = |value| hash(Form::Float8, &[Some(Content::Float(value))]);
        assert_eq!(float(0.0), float(-0.0));
        assert_ne!(float(1.0), float(-1.0));
    }

    #[test]
    fn what_cannot_be_read_is_equal_to_nothing() {
        let check = |form, content, is_odd: bool| {
            let [ours, theirs] = [Mark::Owner, Mark::Target].map(|mark| hashed(form, mark, &[Some(content)]));
            assert_eq!(ours != theirs, is_odd, "{content:?}");
        };
        check(Form::Text, Content::Bytes(b"a"), false);
        check(Form::Text, Content::Bytes(&[0xff]), true);
        check(Form::Bytes, Content::Bytes(&[0xff]), false);
        check(Form::Numeric, Content::Odd, true);
        check(Form::Naive, Content::Count(FIRST_MICROS), false);
        check(Form::Naive, Content::Count(END_MICROS), true);
        check(Form::Date, Content::Count(0), true);
        check(Form::Float8, Content::Float(f64::NAN), true);
        check(Form::Int8, Content::Int(i64::MIN), false);
    }

    #[tokio::test]
    async fn names_are_keys_in_their_canonical_encoding() {
        let uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let spelled = uuid.hyphenated().to_string().to_uppercase();
        let key = |value: Value| Some(key_to_bytes(&Key::new([value])));
        let text = |text: &str| Value::Text(text.into());
        let check = async |field_type, cell: (Kind, Form), content, expect: Option<Vec<u8>>| {
            let cell = Cell { kind: cell.0, form: cell.1 };
            let cells = [cell, Cell { kind: Kind::Text, form: Form::Text }];
            let (sender, mut batches) = mpsc::channel(1);
            let (keys, progress) = ([field_type], AtomicU64::new(0));
            let mut hasher = RowHasher::named(&cells, Mark::Owner, &keys, &sender, &progress);
            hasher.push(content);
            hasher.push(Some(Content::Bytes(b"x")));
            hasher.end();
            assert!(hasher.hand_over_if_full().await && hasher.hand_over().await);
            let (mut matching, mut names) = (Matching::new(Vec::new()), Vec::new());
            matching.take(Side::Owner, batches.recv().await.unwrap(), |_| {});
            names.extend(matching.drain().map(|open| open.name.to_vec()));
            assert_eq!(names, Vec::from_iter(expect), "{field_type:?} {content:?}");
        };
        let bytes = |bytes: &'static [u8]| Some(Content::Bytes(bytes));
        check(FieldType::Integer, (Kind::Dynamic, Form::Int8), Some(Content::Int(-7)), key(Value::from(-7))).await;
        check(FieldType::Text, (Kind::Text, Form::Text), bytes(b"K-1"), key(text("K-1"))).await;
        check(FieldType::Text, (Kind::Text, Form::Text), bytes(&[0xff]), None).await;
        check(FieldType::Text, (Kind::Text, Form::Text), None, None).await;
        let held = Some(Content::Bytes(uuid.as_bytes()));
        check(FieldType::Text, (Kind::Uuid, Form::Text), held, key(text(&uuid.hyphenated().to_string()))).await;
        check(FieldType::Text, (Kind::Uuid, Form::Uuid), held, key(text(&uuid.hyphenated().to_string()))).await;
        check(FieldType::Uuid, (Kind::Uuid, Form::Text), held, key(Value::Uuid(uuid))).await;
        check(FieldType::Uuid, (Kind::Uuid, Form::Uuid), held, key(Value::Uuid(uuid))).await;
        check(
            FieldType::Uuid,
            (Kind::Text, Form::Text),
            Some(Content::Bytes(spelled.as_bytes())),
            key(Value::Uuid(uuid)),
        )
        .await;
        check(FieldType::Uuid, (Kind::Text, Form::Text), bytes(b"none"), None).await;
    }

    #[test]
    fn a_row_without_a_key_is_in_no_span() {
        let cells = [Cell { kind: Kind::Dynamic, form: Form::Int8 }];
        let mut rows = 0;
        let mut on_row = |_| rows += 1;
        let mut hasher = RowHasher::new(&cells, Mark::Owner, &mut on_row);
        hasher.push(None);
        hasher.end();
        assert_eq!(rows, 0);
    }
}
