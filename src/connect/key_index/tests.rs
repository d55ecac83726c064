//! An index of keys against a map: whatever changes, in whatever order, between reads or within them, whoever fills the
//! index or begins anew, a key leads to the records that have it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::config::{Environment, parse_with};
use crate::model::mapping::Source;
use crate::model::{EntityId, Moment, Raw};

/// A change may be committed so many changes after it was stamped.
const LATE: u64 = 2;
/// Rows in one page of changes.
const PAGE: usize = 2;

/// A clock that goes on whenever it is looked at.
#[derive(Default)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Moment {
        Moment::from_micros(self.0.fetch_add(1_000, Ordering::Relaxed))
    }
}

/// A change of the table.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Writes a row, new or not; stamped so much before it is seen.
    Put {
        id: i64,
        code: usize,
        late: u64,
    },
    Delete {
        id: i64,
    },
    /// Two rows change their codes with each other.
    Swap {
        one: i64,
        other: i64,
    },
}

#[derive(Clone, Debug)]
enum Step {
    Change(Change),
    /// One of two processes reads these keys while this changes.
    Read {
        process: usize,
        keys: BTreeSet<usize>,
        meanwhile: Vec<Change>,
    },
    /// One of them fills the index.
    Fill {
        process: usize,
        meanwhile: Vec<Change>,
    },
    /// One of them ends; another takes its place.
    Restart {
        process: usize,
    },
    /// The system forgets every place in its changes.
    Forget,
}

/// Each code is written in several ways.
const CODES: [&str; 9] = ["a", "A", " a", "b", "B ", "c", "C", "d", ""];

fn key_of(code: &str) -> Key {
    Key::from(code.trim().to_uppercase().as_str())
}

#[derive(Clone, Debug, Default)]
struct Rows(BTreeMap<i64, &'static str>);

impl Rows {
    fn having(&self, key: &Key) -> BTreeSet<i64> {
        self.0.iter().filter(|(_, code)| key_of(code) == *key).map(|(id, _)| *id).collect()
    }
}

/// The system: a table with stamps.
#[derive(Debug, Default)]
struct Table {
    rows: Rows,
    stamps: BTreeMap<i64, u64>,
    last: u64,
    /// Applied one by one with every read.
    meanwhile: Vec<Change>,
    /// Every state since the last step began.
    states: Vec<Rows>,
    forgets: u8,
}

impl Table {
    fn change(&mut self, change: Change) {
        self.last += 1;
        let now = self.last;
        match change {
            Change::Put { id, code, late } => {
                self.rows.0.insert(id, CODES[code]);
                // A row that is there already is locked: its next stamp is later than its last.
                let stamp = now.saturating_sub(late).max(self.stamps.get(&id).map_or(0, |stamp| stamp + 1)).min(now);
                self.stamps.insert(id, stamp);
            }
            Change::Delete { id } => {
                self.rows.0.remove(&id);
                self.stamps.remove(&id);
            }
            Change::Swap { one, other } => {
                if let (Some(first), Some(second)) = (self.rows.0.get(&one).copied(), self.rows.0.get(&other).copied())
                {
                    self.rows.0.extend([(one, second), (other, first)]);
                    self.stamps.extend([(one, now), (other, now)]);
                }
            }
        }
        self.states.push(self.rows.clone());
    }

    fn go_on(&mut self) {
        if !self.meanwhile.is_empty() {
            let change = self.meanwhile.remove(0);
            self.change(change);
        }
    }

    /// The next rows after a place, the place behind them, and whether these are all.
    fn after(&self, place: At) -> (Vec<(i64, &'static str)>, At, bool) {
        let watermark = self.last.saturating_sub(LATE);
        let began = place.began.unwrap_or(watermark);
        let mut rows: Vec<(u64, i64)> = self.stamps.iter().map(|(id, stamp)| (*stamp, *id)).collect();
        rows.sort_unstable();
        rows.retain(|row| *row > place.behind);
        let complete = rows.len() <= PAGE;
        rows.truncate(PAGE);
        let next = match rows.last() {
            Some(last) if !complete => At { behind: *last, began: Some(began) },
            _ => At { behind: (began, i64::MIN), began: None },
        };
        (rows.iter().map(|(_, id)| (*id, self.rows.0[id])).collect(), next, complete)
    }
}

/// A place in the changes.
#[derive(Clone, Copy, Debug)]
struct At {
    behind: (u64, i64),
    /// Within a pass: the watermark when it began. What is stamped after that and committed later is read with the next.
    began: Option<u64>,
}

impl At {
    const BEGINNING: Self = Self { behind: (0, i64::MIN), began: None };

    fn cursor(self) -> Cursor {
        let Self { behind: (stamp, id), began } = self;
        Cursor(format!("{stamp} {id} {}", began.map_or(String::new(), |began| began.to_string())).into_bytes())
    }

    fn of(cursor: &Cursor) -> Option<Self> {
        let text = std::str::from_utf8(&cursor.0).ok()?;
        let parts: Vec<&str> = text.split(' ').collect();
        let [stamp, id, began] = parts[..] else { return None };
        Some(Self { behind: (stamp.parse().ok()?, id.parse().ok()?), began: began.parse().ok() })
    }
}

struct System {
    id: SystemId,
    table: Mutex<Table>,
    clock: Arc<Ticks>,
    budget: Budget,
}

impl System {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(mapping: &Mapping, id: i64, code: &str) -> Record {
        let value = |source: &Source| match source {
            Source::Path(path) if path == "id" => Raw::Int(id),
            Source::Path(path) if path == "code" => Raw::Text(code.into()),
            Source::Path(_) | Source::Sql(_) => Raw::Null,
        };
        mapping.record(&mut mapping.sources.iter().map(value).collect::<Vec<_>>())
    }
}

#[async_trait]
impl Reader for System {
    fn system(&self) -> &SystemId {
        &self.id
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }

    async fn describe(&self, _mapping: &Mapping) -> Result<Shape, ReadError> {
        Ok(Shape { dataset: "x".to_owned(), columns: Vec::new(), sampled: None, children: Vec::new() })
    }

    async fn clock(&self) -> Result<ClockReading, ReadError> {
        Ok(ClockReading { offset_micros: 0, uncertainty: Duration::ZERO, measured_at: self.clock.now() })
    }

    async fn changes(&self, mapping: &Mapping, cursor: &Cursor, _limit: usize) -> Result<ChangesPage, ReadError> {
        let low = self.clock.now();
        let mut table = self.table();
        table.go_on();
        let is_first = *cursor == Cursor::from_beginning();
        if table.forgets > 0 && !is_first {
            table.forgets -= 1;
            return Err(ReadError::Cursor { system: self.id.clone(), reason: "forgotten".to_owned() });
        }
        let place = if is_first { At::BEGINNING } else { At::of(cursor).expect("a place of ours") };
        let (rows, next, complete) = table.after(place);
        Ok(ChangesPage {
            records: rows.into_iter().map(|(id, code)| Self::record(mapping, id, code)).collect(),
            first_again: 0,
            next: next.cursor(),
            watermark: None,
            complete,
            given_up: Vec::new(),
            window: Interval::new(low, self.clock.now()),
            clock: None,
            set_back: false,
        })
    }

    async fn by_keys(&self, mapping: &Mapping, keys: &[Key]) -> Result<KeyedRead, ReadError> {
        let low = self.clock.now();
        let mut table = self.table();
        table.go_on();
        let all = table.rows.0.iter().map(|(id, code)| Self::record(mapping, *id, code));
        let records = all.filter(|record| keys.contains(&record.key)).collect();
        Ok(KeyedRead { records, window: Interval::new(low, self.clock.now()) })
    }

    fn scan<'a>(&'a self, _mapping: &'a Mapping, _after: Option<&'a Key>) -> BoxStream<'a, Result<Record, ReadError>> {
        stream::empty().boxed()
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }

    async fn doctor(&self, _mappings: &[&Mapping]) -> Vec<Finding> {
        Vec::new()
    }
}

/// What is kept, in memory.
#[derive(Default)]
struct Kept(Mutex<(Option<IndexState>, BTreeSet<Held>)>);

/// A key and an address.
type Held = (String, String);

impl Kept {
    fn held(address: &Address) -> Held {
        (address.key.to_string(), address.native.clone())
    }
}

#[async_trait]
impl KeyStore for Kept {
    async fn state(&self, _name: &str, _form: &str) -> Result<IndexState, KeyStoreError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = || IndexState { cursor: Cursor::from_beginning(), ..IndexState::default() };
        Ok(kept.0.get_or_insert_with(begun).clone())
    }

    async fn find(&self, _name: &str, _form: &str, keys: &[&Key]) -> Result<(Vec<Address>, i64), KeyStoreError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |key: &&Key| {
            let held = kept.1.iter().filter(|(held, _)| *held == key.to_string());
            held.map(|(_, native)| Address { key: (*key).clone(), native: native.clone() }).collect::<Vec<_>>()
        };
        Ok((keys.iter().flat_map(of).collect(), kept.0.as_ref().map_or(-1, |state| state.version)))
    }

    async fn add(
        &self,
        _name: &str,
        _form: &str,
        moved: &IndexState,
        addresses: &[Address],
    ) -> Result<Option<u64>, KeyStoreError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(state), held) = &mut *kept else { return Ok(None) };
        if state.version != moved.version {
            return Ok(None);
        }
        let before = held.len();
        held.extend(addresses.iter().map(Self::held));
        let added = (held.len() - before) as u64;
        *state = IndexState { entries: held.len() as u64, ..moved.clone() };
        Ok(Some(added))
    }

    async fn drop_stale(
        &self,
        _name: &str,
        _form: &str,
        from: &IndexState,
        stale: &[Address],
    ) -> Result<bool, KeyStoreError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(state), held) = &mut *kept else { return Ok(false) };
        if state.version != from.version {
            return Ok(false);
        }
        let stale: BTreeSet<Held> = stale.iter().map(Self::held).collect();
        held.retain(|address| !stale.contains(address));
        *state = IndexState { version: from.version + 1, entries: held.len() as u64, ..from.clone() };
        Ok(true)
    }
}

fn by_code() -> Arc<Mapping> {
    let text = r#"
        [system.a]
        kind = "sqlite"
        url = "sqlite:a.db"
        [system.b]
        kind = "sqlite"
        url = "sqlite:b.db"
        [entity.x]
        key = "code"
        fields.code = { type = "text", owner = "a" }
        [entity.x.in.a]
        dataset = "x"
        native = "id"
        changed_at = "at"
        fields.code = { path = "code", steps = ["trim", "upper"] }
        [entity.x.in.b]
        dataset = "x"
        fields = { code = "code" }
    "#;
    let environment = Environment::fixed([]);
    let config = parse_with(text, Path::new("plumbline.toml"), Path::new("/"), &environment);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let (entity, system): (EntityId, SystemId) = ("x".parse().unwrap(), "a".parse().unwrap());
    let mapping = Arc::clone(&config.entities[&entity].mappings[&system]);
    assert!(mapping.key_index);
    mapping
}

/// Two processes that keep one index of one system.
struct Bench {
    mapping: Arc<Mapping>,
    system: Arc<System>,
    kept: Arc<Kept>,
    processes: Vec<Indexed>,
}

impl Bench {
    fn new() -> Self {
        let id: SystemId = "a".parse().unwrap();
        let limits = crate::config::BudgetConfig { requests_per_second: 1e6, concurrency: 4, rows_per_run: 1_000 };
        let budget = Budget::new(id.clone(), limits);
        let system = System { id, table: Mutex::default(), clock: Arc::default(), budget };
        let mut bench =
            Self { mapping: by_code(), system: Arc::new(system), kept: Arc::default(), processes: Vec::new() };
        bench.processes = vec![bench.process(), bench.process()];
        bench
    }

    fn process(&self) -> Indexed {
        let reader = Arc::clone(&self.system) as Arc<dyn Reader>;
        let index = KeyIndex::new(IndexParts {
            mapping: Arc::clone(&self.mapping),
            reader: Arc::clone(&reader),
            store: Arc::clone(&self.kept) as Arc<dyn KeyStore>,
            clock: Arc::clone(&self.system.clock) as Arc<dyn Clock>,
        });
        Indexed::new(reader, &self.mapping, Arc::new(index.unwrap())).unwrap()
    }

    fn begin(&self, meanwhile: &[Change]) {
        let mut table = self.system.table();
        table.meanwhile = meanwhile.to_vec();
        table.states = vec![table.rows.clone()];
    }

    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Change(change) => self.system.table().change(*change),
            Step::Read { process, keys, meanwhile } => self.read(*process, keys, meanwhile).await?,
            Step::Fill { process, meanwhile } => {
                self.begin(meanwhile);
                let filled = self.processes[*process].keep_up(&self.mapping).await;
                prop_assert!(filled.is_ok(), "{:?}", filled);
            }
            Step::Restart { process } => self.processes[*process] = self.process(),
            Step::Forget => self.system.table().forgets = 1,
        }
        Ok(())
    }

    async fn read(&self, process: usize, keys: &BTreeSet<usize>, meanwhile: &[Change]) -> Result<(), TestCaseError> {
        self.begin(meanwhile);
        let keys: BTreeSet<String> = keys.iter().map(|code| key_of(CODES[*code]).to_string()).collect();
        let keys: Vec<Key> = keys.iter().map(|text| Key::from(text.as_str())).collect();
        let read = self.processes[process].by_keys(&self.mapping, &keys).await;
        let states = std::mem::take(&mut self.system.table().states);
        let Ok(read) = read else {
            // Only what moves all the time may go unread.
            prop_assert!(!meanwhile.is_empty(), "{:?}", read);
            return Ok(());
        };
        for key in &keys {
            let found = read.records.iter().filter(|record| record.key == *key);
            let found: Vec<i64> = found.map(|record| address(&self.mapping, record)).collect();
            let shown: BTreeSet<i64> = found.iter().copied().collect();
            prop_assert_eq!(found.len(), shown.len(), "no record twice");
            let there: Vec<BTreeSet<i64>> = states.iter().map(|rows| rows.having(key)).collect();
            prop_assert!(shown.iter().all(|id| there.iter().any(|ids| ids.contains(id))), "{:?} {:?}", shown, there);
            let always = |id: &i64| there.iter().all(|ids| ids.contains(id));
            prop_assert!(
                there[0].iter().filter(|id| always(id)).all(|id| shown.contains(id)),
                "{:?} {:?}",
                shown,
                there
            );
            let never_absent = there.iter().all(|ids| !ids.is_empty());
            prop_assert!(
                !(never_absent && shown.is_empty()),
                "`{}` is absent though it was always there: {:?}",
                key,
                there
            );
        }
        Ok(())
    }
}

fn address(mapping: &Mapping, record: &Record) -> i64 {
    assert_eq!(record.fields.len(), mapping.fields.len());
    match record.native.as_ref() {
        Some(Value::Number(number)) => number.to_string().parse().unwrap(),
        Some(Value::Text(text)) => text.parse().unwrap(),
        other => panic!("no address: {other:?}"),
    }
}

fn change() -> impl Strategy<Value = Change> {
    let id = || 1_i64..7;
    prop_oneof![
        4 => (id(), 0..CODES.len(), 0..=LATE).prop_map(|(id, code, late)| Change::Put { id, code, late }),
        1 => id().prop_map(|id| Change::Delete { id }),
        1 => (id(), id()).prop_map(|(one, other)| Change::Swap { one, other }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let meanwhile = || prop::collection::vec(change(), 0..4);
    let keys = prop::collection::btree_set(0..CODES.len(), 1..5);
    prop_oneof![
        4 => change().prop_map(Step::Change),
        4 => (0..2_usize, keys, meanwhile())
            .prop_map(|(process, keys, meanwhile)| Step::Read { process, keys, meanwhile }),
        1 => (0..2_usize, meanwhile()).prop_map(|(process, meanwhile)| Step::Fill { process, meanwhile }),
        1 => (0..2_usize).prop_map(|process| Step::Restart { process }),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_key_leads_to_the_records_that_have_it(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new();
            for step in &steps {
                bench.step(step).await?;
            }
            // At rest everything is found, by both, and by one that has just begun.
            bench.processes.push(bench.process());
            let all: BTreeSet<usize> = (0..CODES.len()).collect();
            for process in 0..3 {
                bench.read(process, &all, &[]).await?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}
