//! Values with which digests have been fooled: each pair of tables differs in exactly what is said to, or not at all.

use plumbline::sweep::Strategy;

use super::bed::{Way, config, run, sweep};
use crate::verdicts::pair::{Pair, Product};

/// Tables with these columns and rows on two PostgreSQL databases; sweeps them by digest and by stream.
async fn check(columns: &str, fields: &[(&str, &str)], owner: &str, target: &str, expect: &[&str]) {
    let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
    for (side, rows) in [(&pair.owner, owner), (&pair.target, target)] {
        run(side, &[&format!("CREATE TABLE item (id bigint PRIMARY KEY, {columns})")]).await;
        run(side, &[&format!("INSERT INTO item VALUES {rows}")]).await;
    }
    let config = config(&pair, "integer", fields, "");
    for strategy in [Strategy::Digest, Strategy::Stream] {
        sweep(&config, &pair, Way::by(strategy)).await.is(expect);
    }
}

const TWO_TEXTS: [(&str, &str); 2] = [("a", "type = \"text\""), ("b", "type = \"text\"")];
const TWO_INTEGERS: [(&str, &str); 2] = [("a", "type = \"integer\""), ("b", "type = \"integer\"")];

#[tokio::test(flavor = "multi_thread")]
async fn values_swapped_between_rows_and_columns() {
    let both = ["1 mismatch a", "2 mismatch a"];
    check("a text, b text", &TWO_TEXTS, "(1, 'x', 's'), (2, 'y', 's')", "(1, 'y', 's'), (2, 'x', 's')", &both).await;
    check("a text, b text", &TWO_TEXTS, "(1, 'x', 'y')", "(1, 'y', 'x')", &["1 mismatch a,b"]).await;
    let shifted = ["1 mismatch a", "2 mismatch a", "3 mismatch a", "4 mismatch a"];
    let (owner, target) = ("(1,1,0), (2,2,0), (3,3,0), (4,4,0)", "(1,2,0), (2,3,0), (3,4,0), (4,5,0)");
    check("a int, b int", &TWO_INTEGERS, owner, target, &shifted).await;
    check(
        "a int, b int",
        &TWO_INTEGERS,
        "(1, 7, 7), (2, NULL, NULL)",
        "(1, 7, 7), (3, NULL, NULL)",
        &["2 missing", "3 extra"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn separators_and_nulls() {
    check("a text, b text", &TWO_TEXTS, "(1, 'a|b', 'c')", "(1, 'a', 'b|c')", &["1 mismatch a,b"]).await;
    let (owner, target) =
        ("(1, NULL, 'x'), (2, NULL, 'x'), (3, '', NULL)", "(1, 'null', 'x'), (2, '', 'x'), (3, NULL, '')");
    check("a text, b text", &TWO_TEXTS, owner, target, &["1 mismatch a", "2 mismatch a", "3 mismatch a,b"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn integers_and_stamps_whose_hashes_fold_to_32_bits() {
    // The low half of one is the high half of the other.
    let (owner, target) = ("(1, 5, 4294967299), (4294967300, 1, 2)", "(1, 4294967300, 4294967299), (4294967300, 1, 2)");
    check("a bigint, b bigint", &TWO_INTEGERS, owner, target, &["1 mismatch a"]).await;
    // Keys with one folded hash swap their values.
    let (owner, target) = ("(5, 1, 2), (4294967300, 3, 4)", "(5, 3, 4), (4294967300, 1, 2)");
    check("a bigint, b bigint", &TWO_INTEGERS, owner, target, &["4294967300 mismatch a,b", "5 mismatch a,b"]).await;
    // 2^32 + 1 microseconds from a moment whose low bit is 1: one folded hash.
    let stamps = [("a", "type = \"timestamp\"")];
    let base = "timestamptz '2000-01-01 00:00:00.000001+00'";
    let (owner, target) = (format!("(1, {base})"), format!("(1, {base} + interval '4294.967295 s')"));
    check("a timestamptz", &stamps, &owner, &target, &["1 mismatch a"]).await;
    check("a timestamp", &stamps, "(1, '2026-01-01 00:00:00.000001')", "(1, '2026-01-01 00:00:00')", &["1 mismatch a"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_whose_sign_is_not_hashed() {
    let money = [("a", "type = \"decimal\"")];
    let (owner, target) = ("(1, 9.90), (2, 5), (3, -0.5)", "(1, -9.90), (2, 5), (3, 0.5)");
    let both = ["1 mismatch a", "3 mismatch a"];
    for columns in ["a numeric(12,2)", "a numeric", "a float8", "a float4"] {
        check(columns, &money, owner, target, &both).await;
    }
    let whole = [("a", "type = \"integer\"")];
    for columns in ["a bigint", "a int", "a smallint"] {
        check(columns, &whole, "(1, 7), (2, 5)", "(1, -7), (2, 5)", &["1 mismatch a"]).await;
        // The complement of a number: what 64 bits are folded by.
        check(columns, &whole, "(1, 6), (2, 5)", "(1, -7), (2, 5)", &["1 mismatch a"]).await;
    }
    let two = [("a", "type = \"decimal\""), ("b", "type = \"decimal\"")];
    check(
        "a numeric, b numeric",
        &two,
        "(1, -3, 4), (2, -1, -2), (3, NULL, 0)",
        "(1, 3, -4), (2, 1, 2), (3, NULL, -0.0)",
        &["1 mismatch a,b", "2 mismatch a,b"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enums_of_two_databases() {
    let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
    // The same words have other OIDs, and stand in another order.
    run(&pair.owner, &["CREATE TYPE filler AS ENUM ('z')", "CREATE TYPE mood AS ENUM ('new', 'done')"]).await;
    run(&pair.target, &["CREATE TYPE mood AS ENUM ('done', 'new')"]).await;
    for side in [&pair.owner, &pair.target] {
        run(
            side,
            &["CREATE TABLE item (id int PRIMARY KEY, a mood)", "INSERT INTO item VALUES (1, 'new'), (2, 'done')"],
        )
        .await;
    }
    let config = config(&pair, "integer", &[("a", "type = \"text\"")], "");
    sweep(&config, &pair, Way::by(Strategy::Digest)).await.is(&[]);
    pair.target.run("UPDATE item SET a = 'done' WHERE id = 1").await;
    sweep(&config, &pair, Way::by(Strategy::Digest)).await.is(&["1 mismatch a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_equals_only_for_the_database() {
    let text = [("a", "type = \"text\"")];
    check("a text", &text, "(1, 'x'), (2, 'é')", "(1, 'x '), (2, E'e\\u0301')", &["1 mismatch a", "2 mismatch a"])
        .await;
    let decimal = [("a", "type = \"decimal\"")];
    check("a numeric", &decimal, "(1, 1.0), (2, 1)", "(1, 1.00), (2, 1.0000000001)", &["2 mismatch a"]).await;
    check("a float8", &decimal, "(1, 0), (2, 0.1)", "(1, '-0'), (2, 0.10000000000000002)", &["2 mismatch a"]).await;
    // What cannot be read agrees with nothing, not even with itself.
    check("a float8", &decimal, "(1, 'NaN'), (2, 1)", "(1, 'NaN'), (2, 1)", &["1 invalid a"]).await;
    check("a numeric", &decimal, "(1, 'NaN'), (2, 1)", "(1, 'NaN'), (2, 1)", &["1 invalid a"]).await;
    let stamp = [("a", "type = \"timestamp\"")];
    check(
        "a timestamptz",
        &stamp,
        "(1, 'infinity'), (2, '2026-01-01')",
        "(1, 'infinity'), (2, '2026-01-01')",
        &["1 invalid a"],
    )
    .await;
    check("a text[]", &text, "(1, '{a,b}'), (2, '{\"a,b\"}')", "(1, '{a,b}'), (2, '{a,b}')", &["2 mismatch a"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn padding_and_json_are_as_the_fields_type_says() {
    let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
    run(&pair.owner, &["CREATE TABLE item (id int PRIMARY KEY, a char(5), b json)"]).await;
    run(&pair.target, &["CREATE TABLE item (id int PRIMARY KEY, a char(8), b json)"]).await;
    run(&pair.owner, &["INSERT INTO item VALUES (1, 'ab', '{\"x\":1,\"y\":[1.0]}'), (2, 'cd', '{\"x\":1}')"]).await;
    run(&pair.target, &["INSERT INTO item VALUES (1, 'ab', '{\"y\": [1], \"x\": 1}'), (2, 'cd', '{\"x\":2}')"]).await;
    let fields = [("a", "type = \"text\""), ("b", "type = \"json\"")];
    let auto = sweep(&config(&pair, "integer", &fields, ""), &pair, Way::default()).await;
    auto.is(&["1 mismatch a", "2 mismatch a,b"]);
    assert_eq!(auto.report.choice.unwrap().reason, "`erp` holds `b` as `json`, which has no proven digest");
    let cut =
        "dataset = \"item\"\nfields.id = \"id\"\nfields.b = \"b\"\nfields.a = { path = \"a\", steps = [\"trim_end\"] }";
    let entity = "key = [\"id\"]\nfields.id = \"integer\"\nfields.a = { type = \"text\", owner = \"erp\" }\nfields.b = { type = \"json\", owner = \"erp\" }";
    sweep(&super::bed::config_of(&pair, entity, cut, cut), &pair, Way::default()).await.is(&["2 mismatch b"]);
}

/// The same values in three engines, each in its own types.
#[tokio::test(flavor = "multi_thread")]
async fn types_of_three_engines_meet_in_the_fields_type() {
    let fields = [
        ("a", "type = \"timestamp\""),
        ("b", "type = \"text\""),
        ("c", "type = \"decimal\""),
        ("d", "type = \"boolean\""),
    ];
    let tables = [
        (Product::Postgres, "a timestamptz, b text, c float8, d boolean"),
        (Product::Mariadb, "a datetime, b varchar(20) COLLATE utf8mb4_general_ci, c double, d tinyint"),
        (Product::Sqlite, "a text, b text COLLATE NOCASE, c real, d integer"),
    ];
    for owner in 0..3 {
        let target = (owner + 1) % 3;
        let pair = Pair::empty(tables[owner].0, tables[target].0).await;
        for (side, number) in [(&pair.owner, owner), (&pair.target, target)] {
            run(side, &[&format!("CREATE TABLE item (id bigint PRIMARY KEY, {})", tables[number].1)]).await;
            let yes = if tables[number].0 == Product::Postgres { "true" } else { "1" };
            run(side, &[&format!("INSERT INTO item VALUES (1, '2026-01-01 10:00:00', 'Straße', 0.1, {yes}), (2, NULL, 'x', -0.0, {yes})")]).await;
        }
        // What a collation takes for equal is not equal: case, trailing blanks.
        pair.target.run("UPDATE item SET b = 'X' WHERE id = 2").await;
        let exact = config(&pair, "integer", &fields, "");
        sweep(&exact, &pair, Way::default()).await.is(&["2 mismatch b"]);
        pair.target.run("UPDATE item SET b = 'x ' WHERE id = 2").await;
        sweep(&exact, &pair, Way::default()).await.is(&["2 mismatch b"]);
        pair.target.run("UPDATE item SET b = 'x', a = '2026-01-01 10:00:01' WHERE id = 2").await;
        sweep(&exact, &pair, Way::default()).await.is(&["2 mismatch a"]);
    }
}
