//! The same planted differences on every pair of engines, by every way that is possible there.

use plumbline::sweep::Strategy;

use super::bed::{Swept, Way, config, config_of, run, sweep};
use crate::verdicts::pair::{Database, Pair, Product};

/// `id` from 1 to `rows`, not quite without gaps, with a text, a number and an amount.
async fn fill(database: &Database, key: &str, rows: usize) {
    let series = match database.product() {
        Product::Postgres => format!("SELECT n FROM generate_series(1, {rows}) AS s(n)"),
        Product::Mariadb => format!("SELECT seq AS n FROM seq_1_to_{rows}"),
        Product::Sqlite => {
            format!("WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) SELECT n FROM s")
        }
    };
    let (key_type, key) = match key {
        "integer" => ("bigint", "n * 3".to_owned()),
        _ => (
            "varchar(40)",
            match database.product() {
                Product::Mariadb => "concat('K-', md5(n))".to_owned(),
                Product::Postgres => "'K-' || md5(n::text)".to_owned(),
                Product::Sqlite => "printf('K-%08x', (n * 2654435761) & 4294967295)".to_owned(),
            },
        ),
    };
    database
        .run(&format!(
            "CREATE TABLE item (id {key_type} PRIMARY KEY, name varchar(60), qty integer, price decimal(12,2))"
        ))
        .await;
    let text = if database.product() == Product::Mariadb { "concat('item ', n)" } else { "'item ' || n" };
    database.run(&format!("INSERT INTO item SELECT {key}, {text}, n % 100, n * 0.25 FROM ({series}) AS source")).await;
}

const FIELDS: [(&str, &str); 3] =
    [("name", "type = \"text\""), ("qty", "type = \"integer\""), ("price", "type = \"decimal\"")];

/// The difference of each kind that the sides of a pair can have.
async fn plant(pair: &Pair) {
    run(
        &pair.target,
        &[
            "DELETE FROM item WHERE id IN (3, 3000, 29997)",
            "INSERT INTO item VALUES (-5, 'below', 1, 1), (3001, 'between', 1, 1), (900000, 'beyond', 1, 1)",
            "UPDATE item SET qty = qty + 1 WHERE id = 600",
            "UPDATE item SET price = price + 0.01, name = 'other' WHERE id = 15000",
            // Two rows swap a value.
            "UPDATE item SET qty = CASE id WHEN 6003 THEN 2 ELSE 1 END WHERE id IN (6003, 6006)",
            // An even number of rows is shifted alike.
            "UPDATE item SET price = price + 1 WHERE id IN (9000, 9003, 9006, 9009)",
            "UPDATE item SET name = NULL WHERE id = 12000",
            "UPDATE item SET name = 'null' WHERE id = 12003",
        ],
    )
    .await;
    run(
        &pair.owner,
        &[
            "UPDATE item SET qty = CASE id WHEN 6003 THEN 1 ELSE 2 END WHERE id IN (6003, 6006)",
            "UPDATE item SET name = 'null' WHERE id = 12000",
            "UPDATE item SET name = NULL WHERE id = 12003",
        ],
    )
    .await;
}

const PLANTED: [&str; 16] = [
    "-5 extra",
    "12000 mismatch name",
    "12003 mismatch name",
    "15000 mismatch name,price",
    "29997 missing",
    "3 missing",
    "3000 missing",
    "3001 extra",
    "600 mismatch qty",
    "6003 mismatch qty",
    "6006 mismatch qty",
    "9000 mismatch price",
    "900000 extra",
    "9003 mismatch price",
    "9006 mismatch price",
    "9009 mismatch price",
];

async fn pair_of(owner: Product, target: Product, key: &str) -> Pair {
    let pair = Pair::empty(owner, target).await;
    fill(&pair.owner, key, 10_000).await;
    fill(&pair.target, key, 10_000).await;
    pair
}

async fn integer_keys(owner: Product, target: Product, ways: &[(Way, Strategy)]) {
    let pair = pair_of(owner, target, "integer").await;
    let config = config(&pair, "integer", &FIELDS, "");
    let clean = sweep(&config, &pair, Way::default()).await;
    clean.is(&[]);
    assert_eq!((clean.report.piece.owner_rows, clean.report.piece.target_rows), (10_000, 10_000));
    plant(&pair).await;
    for (way, expect) in ways {
        let way = Way { strategy: way.strategy, ..Way::default() };
        let swept: Swept = sweep(&config, &pair, way).await;
        swept.is(&PLANTED);
        assert_eq!(swept.strategy(), *expect, "{:?}", swept.report.choice);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_postgres_compare_by_themselves() {
    let ways = [
        (Way::default(), Strategy::Digest),
        (Way::by(Strategy::Digest), Strategy::Digest),
        (Way::by(Strategy::Stream), Strategy::Stream),
    ];
    integer_keys(Product::Postgres, Product::Postgres, &ways).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn different_engines_are_streamed() {
    let ways = [(Way::default(), Strategy::Stream)];
    integer_keys(Product::Postgres, Product::Mariadb, &ways).await;
    integer_keys(Product::Mariadb, Product::Sqlite, &ways).await;
    integer_keys(Product::Sqlite, Product::Postgres, &ways).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_without_an_order_in_common_go_together_all_the_same() {
    for (owner, target) in [(Product::Postgres, Product::Mariadb), (Product::Postgres, Product::Postgres)] {
        let pair = pair_of(owner, target, "text").await;
        let config = config(&pair, "text", &FIELDS, "");
        sweep(&config, &pair, Way::default()).await.is(&[]);
        pair.target.run("DELETE FROM item WHERE name = 'item 77'").await;
        pair.target.run("UPDATE item SET qty = 7777 WHERE name = 'item 78'").await;
        pair.target.run("INSERT INTO item VALUES ('Z', 'new', 1, 1), ('a', 'new', 1, 1)").await;
        let expect = [
            "K-28dd2c7955ce926456240b2ff0100bde missing",
            "K-35f4a8d465e6e1edc05f3d8ab658c551 mismatch qty",
            "Z extra",
            "a extra",
        ];
        sweep(&config, &pair, Way::by(Strategy::Stream)).await.is(&expect);
        // Little memory: what waits for its partner waits on disk.
        sweep(&config, &pair, Way { memory: 100_000, ..Way::by(Strategy::Stream) }).await.is(&expect);
        let auto = sweep(&config, &pair, Way::default()).await;
        auto.is(&expect);
        let alike = owner == target;
        assert_eq!(auto.strategy() == Strategy::Digest, alike, "{:?}", auto.report.choice);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scope_and_projection_hold_in_every_way() {
    let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
    for side in [&pair.owner, &pair.target] {
        run(
            side,
            &[
                "CREATE TABLE item (id int PRIMARY KEY, state text, price numeric)",
                "INSERT INTO item SELECT n, CASE n % 2 WHEN 0 THEN 'sale' ELSE 'draft' END, n + 0.125 \
                 FROM generate_series(1, 3000) s(n)",
            ],
        )
        .await;
    }
    // A draft differs: nobody's business. A draft here is a sale there: extra there. The third decimal is cut.
    run(
        &pair.target,
        &[
            "UPDATE item SET price = 1 WHERE id = 1",
            "UPDATE item SET state = 'sale' WHERE id = 3",
            "UPDATE item SET state = 'draft' WHERE id = 4",
            "UPDATE item SET price = price + 0.001 WHERE id = 6",
            "UPDATE item SET price = price + 0.1 WHERE id = 8",
        ],
    )
    .await;
    let entity = "key = [\"id\"]\nfields.id = \"integer\"\nfields.price = { type = \"decimal\", owner = \"erp\" }";
    let scope = "dataset = \"item\"\nscope = [{ path = \"state\", eq = \"sale\" }]\nfields.id = \"id\"\n";
    let rounded = format!("{scope}fields.price = {{ path = \"price\", steps = [{{ round = 2 }}] }}");
    let config = config_of(&pair, entity, &rounded, &rounded);
    for strategy in [Strategy::Digest, Strategy::Stream] {
        sweep(&config, &pair, Way::by(strategy)).await.is(&["3 extra", "4 missing", "8 mismatch price"]);
    }
    // Another rule on one side is read here, and says so.
    let config = config_of(&pair, entity, &format!("{scope}fields.price = \"price\""), &rounded);
    let swept = sweep(&config, &pair, Way::default()).await;
    swept.is(&["3 extra", "4 missing", "8 mismatch price"]);
    let choice = swept.report.choice.unwrap();
    assert_eq!(
        (choice.strategy, choice.reason.as_str()),
        (Strategy::Stream, "field `price`: the two mappings read it differently")
    );
}
