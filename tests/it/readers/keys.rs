//! Reads by key and in key order: exactly the keys that were asked for, whatever the database takes for equal.

use futures_util::StreamExt;
use plumbline::model::mapping::{Origin, Step};
use plumbline::model::{FieldType, Key, Record, Value};

use super::bed::{Bed, keys_of, mapping, numbers, shown, texts};

#[tokio::test]
async fn text_keys_are_equal_only_if_they_are() {
    for bed in Bed::each().await {
        bed.run(bed.pick(
            "CREATE TABLE x (k text, v int); CREATE INDEX x_k ON x (k);
             INSERT INTO x VALUES ('A', 1), ('a', 2), ('b', 3), ('c ', 4), ('ä', 5), (NULL, 6), ('d', 7), ('d', 8)",
            "CREATE TABLE x (k varchar(20) COLLATE utf8mb4_general_ci, v int, KEY x_k (k)) AS
             SELECT 'A' k, 1 v UNION ALL SELECT 'a', 2 UNION ALL SELECT 'b', 3 UNION ALL SELECT 'c ', 4
             UNION ALL SELECT 'ä', 5 UNION ALL SELECT NULL, 6 UNION ALL SELECT 'd', 7 UNION ALL SELECT 'd', 8",
            "CREATE TABLE x (k TEXT COLLATE NOCASE, v int); CREATE INDEX x_k ON x (k);
             INSERT INTO x VALUES ('A', 1), ('a', 2), ('b', 3), ('c ', 4), ('ä', 5), (NULL, 6), ('d', 7), ('d', 8)",
        ))
        .await;
        let mapping = mapping("x", 1, &[("k", FieldType::Text), ("v", FieldType::Integer)]);
        let reader = bed.reader();
        let read = async |keys: &[&str]| keys_of(&reader.by_keys(&mapping, &texts(keys)).await.unwrap().records);
        assert_eq!(read(&["a"]).await, ["a"], "{}", bed.name());
        assert_eq!(read(&["A", "a", "z"]).await, ["A", "a"], "{}", bed.name());
        assert_eq!(read(&["c"]).await, [""; 0], "{}: `c ` is another key", bed.name());
        assert_eq!(read(&["B"]).await, [""; 0], "{}", bed.name());
        assert_eq!(read(&["d"]).await, ["d", "d"], "{}: duplicates are all given", bed.name());
        assert_eq!(read(&["d", "d", "d"]).await, ["d", "d"], "{}: asking twice does not double", bed.name());
        assert_eq!(read(&["nul\0byte", "b"]).await, ["b"], "{}", bed.name());
        assert_eq!(read(&[]).await, [""; 0], "{}", bed.name());
        let nothing = reader.by_keys(&mapping, &[Key::new([Value::Null])]).await.unwrap();
        assert!(nothing.records.is_empty(), "{}: null names nothing", bed.name());
    }
}

#[tokio::test]
async fn composite_keys_and_thousands_of_them() {
    for bed in Bed::each().await {
        bed.run(bed.pick(
            "CREATE TABLE x (shop text, n int, v int, PRIMARY KEY (shop, n));
             INSERT INTO x SELECT s, n, n FROM generate_series(1, 3000) n, (VALUES ('eu'), ('us')) s(s)",
            "CREATE TABLE x (shop varchar(10), n int, v int, PRIMARY KEY (shop, n)) AS
             SELECT s.s shop, n.seq n, n.seq v FROM seq_1_to_3000 n, (SELECT 'eu' s UNION SELECT 'us') s",
            "CREATE TABLE x (shop TEXT, n INTEGER, v int, PRIMARY KEY (shop, n));
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000)
             INSERT INTO x SELECT s.s, n, n FROM n, (SELECT 'eu' s UNION SELECT 'us') s",
        ))
        .await;
        let columns = [("shop", FieldType::Text), ("n", FieldType::Integer), ("v", FieldType::Integer)];
        let mapping = mapping("x", 2, &columns);
        let key = |shop: &str, n: i64| Key::new([Value::from(shop), Value::from(n)]);
        let mut asked: Vec<_> = (1001..=4000).map(|n| key("eu", n)).collect();
        asked.push(key("asia", 1));
        asked.push(key("us", 1));
        let reader = bed.reader();
        let read = reader.by_keys(&mapping, &asked).await.unwrap();
        assert_eq!(read.records.len(), 2001, "{}", bed.name());
        assert!(read.records.iter().all(|record| asked.contains(&record.key)), "{}", bed.name());
        assert!(read.window.low <= read.window.high);
        assert_eq!(shown(&read.records, key("us", 1), 2), "1", "{}", bed.name());
    }
}

#[tokio::test]
async fn scans_meet_every_key_once_and_in_order() {
    for bed in Bed::each().await {
        bed.run(bed.pick(
            "CREATE TABLE x (shop text, n int, PRIMARY KEY (shop, n));
             INSERT INTO x SELECT s, n FROM generate_series(1, 50) n, (VALUES ('eu'), ('us')) s(s)",
            "CREATE TABLE x (shop varchar(10), n int, PRIMARY KEY (shop, n)) AS
             SELECT s.s shop, n.seq n FROM seq_1_to_50 n, (SELECT 'eu' s UNION SELECT 'us') s",
            "CREATE TABLE x (shop TEXT, n INTEGER, PRIMARY KEY (shop, n));
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 50)
             INSERT INTO x SELECT s.s, n FROM n, (SELECT 'eu' s UNION SELECT 'us') s",
        ))
        .await;
        let mapping = mapping("x", 2, &[("shop", FieldType::Text), ("n", FieldType::Integer)]);
        let reader = bed.reader();
        let scanned: Vec<Record> = reader.scan(&mapping, None).map(|record| record.unwrap()).collect().await;
        assert_eq!(scanned.len(), 100, "{}", bed.name());
        let middle = scanned[40].key.clone();
        let rest: Vec<Record> = reader.scan(&mapping, Some(&middle)).map(|record| record.unwrap()).collect().await;
        assert_eq!(rest, scanned[41..], "{}", bed.name());
    }
}

#[tokio::test]
async fn keys_that_a_system_cannot_hold_are_absent_and_spoil_nothing() {
    for bed in Bed::each().await {
        bed.run("CREATE TABLE x (id smallint PRIMARY KEY, v int)").await;
        bed.run("INSERT INTO x VALUES (1, 10), (2, 20)").await;
        // The entity's key is text here; this system holds numbers.
        let mut mapping = mapping("x", 1, &[("id", FieldType::Text), ("v", FieldType::Integer)]);
        let reader = bed.reader();
        let read = reader.by_keys(&mapping, &texts(&["1", "two", "99999999999999999999", "02", "-1"])).await.unwrap();
        assert_eq!(keys_of(&read.records), ["1"], "{}", bed.name());
        if let Some(rule) = &mut mapping.fields[0] {
            rule.steps = vec![Step::StripPrefix("WC-".to_owned())];
        }
        let read = reader.by_keys(&mapping, &texts(&["1", "2"])).await.unwrap();
        assert!(read.records.is_empty(), "{}: no number has a prefix", bed.name());
        if let Some(rule) = &mut mapping.fields[0] {
            rule.origin = Origin::Const(Value::from("eu"));
        }
        let reader = bed.reader();
        let error = reader.by_keys(&mapping, &texts(&["eu"])).await.unwrap_err();
        assert_eq!(error.reason_code(), "shape", "{}: a key without any column", bed.name());
    }
}

#[tokio::test]
async fn unsigned_and_decimal_keys_beyond_i64_are_found() {
    for bed in [Bed::postgres().await, Bed::mariadb().await] {
        bed.run(bed.pick(
            "CREATE TABLE x (id numeric PRIMARY KEY, v int)",
            "CREATE TABLE x (id bigint unsigned PRIMARY KEY, v int)",
            "",
        ))
        .await;
        bed.run("INSERT INTO x VALUES (18446744073709551615, 1), (18446744073709551614, 2)").await;
        let mapping = mapping("x", 1, &[("id", FieldType::Integer), ("v", FieldType::Integer)]);
        let largest = Key::new([Value::Number("18446744073709551615".parse().unwrap())]);
        let read = bed.reader().by_keys(&mapping, &[largest.clone(), Key::from(5)]).await.unwrap();
        assert_eq!(read.records.len(), 1, "{}", bed.name());
        assert_eq!(shown(&read.records, largest, 1), "1", "{}", bed.name());
    }
}

#[tokio::test]
async fn sqlite_keys_are_found_in_either_storage_class() {
    let bed = Bed::sqlite().await;
    bed.run("CREATE TABLE x (id, v int); INSERT INTO x VALUES (1, 10), ('2', 20), ('x', 30)").await;
    let by_number = mapping("x", 1, &[("id", FieldType::Integer), ("v", FieldType::Integer)]);
    let read = bed.reader().by_keys(&by_number, &numbers(1..=2)).await.unwrap();
    assert_eq!(keys_of(&read.records), ["1", "2"]);
    let by_text = mapping("x", 1, &[("id", FieldType::Text), ("v", FieldType::Integer)]);
    let read = bed.reader().by_keys(&by_text, &texts(&["1", "2", "x"])).await.unwrap();
    assert_eq!(keys_of(&read.records), ["1", "2", "x"]);
}
