//! Stamps as columns hold them: from a moment to the value to compare with, and back. Pure.

use chrono::{Duration, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::text::{Arg, Dialect};
use super::values::{moment_micros, naive_text, number_of};
use crate::model::Raw;
use crate::model::mapping::EpochUnit;

/// What a stamp column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Names its instant.
    Instant,
    /// Calendar time in a zone.
    Naive(Tz),
    /// Calendar day in a zone.
    Date(Tz),
    /// A number that counts from 1970.
    Epoch(EpochUnit),
    /// ISO 8601 text, with a blank or a `T`: SQLite.
    Text(Tz),
}

const SECOND: i64 = 1_000_000;

impl Form {
    /// The smallest stamp that a row written at or after `micros` can have.
    ///
    /// Cut to whole seconds: the present second may still get siblings, and stamps may be stored in seconds.
    /// Where local time is going to be set back, the stamps after that are smaller than those now; the bound is
    /// then the smaller one.
    pub fn lower_bound(self, micros: i64, dialect: Dialect) -> Arg {
        let micros = micros.div_euclid(SECOND) * SECOND;
        match self {
            Self::Instant if dialect == Dialect::Postgres => Arg::Text(format!("{}+00", naive_text(utc_naive(micros)))),
            Self::Instant => Arg::Text(naive_text(utc_naive(micros))),
            Self::Naive(zone) => Arg::Text(naive_text(smallest_local(zone, micros))),
            Self::Date(zone) => Arg::Text(smallest_local(zone, micros).date().to_string()),
            Self::Epoch(EpochUnit::Seconds) => Arg::Int(micros / SECOND),
            Self::Epoch(EpochUnit::Milliseconds) => Arg::Int(micros / 1000),
            Self::Epoch(EpochUnit::Microseconds) => Arg::Int(micros),
            Self::Text(zone) => Arg::Text(text_bound(zone, micros)),
        }
    }

    /// Whether a row with this stamp is read again from the [lower bound](Self::lower_bound) of `micros` on. In doubt
    /// it is.
    pub fn is_at_or_after(self, raw: &Raw, micros: i64) -> bool {
        let micros = micros.div_euclid(SECOND) * SECOND;
        match self {
            Self::Instant | Self::Epoch(_) => self.micros(raw).is_none_or(|stamp| stamp >= micros),
            Self::Naive(zone) => naive(raw).is_none_or(|local| local >= smallest_local(zone, micros)),
            Self::Date(zone) => naive(raw).is_none_or(|local| local.date() >= smallest_local(zone, micros).date()),
            Self::Text(zone) => {
                let Raw::Text(text) = raw else { return true };
                text.replace('T', " ") >= text_bound(zone, micros)
            }
        }
    }

    /// Microseconds since 1970 by the system's clock, as far as the value tells.
    pub fn micros(self, raw: &Raw) -> Option<i64> {
        let local =
            |zone: Tz, naive: NaiveDateTime| Some(zone.from_local_datetime(&naive).latest()?.timestamp_micros());
        match self {
            Self::Instant => moment_micros(raw),
            Self::Naive(zone) | Self::Date(zone) => local(zone, naive(raw)?),
            Self::Epoch(unit) => {
                let number = match raw {
                    Raw::Float(value) if value.is_finite() => (value * 1e6).round() as i64 / SECOND,
                    _ => number_of(raw)?.round(0, crate::model::number::Rounding::Down).as_i64()?,
                };
                number.checked_mul(match unit {
                    EpochUnit::Seconds => SECOND,
                    EpochUnit::Milliseconds => 1000,
                    EpochUnit::Microseconds => 1,
                })
            }
            Self::Text(zone) => {
                let Raw::Text(text) = raw else { return None };
                let text = text.replace('T', " ");
                match text.strip_suffix('Z') {
                    Some(utc) => Some(parse(utc)?.and_utc().timestamp_micros()),
                    None => local(zone, parse(&text)?),
                }
            }
        }
    }
}

/// `Z` at the end names UTC whatever the zone: the smaller of both never skips a row.
fn text_bound(zone: Tz, micros: i64) -> String {
    let time = smallest_local(zone, micros).min(utc_naive(micros));
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Calendar time as the column holds it.
fn naive(raw: &Raw) -> Option<NaiveDateTime> {
    Some(chrono::DateTime::from_timestamp_micros(moment_micros(raw)?)?.naive_utc())
}

fn parse(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()
}

fn utc_naive(micros: i64) -> NaiveDateTime {
    // Outside the calendar only for a clock that is centuries off.
    Utc.timestamp_micros(micros).single().unwrap_or_default().naive_utc()
}

/// The smallest local time at or after an instant. Looked for three hours ahead in quarters of an hour, on which
/// zones change: a clock set back by up to three hours is met.
fn smallest_local(zone: Tz, micros: i64) -> NaiveDateTime {
    let local = |time: NaiveDateTime| zone.from_utc_datetime(&time).naive_local();
    let now = utc_naive(micros);
    let quarter = Duration::minutes(15);
    let midnight = now.date().and_time(NaiveTime::MIN);
    let first = midnight + quarter * i32::try_from((now - midnight).num_minutes() / 15 + 1).unwrap_or(0);
    (0..13).map(|step| local(first + quarter * step)).fold(local(now), NaiveDateTime::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Moment;

    fn at(text: &str) -> i64 {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    fn check(form: Form, moment: &str, expect: &str) {
        assert_eq!(form.lower_bound(at(moment), Dialect::Postgres), Arg::Text(expect.to_owned()), "{form:?} {moment}");
    }

    #[test]
    fn the_present_second_stays_open() {
        check(Form::Instant, "2026-01-01T10:00:00.999999Z", "2026-01-01 10:00:00.000000+00");
        assert_eq!(Form::Epoch(EpochUnit::Milliseconds).lower_bound(1_999_999, Dialect::Postgres), Arg::Int(1000));
    }

    #[test]
    fn before_a_clock_is_set_back_the_bound_is_the_repeated_hour() {
        let berlin = Form::Naive(chrono_tz::Europe::Berlin);
        // 2026-10-25 01:00 UTC: 03:00 summer time becomes 02:00.
        check(berlin, "2026-10-25T00:30:00Z", "2026-10-25 02:00:00.000000");
        check(berlin, "2026-10-25T01:10:00Z", "2026-10-25 02:10:00.000000");
        check(berlin, "2026-10-24T12:00:00Z", "2026-10-24 14:00:00.000000");
        // Set forward: nothing to wait for.
        check(berlin, "2026-03-29T00:59:00Z", "2026-03-29 01:59:00.000000");
    }

    #[test]
    fn what_is_read_again_is_told_by_the_column_not_by_the_instant() {
        let check = |form: Form, raw: Raw, moment: &str, expect: bool| {
            assert_eq!(form.is_at_or_after(&raw, at(moment)), expect, "{form:?} {raw:?} {moment}");
        };
        let (berlin, kolkata) = (chrono_tz::Europe::Berlin, chrono_tz::Asia::Kolkata);
        let naive = |text: &str| Raw::Naive(utc_naive(at(text)));
        let instant = |text: &str| Raw::Instant(Moment::from_micros(at(text)));
        check(Form::Instant, instant("2026-01-01T10:00:00Z"), "2026-01-01T10:00:00.9Z", true);
        check(Form::Instant, instant("2026-01-01T09:59:59.9Z"), "2026-01-01T10:00:00Z", false);
        // 02:10 comes twice in that night: both are read until the second is over.
        check(Form::Naive(berlin), naive("2026-10-25T02:10:00Z"), "2026-10-25T00:30:00Z", true);
        check(Form::Naive(berlin), naive("2026-10-25T02:10:00Z"), "2026-10-25T01:30:00Z", false);
        check(Form::Date(kolkata), naive("2026-01-02T00:00:00Z"), "2026-01-01T19:00:00Z", true);
        check(Form::Date(kolkata), naive("2026-01-01T00:00:00Z"), "2026-01-01T19:00:00Z", false);
        let text = |text: &str| Raw::Text(text.into());
        check(Form::Text(kolkata), text("2026-01-01 10:00:00"), "2026-01-01T08:00:00Z", true);
        check(Form::Text(kolkata), text("2026-01-01T07:59:59"), "2026-01-01T08:00:00Z", false);
        check(Form::Text(kolkata), text("yesterday"), "2026-01-01T08:00:00Z", true);
    }

    #[test]
    fn text_bounds_never_skip_stamps_in_utc() {
        let text = Form::Text(chrono_tz::Europe::Berlin);
        check(text, "2026-07-01T10:00:00Z", "2026-07-01 10:00:00");
        let new_york = Form::Text(chrono_tz::America::New_York);
        check(new_york, "2026-07-01T10:00:00Z", "2026-07-01 06:00:00");
    }

    #[test]
    fn stamps_are_read_back() {
        let noon = at("2026-07-01T10:00:00.5Z");
        let text = Form::Text(chrono_tz::Europe::Berlin);
        assert_eq!(text.micros(&Raw::Text("2026-07-01T10:00:00.5Z".into())), Some(noon));
        assert_eq!(text.micros(&Raw::Text("2026-07-01 12:00:00.5".into())), Some(noon));
        assert_eq!(text.micros(&Raw::Text("yesterday".into())), None);
        assert_eq!(Form::Epoch(EpochUnit::Seconds).micros(&Raw::Int(7)), Some(7_000_000));
    }
}
