//! Systems that cannot be read: unknown is never good and never bad, lowers the coverage, and nothing is lost.

use std::time::Duration;

use plumbline::model::Verdict;
use sqlx::{Connection as _, Executor as _};

use super::pair::{Database, Pair, Product, Setup};
use crate::support::{PrivateMariadb, PrivatePostgres, wait_until};
use crate::world::World;

/// The last run's outcome and reason.
fn last_run(world: &World) -> (String, String) {
    let row = world.runs().pop().unwrap();
    (row.outcome, row.reason)
}

fn is_blind(world: &World, side: &str) -> bool {
    world.coverage().last().is_some_and(|row| row.blind == side && row.decided == 0)
}

/// With wrong credentials, at the owner and at the target.
#[tokio::test]
async fn wrong_credentials_are_unknown_with_the_reason_refused() {
    for (owner, target) in [(Product::Postgres, Product::Mariadb), (Product::Mariadb, Product::Postgres)] {
        let pair = Pair::new(owner, target).await;
        let [(_, erp), (_, store)] = pair.urls();
        let wrong = |url: &str| url.replace(":plumbline@", ":hunter2@");
        let config = pair.config(Setup::default());
        let mut world = World::open(&config, &[("ERP", erp), ("STORE", wrong(&store))]).await;
        pair.owner.put("A", 1).await;
        let row = world.look_until_verdict("A", Verdict::Unknown).await;
        assert_eq!(row.reason, "refused");
        assert!(is_blind(&world, "target"), "{:?}", world.coverage().last());
        assert_eq!((world.discrepancies(), world.outcomes()), (vec![], vec![]));
        assert!(!world.recorder.text_of_all_rows().contains("hunter2"));

        let [(_, erp), (_, store)] = pair.urls();
        let mut world = World::open(&config, &[("ERP", wrong(&erp)), ("STORE", store)]).await;
        world.changes().await;
        assert_eq!(last_run(&world), ("failed".to_owned(), "refused".to_owned()));
        assert_eq!(world.checks(), []);
    }
}

on_each_pair! {
    async fn a_missing_column_is_unknown_with_the_reason_shape(pair: Pair) {
        pair.both("A", 1).await;
        let mut world = pair.world("1s").await;
        pair.target.rename("qty", "quantity").await;
        pair.owner.put("A", 2).await;
        let row = world.look_until_verdict("A", Verdict::Unknown).await;
        assert_eq!(row.reason, "shape");
        assert_eq!((world.discrepancies(), world.outcomes()), (vec![], vec![]));
        // Once the column is back the key goes on from where it was.
        pair.target.rename("quantity", "qty").await;
        world.look_until("A to be late", |world| world.bad_keys() == 1).await;
        pair.target.put("A", 2).await;
        world.look_until_verdict("A", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
        // The same at the owner.
        pair.owner.rename("qty", "quantity").await;
        world.changes().await;
        assert_eq!(last_run(&world), ("failed".to_owned(), "shape".to_owned()));
        pair.owner.rename("quantity", "qty").await;
        pair.owner.put("A", 3).await;
        pair.target.put("A", 3).await;
        world.look_until("A to be seen", |world| world.freshness().len() == 2).await;
    }

    async fn a_full_queue_slows_the_probe_says_so_and_drops_nothing(pair: Pair) {
        let mut world = pair.world_with(Setup { deadline: "60s", plumbline: "max_in_flight = 5", ..Setup::default() }).await;
        for number in 0..12 {
            pair.owner.put(&format!("K{number:02}"), number).await;
        }
        world.look_until("the queue to be full", |world| world.in_flight() >= 5).await;
        world.changes().await;
        assert_eq!(last_run(&world), ("failed".to_owned(), "in_flight_full".to_owned()));
        assert!(is_blind(&world, "auditor"));
        assert!(world.in_flight() <= 6, "{}", world.in_flight());
        for number in 0..12 {
            pair.target.put(&format!("K{number:02}"), number).await;
        }
        world.look_until("every key to match", |world| {
            (0..12).all(|number| world.last(&format!("K{number:02}")).is_some_and(|row| row.is(Verdict::Match)))
        }).await;
        assert_eq!(world.discrepancies(), []);
        assert_eq!(world.in_flight(), 0);
    }
}

#[tokio::test]
async fn a_target_that_goes_away_is_unknown_and_nothing_is_lost() {
    let mut server = PrivateMariadb::start().await;
    let pair =
        Pair { owner: Database::new(Product::Postgres).await, target: Database::Mariadb(server.database().await) };
    pair.owner.create_stock().await;
    pair.target.create_stock().await;
    goes_away(pair, async |down| if down { server.kill().await } else { server.restart().await }).await;
}

#[tokio::test]
async fn a_postgres_target_that_goes_away_is_unknown_and_nothing_is_lost() {
    let mut server = PrivatePostgres::start().await;
    let pair =
        Pair { owner: Database::new(Product::Mariadb).await, target: Database::Postgres(server.database().await) };
    pair.owner.create_stock().await;
    pair.target.create_stock().await;
    goes_away(pair, async |down| if down { server.kill().await } else { server.restart().await }).await;
}

async fn goes_away(pair: Pair, mut server: impl AsyncFnMut(bool)) {
    let mut world = pair.world("2s").await;
    pair.owner.put("LOST", 1).await;
    pair.owner.put("SYNCED", 1).await;
    pair.target.put("SYNCED", 1).await;
    world.look_until_verdict("LOST", Verdict::InFlight).await;
    server(true).await;
    pair.owner.put("SYNCED", 2).await;
    for key in ["LOST", "SYNCED"] {
        let row = world.look_until_verdict(key, Verdict::Unknown).await;
        assert!(["unreachable", "timed_out"].contains(&row.reason.as_str()), "{row:?}");
    }
    // However long it lasts, it is neither good nor bad.
    let since = tokio::time::Instant::now();
    world.look_until("the deadline to pass", |_| since.elapsed() > Duration::from_secs(3)).await;
    assert_eq!(world.discrepancies(), []);
    server(false).await;
    world.look_until_verdict("LOST", Verdict::Missing).await;
    world.look_until("SYNCED to be late", |world| world.bad_keys() == 2).await;
    pair.target.put("SYNCED", 2).await;
    pair.target.put("LOST", 1).await;
    world.look_until("both to arrive", |world| world.in_flight() == 0).await;
    assert_eq!(world.open_discrepancies().await, 0);
}

#[tokio::test]
async fn an_owner_that_goes_away_hides_nothing() {
    let mut server = PrivatePostgres::start().await;
    let pair =
        Pair { owner: Database::Postgres(server.database().await), target: Database::new(Product::Mariadb).await };
    pair.owner.create_stock().await;
    pair.target.create_stock().await;
    let mut world = pair.world("1s").await;
    pair.owner.put("A", 1).await;
    world.look_until_verdict("A", Verdict::InFlight).await;
    pair.owner.put("B", 1).await;
    server.kill().await;
    world.look_until_verdict("A", Verdict::Unknown).await;
    world.changes().await;
    assert_eq!(last_run(&world), ("failed".to_owned(), "unreachable".to_owned()));
    assert!(is_blind(&world, "owner"));
    assert_eq!(world.discrepancies(), []);
    server.restart().await;
    world.look_until_verdict("A", Verdict::Missing).await;
    world.look_until_verdict("B", Verdict::Missing).await;
}

/// The usual table of a database, held so that any read of it waits until this is dropped or released.
enum Held {
    Postgres { holder: sqlx::PgConnection, watcher: sqlx::PgConnection },
    Mariadb { holder: sqlx::MySqlConnection },
}

impl Held {
    async fn hold(database: &Database) -> Self {
        match database.product() {
            Product::Postgres => {
                let mut holder = sqlx::PgConnection::connect(&database.url()).await.unwrap();
                holder.execute("BEGIN; LOCK TABLE stock IN ACCESS EXCLUSIVE MODE").await.unwrap();
                // A transaction sees the other sessions as they were when it first asked: the holder cannot watch.
                let watcher = sqlx::PgConnection::connect(&database.url()).await.unwrap();
                Self::Postgres { holder, watcher }
            }
            Product::Mariadb => {
                let mut holder = sqlx::MySqlConnection::connect(&database.url()).await.unwrap();
                holder.execute("LOCK TABLES stock WRITE").await.unwrap();
                Self::Mariadb { holder }
            }
            Product::Sqlite => panic!("a file has no server"),
        }
    }

    /// Whether a read waits for the table.
    async fn is_waited_for(&mut self) -> bool {
        const POSTGRES: &str =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'plumbline' AND wait_event_type = 'Lock'";
        const MARIADB: &str =
            "SELECT CAST(count(*) AS SIGNED) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'";
        let waiting: i64 = match self {
            Self::Postgres { watcher, .. } => sqlx::query_scalar(POSTGRES).fetch_one(watcher).await.unwrap(),
            Self::Mariadb { holder } => sqlx::query_scalar(MARIADB).fetch_one(holder).await.unwrap(),
        };
        waiting > 0
    }

    async fn release(self) {
        match self {
            Self::Postgres { mut holder, .. } => drop(holder.execute("COMMIT").await.unwrap()),
            Self::Mariadb { mut holder } => drop(holder.execute("UNLOCK TABLES").await.unwrap()),
        }
    }
}

/// Looks at the changes of `world` and kills the server of `held` while the look waits for it.
async fn look_while_it_dies(world: &mut World, held: &Database, kill: impl AsyncFnOnce()) {
    let mut held = Held::hold(held).await;
    let killer = async {
        wait_until(async || held.is_waited_for().await).await;
        kill().await;
    };
    tokio::join!(world.changes(), killer);
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_of_a_read_of_the_target_is_unknown_and_nothing_is_lost() {
    let mut server = PrivatePostgres::start().await;
    let target = Database::Postgres(server.database().await);
    dies_at_the_target(
        Product::Mariadb,
        target,
        async |down| {
            if down { server.kill().await } else { server.restart().await }
        },
    )
    .await;

    let mut server = PrivateMariadb::start().await;
    let target = Database::Mariadb(server.database().await);
    dies_at_the_target(
        Product::Postgres,
        target,
        async |down| {
            if down { server.kill().await } else { server.restart().await }
        },
    )
    .await;
}

async fn dies_at_the_target(owner: Product, target: Database, mut server: impl AsyncFnMut(bool)) {
    let pair = Pair { owner: Database::new(owner).await, target };
    pair.owner.create_stock().await;
    pair.target.create_stock().await;
    let mut world = pair.world("2s").await;
    pair.both("A", 1).await;
    look_while_it_dies(&mut world, &pair.target, async || server(true).await).await;
    let row = world.last("A").unwrap();
    assert!(row.is(Verdict::Unknown) && row.reason == "unreachable", "{row:?}");
    assert!(is_blind(&world, "target"), "{:?}", world.coverage().last());
    server(false).await;
    world.look_until_verdict("A", Verdict::Match).await;
    assert_eq!(world.discrepancies(), []);
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_of_a_read_of_the_owner_hides_nothing() {
    let mut server = PrivatePostgres::start().await;
    let owner = Database::Postgres(server.database().await);
    dies_at_the_owner(
        owner,
        Product::Mariadb,
        async |down| {
            if down { server.kill().await } else { server.restart().await }
        },
    )
    .await;

    let mut server = PrivateMariadb::start().await;
    let owner = Database::Mariadb(server.database().await);
    dies_at_the_owner(
        owner,
        Product::Postgres,
        async |down| {
            if down { server.kill().await } else { server.restart().await }
        },
    )
    .await;
}

async fn dies_at_the_owner(owner: Database, target: Product, mut server: impl AsyncFnMut(bool)) {
    let pair = Pair { owner, target: Database::new(target).await };
    pair.owner.create_stock().await;
    pair.target.create_stock().await;
    let mut world = pair.world("2s").await;
    pair.owner.put("A", 1).await;
    look_while_it_dies(&mut world, &pair.owner, async || server(true).await).await;
    assert_eq!(last_run(&world), ("failed".to_owned(), "unreachable".to_owned()));
    assert_eq!((world.checks(), world.discrepancies()), (vec![], vec![]));
    server(false).await;
    world.look_until_verdict("A", Verdict::Missing).await;
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_unknown_with_the_reason_timed_out() {
    let pair = Pair::new(Product::Mariadb, Product::Postgres).await;
    let quick = "commit_delay = \"2s\"\nstatement_timeout = \"500ms\"";
    let mut world = pair.world_with(Setup { store: quick, ..Setup::default() }).await;
    pair.owner.put("A", 1).await;
    let held = Held::hold(&pair.target).await;
    let row = world.look_until_verdict("A", Verdict::Unknown).await;
    assert_eq!(row.reason, "timed_out");
    assert_eq!(world.discrepancies(), []);
    held.release().await;
    world.look_until_verdict("A", Verdict::Missing).await;

    let pair = Pair::new(Product::Postgres, Product::Mariadb).await;
    let mut world = pair.world_with(Setup { store: quick, ..Setup::default() }).await;
    pair.owner.put("A", 1).await;
    let held = Held::hold(&pair.target).await;
    let row = world.look_until_verdict("A", Verdict::Unknown).await;
    assert_eq!(row.reason, "timed_out");
    held.release().await;
    world.look_until_verdict("A", Verdict::Missing).await;
}
