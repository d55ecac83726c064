//! What a system allows us: requests a second, concurrency, rows a run. Everything that reads shares it.
//!
//! A reader waits for its turn rather than fail; only a wait longer than [`MAX_WAIT`] is an error, so that a
//! budget that is far too small is seen and not just slow.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::ReadError;
use crate::config::BudgetConfig;
use crate::model::SystemId;

mod points;
mod trouble;

pub use points::Told;
use trouble::Trouble;

/// The longest time that a read waits for its turn.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

/// The shared budget of one system.
#[derive(Debug)]
pub struct Budget {
    system: SystemId,
    limits: BudgetConfig,
    slots: Semaphore,
    /// When the next request may begin, if requests are evenly spread. It may lag behind the present by at most
    /// one second: that is the burst.
    next_turn: Mutex<Option<Instant>>,
    pace: Mutex<Pace>,
    points: Mutex<Option<points::Bucket>>,
    trouble: Mutex<Option<Trouble>>,
    requests: AtomicU64,
    rows: AtomicU64,
    throttled: AtomicU64,
    waited_micros: AtomicU64,
    retries: AtomicU64,
}

/// A pause that a system asks for is kept for at most this long; then it is asked again.
const LONGEST_HOLD: Duration = Duration::from_secs(3600);
/// However often a system says "too fast", it is asked at least at this share of the configured rate.
const SMALLEST_SHARE: f64 = 1.0 / 64.0;
/// What an answer adds to the share, as a part of the share that was too much: 20 answers bring it near that one.
const FAST_STEP: f64 = 0.02;
/// What an answer adds from there on: a limit that nobody tells is met again once in a hundred answers or so, and one that
/// is gone is outgrown.
const SLOW_STEP: f64 = 0.002;
/// Where it becomes slow.
const NEAR: f64 = 0.9;
/// When nothing was refused for so long, twice as much is tried quickly: a limit that is gone must be outgrown in time,
/// however slow the answers came meanwhile.
const FORGIVEN_AFTER: Duration = Duration::from_secs(3);
/// Refusals within this time are of requests that were on their way together.
const TOGETHER: Duration = Duration::from_secs(1);

/// How much of the configured rate a system bears at present: halved when it says "too fast", raised a little with
/// every answer.
#[derive(Clone, Copy, Debug)]
struct Pace {
    share: f64,
    /// The share that was too much the last time, or what has been borne since if that is more.
    ceiling: f64,
    refused_at: Option<Instant>,
    /// When the ceiling was last refused or raised for lack of refusals.
    ceiling_since: Option<Instant>,
    held_until: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { share: 1.0, ceiling: 1.0, refused_at: None, ceiling_since: None, held_until: None }
    }
}

impl Pace {
    fn slow_down(&mut self, now: Instant) {
        if self.refused_at.is_none_or(|refused| now.saturating_duration_since(refused) >= TOGETHER) {
            (self.ceiling, self.refused_at) = (self.share, Some(now));
        }
        self.ceiling_since = Some(now);
        self.share = (self.share / 2.0).max(SMALLEST_SHARE);
    }

    fn speed_up(&mut self, now: Instant) {
        if self.ceiling_since.is_some_and(|since| now.saturating_duration_since(since) >= FORGIVEN_AFTER) {
            self.ceiling = (self.ceiling * 2.0).min(1.0);
            self.ceiling_since = (self.ceiling < 1.0).then_some(now);
        }
        let step = if self.share < NEAR * self.ceiling { FAST_STEP } else { SLOW_STEP };
        self.share = (self.share + step * self.ceiling).min(1.0);
        self.ceiling = self.ceiling.max(self.share);
    }

    fn held_for(&self, now: Instant) -> Duration {
        self.held_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

/// What has been used since the start, for metrics. All figures only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Statements or requests sent.
    pub requests: u64,
    /// Rows or records read.
    pub rows: u64,
    /// Times that a read had to wait for its turn.
    pub throttled: u64,
    /// How long reads waited for their turn, all together.
    pub waited: Duration,
    /// Requests sent again after a lost connection.
    pub retries: u64,
}

impl Usage {
    /// What has been used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            rows: self.rows.saturating_sub(earlier.rows),
            throttled: self.throttled.saturating_sub(earlier.throttled),
            waited: self.waited.saturating_sub(earlier.waited),
            retries: self.retries.saturating_sub(earlier.retries),
        }
    }
}

/// The right to send one request; given back when dropped.
#[derive(Debug)]
pub struct Permit<'a>(#[expect(dead_code, reason = "held for its drop")] SemaphorePermit<'a>);

/// A turn that somebody waits for.
struct Reserved<'a> {
    budget: &'a Budget,
    /// What is given back if nobody waits any more; nothing once it has come.
    gap: Duration,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.gap.is_zero() {
            self.budget.give_back(self.gap);
        }
    }
}

impl Budget {
    /// A fresh budget for `system`.
    pub fn new(system: SystemId, limits: BudgetConfig) -> Self {
        Self {
            system,
            limits,
            slots: Semaphore::new(limits.concurrency.max(1)),
            next_turn: Mutex::new(None),
            pace: Mutex::new(Pace::default()),
            points: Mutex::new(None),
            trouble: Mutex::new(None),
            requests: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            waited_micros: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }

    /// The limits in force.
    pub const fn limits(&self) -> &BudgetConfig {
        &self.limits
    }

    /// Waits for a free slot and for the turn of one request.
    ///
    /// # Errors
    /// [`ReadError::Budget`] when that would take longer than [`MAX_WAIT`].
    pub async fn admit(&self) -> Result<Permit<'_>, ReadError> {
        let slot = match self.slots.try_acquire() {
            Ok(slot) => slot,
            Err(_) => {
                let began = Instant::now();
                let waited = tokio::time::timeout(MAX_WAIT, self.slots.acquire()).await;
                self.add_wait(began.elapsed());
                let Ok(Ok(slot)) = waited else {
                    return Err(
                        self.refused(format!("no free slot of {} within {MAX_WAIT:?}", self.limits.concurrency))
                    );
                };
                slot
            }
        };
        self.turn().await?;
        Ok(Permit(slot))
    }

    /// Waits for the turn of one more request in a slot that is held already.
    ///
    /// # Errors
    /// [`ReadError::Budget`] when that would take longer than [`MAX_WAIT`].
    pub async fn turn(&self) -> Result<(), ReadError> {
        let (wait, gap) = self.reserve(Instant::now())?;
        if !wait.is_zero() {
            let mut turn = Reserved { budget: self, gap };
            tokio::time::sleep(wait).await;
            turn.gap = Duration::ZERO;
            self.add_wait(wait);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Reserves the next turn; says how long it is away, and how long it keeps the one after it.
    fn reserve(&self, now: Instant) -> Result<(Duration, Duration), ReadError> {
        let pace = *self.pace.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let held = pace.held_for(now);
        if held > MAX_WAIT {
            return Err(self.refused(format!("it asked us to wait for another {} s", held.as_secs() + 1)));
        }
        let rate = self.limits.requests_per_second * pace.share;
        if !rate.is_finite() || rate <= 0.0 {
            return Ok((held, Duration::ZERO));
        }
        let gap = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(MAX_WAIT);
        let burst = Duration::from_secs(1).max(gap).checked_sub(gap).unwrap_or_default();
        let mut next_turn = self.next_turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // After a pause there is no burst: the system has just told us that it is too much.
        let earliest = if held.is_zero() { now.checked_sub(burst).unwrap_or(now) } else { now + held };
        let turn = next_turn.map_or(earliest, |turn| turn.max(earliest));
        let wait = turn.saturating_duration_since(now);
        if wait > MAX_WAIT {
            return Err(
                self.refused(format!("more than {MAX_WAIT:?} of reads wait for `requests_per_second = {rate}`"))
            );
        }
        *next_turn = Some(turn + gap);
        Ok((wait, gap))
    }

    /// Somebody who waited for a turn has given up: those who come now need not wait for it.
    fn give_back(&self, gap: Duration) {
        let mut next_turn = self.next_turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *next_turn = next_turn.and_then(|turn| turn.checked_sub(gap));
    }

    /// The system asked us to stay away for this long. Everything that reads it waits, or fails if that is longer
    /// than [`MAX_WAIT`].
    pub fn hold_for(&self, wait: Duration) {
        let until = Instant::now() + wait.min(LONGEST_HOLD);
        let mut pace = self.pace.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pace.held_until = Some(pace.held_until.map_or(until, |known| known.max(until)));
    }

    /// The system told what an answer cost in points. We use `share` of them, from 0 to 1; everything that reads the
    /// system waits until that allows another request.
    pub fn spend(&self, told: Told, share: f64) {
        let now = Instant::now();
        let mut points = self.points.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let wait = points.get_or_insert(points::Bucket::new(now)).spend(now, told, share);
        drop(points);
        if !wait.is_zero() {
            self.hold_for(wait);
        }
    }

    /// What the last answer of a system that counts in points said about them.
    pub fn told(&self) -> Option<Told> {
        self.points.lock().unwrap_or_else(std::sync::PoisonError::into_inner).and_then(|bucket| bucket.told)
    }

    /// The system found us too fast: half the rate from now on.
    pub fn slow_down(&self) {
        let mut pace = self.pace.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pace.slow_down(Instant::now());
    }

    /// The system answered: a little faster again, up to the configured rate.
    pub fn speed_up(&self) {
        let mut pace = self.pace.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pace.speed_up(Instant::now());
    }

    /// What a request came to: its error, if it failed. A success ends what [`Self::trouble`] tells.
    pub fn note(&self, failure: Option<&ReadError>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *trouble = Trouble::after(*trouble, failure, Instant::now());
    }

    /// Why the system is not read at present: its last answer was a refusal, or there was none. `None` when it answers, or
    /// when nobody has asked it for a while. Who has something else to do need not wait for it.
    pub fn trouble(&self) -> Option<ReadError> {
        self.trouble_if(Trouble::lasts)
    }

    /// As [`Self::trouble`], also when the system has just begun to answer again and is asked slowly for a while.
    pub fn recent_trouble(&self) -> Option<ReadError> {
        self.trouble_if(Trouble::is_recent)
    }

    fn trouble_if(&self, counts: impl Fn(Trouble, Instant) -> bool) -> Option<ReadError> {
        let trouble = *self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        trouble.filter(|trouble| counts(*trouble, now)).map(|trouble| trouble.error(self.system.clone()))
    }

    /// The share of the configured rate that is used at present.
    pub fn share(&self) -> f64 {
        self.pace.lock().unwrap_or_else(std::sync::PoisonError::into_inner).share
    }

    fn refused(&self, limit: String) -> ReadError {
        ReadError::Budget { system: self.system.clone(), limit }
    }

    fn add_wait(&self, waited: Duration) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.waited_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts rows that were read.
    pub fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Counts a request that is sent again.
    pub fn add_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// What has been used so far.
    pub fn usage(&self) -> Usage {
        Usage {
            requests: self.requests.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
            waited: Duration::from_micros(self.waited_micros.load(Ordering::Relaxed)),
            retries: self.retries.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(requests_per_second: f64, concurrency: usize) -> Budget {
        let limits = BudgetConfig { requests_per_second, concurrency, rows_per_run: 1000 };
        Budget::new("erp".parse().unwrap(), limits)
    }

    #[test]
    fn turns_are_spread_after_the_burst() {
        let budget = budget(10.0, 1);
        let now = Instant::now();
        let waits: Vec<_> = (0..12).map(|_| budget.reserve(now).unwrap().0.as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200]);
        let later = now + Duration::from_secs(5);
        assert_eq!(budget.reserve(later).unwrap().0, Duration::ZERO, "an idle budget is full again, not fuller");
    }

    #[test]
    fn a_slow_budget_spaces_every_request() {
        let budget = budget(0.5, 1);
        let now = Instant::now();
        let waits: Vec<_> = (0..3).map(|_| budget.reserve(now).unwrap().0.as_secs()).collect();
        assert_eq!(waits, [0, 2, 4]);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_the_turn_to_others() {
        let budget = budget(1.0, 100);
        let (first, _) = budget.reserve(Instant::now()).unwrap();
        assert_eq!(first, Duration::ZERO);
        for _ in 0..50 {
            // Polled once, then given up.
            let waits = futures_util::FutureExt::now_or_never(budget.turn());
            assert!(waits.is_none(), "the next turn is a second away");
        }
        let (wait, _) = budget.reserve(Instant::now()).unwrap();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn too_long_a_queue_is_an_error() {
        let budget = budget(0.5, 1);
        let now = Instant::now();
        let refused = (0..100).find_map(|_| budget.reserve(now).err());
        assert_eq!(refused.unwrap().reason_code(), "budget");
    }

    /// Requests that fifty probes send within `seconds`, each asking again 20 ms after its turn.
    fn sent_by_fifty(budget: &Budget, seconds: u64) -> f64 {
        let began = Instant::now();
        let end = began + Duration::from_secs(seconds);
        let mut asking: std::collections::BinaryHeap<_> = (0..50).map(|_| std::cmp::Reverse(began)).collect();
        let mut sent = 0.0;
        while let Some(std::cmp::Reverse(now)) = asking.pop().filter(|asking| asking.0 < end) {
            let turn = now + budget.reserve(now).unwrap().0;
            sent += f64::from(u8::from(turn < end));
            asking.push(std::cmp::Reverse(turn + Duration::from_millis(20)));
        }
        sent
    }

    #[test]
    fn fifty_probes_keep_the_budget_within_two_percent() {
        for rate in [1.0, 7.5, 50.0, 400.0] {
            let sent = sent_by_fifty(&budget(rate, 50), 200);
            let share = sent / (rate * 200.0);
            assert!((0.98..=1.02).contains(&share), "{rate}: {share}");
        }
    }

    #[test]
    fn too_fast_halves_the_rate_and_answers_restore_it() {
        let budget = budget(100.0, 50);
        budget.slow_down();
        let sent = sent_by_fifty(&budget, 200);
        assert!((0.98..=1.02).contains(&(sent / 10_000.0)), "{sent}");
        (0..20).for_each(|_| budget.speed_up());
        assert!((budget.share() - 0.9).abs() < 1e-9, "{}", budget.share());
        (0..49).for_each(|_| budget.speed_up());
        assert!(budget.share() < 1.0);
        (0..10).for_each(|_| budget.speed_up());
        assert!((budget.share() - 1.0).abs() < f64::EPSILON, "never faster than configured");
        (0..100).for_each(|_| budget.slow_down());
        assert!(budget.share() > 0.01, "never quite stopped");
    }

    #[test]
    fn a_hidden_limit_is_met_once_in_a_hundred_answers_and_outgrown_when_it_is_gone() {
        let (mut pace, mut now, mut answers) = (Pace::default(), Instant::now(), Vec::new());
        // A system that bears a tenth of the rate.
        for _ in 0..20 {
            let mut answered = 0;
            while pace.share <= 0.1 {
                pace.speed_up(now);
                answered += 1;
            }
            answers.push(answered);
            now += Duration::from_secs(2);
            // Two that were on their way together.
            pace.slow_down(now);
            pace.slow_down(now);
        }
        assert!(answers[10..].iter().all(|answers| (60..200).contains(answers)), "{answers:?}");
        let mut outgrown = 0;
        while pace.share < 1.0 {
            pace.speed_up(now);
            outgrown += 1;
        }
        assert!(outgrown < 2_000, "{outgrown}");
    }

    #[test]
    fn a_limit_that_is_gone_is_outgrown_in_time_however_few_answers_came() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        // Refused for five seconds, every second.
        for _ in 0..5 {
            now += Duration::from_secs(1);
            pace.slow_down(now);
        }
        assert!(pace.share < 0.05, "{}", pace.share);
        let refused = now;
        // From then on all that the share of a hundred requests a second allows is answered.
        while pace.share < 0.9 {
            now += Duration::from_secs_f64(1.0 / (100.0 * pace.share));
            pace.speed_up(now);
        }
        let took = now.saturating_duration_since(refused);
        assert!(took < Duration::from_secs(30), "{took:?}");
    }

    #[test]
    fn a_pause_is_kept_by_everyone_and_bounded() {
        let budget = budget(100.0, 50);
        budget.hold_for(Duration::from_secs(30));
        let waits: Vec<_> = (0..3).map(|_| budget.reserve(Instant::now()).unwrap().0.as_secs()).collect();
        assert!(waits.iter().all(|wait| (29..=30).contains(wait)), "{waits:?}");
        budget.hold_for(Duration::from_secs(u64::MAX));
        assert_eq!(budget.reserve(Instant::now()).unwrap_err().reason_code(), "budget");
        assert!(budget.reserve(Instant::now() + LONGEST_HOLD).is_ok());
    }

    #[tokio::test]
    async fn slots_are_given_back() {
        let budget = budget(1e6, 2);
        let first = budget.admit().await.unwrap();
        let _second = budget.admit().await.unwrap();
        assert_eq!(budget.slots.available_permits(), 0);
        drop(first);
        assert_eq!(budget.slots.available_permits(), 1);
        assert_eq!(budget.usage().requests, 2);
    }
}
