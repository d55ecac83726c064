//! Money: an exact amount and its currency. Amounts of different currencies are never added or compared.

use std::fmt;
use std::str::FromStr;

use super::number::Number;

/// An ISO 4217 alphabetic currency code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// The text is not a currency code of ISO 4217.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an ISO 4217 currency code")]
pub struct UnknownCurrency(pub String);

impl Currency {
    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// Digits after the point of the currency's minor unit (2 for EUR, 0 for JPY, 3 for KWD); 0 where ISO 4217
    /// says "not applicable" (gold, test codes).
    pub fn minor_digits(&self) -> u32 {
        iso_currency::Currency::from_code(self.code()).and_then(|known| known.exponent()).map_or(0, u32::from)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        let upper = code.trim().to_ascii_uppercase();
        match (iso_currency::Currency::from_code(&upper), <[u8; 3]>::try_from(upper.as_bytes())) {
            (Some(_), Ok(bytes)) => Ok(Self(bytes)),
            _ => Err(UnknownCurrency(code.to_owned())),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount in one currency, in major units (euros, not cents).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Money {
    /// Major units.
    pub amount: Number,
    /// What the amount is in.
    pub currency: Currency,
}

impl Money {
    /// From minor units (cents), by the currency's ISO 4217 exponent.
    pub fn from_minor(minor: &Number, currency: Currency) -> Self {
        Self { amount: minor.shifted(-i64::from(currency.minor_digits())), currency }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_follow_the_currency() {
        for (minor, code, major) in [(1234, "EUR", "12.34 EUR"), (1234, "JPY", "1234 JPY"), (1234, "KWD", "1.234 KWD")]
        {
            let currency = code.parse().unwrap();
            assert_eq!(Money::from_minor(&Number::from(i64::from(minor)), currency).to_string(), major);
        }
        assert!("EURO".parse::<Currency>().is_err());
        assert!("".parse::<Currency>().is_err());
    }
}
