//! The ledger's tables and the way of rows into them, over the embedded engine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clickhouse::Client;
use plumbline::clock::{AnchoredClock, Clock};
use plumbline::ledger::rows::{
    CheckRow, CoverageRow, DiscrepancyRow, EstimateRow, FreshnessRow, IncidentRow, RunRow, RunRows, SampleRow,
    SchemaChangeRow, SloMinuteRow, SweepRow, TotalsRow,
};
use plumbline::ledger::{Ledger, LedgerError, LedgerOptions, Shipper, Spool, SpoolError, SpoolOptions, migrate};
use plumbline::model::{FlowId, Moment};
use plumbline::state::change::{Lease, StateChange};
use plumbline::state::{Applied, StateSecret, StateStore};
use uuid::Uuid;

use crate::engine::TestEngine;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Half a minute before the last midnight (UTC) but one: rows of a run lie on both sides of it, and no TTL is near.
fn before_midnight() -> i64 {
    let now = AnchoredClock::from_machine().now().micros();
    now - now % DAY - DAY - 30 * SECOND
}

/// Engine, state and spool of one test.
struct Place {
    test: TestEngine,
    dir: tempfile::TempDir,
    state: StateStore,
    lease: Lease,
}

impl Place {
    async fn new() -> Self {
        let test = TestEngine::start().await;
        migrate(&test.writer(), &LedgerOptions::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("state.db").display());
        let state = StateStore::open(&url, &StateSecret::from_bytes([5; 32])).await.unwrap();
        state.migrate().await.unwrap();
        let units = ["changes/stock/erp".to_owned()];
        let lease = state.acquire(&units, "a", Duration::from_secs(600), 1).await.unwrap().remove(0);
        Self { test, dir, state, lease }
    }

    fn client(&self) -> Client {
        self.test.writer().with_database("plumbline")
    }

    fn spool_dir(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn dead_letters(&self) -> PathBuf {
        self.dir.path().join("dead-letters")
    }

    async fn spool(&self) -> Spool {
        // The lock of a spool that was just dropped goes when its last file work has ended.
        loop {
            match Spool::open(&self.spool_dir(), SpoolOptions::new(1 << 30), &self.state).await {
                Err(SpoolError::InUse(_)) => tokio::task::yield_now().await,
                opened => return opened.unwrap().0,
            }
        }
    }

    fn shipper(&self, spool: &Spool) -> Shipper {
        Shipper::new(spool.clone(), self.client(), self.dead_letters())
    }

    async fn commit(&self, spool: &Spool, rows: &RunRows) {
        let change = StateChange::new(rows.runs[0].run_id, self.lease.clone());
        assert_eq!(spool.commit(change, rows).await.unwrap(), Applied::Now);
    }

    /// Rows of each table, and checks according to the rollup.
    async fn counts(&self) -> [u64; 10] {
        let tables =
            ["checks", "freshness", "runs", "coverage", "discrepancy_events", "estimates", "schema_changes", "sweeps"];
        let mut counts = vec![];
        for table in tables {
            counts.push(self.count(&format!("SELECT count() FROM {table}")).await);
        }
        counts.push(self.count("SELECT sum(checks) FROM checks_minute").await);
        counts.push(self.count("SELECT sum(events) FROM freshness_minute").await);
        counts.try_into().unwrap()
    }

    /// The rows of the first run as the ledger holds them.
    async fn sent<T>(&self, table: &str, time: &str) -> Vec<T>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        let query = format!("SELECT ?fields FROM {table} WHERE run_id = ? ORDER BY `{time}`");
        self.client().query(&query).bind(Uuid::from_u128(1)).fetch_all::<T>().await.unwrap()
    }

    async fn count(&self, query: &str) -> u64 {
        self.client().query(query).fetch_one::<u64>().await.unwrap()
    }
}

/// A run with `checks` checks, half of them `match`, one event each, from `at` on, a second apart.
fn run(id: u128, checks: usize, at: i64) -> RunRows {
    let run_id = Uuid::from_u128(id);
    let end = at + checks as i64 * SECOND;
    RunRows {
        checks: (0..checks).map(|number| check(run_id, number, at + number as i64 * SECOND)).collect(),
        freshness: (0..checks).map(|number| event(run_id, number, at + number as i64 * SECOND)).collect(),
        runs: vec![RunRow {
            tenant: "default".to_owned(),
            entity: "stock".to_owned(),
            owner: "erp".to_owned(),
            probe: "changes".to_owned(),
            run_id,
            token: 1,
            auditor: "a".to_owned(),
            started_at: at,
            ended_at: end,
            outcome: "ok".to_owned(),
            reason: String::new(),
            owner_records: checks as u64,
            target_records: checks as u64,
            checks: checks as u64,
            in_flight: 0,
        }],
        coverage: vec![CoverageRow {
            tenant: "default".to_owned(),
            entity: "stock".to_owned(),
            owner: "erp".to_owned(),
            target: "store".to_owned(),
            probe: "changes".to_owned(),
            run_id,
            from: at,
            to: end,
            expected: checks as u64,
            decided: checks as u64,
            blind: String::new(),
        }],
        discrepancies: vec![DiscrepancyRow {
            tenant: "default".to_owned(),
            entity: "stock".to_owned(),
            owner: "erp".to_owned(),
            target: "store".to_owned(),
            at,
            discrepancy_id: run_id,
            run_id,
            event: "opened".to_owned(),
            key_hash: "0".repeat(32),
            key: "A-1".to_owned(),
            verdict: "missing".to_owned(),
            likely: true,
            since_low: at - 5,
            since_high: at,
            fields: vec!["qty".to_owned()],
        }],
        estimates: vec![EstimateRow {
            tenant: "default".to_owned(),
            entity: "stock".to_owned(),
            owner: "erp".to_owned(),
            target: "store".to_owned(),
            at,
            run_id,
            measure: "agreement".to_owned(),
            frame: "owner".to_owned(),
            sampled: 1_000,
            bad: 1,
            population: 50_000,
            design_effect: 1.5,
            low: 0.99,
            estimate: 0.999,
            high: 1.0,
        }],
        schema_changes: vec![SchemaChangeRow {
            tenant: "default".to_owned(),
            system: "store".to_owned(),
            dataset: "stock".to_owned(),
            at,
            run_id,
            path: "name".to_owned(),
            event: "narrowed".to_owned(),
            before: "varchar(60)".to_owned(),
            after: "varchar(10)".to_owned(),
            entity: "stock".to_owned(),
            fields: vec!["name".to_owned()],
        }],
        samples: vec![SampleRow {
            tenant: "default".to_owned(),
            entity: "stock".to_owned(),
            owner: "erp".to_owned(),
            target: "store".to_owned(),
            at,
            run_id,
            frame: "owner".to_owned(),
            good: 97,
            bad: 2,
            missing: 1,
            unknown: 1,
        }],
        slo_minutes: vec![SloMinuteRow {
            tenant: "default".to_owned(),
            slo: "fresh".to_owned(),
            entity: "stock".to_owned(),
            owner: "erp".to_owned(),
            target: "store".to_owned(),
            at,
            run_id,
            indicator: "freshness".to_owned(),
            state: "burning".to_owned(),
            sli_best: 0.99,
            sli_worst: 0.98,
            raw_best: 0.97,
            raw_worst: 0.96,
            burn_best: 14.5,
            burn_worst: 20.25,
            budget_left: -0.5,
            budget_left_worst: -1.5,
            coverage: 0.875,
            good: 970,
            bad: 20,
            unknown: 10,
            overdue: 7,
            oldest_us: 60_000_000,
            in_maintenance: true,
        }],
        incident_events: vec![IncidentRow {
            tenant: "default".to_owned(),
            slo: "fresh".to_owned(),
            entity: "stock".to_owned(),
            owner: "erp".to_owned(),
            target: "store".to_owned(),
            at,
            incident_id: Uuid::from_u128(7),
            event: "opened".to_owned(),
            severity: "page".to_owned(),
            cause: "flow stock: erp -> store".to_owned(),
            actor: String::new(),
            burn_rate: 14.5,
            records: 20,
            detail: String::new(),
            run_id,
        }],
        sweeps: vec![SweepRow {
            tenant: "default".to_owned(),
            entity: "stock".to_owned(),
            owner: "erp".to_owned(),
            target: "store".to_owned(),
            at,
            run_id,
            sweep_id: Uuid::from_u128(9),
            event: "completed".to_owned(),
            verified_through: at - SECOND,
            owner_records: 50_000,
            target_records: 49_999,
            differences: 1,
            strategy: "digest".to_owned(),
            strategy_reason: "both databases can compute the same digest".to_owned(),
            first_looked_at: 4_096,
            first_differing: 0,
        }],
        totals: vec![line(run_id, at)],
    }
}

fn line(run_id: Uuid, at: i64) -> TotalsRow {
    let text = |text: &str| text.to_owned();
    TotalsRow {
        tenant: text("default"),
        entity: text("stock"),
        owner: text("erp"),
        target: text("store"),
        at,
        run_id,
        amount: text("total"),
        day: text("9998-12-31"),
        currency: text("EUR"),
        status: text("paid"),
        owner_records: 2,
        target_records: 1,
        // More digits than any float, or any decimal of 38 digits, has.
        owner_debit: text("12345678901234567890123456789012345678.00000000000000000000000000000000000001"),
        owner_credit: text("0.1"),
        owner_net: text("12345678901234567890123456789012345677.90000000000000000000000000000000000001"),
        target_debit: text("1"),
        target_credit: text("0"),
        target_net: text("1"),
        variance: text("-0.5"),
        allowed: text("0.02"),
        differs: true,
        complete: false,
        reason: text("unreadable"),
        owner_way: text("database"),
        target_way: text("records"),
    }
}

fn check(run_id: Uuid, number: usize, at: i64) -> CheckRow {
    CheckRow {
        tenant: "default".to_owned(),
        entity: "stock".to_owned(),
        owner: "erp".to_owned(),
        target: "store".to_owned(),
        at,
        run_id,
        token: 1,
        probe: "changes".to_owned(),
        key_hash: format!("{number:032x}"),
        key: format!("A-{number}"),
        verdict: if number.is_multiple_of(2) { "match" } else { "stale" }.to_owned(),
        likely: false,
        lag_low_us: 1,
        lag_high_us: 2,
        deadline_us: 3,
        reason: String::new(),
        fields: vec!["qty".to_owned(), "price".to_owned()],
        owner_values: vec!["5".to_owned(), "é".to_owned()],
        target_values: vec!["4".to_owned(), String::new()],
    }
}

fn event(run_id: Uuid, number: usize, at: i64) -> FreshnessRow {
    FreshnessRow {
        tenant: "default".to_owned(),
        entity: "stock".to_owned(),
        owner: "erp".to_owned(),
        target: "store".to_owned(),
        decided_at: at,
        changed_low: at - 10,
        changed_high: at,
        run_id,
        key_hash: format!("{number:032x}"),
        outcome: "good".to_owned(),
        lag_low_us: 0,
        lag_high_us: (number as u64 + 1) * 1_000_000,
        deadline_us: 30_000_000,
    }
}

fn flow() -> FlowId {
    FlowId { entity: "stock".parse().unwrap(), owner: "erp".parse().unwrap(), target: "store".parse().unwrap() }
}

fn copy_segments(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "spool") {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_every_table_arrive_and_can_be_asked_for() {
    let place = Place::new().await;
    let spool = place.spool().await;
    let mut shipper = place.shipper(&spool);
    let sent = run(1, 100, before_midnight());
    place.commit(&spool, &sent).await;
    place.commit(&spool, &run(2, 10, before_midnight() + 3600 * SECOND)).await;
    assert_eq!(shipper.drain().await.unwrap(), 1);
    assert_eq!(place.counts().await, [110, 110, 2, 2, 2, 2, 2, 2, 110, 110]);
    let status = shipper.status().borrow().clone();
    assert_eq!((status.rows, status.rows_present, status.dead_letters, status.last_error), (240, 0, 0, None));

    assert_eq!(place.sent::<CheckRow>("checks", "at").await, sent.checks);
    assert_eq!(place.sent::<FreshnessRow>("freshness", "decided_at").await, sent.freshness);
    assert_eq!(place.sent::<RunRow>("runs", "ended_at").await, sent.runs);
    assert_eq!(place.sent::<CoverageRow>("coverage", "to").await, sent.coverage);
    assert_eq!(place.sent::<DiscrepancyRow>("discrepancy_events", "at").await, sent.discrepancies);
    assert_eq!(place.sent::<SchemaChangeRow>("schema_changes", "at").await, sent.schema_changes);
    assert_eq!(place.sent::<SampleRow>("samples", "at").await, sent.samples);
    let decimals = ["owner_debit", "owner_credit", "owner_net", "target_debit", "target_credit", "target_net"];
    let texts = decimals.iter().chain(&["variance", "allowed"]).map(|name| format!("toString({name}) AS {name}"));
    let texts = texts.collect::<Vec<_>>().join(", ");
    let totals = format!("(SELECT * REPLACE ({texts}) FROM totals)");
    assert_eq!(place.sent::<TotalsRow>(&totals, "at").await, sent.totals);
    assert_eq!(place.sent::<SloMinuteRow>("slo_minute", "at").await, sent.slo_minutes);
    assert_eq!(place.sent::<IncidentRow>("incident_events", "at").await, sent.incident_events);

    let ledger = Ledger::new(place.client(), "default".parse().unwrap());
    let verdicts = ledger.verdict_counts(&flow(), Moment::from_micros(before_midnight())).await.unwrap();
    assert_eq!(verdicts.into_iter().collect::<Vec<_>>(), [("match".to_owned(), 55), ("stale".to_owned(), 55)]);
    let later = Moment::from_micros(before_midnight() + 1800 * SECOND);
    assert_eq!(ledger.verdict_counts(&flow(), later).await.unwrap()["match"], 5);
    let lag = ledger.lag_quantiles(&flow(), Moment::from_micros(before_midnight())).await.unwrap().unwrap();
    assert_eq!(lag.events, 110);
    assert!(lag.p50 > Duration::from_secs(40) && lag.p50 < Duration::from_secs(50), "{lag:?}");
    assert!(lag.p99 > Duration::from_secs(95) && lag.p99 <= Duration::from_secs(100), "{lag:?}");
    let never = Moment::from_micros(before_midnight() + 2 * DAY);
    assert_eq!(ledger.lag_quantiles(&flow(), never).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_shipped_twice_is_in_the_ledger_once() {
    let place = Place::new().await;
    let (kept, once) = (place.dir.path().join("kept"), [100, 100, 1, 1, 1, 1, 1, 1, 100, 100]);
    let spool = place.spool().await;
    place.commit(&spool, &run(1, 100, before_midnight())).await;
    spool.seal().await;
    copy_segments(&place.spool_dir(), &kept);
    place.shipper(&spool).drain().await.unwrap();
    assert_eq!(place.counts().await, once);
    drop(spool);

    // The token alone, and with it the rollups.
    copy_segments(&kept, &place.spool_dir());
    let spool = place.spool().await;
    assert_eq!(place.shipper(&spool).drain().await.unwrap(), 1);
    assert_eq!(place.counts().await, once);
    drop(spool);

    // The tables have forgotten the token: it is looked up. Half of the run is gone with its day.
    for table in
        ["checks", "freshness", "runs", "coverage", "discrepancy_events", "estimates", "schema_changes", "sweeps"]
    {
        let forget = format!("ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0");
        place.client().query(&forget).execute().await.unwrap();
    }
    let day = Moment::from_micros(before_midnight() + DAY).to_utc().format("%Y%m%d");
    place.client().query(&format!("ALTER TABLE checks DROP PARTITION {day}")).execute().await.unwrap();
    assert_eq!(place.counts().await[0], 30);
    copy_segments(&kept, &place.spool_dir());
    let spool = place.spool().await;
    let mut shipper = place.shipper(&spool).look_up_after(Duration::ZERO);
    assert_eq!(shipper.drain().await.unwrap(), 1);
    assert_eq!(place.counts().await[..8], once[..8]);
    assert_eq!(shipper.status().borrow().rows_present, 140);
    drop((shipper, spool));

    // The test can fail: without the look-up, every row comes a second time.
    copy_segments(&kept, &place.spool_dir());
    let spool = place.spool().await;
    place.shipper(&spool).drain().await.unwrap();
    assert_eq!(place.counts().await[..8], [200, 200, 2, 2, 2, 2, 2, 2]);
}

/// An engine that is killed between noting a token and putting the rows in place knows the token without them. Here a
/// mutation takes the rows away and leaves the tokens.
#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_token_is_known_without_them_are_sent_again() {
    let place = Place::new().await;
    let kept = place.dir.path().join("kept");
    let spool = place.spool().await;
    place.commit(&spool, &run(1, 100, before_midnight())).await;
    spool.seal().await;
    copy_segments(&place.spool_dir(), &kept);
    place.shipper(&spool).drain().await.unwrap();
    for table in ["checks", "freshness"] {
        let lose = format!("ALTER TABLE {table} DELETE WHERE 1 SETTINGS mutations_sync = 2");
        place.client().query(&lose).execute().await.unwrap();
    }
    drop(spool);

    // The test can fail: who takes the engine's word loses the rows.
    copy_segments(&kept, &place.spool_dir());
    let spool = place.spool().await;
    assert_eq!(place.shipper(&spool).replicated(true).drain().await.unwrap(), 1);
    assert_eq!(place.counts().await[..8], [0, 0, 1, 1, 1, 1, 1, 1]);
    drop(spool);

    copy_segments(&kept, &place.spool_dir());
    let spool = place.spool().await;
    assert_eq!(place.shipper(&spool).drain().await.unwrap(), 1);
    assert_eq!(place.counts().await[..8], [100, 100, 1, 1, 1, 1, 1, 1]);
    assert_eq!(place.sent::<CheckRow>("checks", "at").await, run(1, 100, before_midnight()).checks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_block_is_put_away_and_holds_up_nothing() {
    let place = Place::new().await;
    let constraint = "ALTER TABLE checks ADD CONSTRAINT no_poison CHECK reason != 'poison'";
    place.client().query(constraint).execute().await.unwrap();
    let spool = place.spool().await;
    let mut poison = run(1, 3, before_midnight());
    poison.checks[1].reason = "poison".to_owned();
    place.commit(&spool, &poison).await;
    spool.seal().await;
    place.commit(&spool, &run(2, 5, before_midnight())).await;
    let mut shipper = place.shipper(&spool);
    assert_eq!(shipper.drain().await.unwrap(), 2);
    assert_eq!(place.counts().await, [5, 8, 2, 2, 2, 2, 2, 2, 5, 8]);
    let status = shipper.status().borrow().clone();
    assert_eq!((status.dead_letters, status.spool.segments), (1, 0));
    let letter = std::fs::read_dir(place.dead_letters()).unwrap().next().unwrap().unwrap().path();
    let letter: serde_json::Value = serde_json::from_slice(&std::fs::read(letter).unwrap()).unwrap();
    assert_eq!((letter["table"].as_str(), letter["code"].as_u64()), (Some("checks"), Some(469)));
    assert!(letter["reason"].as_str().unwrap().contains("no_poison"), "{letter}");
    assert_eq!(letter["rows"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_waited_for() {
    let place = Place::new().await;
    let spool = place.spool().await;
    place.commit(&spool, &run(1, 3, before_midnight())).await;
    place.client().query("RENAME TABLE coverage TO elsewhere").execute().await.unwrap();
    let mut shipper = place.shipper(&spool);
    assert!(shipper.drain().await.is_err());
    assert_eq!(shipper.status().borrow().spool.segments, 1, "the segment is kept");
    place.client().query("RENAME TABLE elsewhere TO coverage").execute().await.unwrap();
    assert_eq!(shipper.drain().await.unwrap(), 1);
    assert_eq!(place.counts().await, [3, 3, 1, 1, 1, 1, 1, 1, 3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_twice_is_harmless_and_another_release_is_noticed() {
    let test = TestEngine::start().await;
    let options = LedgerOptions::default();
    migrate(&test.writer(), &options).await.unwrap();
    migrate(&test.writer(), &options).await.unwrap();
    let tables = "SELECT count() FROM system.tables WHERE database = 'plumbline' AND engine LIKE '%MergeTree'";
    assert_eq!(test.writer().query(tables).fetch_one::<u64>().await.unwrap(), 19);
    let other = "INSERT INTO plumbline.schema_migrations (name, checksum) VALUES ('20261122000003_runs', 'other')";
    test.writer().query(other).execute().await.unwrap();
    let refused = migrate(&test.writer(), &options).await;
    assert!(
        matches!(&refused, Err(LedgerError::ChangedMigration { name }) if name == "20261122000003_runs"),
        "{refused:?}"
    );
}
