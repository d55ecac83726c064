//! Rows to records and keys back to rows.

use chrono::NaiveDate;
use proptest::prelude::*;

use super::*;
use crate::model::{Currency, Key, Moment, Money, Raw, Version};

fn rule(field_type: FieldType) -> FieldRule {
    FieldRule {
        field_type,
        origin: Origin::Source(0),
        when: None,
        steps: Vec::new(),
        scale: None,
        minor_units: false,
        currency: None,
        zone: Tz::UTC,
        epoch: None,
    }
}

fn mapping(fields: Vec<FieldRule>) -> Mapping {
    Mapping {
        entity: "order".parse().unwrap(),
        system: "erp".parse().unwrap(),
        dataset: Dataset::Table("orders".to_owned()),
        sources: (0..4).map(|column| Source::Path(format!("c{column}"))).collect(),
        key: vec![0],
        native: None,
        key_index: false,
        changed_at: None,
        version: None,
        source_version: None,
        scope: Vec::new(),
        children: Vec::new(),
        xref: Vec::new(),
        fields: fields.into_iter().map(Some).collect(),
        via: Vec::new(),
    }
}

fn read(rule: FieldRule, mut row: Vec<Raw>) -> Value {
    mapping(vec![rule]).record(&mut row).fields[0].clone()
}

fn check(rule: FieldRule, raw: Raw, expect: Value) {
    let shown = format!("{:?} {raw:?}", rule.field_type);
    assert_eq!(read(rule, vec![raw]), expect, "{shown}");
}

/// The value is refused, and the reason does not repeat it.
fn refused(field_type: FieldType, raw: Raw) {
    let shown = format!("{field_type:?} {raw:?}");
    let Value::Invalid(invalid) = read(rule(field_type), vec![raw]) else { panic!("{shown} was read") };
    assert!(!invalid.reason.contains("secret") && !invalid.reason.contains("12.5"), "{}", invalid.reason);
}

fn text(text: &str) -> Raw {
    Raw::Text(text.into())
}

fn number(text: &str) -> Number {
    text.parse().unwrap()
}

#[test]
fn numbers() {
    let integer = |raw, expect: &str| check(rule(FieldType::Integer), raw, Value::Number(number(expect)));
    integer(Raw::Int(7), "7");
    integer(text("18446744073709551615"), "18446744073709551615");
    integer(Raw::Number(number("7.00")), "7");
    integer(Raw::Float(7.0), "7");
    integer(Raw::Bytes((*b"7").into()), "7");
    for raw in [Raw::Float(7.5), Raw::Float(9_007_199_254_740_992.0), Raw::Bool(true), text("12.5"), text("secret")] {
        refused(FieldType::Integer, raw);
    }
    let decimal = |raw, expect: &str| check(rule(FieldType::Decimal), raw, Value::Number(number(expect)));
    decimal(Raw::Float(0.1), "0.1");
    decimal(Raw::Float(1e22), "10000000000000000000000");
    decimal(text("12.50"), "12.5");
    for raw in [Raw::Float(f64::NAN), Raw::Float(f64::INFINITY), text("1,5"), Raw::Bool(false), text(" 1")] {
        refused(FieldType::Decimal, raw);
    }
}

#[test]
fn money_is_exact_and_has_a_currency() {
    let currency: Currency = "EUR".parse().unwrap();
    let money =
        |amount: &str, code: &str| Value::Money(Money { amount: number(amount), currency: code.parse().unwrap() });
    let euros = || FieldRule { currency: Some(CurrencyRule::Const(currency)), ..rule(FieldType::Money) };
    check(euros(), Raw::Float(0.1), money("0.1", "EUR"));
    check(FieldRule { minor_units: true, ..euros() }, Raw::Int(1234), money("12.34", "EUR"));
    let by_row = FieldRule { currency: Some(CurrencyRule::Source(1)), minor_units: true, ..rule(FieldType::Money) };
    assert_eq!(read(by_row.clone(), vec![Raw::Int(1234), text("JPY")]), money("1234", "JPY"));
    assert!(read(by_row.clone(), vec![Raw::Int(1234), Raw::Null]).is_invalid());
    assert!(read(by_row.clone(), vec![Raw::Int(1234), text("EURO")]).is_invalid());
    assert!(read(by_row, vec![Raw::Null, Raw::Null]).is_null());
}

#[test]
fn other_types() {
    for raw in
        [Raw::Bool(true), Raw::Int(1), text("T"), text("Yes"), Raw::Bytes([1].into()), Raw::Bytes((*b"1").into())]
    {
        check(rule(FieldType::Boolean), raw, Value::Bool(true));
    }
    refused(FieldType::Boolean, Raw::Int(2));
    let id = "0190b2e0-8f00-7000-8000-000000000001";
    let uuid = id.parse().unwrap();
    for raw in [text(id), text(&id.to_uppercase()), Raw::Uuid(uuid), Raw::Bytes((*uuid.as_bytes()).into())] {
        check(rule(FieldType::Uuid), raw, Value::Uuid(uuid));
    }
    refused(FieldType::Uuid, text("secret"));
    check(rule(FieldType::Text), Raw::Bytes("Zoë".as_bytes().into()), Value::from("Zoë"));
    check(rule(FieldType::Text), Raw::Int(3), Value::from("3"));
    refused(FieldType::Text, Raw::Bytes([0xff].into()));
    check(rule(FieldType::Json), text(r#"{"b":1.0,"a":[]}"#), Value::from(r#"{"a":[],"b":1}"#));
    refused(FieldType::Json, text("{secret}"));
    check(rule(FieldType::Date), text("2026-03-29"), Value::Date(NaiveDate::from_ymd_opt(2026, 3, 29).unwrap()));
    refused(FieldType::Timestamp, Raw::Int(3));
    refused(FieldType::Text, Raw::Undecodable("infinity in a date".into()));
    check(rule(FieldType::Integer), Raw::Null, Value::Null);
}

#[test]
fn steps_run_in_order_before_the_type_and_after() {
    let with = |field_type, steps: &[Step]| FieldRule { steps: steps.to_vec(), ..rule(field_type) };
    let prefixed = with(FieldType::Integer, &[Step::StripPrefix("WC-".to_owned())]);
    check(prefixed.clone(), text("WC-12"), Value::from(12));
    assert!(read(prefixed, vec![text("12")]).is_invalid());
    let map = |pairs: &[(&str, &str)]| Step::Map(pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect());
    check(with(FieldType::Boolean, &[map(&[("Y", "true")])]), text("Y"), Value::Bool(true));
    check(with(FieldType::Text, &[map(&[("1", "eu")])]), Raw::Int(1), Value::from("eu"));
    assert!(read(with(FieldType::Text, &[map(&[])]), vec![text("secret")]).is_invalid());
    let name = with(FieldType::Text, &[Step::HtmlDecode, Step::Trim, Step::Upper, Step::Truncate(6)]);
    check(name, text("  Tom &amp; Zoë "), Value::from("TOM & "));
    check(with(FieldType::Text, &[Step::EmptyIsNull]), text(""), Value::Null);
    let round = Step::Round { digits: 2, rounding: Rounding::HalfUp };
    check(
        FieldRule { scale: Some(number("0.001")), ..with(FieldType::Decimal, &[round]) },
        Raw::Int(12_345),
        Value::Number(number("12.35")),
    );
    let seconds = Step::Precision { micros: 1_000_000, nearest: false };
    let before_1970 = Raw::Instant(Moment::from_micros(-1));
    check(with(FieldType::Timestamp, &[seconds]), before_1970, Value::Time(Moment::from_micros(-1_000_000)));
}

#[test]
fn a_row_becomes_a_record() {
    let shared = FieldRule {
        when: Some(Condition { source: 2, test: Test::Equal(Literal::Bool(true)) }),
        ..rule(FieldType::Text)
    };
    let mapping = Mapping {
        native: Some(1),
        key_index: false,
        changed_at: Some(Stamp { source: 3, zone: Tz::UTC, epoch: Some(EpochUnit::Seconds) }),
        source_version: Some(1),
        scope: vec![Condition { source: 0, test: Test::NotEqual(Literal::Text("draft".to_owned())) }],
        ..mapping(vec![rule(FieldType::Text), shared])
    };
    let read = |first: Raw, managed: i64| mapping.record(&mut [first, Raw::Int(9), Raw::Int(managed), Raw::Int(5)]);
    let record = read(text("A-1"), 1);
    assert_eq!(record.key, Key::from("A-1"));
    assert_eq!(record.fields.as_ref(), [Value::from("A-1"), Value::from("A-1")], "one source, two fields");
    assert_eq!((record.native, record.source_version), (Some(Value::from(9)), Some(Value::from(9))));
    assert_eq!(record.changed_at, Some(Moment::from_micros(5_000_000)));
    assert_eq!(record.version, Some(Version::Stamp(Moment::from_micros(5_000_000))));
    assert!(record.in_scope);
    assert!(!read(text("draft"), 1).in_scope);
    assert_eq!(read(text("A-1"), 0).fields[1], Value::Null, "`when` does not hold");
    assert!(!read(Raw::Null, 1).key.is_usable());
    let counted = Mapping { version: Some(VersionRule::Sequence(1)), ..mapping.clone() };
    let version = counted.record(&mut [text("A"), Raw::Int(9), Raw::Int(1), Raw::Int(5)]).version;
    assert_eq!(version, Some(Version::Sequence(number("9"))));
}

#[test]
fn keys_that_a_system_cannot_have() {
    let constant = FieldRule { origin: Origin::Const(Value::from("eu")), ..rule(FieldType::Text) };
    let scaled = FieldRule { origin: Origin::Source(2), scale: Some(number("3")), ..rule(FieldType::Integer) };
    let mapping = Mapping { key: vec![0, 1], ..mapping(vec![constant, scaled]) };
    let raw = |shop: &str, part: i64| mapping.raw_key(&Key::new([Value::from(shop), Value::from(part)]));
    assert_eq!(raw("eu", 9), Some(vec![(2, Raw::Int(3))]));
    assert_eq!(raw("us", 9), None, "another constant");
    assert_eq!(raw("eu", 10), None, "not a multiple of the scale");
    assert_eq!(mapping.raw_key(&Key::from("eu")), None, "too few parts");
    assert_eq!(mapping.raw_key(&Key::new([Value::from("eu"), Value::Null])), None);
}

fn lossy_step() -> impl Strategy<Value = Step> {
    let rounding = prop_oneof![Just(Rounding::HalfUp), Just(Rounding::HalfEven), Just(Rounding::Down)];
    prop_oneof![
        Just(Step::Trim),
        Just(Step::TrimEnd),
        Just(Step::Upper),
        Just(Step::Lower),
        Just(Step::Nfc),
        (0_usize..8).prop_map(Step::Truncate),
        (0_u32..4, rounding).prop_map(|(digits, rounding)| Step::Round { digits, rounding }),
        (prop_oneof![Just(1_000_i64), Just(1_000_000)], any::<bool>())
            .prop_map(|(micros, nearest)| Step::Precision { micros, nearest }),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[ aAßéǅ\u{301}\u{345}Σσς\u{212b}]{0,10}".prop_map(|text| Value::Text(text.into())),
        (any::<i64>(), 0_i64..6).prop_map(|(digits, scale)| Value::Number(Number::from(digits).shifted(-scale))),
        any::<i64>().prop_map(|micros| Value::Time(Moment::from_micros(micros / 4))),
        Just(Value::Null),
    ]
}

proptest! {
    #[test]
    fn projecting_twice_is_projecting_once(steps in prop::collection::vec(lossy_step(), 0..5), value in value()) {
        let once = project(steps.iter(), &value).into_owned();
        prop_assert_eq!(project(steps.iter(), &once).into_owned(), once);
    }

    /// Whatever key a row has, the raw key selects that row again.
    #[test]
    fn raw_keys_undo_the_reading(whole in any::<i32>(), letters in "[a-z]{0,6}", listed in any::<bool>()) {
        let map = [("1".to_owned(), "eu".to_owned()), ("2".to_owned(), "us".to_owned())].into();
        let rules = vec![
            FieldRule { steps: vec![Step::StripPrefix("WC-".into()), Step::StripSuffix("/x".into())], ..rule(FieldType::Text) },
            FieldRule { origin: Origin::Source(1), scale: Some(number("0.01")), ..rule(FieldType::Decimal) },
            FieldRule { origin: Origin::Source(2), steps: vec![Step::Map(map)], ..rule(FieldType::Text) },
            FieldRule { origin: Origin::Source(3), epoch: Some(EpochUnit::Milliseconds), ..rule(FieldType::Timestamp) },
        ];
        let mapping = Mapping { key: vec![0, 1, 2, 3], ..mapping(rules) };
        let row = vec![
            Raw::Text(format!("WC-{letters}/x").into()),
            Raw::Int(i64::from(whole)),
            text(if listed { "1" } else { "2" }),
            Raw::Int(i64::from(whole)),
        ];
        let key = mapping.record(&mut row.clone()).key;
        let expect: Vec<(usize, Raw)> = row.into_iter().enumerate().collect();
        prop_assert_eq!(mapping.raw_key(&key), Some(expect));
    }
}

/// A record with three children (quantity, price, currency), read by the rule.
fn of_children(field_type: FieldType, origin: ChildOrigin, change: impl FnOnce(&mut FieldRule)) -> Value {
    let mut made = FieldRule { origin: Origin::Children(origin), ..rule(field_type) };
    change(&mut made);
    let mut mapping = mapping(vec![made]);
    mapping.children = vec![Children {
        name: "lines".to_owned(),
        dataset: Dataset::Table("lines".to_owned()),
        sources: (0..4).map(|column| Source::Path(format!("c{column}"))).collect(),
        parent: 0,
        refers_to: 0,
        changed_at: None,
        scope: vec![Condition { source: 1, test: Test::NotEqual(Literal::Number(number("99"))) }],
        bumps_parent: false,
    }];
    let mut folded = mapping.no_children();
    for (quantity, price, currency) in [(10, "0.1", "EUR"), (2, "0.20", "EUR"), (99, "7", "USD"), (2, "0.1", "EUR")] {
        let row = [Raw::Int(1), Raw::Int(quantity), text(price), text(currency)];
        folded.add(&mapping, 0, &row);
    }
    folded.add(&mapping, 0, &[Raw::Int(1), Raw::Int(1), Raw::Null, Raw::Null]);
    mapping.record_with(&mut [text("EUR")], folded).fields[0].clone()
}

fn origin(source: usize, aggregate: Aggregate) -> ChildOrigin {
    ChildOrigin { children: 0, source: Some(source), only: None, currency: None, times: None, aggregate }
}

#[test]
fn children_come_to_one_value() {
    let check = |field_type, origin: ChildOrigin, expect: &str| {
        let shown = format!("{origin:?}");
        assert_eq!(of_children(field_type, origin, |_| {}).to_string(), expect, "{shown}");
    };
    check(FieldType::Integer, origin(1, Aggregate::Sum), "15");
    check(FieldType::Decimal, origin(2, Aggregate::Sum), "0.4");
    check(FieldType::Integer, ChildOrigin { source: None, ..origin(1, Aggregate::Count) }, "4");
    check(FieldType::Integer, origin(2, Aggregate::Count), "3");
    check(FieldType::Integer, origin(1, Aggregate::Min), "1");
    check(FieldType::Integer, origin(1, Aggregate::Max), "10");
    check(FieldType::Json, origin(1, Aggregate::List), "[1,2,2,10]");
    check(FieldType::Text, origin(1, Aggregate::List), r#"["1","10","2","2"]"#);
    check(FieldType::Text, origin(2, Aggregate::List), r#"["0.1","0.1","0.20"]"#);
    check(FieldType::Json, origin(2, Aggregate::Tally), r#"{"0.1":2,"0.20":1}"#);
    let tally = ChildOrigin { times: Some(1), ..origin(2, Aggregate::Tally) };
    check(FieldType::Text, tally, r#"{"0.1":12,"0.20":2}"#);
    let tally = ChildOrigin { times: Some(3), ..origin(1, Aggregate::Tally) };
    check(FieldType::Json, tally, "invalid (wanted a number, found text)");
    let cheap = Condition { source: 1, test: Test::Equal(Literal::Number(number("2"))) };
    check(FieldType::Decimal, ChildOrigin { only: Some(cheap), ..origin(2, Aggregate::Sum) }, "0.3");
    check(FieldType::Integer, origin(2, Aggregate::Sum), "invalid (wanted an integer, found a number with a fraction)");
}

#[test]
fn money_of_children_has_one_currency() {
    let amount = ChildOrigin { currency: Some(3), ..origin(2, Aggregate::Sum) };
    assert_eq!(of_children(FieldType::Money, amount.clone(), |_| {}).to_string(), "0.4 EUR");
    let own = |rule: &mut FieldRule| rule.currency = Some(CurrencyRule::Source(0));
    assert_eq!(of_children(FieldType::Money, origin(2, Aggregate::Sum), own).to_string(), "0.4 EUR");
    let scaled = |rule: &mut FieldRule| rule.scale = Some(number("100"));
    assert_eq!(of_children(FieldType::Money, amount.clone(), scaled).to_string(), "40 EUR");
    let of_quantities = ChildOrigin { currency: Some(0), ..amount };
    let found = of_children(FieldType::Money, of_quantities, |_| {});
    assert_eq!(found.to_string(), "invalid (an amount without a known currency)");
}

#[test]
fn no_children_are_defined() {
    let empty = |field_type, aggregate| {
        let made = FieldRule { origin: Origin::Children(origin(1, aggregate)), ..rule(field_type) };
        let mapping = mapping(vec![made]);
        let folded = mapping.no_children();
        mapping.record_with(&mut [Raw::Int(1)], folded).fields[0].to_string()
    };
    assert_eq!(empty(FieldType::Integer, Aggregate::Sum), "0");
    assert_eq!(empty(FieldType::Integer, Aggregate::Count), "0");
    assert_eq!(empty(FieldType::Integer, Aggregate::Max), "null");
    assert_eq!(empty(FieldType::Json, Aggregate::List), "[]");
    assert_eq!(empty(FieldType::Json, Aggregate::Tally), "{}");
    let unread = FieldRule { origin: Origin::Children(origin(1, Aggregate::Sum)), ..rule(FieldType::Integer) };
    assert!(read(unread, vec![Raw::Int(1)]).is_invalid(), "never taken for none");
}

#[test]
fn a_list_that_is_too_long_is_no_value() {
    let made = FieldRule { origin: Origin::Children(origin(0, Aggregate::List)), ..rule(FieldType::Json) };
    let mut mapping = mapping(vec![made]);
    mapping.children = vec![Children {
        name: "lines".to_owned(),
        dataset: Dataset::Table("lines".to_owned()),
        sources: vec![Source::Path("c".to_owned())],
        parent: 0,
        refers_to: 0,
        changed_at: None,
        scope: Vec::new(),
        bumps_parent: false,
    }];
    let mut folded = mapping.no_children();
    let mut add = |times: usize| (0..times).for_each(|_| folded.add(&mapping, 0, &[Raw::Int(7)]));
    add(LONGEST_LIST);
    let longest = folded.clone();
    folded.add(&mapping, 0, &[Raw::Int(7)]);
    assert!(!mapping.record_with(&mut [Raw::Int(1)], longest).fields[0].is_invalid());
    assert!(mapping.record_with(&mut [Raw::Int(1)], folded).fields[0].is_invalid());
}

proptest! {
    /// Whatever order the rows come in.
    #[test]
    fn the_order_of_children_does_not_matter(mut rows in prop::collection::vec((-1000_i64..1000, 0_u8..4), 0..40), seed in any::<u64>()) {
        for aggregate in [Aggregate::Sum, Aggregate::Count, Aggregate::Min, Aggregate::Max, Aggregate::List] {
            let field_type = if aggregate == Aggregate::List { FieldType::Json } else { FieldType::Decimal };
            let made = FieldRule { origin: Origin::Children(origin(0, aggregate)), ..rule(field_type) };
            let mut mapping = mapping(vec![made]);
            mapping.children = vec![Children {
                name: "lines".to_owned(),
                dataset: Dataset::Table("lines".to_owned()),
                sources: vec![Source::Path("c".to_owned())],
                parent: 0,
                refers_to: 0,
                changed_at: None,
                scope: Vec::new(),
                bumps_parent: false,
            }];
            let value = |rows: &[(i64, u8)]| {
                let mut folded = mapping.no_children();
                for (whole, digits) in rows {
                    let number = Number::from(*whole).shifted(-i64::from(*digits));
                    folded.add(&mapping, 0, &[Raw::Number(number)]);
                }
                mapping.record_with(&mut [Raw::Int(1)], folded).fields[0].clone()
            };
            let before = value(&rows);
            rows.sort_by_key(|row| (row.0.unsigned_abs() ^ seed, row.1));
            prop_assert_eq!(before, value(&rows), "{:?}", aggregate);
        }
    }
}
