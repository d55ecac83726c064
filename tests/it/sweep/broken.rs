//! Connections that break in the middle of a sweep: what was not read is not called different.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plumbline::audit::sweep::{Ended, Progress, Stage};
use plumbline::model::Verdict;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::runtime::Handle;

use super::bed::{Way, config, run, sweep_with};
use crate::support::PrivatePostgres;
use crate::verdicts::pair::{Pair, Product};

const QTY: [(&str, &str); 1] = [("qty", "type = \"integer\"")];
const ROWS: &str = "INSERT INTO item SELECT n, n FROM generate_series(1, 300000) AS s(n)";
const TABLE: &str = "CREATE TABLE item (id bigint PRIMARY KEY, qty bigint)";

/// Runs something to its end in the middle of a sweep, which waits for it.
fn in_the_middle(work: impl Future<Output = ()>) {
    tokio::task::block_in_place(|| Handle::current().block_on(work));
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_are_made_anew_or_unread_and_never_differences() {
    let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
    for side in [&pair.owner, &pair.target] {
        run(side, &[TABLE, ROWS]).await;
    }
    run(&pair.target, &["UPDATE item SET qty = -1 WHERE id = 299000"]).await;
    let config = config(&pair, "integer", &QTY, "");
    let cut = AtomicU64::new(0);
    let progress = |progress: Progress| {
        if progress.stage == Stage::Reading {
            in_the_middle(async {
                // All of the sweep's connections to the target, in use or not.
                let cut_off = pair.target.number(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND application_name = 'plumbline'",
                );
                cut.fetch_add(cut_off.await.unsigned_abs(), Ordering::Relaxed);
            });
        }
    };
    let swept = sweep_with(&config, &pair.urls(), Way::default(), progress).await;
    assert!(cut.load(Ordering::Relaxed) > 0, "a connection was cut");
    match &swept.report.ended {
        Ended::Complete => swept.is(&["299000 mismatch qty"]),
        Ended::Failed(reason) => {
            assert!(reason.contains("store"), "{reason}");
            assert!(swept.report.verified_through.is_none() && swept.found.keys().all(|key| key == "299000"));
        }
        other => panic!("{other:?}"),
    }
    sweep_with(&config, &pair.urls(), Way::default(), |_| {}).await.is(&["299000 mismatch qty"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_the_middle_is_unread_and_no_difference() {
    let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
    run(&pair.owner, &[TABLE, ROWS]).await;
    let mut server = PrivatePostgres::start().await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    for statement in [TABLE, ROWS] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let config = config(&pair, "integer", &QTY, "");
    let urls = [("ERP", pair.owner.url()), ("STORE", server.url())];
    let way = || Way { wait: Duration::from_secs(1), ..Way::default() };
    let mut is_dead = false;
    let swept = sweep_with(&config, &urls, way(), |progress| {
        if progress.stage == Stage::Reading && !is_dead {
            is_dead = true;
            in_the_middle(server.kill());
        }
    })
    .await;
    assert!(is_dead);
    let Ended::Failed(reason) = &swept.report.ended else { panic!("{:?}", swept.report.ended) };
    assert!(reason.contains("`store` cannot be reached"), "{reason}");
    assert_eq!((swept.found.len(), swept.report.verified_through), (0, None));
    assert!(swept.report.is_blind() && !swept.report.differs(), "exit code 3");
    assert_eq!(swept.report.of(Verdict::Match), 0);
    server.restart().await;
    let urls = [("ERP", pair.owner.url()), ("STORE", server.url())];
    sweep_with(&config, &urls, way(), |_| {}).await.is(&[]);
}
