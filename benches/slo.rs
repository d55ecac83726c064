//! One tick of evaluation: a thousand promises over thirty days, each with the minutes of three days and quarters of an hour
//! beyond, four tiers and business hours. Asked of it: less than a second.

#![allow(clippy::expect_used, reason = "a measurement that cannot go on fails")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plumbline::slo::{
    Calendar, Counted, Counts, Hours, Indicator, Minute, Objective, Promise, Series, Window, default_tiers, evaluate,
};

const PROMISES: usize = 1_000;
const WANTED: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;
const NOW: Minute = Minute(29_450_880);
const MONTH: i64 = 30 * 1440;

fn main() {
    let promise = promise();
    // One world, held a thousand times: what is summed up is as far apart in memory as that of a thousand flows.
    let worlds: Vec<Series> = (0..PROMISES).map(|number| series(&promise, number as u64)).collect();
    let best = (0..ROUNDS).map(|_| round(&promise, &worlds)).min().expect("there are rounds");
    println!("{PROMISES} promises in {best:?} ({:?} each), asked: {WANTED:?}", best / PROMISES as u32);
    assert!(best < WANTED, "a tick takes {best:?}");
}

fn round(promise: &Promise, worlds: &[Series]) -> Duration {
    let began = Instant::now();
    for series in worlds {
        let counted = Counted::of(promise.calendar.as_deref(), NOW.plus(-MONTH), NOW.plus(1));
        black_box(evaluate(promise, series, (&counted, &counted), (NOW, NOW.plus(1))));
    }
    began.elapsed()
}

fn promise() -> Promise {
    let objective = Objective::new(0.995).expect("a share");
    let day = vec![Hours { from: 6 * 60, to: 22 * 60 }];
    let calendar = Calendar {
        name: "office".to_owned(),
        zone: chrono_tz::Europe::Berlin,
        hours: std::array::from_fn(|_| day.clone()),
        holidays: std::collections::BTreeSet::new(),
    };
    Promise {
        name: "fresh".to_owned(),
        indicator: Indicator::Freshness(Duration::from_secs(300)),
        objective,
        window: Window::Rolling(Duration::from_secs(30 * 86_400)),
        tiers: default_tiers(objective, MONTH * 2 / 3),
        least_bad: 3,
        overdue_floor: 2,
        coverage_floor: 0.5,
        calendar: Some(Arc::new(calendar)),
    }
}

fn series(promise: &Promise, seed: u64) -> Series {
    let mut series = Series::new(NOW, 4320 * 3 / 2, MONTH, promise.overdue_floor);
    for back in 0..MONTH {
        let at = NOW.plus(-back);
        let mixed = seed.wrapping_mul(0x9e37_79b9).wrapping_add(back as u64);
        series.add(
            at,
            Counts {
                good: mixed % 50,
                bad: u64::from(mixed.is_multiple_of(997)),
                unknown: u64::from(mixed.is_multiple_of(499)),
            },
        );
        series.cover(at, at.plus(1), None);
        series.overdue(at, mixed % 3);
    }
    series
}
