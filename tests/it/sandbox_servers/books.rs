//! What the books hold is what Plumbline reads.

use std::collections::BTreeMap;

use plumbline::connect::Cursor;
use plumbline::sandbox::book::{Book, Manner};
use plumbline::sandbox::record::{Content, Entity, System, status};
use plumbline::sandbox::store::NewOrder;

use super::company::{Company, customer, product, stock};

/// Keys and what a book holds under each of them, left out where it holds nothing.
async fn held(book: &impl Book, entity: Entity, keys: &[String]) -> BTreeMap<String, Vec<Content>> {
    let mut held = BTreeMap::new();
    for key in keys {
        held.insert(key.clone(), book.read(entity, key).await.unwrap());
    }
    held.retain(|_, contents| !contents.is_empty());
    held
}

fn keys(form: impl Fn(usize) -> String, count: usize) -> Vec<String> {
    (1..=count).map(form).collect()
}

fn sku(number: usize) -> String {
    format!("SKU-{number:04}")
}

#[tokio::test]
async fn goods_of_several_pages_are_read_as_they_are() {
    let company = Company::open().await;
    let skus = keys(sku, 230);
    for (number, sku) in skus.iter().enumerate() {
        let title = format!("Nuts & Bolts <{number}>");
        company.put(&company.store, Entity::Product, sku, &[product(&title, 1_000 + number as i64)]).await;
        company.put(&company.store, Entity::Stock, sku, &[stock(number as i64)]).await;
    }
    let store = &company.store;
    // One has no stock, one is in the trash, one is gone.
    company.put(store, Entity::Stock, "SKU-0003", &[]).await;
    let softly = Manner { softly: true, ..Manner::default() };
    store.write(Entity::Product, "SKU-0004", &[], softly).await.unwrap();
    company.put(store, Entity::Product, "SKU-0005", &[]).await;
    for (entity, count) in [(Entity::Product, 228), (Entity::Stock, 227)] {
        let expect = held(store, entity, &skus).await;
        assert_eq!(expect.len(), count);
        assert_eq!(company.read_all(System::Store, entity).await, expect, "{entity}");
        let some = ["SKU-0001", "SKU-0003", "SKU-0004", "SKU-0005", "SKU-0230", "none"];
        let read = company.read_keys(System::Store, entity, &some).await;
        assert_eq!(read, held(store, entity, &some.map(str::to_owned)).await, "{entity}");
        let client = store.client().unwrap();
        assert_eq!(held(&client, entity, &some.map(str::to_owned)).await, read, "{entity}");
    }
}

#[tokio::test]
async fn orders_are_read_through_their_whole_life() {
    let company = Company::open().await;
    let store = &company.store;
    for (number, cents) in [(1, 1_299), (2, 50), (7, 100_000)] {
        company.put(store, Entity::Product, &sku(number), &[product("Brass bob", cents)]).await;
    }
    let new = |state: &str, currency: &str, lines: &[(usize, i64)]| NewOrder {
        status: state.to_owned(),
        currency: currency.to_owned(),
        customer: "c0001".to_owned(),
        lines: lines.iter().map(|(number, pieces)| (sku(*number), *pieces)).collect(),
    };
    let numbers = ["1001", "1002", "1003", "1004", "1005", "1006", "1007"].map(str::to_owned);
    for (state, currency, lines) in [
        (status::OPEN, "EUR", &[(7, 1), (1, 2), (1, 1)][..]),
        (status::PENDING, "EUR", &[(1, 1)]),
        (status::SHIPPED, "JPY", &[(1, 3)]),
        (status::OPEN, "USD", &[(2, 1)]),
        (status::OPEN, "USD", &[(2, 2)]),
        (status::OPEN, "EUR", &[(2, 3)]),
        (status::OPEN, "EUR", &[(2, 4)]),
    ] {
        store.place(&new(state, currency, lines)).unwrap();
    }
    let first = store.read(Entity::Order, "1001").await.unwrap();
    let said = serde_json::to_value(&first).unwrap();
    let lines = "SKU-0001*3,SKU-0007*1";
    let expect = serde_json::json!([
        { "status": "open", "currency": "EUR", "total": "103897", "refunded": "0", "lines": lines }
    ]);
    assert_eq!(said, expect);

    let begun = company.changes(System::Store, Entity::Order, &Cursor::from_beginning()).await.unwrap();
    store.refund("1001", 1_000, "goodwill").unwrap();
    store.refund("1001", 234, "damaged").unwrap();
    store.refund("1003", 1_500, "late").unwrap();
    store.edit_lines("1004", &[(sku(1), 1), (sku(2), 9)]).unwrap();
    store.set_status("1005", status::CANCELLED).unwrap();
    let softly = Manner { softly: true, ..Manner::default() };
    store.write(Entity::Order, "1006", &[], softly).await.unwrap();
    store.erase("1007").unwrap();

    let mut expect = held(store, Entity::Order, &numbers).await;
    assert_eq!(expect.keys().collect::<Vec<_>>(), ["1001", "1002", "1003", "1004", "1005"]);
    // What is not paid or cancelled is no order to the others.
    expect.retain(|_, contents| {
        ["open", "shipped"].contains(&contents[0].text(plumbline::sandbox::record::Field::Status))
    });
    assert_eq!(company.read_all(System::Store, Entity::Order).await, expect);
    let asked = ["1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008"];
    assert_eq!(company.read_keys(System::Store, Entity::Order, &asked).await, expect);
    // What left is seen leaving, but for what was erased.
    let page = company.changes(System::Store, Entity::Order, &begun.next).await.unwrap();
    let mut left: Vec<String> =
        page.records.iter().filter(|record| !record.in_scope).map(|record| record.key.to_string()).collect();
    left.sort_unstable();
    left.dedup();
    assert_eq!(left, ["1002", "1005", "1006"]);
}

#[tokio::test]
async fn who_gets_all_money_back_has_cancelled() {
    let company = Company::open().await;
    let store = &company.store;
    company.put(store, Entity::Product, "SKU-0001", &[product("Brass bob", 500)]).await;
    let lines = vec![("SKU-0001".to_owned(), 2)];
    let order = NewOrder { status: status::OPEN.to_owned(), currency: "EUR".to_owned(), lines, ..NewOrder::default() };
    let number = store.place(&order).unwrap();
    store.refund(&number, 1_001, "too much").unwrap_err();
    store.refund(&number, 1_000, "all of it").unwrap();
    let held = store.read(Entity::Order, &number).await.unwrap();
    assert_eq!(held[0].text(plumbline::sandbox::record::Field::Status), status::CANCELLED);
    assert_eq!(company.read_all(System::Store, Entity::Order).await, BTreeMap::new());
}

#[tokio::test]
async fn customers_are_read_from_store_and_crm() {
    let company = Company::open().await;
    let keys = keys(|number| format!("c{number:04}"), 230);
    for key in &keys {
        let content = customer(&format!("Ada O'Neil {key}"), &format!("{key}@customer.example"));
        company.put(&company.crm, Entity::Customer, key, std::slice::from_ref(&content)).await;
        company.put(&company.store, Entity::Customer, key, &[content]).await;
    }
    let softly = Manner { softly: true, ..Manner::default() };
    company.crm.write(Entity::Customer, "c0002", &[], softly).await.unwrap();
    company.put(&company.crm, Entity::Customer, "c0003", &[]).await;
    company.put(&company.store, Entity::Customer, "c0003", &[]).await;
    let expect = held(&company.crm, Entity::Customer, &keys).await;
    assert_eq!(expect.len(), 228);
    assert_eq!(company.read_all(System::Crm, Entity::Customer).await, expect);
    let some = ["c0001", "c0002", "c0003", "c0230", "none"];
    let read = company.read_keys(System::Crm, Entity::Customer, &some).await;
    assert_eq!(read.keys().collect::<Vec<_>>(), ["c0001", "c0230"]);
    let expect = held(&company.store, Entity::Customer, &keys).await;
    assert_eq!(expect.len(), 229);
    // The shop's keeper is a user and no customer.
    assert_eq!(company.read_all(System::Store, Entity::Customer).await, expect);
}

/// Whatever is written over HTTP is held as if it had been written from inside, and noted once and in the same words.
#[tokio::test]
async fn clients_write_what_the_books_then_hold() {
    let company = Company::open().await;
    let (store, crm) = (company.store.client().unwrap(), company.crm.client().unwrap());
    let softly = Manner { softly: true, ..Manner::default() };
    let usual = Manner::default();
    let (first, second) = (product("Plumb & bob", 1_299), product("Plumb <bob>", 5));
    for (contents, manner) in [
        (std::slice::from_ref(&first), usual),
        (std::slice::from_ref(&second), usual),
        (&[], softly),
        (std::slice::from_ref(&first), usual),
        (&[], usual),
    ] {
        store.write(Entity::Product, "SKU-0001", contents, manner).await.unwrap();
        assert_eq!(company.store.read(Entity::Product, "SKU-0001").await.unwrap(), contents);
        assert_eq!(store.read(Entity::Product, "SKU-0001").await.unwrap(), contents);
    }
    store.write(Entity::Stock, "SKU-0002", &[stock(1)], usual).await.unwrap_err();
    store.write(Entity::Product, "SKU-0002", &[second], usual).await.unwrap();
    for contents in [&[stock(4)][..], &[stock(0)], &[]] {
        store.write(Entity::Stock, "SKU-0002", contents, usual).await.unwrap();
        assert_eq!(company.store.read(Entity::Stock, "SKU-0002").await.unwrap(), contents);
    }
    let (first, second) = (customer("Ada", "ada@x.example"), customer("Ada Byron", "byron@x.example"));
    for contents in [&[first][..], &[second], &[]] {
        store.write(Entity::Customer, "c0001", contents, usual).await.unwrap();
        assert_eq!(company.store.read(Entity::Customer, "c0001").await.unwrap(), contents);
        crm.write(Entity::Customer, "c0001", contents, softly).await.unwrap();
        assert_eq!(company.crm.read(Entity::Customer, "c0001").await.unwrap(), contents);
        assert_eq!(crm.read(Entity::Customer, "c0001").await.unwrap(), contents);
    }
    for write in company.log.writes() {
        assert!(write.committed.low <= write.committed.high && write.committed.high <= company.clock.now());
    }
    let last = company.log.writes().into_iter().rev().find(|write| write.entity == Entity::Stock).unwrap();
    assert_eq!((last.key.as_str(), last.contents.len()), ("SKU-0002", 0));
}

#[tokio::test]
async fn clients_change_orders() {
    let company = Company::open().await;
    let client = company.store.client().unwrap();
    for number in [1, 2] {
        company.put(&company.store, Entity::Product, &sku(number), &[product("Brass bob", 500)]).await;
    }
    let lines = vec![(sku(1), 2)];
    let order = NewOrder { status: status::OPEN.to_owned(), currency: "EUR".to_owned(), lines, ..NewOrder::default() };
    let number = company.store.place(&order).unwrap();
    use plumbline::sandbox::record::Field::{Currency, Lines, Refunded, Status, Total};
    let content = |state: &str, currency: &str, total: i64, refunded: i64, lines: &str| {
        Content::default()
            .with(Status, state)
            .with(Currency, currency)
            .with(Total, total)
            .with(Refunded, refunded)
            .with(Lines, lines)
    };
    for content in [
        content("open", "EUR", 1_500, 0, "SKU-0001*1,SKU-0002*2"),
        content("shipped", "EUR", 1_750, 300, "SKU-0001*1,SKU-0002*2"),
        content("shipped", "EUR", 900, 450, "SKU-0002*2"),
        content("open", "JPY", 1_000, 100, "SKU-0002*2"),
        content("cancelled", "JPY", 1_000, 0, "SKU-0001*2"),
    ] {
        for book in [true, false] {
            let contents = std::slice::from_ref(&content);
            match book {
                true => client.write(Entity::Order, &number, contents, Manner::default()).await.unwrap(),
                false => company.put(&company.store, Entity::Order, &number, contents).await,
            }
            assert_eq!(company.store.read(Entity::Order, &number).await.unwrap(), contents);
            assert_eq!(client.read(Entity::Order, &number).await.unwrap(), contents);
        }
    }
}
