//! Readers for SQL databases: PostgreSQL, MySQL and MariaDB, SQLite.
//!
//! One reader for all three; [`engine`] hides the drivers, [`text`] the dialects. Sessions are read-only by their
//! settings, whatever the login may do. A read is one statement and so one snapshot; a by-key read of very many
//! keys is several, and its window covers them all. Plans (types, decoders, select lists) are made once per
//! mapping and made anew when a table has changed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::{
    Bound, Budget, ChangesPage, ClockReading, Column, Cursor, Finding, KeyRange, KeyedRead, Place, RangeRead, Reach,
    ReadError, Reader, Shape, Sweeper, Usage,
};
use crate::clock::Clock;
use crate::config::{System, SystemKind};
use crate::model::mapping::{Dataset, Source};
use crate::model::{EntityId, Key, Mapping, Raw, RawRow, Record, SystemId};

mod changes;
mod children;
mod doctor;
mod engine;
mod errors;
mod lane;
mod mysql;
mod open;
mod plan;
pub(super) mod position;
mod postgres;
mod ranges;
mod replica;
mod rowhash;
mod schema;
mod source;
mod sqlite;
mod stamp;
mod sweep;
mod text;
mod totals;
mod values;
mod watermark;

use engine::{Engine, Failure, Kind, OnRow, ResultColumn, Timing};
use plan::Plan;
use text::{Arg, Dialect, Statement};

pub(super) use open::open;

/// Keys in one statement.
const fn keys_at_once(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Postgres => 5000,
        // MariaDB turns lists of 1000 and more into a derived table.
        Dialect::Mysql => 990,
        Dialect::Sqlite => 512,
    }
}

/// Rows that wait between a scan and its consumer.
const SCAN_BUFFER: usize = 64;

/// Records with children in one page of a scan.
const SCAN_PAGE: usize = 1_000;

/// How many times a page's rows a page may have because many have its last key.
const SAME_KEY: usize = 10;

/// A reader of one SQL database.
pub(super) struct SqlReader {
    system: SystemId,
    engine: Arc<dyn Engine>,
    budget: Arc<Budget>,
    clock: Arc<dyn Clock>,
    commit_delay: Duration,
    limit: Duration,
    max_replica_lag: Duration,
    tls: crate::config::TlsMode,
    /// SQLite: the database file.
    file: Option<std::path::PathBuf>,
    plans: Mutex<HashMap<EntityId, Arc<Plan>>>,
}

/// Each try closes the stale connection that it met, and after a change of a table or a restart of the server all of
/// the pool's are stale.
struct Tries<'r> {
    budget: &'r Budget,
    left: usize,
}

impl Tries<'_> {
    /// Whether to ask once more.
    fn again<T>(&mut self, outcome: &Result<T, Failure>) -> bool {
        let again = self.left > 0 && outcome.as_ref().is_err_and(errors::is_stale);
        if again {
            self.left -= 1;
            self.budget.add_retry();
        }
        again
    }
}

impl SqlReader {
    fn dialect(&self) -> Dialect {
        self.engine.dialect()
    }

    fn error(&self, failure: Failure) -> ReadError {
        errors::read_error(&self.system, self.limit, failure)
    }

    fn shape(&self, mapping: &Mapping, reason: &str) -> ReadError {
        let reason = format!("`{}`: {reason}", plan::table_name(&mapping.dataset));
        ReadError::Shape { system: self.system.clone(), reason }
    }

    /// How often something may be asked anew for connections that had gone stale in the pool.
    fn tries(&self) -> Tries<'_> {
        Tries { budget: &self.budget, left: self.budget.limits().concurrency }
    }

    /// Runs one statement within the budget.
    async fn query(&self, statement: &Statement, kinds: &[Kind], on_row: OnRow<'_>) -> Result<Timing, ReadError> {
        let _permit = self.budget.admit().await?;
        let mut rows = 0;
        let mut tries = self.tries();
        let outcome = loop {
            let mut count = |row: &mut RawRow| {
                rows += 1;
                on_row(row);
            };
            let outcome = self.engine.query(statement, kinds, &mut count).await;
            if rows > 0 || !tries.again(&outcome) {
                break outcome;
            }
        };
        self.budget.add_rows(rows);
        let outcome = outcome.map_err(|failure| self.error(failure));
        self.budget.note(outcome.as_ref().err());
        outcome
    }

    /// The plan of a mapping, made at the first use.
    async fn plan(&self, mapping: &Mapping) -> Result<Arc<Plan>, ReadError> {
        let known = self.plans().get(&mapping.entity).filter(|plan| plan.fits(mapping)).cloned();
        if let Some(plan) = known {
            return Ok(plan);
        }
        let columns = self.result_columns(&mapping.dataset, &mapping.sources).await?;
        let mut children = Vec::with_capacity(mapping.children.len());
        for kind in &mapping.children {
            children.push(self.result_columns(&kind.dataset, &kind.sources).await?);
        }
        let plan = Plan::new(self.dialect(), mapping, columns, children);
        let plan = plan.map_err(|reason| self.shape(mapping, &reason))?;
        let plan = Arc::new(plan);
        self.plans().insert(mapping.entity.clone(), plan.clone());
        Ok(plan)
    }

    async fn result_columns(&self, dataset: &Dataset, sources: &[Source]) -> Result<Vec<ResultColumn>, ReadError> {
        let _permit = self.budget.admit().await?;
        let sql = plan::typing_statement(self.dialect(), dataset, sources);
        let mut tries = self.tries();
        let outcome = loop {
            let outcome = self.engine.prepare(&sql).await;
            if !tries.again(&outcome) {
                break outcome;
            }
        };
        outcome.map_err(|failure| self.error(failure))
    }

    fn plans(&self) -> std::sync::MutexGuard<'_, HashMap<EntityId, Arc<Plan>>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A table that has changed needs a new plan.
    fn forget_on_shape<T>(&self, mapping: &Mapping, outcome: Result<T, ReadError>) -> Result<T, ReadError> {
        if matches!(outcome, Err(ReadError::Shape { .. } | ReadError::BadAnswer { .. })) {
            self.plans().remove(&mapping.entity);
        }
        outcome
    }

    /// Their clock and what their transactions allow.
    async fn their_time(&self) -> Result<(watermark::Answer, Timing), ReadError> {
        let mut answer = None;
        let statement = watermark::statement(self.dialect());
        let timing =
            self.query(&statement, &watermark::KINDS, &mut |row| answer = watermark::Answer::read(row)).await?;
        let reason = "it did not tell its time".to_owned();
        let answer = answer.ok_or(ReadError::BadAnswer { system: self.system.clone(), reason })?;
        Ok((answer, timing))
    }

    fn clock_reading(&self, answer: &watermark::Answer, timing: &Timing) -> ClockReading {
        let round_trip = timing.answered.since(timing.sent);
        let middle = timing.sent + round_trip / 2;
        ClockReading {
            offset_micros: answer.now.saturating_sub(middle.micros()),
            uncertainty: round_trip / 2 + granularity(self.dialect()),
            measured_at: timing.answered,
        }
    }

    async fn read_keys(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        keys: &[Vec<Arg>],
        asked: &HashSet<&Key>,
    ) -> Result<KeyedRead, ReadError> {
        let mut lane = self.lane(plan).await?;
        let mut records = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(keys_at_once(self.dialect())) {
            records.extend(lane.records(mapping, plan, &plan.by_keys(chunk)).await?);
        }
        // The database may find more than it was asked for: `a` for `A`, `x` for `x ` with a blank.
        records.retain(|record| asked.contains(&record.key));
        Ok(KeyedRead { records, window: lane.end().await })
    }

    fn ordered(&self, mapping: &Mapping, plan: &Plan, after: Option<&Key>) -> Result<Statement, ReadError> {
        let mut statement = plan.select_from();
        let terms = plan.key_terms();
        if let Some(after) = after {
            let values = plan
                .key_args(mapping, after)
                .ok_or_else(|| self.shape(mapping, "no row can have the key to go on from"))?;
            // Inclusive, because the database may take other keys for equal; the key itself is left out later.
            statement.push(" WHERE ").after(&terms, &values, true);
        }
        statement.push(" ORDER BY ").list(&terms);
        Ok(statement)
    }

    /// A scan in pages, each with its children in one snapshot. Rows whose key has a null part are not met.
    fn scan_by_pages<'a>(
        &'a self,
        mapping: &'a Mapping,
        after: Option<&'a Key>,
    ) -> BoxStream<'a, Result<Record, ReadError>> {
        stream::try_unfold(Some(None), move |place: Option<Option<Place>>| async move {
            let Some(place) = place else { return Ok(None) };
            let start = after.map_or(Bound::Open, Bound::Key);
            let after = place.as_ref().map_or(start, Bound::Place);
            let reach = self.landmark(mapping, KeyRange { after, until: Bound::Open }, SCAN_PAGE).await?;
            let end = if let Reach::At(landmark) = reach { Some(landmark.place) } else { None };
            let until = end.as_ref().map_or(Bound::Open, Bound::Place);
            let read = self.key_range(mapping, KeyRange { after, until }, SCAN_PAGE * SAME_KEY).await?;
            let read = read.filter(|read| read.complete);
            let read = read.ok_or_else(|| self.shape(mapping, "the keys to go on from cannot be gone to"))?;
            Ok(Some((stream::iter(read.records.into_iter().map(Ok)), end.map(Some))))
        })
        .try_flatten()
        .boxed()
    }

    async fn start_scan(&self, mapping: &Mapping, after: Option<&Key>) -> Result<Scan<'_>, ReadError> {
        let plan = self.plan(mapping).await?;
        let statement = self.ordered(mapping, &plan, after)?;
        let permit = self.budget.admit().await?;
        let (sender, rows) = tokio::sync::mpsc::channel(SCAN_BUFFER);
        let engine = self.engine.clone();
        let kinds = plan.kinds.clone();
        tokio::spawn(async move { engine.pour(statement, kinds, sender).await });
        Ok(Scan { rows, _permit: permit })
    }
}

/// A scan under way. Dropping it closes the connection.
struct Scan<'a> {
    rows: tokio::sync::mpsc::Receiver<Result<RawRow, Failure>>,
    _permit: super::budget::Permit<'a>,
}

#[async_trait]
impl Reader for SqlReader {
    fn system(&self) -> &SystemId {
        &self.system
    }

    fn usage(&self) -> Usage {
        self.budget.usage()
    }

    async fn describe(&self, mapping: &Mapping) -> Result<Shape, ReadError> {
        self.shape_of(mapping).await
    }

    async fn is_gone(&self, dataset: &str, column: &str) -> Result<bool, ReadError> {
        self.has_no_column(dataset, column).await
    }

    async fn clock(&self) -> Result<ClockReading, ReadError> {
        let (answer, timing) = self.their_time().await?;
        Ok(self.clock_reading(&answer, &timing))
    }

    async fn behind(&self) -> Result<Option<Duration>, ReadError> {
        let lag = self.replica_lag().await?;
        Ok(lag.filter(|lag| *lag > self.max_replica_lag))
    }

    async fn changes(&self, mapping: &Mapping, cursor: &Cursor, limit: usize) -> Result<ChangesPage, ReadError> {
        self.changes_page(mapping, cursor, limit.max(1)).await
    }

    async fn by_keys(&self, mapping: &Mapping, keys: &[Key]) -> Result<KeyedRead, ReadError> {
        let plan = self.plan(mapping).await?;
        let asked: HashSet<&Key> = keys.iter().filter(|key| key.is_usable()).collect();
        let wanted: Vec<_> = asked
            .iter()
            .filter_map(|key| plan.key_args(mapping, key))
            .filter(|args| !args.contains(&Arg::Null))
            .collect();
        let read = self.read_keys(mapping, &plan, &wanted, &asked).await;
        self.forget_on_shape(mapping, read)
    }

    fn keys_at_once(&self, _mapping: &Mapping) -> usize {
        keys_at_once(self.dialect())
    }

    async fn landmark(&self, mapping: &Mapping, within: KeyRange<'_>, keys: usize) -> Result<Reach, ReadError> {
        self.reach(mapping, within, keys.max(1)).await
    }

    async fn key_range(
        &self,
        mapping: &Mapping,
        range: KeyRange<'_>,
        limit: usize,
    ) -> Result<Option<RangeRead>, ReadError> {
        self.read_range(mapping, range, limit.max(1)).await
    }

    fn scan<'a>(&'a self, mapping: &'a Mapping, after: Option<&'a Key>) -> BoxStream<'a, Result<Record, ReadError>> {
        if !mapping.children.is_empty() {
            return self.scan_by_pages(mapping, after);
        }
        let rows = move |scan: Result<Scan<'a>, ReadError>| match scan {
            Ok(scan) => stream::unfold(scan, move |mut scan| async move {
                let next = scan.rows.recv().await?;
                if next.is_ok() {
                    self.budget.add_rows(1);
                }
                let next = next.map_err(|failure| self.error(failure));
                Some((self.forget_on_shape(mapping, next), scan))
            })
            .boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        };
        stream::once(self.start_scan(mapping, after))
            .flat_map(rows)
            .map(move |row| row.map(|mut row| mapping.record(&mut row)))
            .filter(move |record| {
                let wanted = record.as_ref().map_or(true, |record| after != Some(&record.key));
                std::future::ready(wanted)
            })
            .boxed()
    }

    fn sweeper(&self) -> Option<&dyn Sweeper> {
        Some(self)
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }

    async fn doctor(&self, mappings: &[&Mapping]) -> Vec<Finding> {
        self.findings(mappings).await
    }
}

/// How finely a system's clock can be read.
const fn granularity(dialect: Dialect) -> Duration {
    match dialect {
        Dialect::Postgres | Dialect::Mysql => Duration::from_micros(1),
        Dialect::Sqlite => Duration::from_millis(1),
    }
}
