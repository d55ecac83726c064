//! One side of a sweep: its rows, reduced to what going together needs.

use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::audit::entry::put_key;
use crate::compare::{Side, State, state_of};
use crate::connect::{Mark, ReadError, Reader, Sweeper};
use crate::model::digest::digest;
use crate::model::mapping::Origin;
use crate::model::{Flow, Key, Mapping, Record, Value};
use crate::sweep::{Batch, Content, Recipe, Span};

/// How to read a side.
#[derive(Clone)]
pub struct SweepSide {
    /// Which.
    pub side: Side,
    /// Reads it.
    pub reader: Arc<dyn Reader>,
    /// How it holds the entity.
    pub mapping: Arc<Mapping>,
    /// The flow, for what is compared.
    pub flow: Arc<Flow>,
    /// Only these records are looked at, if anything limits them.
    pub only: Option<Only>,
}

/// Which records a narrow sweep looks at.
pub type Only = Arc<dyn Fn(&Record) -> bool + Send + Sync>;

/// Rows in one message of a scan.
const BATCH: usize = 512;
/// Messages that wait.
const WAITING: usize = 8;

/// Rows of a side.
#[derive(Default)]
pub struct Rows {
    /// Those with a usable key in scope.
    pub batch: Batch,
    /// All that were read.
    pub read: u64,
}

impl SweepSide {
    /// Reads it in pieces, if it can be.
    pub fn sweeper(&self) -> Option<&dyn Sweeper> {
        self.reader.sweeper()
    }

    /// The rows of a span.
    ///
    /// # Errors
    /// When the side cannot be read.
    pub async fn span(self, span: Span) -> Result<Rows, ReadError> {
        let mut rows = Rows::default();
        if let Some(sweeper) = self.reader.sweeper() {
            sweeper.read_span(&self.mapping, span, &mut |record| self.add(&mut rows, &record)).await?;
        }
        Ok(rows)
    }

    /// The key with this number, where the key is one integer column, in the canonical encoding.
    pub fn name_of(&self, number: i64) -> Box<[u8]> {
        let part = |field: &usize| match self.mapping.fields[*field].as_ref().map(|rule| &rule.origin) {
            Some(Origin::Const(value)) => value.clone(),
            _ => Value::from(number),
        };
        let mut name = Vec::new();
        put_key(&Key::new(self.mapping.key.iter().map(part)), &mut name);
        name.into()
    }

    /// Adds a record that is in scope and whose key names anything.
    pub fn add(&self, rows: &mut Rows, record: &Record) {
        rows.read += 1;
        if self.only.as_ref().is_some_and(|only| !only(record)) {
            return;
        }
        if !record.in_scope || !record.key.is_usable() || self.mapping.is_stand_in(record) {
            return;
        }
        let content = match state_of(&self.flow, self.side, &[record]) {
            State::Present(held) => Content { digest: Some(held.digest.0), tolerant: held.tolerant.into() },
            _ => Content { digest: None, tolerant: Box::default() },
        };
        rows.batch.push(digest(record.key.parts()).0, content, |names| put_key(&record.key, names));
    }

    /// All rows, in the side's own order, until the receiver goes away. Runs in `tasks`.
    pub fn scan(self, tasks: &mut JoinSet<()>) -> mpsc::Receiver<Result<Rows, ReadError>> {
        let (sender, receiver) = mpsc::channel(WAITING);
        tasks.spawn(async move {
            let mut records = self.reader.scan(&self.mapping, None);
            let mut rows = Rows::default();
            while let Some(next) = records.next().await {
                let full = match next {
                    Ok(record) => {
                        self.add(&mut rows, &record);
                        if rows.read < BATCH as u64 {
                            continue;
                        }
                        Ok(std::mem::take(&mut rows))
                    }
                    Err(error) => Err(error),
                };
                let is_over = full.is_err();
                if sender.send(full).await.is_err() || is_over {
                    return;
                }
            }
            // Nobody listens any more when the other side failed.
            sender.send(Ok(rows)).await.unwrap_or_default();
        });
        receiver
    }

    /// As [`scan`](Self::scan), with rows that are hashed as they come. `recipes` are the owner's and the target's.
    pub fn scan_hashes(
        self,
        recipes: Arc<[Recipe; 2]>,
        tasks: &mut JoinSet<()>,
    ) -> mpsc::Receiver<Result<Rows, ReadError>> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let mark = if self.side == Side::Owner { Mark::Owner } else { Mark::Target };
        tasks.spawn(async move {
            let Some(sweeper) = self.reader.sweeper() else { return };
            let (batches, mut come) = mpsc::channel(1);
            let read = sweeper.scan_hashes(&self.mapping, &recipes[mark as usize], mark, batches);
            let hand_on = async {
                while let Some(batch) = come.recv().await {
                    let rows = Rows { read: batch.len() as u64, batch };
                    if sender.send(Ok(rows)).await.is_err() {
                        come.close();
                    }
                }
            };
            if let (Err(error), ()) = tokio::join!(read, hand_on) {
                // Nobody listens any more when the other side failed.
                sender.send(Err(error)).await.unwrap_or_default();
            }
        });
        receiver
    }
}
