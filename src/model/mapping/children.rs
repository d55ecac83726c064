//! Children: rows of another dataset that belong to a record, and what they come to in the record's fields.
//!
//! Exact: sums are [`Number`]s. Null elements count for nothing. An empty set sums to 0, counts 0, has no least and no
//! greatest element (null) and is the empty list or object.

use std::collections::BTreeMap;

use super::{Condition, Dataset, FieldRule, Mapping, Origin, Source, Stamp, parse, stamp};
use crate::model::{Currency, FieldType, Moment, Number, Raw, Value};

/// A dataset whose rows belong to records: the lines of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// Their name in paths: `lines` in `lines[].qty`.
    pub name: String,
    /// Where they are.
    pub dataset: Dataset,
    /// What a reader selects of a child. No source appears twice.
    pub sources: Vec<Source>,
    /// Index into `sources`: what names the child's parent.
    pub parent: usize,
    /// Index into [`Mapping::sources`]: what `parent` refers to.
    pub refers_to: usize,
    /// The stamp of a child's last change.
    pub changed_at: Option<Stamp>,
    /// All must hold for a child to count.
    pub scope: Vec<Condition>,
    /// Whether the system touches the parent's own stamp when a child comes, changes or goes.
    pub bumps_parent: bool,
}

/// Where a field's value begins when it is made of children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildOrigin {
    /// Index into [`Mapping::children`].
    pub children: usize,
    /// Index into the children's sources; `None` counts the children themselves.
    pub source: Option<usize>,
    /// Only children for which this holds; its source is one of the children's.
    pub only: Option<Condition>,
    /// For money: index into the children's sources.
    pub currency: Option<usize>,
    /// For [`Aggregate::Tally`]: index into the children's sources of how often each counts; once without.
    pub times: Option<usize>,
    /// What the elements come to.
    pub aggregate: Aggregate,
}

/// What many values come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// Their exact sum.
    Sum,
    /// How many there are.
    Count,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// All of them, sorted, as a JSON list.
    List,
    /// How many there are of each, as a JSON object.
    Tally,
}

/// Elements of a list beyond which it is not kept.
pub const LONGEST_LIST: usize = 10_000;

/// Bytes of a list's texts beyond which it is not kept.
const LARGEST_LIST: usize = 4 << 20;

/// What the children of one record come to, while they are read. Holds no child: memory is bounded by the fields.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    folds: Vec<Fold>,
    newest: Option<Moment>,
}

/// One field's elements so far.
#[derive(Clone, Debug)]
struct Fold {
    field: usize,
    /// The first reason why there is no value.
    failed: Option<Value>,
    currency: Option<Currency>,
    count: u64,
    sum: Number,
    extreme: Option<Value>,
    list: Vec<Value>,
    list_bytes: usize,
    tally: BTreeMap<Box<str>, Number>,
}

impl Mapping {
    /// The start of folding: nothing read of any record's children yet. For [`Mapping::record_with`].
    pub fn no_children(&self) -> Folded {
        let is_made_of_children =
            |rule: &Option<FieldRule>| rule.as_ref().is_some_and(|rule| matches!(rule.origin, Origin::Children(_)));
        let fields = self.fields.iter().enumerate().filter(|(_, rule)| is_made_of_children(rule));
        Folded { folds: fields.map(|(field, _)| Fold::new(field)).collect(), newest: None }
    }

    /// Whether a record's stamp tells when its state was made at the latest. Not so when a child can come or go
    /// without moving any stamp.
    pub fn stamp_bounds_birth(&self) -> bool {
        self.children.iter().all(|children| children.bumps_parent)
    }

    /// The rule of a field that is made of children.
    fn child_rule(&self, field: usize) -> Option<(&FieldRule, &ChildOrigin)> {
        let rule = self.fields.get(field)?.as_ref()?;
        let Origin::Children(origin) = &rule.origin else { return None };
        Some((rule, origin))
    }
}

impl Folded {
    /// Adds one child: a row parallel to the sources of `mapping.children[children]`.
    pub fn add(&mut self, mapping: &Mapping, children: usize, row: &[Raw]) {
        let Some(kind) = mapping.children.get(children) else { return };
        // A child that left the scope still carries the stamp of its leaving.
        let moved = kind.changed_at.as_ref().and_then(|rule| stamp::stamp_moment(row.get(rule.source)?, rule));
        self.newest = self.newest.max(moved);
        if !kind.scope.iter().all(|condition| condition.holds(row)) {
            return;
        }
        for fold in &mut self.folds {
            let Some((rule, origin)) = mapping.child_rule(fold.field) else { continue };
            if origin.children == children && origin.only.as_ref().is_none_or(|only| only.holds(row)) {
                fold.add(rule, origin, row);
            }
        }
    }

    /// Notes that a record has too many children of this kind to be read: the fields made of them have no value.
    pub fn too_many(&mut self, mapping: &Mapping, children: usize, most: usize) {
        let name = mapping.children.get(children).map_or("children", |children| &children.name);
        for fold in &mut self.folds {
            if mapping.child_rule(fold.field).is_some_and(|(_, origin)| origin.children == children) {
                fold.fail(Value::invalid(format!("more than {most} `{name}` under one record")));
            }
        }
    }

    /// The newest stamp of any child.
    pub(super) const fn newest(&self) -> Option<Moment> {
        self.newest
    }

    /// What a field's elements came to, before units and typed steps. With a currency where the children name it.
    pub(super) fn value(&mut self, field: usize, rule: &FieldRule, origin: &ChildOrigin) -> (Value, Option<Currency>) {
        let Some(fold) = self.folds.iter_mut().find(|fold| fold.field == field) else {
            return (Value::invalid("its children were not read"), None);
        };
        let currency = fold.currency;
        (fold.take(rule, origin), currency)
    }
}

impl Fold {
    const fn new(field: usize) -> Self {
        Self {
            field,
            failed: None,
            currency: None,
            count: 0,
            sum: Number::ZERO,
            extreme: None,
            list: Vec::new(),
            list_bytes: 0,
            tally: BTreeMap::new(),
        }
    }

    fn fail(&mut self, reason: Value) {
        self.failed.get_or_insert(reason);
        self.list = Vec::new();
        self.tally = BTreeMap::new();
    }

    fn add(&mut self, rule: &FieldRule, origin: &ChildOrigin, row: &[Raw]) {
        let Some(source) = origin.source else {
            self.count += 1;
            return;
        };
        let raw = row.get(source).unwrap_or(&Raw::Null);
        if matches!(raw, Raw::Null) || self.failed.is_some() {
            return;
        }
        match origin.aggregate {
            Aggregate::Count => {
                self.count += 1;
                return;
            }
            Aggregate::Tally => return self.tally(rule, raw.clone(), origin.times.map(|source| row.get(source))),
            Aggregate::Sum | Aggregate::Min | Aggregate::Max | Aggregate::List => {}
        }
        match element(rule, origin, raw.clone()) {
            Value::Null => {}
            invalid @ Value::Invalid(_) => self.fail(invalid),
            value => {
                if let Some(source) = origin.currency {
                    self.note_currency(row.get(source));
                }
                self.add_value(origin.aggregate, value);
            }
        }
    }

    fn note_currency(&mut self, raw: Option<&Raw>) {
        match (raw.and_then(super::apply::currency), self.currency) {
            (None, _) => self.fail(Value::invalid("an amount without a known currency")),
            (Some(found), Some(known)) if found != known => {
                self.fail(Value::invalid("amounts of several currencies"));
            }
            (found, _) => self.currency = found,
        }
    }

    fn add_value(&mut self, aggregate: Aggregate, value: Value) {
        match aggregate {
            Aggregate::Count | Aggregate::Tally => self.count += 1,
            Aggregate::Sum => match value {
                Value::Number(number) => self.sum = self.sum.plus(&number),
                _ => self.fail(Value::invalid("wanted a number to add")),
            },
            Aggregate::Min => self.keep(value, std::cmp::Ordering::Less),
            Aggregate::Max => self.keep(value, std::cmp::Ordering::Greater),
            Aggregate::List => self.list(value),
        }
    }

    fn keep(&mut self, value: Value, wanted: std::cmp::Ordering) {
        if self.extreme.as_ref().is_none_or(|known| order(&value, known) == wanted) {
            self.extreme = Some(value);
        }
    }

    fn list(&mut self, value: Value) {
        self.list_bytes += if let Value::Text(text) = &value { text.len() } else { size_of::<Value>() };
        self.list.push(value);
        if self.list.len() > LONGEST_LIST || self.list_bytes > LARGEST_LIST {
            self.fail(Value::invalid(format!("a list of more than {LONGEST_LIST} elements or {LARGEST_LIST} bytes")));
        }
    }

    /// Adds to how many there are of a value.
    fn tally(&mut self, rule: &FieldRule, raw: Raw, times: Option<Option<&Raw>>) {
        let times = match times {
            None => Number::from(1_u64),
            Some(None | Some(Raw::Null)) => return,
            Some(Some(raw)) => match parse::decimal(raw) {
                Some(number) => number,
                None => return self.fail(parse::wanted("a number", raw)),
            },
        };
        let text = match parse::into_text(raw).map(|text| rule.translated(text)) {
            Ok(Ok(text)) => text,
            Ok(Err(Value::Null)) => return,
            Ok(Err(invalid)) | Err(invalid) => return self.fail(invalid),
        };
        if let Some(known) = self.tally.get_mut(&text) {
            *known = known.plus(&times);
            return;
        }
        self.list_bytes += text.len();
        self.tally.insert(text, times);
        if self.tally.len() > LONGEST_LIST || self.list_bytes > LARGEST_LIST {
            self.fail(Value::invalid(format!("a tally of more than {LONGEST_LIST} values or {LARGEST_LIST} bytes")));
        }
    }

    fn take(&mut self, rule: &FieldRule, origin: &ChildOrigin) -> Value {
        if let Some(reason) = self.failed.take() {
            return reason;
        }
        match origin.aggregate {
            Aggregate::Count => Value::Number(Number::from(self.count)),
            // No child tells in what currency nothing is.
            Aggregate::Sum if origin.currency.is_some() && self.currency.is_none() => Value::Null,
            Aggregate::Sum => Value::Number(std::mem::replace(&mut self.sum, Number::ZERO)),
            Aggregate::Min | Aggregate::Max => self.extreme.take().unwrap_or(Value::Null),
            Aggregate::List => json_list(std::mem::take(&mut self.list), rule.field_type),
            Aggregate::Tally => json_object(&std::mem::take(&mut self.tally)),
        }
    }
}

/// One element: text steps, declared type, scale.
fn element(rule: &FieldRule, origin: &ChildOrigin, mut raw: Raw) -> Value {
    if origin.aggregate == Aggregate::List {
        return list_element(rule, raw);
    }
    match (rule.read(&mut raw, false), &rule.scale) {
        (Value::Number(number), Some(scale)) => Value::Number(number.times(scale)),
        (value, _) => value,
    }
}

/// In a list of type `json` numbers and booleans stay what they are; everything else, and everything in a list of
/// type `text`, is its text.
fn list_element(rule: &FieldRule, raw: Raw) -> Value {
    if rule.field_type == FieldType::Json && rule.steps.is_empty() {
        match &raw {
            Raw::Bool(value) => return Value::Bool(*value),
            Raw::Int(_) | Raw::Number(_) | Raw::Float(_) => {
                return parse::decimal(&raw).map_or_else(|| parse::wanted("a number", &raw), Value::Number);
            }
            _ => {}
        }
    }
    match parse::into_text(raw) {
        Ok(text) => rule.translated(text).map_or_else(|value| value, Value::Text),
        Err(invalid) => invalid,
    }
}

fn json_list(mut elements: Vec<Value>, field_type: FieldType) -> Value {
    debug_assert!(matches!(field_type, FieldType::Text | FieldType::Json), "checked by the config");
    elements.sort_by(order);
    let mut text = String::from("[");
    for (position, element) in elements.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        match element {
            Value::Text(element) => match serde_json::to_string(element) {
                Ok(quoted) => text.push_str(&quoted),
                Err(_) => return Value::invalid("a text that JSON cannot express"),
            },
            other => text.push_str(&other.to_string()),
        }
    }
    text.push(']');
    Value::Text(text.into())
}

/// In order of the names; what comes to nothing is left out.
fn json_object(tally: &BTreeMap<Box<str>, Number>) -> Value {
    let mut text = String::from("{");
    for (name, number) in tally.iter().filter(|(_, number)| **number != Number::ZERO) {
        let Ok(name) = serde_json::to_string(name) else { return Value::invalid("a text that JSON cannot express") };
        let comma = if text.len() > 1 { "," } else { "" };
        text.push_str(&format!("{comma}{name}:{number}"));
    }
    text.push('}');
    Value::Text(text.into())
}

/// The order of elements: booleans, numbers, times, days, texts; each kind by its own order.
fn order(left: &Value, right: &Value) -> std::cmp::Ordering {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => left.cmp(right),
        (Value::Time(left), Value::Time(right)) => left.cmp(right),
        (Value::Date(left), Value::Date(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        _ => rank(left).cmp(&rank(right)),
    }
}

const fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) | Value::Money(_) => 2,
        Value::Time(_) => 3,
        Value::Date(_) => 4,
        Value::Text(_) | Value::Uuid(_) | Value::Bytes(_) | Value::Invalid(_) => 5,
    }
}
