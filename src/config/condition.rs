//! Conditions of `scope` and `when`: `{ path = "state", in = ["sale", "done"] }`.

use toml::de::DeValue;

use super::mapping::Sources;
use super::section::{Keys, Node, number};
use crate::model::mapping::{Condition, Literal, Test};

pub(super) const KEYS: Keys = Keys {
    section: "[entity.NAME.in.SYSTEM] scope, when",
    names: &["path", "eq", "ne", "in", "not_in", "is_null"],
    not_yet: &[],
};

/// A list of conditions.
pub(super) fn read_all(node: Node<'_>, sources: &mut Sources) -> Vec<Condition> {
    node.list().into_iter().flatten().filter_map(|node| read(node, sources)).collect()
}

pub(super) fn read(node: Node<'_>, sources: &mut Sources) -> Option<Condition> {
    read_on(node, |node| sources.path(node))
}

/// As [`read`], with the path looked up by `source`.
pub(super) fn read_on<'a>(node: Node<'a>, source: impl FnOnce(Node<'a>) -> Option<usize>) -> Option<Condition> {
    let section = node.section(&KEYS)?;
    let path = section.need("path").and_then(source);
    let (key, value) = section.exactly_one(&["eq", "ne", "in", "not_in", "is_null"])?;
    let test = match key {
        "eq" => Test::Equal(literal(value)?),
        "ne" => Test::NotEqual(literal(value)?),
        "in" => Test::In(literals(value)?),
        "not_in" => Test::NotIn(literals(value)?),
        _ => Test::IsNull(super::section::Read::read(value)?),
    };
    Some(Condition { source: path?, test })
}

pub(super) fn literals(node: Node<'_>) -> Option<Vec<Literal>> {
    let items = node.list()?;
    if items.is_empty() {
        return node.refuse("must not be empty");
    }
    let count = items.len();
    let literals: Vec<_> = items.into_iter().filter_map(literal).collect();
    (literals.len() == count).then_some(literals)
}

fn literal(node: Node<'_>) -> Option<Literal> {
    match node.value.get_ref() {
        DeValue::Boolean(value) => Some(Literal::Bool(*value)),
        DeValue::String(text) => Some(Literal::Text(text.clone().into_owned())),
        DeValue::Integer(_) | DeValue::Float(_) => match number(node) {
            Some(number) => Some(Literal::Number(number)),
            None => node.refuse("must be a decimal number"),
        },
        _ => node.wrong_type("text, a number or a boolean"),
    }
}
