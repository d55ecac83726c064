//! What is read for one mapping: the dataset of the pack, where the values are, which fields to ask for. Pure.

use url::Url;

use super::decode::{Inner, Shape};
use super::odoo::{self, Meanings};
use super::request::address;
use crate::config::pack::{Dialect, JsonPath, Pack, PackEntity, PageKind, Place, Relations, Step};
use crate::model::mapping::{Children, Condition, Folded, Mapping, Source, Test};
use crate::model::{Raw, Record};

/// Where a JSON-RPC answer holds what was asked for.
pub(super) const RESULT: &str = "result";

/// How one mapping is read.
#[derive(Debug)]
pub(super) struct Plan {
    pub entity: PackEntity,
    /// Where its requests go, without a query.
    pub url: Url,
    /// The sources of the mapping, then the id, then what tells that a record is gone.
    pub record: Shape,
    /// Slot of the id.
    pub id: usize,
    /// Holds for a record that counts as absent.
    pub gone: Option<Condition>,
    /// Lists of children that may be cut, by their number, and the slot that says so.
    parts: Vec<(usize, usize)>,
    /// What stands beside the records.
    pub outer: Outer,
    /// The members of a record that are read.
    pub fields: Vec<String>,
    /// What is read of a record of Odoo and of what it is linked to.
    pub specification: Option<serde_json::Value>,
    /// What values mean that do not say it themselves.
    meanings: Option<Meanings>,
    /// Its name in the mapping.
    pub dataset: String,
    sources: Vec<Source>,
    children: Vec<Children>,
}

/// What stands beside the records of an answer, by its slot.
#[derive(Debug)]
pub(super) struct Outer {
    /// The values, without the records.
    pub values: Shape,
    /// The values and the list of records.
    pub shape: Shape,
    pub total: Option<usize>,
    pub next: Option<usize>,
    pub more: Option<usize>,
    pub remaining: Option<usize>,
    pub reset: Option<usize>,
    /// Points: asked, used, available, maximum, restored.
    pub cost: Option<[usize; 5]>,
    /// Indices into the pack's rules, and their slots.
    pub errors: Vec<(usize, usize)>,
}

impl Plan {
    /// `Err` says what does not fit.
    pub fn new(pack: &Pack, mapping: &Mapping) -> Result<Self, String> {
        let dataset = mapping.dataset.name();
        let entity = pack.entity(dataset).ok_or_else(|| format!("pack `{}` has no dataset `{dataset}`", pack.id))?;
        let mut entity = entity.clone();
        entity.items.0.splice(0..0, envelope(pack));
        let (mut paths, id, gone) = record_paths(mapping, &entity)?;
        let wanted = paths.clone();
        let is_odoo = pack.dialect.is_odoo();
        if is_odoo {
            odoo::places(pack.relations, &mut paths)?;
        }
        let meanings = is_odoo.then(|| Meanings::new(&entity, pack.relations, mapping, &wanted));
        let parts = cut_lists(&entity, mapping, &mut paths);
        let mut record = Shape::new(&paths);
        for children in &mapping.children {
            let (list, mut inner) = (list_path(children)?, paths_of(&children.sources)?);
            if is_odoo {
                odoo::places(pack.relations, &mut inner)?;
            }
            record = record.with_list(&list, Shape::new(&inner));
            paths.extend(inner.into_iter().map(|path| below(&list, path)));
            paths.push(below(&list, entity.id.clone()));
        }
        let is_nested = is_odoo && pack.relations == Relations::Nested;
        Ok(Self {
            url: address(pack, &entity.question, dataset)?,
            record,
            id,
            gone,
            parts,
            outer: Outer::new(pack, &entity),
            fields: top_level(&paths),
            specification: is_nested.then(|| odoo::specification(&paths)),
            meanings,
            entity,
            dataset: dataset.to_owned(),
            sources: mapping.sources.clone(),
            children: mapping.children.clone(),
        })
    }

    /// The record that a row and its inner lists are.
    pub fn record_of(&self, mapping: &Mapping, row: &mut [Raw], inner: &mut Inner) -> Record {
        if let Some(meanings) = &self.meanings {
            meanings.apply(row, inner);
        }
        let is_gone = self.gone.as_ref().is_some_and(|gone| gone.holds(row));
        let mut folded = folded(mapping, inner);
        for (number, slot) in &self.parts {
            if row.get(*slot) != Some(&Raw::Bool(false)) {
                folded.too_many(mapping, *number, inner.get(*number).map_or(0, Vec::len));
            }
        }
        let mut record = mapping.record_with(row, folded);
        record.in_scope &= !is_gone;
        record
    }

    /// Whether the plan was made for this mapping as it is now.
    pub fn fits(&self, mapping: &Mapping) -> bool {
        mapping.dataset.name() == self.dataset && mapping.sources == self.sources && mapping.children == self.children
    }

    /// Digest of what is read and how changes are asked for.
    pub fn fingerprint(&self) -> u64 {
        let entity = &self.entity;
        let asked = (&entity.question, &entity.body, &entity.query);
        let text = format!("{}|{:?}|{:?}|{asked:?}|{:?}", self.url, entity.page, entity.since, entity.id);
        xxhash_rust::xxh3::xxh3_64(text.as_bytes())
    }
}

fn folded(mapping: &Mapping, inner: &Inner) -> Folded {
    let mut folded = mapping.no_children();
    for (number, rows) in inner.iter().enumerate() {
        for row in rows {
            folded.add(mapping, number, row);
        }
    }
    folded
}

/// The lists of the mapping that the product may cut; the paths that say so are added.
fn cut_lists(entity: &PackEntity, mapping: &Mapping, paths: &mut Vec<JsonPath>) -> Vec<(usize, usize)> {
    let mut cut = Vec::new();
    for (number, children) in mapping.children.iter().enumerate() {
        if let Some((_, more)) = entity.parts.iter().find(|(list, _)| list == children.dataset.name()) {
            cut.push((number, paths.len()));
            paths.push(more.clone());
        }
    }
    cut
}

fn paths_of(sources: &[Source]) -> Result<Vec<JsonPath>, String> {
    let path = |source: &Source| match source {
        Source::Path(path) => path.parse().map_err(|error| format!("`{path}`: {error}")),
        Source::Sql(_) => Err("`sql` is for databases".to_owned()),
    };
    sources.iter().map(path).collect()
}

/// The paths of a record's slots: the sources of the mapping, the id (its slot), what tells that it is gone.
fn record_paths(mapping: &Mapping, entity: &PackEntity) -> Result<(Vec<JsonPath>, usize, Option<Condition>), String> {
    let mut paths = paths_of(&mapping.sources)?;
    let id = paths.len();
    paths.push(entity.id.clone());
    let gone = entity.gone.as_ref().map(|(path, values)| {
        paths.push(path.clone());
        Condition { source: paths.len() - 1, test: Test::In(values.clone()) }
    });
    Ok((paths, id, gone))
}

fn list_path(children: &Children) -> Result<JsonPath, String> {
    let name = children.dataset.name();
    name.parse().map_err(|error| format!("`{name}`: {error}"))
}

/// A path of the elements of a list, from the record.
fn below(list: &JsonPath, path: JsonPath) -> JsonPath {
    JsonPath(list.0.iter().cloned().chain([Step::Each]).chain(path.0).collect())
}

/// What is around the records of Odoo's answers.
fn envelope(pack: &Pack) -> Vec<Step> {
    let rpc = (pack.dialect == Dialect::JsonRpc).then_some(RESULT);
    let nested = (pack.dialect.is_odoo() && pack.relations == Relations::Nested).then_some(odoo::RECORDS);
    [rpc, nested].into_iter().flatten().map(|name| Step::Member(name.into())).collect()
}

/// The first names of all paths, each once.
fn top_level(paths: &[JsonPath]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for path in paths {
        if let Some(Step::Member(name)) = path.0.first()
            && !names.iter().any(|known| **known == **name)
        {
            names.push(name.to_string());
        }
    }
    names
}

impl Outer {
    fn new(pack: &Pack, entity: &PackEntity) -> Self {
        let mut paths: Vec<JsonPath> = Vec::new();
        let mut slot = |path: &JsonPath| {
            paths.push(path.clone());
            paths.len() - 1
        };
        let mut body = |place: Option<&Place>| match place {
            Some(Place::Body(path)) => Some(slot(path)),
            _ => None,
        };
        let total = body(entity.page.total.as_ref());
        let next = body(match &entity.page.kind {
            PageKind::Cursor { from, .. } | PageKind::Link { from } => Some(from),
            PageKind::Page { .. } | PageKind::Offset { .. } | PageKind::Keyset => None,
        });
        let more = body(match &entity.page.kind {
            PageKind::Cursor { more, .. } => more.as_ref(),
            _ => None,
        });
        let remaining = body(pack.limit.remaining.as_ref());
        let reset = body(pack.limit.reset.as_ref());
        let cost = pack.limit.cost.as_ref();
        let cost =
            cost.map(|cost| [&cost.asked, &cost.used, &cost.available, &cost.maximum, &cost.restore].map(&mut slot));
        let successes = |status: Option<u16>| status.is_none_or(|status| (200..300).contains(&status));
        let rules = pack.errors.iter().enumerate().filter(|(_, rule)| successes(rule.status));
        let errors = rules.filter_map(|(index, rule)| Some((index, slot(rule.body.as_ref()?)))).collect();
        let values = Shape::new(&paths);
        let shape = values.clone().with_records(&entity.items, entity.whole.as_ref());
        Self { shape, values, total, next, more, remaining, reset, cost, errors }
    }
}
