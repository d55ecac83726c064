//! Pieces of a table in key order: every record in exactly one of them, found by index, bounds from another system too.

use plumbline::connect::{Bound, KeyRange, Place, Reach, ReadError, Reader, Severity};
use plumbline::model::mapping::Step;
use plumbline::model::{FieldType, Key, Mapping, Record, Value};

use super::bed::{Bed, keys_of, mapping, texts};

/// Walks a dataset in pieces of `keys` keys; gives the pieces.
async fn walk(reader: &dyn Reader, mapping: &Mapping, keys: usize) -> Vec<Vec<Record>> {
    let mut pieces = Vec::new();
    let mut after: Option<Place> = None;
    loop {
        let rest = KeyRange { after: after.as_ref().map_or(Bound::Open, Bound::Place), until: Bound::Open };
        let reach = reader.landmark(mapping, rest, keys).await.unwrap();
        let until = match &reach {
            Reach::At(landmark) => Bound::Place(&landmark.place),
            Reach::End => Bound::Open,
            Reach::Nowhere => panic!("a database can be entered anywhere"),
        };
        let range = KeyRange { until, ..rest };
        let read = reader.key_range(mapping, range, 1_000).await.unwrap().unwrap();
        assert!(read.complete);
        pieces.push(read.records);
        match reach {
            Reach::At(landmark) => after = Some(landmark.place),
            _ => return pieces,
        }
    }
}

/// 100 composite keys and one of which a part is null.
async fn two_shops(bed: &Bed) -> Mapping {
    bed.run(bed.pick(
        "CREATE TABLE x (shop text, n int, UNIQUE (shop, n));
         INSERT INTO x SELECT s, n FROM generate_series(1, 50) n, (VALUES ('eu'), ('us')) s(s); INSERT INTO x VALUES ('eu', NULL)",
        "CREATE TABLE x (shop varchar(10), n int, UNIQUE (shop, n)) AS
         SELECT s.s shop, n.seq n FROM seq_1_to_50 n, (SELECT 'eu' s UNION SELECT 'us') s UNION ALL SELECT 'eu', NULL",
        "CREATE TABLE x (shop TEXT, n INTEGER, UNIQUE (shop, n));
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 50)
         INSERT INTO x SELECT s.s, n FROM n, (SELECT 'eu' s UNION SELECT 'us') s; INSERT INTO x VALUES ('eu', NULL)",
    ))
    .await;
    mapping("x", 2, &[("shop", FieldType::Text), ("n", FieldType::Integer)])
}

#[tokio::test]
async fn pieces_hold_every_record_once_and_in_order() {
    for bed in Bed::each().await {
        let mapping = two_shops(&bed).await;
        let pieces = walk(&*bed.reader(), &mapping, 7).await;
        assert!(pieces.iter().all(|piece| piece.len() <= 7), "{}", bed.name());
        let walked: Vec<Key> = pieces.into_iter().flatten().map(|record| record.key).collect();
        let shops = ["eu", "us"].into_iter();
        let expect: Vec<Key> =
            shops.flat_map(|shop| (1..=50).map(move |n| Key::new([Value::from(shop), Value::from(n)]))).collect();
        assert_eq!(walked, expect, "{}", bed.name());
    }
}

#[tokio::test]
async fn rows_whose_keys_the_database_takes_for_equal_stay_together() {
    for bed in Bed::each().await {
        bed.run(bed.pick(
            "CREATE TABLE x (k text COLLATE \"C\", v int); CREATE INDEX x_k ON x (k);
             INSERT INTO x VALUES ('a', 1), ('b', 2), ('b', 3), ('b', 4), ('b', 5), ('c', 6), (NULL, 7)",
            "CREATE TABLE x (k varchar(20) COLLATE utf8mb4_general_ci, v int, KEY x_k (k)) AS
             SELECT 'a' k, 1 v UNION ALL SELECT 'b', 2 UNION ALL SELECT 'B', 3 UNION ALL SELECT 'b', 4
             UNION ALL SELECT 'B', 5 UNION ALL SELECT 'c', 6 UNION ALL SELECT NULL, 7",
            "CREATE TABLE x (k TEXT COLLATE NOCASE, v int); CREATE INDEX x_k ON x (k);
             INSERT INTO x VALUES ('a', 1), ('b', 2), ('B', 3), ('b', 4), ('B', 5), ('c', 6), (NULL, 7)",
        ))
        .await;
        let mapping = mapping("x", 1, &[("k", FieldType::Text), ("v", FieldType::Integer)]);
        let pieces = walk(&*bed.reader(), &mapping, 2).await;
        let sizes: Vec<usize> = pieces.iter().map(Vec::len).collect();
        assert_eq!(sizes, [5, 1], "{}", bed.name());
        let cut = bed.reader().key_range(&mapping, KeyRange::ALL, 4).await.unwrap().unwrap();
        assert_eq!((cut.records.len(), cut.complete), (4, false), "{}", bed.name());
    }
}

#[tokio::test]
async fn bounds_may_be_keys_of_another_system() {
    for bed in Bed::each().await {
        bed.run("CREATE TABLE x (id int PRIMARY KEY, v int)").await;
        bed.run("INSERT INTO x VALUES (1, 1), (3, 3), (5, 5), (7, 7)").await;
        let mapping = mapping("x", 1, &[("id", FieldType::Integer), ("v", FieldType::Integer)]);
        let reader = bed.reader();
        let between = async |mapping: &Mapping, after: &Key, until: &Key| {
            let range = KeyRange { after: Bound::Key(after), until: Bound::Key(until) };
            reader.key_range(mapping, range, 100).await.unwrap().map(|read| keys_of(&read.records))
        };
        let (two, five) = (Key::from(2), Key::from(5));
        assert_eq!(between(&mapping, &two, &five).await.unwrap(), ["3", "5"], "{}", bed.name());
        assert_eq!(between(&mapping, &five, &two).await.unwrap(), [""; 0], "{}: the other way round", bed.name());
        let mut prefixed = mapping.clone();
        if let Some(rule) = &mut prefixed.fields[0] {
            rule.field_type = FieldType::Text;
            rule.steps = vec![Step::StripPrefix("A-".to_owned())];
        }
        let [b, c] = [&texts(&["2"])[0], &texts(&["5"])[0]];
        assert_eq!(between(&prefixed, b, c).await, bed.pick(None, None, Some(Vec::new())), "{}", bed.name());
    }
}

#[tokio::test]
async fn a_place_in_the_order_of_another_key_is_refused() {
    for bed in Bed::each().await {
        let by_shop = two_shops(&bed).await;
        let reader = bed.reader();
        let Reach::At(landmark) = reader.landmark(&by_shop, KeyRange::ALL, 10).await.unwrap() else {
            panic!("there are 100")
        };
        assert_eq!(landmark.key, Some(Key::new([Value::from("eu"), Value::from(10)])), "{}", bed.name());
        let behind = KeyRange { after: Bound::Place(&landmark.place), until: Bound::Open };
        let eu = KeyRange { after: Bound::Open, until: Bound::Place(&landmark.place) };
        assert_eq!(reader.landmark(&by_shop, eu, 11).await.unwrap(), Reach::End, "{}: not beyond the end", bed.name());
        let by_number = mapping("x", 1, &[("n", FieldType::Integer), ("shop", FieldType::Text)]);
        let error = reader.landmark(&by_number, behind, 10).await.unwrap_err();
        assert!(matches!(error, ReadError::Cursor { .. }), "{}: {error}", bed.name());
        assert_eq!(reader.landmark(&by_shop, KeyRange::ALL, 101).await.unwrap(), Reach::End, "{}", bed.name());
    }
}

#[tokio::test]
async fn pieces_are_found_by_an_index_without_sorting() {
    for bed in Bed::each().await {
        bed.run(bed.pick(
            "CREATE TABLE x (shop text, n int, name text, v int, PRIMARY KEY (shop, n));
             INSERT INTO x SELECT s, n, 'n' || n, n FROM generate_series(1, 5000) n, (VALUES ('eu'), ('us')) s(s);
             CREATE UNIQUE INDEX x_name ON x (name, shop); ANALYZE x",
            "CREATE TABLE x (shop varchar(10), n int, name varchar(20), v int, PRIMARY KEY (shop, n), UNIQUE x_name (name, shop)) AS
             SELECT s.s shop, n.seq n, concat('n', n.seq) name, n.seq v FROM seq_1_to_5000 n, (SELECT 'eu' s UNION SELECT 'us') s;
             ANALYZE TABLE x",
            "CREATE TABLE x (shop TEXT, n INTEGER, name TEXT, v int, PRIMARY KEY (shop, n));
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)
             INSERT INTO x SELECT s.s, n, 'n' || n, n FROM n, (SELECT 'eu' s UNION SELECT 'us') s;
             CREATE UNIQUE INDEX x_name ON x (name, shop); ANALYZE",
        ))
        .await;
        let columns = |names: [&'static str; 2]| {
            let kind = |name: &'static str| (name, if name == "n" { FieldType::Integer } else { FieldType::Text });
            [kind(names[0]), kind(names[1]), ("v", FieldType::Integer)]
        };
        let cases = [
            (2, ["shop", "n"], Severity::Ok),
            (1, ["name", "shop"], Severity::Ok),
            (2, ["name", "shop"], Severity::Ok),
            // The index has the key's columns, in another order: rows are found by it, but not in order.
            (2, ["n", "shop"], Severity::Warning),
        ];
        for (keys, names, expect) in cases {
            let findings = bed.reader().doctor(&[&mapping("x", keys, &columns(names))]).await;
            let found = findings.iter().find(|finding| finding.subject.starts_with("sample read")).unwrap();
            assert_eq!(found.severity, expect, "{}: {names:?}: {}", bed.name(), found.message);
        }
    }
}
