//! Values on their way out of a row and into a statement. Pure.

use chrono::{DateTime, NaiveDateTime};
use uuid::Uuid;

use super::engine::Kind;
use super::text::{Arg, Dialect};
use crate::model::{Moment, Number, Raw};

/// Present, but not expressible. `what` names the type and never the data.
pub(super) fn undecodable(what: &str) -> Raw {
    Raw::Undecodable(what.into())
}

/// Text, or bytes when it is not UTF-8.
pub(super) fn text_or_bytes(bytes: &[u8]) -> Raw {
    match std::str::from_utf8(bytes) {
        Ok(text) => Raw::Text(text.into()),
        Err(_) => Raw::Bytes(bytes.into()),
    }
}

/// Calendar time without a zone from microseconds since 1970.
pub(super) fn naive_from_micros(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc())
}

/// The exact number that a raw value is or spells.
pub(super) fn number_of(raw: &Raw) -> Option<Number> {
    match raw {
        Raw::Int(value) => Some(Number::from(*value)),
        Raw::Number(value) => Some(value.clone()),
        Raw::Text(text) => text.parse().ok(),
        Raw::Bool(value) => Some(Number::from(i64::from(*value))),
        _ => None,
    }
}

/// The text that a raw value is or is written as.
pub(super) fn text_of(raw: &Raw) -> Option<String> {
    Some(match raw {
        Raw::Text(text) => text.to_string(),
        Raw::Int(value) => value.to_string(),
        Raw::Number(value) => value.to_string(),
        Raw::Float(value) => value.to_string(),
        Raw::Bool(value) => value.to_string(),
        Raw::Uuid(value) => value.to_string(),
        Raw::Date(value) => value.to_string(),
        Raw::TimeOfDay(value) => value.to_string(),
        Raw::Naive(value) => naive_text(*value),
        Raw::Instant(value) => naive_text(value.to_utc().naive_utc()),
        Raw::Null | Raw::Bytes(_) | Raw::Undecodable(_) => return None,
    })
}

/// `2026-01-01 10:00:00.000000`, which every engine reads.
pub(super) fn naive_text(time: NaiveDateTime) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// The value to bind for `raw` next to a column of `kind`; `None` when no row of that column can hold it, so
/// that one odd key does not make the statement of all the others fail.
pub(super) fn arg_for(dialect: Dialect, kind: Kind, raw: &Raw) -> Option<Arg> {
    if *raw == Raw::Null {
        return Some(Arg::Null);
    }
    match (dialect, kind) {
        (Dialect::Sqlite, _) => dynamic_arg(raw),
        (Dialect::Postgres, _) => as_text(kind, raw).filter(|text| !text.contains('\0')).map(Arg::Text),
        (Dialect::Mysql, Kind::Int { .. } | Kind::Bits) => {
            let number = whole_in_range(kind, raw)?;
            Some(number.as_i64().map_or_else(|| Arg::Decimal(number.to_string()), Arg::Int))
        }
        (Dialect::Mysql, Kind::Decimal) => number_of(raw).map(|number| Arg::Decimal(number.to_string())),
        (Dialect::Mysql, Kind::Float4 | Kind::Float8) => float_of(raw).map(Arg::Float),
        (Dialect::Mysql, Kind::Bytes) => bytes_of(raw).map(Arg::Bytes),
        (Dialect::Mysql, Kind::Text) => match raw {
            Raw::Bytes(bytes) => Some(Arg::Bytes(bytes.to_vec())),
            _ => text_of(raw).map(Arg::Text),
        },
        (Dialect::Mysql, Kind::Instant) => {
            moment_micros(raw).and_then(naive_from_micros).map(naive_text).map(Arg::Text)
        }
        (Dialect::Mysql, _) => as_text(kind, raw).map(Arg::Text),
    }
}

fn as_text(kind: Kind, raw: &Raw) -> Option<String> {
    match kind {
        Kind::Int { .. } | Kind::Bits => whole_in_range(kind, raw).map(|number| number.to_string()),
        Kind::Decimal => number_of(raw).map(|number| number.to_string()),
        Kind::Float4 | Kind::Float8 => float_of(raw).map(|value| value.to_string()),
        Kind::Text | Kind::Jsonb | Kind::Dynamic => text_of(raw),
        Kind::Bytes => {
            bytes_of(raw).map(|bytes| bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")))
        }
        Kind::Uuid => match raw {
            Raw::Uuid(uuid) => Some(uuid.to_string()),
            _ => Uuid::try_parse(&text_of(raw)?).ok().map(|uuid| uuid.to_string()),
        },
        Kind::Bool => match raw {
            Raw::Bool(value) => Some(value.to_string()),
            _ => number_of(raw)?.as_i64().filter(|value| (0..=1).contains(value)).map(|value| (value == 1).to_string()),
        },
        Kind::Instant => match raw {
            Raw::Instant(moment) => Some(format!("{}+00", naive_text(moment.to_utc().naive_utc()))),
            Raw::Naive(naive) => Some(format!("{}+00", naive_text(*naive))),
            _ => None,
        },
        Kind::Naive => match raw {
            Raw::Instant(_) | Raw::Naive(_) => text_of(raw),
            Raw::Date(day) => Some(day.to_string()),
            _ => None,
        },
        Kind::Date => match raw {
            Raw::Date(day) => Some(day.to_string()),
            Raw::Text(text) => text.parse::<chrono::NaiveDate>().ok().map(|day| day.to_string()),
            _ => None,
        },
        Kind::TimeOfDay => {
            if let Raw::TimeOfDay(time) = raw {
                Some(time.to_string())
            } else {
                None
            }
        }
    }
}

fn whole_in_range(kind: Kind, raw: &Raw) -> Option<Number> {
    let number = number_of(raw).filter(Number::is_whole)?;
    let Kind::Int { bytes, signed } = kind else { return Some(number) };
    let bits = u32::from(bytes.clamp(1, 8)) * 8;
    let (low, high) =
        if signed { (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1) } else { (0, (1_i128 << bits) - 1) };
    let value: i128 = number.to_string().parse().ok()?;
    (low..=high).contains(&value).then_some(number)
}

fn float_of(raw: &Raw) -> Option<f64> {
    match raw {
        Raw::Float(value) => Some(*value),
        _ => number_of(raw)?.to_string().parse().ok(),
    }
}

fn bytes_of(raw: &Raw) -> Option<Vec<u8>> {
    match raw {
        Raw::Bytes(bytes) => Some(bytes.to_vec()),
        Raw::Text(text) => Some(text.as_bytes().to_vec()),
        Raw::Uuid(uuid) => Some(uuid.as_bytes().to_vec()),
        _ => None,
    }
}

/// SQLite applies the column's affinity to what is bound; the value's own type is bound.
fn dynamic_arg(raw: &Raw) -> Option<Arg> {
    Some(match raw {
        Raw::Int(value) => Arg::Int(*value),
        Raw::Bool(value) => Arg::Int(i64::from(*value)),
        Raw::Float(value) => Arg::Float(*value),
        Raw::Bytes(bytes) => Arg::Bytes(bytes.to_vec()),
        _ => Arg::Text(text_of(raw)?),
    })
}

/// What else a SQLite column without an affinity may hold for the same key: `5` for `"5"` and the other way round.
pub(super) fn other_storage_class(arg: &Arg) -> Option<Arg> {
    match arg {
        Arg::Int(value) => Some(Arg::Text(value.to_string())),
        Arg::Text(text) => text.parse().ok().filter(|value: &i64| value.to_string() == *text).map(Arg::Int),
        _ => None,
    }
}

/// Microseconds of a moment, for stamps that count.
pub(super) fn moment_micros(raw: &Raw) -> Option<i64> {
    match raw {
        Raw::Instant(moment) => Some(Moment::micros(*moment)),
        Raw::Naive(naive) => Some(naive.and_utc().timestamp_micros()),
        Raw::Date(day) => Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_a_column_cannot_hold_is_left_out() {
        let small = Kind::Int { bytes: 2, signed: true };
        let check = |kind, raw: Raw, expect: Option<&str>| {
            let expect = expect.map(|text| Arg::Text(text.to_owned()));
            assert_eq!(arg_for(Dialect::Postgres, kind, &raw), expect, "{raw:?}");
        };
        check(small, Raw::Int(32_767), Some("32767"));
        check(small, Raw::Int(32_768), None);
        check(small, Raw::Text("abc".into()), None);
        check(small, Raw::Text("12".into()), Some("12"));
        check(small, Raw::Number("1.5".parse().unwrap()), None);
        check(Kind::Text, Raw::Text("a\0b".into()), None);
        check(Kind::Uuid, Raw::Text("no uuid".into()), None);
        check(Kind::Bytes, Raw::Bytes([1, 255].into()), Some("\\x01ff"));
    }

    #[test]
    fn unsigned_keys_beyond_i64_are_bound_exactly() {
        let kind = Kind::Int { bytes: 8, signed: false };
        let largest = Raw::Number(Number::from(u64::MAX));
        assert_eq!(arg_for(Dialect::Mysql, kind, &largest), Some(Arg::Decimal("18446744073709551615".to_owned())));
        assert_eq!(arg_for(Dialect::Mysql, kind, &Raw::Int(-1)), None);
    }
}
