//! What two databases may compare by themselves: only where equal columns prove that the records agree.
//!
//! A mapping's rules run here, not in the database. Where both sides have the same rules and hold the same raw values,
//! the records are the same, whatever the rules do; so the raw values are what is hashed. Where rules differ, or could
//! call a value invalid that both sides hold alike, the rows are read instead.

use crate::model::mapping::{CurrencyRule, FieldRule, Origin, Step};
use crate::model::{FieldType, Flow, Mapping};

/// What a database hashes of each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The key's columns.
    pub key: Vec<Item>,
    /// What else is compared, in an order that both sides share.
    pub values: Vec<Item>,
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Index into the mapping's sources.
    pub source: usize,
    /// What it is read as; `None` where it only decides (scope, `when`) and any value will do.
    pub reads_as: Option<FieldType>,
    /// How it is hashed; found by the reader, [`Form::Unknown`] before.
    pub form: Form,
}

/// How a column is hashed, so that two sides do it alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Not looked at yet.
    Unknown,
    /// Integers of at most 32 bits.
    Int4,
    /// Integers of 64 bits: both halves.
    Int8,
    /// Exact numbers by value.
    Numeric,
    /// Text by its bytes.
    Text,
    /// Text that is padded: its bytes and how many there are with the padding.
    Padded,
    /// Bytes.
    Bytes,
    /// Yes or no.
    Bool,
    /// Microseconds of an instant.
    Instant,
    /// Microseconds of a time without a zone.
    Naive,
    /// A day.
    Date,
    /// A UUID.
    Uuid,
    /// The bits of a float of 4 bytes.
    Float4,
    /// The bits of a float of 8 bytes.
    Float8,
}

/// Why databases cannot compare by themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The two systems are of different engines, or of one that has no hash.
    #[error("`{0}` and `{1}` have no row hash in common")]
    Engines(String, String),
    /// A system cannot be asked for digests.
    #[error("`{0}` computes no digests")]
    NotADatabase(String),
    /// Something in a mapping is made here.
    #[error("{0}")]
    Mapping(String),
    /// A field is not held alike.
    #[error("field `{field}`: {reason}")]
    Field {
        /// Which.
        field: String,
        /// Why.
        reason: &'static str,
    },
    /// A column of a type without a proven form.
    #[error("`{system}` holds {column} as `{held}`, which has no proven digest")]
    Type {
        /// Whose.
        system: String,
        /// Which, as it stands in the mapping.
        column: String,
        /// The type in the system's words.
        held: String,
    },
    /// No index says that a key comes once.
    #[error("no unique index of `{0}` says that a key comes only once")]
    NotUnique(String),
}

/// What both sides hash, if that proves that records agree: the owner's recipe and the target's.
///
/// # Errors
/// Why not.
pub fn recipes(flow: &Flow, names: &[&str], key_names: &[&str]) -> Result<[Recipe; 2], Obstacle> {
    let (owner, target) = (&*flow.owner, &*flow.target);
    for mapping in [owner, target] {
        made_here(mapping)?;
    }
    let mut pairs = Pairs::default();
    for (position, (ours, theirs)) in owner.key.iter().zip(&target.key).enumerate() {
        let name = key_names.get(position).copied().unwrap_or_default();
        pairs.rules(owner, target, (*ours, *theirs), name)?;
    }
    let key = std::mem::take(&mut pairs.pairs);
    scopes(owner, target, &mut pairs)?;
    for (position, field) in flow.fields.iter().enumerate() {
        let name = names.get(position).copied().unwrap_or_default();
        pairs.rules(owner, target, (field.index, field.index), name)?;
    }
    let values = pairs.pairs;
    let side = |pairs: &[[Item; 2]], side: usize| pairs.iter().map(|pair| pair[side]).collect();
    Ok([0, 1].map(|number| Recipe { key: side(&key, number), values: side(&values, number) }))
}

fn made_here(mapping: &Mapping) -> Result<(), Obstacle> {
    let what = if !mapping.children.is_empty() {
        "fields come from children"
    } else if !mapping.xref.is_empty() {
        "values are translated by another system's table"
    } else if mapping.key_index {
        "keys are found by an index of ours"
    } else {
        return Ok(());
    };
    Err(Obstacle::Mapping(format!("`{}`: {what}", mapping.system)))
}

/// Whether a key is one integer column that is its own canonical form, so that its order is that of numbers.
pub fn is_counted(mapping: &Mapping) -> bool {
    let rules = || mapping.key.iter().filter_map(|field| mapping.fields.get(*field)?.as_ref());
    let columns: Vec<_> = rules().filter(|rule| !matches!(rule.origin, Origin::Const(_))).collect();
    let is_number = |rule: &FieldRule| matches!(rule.field_type, FieldType::Integer | FieldType::Decimal);
    mapping.xref.is_empty()
        && !mapping.key_index
        && matches!(columns[..], [rule] if is_number(rule) && rule.steps.is_empty() && rule.scale.is_none() && rule.when.is_none())
}

/// Whether a key's parts are integers, texts or UUIDs just as columns hold them, so that rows can be told apart without making
/// records of them.
fn has_plain_key(mapping: &Mapping) -> bool {
    let is_plain = |rule: &FieldRule| {
        matches!(rule.origin, Origin::Source(_))
            && matches!(rule.field_type, FieldType::Integer | FieldType::Text | FieldType::Uuid)
            && rule.steps.is_empty()
            && rule.scale.is_none()
            && rule.when.is_none()
    };
    let mut rules = mapping.key.iter().map(|field| mapping.fields.get(*field).and_then(Option::as_ref));
    mapping.xref.is_empty() && !mapping.key_index && rules.all(|rule| rule.is_some_and(is_plain))
}

/// Whether a recipe's columns say all of a plain key, each in a form from which it can be told.
pub fn names_keys(recipe: &Recipe, mapping: &Mapping) -> bool {
    let is_named = |item: &Item| {
        matches!(
            (item.reads_as, item.form),
            (Some(FieldType::Integer), Form::Int4 | Form::Int8)
                | (Some(FieldType::Text | FieldType::Uuid), Form::Text | Form::Uuid)
        )
    };
    has_plain_key(mapping) && recipe.key.len() == mapping.key.len() && recipe.key.iter().all(is_named)
}

/// Columns of both sides that must be equal.
#[derive(Default)]
struct Pairs {
    pairs: Vec<[Item; 2]>,
}

impl Pairs {
    fn add(&mut self, ours: usize, theirs: usize, reads_as: Option<FieldType>) {
        let pair = [ours, theirs].map(|source| Item { source, reads_as, form: Form::Unknown });
        if !self.pairs.contains(&pair) {
            self.pairs.push(pair);
        }
    }

    fn rules(
        &mut self,
        owner: &Mapping,
        target: &Mapping,
        (ours, theirs): (usize, usize),
        name: &str,
    ) -> Result<(), Obstacle> {
        let not = |reason| Err(Obstacle::Field { field: name.to_owned(), reason });
        let rule = |mapping: &'_ Mapping, field: usize| mapping.fields.get(field).and_then(Clone::clone);
        let (Some(ours), Some(theirs)) = (rule(owner, ours), rule(target, theirs)) else {
            return not("a side does not hold it");
        };
        if !read_alike(&ours, &theirs) {
            return not("the two mappings read it differently");
        }
        if !ours.steps.iter().all(never_fails) {
            return not("a step of it can fail");
        }
        match (&ours.when, &theirs.when) {
            (None, None) => {}
            (Some(ours), Some(theirs)) if ours.test == theirs.test => self.add(ours.source, theirs.source, None),
            _ => return not("the two mappings have another `when`"),
        }
        match (&ours.currency, &theirs.currency) {
            (Some(CurrencyRule::Const(ours)), Some(CurrencyRule::Const(theirs))) if ours == theirs => {}
            (None, None) if ours.field_type != FieldType::Money => {}
            _ => return not("its currency is read from the rows"),
        }
        match (&ours.origin, &theirs.origin) {
            (Origin::Const(ours), Origin::Const(theirs)) if ours == theirs && !ours.is_invalid() => Ok(()),
            (Origin::Source(from), Origin::Source(to)) => {
                self.add(*from, *to, Some(ours.field_type));
                Ok(())
            }
            _ => not("it does not come from a column on both sides"),
        }
    }
}

fn read_alike(ours: &FieldRule, theirs: &FieldRule) -> bool {
    ours.field_type == theirs.field_type
        && ours.steps == theirs.steps
        && ours.scale == theirs.scale
        && ours.minor_units == theirs.minor_units
        && ours.zone == theirs.zone
        && ours.epoch == theirs.epoch
        && (ours.field_type != FieldType::Timestamp || ours.zone == chrono_tz::Tz::UTC)
}

/// A step that makes something of every value.
const fn never_fails(step: &Step) -> bool {
    step.is_lossy() || matches!(step, Step::HtmlDecode | Step::EmptyIsNull)
}

/// Rows that both sides judge by the same tests of equal columns are in scope on both sides or on neither.
fn scopes(owner: &Mapping, target: &Mapping, pairs: &mut Pairs) -> Result<(), Obstacle> {
    let tests = |mapping: &Mapping| mapping.scope.iter().map(|condition| condition.test.clone()).collect::<Vec<_>>();
    if tests(owner) != tests(target) {
        return Err(Obstacle::Mapping("the two mappings have another scope".to_owned()));
    }
    for (ours, theirs) in owner.scope.iter().zip(&target.scope) {
        pairs.add(ours.source, theirs.source, None);
    }
    Ok(())
}

/// One form for each column that both sides can take, parallel to all lists; `None` where there is none. `reads_as`: what the
/// columns are read as.
pub fn common_forms(ours: &[Form], theirs: &[Form], reads_as: &[Option<FieldType>]) -> Option<Vec<Form>> {
    let common = |((ours, theirs), reads_as): ((&Form, &Form), &Option<FieldType>)| match (ours, theirs) {
        (Form::Unknown, _) | (_, Form::Unknown) => None,
        (Form::Int4, Form::Int8) | (Form::Int8, Form::Int4) => Some(Form::Int8),
        // Where a UUID is held as text, equal texts are equal UUIDs.
        (Form::Uuid, Form::Text) | (Form::Text, Form::Uuid) => {
            matches!(reads_as, Some(FieldType::Uuid | FieldType::Text)).then_some(Form::Text)
        }
        (ours, theirs) => (ours == theirs).then_some(*ours),
    };
    if ours.len() != theirs.len() || ours.len() != reads_as.len() {
        return None;
    }
    ours.iter().zip(theirs).zip(reads_as).map(common).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_meet_only_where_equal_values_have_equal_hashes() {
        let check = |ours: &[Form], theirs: &[Form], expect: Option<&[Form]>| {
            let reads_as = vec![Some(FieldType::Text); ours.len()];
            assert_eq!(common_forms(ours, theirs, &reads_as).as_deref(), expect, "{ours:?} {theirs:?}");
        };
        check(&[Form::Uuid], &[Form::Text], Some(&[Form::Text]));
        assert_eq!(common_forms(&[Form::Uuid], &[Form::Text], &[None]), None, "raw values are tested");
        assert_eq!(common_forms(&[Form::Uuid], &[Form::Text], &[Some(FieldType::Bytes)]), None);
        check(&[Form::Int4, Form::Text], &[Form::Int8, Form::Text], Some(&[Form::Int8, Form::Text]));
        check(&[Form::Int4], &[Form::Int4], Some(&[Form::Int4]));
        check(&[Form::Text], &[Form::Padded], None);
        check(&[Form::Instant], &[Form::Naive], None);
        check(&[Form::Float4], &[Form::Float8], None);
        check(&[Form::Unknown], &[Form::Unknown], None);
        check(&[Form::Text], &[], None);
    }

    #[test]
    fn steps_that_can_fail_are_not_pushed_down() {
        assert!(never_fails(&Step::Trim) && never_fails(&Step::EmptyIsNull));
        assert!(!never_fails(&Step::StripPrefix("x".to_owned())) && !never_fails(&Step::Map(Default::default())));
    }
}
