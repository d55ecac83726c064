//! What a target can hold: less text, fewer decimals, other case, padding, whole seconds; and values beyond it all.

use plumbline::model::Verdict;

use super::pair::{Database, Pair, Product, Setup};
use crate::world::World;

/// Two tables of one field each, in types of the case.
struct Held<'a> {
    /// The field's type and settings.
    field: &'a str,
    /// The owner's column type.
    owner: &'a str,
    /// The target's column type.
    target: &'a str,
    /// How the owner's mapping reads its column.
    in_erp: &'a str,
    /// How the target's mapping reads its column.
    in_store: &'a str,
}

const ENTITY: &str = r#"key = ["sku"]
    fields.sku = { type = "text", store = "clear" }
    fields.held = "#;

fn mapping(field: &str) -> String {
    format!("dataset = \"stock\"\nchanged_at = \"updated_at\"\nfields.sku = \"sku\"\nfields.held = {field}")
}

async fn create(database: &Database, kind: &str) {
    let stamp = database.stamp();
    let columns = format!("sku varchar(60) PRIMARY KEY, held {kind}, updated_at {stamp} NOT NULL");
    database.run(&format!("CREATE TABLE stock ({columns})")).await;
}

async fn hold(database: &Database, sku: &str, literal: &str) {
    let now = database.now();
    database.run(&format!("DELETE FROM stock WHERE sku = '{sku}'")).await;
    database.run(&format!("INSERT INTO stock VALUES ('{sku}', {literal}, {now})")).await;
}

async fn world(pair: &Pair, held: &Held<'_>) -> World {
    create(&pair.owner, held.owner).await;
    create(&pair.target, held.target).await;
    let setup = Setup {
        entity: &format!("{ENTITY}{{ {}, owner = \"erp\", store = \"clear\" }}", held.field),
        in_erp: &mapping(held.in_erp),
        in_store: &mapping(held.in_store),
        ..Setup::default()
    };
    pair.world_with(setup).await
}

/// Writes rows to both sides (the owner's literal, the target's) and waits for the verdict of each.
async fn judged(pair: &Pair, held: &Held<'_>, rows: &[(&str, &str, Verdict)]) -> World {
    let mut world = world(pair, held).await;
    for (number, (owner, target, _)) in rows.iter().enumerate() {
        hold(&pair.owner, &format!("K{number}"), owner).await;
        hold(&pair.target, &format!("K{number}"), target).await;
    }
    for (number, (.., verdict)) in rows.iter().enumerate() {
        world.look_until_verdict(&format!("K{number}"), *verdict).await;
    }
    let bad = rows.iter().filter(|(.., verdict)| verdict.is_bad()).count();
    assert_eq!(world.open_discrepancies().await, bad as u64, "{:#?}", world.checks());
    world
}

/// A text field, held as is by the owner and as `kind` by the target.
const fn text<'a>(kind: &'a str, in_store: &'a str) -> Held<'a> {
    Held { field: "type = \"text\"", owner: "varchar(100)", target: kind, in_erp: "\"held\"", in_store }
}

async fn pairs() -> [Pair; 3] {
    [
        Pair::empty(Product::Postgres, Product::Mariadb).await,
        Pair::empty(Product::Mariadb, Product::Postgres).await,
        Pair::empty(Product::Sqlite, Product::Sqlite).await,
    ]
}

#[tokio::test]
async fn what_the_target_cuts_is_no_difference_when_declared() {
    let step = r#"{ path = "held", steps = [{ truncate = 5 }] }"#;
    for pair in pairs().await {
        let rows = [("'Hammer and nails'", "'Hamme'", Verdict::Match), ("'Hammer'", "'Hamm'", Verdict::Mismatch)];
        judged(&pair, &text("varchar(5)", step), &rows).await;
    }
    for pair in pairs().await {
        judged(&pair, &text("varchar(5)", "\"held\""), &[("'Hammer'", "'Hamme'", Verdict::Mismatch)]).await;
    }
}

#[tokio::test]
async fn what_the_target_upper_cases_is_no_difference_when_declared() {
    let step = r#"{ path = "held", steps = ["upper"] }"#;
    for pair in pairs().await {
        let rows = [("'Straße'", "'STRASSE'", Verdict::Match), ("'nail'", "'NAILS'", Verdict::Mismatch)];
        judged(&pair, &text("varchar(100)", step), &rows).await;
    }
    for pair in pairs().await {
        judged(&pair, &text("varchar(100)", "\"held\""), &[("'nail'", "'NAIL'", Verdict::Mismatch)]).await;
    }
}

#[tokio::test]
async fn the_blanks_of_a_char_column_are_no_difference_when_declared() {
    let step = r#"{ path = "held", steps = ["trim_end"] }"#;
    // MariaDB takes the blanks off again when it reads a CHAR; SQLite keeps what it is given.
    for pair in pairs().await {
        judged(&pair, &text("char(10)", step), &[("'nail'", "'nail      '", Verdict::Match)]).await;
    }
    for (product, verdict) in [
        (Product::Postgres, Verdict::Mismatch),
        (Product::Mariadb, Verdict::Match),
        (Product::Sqlite, Verdict::Mismatch),
    ] {
        let pair = Pair::empty(Product::Sqlite, product).await;
        judged(&pair, &text("char(10)", "\"held\""), &[("'nail'", "'nail      '", verdict)]).await;
    }
}

#[tokio::test]
async fn what_the_target_rounds_is_no_difference_when_declared() {
    let number = |in_store| Held {
        field: "type = \"decimal\"",
        owner: "decimal(20, 6)",
        target: "decimal(20, 2)",
        in_erp: "\"held\"",
        in_store,
    };
    for pair in pairs().await {
        let rows = [
            ("1.005", "1.01", Verdict::Match),
            ("-1.005", "-1.01", Verdict::Match),
            ("1.004", "1.01", Verdict::Mismatch),
        ];
        judged(&pair, &number(r#"{ path = "held", steps = [{ round = 2 }] }"#), &rows).await;
    }
    for pair in pairs().await {
        judged(&pair, &number("\"held\""), &[("1.005", "1.01", Verdict::Mismatch)]).await;
    }
}

#[tokio::test]
async fn whole_seconds_are_no_difference_when_declared() {
    let (exact, whole) = ("'2026-05-01 10:00:00.900000'", "'2026-05-01 10:00:00'");
    let next = "'2026-05-01 10:00:01'";
    for pair in pairs().await {
        let (owner, target) = match pair.owner.product() {
            Product::Postgres => ("timestamp(6)", "datetime"),
            Product::Mariadb => ("datetime(6)", "timestamp(0)"),
            Product::Sqlite => ("text", "text"),
        };
        let field = "type = \"timestamp\"";
        let held = |in_store| Held { field, owner, target, in_erp: "\"held\"", in_store };
        let step = r#"{ path = "held", steps = [{ precision = "second" }] }"#;
        let rows = [(exact, whole, Verdict::Match), (exact, next, Verdict::Mismatch)];
        judged(&pair, &held(step), &rows).await;
        pair.owner.run("DROP TABLE stock").await;
        pair.target.run("DROP TABLE stock").await;
        judged(&pair, &held("\"held\""), &[(exact, whole, Verdict::Mismatch)]).await;
    }
}

#[tokio::test]
async fn numbers_beyond_64_bits_are_compared_exactly() {
    for pair in pairs().await {
        let kind = if pair.owner.product() == Product::Sqlite { "text" } else { "decimal(40, 0)" };
        let held =
            Held { field: "type = \"integer\"", owner: kind, target: kind, in_erp: "\"held\"", in_store: "\"held\"" };
        let quoted = |digits: &str| format!("'{digits}'");
        let (big, next) =
            (quoted("123456789012345678901234567890123456"), quoted("123456789012345678901234567890123457"));
        let rows = [(big.as_str(), big.as_str(), Verdict::Match), (&big, &next, Verdict::Mismatch)];
        judged(&pair, &held, &rows).await;
    }
}

#[tokio::test]
async fn an_unsigned_number_beyond_i64_is_compared_exactly() {
    let pair = Pair::empty(Product::Mariadb, Product::Postgres).await;
    let held = Held {
        field: "type = \"integer\"",
        owner: "bigint unsigned",
        target: "numeric",
        in_erp: "\"held\"",
        in_store: "\"held\"",
    };
    let largest = "18446744073709551615";
    let rows = [(largest, largest, Verdict::Match), (largest, "18446744073709551614", Verdict::Mismatch)];
    judged(&pair, &held, &rows).await;
}

#[tokio::test]
async fn not_a_number_is_invalid_and_never_equal() {
    let pair = Pair::empty(Product::Postgres, Product::Mariadb).await;
    let held = Held {
        field: "type = \"decimal\"",
        owner: "double precision",
        target: "double",
        in_erp: "\"held\"",
        in_store: "\"held\"",
    };
    let rows =
        [("'NaN'", "NULL", Verdict::Invalid), ("'Infinity'", "1", Verdict::Invalid), ("0.1", "0.1", Verdict::Match)];
    judged(&pair, &held, &rows).await;
    let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
    let held = Held { owner: "numeric", target: "numeric", ..held };
    judged(&pair, &held, &[("'NaN'", "'NaN'", Verdict::Invalid), ("12.30", "12.3", Verdict::Match)]).await;
}

#[tokio::test]
async fn money_is_exact_in_every_scale_and_unit() {
    let cents = r#"{ path = "held", unit = "minor", currency = "EUR" }"#;
    let euros = r#"{ path = "held", currency = "EUR" }"#;
    for pair in pairs().await {
        let held = Held {
            field: "type = \"money\"",
            owner: "decimal(20, 4)",
            target: "bigint",
            in_erp: euros,
            in_store: cents,
        };
        let rows = [
            ("12.3", "1230", Verdict::Match),
            ("12.3001", "1230", Verdict::Mismatch),
            ("-0.01", "-1", Verdict::Match),
            ("90071992547409.93", "9007199254740993", Verdict::Match),
        ];
        // A SQLite number with a point is a binary float: beyond 15 digits it holds another amount.
        let exact = if pair.owner.product() == Product::Sqlite { 3 } else { 4 };
        judged(&pair, &held, &rows[..exact]).await;
    }
}

const fn amounts<'a>(in_erp: &'a str, in_store: &'a str) -> Held<'a> {
    Held { field: "type = \"money\"", owner: "bigint", target: "bigint", in_erp, in_store }
}

#[tokio::test]
async fn yen_have_no_minor_unit_and_currencies_are_never_equal() {
    let of = |unit: &str, code: &str| format!(r#"{{ path = "held", {unit} currency = "{code}" }}"#);
    for pair in pairs().await {
        let (minor, major) = (of("unit = \"minor\",", "JPY"), of("", "JPY"));
        judged(&pair, &amounts(&minor, &major), &[("500", "500", Verdict::Match)]).await;
    }
    for pair in pairs().await {
        let (yen, euros) = (of("", "JPY"), of("", "EUR"));
        judged(&pair, &amounts(&yen, &euros), &[("500", "500", Verdict::Mismatch)]).await;
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_invalid_and_never_equal() {
    for pair in pairs().await {
        // PostgreSQL takes no such text; it comes from a column of bytes.
        let kind = |product| match product {
            Product::Postgres => ("bytea", "'\\xff61'", "'\\x61'"),
            Product::Mariadb => ("blob", "x'ff61'", "x'61'"),
            Product::Sqlite => ("blob", "x'ff61'", "x'61'"),
        };
        let (owner, broken, a) = kind(pair.owner.product());
        let (target, target_broken, target_a) = kind(pair.target.product());
        let held = Held { owner, target, ..text("", "\"held\"") };
        let rows = [
            (broken, target_broken, Verdict::Invalid),
            (a, target_broken, Verdict::Invalid),
            (a, target_a, Verdict::Match),
        ];
        let world = judged(&pair, &held, &rows).await;
        let row = world.last("K0").unwrap();
        let told = format!("{} {:?} {:?} {:?}", row.reason, row.fields, row.owner_values, row.target_values);
        assert!(!told.contains("255") && !told.contains("ff61"), "the row repeats no data: {told}");
    }
}

#[tokio::test]
async fn null_is_equal_to_null_only() {
    for pair in pairs().await {
        let rows = [
            ("NULL", "NULL", Verdict::Match),
            ("NULL", "''", Verdict::Mismatch),
            ("''", "NULL", Verdict::Mismatch),
            ("'null'", "NULL", Verdict::Mismatch),
        ];
        judged(&pair, &text("varchar(100)", "\"held\""), &rows).await;
    }
}

#[tokio::test]
async fn a_record_of_20_megabytes_agrees_or_differs_like_any_other() {
    const LONG: usize = 20 * 1024 * 1024;
    for pair in pairs().await {
        let kind = |product| match product {
            Product::Mariadb => "longtext",
            _ => "text",
        };
        let (owner, target) = (kind(pair.owner.product()), kind(pair.target.product()));
        let held = Held { owner, target, ..text("", "\"held\"") };
        let mut world = world(&pair, &held).await;
        let filled = |database: &Database, end: char| match database.product() {
            Product::Sqlite => format!("replace(hex(zeroblob({LONG} / 2)), '00', 'ab') || '{end}'"),
            Product::Postgres => format!("repeat('ab', {LONG} / 2) || '{end}'"),
            Product::Mariadb => format!("concat(repeat('ab', {LONG} / 2), '{end}')"),
        };
        let before = peak_memory();
        for (sku, end) in [("same", 'x'), ("other", 'y')] {
            hold(&pair.owner, sku, &filled(&pair.owner, 'x')).await;
            hold(&pair.target, sku, &filled(&pair.target, end)).await;
        }
        world.look_until_verdict("same", Verdict::Match).await;
        let row = world.look_until_verdict("other", Verdict::Mismatch).await;
        // The ledger keeps the beginning only.
        assert!(row.owner_values[0].len() < 1_000);
        // Four records at once, each as the driver's bytes, the value, its projection; allocators keep some more, and
        // SQLite writes in this process, too.
        let copies = (peak_memory() - before) as f64 / LONG as f64 / 4.0;
        assert!(copies < 9.0, "{:?}: {copies} times the length of a record", pair.owner.product());
    }
}

/// The most memory that this process has held so far, in bytes (proc(5), `VmHWM`).
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
