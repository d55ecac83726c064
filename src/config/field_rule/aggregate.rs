//! `{ path = "lines[].qty", agg = "sum" }`: a field that is made of the record's children.

use chrono_tz::Tz;

use super::super::children::{resolve, split};
use super::super::field::type_name;
use super::super::section::{Entry, Node, Section};
use super::super::{condition, step};
use super::{CURRENCY_KEYS, CurrencyRule, EPOCHS, FieldRule, Origin, Rows, currency, plain, refuse_misfits};
use crate::model::mapping::{Aggregate, ChildOrigin, Condition, Step};
use crate::model::{Field, FieldType};

const AGGREGATES: [(&str, Aggregate); 6] = [
    ("sum", Aggregate::Sum),
    ("count", Aggregate::Count),
    ("min", Aggregate::Min),
    ("max", Aggregate::Max),
    ("list", Aggregate::List),
    ("tally", Aggregate::Tally),
];

/// What is said of `times` elsewhere.
pub(super) const ONLY_TALLY: &str = "`times` fits only `agg = \"tally\"`";

/// Reads the rule of a field with `agg`, which is `node`.
pub(super) fn read(
    entry: &Entry<'_>,
    section: &Section<'_>,
    node: Node<'_>,
    field: &Field,
    is_key: bool,
    zone: Tz,
    mut rows: Rows<'_>,
) -> Option<FieldRule> {
    let aggregate = node.choice(&AGGREGATES);
    if is_key {
        section.reading.problem(node.at(), "a key cannot be made of children");
    }
    for key in ["sql", "const"] {
        if let Some(other) = section.get(key) {
            section.reading.problem(other.at(), format!("`{key}` cannot stand together with `agg`"));
        }
    }
    refuse_misfits(section, field, "path");
    let path = section.need("path")?;
    let (children, column) = resolve(path, rows.children)?;
    let aggregate = aggregate?;
    refuse_unfit_type(node, aggregate, field);
    if column.is_empty() && aggregate != Aggregate::Count {
        return path.refuse("only `count` works on the children themselves; name a column of them");
    }
    let mut rule = plain(field, Origin::Const(crate::model::Value::Null), zone);
    let (child_currency, own_currency) = read_currency(entry, section, field, children, &mut rows);
    rule.currency = own_currency;
    let (only, when) = read_when(section, children, &mut rows);
    rule.when = when;
    rule.steps = read_steps(section, field, aggregate);
    read_numbers(section, aggregate, &mut rule);
    let source = (!column.is_empty()).then(|| rows.children[children].column(column));
    let times = read_times(section, aggregate, children, &mut rows);
    rule.origin = Origin::Children(ChildOrigin { children, source, only, currency: child_currency, times, aggregate });
    Some(rule)
}

fn refuse_unfit_type(node: Node<'_>, aggregate: Aggregate, field: &Field) {
    use FieldType::{Date, Decimal, Integer, Json, Money, Text, Timestamp};
    let (types, names): (&[FieldType], _) = match aggregate {
        Aggregate::Sum => (&[Integer, Decimal, Money], "`integer`, `decimal` or `money`"),
        Aggregate::Count => (&[Integer, Decimal], "`integer` or `decimal`"),
        Aggregate::Min | Aggregate::Max => (
            &[Integer, Decimal, Money, Timestamp, Date, Text],
            "`integer`, `decimal`, `money`, `timestamp`, `date` or `text`",
        ),
        Aggregate::List | Aggregate::Tally => (&[Json, Text], "`json` or `text`"),
    };
    if !types.contains(&field.field_type) {
        let found = type_name(field.field_type);
        node.reading.problem(node.at(), format!("this `agg` gives {names}; `{}` is `{found}`", field.name));
    }
}

/// The currency column of the children, and the record's own currency: at most one of them.
fn read_currency(
    entry: &Entry<'_>,
    section: &Section<'_>,
    field: &Field,
    children: usize,
    rows: &mut Rows<'_>,
) -> (Option<usize>, Option<CurrencyRule>) {
    let Some(node) = section.get("currency") else {
        super::refuse_money_without_currency(entry, field);
        return (None, None);
    };
    let path = node.is_table().then(|| node.section(&CURRENCY_KEYS)).flatten().and_then(|section| section.get("path"));
    match path.filter(|path| path.value.get_ref().as_str().and_then(split).is_some()) {
        Some(path) => (child_column(path, children, rows), None),
        None => (None, currency(node, rows.sources)),
    }
}

/// How often each element of a tally counts.
fn read_times(section: &Section<'_>, aggregate: Aggregate, children: usize, rows: &mut Rows<'_>) -> Option<usize> {
    let node = section.get("times")?;
    if aggregate != Aggregate::Tally {
        return node.refuse(ONLY_TALLY);
    }
    child_column(node, children, rows)
}

/// A condition on the children, or one on the record.
fn read_when(section: &Section<'_>, children: usize, rows: &mut Rows<'_>) -> (Option<Condition>, Option<Condition>) {
    let Some(node) = section.get("when") else { return (None, None) };
    let mut is_of_children = false;
    let condition = condition::read_on(node, |path| {
        is_of_children = path.value.get_ref().as_str().and_then(split).is_some();
        if is_of_children { child_column(path, children, rows) } else { rows.sources.path(path) }
    });
    if is_of_children { (condition, None) } else { (None, condition) }
}

/// A column of the same children that the field is made of.
fn child_column(path: Node<'_>, children: usize, rows: &mut Rows<'_>) -> Option<usize> {
    let (found, column) = resolve(path, rows.children)?;
    if found != children {
        return path.refuse("must be a column of the same children");
    }
    if column.is_empty() {
        return path.refuse("name a column of the children");
    }
    Some(rows.children[children].column(column))
}

/// Text steps work on each element and must only translate: what shortens would order a list anew. Rounding works on
/// the outcome.
fn read_steps(section: &Section<'_>, field: &Field, aggregate: Aggregate) -> Vec<Step> {
    let mut steps = Vec::new();
    for node in section.get("steps").and_then(Node::list).unwrap_or_default() {
        let Some(step) = step::read(node, field.field_type) else { continue };
        let works_on_outcome = matches!(step, Step::Round { .. } | Step::Precision { .. });
        if aggregate == Aggregate::Count {
            section.reading.problem(node.at(), "steps do nothing to a count");
        } else if step.is_lossy() && !works_on_outcome {
            section.reading.problem(node.at(), "this step loses something of each element: not allowed with `agg`");
        }
        steps.push(step);
    }
    steps
}

fn read_numbers(section: &Section<'_>, aggregate: Aggregate, rule: &mut FieldRule) {
    rule.scale = section.get("scale").and_then(super::scale);
    if let (Some(node), Aggregate::Count) = (section.get("scale"), aggregate) {
        section.reading.problem(node.at(), "`scale` does nothing to a count");
    }
    let unit = section.get("unit").and_then(|node| node.choice(&[("minor", true), ("major", false)]));
    rule.minor_units = unit.unwrap_or(false);
    rule.zone = section.get("zone").and_then(super::zone::read).unwrap_or(rule.zone);
    rule.epoch = section.get("epoch").and_then(|node| node.choice(&EPOCHS));
}
