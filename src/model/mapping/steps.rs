//! Steps: text steps work on the system's writing, before the type is read; rounding and precision on the value.

use std::borrow::Cow;

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

    /// A lossy step on text; other steps leave it alone. What is only cut at its end keeps its memory.
    fn shorten(&self, text: Box<str>) -> Box<str> {
        match self.kept(&text) {
            Some(kept) if kept < text.len() => {
                let mut text = String::from(text);
                text.truncate(kept);
                text.into_boxed_str()
            }
            Some(_) => text,
            None => self.shortened(&text).unwrap_or(text),
        }
    }

    /// How many bytes a step leaves that only cuts at the end; `None` for other steps.
    fn kept(&self, text: &str) -> Option<usize> {
        match self {
            Self::TrimEnd => Some(text.trim_end().len()),
            Self::Truncate(length) => Some(text.char_indices().nth(*length).map_or(text.len(), |(end, _)| end)),
            _ => None,
        }
    }

    /// What a lossy step makes of a text; `None` when it leaves it as it is.
    fn shortened(&self, text: &str) -> Option<Box<str>> {
        let after: Cow<'_, str> = match self {
            Self::TrimEnd | Self::Truncate(_) => text[..self.kept(text)?].into(),
            Self::Trim => text.trim().into(),
            Self::Upper => text.to_uppercase().into(),
            Self::Lower => text.to_lowercase().into(),
            Self::Nfc if !is_nfc(text) => text.nfc().collect::<String>().into(),
            _ => return None,
        };
        (after != text).then(|| after.into())
    }

    /// A lossy step on a typed value; steps for other types leave it alone.
    pub(super) fn on_value(&self, value: Value) -> Value {
        self.changed(&value).unwrap_or(value)
    }

    /// What a lossy step makes of a value; `None` when it leaves it as it is.
    fn changed(&self, value: &Value) -> Option<Value> {
        let after = match (self, value) {
            (_, Value::Text(text)) => return self.shortened(text).map(Value::Text),
            (Self::Round { digits, rounding }, Value::Number(number)) => {
                Value::Number(number.round(*digits, *rounding))
            }
            (Self::Round { digits, rounding }, Value::Money(money)) => {
                Value::Money(Money { amount: money.amount.round(*digits, *rounding), currency: money.currency })
            }
            (Self::Precision { micros, nearest }, Value::Time(moment)) => {
                Value::Time(to_precision(*moment, *micros, *nearest))
            }
            _ => return None,
        };
        (after != *value).then_some(after)
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

/// Applies lossy steps to a value that is already in the common language; a value that they leave as it is, is not
/// copied. Repeats them until nothing changes, so that projecting twice is projecting once: cutting can bring white
/// space to the end that trimming then removes.
pub fn project<'a>(steps: impl Iterator<Item = &'a Step> + Clone, value: &Value) -> Cow<'_, Value> {
    let mut value = Cow::Borrowed(value);
    for _ in 0..MAX_ROUNDS {
        let mut has_changed = false;
        for step in steps.clone().filter(|step| step.is_lossy()) {
            if let Some(after) = step.changed(&value) {
                value = Cow::Owned(after);
                has_changed = true;
            }
        }
        if !has_changed {
            break;
        }
    }
    value
}
