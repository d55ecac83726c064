//! Time stamps and days: from the types that systems use to moments.

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;

use super::{EpochUnit, Stamp, parse};
use crate::model::{Moment, Raw};

/// A stamp without a zone can name no instant, one, or (when clocks go back) two.
enum Local {
    None,
    One(Moment),
    Two(Moment),
}

/// The instant of a `changed_at` stamp by the system's own clock. `None` when it names no instant or two: a
/// stamp only ever narrows what reading has shown, so a doubtful one is left out.
pub(super) fn stamp_moment(raw: &Raw, stamp: &Stamp) -> Option<Moment> {
    match read(raw, stamp.zone, stamp.epoch).ok()? {
        Local::One(moment) => Some(moment),
        Local::None | Local::Two(_) => None,
    }
}

/// The instant of a time stamp that is data. Of the two instants of an ambiguous hour the earlier counts, on both
/// sides alike.
pub(super) fn data_moment(raw: &Raw, zone: Tz, epoch: Option<EpochUnit>) -> Result<Moment, &'static str> {
    match read(raw, zone, epoch)? {
        Local::One(moment) | Local::Two(moment) => Ok(moment),
        Local::None => Err("wanted a time stamp, found a local time that its zone skips"),
    }
}

fn read(raw: &Raw, zone: Tz, epoch: Option<EpochUnit>) -> Result<Local, &'static str> {
    match raw {
        Raw::Instant(moment) => Ok(Local::One(*moment)),
        Raw::Naive(naive) => Ok(local(*naive, zone)),
        Raw::Date(day) => Ok(local(day.and_time(NaiveTime::MIN), zone)),
        Raw::Int(_) | Raw::Number(_) | Raw::Float(_) => {
            let unit = epoch.ok_or("wanted a time stamp, found a number without `epoch`")?;
            counted(raw, unit)
        }
        Raw::Text(_) | Raw::Bytes(_) => {
            let text = parse::as_text(raw).ok_or("wanted a time stamp, found bytes that are not UTF-8")?;
            from_text(text, zone).map_or_else(|| text_epoch(raw, epoch), Ok)
        }
        _ => Err("wanted a time stamp, found another type"),
    }
}

fn text_epoch(raw: &Raw, epoch: Option<EpochUnit>) -> Result<Local, &'static str> {
    counted(raw, epoch.ok_or("wanted a time stamp, found text that is not one")?)
}

fn counted(raw: &Raw, unit: EpochUnit) -> Result<Local, &'static str> {
    parse::decimal(raw)
        .and_then(|number| parse::epoch_moment(&number, unit))
        .map(Local::One)
        .ok_or("wanted a time stamp, found a number outside of time")
}

fn local(naive: NaiveDateTime, zone: Tz) -> Local {
    if zone == Tz::UTC {
        return Local::One(Moment::from(naive.and_utc()));
    }
    let moment = |time: DateTime<Tz>| Moment::from(time.to_utc());
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(time) => Local::One(moment(time)),
        LocalResult::Ambiguous(earlier, _) => Local::Two(moment(earlier)),
        LocalResult::None => Local::None,
    }
}

/// ISO 8601 and what SQL systems print: `2026-03-29T01:30:00.123456+02:00`, a space for the `T`, an offset of
/// `Z`, `+02`, `+0200` or `+02:00` or none at all, seconds and time optional.
fn from_text(text: &str, zone: Tz) -> Option<Local> {
    let (day, rest) = text.split_at_checked(10)?;
    let day = day_text(day)?;
    if rest.is_empty() {
        return Some(local(day.and_time(NaiveTime::MIN), zone));
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let offset_at = rest.find(['Z', 'z', '+', '-', ' ']).unwrap_or(rest.len());
    let (time, offset) = rest.split_at(offset_at);
    let naive = day.and_time(time_text(time)?);
    match offset.trim_start() {
        "" if offset.is_empty() => Some(local(naive, zone)),
        "Z" | "z" | "UTC" => Some(Local::One(Moment::from(naive.and_utc()))),
        offset => {
            let seconds = offset_seconds(offset)?;
            Some(Local::One(Moment::from(naive.and_utc()).shifted(-seconds * 1_000_000)))
        }
    }
}

fn digits<const N: usize>(text: &str) -> Option<u32> {
    let bytes: &[u8; N] = text.as_bytes().try_into().ok()?;
    bytes.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

fn day_text(text: &str) -> Option<NaiveDate> {
    let (year, rest) = text.split_at_checked(4)?;
    let (month, rest) = rest.strip_prefix('-')?.split_at_checked(2)?;
    let day = rest.strip_prefix('-')?;
    let year = i32::try_from(digits::<4>(year)?).ok()?;
    NaiveDate::from_ymd_opt(year, digits::<2>(month)?, digits::<2>(day)?)
}

fn time_text(text: &str) -> Option<NaiveTime> {
    let (hour, rest) = text.split_at_checked(2)?;
    let (minute, rest) = rest.strip_prefix(':')?.split_at_checked(2)?;
    let (hour, minute) = (digits::<2>(hour)?, digits::<2>(minute)?);
    let Some(rest) = rest.strip_prefix(':') else {
        return if rest.is_empty() { NaiveTime::from_hms_opt(hour, minute, 0) } else { None };
    };
    let (second, fraction) = rest.split_at_checked(2)?;
    NaiveTime::from_hms_micro_opt(hour, minute, digits::<2>(second)?, fraction_micros(fraction)?)
}

/// Microseconds of `.123` or `,123456789`; parts of a microsecond are cut.
fn fraction_micros(text: &str) -> Option<u32> {
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix(['.', ','])?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros = digits.bytes().chain(std::iter::repeat(b'0')).take(6);
    Some(micros.fold(0, |number, byte| number * 10 + u32::from(byte - b'0')))
}

fn offset_seconds(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, rest) = text.get(1..)?.split_at_checked(2)?;
    let minutes = rest.strip_prefix(':').unwrap_or(rest);
    let minutes = if minutes.is_empty() { 0 } else { digits::<2>(minutes)? };
    Some(sign * (i64::from(digits::<2>(hours)?) * 3600 + i64::from(minutes) * 60))
}

/// The calendar day that a raw value stands for; an instant counts by its zone's calendar.
pub(super) fn day(raw: &Raw, zone: Tz) -> Option<NaiveDate> {
    match raw {
        Raw::Date(day) => Some(*day),
        Raw::Naive(naive) => Some(naive.date()),
        Raw::Instant(moment) => {
            let day = moment.to_utc().with_timezone(&zone).date_naive();
            (day.year().unsigned_abs() < 10_000).then_some(day)
        }
        _ => {
            let text = parse::as_text(raw)?;
            let (day, rest) = text.split_at_checked(10)?;
            let midnight = |rest: &str| time_text(rest).is_some_and(|time| time == NaiveTime::MIN);
            let bare = rest.is_empty() || rest.strip_prefix(['T', ' ']).is_some_and(midnight);
            if bare { day_text(day) } else { None }
        }
    }
}

/// A day or a time stamp written in the config, for conditions; UTC where it names no zone.
pub(crate) fn literal_moment(text: &str) -> Option<Moment> {
    match from_text(text, Tz::UTC)? {
        Local::One(moment) => Some(moment),
        Local::None | Local::Two(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Raw {
        Raw::Text(text.into())
    }

    #[test]
    fn forms_of_one_instant() {
        let expect = Moment::from_micros(1_774_747_800_123_456);
        for form in [
            "2026-03-29T01:30:00.123456Z",
            "2026-03-29 01:30:00.123456",
            "2026-03-29 03:30:00.123456+02",
            "2026-03-29T03:30:00,123456789+02:00",
            "2026-03-28 20:30:00.123456-0500",
            "2026-03-29 01:30:00.123456 UTC",
        ] {
            assert_eq!(data_moment(&text(form), Tz::UTC, None), Ok(expect), "{form}");
        }
        let naive = Raw::Naive(expect.to_utc().naive_utc());
        assert_eq!(data_moment(&naive, Tz::UTC, None), Ok(expect));
        assert_eq!(data_moment(&Raw::Int(expect.micros()), Tz::UTC, Some(EpochUnit::Microseconds)), Ok(expect));
        assert_eq!(data_moment(&text("1774747800.123456"), Tz::UTC, Some(EpochUnit::Seconds)), Ok(expect));
    }

    #[test]
    fn what_is_no_time_stamp() {
        for form in
            ["", "0000-00-00 00:00:00", "2026-02-30", "2026-03-29T25:00", "2026-03-29T01:30:00+", "1", "é026-03-29T"]
        {
            assert!(data_moment(&text(form), Tz::UTC, None).is_err(), "{form}");
        }
        assert!(data_moment(&Raw::Int(1), Tz::UTC, None).is_err());
    }

    #[test]
    fn hours_that_happen_twice_or_never() {
        let berlin = Tz::Europe__Berlin;
        let skipped = text("2026-03-29 02:30:00");
        assert!(data_moment(&skipped, berlin, None).is_err());
        let twice = text("2026-10-25 02:30:00");
        let earlier = data_moment(&text("2026-10-25T00:30:00Z"), berlin, None);
        assert_eq!(data_moment(&twice, berlin, None), earlier);
        let stamp = Stamp { source: 0, zone: berlin, epoch: None };
        assert_eq!(stamp_moment(&twice, &stamp), None);
        assert_eq!(stamp_moment(&skipped, &stamp), None);
        assert!(stamp_moment(&text("2026-10-25 04:30:00"), &stamp).is_some());
    }

    #[test]
    fn days() {
        let expect = NaiveDate::from_ymd_opt(2026, 3, 29);
        assert_eq!(day(&text("2026-03-29"), Tz::UTC), expect);
        assert_eq!(day(&text("2026-03-29 00:00:00"), Tz::UTC), expect);
        assert_eq!(day(&text("2026-03-29 12:00:00"), Tz::UTC), None);
        let late = Raw::Instant(Moment::from_micros(1_774_735_200_000_000)); // 2026-03-28T22:00Z
        assert_eq!(day(&late, Tz::Asia__Tokyo), expect);
    }
}
