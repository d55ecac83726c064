//! The columns of tables from the database's own catalog.

use super::plan::table_name;
use super::text::{Arg, Dialect, Statement};
use super::values::text_of;
use super::{Column, Dataset, Kind, Mapping, Raw, ReadError, Shape, Source, SqlReader};

const INT: Kind = Kind::Int { bytes: 8, signed: true };

/// Name, type, nullability, the table's and the column's number, collation, list of values, checks.
const KINDS: [Kind; 8] = [Kind::Text, Kind::Text, INT, INT, INT, Kind::Text, Kind::Text, Kind::Text];

impl SqlReader {
    /// The shape of a mapping's table, with those of its children.
    pub(super) async fn shape_of(&self, mapping: &Mapping) -> Result<Shape, ReadError> {
        let mut shape = self.table_shape(table_name(&mapping.dataset)).await?;
        for children in &mapping.children {
            shape.children.push(self.table_shape(table_name(&children.dataset)).await?);
        }
        Ok(shape)
    }

    async fn table_shape(&self, table: &str) -> Result<Shape, ReadError> {
        let mut columns = Vec::new();
        self.query(&statement(self.dialect(), table), &KINDS, &mut |row| columns.push(column(row))).await?;
        if columns.is_empty() {
            let reason = format!("`{table}`: no such table");
            return Err(ReadError::Shape { system: self.system.clone(), reason });
        }
        Ok(Shape { dataset: table.to_owned(), columns, sampled: None, children: Vec::new() })
    }

    /// Whether the database knows no such column. It says otherwise of one that this login may not read.
    pub(super) async fn has_no_column(&self, table: &str, column: &str) -> Result<bool, ReadError> {
        let dataset = Dataset::Table(table.to_owned());
        match self.result_columns(&dataset, &[Source::Path(column.to_owned())]).await {
            // It can be read: the catalog hides it, or it has come back in between.
            Ok(_) => Ok(false),
            Err(ReadError::Shape { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn column(row: &[Raw]) -> Column {
    let text = |index: usize| row.get(index).and_then(text_of).filter(|text| !text.is_empty());
    let number =
        |index: usize| if let Some(Raw::Int(value)) = row.get(index) { u32::try_from(*value).ok() } else { None };
    let (type_name, listed) = without_list(text(1).unwrap_or_default());
    Column {
        name: text(0).unwrap_or_default(),
        type_name,
        nullable: Some(row.get(2) != Some(&Raw::Int(0))),
        values: listed
            .or_else(|| text(6).and_then(|labels| serde_json::from_str(&labels).ok()))
            .or_else(|| checked(&text(7)?)),
        collation: text(5),
        number: number(3).zip(number(4)),
        seen: 0,
        nulls: 0,
    }
}

/// `enum` and its values from `enum('a','b')`; other types as they are.
fn without_list(type_name: String) -> (String, Option<Vec<String>>) {
    match type_name.split_once('(') {
        Some((word @ ("enum" | "set"), list)) => (word.to_owned(), Some(literals(list))),
        _ => (type_name, None),
    }
}

/// The values of a check against a list, from PostgreSQL's `CHECK (((state)::text = ANY ((ARRAY['a'::character varying,
/// 'b'::character varying])::text[])))`; `None` for any other check.
fn checked(definitions: &str) -> Option<Vec<String>> {
    let definitions: Vec<String> = serde_json::from_str(definitions).ok()?;
    let [definition] = definitions.as_slice() else { return None };
    let is_list =
        definition.matches("= ANY").count() == 1 && !definition.contains(" OR ") && !definition.contains(" AND ");
    let (_, list) = definition.split_once("ARRAY[").filter(|_| is_list)?;
    Some(literals(list)).filter(|values| !values.is_empty())
}

/// The SQL text literals in a text: `'it''s'` is `it's`.
fn literals(text: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut characters = text.chars().peekable();
    while characters.by_ref().any(|character| character == '\'') {
        let mut literal = String::new();
        while let Some(character) = characters.next() {
            if character == '\'' && characters.next_if_eq(&'\'').is_none() {
                break;
            }
            literal.push(character);
        }
        literals.push(literal);
    }
    literals
}

/// Schema and table.
pub(super) fn split(table: &str) -> (Option<&str>, &str) {
    match table.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, table),
    }
}

/// Of a domain the type behind it counts: that is what its values are.
const POSTGRES: &str = "SELECT a.attname::text, \
     CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) \
     ELSE format_type(a.atttypid, a.atttypmod) END, \
     (CASE WHEN a.attnotnull OR t.typnotnull THEN 0 ELSE 1 END)::int8, \
     CASE WHEN r.relkind IN ('r', 'p') THEN r.oid::int8 END, a.attnum::int8, c.collname::text, \
     (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder)::text FROM pg_enum e \
     WHERE e.enumtypid = coalesce(nullif(t.typbasetype, 0), t.oid)), \
     (SELECT json_agg(pg_get_constraintdef(k.oid))::text FROM pg_constraint k \
     WHERE k.conrelid = r.oid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]) \
     FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid \
     LEFT JOIN pg_collation c ON c.oid = a.attcollation AND a.attcollation <> t.typcollation \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND r.oid = ";

const MYSQL: &str = "SELECT column_name, column_type, CAST(is_nullable = 'YES' AS SIGNED), NULL, NULL, \
     collation_name, NULL, NULL FROM information_schema.columns WHERE table_schema = coalesce(";

const SQLITE: &str = "SELECT name, type, 1 - \"notnull\", NULL, NULL, NULL, NULL, NULL FROM pragma_table_info(";

fn statement(dialect: Dialect, table: &str) -> Statement {
    let (schema, name) = split(table);
    match dialect {
        Dialect::Postgres => {
            let mut statement = Statement::new(dialect, POSTGRES);
            statement.bind(Arg::Text(dialect.table(table)), Some("regclass")).push(" ORDER BY a.attnum");
            statement
        }
        Dialect::Mysql => {
            let mut statement = Statement::new(dialect, MYSQL);
            let schema = schema.map_or(Arg::Null, |schema| Arg::Text(schema.to_owned()));
            statement.bind(schema, None).push(", DATABASE()) AND table_name = ");
            statement.bind(Arg::Text(name.to_owned()), None).push(" ORDER BY ordinal_position");
            statement
        }
        Dialect::Sqlite => {
            let mut statement = Statement::new(dialect, SQLITE);
            statement.bind(Arg::Text(name.to_owned()), None).push(", ");
            statement.bind(Arg::Text(schema.unwrap_or("main").to_owned()), None).push(")");
            statement
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_values_are_read_from_types_and_checks() {
        let check = |type_name: &str, expect: &[&str]| {
            let (word, values) = without_list(type_name.to_owned());
            assert_eq!((word.as_str(), values.unwrap()), ("enum", expect.iter().map(ToString::to_string).collect()));
        };
        check("enum('a','b')", &["a", "b"]);
        check("enum('it''s','a,b','','(x)')", &["it's", "a,b", "", "(x)"]);
        assert_eq!(without_list("decimal(12,4)".to_owned()), ("decimal(12,4)".to_owned(), None));
        let of = |definition: &str| checked(&serde_json::to_string(&[definition]).unwrap());
        let list = "CHECK (((state)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))";
        assert_eq!(of(list), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(of("CHECK ((qty > 0))"), None);
        assert_eq!(of("CHECK (((state = ANY (ARRAY['a'::text, 'b'::text])) OR (qty > 0)))"), None);
    }
}
