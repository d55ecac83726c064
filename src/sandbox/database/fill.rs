//! What the company opens with, written in bulk.

use anyhow::Context as _;

use super::super::record::{Content, Entity};
use super::rows::{Rows, insert_into, places, query, row_values};
use super::{Database, Manner};
use crate::model::Moment;

/// Rows of a statement: with five values each far below every database's limit of parameters.
const ROWS: usize = 1000;
/// Statements of a transaction.
const STATEMENTS: usize = 20;

impl Database {
    /// Adds records to an entity that holds none of their keys yet, stamped with the present, in large transactions. No
    /// outbox is filled and the log is told nothing: whoever fills knows what the company opens with.
    ///
    /// # Errors
    /// When the system does not hold the entity or cannot be written.
    pub async fn fill(
        &self,
        entity: Entity,
        records: impl IntoIterator<Item = (String, Content)>,
    ) -> anyhow::Result<()> {
        let table = self.table(entity)?;
        let moment = self.clock.now();
        let mut records = records.into_iter().filter(|(_, content)| table.can_hold(content)).peekable();
        while records.peek().is_some() {
            let part: Vec<_> = records.by_ref().take(ROWS * STATEMENTS).collect();
            self.fill_part(entity, &part, moment).await.with_context(|| format!("cannot fill `{}`", table.name))?;
        }
        Ok(())
    }

    async fn fill_part(&self, entity: Entity, part: &[(String, Content)], moment: Moment) -> anyhow::Result<()> {
        let table = self.table(entity)?;
        let mut tx = self.begin().await?;
        if table.lines.is_some() || table.refunds.is_some() {
            for (key, content) in part {
                let mut rows = Rows { dialect: self.dialect, table, connection: &mut tx };
                rows.replace(key, std::slice::from_ref(content), moment, Manner::default()).await?;
            }
        } else {
            for rows in part.chunks(ROWS) {
                let places = vec![places(self.dialect, table); rows.len()].join(", ");
                let text = format!("{} VALUES {places}", insert_into(table));
                let values = rows.iter().flat_map(|(key, content)| row_values(table, key, content, moment));
                query(self.dialect, &text, values).execute(&mut *tx).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}
