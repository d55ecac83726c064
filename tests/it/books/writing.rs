//! What a write leaves: the records, their rows, their stamps, the note in the log.

use std::sync::Arc;
use std::time::Duration;

use plumbline::sandbox::book::{Book, Manner};
use plumbline::sandbox::database::Database;
use plumbline::sandbox::record::{Content, Entity, Field, System, status};

use super::bed::{Bed, PRODUCTS, clock, key, record};

const SOFTLY: Manner = Manner { held_open: Duration::ZERO, unstamped: false, softly: true };
const UNSTAMPED: Manner = Manner { held_open: Duration::ZERO, unstamped: true, softly: false };

/// Writes, and sees that it is what others read and what the log says.
async fn holds(bed: &Bed, entity: Entity, contents: &[Content], manner: Manner) {
    bed.write_so(entity, key(entity), contents, manner).await;
    let kept: Vec<_> = contents.iter().map(|content| bed.kept(entity, content)).collect();
    assert_eq!(bed.read(entity, key(entity)).await, kept, "{entity} in {}", bed.name());
    let noted = bed.log.writes().pop().unwrap();
    assert_eq!((noted.system, noted.entity, noted.key.as_str()), (bed.system, entity, key(entity)));
    assert_eq!(noted.contents, kept, "{entity} in the log of {}", bed.name());
    assert!(noted.committed.low <= noted.committed.high);
}

#[tokio::test]
async fn records_come_change_double_and_go_and_the_log_says_what_is_there() {
    for bed in Bed::each().await {
        for (entity, table) in bed.entities() {
            let [one, two, three] = [0, 1, 2].map(|number| record(entity, number));
            let normal = Manner::default();
            for contents in [vec![one.clone()], vec![two.clone()], vec![two, three.clone()], vec![three.clone()]] {
                holds(&bed, entity, &contents, normal).await;
            }
            holds(&bed, entity, &[], normal).await;
            assert_eq!(bed.place.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table} {}", bed.name());
            // What is marked as deleted comes back into its place.
            for contents in [vec![one.clone()], vec![], vec![three], vec![one.clone(), one.clone()], vec![one]] {
                holds(&bed, entity, &contents, SOFTLY).await;
            }
        }
    }
}

#[tokio::test]
async fn marked_as_deleted_is_gone_for_readers_only() {
    for bed in Bed::each().await {
        for (entity, table) in bed.entities() {
            holds(&bed, entity, &[record(entity, 0)], Manner::default()).await;
            holds(&bed, entity, &[], SOFTLY).await;
            let marks =
                bed.system == System::Erp && matches!(entity, Entity::Product | Entity::Order | Entity::Customer);
            let rows = bed.place.number(&format!("SELECT count(*) FROM {table}")).await;
            assert_eq!(rows, i64::from(marks), "{table} in {}", bed.name());
            holds(&bed, entity, &[record(entity, 1)], Manner::default()).await;
            assert_eq!(bed.place.number(&format!("SELECT count(*) FROM {table}")).await, 1, "{table} {}", bed.name());
        }
    }
}

#[tokio::test]
async fn a_cancelled_order_is_marked_in_the_erp_and_unknown_in_the_warehouse() {
    for bed in Bed::each().await {
        let table = if bed.system == System::Erp { "sale_order" } else { "pick_order" };
        let order = record(Entity::Order, 0);
        bed.write(Entity::Order, "1001", std::slice::from_ref(&order)).await;
        bed.write(Entity::Order, "1001", &[order.with(Field::Status, status::CANCELLED)]).await;
        assert_eq!(bed.read(Entity::Order, "1001").await, [], "{}", bed.name());
        assert_eq!(bed.log.writes().pop().unwrap().contents, []);
        let rows = bed.place.number(&format!("SELECT count(*) FROM {table}")).await;
        assert_eq!(rows, i64::from(bed.system == System::Erp), "{}", bed.name());
    }
}

#[tokio::test]
async fn rows_stay_where_they_are_and_stamps_move_unless_left_alone() {
    for bed in Bed::each().await {
        for (entity, table) in bed.entities() {
            let (stamp, written) = match bed.system {
                System::Erp => ("write_date", "'2020-01-01 00:00:00'"),
                _ => ("updated_ms", "1577836800000"),
            };
            let old = format!("SELECT count(*) FROM {table} WHERE {stamp} = {written}");
            bed.write(entity, key(entity), &[record(entity, 0)]).await;
            let id = bed.place.number(&format!("SELECT id FROM {table}")).await;
            bed.place.run(&format!("UPDATE {table} SET {stamp} = {written}")).await;
            bed.write_so(entity, key(entity), &[record(entity, 1)], UNSTAMPED).await;
            assert_eq!(bed.place.number(&old).await, 1, "{table} in {}", bed.name());
            // The same again: a touch that changes nothing.
            bed.write(entity, key(entity), &[record(entity, 1)]).await;
            assert_eq!(bed.place.number(&old).await, 0, "{table} in {}", bed.name());
            assert_eq!(bed.place.number(&format!("SELECT id FROM {table}")).await, id, "{table} in {}", bed.name());
        }
    }
}

#[tokio::test]
async fn a_further_refund_is_a_further_credit_note() {
    for product in PRODUCTS {
        let bed = Bed::new(product, System::Erp).await;
        let order = |refunded: i64| record(Entity::Order, 0).with(Field::Refunded, refunded);
        for (refunded, notes) in [(0, 0), (300, 1), (300, 1), (1000, 2), (400, 1), (0, 0)] {
            holds(&bed, Entity::Order, &[order(refunded)], Manner::default()).await;
            let rows = bed.place.number("SELECT count(*) FROM credit_note").await;
            assert_eq!(rows, notes, "{refunded} refunded in {}", bed.name());
        }
    }
}

#[tokio::test]
async fn a_write_that_is_held_open_is_stamped_long_before_it_is_committed() {
    const HELD_OPEN: Duration = Duration::from_millis(700);
    for product in PRODUCTS {
        let bed = Bed::new(product, System::Warehouse).await;
        let manner = Manner { held_open: HELD_OPEN, ..Manner::default() };
        bed.write_so(Entity::Stock, "SKU-0007", &[record(Entity::Stock, 0)], manner).await;
        let (_, _, stamp) = bed.database.changed_since(0).await.unwrap().remove(0);
        let committed = bed.log.writes().remove(0).committed;
        let late = committed.low.micros() / 1000 - stamp;
        assert!(late >= 700, "committed {late} ms after the stamp in {}", bed.name());
    }
}

#[tokio::test]
async fn what_the_company_opens_with_is_read_like_what_was_written() {
    for bed in Bed::each().await {
        for (entity, _) in bed.entities() {
            let records = (0..2500).map(|number| (format!("K{number}"), record(entity, number % 10)));
            bed.database.fill(entity, records.take(if entity == Entity::Order { 30 } else { 2500 })).await.unwrap();
            for number in [0, 7, 29] {
                let kept = bed.kept(entity, &record(entity, number % 10));
                assert_eq!(bed.read(entity, &format!("K{number}")).await, [kept], "{entity} in {}", bed.name());
            }
        }
        assert_eq!(bed.log.writes(), []);
    }
}

#[tokio::test]
async fn what_a_system_does_not_hold_is_refused() {
    let bed = Bed::new(PRODUCTS[0], System::Warehouse).await;
    let read = bed.database.read(Entity::Customer, "c0001").await;
    assert_eq!(read.unwrap_err().to_string(), "the warehouse holds no customer");
    let again = Database::create(System::Warehouse, &bed.place.url(), Arc::default(), clock()).await;
    assert_eq!(again.err().unwrap().to_string(), "cannot make the tables of the warehouse");
    let store = Database::open(System::Store, &bed.place.url(), Arc::default(), clock()).await;
    assert_eq!(store.err().unwrap().to_string(), "the store is no database");
}
