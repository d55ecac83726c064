//! `plumbline totals` over real servers: sums of databases and of records, days of a zone, and the keys behind them.

use std::process::{Command, Output};

use crate::config_text::ConfigText;
use crate::verdicts::pair::{Database, Pair, Product};

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
