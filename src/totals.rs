//! Control totals: how many records and how much money each side has on each business day, by currency and status. Pure:
//! exact decimals, currencies are never added.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Duration, NaiveDate, NaiveTime, Timelike};
use chrono_tz::Tz;

use crate::model::{Moment, Number, Record, Value};

/// Where business days begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// The zone of the business.
    pub zone: Tz,
    /// What happens at this time of day or later belongs to the next day; midnight cuts nothing.
    pub cut_off: NaiveTime,
}

/// Which fields make totals, by their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The amount: money, or a number without a currency. Without it records are only counted.
    pub amount: Option<usize>,
    /// The business day: a day or a time stamp.
    pub day: usize,
    /// What tells records of a day apart, if anything.
    pub status: Option<usize>,
}

/// One line of a total.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line {
    /// The business day; `None` for records without one.
    pub day: Option<NaiveDate>,
    /// The currency's code; empty for numbers without one.
    pub currency: String,
    /// The status as the entity has it; empty without one.
    pub status: String,
}

/// What a line comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Records.
    pub records: u64,
    /// Sum of the positive amounts.
    pub debit: Number,
    /// Sum of the negative amounts, without their sign.
    pub credit: Number,
}

impl Default for Sum {
    fn default() -> Self {
        Self { records: 0, debit: Number::ZERO, credit: Number::ZERO }
    }
}

impl Sum {
    /// Debit less credit.
    pub fn net(&self) -> Number {
        self.debit.plus(&self.credit.times(&Number::from(-1_i64)))
    }
}

/// The totals of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// By day, currency and status.
    pub lines: BTreeMap<Line, Sum>,
    /// Records whose day or amount cannot be read: no total is right while there are any.
    pub unreadable: u64,
}

impl Calendar {
    /// The business day of a moment.
    pub fn day_of(&self, moment: Moment) -> NaiveDate {
        let local = moment.to_utc().with_timezone(&self.zone).naive_local();
        let is_late = self.cut_off != NaiveTime::MIN && local.time() >= self.cut_off;
        local.date() + Duration::days(i64::from(is_late))
    }

    /// Whether quarters of an hour never lie in two days.
    pub fn keeps_quarters(&self) -> bool {
        self.cut_off.second() == 0 && self.cut_off.minute().is_multiple_of(15)
    }
}

impl Totals {
    /// Adds `records` records that a record stands for: one as it was read, or a group whose amounts have been added up.
    /// A group comes in two parts, the positive and the negative amounts, of which only one is counted.
    pub fn add(&mut self, calendar: &Calendar, fields: Fields, record: &Record, records: u64) {
        if !record.in_scope {
            return;
        }
        let value = |field: usize| record.fields.get(field).unwrap_or(&Value::Null);
        let day = match value(fields.day) {
            Value::Null => None,
            Value::Date(day) => Some(*day),
            Value::Time(moment) => Some(calendar.day_of(*moment)),
            _ => return self.unreadable += records.max(1),
        };
        let (currency, amount) = match fields.amount.map(value) {
            None | Some(Value::Null) => (String::new(), Number::ZERO),
            Some(Value::Number(amount)) => (String::new(), amount.clone()),
            Some(Value::Money(money)) => (money.currency.code().to_owned(), money.amount.clone()),
            Some(_) => return self.unreadable += records.max(1),
        };
        let status = match fields.status.map(value) {
            None | Some(Value::Null) => String::new(),
            Some(value) => value.to_string(),
        };
        let sum = self.lines.entry(Line { day, currency, status }).or_default();
        sum.records += records;
        let size = amount.abs();
        if size == amount {
            sum.debit = sum.debit.plus(&size);
        } else {
            sum.credit = sum.credit.plus(&size);
        }
    }
}

/// One line in which two sides differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variance {
    /// Which.
    pub line: Line,
    /// What the owner has.
    pub owner: Sum,
    /// What the target has.
    pub target: Sum,
}

/// The lines in which two sides differ, in order.
pub fn variances(owner: &Totals, target: &Totals) -> Vec<Variance> {
    let lines: BTreeSet<&Line> = owner.lines.keys().chain(target.lines.keys()).collect();
    let of = |side: &Totals, line: &Line| side.lines.get(line).cloned().unwrap_or_default();
    let variance = |line: &Line| Variance { line: line.clone(), owner: of(owner, line), target: of(target, line) };
    lines.into_iter().map(variance).filter(|variance| variance.owner != variance.target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mapping::literal_moment;
    use crate::model::{Key, Money};

    const FIELDS: Fields = Fields { amount: Some(1), day: 0, status: Some(2) };

    fn calendar(zone: Tz, hour: u32) -> Calendar {
        Calendar { zone, cut_off: NaiveTime::from_hms_opt(hour, 0, 0).unwrap() }
    }

    fn record(at: &str, amount: &str, currency: &str, status: &str) -> Record {
        let money = Money { amount: amount.parse().unwrap(), currency: currency.parse().unwrap() };
        let fields = [Value::Time(literal_moment(at).unwrap()), Value::Money(money), Value::from(status)];
        Record {
            key: Key::from(1),
            native: None,
            version: None,
            changed_at: None,
            source_version: None,
            in_scope: true,
            fields: fields.into(),
        }
    }

    #[test]
    fn days_begin_where_the_business_says() {
        let check = |zone, hour, at: &str, expect: &str| {
            let day = calendar(zone, hour).day_of(literal_moment(at).unwrap());
            assert_eq!(day.to_string(), expect, "{at}");
        };
        check(Tz::UTC, 0, "2026-03-01T23:59:59Z", "2026-03-01");
        check(Tz::Europe__Berlin, 0, "2026-03-01T23:00:00Z", "2026-03-02");
        check(Tz::Europe__Berlin, 18, "2026-03-01T16:59:59Z", "2026-03-01");
        check(Tz::Europe__Berlin, 18, "2026-03-01T17:00:00Z", "2026-03-02");
        check(Tz::America__New_York, 0, "2026-03-01T04:59:59Z", "2026-02-28");
    }

    #[test]
    fn currencies_and_signs_are_kept_apart() {
        let mut totals = Totals::default();
        let calendar = calendar(Tz::UTC, 0);
        for (amount, currency, status) in [
            ("0.1", "EUR", "paid"),
            ("0.2", "EUR", "paid"),
            ("-5", "EUR", "paid"),
            ("7", "USD", "paid"),
            ("1", "EUR", "open"),
        ] {
            totals.add(&calendar, FIELDS, &record("2026-01-01", amount, currency, status), 1);
        }
        assert_eq!(totals.lines.len(), 3);
        let line = |currency: &str, status: &str| Line {
            day: NaiveDate::from_ymd_opt(2026, 1, 1),
            currency: currency.to_owned(),
            status: status.to_owned(),
        };
        let paid = &totals.lines[&line("EUR", "paid")];
        assert_eq!(
            (paid.records, paid.debit.to_string(), paid.net().to_string()),
            (3, "0.3".to_owned(), "-4.7".to_owned())
        );
        let mut other = totals.clone();
        assert_eq!(variances(&totals, &other), []);
        other.add(&calendar, FIELDS, &record("2026-01-02", "0.01", "USD", "paid"), 1);
        let found = variances(&totals, &other);
        assert_eq!((found.len(), found[0].target.records, found[0].owner.records), (1, 1, 0));
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_not_added() {
        let mut totals = Totals::default();
        let mut bad = record("2026-01-01", "1", "EUR", "paid");
        bad.fields[1] = Value::invalid("no number");
        totals.add(&calendar(Tz::UTC, 0), FIELDS, &bad, 1);
        bad.in_scope = false;
        totals.add(&calendar(Tz::UTC, 0), FIELDS, &bad, 1);
        assert_eq!((totals.lines.len(), totals.unreadable), (0, 1));
    }
}
