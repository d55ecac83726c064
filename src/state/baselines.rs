//! What both sides of a two-way flow last agreed on.

use std::collections::{BTreeMap, HashMap};

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::change::BaselineChange;
use super::{StateError, StateStore, sql};
use crate::model::Moment;

/// A state that both sides held at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// Digest of the two-way fields.
    pub digest: u128,
    /// When they agreed.
    pub agreed_at: Moment,
}

impl StateStore {
    /// The baselines of the given keys of `pair`, by key hash; keys that never agreed are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn baselines(&self, pair: &str, key_hashes: &[String]) -> Result<HashMap<String, Baseline>, StateError> {
        let mut found = HashMap::with_capacity(key_hashes.len());
        for part in key_hashes.chunks(sql::ROWS) {
            let text = format!(
                "SELECT key_hash, digest, agreed_at FROM baselines WHERE pair = $1 AND key_hash IN ({})",
                sql::list(2, part.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(pair);
            for key_hash in part {
                query = query.bind(key_hash.as_str());
            }
            let rows = query.fetch_all(&self.pool).await.map_err(StateError::sql("read baselines"))?;
            for row in &rows {
                let (key_hash, baseline) = baseline_row(row)?;
                found.insert(key_hash, baseline);
            }
        }
        Ok(found)
    }
}

fn baseline_row(row: &AnyRow) -> Result<(String, Baseline), StateError> {
    let failed = StateError::sql("read baselines");
    let digest: String = row.try_get(1).map_err(&failed)?;
    let digest = u128::from_str_radix(&digest, 16).map_err(|_| StateError::Unreadable { table: "baselines" })?;
    let agreed_at = Moment::from_micros(row.try_get(2).map_err(&failed)?);
    Ok((row.try_get(0).map_err(&failed)?, Baseline { digest, agreed_at }))
}

/// Writes the baselines of one run; of two for one key the later in the list counts.
pub(super) async fn change(connection: &mut AnyConnection, changes: &[BaselineChange]) -> Result<(), StateError> {
    let by_key: BTreeMap<(&str, &str), &BaselineChange> =
        changes.iter().map(|change| ((change.pair.as_str(), change.key_hash.as_str()), change)).collect();
    let changes: Vec<&BaselineChange> = by_key.into_values().collect();
    for part in changes.chunks(sql::ROWS) {
        let text = format!(
            "INSERT INTO baselines (pair, key_hash, digest, agreed_at) VALUES {} \
             ON CONFLICT (pair, key_hash) DO UPDATE SET digest = excluded.digest, agreed_at = excluded.agreed_at",
            sql::rows(part.len(), 4)
        );
        let mut query = sqlx::query(AssertSqlSafe(text)).persistent(part.len() == sql::ROWS);
        for change in part {
            query = query
                .bind(change.pair.as_str())
                .bind(change.key_hash.as_str())
                .bind(format!("{:032x}", change.digest))
                .bind(change.agreed_at.micros());
        }
        query.execute(&mut *connection).await.map_err(StateError::sql("write baselines"))?;
    }
    Ok(())
}
