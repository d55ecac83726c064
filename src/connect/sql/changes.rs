//! Reading changes: one page of a pass (see [`super::position`]).

use super::plan::{Order, Plan};
use super::position::{LastRow, Pass, Position, Settled, Unfit};
use super::stamp::Form;
use super::text::{Arg, Dialect, Statement};
use super::{SqlReader, watermark};
use crate::connect::{ChangesPage, Cursor, ReadError};
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
        let known = self.position(&plan, by, cursor, safe).await?;
        let set_back = known.is_set_back_by(safe);
        let position = known.set_back_to(safe);
        let sequence = by.form.is_none();

        let statement = page_statement(&plan, by, &position, limit);
        let most = limit.saturating_add(position.pass.as_ref().map_or(0, |pass| pass.ties));
        let mut page = Page { records: Vec::new(), last: RawRow::new(), ties: 0 };
        let read = self.query(&statement, &plan.kinds, &mut |row| page.add(mapping, &plan, by, row)).await;
        let read = self.forget_on_shape(mapping, read)?;

        let cut = page.records.len() >= most;
        let last = page.last_row(&plan, by);
        // A last row without a usable stamp is one at infinity: there is nothing behind it.
        let cut = cut && last.is_some();
        let next = position.after(safe, answer.now, last, cut, sequence);
        let covered = (!cut).then(|| position.covers(safe));
        Ok(ChangesPage {
            records: page.records,
            next: next.encode().map_err(|unfit| self.unfit(unfit))?,
            watermark: covered.map(|micros| on_our_timeline(micros, &answer, timing.sent)),
            complete: !cut,
            window: Interval::new(read.sent, read.answered),
            clock: Some(self.clock_reading(&answer, &timing)),
            set_back,
        })
    }

    async fn position(&self, plan: &Plan, by: By, cursor: &Cursor, safe: i64) -> Result<Position, ReadError> {
        let fingerprint = fingerprint(plan, by);
        let known = Position::decode(cursor, fingerprint).map_err(|unfit| self.unfit(unfit))?;
        if let Some(position) = known {
            return Ok(position);
        }
        let settled = if by.form.is_some() { Settled::Until(safe) } else { self.largest_number(plan, by).await? };
        Ok(Position::start(fingerprint, settled))
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
    statement.push(&format!(" ORDER BY {}", term.sql));
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

/// A page while it is being read.
struct Page {
    records: Vec<Record>,
    /// Stamp or number and then the key of the last row.
    last: RawRow,
    ties: usize,
}

impl Page {
    fn add(&mut self, mapping: &Mapping, plan: &Plan, by: By, row: &mut RawRow) {
        // Before the record takes the values out of the row.
        let sources = || std::iter::once(by.source).chain(plan.key.iter().copied());
        if !self.last.is_empty() && sources().zip(&self.last).all(|(source, known)| row[source] == *known) {
            self.ties += 1;
        } else {
            self.ties = 1;
            self.last.clear();
            self.last.extend(sources().map(|source| row[source].clone()));
        }
        self.records.push(mapping.record(row));
    }

    fn last_row(&self, plan: &Plan, by: By) -> Option<LastRow> {
        let (raw, key) = self.last.split_first().filter(|(raw, _)| **raw != Raw::Null)?;
        let reach = plan.arg(by.source, raw)?;
        let micros = by.form.and_then(|form| form.micros(raw));
        Some(match plan.args_of_key(key) {
            Some(keys) => LastRow { reach, keys, ties: self.ties, micros },
            // The key cannot be compared with: all rows of the stamp may come again.
            None => LastRow { reach, keys: Vec::new(), ties: self.records.len(), micros },
        })
    }
}
