//! `plumbline totals` over real servers: sums of databases and of records, days of a zone, and the keys behind them.

use std::process::{Command, Output};
use std::time::Duration;

use plumbline::clock::{AnchoredClock, Clock as _};

use crate::config_text::ConfigText;
use crate::verdicts::pair::{Database, Pair, Product, Setup};
use crate::world::World;

const ENTITY: &str = r#"
    key = ["id"]
    fields.id = { type = "integer", store = "clear" }
    fields.placed = { type = "timestamp", owner = "erp" }
    fields.total = { type = "money", owner = "erp" }
    fields.state = { type = "text", owner = "erp", store = "clear" }
"#;
const MAPPING: &str = r#"
    dataset = "item"
    scope = [{ path = "state", not_in = ["draft"] }]
    fields.id = "id"
    fields.placed = "placed"
    fields.state = "state"
    fields.total = { path = "cents", unit = "minor", currency = { path = "currency" } }
"#;

async fn fill(database: &Database) {
    let stamp = match database.product() {
        Product::Postgres => "timestamptz",
        Product::Mariadb => "datetime(6)",
        Product::Sqlite => "text",
    };
    database
        .run(&format!(
            "CREATE TABLE item (id bigint PRIMARY KEY, placed {stamp}, cents bigint, currency varchar(3), state varchar(10))"
        ))
        .await;
    // The first two lie on both sides of midnight in Berlin; refunds are negative; drafts are nobody's business.
    database
        .run(
            "INSERT INTO item VALUES (1, '2026-03-01 22:59:59', 1010, 'EUR', 'paid'), \
             (2, '2026-03-01 23:00:00', 20, 'EUR', 'paid'), (3, '2026-03-02 10:00:00', 30, 'EUR', 'Paid'), \
             (4, '2026-03-02 11:00:00', -5, 'EUR', 'paid'), (5, '2026-03-02 12:00:00', 700, 'JPY', 'paid'), \
             (6, '2026-03-02 12:00:00', 999999, 'EUR', 'draft'), (7, NULL, 1, 'EUR', 'paid')",
        )
        .await;
}

fn totals(directory: &std::path::Path, arguments: &[&str]) -> Output {
    let common = ["totals", "order", "--day", "placed", "--amount", "total", "--status", "state"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumbline"));
    command.args(common).args(arguments).current_dir(directory).output().expect("the binary runs")
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

async fn check(owner: Product, target: Product) {
    let pair = Pair::empty(owner, target).await;
    fill(&pair.owner).await;
    fill(&pair.target).await;
    let directory = tempfile::tempdir().unwrap();
    let password = |database: &Database| {
        let url = database.url();
        let file = directory.path().join(format!("{}.url", database.kind()));
        std::fs::write(&file, url).unwrap();
        format!("file:{}", file.display())
    };
    let config = ConfigText::new()
        .database("erp", pair.owner.kind(), &password(&pair.owner), "")
        .database("store", pair.target.kind(), &password(&pair.target), "")
        .entity("order", ENTITY)
        .mapping("order", "erp", MAPPING)
        .mapping("order", "store", MAPPING)
        .fresh_within("order", "1s");
    std::fs::write(directory.path().join("plumbline.toml"), config.text()).unwrap();

    let berlin = ["--time-zone", "Europe/Berlin", "--format", "json"];
    let same = totals(directory.path(), &berlin);
    assert_eq!(same.status.code(), Some(0), "{}", String::from_utf8_lossy(&same.stderr));
    let same = json(&same);
    let sides = &same["flows"][0]["sides"];
    // 1 March, 2 March (paid, Paid, JPY), and a record without a day.
    assert_eq!((&sides[0]["lines"], &sides[1]["lines"]), (&5.into(), &5.into()), "{same}");
    for (side, product) in [(0, owner), (1, target)] {
        assert_eq!(sides[side]["pushed_down"], serde_json::Value::Bool(product != Product::Sqlite), "{product:?}");
    }

    pair.target.run("UPDATE item SET cents = cents + 1 WHERE id = 2").await;
    pair.target.run("DELETE FROM item WHERE id = 5").await;
    let other = totals(directory.path(), &[&berlin[..], &["--keys"]].concat());
    assert_eq!(other.status.code(), Some(1));
    let other = json(&other);
    let differing = other["flows"][0]["differing"].as_array().unwrap();
    assert_eq!(differing.len(), 2, "{other}");
    let euro = &differing[0];
    assert_eq!(
        (&euro["day"], &euro["currency"], &euro["status"]),
        (&"2026-03-02".into(), &"EUR".into(), &"paid".into())
    );
    assert_eq!(
        (&euro["owner"]["debit"], &euro["owner"]["credit"], &euro["owner"]["records"]),
        (&"0.2".into(), &"0.05".into(), &2.into())
    );
    assert_eq!((&euro["owner"]["net"], &euro["target"]["net"]), (&"0.15".into(), &"0.16".into()));
    assert_eq!(
        (&differing[1]["currency"], &differing[1]["owner"]["net"], &differing[1]["target"]["records"]),
        (&"JPY".into(), &"700".into(), &0.into())
    );
    let keys: Vec<&str> =
        other["flows"][0]["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
    assert_eq!(keys.iter().copied().collect::<std::collections::BTreeSet<_>>(), ["2", "5"].into());

    // In UTC the first two are of one day; a cut-off at half past ten moves what comes later to the next.
    let cut = json(&totals(directory.path(), &["--cut-off", "10:30", "--format", "json", "--to", "2026-03-03"]));
    assert_eq!(cut["flows"][0]["differing"].as_array().unwrap().len(), 1, "{cut}");
    assert_eq!(cut["flows"][0]["differing"][0]["day"], "2026-03-02");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_against_mariadb() {
    check(Product::Postgres, Product::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_against_sqlite() {
    check(Product::Mariadb, Product::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_does_not_fit_is_named() {
    let pair = Pair::empty(Product::Sqlite, Product::Sqlite).await;
    let directory = tempfile::tempdir().unwrap();
    let config = ConfigText::new()
        .database("erp", "sqlite", &pair.owner.url(), "")
        .database("store", "sqlite", &pair.target.url(), "")
        .entity("order", ENTITY)
        .mapping("order", "erp", MAPPING)
        .mapping("order", "store", MAPPING)
        .fresh_within("order", "1s");
    std::fs::write(directory.path().join("plumbline.toml"), config.text()).unwrap();
    let wrong = totals(directory.path(), &["--day", "state"]);
    let (code, text) = (wrong.status.code(), String::from_utf8_lossy(&wrong.stderr).into_owned());
    assert!(code == Some(2), "{text}");
}

const PROBE: &str = r#"
    [[probe]]
    entity = "stock"
    kind = "totals"
    schedule = "every 1h"
    time_zone = "Europe/Berlin"
    day = "placed"
    amount = "total"
    status = "state"
    days = 3
"#;

/// So long ago, as a literal that both sides take alike.
fn stamp(ago: Duration) -> String {
    let moment = AnchoredClock::from_machine().now() - ago;
    format!("'{}'", moment.to_utc().format("%Y-%m-%d %H:%M:%S"))
}

/// Orders of the present, and one that is too old to be looked at.
async fn orders(pair: &Pair) {
    let (now, old) = (stamp(Duration::ZERO), stamp(Duration::from_secs(6 * 86_400)));
    for side in [&pair.owner, &pair.target] {
        let stamp = side.stamp();
        side.run(&format!(
            "CREATE TABLE item (id bigint PRIMARY KEY, placed {stamp}, cents bigint, currency varchar(3), state varchar(10))"
        ))
        .await;
        side.run(&format!(
            "INSERT INTO item VALUES (1, {now}, 1010, 'EUR', 'paid'), (2, {now}, -20, 'EUR', 'paid'), \
             (3, {now}, 30, 'USD', 'open'), (4, {old}, 5, 'EUR', 'paid'), (5, {now}, 99, 'EUR', 'draft')"
        ))
        .await;
    }
}

async fn world(pair: &Pair) -> World {
    pair.world_with(Setup { entity: ENTITY, in_erp: MAPPING, in_store: MAPPING, more: PROBE, ..Setup::default() }).await
}

/// `currency status: owner's records and net, the target's, variance`, in order; only what differs if asked.
fn shown(world: &World, only_differing: bool) -> Vec<String> {
    let rows = world.take_totals();
    assert!(rows.iter().all(|row| row.complete && row.reason.is_empty() && row.amount == "total"), "{rows:#?}");
    let mut lines: Vec<String> = rows
        .iter()
        .filter(|row| row.differs || !only_differing)
        .map(|row| {
            format!(
                "{} {}: {} {}, {} {}, {}",
                row.currency,
                row.status,
                row.owner_records,
                row.owner_net,
                row.target_records,
                row.target_net,
                row.variance
            )
        })
        .collect();
    lines.sort();
    lines
}

async fn probed(owner: Product, target: Product) {
    let pair = Pair::empty(owner, target).await;
    orders(&pair).await;
    let mut world = world(&pair).await;
    assert_eq!(world.totals().await.failure, None);
    assert_eq!(shown(&world, false), ["EUR paid: 2 9.9, 2 9.9, 0", "USD open: 1 0.3, 1 0.3, 0"]);
    let line = |name: &str| format!("plumbline_{name}{{entity=\"stock\",owner=\"erp\",target=\"store\"}}");
    assert_eq!(world.metric(&line("totals_lines")), format!("{} 2", line("totals_lines")));
    assert!(!world.metric(&line("totals_complete_timestamp_seconds")).ends_with(" 0"));
    assert!(world.checks().is_empty(), "nothing differs, so no key is looked at");
    let coverage = world.coverage().pop().unwrap();
    assert_eq!((coverage.probe.as_str(), coverage.expected, coverage.decided), ("totals", 2, 2));

    pair.target.run("UPDATE item SET cents = cents + 1 WHERE id = 2").await;
    pair.target.run("DELETE FROM item WHERE id = 3").await;
    pair.target.run("UPDATE item SET cents = 0 WHERE id = 4").await;
    assert_eq!(world.totals().await.failure, None);
    assert_eq!(shown(&world, true), ["EUR paid: 2 9.9, 2 9.91, -0.01", "USD open: 1 0.3, 0 0, 0.3"]);
    assert_eq!(world.metric(&line("totals_differing_lines")), format!("{} 2", line("totals_differing_lines")));
    assert_eq!(
        (world.verdicts("2"), world.verdicts("3")),
        (vec!["in_flight".to_owned()], vec!["in_flight".to_owned()])
    );
    world.look_until("both keys are decided", |world| world.bad_keys() == 2).await;
    assert_eq!(world.open_discrepancies().await, 2, "what lies outside of the days is no business of the probe");
    assert!(world.runs().iter().any(|run| run.probe == "totals" && run.outcome == "ok"));

    pair.target.run("DROP TABLE item").await;
    assert!(world.totals().await.failure.is_some());
    assert_eq!(world.take_totals(), [], "there are no totals of what was not read");
    assert_eq!(world.coverage().pop().unwrap().blind, "target");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_records_lines_and_finds_the_keys_of_databases_that_add_up() {
    probed(Product::Postgres, Product::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_records_lines_and_finds_the_keys_of_records() {
    probed(Product::Sqlite, Product::Postgres).await;
}

/// The owner has three decimals, the target two.
async fn rounded(owner: Product, target: Product) {
    let pair = Pair::empty(owner, target).await;
    let entity = r#"
        key = ["id"]
        fields.id = { type = "integer", store = "clear" }
        fields.placed = { type = "timestamp", owner = "erp" }
        fields.total = { type = "decimal", owner = "erp" }
        fields.state = { type = "text", owner = "erp", store = "clear" }
    "#;
    let rough = "dataset = \"item\"\nfields.id = \"id\"\nfields.placed = \"placed\"\nfields.state = \"state\"\n\
                 fields.total = { path = \"total\", steps = [{ round = 2 }] }";
    let exact = rough.replace(", steps = [{ round = 2 }]", "");
    let now = stamp(Duration::ZERO);
    for (side, digits) in [(&pair.owner, 3), (&pair.target, 2)] {
        let stamp = side.stamp();
        let create = format!(
            "CREATE TABLE item (id bigint PRIMARY KEY, placed {stamp}, total decimal(10,{digits}), state varchar(10))"
        );
        side.run(&create).await;
        // SQLite keeps what it is given.
        let amounts = if digits == 3 { ["0.005", "0.005", "-0.005"] } else { ["0.01", "0.01", "-0.01"] };
        for (id, amount) in amounts.iter().enumerate() {
            side.run(&format!("INSERT INTO item VALUES ({id}, {now}, {amount}, 'paid')")).await;
        }
    }
    let setup = Setup { entity, in_erp: &exact, in_store: rough, more: PROBE, ..Setup::default() };
    let mut world = pair.world_with(setup).await;
    world.totals().await;
    // 0.015 less 0.005 is 0.005, rounded 0.01; the sum of the rounded is 0.01: each is rounded before it is added.
    assert_eq!(shown(&world, false), [" paid: 3 0.01, 3 0.01, 0"]);
    pair.target.run("UPDATE item SET total = 0.02 WHERE id = 1").await;
    world.totals().await;
    assert_eq!(shown(&world, true), [" paid: 3 0.01, 3 0.02, -0.01"]);
    world.look_until("the key is decided", |world| world.bad_keys() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_are_rounded_one_by_one_where_a_system_holds_less() {
    rounded(Product::Postgres, Product::Mariadb).await;
    rounded(Product::Mariadb, Product::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_within_the_flows_tolerance_agree() {
    let pair = Pair::empty(Product::Postgres, Product::Mariadb).await;
    orders(&pair).await;
    let entity = ENTITY.replace("type = \"money\"", "type = \"money\", tolerance = \"0.01\"");
    let setup = Setup { entity: &entity, in_erp: MAPPING, in_store: MAPPING, more: PROBE, ..Setup::default() };
    let mut world = pair.world_with(setup).await;
    pair.target.run("UPDATE item SET cents = cents + 1 WHERE id IN (1, 2)").await;
    world.totals().await;
    let rows = world.take_totals();
    let euro = rows.iter().find(|row| row.currency == "EUR").unwrap();
    assert_eq!((euro.variance.as_str(), euro.allowed.as_str(), euro.differs), ("-0.02", "0.02", false));
    assert!(world.checks().is_empty());
    pair.target.run("UPDATE item SET cents = cents + 1 WHERE id = 1").await;
    world.totals().await;
    assert_eq!(shown(&world, true), ["EUR paid: 2 9.9, 2 9.93, -0.03"]);
    world.look_until("only the key beyond it is wrong", |world| world.bad_keys() == 1).await;
}
