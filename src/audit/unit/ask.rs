//! Asks targets for keys, all at once: what one of them says does not wait for another.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::audit::clocks::Wants;
use crate::connect::{ClockReading, KeyedRead, ReadError, Reader};
use crate::model::{Key, Mapping};

/// Reads by key of one target under way at once; the system's budget may allow fewer.
const READS_AT_ONCE: usize = 2;
/// Answers that wait to be judged; targets wait when there are more.
const WAITING: usize = 4;
/// Measurements of which the one with the shortest round trip tells the clock.
const CLOCK_TRIES: usize = 3;
/// A clock in trouble is waited for so long.
const CLOCK_PATIENCE: Duration = Duration::from_secs(1);
/// How often a target that makes us wait is looked at for trouble.
const TICK: Duration = Duration::from_millis(100);

/// What one target is asked in one run.
pub(super) struct Question {
    /// Handed back with each answer.
    pub number: usize,
    pub reader: Arc<dyn Reader>,
    pub mapping: Arc<Mapping>,
    /// In portions of what is asked for at once.
    pub keys: Vec<Vec<Key>>,
    pub clock: Wants,
    /// How long a target that refuses, or does not answer, or did a moment ago, is waited for. One that only is slow is waited
    /// for until it is done.
    pub patience: Duration,
}

/// What a target said.
pub(super) enum Answer {
    /// Of its clock; each measurement is told.
    Clock(Result<ClockReading, ReadError>),
    /// Of the keys of one portion, in the order in which they were asked for.
    Keys(Result<KeyedRead, ReadError>),
    /// Nothing: it is not waited for any longer. Portions that it has not told of stay unread.
    GivenUp(ReadError),
}

/// Answers of several targets, as they come. What is still asked when this is dropped is given up.
pub(super) struct Answers {
    answers: mpsc::Receiver<(usize, Answer)>,
    _asking: Vec<AbortOnDropHandle<()>>,
}

impl Answers {
    /// Asks all questions.
    pub fn to(questions: Vec<Question>) -> Self {
        let (sender, answers) = mpsc::channel(WAITING);
        let ask = |question: Question| AbortOnDropHandle::new(tokio::spawn(question.ask(sender.clone())));
        Self { _asking: questions.into_iter().map(ask).collect(), answers }
    }

    /// The next answer and the number of its question; `None` when all have been given.
    pub async fn next(&mut self) -> Option<(usize, Answer)> {
        self.answers.recv().await
    }
}

/// The measurements that a clock wants. One in trouble is not asked: it would only be waited for.
pub(super) async fn clock(reader: &dyn Reader, wants: Wants) -> Vec<Result<ClockReading, ReadError>> {
    let tries = match wants {
        Wants::Nothing => return Vec::new(),
        Wants::Watching => 1,
        Wants::Measuring => CLOCK_TRIES,
    };
    if let Some(trouble) = reader.budget().trouble() {
        return vec![Err(trouble)];
    }
    let mut heard = Vec::with_capacity(tries);
    while heard.len() < tries && heard.last().is_none_or(Result::is_ok) {
        heard.push(patiently(reader, CLOCK_PATIENCE, reader.clock()).await);
    }
    heard
}

/// A read that is waited for no longer than `patience` while its system is in trouble, or was a moment ago.
pub(super) async fn patiently<T>(
    reader: &dyn Reader,
    patience: Duration,
    read: impl Future<Output = Result<T, ReadError>> + Send,
) -> Result<T, ReadError> {
    in_time(reader, Instant::now() + patience, read).await?
}

/// What is waited for until `deadline`, and longer as long as the system is not in trouble and was not a moment ago.
async fn in_time<T>(
    reader: &dyn Reader,
    deadline: Instant,
    awaited: impl Future<Output = T> + Send,
) -> Result<T, ReadError> {
    let mut awaited = pin!(awaited);
    loop {
        match tokio::time::timeout(TICK, &mut awaited).await {
            Ok(came) => return Ok(came),
            Err(_) if Instant::now() < deadline => {}
            Err(_) => {
                if let Some(trouble) = reader.budget().recent_trouble() {
                    return Err(trouble);
                }
            }
        }
    }
}

impl Question {
    async fn ask(mut self, answers: mpsc::Sender<(usize, Answer)>) {
        // Whoever does not listen any more has given up.
        for heard in clock(&*self.reader, self.clock).await {
            let _gone = answers.send((self.number, Answer::Clock(heard))).await;
        }
        let deadline = Instant::now() + self.patience;
        let read = |keys: Vec<Key>| {
            let (reader, mapping) = (Arc::clone(&self.reader), Arc::clone(&self.mapping));
            async move { reader.by_keys(&mapping, &keys).await }
        };
        let mut reads = stream::iter(std::mem::take(&mut self.keys)).map(read).buffered(READS_AT_ONCE);
        loop {
            let (answer, is_last) = match in_time(&*self.reader, deadline, reads.next()).await {
                Ok(Some(read)) => (Answer::Keys(read), false),
                Ok(None) => return,
                // Nothing may come after it: it would be taken for the answer to another portion.
                Err(trouble) => (Answer::GivenUp(trouble), true),
            };
            let _gone = answers.send((self.number, answer)).await;
            if is_last {
                return;
            }
        }
    }
}
