//! Sums that the database makes: by quarters of an hour and by what decides on scope, currency and status.
//!
//! Every time zone's days, and every cut-off on a quarter, are made of whole quarters of an hour, so that the database needs
//! to know neither. What it adds up goes through the mapping like a row; so scale, units, currency, status and scope are the mapping's
//! own. Only what a sum may pass: an amount without steps.

use super::engine::Kind;
use super::plan::Plan;
use super::text::{Dialect, Statement};
use super::{ReadError, SqlReader};
use crate::connect::{Group, OnGroup};
use crate::model::mapping::{CurrencyRule, FieldRule, Origin};
use crate::model::{FieldType, Mapping, Moment, Raw, RawRow};
use crate::totals::{Days, Fields};

/// Seconds of a quarter of an hour.
const QUARTER: i64 = 900;
const INT: Kind = Kind::Int { bytes: 8, signed: true };

/// The columns that a total is made of.
struct Columns {
    day: usize,
    is_date: bool,
    amount: Option<usize>,
    /// What rows are told apart by.
    groups: Vec<usize>,
}

impl SqlReader {
    /// Hands over each group. `false` when this database cannot make these sums.
    pub(super) async fn add_up(
        &self,
        mapping: &Mapping,
        fields: Fields,
        days: Days,
        on_group: OnGroup<'_>,
    ) -> Result<bool, ReadError> {
        let plan = self.plan(mapping).await?;
        let Some(columns) = columns(mapping, fields, &plan).filter(|_| plan.dialect() != Dialect::Sqlite) else {
            return Ok(false);
        };
        let statement = statement(&plan, &columns, days);
        let mut kinds = vec![if columns.is_date { Kind::Date } else { INT }];
        kinds.extend(columns.groups.iter().map(|source| plan.kinds[*source]));
        kinds.extend([INT, Kind::Decimal, Kind::Decimal]);
        let mut is_odd = false;
        let read = self
            .query(&statement, &kinds, &mut |row| match group(mapping, &columns, row) {
                Some(group) => on_group(group),
                None => is_odd = true,
            })
            .await;
        self.forget_on_shape(mapping, read)?;
        if is_odd {
            let reason = "a sum is not what was asked for".to_owned();
            return Err(ReadError::BadAnswer { system: self.system.clone(), reason });
        }
        Ok(true)
    }
}

fn columns(mapping: &Mapping, fields: Fields, plan: &Plan) -> Option<Columns> {
    if !mapping.children.is_empty() || !mapping.xref.is_empty() {
        return None;
    }
    let rule = |field: usize| mapping.fields.get(field)?.as_ref();
    let source = |rule: &FieldRule| if let Origin::Source(source) = rule.origin { Some(source) } else { None };
    let (day, is_date) = day_column(mapping, plan, fields.day)?;
    let mut groups: Vec<usize> = mapping.scope.iter().map(|condition| condition.source).collect();
    let amount = match fields.amount {
        None => None,
        Some(field) => {
            let rule = rule(field).filter(|rule| rule.steps.is_empty() && rule.when.is_none())?;
            if let Some(CurrencyRule::Source(currency)) = rule.currency {
                groups.push(currency);
            }
            let amount = source(rule)?;
            matches!(plan.kinds[amount], Kind::Int { .. } | Kind::Decimal).then_some(Some(amount))?
        }
    };
    if let Some(field) = fields.status {
        let rule = rule(field).filter(|rule| rule.when.is_none())?;
        match rule.origin {
            Origin::Source(status) => groups.push(status),
            Origin::Const(_) => {}
            Origin::Children(_) => return None,
        }
    }
    groups.sort_unstable();
    groups.dedup();
    let is_apart = !groups.contains(&day) && amount.is_none_or(|amount| amount != day && !groups.contains(&amount));
    is_apart.then_some(Columns { day, is_date, amount, groups })
}

/// The column of the day, and whether it is a date; `None` where the database does not hold days or moments as such.
fn day_column(mapping: &Mapping, plan: &Plan, field: usize) -> Option<(usize, bool)> {
    let rule = mapping.fields.get(field)?.as_ref().filter(|rule| rule.steps.is_empty() && rule.when.is_none())?;
    let Origin::Source(day) = rule.origin else { return None };
    match (plan.kinds[day], rule.field_type) {
        (Kind::Date, FieldType::Date) => Some((day, true)),
        (Kind::Instant, FieldType::Timestamp) => Some((day, false)),
        (Kind::Naive, FieldType::Timestamp) if rule.zone == chrono_tz::Tz::UTC => Some((day, false)),
        _ => None,
    }
}

/// ` WHERE …`: the rows of these days and perhaps of some around them.
fn within(statement: &mut Statement, plan: &Plan, (day, is_date): (usize, bool), days: Days) {
    let (from, to) = match is_date {
        true => (days.from.map(Raw::Date), days.to.map(Raw::Date)),
        false => {
            let (from, to) = days.span();
            (from.map(Raw::Instant), to.map(Raw::Instant))
        }
    };
    let bounds = [(" >= ", from), (" < ", to)].into_iter();
    let bounds = bounds.filter_map(|(operator, bound)| Some((operator, plan.arg(day, &bound?)?)));
    for (number, (operator, bound)) in bounds.enumerate() {
        statement.push(if number == 0 { " WHERE " } else { " AND " }).compare(&plan.terms[day], operator, bound);
    }
}

/// Selects the rows of some days; `None` where all rows must be read.
pub(super) fn rows_of_days(mapping: &Mapping, plan: &Plan, day: usize, days: Days) -> Option<Statement> {
    // A record with children is read whole before it is handed over: many of them would not fit into memory.
    let is_plain = plan.children.is_empty() && plan.dialect() != Dialect::Sqlite && days != Days::default();
    let column = day_column(mapping, plan, day).filter(|_| is_plain)?;
    let mut statement = plan.select_from();
    within(&mut statement, plan, column, days);
    Some(statement)
}

fn statement(plan: &Plan, columns: &Columns, days: Days) -> Statement {
    let dialect = plan.dialect();
    let day = plan.select_of(columns.day);
    let quarter = match (dialect, columns.is_date) {
        (_, true) => day.to_owned(),
        (Dialect::Mysql, _) => {
            format!("CAST(FLOOR(TIMESTAMPDIFF(SECOND, '1970-01-01 00:00:00', {day}) / {QUARTER}) AS SIGNED)")
        }
        _ => format!("floor(extract(epoch FROM {day}) / {QUARTER})::int8"),
    };
    // MariaDB's collations take `new` for `NEW`: told apart by their bytes, each group has one value.
    let (shown, apart): (Vec<String>, Vec<String>) = columns
        .groups
        .iter()
        .map(|source| plan.select_of(*source))
        .map(|column| match dialect {
            Dialect::Mysql => (format!(", MIN({column})"), format!(", BINARY {column}")),
            _ => (format!(", {column}"), format!(", {column}")),
        })
        .unzip();
    let sum = |sign: char| match columns.amount.map(|source| plan.select_of(source)) {
        Some(amount) => format!("coalesce(sum(CASE WHEN {amount} {sign} 0 THEN {amount} END), 0)"),
        None => "0".to_owned(),
    };
    let exact = |sum: String| match dialect {
        Dialect::Mysql => format!("CAST({sum} AS DECIMAL(65, 12))"),
        _ => format!("({sum})::numeric"),
    };
    let sql = format!(
        "SELECT {quarter} AS quarter{}, count(*), {}, {} FROM {} t",
        shown.concat(),
        exact(sum('>')),
        exact(sum('<')),
        plan.table,
    );
    let mut statement = Statement::new(dialect, sql);
    within(&mut statement, plan, (columns.day, columns.is_date), days);
    statement.push(" GROUP BY quarter").push(&apart.concat());
    statement
}

/// The two parts of a group: its positive amounts with all its records, and its negative ones.
fn group(mapping: &Mapping, columns: &Columns, row: &mut RawRow) -> Option<Group> {
    let negative = row.pop()?;
    let positive = row.pop()?;
    let Some(Raw::Int(records)) = row.pop() else { return None };
    let mut values = std::mem::take(row).into_iter();
    let day = match values.next()? {
        Raw::Int(quarter) => Raw::Instant(Moment::from_micros(quarter.checked_mul(QUARTER * 1_000_000)?)),
        other => other,
    };
    let mut whole: RawRow = mapping.sources.iter().map(|_| Raw::Null).collect();
    whole[columns.day] = day;
    for (source, value) in columns.groups.iter().zip(values) {
        whole[*source] = value;
    }
    let part = |amount: Raw| {
        let mut row = whole.clone();
        if let Some(source) = columns.amount {
            row[source] = amount;
        }
        mapping.record(&mut row)
    };
    Some(Group { records: records.unsigned_abs(), positive: part(positive), negative: part(negative) })
}
