//! Exact numbers: money, quantities, counters. Never a float.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive, Zero};
use rust_decimal::Decimal;

/// An exact decimal number of any size.
///
/// Three representations, one canonical for each value, so that equality and hashing are cheap: whole numbers
/// that fit an `i64`, else up to 28 digits inline, else arbitrary precision on the heap.
#[derive(Clone)]
pub struct Number(Repr);

#[derive(Clone, PartialEq, Eq)]
enum Repr {
    Int(i64),
    Small(Decimal),
    Big(Box<BigDecimal>),
}

/// The text is not a plain decimal number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number")]
pub struct NotANumber;

/// Which way a number is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Half away from zero: what PostgreSQL, MySQL and most ledgers do with decimals.
    HalfUp,
    /// Half to even: banker's rounding.
    HalfEven,
    /// Towards zero: cut off.
    Down,
}

impl Number {
    /// Zero.
    pub const ZERO: Self = Self(Repr::Int(0));

    /// The 64-bit integer if the number is whole and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Int(value) => Some(value),
            _ => None,
        }
    }

    /// Whether the number has no fraction.
    pub fn is_whole(&self) -> bool {
        match &self.0 {
            Repr::Int(_) => true,
            Repr::Small(value) => value.scale() == 0,
            Repr::Big(value) => value.is_integer(),
        }
    }

    /// Digits after the point in the shortest exact form.
    pub fn scale(&self) -> u32 {
        match &self.0 {
            Repr::Int(_) => 0,
            Repr::Small(value) => value.scale(),
            Repr::Big(value) => u32::try_from(value.fractional_digit_count().max(0)).unwrap_or(u32::MAX),
        }
    }

    /// Rounded to `digits` after the point.
    #[must_use]
    pub fn round(&self, digits: u32, rounding: Rounding) -> Self {
        if self.scale() <= digits {
            return self.clone();
        }
        let mode = match rounding {
            Rounding::HalfUp => RoundingMode::HalfUp,
            Rounding::HalfEven => RoundingMode::HalfEven,
            Rounding::Down => RoundingMode::Down,
        };
        Self::from(self.to_big().with_scale_round(i64::from(digits), mode))
    }

    /// The exact product.
    #[must_use]
    pub fn times(&self, factor: &Self) -> Self {
        if let (Repr::Int(left), Repr::Int(right)) = (&self.0, &factor.0)
            && let Some(product) = left.checked_mul(*right)
        {
            return Self(Repr::Int(product));
        }
        Self::from(self.to_big() * factor.to_big())
    }

    /// The exact sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        if let (Repr::Int(left), Repr::Int(right)) = (&self.0, &other.0)
            && let Some(sum) = left.checked_add(*right)
        {
            return Self(Repr::Int(sum));
        }
        Self::from(self.to_big() + other.to_big())
    }

    /// The exact absolute difference.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Self {
        Self::from((self.to_big() - other.to_big()).abs())
    }

    /// The absolute value.
    #[must_use]
    pub fn abs(&self) -> Self {
        Self::from(self.to_big().abs())
    }

    /// Shifted by powers of ten: `shifted(-2)` turns minor units into major ones.
    #[must_use]
    pub fn shifted(&self, powers: i64) -> Self {
        if let (Repr::Int(whole), -28..=0) = (&self.0, powers)
            && let Ok(value) = Decimal::try_from_i128_with_scale(i128::from(*whole), powers.unsigned_abs() as u32)
        {
            return Self::from(value);
        }
        let (digits, scale) = self.to_big().into_bigint_and_exponent();
        Self::from(BigDecimal::new(digits, scale.saturating_sub(powers)))
    }

    /// As an arbitrary-precision decimal.
    pub fn to_big(&self) -> BigDecimal {
        match &self.0 {
            Repr::Int(value) => BigDecimal::from(*value),
            Repr::Small(value) => BigDecimal::new(value.mantissa().into(), i64::from(value.scale())),
            Repr::Big(value) => (**value).clone(),
        }
    }

    /// Nearest float, for charts and gauges only; never for comparing or for money.
    pub fn to_f64_lossy(&self) -> f64 {
        self.to_big().to_f64().unwrap_or(f64::NAN)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(Repr::Int(value))
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or_else(|_| Self(Repr::Small(Decimal::from(value))), Self::from)
    }
}

impl From<Decimal> for Number {
    fn from(value: Decimal) -> Self {
        let value = value.normalize();
        match i64::try_from(value.mantissa()) {
            Ok(whole) if value.scale() == 0 => Self(Repr::Int(whole)),
            _ => Self(Repr::Small(value)),
        }
    }
}

impl From<BigDecimal> for Number {
    fn from(value: BigDecimal) -> Self {
        if value.is_zero() {
            return Self::ZERO;
        }
        let value = value.normalized();
        let (digits, scale) = value.as_bigint_and_exponent();
        // A negative exponent means trailing zeros were cut: 1200 is 12e2. Put them back when they fit.
        let digits = match u32::try_from(-scale) {
            Ok(zeros) if zeros <= 28 => digits.to_i128().and_then(|digits| digits.checked_mul(10_i128.pow(zeros))),
            _ => digits.to_i128(),
        };
        let scale = u32::try_from(scale.max(0)).unwrap_or(u32::MAX);
        match digits {
            Some(digits) if value.fractional_digit_count() >= -28 && scale <= 28 => {
                match Decimal::try_from_i128_with_scale(digits, scale) {
                    Ok(decimal) => Self::from(decimal),
                    Err(_) => Self(Repr::Big(Box::new(value))),
                }
            }
            _ => Self(Repr::Big(Box::new(value))),
        }
    }
}

impl FromStr for Number {
    type Err = NotANumber;

    /// Reads plain and scientific decimal notation. `NaN`, infinities and hex are refused.
    fn from_str(text: &str) -> Result<Self, NotANumber> {
        if let Ok(value) = text.parse::<i64>() {
            return Ok(Self::from(value));
        }
        // BigDecimal also takes `_` between digits, which no system means as a number.
        let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
        if text.is_empty() || !text.bytes().all(plain) {
            return Err(NotANumber);
        }
        // Up to 28 digits need no heap; anything else, also scientific notation, takes the long way.
        if let Ok(value) = Decimal::from_str_exact(text) {
            return Ok(Self::from(value));
        }
        let value = BigDecimal::from_str(text).map_err(|_| NotANumber)?;
        // `1e999999999` is short to write and huge to hold.
        if value.fractional_digit_count().unsigned_abs() > 100_000 {
            return Err(NotANumber);
        }
        Ok(Self::from(value))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Repr::Int(value) => value.hash(state),
            Repr::Small(value) => (value.mantissa(), value.scale()).hash(state),
            Repr::Big(value) => value.hash(state),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Repr::Int(left), Repr::Int(right)) => left.cmp(right),
            (Repr::Small(left), Repr::Small(right)) => left.cmp(right),
            _ => self.to_big().cmp(&other.to_big()),
        }
    }
}

/// Appends the digits of a number with so many of them behind the point, as [`Decimal`] writes them.
fn put_digits(mut digits: u64, scale: usize, text: &mut Vec<u8>) {
    // 20 digits at most, and zeros up to the point, which has at most 28 behind it.
    let mut buffer = [b'0'; 32];
    let mut begin = buffer.len();
    while digits > 0 || begin + scale >= buffer.len() {
        begin -= 1;
        buffer[begin] = b'0' + (digits % 10) as u8;
        digits /= 10;
    }
    let point = buffer.len() - scale;
    text.extend_from_slice(&buffer[begin..point]);
    if scale > 0 {
        text.push(b'.');
        text.extend_from_slice(&buffer[point..]);
    }
}

impl Number {
    /// Appends what `to_string` gives, many times faster where the number has few digits.
    pub fn put_text(&self, text: &mut Vec<u8>) {
        if let Repr::Small(value) = &self.0
            && let Ok(digits) = u64::try_from(value.mantissa().unsigned_abs())
        {
            if value.mantissa() < 0 {
                text.push(b'-');
            }
            put_digits(digits, value.scale() as usize, text);
        } else {
            text.extend_from_slice(self.to_string().as_bytes());
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(value) => write!(f, "{value}"),
            Repr::Small(value) => write!(f, "{value}"),
            Repr::Big(value) => f.write_str(&value.to_plain_string()),
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn a_number_is_written_as_it_is_told() {
        let more = [i64::MIN.to_string(), i64::MAX.to_string(), "18446744073709551616.5".to_owned()];
        let digits = (0..28).map(|zeros| format!("0.{}1", "0".repeat(zeros)));
        let signs =
            ["0", "0.25", "-0.25", "-12.05", "100.001", "9999999999999999.9999", "18446744073709551.615", "1e40"];
        for text in signs.map(str::to_owned).into_iter().chain(more).chain(digits) {
            let number = number(&text);
            let mut written = b"x".to_vec();
            number.put_text(&mut written);
            assert_eq!(String::from_utf8(written).unwrap(), format!("x{number}"));
        }
    }

    #[test]
    fn equal_values_have_one_form() {
        for (left, right) in [
            ("1", "1.00"),
            ("-0", "0"),
            ("0.00", "0"),
            ("1200", "12e2"),
            ("0.10", ".1"),
            ("9223372036854775808", "9223372036854775808.0"),
            ("1e40", "10000000000000000000000000000000000000000"),
        ] {
            assert_eq!(number(left), number(right), "{left} and {right}");
        }
        assert_ne!(number("0.1"), number("0.10000000000000000000000000000000001"));
    }

    #[test]
    fn beyond_i64_and_beyond_28_digits_stay_exact() {
        let text = "123456789012345678901234567890123456789.123456789012345678901234567";
        assert_eq!(number(text).to_string(), text);
        assert_eq!(number("18446744073709551615"), Number::from(u64::MAX));
        assert!(number("18446744073709551615") > number("9223372036854775807"));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", ".", "-", "NaN", "inf", "1_000", "0x10", "1,5", "1e999999999", " 1", "--1"] {
            assert_eq!(text.parse::<Number>(), Err(NotANumber), "{text}");
        }
    }

    #[test]
    fn rounding_and_shifting() {
        assert_eq!(number("2.345").round(2, Rounding::HalfUp), number("2.35"));
        assert_eq!(number("-2.345").round(2, Rounding::HalfUp), number("-2.35"));
        assert_eq!(number("2.345").round(2, Rounding::HalfEven), number("2.34"));
        assert_eq!(number("-2.349").round(2, Rounding::Down), number("-2.34"));
        assert_eq!(number("1234").shifted(-2), number("12.34"));
        assert_eq!(number("12.34").shifted(2), number("1234"));
        assert_eq!(number("12.5").times(&number("0.001")), number("0.0125"));
    }
}
