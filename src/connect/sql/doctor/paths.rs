//! Whether the reads can use an index.

use serde_json::Value as Json;

use super::super::changes::next_statement;
use super::super::engine::Explained;
use super::super::plan::{Order, Plan, table_name};
use super::super::position::{Position, Settled};
use super::super::ranges::{landmark_statement, range_statement};
use super::super::text::{Arg, Dialect, Statement};
use super::super::{Finding, Mapping, RawRow, ReadError, SqlReader};
use super::{failed, ok, warning};

impl SqlReader {
    /// The by-key and the change read of a mapping, and rows that no change read meets.
    pub(super) async fn paths(&self, mapping: &Mapping, plan: &Plan) -> Vec<Finding> {
        let subject = format!("by-key read of {}", mapping.entity);
        let row = match self.any_row(plan).await {
            Ok(Some(row)) => row,
            Ok(None) => return vec![warning(subject, "the table is empty: whether an index is used cannot be told")],
            Err(error) => return vec![failed(subject, &error)],
        };
        let mut findings = Vec::new();
        let parts: Vec<_> = plan.key.iter().map(|source| row[*source].clone()).collect();
        if let Some(key) = plan.args_of_key(&parts) {
            findings
                .push(self.path(subject, &plan.by_keys(std::slice::from_ref(&key)), || index(plan, &plan.key)).await);
            findings.push(self.sample_path(mapping, plan, key).await);
        }
        let (Order::Stamp { source, .. } | Order::Sequence { source }) = plan.order else { return findings };
        let settled = match plan.order {
            Order::Stamp { .. } => self.their_time().await.map(|(answer, _)| Settled::Until(answer.now)),
            _ => Ok(plan.arg(source, &row[source]).map_or(Settled::Nothing, Settled::Number)),
        };
        let subject = format!("change read of {}", mapping.entity);
        let statement = settled.map(|settled| next_statement(plan, &Position::start(0, settled), 1000));
        match statement {
            Err(error) => findings.push(failed(subject, &error)),
            Ok(None) => {}
            Ok(Some(statement)) => {
                let columns: Vec<_> = std::iter::once(source).chain(plan.key.iter().copied()).collect();
                findings.push(self.path(subject, &statement, || index(plan, &columns)).await);
                findings.extend(self.unstamped(format!("change read of {}", mapping.entity), plan, source).await);
            }
        }
        findings
    }

    /// The two statements of a sample: how far a piece goes, and the piece.
    async fn sample_path(&self, mapping: &Mapping, plan: &Plan, after: Vec<Arg>) -> Finding {
        let subject = format!("sample read of {}", mapping.entity);
        let landmark = landmark_statement(plan, Some(&after), None, PIECE);
        let until = self.key_at(plan, &landmark).await;
        let piece = match &until {
            Ok(until) => range_statement(plan, Some(&after), until.as_deref(), PIECE),
            Err(error) => return failed(subject, error),
        };
        for (statement, is_open) in [(landmark, true), (piece, false)] {
            let explained = match self.explain(&statement).await {
                Ok(rows) => rows,
                Err(error) => return failed(subject, &error),
            };
            // Sorting the few rows of a piece costs nothing; sorting all that lies behind a place does.
            let sorts = is_open && sorts(self.dialect(), &explained);
            let problem = match (uses_index(self.dialect(), &explained), sorts) {
                (true, false) => continue,
                (true, true) => "sorts all keys behind it",
                (false, _) => "reads the whole table",
            };
            let index = index(plan, &plan.key);
            return warning(subject, format!("{problem}; have an index in the key's order: `{index}`"));
        }
        ok(subject, "uses an index, in its order")
    }

    async fn key_at(&self, plan: &Plan, landmark: &Statement) -> Result<Option<Vec<Arg>>, ReadError> {
        let kinds: Vec<_> = plan.key.iter().map(|source| plan.kinds[*source]).collect();
        let mut found = None;
        self.query(landmark, &kinds, &mut |row| found = plan.args_of_key(row)).await?;
        Ok(found)
    }

    pub(super) async fn any_row(&self, plan: &Plan) -> Result<Option<RawRow>, ReadError> {
        let mut statement = plan.select_from();
        let present: Vec<_> = plan.key_terms().iter().map(|term| format!("{} IS NOT NULL", term.sql)).collect();
        statement.push(&format!(" WHERE {}", present.join(" AND "))).limit(1);
        let mut found = None;
        self.query(&statement, &plan.kinds, &mut |row| found = Some(row.clone())).await?;
        Ok(found)
    }

    pub(super) async fn path(&self, subject: String, statement: &Statement, index: impl Fn() -> String) -> Finding {
        let explained = match self.explain(statement).await {
            Ok(rows) => rows,
            Err(error) => return failed(subject, &error),
        };
        if uses_index(self.dialect(), &explained) {
            return ok(subject, "uses an index");
        }
        warning(subject, format!("reads the whole table; have an index: `{}`", index()))
    }

    async fn explain(&self, statement: &Statement) -> Result<Vec<Explained>, ReadError> {
        let _permit = self.budget.admit().await?;
        self.engine.explain(statement).await.map_err(|failure| self.error(failure))
    }

    pub(super) async fn unstamped(&self, subject: String, plan: &Plan, source: usize) -> Option<Finding> {
        let mut statement = plan.select_from();
        statement.push(&format!(" WHERE {} IS NULL", plan.terms[source].sql)).limit(1);
        let mut found = false;
        match self.query(&statement, &plan.kinds, &mut |_| found = true).await {
            Err(error) => Some(failed(subject, &error)),
            Ok(_) if found => {
                let column = &plan.terms[source].sql;
                Some(warning(subject, format!("there are rows where {column} is null: no change read meets them")))
            }
            Ok(_) => None,
        }
    }
}

pub(super) fn index(plan: &Plan, sources: &[usize]) -> String {
    let columns: Vec<_> =
        sources.iter().map(|source| plan.terms[*source].sql.trim_start_matches("t.").to_owned()).collect();
    let name = table_name(plan.dataset()).replace('.', "_");
    format!("CREATE INDEX {name}_plumbline ON {} ({})", plan.table, columns.join(", "))
}

/// Rows of a piece whose statement is explained.
const PIECE: usize = 100;

/// Whether an engine sorts rows before it gives them.
fn sorts(dialect: Dialect, rows: &[Explained]) -> bool {
    let anywhere = |word: &str| rows.iter().flatten().any(|(_, text)| text.contains(word));
    match dialect {
        Dialect::Postgres => anywhere("\"Sort\"") || anywhere("\"Incremental Sort\""),
        Dialect::Mysql => anywhere("Using filesort"),
        Dialect::Sqlite => anywhere("USE TEMP B-TREE FOR ORDER BY") || anywhere("FOR RIGHT PART OF ORDER BY"),
    }
}

/// Whether an engine's plan finds its rows by an index.
fn uses_index(dialect: Dialect, rows: &[Explained]) -> bool {
    match dialect {
        Dialect::Postgres => {
            let text = rows.first().and_then(|row| row.first()).map(|(_, text)| text.as_str()).unwrap_or_default();
            serde_json::from_str::<Json>(text).is_ok_and(|plan| {
                let mut seen = Seen::default();
                seen.walk(&plan);
                seen.condition && !seen.whole_table
            })
        }
        Dialect::Mysql => rows.iter().all(|row| {
            let of = |wanted: &str| {
                row.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map_or("", |(_, text)| text)
            };
            let whole = matches!(of("type"), "ALL" | "index");
            // A small table is read whole although an index would do.
            !whole || !of("possible_keys").is_empty()
        }),
        Dialect::Sqlite => {
            let details = || rows.iter().filter_map(|row| row.last()).map(|(_, detail)| detail.as_str());
            details().any(|detail| detail.starts_with("SEARCH t "))
                && !details().any(|detail| detail.starts_with("SCAN t"))
        }
    }
}

/// What a PostgreSQL plan has anywhere in it.
#[derive(Default)]
struct Seen {
    condition: bool,
    whole_table: bool,
}

impl Seen {
    fn walk(&mut self, node: &Json) {
        match node {
            Json::Array(nodes) => nodes.iter().for_each(|node| self.walk(node)),
            Json::Object(fields) => {
                self.condition |= fields.contains_key("Index Cond");
                self.whole_table |= fields.get("Node Type").is_some_and(|kind| kind == "Seq Scan");
                fields.values().for_each(|node| self.walk(node));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[(&str, &str)]) -> Explained {
        columns.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn plans_of_each_engine() {
        let sqlite = |detail: &str| uses_index(Dialect::Sqlite, &[row(&[("id", ""), ("detail", detail)])]);
        assert!(sqlite("SEARCH t USING INDEX x_k (k=?)"));
        assert!(!sqlite("SCAN t") && !sqlite("SCAN t USING INDEX x_at"));
        let mysql = |kind: &str, possible: &str| {
            uses_index(Dialect::Mysql, &[row(&[("type", kind), ("possible_keys", possible), ("key", "")])])
        };
        assert!(mysql("range", "PRIMARY") && mysql("ALL", "PRIMARY"));
        assert!(!mysql("ALL", "") && !mysql("index", ""));
        let postgres = |json: &str| uses_index(Dialect::Postgres, &[row(&[("QUERY PLAN", json)])]);
        assert!(postgres(r#"[{"Plan": {"Node Type": "Index Scan", "Index Cond": "(id = 1)"}}]"#));
        assert!(!postgres(r#"[{"Plan": {"Node Type": "Seq Scan"}}]"#));
        assert!(!postgres("nonsense"));
    }
}
