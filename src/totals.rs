//! Control totals: how many records and how much money each side has on each business day, by currency and status. Pure:
//! exact decimals, currencies are never added.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Duration, NaiveDate, NaiveTime, Timelike};
use chrono_tz::Tz;

use crate::model::{Moment, Number, Tolerance, Value};

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

impl Fields {
    /// All of them, by their indices.
    pub fn all(&self) -> impl Iterator<Item = usize> + use<> {
        [Some(self.day), self.amount, self.status].into_iter().flatten()
    }
}

/// Whose totals, of which fields and days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where business days begin.
    pub calendar: Calendar,
    /// Which fields make the totals.
    pub fields: Fields,
    /// Which days are looked at.
    pub days: Days,
}

/// What of a record goes into a total.
#[derive(Clone, Copy, Debug)]
pub struct Item<'v> {
    /// The business day: a day, a time stamp or null.
    pub day: &'v Value,
    /// The amount, if amounts are added up.
    pub amount: Option<&'v Value>,
    /// What tells records of a day apart, if anything.
    pub status: Option<&'v Value>,
}

/// Business days, from the first up to but without the last. Records without a day are there only when there are no bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// The first one.
    pub from: Option<NaiveDate>,
    /// The day after the last one.
    pub to: Option<NaiveDate>,
}

impl Days {
    /// The last `count` days, the one that `now` belongs to among them.
    pub fn last(calendar: &Calendar, now: Moment, count: u32) -> Self {
        let to = calendar.day_of(now) + Duration::days(1);
        Self { from: Some(to - Duration::days(count.into())), to: Some(to) }
    }

    /// Whether a line's day is one of them.
    pub fn hold(&self, day: Option<NaiveDate>) -> bool {
        let Some(day) = day else { return *self == Self::default() };
        self.from.is_none_or(|from| day >= from) && self.to.is_none_or(|to| day < to)
    }

    /// Moments between which all moments of these days lie, whatever the zone and the cut-off.
    pub fn span(&self) -> (Option<Moment>, Option<Moment>) {
        // Zones are up to 14 hours from UTC, and a cut-off moves a day's begin back by less than a day.
        let moment = |day: NaiveDate, days: i64| {
            let moved = day.checked_add_signed(Duration::days(days)).unwrap_or(day);
            Moment::from(moved.and_time(NaiveTime::MIN).and_utc())
        };
        (self.from.map(|day| moment(day, -2)), self.to.map(|day| moment(day, 1)))
    }
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
        minus(&self.debit, &self.credit)
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
    /// Adds `records` records of which one is shown: as it was read, or one that stands for a group whose amounts have been
    /// added up. A group comes in two parts, the positive and the negative amounts, of which only one is counted.
    pub fn add(&mut self, calendar: &Calendar, item: Item<'_>, records: u64) {
        let day = match item.day {
            Value::Null => None,
            Value::Date(day) => Some(*day),
            Value::Time(moment) => Some(calendar.day_of(*moment)),
            _ => return self.unreadable += records.max(1),
        };
        let (currency, amount) = match item.amount {
            None | Some(Value::Null) => (String::new(), Number::ZERO),
            Some(Value::Number(amount)) => (String::new(), amount.clone()),
            Some(Value::Money(money)) => (money.currency.code().to_owned(), money.amount.clone()),
            Some(_) => return self.unreadable += records.max(1),
        };
        let status = match item.status {
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

/// One line of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variance {
    /// Which.
    pub line: Line,
    /// What the owner has.
    pub owner: Sum,
    /// What the target has.
    pub target: Sum,
    /// By how much the sums of records that agree may differ: what the flow's tolerance allows them all together.
    pub allowed: Number,
}

impl Variance {
    /// The owner's net less the target's.
    pub fn net(&self) -> Number {
        minus(&self.owner.net(), &self.target.net())
    }

    /// Whether the line differs by more than its records may.
    pub fn differs(&self) -> bool {
        let Self { owner, target, allowed, .. } = self;
        // What a record's amount moves by, its parts of both sums move by together, also where its sign changes.
        let moved = owner.debit.distance(&target.debit).plus(&owner.credit.distance(&target.credit));
        owner.records != target.records || moved > *allowed
    }
}

/// All lines of both sides, in order.
pub fn lines(owner: &Totals, target: &Totals, tolerance: Option<&Tolerance>) -> Vec<Variance> {
    let lines: BTreeSet<&Line> = owner.lines.keys().chain(target.lines.keys()).collect();
    let of = |side: &Totals, line: &Line| side.lines.get(line).cloned().unwrap_or_default();
    let variance = |line: &Line| {
        let (owner, target) = (of(owner, line), of(target, line));
        let allowed = allowed(&owner, tolerance);
        Variance { line: line.clone(), owner, target, allowed }
    };
    lines.into_iter().map(variance).collect()
}

/// The most that the tolerances of so many records come to.
fn allowed(owner: &Sum, tolerance: Option<&Tolerance>) -> Number {
    match tolerance {
        Some(Tolerance::Absolute(each)) => each.times(&Number::from(owner.records)),
        Some(Tolerance::Relative(share)) => owner.debit.plus(&owner.credit).times(share),
        Some(Tolerance::Time(_)) | None => Number::ZERO,
    }
}

fn minus(one: &Number, other: &Number) -> Number {
    one.plus(&other.times(&Number::from(-1_i64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Money;
    use crate::model::mapping::literal_moment;

    fn calendar(zone: Tz, hour: u32) -> Calendar {
        Calendar { zone, cut_off: NaiveTime::from_hms_opt(hour, 0, 0).unwrap() }
    }

    fn add(totals: &mut Totals, at: &str, amount: &str, currency: &str, status: &str) {
        let day = Value::Time(literal_moment(at).unwrap());
        let amount = Money { amount: amount.parse().unwrap(), currency: currency.parse().unwrap() };
        let (amount, status) = (Value::Money(amount), Value::from(status));
        let item = Item { day: &day, amount: Some(&amount), status: Some(&status) };
        totals.add(&calendar(Tz::UTC, 0), item, 1);
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
        for (amount, currency, status) in [
            ("0.1", "EUR", "paid"),
            ("0.2", "EUR", "paid"),
            ("-5", "EUR", "paid"),
            ("7", "USD", "paid"),
            ("1", "EUR", "open"),
        ] {
            add(&mut totals, "2026-01-01", amount, currency, status);
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
        let differing = |other: &Totals| -> Vec<Variance> {
            lines(&totals, other, None).into_iter().filter(Variance::differs).collect()
        };
        assert_eq!(differing(&other), []);
        add(&mut other, "2026-01-02", "0.01", "USD", "paid");
        let found = differing(&other);
        assert_eq!((found.len(), found[0].target.records, found[0].owner.records), (1, 1, 0));
        assert_eq!(found[0].net().to_string(), "-0.01");
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_not_added() {
        let mut totals = Totals::default();
        let (day, bad) = (Value::Time(literal_moment("2026-01-01").unwrap()), Value::invalid("no number"));
        totals.add(&calendar(Tz::UTC, 0), Item { day: &day, amount: Some(&bad), status: None }, 1);
        totals.add(&calendar(Tz::UTC, 0), Item { day: &bad, amount: None, status: None }, 1);
        assert_eq!((totals.lines.len(), totals.unreadable), (0, 2));
    }

    #[test]
    fn a_line_may_differ_by_what_its_records_may() {
        let check = |ours: &[&str], theirs: &[&str], tolerance: Tolerance, allowed: &str, differs: bool| {
            let side = |amounts: &[&str]| {
                let mut totals = Totals::default();
                amounts.iter().for_each(|amount| add(&mut totals, "2026-01-01", amount, "EUR", "paid"));
                totals
            };
            let found = lines(&side(ours), &side(theirs), Some(&tolerance));
            assert_eq!((found[0].allowed.to_string(), found[0].differs()), (allowed.to_owned(), differs), "{ours:?}");
        };
        let cent = || Tolerance::Absolute("0.01".parse().unwrap());
        check(&["1", "2"], &["1.01", "2.01"], cent(), "0.02", false);
        check(&["1", "2"], &["1.01", "2.02"], cent(), "0.02", true);
        // Signs that flip move both sums, neither by more than the record.
        check(&["0.005"], &["-0.005"], cent(), "0.01", false);
        check(&["1", "2"], &["1"], cent(), "0.02", true);
        check(&["100", "-100"], &["101", "-101"], Tolerance::Relative("0.01".parse().unwrap()), "2", false);
    }

    #[test]
    fn the_last_days_and_the_moments_they_lie_in() {
        let berlin = calendar(Tz::Europe__Berlin, 18);
        // Half past five in the evening in Berlin is before the cut-off, half past six belongs to the next day.
        let last = |at: &str| Days::last(&berlin, literal_moment(at).unwrap(), 2);
        let day = |day: &str| day.parse::<NaiveDate>().ok();
        assert_eq!(last("2026-03-01T16:30:00Z"), Days { from: day("2026-02-28"), to: day("2026-03-02") });
        assert_eq!(last("2026-03-01T17:30:00Z"), Days { from: day("2026-03-01"), to: day("2026-03-03") });
        let days = last("2026-03-01T16:30:00Z");
        assert!(days.hold(day("2026-03-01")) && !days.hold(day("2026-03-02")) && !days.hold(None));
        assert!(Days::default().hold(None));
        for zone in [Tz::Pacific__Kiritimati, Tz::Pacific__Pago_Pago, Tz::Europe__Berlin] {
            let (from, to) = days.span();
            for hour in [0, 1, 18, 23] {
                let calendar = calendar(zone, hour);
                assert!(calendar.day_of(from.unwrap()) < days.from.unwrap(), "{zone} {hour}");
                assert!(calendar.day_of(to.unwrap()) >= days.to.unwrap(), "{zone} {hour}");
            }
        }
    }
}
