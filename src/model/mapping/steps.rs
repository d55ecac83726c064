//! Steps: text steps work on the system's writing, before the type is read; rounding and precision on the value.

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::Step;
use crate::model::{Moment, Money, Value};

/// How often lossy steps are repeated until nothing changes. Each round shortens, or is the last but one.
const MAX_ROUNDS: usize = 8;

impl Step {
    /// Whether the step works on text, before the type is read.
    pub(super) const fn is_textual(&self) -> bool {
        !matches!(self, Self::Round { .. } | Self::Precision { .. })
    }

    /// The step on text: `Ok(None)` is null, `Err` says why it cannot be done.
    pub(super) fn on_text(&self, text: Box<str>) -> Result<Option<Box<str>>, &'static str> {
        match self {
            Self::StripPrefix(prefix) => strip(text.strip_prefix(prefix.as_str()), "the prefix is missing"),
            Self::StripSuffix(suffix) => strip(text.strip_suffix(suffix.as_str()), "the suffix is missing"),
            Self::Map(map) => strip(map.get(&*text).map(String::as_str), "the map does not list the value"),
            Self::EmptyIsNull => Ok((!text.is_empty()).then_some(text)),
            Self::HtmlDecode if text.contains('&') => {
                Ok(Some(html_escape::decode_html_entities(&*text).into_owned().into()))
            }
            _ => Ok(Some(self.shorten(text))),
        }
    }

    /// A lossy step on text; other steps leave it alone.
    fn shorten(&self, text: Box<str>) -> Box<str> {
        match self {
            Self::Trim if text.trim().len() < text.len() => text.trim().into(),
            Self::TrimEnd if text.trim_end().len() < text.len() => text.trim_end().into(),
            Self::Upper => text.to_uppercase().into(),
            Self::Lower => text.to_lowercase().into(),
            Self::Nfc if !is_nfc(&text) => text.nfc().collect::<String>().into(),
            Self::Truncate(length) => match text.char_indices().nth(*length) {
                Some((end, _)) => text[..end].into(),
                None => text,
            },
            _ => text,
        }
    }

    /// A lossy step on a typed value; steps for other types leave it alone.
    pub(super) fn on_value(&self, value: Value) -> Value {
        match (self, value) {
            (_, Value::Text(text)) => Value::Text(self.shorten(text)),
            (Self::Round { digits, rounding }, Value::Number(number)) => {
                Value::Number(number.round(*digits, *rounding))
            }
            (Self::Round { digits, rounding }, Value::Money(money)) => {
                Value::Money(Money { amount: money.amount.round(*digits, *rounding), currency: money.currency })
            }
            (Self::Precision { micros, nearest }, Value::Time(moment)) => {
                Value::Time(to_precision(moment, *micros, *nearest))
            }
            (_, value) => value,
        }
    }
}

fn strip(rest: Option<&str>, reason: &'static str) -> Result<Option<Box<str>>, &'static str> {
    rest.map(|rest| Some(rest.into())).ok_or(reason)
}

/// Down to a multiple of `micros`, or to the nearest one with halves going up, also before 1970.
fn to_precision(moment: Moment, micros: i64, nearest: bool) -> Moment {
    if micros <= 1 {
        return moment;
    }
    let shifted = if nearest { moment.micros().saturating_add(micros / 2) } else { moment.micros() };
    Moment::from_micros(shifted.saturating_sub(shifted.rem_euclid(micros)))
}

/// Applies lossy steps to a value that is already in the common language. Repeats them until nothing changes, so
/// that projecting twice is projecting once: cutting can bring white space to the end that trimming then removes.
pub fn project(steps: &[Step], mut value: Value) -> Value {
    if steps.is_empty() {
        return value;
    }
    for _ in 0..MAX_ROUNDS {
        let before = value.clone();
        value = steps.iter().filter(|step| step.is_lossy()).fold(value, |value, step| step.on_value(value));
        if value == before {
            break;
        }
    }
    value
}
