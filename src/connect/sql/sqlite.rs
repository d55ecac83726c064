//! SQLite: each value says itself what it is.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteColumn, SqliteConnection, SqliteRow};
use sqlx::{Arguments, Column, Decode, Row, TypeInfo, ValueRef};

use super::engine::{Driver, Kind, ResultColumn};
use super::text::{Arg, Dialect};
use super::values::{text_or_bytes, undecodable};
use crate::model::Raw;

pub(super) struct SqliteDriver;

/// Virtual machine steps between two looks at the deadline.
const STEPS: i32 = 10_000;

#[async_trait]
impl Driver for SqliteDriver {
    type Db = Sqlite;
    const DIALECT: Dialect = Dialect::Sqlite;
    const UNLIMITED: Option<&'static str> = None;
    const BEGIN: &'static str = "BEGIN";

    // `EXPLAIN` alone does not notice that another connection has changed the schema; a statement that runs does.
    const BEFORE_EXPLAIN: Option<&'static str> = Some("SELECT count(*) FROM sqlite_schema");
    const EXPLAIN: &'static str = "EXPLAIN QUERY PLAN";

    fn result_column(column: &SqliteColumn) -> ResultColumn {
        let type_name = column.type_info().name().to_lowercase();
        ResultColumn { kind: Kind::Dynamic, read_cast: None, bind_cast: None, type_name }
    }

    fn arguments(args: &[Arg]) -> Result<SqliteArguments, sqlx::error::BoxDynError> {
        let mut arguments = SqliteArguments::default();
        for arg in args {
            match arg {
                Arg::Null => arguments.add(None::<String>)?,
                Arg::Int(value) => arguments.add(*value)?,
                Arg::Float(value) => arguments.add(*value)?,
                Arg::Decimal(value) | Arg::Text(value) => arguments.add(value.as_str())?,
                Arg::Bytes(value) => arguments.add(value.as_slice())?,
                Arg::Texts(_) | Arg::Ints(_) => return Err("no arrays here".into()),
            }
        }
        Ok(arguments)
    }

    fn decode(row: &SqliteRow, index: usize, _kind: Kind) -> Raw {
        let Ok(value) = row.try_get_raw(index) else { return undecodable("no such result column") };
        if value.is_null() {
            return Raw::Null;
        }
        let type_info = value.type_info().into_owned();
        let decoded = match type_info.name() {
            "INTEGER" | "BOOLEAN" | "INT4" => <i64 as Decode<Sqlite>>::decode(value).map(Raw::Int),
            "REAL" => <f64 as Decode<Sqlite>>::decode(value).map(Raw::Float),
            "BLOB" => <&[u8] as Decode<Sqlite>>::decode(value).map(|bytes| Raw::Bytes(bytes.into())),
            _ => <&[u8] as Decode<Sqlite>>::decode(value).map(text_or_bytes),
        };
        decoded.unwrap_or_else(|_| undecodable("a value of an unknown storage class"))
    }

    /// The engine runs in this process and cannot be cut off from outside: it looks at the deadline itself.
    async fn arm(connection: &mut SqliteConnection, limit: Duration) -> Result<(), sqlx::Error> {
        let mut handle = connection.lock_handle().await?;
        match Instant::now().checked_add(limit) {
            Some(deadline) => handle.set_progress_handler(STEPS, move || Instant::now() < deadline),
            None => handle.remove_progress_handler(),
        }
        Ok(())
    }
}
