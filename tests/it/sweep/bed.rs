//! Two databases, a config, and one sweep over them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use plumbline::audit::key_store::Indexes;
use plumbline::audit::plan::{Readers, units_of};
use plumbline::audit::sweep::finder::Options;
use plumbline::audit::sweep::{Difference, Ended, FlowSweep, Progress, Sweeping};
use plumbline::clock::{AnchoredClock, Clock};
use plumbline::config::{Environment, parse_with};
use plumbline::connect;
use plumbline::model::digest::DigestKey;
use plumbline::model::{EntityId, Verdict};
use plumbline::sweep::Strategy;
use tokio::task::JoinHandle;

use crate::config_text::ConfigText;
use crate::support::wait_until;
use crate::verdicts::pair::{Database, Pair};

/// How a case sweeps.
pub struct Way {
    pub strategy: Option<Strategy>,
    pub memory: usize,
    pub wait: Duration,
    pub most_differences: Option<u64>,
    pub most_time: Option<Duration>,
}

impl Default for Way {
    fn default() -> Self {
        let wait = Duration::from_secs(30);
        Self { strategy: None, memory: 64 << 20, wait, most_differences: None, most_time: None }
    }
}

impl Way {
    pub fn by(strategy: Strategy) -> Self {
        Self { strategy: Some(strategy), ..Self::default() }
    }
}

/// What a sweep found: verdict and differing fields by key.
pub struct Swept {
    pub report: FlowSweep,
    /// Rows that the owner sent.
    pub owner_rows: u64,
    pub found: BTreeMap<String, (String, Vec<String>)>,
    /// All that was said of it, by key.
    pub said: BTreeMap<String, Difference>,
}

impl Swept {
    /// The found keys with their verdicts and fields, one a line.
    pub fn lines(&self) -> Vec<String> {
        self.found.iter().map(|(key, (verdict, fields))| format!("{key} {verdict} {}", fields.join(","))).collect()
    }

    #[track_caller]
    pub fn is(&self, expect: &[&str]) {
        let lines: Vec<String> = self.lines().into_iter().map(|line| line.trim().to_owned()).collect();
        assert_eq!(lines, expect, "{:?}", self.report.choice);
        assert_eq!(self.report.ended, Ended::Complete);
        assert!(self.report.verified_through.is_some());
    }

    pub fn strategy(&self) -> Strategy {
        self.report.choice.as_ref().expect("it has begun").strategy
    }
}

/// An entity `item` that the ERP owns, with one key field and other fields: `NAME = TYPE`.
pub fn config(pair: &Pair, key: &str, fields: &[(&str, &str)], more: &str) -> String {
    let mut entity = "key = [\"id\"]\n".to_owned();
    entity.push_str(&format!("fields.id = {{ type = \"{key}\", store = \"clear\" }}\n"));
    let mut mapping = "dataset = \"item\"\nfields.id = \"id\"\n".to_owned();
    for (name, lines) in fields {
        entity.push_str(&format!("fields.{name} = {{ {lines}, owner = \"erp\", store = \"clear\" }}\n"));
        mapping.push_str(&format!("fields.{name} = \"{name}\"\n"));
    }
    mapping.push_str(more);
    config_of(pair, &entity, &mapping, &mapping)
}

/// The same with whole sections.
pub fn config_of(pair: &Pair, entity: &str, in_erp: &str, in_store: &str) -> String {
    ConfigText::new()
        .database("erp", pair.owner.kind(), "env:ERP", "")
        .database("store", pair.target.kind(), "env:STORE", "")
        .entity("item", entity)
        .mapping("item", "erp", in_erp)
        .mapping("item", "store", in_store)
        .fresh_within("item", "1s")
        .text()
}

/// Sweeps the only flow of the only entity.
pub async fn sweep(config: &str, pair: &Pair, way: Way) -> Swept {
    sweep_with(config, &pair.urls(), way, |_| {}).await
}

/// As [`sweep`], told how far it has come.
pub async fn sweep_with(config: &str, urls: &[(&str, String)], way: Way, progress: impl FnMut(Progress)) -> Swept {
    let dir = tempfile::tempdir().unwrap();
    let environment = Environment::fixed(urls.iter().map(|(name, url)| (*name, url.as_str())));
    let parsed = parse_with(config, Path::new("plumbline.toml"), dir.path(), &environment);
    let config = parsed.unwrap_or_else(|problems| panic!("{problems}"));
    let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::from_machine());
    let mut readers = Readers::new();
    for system in config.systems.values() {
        readers.insert(system.id.clone(), connect::open(system, Arc::clone(&clock)).unwrap());
    }
    let secret = DigestKey::new([7; 32]);
    let (indexes, _dir) = Indexes::for_a_look(secret.clone(), Arc::clone(&clock)).await.unwrap();
    let sweeping = Sweeping {
        tenant: config.plumbline.tenant.clone(),
        secret,
        wait: way.wait,
        options: Options { strategy: way.strategy, memory: way.memory },
        most_differences: way.most_differences,
        most_time: way.most_time,
        only: None,
        clock: Arc::clone(&clock),
    };
    let entity: EntityId = config.entities.keys().next().unwrap().clone();
    let parts = units_of(&config, &readers, &indexes, &entity, clock.now()).remove(0);
    let owner = Arc::clone(&parts.owner.reader);
    let mut report = sweeping.sweep(parts, 0, progress).await.unwrap();
    let owner_rows = owner.usage().rows;
    let (mut found, mut said) = (BTreeMap::new(), BTreeMap::new());
    while !report.differences.is_empty() {
        for one in report.differences.take(1_000).unwrap() {
            said.insert(one.key.clone(), one.clone());
            let fields = one.fields.into_iter().map(|(name, _, _)| name).collect();
            // Without a history of the owner nobody can tell an old state from a wrong one.
            let verdict = if one.likely { "mismatch".to_owned() } else { one.verdict };
            let before = found.insert(one.key.clone(), (verdict, fields));
            assert_eq!(before, None, "{} is reported twice", one.key);
        }
    }
    assert_eq!(report.of(Verdict::Unknown), 0);
    Swept { report, owner_rows, found, said }
}

/// Runs statements, one after the other.
pub async fn run(database: &Database, statements: &[&str]) {
    for statement in statements {
        database.run(statement).await;
    }
}

/// Somebody who writes to both sides, one write after the other, while sweeps go on.
pub struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Begins; `write` is given numbers from 0 on.
    pub fn start<W>(write: impl Fn(u64) -> W + Send + 'static) -> Self
    where
        W: Future<Output = ()> + Send,
    {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&written));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                write(counter.fetch_add(1, Ordering::Relaxed)).await;
            }
        });
        Self { stop, written, task }
    }

    /// How many writes have begun.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits for more than ten writes since `before`.
    pub async fn goes_on(&self, before: u64) {
        wait_until(async || self.written() > before + 10).await;
    }

    /// Ends it, and fails if a write did.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no write failed");
    }
}
