//! Figures as people say them: times, durations, shares, amounts. Pure.

use std::time::Duration;

use chrono_tz::Tz;

use crate::model::{Moment, Money};

/// `12 % left`, `overdrawn by 30 %`.
pub fn budget(left: f64) -> String {
    match left {
        left if left < 0.0 => format!("overdrawn by {:.0} %", -left * 100.0),
        left => format!("{:.0} % left", left * 100.0),
    }
}

/// Two digits behind the point, rounded down: 99.996 % is not 100 %.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.2}", (share * 10_000.0 + 1e-6).floor() / 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `23 Nov 2026, 12:04 CET`.
pub(super) fn time(moment: Moment, zone: Tz) -> String {
    moment.to_utc().with_timezone(&zone).format("%-d %b %Y, %H:%M %Z").to_string()
}

/// The two largest units: `1 h 5 min`, `3 d`, `12 s`, `0.25 s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 10 {
        let text = format!("{:.2}", duration.as_secs_f64());
        return format!("{} s", text.trim_end_matches('0').trim_end_matches('.'));
    }
    let units = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, size)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, size) in units.iter().skip(first).take(2) {
        if rest / size > 0 {
            parts.push(format!("{} {unit}", rest / size));
        }
        rest %= size;
    }
    parts.join(" ")
}

/// `1,234,567`.
pub(super) fn grouped(count: u64) -> String {
    grouped_digits(&count.to_string())
}

/// `1,234.50 EUR`: with the currency's digits behind the point, those before it in threes.
pub fn amount(money: &Money) -> String {
    let text = money.amount.to_string();
    let (whole, behind) = text.split_once('.').unwrap_or((&text, ""));
    let digits = usize::try_from(money.currency.minor_digits()).unwrap_or_default();
    let point = if digits > 0 || !behind.is_empty() { "." } else { "" };
    format!("{}{point}{behind:0<digits$} {}", grouped_digits(whole), money.currency)
}

fn grouped_digits(whole: &str) -> String {
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        let check = |millis: u64, expect: &str| assert_eq!(duration(Duration::from_millis(millis)), expect);
        check(0, "0 s");
        check(250, "0.25 s");
        check(9_500, "9.5 s");
        check(65_000, "1 min 5 s");
        check(3_600_000, "1 h");
        check(3_905_000, "1 h 5 min");
        check(90_061_000, "1 d 1 h");
    }

    #[test]
    fn shares_are_never_rounded_up_to_all() {
        let check = |share: f64, expect: &str| assert_eq!(percent(share), expect);
        check(1.0, "100 %");
        check(0.99996, "99.99 %");
        check(0.995, "99.5 %");
        check(0.0, "0 %");
        check(412.0 / 18_230.0, "2.26 %");
    }

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        let check = |number: &str, currency: &str, expect: &str| {
            let money = Money { amount: number.parse().unwrap(), currency: currency.parse().unwrap() };
            assert_eq!(amount(&money), expect);
        };
        check("1284.5", "EUR", "1,284.50 EUR");
        check("-1234567", "USD", "-1,234,567.00 USD");
        check("999", "JPY", "999 JPY");
        check("0.125", "KWD", "0.125 KWD");
        check("0.1255", "EUR", "0.1255 EUR");
    }
}
