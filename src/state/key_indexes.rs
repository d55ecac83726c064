//! Indexes of keys that lead back to no row: which of a system's addresses had a key.
//!
//! Rows are only added, but for addresses that turned out to have another key; that moves the version, and with it
//! whoever read by the version before.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use super::{StateError, StateStore, sql};
use crate::model::Moment;

const TABLE: &str = "key_indexes";
const ENTRIES: &str = "key_index_entries";

/// Addresses that one statement forgets.
const FORGOTTEN_AT_ONCE: i64 = 5_000;

/// Which index: a number made of its name and form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyIndexId {
    /// For people: `order/erp`.
    pub name: String,
    /// Distinguishes indexes of one name.
    pub id: i64,
}

/// How an index stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyIndexRow {
    /// `order/erp`.
    pub name: String,
    /// Grows when an address is dropped.
    pub version: i64,
    /// Where its changes go on.
    pub position: Vec<u8>,
    /// Addresses held.
    pub entries: u64,
    /// Everything that could be seen by then is held; `None` if it was never complete.
    pub complete_through: Option<Moment>,
}

/// An address that had a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldAddress {
    /// Keyed hash of the key.
    pub key_hash: u128,
    /// Keyed hash of the address.
    pub native_hash: u128,
    /// The address.
    pub native: Vec<u8>,
}

impl StateStore {
    /// The index; `begun_at` is the position of one that begins now.
    ///
    /// # Errors
    /// When the database does not answer, or the row was encrypted under another secret.
    pub async fn key_index(&self, index: &KeyIndexId, begun_at: &[u8]) -> Result<KeyIndexRow, StateError> {
        if let Some(row) = self.stored_key_index(index).await? {
            return Ok(row);
        }
        sqlx::query(
            "INSERT INTO key_indexes (id, name, version, position, entries, complete_through, touched_at) \
             SELECT $1, $2, 0, $3, 0, 0, now_us FROM database_clock WHERE true ON CONFLICT (id) DO NOTHING",
        )
        .bind(index.id)
        .bind(index.name.as_str())
        .bind(self.seal(TABLE, &index.id.to_string(), "", begun_at))
        .execute(&self.pool)
        .await
        .map_err(StateError::sql("begin an index of keys"))?;
        self.stored_key_index(index).await?.ok_or(StateError::Unreadable { table: TABLE })
    }

    async fn stored_key_index(&self, index: &KeyIndexId) -> Result<Option<KeyIndexRow>, StateError> {
        let failed = StateError::sql("read an index of keys");
        let row =
            sqlx::query("SELECT name, version, position, entries, complete_through FROM key_indexes WHERE id = $1")
                .bind(index.id)
                .fetch_optional(&self.pool)
                .await
                .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let sealed: Vec<u8> = row.try_get(2).map_err(&failed)?;
        let position = self.unseal(TABLE, &index.id.to_string(), "", &sealed)?;
        shown(&row, position).map(Some)
    }

    /// All indexes, for people: without their positions, and so without the secret.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key_indexes(&self) -> Result<Vec<KeyIndexRow>, StateError> {
        let rows = sqlx::query(
            "SELECT name, version, position, entries, complete_through FROM key_indexes ORDER BY name, touched_at",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StateError::sql("list the indexes of keys"))?;
        rows.iter().map(|row| shown(row, Vec::new())).collect()
    }

    /// The addresses of these keys, and the index's version after they were read.
    ///
    /// # Errors
    /// When the database does not answer, or an address was encrypted under another secret.
    pub async fn addresses_of(
        &self,
        index: &KeyIndexId,
        key_hashes: &[u128],
    ) -> Result<(Vec<HeldAddress>, i64), StateError> {
        let failed = StateError::sql("read addresses of keys");
        let mut found = Vec::new();
        for part in key_hashes.chunks(sql::ROWS) {
            let text = format!(
                "SELECT key_hash, native_hash, native FROM key_index_entries WHERE index_id = $1 AND key_hash IN ({})",
                sql::list(2, part.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(text)).persistent(part.len() == sql::ROWS).bind(index.id);
            for key_hash in part {
                query = query.bind(bytes(*key_hash));
            }
            for row in &query.fetch_all(&self.pool).await.map_err(&failed)? {
                found.push(self.address(index, row)?);
            }
        }
        let row = sqlx::query("SELECT version FROM key_indexes WHERE id = $1").bind(index.id);
        let row = row.fetch_optional(&self.pool).await.map_err(&failed)?;
        // An index that is gone has no version that anybody knows.
        let version = row.map_or(Ok(-1), |row| row.try_get(0)).map_err(&failed)?;
        Ok((found, version))
    }

    fn address(&self, index: &KeyIndexId, row: &AnyRow) -> Result<HeldAddress, StateError> {
        let failed = StateError::sql("read addresses of keys");
        let hash = |column: usize| -> Result<u128, StateError> {
            let stored: Vec<u8> = row.try_get(column).map_err(&failed)?;
            let stored: [u8; 16] = stored.try_into().map_err(|_| StateError::Unreadable { table: ENTRIES })?;
            Ok(u128::from_be_bytes(stored))
        };
        let (key_hash, native_hash) = (hash(0)?, hash(1)?);
        let sealed: Vec<u8> = row.try_get(2).map_err(&failed)?;
        let native = self.unseal(ENTRIES, &index.id.to_string(), &format!("{native_hash:x}"), &sealed)?;
        Ok(HeldAddress { key_hash, native_hash, native })
    }

    /// Adds addresses and moves the index on, in one transaction. `None` when its version is not `moved.version`:
    /// nothing was done. Else how many addresses are new.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn add_addresses(
        &self,
        index: &KeyIndexId,
        moved: &KeyIndexRow,
        addresses: &[HeldAddress],
    ) -> Result<Option<u64>, StateError> {
        let failed = StateError::sql("add addresses of keys");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        if !self.move_on(&mut transaction, index, moved, moved.version).await? {
            transaction.rollback().await.map_err(&failed)?;
            return Ok(None);
        }
        let mut added = 0;
        for part in addresses.chunks(sql::ROWS) {
            let text = format!(
                "INSERT INTO key_index_entries (index_id, key_hash, native_hash, native) VALUES {} \
                 ON CONFLICT (index_id, key_hash, native_hash) DO NOTHING",
                sql::rows(part.len(), 4)
            );
            let mut query = sqlx::query(AssertSqlSafe(text)).persistent(part.len() == sql::ROWS);
            for address in part {
                let name = format!("{:x}", address.native_hash);
                query = query
                    .bind(index.id)
                    .bind(bytes(address.key_hash))
                    .bind(bytes(address.native_hash))
                    .bind(self.seal(ENTRIES, &index.id.to_string(), &name, &address.native));
            }
            added += query.execute(&mut *transaction).await.map_err(&failed)?.rows_affected();
        }
        count(&mut transaction, index, i64::try_from(added).unwrap_or(i64::MAX)).await?;
        transaction.commit().await.map_err(&failed)?;
        Ok(Some(added))
    }

    /// Drops addresses and goes back to `from`, in one transaction, if the version is still that of `from`.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn drop_addresses(
        &self,
        index: &KeyIndexId,
        from: &KeyIndexRow,
        stale: &[(u128, u128)],
    ) -> Result<bool, StateError> {
        let failed = StateError::sql("drop addresses of keys");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        if !self.move_on(&mut transaction, index, from, from.version + 1).await? {
            transaction.rollback().await.map_err(&failed)?;
            return Ok(false);
        }
        let mut dropped = 0;
        for (key_hash, native_hash) in stale {
            let done =
                sqlx::query("DELETE FROM key_index_entries WHERE index_id = $1 AND key_hash = $2 AND native_hash = $3")
                    .bind(index.id)
                    .bind(bytes(*key_hash))
                    .bind(bytes(*native_hash))
                    .execute(&mut *transaction)
                    .await
                    .map_err(&failed)?;
            dropped += done.rows_affected();
        }
        count(&mut transaction, index, -i64::try_from(dropped).unwrap_or(i64::MAX)).await?;
        transaction.commit().await.map_err(&failed)?;
        Ok(true)
    }

    /// Writes position and completeness; `false` when the version is another. Takes the row's lock.
    async fn move_on(
        &self,
        connection: &mut AnyConnection,
        index: &KeyIndexId,
        to: &KeyIndexRow,
        version: i64,
    ) -> Result<bool, StateError> {
        let done = sqlx::query(
            "UPDATE key_indexes SET version = $1, position = $2, complete_through = $3, \
             touched_at = (SELECT now_us FROM database_clock) WHERE id = $4 AND version = $5",
        )
        .bind(version)
        .bind(self.seal(TABLE, &index.id.to_string(), "", &to.position))
        .bind(to.complete_through.map_or(0, Moment::micros))
        .bind(index.id)
        .bind(to.version)
        .execute(connection)
        .await
        .map_err(StateError::sql("move an index of keys on"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets indexes that nobody has used since `before`, at most about `most` addresses of them. Returns how many
    /// addresses went.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn forget_unused_key_indexes(&self, before: Moment, most: u64) -> Result<u64, StateError> {
        let failed = StateError::sql("forget unused indexes of keys");
        let rows = sqlx::query("SELECT id FROM key_indexes WHERE touched_at < $1").bind(before.micros());
        let unused = rows.fetch_all(&self.pool).await.map_err(&failed)?;
        let mut forgotten = 0;
        for row in &unused {
            let id: i64 = row.try_get(0).map_err(&failed)?;
            while forgotten < most {
                let Some(went) = self.forget_part(id, before).await? else { break };
                forgotten += went;
            }
        }
        Ok(forgotten)
    }

    /// `None` when there is nothing left, or the index is used again. Whoever takes it up begins it anew.
    async fn forget_part(&self, id: i64, before: Moment) -> Result<Option<u64>, StateError> {
        let failed = StateError::sql("forget an unused index of keys");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        let begun_at = crate::state::key_indexes::BEGINNING;
        let held = sqlx::query(
            "UPDATE key_indexes SET version = version + 1, position = $1, complete_through = 0 \
             WHERE id = $2 AND touched_at < $3",
        )
        .bind(self.seal(TABLE, &id.to_string(), "", begun_at))
        .bind(id)
        .bind(before.micros());
        if held.execute(&mut *transaction).await.map_err(&failed)?.rows_affected() == 0 {
            transaction.rollback().await.map_err(&failed)?;
            return Ok(None);
        }
        let part = "DELETE FROM key_index_entries WHERE (index_id, key_hash, native_hash) IN \
                    (SELECT index_id, key_hash, native_hash FROM key_index_entries WHERE index_id = $1 LIMIT $2)";
        let went = sqlx::query(part).bind(id).bind(FORGOTTEN_AT_ONCE).execute(&mut *transaction).await;
        let went = went.map_err(&failed)?.rows_affected();
        if went == 0 {
            let gone = sqlx::query("DELETE FROM key_indexes WHERE id = $1").bind(id);
            gone.execute(&mut *transaction).await.map_err(&failed)?;
        }
        transaction.commit().await.map_err(&failed)?;
        Ok((went > 0).then_some(went))
    }
}

/// A position that no reader knows: an index that is taken up again while it is being forgotten begins anew.
const BEGINNING: &[u8] = &[u8::MAX];

async fn count(connection: &mut AnyConnection, index: &KeyIndexId, more: i64) -> Result<(), StateError> {
    if more == 0 {
        return Ok(());
    }
    sqlx::query("UPDATE key_indexes SET entries = entries + $1 WHERE id = $2")
        .bind(more)
        .bind(index.id)
        .execute(connection)
        .await
        .map(drop)
        .map_err(StateError::sql("count addresses of keys"))
}

fn shown(row: &AnyRow, position: Vec<u8>) -> Result<KeyIndexRow, StateError> {
    let failed = StateError::sql("read an index of keys");
    let entries: i64 = row.try_get(3).map_err(&failed)?;
    let complete_through: i64 = row.try_get(4).map_err(&failed)?;
    Ok(KeyIndexRow {
        name: row.try_get(0).map_err(&failed)?,
        version: row.try_get(1).map_err(&failed)?,
        position,
        entries: u64::try_from(entries).unwrap_or_default(),
        complete_through: (complete_through != 0).then(|| Moment::from_micros(complete_through)),
    })
}

fn bytes(hash: u128) -> Vec<u8> {
    hash.to_be_bytes().to_vec()
}
