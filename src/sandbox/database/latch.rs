//! Keeps the writers of one key apart, and tells afterwards who wrote last.
//!
//! A key that is not there yet has no row that could be locked, so every write first takes the latch of its key: one
//! row of a small table, the same for all keys that fall upon it. A transaction takes one only, so that no two
//! can wait for each other. SQLite has one writer at a time and no latches.

use std::hash::{Hash as _, Hasher as _};

use sqlx::{Any, AnyPool, AssertSqlSafe, Row, Transaction};
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

use super::super::record::Entity;
use super::dialect::Dialect;
use super::rows::query;
use super::table::Value;

/// Writers of different keys rarely meet.
const LATCHES: u64 = 4096;

/// Makes the latches, where the database needs them.
pub(super) async fn create(dialect: Dialect, pool: &AnyPool) -> sqlx::Result<()> {
    if !dialect.writes_side_by_side() {
        return Ok(());
    }
    let table = "CREATE TABLE latch (id BIGINT PRIMARY KEY, mark VARCHAR(36) NOT NULL)";
    sqlx::query(table).execute(pool).await?;
    let rows: Vec<_> = (0..LATCHES).map(|id| format!("({id}, '')")).collect();
    sqlx::query(AssertSqlSafe(format!("INSERT INTO latch VALUES {}", rows.join(", ")))).execute(pool).await?;
    Ok(())
}

/// Waits for the latch of a key, holds it to the end of the transaction and leaves `mark` on it.
pub(super) async fn take(
    dialect: Dialect,
    tx: &mut Transaction<'static, Any>,
    entity: Entity,
    key: &str,
    mark: Uuid,
) -> sqlx::Result<()> {
    if dialect.writes_side_by_side() {
        let values = [Value::Text(mark.to_string()), Value::Integer(number(entity, key))];
        query(dialect, "UPDATE latch SET mark = ? WHERE id = ?", values).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Whether the last committed write of this latch left `mark` on it. Waits for a writer that holds it.
pub(super) async fn bears(
    dialect: Dialect,
    pool: &AnyPool,
    entity: Entity,
    key: &str,
    mark: Uuid,
) -> sqlx::Result<bool> {
    let mut tx = pool.begin().await?;
    let values = [Value::Integer(number(entity, key))];
    let text = "SELECT mark FROM latch WHERE id = ? FOR UPDATE";
    let row = query(dialect, text, values).fetch_one(&mut *tx).await?;
    let found: String = row.try_get(0)?;
    tx.commit().await?;
    Ok(found == mark.to_string())
}

fn number(entity: Entity, key: &str) -> i64 {
    let mut hasher = Xxh3::new();
    (entity, key).hash(&mut hasher);
    // Less than `LATCHES`, so it fits.
    i64::try_from(hasher.finish() % LATCHES).unwrap_or_default()
}
