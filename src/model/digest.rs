//! Digests of values: typed, length-prefixed, NULL-tagged, so that no separator can be confused with data.
//!
//! In memory XXH3-128 tells states apart quickly. What leaves the process (ledger) is keyed BLAKE3, so that a
//! reader of the ledger cannot find a hashed e-mail by trying e-mails.

use std::fmt;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::money::Money;
use super::number::Number;
use super::time::Moment;
use super::value::Value;

/// XXH3-128 of encoded values. For telling states apart inside the auditor; not cryptographic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Digest(pub u128);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Appends the canonical encoding of `value`: a type tag, then a fixed-width or length-prefixed body.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0),
        Value::Bool(value) => out.extend([1, u8::from(*value)]),
        Value::Number(value) => match value.as_i64() {
            Some(whole) => put_whole(whole, out),
            None => {
                out.push(3);
                let begin = out.len();
                out.extend([0; 8]);
                value.put_text(out);
                let length = (out.len() - begin - 8) as u64;
                out[begin..begin + 8].copy_from_slice(&length.to_le_bytes());
            }
        },
        Value::Money(value) => {
            out.push(4);
            out.extend(value.currency.code().as_bytes());
            encode(&Value::Number(value.amount.clone()), out);
        }
        Value::Text(value) => put_text(value, out),
        Value::Time(value) => {
            out.push(6);
            out.extend(value.micros().to_le_bytes());
        }
        Value::Date(value) => {
            out.push(7);
            out.extend(value.num_days_from_ce().to_le_bytes());
        }
        Value::Uuid(value) => put_uuid(*value, out),
        Value::Bytes(value) => tagged(9, value, out),
        Value::Invalid(value) => tagged(10, value.reason.as_bytes(), out),
    }
}

/// Appends what [`encode`] makes of a whole number.
pub fn put_whole(value: i64, out: &mut Vec<u8>) {
    out.push(2);
    out.extend(value.to_le_bytes());
}

/// Appends what [`encode`] makes of a text.
pub fn put_text(value: &str, out: &mut Vec<u8>) {
    tagged(5, value.as_bytes(), out);
}

/// Appends what [`encode`] makes of a UUID.
pub fn put_uuid(value: Uuid, out: &mut Vec<u8>) {
    out.push(8);
    out.extend(value.as_bytes());
}

fn tagged(tag: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend((body.len() as u64).to_le_bytes());
    out.extend(body);
}

/// Reads back what [`encode`] wrote and moves `input` past it; `None` when the bytes are not an encoded value.
pub fn decode(input: &mut &[u8]) -> Option<Value> {
    let tag = take(input, 1)?[0];
    Some(match tag {
        0 => Value::Null,
        1 => Value::Bool(take(input, 1)?[0] != 0),
        2 => Value::Number(Number::from(i64::from_le_bytes(take(input, 8)?.try_into().ok()?))),
        3 => Value::Number(text(input)?.parse().ok()?),
        4 => {
            let currency = std::str::from_utf8(take(input, 3)?).ok()?.parse().ok()?;
            match decode(input)? {
                Value::Number(amount) => Value::Money(Money { amount, currency }),
                _ => return None,
            }
        }
        5 => Value::Text(text(input)?.into()),
        6 => Value::Time(Moment::from_micros(i64::from_le_bytes(take(input, 8)?.try_into().ok()?))),
        7 => {
            let days = i32::from_le_bytes(take(input, 4)?.try_into().ok()?);
            Value::Date(NaiveDate::from_num_days_from_ce_opt(days)?)
        }
        8 => Value::Uuid(Uuid::from_slice(take(input, 16)?).ok()?),
        9 => Value::Bytes(body(input)?.into()),
        10 => Value::invalid(text(input)?),
        _ => return None,
    })
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = input.split_at_checked(count)?;
    *input = rest;
    Some(head)
}

fn body<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u64::from_le_bytes(take(input, 8)?.try_into().ok()?);
    take(input, usize::try_from(length).ok()?)
}

fn text<'a>(input: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(body(input)?).ok()
}

/// Digest of a list of values; the order and the number of values matter.
pub fn digest<'a>(values: impl IntoIterator<Item = &'a Value>) -> Digest {
    let mut buffer = Vec::with_capacity(128);
    let mut hasher: Option<Xxh3> = None;
    for value in values {
        encode(value, &mut buffer);
        if buffer.len() > ONE_SHOT {
            hasher.get_or_insert_with(Xxh3::new).update(&buffer);
            buffer.clear();
        }
    }
    // Setting up the stream costs more than hashing a usual record.
    let Some(mut hasher) = hasher else { return Digest(xxh3_128(&buffer)) };
    hasher.update(&buffer);
    Digest(hasher.digest128())
}

/// Bytes that are hashed at once; longer lists of values go through in pieces. The digest is the same either way.
const ONE_SHOT: usize = 4096;

/// The secret under which keys and values are hashed before they leave the process.
#[derive(Clone)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// From 32 secret bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Keyed BLAKE3 of a list of values, cut to 128 bits: what the ledger may hold.
    pub fn keyed<'a>(&self, values: impl IntoIterator<Item = &'a Value>) -> Digest {
        let mut buffer = Vec::with_capacity(128);
        for value in values {
            encode(value, &mut buffer);
        }
        let hash = blake3::keyed_hash(&self.0, &buffer);
        let mut half = [0; 16];
        half.copy_from_slice(&hash.as_bytes()[..16]);
        Digest(u128::from_be_bytes(half))
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[Value]) -> Digest {
        digest(values)
    }

    #[test]
    fn separators_and_nulls_cannot_be_confused() {
        let text = |text: &str| Value::from(text);
        assert_ne!(of(&[text("a|b"), text("c")]), of(&[text("a"), text("b|c")]));
        assert_ne!(of(&[Value::Null]), of(&[text("null")]));
        assert_ne!(of(&[Value::Null]), of(&[text("")]));
        assert_ne!(of(&[text("1")]), of(&[Value::from(1)]));
        assert_ne!(of(&[text("a"), text("b")]), of(&[text("b"), text("a")]));
    }

    #[test]
    fn long_records_have_the_digest_of_all_their_bytes() {
        let values = [Value::from("a".repeat(5000).as_str()), Value::from(1), Value::from("b".repeat(5000).as_str())];
        let mut bytes = Vec::new();
        values.iter().for_each(|value| encode(value, &mut bytes));
        assert_eq!(of(&values), Digest(xxh3_128(&bytes)));
    }

    #[test]
    fn encoding_reads_back() {
        let money = Money { amount: "12.345".parse().unwrap(), currency: "EUR".parse().unwrap() };
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::from(-5),
            Value::Number("123456789012345678901234567890.5".parse().unwrap()),
            Value::Money(money),
            Value::from("a\0b"),
            Value::Time(Moment::from_micros(-7)),
            Value::Date(NaiveDate::from_ymd_opt(2026, 2, 28).unwrap()),
            Value::Uuid(Uuid::from_u128(7)),
            Value::Bytes([0, 255].into()),
            Value::invalid("wanted an integer"),
        ];
        let mut bytes = Vec::new();
        values.iter().for_each(|value| encode(value, &mut bytes));
        let mut input = bytes.as_slice();
        for value in &values {
            assert_eq!(decode(&mut input).as_ref(), Some(value));
        }
        assert!(input.is_empty());
        for cut in 0..bytes.len() {
            let mut input = &bytes[..cut];
            while decode(&mut input).is_some() {}
        }
    }

    #[test]
    fn keyed_digests_depend_on_the_secret() {
        let values = [Value::from("bob@example.org")];
        assert_ne!(DigestKey::new([1; 32]).keyed(&values), DigestKey::new([2; 32]).keyed(&values));
    }
}
