//! The binary as people and scripts meet it: exit codes, stdout, stderr.

use std::path::Path;
use std::process::{Command, Output};

use plumbline::clock::AnchoredClock;
use plumbline::sandbox::{Company, Places, config};

use crate::config_text::{demo_options, nobody_answers};

use crate::config_text::ConfigText;
use crate::verdicts::pair::QUANTITIES;

fn plumbline(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plumbline"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the binary runs")
}

fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{out}\nstderr:\n{err}");
    assert!(out.contains(stdout), "no `{stdout}` in stdout:\n{out}\nstderr:\n{err}");
    assert!(err.contains(stderr), "no `{stderr}` in stderr:\n{err}");
}

#[test]
fn help_is_good_and_a_wrong_command_line_is_usage() {
    let directory = tempfile::tempdir().expect("a directory");
    check(&plumbline(directory.path(), &["--help"]), 0, "Usage: plumbline", "");
    check(&plumbline(directory.path(), &["--version"]), 0, env!("CARGO_PKG_VERSION"), "");
    check(&plumbline(directory.path(), &[]), 2, "", "Usage: plumbline");
    check(&plumbline(directory.path(), &["chekc"]), 2, "", "'check'");
    check(&plumbline(directory.path(), &["check", "--log", "plumbline=loud"]), 2, "", "`--log plumbline=loud`");
}

#[test]
fn check_prints_the_flows_of_the_demo_company() {
    let directory = tempfile::tempdir().expect("a directory");
    config::write(directory.path(), &demo_options(), &nobody_answers()).expect("files");
    let output = plumbline(directory.path(), &["check"]);
    check(&output, 0, "product: erp -> warehouse   title, price  ", "");
    check(&output, 0, "stock: warehouse -> erp", "");
    check(&output, 0, "every 1s", "");
}

#[test]
fn check_names_every_problem_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = config::write(directory.path(), &demo_options(), &nobody_answers()).expect("files");
    let config = std::fs::read_to_string(file).expect("a config");
    let config = config.replace("commit_delay", "comit_delay").replace("owner = \"warehouse\"", "owner = \"warehose\"");
    std::fs::write(directory.path().join("broken.toml"), config).expect("a file");
    let output = plumbline(directory.path(), &["check", "--config", "broken.toml"]);
    check(&output, 2, "", "`commit_delay`");
    check(&output, 2, "", "broken.toml:51:1");
    check(&output, 2, "", "`warehouse`");
}

#[test]
fn a_config_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    check(&plumbline(directory.path(), &["check", "--config", "none.toml"]), 2, "", "none.toml");
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_reports_in_every_form() {
    let directory = tempfile::tempdir().expect("a directory");
    let pair = crate::verdicts::pair::Pair::empty(
        crate::verdicts::pair::Product::Sqlite,
        crate::verdicts::pair::Product::Sqlite,
    )
    .await;
    for (side, rows) in [(&pair.owner, "(1, 5), (2, 6), (3, 7)"), (&pair.target, "(1, 5), (2, 0), (4, 8)")] {
        side.run("CREATE TABLE item (id integer PRIMARY KEY, qty integer)").await;
        side.run(&format!("INSERT INTO item VALUES {rows}")).await;
    }
    let mapping = "dataset = \"item\"\nfields = { id = \"id\", qty = \"qty\" }";
    let config = ConfigText::new()
        .database("erp", "sqlite", &pair.owner.url(), "")
        .database("store", "sqlite", &pair.target.url(), "")
        .entity("item", "key = [\"id\"]\nfields.id = \"integer\"\nfields.qty = { type = \"integer\", owner = \"erp\" }")
        .mapping("item", "erp", mapping)
        .mapping("item", "store", mapping)
        .fresh_within("item", "1s")
        .text();
    std::fs::write(directory.path().join("plumbline.toml"), config).expect("a file");
    let sweep = |arguments: &[&str]| plumbline(directory.path(), &[&["sweep"], arguments].concat());
    let table = sweep(&["item"]);
    check(&table, 1, "item: erp -> store: ", "by stream: `erp` computes no digests");
    check(&table, 1, "1 missing, 1 extra", "");
    check(&table, 1, "3 rows of erp and 3 of store", "");
    check(&table, 1, "qty: erp 6, store 0", "");
    check(&table, 1, "verified through 20", "");
    let json = sweep(&["item", "--format", "json", "--flow", "erp:store"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["flows"][0]["differences"].as_array().expect("a list").len(), 3);
    assert_eq!((&json["flows"][0]["complete"], &json["flows"][0]["strategy"]), (&true.into(), &"stream".into()));
    let lines = sweep(&["item", "--format", "jsonl"]);
    let lines: Vec<serde_json::Value> =
        lines.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!((lines.len(), &lines[3]["owner_rows"]), (4, &3.into()));
    check(&sweep(&["item", "--format", "csv"]), 1, "item,erp,store,4,extra,", "");
    check(&sweep(&["item", "--strategy", "digest"]), 3, "not complete: `--strategy digest` is not possible", "");
    check(&sweep(&["item", "--flow", "store:erp"]), 2, "", "known: `erp:store`");
    pair.owner.run("UPDATE item SET qty = 0 WHERE id = 2").await;
    pair.owner.run("UPDATE item SET id = 4, qty = 8 WHERE id = 3").await;
    check(&sweep(&["item"]), 0, "no differences", "");
}

/// The demo company, with its config. Nobody works there, but store and CRM answer.
async fn company() -> (tempfile::TempDir, Company) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = demo_options();
    let program = Path::new(env!("CARGO_BIN_EXE_plumbline"));
    let places = Places::in_directory(directory.path(), program).expect("an empty directory");
    let company = Company::create(places, options, AnchoredClock::from_machine()).await.expect("a company");
    config::write(directory.path(), &demo_options(), company.addresses()).expect("files");
    (directory, company)
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_a_healthy_company_healthy() {
    let (directory, _company) = company().await;
    let output = plumbline(directory.path(), &["doctor"]);
    check(&output, 0, "erp", "");
    check(&output, 0, "warehouse", "");
    check(&output, 0, " 0 errors", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_what_is_missing() {
    let (directory, _company) = company().await;
    let file = directory.path().join("plumbline.toml");
    let config = std::fs::read_to_string(&file).expect("a config");
    std::fs::write(&file, config.replace("dataset = \"bin\"", "dataset = \"bins\"")).expect("a file");
    check(&plumbline(directory.path(), &["doctor"]), 1, "bins", "");
    std::fs::remove_file(directory.path().join("erp.db")).expect("a file");
    check(&plumbline(directory.path(), &["doctor"]), 1, "erp", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_prepares_state_and_ledger_and_may_run_twice() {
    let (directory, _company) = company().await;
    for _ in 0..2 {
        let output = plumbline(directory.path(), &["migrate"]);
        check(&output, 0, "state: up to date\nledger: up to date\n", "");
    }
}

/// The stock of two SQLite files.
fn two_files() -> ConfigText {
    ConfigText::new()
        .database("erp", "sqlite", "sqlite:erp.db", "")
        .database("store", "sqlite", "sqlite:store.db", "")
        .entity("stock", QUANTITIES)
}

/// 3,000 articles whose codes the store writes in small letters.
async fn with_codes(directory: &Path) {
    for (file, code) in [("erp.db", "'K' || n"), ("store.db", "' k' || n")] {
        let url = format!("sqlite://{}?mode=rwc", directory.join(file).display());
        let pool = sqlx::SqlitePool::connect(&url).await.expect("a database");
        let filled = format!(
            "CREATE TABLE stock (id INTEGER PRIMARY KEY, code TEXT, qty INTEGER, at TEXT);
            CREATE INDEX stock_code ON stock (code);
            CREATE INDEX stock_at ON stock (at, id);
            WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000)
            INSERT INTO stock SELECT n, {code}, n, '2026-01-01 00:00:00' FROM n"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(filled)).execute(&pool).await.expect("rows");
        pool.close().await;
    }
    let by_code = "dataset = \"stock\"\nchanged_at = \"at\"";
    let in_capitals =
        "native = \"id\"\nfields.sku = { path = \"code\", steps = [\"trim\", \"upper\"] }\nfields.qty = \"qty\"";
    let config = two_files()
        .plumbline("data_dir = \"data\"")
        .mapping("stock", "erp", &format!("{by_code}\nfields = {{ sku = \"code\", qty = \"qty\" }}"))
        .mapping("stock", "store", &format!("{by_code}\n{in_capitals}"))
        .probe("stock", "changes", "every 30s", "")
        .text();
    std::fs::write(directory.join("plumbline.toml"), config).expect("a file");
}

#[tokio::test]
async fn an_index_of_keys_is_looked_at_by_doctor_and_counted_by_plan() {
    use plumbline::audit::auditor::{open_state, secret};
    use plumbline::audit::key_store::Indexes;
    use plumbline::clock::{AnchoredClock, Clock};
    use std::sync::Arc;
    let directory = tempfile::tempdir().expect("a directory");
    with_codes(directory.path()).await;
    check(&plumbline(directory.path(), &["doctor"]), 0, "begins with the first probe", "");
    assert!(!directory.path().join("data").exists(), "doctor begins nothing");
    check(&plumbline(directory.path(), &["plan", "--keys", "3000"]), 0, "keys of `store` are found by an index", "");
    let config = plumbline::config::load(&directory.path().join("plumbline.toml")).expect("a config");
    std::fs::create_dir(&config.plumbline.data_dir).expect("a directory");
    let secret = secret(&config).expect("a secret");
    let state = open_state(&config, &secret).await.expect("a state");
    let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::from_machine());
    let indexes = Indexes::new(state.clone(), secret.digest_key(), Arc::clone(&clock));
    let store = "store".parse().expect("a name");
    let mapping = &config.entities.values().next().expect("an entity").mappings[&store];
    let reader = plumbline::connect::open(&config.systems[&store], clock).expect("a reader");
    indexes.before(reader, mapping).expect("an index").keep_up(mapping).await.expect("a full index");
    state.close().await;
    check(&plumbline(directory.path(), &["doctor"]), 0, "3000 addresses, complete as of", "");
}

#[tokio::test]
async fn a_single_look_fills_an_index_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    with_codes(directory.path()).await;
    check(&plumbline(directory.path(), &["probe", "stock", "--once"]), 0, "stock: erp -> store: 3000 match", "");
}

/// A config over two SQLite files of which the owner's has 3,000 keys.
async fn with_keys(directory: &Path) {
    let url = format!("sqlite://{}?mode=rwc", directory.join("erp.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.expect("a database");
    let filled = "CREATE TABLE stock (sku TEXT PRIMARY KEY, qty INTEGER, at TEXT);
        WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000)
        INSERT INTO stock SELECT 'K' || n, n, '2026-01-01 00:00:00' FROM n";
    sqlx::raw_sql(filled).execute(&pool).await.expect("rows");
    pool.close().await;
    let fields = "fields = { sku = \"sku\", qty = \"qty\" }";
    let config = two_files()
        .mapping("stock", "erp", &format!("dataset = \"stock\"\nchanged_at = \"at\"\n{fields}"))
        .mapping("stock", "store", &format!("dataset = \"stock\"\n{fields}"))
        .probe("stock", "sample", "every 5m", "keys_per_run = 500")
        .text();
    std::fs::write(directory.join("plumbline.toml"), config).expect("a file");
}

#[tokio::test]
async fn plan_counts_the_keys_and_foretells() {
    let directory = tempfile::tempdir().expect("a directory");
    with_keys(directory.path()).await;
    let output = plumbline(directory.path(), &["plan", "--format", "json", "--detect", "1%", "--within", "6h"]);
    check(&output, 0, "", "");
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let flow = &plan["flows"][0];
    assert_eq!((flow["keys"]["source"].as_str(), flow["keys"]["count"].as_u64()), (Some("counted"), Some(3_000)));
    assert_eq!(flow["sample"]["walk_seconds"].as_f64(), Some(1_800.0), "six runs");
    assert!(flow["blind"][0].as_str().is_some_and(|blind| blind.contains("no changes probe")), "{flow}");
    assert_eq!(plan["proposals"][0]["sample"]["keys_per_run"].as_u64().map(|keys| keys >= 10), Some(true), "{plan}");

    let output = plumbline(directory.path(), &["plan", "--keys", "stock=2000000"]);
    check(&output, 0, "stock: erp -> store  (2,000,000 keys, as said, deadline 5m)", "");
    check(&output, 0, "drift of  1 %", "");
    check(&plumbline(directory.path(), &["plan", "--keys", "stok=1"]), 2, "", "`stok` is not an entity");
    check(&plumbline(directory.path(), &["plan", "--detect", "100%", "--within", "1h"]), 2, "", "above 0 and below 1");
    check(&plumbline(directory.path(), &["plan", "--detect", "1%"]), 2, "", "--within");

    std::fs::remove_file(directory.path().join("erp.db")).expect("it is there");
    let output = plumbline(directory.path(), &["plan"]);
    check(&output, 3, "100,000 keys assumed: nobody knows", "`--keys` can say it");
}
