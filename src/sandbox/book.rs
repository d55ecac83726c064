//! How anybody in the company reads and writes a system, and the log that every write leaves.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::{Content, Entity, System};
use crate::model::Interval;

/// A system as those see it who work with it.
pub trait Book: Send + Sync {
    /// All records of the key, oldest first: none, one, or more where the key is there twice.
    fn read(&self, entity: Entity, key: &str) -> impl Future<Output = anyhow::Result<Vec<Content>>> + Send;

    /// Makes the system hold exactly `contents` under the key. A record that is there already is changed in its
    /// place and stamped, even if it says the same. Every write is noted in the log by whoever commits it.
    fn write(
        &self,
        entity: Entity,
        key: &str,
        contents: &[Content],
        manner: Manner,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Which of so many workers has this key: always the same one, so that nothing of one key overtakes itself.
pub(super) fn worker_of(key: &impl Hash, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % workers.max(1) as u64) as usize
}

/// How somebody writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// How long the transaction stays open after its stamp, where the system has transactions.
    pub held_open: Duration,
    /// Leaves the record's stamp as it is, as a careless script does, where the system lets one.
    pub unstamped: bool,
    /// A record that goes is marked as deleted (archived, put to the bin) instead, where the system can.
    pub softly: bool,
}

/// One committed write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// Whose.
    pub system: System,
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// All records of the key afterwards, deleted ones left out.
    pub contents: Vec<Content>,
    /// The commit lies in here, in microseconds since 1970.
    #[serde(with = "interval")]
    pub committed: Interval,
}

/// Where writes are noted.
#[derive(Debug, Default)]
pub struct WriteLog(Notes);

#[derive(Debug)]
enum Notes {
    Kept(Mutex<Vec<Write>>),
    Told(fn(Write)),
}

impl Default for Notes {
    fn default() -> Self {
        Self::Kept(Mutex::default())
    }
}

impl WriteLog {
    /// Keeps nothing: tells every write to somebody else.
    pub fn told(tell: fn(Write)) -> Self {
        Self(Notes::Told(tell))
    }

    /// Notes a write.
    pub fn note(&self, write: Write) {
        match &self.0 {
            Notes::Kept(writes) => writes.lock().unwrap_or_else(PoisonError::into_inner).push(write),
            Notes::Told(tell) => tell(write),
        }
    }

    /// A copy of everything kept so far.
    pub fn writes(&self) -> Vec<Write> {
        match &self.0 {
            Notes::Kept(writes) => writes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Notes::Told(_) => Vec::new(),
        }
    }
}

mod interval {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::model::{Interval, Moment};

    pub fn serialize<S: Serializer>(interval: &Interval, serializer: S) -> Result<S::Ok, S::Error> {
        (interval.low.micros(), interval.high.micros()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Interval, D::Error> {
        let (low, high) = Deserialize::deserialize(deserializer)?;
        Ok(Interval::new(Moment::from_micros(low), Moment::from_micros(high)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Field;
    use super::*;
    use crate::model::Moment;

    #[test]
    fn a_write_survives_its_line() {
        let write = Write {
            system: System::Store,
            entity: Entity::Stock,
            key: "SKU-0001".to_owned(),
            contents: vec![Content::of([(Field::Pieces, "4".to_owned())])],
            committed: Interval::new(Moment::from_micros(17), Moment::from_micros(18)),
        };
        let line = serde_json::to_string(&write).expect("a line");
        assert_eq!(
            line,
            r#"{"system":"store","entity":"stock","key":"SKU-0001","contents":[{"pieces":"4"}],"committed":[17,18]}"#
        );
        assert_eq!(serde_json::from_str::<Write>(&line).expect("a write"), write);
    }
}
