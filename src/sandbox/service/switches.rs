//! How a service is made to misbehave, and what it has been asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::model::Moment;

/// Switches of one service. All may be turned at any time; what is in-process (`Book for Store`, shoppers' acts) is
/// not touched by them, only what comes over HTTP.
pub struct Switches {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    calls: AtomicU64,
    refused: AtomicU64,
    rows: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    outage: Option<Moment>,
    throttle: Option<Throttle>,
    offset: i64,
    drifts: bool,
}

#[derive(Debug)]
struct Throttle {
    per_second: u32,
    until: Moment,
    second: Moment,
    seen: u32,
}

/// What a service has been asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests over HTTP, refused ones with them.
    pub calls: u64,
    /// Requests that met an outage or a throttle.
    pub refused: u64,
    /// Records in answers.
    pub rows: u64,
}

/// Whether a request may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Down for so much longer.
    Outage(Duration),
    /// Too fast; so long until the next second.
    Throttled(Duration),
}

impl Switches {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let (state, calls, refused, rows) = Default::default();
        Self { clock, state, calls, refused, rows }
    }

    /// Every request is answered with "down for maintenance" until then. A moment that is past ends an outage.
    pub fn outage(&self, until: Moment) {
        self.state().outage = Some(until);
    }

    /// More than `per_second` requests in a second, whoever sends them, are answered with 429 until then.
    pub fn throttle(&self, per_second: u32, until: Moment) {
        self.state().throttle = Some(Throttle { per_second, until, second: Moment::MIN, seen: 0 });
    }

    /// Stamps and the `Date` header are so many microseconds ahead of the true time. The write log stays true.
    pub fn clock_offset(&self, micros: i64) {
        self.state().offset = micros;
    }

    /// Answers have another shape while it is on: the store's `stock_quantity` becomes text and `regular_price` is
    /// named `list_price`; the CRM's `email` becomes `email_address`.
    pub fn drift_schema(&self, on: bool) {
        self.state().drifts = on;
    }

    /// What has been asked so far.
    pub fn cost(&self) -> Cost {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Cost { calls: count(&self.calls), refused: count(&self.refused), rows: count(&self.rows) }
    }

    /// The time as the service's own clock shows it.
    pub(crate) fn shown_time(&self) -> Moment {
        let offset = self.state().offset;
        self.clock.now().shifted(offset)
    }

    /// The true time.
    pub(crate) fn true_time(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) fn drifts(&self) -> bool {
        self.state().drifts
    }

    pub(crate) fn answered(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Counts a request and says whether it may come in.
    pub(crate) fn enter(&self) -> Gate {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let gate = self.state().gate(self.clock.now());
        if gate != Gate::Open {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        gate
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn gate(&mut self, now: Moment) -> Gate {
        if let Some(until) = self.outage.filter(|until| now < *until) {
            return Gate::Outage(until.since(now));
        }
        let Some(throttle) = self.throttle.as_mut().filter(|throttle| now < throttle.until) else { return Gate::Open };
        let second = Duration::from_secs(1);
        if now.since(throttle.second) >= second {
            (throttle.second, throttle.seen) = (now, 0);
        }
        throttle.seen = throttle.seen.saturating_add(1);
        if throttle.seen <= throttle.per_second {
            return Gate::Open;
        }
        Gate::Throttled((throttle.second + second).since(now))
    }
}

/// As `Retry-After` says it: whole seconds, rounded up.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Moment {
        Moment::from_micros(millis * 1_000)
    }

    #[test]
    fn a_throttle_lets_so_many_in_each_second_until_it_ends() {
        let throttle = Throttle { per_second: 2, until: at(2_500), second: Moment::MIN, seen: 0 };
        let mut state = State { throttle: Some(throttle), ..State::default() };
        let wait = |millis| Gate::Throttled(Duration::from_millis(millis));
        for (millis, expect) in [
            (1_000, Gate::Open),
            (1_100, Gate::Open),
            (1_200, wait(800)),
            (1_900, wait(100)),
            (2_000, Gate::Open),
            (2_100, Gate::Open),
            (2_400, wait(600)),
            (2_500, Gate::Open),
        ] {
            assert_eq!(state.gate(at(millis)), expect, "{millis}");
        }
    }

    #[test]
    fn an_outage_ends_by_itself() {
        let mut state = State { outage: Some(at(3_000)), ..State::default() };
        assert_eq!(state.gate(at(1_000)), Gate::Outage(Duration::from_secs(2)));
        assert_eq!(state.gate(at(3_000)), Gate::Open);
        assert_eq!(
            [0, 1, 999, 1_000, 1_001].map(|millis| whole_seconds(Duration::from_millis(millis))),
            [0, 1, 1, 1, 2]
        );
    }
}
