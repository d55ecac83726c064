//! PostgreSQL: binary results decoded by type OID.
//!
//! Formats: PostgreSQL source, `src/backend/utils/adt/*.c`, the `*send` functions.

use async_trait::async_trait;
use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::{BigInt, Sign};
use chrono::{NaiveDate, NaiveTime};
use rust_decimal::Decimal;
use sqlx::postgres::{PgArguments, PgColumn, PgConnection, PgRow, PgTypeInfo, Postgres};
use sqlx::{Arguments, Column, Row, TypeInfo, ValueRef};
use uuid::Uuid;

use super::engine::{Driver, Kind, ResultColumn};
use super::rowhash::RowHasher;
use super::text::{Arg, Dialect};
use super::values::{naive_from_micros, text_or_bytes, undecodable};
use crate::model::{Moment, Number, Raw};

mod copy;

pub(super) struct PostgresDriver;

#[async_trait]
impl Driver for PostgresDriver {
    type Db = Postgres;
    const DIALECT: Dialect = Dialect::Postgres;
    const UNLIMITED: Option<&'static str> = Some("SET statement_timeout = 0");
    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

    const BEFORE_EXPLAIN: Option<&'static str> = Some("SET enable_seqscan = off");
    const EXPLAIN: &'static str = "EXPLAIN (FORMAT JSON)";

    fn result_column(column: &PgColumn) -> ResultColumn {
        result_column(column.type_info())
    }

    fn arguments(args: &[Arg]) -> Result<PgArguments, sqlx::error::BoxDynError> {
        let mut arguments = PgArguments::default();
        for arg in args {
            match arg {
                Arg::Null => arguments.add(None::<String>)?,
                Arg::Int(value) => arguments.add(value.to_string())?,
                Arg::Float(value) => arguments.add(value.to_string())?,
                Arg::Decimal(value) | Arg::Text(value) => arguments.add(value.as_str())?,
                Arg::Bytes(value) => arguments.add(value.as_slice())?,
                Arg::Texts(values) => arguments.add(values.as_slice())?,
                Arg::Ints(values) => arguments.add(values.as_slice())?,
            }
        }
        Ok(arguments)
    }

    async fn take_up(connection: &mut PgConnection, sql: &str, rows: &mut RowHasher<'_>) -> Result<(), sqlx::Error> {
        copy::take_up(connection, sql, rows).await
    }

    fn decode(row: &PgRow, index: usize, kind: Kind) -> Raw {
        let Ok(value) = row.try_get_raw(index) else { return undecodable("no such result column") };
        if value.is_null() {
            return Raw::Null;
        }
        value.as_bytes().map_or(Raw::Null, |bytes| decode(bytes, kind))
    }
}

/// How a type is read and compared. Everything not listed is read as its text.
fn result_column(type_info: &PgTypeInfo) -> ResultColumn {
    let int = |bytes, signed| Kind::Int { bytes, signed };
    let oid = type_info.oid().map_or(0, |oid| oid.0);
    let (kind, read_cast, bind_cast) = match oid {
        16 => (Kind::Bool, None, Some("bool")),
        17 => (Kind::Bytes, None, Some("bytea")),
        19 => (Kind::Text, None, Some("name")),
        20 => (int(8, true), None, Some("int8")),
        21 => (int(2, true), None, Some("int2")),
        23 => (int(4, true), None, Some("int4")),
        25 => (Kind::Text, None, Some("text")),
        26 => (int(4, false), None, Some("oid")),
        114 => (Kind::Text, None, None),
        700 => (Kind::Float4, None, Some("float4")),
        701 => (Kind::Float8, None, Some("float8")),
        790 => (Kind::Decimal, Some("numeric"), Some("numeric")),
        1042 => (Kind::Text, None, Some("bpchar")),
        1043 => (Kind::Text, None, Some("varchar")),
        1082 => (Kind::Date, None, Some("date")),
        1083 => (Kind::TimeOfDay, None, Some("time")),
        1114 => (Kind::Naive, None, Some("timestamp")),
        1184 => (Kind::Instant, None, Some("timestamptz")),
        1700 => (Kind::Decimal, None, Some("numeric")),
        2950 => (Kind::Uuid, None, Some("uuid")),
        3802 => (Kind::Jsonb, None, None),
        _ if type_info.name().eq_ignore_ascii_case("citext") => (Kind::Text, Some("text"), Some("citext")),
        _ => (Kind::Text, Some("text"), None),
    };
    ResultColumn { kind, read_cast, bind_cast, type_name: type_info.name().to_lowercase() }
}

/// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// 2000-01-01 in days of the common era.
const EPOCH_DAY: i64 = 730_120;

fn decode(bytes: &[u8], kind: Kind) -> Raw {
    match kind {
        Kind::Bool => bytes.first().map_or_else(|| undecodable("an empty boolean"), |byte| Raw::Bool(*byte != 0)),
        Kind::Int { signed, .. } => big_endian(bytes, signed).map_or_else(|| undecodable("an integer"), Raw::Int),
        Kind::Decimal => numeric(bytes),
        Kind::Float4 => {
            fixed(bytes).map_or_else(|| undecodable("a float"), |b| Raw::Float(f32::from_be_bytes(b).into()))
        }
        Kind::Float8 => fixed(bytes).map_or_else(|| undecodable("a float"), |b| Raw::Float(f64::from_be_bytes(b))),
        Kind::Jsonb => text_or_bytes(bytes.get(1..).unwrap_or_default()),
        Kind::Bytes => Raw::Bytes(bytes.into()),
        Kind::Instant => match stamp_micros(bytes) {
            Some(micros) => Raw::Instant(Moment::from_micros(micros)),
            None => undecodable("an infinite or unreadable time stamp"),
        },
        Kind::Naive => match stamp_micros(bytes).and_then(naive_from_micros) {
            Some(naive) => Raw::Naive(naive),
            None => undecodable("an infinite or unreadable time stamp"),
        },
        Kind::Date => date(bytes).map_or_else(|| undecodable("an infinite or unreadable date"), Raw::Date),
        Kind::TimeOfDay => {
            time(bytes).map_or_else(|| undecodable("a time of day outside 00:00 to 23:59"), Raw::TimeOfDay)
        }
        Kind::Uuid => fixed(bytes).map_or_else(|| undecodable("a uuid"), |bytes| Raw::Uuid(Uuid::from_bytes(bytes))),
        Kind::Text | Kind::Bits | Kind::Dynamic => text_or_bytes(bytes),
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn big_endian(bytes: &[u8], signed: bool) -> Option<i64> {
    match bytes.len() {
        2 => fixed(bytes).map(i16::from_be_bytes).map(i64::from),
        4 if signed => fixed(bytes).map(i32::from_be_bytes).map(i64::from),
        4 => fixed(bytes).map(u32::from_be_bytes).map(i64::from),
        8 => fixed(bytes).map(i64::from_be_bytes),
        _ => None,
    }
}

fn stamp_micros(bytes: &[u8]) -> Option<i64> {
    let micros = i64::from_be_bytes(fixed(bytes)?);
    if matches!(micros, i64::MAX | i64::MIN) { None } else { micros.checked_add(EPOCH_MICROS) }
}

fn date(bytes: &[u8]) -> Option<NaiveDate> {
    let days = i32::from_be_bytes(fixed(bytes)?);
    if matches!(days, i32::MAX | i32::MIN) {
        return None;
    }
    let from_common_era = i64::from(days) + EPOCH_DAY;
    NaiveDate::from_num_days_from_ce_opt(i32::try_from(from_common_era).ok()?)
}

fn time(bytes: &[u8]) -> Option<NaiveTime> {
    let micros = u64::try_from(i64::from_be_bytes(fixed(bytes)?)).ok()?;
    let seconds = u32::try_from(micros / 1_000_000).ok()?;
    NaiveTime::from_num_seconds_from_midnight_opt(seconds, u32::try_from(micros % 1_000_000).ok()? * 1000)
}

/// `numeric_send`: number of digits, weight of the first, sign, display scale, then digits of base 10,000.
fn numeric(bytes: &[u8]) -> Raw {
    let mut words = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (Some(count), Some(weight), Some(sign), Some(_scale)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return undecodable("a numeric");
    };
    let negative = match sign {
        0x0000 => false,
        0x4000 => true,
        0xC000 => return undecodable("NaN in a numeric"),
        _ => return undecodable("infinity in a numeric"),
    };
    // The last digit's exponent, in powers of 10,000.
    let exponent = i64::from(weight.cast_signed()) - i64::from(count) + 1;
    if let Some(number) = small_numeric(words.clone(), exponent, negative) {
        return Raw::Number(number);
    }
    let mut decimal_digits = Vec::with_capacity(usize::from(count) * 4);
    for word in words {
        decimal_digits.extend([word / 1000, word / 100 % 10, word / 10 % 10, word % 10].map(|digit| digit as u8));
    }
    let sign = if negative { Sign::Minus } else { Sign::Plus };
    match BigInt::from_radix_be(sign, &decimal_digits, 10) {
        Some(digits) => Raw::Number(Number::from(BigDecimal::new(digits, -exponent * 4))),
        None if decimal_digits.is_empty() => Raw::Number(Number::ZERO),
        None => undecodable("a numeric"),
    }
}

/// Without any allocation when at most 28 digits are involved: nearly always.
fn small_numeric(words: impl Iterator<Item = u16>, exponent: i64, negative: bool) -> Option<Number> {
    let mut mantissa: i128 = 0;
    for (position, word) in words.enumerate() {
        if position >= 7 {
            return None;
        }
        mantissa = mantissa * 10_000 + i128::from(word);
    }
    let mantissa = if negative { -mantissa } else { mantissa };
    if exponent >= 0 {
        let power = u32::try_from(exponent * 4).ok().filter(|power| *power <= 20)?;
        let whole = mantissa.checked_mul(10_i128.pow(power))?;
        return i64::try_from(whole)
            .map(Number::from)
            .ok()
            .or_else(|| Decimal::try_from_i128_with_scale(whole, 0).ok().map(Number::from));
    }
    let scale = u32::try_from(-exponent * 4).ok().filter(|scale| *scale <= 28)?;
    Decimal::try_from_i128_with_scale(mantissa, scale).ok().map(Number::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        let head = [digits.len() as u16, weight.cast_unsigned(), sign, 0];
        head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numerics_are_exact() {
        let check = |weight, sign, digits: &[u16], expect: &str| {
            let Raw::Number(number) = numeric(&encoded(weight, sign, digits)) else { panic!("{expect}") };
            assert_eq!(number, expect.parse().unwrap());
        };
        check(0, 0, &[], "0");
        check(0, 0, &[12], "12");
        check(0, 0x4000, &[12, 3400], "-12.34");
        check(-1, 0, &[1], "0.0001");
        check(1, 0, &[5], "50000");
        check(5, 0, &[1], "100000000000000000000");
        check(4, 0, &[1844, 6744, 737, 955, 1615], "18446744073709551615");
        check(9, 0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "1000200030004000500060007000800090010.0011");
        check(-9, 0, &[7], "7e-36");
        assert!(matches!(numeric(&encoded(0, 0xC000, &[])), Raw::Undecodable(_)));
        assert!(matches!(numeric(&encoded(0, 0xD000, &[])), Raw::Undecodable(_)));
        assert!(matches!(numeric(&[1]), Raw::Undecodable(_)));
    }

    #[test]
    fn days_and_stamps_count_from_2000() {
        assert_eq!(decode(&0_i32.to_be_bytes(), Kind::Date), Raw::Date(NaiveDate::from_ymd_opt(2000, 1, 1).unwrap()));
        assert_eq!(decode(&0_i64.to_be_bytes(), Kind::Instant), Raw::Instant(Moment::from_micros(EPOCH_MICROS)));
        assert!(matches!(decode(&i64::MAX.to_be_bytes(), Kind::Instant), Raw::Undecodable(_)));
        assert!(matches!(decode(&i32::MIN.to_be_bytes(), Kind::Date), Raw::Undecodable(_)));
    }

    #[test]
    fn nothing_panics_on_a_wrong_length() {
        let int = Kind::Int { bytes: 4, signed: true };
        for kind in [Kind::Bool, int, Kind::Decimal, Kind::Float4, Kind::Instant, Kind::Naive, Kind::Date, Kind::Uuid] {
            assert!(matches!(decode(&[], kind), Raw::Undecodable(_)), "{kind:?}");
        }
        assert_eq!(decode(&[0xff], Kind::Text), Raw::Bytes([0xff].into()));
    }
}
