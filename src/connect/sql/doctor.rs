//! What the login can do and how the reads would run.
//!
//! A check does only what the reads themselves do, plus `EXPLAIN` and the catalog; a check that cannot be made
//! is a finding of its own.

use super::plan::{Order, Plan, table_name};
use super::text::{Dialect, Statement};
use super::{Finding, Kind, Mapping, Raw, ReadError, SqlReader};
use crate::config::TlsMode;
use crate::connect::{Reader, Severity};
use crate::model::FieldType;
use crate::model::mapping::{Aggregate, FieldRule, Origin};

mod access;
mod children;
mod paths;

impl SqlReader {
    pub(super) async fn findings(&self, mappings: &[&Mapping]) -> Vec<Finding> {
        let version = self.version().await;
        let reached = version.severity == Severity::Ok;
        let mut findings = vec![version];
        if !reached {
            return findings;
        }
        findings.push(self.clock_finding().await);
        findings.push(self.transport().await);
        findings.push(self.watermark_finding().await);
        findings.extend(self.login().await);
        for mapping in mappings {
            match self.plan(mapping).await {
                Ok(plan) => findings.extend(self.mapping_findings(mapping, &plan).await),
                Err(error) => findings.push(failed(format!("columns of {}", mapping.entity), &error)),
            }
        }
        findings
    }

    async fn mapping_findings(&self, mapping: &Mapping, plan: &Plan) -> Vec<Finding> {
        let mut findings = types(mapping, plan);
        findings.push(self.table_access(&mapping.dataset).await);
        findings.extend(self.paths(mapping, plan).await);
        for (children, read) in &plan.children {
            findings.extend(self.child_findings(mapping, plan, children, read).await);
        }
        if plan.order == Order::Nothing {
            let message = "neither `changed_at` nor a sequence: changes cannot be read, only samples and sweeps";
            findings.push(warning(format!("change read of {}", mapping.entity), message));
        }
        findings
    }

    async fn version(&self) -> Finding {
        let sql = match self.dialect() {
            Dialect::Postgres => "SELECT 'PostgreSQL ' || current_setting('server_version')",
            Dialect::Mysql => "SELECT VERSION()",
            Dialect::Sqlite => "SELECT 'SQLite ' || sqlite_version()",
        };
        match self.texts(sql, 1).await {
            Ok(rows) => ok("connection", rows.into_iter().flatten().next().unwrap_or_default()),
            Err(error) => failed("connection", &error),
        }
    }

    async fn clock_finding(&self) -> Finding {
        let reading = match self.clock().await {
            Ok(reading) => reading,
            Err(error) => return failed("clock", &error),
        };
        let seconds = reading.offset_micros as f64 / 1e6;
        let message = format!("{seconds:+.3} s from ours, known to ± {:.3} s", reading.uncertainty.as_secs_f64());
        if reading.uncertainty.as_secs_f64() > 1.0 {
            return warning("clock", format!("{message}: lag cannot be told any finer"));
        }
        ok("clock", message)
    }

    async fn transport(&self) -> Finding {
        let sql = match self.dialect() {
            Dialect::Postgres => {
                "SELECT version || ' ' || cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"
            }
            Dialect::Mysql => "SHOW SESSION STATUS LIKE 'Ssl_cipher'",
            Dialect::Sqlite => return ok("transport", "a local file"),
        };
        let columns = if self.dialect() == Dialect::Mysql { 2 } else { 1 };
        match self.texts(sql, columns).await {
            Err(error) => failed("transport", &error),
            Ok(rows) => match rows.first().and_then(|row| row.last()).filter(|cipher| !cipher.is_empty()) {
                Some(cipher) if self.tls == TlsMode::Verify => {
                    ok("transport", format!("{cipher}, certificate checked"))
                }
                Some(cipher) => ok("transport", format!("{cipher}, certificate not checked")),
                None => ok("transport", "not encrypted, as `tls = \"off\"` says; for loopback only"),
            },
        }
    }

    async fn watermark_finding(&self) -> Finding {
        let subject = "watermark";
        let (answer, _) = match self.their_time().await {
            Ok(read) => read,
            Err(error) => return failed(subject, &error),
        };
        if self.dialect() != Dialect::Postgres {
            let delay = self.commit_delay;
            let message = format!("assumed: every transaction commits within {delay:?} of its stamps (`commit_delay`)");
            return if delay.is_zero() { warning(subject, message) } else { ok(subject, message) };
        }
        if answer.replayed.is_some() {
            return warning(
                subject,
                "a standby: the primary's running transactions cannot be seen; declare `commit_delay`",
            );
        }
        if answer.prepared.is_some() {
            return warning(subject, "a prepared transaction waits for its end and holds the change reads back");
        }
        match self.texts(SEES_OTHERS, 1).await {
            Err(error) => failed(subject, &error),
            Ok(rows) if rows.first().is_some_and(|row| row == &["yes"]) => match answer.oldest {
                Some(oldest) if answer.now - oldest > LONG_TRANSACTION => warning(
                    subject,
                    format!(
                        "a transaction has been open for {} s; changes since then are read again each time",
                        (answer.now - oldest) / 1_000_000
                    ),
                ),
                _ => ok(subject, "the oldest running transaction"),
            },
            Ok(_) => warning(
                subject,
                "transactions of other logins cannot be seen, 5 s are assumed; `GRANT pg_read_all_stats TO` this login",
            ),
        }
    }

    /// Rows of texts; the statement must give texts only.
    async fn texts(&self, sql: &str, columns: usize) -> Result<Vec<Vec<String>>, ReadError> {
        self.texts_of(&Statement::new(self.dialect(), sql), columns).await
    }

    async fn texts_of(&self, statement: &Statement, columns: usize) -> Result<Vec<Vec<String>>, ReadError> {
        let kinds = vec![Kind::Text; columns];
        let mut rows = Vec::new();
        let text = |raw: &Raw| super::values::text_of(raw).unwrap_or_default();
        self.query(statement, &kinds, &mut |row| rows.push(row.iter().map(text).collect())).await?;
        Ok(rows)
    }
}

/// Ten minutes, in microseconds.
const LONG_TRANSACTION: i64 = 600_000_000;

const SEES_OTHERS: &str = "SELECT CASE WHEN pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') \
                           THEN 'yes' ELSE 'no' END";

fn ok(subject: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding { severity: Severity::Ok, subject: subject.into(), message: message.into() }
}

fn warning(subject: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding { severity: Severity::Warning, subject: subject.into(), message: message.into() }
}

fn failed(subject: impl Into<String>, error: &ReadError) -> Finding {
    Finding { severity: Severity::Error, subject: subject.into(), message: error.to_string() }
}

/// Columns whose type does not suit the declared type of their field.
fn types(mapping: &Mapping, plan: &Plan) -> Vec<Finding> {
    let subject = format!("columns of {}", mapping.entity);
    let mut findings = Vec::new();
    for rule in mapping.fields.iter().flatten() {
        let Some((plan, source)) = column(plan, rule) else { continue };
        let Some(remark) = remark(plan.kinds[source], rule.field_type, rule.epoch.is_some()) else { continue };
        let column = &plan.terms[source].sql;
        let type_name = &plan.columns[source].type_name;
        findings.push(warning(subject.clone(), format!("{column} is `{type_name}`: {remark}")));
    }
    if findings.is_empty() {
        findings.push(ok(subject, format!("{} of `{}` are there", plan.kinds.len(), table_name(&mapping.dataset))));
    }
    findings
}

/// Where a field's value comes from; `None` for what has no column whose type must suit.
fn column<'p>(plan: &'p Plan, rule: &FieldRule) -> Option<(&'p Plan, usize)> {
    match &rule.origin {
        Origin::Const(_) => None,
        Origin::Source(source) => Some((plan, *source)),
        Origin::Children(origin)
            if matches!(origin.aggregate, Aggregate::Count | Aggregate::List | Aggregate::Tally) =>
        {
            None
        }
        Origin::Children(origin) => Some((&plan.children.get(origin.children)?.1.content, origin.source?)),
    }
}

fn remark(kind: Kind, field_type: FieldType, has_epoch: bool) -> Option<&'static str> {
    use FieldType::{Boolean, Date, Decimal, Integer, Money, Timestamp, Uuid};
    match (kind, field_type) {
        (Kind::Float4 | Kind::Float8, Integer | Decimal | Money) => Some("a binary float does not hold exact numbers"),
        (Kind::Int { .. } | Kind::Decimal, Timestamp) if !has_epoch => Some("say what it counts with `epoch`"),
        (Kind::Instant | Kind::Naive | Kind::Date | Kind::Uuid | Kind::Bytes, Integer | Decimal | Money | Boolean) => {
            Some("no number can be read from it")
        }
        (Kind::Bool | Kind::Uuid | Kind::Bytes | Kind::TimeOfDay, Timestamp | Date) => {
            Some("no time can be read from it")
        }
        (Kind::Int { .. } | Kind::Decimal | Kind::Bool | Kind::Instant | Kind::Naive | Kind::Date, Uuid) => {
            Some("no uuid can be read from it")
        }
        _ => None,
    }
}
