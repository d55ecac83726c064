//! Which way a sweep goes, and why, in words for people.

use std::fmt;

/// How differences are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The databases compute digests; only what differs is read.
    Digest,
    /// Every row of both sides is read and compared here.
    Stream,
}

impl Strategy {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Stream => "stream",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A strategy with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub strategy: Strategy,
    /// Why.
    pub reason: String,
}

/// What is known before a sweep begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// What keeps the databases from comparing by themselves, if anything does.
    pub obstacle: Option<String>,
    /// Share of the parts of a first look that differed; `None` when nothing was looked at.
    pub parts_differing: Option<f64>,
}

/// Beyond this share of differing parts, reading everything once costs less than digests and reading most of it again:
/// a row costs a database about a third to hash of what it costs to send and compare.
const WIDE: f64 = 0.5;

/// Whether so many of the parts looked at differ that digests only cost time.
pub fn is_wide(differing: u64, looked_at: u64) -> bool {
    looked_at > 0 && differing as f64 > WIDE * looked_at as f64
}

/// Chooses; `wanted` is what somebody asked for.
///
/// # Errors
/// What keeps the wanted strategy from being possible.
pub fn choose(wanted: Option<Strategy>, facts: &Facts) -> Result<Choice, String> {
    let chosen = |strategy, reason: String| Ok(Choice { strategy, reason });
    match (wanted, &facts.obstacle) {
        (Some(Strategy::Digest), Some(obstacle)) => Err(obstacle.clone()),
        (Some(strategy), _) => chosen(strategy, "as asked for".to_owned()),
        (None, Some(obstacle)) => chosen(Strategy::Stream, obstacle.clone()),
        (None, None) => match facts.parts_differing {
            Some(share) if share > WIDE => {
                let reason = format!("{:.0} % of the parts looked at first differ", share * 100.0);
                chosen(Strategy::Stream, reason)
            }
            _ => chosen(Strategy::Digest, "both databases can compute the same digest".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_says_why() {
        let check = |wanted, obstacle: Option<&str>, share, expect: Result<(Strategy, &str), &str>| {
            let facts = Facts { obstacle: obstacle.map(str::to_owned), parts_differing: share };
            let expect = expect.map(|(strategy, reason)| Choice { strategy, reason: reason.to_owned() });
            assert_eq!(choose(wanted, &facts), expect.map_err(str::to_owned));
        };
        check(None, None, None, Ok((Strategy::Digest, "both databases can compute the same digest")));
        check(None, None, Some(0.01), Ok((Strategy::Digest, "both databases can compute the same digest")));
        check(None, None, Some(0.9), Ok((Strategy::Stream, "90 % of the parts looked at first differ")));
        check(None, Some("no hash"), Some(0.0), Ok((Strategy::Stream, "no hash")));
        check(Some(Strategy::Digest), Some("no hash"), None, Err("no hash"));
        check(Some(Strategy::Stream), None, None, Ok((Strategy::Stream, "as asked for")));
    }

    #[test]
    fn damage_is_wide_when_most_parts_differ() {
        assert!(!is_wide(0, 0) && !is_wide(5, 10) && is_wide(6, 10));
    }
}
