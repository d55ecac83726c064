//! A small company, made by seed: random writes at the owner, a sync that delays, drops and corrupts. What the auditor
//! says in the end must be what is so, and nothing it said on the way may have been wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plumbline::model::Verdict;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep_until};

use super::pair::{Pair, Product, Setup};

const KEYS: usize = 12;
const LASTS: Duration = Duration::from_secs(8);
/// The sync brings what it does not lose in time: far below the deadline, also on a busy machine.
const DEADLINE: &str = "4s";

/// What the sync does with one write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Arrives(Duration),
    Dropped,
    Corrupted(Duration),
}

/// One write at the owner.
#[derive(Clone, Debug)]
struct Write {
    at: Duration,
    key: String,
    qty: i64,
    fate: Fate,
}

/// Writes in order of time. The quantity counts up, so that no state ever comes back.
fn plan(seed: u64) -> Vec<Write> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut writes = Vec::new();
    let mut at = Duration::from_millis(100);
    while at < LASTS {
        let delay = Duration::from_millis(random.random_range(20..600));
        let fate = match random.random_range(0..100) {
            0..12 => Fate::Dropped,
            12..20 => Fate::Corrupted(delay),
            _ => Fate::Arrives(delay),
        };
        let key = format!("K{:02}", random.random_range(0..KEYS));
        writes.push(Write { at, key, qty: 1_000 * (writes.len() as i64 + 1), fate });
        at += Duration::from_millis(random.random_range(20..200));
    }
    writes
}

/// What the target does, in order of time; a later write of a key overtakes none of its earlier ones.
fn arrivals(writes: &[Write]) -> Vec<(Duration, String, i64)> {
    let mut last: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut arrivals = Vec::new();
    for write in writes {
        let (delay, qty) = match write.fate {
            Fate::Dropped => continue,
            Fate::Arrives(delay) => (delay, write.qty),
            Fate::Corrupted(delay) => (delay, write.qty + 1),
        };
        let at = last.get(write.key.as_str()).map_or(write.at + delay, |before| (*before).max(write.at + delay));
        last.insert(&write.key, at);
        arrivals.push((at, write.key.clone(), qty));
    }
    arrivals.sort();
    arrivals
}

/// Keys whose last write is not what the target ends with.
fn differing(writes: &[Write]) -> BTreeSet<String> {
    let last: BTreeMap<&str, &Write> = writes.iter().map(|write| (write.key.as_str(), write)).collect();
    let wrong = |write: &&&Write| !matches!(write.fate, Fate::Arrives(_));
    last.values().filter(wrong).map(|write| write.key.clone()).collect()
}

/// Keys that were wrong for longer than the deadline at any time: a report on another key is a false one.
fn ever_late(writes: &[Write], deadline: Duration) -> BTreeSet<String> {
    let mut late = differing(writes);
    let mut lacking: BTreeMap<&str, Duration> = BTreeMap::new();
    for write in writes {
        match write.fate {
            Fate::Arrives(delay) => {
                let since = lacking.remove(write.key.as_str());
                // The half of the deadline is what a busy machine may add.
                if since.is_some_and(|since| write.at + delay > since + deadline / 2) {
                    late.insert(write.key.clone());
                }
            }
            Fate::Dropped | Fate::Corrupted(_) => {
                lacking.entry(&write.key).or_insert(write.at);
            }
        }
    }
    late
}

async fn run(seed: u64) {
    let writes = plan(seed);
    let pair = Pair::new(Product::Sqlite, Product::Sqlite).await;
    let mut world = pair.world_with(Setup { deadline: DEADLINE, ..Setup::default() }).await;
    let began = Instant::now();
    let owner = async {
        for write in &writes {
            sleep_until(began + write.at).await;
            pair.owner.put(&write.key, write.qty).await;
        }
    };
    let sync = async {
        for (at, key, qty) in arrivals(&writes) {
            sleep_until(began + at).await;
            pair.target.put(&key, qty).await;
        }
    };
    let expected = differing(&writes);
    let allowed = ever_late(&writes, Duration::from_secs(4));
    let ended = began + LASTS + Duration::from_secs(1);
    let audit = world.look_until("every difference to be told, and only those", |world| {
        Instant::now() > ended && world.in_flight() == expected.len() && world.bad_keys() == expected.len()
    });
    tokio::join!(owner, sync, audit);

    let bad = |row: &&plumbline::ledger::rows::CheckRow| {
        Verdict::ALL.into_iter().any(|verdict| verdict.is_bad() && row.is(verdict))
    };
    let told: BTreeSet<String> = world.checks().iter().filter(bad).map(|row| row.key.clone()).collect();
    assert!(expected.is_subset(&told), "seed {seed}: missed {:?}", &expected - &told);
    assert!(told.is_subset(&allowed), "seed {seed}: false reports on {:?}", &told - &allowed);
    for key in &expected {
        let qty = format!("SELECT count(*) FROM stock WHERE sku = '{key}'");
        let is_there = pair.target.number(&qty).await > 0;
        let expect: &[Verdict] = if is_there { &[Verdict::Mismatch, Verdict::Stale] } else { &[Verdict::Missing] };
        let row = world.last(key).unwrap();
        assert!(expect.iter().any(|verdict| row.is(*verdict)), "seed {seed}: {row:?}");
    }
    assert_eq!(world.open_discrepancies().await, expected.len() as u64, "seed {seed}");
}

#[tokio::test]
async fn the_reports_on_a_company_are_the_truth_seed_1() {
    run(1).await;
}

#[tokio::test]
async fn the_reports_on_a_company_are_the_truth_seed_2() {
    run(2).await;
}

#[tokio::test]
async fn the_reports_on_a_company_are_the_truth_seed_3() {
    run(3).await;
}
