//! One xref table: looked up by key in batches, what was found is kept for a while.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connect::cover;
use crate::connect::{ReadError, ReadWindow, Reader};
use crate::model::mapping::{FROM, TO, Xref};
use crate::model::{Key, Value};

/// Keys in one read of the table.
const KEYS_A_READ: usize = 1_000;

/// Translations kept for each direction.
const MOST_KEPT: usize = 50_000;

/// Which way a value is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From this system's value to the common one.
    ToCommon,
    /// From the common value to this system's.
    ToLocal,
}

/// What the table holds for a value. A value without a translation is left out of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    One(String),
    Several,
}

/// A translation that was found, and when.
type Kept = HashMap<String, (String, Instant)>;

pub(super) struct Table {
    pub xref: Xref,
    /// Whether the field is part of the key: then the table must be one-to-one.
    pub is_key: bool,
    reader: Arc<dyn Reader>,
    keep: Duration,
    /// Only what has exactly one translation: the others are about to be put right.
    to_common: Mutex<Kept>,
    to_local: Mutex<Kept>,
}

impl Table {
    pub fn new(reader: Arc<dyn Reader>, xref: Xref, is_key: bool, keep: Duration) -> Self {
        Self { xref, is_key, reader, keep, to_common: Mutex::default(), to_local: Mutex::default() }
    }

    /// The translations of `texts`. Widens `window` by the reads that were needed.
    pub async fn look_up(
        &self,
        direction: Direction,
        texts: BTreeSet<String>,
        window: &mut Option<ReadWindow>,
    ) -> Result<HashMap<String, Found>, ReadError> {
        let now = Instant::now();
        let mut found = HashMap::with_capacity(texts.len());
        let mut unknown = Vec::new();
        {
            let kept = self.kept(direction);
            for text in texts {
                match kept.get(&text).filter(|(_, at)| now.duration_since(*at) < self.keep) {
                    Some((translation, _)) => _ = found.insert(text, Found::One(translation.clone())),
                    None => unknown.push(text),
                }
            }
        }
        for chunk in unknown.chunks(KEYS_A_READ) {
            let keys: Vec<Key> = chunk.iter().map(|text| Key::from(text.as_str())).collect();
            let (mapping, of) = match direction {
                Direction::ToCommon => (&self.xref.by_from, (FROM, TO)),
                Direction::ToLocal => (&self.xref.by_to, (TO, FROM)),
            };
            let read = self.reader.by_keys(mapping, &keys).await?;
            cover(window, read.window);
            for record in &read.records {
                let pair = (Xref::written(&record.fields[of.0]), Xref::written(&record.fields[of.1]));
                let (Some(text), Some(translation)) = pair else { continue };
                note(&mut found, text, translation);
            }
        }
        self.keep(direction, &unknown, &found, now);
        Ok(found)
    }

    /// The common values of local ones, and for a key the way back.
    pub async fn both_ways(
        &self,
        texts: BTreeSet<String>,
        window: &mut Option<ReadWindow>,
    ) -> Result<(HashMap<String, Found>, HashMap<String, Found>), ReadError> {
        let found = self.look_up(Direction::ToCommon, texts, window).await?;
        if !self.is_key {
            return Ok((found, HashMap::new()));
        }
        let one = |found: &Found| if let Found::One(text) = found { Some(text.clone()) } else { None };
        let back = self.look_up(Direction::ToLocal, found.values().filter_map(one).collect(), window).await?;
        Ok((found, back))
    }

    /// The common value of a local one, or why there is none. `back` leads from common values to local ones and is
    /// empty unless the table must be one-to-one.
    pub fn common(&self, local: &str, found: &HashMap<String, Found>, back: &HashMap<String, Found>) -> Value {
        let Some(Found::One(text)) = found.get(local) else { return self.none(found.get(local)) };
        match back.get(text) {
            _ if !self.is_key => self.xref.common(text),
            Some(Found::One(origin)) if origin == local => self.xref.common(text),
            Some(Found::Several) => self.xref.untranslated("another value has the same translation"),
            _ => self.xref.untranslated("the translation does not lead back"),
        }
    }

    /// Why a value has no translation.
    pub fn none(&self, found: Option<&Found>) -> Value {
        self.xref.untranslated(match found {
            Some(Found::Several) => "several translations",
            _ => "no translation",
        })
    }

    fn kept(&self, direction: Direction) -> std::sync::MutexGuard<'_, Kept> {
        let kept = match direction {
            Direction::ToCommon => &self.to_common,
            Direction::ToLocal => &self.to_local,
        };
        kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, direction: Direction, texts: &[String], found: &HashMap<String, Found>, at: Instant) {
        let mut kept = self.kept(direction);
        if kept.len() + texts.len() > MOST_KEPT {
            kept.retain(|_, (_, found_at)| at.duration_since(*found_at) < self.keep);
        }
        if kept.len() + texts.len() > MOST_KEPT {
            kept.clear();
        }
        for text in texts.iter().take(MOST_KEPT) {
            match found.get(text) {
                Some(Found::One(translation)) => _ = kept.insert(text.clone(), (translation.clone(), at)),
                _ => _ = kept.remove(text),
            }
        }
    }
}

/// Two rows with the same pair say the same.
fn note(found: &mut HashMap<String, Found>, text: String, translation: String) {
    match found.get(&text) {
        Some(Found::Several) => {}
        Some(Found::One(known)) if *known != translation => _ = found.insert(text, Found::Several),
        _ => _ = found.insert(text, Found::One(translation)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_translations_are_none_and_two_equal_ones_are_one() {
        let mut found = HashMap::new();
        for (text, translation) in [("a", "1"), ("a", "1"), ("b", "1"), ("b", "2"), ("b", "2")] {
            note(&mut found, text.to_owned(), translation.to_owned());
        }
        assert_eq!(found.get("a"), Some(&Found::One("1".to_owned())));
        assert_eq!(found.get("b"), Some(&Found::Several));
    }
}
