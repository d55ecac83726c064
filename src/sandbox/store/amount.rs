//! Amounts as the store writes them: text with two decimals, whatever the currency. Exact: no floats.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use crate::sandbox::record::decimals;

/// `1299` euro cents are `12.99`, `1200` yen are `1200.00`: decimals are the store's setting, not the currency's.
pub fn written(minor: i64, currency: &str) -> String {
    let power = 10_i64.pow(decimals(currency));
    let sign = if minor < 0 { "-" } else { "" };
    let (whole, rest) = (minor.unsigned_abs() / power.unsigned_abs(), minor.unsigned_abs() % power.unsigned_abs());
    format!("{sign}{whole}.{rest:02}")
}

/// The minor units that a text says; `None` when it is no number or not a whole number of them.
pub fn minor(text: &str, currency: &str) -> Option<i64> {
    let amount = exact(text, decimals(currency))?;
    amount.is_integer().then(|| amount.to_i64()).flatten()
}

/// A price in euro cents, exactly as the store holds it: `7.345` is `734.5`. Empty where there is no price.
pub fn cents(price: &str) -> String {
    exact(price, 2).map_or_else(String::new, |cents| cents.normalize().to_string())
}

fn exact(text: &str, decimals: u32) -> Option<Decimal> {
    text.parse::<Decimal>().ok()?.checked_mul(Decimal::from(10_i64.pow(decimals)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_survive_being_written() {
        for (units, currency, text) in [
            (1299, "EUR", "12.99"),
            (5, "USD", "0.05"),
            (-100, "EUR", "-1.00"),
            (1200, "JPY", "1200.00"),
            (0, "JPY", "0.00"),
        ] {
            assert_eq!(written(units, currency), text);
            assert_eq!(minor(text, currency), Some(units));
        }
        for (text, currency) in [("7.345", "EUR"), ("0.5", "JPY"), ("", "EUR"), ("ten", "EUR")] {
            assert_eq!(minor(text, currency), None, "{text}");
        }
    }

    #[test]
    fn prices_need_not_be_whole_cents() {
        for (price, expect) in [("7.345", "734.5"), ("12.99", "1299"), ("5", "500"), ("0.10", "10"), ("", "")] {
            assert_eq!(cents(price), expect);
        }
    }
}
