//! Carries sealed segments into ClickHouse, in order, until they are there.
//!
//! A segment's rows go table by table, as columns, one block an insert, each with a deduplication token made of the
//! segment's name, the table and the block's number. A token that may be older than the tables' deduplication windows,
//! because its segment is, is looked up by run id before it is used. What may have been sent before is looked up after
//! it, too: an engine that is killed at the wrong moment knows the token and not the rows. A segment is deleted when all
//! its blocks are acknowledged; a block that ClickHouse refuses for good goes to the dead letters and holds up nothing.
//! Segments are shipped one after the other; while one is taken in, the next is read.

mod block;
mod columns;
mod dead_letter;
mod native;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::block::LedgerRow;
use self::dead_letter::DeadLetters;
use super::rows::{
    CheckRow, CoverageRow, DiscrepancyRow, EstimateRow, FreshnessRow, IncidentRow, RunRow, RunRows, SampleRow,
    SchemaChangeRow, SloMinuteRow, SweepRow, TotalsRow,
};
use super::spool::{ReadySegment, SegmentId};
use super::{LedgerError, Spool, SpoolError, SpoolStatus};
use crate::causes::chain;
use crate::fault;
use crate::retry::{Backoff, Decision};

/// A segment older than this is looked up before it is shipped. A table remembers 20,000 blocks; all auditors together
/// would have to send it 22 a second to push a token out in this time.
const LOOK_UP_AFTER: Duration = Duration::from_secs(900);

/// How often a block that was acknowledged is sent again if its rows are absent. Rows past their table's TTL stay absent.
const SEND_AGAIN: u32 = 3;

/// What the shipper has done and how it fares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShipperStatus {
    /// How full the spool is.
    pub spool: SpoolStatus,
    /// Rows acknowledged by ClickHouse since the start.
    pub rows: u64,
    /// Rows found present by looking up, since the start.
    pub rows_present: u64,
    /// Tries that failed since the start.
    pub retries: u64,
    /// Blocks among the dead letters.
    pub dead_letters: usize,
    /// Why the last try failed; `None` since it succeeded.
    pub last_error: Option<String>,
}

/// Why a segment could not be shipped now. Data that is refused for good does not come here.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// ClickHouse.
    #[error("the ledger does not take what is spooled")]
    Ledger(#[source] LedgerError),
    /// The spool.
    #[error("the spool cannot be shipped")]
    Spool(#[source] SpoolError),
    /// The dead letters.
    #[error("a refused block could not be put away in `{dir}`")]
    DeadLetter {
        /// Their directory.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Ships one spool.
pub struct Shipper {
    spool: Spool,
    client: Client,
    dead_letters: DeadLetters,
    dead_letter_dir: PathBuf,
    status: watch::Sender<ShipperStatus>,
    look_up_after: Duration,
    /// Segments that were there at the start or were tried: the outcome of an earlier insert may be unknown.
    doubtful: HashSet<SegmentId>,
    is_replicated: bool,
}

impl Shipper {
    /// Ships `spool` to the database of `client`. Refused blocks are put into `dead_letters`.
    pub fn new(spool: Spool, client: Client, dead_letters: impl Into<PathBuf>) -> Self {
        let dir = dead_letters.into();
        let (status, _) = watch::channel(ShipperStatus::default());
        Self {
            doubtful: spool.segment_ids(),
            spool,
            client,
            dead_letters: DeadLetters::new(dir.clone()),
            dead_letter_dir: dir,
            status,
            look_up_after: LOOK_UP_AFTER,
            is_replicated: false,
        }
    }

    /// The tables are those of a cluster: they note a token and its rows in one step, so an acknowledgement is enough.
    #[must_use]
    pub fn replicated(mut self, is_replicated: bool) -> Self {
        self.is_replicated = is_replicated;
        self
    }

    /// Looks segments up that are older than `age`; 15 minutes unless told otherwise.
    #[must_use]
    pub fn look_up_after(mut self, age: Duration) -> Self {
        self.look_up_after = age;
        self
    }

    /// How it fares, for metrics and readiness. [`ShipperStatus::spool`] is as of the shipper's last step.
    pub fn status(&self) -> watch::Receiver<ShipperStatus> {
        self.status.subscribe()
    }

    /// Ships what becomes ready until `stop`. Failures are tried again for as long as it takes.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let spool = self.spool.clone();
        while !stop.is_cancelled() {
            let changed = spool.changed();
            let rows = self.status.borrow().rows;
            let outcome = tokio::select! {
                () = stop.cancelled() => break,
                outcome = self.ship_ready() => outcome,
            };
            // Whatever was taken shows that ClickHouse was there, also when it has gone since.
            if self.status.borrow().rows > rows {
                backoff.reset();
            }
            let wait = match outcome {
                Ok(0) => None,
                Ok(_) => {
                    backoff.reset();
                    continue;
                }
                Err(error) => {
                    let wait = backoff.next_wait();
                    tracing::warn!(wait_ms = wait.as_millis() as u64, "{}; trying again", chain(&error));
                    Some(wait)
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait.unwrap_or(Duration::from_secs(1))) => {}
                () = changed, if wait.is_none() => {}
            }
        }
    }

    /// Ships the segments that are ready now and says how many they were.
    ///
    /// # Errors
    /// At the first segment that cannot be shipped now; call again.
    pub async fn ship_ready(&mut self) -> Result<usize, ShipError> {
        let outcome = self.ship_all().await;
        self.status.send_modify(|status| {
            status.spool = self.spool.status();
            status.dead_letters = self.dead_letters.count();
            status.last_error = outcome.as_ref().err().map(|error| chain(error));
            status.retries += u64::from(outcome.is_err());
        });
        outcome
    }

    /// Seals what is open and ships everything: the last step of an orderly shutdown.
    ///
    /// # Errors
    /// As [`Shipper::ship_ready`]; what is left is shipped after the next start.
    pub async fn drain(&mut self) -> Result<usize, ShipError> {
        self.spool.seal().await;
        self.ship_ready().await
    }

    /// While ClickHouse takes one segment in, the next is read.
    async fn ship_all(&mut self) -> Result<usize, ShipError> {
        let mut shipped = 0;
        let mut ahead = None;
        while let Some(segment) = self.spool.ready() {
            let runs = match ahead.take() {
                Some((id, runs)) if id == segment.id => runs,
                _ => self.spool.read(&segment).await.map_err(ShipError::Spool)?,
            };
            let was_tried = !self.doubtful.insert(segment.id);
            let is_old = segment.age() >= self.look_up_after;
            let trust = Trust { is_old, is_doubtful: was_tried && !self.is_replicated };
            let (outcome, next) = tokio::join!(self.ship(&segment, runs, trust), self.read_after(&segment));
            outcome?;
            self.doubtful.remove(&segment.id);
            ahead = next;
            shipped += 1;
        }
        Ok(shipped)
    }

    /// The segment after `segment`, if it is ready. One that cannot be read is met again when its turn comes.
    async fn read_after(&self, segment: &ReadySegment) -> Option<(SegmentId, Vec<RunRows>)> {
        let next = self.spool.ready_after(segment.id)?;
        Some((next.id, self.spool.read(&next).await.ok()?))
    }

    async fn ship(&self, segment: &ReadySegment, mut runs: Vec<RunRows>, trust: Trust) -> Result<(), ShipError> {
        fault::point("ship.began");
        let checks = take::<CheckRow>(&mut runs);
        let freshness = take::<FreshnessRow>(&mut runs);
        let probe_runs = take::<RunRow>(&mut runs);
        let coverage = take::<CoverageRow>(&mut runs);
        let discrepancies = take::<DiscrepancyRow>(&mut runs);
        let estimates = take::<EstimateRow>(&mut runs);
        let schema_changes = take::<SchemaChangeRow>(&mut runs);
        let samples = take::<SampleRow>(&mut runs);
        let slo_minutes = take::<SloMinuteRow>(&mut runs);
        let incident_events = take::<IncidentRow>(&mut runs);
        let sweeps = take::<SweepRow>(&mut runs);
        let totals = take::<TotalsRow>(&mut runs);
        // The tables side by side: an insert mostly waits for the disk.
        tokio::try_join!(
            self.ship_table(segment, checks, trust),
            self.ship_table(segment, freshness, trust),
            self.ship_table(segment, probe_runs, trust),
            self.ship_table(segment, coverage, trust),
            self.ship_table(segment, discrepancies, trust),
            self.ship_table(segment, estimates, trust),
            self.ship_table(segment, schema_changes, trust),
            self.ship_table(segment, samples, trust),
            self.ship_table(segment, slo_minutes, trust),
            self.ship_table(segment, incident_events, trust),
            self.ship_table(segment, sweeps, trust),
            self.ship_table(segment, totals, trust),
        )?;
        fault::point("ship.acknowledged");
        self.spool.remove(segment).await.map_err(ShipError::Spool)?;
        fault::point("ship.forgotten");
        Ok(())
    }

    async fn ship_table<T: LedgerRow>(
        &self,
        segment: &ReadySegment,
        runs: Vec<Vec<T>>,
        trust: Trust,
    ) -> Result<(), ShipError> {
        let blocks = block::cut(runs, block::ROWS);
        let named = blocks.into_iter().enumerate();
        let named = named.map(|(number, rows)| (format!("{}/{}/{number}", segment.id, T::TABLE), Arc::new(rows)));
        let (tokens, blocks): (Vec<String>, Vec<Arc<Vec<T>>>) =
            named.filter(|(token, _)| !self.dead_letters.holds(token)).unzip();
        let mut present = block::PresentRows::new();
        if trust.is_old && !blocks.is_empty() {
            present = block::look_up(&self.client, &blocks).await.map_err(ShipError::Ledger)?;
        }
        for (number, (token, rows)) in tokens.iter().zip(&blocks).enumerate() {
            let absent = block::absent(rows, &mut present);
            self.status.send_modify(|status| status.rows_present += (rows.len() - absent.len()) as u64);
            let taken = match absent.len() {
                0 => true,
                all if all == rows.len() => self.ship_block(token, Arc::clone(rows)).await?,
                _ => self.ship_block(token, Arc::new(absent)).await?,
            };
            if taken && trust.is_doubtful {
                self.make_sure(token, &blocks[..=number]).await?;
            }
        }
        Ok(())
    }

    /// Sends again what is absent of the last block, although its token was acknowledged.
    ///
    /// A `MergeTree` notes a token before it puts the rows in their place (`MergeTreeSink`, ClickHouse 26.5). An engine
    /// that is killed in between takes the next insert with that token for a repetition, and the rows are nowhere.
    /// Where this happens, the minute rollups may count the block twice: they had their own tokens and places.
    async fn make_sure<T: LedgerRow>(&self, token: &str, blocks: &[Arc<Vec<T>>]) -> Result<(), ShipError> {
        for again in 1..=SEND_AGAIN {
            let mut present = block::look_up(&self.client, blocks).await.map_err(ShipError::Ledger)?;
            let absent = blocks.iter().map(|rows| block::absent(rows, &mut present)).next_back().unwrap_or_default();
            if absent.is_empty() {
                break;
            }
            let (count, table) = (absent.len(), T::TABLE);
            tracing::warn!("{count} rows of `{table}` were acknowledged and are absent; sending them again");
            if !self.ship_block(&format!("{token}/{again}"), Arc::new(absent)).await? {
                break;
            }
        }
        Ok(())
    }

    /// Says whether ClickHouse took the block; one that it refuses for good is put away.
    async fn ship_block<T: LedgerRow>(&self, token: &str, rows: Arc<Vec<T>>) -> Result<bool, ShipError> {
        let Err(error) = block::insert(&self.client, token, &rows).await else {
            fault::point("ship.inserted");
            self.status.send_modify(|status| status.rows += rows.len() as u64);
            return Ok(true);
        };
        match error.decision() {
            Decision::Retry => Err(ShipError::Ledger(error)),
            Decision::Fail => {
                let put = self.dead_letters.put(token, &rows, &error);
                let path = put.map_err(|source| ShipError::DeadLetter { dir: self.dead_letter_dir.clone(), source })?;
                let count = rows.len();
                tracing::error!("{}; {count} rows are kept in `{}`", chain(&error), path.display());
                Ok(false)
            }
        }
    }
}

/// How far a segment's tokens and their acknowledgements can be trusted.
#[derive(Clone, Copy)]
struct Trust {
    /// The tables may have forgotten its tokens.
    is_old: bool,
    /// It may have been sent before.
    is_doubtful: bool,
}

/// The rows of one table, run by run.
fn take<T: LedgerRow>(runs: &mut [RunRows]) -> Vec<Vec<T>> {
    runs.iter_mut().map(T::take).collect()
}
