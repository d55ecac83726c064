//! Records that move: changes that arrive, get lost, come too fast, or change nothing.

use std::time::Duration;

use plumbline::model::Verdict;

use super::pair::{Pair, Product, Setup};

on_each_pair! {
    async fn a_change_that_arrives_is_a_match_with_its_lag(pair: Pair) {
        let mut world = pair.world("30s").await;
        pair.owner.put("A", 1).await;
        world.look_until_verdict("A", Verdict::InFlight).await;
        pair.target.put("A", 1).await;
        let row = world.look_until_verdict("A", Verdict::Match).await;
        assert!(row.lag_high_us > 0 && row.lag_low_us <= row.lag_high_us);
        let events = world.freshness();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].outcome, "good");
        assert_eq!(world.open_discrepancies().await, 0);
        assert_eq!(world.discrepancies(), []);
    }

    async fn a_dropped_change_becomes_missing_and_heals(pair: Pair) {
        let mut world = pair.world("1s").await;
        pair.owner.put("A", 1).await;
        world.look_until_verdict("A", Verdict::Missing).await;
        assert_eq!(world.open_discrepancies().await, 1);
        pair.target.put("A", 1).await;
        world.look_until_verdict("A", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
        assert_eq!(world.verdicts("A"), ["in_flight", "missing", "match"]);
        let steps: Vec<String> = world.discrepancies().into_iter().map(|row| row.event).collect();
        assert_eq!(steps, ["opened", "resolved"]);
        assert_eq!(world.outcomes(), ["bad"]);
    }

    async fn a_hot_key_whose_sync_is_dead_never_stays_in_flight(pair: Pair) {
        pair.both("A", 0).await;
        let mut world = pair.world("2s").await;
        let hot = async {
            for qty in 1.. {
                pair.owner.put("A", qty).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        let row = tokio::select! {
            () = hot => unreachable!("it never ends"),
            row = world.look_until_verdict("A", Verdict::Stale) => row,
        };
        // The owner moves faster than it is read: the lag is known less exactly than that the deadline has passed.
        assert!(row.lag_high_us > 2_000_000, "{row:?}");
        assert_eq!(world.open_discrepancies().await, 1);
    }

    async fn a_hot_key_whose_sync_works_is_never_accused(pair: Pair) {
        pair.both("A", 0).await;
        let mut world = pair.world("5s").await;
        // The sync brings what the owner held 300 ms ago: the owner is always some states further on.
        let (newest, mut copied) = tokio::sync::watch::channel(0);
        let hot = async {
            for qty in 1..100 {
                pair.owner.put("A", qty).await;
                newest.send(qty).unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            drop(newest);
        };
        let sync = async {
            while copied.changed().await.is_ok() {
                let qty = *copied.borrow_and_update();
                tokio::time::sleep(Duration::from_millis(300)).await;
                pair.target.put("A", qty).await;
            }
        };
        let looks = async {
            let done = |world: &crate::world::World| world.last("A").is_some_and(|row| row.is(Verdict::Match));
            world.look_until("A to move", |world| world.last("A").is_some()).await;
            let mut settled = 0;
            while settled < 40 {
                world.look_until("A to arrive", done).await;
                world.changes().await;
                settled = if world.in_flight() == 0 { settled + 1 } else { 0 };
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::join!(async { tokio::join!(hot, sync) }, looks);
        assert_eq!(world.discrepancies(), []);
        assert!(world.outcomes().iter().all(|outcome| outcome != "bad"), "{:?}", world.freshness());
        assert!(world.last("A").unwrap().is(Verdict::Match));
    }

    async fn a_touch_that_changes_nothing_starts_nothing(pair: Pair) {
        pair.both("A", 1).await;
        pair.owner.put("B", 1).await;
        let mut world = pair.world("1s").await;
        for _ in 0..5 {
            pair.owner.put("A", 1).await;
            world.changes().await;
        }
        assert!(world.checks().iter().all(|row| row.is(Verdict::Match)), "{:#?}", world.checks());
        assert_eq!((world.outcomes(), world.discrepancies()), (vec![], vec![]));
        // A key that lacks its record is not excused by touches, either: B was never synced.
        let toucher = async {
            loop {
                pair.owner.put("B", 1).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = toucher => unreachable!("it never ends"),
            _ = world.look_until_verdict("B", Verdict::Missing) => {}
        }
    }

    async fn two_values_swapped_between_two_rows_are_two_mismatches(pair: Pair) {
        let mut world = pair.world("1s").await;
        pair.owner.put("A", 1).await;
        pair.owner.put("B", 2).await;
        pair.target.put("A", 2).await;
        pair.target.put("B", 1).await;
        for key in ["A", "B"] {
            let row = world.look_until_verdict(key, Verdict::Mismatch).await;
            assert_eq!(row.fields, ["qty"]);
        }
        assert_eq!(world.open_discrepancies().await, 2);
    }

    async fn a_restart_in_the_middle_keeps_every_clock(pair: Pair) {
        pair.both("A", 1).await;
        let mut world = pair.world("2s").await;
        pair.owner.put("A", 2).await;
        let first = world.look_until_verdict("A", Verdict::InFlight).await;
        let mut oldest = 0;
        while world.last("A").unwrap().is(Verdict::InFlight) {
            world.restart().await;
            world.changes().await;
            world.recheck().await;
            let row = world.last("A").unwrap();
            assert!(row.lag_low_us >= oldest, "the clock went back: {:#?}", world.checks());
            oldest = row.lag_low_us;
            assert!(row.lag_high_us < 60_000_000, "never late: {:#?}", world.checks());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // What A was before was never seen: which of the two it is, is likely only. The stamps decide, and where
        // clocks were measured badly, or set in between, they say that the target was written last.
        let late = world.last("A").unwrap();
        assert!(late.likely && (late.is(Verdict::Stale) || late.is(Verdict::Mismatch)), "{late:?}");
        let since = |row: &plumbline::ledger::rows::DiscrepancyRow| (row.since_low, row.since_high);
        let opened = since(&world.discrepancies()[0]);
        assert!(opened.0 <= first.at && opened.1 <= first.at, "{opened:?} {first:?}");
        // A discrepancy that is open survives a restart too, and is resolved once.
        world.restart().await;
        pair.target.put("A", 2).await;
        world.look_until_verdict("A", Verdict::Match).await;
        let steps: Vec<String> = world.discrepancies().into_iter().map(|row| row.event).collect();
        assert_eq!(steps, ["opened", "resolved"]);
        assert_eq!(world.outcomes(), ["bad"]);
    }

    /// Between the watermark and the present rows come again in each read, here over many pages.
    async fn what_is_read_again_counts_once(pair: Pair) {
        const KEYS: i64 = 25;
        let small_pages = "commit_delay = \"5s\"\nbudget = { rows_per_run = 3 }";
        let mut world = pair.world_with(Setup { deadline: "60s", erp: small_pages, ..Setup::default() }).await;
        for number in 0..KEYS {
            pair.both(&format!("K{number:02}"), number).await;
        }
        let since = tokio::time::Instant::now();
        world.look_until("the overlap to pass", |_| since.elapsed() > Duration::from_secs(7)).await;
        assert_eq!(world.outcomes(), vec!["good"; KEYS as usize]);
        assert_eq!(world.checks().len(), KEYS as usize, "{:#?}", world.checks());
    }
}
