//! Several who write the same database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plumbline::sandbox::book::{Book, Manner, Write};
use plumbline::sandbox::database::Database;
use plumbline::sandbox::record::{Content, Entity, Field, System};
use plumbline::sandbox::wire::{Cut, Wire};
use tokio::task::JoinSet;

use super::bed::{Bed, PRODUCTS, clock, record};

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
        let manner = Manner { held_open: Duration::from_secs(3600), ..Manner::default() };
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

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_cut_off_is_noted_if_and_only_if_it_took_place() {
    for product in &PRODUCTS[1..] {
        let bed = Bed::new(*product, System::Warehouse).await;
        let (wire, through) = wired(&bed).await;
        wire.set_delay(Duration::from_millis(20));
        let cutting = tokio::spawn(async move {
            for round in 0..12 {
                tokio::time::sleep(Duration::from_millis(150 + 7 * round)).await;
                wire.cut(if round % 2 == 0 { Cut::Refusing } else { Cut::Silent });
                tokio::time::sleep(Duration::from_millis(50)).await;
                wire.mend();
            }
            wire
        });
        let mut failed = 0;
        let mut pieces = 0;
        while !cutting.is_finished() {
            pieces += 1;
            let content = [Content::of([(Field::Pieces, pieces.to_string())])];
            let wrote = through.write(Entity::Stock, "SKU-0007", &content, Manner::default()).await;
            failed += usize::from(wrote.is_err());
            let noted = bed.log.writes().pop().map_or_else(Vec::new, |write| write.contents);
            assert_eq!(bed.read(Entity::Stock, "SKU-0007").await, noted, "{wrote:?} in {}", bed.name());
        }
        assert!(failed > 0, "no write was cut off in {}", bed.name());
        cutting.await.unwrap();
    }
}

/// A wire to the server of a bed, and the same database through it.
async fn wired(bed: &Bed) -> (Wire, Database) {
    let url = url::Url::parse(&bed.place.url()).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let wire = Wire::open(tokio::net::lookup_host(server).await.unwrap().next().unwrap()).await.unwrap();
    let mut through = url.clone();
    through.set_host(Some("127.0.0.1")).unwrap();
    through.set_port(Some(wire.addr().port())).unwrap();
    let log = std::sync::Arc::clone(&bed.log);
    (wire, Database::open(bed.system, through.as_str(), log, clock()).await.unwrap())
}
