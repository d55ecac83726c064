//! The state schema, built into the binary. Migrations are append-only.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::dialect::Dialect;

/// All migrations in order. The first is the one text that differs by database.
pub(super) fn migrator(dialect: Dialect) -> Migrator {
    let files = [
        (20_261_122_000_000, "clock", dialect.clock_view()),
        (20_261_122_000_001, "begin", include_str!("../../migrations/state/20261122000001_begin.sql")),
        (20_261_123_000_001, "schema", include_str!("../../migrations/state/20261123000001_schema.sql")),
        (20_261_123_000_002, "key_indexes", include_str!("../../migrations/state/20261123000002_key_indexes.sql")),
        (20_261_123_000_010, "outbox", include_str!("../../migrations/state/20261123000010_outbox.sql")),
        (20_261_124_000_002, "incidents", include_str!("../../migrations/state/20261124000002_incidents.sql")),
        (20_261_126_000_001, "sweep_chunks", include_str!("../../migrations/state/20261126000001_sweep_chunks.sql")),
    ];
    let migrations = files.into_iter().map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}
