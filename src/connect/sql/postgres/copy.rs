//! `COPY … TO STDOUT (FORMAT binary)`: rows without a message parser's work for each value.
//!
//! Format: PostgreSQL's manual, "COPY", "Binary Format": a head of 11 bytes, flags, the length of an extension; then for
//! each row the number of its values and each value's length with its bytes; -1 instead of a length is null, -1 instead
//! of a number the end.

use futures_util::StreamExt;
use sqlx::postgres::PgConnection;

use super::{EPOCH_MICROS, Kind, big_endian, fixed, numeric};
use crate::connect::sql::rowhash::{Cell, Content, MOST_DIGITS, RowHasher};
use crate::model::Raw;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Runs a query and gives its values to `rows`.
pub(super) async fn take_up(
    connection: &mut PgConnection,
    sql: &str,
    rows: &mut RowHasher<'_>,
) -> Result<(), sqlx::Error> {
    let copy = format!("COPY ({sql}) TO STDOUT (FORMAT binary)");
    let mut messages = connection.copy_out_raw(&copy).await?;
    let mut is_first = true;
    while let Some(message) = messages.next().await {
        let message = message?;
        // A server sends each row in one message, and the head with the first.
        let mut body = if std::mem::take(&mut is_first) { without_head(&message) } else { Some(&message[..]) };
        while let Some(rest) = body.filter(|rest| !rest.is_empty()) {
            body = Some(row(rest, rows).ok_or_else(|| sqlx::Error::Protocol("a row of COPY is cut short".to_owned()))?);
        }
        if !rows.hand_over_if_full().await {
            break;
        }
    }
    Ok(())
}

fn without_head(message: &[u8]) -> Option<&[u8]> {
    let (_flags, rest) = message.strip_prefix(SIGNATURE)?.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    rest.get(usize::try_from(u32::from_be_bytes(*length)).ok()?..)
}

/// Takes up one row; gives what comes behind it. `None` when the message ends within it.
fn row<'m>(message: &'m [u8], rows: &mut RowHasher<'_>) -> Option<&'m [u8]> {
    let (values, mut rest) = message.split_first_chunk::<2>()?;
    let values = i16::from_be_bytes(*values);
    if values < 0 {
        return Some(&[]);
    }
    for _ in 0..values {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            rows.push(None);
            continue;
        };
        let (bytes, behind) = rest.split_at_checked(length)?;
        rest = behind;
        value(bytes, rows);
    }
    rows.end();
    Some(rest)
}

fn value(bytes: &[u8], rows: &mut RowHasher<'_>) {
    let Some(Cell { kind, .. }) = rows.cell() else { return };
    let content = match kind {
        Kind::Int { signed, .. } => big_endian(bytes, signed).map(Content::Int),
        Kind::Decimal => {
            if let Some(content) = decimal(bytes) {
                return rows.push(Some(content));
            }
            let number = numeric(bytes);
            let content = if let Raw::Number(number) = &number { Content::Long(number) } else { Content::Odd };
            return rows.push(Some(content));
        }
        Kind::Bool => bytes.first().map(|byte| Content::Int(i64::from(*byte))),
        Kind::Float4 => fixed(bytes).map(|bytes| Content::Float(f32::from_be_bytes(bytes).into())),
        Kind::Float8 => fixed(bytes).map(|bytes| Content::Float(f64::from_be_bytes(bytes))),
        Kind::Instant | Kind::Naive => {
            fixed(bytes).and_then(|bytes| i64::from_be_bytes(bytes).checked_add(EPOCH_MICROS)).map(Content::Count)
        }
        Kind::Date => fixed(bytes).map(|bytes| Content::Count(i64::from(i32::from_be_bytes(bytes)) + super::EPOCH_DAY)),
        Kind::Jsonb => bytes.get(1..).map(Content::Bytes),
        _ => Some(Content::Bytes(bytes)),
    };
    rows.push(Some(content.unwrap_or(Content::Odd)));
}

/// `numeric_send`, where it has few digits.
fn decimal(bytes: &[u8]) -> Option<Content<'static>> {
    let mut words = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (count, weight, sign, _scale) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if usize::from(count) * 4 > MOST_DIGITS || !matches!(sign, 0x0000 | 0x4000) {
        return None;
    }
    let mantissa = words.take(count.into()).fold(0, |mantissa: i128, word| mantissa * 10_000 + i128::from(word));
    let power = (i32::from(weight.cast_signed()) - i32::from(count) + 1) * 4;
    Some(Content::Decimal { mantissa: if sign == 0 { mantissa } else { -mantissa }, power })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Mark;
    use crate::connect::sql::rowhash::decimal_text;
    use crate::sweep::{Form, RowHash};

    fn rows_of(messages: &[&[u8]]) -> Option<Vec<RowHash>> {
        let cell = |kind, form| Cell { kind, form };
        let cells = [cell(Kind::Int { bytes: 4, signed: true }, Form::Int4), cell(Kind::Text, Form::Text)];
        let mut found = Vec::new();
        let mut on_row = |row| found.push(row);
        let mut rows = RowHasher::new(&cells, Mark::Owner, &mut on_row);
        for message in messages {
            let mut body = *message;
            while !body.is_empty() {
                body = row(body, &mut rows)?;
            }
        }
        Some(found)
    }

    const ROW: &[u8] = b"\0\x02\0\0\0\x04\0\0\0\x07\0\0\0\x02ab";

    #[test]
    fn rows_come_behind_a_head_and_end_with_a_number() {
        let head = [SIGNATURE, &[0; 8][..], ROW].concat();
        assert_eq!(without_head(&head), Some(ROW));
        assert_eq!(without_head(b"PGCOPY"), None);
        let found = rows_of(&[ROW, b"\0\x02\0\0\0\x04\0\0\0\x08\xff\xff\xff\xff", b"\xff\xff"]).unwrap();
        assert_eq!(found.iter().map(|row| row.key).collect::<Vec<_>>(), [7, 8]);
        assert_ne!(found[0].hash, found[1].hash);
    }

    #[test]
    fn a_message_that_ends_within_a_row_is_an_error() {
        for end in 1..ROW.len() {
            assert_eq!(rows_of(&[&ROW[..end]]), None, "{end}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_other_engine() {
        let check = |weight: i16, sign: u16, digits: &[u16], text: &str| {
            let head = [digits.len() as u16, weight.cast_unsigned(), sign, 0];
            let bytes: Vec<u8> = head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect();
            let hash = |content| {
                let cells =
                    [Cell { kind: Kind::Dynamic, form: Form::Int8 }, Cell { kind: Kind::Decimal, form: Form::Numeric }];
                let mut found = Vec::new();
                let mut on_row = |row: RowHash| found.push(row.hash);
                let mut rows = RowHasher::new(&cells, Mark::Owner, &mut on_row);
                rows.push(Some(Content::Int(1)));
                rows.push(Some(content));
                rows.end();
                found
            };
            assert_eq!(hash(decimal(&bytes).unwrap()), hash(decimal_text(text.as_bytes()).unwrap()), "{text}");
        };
        check(0, 0, &[], "0.00");
        check(0, 0, &[12], "12.00");
        check(0, 0x4000, &[12, 3400], "-12.34");
        check(-1, 0, &[1], "0.0001");
        check(1, 0, &[5], "50000");
        check(4, 0, &[1844, 6744, 737, 955, 1615], "18446744073709551615");
    }
}
