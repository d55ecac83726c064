//! MySQL and MariaDB: rows of the binary protocol.
//!
//! Formats: "Binary Protocol Value" in MySQL's internals manual, which MariaDB shares.

use async_trait::async_trait;
use bigdecimal::BigDecimal;
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime};
use futures_util::StreamExt;
use sqlx::mysql::{MySql, MySqlArguments, MySqlColumn, MySqlConnection, MySqlRow, MySqlTypeInfo};
use sqlx::{Arguments, AssertSqlSafe, Column, Decode, Executor, Row, Type, TypeInfo, ValueRef};

use super::engine::{Driver, Kind, ResultColumn};
use super::rowhash::{Cell, Content, RowHasher, decimal_text};
use super::text::{Arg, Dialect};
use super::values::{text_or_bytes, undecodable};
use crate::model::{Moment, Number, Raw};

pub(super) struct MysqlDriver;

#[async_trait]
impl Driver for MysqlDriver {
    type Db = MySql;
    const DIALECT: Dialect = Dialect::Mysql;
    // Each server runs only the comment meant for it. A slow consumer must not make the server hang up.
    const UNLIMITED: Option<&'static str> = Some(
        "SET SESSION net_write_timeout = 600 /*M! , max_statement_time = 0 */ /*!80000 , max_execution_time = 0 */",
    );
    const BEGIN: &'static str = "START TRANSACTION READ ONLY";

    const BEFORE_EXPLAIN: Option<&'static str> = None;
    const EXPLAIN: &'static str = "EXPLAIN";

    fn result_column(column: &MySqlColumn) -> ResultColumn {
        result_column(column.type_info())
    }

    fn arguments(args: &[Arg]) -> Result<MySqlArguments, sqlx::error::BoxDynError> {
        let mut arguments = MySqlArguments::default();
        for arg in args {
            match arg {
                Arg::Null => arguments.add(None::<String>)?,
                Arg::Int(value) => arguments.add(*value)?,
                Arg::Float(value) => arguments.add(*value)?,
                Arg::Decimal(value) => arguments.add(value.parse::<BigDecimal>()?)?,
                Arg::Text(value) => arguments.add(value.as_str())?,
                Arg::Bytes(value) => arguments.add(value.as_slice())?,
                Arg::Texts(_) | Arg::Ints(_) => return Err("no arrays here".into()),
            }
        }
        Ok(arguments)
    }

    async fn take_up(connection: &mut MySqlConnection, sql: &str, rows: &mut RowHasher<'_>) -> Result<(), sqlx::Error> {
        let mut answer = connection.fetch(sqlx::query(AssertSqlSafe(sql)));
        while let Some(row) = answer.next().await {
            let row = row?;
            let mut index = 0;
            while let Some(Cell { kind, .. }) = rows.cell() {
                let value = row.try_get_raw(index)?;
                // The driver takes `0000-00-00` for null, too.
                let bytes = if value.is_null() { None } else { <&[u8] as Decode<MySql>>::decode(value).ok() };
                take_up(bytes, kind, rows);
                index += 1;
            }
            rows.end();
            if !rows.hand_over_if_full().await {
                break;
            }
        }
        Ok(())
    }

    fn decode(row: &MySqlRow, index: usize, kind: Kind) -> Raw {
        let Ok(value) = row.try_get_raw(index) else { return undecodable("no such result column") };
        // The driver takes `0000-00-00` for null too, which is what people mean by it.
        if value.is_null() {
            return Raw::Null;
        }
        <&[u8] as Decode<MySql>>::decode(value).map_or(Raw::Null, |bytes| decode(bytes, kind))
    }
}

fn result_column(type_info: &MySqlTypeInfo) -> ResultColumn {
    let unsigned = <u64 as Type<MySql>>::compatible(type_info);
    // A `_bin` collation makes the driver's name say BINARY or BLOB; the character set tells text from bytes.
    let text = <str as Type<MySql>>::compatible(type_info);
    let name = type_info.name();
    let int = |bytes| Kind::Int { bytes, signed: !unsigned };
    let kind = match name.trim_end_matches(" UNSIGNED") {
        "BOOLEAN" | "TINYINT" => int(1),
        "SMALLINT" => int(2),
        "YEAR" => Kind::Int { bytes: 2, signed: false },
        "INT" | "MEDIUMINT" => int(4),
        "BIGINT" => int(8),
        "FLOAT" => Kind::Float4,
        "DOUBLE" => Kind::Float8,
        "DECIMAL" => Kind::Decimal,
        "BIT" => Kind::Bits,
        "DATE" => Kind::Date,
        "TIME" => Kind::TimeOfDay,
        "DATETIME" => Kind::Naive,
        // The session's zone is UTC.
        "TIMESTAMP" => Kind::Instant,
        "ENUM" | "SET" | "JSON" => Kind::Text,
        _ if text => Kind::Text,
        _ => Kind::Bytes,
    };
    let bind_cast = match kind {
        Kind::Instant | Kind::Naive => Some("DATETIME(6)"),
        Kind::Date => Some("DATE"),
        Kind::TimeOfDay => Some("TIME(6)"),
        _ => None,
    };
    ResultColumn { kind, read_cast: None, bind_cast, type_name: name.to_lowercase() }
}

fn decode(bytes: &[u8], kind: Kind) -> Raw {
    match kind {
        Kind::Int { signed, .. } => little_endian(bytes, signed).unwrap_or_else(|| undecodable("an integer")),
        Kind::Decimal => match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
            Some(number) => Raw::Number(number),
            None => undecodable("a decimal"),
        },
        Kind::Float4 => {
            bytes.try_into().map_or_else(|_| undecodable("a float"), |b| Raw::Float(f32::from_le_bytes(b).into()))
        }
        Kind::Float8 => bytes.try_into().map_or_else(|_| undecodable("a float"), |b| Raw::Float(f64::from_le_bytes(b))),
        Kind::Bits => bits(bytes),
        Kind::Date => stamp(bytes).map_or_else(|| undecodable("not a calendar day"), |stamp| Raw::Date(stamp.date())),
        Kind::Naive => stamp(bytes).map_or_else(|| undecodable("not a calendar time"), Raw::Naive),
        Kind::Instant => match stamp(bytes) {
            Some(stamp) => Raw::Instant(Moment::from(stamp.and_utc())),
            None => undecodable("not a calendar time"),
        },
        Kind::TimeOfDay => time(bytes).map_or_else(|| undecodable("a time outside 00:00 to 23:59"), Raw::TimeOfDay),
        Kind::Bytes => Raw::Bytes(bytes.into()),
        _ => text_or_bytes(bytes),
    }
}

/// Gives a value to be hashed.
fn take_up(bytes: Option<&[u8]>, kind: Kind, rows: &mut RowHasher<'_>) {
    let Some(bytes) = bytes else { return rows.push(None) };
    let micros = |stamp: NaiveDateTime| Content::Count(stamp.and_utc().timestamp_micros());
    let content = match kind {
        Kind::Decimal => {
            if let Some(content) = decimal_text(bytes) {
                return rows.push(Some(content));
            }
            let number = decode(bytes, kind);
            let content = if let Raw::Number(number) = &number { Content::Long(number) } else { Content::Odd };
            return rows.push(Some(content));
        }
        Kind::Int { signed, .. } => match little_endian(bytes, signed) {
            Some(Raw::Int(value)) => Some(Content::Int(value)),
            _ => None,
        },
        Kind::Float4 => bytes.try_into().ok().map(|bytes| Content::Float(f32::from_le_bytes(bytes).into())),
        Kind::Float8 => bytes.try_into().ok().map(|bytes| Content::Float(f64::from_le_bytes(bytes))),
        Kind::Instant | Kind::Naive => stamp(bytes).map(micros),
        Kind::Date => stamp(bytes).map(|stamp| Content::Count(stamp.date().num_days_from_ce().into())),
        _ => Some(Content::Bytes(bytes)),
    };
    rows.push(Some(content.unwrap_or(Content::Odd)));
}

fn little_endian(bytes: &[u8], signed: bool) -> Option<Raw> {
    let mut wide = [0; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let value = u64::from_le_bytes(wide);
    if !signed {
        return Some(i64::try_from(value).map_or_else(|_| Raw::Number(Number::from(value)), Raw::Int));
    }
    let unused = 64 - 8 * u32::try_from(bytes.len()).ok().filter(|length| *length > 0)?;
    Some(Raw::Int((value << unused).cast_signed() >> unused))
}

fn bits(bytes: &[u8]) -> Raw {
    let value =
        bytes.iter().try_fold(0_u64, |value, byte| value.checked_mul(256).map(|value| value | u64::from(*byte)));
    value.map_or_else(
        || undecodable("a bit field of more than 64 bits"),
        |value| i64::try_from(value).map_or_else(|_| Raw::Number(Number::from(value)), Raw::Int),
    )
}

/// Year (2 bytes), month, day, then perhaps hour, minute, second, then perhaps microseconds (4 bytes).
/// The driver cuts off the length byte for some types and not for others.
fn stamp(bytes: &[u8]) -> Option<NaiveDateTime> {
    let body = without_length(bytes);
    let [year_low, year_high, month, day, rest @ ..] = body else { return None };
    let year = i32::from(u16::from_le_bytes([*year_low, *year_high]));
    let date = NaiveDate::from_ymd_opt(year, (*month).into(), (*day).into())?;
    match rest {
        [] => date.and_hms_opt(0, 0, 0),
        [hour, minute, second] => date.and_hms_opt((*hour).into(), (*minute).into(), (*second).into()),
        [hour, minute, second, micros @ ..] => {
            let micros = u32::from_le_bytes(micros.try_into().ok()?);
            date.and_hms_micro_opt((*hour).into(), (*minute).into(), (*second).into(), micros)
        }
        _ => None,
    }
}

/// Sign, days (4 bytes), hour, minute, second, then perhaps microseconds (4 bytes).
fn time(bytes: &[u8]) -> Option<NaiveTime> {
    let body = without_length(bytes);
    match body {
        [] => NaiveTime::from_hms_opt(0, 0, 0),
        [0, 0, 0, 0, 0, hour, minute, second] => {
            NaiveTime::from_hms_opt((*hour).into(), (*minute).into(), (*second).into())
        }
        [0, 0, 0, 0, 0, hour, minute, second, micros @ ..] => {
            let micros = u32::from_le_bytes(micros.try_into().ok()?);
            NaiveTime::from_hms_micro_opt((*hour).into(), (*minute).into(), (*second).into(), micros)
        }
        _ => None,
    }
}

fn without_length(bytes: &[u8]) -> &[u8] {
    match bytes {
        [length, body @ ..] if usize::from(*length) == body.len() => body,
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_width() {
        let check = |bytes: &[u8], signed, expect: &str| match little_endian(bytes, signed) {
            Some(Raw::Int(value)) => assert_eq!(value.to_string(), expect),
            Some(Raw::Number(value)) => assert_eq!(value.to_string(), expect),
            other => panic!("{other:?}"),
        };
        check(&[0xff], true, "-1");
        check(&[0xff], false, "255");
        check(&[0x00, 0x80], true, "-32768");
        check(&[0xff; 8], false, "18446744073709551615");
        check(&[0xff; 8], true, "-1");
        assert!(little_endian(&[0; 9], true).is_none() && little_endian(&[], true).is_none());
    }

    #[test]
    fn stamps_with_and_without_their_length() {
        let expect = NaiveDate::from_ymd_opt(2026, 1, 2).unwrap();
        assert_eq!(stamp(&[4, 0xea, 7, 1, 2]), expect.and_hms_opt(0, 0, 0));
        assert_eq!(stamp(&[7, 0xea, 7, 1, 2, 3, 4, 5]), expect.and_hms_opt(3, 4, 5));
        assert_eq!(stamp(&[11, 0xea, 7, 1, 2, 3, 4, 5, 1, 0, 0, 0]), expect.and_hms_micro_opt(3, 4, 5, 1));
        assert_eq!(stamp(&[4, 0xea, 7, 0, 2]), None, "month zero");
    }

    #[test]
    fn times_beyond_a_day_are_not_times_of_day() {
        assert_eq!(time(&[8, 0, 0, 0, 0, 0, 1, 2, 3]), NaiveTime::from_hms_opt(1, 2, 3));
        assert_eq!(time(&[8, 0, 1, 0, 0, 0, 1, 2, 3]), None);
        assert_eq!(time(&[8, 1, 0, 0, 0, 0, 1, 2, 3]), None);
    }
}
