//! How far a replica lies behind its primary.

use std::time::Duration;

use super::engine::Kind;
use super::text::{Dialect, Statement};
use super::{ReadError, SqlReader};
use crate::model::Raw;

/// PostgreSQL 12 and newer ("Recovery Information Functions"). What has been replayed as far as it was received lags by nothing,
/// however long ago the primary last wrote; without a connection to the primary only the last commit that was replayed tells.
const POSTGRES: &str = "\
    SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL \
    WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0 \
    ELSE CAST(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000000 AS int8) END";

impl SqlReader {
    /// How far this replica lies behind; `None` for what is none, or where nothing tells.
    pub(super) async fn replica_lag(&self) -> Result<Option<Duration>, ReadError> {
        if self.dialect() != Dialect::Postgres {
            return Ok(None);
        }
        let mut lag = None;
        let statement = Statement::new(self.dialect(), POSTGRES);
        let kinds = [Kind::Int { bytes: 8, signed: true }];
        self.query(&statement, &kinds, &mut |row| {
            if let [Raw::Int(micros)] = row[..] {
                lag = Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
            }
        })
        .await?;
        Ok(lag)
    }
}
