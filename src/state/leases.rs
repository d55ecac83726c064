//! Who works on what. Every time is the database's: auditors' clocks do not matter.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use super::change::{Lease, UnitName};
use super::{StateError, StateStore, sql};

impl StateStore {
    /// Says that `auditor` lives and takes its fair share of `units`: at most `max`, and at most the number of
    /// units divided by that of living auditors, rounded up. What it holds beyond that is released. Returns all
    /// leases that it holds now; others that it held are gone. Call it often, a few times in each `ttl`.
    ///
    /// A lease that ran out and is taken again, even by its last holder, has a new token.
    ///
    /// # Errors
    /// When the database does not answer; no lease has changed then.
    pub async fn acquire(
        &self,
        units: &[UnitName],
        auditor: &str,
        ttl: Duration,
        max: usize,
    ) -> Result<Vec<Lease>, StateError> {
        let failed = StateError::sql("take leases");
        // Always in the same order, so that two auditors cannot wait for each other.
        let units: Vec<&UnitName> = units.iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        heartbeat(&mut transaction, auditor, ttl).await?;
        for part in units.chunks(sql::ROWS) {
            add_units(&mut transaction, part).await?;
        }
        let share = units.len().div_ceil(living(&mut transaction).await?.max(1)).min(max);
        let mut held = held(&mut transaction, auditor, &units).await?;
        for surplus in held.split_off(share.min(held.len())) {
            expire(&mut transaction, auditor, &surplus).await?;
        }
        let mine: HashSet<String> = held.iter().map(|lease| lease.unit.clone()).collect();
        for unit in units.into_iter().filter(|unit| !mine.contains(*unit)) {
            if held.len() >= share {
                break;
            }
            held.extend(take(&mut transaction, auditor, unit, ttl).await?);
        }
        transaction.commit().await.map_err(&failed)?;
        Ok(held)
    }

    /// Prolongs `leases` by `ttl` from now and returns those that `auditor` still holds. One that ran out and was
    /// not taken by another is held again, under the same token.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn renew(&self, auditor: &str, leases: &[Lease], ttl: Duration) -> Result<Vec<Lease>, StateError> {
        let failed = StateError::sql("renew leases");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        heartbeat(&mut transaction, auditor, ttl).await?;
        let mut held = Vec::with_capacity(leases.len());
        for part in leases.chunks(sql::ROWS) {
            let text = format!(
                "UPDATE leases SET expires_at = (SELECT now_us FROM database_clock) + $1 \
                 WHERE auditor = $2 AND unit IN ({}) RETURNING unit, token",
                sql::list(3, part.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(micros(ttl)).bind(auditor);
            for lease in part {
                query = query.bind(lease.unit.as_str());
            }
            for row in &query.fetch_all(&mut *transaction).await.map_err(&failed)? {
                held.push(lease_row(row)?);
            }
        }
        transaction.commit().await.map_err(&failed)?;
        let known: HashSet<&Lease> = leases.iter().collect();
        held.retain(|lease| known.contains(lease));
        held.sort_by(|a, b| a.unit.cmp(&b.unit));
        Ok(held)
    }

    /// Gives `leases` back; others can take them at once.
    ///
    /// # Errors
    /// When the database does not answer; the leases run out by themselves then.
    pub async fn release(&self, auditor: &str, leases: &[Lease]) -> Result<(), StateError> {
        let failed = StateError::sql("release leases");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        for lease in leases {
            expire(&mut connection, auditor, lease).await?;
        }
        Ok(())
    }

    /// Gives everything back and leaves the share to the others: the last call of an orderly shutdown.
    ///
    /// # Errors
    /// When the database does not answer; leases and share run out by themselves then.
    pub async fn leave(&self, auditor: &str) -> Result<(), StateError> {
        let failed = StateError::sql("leave");
        for text in [
            "UPDATE leases SET auditor = '', expires_at = 0 WHERE auditor = $1",
            "DELETE FROM auditors WHERE auditor = $1",
            "UPDATE sweep_chunks SET auditor = '', expires_at = 0 WHERE auditor = $1 AND status IN ('open', 'wide')",
        ] {
            sqlx::query(text).bind(auditor).execute(&self.pool).await.map_err(&failed)?;
        }
        Ok(())
    }
}

async fn heartbeat(connection: &mut AnyConnection, auditor: &str, ttl: Duration) -> Result<(), StateError> {
    sqlx::query(
        "INSERT INTO auditors (auditor, expires_at) \
         SELECT $1, now_us + $2 FROM database_clock WHERE true \
         ON CONFLICT (auditor) DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(auditor)
    .bind(micros(ttl))
    .execute(connection)
    .await
    .map_err(StateError::sql("say that this auditor lives"))?;
    Ok(())
}

async fn living(connection: &mut AnyConnection) -> Result<usize, StateError> {
    let failed = StateError::sql("count auditors");
    let text = "SELECT COUNT(*) FROM auditors WHERE expires_at > (SELECT now_us FROM database_clock)";
    let row = sqlx::query(text).fetch_one(connection).await.map_err(&failed)?;
    let count: i64 = row.try_get(0).map_err(&failed)?;
    Ok(usize::try_from(count).unwrap_or(1))
}

async fn add_units(connection: &mut AnyConnection, units: &[&UnitName]) -> Result<(), StateError> {
    let rows: Vec<String> = (1..=units.len()).map(|number| format!("(${number}, '', 0, 0)")).collect();
    let text = format!(
        "INSERT INTO leases (unit, auditor, token, expires_at) VALUES {} ON CONFLICT (unit) DO NOTHING",
        rows.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(text));
    for unit in units {
        query = query.bind(unit.as_str());
    }
    query.execute(connection).await.map_err(StateError::sql("add units of work"))?;
    Ok(())
}

/// What `auditor` holds of `units`, which are sorted.
async fn held(connection: &mut AnyConnection, auditor: &str, units: &[&UnitName]) -> Result<Vec<Lease>, StateError> {
    let rows = sqlx::query(
        "SELECT unit, token FROM leases WHERE auditor = $1 \
         AND expires_at > (SELECT now_us FROM database_clock) ORDER BY unit",
    )
    .bind(auditor)
    .fetch_all(connection)
    .await
    .map_err(StateError::sql("list leases"))?;
    let leases = rows.iter().map(lease_row).collect::<Result<Vec<_>, _>>()?;
    Ok(leases.into_iter().filter(|lease| units.binary_search(&&lease.unit).is_ok()).collect())
}

async fn take(
    connection: &mut AnyConnection,
    auditor: &str,
    unit: &str,
    ttl: Duration,
) -> Result<Option<Lease>, StateError> {
    let row = sqlx::query(
        "UPDATE leases SET auditor = $1, token = token + 1, \
         expires_at = (SELECT now_us FROM database_clock) + $2 \
         WHERE unit = $3 AND expires_at <= (SELECT now_us FROM database_clock) RETURNING unit, token",
    )
    .bind(auditor)
    .bind(micros(ttl))
    .bind(unit)
    .fetch_optional(connection)
    .await
    .map_err(StateError::sql("take a lease"))?;
    row.as_ref().map(lease_row).transpose()
}

async fn expire(connection: &mut AnyConnection, auditor: &str, lease: &Lease) -> Result<(), StateError> {
    sqlx::query("UPDATE leases SET auditor = '', expires_at = 0 WHERE unit = $1 AND auditor = $2 AND token = $3")
        .bind(lease.unit.as_str())
        .bind(auditor)
        .bind(i64::try_from(lease.token).unwrap_or(i64::MAX))
        .execute(connection)
        .await
        .map_err(StateError::sql("release a lease"))?;
    Ok(())
}

fn lease_row(row: &AnyRow) -> Result<Lease, StateError> {
    let failed = StateError::sql("read a lease");
    let token: i64 = row.try_get(1).map_err(&failed)?;
    Ok(Lease { unit: row.try_get(0).map_err(&failed)?, token: token.unsigned_abs() })
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}
