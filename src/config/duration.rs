//! Durations (`30s`, `1h30m`) and sizes (`512MiB`), written with their unit.

use std::time::Duration;

use super::section::{Node, Read};

const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 7 * 86_400_000)];

/// Reads `250ms`, `30s`, `5m`, `1h30m`, `24h`, `30d`, `2w`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut millis: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (count, after) = leading_number(rest)?;
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (_, factor) = UNITS.iter().find(|(unit, _)| *unit == &after[..unit_end])?;
        millis = millis.checked_add(count.checked_mul(*factor)?)?;
        rest = &after[unit_end..];
    }
    Some(Duration::from_millis(millis))
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Writes a duration the way the config does: `1h30m`, `250ms`.
pub fn show(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut shown = String::new();
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if millis >= factor {
            shown.push_str(&format!("{}{unit}", millis / factor));
            millis %= factor;
        }
    }
    if shown.is_empty() { "0s".to_owned() } else { shown }
}

impl Read for Duration {
    fn read(node: Node<'_>) -> Option<Self> {
        let Some(text) = node.value.get_ref().as_str() else { return node.wrong_type("a duration such as `\"30s\"`") };
        let parsed = parse_duration(text);
        parsed.or_else(|| {
            node.refuse(format!(
                "`{text}` is not a duration; write numbers with `ms`, `s`, `m`, `h`, `d` or `w`: `1h30m`"
            ))
        })
    }
}

/// A duration within bounds, both allowed.
pub(super) fn bounded(node: Node<'_>, low: Duration, high: Duration) -> Option<Duration> {
    let duration = Duration::read(node)?;
    if duration < low || duration > high {
        return node.refuse(format!("must be from `{}` to `{}`, found `{}`", show(low), show(high), show(duration)));
    }
    Some(duration)
}

/// A number of bytes: `1073741824` or `"1GiB"`.
pub(super) fn bytes(node: Node<'_>) -> Option<u64> {
    let Some(text) = node.value.get_ref().as_str() else { return u64::read(node) };
    let parsed = leading_number(text.trim()).and_then(|(count, unit)| {
        let shift = match unit {
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return None,
        };
        count.checked_mul(1 << shift)
    });
    parsed.or_else(|| {
        node.refuse(format!("`{text}` is not a size; write bytes, or a number with `KiB`, `MiB`, `GiB`, `TiB`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text}")
        };
        check("250ms", Some(250));
        check("30s", Some(30_000));
        check("5m", Some(300_000));
        check("1h30m", Some(5_400_000));
        check("30d", Some(2_592_000_000));
        check("2w", Some(1_209_600_000));
        check("0s", Some(0));
        for wrong in [
            "",
            " ",
            "30",
            "s",
            "1.5h",
            "30 s",
            "-1s",
            "5min",
            "1h-3m",
            "99999999999999999999s",
            "9999999999999999d",
            "5ü",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn shown_durations_read_back() {
        for text in ["1d", "1h30m", "250ms", "2m5s", "0s", "30d"] {
            assert_eq!(show(parse_duration(text).unwrap()), text);
        }
    }
}
