//! PostgreSQL computes: one 64-bit hash a row, seeded with the row's key, combined by exclusive or.
//!
//! `hash_record_extended` adds up its columns' hashes linearly, and passes its seed to each of them. Seeded with the key,
//! every row has hash functions of its own: values swapped between two rows, or shifted in an even number of rows, do
//! not cancel. The key is among the columns, too: the hash of nothing but nulls is 0 whatever the seed. Integers of 64
//! bits are folded to 32 before they are hashed, so both halves are given; time stamps are given as the bytes in which
//! they are sent. Source: PostgreSQL's `rowtypes.c`, `hashfunc.c`. Pure.

use std::ops::Range;

use crate::connect::sql::engine::{Kind, ResultColumn};
use crate::connect::sql::plan::Plan;
use crate::connect::sql::text::{Arg, Dialect, Statement, Term};
use crate::connect::{Buckets, Mark};
use crate::model::FieldType;
use crate::sweep::{Form, Item, Recipe, Span};

/// How a column is hashed when it is read as a field of this type. Only where no value can be read on one side and not
/// on the other, and what could be unreadable is [`odd`].
pub(super) fn form(column: &ResultColumn, reads_as: Option<FieldType>) -> Option<Form> {
    use FieldType as F;
    let is_read_as = |types: &[FieldType]| reads_as.is_none_or(|field_type| types.contains(&field_type));
    match column.kind {
        Kind::Int { bytes, signed } if is_read_as(&[F::Integer, F::Decimal, F::Money, F::Text]) => match bytes {
            // What is beyond the signed half of 64 bits is another kind of number here.
            8 => signed.then_some(Form::Int8),
            4 => Some(if signed { Form::Int4 } else { Form::Int8 }),
            _ => Some(Form::Int4),
        },
        Kind::Decimal if is_read_as(&[F::Decimal, F::Money, F::Text]) => Some(Form::Numeric),
        Kind::Text if is_read_as(&[F::Text, F::Bytes]) => {
            Some(if column.bind_cast == Some("bpchar") { Form::Padded } else { Form::Text })
        }
        Kind::Jsonb if is_read_as(&[F::Text]) => Some(Form::Text),
        Kind::Bytes if is_read_as(&[F::Bytes]) => Some(Form::Bytes),
        Kind::Bool if is_read_as(&[F::Boolean, F::Text]) => Some(Form::Bool),
        Kind::Instant if is_read_as(&[F::Timestamp]) => Some(Form::Instant),
        Kind::Naive if is_read_as(&[F::Timestamp]) => Some(Form::Naive),
        Kind::Date if is_read_as(&[F::Date]) => Some(Form::Date),
        Kind::Uuid if is_read_as(&[F::Uuid, F::Text, F::Bytes]) => Some(Form::Uuid),
        Kind::Float4 if is_read_as(&[F::Decimal, F::Money]) => Some(Form::Float4),
        Kind::Float8 if is_read_as(&[F::Decimal, F::Money]) => Some(Form::Float8),
        _ => None,
    }
}

/// What is hashed of a column. `odd` stands for a number that may not be readable.
fn hashed(plan: &Plan, item: &Item, odd: u8) -> Vec<String> {
    let column = plan.select_of(item.source);
    match item.form {
        Form::Int8 => vec![format!("({column})::int8"), format!("(({column})::int8 >> 32)")],
        Form::Int4 => vec![format!("({column})::int8")],
        Form::Text => vec![format!("({column})::text COLLATE \"C\"")],
        Form::Padded => vec![format!("({column})::text COLLATE \"C\""), format!("octet_length({column})")],
        Form::Instant => vec![format!("timestamptz_send({column})")],
        Form::Naive => vec![format!("timestamp_send({column})")],
        Form::Float4 => vec![format!("float4send({column})")],
        Form::Float8 => vec![format!("float8send({column})")],
        // Its hash is that of its digits. NaN is greater than every number.
        Form::Numeric => {
            let below = format!("CASE WHEN ({column}) < -1e500 THEN {odd} ELSE 0 END");
            let sign = format!("CASE WHEN ({column}) < 0 THEN {below} WHEN ({column}) >= 1e500 THEN {odd} END");
            vec![format!("({column})"), sign]
        }
        Form::Bytes | Form::Bool | Form::Date | Form::Uuid | Form::Unknown => {
            vec![format!("({column})")]
        }
    }
}

/// What holds of a value that may not be readable: NaN, infinity, a day outside of our calendar. Such a row is read.
/// Of a `numeric` its sign tells, which is [`hashed`].
fn odd(plan: &Plan, item: &Item) -> Option<String> {
    let column = plan.select_of(item.source);
    let beyond = |low: &str, high: &str| Some(format!("({column}) < {low} OR ({column}) >= {high}"));
    match item.form {
        Form::Float4 | Form::Float8 => beyond("'-1e30'::float8", "'1e30'::float8"),
        Form::Instant => beyond("'0001-01-01 00:00+00'::timestamptz", "'9999-01-01 00:00+00'::timestamptz"),
        Form::Naive => beyond("'0001-01-01 00:00'::timestamp", "'9999-01-01 00:00'::timestamp"),
        Form::Date => beyond("'0001-01-01'::date", "'9999-01-01'::date"),
        _ => None,
    }
}

/// The seed of a row: its key, or the hash of a key that is not one number.
fn seed(plan: &Plan, recipe: &Recipe) -> String {
    if let [item] = recipe.key[..]
        && matches!(item.form, Form::Int4 | Form::Int8)
    {
        return format!("({})::int8", plan.select_of(item.source));
    }
    let columns: Vec<String> = recipe.key.iter().flat_map(|item| hashed(plan, item, 0)).collect();
    match (&recipe.key[..], &columns[..]) {
        // Functions of one type do without a record's work.
        ([Item { form: Form::Uuid, .. }], [column]) => format!("uuid_hash_extended({column}, 0)"),
        ([Item { form: Form::Text, .. }], [column]) => format!("hashtextextended({column}, 0)"),
        _ => format!("hash_record_extended(ROW({}), 0)", columns.join(", ")),
    }
}

fn row_hash(plan: &Plan, recipe: &Recipe, mark: Mark) -> String {
    let odd_value = mark as u8 + 1;
    let items = || recipe.key.iter().chain(&recipe.values);
    let mut columns: Vec<String> = match recipe.key[..] {
        // All 64 bits of it are the seed already.
        [item] if matches!(item.form, Form::Int4 | Form::Int8) => {
            vec![format!("({})::int8", plan.select_of(item.source))]
        }
        _ => recipe.key.iter().flat_map(|item| hashed(plan, item, odd_value)).collect(),
    };
    columns.extend(recipe.values.iter().flat_map(|item| hashed(plan, item, odd_value)));
    let odds: Vec<String> = items().filter_map(|item| odd(plan, item)).collect();
    if !odds.is_empty() {
        columns.push(format!("CASE WHEN {} THEN {odd_value} END", odds.join(" OR ")));
    }
    format!("hash_record_extended(ROW({}), {})", columns.join(", "), seed(plan, recipe))
}

/// The key's rows in each of some spans, as a table `r` of their ends, numbered from 1. Each span is one range of the
/// key's index: cheaper than to sort rows into groups, whatever the number of spans.
fn ranges(statement: &mut Statement, spans: &[Span]) {
    let low = spans.iter().map(|span| span.after.map_or(i64::MIN, |after| after.saturating_add(1)));
    let high = spans.iter().map(|span| span.until.unwrap_or(i64::MAX));
    statement.args.push(Arg::Ints(low.collect()));
    statement.args.push(Arg::Ints(high.collect()));
    let last = statement.args.len();
    statement.push(&format!(
        " FROM unnest(${}::int8[], ${last}::int8[]) WITH ORDINALITY AS r(low, high, part) CROSS JOIN LATERAL (",
        last - 1
    ));
}

/// ` FROM table t WHERE …`: the rows of the range `r`.
fn in_range(plan: &Plan, term: &Term) -> String {
    format!(" FROM {0} t WHERE {1} >= r.low AND {1} <= r.high", plan.table, term.sql)
}

/// Selects number, rows and digest of each of the spans that has rows.
pub(super) fn of_spans(plan: &Plan, recipe: &Recipe, mark: Mark, term: &Term, spans: &[Span]) -> Statement {
    let mut statement = Statement::new(Dialect::Postgres, "SELECT r.part - 1, d.number, d.hash");
    ranges(&mut statement, spans);
    statement.push("SELECT count(*) AS number, bit_xor(").push(&row_hash(plan, recipe, mark)).push(") AS hash");
    statement.push(&in_range(plan, term)).push(") d WHERE d.number > 0");
    statement
}

/// Selects key and hash of each row of the spans.
pub(super) fn rows_of_spans(plan: &Plan, recipe: &Recipe, mark: Mark, term: &Term, spans: &[Span]) -> Statement {
    let mut statement = Statement::new(Dialect::Postgres, "SELECT d.key, d.hash");
    ranges(&mut statement, spans);
    statement.push(&format!("SELECT ({})::int8 AS key, ", term.sql)).push(&row_hash(plan, recipe, mark));
    // With OFFSET the planner keeps the ranges on the outside.
    statement.push(" AS hash").push(&in_range(plan, term)).push(" OFFSET 0) d");
    statement
}

fn bucket(plan: &Plan, recipe: &Recipe, buckets: Buckets) -> String {
    format!("({} & {})", seed(plan, recipe), buckets.0.next_power_of_two() - 1)
}

/// ` WHERE …`: rows with a whole key whose place lies in these pages.
fn in_pages(statement: &mut Statement, plan: &Plan, recipe: &Recipe, pages: &Range<u64>) {
    statement.push(" WHERE t.ctid >= ").bind(Arg::Text(format!("({},0)", pages.start)), Some("tid"));
    // The last piece is open: what was added meanwhile lies behind it.
    if pages.end < u64::from(u32::MAX) {
        statement.push(" AND t.ctid < ").bind(Arg::Text(format!("({},0)", pages.end)), Some("tid"));
    }
    for item in &recipe.key {
        statement.push(" AND ").push(plan.select_of(item.source)).push(" IS NOT NULL");
    }
}

/// Selects number, rows and digest of each bucket of keys of which rows lie in these pages.
pub(super) fn of_pages(plan: &Plan, recipe: &Recipe, mark: Mark, pages: Range<u64>, buckets: Buckets) -> Statement {
    let mut statement = Statement::new(Dialect::Postgres, "SELECT ");
    statement.push(&bucket(plan, recipe, buckets)).push(" AS part, count(*), bit_xor(");
    statement.push(&row_hash(plan, recipe, mark)).push(") FROM ").push(&plan.table).push(" t");
    in_pages(&mut statement, plan, recipe, &pages);
    statement.push(" GROUP BY 1");
    statement
}

/// Selects the rows of some buckets that lie in these pages.
pub(super) fn rows_of_pages(
    plan: &Plan,
    recipe: &Recipe,
    pages: Range<u64>,
    buckets: Buckets,
    only: &[i64],
) -> Statement {
    let mut statement = plan.select_from();
    in_pages(&mut statement, plan, recipe, &pages);
    statement.push(" AND ").push(&bucket(plan, recipe, buckets)).push(" = ANY (");
    statement.args.push(Arg::Ints(only.to_vec()));
    let number = statement.args.len();
    statement.push(&format!("${number}::int8[])"));
    statement
}

/// Selects rows, how well they lie in key order, and pages, as the database's own statistics have them.
pub(super) fn statistics(statement: &mut Statement, plan: &Plan) {
    let first = plan.key.first().map(|source| plan.select_of(*source)).unwrap_or_default();
    let column = first.strip_prefix("t.").unwrap_or_default().trim_matches('"').replace("\"\"", "\"");
    statement.push(
        "SELECT c.reltuples::int8, (SELECT s.correlation::float8 FROM pg_stats s \
         WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = ",
    );
    statement.bind(Arg::Text(column), Some("name"));
    statement.push(
        "), CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) / current_setting('block_size')::int8 END \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(",
    );
    statement.bind(Arg::Text(plan.table.clone()), Some("text")).push(")");
}

/// Selects whether the server has the hash, whether texts are what they say, and whether an index makes the key unique.
pub(super) fn abilities(plan: &Plan, recipe: &Recipe) -> Statement {
    let mut statement = Statement::new(
        Dialect::Postgres,
        "SELECT to_regprocedure('hash_record_extended(record, bigint)') IS NOT NULL, \
         current_setting('server_encoding') <> 'SQL_ASCII', EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = to_regclass(",
    );
    statement.bind(Arg::Text(plan.table.clone()), Some("text"));
    statement.push(
        ") AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
         AND (SELECT bool_and(a.attname::text = ANY (",
    );
    let columns = recipe.key.iter().map(|item| plan.select_of(item.source));
    let names = columns.map(|column| column.strip_prefix("t.").unwrap_or_default().trim_matches('"').to_owned());
    statement.args.push(Arg::Texts(names.collect()));
    let number = statement.args.len();
    statement.push(&format!(
        "${number}::text[])) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS part(attnum, position) \
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = part.attnum \
         WHERE part.position <= i.indnkeyatts))"
    ));
    statement
}
