//! What `doctor` says of indexes of keys. They are only looked at: doctor begins no state.

use crate::audit::auditor::stored_state;
use crate::config::{Config, System};
use crate::connect::{Finding, Severity};
use crate::model::{Mapping, Moment};
use crate::plan::duration;
use crate::state::{KeyIndexRow, StateStore};

/// One finding for each index that the config needs.
pub(super) async fn findings(config: &Config) -> Vec<(&System, Finding)> {
    let mappings = config.entities.values().flat_map(|entity| entity.mappings.values());
    let indexed: Vec<&Mapping> = mappings.map(AsRef::as_ref).filter(|mapping| mapping.key_index).collect();
    if indexed.is_empty() {
        return Vec::new();
    }
    let stored = match stored_state(config).await {
        Ok(Some(state)) => read(&state).await.map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(format!("{error:#}")),
    };
    let of = |mapping: &Mapping| Some((config.systems.get(&mapping.system)?, finding(mapping, &stored)));
    indexed.into_iter().filter_map(of).collect()
}

/// Indexes and the state's time.
type Stored = (Vec<KeyIndexRow>, Moment);

async fn read(state: &StateStore) -> Result<Stored, String> {
    let rows = state.key_indexes().await.map_err(|error| crate::causes::chain(&error))?;
    let now = state.now().await.map_err(|error| crate::causes::chain(&error))?;
    Ok((rows, now))
}

fn finding(mapping: &Mapping, stored: &Result<Option<Stored>, String>) -> Finding {
    let name = format!("{}/{}", mapping.entity, mapping.system);
    let (severity, message) = match stored {
        Err(error) => (Severity::Warning, format!("the state database does not tell: {error}")),
        Ok(None) => (Severity::Ok, "begins with the first probe, and is filled from the first record on".to_owned()),
        // Of several forms the one that was used last.
        Ok(Some((rows, now))) => match rows.iter().rev().find(|row| row.name == name) {
            Some(row) => told(row, *now),
            None => (Severity::Ok, "begins with the first probe, and is filled from the first record on".to_owned()),
        },
    };
    Finding { severity, subject: format!("index of keys of {}", mapping.entity), message }
}

fn told(row: &KeyIndexRow, now: Moment) -> (Severity, String) {
    let KeyIndexRow { entries, complete_through, .. } = row;
    match complete_through {
        Some(through) => {
            let lag = duration(now.since(*through));
            (Severity::Ok, format!("{entries} addresses, complete as of {lag} ago"))
        }
        None => {
            let message = format!("{entries} addresses so far; until it is complete, what depends on it is unknown");
            (Severity::Warning, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(complete_through: Option<i64>) -> KeyIndexRow {
        KeyIndexRow {
            name: "stock/erp".to_owned(),
            version: 0,
            position: Vec::new(),
            entries: 12,
            complete_through: complete_through.map(Moment::from_micros),
        }
    }

    #[test]
    fn an_index_that_is_being_filled_is_a_warning() {
        let now = Moment::from_micros(90_000_000);
        let (severity, message) = told(&row(Some(60_000_000)), now);
        assert_eq!(severity, Severity::Ok);
        assert_eq!(message, "12 addresses, complete as of 30s ago");
        assert_eq!(told(&row(None), now).0, Severity::Warning);
    }
}
