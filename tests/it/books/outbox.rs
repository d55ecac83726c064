//! What the sync job goes by.

use plumbline::sandbox::book::{Book, Manner};
use plumbline::sandbox::record::{Entity, System};

use super::bed::{Bed, PRODUCTS, record};

#[tokio::test]
async fn each_write_of_a_product_is_one_message_that_stays_until_it_is_forgotten() {
    for product in PRODUCTS {
        let bed = Bed::new(product, System::Erp).await;
        for sku in ["SKU-0001", "SKU-0002", "SKU-0001"] {
            bed.write(Entity::Product, sku, &[record(Entity::Product, 0)]).await;
        }
        bed.write(Entity::Product, "SKU-0002", &[]).await;
        // The ERP follows in stocks: nobody waits for its word.
        bed.write(Entity::Stock, "SKU-0001", &[record(Entity::Stock, 0)]).await;

        let taken = bed.database.take_outbox(3).await.unwrap();
        let keys: Vec<_> = taken.iter().map(|(_, entity, key)| (*entity, key.as_str())).collect();
        let product = |sku| (Entity::Product, sku);
        assert_eq!(keys, ["SKU-0001", "SKU-0002", "SKU-0001"].map(product), "{}", bed.name());

        // Whoever took them died; another finds all of them again, and the newest, too.
        let other = bed.another().await;
        let again = other.take_outbox(100).await.unwrap();
        assert_eq!(again[..3], taken, "{}", bed.name());
        assert_eq!(again.len(), 4, "{}", bed.name());
        other.forget(&again.iter().map(|(id, _, _)| *id).collect::<Vec<_>>()).await.unwrap();
        assert_eq!(bed.database.take_outbox(100).await.unwrap(), [], "{}", bed.name());

        // A number that was forgotten never names another message.
        bed.write(Entity::Product, "SKU-0003", &[record(Entity::Product, 1)]).await;
        other.forget(&[again[3].0]).await.unwrap();
        assert_eq!(bed.database.take_outbox(100).await.unwrap().len(), 1, "{}", bed.name());
    }
}

#[tokio::test]
async fn a_failed_write_leaves_no_message() {
    for product in PRODUCTS {
        let bed = Bed::new(product, System::Erp).await;
        bed.place.run("DROP TABLE outbox").await;
        let contents = [record(Entity::Product, 0)];
        assert!(bed.database.write(Entity::Product, "SKU-0001", &contents, Manner::default()).await.is_err());
        assert_eq!(bed.read(Entity::Product, "SKU-0001").await, [], "{}", bed.name());
        assert_eq!(bed.log.writes(), []);
    }
}

#[tokio::test]
async fn the_warehouse_tells_what_changed_since() {
    for product in PRODUCTS {
        let bed = Bed::new(product, System::Warehouse).await;
        bed.write(Entity::Stock, "SKU-0001", &[record(Entity::Stock, 0)]).await;
        let (_, _, first) = bed.database.changed_since(0).await.unwrap().remove(0);
        bed.place.run("UPDATE bin SET updated_ms = updated_ms - 10000").await;
        bed.write(Entity::Shipment, "5001", &[record(Entity::Shipment, 0)]).await;
        bed.write(Entity::Stock, "SKU-0002", &[record(Entity::Stock, 1)]).await;
        let since = bed.database.changed_since(first).await.unwrap();
        let mut keys: Vec<_> = since.iter().map(|(entity, key, _)| (*entity, key.as_str())).collect();
        keys.sort();
        assert_eq!(keys, [(Entity::Stock, "SKU-0002"), (Entity::Shipment, "5001")], "{}", bed.name());
        assert_eq!(bed.database.changed_since(0).await.unwrap().len(), 3, "{}", bed.name());
    }
}
