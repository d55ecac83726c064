//! What a type can hold, read from its name in the words of PostgreSQL, MySQL, MariaDB and SQLite.
//!
//! Bounds: PostgreSQL manual, chapter 8 "Data Types"; MariaDB knowledge base, "Data Types". A name that is not understood
//! is only compared for equality.

use std::cmp::{Ordering, Reverse};

use crate::model::{Number, Value};

/// What a type can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Exact numbers between two bounds, with so many digits after the point; `None` is without a bound.
    Number { least: Option<Number>, most: Option<Number>, scale: Option<u32> },
    /// Binary floats of so many bytes.
    Float(u32),
    /// Text of so many characters (of MySQL's `text` family: bytes); padded if `fixed`.
    Text { length: Option<u64>, fixed: bool },
    /// So many bytes.
    Bytes { length: Option<u64> },
    /// Times with so many digits of a second, of one kind: `timestamp`, `time with time zone` …
    Time { kind: String, digits: u32 },
    /// Anything else, by its name.
    Other(String),
}

/// How what a type can hold has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It holds the same.
    Same,
    /// Everything that it held, and more.
    Widened,
    /// Less, at least in one respect.
    Narrowed,
    /// Another kind of thing.
    Retyped,
}

/// How `after` differs from `before`.
pub(super) fn change(before: &str, after: &str) -> Change {
    let (before, after) = (before.trim().to_lowercase(), after.trim().to_lowercase());
    beside(&before, &after).change_to(&beside(&after, &before))
}

/// PostgreSQL's and SQLite's `text` has no bound; beside a type that only MySQL has, it is MySQL's.
fn beside(name: &str, other: &str) -> Type {
    match (name, other) {
        ("text", "tinytext" | "mediumtext" | "longtext") => Type::Text { length: Some(65_535), fixed: false },
        _ => Type::parse(name),
    }
}

impl Type {
    /// From its name, in lower case.
    pub fn parse(name: &str) -> Self {
        let (head, inside, tail) = parts(name);
        let args: Vec<u32> = inside.split(',').filter_map(|arg| arg.trim().parse().ok()).collect();
        let word = format!("{head} {tail}");
        let word = word.trim();
        let text = |length: Option<u64>, fixed| Self::Text { length, fixed };
        let first = args.first().copied();
        match word {
            "character varying" | "varchar" | "nvarchar" => text(first.map(Into::into), false),
            "character" | "char" | "bpchar" | "nchar" => text(Some(first.unwrap_or(1).into()), true),
            "text" | "citext" | "clob" => text(None, false),
            "tinytext" => text(Some(255), false),
            "mediumtext" => text(Some(16_777_215), false),
            "longtext" => text(Some(4_294_967_295), false),
            "bytea" | "longblob" | "blob" => Self::Bytes { length: None },
            "varbinary" | "binary" => Self::Bytes { length: first.map(Into::into) },
            "numeric" | "decimal" | "dec" => decimal(&args, false),
            "numeric unsigned" | "decimal unsigned" => decimal(&args, true),
            "real" | "float4" | "float" => Self::Float(4),
            "double precision" | "double" | "float8" => Self::Float(8),
            "datetime" | "timestamp" | "time" => Self::Time { kind: word.to_owned(), digits: first.unwrap_or(0) },
            _ if word.ends_with(" time zone") => Self::Time { kind: word.to_owned(), digits: first.unwrap_or(6) },
            _ => integer(word).unwrap_or_else(|| Self::Other(name.to_owned())),
        }
    }

    fn change_to(&self, after: &Self) -> Change {
        let of = |orders: &[Ordering]| {
            if orders.contains(&Ordering::Less) {
                Change::Narrowed
            } else if orders.contains(&Ordering::Greater) {
                Change::Widened
            } else {
                Change::Same
            }
        };
        match (self, after) {
            (Self::Number { least, most, scale }, Self::Number { least: to_least, most: to_most, scale: to_scale }) => {
                of(&[
                    by_limit(to_least.as_ref().map(Reverse), least.as_ref().map(Reverse)),
                    by_limit(to_most.as_ref(), most.as_ref()),
                    by_limit(*to_scale, *scale),
                ])
            }
            (Self::Float(before), Self::Float(after)) => of(&[after.cmp(before)]),
            (Self::Text { length, fixed }, Self::Text { length: to, fixed: to_fixed }) if fixed == to_fixed => {
                of(&[by_limit(*to, *length)])
            }
            (Self::Bytes { length }, Self::Bytes { length: to }) => of(&[by_limit(*to, *length)]),
            (Self::Time { kind, digits }, Self::Time { kind: to_kind, digits: to }) if kind == to_kind => {
                of(&[to.cmp(digits)])
            }
            _ if self == after => Change::Same,
            _ => Change::Retyped,
        }
    }

    /// Whether a value can be held as it is. What cannot be told fits.
    pub fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Number { least, most, scale }, Value::Number(number)) => {
                in_range(number, least.as_ref(), most.as_ref()) && scale.is_none_or(|scale| number.scale() <= scale)
            }
            (Self::Number { least, most, scale }, Value::Money(money)) => {
                let amount = &money.amount;
                in_range(amount, least.as_ref(), most.as_ref()) && scale.is_none_or(|scale| amount.scale() <= scale)
            }
            (Self::Text { length: Some(length), .. }, Value::Text(text)) => text.chars().count() as u64 <= *length,
            (Self::Bytes { length: Some(length) }, Value::Bytes(bytes)) => bytes.len() as u64 <= *length,
            (Self::Time { digits, .. }, Value::Time(moment)) => {
                moment.micros() % 10_i64.pow(6_u32.saturating_sub(*digits)) == 0
            }
            _ => true,
        }
    }
}

fn in_range(number: &Number, least: Option<&Number>, most: Option<&Number>) -> bool {
    least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most)
}

/// `None` is no limit: more than any.
fn by_limit<T: Ord>(after: Option<T>, before: Option<T>) -> Ordering {
    match (after, before) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(after), Some(before)) => after.cmp(&before),
    }
}

/// `timestamp`, `3`, `with time zone` of `timestamp(3) with time zone`.
fn parts(name: &str) -> (&str, &str, &str) {
    let Some((head, rest)) = name.split_once('(') else { return (name.trim(), "", "") };
    let (inside, tail) = rest.rsplit_once(')').unwrap_or((rest, ""));
    (head.trim(), inside, tail.trim())
}

/// `numeric(12, 4)`: eight digits before the point and four after it. Without arguments PostgreSQL has no bound.
fn decimal(args: &[u32], unsigned: bool) -> Type {
    let Some(precision) = args.first() else { return Type::Number { least: None, most: None, scale: None } };
    let scale = args.get(1).copied().unwrap_or(0);
    let one = || Number::from(1_i64);
    let limit = one().shifted(i64::from(*precision) - i64::from(scale));
    let step = one().shifted(-i64::from(scale));
    let most = limit.plus(&step.times(&Number::from(-1_i64)));
    let least = if unsigned { Number::ZERO } else { most.times(&Number::from(-1_i64)) };
    Type::Number { least: Some(least), most: Some(most), scale: Some(scale) }
}

/// By the number of its bits. The display width of MySQL (`int(11)`) says nothing.
fn integer(word: &str) -> Option<Type> {
    let (name, unsigned) = word.strip_suffix(" unsigned").map_or((word, false), |name| (name, true));
    let bits: u32 = match name {
        "tinyint" => 8,
        "smallint" | "int2" => 16,
        "mediumint" => 24,
        "int" | "integer" | "int4" => 32,
        "bigint" | "int8" => 64,
        _ => return None,
    };
    let power = |bits: u32| Number::from(1_i64 << (bits / 2)).times(&Number::from(1_i64 << (bits - bits / 2)));
    let (least, limit) = match unsigned {
        true => (Number::ZERO, power(bits)),
        false => (power(bits - 1).times(&Number::from(-1_i64)), power(bits - 1)),
    };
    Some(Type::Number { least: Some(least), most: Some(limit.plus(&Number::from(-1_i64))), scale: Some(0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Moment;

    #[test]
    fn types_are_compared_by_what_they_hold() {
        let check = |before: &str, after: &str, expect: Change, back: Change| {
            assert_eq!(change(before, after), expect, "{before} -> {after}");
            assert_eq!(change(after, before), back, "{after} -> {before}");
        };
        let (same, wide, narrow, other) = (Change::Same, Change::Widened, Change::Narrowed, Change::Retyped);
        check("varchar(20)", "varchar(10)", narrow, wide);
        check("character varying(20)", "character varying", wide, narrow);
        check("VARCHAR(20)", "character varying(20)", same, same);
        check("text", "varchar(10)", narrow, wide);
        check("mediumtext", "text", narrow, wide);
        check("tinytext", "text", wide, narrow);
        check("char(3)", "varchar(3)", other, other);
        check("integer", "bigint", wide, narrow);
        check("int(11)", "int", same, same);
        check("int(10) unsigned", "int(11)", narrow, narrow);
        check("smallint", "integer", wide, narrow);
        check("numeric(12,4)", "numeric(12,2)", narrow, narrow);
        check("numeric(12,2)", "numeric(14,2)", wide, narrow);
        check("numeric", "numeric(14,2)", narrow, wide);
        check("integer", "numeric(9,0)", narrow, wide);
        check("integer", "numeric(12,0)", wide, narrow);
        check("integer", "numeric(12,2)", wide, narrow);
        check("decimal(5,2) unsigned", "decimal(5,2)", wide, narrow);
        check("real", "double precision", wide, narrow);
        check("timestamp(6) with time zone", "timestamp with time zone", same, same);
        check("timestamp with time zone", "timestamp(0) with time zone", narrow, wide);
        check("timestamp with time zone", "timestamp without time zone", other, other);
        check("datetime(6)", "datetime", narrow, wide);
        check("date", "datetime", other, other);
        check("integer", "text", other, other);
        check("numeric(12,2)", "double precision", other, other);
        check("varbinary(10)", "varbinary(4)", narrow, wide);
        check("order_state", "order_state", same, same);
        check("uuid", "order_state", other, other);
        check("", "text", other, other);
    }

    #[test]
    fn values_fit_or_do_not() {
        let check = |name: &str, value: Value, expect: bool| {
            assert_eq!(Type::parse(name).holds(&value), expect, "{value} in {name}");
        };
        let number = |text: &str| Value::Number(text.parse().unwrap());
        check("varchar(3)", Value::from("äöü"), true);
        check("varchar(3)", Value::from("äöüß"), false);
        check("text", Value::from("any"), true);
        check("numeric(5,2)", number("999.99"), true);
        check("numeric(5,2)", number("-999.99"), true);
        check("numeric(5,2)", number("1000"), false);
        check("numeric(5,2)", number("1.005"), false);
        check("smallint", number("32767"), true);
        check("smallint", number("-32769"), false);
        check("tinyint unsigned", number("-1"), false);
        check("bigint unsigned", number("18446744073709551615"), true);
        check("bigint", number("9223372036854775808"), false);
        check("timestamp(0) with time zone", Value::Time(Moment::from_micros(2_000_000)), true);
        check("timestamp(0) with time zone", Value::Time(Moment::from_micros(2_500_000)), false);
        check("datetime(3)", Value::Time(Moment::from_micros(1_001_000)), true);
        check("order_state", Value::from("any"), true);
        check("varchar(1)", Value::Null, true);
    }
}
