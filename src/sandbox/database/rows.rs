//! Reading and writing the rows of one key inside an open transaction.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row};

use super::super::book::Manner;
use super::super::record::{Content, Field, written_lines};
use super::dialect::{Dialect, Type};
use super::table::{Lines, Refunds, Table, Value};
use crate::model::Moment;

/// One entity's rows, seen through a transaction.
pub(super) struct Rows<'c> {
    pub dialect: Dialect,
    pub table: &'static Table,
    pub connection: &'c mut AnyConnection,
}

/// A row of an entity's table.
struct Held {
    id: i64,
    live: bool,
    content: Content,
}

/// When a write is stamped, and whether it is.
#[derive(Clone, Copy)]
struct Stamping {
    moment: Moment,
    /// Whether rows that are there already keep their stamp.
    unstamped: bool,
}

/// A statement with its values; every name in it is ours.
pub(super) fn query<'q>(
    dialect: Dialect,
    text: &str,
    values: impl IntoIterator<Item = Value>,
) -> Query<'q, Any, AnyArguments> {
    let query = sqlx::query(AssertSqlSafe(dialect.statement(text)));
    values.into_iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Integer(number) => query.bind(number),
    })
}

impl Rows<'_> {
    /// What the system holds under the key, oldest first; what is marked as deleted is left out.
    pub async fn contents(&mut self, key: &str) -> sqlx::Result<Vec<Content>> {
        let held = self.held(key).await?;
        Ok(held.into_iter().filter(|row| row.live).map(|row| row.content).collect())
    }

    /// Makes the system hold exactly `contents` under the key.
    pub async fn replace(
        &mut self,
        key: &str,
        contents: &[Content],
        moment: Moment,
        manner: Manner,
    ) -> sqlx::Result<()> {
        let stamping = Stamping { moment, unstamped: manner.unstamped };
        let (live, retired): (Vec<_>, Vec<_>) = self.held(key).await?.into_iter().partition(|row| row.live);
        let surplus = live.len().saturating_sub(contents.len());
        let mut known = live.into_iter().chain(retired);
        for content in contents {
            match known.next() {
                Some(row) => self.update(row.id, content, stamping).await?,
                None => self.insert(key, content, moment).await?,
            }
        }
        // A record that is marked as deleted stays so, unless everything is to go.
        let going = if contents.is_empty() && !manner.softly { usize::MAX } else { surplus };
        for row in known.take(going) {
            self.remove(row.id, stamping, manner.softly).await?;
        }
        Ok(())
    }

    async fn held(&mut self, key: &str) -> sqlx::Result<Vec<Held>> {
        let table = self.table;
        let columns: String =
            table.columns.iter().map(|column| format!(", {}", self.dialect.read(column.name, column.kind()))).collect();
        let text = format!(
            "SELECT id, CASE WHEN {} THEN 1 ELSE 0 END{columns} FROM {} WHERE {} = ? ORDER BY id",
            table.live(),
            table.name,
            table.key
        );
        let mut held = Vec::new();
        for row in self.rows(&text, [Value::Text(table.written_key(key))]).await? {
            let id = row.try_get(0)?;
            let mut content = own_columns(table, &row)?;
            if let Some(lines) = &table.lines {
                content = content.with(Field::Lines, self.lines(lines, id).await?);
            }
            if let Some(refunds) = &table.refunds {
                content = content.with(Field::Refunded, self.refunded(refunds, id).await?);
            }
            held.push(Held { id, live: row.try_get::<i64, _>(1)? == 1, content });
        }
        Ok(held)
    }

    async fn insert(&mut self, key: &str, content: &Content, moment: Moment) -> sqlx::Result<()> {
        let table = self.table;
        let text = format!("{} VALUES {} RETURNING id", insert_into(table), places(self.dialect, table));
        let row = query(self.dialect, &text, row_values(table, key, content, moment));
        let id: i64 = row.fetch_one(&mut *self.connection).await?.try_get(0)?;
        self.set_children(id, content, Stamping { moment, unstamped: false }).await
    }

    async fn update(&mut self, id: i64, content: &Content, stamping: Stamping) -> sqlx::Result<()> {
        let table = self.table;
        let column = |name: &str, kind| format!("{name} = {}", self.dialect.place(kind));
        let mut sets: Vec<_> = table.columns.iter().map(|own| column(own.name, own.kind())).collect();
        let mut values: Vec<_> = table.columns.iter().map(|own| own.written(content)).collect();
        if !stamping.unstamped {
            sets.push(column(table.stamp.name(), table.stamp.kind()));
            values.push(table.stamp.written(stamping.moment));
        }
        values.push(Value::Integer(id));
        let revival = table.retired.map_or("", |retired| retired.revival());
        self.run(&format!("UPDATE {} SET {}{revival} WHERE id = ?", table.name, sets.join(", ")), values).await?;
        self.set_children(id, content, stamping).await
    }

    async fn remove(&mut self, id: i64, stamping: Stamping, softly: bool) -> sqlx::Result<()> {
        let table = self.table;
        if let (true, Some(retired)) = (softly, table.retired) {
            let (mut set, mut values) = (retired.assignment().to_owned(), Vec::new());
            if !stamping.unstamped {
                set.push_str(&format!(", {} = {}", table.stamp.name(), self.dialect.place(table.stamp.kind())));
                values.push(table.stamp.written(stamping.moment));
            }
            values.push(Value::Integer(id));
            return self.run(&format!("UPDATE {} SET {set} WHERE id = ?", table.name), values).await;
        }
        let lines = table.lines.iter().map(|lines| (lines.table, lines.parent));
        let refunds = table.refunds.iter().map(|refunds| (refunds.table, refunds.parent));
        for (child, parent) in lines.chain(refunds) {
            self.run(&format!("DELETE FROM {child} WHERE {parent} = ?"), [Value::Integer(id)]).await?;
        }
        self.run(&format!("DELETE FROM {} WHERE id = ?", table.name), [Value::Integer(id)]).await
    }

    async fn set_children(&mut self, parent: i64, content: &Content, stamping: Stamping) -> sqlx::Result<()> {
        if let Some(lines) = &self.table.lines {
            self.set_lines(lines, parent, &content.lines(), stamping).await?;
        }
        if let Some(refunds) = &self.table.refunds {
            let refunded = content.text(Field::Refunded).parse().unwrap_or_default();
            self.set_refunded(refunds, parent, refunded, stamping).await?;
        }
        Ok(())
    }

    async fn lines(&mut self, lines: &Lines, parent: i64) -> sqlx::Result<String> {
        let held = self.line_rows(lines, parent).await?;
        Ok(written_lines(held.iter().map(|(_, sku, pieces)| (sku.as_str(), *pieces))))
    }

    /// The lines of an order: row, SKU and pieces.
    async fn line_rows(&mut self, lines: &Lines, parent: i64) -> sqlx::Result<Vec<(i64, String, i64)>> {
        let Lines { table, parent: column, sku, pieces, prefix } = lines;
        let text = format!("SELECT id, {sku}, {pieces} FROM {table} WHERE {column} = ? ORDER BY id");
        let rows = self.rows(&text, [Value::Integer(parent)]).await?;
        let line = |row: &AnyRow| {
            let sku: String = row.try_get(1)?;
            Ok((row.try_get(0)?, sku.strip_prefix(prefix).unwrap_or(&sku).to_owned(), row.try_get(2)?))
        };
        rows.iter().map(line).collect()
    }

    /// Lines whose SKU is there already are changed in their place.
    async fn set_lines(
        &mut self,
        lines: &Lines,
        parent: i64,
        wanted: &[(&str, i64)],
        stamping: Stamping,
    ) -> sqlx::Result<()> {
        let mut held = self.line_rows(lines, parent).await?;
        let (stamp, at) = (self.table.stamp, self.dialect.place(self.table.stamp.kind()));
        for (sku, pieces) in wanted {
            let known = held.iter().position(|(_, known, _)| known == sku).map(|position| held.swap_remove(position));
            match known {
                Some((_, _, before)) if before == *pieces => {}
                Some((id, _, _)) => {
                    let mut values = vec![Value::Integer(*pieces)];
                    let mut set = format!("{} = ?", lines.pieces);
                    if !stamping.unstamped {
                        set.push_str(&format!(", {} = {at}", stamp.name()));
                        values.push(stamp.written(stamping.moment));
                    }
                    values.push(Value::Integer(id));
                    self.run(&format!("UPDATE {} SET {set} WHERE id = ?", lines.table), values).await?;
                }
                None => {
                    let Lines { table, parent: column, sku: sku_column, pieces: pieces_column, prefix } = lines;
                    let text = format!(
                        "INSERT INTO {table} ({column}, {sku_column}, {pieces_column}, {}) VALUES (?, ?, ?, {at})",
                        stamp.name()
                    );
                    let sku = Value::Text(format!("{prefix}{sku}"));
                    let stamp = stamp.written(stamping.moment);
                    self.run(&text, [Value::Integer(parent), sku, Value::Integer(*pieces), stamp]).await?;
                }
            }
        }
        for (id, _, _) in held {
            self.run(&format!("DELETE FROM {} WHERE id = ?", lines.table), [Value::Integer(id)]).await?;
        }
        Ok(())
    }

    /// The sum of an order's refunds, in minor units.
    async fn refunded(&mut self, refunds: &Refunds, parent: i64) -> sqlx::Result<i64> {
        let Refunds { table, parent: column, amount } = refunds;
        let text = format!("SELECT {amount} FROM {table} WHERE {column} = ?");
        let rows = self.rows(&text, [Value::Integer(parent)]).await?;
        rows.iter().map(|row| row.try_get::<i64, _>(0)).sum()
    }

    /// A further refund is a further row; a smaller sum begins anew.
    async fn set_refunded(
        &mut self,
        refunds: &Refunds,
        parent: i64,
        wanted: i64,
        stamping: Stamping,
    ) -> sqlx::Result<()> {
        let mut held = self.refunded(refunds, parent).await?;
        let Refunds { table, parent: column, amount } = refunds;
        if wanted < held {
            self.run(&format!("DELETE FROM {table} WHERE {column} = ?"), [Value::Integer(parent)]).await?;
            held = 0;
        }
        if wanted > held {
            let stamp = self.table.stamp;
            let at = self.dialect.place(stamp.kind());
            let text = format!("INSERT INTO {table} ({column}, {amount}, {}) VALUES (?, ?, {at})", stamp.name());
            let stamp = stamp.written(stamping.moment);
            self.run(&text, [Value::Integer(parent), Value::Integer(wanted - held), stamp]).await?;
        }
        Ok(())
    }

    async fn run(&mut self, text: &str, values: impl IntoIterator<Item = Value>) -> sqlx::Result<()> {
        query(self.dialect, text, values).execute(&mut *self.connection).await.map(drop)
    }

    async fn rows(&mut self, text: &str, values: impl IntoIterator<Item = Value>) -> sqlx::Result<Vec<AnyRow>> {
        query(self.dialect, text, values).fetch_all(&mut *self.connection).await
    }
}

/// `INSERT INTO table (columns)`: key, own columns, stamp.
pub(super) fn insert_into(table: &Table) -> String {
    let columns: String = table.columns.iter().map(|column| format!(", {}", column.name)).collect();
    format!("INSERT INTO {} ({}{columns}, {})", table.name, table.key, table.stamp.name())
}

/// The places of one row's values, parallel to [`insert_into`].
pub(super) fn places(dialect: Dialect, table: &Table) -> String {
    let columns: String = table.columns.iter().map(|column| format!(", {}", dialect.place(column.kind()))).collect();
    format!("(?{columns}, {})", dialect.place(table.stamp.kind()))
}

/// One row's values, parallel to [`insert_into`].
pub(super) fn row_values(table: &Table, key: &str, content: &Content, moment: Moment) -> Vec<Value> {
    let own = table.columns.iter().map(|column| column.written(content));
    let key = Value::Text(table.written_key(key));
    std::iter::once(key).chain(own).chain([table.stamp.written(moment)]).collect()
}

/// The fields that have a column of their own, from behind the row's number and its mark.
fn own_columns(table: &Table, row: &AnyRow) -> sqlx::Result<Content> {
    let mut content = Content::default();
    for (index, column) in table.columns.iter().enumerate() {
        let value = match column.kind() {
            Type::Integer => Value::Integer(row.try_get(index + 2)?),
            Type::Text | Type::Decimal | Type::Stamp => Value::Text(row.try_get(index + 2)?),
        };
        content = content.with(column.field, column.read(value));
    }
    Ok(content)
}
