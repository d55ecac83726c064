use super::*;
use crate::model::FieldType;
use crate::model::mapping::{Dataset, Origin, Source};

fn rule(source: usize) -> FieldRule {
    FieldRule {
        field_type: FieldType::Text,
        origin: Origin::Source(source),
        when: None,
        steps: Vec::new(),
        scale: None,
        minor_units: false,
        currency: None,
        zone: chrono_tz::UTC,
        epoch: None,
    }
}

/// Reads `sku` and `name` of `stock`.
fn mapping() -> Mapping {
    Mapping {
        entity: "stock".parse().unwrap(),
        system: "store".parse().unwrap(),
        dataset: Dataset::Table("stock".to_owned()),
        sources: ["sku", "name"].map(|name| Source::Path(name.to_owned())).to_vec(),
        key: vec![0],
        key_index: false,
        native: None,
        changed_at: None,
        version: None,
        source_version: None,
        scope: Vec::new(),
        children: Vec::new(),
        xref: Vec::new(),
        fields: vec![Some(rule(0)), Some(rule(1))],
        via: Vec::new(),
    }
}

fn readings(mapping: &Mapping) -> Vec<Reading> {
    let of = |read| Reading { system: mapping.system.clone(), side: mapping.system.clone(), read };
    mapping.uses().into_iter().map(of).collect()
}

fn table(columns: &[(&str, &str)]) -> Shape {
    let columns = columns.iter().map(|(name, type_name)| Column::new(*name, *type_name)).collect();
    Shape { dataset: "stock".to_owned(), columns, sampled: None, children: Vec::new() }
}

fn at(seconds: i64) -> Moment {
    Moment::from_micros(seconds * 1_000_000)
}

/// Looks one after the other, a second apart; each with the steps that it gives.
struct Looks {
    schemas: Schemas,
    readings: Vec<Reading>,
    now: i64,
    accepted: Vec<Acceptance>,
}

impl Looks {
    fn begin(columns: &[(&str, &str)]) -> Self {
        let mut looks =
            Self { schemas: Schemas::default(), readings: readings(&mapping()), now: 0, accepted: Vec::new() };
        looks.see(table(columns), &[]);
        looks
    }

    fn see(&mut self, shape: Shape, expect: &[&str]) {
        self.now += 1;
        let system = "store".parse().unwrap();
        let notices = self.schemas.look(&system, &shape, &self.readings, &self.accepted, at(self.now));
        let shown: Vec<String> =
            notices.iter().map(|notice| format!("{:?} {}", notice.step, words(&notice.change))).collect();
        assert_eq!(shown, expect, "look {}", self.now);
        // What goes through state comes back.
        self.schemas = Schemas::from_bytes(&self.schemas.to_bytes()).unwrap();
    }

    fn accept(&mut self, change: &str, at: Moment) {
        let (system, dataset, by) = ("store".to_owned(), "stock".to_owned(), "ann".to_owned());
        self.accepted.push(Acceptance { system, dataset, change: change.to_owned(), at, by });
    }

    fn open(&self) -> usize {
        self.schemas.open().count()
    }
}

const USUAL: &[(&str, &str)] = &[("sku", "varchar(20)"), ("name", "varchar(60)"), ("note", "text")];

#[test]
fn a_harmful_change_is_told_once_and_so_is_its_end() {
    let mut looks = Looks::begin(USUAL);
    let narrow = || table(&[("sku", "varchar(20)"), ("name", "varchar(10)"), ("note", "text")]);
    looks.see(table(USUAL), &[]);
    looks.see(narrow(), &["Opened name narrowed: varchar(60) -> varchar(10)"]);
    looks.see(narrow(), &[]);
    let narrower = table(&[("sku", "varchar(20)"), ("name", "varchar(5)"), ("note", "text")]);
    looks.see(narrower, &["Opened name narrowed: varchar(60) -> varchar(5)"]);
    assert_eq!(looks.open(), 1);
    looks.see(table(USUAL), &["Restored name narrowed: varchar(60) -> varchar(5)"]);
    looks.see(table(USUAL), &[]);
    assert_eq!(looks.open(), 0);
}

#[test]
fn what_nobody_reads_is_noted_and_taken_for_granted() {
    let mut looks = Looks::begin(USUAL);
    let other = || table(&[("sku", "varchar(20)"), ("name", "varchar(60)"), ("remark", "text"), ("day", "date")]);
    looks.see(other(), &["Noted note renamed: note -> remark", "Noted day added: date"]);
    looks.see(other(), &[]);
    assert_eq!(looks.open(), 0);
}

#[test]
fn a_renamed_column_stays_the_same_change_while_others_come() {
    let mut looks = Looks::begin(USUAL);
    let renamed = [("sku", "varchar(20)"), ("title", "varchar(60)"), ("note", "text")];
    looks.see(table(&renamed), &["Opened name renamed: name -> title"]);
    let more = [&renamed[..], &[("day", "date")]].concat();
    looks.see(table(&more), &["Noted day added: date"]);
    looks.see(table(&more), &[]);
    // The mapping takes the new name.
    let mut mapping = mapping();
    mapping.sources[1] = Source::Path("title".to_owned());
    looks.readings = readings(&mapping);
    looks.see(table(&more), &["Unmapped name renamed: name -> title"]);
    looks.see(table(&more), &[]);
    assert_eq!(looks.open(), 0);
}

#[test]
fn an_acceptance_counts_for_what_was_seen_before_it() {
    let mut looks = Looks::begin(USUAL);
    let narrow = || table(&[("sku", "varchar(20)"), ("name", "varchar(10)"), ("note", "text")]);
    let change = "name narrowed: varchar(60) -> varchar(10)";
    looks.accept(change, at(1));
    looks.see(narrow(), &["Opened name narrowed: varchar(60) -> varchar(10)"]);
    looks.see(narrow(), &[]);
    looks.accept(change, at(3));
    looks.see(narrow(), &["Accepted name narrowed: varchar(60) -> varchar(10)"]);
    looks.see(narrow(), &[]);
    looks.see(table(USUAL), &["Noted name widened: varchar(10) -> varchar(60)"]);
    looks.see(narrow(), &["Opened name narrowed: varchar(60) -> varchar(10)"]);
}

#[test]
fn records_with_two_types_stay_in_doubt_until_somebody_accepts() {
    let sampled = |type_name: &str| {
        let columns = [("sku", "text"), ("name", type_name)];
        let column = |(name, type_name): (&str, &str)| Column { seen: 5, ..Column::new(name, type_name) };
        Shape { columns: columns.map(column).to_vec(), sampled: Some(5), ..table(&[]) }
    };
    let mut looks = Looks { schemas: Schemas::default(), readings: readings(&mapping()), now: 0, accepted: Vec::new() };
    looks.see(sampled("text"), &[]);
    looks.see(sampled("integer or text"), &["Opened name retyped: text -> integer or text"]);
    looks.see(sampled("text"), &[]);
    looks.see(sampled("integer"), &[]);
    assert_eq!(looks.open(), 1);
    looks.accept("name retyped: text -> integer or text", at(10));
    looks.see(sampled("integer or text"), &["Accepted name retyped: text -> integer or text"]);
    looks.see(sampled("integer"), &[]);
    looks.see(sampled("text"), &[]);
}

#[test]
fn what_records_lose_again_is_told_again() {
    let sampled = |name: &str, type_name: &str| {
        let columns = [("sku", "text"), (name, type_name)].into_iter().filter(|(name, _)| !name.is_empty());
        let column = |(name, type_name): (&str, &str)| Column { seen: 5, ..Column::new(name, type_name) };
        Shape { columns: columns.map(column).collect(), sampled: Some(5), ..table(&[]) }
    };
    let mut looks = Looks { schemas: Schemas::default(), readings: readings(&mapping()), now: 0, accepted: Vec::new() };
    looks.see(sampled("name", "text"), &[]);
    let cases = [
        ("title", "text", "name renamed: name -> title"),
        ("", "", "name removed: text"),
        ("name", "integer", "name retyped: text -> integer"),
    ];
    for (name, type_name, change) in [cases, cases].concat() {
        looks.see(sampled(name, type_name), &[&format!("Opened {change}")]);
        looks.see(sampled(name, type_name), &[]);
        looks.see(sampled(name, type_name), &[]);
        looks.see(sampled("name", "text"), &[&format!("Restored {change}")]);
        looks.see(sampled("name", "text"), &[]);
    }
    assert_eq!(looks.open(), 0);
}

#[test]
fn doubt_is_about_the_values_that_a_change_can_have_made() {
    let mut looks = Looks::begin(USUAL);
    looks.see(
        table(&[("sku", "varchar(20)"), ("name", "varchar(3)"), ("note", "date")]),
        &["Opened name narrowed: varchar(60) -> varchar(3)", "Noted note retyped: text -> date"],
    );
    let (store, erp) = ("store".parse().unwrap(), "erp".parse().unwrap());
    let check = |mapping: Mapping, field: usize, one: &str, other: &str, expect: bool| {
        let of = |side: &SystemId| (side.as_str() == "store").then(|| std::sync::Arc::new(mapping.clone()));
        let doubts = looks.schemas.doubts(&looks.readings, of);
        let (one, other) = (Value::from(one), Value::from(other));
        assert_eq!(doubts.concern([&erp, &store], field, [&one, &other]), expect, "{one} {other}");
        assert!(!doubts.concern([&erp, &erp], field, [&one, &other]), "another flow");
    };
    check(mapping(), 1, "abcd", "abc", true);
    check(mapping(), 1, "abc", "abcd", true);
    check(mapping(), 1, "abc", "xyz", false);
    check(mapping(), 0, "abcd", "abc", false);
    // Of what steps make of a value nobody knows whether it fits.
    let mut trimmed = mapping();
    trimmed.fields[1] = Some(FieldRule { steps: vec![crate::model::mapping::Step::Trim], ..rule(1) });
    check(trimmed, 1, "abc", "xyz", true);
}
