//! Time: late commits, stamps that are newer than they should be, clocks that are off or jump, hours that happen
//! twice or never.

use std::time::Duration;

use plumbline::model::Verdict;
use sqlx::{Connection, Executor, MySqlConnection, PgConnection};

use super::pair::{Database, Pair, Product, STOCK, Setup};
use crate::support::{PrivateMariadb, PrivatePostgres};

#[tokio::test]
async fn a_postgres_transaction_that_commits_20_seconds_after_its_stamp_is_found() {
    let pair = Pair::new(Product::Postgres, Product::Mariadb).await;
    let mut world = pair.world_with(Setup { erp: "", ..Setup::default() }).await;
    let mut late = PgConnection::connect(&pair.owner.url()).await.unwrap();
    late.execute("BEGIN").await.unwrap();
    late.execute("INSERT INTO stock (sku, qty, updated_at) VALUES ('LATE', 1, now())").await.unwrap();
    let opened = tokio::time::Instant::now();
    let mut number = 0;
    while opened.elapsed() < Duration::from_secs(20) {
        let sku = format!("K{number}");
        number += 1;
        pair.both(&sku, number).await;
        world.look_until_verdict(&sku, Verdict::Match).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(world.last("LATE"), None);
    late.execute("COMMIT").await.unwrap();
    // Its stamp is 20 deadlines old, but nobody could have synced it before its commit.
    let row = world.look_until_verdict("LATE", Verdict::InFlight).await;
    assert!(row.lag_low_us < 1_000_000, "{row:?}");
    let row = world.look_until_verdict("LATE", Verdict::Missing).await;
    assert!(row.lag_low_us > 1_000_000 && row.lag_low_us < 15_000_000, "{row:?}");
    pair.target.put("LATE", 1).await;
    world.look_until_verdict("LATE", Verdict::Match).await;
    assert_eq!(world.open_discrepancies().await, 0);
}

#[tokio::test]
async fn a_mariadb_transaction_that_commits_within_the_declared_delay_is_found() {
    let pair = Pair::new(Product::Mariadb, Product::Postgres).await;
    let mut world = pair.world_with(Setup { erp: "commit_delay = \"10s\"", ..Setup::default() }).await;
    let mut late = MySqlConnection::connect(&pair.owner.url()).await.unwrap();
    late.execute("BEGIN").await.unwrap();
    late.execute("INSERT INTO stock (sku, qty, updated_at) VALUES ('LATE', 1, utc_timestamp(6))").await.unwrap();
    for number in 0..8 {
        let sku = format!("K{number}");
        pair.both(&sku, number).await;
        world.look_until_verdict(&sku, Verdict::Match).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    late.execute("COMMIT").await.unwrap();
    world.look_until_verdict("LATE", Verdict::InFlight).await;
    world.look_until_verdict("LATE", Verdict::Missing).await;
}

on_each_pair! {
    async fn a_target_written_after_the_owner_is_not_taken_for_fresh(pair: Pair) {
        pair.both("A", 1).await;
        let mut world = pair.world("1s").await;
        pair.owner.put("A", 2).await;
        // Somebody saves the old value again: the target's stamp is now newer than the owner's.
        pair.target.put("A", 1).await;
        let row = loop {
            world.look_until("A to be seen", |world| world.last("A").is_some()).await;
            pair.target.put("A", 1).await;
            world.recheck().await;
            let row = world.last("A").unwrap();
            if !row.is(Verdict::InFlight) {
                break row;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert!(row.is(Verdict::Stale) || row.is(Verdict::Mismatch), "{row:?}");
        assert_eq!(world.open_discrepancies().await, 1);
    }
}

/// Clocks that are off are shown by what writes the stamps: the application's clock, not the database's.
#[tokio::test]
async fn an_applications_clock_that_is_an_hour_ahead_misses_nothing_and_accuses_nobody() {
    for (owner, target) in [
        (Product::Postgres, Product::Mariadb),
        (Product::Mariadb, Product::Postgres),
        (Product::Sqlite, Product::Sqlite),
    ] {
        let pair = Pair::new(owner, target).await;
        let mut world = pair.world("2s").await;
        let ahead = pair.owner.now_and(3_600);
        pair.owner.put_at("A", 1, &ahead).await;
        let row = world.look_until_verdict("A", Verdict::InFlight).await;
        assert!(row.lag_low_us < 2_000_000);
        pair.target.put("A", 1).await;
        let row = world.look_until_verdict("A", Verdict::Match).await;
        assert!(row.lag_high_us < 3_000_000_000, "{row:?}");
        // A later change with a smaller stamp, as the clock is set right, is seen as well.
        pair.owner.put("A", 2).await;
        world.look_until_verdict("A", Verdict::InFlight).await;
        world.look_until("A to be late", |world| world.bad_keys() == 1).await;
    }
}

/// Local times without a zone, in a system that declares where it stands.
fn in_zone(zone: &str) -> String {
    format!("commit_delay = \"2s\"\ntime_zone = \"{zone}\"")
}

#[tokio::test]
async fn stamps_without_a_zone_are_read_in_the_declared_one() {
    for product in [Product::Postgres, Product::Mariadb, Product::Sqlite] {
        let pair = Pair::empty(product, Product::Sqlite).await;
        let kind = match product {
            Product::Postgres => "timestamp",
            Product::Mariadb => "datetime(6)",
            Product::Sqlite => "text",
        };
        pair.owner
            .run(&format!("CREATE TABLE stock (sku varchar(60) PRIMARY KEY, qty integer, updated_at {kind})"))
            .await;
        pair.target.create_stock().await;
        // Kolkata is 5:30 ahead of UTC all year round.
        let local = match product {
            Product::Postgres => "(clock_timestamp() AT TIME ZONE 'Asia/Kolkata')",
            Product::Mariadb => "(utc_timestamp(6) + interval 330 minute)",
            Product::Sqlite => "strftime('%Y-%m-%d %H:%M:%f', 'now', '+330 minutes')",
        };
        let setup = Setup { deadline: "30s", erp: &in_zone("Asia/Kolkata"), ..Setup::default() };
        let mut world = pair.world_with(setup).await;
        pair.owner.put_at("A", 1, local).await;
        let row = world.look_until_verdict("A", Verdict::InFlight).await;
        assert!(row.lag_high_us < 20_000_000, "{row:?}");
        pair.target.put("A", 1).await;
        world.look_until_verdict("A", Verdict::Match).await;
        assert_eq!(world.outcomes(), ["good"]);
    }
}

#[tokio::test]
async fn coarse_and_local_stamps_are_read_again_and_count_once() {
    let zone = "time_zone = \"Asia/Kolkata\"";
    for (product, kind, now) in [
        (Product::Postgres, "date", "(clock_timestamp() AT TIME ZONE 'Asia/Kolkata')::date"),
        (Product::Mariadb, "date", "DATE(utc_timestamp(6) + interval 330 minute)"),
        (Product::Sqlite, "text", "strftime('%Y-%m-%d %H:%M:%f', 'now', '+330 minutes')"),
    ] {
        let pair = Pair::empty(product, Product::Sqlite).await;
        let table = format!("CREATE TABLE stock (sku varchar(60) PRIMARY KEY, qty integer, updated_at {kind})");
        pair.owner.run(&table).await;
        // Without a stamp of the target nothing tells that it held the state before.
        pair.target.run("CREATE TABLE stock (sku varchar(60) PRIMARY KEY, qty integer, updated_at text)").await;
        let in_store = "dataset = \"stock\"\nfields = { sku = \"sku\", qty = \"qty\" }";
        let mut world = pair.world_with(Setup { deadline: "60s", erp: zone, in_store, ..Setup::default() }).await;
        pair.target.put("A", 1).await;
        pair.owner.put_at("A", 1, now).await;
        let since = tokio::time::Instant::now();
        world.look_until("more reads", |_| since.elapsed() > Duration::from_secs(10)).await;
        assert_eq!(world.outcomes(), ["good"], "{product:?}");
        assert_eq!(world.checks().len(), 1, "{product:?} {:#?}", world.checks());
        // A change within the same coarse stamp is a change.
        pair.target.put("A", 2).await;
        pair.owner.put_at("A", 2, now).await;
        world.look_until("the second change", |world| world.outcomes().len() > 1).await;
        assert_eq!(world.outcomes(), ["good", "good"], "{product:?}");
    }
}

/// A time stamp as data: without a zone in the owner, an instant in the target.
async fn compared_time(owner: Product, local: &str, instant: &str) -> String {
    let pair = Pair::empty(owner, Product::Postgres).await;
    let (naive, stamp) = match owner {
        Product::Postgres => ("timestamp", "timestamptz"),
        Product::Mariadb => ("datetime(6)", "datetime(6)"),
        Product::Sqlite => ("text", "text"),
    };
    pair.owner
        .run(&format!("CREATE TABLE stock (sku varchar(60) PRIMARY KEY, paid {naive}, updated_at {stamp})"))
        .await;
    pair.target.run("CREATE TABLE stock (sku text PRIMARY KEY, paid timestamptz, updated_at timestamptz)").await;
    let mapping = |zone: &str| {
        format!(
            "dataset = \"stock\"\nchanged_at = {{ path = \"updated_at\", zone = \"UTC\" }}\nfields.sku = \"sku\"\nfields.paid = {{ path = \"paid\"{zone} }}"
        )
    };
    let setup = Setup {
        entity: "key = \"sku\"\nfields.sku = { type = \"text\", store = \"clear\" }\nfields.paid = { type = \"timestamp\", owner = \"erp\" }",
        in_erp: &mapping(", zone = \"Europe/Berlin\""),
        in_store: &mapping(""),
        ..Setup::default()
    };
    let mut world = pair.world_with(setup).await;
    let (now, target_now) = (pair.owner.now(), pair.target.now());
    pair.owner.run(&format!("INSERT INTO stock VALUES ('A', '{local}', {now})")).await;
    pair.target.run(&format!("INSERT INTO stock VALUES ('A', '{instant}', {target_now})")).await;
    world.look_until("A to be decided", |world| world.last("A").is_some_and(|row| !row.is(Verdict::InFlight))).await;
    world.last("A").unwrap().verdict
}

#[tokio::test]
async fn local_times_are_compared_as_instants_also_where_a_clock_changes() {
    for owner in [Product::Postgres, Product::Mariadb, Product::Sqlite] {
        let check = async |local: &str, instant: &str, expect: Verdict| {
            assert_eq!(compared_time(owner, local, instant).await, expect.as_str(), "{owner:?} {local} {instant}");
        };
        check("2026-07-01 12:00:00.25", "2026-07-01 10:00:00.25+00", Verdict::Match).await;
        check("2026-07-01 12:00:00", "2026-07-01 12:00:00+00", Verdict::Mismatch).await;
        // Berlin skips from 02:00 to 03:00: no instant at all.
        check("2026-03-29 02:30:00", "2026-03-29 01:30:00+00", Verdict::Invalid).await;
        // Berlin has 02:30 twice: the earlier of the two is meant.
        check("2026-10-25 02:30:00", "2026-10-25 00:30:00+00", Verdict::Match).await;
        check("2026-10-25 02:30:00", "2026-10-25 01:30:00+00", Verdict::Mismatch).await;
    }
}

#[tokio::test]
async fn a_target_that_stamps_whole_seconds_gives_lags_that_hold_the_truth() {
    let pair = Pair::empty(Product::Mariadb, Product::Mariadb).await;
    for database in [&pair.owner, &pair.target] {
        database
            .run("CREATE TABLE stock (sku varchar(60) PRIMARY KEY, qty integer, updated_at datetime NOT NULL)")
            .await;
    }
    let mut world = pair.world_with(Setup { deadline: "30s", in_erp: STOCK, ..Setup::default() }).await;
    for qty in 0..5 {
        let written = tokio::time::Instant::now();
        pair.owner.put("A", qty).await;
        let before = written.elapsed();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let least = written.elapsed() - before;
        pair.target.put("A", qty).await;
        let most = written.elapsed();
        let events = usize::try_from(qty).unwrap() + 1;
        world.look_until("the arrival", |world| world.freshness().len() == events).await;
        let event = world.freshness().pop().unwrap();
        assert_eq!(event.outcome, "good");
        let (low, high) = (Duration::from_micros(event.lag_low_us), Duration::from_micros(event.lag_high_us));
        assert!(low <= most && high >= least, "[{low:?}, {high:?}] does not meet [{least:?}, {most:?}]");
    }
}

/// An owner whose own clock is an hour ahead, and is then set half an hour behind while it is read.
async fn off_and_jumping(pair: Pair, set_clock: impl Fn(i64)) {
    let mut world = pair.world("30s").await;
    for (sku, jump) in [("A", None), ("B", Some(-1_800)), ("C", Some(7_200))] {
        if let Some(seconds) = jump {
            set_clock(seconds);
        }
        let written = tokio::time::Instant::now();
        pair.owner.put(sku, 1).await;
        let row = world.look_until_verdict(sku, Verdict::InFlight).await;
        assert!(Duration::from_micros(row.lag_low_us) <= written.elapsed(), "{row:?}");
        let least = written.elapsed().saturating_sub(Duration::from_secs(1));
        pair.target.put(sku, 1).await;
        let most = written.elapsed();
        let row = world.look_until_verdict(sku, Verdict::Match).await;
        let (low, high) = (Duration::from_micros(row.lag_low_us), Duration::from_micros(row.lag_high_us));
        assert!(low <= most && high >= least && high < Duration::from_secs(30), "{row:?} {least:?} {most:?}");
    }
    assert_eq!((world.discrepancies(), world.in_flight()), (vec![], 0));
    // What is read again after a clock was set back is not counted again.
    assert_eq!(world.outcomes(), ["good", "good", "good"], "{:#?}", world.freshness());
}

#[tokio::test]
async fn a_postgres_whose_clock_is_off_and_jumps_misses_nothing_and_accuses_nobody() {
    let server = PrivatePostgres::start_ahead(3_600).await;
    let pair =
        Pair { owner: Database::Postgres(server.database().await), target: Database::new(Product::Mariadb).await };
    pair.owner.create_stock().await;
    pair.target.create_stock().await;
    off_and_jumping(pair, |seconds| server.set_clock(seconds)).await;
}

#[tokio::test]
async fn a_mariadb_whose_clock_is_off_and_jumps_misses_nothing_and_accuses_nobody() {
    let server = PrivateMariadb::start_ahead(3_600).await;
    let pair =
        Pair { owner: Database::Mariadb(server.database().await), target: Database::new(Product::Postgres).await };
    pair.owner.create_stock().await;
    pair.target.create_stock().await;
    off_and_jumping(pair, |seconds| server.set_clock(seconds)).await;
}
