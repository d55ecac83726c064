//! What the sync job goes by: the ERP's outbox, and the warehouse's stamps.

use anyhow::Context as _;
use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use super::super::record::{Entity, System};
use super::dialect::Dialect;
use super::rows::query;
use super::table::{StampColumn, Table, Value};
use super::{Database, answered};

/// Notes a write in the transaction that makes it.
pub(super) async fn add(
    dialect: Dialect,
    tx: &mut Transaction<'static, Any>,
    entity: Entity,
    key: &str,
) -> sqlx::Result<()> {
    let values = [Value::Text(entity.as_str().to_owned()), Value::Text(key.to_owned())];
    let text = "INSERT INTO outbox (entity, record_key) VALUES (?, ?)";
    query(dialect, text, values).execute(&mut **tx).await.map(drop)
}

impl Database {
    /// The oldest messages of the ERP's outbox, at most `limit`: number, entity and key. They stay until they are
    /// [forgotten](Self::forget), so that whoever dies in between finds them again.
    ///
    /// # Errors
    /// When this is not the ERP or it cannot be read.
    pub async fn take_outbox(&self, limit: usize) -> anyhow::Result<Vec<(i64, Entity, String)>> {
        anyhow::ensure!(self.system == System::Erp, "the {} has no outbox", self.system);
        let text = format!("SELECT id, entity, record_key FROM outbox ORDER BY id LIMIT {limit}");
        let rows =
            answered(query(self.dialect, &text, []).fetch_all(&self.pool)).await.context("cannot read the outbox")?;
        let message = |row: &AnyRow| {
            let name: String = row.try_get(1)?;
            let entity = Entity::ALL.into_iter().find(|entity| entity.as_str() == name);
            let entity = entity.with_context(|| format!("`{name}` in the outbox is no entity"))?;
            Ok((row.try_get(0)?, entity, row.try_get(2)?))
        };
        rows.iter().map(message).collect()
    }

    /// Removes messages from the ERP's outbox.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn forget(&self, messages: &[i64]) -> anyhow::Result<()> {
        for part in messages.chunks(500) {
            let places = vec!["?"; part.len()].join(", ");
            let text = format!("DELETE FROM outbox WHERE id IN ({places})");
            let values = part.iter().copied().map(Value::Integer);
            answered(query(self.dialect, &text, values).execute(&self.pool))
                .await
                .context("cannot clear the outbox")?;
        }
        Ok(())
    }

    /// Stocks and shipments of the warehouse that are stamped `since` or later, in milliseconds since 1970, oldest first:
    /// entity, key and stamp. A deleted one leaves no stamp, and one may be committed later than one with a later stamp.
    ///
    /// # Errors
    /// When this is not the warehouse or it cannot be read.
    pub async fn changed_since(&self, since: i64) -> anyhow::Result<Vec<(Entity, String, i64)>> {
        let mut changed = Vec::new();
        for entity in [Entity::Stock, Entity::Shipment] {
            let table = self.table(entity)?;
            anyhow::ensure!(matches!(table.stamp, StampColumn::UpdatedMs), "the {} keeps no such stamps", self.system);
            let Table { name, key, prefix, .. } = table;
            let text = format!("SELECT {key}, updated_ms FROM {name} WHERE updated_ms >= ? ORDER BY updated_ms, id");
            let rows = query(self.dialect, &text, [Value::Integer(since)]).fetch_all(&self.pool);
            for row in answered(rows).await.with_context(|| format!("cannot read what changed in `{name}`"))? {
                let written: String = row.try_get(0)?;
                changed.push((entity, written.strip_prefix(prefix).unwrap_or(&written).to_owned(), row.try_get(1)?));
            }
        }
        changed.sort_by_key(|(_, _, stamp)| *stamp);
        Ok(changed)
    }
}
