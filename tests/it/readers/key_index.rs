//! An index of keys against the truth: rows come, go and change their keys at random, and what is read by key is always
//! what is there; also when two processes keep the index.

use std::collections::BTreeMap;
use std::sync::Arc;

use plumbline::audit::key_store::Indexes;
use plumbline::connect::Reader;
use plumbline::model::mapping::Step;
use plumbline::model::{FieldType, Key, Mapping};
use plumbline::state::{StateSecret, StateStore};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::bed::{Bed, clock, mapping, stamped};

/// Few keys, so that they meet: each is written in several ways.
const CODES: [&str; 8] = ["a", "A", " a", "b", "B ", "c", "C", "d"];

fn by_code() -> Arc<Mapping> {
    let columns = [("code", FieldType::Text), ("id", FieldType::Integer)];
    let mut mapping = stamped(mapping("x", 1, &columns), "at");
    mapping.fields[0].as_mut().unwrap().steps = vec![Step::Trim, Step::Upper];
    mapping.native = Some(1);
    mapping.key_index = true;
    Arc::new(mapping)
}

struct Run {
    bed: Bed,
    rows: BTreeMap<i64, &'static str>,
    next: i64,
    random: SmallRng,
}

impl Run {
    async fn new(bed: Bed, seed: u64) -> Self {
        let stamp = bed.pick("timestamptz", "datetime(6)", "text");
        bed.run(&format!("CREATE TABLE x (id integer PRIMARY KEY, code varchar(20), at {stamp})")).await;
        Self { bed, rows: BTreeMap::new(), next: 1, random: SmallRng::seed_from_u64(seed) }
    }

    fn code(&mut self) -> &'static str {
        CODES[self.random.random_range(0..CODES.len())]
    }

    fn some_id(&mut self) -> Option<i64> {
        let at = self.random.random_range(0..self.rows.len().max(1));
        self.rows.keys().nth(at).copied()
    }

    /// One change of the table, in one transaction.
    async fn change(&mut self) {
        let now = self.bed.pick("clock_timestamp()", "utc_timestamp(6)", "strftime('%Y-%m-%d %H:%M:%f', 'now')");
        let code = self.code();
        match (self.random.random_range(0..4), self.some_id()) {
            (0, Some(id)) => {
                self.bed.run(&format!("DELETE FROM x WHERE id = {id}")).await;
                self.rows.remove(&id);
            }
            (1, Some(id)) => {
                self.bed.run(&format!("UPDATE x SET code = '{code}', at = {now} WHERE id = {id}")).await;
                self.rows.insert(id, code);
            }
            // The same key in another row.
            (2, Some(id)) => {
                let (code, new) = (self.rows[&id], self.next);
                let delete = format!("DELETE FROM x WHERE id = {id}");
                let insert = format!("INSERT INTO x VALUES ({new}, '{code}', {now})");
                self.bed.run(&format!("BEGIN; {delete}; {insert}; COMMIT")).await;
                self.rows.remove(&id);
                self.rows.insert(new, code);
                self.next += 1;
            }
            _ => {
                let id = self.next;
                self.bed.run(&format!("INSERT INTO x VALUES ({id}, '{code}', {now})")).await;
                self.rows.insert(id, code);
                self.next += 1;
            }
        }
    }

    fn truth(&self) -> Vec<(String, i64)> {
        let mut truth: Vec<_> = self.rows.iter().map(|(id, code)| (code.trim().to_uppercase(), *id)).collect();
        truth.sort();
        truth
    }
}

async fn read(reader: &Arc<dyn Reader>, mapping: &Mapping) -> Vec<(String, i64)> {
    let keys: Vec<Key> = ["A", "B", "C", "D", "a"].into_iter().map(Key::from).collect();
    let read = reader.by_keys(mapping, &keys).await.unwrap();
    let shown = |record: &plumbline::model::Record| {
        (record.key.to_string(), record.fields[1].to_string().parse::<i64>().unwrap())
    };
    let mut shown: Vec<_> = read.records.iter().map(shown).collect();
    shown.sort();
    shown
}

#[tokio::test]
async fn what_is_read_by_key_is_what_is_there() {
    for (number, bed) in Bed::each().await.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let secret = StateSecret::from_bytes([7; 32]);
        let url = format!("sqlite://{}", dir.path().join("state.db").display());
        let state = StateStore::open(&url, &secret).await.unwrap();
        state.migrate().await.unwrap();
        let mapping = by_code();
        let name = bed.name();
        let process = |reader: Arc<dyn Reader>| {
            Indexes::new(state.clone(), secret.digest_key(), clock()).before(reader, &mapping).unwrap()
        };
        let mut processes = [process(bed.reader()), process(bed.reader())];
        let mut run = Run::new(bed, 40 + number as u64).await;
        for step in 0..80 {
            for _ in 0..run.random.random_range(0..3) {
                run.change().await;
            }
            let which = run.random.random_range(0..2);
            if run.random.random_range(0..20) == 0 {
                processes[which] = process(run.bed.reader());
            }
            assert_eq!(read(&processes[which], &mapping).await, run.truth(), "{name}, step {step}");
        }
        let index = &state.key_indexes().await.unwrap()[0];
        assert_eq!(index.name, "thing/erp");
        assert!(index.entries as usize >= run.rows.len(), "{name}");
        assert!((index.entries as usize) < run.rows.len() + 8, "{name}: {} addresses are kept", index.entries);
    }
}
