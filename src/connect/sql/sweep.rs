//! Sweeps of SQL databases: pieces of integer keys, and on PostgreSQL digests of them.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::engine::Kind;
use super::plan::Plan;
use super::rowhash::Cell;
use super::text::{Arg, Dialect, Statement, Term};
use super::totals::rows_of_days;
use super::{SqlReader, plan};
use crate::connect::{Buckets, Extent, Mark, OnGroup, OnRecord, ReadError, ReadWindow, Sweeper};
use crate::model::mapping::Source;
use crate::model::{FieldType, Mapping, Raw, RawRow};
use crate::sweep::{Batch, Form, Item, Obstacle, PartDigest, Recipe, RowHash, Span, is_counted};
use crate::totals::{Days, Fields};

mod digest;

/// An integer that the database computes.
const INT: Kind = Kind::Int { bytes: 8, signed: true };

impl SqlReader {
    /// The only column of a key that counts, if it is one in this database.
    fn counted(&self, mapping: &Mapping, plan: &Plan) -> Option<Term> {
        let [source] = plan.key[..] else { return None };
        let counts = match plan.kinds[source] {
            Kind::Int { bytes, signed } => signed || bytes < 8,
            Kind::Dynamic => true,
            _ => false,
        };
        // Bounds may be those of a wider column on the other side.
        let cast = (self.dialect() == Dialect::Postgres).then_some("int8");
        (is_counted(mapping) && counts).then(|| Term { cast, ..plan.key_terms().swap_remove(0) })
    }

    /// What the dataset's only row of a query says.
    async fn one_row(&self, statement: &Statement, kinds: &[Kind]) -> Result<RawRow, ReadError> {
        let mut found = RawRow::new();
        self.query(statement, kinds, &mut |row| found = std::mem::take(row)).await?;
        Ok(found)
    }

    async fn ends(&self, plan: &Plan, term: &Term) -> Result<Option<(i64, i64)>, ReadError> {
        let sql = format!("SELECT min({0}), max({0}) FROM {1} t", term.sql, plan.table);
        let kind = plan.kinds[plan.key[0]];
        let row = self.one_row(&Statement::new(self.dialect(), sql), &[kind, kind]).await?;
        Ok(match row[..] {
            [Raw::Int(low), Raw::Int(high)] => Some((low, high)),
            _ => None,
        })
    }

    /// Rows as the database's own statistics have them, how well they lie in key order, and pages.
    async fn statistics(&self, plan: &Plan) -> Result<(Option<u64>, f64, Option<u64>), ReadError> {
        let name = plan::table_name(plan.dataset());
        let mut statement = Statement::new(self.dialect(), "");
        let count = |raw: &Raw| if let Raw::Int(value) = raw { u64::try_from(*value).ok() } else { None };
        match self.dialect() {
            Dialect::Postgres => {
                digest::statistics(&mut statement, plan);
                let row = self.one_row(&statement, &[INT, Kind::Float8, INT]).await?;
                let [rows, correlation, pages] = &row[..] else { return Ok((None, 1.0, None)) };
                let in_order = if let Raw::Float(value) = correlation { value.abs() } else { 1.0 };
                Ok((count(rows).filter(|rows| *rows > 0), in_order, count(pages)))
            }
            Dialect::Mysql => {
                let (schema, table) =
                    name.split_once('.').map_or((None, name), |(schema, table)| (Some(schema), table));
                statement.push("SELECT CAST(table_rows AS SIGNED) FROM information_schema.tables WHERE table_name = ");
                statement.bind(Arg::Text(table.to_owned()), None).push(" AND table_schema = ");
                match schema {
                    Some(schema) => statement.bind(Arg::Text(schema.to_owned()), None),
                    None => statement.push("DATABASE()"),
                };
                let row = self.one_row(&statement, &[INT]).await?;
                Ok((row.first().and_then(count), 1.0, None))
            }
            Dialect::Sqlite => Ok((None, 1.0, None)),
        }
    }

    async fn read_where(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        statement: &Statement,
        on_record: OnRecord<'_>,
    ) -> Result<ReadWindow, ReadError> {
        let mut lane = self.lane(plan).await?;
        let read = if plan.children.is_empty() {
            lane.query(statement, &plan.kinds, &mut |row| on_record(mapping.record(row))).await
        } else {
            lane.records(mapping, plan, statement).await.map(|records| records.into_iter().for_each(on_record))
        };
        self.forget_on_shape(mapping, read)?;
        Ok(lane.end().await)
    }

    async fn digests(&self, mapping: &Mapping, statement: &Statement) -> Result<BTreeMap<i64, PartDigest>, ReadError> {
        let mut digests = BTreeMap::new();
        let mut is_odd = false;
        let read = self
            .query(statement, &[INT; 3], &mut |row| match row[..] {
                [Raw::Int(part), Raw::Int(rows), Raw::Int(hash)] => {
                    digests.insert(part, PartDigest { rows: rows.unsigned_abs(), hash });
                }
                _ => is_odd = true,
            })
            .await;
        self.forget_on_shape(mapping, read)?;
        if is_odd { Err(self.odd_digest()) } else { Ok(digests) }
    }

    fn forms_of(&self, mapping: &Mapping, plan: &Plan, recipe: &Recipe) -> Result<Vec<Form>, Obstacle> {
        let form = |item: &Item| {
            digest::form(&plan.columns[item.source], item.reads_as).ok_or_else(|| Obstacle::Type {
                system: self.system.to_string(),
                column: match &mapping.sources[item.source] {
                    Source::Path(name) => format!("`{name}`"),
                    Source::Sql(_) => "a SQL expression".to_owned(),
                },
                held: plan.columns[item.source].type_name.clone(),
            })
        };
        recipe.key.iter().chain(&recipe.values).map(form).collect()
    }

    /// Runs one statement within the budget.
    async fn row_hashes(&self, sql: &str, cells: &[Cell], mark: Mark) -> Result<Vec<RowHash>, ReadError> {
        let _permit = self.budget.admit().await?;
        let mut rows = Vec::new();
        let mut tries = self.tries();
        let outcome = loop {
            let outcome = self.engine.hash_rows(sql, cells, mark, &mut |row| rows.push(row)).await;
            if !rows.is_empty() || !tries.again(&outcome) {
                break outcome;
            }
        };
        self.budget.add_rows(rows.len());
        outcome.map(|_| rows).map_err(|failure| self.error(failure))
    }

    fn odd_digest(&self) -> ReadError {
        ReadError::BadAnswer { system: self.system.clone(), reason: "a digest is not made of integers".to_owned() }
    }

    fn term_of_span(&self, mapping: &Mapping, plan: &Plan) -> Result<Term, ReadError> {
        self.counted(mapping, plan).ok_or_else(|| self.shape(mapping, "its key is not one integer column"))
    }
}

/// What a recipe reads of a row, key first: the columns for `SELECT`, and how each of them is hashed.
fn columns_of(plan: &Plan, recipe: &Recipe) -> (String, Vec<Cell>) {
    let items = || recipe.key.iter().chain(&recipe.values);
    let columns: Vec<&str> = items().map(|item| plan.select_of(item.source)).collect();
    let cell = |item: &Item| Cell { kind: plan.kinds[item.source], form: item.form };
    (columns.join(", "), items().map(cell).collect())
}

/// ` WHERE …`: the rows of a span. A null key lies in none.
fn within(statement: &mut Statement, term: &Term, span: Span) {
    statement.push(" WHERE ").push(&term.sql).push(" IS NOT NULL");
    if let Some(after) = span.after {
        statement.push(" AND ").compare(term, " > ", Arg::Int(after));
    }
    if let Some(until) = span.until {
        statement.push(" AND ").compare(term, " <= ", Arg::Int(until));
    }
}

#[async_trait]
impl Sweeper for SqlReader {
    async fn extent(&self, mapping: &Mapping) -> Result<Extent, ReadError> {
        let plan = self.plan(mapping).await?;
        let (rows, in_order, pages) = self.statistics(&plan).await?;
        let term = self.counted(mapping, &plan);
        let keys = match &term {
            Some(term) => self.ends(&plan, term).await?,
            None => None,
        };
        Ok(Extent { keys, is_counted: term.is_some(), rows, in_order, pages })
    }

    async fn read_span(&self, mapping: &Mapping, span: Span, on_record: OnRecord<'_>) -> Result<ReadWindow, ReadError> {
        let plan = self.plan(mapping).await?;
        let term = self.term_of_span(mapping, &plan)?;
        let mut statement = plan.select_from();
        within(&mut statement, &term, span);
        self.read_where(mapping, &plan, &statement, on_record).await
    }

    async fn forms(&self, mapping: &Mapping, recipe: &Recipe) -> Result<Result<Vec<Form>, Obstacle>, ReadError> {
        if self.dialect() != Dialect::Postgres {
            return Ok(Err(Obstacle::NotADatabase(self.system.to_string())));
        }
        let plan = self.plan(mapping).await?;
        let row = self.one_row(&digest::abilities(&plan, recipe), &[Kind::Bool; 3]).await?;
        let system = || self.system.to_string();
        match row[..] {
            [Raw::Bool(true), Raw::Bool(true), Raw::Bool(true)] => {}
            [Raw::Bool(true), Raw::Bool(true), _] => return Ok(Err(Obstacle::NotUnique(system()))),
            _ => return Ok(Err(Obstacle::NotADatabase(system()))),
        }
        Ok(self.forms_of(mapping, &plan, recipe))
    }

    async fn plain_forms(&self, mapping: &Mapping, recipe: &Recipe) -> Result<Result<Vec<Form>, Obstacle>, ReadError> {
        let plan = self.plan(mapping).await?;
        Ok(self.forms_of(mapping, &plan, recipe))
    }

    async fn read_hashes(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        mark: Mark,
        span: Span,
    ) -> Result<Vec<RowHash>, ReadError> {
        let plan = self.plan(mapping).await?;
        let term = self.term_of_span(mapping, &plan)?;
        let (columns, cells) = columns_of(&plan, recipe);
        let mut sql = format!("SELECT {columns} FROM {} t WHERE {} IS NOT NULL", plan.table, term.sql);
        // Numbers need no quotes, and COPY takes no arguments.
        for (operator, bound) in [(">", span.after), ("<=", span.until)] {
            sql.extend(bound.map(|bound| format!(" AND {} {operator} {bound}", term.sql)));
        }
        self.row_hashes(&sql, &cells, mark).await
    }

    async fn scan_hashes(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        mark: Mark,
        batches: mpsc::Sender<Batch>,
    ) -> Result<(), ReadError> {
        let plan = self.plan(mapping).await?;
        let (columns, cells) = columns_of(&plan, recipe);
        let sql = format!("SELECT {columns} FROM {} t ORDER BY ", plan.table);
        let mut statement = Statement::new(self.dialect(), sql);
        statement.list(&plan.key_terms());
        let keys: Vec<FieldType> = recipe.key.iter().filter_map(|item| item.reads_as).collect();
        let _permit = self.budget.admit().await?;
        let (sender, mut come) = mpsc::channel(1);
        let pour = async {
            let sender = sender;
            self.engine.pour_hashes(&statement.sql, &cells, mark, &keys, &sender).await
        };
        let hand_on = async {
            while let Some(batch) = come.recv().await {
                self.budget.add_rows(batch.len());
                if batches.send(batch).await.is_err() {
                    come.close();
                }
            }
        };
        let (poured, ()) = tokio::join!(pour, hand_on);
        poured.map_err(|failure| self.error(failure))
    }

    async fn digest_spans(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        mark: Mark,
        spans: &[Span],
    ) -> Result<Vec<PartDigest>, ReadError> {
        let plan = self.plan(mapping).await?;
        let term = self.term_of_span(mapping, &plan)?;
        let found = self.digests(mapping, &digest::of_spans(&plan, recipe, mark, &term, spans)).await?;
        Ok((0..spans.len() as i64).map(|part| found.get(&part).copied().unwrap_or_default()).collect())
    }

    async fn hash_rows(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        mark: Mark,
        spans: &[Span],
    ) -> Result<Vec<RowHash>, ReadError> {
        let plan = self.plan(mapping).await?;
        let term = self.term_of_span(mapping, &plan)?;
        let statement = digest::rows_of_spans(&plan, recipe, mark, &term, spans);
        let mut rows = Vec::new();
        let mut is_odd = false;
        let read = self
            .query(&statement, &[INT; 2], &mut |row| match row[..] {
                [Raw::Int(key), Raw::Int(hash)] => {
                    rows.push(RowHash { key, hash: u128::from(hash.cast_unsigned()) });
                }
                _ => is_odd = true,
            })
            .await;
        self.forget_on_shape(mapping, read)?;
        if is_odd { Err(self.odd_digest()) } else { Ok(rows) }
    }

    async fn digest_pages(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        mark: Mark,
        pages: Range<u64>,
        buckets: Buckets,
    ) -> Result<BTreeMap<i64, PartDigest>, ReadError> {
        let plan = self.plan(mapping).await?;
        self.digests(mapping, &digest::of_pages(&plan, recipe, mark, pages, buckets)).await
    }

    async fn add_up(
        &self,
        mapping: &Mapping,
        fields: Fields,
        days: Days,
        on_group: OnGroup<'_>,
    ) -> Result<bool, ReadError> {
        SqlReader::add_up(self, mapping, fields, days, on_group).await
    }

    async fn read_days(
        &self,
        mapping: &Mapping,
        day: usize,
        days: Days,
        on_record: OnRecord<'_>,
    ) -> Result<bool, ReadError> {
        let plan = self.plan(mapping).await?;
        let Some(statement) = rows_of_days(mapping, &plan, day, days) else { return Ok(false) };
        self.read_where(mapping, &plan, &statement, on_record).await?;
        Ok(true)
    }

    async fn read_pages(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        pages: Range<u64>,
        (buckets, only): (Buckets, &[i64]),
        on_record: OnRecord<'_>,
    ) -> Result<ReadWindow, ReadError> {
        let plan = self.plan(mapping).await?;
        let statement = digest::rows_of_pages(&plan, recipe, pages, buckets, only);
        self.read_where(mapping, &plan, &statement, on_record).await
    }
}
