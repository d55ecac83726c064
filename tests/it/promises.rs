//! Promises held against a real ledger and real state, with a clock that the test moves.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use clickhouse::Client;
use plumbline::audit::promises::{Evaluator, Parts, Summary};
use plumbline::clock::{AnchoredClock, Clock};
use plumbline::config::{Config, Environment, parse_with};
use plumbline::incident::{Cause, Incident, IncidentState, Severity};
use plumbline::ledger::{Ledger, LedgerOptions, Shipper, Spool, SpoolOptions, migrate};
use plumbline::metrics::Metrics;
use plumbline::model::{Moment, TenantId};
use plumbline::state::change::{InFlightChange, InFlightEntry, Lease, StateChange};
use plumbline::state::{StateSecret, StateStore, Untold};
use uuid::Uuid;

use crate::engine::TestEngine;
use crate::support::{postgres, sqlite, wait_until};

mod indicators;
mod totals;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const FLOW: &str = "stock: erp -> store";

/// A clock that stands until it is moved.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Moment {
        Moment::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// A ledger, state, and a time three days ago at which things begin to happen.
struct World {
    engine: TestEngine,
    dir: tempfile::TempDir,
    state: StateStore,
    unit: Lease,
    start: i64,
    hand: Arc<Hand>,
    config: Arc<Config>,
}

const CONFIG: &str = r#"
[system.erp]
kind = "sqlite"
url = "sqlite:erp.db"
[system.store]
kind = "sqlite"
url = "sqlite:store.db"
[entity.stock]
key = "sku"
fields.sku = { type = "text", store = "clear" }
fields.price = { type = "money", owner = "erp" }
[entity.stock.in.erp]
dataset = "stock"
changed_at = "updated_at"
fields = { sku = "sku", price = { path = "price", currency = "EUR" } }
[entity.stock.in.store]
dataset = "stock"
fields = { sku = "sku", price = { path = "price", currency = "EUR" } }
[[probe]]
entity = "stock"
kind = "changes"
schedule = "every 1m"
[[slo]]
name = "fresh"
within = "5m"
objective = "99.5%"
window = "30d"
overdue_floor = 0
[[slo]]
name = "monthly"
within = "5m"
objective = "99%"
window = "month"
time_zone = "Europe/Berlin"
"#;

impl World {
    async fn new(state_url: &str) -> Self {
        Self::with(state_url, CONFIG).await
    }

    async fn with(state_url: &str, config: &str) -> Self {
        let engine = TestEngine::start().await;
        migrate(&engine.writer(), &LedgerOptions::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        std::fs::create_dir_all(&data_dir).unwrap();
        let secret = StateSecret::in_dir(&data_dir).unwrap();
        let state = StateStore::open(state_url, &secret).await.unwrap();
        state.migrate().await.unwrap();
        let unit = state.acquire(&["changes/stock/erp".to_owned()], "u", Duration::from_secs(600), 1).await.unwrap();
        let now = AnchoredClock::from_machine().now().micros();
        let start = now - now % MINUTE - 72 * HOUR;
        let text = format!(
            "[plumbline]\ndata_dir = \"data\"\nstate = \"env:STATE\"\n[plumbline.ledger]\nurl = \"{}\"\nuser = \"{}\"\n\
             password = \"env:PASSWORD\"\n{config}",
            engine.engine.url(),
            engine.engine.user()
        );
        std::fs::write(dir.path().join("plumbline.toml"), &text).unwrap();
        let environment = Environment::fixed([("STATE", state_url), ("PASSWORD", engine.engine.password())]);
        let config = parse_with(&text, Path::new("plumbline.toml"), dir.path(), &environment);
        let config = Arc::new(config.unwrap_or_else(|problems| panic!("{problems}")));
        let hand = Arc::new(Hand(AtomicI64::new(start)));
        Self { engine, dir, state, unit: unit[0].clone(), start, hand, config }
    }

    fn client(&self) -> Client {
        self.engine.writer().with_database("plumbline")
    }

    async fn auditor(&self, name: &str) -> (Evaluator, Spool) {
        self.auditor_with(name, Duration::from_secs(600)).await
    }

    async fn auditor_with(&self, name: &str, lease_time: Duration) -> (Evaluator, Spool) {
        let spool = Spool::open(&self.dir.path().join(name), SpoolOptions::new(1 << 30), &self.state).await.unwrap().0;
        let evaluator = Evaluator::new(Parts {
            config: Arc::clone(&self.config),
            state: self.state.clone(),
            ledger: Ledger::new(self.client(), TenantId::default()),
            spool: spool.clone(),
            metrics: Arc::new(Metrics::new()),
            clock: Arc::clone(&self.hand) as Arc<dyn Clock>,
            auditor: name.to_owned(),
            lease_time,
            tell: Arc::new(Untold),
        });
        (evaluator, spool)
    }

    /// So many changes decided in the minute after `start`.
    async fn changes(&self, minute: i64, outcome: &str, count: u64) {
        let at = self.start + minute * MINUTE;
        let text = format!(
            "INSERT INTO freshness SELECT 'default', 'stock', 'erp', 'store', fromUnixTimestamp64Micro({at}, 'UTC'), \
             fromUnixTimestamp64Micro({at} - 60000000, 'UTC'), fromUnixTimestamp64Micro({at} - 60000000, 'UTC'), \
             generateUUIDv4(), toString(number), '{outcome}', 60000000, 61000000, 300000000 FROM numbers({count})"
        );
        self.client().query(&text).execute().await.unwrap();
    }

    /// Every minute of a span was seen.
    async fn seen(&self, from: i64, to: i64) {
        let begin = self.start + from * MINUTE;
        let text = format!(
            "INSERT INTO coverage SELECT 'default', 'stock', 'erp', 'store', 'changes', generateUUIDv4(), \
             fromUnixTimestamp64Micro({begin} + number * {MINUTE}, 'UTC'), \
             fromUnixTimestamp64Micro({begin} + (number + 1) * {MINUTE} - 1, 'UTC'), 0, 0, '' FROM numbers({})",
            to - from
        );
        self.client().query(&text).execute().await.unwrap();
    }

    /// Wrong records, as checks tell them.
    async fn wrong(&self, minute: i64, count: u64) {
        let at = self.start + minute * MINUTE;
        let text = format!(
            "INSERT INTO checks SELECT 'default', 'stock', 'erp', 'store', fromUnixTimestamp64Micro({at} + number, 'UTC'), \
             generateUUIDv4(), 1, 'recheck', toString(number), concat('S-', toString(number)), 'stale', false, 1, 2, 3, '', \
             ['price'], ['12.50 EUR'], ['10.00 EUR'] FROM numbers({count})"
        );
        self.client().query(&text).execute().await.unwrap();
    }

    /// Changes that were decided late in one run, because one field differed, which still does.
    async fn late(&self, minute: i64, field: &str, count: u64) {
        let (at, run) = (self.start + minute * MINUTE, Uuid::now_v7());
        let time = |micros: i64| format!("fromUnixTimestamp64Micro({micros}, 'UTC')");
        let (now, before) = (time(at), time(at - 6 * MINUTE));
        let flow = "'default', 'stock', 'erp', 'store'";
        let key = format!("'{field}-' || toString(number)");
        for rows in [
            format!(
                "freshness SELECT {flow}, {now}, {before}, {before}, '{run}', {key}, 'bad', 360000000, 361000000, 300000000"
            ),
            format!(
                "checks SELECT {flow}, {now}, '{run}', 1, 'recheck', {key}, {key}, 'stale', false, 1, 2, 3, '', ['{field}'], \
                 ['2'], ['1']"
            ),
            format!(
                "discrepancy_events SELECT {flow}, {now}, generateUUIDv4(), '{run}', 'opened', {key}, {key}, 'stale', false, \
                 {before}, {before}, ['{field}']"
            ),
        ] {
            let text = format!("INSERT INTO {rows} FROM numbers({count})");
            self.client().query(&text).execute().await.unwrap();
        }
    }

    /// A sweep went through a thousand keys.
    async fn swept(&self, minute: i64, bad: u64) {
        let at = self.start + minute * MINUTE;
        let flow = "'default', 'stock', 'erp', 'store'";
        for text in [
            format!(
                "INSERT INTO samples SELECT {flow}, fromUnixTimestamp64Micro({at}, 'UTC'), generateUUIDv4(), 'sweep', 1000 - {bad}, \
                 {bad}, 0, 0"
            ),
            format!(
                "INSERT INTO coverage SELECT {flow}, 'sweep', generateUUIDv4(), fromUnixTimestamp64Micro({at} - {MINUTE}, 'UTC'), \
                 fromUnixTimestamp64Micro({at}, 'UTC'), 1000, 1000, ''"
            ),
        ] {
            self.client().query(&text).execute().await.unwrap();
        }
    }

    /// Keys that are overdue since a minute, or are so no more.
    async fn in_flight(&self, count: u64, overdue_at: Option<i64>) {
        let change = |number: u64| InFlightChange {
            flow: FLOW.to_owned(),
            key_hash: format!("{number:032x}"),
            entry: overdue_at.map(|minute| {
                let at = Moment::from_micros(self.start + minute * MINUTE);
                InFlightEntry { due_at: at, overdue_at: at, payload: vec![1] }
            }),
        };
        let change = StateChange {
            in_flight: (0..count).map(change).collect(),
            ..StateChange::new(Uuid::now_v7(), self.unit.clone())
        };
        self.state.apply(&change).await.unwrap();
    }

    async fn tick(&self, evaluator: &mut Evaluator, minute: i64) -> Option<Summary> {
        self.hand.0.store(self.start + minute * MINUTE + MINUTE / 2, Ordering::SeqCst);
        evaluator.tick().await.unwrap()
    }

    async fn incidents(&self) -> Vec<Incident> {
        let held = self.state.incidents(&TenantId::default(), false, 100).await.unwrap();
        held.into_iter().map(|held| held.incident).collect()
    }

    async fn steps(&self, incident: &Incident) -> Vec<String> {
        let steps = self.state.incident_steps(incident.id).await.unwrap();
        let minute = |at: Moment| (at.micros() - self.start).div_euclid(MINUTE);
        steps.iter().map(|step| format!("{} {}", minute(step.at), step.happened.as_str())).collect()
    }

    fn run(&self, arguments: &[&str], state_url: &str) -> Output {
        let config: PathBuf = self.dir.path().join("plumbline.toml");
        Command::new(env!("CARGO_BIN_EXE_plumbline"))
            .args(arguments)
            .arg("--config")
            .arg(config)
            .env("STATE", state_url)
            .env("PASSWORD", self.engine.engine.password())
            .output()
            .unwrap()
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// 500 prices change and never arrive, then the source is idle for a day. The auditor dies twice on the way.
async fn prices_never_arrive(state_url: &str) {
    let world = World::new(state_url).await;
    world.seen(-1440, 30 * 60).await;
    world.changes(-600, "good", 1000).await;
    let (mut first, _spool) = world.auditor("first").await;
    let fine = world.tick(&mut first, -1).await.unwrap();
    assert_eq!((fine.evaluated, fine.burning, fine.blind, fine.steps), (2, 0, 0, 0));
    world.changes(0, "bad", 500).await;
    world.wrong(0, 500).await;
    world.in_flight(500, Some(0)).await;
    assert_eq!(world.tick(&mut first, 0).await.unwrap().steps, 1);
    let [incident] = &world.incidents().await[..] else { panic!("one incident") };
    assert_eq!(incident.cause, FLOW_CAUSE.parse::<Cause>().unwrap());
    assert_eq!((incident.severity, incident.state), (Severity::Page, IncidentState::Open));
    let mut broken: Vec<&str> = incident.broken.iter().map(|slo| slo.name.as_str()).collect();
    broken.sort_unstable();
    assert_eq!(broken, ["fresh", "monthly"], "what breaks both is one incident");
    let evidence = &incident.evidence;
    assert_eq!((evidence.wrong, evidence.checked, evidence.overdue, evidence.samples.len()), (500, 500, 500, 3));
    assert_eq!(evidence.money_at_risk.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1250 EUR"]);
    assert_eq!(evidence.samples[0].owner_values, ["12.50 EUR"]);
    assert!(incident.broken[0].promise.starts_with("99"), "{:?}", incident.broken);

    // Another auditor asks while this one holds the lease, and takes over when it is gone.
    let (mut second, spool) = world.auditor("second").await;
    assert_eq!(world.tick(&mut second, 1).await, None, "one auditor evaluates");
    drop(first);
    world.state.leave("first").await.unwrap();
    for minute in 2..8 {
        assert_eq!(world.tick(&mut second, minute).await.unwrap().steps, 0, "minute {minute}");
    }
    // A day later, without a single change in between.
    drop(second);
    world.state.leave("second").await.unwrap();
    let (mut third, third_spool) = world.auditor("third").await;
    let later = world.tick(&mut third, 24 * 60).await.unwrap();
    assert_eq!((later.steps, world.incidents().await.len()), (0, 1));
    assert!(world.incidents().await[0].is_open(), "a stuck flow does not heal by falling out of a window");
    // The prices arrive: it ends when the short windows are clean, and is told to the ledger step by step.
    world.in_flight(500, None).await;
    let mut ended = None;
    for minute in 24 * 60 + 1..24 * 60 + 60 {
        if world.tick(&mut third, minute).await.unwrap().steps > 0 {
            ended = Some(minute);
            break;
        }
    }
    let [incident] = &world.incidents().await[..] else { panic!("one incident") };
    assert_eq!(incident.state, IncidentState::Resolved);
    let ended = ended.expect("it ended");
    assert_eq!(world.steps(incident).await, ["0 opened".to_owned(), format!("{ended} resolved")]);
    world.tick(&mut third, ended + 1).await.unwrap();
    for (spool, name) in [(spool, "second"), (third_spool, "third")] {
        spool.seal().await;
        let mut shipper = Shipper::new(spool, world.client(), world.dir.path().join(format!("{name}-dead")));
        shipper.drain().await.unwrap();
    }
    let events: Vec<String> =
        world.client().query("SELECT event FROM incident_events ORDER BY at").fetch_all().await.unwrap();
    assert!(events.contains(&"resolved".to_owned()), "{events:?}");
    let minutes: u64 = world.client().query("SELECT count() FROM slo_minute").fetch_one().await.unwrap();
    assert!(minutes >= 12, "{minutes} rows");
    world.engine.engine.stop().await;
}

const FLOW_CAUSE: &str = "flow stock: erp -> store";

#[tokio::test(flavor = "multi_thread")]
async fn prices_that_never_arrive_keep_one_incident_open_over_restarts_on_sqlite() {
    let file = sqlite().await;
    prices_never_arrive(&file.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_that_never_arrive_keep_one_incident_open_over_restarts_on_postgres() {
    let database = postgres().await.database().await;
    prices_never_arrive(&database.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_about_one_field_is_broken_by_that_field_alone() {
    let file = sqlite().await;
    let config = CONFIG
        .replace("[entity.stock.in.erp]", "fields.qty = { type = \"integer\", owner = \"erp\" }\n[entity.stock.in.erp]")
        .replace("fields = { sku = \"sku\", price", "fields = { sku = \"sku\", qty = \"qty\", price");
    let prices =
        "[[slo]]\nname = \"prices\"\nfields = [\"price\"]\nwithin = \"5m\"\nobjective = \"99.5%\"\nwindow = \"30d\"\n";
    let world = World::with(&file.url(), &(config + prices)).await;
    world.seen(-1440, 60).await;
    world.changes(-600, "good", 1000).await;
    let (mut evaluator, _spool) = world.auditor("one").await;
    world.late(0, "qty", 500).await;
    let first = world.tick(&mut evaluator, 0).await.unwrap();
    assert_eq!((first.evaluated, first.burning), (3, 2), "prices arrived with them");
    world.late(1, "price", 200).await;
    let second = world.tick(&mut evaluator, 1).await.unwrap();
    assert_eq!((second.burning, second.steps), (3, 1), "one incident more promises are part of");
    let [incident] = &world.incidents().await[..] else { panic!("one incident") };
    assert_eq!(incident.broken.len(), 3);
    let keys: Vec<&str> = incident.evidence.contributors.keys.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys.len(), 3, "{:?}", incident.evidence.contributors);
    assert_eq!(incident.evidence.contributors.targets, [("store".to_owned(), 700)]);
    world.tick(&mut evaluator, 2).await.unwrap();
    let status = told(&world.run(&["slo", "status", "prices"], &file.url()));
    for part in [
        "stock (price) changes erp -> store",
        "worst hours",
        "(200 bad)",
        "worst targets  store (200 bad)",
        "incident ",
    ] {
        assert!(status.contains(part), "`{part}` in {status}");
    }
    let line = status.lines().find(|line| line.starts_with("prices ")).unwrap();
    assert!(line.contains("burning") && line.contains(" 200 "), "200 overdue: {line}");
    assert!(!status.contains("fresh "), "only what was asked for: {status}");
    let wrong = world.run(&["slo", "status", "price"], &file.url());
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_decides_whether_an_agreement_is_kept() {
    let file = sqlite().await;
    let promise = "[[probe]]\nentity = \"stock\"\nkind = \"sweep\"\nschedule = \"every 1h\"\n\
                   [[slo]]\nname = \"right\"\nindicator = \"agreement\"\nobjective = \"99%\"\nwindow = \"7d\"\n";
    let world = World::with(&file.url(), &format!("{CONFIG}{promise}")).await;
    world.seen(-1440, 60).await;
    world.swept(-60, 0).await;
    let (mut evaluator, _spool) = world.auditor("one").await;
    let fine = world.tick(&mut evaluator, -50).await.unwrap();
    assert_eq!((fine.evaluated, fine.burning, fine.blind), (3, 0, 0));
    world.swept(0, 400).await;
    assert_eq!(world.tick(&mut evaluator, 0).await.unwrap().burning, 1);
    let incidents = world.incidents().await;
    let [incident] = &incidents[..] else { panic!("one incident: {incidents:#?}") };
    assert_eq!(incident.broken[0].name, "right");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_auditors_on_one_state_open_one_incident_and_people_move_it() {
    let file = sqlite().await;
    let world = World::new(&file.url()).await;
    world.seen(-1440, 60).await;
    world.changes(-600, "good", 1000).await;
    world.changes(0, "bad", 500).await;
    let (mut one, _one_spool) = world.auditor("one").await;
    let (mut other, _other_spool) = world.auditor("other").await;
    let (first, second) = tokio::join!(world.tick(&mut one, 0), world.tick(&mut other, 0));
    let steps: Vec<usize> = [first, second].into_iter().flatten().map(|summary| summary.steps).collect();
    assert_eq!(steps, [1], "one of them evaluates");
    let [incident] = &world.incidents().await[..] else { panic!("one incident") };
    let id = incident.id.to_string();

    let url = file.url();
    let list = world.run(&["incident", "list"], &url);
    assert_eq!(list.status.code(), Some(1), "{}", told(&list));
    assert!(told(&list).contains("flow stock: erp -> store"), "{}", told(&list));
    for (arguments, expect) in [
        (&["incident", "ack", &id, "--by", "ann"][..], "acknowledged"),
        (&["incident", "ack", &id, "--by", "bob"], "it is already"),
        (&["incident", "assign", &id, "--by", "ann", "--to", "bob"], "assigned"),
        (&["incident", "note", &id, "the queue is full", "--by", "bob"], "note"),
        (&["incident", "snooze", &id, "--for", "2h"], "snoozed"),
        (&["slo", "status"], "66.67 %"),
    ] {
        let output = world.run(arguments, &url);
        assert!(told(&output).contains(expect), "{arguments:?}: {}", told(&output));
    }
    let show = told(&world.run(&["incident", "show", &id[24..]], &url));
    for part in
        ["acknowledged (page)", "charge  bob", "note by bob: the queue is full", "fresh: 99.5 % of stock changes"]
    {
        assert!(show.contains(part), "`{part}` in {show}");
    }
    let wrong = world.run(&["incident", "ack", "ffffffffffff"], &url);
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));

    // The auditor that holds the lease goes on with what people made of it.
    let evaluator = if first_holds(&world).await { &mut one } else { &mut other };
    world.tick(evaluator, 1).await.unwrap();
    let status = world.run(&["slo", "status"], &url);
    assert_eq!(status.status.code(), Some(1), "{}", told(&status));
    assert!(told(&status).contains("burning"), "{}", told(&status));
    let [incident] = &world.incidents().await[..] else { panic!("one incident") };
    assert_eq!((incident.state, incident.assignee.as_deref()), (IncidentState::Acknowledged, Some("bob")));

    let replay = world.run(&["slo", "backtest", "--from", "4d"], &url);
    assert_eq!(replay.status.code(), Some(1), "{}", told(&replay));
    assert!(told(&replay).contains("would have paged 2 times "), "{}", told(&replay));
    assert!(told(&replay).contains("14.4x over 1h and 5m"), "{}", told(&replay));

    let work = world.run(&["maintenance", "add", "upgrade", "--for", "2h", "--system", "store"], &url);
    assert_eq!(work.status.code(), Some(0), "{}", told(&work));
    let listed = told(&world.run(&["maintenance", "list"], &url));
    assert!(listed.contains("upgrade") && listed.contains("store"), "{listed}");
    let ended = world.run(&["maintenance", "end", listed.lines().nth(1).unwrap().split(' ').next().unwrap()], &url);
    assert_eq!(ended.status.code(), Some(0), "{}", told(&ended));
    let unknown = world.run(&["maintenance", "add", "x", "--for", "1h", "--system", "shop"], &url);
    assert_eq!(unknown.status.code(), Some(2), "{}", told(&unknown));
    world.engine.engine.stop().await;
}

/// Whether the auditor called `one` holds the lease of evaluation.
async fn first_holds(world: &World) -> bool {
    let units = ["promises".to_owned()];
    !world.state.acquire(&units, "one", Duration::from_secs(600), 1).await.unwrap().is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_that_is_later_than_its_lease_goes_on_where_it_was() {
    let file = sqlite().await;
    let world = World::new(&file.url()).await;
    world.seen(-1440, 60).await;
    let short = Duration::from_millis(50);
    let (mut evaluator, spool) = world.auditor_with("one", short).await;
    world.tick(&mut evaluator, 0).await.unwrap();
    let began = world.state.now().await.unwrap();
    wait_until(async || world.state.now().await.unwrap().since(began) > short * 2).await;
    world.tick(&mut evaluator, 1).await.unwrap();
    spool.seal().await;
    Shipper::new(spool, world.client(), world.dir.path().join("dead")).drain().await.unwrap();
    let minutes: u64 = world.client().query("SELECT count() FROM slo_minute").fetch_one().await.unwrap();
    assert_eq!(minutes, 2, "the minute before is told, a row a promise");
    world.engine.engine.stop().await;
}
