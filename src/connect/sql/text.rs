//! SQL text of the three dialects. Identifiers are quoted, values are always bound. Pure.

use serde::{Deserialize, Serialize};

/// How an engine writes SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Mysql,
    Sqlite,
}

/// A value to bind. PostgreSQL gets everything as text and casts it in the statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Arg {
    Null,
    Int(i64),
    Float(f64),
    /// An exact number as text.
    Decimal(String),
    Text(String),
    Bytes(Vec<u8>),
    /// A PostgreSQL array.
    Texts(Vec<String>),
    /// A PostgreSQL array of `int8`.
    Ints(Vec<i64>),
}

/// A column or expression that values are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// As it stands in the statement.
    pub sql: String,
    /// The type that bound values are cast to.
    pub cast: Option<&'static str>,
}

/// A statement under construction.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub sql: String,
    pub args: Vec<Arg>,
    /// Whether the columns are those of a plan, whose types are checked.
    pub planned: bool,
    dialect: Dialect,
}

impl Dialect {
    /// An identifier, quoted so that it can be nothing else.
    pub fn quote(self, name: &str) -> String {
        match self {
            Self::Mysql => format!("`{}`", name.replace('`', "``")),
            Self::Postgres | Self::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    /// `name` or `schema.name`.
    pub fn table(self, name: &str) -> String {
        match name.split_once('.') {
            Some((schema, table)) => format!("{}.{}", self.quote(schema), self.quote(table)),
            None => self.quote(name),
        }
    }

    /// A column of the table read, which every statement calls `t`. Qualified: SQLite takes an unknown name in
    /// double quotes for text unless it is.
    pub fn column(self, name: &str) -> String {
        format!("t.{}", self.quote(name))
    }

    /// PostgreSQL sorts nulls last, the others first.
    const fn nulls_last(self) -> bool {
        matches!(self, Self::Postgres)
    }
}

impl Statement {
    pub fn new(dialect: Dialect, sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), args: Vec::new(), planned: false, dialect }
    }

    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// A placeholder for `arg`, cast where the dialect needs it.
    pub fn bind(&mut self, arg: Arg, cast: Option<&str>) -> &mut Self {
        self.args.push(arg);
        match (self.dialect, cast) {
            (Dialect::Postgres, cast) => {
                self.sql.push_str(&format!("${}::text::{}", self.args.len(), cast.unwrap_or("text")));
            }
            (Dialect::Mysql, Some(cast)) => self.sql.push_str(&format!("CAST(? AS {cast})")),
            (Dialect::Mysql, None) | (Dialect::Sqlite, _) => self.sql.push('?'),
        }
        self
    }

    /// `LIMIT n`.
    pub fn limit(&mut self, rows: usize) -> &mut Self {
        self.sql.push_str(&format!(" LIMIT {rows}"));
        self
    }

    /// `a, b, c`.
    pub fn list(&mut self, terms: &[Term]) -> &mut Self {
        for (position, term) in terms.iter().enumerate() {
            if position > 0 {
                self.push(", ");
            }
            self.push(&term.sql);
        }
        self
    }

    /// `term operator value`.
    pub fn compare(&mut self, term: &Term, operator: &str, value: Arg) -> &mut Self {
        self.push(&term.sql).push(operator).bind(value, term.cast)
    }

    /// Rows whose terms do not come after `values` in key order; none of `values` is null.
    pub fn until(&mut self, terms: &[Term], values: &[Arg]) -> &mut Self {
        match (self.dialect, terms.len()) {
            (_, 1) => self.compare(&terms[0], " <= ", values[0].clone()),
            (Dialect::Mysql, _) => self.until_in_long(terms, values),
            _ => {
                self.push("(").list(terms).push(") <= (");
                for (position, (term, value)) in terms.iter().zip(values).enumerate() {
                    if position > 0 {
                        self.push(", ");
                    }
                    self.bind(value.clone(), term.cast);
                }
                self.push(")")
            }
        }
    }

    /// Rows whose terms come after `values` in key order. Rows with a null among them do not.
    ///
    /// PostgreSQL and SQLite turn a row comparison into one index range; MySQL only does so for the long form.
    pub fn after(&mut self, terms: &[Term], values: &[Arg], inclusive: bool) -> &mut Self {
        let operator = if inclusive { " >= " } else { " > " };
        match (self.dialect, terms.len()) {
            (_, 1) => self.compare(&terms[0], operator, values[0].clone()),
            (Dialect::Mysql, _) => self.after_in_long(terms, values, inclusive),
            _ => {
                self.push("(").list(terms).push(")").push(operator).push("(");
                for (position, (term, value)) in terms.iter().zip(values).enumerate() {
                    if position > 0 {
                        self.push(", ");
                    }
                    self.bind(value.clone(), term.cast);
                }
                self.push(")")
            }
        }
    }

    /// `(a > x OR (a = x AND (b > y OR …)))`, with nulls in the dialect's own place.
    pub fn after_in_long(&mut self, terms: &[Term], values: &[Arg], inclusive: bool) -> &mut Self {
        let (Some((term, terms)), Some((value, values))) = (terms.split_first(), values.split_first()) else {
            return self.push(if inclusive { "1=1" } else { "1=0" });
        };
        self.push("(").beyond(term, value).push(" OR (").same(term, value);
        if !terms.is_empty() {
            self.push(" AND ").after_in_long(terms, values, inclusive);
        } else if !inclusive {
            self.push(" AND 1=0");
        }
        self.push("))")
    }

    /// `(a < x OR (a = x AND (b < y OR …)))`, the last part with its value.
    fn until_in_long(&mut self, terms: &[Term], values: &[Arg]) -> &mut Self {
        let (Some((term, terms)), Some((value, values))) = (terms.split_first(), values.split_first()) else {
            return self.push("1=1");
        };
        if terms.is_empty() {
            return self.compare(term, " <= ", value.clone());
        }
        self.push("(").compare(term, " < ", value.clone()).push(" OR (").compare(term, " = ", value.clone());
        self.push(" AND ").until_in_long(terms, values).push("))")
    }

    fn beyond(&mut self, term: &Term, value: &Arg) -> &mut Self {
        match (self.dialect.nulls_last(), value) {
            (true, Arg::Null) => self.push("1=0"),
            (false, Arg::Null) => self.push(&term.sql).push(" IS NOT NULL"),
            (true, _) => {
                self.push("(").compare(term, " > ", value.clone()).push(" OR ").push(&term.sql).push(" IS NULL)")
            }
            (false, _) => self.compare(term, " > ", value.clone()),
        }
    }

    fn same(&mut self, term: &Term, value: &Arg) -> &mut Self {
        match value {
            Arg::Null => self.push(&term.sql).push(" IS NULL"),
            _ => self.compare(term, " = ", value.clone()),
        }
    }
}

/// `select … FROM table t` for rows whose `terms` equal one of `keys`, by index.
///
/// Number of placeholders: one array a column on PostgreSQL, a power of two on the others, so that few statements
/// are prepared.
pub(super) fn select_by_keys(
    dialect: Dialect,
    select: &str,
    table: &str,
    terms: &[Term],
    keys: &[Vec<Arg>],
) -> Statement {
    match dialect {
        Dialect::Postgres => by_arrays(select, table, terms, keys),
        Dialect::Mysql | Dialect::Sqlite => by_lists(dialect, select, table, terms, keys),
    }
}

fn by_arrays(select: &str, table: &str, terms: &[Term], keys: &[Vec<Arg>]) -> Statement {
    let mut statement = Statement::new(Dialect::Postgres, format!("SELECT {select} FROM {table} t "));
    let text = |arg: &Arg| if let Arg::Text(text) = arg { text.clone() } else { String::new() };
    for part in 0..terms.len() {
        statement.args.push(Arg::Texts(keys.iter().map(|key| text(&key[part])).collect()));
    }
    let array = |index: usize, term: &Term| format!("${}::text[]::{}[]", index + 1, term.cast.unwrap_or("text"));
    if let [term] = terms {
        statement.push(&format!("WHERE {} = ANY ({})", term.sql, array(0, term)));
        return statement;
    }
    let arrays: Vec<_> = terms.iter().enumerate().map(|(index, term)| array(index, term)).collect();
    let names: Vec<_> = (0..terms.len()).map(|index| format!("k{index}")).collect();
    let equal: Vec<_> =
        terms.iter().enumerate().map(|(index, term)| format!("{} = asked.k{index}", term.sql)).collect();
    statement.push(&format!(
        "JOIN unnest({}) AS asked({}) ON {}",
        arrays.join(", "),
        names.join(", "),
        equal.join(" AND ")
    ));
    statement
}

fn by_lists(dialect: Dialect, select: &str, table: &str, terms: &[Term], keys: &[Vec<Arg>]) -> Statement {
    let mut statement = Statement::new(dialect, format!("SELECT {select} FROM {table} t WHERE "));
    let single = terms.len() == 1;
    if single {
        statement.list(terms).push(" IN (");
    } else {
        statement.push("(").list(terms).push(if dialect == Dialect::Sqlite { ") IN (VALUES " } else { ") IN (" });
    }
    let padded = keys.iter().chain(std::iter::repeat(&keys[keys.len() - 1])).take(keys.len().next_power_of_two());
    for (position, key) in padded.enumerate() {
        statement.push(if position > 0 { ", " } else { "" }).push(if single { "" } else { "(" });
        for (part, (arg, term)) in key.iter().zip(terms).enumerate() {
            statement.push(if part > 0 { ", " } else { "" }).bind(arg.clone(), term.cast);
        }
        statement.push(if single { "" } else { ")" });
    }
    statement.push(")");
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(dialect: Dialect) -> Vec<Term> {
        let cast = (dialect == Dialect::Postgres).then_some("int8");
        ["a", "b"].map(|name| Term { sql: dialect.column(name), cast }).to_vec()
    }

    #[test]
    fn names_cannot_break_out_of_their_quotes() {
        assert_eq!(Dialect::Postgres.table("public.a\"b"), "\"public\".\"a\"\"b\"");
        assert_eq!(Dialect::Mysql.column("a`; drop table x"), "t.`a``; drop table x`");
    }

    #[test]
    fn keys_in_each_dialect() {
        let keys = vec![vec![Arg::Int(1), Arg::Int(2)], vec![Arg::Int(3), Arg::Int(4)], vec![Arg::Int(5), Arg::Int(6)]];
        let check = |dialect, expect: &str, args| {
            let statement = select_by_keys(dialect, "*", "x", &terms(dialect), &keys);
            assert_eq!((statement.sql.as_str(), statement.args.len()), (expect, args));
        };
        check(
            Dialect::Postgres,
            "SELECT * FROM x t JOIN unnest($1::text[]::int8[], $2::text[]::int8[]) AS asked(k0, k1) \
             ON t.\"a\" = asked.k0 AND t.\"b\" = asked.k1",
            2,
        );
        check(Dialect::Mysql, "SELECT * FROM x t WHERE (t.`a`, t.`b`) IN ((?, ?), (?, ?), (?, ?), (?, ?))", 8);
        check(
            Dialect::Sqlite,
            "SELECT * FROM x t WHERE (t.\"a\", t.\"b\") IN (VALUES (?, ?), (?, ?), (?, ?), (?, ?))",
            8,
        );
    }

    #[test]
    fn what_comes_after_a_null_depends_on_where_nulls_are() {
        let check = |dialect, expect: &str| {
            let mut statement = Statement::new(dialect, "");
            statement.after_in_long(&terms(dialect), &[Arg::Null, Arg::Int(1)], true);
            assert_eq!(statement.sql, expect);
        };
        check(
            Dialect::Postgres,
            "(1=0 OR (t.\"a\" IS NULL AND ((t.\"b\" > $1::text::int8 OR t.\"b\" IS NULL) OR (t.\"b\" = $2::text::int8))))",
        );
        check(Dialect::Mysql, "(t.`a` IS NOT NULL OR (t.`a` IS NULL AND (t.`b` > ? OR (t.`b` = ?))))");
    }

    #[test]
    fn key_ranges_are_row_comparisons_where_those_use_an_index() {
        let check = |dialect, expect: &str| {
            let mut statement = Statement::new(dialect, "");
            statement.after(&terms(dialect), &[Arg::Int(1), Arg::Int(2)], false);
            assert_eq!(statement.sql, expect);
        };
        check(Dialect::Sqlite, "(t.\"a\", t.\"b\") > (?, ?)");
        check(Dialect::Mysql, "(t.`a` > ? OR (t.`a` = ? AND (t.`b` > ? OR (t.`b` = ? AND 1=0))))");
    }

    #[test]
    fn key_ranges_end_with_their_last_value() {
        let check = |dialect, expect: &str| {
            let mut statement = Statement::new(dialect, "");
            statement.until(&terms(dialect), &[Arg::Int(1), Arg::Int(2)]);
            assert_eq!(statement.sql, expect);
        };
        check(Dialect::Sqlite, "(t.\"a\", t.\"b\") <= (?, ?)");
        check(Dialect::Mysql, "(t.`a` < ? OR (t.`a` = ? AND t.`b` <= ?))");
    }
}
