//! How a lower bound is written. Pure.

use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, TimeZone};

use crate::config::pack::{Since, SinceFormat};

const SECOND: i64 = 1_000_000;

/// A bound as it is sent, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// What is sent.
    pub text: String,
    /// No record older than this may come back, by their clock in microseconds.
    pub micros: i64,
}

/// The bound that asks for everything stamped at `micros` or later: cut to whole seconds, because stamps are; one
/// second earlier where the product leaves the bound itself out.
pub(super) fn bound(since: &Since, micros: i64) -> Bound {
    let mut second = micros.div_euclid(SECOND) - i64::from(since.exclusive);
    if since.format == SinceFormat::Naive {
        second = before_skipped_hours(second);
    }
    let time = DateTime::from_timestamp(second, 0).unwrap_or_default();
    let text = match since.format {
        SinceFormat::Naive => time.format("%Y-%m-%dT%H:%M:%S").to_string(),
        SinceFormat::Rfc3339 => time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        SinceFormat::Spaced => time.format("%Y-%m-%d %H:%M:%S").to_string(),
        SinceFormat::Seconds => second.to_string(),
        SinceFormat::Milliseconds => second.saturating_mul(1000).to_string(),
    };
    Bound { text, micros: second.saturating_mul(SECOND) }
}

/// An upper bound as it is sent: what is stamped exactly then may or may not be left out.
pub(super) fn upper(since: &Since, micros: i64) -> String {
    bound(&Since { exclusive: false, ..since.clone() }, micros).text
}

/// WordPress reads a time without a zone in the site's zone before it compares it as it is. A time that this zone
/// skips (clocks set forward) would come out an hour later, and an hour of changes would be lost. The zone is not
/// known here, so the bound avoids what any zone skips.
fn before_skipped_hours(second: i64) -> i64 {
    let Some(time) = DateTime::from_timestamp(second, 0) else { return second };
    let mut naive = time.naive_utc();
    // No zone skips more than a day.
    for _ in 0..25 {
        if !is_skipped_somewhere(naive) {
            return naive.and_utc().timestamp();
        }
        naive -= Duration::hours(1);
    }
    naive.and_utc().timestamp()
}

fn is_skipped_somewhere(naive: NaiveDateTime) -> bool {
    chrono_tz::TZ_VARIANTS.iter().any(|zone| matches!(zone.from_local_datetime(&naive), LocalResult::None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(format: SinceFormat, exclusive: bool) -> Since {
        let zero = std::time::Duration::ZERO;
        Since {
            bounds: crate::config::pack::Bounds::Body(crate::config::pack::Body::default()),
            exclusive,
            format,
            settle: zero,
            lookback: zero,
        }
    }

    #[track_caller]
    fn check(format: SinceFormat, exclusive: bool, moment: &str, expect: &str) {
        let micros = DateTime::parse_from_rfc3339(moment).unwrap().timestamp_micros();
        assert_eq!(bound(&since(format, exclusive), micros).text, expect);
    }

    #[test]
    fn bounds_never_leave_out_the_second_they_name() {
        check(SinceFormat::Naive, true, "2026-11-05T12:00:00.9Z", "2026-11-05T11:59:59");
        check(SinceFormat::Naive, false, "2026-11-05T12:00:00.9Z", "2026-11-05T12:00:00");
        check(SinceFormat::Rfc3339, false, "2026-11-05T12:00:00Z", "2026-11-05T12:00:00Z");
        check(SinceFormat::Spaced, false, "2026-03-08T02:30:00Z", "2026-03-08 02:30:00");
        check(SinceFormat::Seconds, true, "1970-01-01T00:01:00Z", "59");
        check(SinceFormat::Milliseconds, false, "1970-01-01T00:01:00.5Z", "60000");
    }

    #[test]
    fn hours_that_a_zone_skips_are_avoided() {
        // New York, 2026-03-08: 02:00 to 03:00 does not exist there. Havana skips 00:00 to 01:00 of the same day,
        // and other zones nothing between.
        check(SinceFormat::Naive, false, "2026-03-08T02:30:00Z", "2026-03-08T01:30:00");
        check(SinceFormat::Naive, false, "2026-03-08T00:10:00Z", "2026-03-07T23:10:00");
        check(SinceFormat::Rfc3339, false, "2026-03-08T02:30:00Z", "2026-03-08T02:30:00Z");
        check(SinceFormat::Naive, false, "2026-11-01T05:30:00Z", "2026-11-01T05:30:00");
    }
}
