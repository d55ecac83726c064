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

/// What a side was measured to do, in rows a second.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The side.
    pub system: String,
    /// Rows that its database hashes.
    pub digests: f64,
    /// Rows that it sends and that are compared here.
    pub reads: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { system, digests, reads } = self;
        write!(f, "`{system}` hashes {:.0}k rows a second and sends {:.0}k", digests / 1e3, reads / 1e3)
    }
}

/// What is known before a sweep begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// What keeps the databases from comparing by themselves, if anything does.
    pub obstacle: Option<String>,
    /// What a first look at some of the rows found; `None` when nothing was looked at.
    pub sample: Option<Sample>,
    /// Rows that are read where one differs: 1 where each is hashed by itself, more where those of a bucket are read.
    pub read_for_one: u64,
    /// What both ways cost each side, where that was measured.
    pub costs: Option<[Cost; 2]>,
}

/// Rows that were looked at, and how many of them differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Rows of the side that has more of them.
    pub rows: u64,
    /// Keys that differ.
    pub differing: u64,
}

/// Rows that say enough to change the way.
const ENOUGH: u64 = 1_000;
/// Beyond this share of differing rows, reading everything once costs less than digests and reading most of it again:
/// a row costs a database about a third to hash of what it costs to send and compare.
const WIDE: f64 = 0.5;
/// Beyond this share nearly every small part has a difference: rows are hashed one by one.
const SPREAD: f64 = 0.03;
/// What was measured on some thousand rows is off by less than this factor, mostly; and digests spare the network.
const CLEARLY: f64 = 1.5;
/// Rows that lie in parts with differences, as a share of all, when differences lie evenly.
const READ_AGAIN: f64 = 0.05;
/// Rows of a part while no difference has been seen.
const COARSE: u64 = 512;
/// A part of fewer costs more than the rows in it.
const FINE: u64 = 8;

impl Sample {
    /// Takes more rows in.
    pub const fn add(&mut self, rows: u64, differing: u64) {
        self.rows += rows;
        self.differing += differing;
    }

    /// Share of the rows that differ.
    pub fn share(&self) -> f64 {
        if self.rows == 0 { 0.0 } else { self.differing as f64 / self.rows as f64 }
    }

    /// Whether so many rows differ that digests only cost time.
    pub fn is_wide(&self) -> bool {
        self.is_wide_by(1)
    }

    /// The same where so many rows are read for one that differs.
    pub fn is_wide_by(&self, read_for_one: u64) -> bool {
        let read = 1.0 - (1.0 - self.share()).powf(read_for_one as f64);
        self.rows >= ENOUGH && read > WIDE
    }
}

/// How many rows each part should hold whose digest is asked for, so that few rows are read again; `None` when rows are
/// better hashed one by one.
pub fn grain(seen: Sample) -> Option<u64> {
    let share = seen.share();
    if share > SPREAD {
        return None;
    }
    Some(((READ_AGAIN / share.max(1e-9)) as u64).clamp(FINE, COARSE))
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
        (None, None) => match (facts.sample.filter(|sample| sample.is_wide_by(facts.read_for_one)), &facts.costs) {
            (Some(sample), _) => {
                let reason = format!("{:.0} % of the rows looked at first differ", sample.share() * 100.0);
                chosen(Strategy::Stream, reason)
            }
            (None, Some(costs)) => {
                let strategy = if costs_less_to_read(costs) { Strategy::Stream } else { Strategy::Digest };
                let [owner, target] = costs;
                chosen(strategy, format!("measured first: {owner}, {target}"))
            }
            (None, None) => chosen(Strategy::Digest, "both databases can compute the same digest".to_owned()),
        },
    }
}

/// Whether reading everything takes clearly less time. Both sides work at once: the slower one counts.
fn costs_less_to_read(costs: &[Cost; 2]) -> bool {
    let slower = |rate: fn(&Cost) -> f64| costs.iter().map(rate).fold(f64::INFINITY, f64::min);
    slower(|cost| cost.reads) > slower(|cost| cost.digests) * CLEARLY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_says_why() {
        let check =
            |wanted, obstacle: Option<&str>, share: Option<(u64, u64)>, expect: Result<(Strategy, &str), &str>| {
                let sample = share.map(|(rows, differing)| Sample { rows, differing });
                let facts = Facts { obstacle: obstacle.map(str::to_owned), sample, read_for_one: 1, costs: None };
                let expect = expect.map(|(strategy, reason)| Choice { strategy, reason: reason.to_owned() });
                assert_eq!(choose(wanted, &facts), expect.map_err(str::to_owned));
            };
        check(None, None, None, Ok((Strategy::Digest, "both databases can compute the same digest")));
        check(None, None, Some((4_000, 40)), Ok((Strategy::Digest, "both databases can compute the same digest")));
        check(None, None, Some((4_000, 3_600)), Ok((Strategy::Stream, "90 % of the rows looked at first differ")));
        check(None, None, Some((10, 10)), Ok((Strategy::Digest, "both databases can compute the same digest")));
        check(None, Some("no hash"), Some((4_000, 0)), Ok((Strategy::Stream, "no hash")));
        check(Some(Strategy::Digest), Some("no hash"), None, Err("no hash"));
        check(Some(Strategy::Stream), None, None, Ok((Strategy::Stream, "as asked for")));
    }

    #[test]
    fn what_costs_less_is_measured() {
        let check = |owner: (f64, f64), target: (f64, f64), share: (u64, u64), expect: (Strategy, &str)| {
            let cost = |system: &str, (digests, reads)| Cost { system: system.to_owned(), digests, reads };
            let sample = Some(Sample { rows: share.0, differing: share.1 });
            let costs = Some([cost("erp", owner), cost("store", target)]);
            let choice = choose(None, &Facts { obstacle: None, sample, read_for_one: 1, costs }).unwrap();
            assert_eq!((choice.strategy, choice.reason.as_str()), expect);
        };
        let reason = "measured first: `erp` hashes 2000k rows a second and sends 400k, `store` hashes 1900k rows a second and \
                      sends 300k";
        check((2e6, 4e5), (1.9e6, 3e5), (4_000, 0), (Strategy::Digest, reason));
        // The slower side counts, and a little is no reason.
        let reason = "measured first: `erp` hashes 2000k rows a second and sends 400k, `store` hashes 100k rows a second and \
                      sends 300k";
        check((2e6, 4e5), (1e5, 3e5), (4_000, 0), (Strategy::Stream, reason));
        let reason = "measured first: `erp` hashes 300k rows a second and sends 400k, `store` hashes 300k rows a second and \
                      sends 400k";
        check((3e5, 4e5), (3e5, 4e5), (4_000, 0), (Strategy::Digest, reason));
        check((2e6, 4e5), (2e6, 4e5), (4_000, 3_600), (Strategy::Stream, "90 % of the rows looked at first differ"));
    }

    #[test]
    fn buckets_are_read_as_a_whole() {
        let check = |rows, differing, read_for_one, expect| {
            assert_eq!(Sample { rows, differing }.is_wide_by(read_for_one), expect, "{differing} of {rows}");
        };
        check(2_000, 20, 1, false);
        check(2_000, 20, 64, false);
        check(2_000, 30, 64, true);
        check(500, 500, 64, false);
    }

    #[test]
    fn parts_are_finer_the_more_differs() {
        let check = |differing, expect| assert_eq!(grain(Sample { rows: 100_000, differing }), expect, "{differing}");
        check(0, Some(512));
        check(1, Some(512));
        check(100, Some(50));
        check(2_900, Some(8));
        check(5_000, None);
        assert_eq!(grain(Sample::default()), Some(512));
    }
}
