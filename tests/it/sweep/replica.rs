//! A real streaming replica that lags: sweeps rest, say so, and go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plumbline::audit::sweep::Stage;
use sqlx::{AssertSqlSafe, Executor, PgPool};

use super::bed::{Way, sweep_with};
use crate::config_text::ConfigText;
use crate::support::{PrivatePostgres, postgres, wait_until};
use crate::world::World;

const ENTITY: &str = r#"
    key = ["id"]
    fields.id = { type = "integer", store = "clear" }
    fields.qty = { type = "integer", owner = "erp" }
"#;
const MAPPING: &str = "dataset = \"item\"\nfields = { id = \"id\", qty = \"qty\" }";

async fn run(pool: &PgPool, text: &str) {
    pool.execute(AssertSqlSafe(text.to_owned())).await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

async fn holds(pool: &PgPool, condition: &str) -> bool {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT {condition}"))).fetch_one(pool).await.unwrap()
}

/// Lets the replica lie more than a second behind a primary that has gone on to write.
async fn fall_behind(primary: &PgPool, replica: &PgPool, change: &str) {
    run(primary, "CREATE TABLE IF NOT EXISTS beat (n bigint)").await;
    run(primary, "INSERT INTO beat VALUES (1)").await;
    wait_until(async || holds(replica, "pg_last_xact_replay_timestamp() IS NOT NULL").await).await;
    run(replica, "SELECT pg_wal_replay_pause()").await;
    wait_until(async || holds(replica, "pg_get_wal_replay_pause_state() = 'paused'").await).await;
    run(primary, change).await;
    let is_behind = "clock_timestamp() - pg_last_xact_replay_timestamp() > interval '1.5 s' \
                     AND pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()";
    wait_until(async || holds(replica, is_behind).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_rests_while_a_replica_lags() {
    let owner = postgres().await.database().await;
    let primary = PrivatePostgres::start().await;
    let primary_pool = PgPool::connect(&primary.url()).await.unwrap();
    for pool in [&owner.pool(), &primary_pool] {
        run(pool, "CREATE TABLE item (id bigint PRIMARY KEY, qty bigint)").await;
        run(pool, "INSERT INTO item SELECT n, n FROM generate_series(1, 5000) s(n)").await;
    }
    run(&primary_pool, "UPDATE item SET qty = -1 WHERE id = 7").await;
    let replica = primary.replica().await;
    let pool = PgPool::connect(&replica.url()).await.unwrap();
    let config = ConfigText::new()
        .database("erp", "postgres", "env:ERP", "")
        .database("store", "postgres", "env:STORE", "max_replica_lag = \"1s\"")
        .entity("item", ENTITY)
        .mapping("item", "erp", MAPPING)
        .mapping("item", "store", MAPPING)
        .probe("item", "sweep", "every 1h", "")
        .fresh_within("item", "1s")
        .text();
    let urls = [("ERP", owner.url()), ("STORE", replica.url())];

    // The primary mends what differs, and the replica does not show it yet.
    fall_behind(&primary_pool, &pool, "UPDATE item SET qty = 7 WHERE id = 7").await;
    let (rests, caught_up) = (AtomicU64::new(0), AtomicBool::new(false));
    let sweeping = sweep_with(&config, &urls, Way::default(), |progress| {
        if let Stage::Resting(behind) = &progress.stage {
            assert_eq!((behind.system.as_str(), progress.piece.target_rows), ("store", 0));
            assert!(behind.lag.as_secs_f64() > 1.0);
            rests.fetch_add(1, Ordering::Relaxed);
        } else if matches!(progress.stage, Stage::Reading) {
            assert!(caught_up.load(Ordering::Relaxed), "it reads while the replica lags");
        }
    });
    let catching_up = async {
        wait_until(async || rests.load(Ordering::Relaxed) >= 2).await;
        caught_up.store(true, Ordering::Relaxed);
        run(&pool, "SELECT pg_wal_replay_resume()").await;
    };
    let (swept, ()) = tokio::join!(sweeping, catching_up);
    swept.is(&[]);

    // The same on a schedule.
    let mut world = World::open(&config, &urls).await;
    fall_behind(&primary_pool, &pool, "UPDATE item SET qty = -2 WHERE id = 9").await;
    world.units[0].begin_sweep();
    world.units[0].sweep_part().await.unwrap();
    assert!(world.units[0].is_sweeping() && world.sweeps().is_empty() && world.checks().is_empty());
    let lag =
        || world.metric("plumbline_sweep_replica_lag_seconds{").rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    assert!(lag() > 1.0);
    run(&pool, "SELECT pg_wal_replay_resume()").await;
    wait_until(async || holds(&pool, "pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn()").await).await;
    while world.units[0].is_sweeping() {
        assert_eq!(world.units[0].sweep_part().await.unwrap().failure, None);
    }
    let lag = world.metric("plumbline_sweep_replica_lag_seconds{");
    assert!(lag.ends_with(" 0"), "{lag}");
    assert_eq!(world.sweeps().last().unwrap().event, "completed");
    assert_eq!(world.verdicts("9"), ["in_flight"]);
}
