//! The columns of a table from the database's own catalog.

use super::plan::table_name;
use super::text::{Arg, Dialect, Statement};
use super::{Column, Kind, Mapping, Raw, ReadError, SqlReader};

const TEXT_TEXT_INT: [Kind; 3] = [Kind::Text, Kind::Text, Kind::Int { bytes: 8, signed: true }];

impl SqlReader {
    /// Name, type and nullability of each column, in the table's order; none when there is no such table.
    pub(super) async fn columns(&self, mapping: &Mapping) -> Result<Vec<Column>, ReadError> {
        let statement = statement(self.dialect(), table_name(&mapping.dataset));
        let mut columns = Vec::new();
        self.query(&statement, &TEXT_TEXT_INT, &mut |row| {
            let text = |raw: &Raw| super::values::text_of(raw).unwrap_or_default();
            if let [name, type_name, nullable] = row.as_slice() {
                let nullable = Some(*nullable != Raw::Int(0));
                columns.push(Column { name: text(name), type_name: text(type_name), nullable });
            }
        })
        .await?;
        Ok(columns)
    }
}

/// Schema and table.
pub(super) fn split(table: &str) -> (Option<&str>, &str) {
    match table.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, table),
    }
}

fn statement(dialect: Dialect, table: &str) -> Statement {
    let (schema, name) = split(table);
    match dialect {
        Dialect::Postgres => {
            let sql = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), \
                       (CASE WHEN a.attnotnull THEN 0 ELSE 1 END)::int8 \
                       FROM pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = ";
            let mut statement = Statement::new(dialect, sql);
            statement.bind(Arg::Text(dialect.table(table)), Some("regclass")).push(" ORDER BY a.attnum");
            statement
        }
        Dialect::Mysql => {
            let sql = "SELECT column_name, column_type, CAST(is_nullable = 'YES' AS SIGNED) \
                       FROM information_schema.columns WHERE table_schema = coalesce(";
            let mut statement = Statement::new(dialect, sql);
            let schema = schema.map_or(Arg::Null, |schema| Arg::Text(schema.to_owned()));
            statement.bind(schema, None).push(", DATABASE()) AND table_name = ");
            statement.bind(Arg::Text(name.to_owned()), None).push(" ORDER BY ordinal_position");
            statement
        }
        Dialect::Sqlite => {
            let mut statement = Statement::new(dialect, "SELECT name, type, 1 - \"notnull\" FROM pragma_table_info(");
            statement.bind(Arg::Text(name.to_owned()), None).push(", ");
            statement.bind(Arg::Text(schema.unwrap_or("main").to_owned()), None).push(")");
            statement
        }
    }
}
