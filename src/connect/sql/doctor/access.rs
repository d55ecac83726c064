//! The proof of read-only by grants: what the login could write if its sessions were not read-only.

use super::super::open::could_write;
use super::super::plan::table_name;
use super::super::text::{Arg, Dialect, Statement};
use super::super::{Finding, SqlReader};
use super::{failed, ok, warning};
use crate::model::mapping::Dataset;

const SUBJECT: &str = "grants";

const POSTGRES_LOGIN: &str = "SELECT concat_ws(', ', CASE WHEN rolsuper THEN 'is a superuser' END, \
     CASE WHEN rolcreatedb THEN 'may create databases' END, CASE WHEN rolcreaterole THEN 'may create logins' END, \
     CASE WHEN rolreplication THEN 'may replicate' END, \
     CASE WHEN has_database_privilege(current_database(), 'CREATE') THEN 'may create schemas' END, \
     CASE WHEN EXISTS (SELECT FROM pg_roles w WHERE w.rolname = 'pg_write_all_data' \
       AND pg_has_role(current_user, w.oid, 'USAGE')) THEN 'may write all data' END) \
     FROM pg_roles WHERE rolname = current_user";

/// Privileges that only look.
const HARMLESS: [&str; 11] = [
    "SELECT",
    "USAGE",
    "SHOW VIEW",
    "SHOW DATABASES",
    "PROCESS",
    "REPLICATION CLIENT",
    "BINLOG MONITOR",
    "SLAVE MONITOR",
    "REPLICA MONITOR",
    "EXECUTE",
    "SHOW CREATE ROUTINE",
];

impl SqlReader {
    /// What the login may do anywhere.
    pub(super) async fn login(&self) -> Vec<Finding> {
        match self.dialect() {
            Dialect::Postgres => match self.texts(POSTGRES_LOGIN, 1).await {
                Err(error) => vec![failed(SUBJECT, &error)],
                Ok(rows) => match rows.into_iter().flatten().next().filter(|powers| !powers.is_empty()) {
                    Some(powers) => vec![warning(SUBJECT, format!("the login {powers}; use one that may only SELECT"))],
                    None => vec![ok(SUBJECT, "the login has no power beyond its tables")],
                },
            },
            Dialect::Mysql => match self.texts("SHOW GRANTS", 1).await {
                Err(error) => vec![failed(SUBJECT, &error)],
                Ok(rows) => mysql_grants(rows.into_iter().flatten()),
            },
            Dialect::Sqlite => vec![self.file_access().await],
        }
    }

    async fn file_access(&self) -> Finding {
        let query_only = self.texts("SELECT CAST(query_only AS TEXT) FROM pragma_query_only", 1).await;
        match query_only {
            Err(error) => failed(SUBJECT, &error),
            Ok(rows) if rows.first().is_none_or(|row| row != &["1"]) => {
                warning(SUBJECT, "the session is not read-only (`query_only` is off)")
            }
            Ok(_) if self.file.as_deref().is_some_and(could_write) => warning(
                SUBJECT,
                "opened read-only, but this process may write the file: run as another user to prove it",
            ),
            Ok(_) => ok(SUBJECT, "opened read-only, and this process may not write the file"),
        }
    }

    /// What the login may do to a table of a mapping.
    pub(super) async fn table_access(&self, dataset: &Dataset) -> Finding {
        let table = table_name(dataset);
        let subject = format!("grants on `{table}`");
        if self.dialect() != Dialect::Postgres {
            return ok(subject, "covered by the login's grants");
        }
        match self.texts_of(&postgres_table(table), 1).await {
            Err(error) => failed(subject, &error),
            Ok(rows) => match rows.into_iter().flatten().next().filter(|powers| !powers.is_empty()) {
                Some(powers) => warning(subject, format!("the login may {powers}: revoke that")),
                None => ok(subject, "the login may only read"),
            },
        }
    }
}

fn postgres_table(table: &str) -> Statement {
    let mut statement = Statement::new(
        Dialect::Postgres,
        "SELECT coalesce(string_agg(p.name, ', '), '') FROM pg_class c, \
         (VALUES ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('TRIGGER')) p(name) \
         WHERE (has_table_privilege(c.oid, p.name) OR (p.name IN ('INSERT', 'UPDATE') \
         AND has_any_column_privilege(c.oid, p.name))) AND c.oid = ",
    );
    statement.bind(Arg::Text(Dialect::Postgres.table(table)), Some("regclass"));
    statement
}

/// `GRANT a, b (column), c ON x TO y`.
fn mysql_grants(grants: impl Iterator<Item = String>) -> Vec<Finding> {
    let writes: Vec<_> = grants.filter_map(|grant| writing(&grant)).collect();
    if writes.is_empty() {
        return vec![ok(SUBJECT, "the login may only read")];
    }
    writes.into_iter().map(|grant| warning(SUBJECT, format!("the login may {grant}: grant it SELECT only"))).collect()
}

/// The privileges of a grant that are more than looking, with their object.
fn writing(grant: &str) -> Option<String> {
    let body = grant.strip_prefix("GRANT ")?;
    // A role: `GRANT role TO user`, whose own grants are listed as well when it is active.
    let (privileges, rest) = body.split_once(" ON ")?;
    let object = rest.split(" TO ").next().unwrap_or(rest);
    let mut powers: Vec<_> =
        outside_brackets(privileges).into_iter().filter(|name| !HARMLESS.contains(&name.as_str())).collect();
    if rest.contains("WITH GRANT OPTION") {
        powers.push("GRANT".to_owned());
    }
    (!powers.is_empty()).then(|| format!("{} on {object}", powers.join(", ")))
}

/// Split at commas that are not within a list of columns; the lists are left out.
fn outside_brackets(privileges: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = vec![String::new()];
    for character in privileges.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            _ if depth == 0 => {
                if let Some(name) = names.last_mut() {
                    name.push(character)
                }
            }
            _ => {}
        }
    }
    names.iter().map(|name| name.trim().to_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_that_write_are_named() {
        let check = |grant: &str, expect: Option<&str>| assert_eq!(writing(grant).as_deref(), expect, "{grant}");
        check("GRANT USAGE ON *.* TO `r`@`%` IDENTIFIED BY PASSWORD '*1'", None);
        check("GRANT SELECT, SHOW VIEW ON `shop`.* TO `r`@`%`", None);
        check("GRANT SELECT (a, b), UPDATE (b) ON `shop`.`x` TO `r`@`%`", Some("UPDATE on `shop`.`x`"));
        check("GRANT ALL PRIVILEGES ON *.* TO `r`@`%` WITH GRANT OPTION", Some("ALL PRIVILEGES, GRANT on *.*"));
        check("GRANT `reader` TO `r`@`%`", None);
    }
}
