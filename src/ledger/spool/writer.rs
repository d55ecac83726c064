//! The two tasks behind a spool: one appends and fsyncs, one applies to the state database. Each does its jobs in
//! order, so that runs are applied in the order in which they lie on disk.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, WeakSender};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::segment::{OpenSegment, SegmentId};
use super::{Began, Fate, Job, Room, SegmentEntry, Shared, SpoolError, frame};
use crate::fault;
use crate::retry::{Backoff, Decision};
use crate::state::change::StateChange;
use crate::state::{Applied, StateError};

/// A run that is on disk and not yet in the state database.
pub(super) struct Undecided {
    segment: SegmentId,
    change: Box<StateChange>,
    reply: oneshot::Sender<Result<Applied, SpoolError>>,
}

/// Appends what arrives until nobody can send any more.
pub(super) async fn write(
    shared: Arc<Shared>,
    mut inbox: Receiver<Job>,
    undecided: UnboundedSender<Undecided>,
    next_number: u64,
) {
    let mut writer = Writer { shared, undecided, next_number, open: None, opened: Instant::now() };
    loop {
        let seal_at = tokio::time::Instant::from_std(writer.opened + writer.shared.options.segment_age);
        tokio::select! {
            job = inbox.recv() => match job {
                Some(job) => writer.run(gather(job, &mut inbox, writer.shared.options.segment_bytes)).await,
                None => break,
            },
            () = tokio::time::sleep_until(seal_at), if writer.open.is_some() => writer.seal_by_age().await,
        }
    }
    writer.seal().await;
}

/// Jobs that share an fsync.
#[derive(Default)]
struct Group {
    frames: Vec<Vec<u8>>,
    acks: Vec<Ack>,
    seals: Vec<oneshot::Sender<()>>,
}

/// Who waits for a frame of the group; in the frames' order.
enum Ack {
    Commit { change: Box<StateChange>, room: Room, reply: oneshot::Sender<Result<Applied, SpoolError>> },
    Discard { reply: oneshot::Sender<Result<(), SpoolError>> },
}

impl Group {
    fn add(&mut self, job: Job) {
        match job {
            Job::Commit { frame, change, room, reply } => {
                self.frames.push(frame);
                self.acks.push(Ack::Commit { change, room, reply });
            }
            Job::Discard { run_id, reply } => {
                self.frames.push(frame::encode_discard(run_id));
                self.acks.push(Ack::Discard { reply });
            }
            Job::Seal { reply } => self.seals.push(reply),
        }
    }

    fn bytes(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }
}

fn gather(first: Job, inbox: &mut Receiver<Job>, limit: u64) -> Group {
    let mut group = Group::default();
    group.add(first);
    while group.seals.is_empty() && group.bytes() < limit {
        let Ok(job) = inbox.try_recv() else { break };
        group.add(job);
    }
    group
}

struct Writer {
    shared: Arc<Shared>,
    undecided: UnboundedSender<Undecided>,
    next_number: u64,
    open: Option<OpenSegment>,
    opened: Instant,
}

impl Writer {
    async fn run(&mut self, group: Group) {
        let Group { frames, acks, seals } = group;
        let sizes: Vec<u64> = frames.iter().map(|frame| frame.len() as u64).collect();
        match self.append(frames).await {
            Ok(segment) => self.acknowledge(segment, acks, &sizes),
            Err(error) => acks.into_iter().for_each(|ack| self.refuse(ack, &error)),
        }
        let full = self.open.as_ref().is_some_and(|open| open.durable() >= self.shared.options.segment_bytes);
        if full || !seals.is_empty() {
            self.seal().await;
        }
        for seal in seals {
            // Whoever asked may have gone.
            seal.send(()).ok();
        }
    }

    async fn append(&mut self, frames: Vec<Vec<u8>>) -> io::Result<Option<SegmentId>> {
        if frames.is_empty() {
            return Ok(None);
        }
        let fresh = self.open.is_none().then(|| SegmentId::new(self.next_number));
        let open = self.open.take();
        // The directory's lock lives as long as the work, even when this task is gone.
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let mut open = match (open, fresh) {
                (Some(open), _) => open,
                (None, Some(id)) => match OpenSegment::create(&shared.dir, id) {
                    Ok(open) => open,
                    Err(error) => return (None, Err(error)),
                },
                (None, None) => return (None, Err(io::Error::other("no segment"))),
            };
            let appended = open.append(&frames);
            (Some(open), appended)
        };
        let (open, appended) =
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| (None, Err(io::Error::other(error))));
        self.open = open;
        if let (Some(open), Some(id)) = (&self.open, fresh) {
            debug_assert_eq!(open.id, id);
            self.next_number += 1;
            self.opened = Instant::now();
            self.shared.registry().segments.push_back(SegmentEntry {
                id,
                began: Began::Here(self.opened),
                sealed: false,
                bytes: 0,
                runs: Vec::new(),
            });
        }
        appended.map(|()| self.open.as_ref().map(|open| open.id))
    }

    fn acknowledge(&self, segment: Option<SegmentId>, acks: Vec<Ack>, sizes: &[u64]) {
        let Some(segment) = segment else { return };
        for (ack, bytes) in acks.into_iter().zip(sizes) {
            match ack {
                Ack::Commit { change, room, reply } => {
                    self.shared.add(segment, Some(change.run_id), *bytes);
                    room.used();
                    // The applier lives as long as the spool; without it the run is decided at the next start.
                    drop(self.undecided.send(Undecided { segment, change, reply }));
                }
                Ack::Discard { reply } => {
                    self.shared.add(segment, None, *bytes);
                    self.shared.registry().bytes += bytes;
                    drop(reply.send(Ok(())));
                }
            }
        }
    }

    fn refuse(&self, ack: Ack, error: &io::Error) {
        // An `io::Error` cannot be cloned; its kind and text are what callers choose and print by.
        let copy = || io::Error::new(error.kind(), error.to_string());
        let error = SpoolError::file("write a run", &self.shared.dir)(copy());
        match ack {
            Ack::Commit { reply, room, .. } => {
                drop(room);
                drop(reply.send(Err(error)));
            }
            Ack::Discard { reply } => drop(reply.send(Err(error))),
        }
    }

    /// While others wait to be shipped, a larger segment serves the shipper better than one more.
    async fn seal_by_age(&mut self) {
        let waiting = self.shared.registry().segments.iter().filter(|segment| segment.sealed).count();
        if waiting < 2 {
            self.seal().await;
        } else {
            self.opened = Instant::now();
        }
    }

    /// Closes the segment to writing. One that still holds a failed append stays open until that is cut off.
    async fn seal(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let mended = tokio::task::spawn_blocking(move || {
            let whole = open.mend();
            (open, whole)
        });
        let Ok((open, whole)) = mended.await else { return };
        if whole {
            self.shared.seal(open.id);
            fault::point("spool.sealed");
        } else {
            self.open = Some(open);
            self.opened = Instant::now();
        }
    }
}

impl Shared {
    fn add(&self, id: SegmentId, run_id: Option<Uuid>, bytes: u64) {
        let mut registry = self.registry();
        if let Some(segment) = registry.segments.iter_mut().find(|segment| segment.id == id) {
            segment.bytes += bytes;
            segment.runs.extend(run_id.map(|run_id| (run_id, Fate::Undecided)));
        }
    }

    fn seal(&self, id: SegmentId) {
        let mut registry = self.registry();
        if let Some(segment) = registry.segments.iter_mut().find(|segment| segment.id == id) {
            segment.sealed = true;
        }
        drop(registry);
        self.changed.notify_waiters();
    }
}

/// Applies runs in order until there can be no more.
pub(super) async fn apply(shared: Arc<Shared>, mut inbox: UnboundedReceiver<Undecided>, jobs: WeakSender<Job>) {
    while let Some(Undecided { segment, change, reply }) = inbox.recv().await {
        let answer = match apply_until_decided(&shared, &change).await {
            Ok(applied) => {
                shared.decide(segment, change.run_id, Fate::from(applied));
                fault::point("spool.applied");
                Ok(applied)
            }
            Err(error) => {
                if !discard_until_durable(&jobs, change.run_id).await {
                    return;
                }
                shared.decide(segment, change.run_id, Fate::Drop);
                Err(SpoolError::State(error))
            }
        };
        // Whoever committed may have gone; the run happened all the same.
        drop(reply.send(answer));
    }
}

fn patience() -> Backoff {
    Backoff::new(Duration::from_millis(50), Duration::from_secs(5))
}

/// The run is durable: it must be decided, however long the state database is away.
async fn apply_until_decided(shared: &Shared, change: &StateChange) -> Result<Applied, StateError> {
    let mut backoff = patience();
    loop {
        let error = match shared.state.apply_from(&shared.id, change).await {
            Ok(applied) => return Ok(applied),
            Err(error) => error,
        };
        match error.decision() {
            Decision::Fail => return Err(error),
            Decision::Retry => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(run = %change.run_id, "{error}: {cause}; trying again");
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }
}

/// `false` when the spool is closing; the run is decided at the next start then.
async fn discard_until_durable(jobs: &WeakSender<Job>, run_id: Uuid) -> bool {
    let mut backoff = patience();
    loop {
        let Some(jobs) = jobs.upgrade() else { return false };
        let (reply, answer) = oneshot::channel();
        if jobs.send(Job::Discard { run_id, reply }).await.is_err() {
            return false;
        }
        drop(jobs);
        match answer.await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::error!(run = %run_id, "could not take back a refused run: {error}"),
            Err(_) => return false,
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}
