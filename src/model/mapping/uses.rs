//! Which columns a mapping reads, and what for: what a change of a column affects.

use super::{
    Aggregate, Children, Condition, CurrencyRule, Dataset, FieldRule, Mapping, Origin, Source, VersionRule, Xref,
};
use crate::model::{Raw, Value};

/// One column (or path) and what is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The table that has the column; of an API the dataset.
    pub dataset: String,
    /// The column, path, or SQL expression.
    source: Source,
    /// What is made of it.
    pub part: Part,
    /// Whether values of the field are what the column holds, but for its type.
    pub as_it_is: bool,
}

/// What of a record is made of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A field, by its index.
    Field(usize),
    /// Whether the record is in scope.
    Scope,
    /// Its stamp.
    Stamp,
    /// Its version, or the owner's.
    Version,
    /// Its own address.
    Native,
}

impl Use {
    /// Whether a column, or for JSON anything at or around the path, is what is read. SQL names count in any case.
    pub fn reads(&self, column: &str) -> bool {
        match &self.source {
            Source::Path(path) => {
                let path = without_selections(path);
                let around = |longer: &str, shorter: &str| {
                    longer.strip_prefix(shorter).is_some_and(|rest| rest.starts_with(['.', '[']))
                };
                path.eq_ignore_ascii_case(column) || around(&path, column)
            }
            Source::Sql(expression) => names(expression).any(|name| name.eq_ignore_ascii_case(column)),
        }
    }
}

/// `meta[].value` of `meta[key=sku].value`: shapes do not tell elements of a list apart.
fn without_selections(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut inside = false;
    for character in path.chars() {
        inside &= character != ']';
        if !inside {
            plain.push(character);
        }
        inside |= character == '[';
    }
    plain
}

/// The words of a SQL expression that can be names: not what stands in single quotes.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let outside = expression.split('\'').step_by(2);
    outside.flat_map(|text| text.split(|character: char| !(character.is_alphanumeric() || character == '_')))
}

impl Mapping {
    /// Everything that is read of this mapping's datasets. Tables of other systems that translate are not among it.
    pub fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        let table = self.dataset.name();
        let mut note = |source: Option<&Source>, part, as_it_is| {
            uses.extend(source.map(|source| Use { dataset: table.to_owned(), source: source.clone(), part, as_it_is }));
        };
        for condition in &self.scope {
            note(self.sources.get(condition.source), Part::Scope, false);
        }
        note(self.changed_at.as_ref().and_then(|stamp| self.sources.get(stamp.source)), Part::Stamp, false);
        if let Some(VersionRule::Sequence(source) | VersionRule::Tag(source)) = self.version {
            note(self.sources.get(source), Part::Version, false);
        }
        note(self.source_version.and_then(|source| self.sources.get(source)), Part::Version, false);
        note(self.native.and_then(|source| self.sources.get(source)), Part::Native, false);
        for (field, rule) in self.fields.iter().enumerate() {
            let Some(rule) = rule else { continue };
            let part = Part::Field(field);
            if let Origin::Source(source) = rule.origin {
                let is_path = matches!(self.sources.get(source), Some(Source::Path(_)));
                note(self.sources.get(source), part, is_path && !self.is_translated(field));
            }
            if let Some(CurrencyRule::Source(source)) = rule.currency {
                note(self.sources.get(source), part, false);
            }
            note(rule.when.as_ref().and_then(|when| self.sources.get(when.source)), part, false);
        }
        for (field, rule) in self.fields.iter().enumerate() {
            if let Some(Origin::Children(origin)) = rule.as_ref().map(|rule| &rule.origin)
                && let Some(children) = self.children.get(origin.children)
            {
                let only = origin.only.as_ref().map(|only| only.source);
                let read = [
                    origin.source.filter(|_| origin.aggregate != Aggregate::Count),
                    only,
                    origin.currency,
                    origin.times,
                ];
                uses.extend(self.child_uses(children, field, read.into_iter().flatten()));
                let refers_to = self.sources.get(children.refers_to).cloned();
                let dataset = table.to_owned();
                let link = |source| Use { dataset, source, part: Part::Field(field), as_it_is: false };
                uses.extend(refers_to.map(link));
            }
        }
        uses
    }

    /// What a field made of children reads of them: `read` and what says whose they are and which count.
    fn child_uses<'m>(
        &'m self,
        children: &'m Children,
        field: usize,
        read: impl Iterator<Item = usize> + 'm,
    ) -> impl Iterator<Item = Use> + 'm {
        let always =
            [children.parent].into_iter().chain(children.scope.iter().map(|condition: &Condition| condition.source));
        always.chain(read).filter_map(move |source| {
            let source = children.sources.get(source)?;
            let (dataset, source) = match (&children.dataset, source) {
                (Dataset::Table(name), source) => (name.clone(), source.clone()),
                (Dataset::Within(list), Source::Path(path)) => {
                    (self.dataset.name().to_owned(), Source::Path(format!("{list}[].{path}")))
                }
                (Dataset::Within(_), Source::Sql(_)) => return None,
            };
            Some(Use { dataset, source, part: Part::Field(field), as_it_is: false })
        })
    }
}

impl Xref {
    /// What is read of the table: both columns, for the translated field.
    pub fn uses(&self) -> Vec<Use> {
        let dataset = self.table();
        let of = |source: &Source| Use {
            dataset: dataset.to_owned(),
            source: source.clone(),
            part: Part::Field(self.field),
            as_it_is: false,
        };
        self.by_from.sources.iter().map(of).collect()
    }
}

impl FieldRule {
    /// A listed value of the field's column as the field reads it.
    pub fn value_of(&self, listed: &str) -> Value {
        let value = self.read(&mut Raw::Text(listed.into()), false);
        self.steps.iter().filter(|step| !step.is_textual()).fold(value, |value, step| step.on_value(value))
    }

    /// Whether the field's values are those of its column, but for how they are written.
    pub fn changes_nothing(&self) -> bool {
        self.steps.is_empty() && self.scale.is_none() && !self.minor_units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: Source, column: &str, expect: bool) {
        let read = Use { dataset: "stock".to_owned(), source, part: Part::Scope, as_it_is: false };
        assert_eq!(read.reads(column), expect, "{read:?} {column}");
    }

    #[test]
    fn a_use_knows_the_columns_that_it_reads() {
        let path = |text: &str| Source::Path(text.to_owned());
        check(path("qty"), "qty", true);
        check(path("qty"), "QTY", true);
        check(path("qty"), "qty_old", false);
        check(path("billing.email"), "billing.email", true);
        check(path("billing.email"), "billing", true);
        check(path("billing"), "billing.email", false);
        check(path("meta[key=erp.id].value"), "meta[].value", true);
        check(path("meta[key=erp.id].value"), "meta[]", true);
        check(path("meta[key=erp.id].value"), "meta", true);
        let sql = |text: &str| Source::Sql(text.to_owned());
        check(sql("coalesce(qty, 0) - t.\"reserved\""), "reserved", true);
        check(sql("coalesce(qty, 0)"), "qty", true);
        check(sql("replace(name, 'qty', '')"), "qty", false);
        check(sql("qty_old + 1"), "qty", false);
    }
}
