//! A sweep whose auditor is killed at each boundary between memory, disk, state and ledger: it goes on behind its checkpoint,
//! its result is exact, and nothing is in the ledger twice.

use clickhouse::Client;
use plumbline::fault::POINTS;
use plumbline::ledger::engine::EmbeddedEngine;
use plumbline::ledger::{LedgerOptions, migrate};
use tokio::process::Command;

use crate::config_text::ConfigText;
use crate::verdicts::pair::{Database, Pair, Product};

const ENTITY: &str = r#"
    key = ["id"]
    fields.id = { type = "integer", store = "clear" }
    fields.qty = { type = "integer", owner = "erp" }
"#;
const MAPPING: &str = "dataset = \"item\"\nfields = { id = \"id\", qty = \"qty\" }";
/// More than the first piece goes through.
const ROWS: u64 = 250_000;

struct Place {
    engine: EmbeddedEngine,
    dir: tempfile::TempDir,
    pair: Pair,
}

impl Place {
    async fn new() -> Self {
        let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
        let fill = async |side: &Database| {
            side.run("CREATE TABLE item (id bigint PRIMARY KEY, qty bigint)").await;
            side.run(&format!("INSERT INTO item SELECT n, n FROM generate_series(1, {ROWS}) s(n)")).await;
            side.run("ANALYZE item").await;
        };
        fill(&pair.owner).await;
        fill(&pair.target).await;
        pair.target.run("UPDATE item SET qty = -1 WHERE id IN (5, 30000)").await;
        pair.target.run("DELETE FROM item WHERE id = 249999").await;
        let dir = tempfile::tempdir().unwrap();
        let engine = EmbeddedEngine::start(crate::engine::options(dir.path().join("engine"))).await.unwrap();
        let place = Self { engine, dir, pair };
        migrate(&place.client(), &LedgerOptions::default()).await.unwrap();
        place
    }

    fn client(&self) -> Client {
        let client = Client::default().with_url(self.engine.url()).with_database("plumbline");
        client.with_user(self.engine.user()).with_password(self.engine.password())
    }

    /// One life of the auditor of this tenant; whether it came to its end.
    async fn live(&self, tenant: &str, fault: &str) -> bool {
        let home = self.dir.path().join(tenant);
        std::fs::create_dir_all(&home).unwrap();
        let config = ConfigText::new()
            .plumbline(&format!("tenant = \"{tenant}\""))
            .database("erp", "postgres", "env:ERP", "commit_delay = \"1s\"")
            .database("store", "postgres", "env:STORE", "commit_delay = \"1s\"")
            .entity("stock", ENTITY)
            .mapping("stock", "erp", MAPPING)
            .mapping("stock", "store", MAPPING)
            .probe("stock", "sweep", "every 1h", "")
            .fresh_within("stock", "1s");
        std::fs::write(home.join("plumbline.toml"), config.text()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sweep-child"));
        command.arg(&home).args([&self.engine.url(), self.engine.user(), self.engine.password()]);
        command.args([self.pair.owner.url(), self.pair.target.url()]).kill_on_drop(true);
        if !fault.is_empty() {
            command.env("PLUMBLINE_FAULT", fault);
        }
        let output = command.output().await.unwrap();
        let done = String::from_utf8_lossy(&output.stdout).contains("done");
        assert_eq!(output.status.success(), done, "{}", String::from_utf8_lossy(&output.stderr));
        assert!(done || !fault.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        done
    }

    /// What is in the ledger of this tenant is what one undisturbed sweep leaves.
    async fn check(&self, tenant: &str) {
        for (question, expect) in [
            ("countIf(event = 'completed') FROM sweeps", 1),
            ("uniqExact(sweep_id) FROM sweeps", 1),
            ("max(owner_records) FROM sweeps", ROWS),
            ("max(target_records) FROM sweeps", ROWS - 1),
            ("count() - uniqExact(run_id) FROM sweeps", 0),
            // Each checkpoint is behind the one before: no span was gone through twice.
            ("count() - uniqExact(owner_records) FROM sweeps", 0),
            ("count() - uniqExact(run_id) FROM runs", 0),
            ("uniqExact(key) FROM checks", 3),
            ("countIf(event = 'opened') FROM discrepancy_events", 3),
            ("uniqExact(key) FROM discrepancy_events", 3),
            ("count() - uniqExact((run_id, key_hash)) FROM checks", 0),
            ("countIf(probe = 'sweep') FROM coverage", 1),
        ] {
            let (what, table) = question.split_once(" FROM ").unwrap();
            let query = format!("SELECT toUInt64({what}) FROM {table} WHERE tenant = ?");
            let found = self.client().query(&query).bind(tenant).fetch_one::<u64>().await.unwrap();
            assert_eq!(found, expect, "{tenant}: {question}");
        }
        let keys = "SELECT DISTINCT key FROM discrepancy_events WHERE tenant = ? ORDER BY key";
        let keys = self.client().query(keys).bind(tenant).fetch_all::<String>().await.unwrap();
        assert_eq!(keys, ["249999", "30000", "5"], "{tenant}");
        assert!(!self.dir.path().join(tenant).join("dead-letters").exists(), "{tenant}: nothing was refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_is_killed_at_each_boundary_is_exact_and_in_the_ledger_once() {
    let place = Place::new().await;
    assert!(place.live("undisturbed", "").await);
    place.check("undisturbed").await;
    for (number, point) in POINTS.iter().enumerate() {
        let (tenant, fault) = (format!("point-{number}"), format!("{point}:2"));
        assert!(!place.live(&tenant, &fault).await, "the child passed `{fault}` alive");
        assert!(place.live(&tenant, "").await);
        place.check(&tenant).await;
    }
    place.engine.stop().await;
}
