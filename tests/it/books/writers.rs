//! Several who write the same database.

use std::collections::{BTreeMap, BTreeSet};

use plumbline::sandbox::book::{Book, Manner, Write};
use plumbline::sandbox::record::{Content, Entity, Field, System};
use tokio::task::JoinSet;

use super::bed::{Bed, PRODUCTS, record};

const WRITERS: i64 = 6;
const WRITES: i64 = 40;
const KEYS: i64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_one_key_come_one_after_the_other_and_the_log_knows_the_last() {
    for product in PRODUCTS {
        for (system, entity) in [(System::Erp, Entity::Order), (System::Warehouse, Entity::Stock)] {
            let bed = Bed::new(product, system).await;
            let mut writers = JoinSet::new();
            for writer in 0..WRITERS {
                // Each with connections of its own, as a process has.
                let database = bed.another().await;
                writers.spawn(async move {
                    for write in 0..WRITES {
                        let number = writer * WRITES + write;
                        let contents = contents(entity, number);
                        let key = format!("K{}", number % KEYS);
                        database.write(entity, &key, &contents, Manner::default()).await.unwrap();
                    }
                });
            }
            while let Some(done) = writers.join_next().await {
                done.unwrap();
            }
            let writes = bed.log.writes();
            assert_eq!(writes.len(), usize::try_from(WRITERS * WRITES).unwrap(), "{}", bed.name());
            for (key, last) in last_of_each_key(&writes) {
                assert_eq!(bed.read(entity, &key).await, last.contents, "{key} in {}", bed.name());
            }
            let starts: BTreeSet<_> = writes.iter().map(|write| (&write.key, write.committed.low)).collect();
            assert_eq!(starts.len(), writes.len(), "two writes of one key at once in {}", bed.name());
        }
    }
}

/// Nothing, one record or two.
fn contents(entity: Entity, number: i64) -> Vec<Content> {
    let one = |field: Field| record(entity, 0).with(field, 1_000_000 + number);
    let field = if entity == Entity::Stock { Field::Pieces } else { Field::Total };
    match number % 5 {
        0 => Vec::new(),
        1 => vec![one(field), record(entity, 2)],
        _ => vec![one(field)],
    }
}

fn last_of_each_key(writes: &[Write]) -> BTreeMap<String, &Write> {
    let mut last: BTreeMap<String, &Write> = BTreeMap::new();
    for write in writes {
        let known = last.entry(write.key.clone()).or_insert(write);
        if write.committed.low > known.committed.low {
            *known = write;
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_held_open_keeps_nobody_from_other_keys() {
    for product in &PRODUCTS[1..] {
        let bed = Bed::new(*product, System::Warehouse).await;
        let slow = bed.another().await;
        let manner = Manner { held_open: std::time::Duration::from_secs(3600), ..Manner::default() };
        let held =
            tokio::spawn(
                async move { slow.write(Entity::Stock, "SKU-0001", &[record(Entity::Stock, 0)], manner).await },
            );
        for number in 2..100 {
            let key = format!("SKU-{number:04}");
            bed.write(Entity::Stock, &key, &[record(Entity::Stock, 1)]).await;
        }
        assert_eq!(bed.read(Entity::Stock, "SKU-0001").await, [], "{}", bed.name());
        held.abort();
    }
}
