//! Records whose fields are made of children: pages, snapshots, cursors, indices.

use std::collections::BTreeSet;

use plumbline::connect::{Bound, Cursor, KeyRange, Severity};
use plumbline::model::mapping::{Aggregate, ChildOrigin, Children, Dataset, Origin, Source, Stamp};
use plumbline::model::{FieldType, Mapping};

use super::bed::{Bed, keys_of, mapping, numbers, open, shown, stamped};

/// Orders with the sum of their lines' quantities, and a sorted list of them.
fn orders() -> Mapping {
    let mut mapping = stamped(
        mapping("orders", 1, &[("id", FieldType::Integer), ("q", FieldType::Integer), ("l", FieldType::Json)]),
        "at",
    );
    mapping.sources.retain(|source| !["q", "l"].map(|name| Source::Path(name.to_owned())).contains(source));
    if let Some(stamp) = &mut mapping.changed_at {
        stamp.source = 1;
    }
    mapping.children = vec![Children {
        name: "items".to_owned(),
        dataset: Dataset::Table("items".to_owned()),
        sources: ["order_id", "qty", "at"].map(|name| Source::Path(name.to_owned())).to_vec(),
        parent: 0,
        refers_to: 0,
        changed_at: Some(Stamp { source: 2, zone: chrono_tz::UTC, epoch: None }),
        scope: Vec::new(),
        bumps_parent: false,
    }];
    for (field, aggregate) in [(1, Aggregate::Sum), (2, Aggregate::List)] {
        let origin = ChildOrigin { children: 0, source: Some(1), only: None, currency: None, times: None, aggregate };
        mapping.fields[field].as_mut().unwrap().origin = Origin::Children(origin);
    }
    mapping
}

/// The same orders without their lines.
fn orders_alone() -> Mapping {
    let mut mapping = orders();
    mapping.children.clear();
    mapping.fields.truncate(1);
    mapping
}

/// Orders 1 to `count` with two lines each (quantities of 1 and 10 more), all of them an hour old.
async fn filled(bed: &Bed, count: i64) {
    let stamp = bed.pick("timestamptz", "datetime(6)", "TEXT");
    bed.run(&format!("CREATE TABLE orders (id int PRIMARY KEY, at {stamp})")).await;
    bed.run(&format!("CREATE TABLE items (order_id int, qty int, at {stamp})")).await;
    let then = at(bed, -3_600);
    let orders: Vec<_> = (1..=count).map(|id| format!("({id}, {then})")).collect();
    let items: Vec<_> = (1..=count).map(|id| format!("({id}, {id}, {then}), ({id}, {}, {then})", id + 10)).collect();
    bed.run(&format!("INSERT INTO orders VALUES {}", orders.join(", "))).await;
    bed.run(&format!("INSERT INTO items VALUES {}", items.join(", "))).await;
}

fn at(bed: &Bed, seconds: i64) -> String {
    match bed {
        Bed::Postgres(_) => format!("clock_timestamp() + {seconds} * interval '1 second'"),
        Bed::Mariadb(_) => format!("utc_timestamp(6) + INTERVAL {seconds} SECOND"),
        Bed::Sqlite(_) => format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '{seconds} seconds')"),
    }
}

#[tokio::test]
async fn every_way_of_reading_gives_the_same_fields() {
    use futures_util::TryStreamExt;
    for bed in Bed::each().await {
        filled(&bed, 5).await;
        bed.run("DELETE FROM items WHERE order_id = 5").await;
        let (reader, mapping) = (bed.reader(), orders());
        let by_keys = reader.by_keys(&mapping, &numbers(1..=6)).await.unwrap().records;
        let one = 1.into();
        let behind = KeyRange { after: Bound::Key(&one), until: Bound::Open };
        let range = reader.key_range(&mapping, behind, 10).await.unwrap().unwrap().records;
        let scan: Vec<_> = reader.scan(&mapping, None).try_collect().await.unwrap();
        let changes = reader.changes(&mapping, &Cursor::from_beginning(), 100).await.unwrap().records;
        assert_eq!(keys_of(&by_keys), ["1", "2", "3", "4", "5"], "{}", bed.name());
        assert_eq!(keys_of(&range), ["2", "3", "4", "5"], "{}", bed.name());
        for records in [&by_keys, &range, &scan, &changes] {
            assert_eq!(shown(records, 3, 1), "16", "{}", bed.name());
            assert_eq!(shown(records, 3, 2), "[3,13]", "{}", bed.name());
            assert_eq!((shown(records, 5, 1), shown(records, 5, 2)), ("0".to_owned(), "[]".to_owned()));
        }
        assert_eq!(reader.by_keys(&mapping, &[]).await.unwrap().records, [], "{}", bed.name());
    }
}

#[tokio::test]
async fn parents_of_changed_children_come_in_pages_each_of_them_once() {
    for bed in Bed::each().await {
        filled(&bed, 30).await;
        let (reader, mapping) = (bed.reader(), orders());
        let mut cursor = reader.changes(&mapping, &Cursor::default(), 4).await.unwrap().next;
        bed.run(&format!("UPDATE items SET qty = qty + 1, at = {} WHERE order_id > 10", at(&bed, 0))).await;
        bed.run(&format!("UPDATE orders SET at = {} WHERE id IN (3, 20)", at(&bed, 0))).await;
        let mut seen = BTreeSet::new();
        let mut pages = 0;
        loop {
            let page = reader.changes(&mapping, &cursor, 4).await.unwrap();
            let keys = keys_of(&page.records);
            // Twice the limit, and what ties with the last stamp.
            assert!(keys.len() <= 8 + pages, "{}: {keys:?}", bed.name());
            let once: BTreeSet<_> = keys.iter().cloned().collect();
            assert_eq!(once.len(), keys.len(), "{}: a record is in a page once", bed.name());
            seen.extend(once);
            cursor = page.next;
            pages += 1;
            if page.complete {
                break;
            }
            assert!(page.watermark.is_none() && pages < 50, "{}", bed.name());
        }
        let expect: BTreeSet<_> = (11..=30).chain([3]).map(|id: i64| id.to_string()).collect();
        assert_eq!(seen, expect, "{}", bed.name());
        assert!(pages >= 5, "{}: {pages}", bed.name());
    }
}

#[tokio::test]
async fn a_cursor_from_before_the_children_goes_on_and_finds_what_changed_since() {
    for bed in Bed::each().await {
        filled(&bed, 3).await;
        let reader = bed.reader();
        let before = reader.changes(&orders_alone(), &Cursor::default(), 10).await.unwrap().next;
        bed.run(&format!("UPDATE items SET qty = 7, at = {} WHERE order_id = 2", at(&bed, 0))).await;
        let alone = open(&bed.system()).changes(&orders_alone(), &before, 10).await.unwrap();
        assert_eq!(keys_of(&alone.records), Vec::<String>::new(), "{}", bed.name());
        let page = reader.changes(&orders(), &before, 10).await.unwrap();
        assert_eq!(keys_of(&page.records), ["2"], "{}", bed.name());
        assert_eq!(shown(&page.records, 2, 1), "14", "{}", bed.name());
    }
}

/// A writer moves one unit between the two lines of an order again and again. Whoever reads the order's lines and the
/// order in one snapshot always finds the same sum.
#[tokio::test]
async fn a_record_and_its_children_are_of_one_snapshot() {
    for bed in Bed::each().await {
        filled(&bed, 1).await;
        bed.run("DELETE FROM items").await;
        bed.run("CREATE TABLE stock (id int)").await;
        let (reader, mut mapping) = (bed.reader(), orders());
        // A second kind of children, read by a statement of its own: what one loses the other gets.
        let mut others = mapping.children[0].clone();
        others.name = "others".to_owned();
        others.dataset = Dataset::Table("others".to_owned());
        mapping.children.push(others);
        let origin = ChildOrigin {
            children: 1,
            source: Some(1),
            only: None,
            currency: None,
            times: None,
            aggregate: Aggregate::Sum,
        };
        mapping.fields[2].as_mut().unwrap().origin = Origin::Children(origin);
        mapping.fields[2].as_mut().unwrap().field_type = FieldType::Integer;
        let stamp = bed.pick("timestamptz", "datetime(6)", "TEXT");
        bed.run(&format!("CREATE TABLE others (order_id int, qty int, at {stamp})")).await;
        bed.run(&format!("INSERT INTO items VALUES (1, 500, {})", at(&bed, 0))).await;
        bed.run(&format!("INSERT INTO others VALUES (1, 500, {})", at(&bed, 0))).await;
        let (begin, end) = ("BEGIN", "COMMIT");
        let writes = async {
            for _ in 0..60 {
                let both = "UPDATE items SET qty = qty - 1; UPDATE others SET qty = qty + 1";
                bed.run(&format!("{begin}; {both}; {end}")).await;
            }
        };
        let reads = async {
            let mut sums = BTreeSet::new();
            for _ in 0..60 {
                let records = reader.by_keys(&mapping, &numbers([1])).await.unwrap().records;
                let part = |field| shown(&records, 1, field).parse::<i64>().unwrap();
                sums.insert(part(1) + part(2));
            }
            sums
        };
        let ((), sums) = tokio::join!(writes, reads);
        assert_eq!(sums, BTreeSet::from([1_000]), "{}", bed.name());
    }
}

#[tokio::test]
async fn missing_indices_on_children_are_found_and_made_good_by_what_is_suggested() {
    for bed in Bed::each().await {
        filled(&bed, 20).await;
        let reader = bed.reader();
        let about = |findings: &[plumbline::connect::Finding], subject: &str| {
            let found = findings.iter().find(|finding| finding.subject.contains(subject));
            let found = found.unwrap_or_else(|| panic!("nothing about {subject} in {findings:#?}"));
            (found.severity, found.message.clone())
        };
        let subjects = ["items of thing by parent", "change read of items"];
        let before = reader.doctor(&[&orders()]).await;
        for (number, subject) in subjects.iter().enumerate() {
            let (severity, message) = about(&before, subject);
            assert_eq!(severity, Severity::Warning, "{}: {message}", bed.name());
            let (_, suggestion) = message.split_once("an index: `").unwrap();
            let statement = suggestion.strip_suffix('`').unwrap();
            bed.run(&statement.replacen("items_plumbline", &format!("items_{number}"), 1)).await;
        }
        let after = reader.doctor(&[&orders()]).await;
        for subject in subjects.into_iter().chain(["by what its items name"]) {
            assert_eq!(about(&after, subject), (Severity::Ok, "uses an index".to_owned()), "{}", bed.name());
        }
    }
}
