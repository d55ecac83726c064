//! Everything of both sides, each in its own order: the way for keys of any type, and for APIs.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Comparison, Finder, Name, Piece, Shelving, SweepError, thousandths};
use crate::audit::sweep::disk::{Shelf, Spilled};
use crate::audit::sweep::side::{Rows, SweepSide};
use crate::compare::Side;
use crate::connect::ReadError;
use crate::sweep::{Matching, Recipe};

/// Both scans under way.
pub(super) struct Scan {
    sides: [SweepSide; 2],
    streams: Option<Streams>,
    matching: Matching,
    memory: usize,
    spilled: Option<Spilled>,
    on_disk: u64,
    piece: Piece,
    is_done: bool,
    /// What is hashed of each side, where rows can be compared by hashes.
    recipes: Option<Arc<[Recipe; 2]>>,
}

struct Streams {
    receivers: [mpsc::Receiver<Result<Rows, ReadError>>; 2],
    open: [bool; 2],
    tasks: JoinSet<()>,
}

/// Messages that one piece takes.
const MESSAGES: usize = 200;

impl Scan {
    pub(super) fn new(finder: &Finder) -> io::Result<Self> {
        Ok(Self {
            sides: [finder.owner.clone(), finder.target.clone()],
            streams: None,
            matching: Matching::new(finder.tolerances.clone()),
            memory: finder.memory / 2,
            spilled: None,
            on_disk: 0,
            piece: Piece::default(),
            is_done: false,
            recipes: if let Comparison::Ours(recipes) = &finder.plain { Some(Arc::clone(recipes)) } else { None },
        })
    }

    pub(super) const fn spilled(&self) -> u64 {
        self.on_disk
    }

    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) async fn next(&mut self, finder: &Finder, suspects: &mut Shelf<Name>) -> Result<Piece, SweepError> {
        let mut found: Vec<Name> = Vec::new();
        for _ in 0..MESSAGES {
            let Some((side, rows)) = self.receive().await? else {
                super::shelve(suspects, std::mem::take(&mut found))?;
                self.end(suspects).await?;
                break;
            };
            match side {
                Side::Owner => self.piece.owner_rows += rows.read,
                Side::Target => self.piece.target_rows += rows.read,
            }
            self.matching.take(side, rows.batch, |name| found.push(name.into()));
            if self.matching.bytes() > self.memory {
                self.spill()?;
            }
        }
        super::shelve(suspects, found)?;
        let seen = self.piece.owner_rows.max(self.piece.target_rows);
        let whole = finder.rows().unwrap_or(0).max(seen);
        self.piece.done = if self.is_done { 1_000 } else { thousandths(seen.into(), whole.into()).min(999) };
        Ok(self.piece)
    }

    /// The next rows of the side that is behind; `None` when both have ended.
    async fn receive(&mut self) -> Result<Option<(Side, Rows)>, ReadError> {
        let streams = self.streams.get_or_insert_with(|| {
            let mut tasks = JoinSet::new();
            let receivers = self.sides.clone().map(|side| match &self.recipes {
                Some(recipes) => side.scan_hashes(Arc::clone(recipes), &mut tasks),
                None => side.scan(&mut tasks),
            });
            Streams { receivers, open: [true; 2], tasks }
        });
        loop {
            let behind = self.matching.behind();
            let side = match streams.open {
                [false, false] => return Ok(None),
                [true, false] => Side::Owner,
                [false, true] => Side::Target,
                [true, true] => behind,
            };
            match streams.receivers[side as usize].recv().await {
                Some(rows) => return Ok(Some((side, rows?))),
                None => streams.open[side as usize] = false,
            }
        }
    }

    /// What waits for its partner waits on disk from now on.
    fn spill(&mut self) -> io::Result<()> {
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(Spilled::new()?),
        };
        self.on_disk += self.matching.len() as u64;
        self.matching.drain().try_for_each(|open| spilled.put(&open))
    }

    /// Both sides have been read: what waits has no partner.
    async fn end(&mut self, suspects: &mut Shelf<Name>) -> Result<(), SweepError> {
        if let Some(mut streams) = self.streams.take() {
            while let Some(task) = streams.tasks.join_next().await {
                // A task that died has not read everything.
                task?;
            }
        }
        self.is_done = true;
        if self.spilled.is_some() {
            self.spill()?;
        }
        let mut shelving = Shelving::new(suspects);
        self.matching.drain().for_each(|open| shelving.push(&open.name));
        if let Some(spilled) = self.spilled.take() {
            spilled.settle(&mut self.matching, |name| shelving.push(name))?;
        }
        Ok(shelving.disk?)
    }
}
