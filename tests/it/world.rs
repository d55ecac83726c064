//! A config, real systems and units without a schedule: a test moves the systems, lets the units look, and reads
//! what they found. State is the real one, on SQLite; ledger rows are kept in memory beside it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use plumbline::audit::journal::{Committed, Journal, JournalError};
use plumbline::audit::key_store::Indexes;
use plumbline::audit::plan::{Readers, units};
use plumbline::audit::run::Summary;
use plumbline::audit::unit::{Shared, Unit};
use plumbline::clock::{AnchoredClock, Clock};
use plumbline::config::{Config, Environment, parse_with};
use plumbline::connect::{self, Reader};
use plumbline::ledger::rows::{
    CheckRow, CoverageRow, DiscrepancyRow, EstimateRow, FreshnessRow, RunRow, RunRows, SchemaChangeRow, SweepRow,
    TotalsRow,
};
use plumbline::metrics::{Metrics, Store};
use plumbline::model::Verdict;
use plumbline::state::change::{InFlightEntry, Lease, StateChange};
use plumbline::state::{Acceptance, Applied, Chunk, ChunksOf, StateSecret, StateStore};
use uuid::Uuid;

/// Units over real systems.
pub struct World {
    pub config: Config,
    pub units: Vec<Unit>,
    pub recorder: Arc<Recorder>,
    shared: Arc<Shared>,
    readers: Readers,
    pub indexes: Indexes,
    /// A part of a sweep is one piece.
    pub short_sweeps: bool,
    _dir: tempfile::TempDir,
}

/// The real state store; ledger rows stay in memory.
pub struct Recorder {
    pub state: StateStore,
    rows: Mutex<RunRows>,
}

impl World {
    /// From a config text and the systems' URLs as `(variable, url)` for `env:` references.
    pub async fn open(config: &str, urls: &[(&str, String)]) -> Self {
        Self::open_through(config, urls, |reader| reader).await
    }

    /// Like [`open`](Self::open), with every reader handed through `around`.
    pub async fn open_through(
        config: &str,
        urls: &[(&str, String)],
        around: impl Fn(Arc<dyn Reader>) -> Arc<dyn Reader>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::fixed(urls.iter().map(|(name, url)| (*name, url.as_str())));
        let parsed = parse_with(config, Path::new("plumbline.toml"), dir.path(), &environment);
        let config = parsed.unwrap_or_else(|problems| panic!("{problems}"));
        let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::from_machine());
        let mut readers = Readers::new();
        for system in config.systems.values() {
            let reader = connect::open(system, Arc::clone(&clock)).unwrap();
            readers.insert(system.id.clone(), around(reader));
        }
        let secret = StateSecret::from_bytes([7; 32]);
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("state.db").display());
        let state = StateStore::open(&url, &secret).await.unwrap();
        state.migrate().await.unwrap();
        let recorder = Arc::new(Recorder { state, rows: Mutex::default() });
        let shared = Arc::new(Shared {
            tenant: config.plumbline.tenant.clone(),
            auditor: "test".to_owned(),
            clock,
            journal: Arc::clone(&recorder) as Arc<dyn Journal>,
            metrics: Arc::new(Metrics::new()),
            secret: secret.digest_key(),
            in_flight: AtomicU64::new(0),
            max_in_flight: config.plumbline.max_in_flight,
            only_reports: false,
        });
        let indexes = Indexes::new(recorder.state.clone(), secret.digest_key(), Arc::clone(&shared.clock));
        let mut world =
            Self { config, units: Vec::new(), recorder, shared, readers, indexes, short_sweeps: false, _dir: dir };
        world.restart().await;
        // The first look only finds out where the present is; what is just behind it is no case's subject.
        world.changes().await;
        *world.recorder.rows.lock().unwrap() = RunRows::default();
        world
    }

    /// Drops the units and takes them up again from state, as a new process would.
    pub async fn restart(&mut self) {
        self.units.clear();
        let (state, secret) = (self.recorder.state.clone(), self.shared.secret.clone());
        self.indexes = Indexes::new(state, secret, Arc::clone(&self.shared.clock));
        for parts in units(&self.config, &self.readers, &self.indexes, self.shared.clock.now()) {
            let taken = self
                .recorder
                .state
                .acquire(std::slice::from_ref(&parts.name), "test", Duration::from_secs(3_600), usize::MAX)
                .await
                .unwrap();
            let lease = taken.into_iter().find(|lease| lease.unit == parts.name).unwrap();
            let mut parts = Arc::into_inner(parts).expect("nobody else has it yet");
            if let Some(sweep) = parts.sweep.as_mut().filter(|_| self.short_sweeps) {
                sweep.part = Duration::ZERO;
            }
            let parts = Arc::new(parts);
            self.units.push(Unit::resume(parts, Arc::clone(&self.shared), lease).await.unwrap());
        }
    }

    /// Every unit reads its owner's changes to the end.
    pub async fn changes(&mut self) -> Summary {
        let mut total = Summary::default();
        for unit in self.units.iter_mut().filter(|unit| unit.reads_changes()) {
            loop {
                let summary = unit.changes().await.unwrap();
                total.add(&summary);
                if summary.complete || summary.failure.is_some() {
                    break;
                }
            }
        }
        total
    }

    /// One run of every schema probe.
    pub async fn schema(&mut self) -> Summary {
        let mut total = Summary::default();
        for unit in &mut self.units {
            total.add(&unit.schema().await.unwrap());
        }
        total
    }

    /// Steps of changes of shapes so far: system, dataset, column, event, before, after, fields.
    pub fn schema_changes(&self) -> Vec<String> {
        let rows = self.recorder.rows.lock().unwrap();
        let shown = |row: &SchemaChangeRow| {
            let SchemaChangeRow { system, dataset, path, event, before, after, fields, .. } = row;
            format!("{system} {dataset}.{path} {event}: {before} -> {after} [{}]", fields.join(", "))
        };
        rows.schema_changes.iter().map(shown).collect()
    }

    /// One line of the metrics.
    pub fn metric(&self, begin: &str) -> String {
        let text = self.shared.metrics.render().unwrap();
        let line = text.lines().find(|line| line.starts_with(begin));
        line.unwrap_or_else(|| panic!("no `{begin}` in {text}")).to_owned()
    }

    /// One run of every sample probe.
    pub async fn sample(&mut self) -> Summary {
        let mut total = Summary::default();
        for unit in &mut self.units {
            total.add(&unit.sample().await.unwrap());
        }
        total
    }

    /// A whole sweep by every unit that has one.
    pub async fn sweep(&mut self) -> Summary {
        let mut total = Summary::default();
        for unit in &mut self.units {
            unit.begin_sweep();
            while unit.is_sweeping() {
                total.add(&unit.sweep_part().await.unwrap());
                assert_eq!(total.failure, None);
            }
        }
        total
    }

    /// One run of every totals probe, and the search for the keys behind what differs.
    pub async fn totals(&mut self) -> Summary {
        let mut total = Summary::default();
        for unit in &mut self.units {
            total.add(&unit.totals().await.unwrap());
            while unit.is_drilling() {
                total.add(&unit.drill_part().await.unwrap());
            }
        }
        total
    }

    /// Takes the lines of totals so far.
    pub fn take_totals(&self) -> Vec<TotalsRow> {
        std::mem::take(&mut self.recorder.rows.lock().unwrap().totals)
    }

    /// Steps of sweeps so far.
    pub fn sweeps(&self) -> Vec<SweepRow> {
        self.recorder.rows.lock().unwrap().sweeps.clone()
    }

    /// Runs of the sample probes until every walk has come around so many times.
    pub async fn passes(&mut self, count: usize) {
        let passes = |world: &Self| world.coverage().iter().filter(|row| row.probe == "sample_pass").count();
        let before = passes(self);
        let began = tokio::time::Instant::now();
        while passes(self) < before + count {
            assert!(
                began.elapsed() < Duration::from_secs(120),
                "the walk does not come around: {:#?}",
                self.coverage()
            );
            let summary = self.sample().await;
            assert_eq!(summary.failure, None);
        }
    }

    /// What samples say, in the order in which it was written.
    pub fn estimates(&self) -> Vec<EstimateRow> {
        self.recorder.rows.lock().unwrap().estimates.clone()
    }

    /// The last estimate of a measure, of the only flow.
    pub fn estimate(&self, measure: &str) -> EstimateRow {
        let all = self.estimates();
        all.into_iter().rev().find(|row| row.measure == measure).unwrap_or_else(|| panic!("no estimate of {measure}"))
    }

    /// Every unit looks at its due keys.
    pub async fn recheck(&mut self) -> Summary {
        let mut total = Summary::default();
        for unit in &mut self.units {
            total.add(&unit.recheck_due().await.unwrap());
        }
        total
    }

    /// Looks (changes and due keys) until `done`, or fails loudly after a minute.
    pub async fn look_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let began = tokio::time::Instant::now();
        while !done(self) {
            assert!(began.elapsed() < Duration::from_secs(60), "gave up waiting: {what}; {:#?}", self.checks());
            self.changes().await;
            self.recheck().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Looks until the last check of `key` has the verdict.
    pub async fn look_until_verdict(&mut self, key: &str, verdict: Verdict) -> CheckRow {
        let what = format!("{key} to be {verdict}");
        self.look_until(&what, |world| world.last(key).is_some_and(|row| row.is(verdict))).await;
        self.last(key).unwrap()
    }

    /// All checks so far.
    pub fn checks(&self) -> Vec<CheckRow> {
        self.recorder.rows.lock().unwrap().checks.clone()
    }

    /// The last check of a key.
    pub fn last(&self, key: &str) -> Option<CheckRow> {
        self.recorder.rows.lock().unwrap().checks.iter().rev().find(|row| row.key == key).cloned()
    }

    /// Verdicts given to a key, without repetitions in a row.
    pub fn verdicts(&self, key: &str) -> Vec<String> {
        let mut words: Vec<String> =
            self.checks().into_iter().filter(|row| row.key == key).map(|row| row.verdict).collect();
        words.dedup();
        words
    }

    /// Freshness events so far.
    pub fn freshness(&self) -> Vec<FreshnessRow> {
        self.recorder.rows.lock().unwrap().freshness.clone()
    }

    /// Runs so far.
    pub fn runs(&self) -> Vec<RunRow> {
        self.recorder.rows.lock().unwrap().runs.clone()
    }

    /// What runs covered so far.
    pub fn coverage(&self) -> Vec<CoverageRow> {
        self.recorder.rows.lock().unwrap().coverage.clone()
    }

    /// Outcomes of divergences so far.
    pub fn outcomes(&self) -> Vec<String> {
        self.freshness().into_iter().map(|row| row.outcome).collect()
    }

    /// Keys whose last verdict is bad, by their hash.
    pub fn bad_keys(&self) -> usize {
        let last: HashMap<String, String> =
            self.checks().into_iter().map(|row| (format!("{} {}", row.target, row.key_hash), row.verdict)).collect();
        let bad =
            |word: &&String| Verdict::ALL.into_iter().any(|verdict| verdict.is_bad() && verdict.as_str() == *word);
        last.values().filter(bad).count()
    }

    /// Keys that are not settled.
    pub fn in_flight(&self) -> usize {
        self.units.iter().map(Unit::in_flight).sum()
    }

    /// Steps of discrepancies so far.
    pub fn discrepancies(&self) -> Vec<DiscrepancyRow> {
        self.recorder.rows.lock().unwrap().discrepancies.clone()
    }

    /// Discrepancies that are open in state.
    pub async fn open_discrepancies(&self) -> u64 {
        self.recorder.state.open_discrepancy_counts().await.unwrap().iter().map(|count| count.count).sum()
    }
}

impl Recorder {
    /// Everything that would go to the ledger, as text.
    pub fn text_of_all_rows(&self) -> String {
        format!("{:?}", self.rows.lock().unwrap())
    }
}

#[async_trait]
impl Journal for Recorder {
    async fn position(&self, unit: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.state.position(unit).await.map_err(|error| JournalError::new(Store::State, error))
    }

    async fn in_flight_after(
        &self,
        flow: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, InFlightEntry)>, JournalError> {
        let found = self.state.in_flight_after(flow, after, limit).await;
        let found = found.map_err(|error| JournalError::new(Store::State, error))?;
        let entry = |key: plumbline::state::InFlight| {
            (key.key_hash, InFlightEntry { due_at: key.due_at, overdue_at: key.overdue_at, payload: key.payload })
        };
        Ok(found.into_iter().map(entry).collect())
    }

    async fn baselines(&self, pair: &str, hashes: &[String]) -> Result<HashMap<String, u128>, JournalError> {
        let found = self.state.baselines(pair, hashes).await.map_err(|error| JournalError::new(Store::State, error))?;
        Ok(found.into_iter().map(|(hash, baseline)| (hash, baseline.digest)).collect())
    }

    async fn accepted_changes(&self, entity: &str) -> Result<Vec<Acceptance>, JournalError> {
        self.state.accepted_changes(entity).await.map_err(|error| JournalError::new(Store::State, error))
    }

    async fn plan_chunks(
        &self,
        lease: &Lease,
        auditor: &str,
        of: &ChunksOf,
        contents: &[Vec<u8>],
    ) -> Result<Option<u32>, JournalError> {
        self.state
            .plan_chunks(lease, auditor, of, contents)
            .await
            .map_err(|error| JournalError::new(Store::State, error))
    }

    async fn take_chunk(&self, of: &ChunksOf, auditor: &str, ttl: Duration) -> Result<Option<Chunk>, JournalError> {
        self.state.take_chunk(of, auditor, ttl).await.map_err(|error| JournalError::new(Store::State, error))
    }

    async fn renew_chunk(&self, id: Uuid, token: u64, ttl: Duration) -> Result<bool, JournalError> {
        self.state.renew_chunk(id, token, ttl).await.map_err(|error| JournalError::new(Store::State, error))
    }

    async fn found_chunks(&self, of: &ChunksOf) -> Result<Vec<Chunk>, JournalError> {
        self.state.found_chunks(of).await.map_err(|error| JournalError::new(Store::State, error))
    }

    async fn commit(&self, change: StateChange, rows: RunRows) -> Result<Committed, JournalError> {
        match self.state.apply(&change).await.map_err(|error| JournalError::new(Store::State, error))? {
            Applied::Now | Applied::Already => {
                let mut all = self.rows.lock().unwrap();
                all.checks.extend(rows.checks);
                all.freshness.extend(rows.freshness);
                all.runs.extend(rows.runs);
                all.coverage.extend(rows.coverage);
                all.discrepancies.extend(rows.discrepancies);
                all.estimates.extend(rows.estimates);
                all.samples.extend(rows.samples);
                all.schema_changes.extend(rows.schema_changes);
                all.sweeps.extend(rows.sweeps);
                all.totals.extend(rows.totals);
                Ok(Committed::Yes)
            }
            Applied::Fenced => Ok(Committed::Fenced),
        }
    }
}
