//! From the bytes of an answer to rows, in one pass that keeps only what the mapping names.
//!
//! Values that nobody asked for are checked and skipped, never built. Numbers keep their digits: they are read from
//! the text, not through a float. The text must be one JSON document from beginning to end.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::pack::{JsonPath, Step};
use crate::model::{Number, Raw, RawRow};

/// Which paths are taken, each into a slot of a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    root: Branch,
    width: usize,
    lists: usize,
    /// Whether inner lists of records say that they end.
    asks_whole: bool,
}

/// The rows of a record's inner lists, by the number of the list.
pub(super) type Inner = [Vec<RawRow>];

/// What is taken below one place of a document.
#[derive(Clone, Debug, Default)]
struct Branch {
    /// Slots that take the value itself.
    slots: Vec<usize>,
    members: Vec<(Box<str>, Branch)>,
    /// `list[member=value]`: what is taken below the first such element.
    picks: Vec<(Box<str>, Box<str>, Branch)>,
    /// The records are here.
    records: bool,
    /// The only record is here.
    record: bool,
    /// What is taken below every element of this list, to reach the records in it.
    each: Option<Box<Branch>>,
    /// This is such an element.
    element: bool,
    /// An object here is one record.
    single: bool,
    /// Here such an element says whether its list of records goes on.
    more: bool,
    /// An inner list of the record is here: its number and the shape of its elements.
    list: Option<(usize, Box<Shape>)>,
}

impl Shape {
    /// The shape that takes these paths, in this order.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p JsonPath>) -> Self {
        let mut shape = Self::default();
        for path in paths {
            shape.root.at(&path.0).slots.push(shape.width);
            shape.width += 1;
        }
        shape
    }

    /// Adds an inner list of the record.
    pub fn with_list(mut self, path: &JsonPath, elements: Self) -> Self {
        self.root.at(&path.0).list = Some((self.lists, Box::new(elements)));
        self.lists += 1;
        self
    }

    /// Says where the records are, and where each list of them says whether it goes on, if there are several.
    pub fn with_records(mut self, items: &JsonPath, whole: Option<&JsonPath>) -> Self {
        let records = self.root.through(&items.0);
        records.records = true;
        records.single = items.0.contains(&Step::Each);
        if let Some(whole) = whole {
            self.root.through(&whole.0).more = true;
            self.asks_whole = true;
        }
        self
    }

    /// Says where the only record is.
    pub fn with_record(mut self, item: &JsonPath) -> Self {
        self.root.at(&item.0).record = true;
        self
    }
}

impl Branch {
    fn at(&mut self, path: &[Step]) -> &mut Self {
        let Some((step, rest)) = path.split_first() else { return self };
        let next = match step {
            Step::Member(name) => {
                let known = self.members.iter().position(|(member, _)| member == name);
                let index = known.unwrap_or_else(|| {
                    self.members.push((name.clone(), Self::default()));
                    self.members.len() - 1
                });
                &mut self.members[index].1
            }
            Step::Where(member, value) => {
                self.picks.push((member.clone(), value.clone(), Self::default()));
                let last = self.picks.len() - 1;
                &mut self.picks[last].2
            }
            // Lists of values are for children; here they are taken as they are.
            Step::Each => return self,
        };
        next.at(rest)
    }

    /// As [`Self::at`], through every element of lists.
    fn through(&mut self, path: &[Step]) -> &mut Self {
        match path.split_first() {
            None => self,
            Some((Step::Each, rest)) => {
                let each = self.each.get_or_insert_default();
                each.element = true;
                each.through(rest)
            }
            Some((step, rest)) => self.at(std::slice::from_ref(step)).through(rest),
        }
    }

    /// Whether there is something to take below.
    fn leads_on(&self) -> bool {
        !self.members.is_empty() || self.records || self.list.is_some() || self.each.is_some()
    }

    /// Whether the value must be kept as text: it is taken itself, or looked at more than once.
    fn needs_text(&self) -> bool {
        !self.slots.is_empty() || !self.picks.is_empty()
    }
}

/// What an answer holds beside its records.
#[derive(Debug)]
pub(super) struct Around {
    /// The values of the outer shape.
    pub row: RawRow,
    /// Whether there was a list of records.
    pub has_records: bool,
    /// Whether every inner list of records said that it ends, if they were to.
    pub is_whole: bool,
}

/// Why a text could not be read. Names places, never data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotReadable(pub String);

/// Reads an answer: `outer` beside the records, `record` of each of them. `on_row` may take the values out.
pub(super) fn read(
    text: &str,
    outer: &Shape,
    record: &Shape,
    on_row: &mut dyn FnMut(&mut RawRow, &mut Inner),
) -> Result<Around, NotReadable> {
    let mut row = vec![Raw::Null; outer.width];
    let mut records = Records { shape: record, on_row, found: false, elements: 0, ended: 0 };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let take = Take { branch: &outer.root, row: &mut row, inner: &mut [], records: Some(&mut records) };
    take.deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(|error| not_readable(&error))?;
    let is_whole = !outer.asks_whole || records.ended == records.elements;
    Ok(Around { row, has_records: records.found, is_whole })
}

fn not_readable(error: &serde_json::Error) -> NotReadable {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends in the middle",
        _ => "it is not JSON",
    };
    NotReadable(format!("{what} (line {}, column {})", error.line(), error.column()))
}

struct Records<'r> {
    shape: &'r Shape,
    on_row: &'r mut dyn FnMut(&mut RawRow, &mut Inner),
    found: bool,
    /// Elements with lists of records in them.
    elements: usize,
    /// Those that said that their list ends.
    ended: usize,
}

impl Records<'_> {
    /// Takes an object that is one record.
    fn one<'de, A: MapAccess<'de>>(&mut self, map: A) -> Result<(), A::Error> {
        let mut row = vec![Raw::Null; self.shape.width];
        let mut inner = vec![Vec::new(); self.shape.lists];
        Take { branch: &self.shape.root, row: &mut row, inner: &mut inner, records: None }.visit_map(map)?;
        (self.on_row)(&mut row, &mut inner);
        Ok(())
    }

    /// Takes a list of records.
    fn take<'de, A: SeqAccess<'de>>(&mut self, mut list: A) -> Result<(), A::Error> {
        self.found = true;
        let mut row = vec![Raw::Null; self.shape.width];
        let mut inner = vec![Vec::new(); self.shape.lists];
        loop {
            let take = Take { branch: &self.shape.root, row: &mut row, inner: &mut inner, records: None };
            if list.next_element_seed(take)?.is_none() {
                return Ok(());
            }
            (self.on_row)(&mut row, &mut inner);
            row.clear();
            row.resize(self.shape.width, Raw::Null);
            inner.iter_mut().for_each(Vec::clear);
        }
    }

    /// Takes the only record.
    fn only(&mut self, text: &str) -> Result<(), serde_json::Error> {
        let mut row = vec![Raw::Null; self.shape.width];
        let mut inner = vec![Vec::new(); self.shape.lists];
        let take = Take { branch: &self.shape.root, row: &mut row, inner: &mut inner, records: None };
        take.deserialize(&mut serde_json::Deserializer::from_str(text))?;
        self.found = true;
        (self.on_row)(&mut row, &mut inner);
        Ok(())
    }
}

/// Takes what a branch names out of one value.
struct Take<'t, 'r> {
    branch: &'t Branch,
    row: &'t mut [Raw],
    inner: &'t mut Inner,
    records: Option<&'t mut Records<'r>>,
}

impl<'de> DeserializeSeed<'de> for Take<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !self.branch.needs_text() && !self.branch.record {
            return deserializer.deserialize_any(self);
        }
        let text = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        for &slot in &self.branch.slots {
            self.row[slot] = scalar(text);
        }
        let mut records = self.records;
        if let Some(records) = records.as_deref_mut().filter(|_| self.branch.record && text.starts_with('{')) {
            records.only(text).map_err(serde::de::Error::custom)?;
        }
        if self.branch.leads_on() {
            let below = Branch { slots: Vec::new(), picks: Vec::new(), record: false, ..self.branch.clone() };
            let take = Take { branch: &below, row: self.row, inner: self.inner, records };
            take.deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(serde::de::Error::custom)?;
        }
        for (member, value, then) in &self.branch.picks {
            if let Some(element) = pick(text, member, value) {
                let take = Take { branch: then, row: self.row, inner: &mut [], records: None };
                take.deserialize(&mut serde_json::Deserializer::from_str(element)).map_err(serde::de::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// The first element of a list whose member has this value.
fn pick<'t>(text: &'t str, member: &str, value: &str) -> Option<&'t str> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let path = JsonPath(vec![Step::Member(member.into())]);
    let shape = Shape::new([&path]);
    elements.into_iter().map(RawValue::get).find(|element| {
        let mut row = [Raw::Null];
        let take = Take { branch: &shape.root, row: &mut row, inner: &mut [], records: None };
        let read = take.deserialize(&mut serde_json::Deserializer::from_str(element));
        read.is_ok() && text_of(&row[0]).is_some_and(|found| found == value)
    })
}

impl<'de> Visitor<'de> for Take<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        if let Some(records) = self.records.as_deref_mut() {
            if self.branch.single {
                return records.one(map);
            }
            records.elements += usize::from(self.branch.element);
        }
        while let Some(member) = map.next_key_seed(Known(&self.branch.members))? {
            match member {
                Some(index) => {
                    let branch = &self.branch.members[index].1;
                    let records = self.records.as_deref_mut();
                    map.next_value_seed(Take { branch, row: self.row, inner: self.inner, records })?;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        if let Some(each) = &self.branch.each {
            if let Some(records) = self.records.as_deref_mut() {
                records.found = true;
            }
            loop {
                let records = self.records.as_deref_mut();
                let take = Take { branch: each, row: self.row, inner: self.inner, records };
                if list.next_element_seed(take)?.is_none() {
                    return Ok(());
                }
            }
        }
        if let Some(records) = self.records.filter(|_| self.branch.records) {
            return records.take(list);
        }
        if let Some((number, shape)) = &self.branch.list {
            loop {
                let mut row = vec![Raw::Null; shape.width];
                let take = Take { branch: &shape.root, row: &mut row, inner: &mut [], records: None };
                if list.next_element_seed(take)?.is_none() {
                    return Ok(());
                }
                if let Some(rows) = self.inner.get_mut(*number) {
                    rows.push(row);
                }
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        if let Some(records) = self.records.filter(|_| self.branch.more) {
            records.ended += usize::from(!value);
        }
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The index of a key among these members, without copying the key.
struct Known<'k>(&'k [(Box<str>, Branch)]);

impl<'de> DeserializeSeed<'de> for Known<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Known<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|(member, _)| **member == *key))
    }
}

/// One JSON value as a mapping takes it; objects and lists stay text.
fn scalar(text: &str) -> Raw {
    match text.as_bytes().first() {
        Some(b'"') => string(text),
        Some(b'n') | None => Raw::Null,
        Some(b't') => Raw::Bool(true),
        Some(b'f') => Raw::Bool(false),
        Some(b'{' | b'[') => Raw::Text(text.into()),
        Some(_) => number(text),
    }
}

fn string(text: &str) -> Raw {
    let inside = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    if !inside.contains('\\') {
        return Raw::Text(inside.into());
    }
    match serde_json::from_str::<String>(text) {
        Ok(text) => Raw::Text(text.into()),
        // Half of a surrogate pair, for instance.
        Err(_) => Raw::Undecodable("text with an escape that is no character".into()),
    }
}

fn number(text: &str) -> Raw {
    if let Ok(whole) = text.parse() {
        return Raw::Int(whole);
    }
    text.parse::<Number>().map_or_else(|_| Raw::Undecodable("a number out of bounds".into()), Raw::Number)
}

/// The text of a value that can stand in an address.
pub(super) fn text_of(raw: &Raw) -> Option<String> {
    match raw {
        Raw::Text(text) => Some(text.to_string()),
        Raw::Int(value) => Some(value.to_string()),
        Raw::Number(value) => Some(value.to_string()),
        Raw::Bool(value) => Some(value.to_string()),
        Raw::Uuid(value) => Some(value.to_string()),
        Raw::Date(value) => Some(value.to_string()),
        Raw::Instant(value) => Some(value.to_utc().format("%Y-%m-%dT%H:%M:%S%.fZ").to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, items: &str, paths: &[&str]) -> Result<Vec<RawRow>, NotReadable> {
        let paths: Vec<JsonPath> = paths.iter().map(|path| path.parse().unwrap()).collect();
        let outer = Shape::default().with_records(&items.parse().unwrap(), None);
        let mut rows = Vec::new();
        read(text, &outer, &Shape::new(&paths), &mut |row, _| rows.push(row.clone()))?;
        Ok(rows)
    }

    #[track_caller]
    fn check(text: &str, items: &str, path: &str, expect: &[Raw]) {
        let found: Vec<Raw> = rows(text, items, &[path]).unwrap().into_iter().map(|mut row| row.remove(0)).collect();
        assert_eq!(found, expect, "{text} {path}");
    }

    #[test]
    fn values_keep_what_they_are() {
        check(
            r#"[{"a":1},{"a":"1"},{"a":null},{}]"#,
            "",
            "a",
            &[Raw::Int(1), Raw::Text("1".into()), Raw::Null, Raw::Null],
        );
        check(r#"[{"a":"K\u00f6ln \"x\""}]"#, "", "a", &[Raw::Text("Köln \"x\"".into())]);
        check(r#"[{"a":{"b":[1, 2]}}]"#, "", "a", &[Raw::Text(r#"{"b":[1, 2]}"#.into())]);
        check(
            r#"[{"a":true},{"a":"\ud800"}]"#,
            "",
            "a",
            &[Raw::Bool(true), Raw::Undecodable("text with an escape that is no character".into())],
        );
    }

    #[test]
    fn records_are_found_in_lists_of_lists() {
        let check = |text: &str, items: &str, expect: &[i64], is_whole: bool| {
            let whole = "nodes[].levels.more".parse().unwrap();
            let outer = Shape::default().with_records(&items.parse().unwrap(), Some(&whole));
            let (mut found, path) = (Vec::new(), "a".parse().unwrap());
            let around = read(text, &outer, &Shape::new([&path]), &mut |row, _| found.push(row[0].clone())).unwrap();
            assert_eq!(found, expect.iter().copied().map(Raw::Int).collect::<Vec<_>>(), "{text}");
            assert_eq!((around.has_records, around.is_whole), (true, is_whole), "{text}");
        };
        let items = "nodes[].levels.nodes";
        let node = |records: &str, more: &str| format!(r#"{{"levels":{{"nodes":{records},"more":{more}}}}}"#);
        let [two, none, cut] = [("[{\"a\":1},{\"a\":2}]", "false"), ("[]", "false"), ("[{\"a\":3}]", "true")]
            .map(|(records, more)| node(records, more));
        check(&format!(r#"{{"nodes":[{two},{none}]}}"#), items, &[1, 2], true);
        check(&format!(r#"{{"nodes":[{two},null]}}"#), items, &[1, 2], true);
        check(&format!(r#"{{"nodes":[{two},{cut}]}}"#), items, &[1, 2, 3], false);
        check(&format!(r#"{{"nodes":[{two},{}]}}"#, node("[]", "null")), items, &[1, 2], false);
        check(&format!(r#"{{"nodes":[{two},{{}}]}}"#), items, &[1, 2], false);
        check(r#"{"nodes":[{"levels":null}]}"#, items, &[], false);
        check(r#"{"nodes":[]}"#, items, &[], true);
    }

    #[test]
    fn an_object_in_a_list_is_one_record() {
        check(
            r#"{"nodes":[{"level":{"a":1}},{"level":null},null,{"level":{"a":2}}]}"#,
            "nodes[].level",
            "a",
            &[Raw::Int(1), Raw::Int(2)],
        );
        let outer = Shape::default().with_records(&"level".parse().unwrap(), None);
        let around = read(r#"{"level":{"a":1}}"#, &outer, &Shape::default(), &mut |_, _| panic!("no list")).unwrap();
        assert!(!around.has_records, "where a list belongs an object is none");
    }

    #[test]
    fn numbers_are_exact() {
        let exact = Raw::Number("13.326666666666666".parse().unwrap());
        check(r#"[{"price":13.326666666666666}]"#, "", "price", &[exact]);
        check("[{\"a\":9223372036854775808}]", "", "a", &[Raw::Number("9223372036854775808".parse().unwrap())]);
    }

    #[test]
    fn paths_reach_into_objects_and_pick_elements() {
        let text = r#"{"data":{"list":[{"billing":{"email":"a@b.c","city":"X"},
            "meta_data":[{"key":"x","value":1},{"key":"_erp_id","value":"SO-40"},{"key":"_erp_id","value":"no"}]}]}}"#;
        check(text, "data.list", "billing.email", &[Raw::Text("a@b.c".into())]);
        check(text, "data.list", "meta_data[key=_erp_id].value", &[Raw::Text("SO-40".into())]);
        check(text, "data.list", "meta_data[key=none].value", &[Raw::Null]);
        check(text, "data.list", "billing.email.deeper", &[Raw::Null]);
        let both = rows(text, "data.list", &["billing", "billing.city"]).unwrap();
        assert_eq!(both[0][1], Raw::Text("X".into()));
        assert!(matches!(&both[0][0], Raw::Text(text) if text.starts_with('{')));
    }

    #[test]
    fn what_is_around_the_records_is_read_in_the_same_pass() {
        let paths: Vec<JsonPath> = ["meta.total", "next"].iter().map(|path| path.parse().unwrap()).collect();
        let outer = Shape::new(&paths).with_records(&"data".parse().unwrap(), None);
        let mut count = 0;
        let text = r#"{"next":"abc","data":[{},{}],"meta":{"total":7}}"#;
        let around = read(text, &outer, &Shape::default(), &mut |_, _| count += 1).unwrap();
        assert_eq!((around.row, around.has_records, count), (vec![Raw::Int(7), Raw::Text("abc".into())], true, 2));
        let around = read(r#"{"error":"x"}"#, &outer, &Shape::default(), &mut |_, _| count += 1).unwrap();
        assert!(!around.has_records);
    }

    #[test]
    fn inner_lists_come_with_their_record() {
        let path = |text: &str| text.parse::<JsonPath>().unwrap();
        let lines = Shape::new([&path("qty"), &path("sku")]);
        let record = Shape::new([&path("id"), &path("lines")]).with_list(&path("lines"), lines);
        let text = r#"[{"id":1,"lines":[{"qty":2,"sku":"A"},{"qty":3}]},{"id":2},{"id":3,"lines":[{"qty":4}]}]"#;
        let mut found = Vec::new();
        let outer = Shape::default().with_records(&path(""), None);
        read(text, &outer, &record, &mut |_, inner| {
            found.push(inner[0].iter().map(|row| row[0].clone()).collect::<Vec<_>>());
        })
        .unwrap();
        assert_eq!(found, [vec![Raw::Int(2), Raw::Int(3)], vec![], vec![Raw::Int(4)]]);
    }

    #[test]
    fn a_single_record_is_read_as_well() {
        let id = "id".parse().unwrap();
        let mut found = Vec::new();
        for (text, item) in [(r#"{"id":1}"#, ""), (r#"{"data":{"id":2},"error":null}"#, "data"), ("[]", "")] {
            let outer = Shape::new([&"error".parse().unwrap()]).with_record(&item.parse().unwrap());
            let around = read(text, &outer, &Shape::new([&id]), &mut |row, _| found.push(row[0].clone())).unwrap();
            assert_eq!(around.has_records, text != "[]");
        }
        assert_eq!(found, [Raw::Int(1), Raw::Int(2)]);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in ["", "[{\"a\":1}", "[{\"a\":1},]", "<br />[{}]", "[] []", "[{\"a\":tru}]", "[{\"b\":[1}]"] {
            assert!(rows(text, "", &["a"]).is_err(), "{text}");
        }
    }
}
