//! Reading changes: one page of a pass (see [`super::position`]).

use std::collections::HashMap;

use super::children::name_of;
use super::engine::OnRow;
use super::lane::Lane;
use super::plan::{ChildPlan, MOVED_PARENT, Order, Plan};
use super::position::{LastRow, Pass, Place, Position, Settled, Unfit};
use super::stamp::Form;
use super::text::{Arg, Dialect, Statement};
use super::{SqlReader, keys_at_once, watermark};
use crate::connect::{ChangesPage, Cursor, ReadError};
use crate::model::mapping::Children;
use crate::model::{Interval, Mapping, Moment, Raw, RawRow, Record};

/// What a page is ordered by, taken out of [`Order`].
#[derive(Clone, Copy)]
struct By {
    source: usize,
    form: Option<Form>,
}

impl SqlReader {
    pub(super) async fn changes_page(
        &self,
        mapping: &Mapping,
        cursor: &Cursor,
        limit: usize,
    ) -> Result<ChangesPage, ReadError> {
        let plan = self.plan(mapping).await?;
        let by = match plan.order {
            Order::Stamp { source, form } => By { source, form: Some(form) },
            Order::Sequence { source } => By { source, form: None },
            Order::Nothing => {
                let reason = format!("the mapping of `{}` names neither `changed_at` nor a sequence", mapping.entity);
                return Err(ReadError::Shape { system: self.system.clone(), reason });
            }
        };
        let (answer, timing) = self.their_time().await?;
        let safe = answer.watermark(self.dialect(), self.commit_delay);
        let known = self.place(&plan, by, cursor, safe).await?;
        let set_back = known.is_set_back_by(safe);
        let place = known.set_back_to(safe);
        let read = self.read_page(mapping, &plan, by, &place, limit, (safe, answer.now)).await;
        let read = self.forget_on_shape(mapping, read)?;
        let covered = (!read.cut).then(|| place.covers(safe));
        Ok(ChangesPage {
            records: read.records,
            first_again: read.first_again,
            next: read.next.encode().map_err(|unfit| self.unfit(unfit))?,
            watermark: covered.map(|micros| on_our_timeline(micros, &answer, timing.sent)),
            complete: !read.cut,
            given_up: Vec::new(),
            window: read.window,
            clock: Some(self.clock_reading(&answer, &timing)),
            set_back,
        })
    }

    /// What changed of the mapping's own rows, and the parents of the children that changed.
    async fn read_page(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        by: By,
        place: &Place,
        limit: usize,
        (safe, now): (i64, i64),
    ) -> Result<ReadPage, ReadError> {
        let mut lane = self.lane(plan).await?;
        let mut next = place.clone();
        let mut records = Vec::new();
        let mut rows = Vec::new();
        let own = lane
            .page(plan, by, (&place.own, safe), limit, &mut |row| match plan.children.is_empty() {
                true => records.push(mapping.record(row)),
                false => rows.push(std::mem::take(row)),
            })
            .await?;
        next.own = place.own.after(safe, now, own.last, own.cut, by.form.is_none());
        let mut cut = own.cut;
        let mut named = HashMap::new();
        for (children, position) in &mut next.children {
            let moved = plan.children.iter().find(|(kind, _)| kind.name == *children);
            let Some((kind, moved, by)) = moved.and_then(|(kind, read)| moved_by(kind, read)) else { continue };
            // What has been cut goes on in the next call, and the rest comes after it.
            if cut {
                break;
            }
            let page = lane
                .page(moved, by, (&*position, safe), limit, &mut |row| {
                    let parent = &row[MOVED_PARENT];
                    named.extend(name_of(parent).map(|name| (name, (kind.refers_to, parent.clone()))));
                })
                .await?;
            *position = position.after(safe, now, page.last, page.cut, false);
            cut = page.cut;
        }
        if !plan.children.is_empty() {
            let rows = lane.with_parents(plan, rows, named).await?;
            records = lane.with_children(mapping, plan, rows).await?;
        }
        // A parent comes again with its children, wherever it stands.
        let first_again = if plan.children.is_empty() { own.first_again } else { 0 };
        Ok(ReadPage { records, first_again, next, cut, window: lane.end().await })
    }

    /// Where the read goes on, for the mapping's own rows and for its children.
    async fn place(&self, plan: &Plan, by: By, cursor: &Cursor, safe: i64) -> Result<Place, ReadError> {
        let known = Place::decode(cursor).map_err(|unfit| self.unfit(unfit))?;
        let fingerprint = fingerprint(plan, by);
        let own = match known.own.fitting(fingerprint).map_err(|unfit| self.unfit(unfit))? {
            Some(position) => position,
            None if by.form.is_some() => Position::start(fingerprint, Settled::Until(safe)),
            None => Position::start(fingerprint, self.largest_number(plan, by).await?),
        };
        // Children that were not followed before begin where their parents stand: what moved since is not known yet.
        let begin = if let Settled::Until(settled) = own.settled { settled.min(safe) } else { safe };
        let mut children = Vec::new();
        for (kind, read) in &plan.children {
            let Some((_, moved, by)) = moved_by(kind, read) else { continue };
            let fingerprint = self::fingerprint(moved, by);
            let known = known.children.iter().find(|(name, _)| *name == kind.name).map(|(_, position)| position);
            let position = match known {
                Some(position) => position.clone().checked(fingerprint).map_err(|unfit| self.unfit(unfit))?,
                None => Position::start(fingerprint, Settled::Until(begin)),
            };
            children.push((kind.name.clone(), position));
        }
        Ok(Place { own, children })
    }

    async fn largest_number(&self, plan: &Plan, by: By) -> Result<Settled, ReadError> {
        let mut statement = plan.select_from();
        let column = &plan.terms[by.source].sql;
        statement.push(&format!(" WHERE {column} IS NOT NULL ORDER BY {column} DESC")).limit(1);
        let mut largest = Settled::Nothing;
        self.query(&statement, &plan.kinds, &mut |row| {
            largest = plan.arg(by.source, &row[by.source]).map_or(Settled::Nothing, Settled::Number);
        })
        .await?;
        Ok(largest)
    }

    fn unfit(&self, unfit: Unfit) -> ReadError {
        ReadError::Cursor { system: self.system.clone(), reason: unfit.0.to_owned() }
    }
}

/// Their time on our timeline, not later than it was: their answer was given after we asked.
fn on_our_timeline(micros: i64, answer: &watermark::Answer, asked: Moment) -> Moment {
    asked.shifted(micros.saturating_sub(answer.now))
}

fn fingerprint(plan: &Plan, by: By) -> u64 {
    let mut text = format!("{}|{}|{:?}", plan.table, plan.terms[by.source].sql, by.form);
    for term in plan.key_terms() {
        text.push('|');
        text.push_str(&term.sql);
    }
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

/// The next page of the pass.
pub(super) fn next_statement(plan: &Plan, position: &Position, limit: usize) -> Option<Statement> {
    let by = match plan.order {
        Order::Stamp { source, form } => By { source, form: Some(form) },
        Order::Sequence { source } => By { source, form: None },
        Order::Nothing => return None,
    };
    Some(page_statement(plan, by, position, limit))
}

fn page_statement(plan: &Plan, by: By, position: &Position, limit: usize) -> Statement {
    let term = &plan.terms[by.source];
    let mut statement = plan.select_from();
    statement.push(" WHERE ");
    match (&position.pass, &position.settled) {
        (Some(pass), _) => behind(&mut statement, plan, by, pass),
        (None, Settled::Nothing) => from_beginning(&mut statement, plan, by),
        (None, Settled::Number(number)) => {
            statement.compare(term, " > ", number.clone());
        }
        (None, Settled::Until(micros)) => from_bound(&mut statement, plan, by, *micros),
    }
    statement.push(plan.group_by()).push(&format!(" ORDER BY {}", term.sql));
    for key in plan.key_terms() {
        statement.push(&format!(", {}", key.sql));
    }
    statement.limit(limit.saturating_add(position.pass.as_ref().map_or(0, |pass| pass.ties)));
    statement
}

fn behind(statement: &mut Statement, plan: &Plan, by: By, pass: &Pass) {
    let term = &plan.terms[by.source];
    statement.compare(term, " >= ", pass.reach.clone());
    if !pass.keys.is_empty() {
        statement.push(" AND (").compare(term, " > ", pass.reach.clone()).push(" OR ");
        statement.after_in_long(&plan.key_terms(), &pass.keys, true).push(")");
    }
}

fn from_beginning(statement: &mut Statement, plan: &Plan, by: By) {
    let term = &plan.terms[by.source];
    match (statement.dialect(), by.form) {
        // `0000-00-00` is not null to the server and no stamp to anybody.
        (Dialect::Mysql, Some(Form::Instant | Form::Naive(_) | Form::Date(_))) => {
            statement.compare(term, " >= ", Arg::Text("1000-01-01".to_owned()));
        }
        _ => {
            statement.push(&term.sql).push(" IS NOT NULL");
        }
    }
}

fn from_bound(statement: &mut Statement, plan: &Plan, by: By, micros: i64) {
    let term = &plan.terms[by.source];
    let Some(form) = by.form else { return };
    let bound = form.lower_bound(micros, statement.dialect());
    statement.compare(term, " >= ", bound.clone());
    // `T` sorts behind the blank: without this, all of the day's stamps with a `T` would come again.
    if let (Form::Text(_), Arg::Text(bound)) = (form, &bound) {
        let with_t = bound.replacen(' ', "T", 1);
        let day = with_t.split_inclusive('T').next().unwrap_or_default().to_owned();
        statement.push(" AND NOT (").compare(term, " >= ", Arg::Text(day)).push(" AND ");
        statement.compare(term, " < ", Arg::Text(with_t)).push(")");
    }
}

/// What a changes read gave.
struct ReadPage {
    records: Vec<Record>,
    first_again: usize,
    next: Place,
    cut: bool,
    window: Interval,
}

/// A page that has been read.
struct PageEnd {
    last: Option<LastRow>,
    cut: bool,
    /// Index of the first row that the next pass reads again, or their number.
    first_again: usize,
}

/// How the changes of a kind of children are read; `None` when they have no stamp.
fn moved_by<'p>(kind: &'p Children, read: &'p ChildPlan) -> Option<(&'p Children, &'p Plan, By)> {
    let moved = read.moved.as_ref()?;
    let Order::Stamp { source, form } = moved.order else { return None };
    Some((kind, moved, By { source, form: Some(form) }))
}

impl Lane<'_> {
    /// Reads one page behind a position, in a pass that, if it begins now, begins under the watermark `safe`.
    async fn page(
        &mut self,
        plan: &Plan,
        by: By,
        (position, safe): (&Position, i64),
        limit: usize,
        on_row: OnRow<'_>,
    ) -> Result<PageEnd, ReadError> {
        let statement = page_statement(plan, by, position, limit);
        let most = limit.saturating_add(position.pass.as_ref().map_or(0, |pass| pass.ties));
        let goal = position.ends_at(safe, by.form.is_none());
        let mut page = Page { rows: 0, first_again: None, last: RawRow::new(), ties: 0 };
        self.query(&statement, &plan.kinds, &mut |row| {
            page.add(plan, by, &goal, row);
            on_row(row);
        })
        .await?;
        let last = page.last_row(plan, by);
        // A last row without a usable stamp is one at infinity: there is nothing behind it.
        let cut = page.rows >= most && last.is_some();
        Ok(PageEnd { last, cut, first_again: page.first_again.unwrap_or(page.rows) })
    }

    /// The rows and those that the children name. A row is there once, however often it is named.
    async fn with_parents(
        &mut self,
        plan: &Plan,
        rows: Vec<RawRow>,
        named: HashMap<String, (usize, Raw)>,
    ) -> Result<Vec<RawRow>, ReadError> {
        let Some(&(refers_to, _)) = named.values().next() else { return Ok(rows) };
        let is_named = |row: &RawRow| name_of(&row[refers_to]).is_some_and(|name| named.contains_key(&name));
        let mut rows: Vec<_> = rows.into_iter().filter(|row| !is_named(row)).collect();
        let values: Vec<_> = named.values().filter_map(|(source, raw)| plan.arg(*source, raw)).collect();
        for chunk in values.chunks(keys_at_once(plan.dialect())) {
            rows.extend(self.rows(plan, &plan.by_source(refers_to, chunk)).await?);
        }
        Ok(rows)
    }
}

/// Whether a row with this stamp or number is read by a pass that begins at `settled`. In doubt it is.
fn lies_behind(plan: &Plan, by: By, settled: &Settled, raw: &Raw) -> bool {
    match (settled, by.form) {
        (Settled::Until(micros), Some(form)) => form.is_at_or_after(raw, *micros),
        (Settled::Number(number), _) => match (plan.arg(by.source, raw), number) {
            (Some(Arg::Int(row)), Arg::Int(settled)) => row > *settled,
            _ => true,
        },
        _ => true,
    }
}

/// A page while it is being read.
struct Page {
    rows: usize,
    /// Index of the first that the next pass reads again. Rows are ordered by what passes are bounded by.
    first_again: Option<usize>,
    /// Stamp or number and then the key of the last row.
    last: RawRow,
    ties: usize,
}

impl Page {
    fn add(&mut self, plan: &Plan, by: By, goal: &Settled, row: &RawRow) {
        if self.first_again.is_none() && lies_behind(plan, by, goal, &row[by.source]) {
            self.first_again = Some(self.rows);
        }
        // Before the record takes the values out of the row.
        let sources = || std::iter::once(by.source).chain(plan.key.iter().copied());
        if !self.last.is_empty() && sources().zip(&self.last).all(|(source, known)| row[source] == *known) {
            self.ties += 1;
        } else {
            self.ties = 1;
            self.last.clear();
            self.last.extend(sources().map(|source| row[source].clone()));
        }
        self.rows += 1;
    }

    fn last_row(&self, plan: &Plan, by: By) -> Option<LastRow> {
        let (raw, key) = self.last.split_first().filter(|(raw, _)| **raw != Raw::Null)?;
        let reach = plan.arg(by.source, raw)?;
        let micros = by.form.and_then(|form| form.micros(raw));
        Some(match plan.args_of_key(key) {
            Some(keys) => LastRow { reach, keys, ties: self.ties, micros },
            // The key cannot be compared with: all rows of the stamp may come again.
            None => LastRow { reach, keys: Vec::new(), ties: self.rows, micros },
        })
    }
}
