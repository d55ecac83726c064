//! The sample probe on real systems: drift that no stamp shows, records that only one side has, and the estimate.

use std::sync::Arc;

use plumbline::model::Verdict;

use super::between::{Agenda, Between};
use super::pair::{Pair, Product, Setup};
use crate::world::World;

/// A sample probe alone.
pub(super) const SAMPLE: &str = r#"
    [[probe]]
    entity = "stock"
    kind = "sample"
    schedule = "every 1s"
    keys_per_run = 100
"#;

/// A sample probe beside the changes probe.
const BOTH: &str = r#"
    [[probe]]
    entity = "stock"
    kind = "changes"
    schedule = "every 200ms"
    [[probe]]
    entity = "stock"
    kind = "sample"
    schedule = "every 1s"
    keys_per_run = 100
"#;

fn setup(more: &'static str) -> Setup<'static> {
    Setup { more, ..Setup::default() }
}

/// The same `keys` records on both sides, written long ago.
async fn filled(pair: &Pair, keys: usize) {
    for side in [&pair.owner, &pair.target] {
        let stamp = side.now_and(-86_400);
        for chunk in (1..=keys).collect::<Vec<_>>().chunks(500) {
            let rows: Vec<String> = chunk.iter().map(|n| format!("('K{n:05}', {n}, {stamp})")).collect();
            side.run(&format!("INSERT INTO stock (sku, qty, updated_at) VALUES {}", rows.join(", "))).await;
        }
    }
}

/// Looks at due keys until nothing is in flight without a verdict.
pub(super) async fn decided(world: &mut World) {
    let bad = |row: &plumbline::ledger::rows::CheckRow| {
        Verdict::ALL.into_iter().any(|verdict| verdict.is_bad() && row.is(verdict))
    };
    let began = tokio::time::Instant::now();
    loop {
        let open = world.in_flight();
        let keys: std::collections::BTreeSet<String> =
            world.checks().iter().rev().filter(|row| bad(row)).map(|row| row.key.clone()).collect();
        if keys.len() >= open {
            return;
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{open} keys are not decided");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        world.recheck().await;
    }
}

on_each_pair! {
    async fn a_walk_sees_every_key_of_both_sides_once(pair: Pair) {
        filled(&pair, 1_234).await;
        let mut world = pair.world_with(setup(SAMPLE)).await;
        world.passes(1).await;
        let checks = world.checks();
        let keys: std::collections::HashSet<&str> = checks.iter().map(|row| row.key.as_str()).collect();
        assert_eq!((checks.len(), keys.len()), (1_234, 1_234), "each key once");
        assert!(checks.iter().all(|row| row.is(Verdict::Match) && row.probe == "sample"));
        let agreement = world.estimate("agreement");
        assert_eq!((agreement.sampled, agreement.population, agreement.bad), (1_234, 1_234, 0));
        assert_eq!((agreement.low, agreement.high), (1.0, 1.0), "all of them were looked at");
        let extra = world.estimate("extra");
        assert_eq!((extra.sampled, extra.high), (1_234, 0.0));
        let pass = world.coverage().into_iter().find(|row| row.probe == "sample_pass").unwrap();
        assert!(pass.from < pass.to && pass.expected == 1_234);
    }

    async fn drift_that_no_stamp_shows_is_found_and_never_called_bad_before_its_deadline(pair: Pair) {
        filled(&pair, 300).await;
        let mut world = pair.world_with(setup(BOTH)).await;
        pair.owner.run("UPDATE stock SET qty = 9999 WHERE sku = 'K00007'").await;
        pair.target.run("UPDATE stock SET qty = -1 WHERE sku = 'K00150'").await;
        pair.target.run("DELETE FROM stock WHERE sku = 'K00250'").await;
        pair.target.put_at("K00123x", 1, &pair.target.now_and(-86_400)).await;
        world.changes().await;
        assert_eq!(world.checks(), [], "no stamp moved: the changes probe is blind for it");
        world.passes(1).await;
        for key in ["K00007", "K00150", "K00250", "K00123x"] {
            assert_eq!(world.verdicts(key), ["in_flight"], "{key}: it may be on its way");
        }
        for (key, verdict) in [("K00250", Verdict::Missing), ("K00123x", Verdict::Extra)] {
            world.look_until_verdict(key, verdict).await;
        }
        decided(&mut world).await;
        assert_eq!(world.bad_keys(), 4);
        assert_eq!(world.open_discrepancies().await, 4);
        let (agreement, complete, extra) =
            (world.estimate("agreement"), world.estimate("completeness"), world.estimate("extra"));
        assert_eq!((agreement.sampled, agreement.bad), (300, 3));
        assert_eq!((complete.sampled, complete.bad), (300, 1));
        assert_eq!((extra.sampled, extra.bad), (300, 1));
        assert!(agreement.low <= 0.99 && 0.99 <= agreement.high, "{agreement:?}");
        pair.both("K00007", 7).await;
        pair.both("K00150", 7).await;
        pair.both("K00250", 7).await;
        pair.target.run("DELETE FROM stock WHERE sku = 'K00123x'").await;
        world.look_until("all is mended", |world| world.in_flight() == 0).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }

    async fn a_change_on_its_way_when_the_sample_looks_is_neither_good_nor_bad(pair: Pair) {
        filled(&pair, 100).await;
        let mut world = pair.world_with(Setup { deadline: "30s", ..setup(SAMPLE) }).await;
        pair.owner.run("UPDATE stock SET qty = 5000 WHERE sku = 'K00042'").await;
        world.passes(1).await;
        assert_eq!(world.verdicts("K00042"), ["in_flight"]);
        pair.target.run("UPDATE stock SET qty = 5000 WHERE sku = 'K00042'").await;
        world.look_until("it has arrived", |world| world.in_flight() == 0).await;
        assert_eq!(world.discrepancies(), []);
        let agreement = world.estimate("agreement");
        assert_eq!((agreement.sampled, agreement.bad), (99, 0), "left out");
    }

    async fn a_walk_goes_on_after_a_restart_where_it_stood(pair: Pair) {
        filled(&pair, 1_000).await;
        let mut world = pair.world_with(setup(SAMPLE)).await;
        pair.target.run("UPDATE stock SET qty = -1 WHERE sku IN ('K00100', 'K00500', 'K00900')").await;
        let mut runs = 0;
        while !world.coverage().iter().any(|row| row.probe == "sample_pass") {
            assert_eq!(world.sample().await.failure, None);
            world.restart().await;
            runs += 1;
            assert!(runs < 100, "it begins anew each time");
        }
        let checks = world.checks();
        let keys: std::collections::HashSet<&str> = checks.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys.len(), 1_000);
        assert!(runs >= 10, "100 keys a run");
        decided(&mut world).await;
        let agreement = world.estimate("agreement");
        assert_eq!((agreement.sampled, agreement.bad), (1_000, 3), "what waited was not forgotten");
    }

    async fn a_target_that_cannot_be_read_is_unknown_and_lowers_coverage(pair: Pair) {
        filled(&pair, 100).await;
        let mut world = pair.world_with(setup(SAMPLE)).await;
        pair.target.rename("qty", "quantity").await;
        let summary = world.sample().await;
        assert_eq!((summary.failure, summary.of(Verdict::Unknown)), (Some("shape"), 100));
        let row = world.coverage().into_iter().find(|row| row.probe == "sample").unwrap();
        assert_eq!((row.expected, row.decided, row.blind.as_str()), (100, 0, "target"));
        assert_eq!(world.estimates(), [], "nothing is said of what was not seen");
        assert_eq!(world.discrepancies(), []);
    }
}

/// Two orders of the same keys: a target that is not led to the owner's pieces is walked by itself.
#[tokio::test]
async fn keys_in_another_order_are_no_difference() {
    let pair = Pair::empty(Product::Postgres, Product::Mariadb).await;
    // Byte order with capitals first there, a dictionary's order here.
    pair.owner
        .run("CREATE TABLE stock (sku text COLLATE \"C\" PRIMARY KEY, qty int, name text, updated_at timestamptz NOT NULL)")
        .await;
    pair.target
        .run("CREATE TABLE stock (sku varchar(60) COLLATE utf8mb4_general_ci PRIMARY KEY, qty int, name text, updated_at datetime(6) NOT NULL)")
        .await;
    for side in [&pair.owner, &pair.target] {
        let rows: Vec<String> = (0..600)
            .map(|n| {
                let first = if n % 2 == 0 { 'a' } else { 'A' };
                format!("('{first}{n:04}', {n}, '2026-01-01 00:00:00')")
            })
            .collect();
        side.run(&format!("INSERT INTO stock (sku, qty, updated_at) VALUES {}", rows.join(", "))).await;
    }
    pair.target.run("INSERT INTO stock (sku, qty, updated_at) VALUES ('a0300x', 1, '2026-01-01 00:00:00')").await;
    let mut world = pair.world_with(setup(SAMPLE)).await;
    world.passes(1).await;
    world.look_until_verdict("a0300x", Verdict::Extra).await;
    decided(&mut world).await;
    assert_eq!(world.bad_keys(), 1, "{:#?}", world.discrepancies());
    let agreement = world.estimate("agreement");
    assert_eq!((agreement.sampled, agreement.bad), (600, 0));
}

/// The owner's keys are text, the target's are numbers: 10 comes before 9 here and after it there.
#[tokio::test]
async fn keys_of_another_type_are_walked_on_their_own() {
    let pair = Pair::empty(Product::Mariadb, Product::Postgres).await;
    pair.owner.run("CREATE TABLE stock (sku varchar(20) PRIMARY KEY, qty int, updated_at datetime(6) NOT NULL)").await;
    pair.target.run("CREATE TABLE stock (sku bigint PRIMARY KEY, qty int, updated_at timestamptz NOT NULL)").await;
    for side in [&pair.owner, &pair.target] {
        let rows: Vec<String> = (1..=3_000).map(|n| format!("('{n}', {n}, '2026-01-01 00:00:00')")).collect();
        side.run(&format!("INSERT INTO stock (sku, qty, updated_at) VALUES {}", rows.join(", "))).await;
    }
    pair.target.run("INSERT INTO stock VALUES (777777, 1, '2026-01-01 00:00:00')").await;
    let mut world = pair.world_with(setup(SAMPLE)).await;
    // The owner's walk and the target's.
    world.passes(2).await;
    let walked = |world: &World| world.last("777777").is_some();
    while !walked(&world) {
        world.sample().await;
    }
    world.look_until_verdict("777777", Verdict::Extra).await;
    decided(&mut world).await;
    assert_eq!(world.bad_keys(), 1);
    assert!(world.estimate("extra").bad == 1 && world.estimate("agreement").bad == 0);
}

/// A system that can be asked for keys only, as an HTTP service without numbered pages: its keys are drawn from the
/// other side.
#[tokio::test]
async fn a_side_that_is_read_by_key_alone_is_looked_up_by_the_other_sides_keys() {
    for by_key in ["erp", "store"] {
        let pair = Pair::new(Product::Postgres, Product::Mariadb).await;
        filled(&pair, 200).await;
        let agenda = Arc::new(Agenda::default());
        let around = |reader: Arc<dyn plumbline::connect::Reader>| {
            let by_key_only = reader.system().as_str() == by_key;
            Arc::new(Between { by_key_only, ..Between::new(reader, &agenda) }) as _
        };
        let mut world = World::open_through(&pair.config(setup(SAMPLE)), &pair.urls(), around).await;
        pair.target.run("UPDATE stock SET qty = -1 WHERE sku = 'K00042'").await;
        pair.target.run("DELETE FROM stock WHERE sku = 'K00100'").await;
        pair.owner.run("DELETE FROM stock WHERE sku = 'K00150'").await;
        world.passes(1).await;
        decided(&mut world).await;
        let bad: std::collections::BTreeSet<String> =
            world.discrepancies().into_iter().map(|row| format!("{} {}", row.key, row.verdict)).collect();
        let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
        match by_key {
            // The owner's keys come from the target: what the target lacks nobody asks for.
            "erp" => assert!(bad.len() == 2 && bad[0].starts_with("K00042") && bad[1] == "K00150 extra", "{bad:?}"),
            // The target's keys come from the owner: what the owner lacks nobody asks for.
            _ => assert!(bad.len() == 2 && bad[0].starts_with("K00042") && bad[1] == "K00100 missing", "{bad:?}"),
        }
    }
}

/// Worlds on real databases: damage in runs of neighbours and by lone keys, a part of a walk, and how often the interval
/// holds the truth. The pure test of a thousand worlds gives the figure; this one shows that the probe draws as that one
/// assumes.
#[tokio::test]
async fn the_interval_holds_the_truth_on_real_databases() {
    const KEYS: usize = 2_000;
    let more = r#"
        [[probe]]
        entity = "stock"
        kind = "sample"
        schedule = "every 1s"
        keys_per_run = 200
    "#;
    let pair = Pair::new(Product::Postgres, Product::Mariadb).await;
    filled(&pair, KEYS).await;
    let mut held = 0;
    let mut told = Vec::new();
    for seed in 0..10_usize {
        pair.target.run("UPDATE stock SET qty = CAST(substr(sku, 2) AS signed)").await;
        let run = |number: usize| (seed * 377 + number * 733) % KEYS..(seed * 377 + number * 733) % KEYS + 25;
        let bad: std::collections::BTreeSet<usize> =
            (0..6).flat_map(run).chain((0..KEYS).filter(|n| (n * 7 + seed) % 101 == 0)).filter(|n| *n > 0).collect();
        let names: Vec<String> = bad.iter().map(|n| format!("'K{n:05}'")).collect();
        pair.target.run(&format!("UPDATE stock SET qty = -1 WHERE sku IN ({})", names.join(", "))).await;
        let bad = pair.target.number("SELECT count(*) FROM stock WHERE qty = -1").await;
        let mut world = pair.world_with(setup(more)).await;
        for _ in 0..5 {
            assert_eq!(world.sample().await.failure, None);
        }
        decided(&mut world).await;
        let found = world.estimate("agreement");
        let truth = 1.0 - bad as f64 / KEYS as f64;
        held += usize::from((found.low..=found.high).contains(&truth));
        told.push(format!("{:.3} in {:.3}..{:.3} of {} keys", truth, found.low, found.high, found.sampled));
        assert!(found.design_effect > 1.0 && found.high - found.low < 0.15, "{found:?}");
    }
    // 95 of 100 hold: fewer than 6 of 10 would come by chance once in ten thousand tests.
    assert!(held >= 6, "{held} of 10: {told:#?}");
}
