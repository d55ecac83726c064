//! Types that engines hold in their own ways, each in the form that the field's type and the mapping's steps declare.

use super::bed::{Way, config_of, run, sweep};
use crate::verdicts::pair::{Database, Pair, Product};

const ENTITY: &str = r#"
    key = ["id"]
    fields.id = { type = "integer", store = "clear" }
    fields.doc = { type = "json", owner = "erp" }
    fields.at = { type = "timestamp", owner = "erp" }
    fields.code = { type = "text", owner = "erp" }
    fields.name = { type = "text", owner = "erp" }
    fields.share = { type = "decimal", owner = "erp" }
"#;

/// Seconds on the target, microseconds on the owner; padded codes; names in any normal form.
fn mapping(precision: &str) -> String {
    format!(
        "dataset = \"item\"\nfields.id = \"id\"\nfields.doc = \"doc\"\nfields.share = \"share\"\n\
         fields.at = {{ path = \"at\"{precision} }}\n\
         fields.code = {{ path = \"code\", steps = [\"trim_end\"] }}\n\
         fields.name = {{ path = \"name\", steps = [\"nfc\"] }}"
    )
}

const DECOMPOSED: &str = "cafe\u{301}";
const COMPOSED: &str = "café";

async fn fill(side: &Database, is_owner: bool) {
    let columns = match side.product() {
        Product::Postgres => "doc jsonb, at timestamptz, code char(8), name text, share float8",
        Product::Mariadb => "doc json, at datetime(6), code char(8), name varchar(40), share double",
        Product::Sqlite => "doc text, at text, code text, name text, share real",
    };
    run(side, &[&format!("CREATE TABLE item (id bigint PRIMARY KEY, {columns})")]).await;
    let (doc, at, code, name, zero) = match is_owner {
        true => (r#"{"a": 1, "b": [1.0, {"c": null}]}"#, "2026-01-01 10:00:00.987654", "ab   ", DECOMPOSED, "0"),
        false => (r#"{"b":[1,{"c":null}],"a":1}"#, "2026-01-01 10:00:00", "ab", COMPOSED, "-0.0"),
    };
    for id in 1..=6 {
        let row = format!("INSERT INTO item VALUES ({id}, '{doc}', '{at}', '{code}', '{name}', {zero})");
        run(side, &[&row]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_precision_padding_normal_forms_and_minus_zero_are_as_declared() {
    let products = [Product::Postgres, Product::Mariadb, Product::Sqlite];
    for owner in 0..3 {
        let pair = Pair::empty(products[owner], products[(owner + 1) % 3]).await;
        fill(&pair.owner, true).await;
        fill(&pair.target, false).await;
        let config = config_of(&pair, ENTITY, &mapping(""), &mapping(", steps = [{ precision = \"second\" }]"));
        sweep(&config, &pair, Way::default()).await.is(&[]);
        for change in [
            "doc = '{\"a\": 1, \"b\": [1, {\"c\": 0}]}' WHERE id = 1",
            "at = '2026-01-01 10:00:01' WHERE id = 2",
            "code = ' ab' WHERE id = 3",
            "name = 'cafe' WHERE id = 4",
            "share = 0.1 WHERE id = 5",
        ] {
            pair.target.run(&format!("UPDATE item SET {change}")).await;
        }
        sweep(&config, &pair, Way::default()).await.is(&[
            "1 mismatch doc",
            "2 mismatch at",
            "3 mismatch code",
            "4 mismatch name",
            "5 mismatch share",
        ]);
        // Without the declarations every row differs in what the engines hold differently.
        let plain = mapping("").replace(", steps = [\"nfc\"]", "");
        let strict = sweep(&config_of(&pair, ENTITY, &plain, &plain), &pair, Way::default()).await;
        assert_eq!(strict.found["6"].1, ["at", "name"], "{:?}", products[owner]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_go_by_their_text_and_json_by_its_value() {
    let pair = Pair::empty(Product::Postgres, Product::Mariadb).await;
    run(&pair.owner, &["CREATE TABLE item (id int PRIMARY KEY, tags text[], doc json)"]).await;
    run(&pair.target, &["CREATE TABLE item (id int PRIMARY KEY, tags varchar(40), doc json)"]).await;
    let doc = r#"{"x":1}"#;
    run(
        &pair.owner,
        &[&format!("INSERT INTO item VALUES (1, '{{a,b}}', '{doc}'), (2, '{{}}', '{doc}'), (3, '{{NULL}}', '{doc}')")],
    )
    .await;
    run(
        &pair.target,
        &[&format!(
            "INSERT INTO item VALUES (1, '{{a,b}}', '{doc}'), (2, '{{}}', '{{\"x\":1.00}}'), (3, '{{null}}', '{doc}')"
        )],
    )
    .await;
    let entity = "key = [\"id\"]\nfields.id = { type = \"integer\", store = \"clear\" }\n\
                  fields.tags = { type = \"text\", owner = \"erp\" }\nfields.doc = { type = \"json\", owner = \"erp\" }";
    let mapping = "dataset = \"item\"\nfields = { id = \"id\", tags = \"tags\", doc = \"doc\" }";
    sweep(&config_of(&pair, entity, mapping, mapping), &pair, Way::default()).await.is(&["3 mismatch tags"]);
}
