//! Hashes rows here, from what the servers sent, without making values of it: where two systems hold the same columns
//! in ways whose content can be compared ([`Form`]), equal hashes prove that the records are equal.
//!
//! Each value becomes a tag and its canonical content: numbers without trailing zeros, stamps as microseconds, texts and
//! bytes with their length. What could not be read as a value gets the side's mark, which differs between the sides.

use xxhash_rust::xxh3::xxh3_128;

use super::engine::Kind;
use crate::connect::Mark;
use crate::model::Number;
use crate::sweep::{Form, RowHash};

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
    key: Option<i64>,
    buffer: Vec<u8>,
    /// Rows whose first column is no key; they are in nobody's span.
    on_row: OnHash<'a>,
}

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
        Self { cells, mark, next: 0, key: None, buffer: Vec::with_capacity(256), on_row }
    }

    /// How the next value is taken up; `None` beyond the last one.
    pub fn cell(&self) -> Option<Cell> {
        self.cells.get(self.next).copied()
    }

    /// Takes up the next value.
    pub fn push(&mut self, content: Option<Content<'_>>) {
        let Some(cell) = self.cell() else { return };
        if self.next == 0 {
            self.key = if let Some(Content::Int(key)) = content { Some(key) } else { None };
        }
        self.next += 1;
        match content {
            None => self.buffer.push(0),
            Some(content) if is_odd(cell.form, content) => self.buffer.extend([1, self.mark as u8]),
            Some(content) => encode(content, &mut self.buffer),
        }
    }

    /// The row is over.
    pub fn end(&mut self) {
        if let (Some(key), true) = (self.key, self.next == self.cells.len()) {
            (self.on_row)(RowHash { key, hash: xxh3_128(&self.buffer) });
        }
        self.buffer.clear();
        (self.next, self.key) = (0, None);
    }
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
