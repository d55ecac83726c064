//! How a mapping is read: select list, decoders, key and order columns. Made once per mapping and kept.

use super::engine::{Kind, ResultColumn};
use super::stamp::Form;
use super::text::{Arg, Dialect, Statement, Term};
use super::values::{arg_for, other_storage_class};
use crate::model::mapping::{Children, Dataset, Origin, Source, Stamp, VersionRule};
use crate::model::{Key, Mapping, Raw};

/// A mapping, ready to be read.
#[derive(Debug)]
pub(super) struct Plan {
    dialect: Dialect,
    dataset: Dataset,
    sources: Vec<Source>,
    /// The table, quoted.
    pub table: String,
    /// The select list.
    pub select: String,
    /// Parallel to the sources: how each stands in the select list.
    selected: Vec<String>,
    /// Parallel to the sources.
    pub kinds: Vec<Kind>,
    /// Parallel to the sources.
    pub columns: Vec<ResultColumn>,
    /// Parallel to the sources: how each is compared.
    pub terms: Vec<Term>,
    /// Sources that the key is made of, in key order.
    pub key: Vec<usize>,
    /// What changes are ordered by.
    pub order: Order,
    /// Rows that are equal in these columns are read as one.
    grouped_by: Option<String>,
    /// The mapping's children, and how each kind is read.
    pub children: Vec<(Children, ChildPlan)>,
}

/// How children are read.
#[derive(Debug)]
pub(super) struct ChildPlan {
    /// All sources, by the parent that the child names.
    pub content: Plan,
    /// Stamp and parent, for the parents of what changed; `None` when children have no stamp.
    pub moved: Option<Plan>,
}

/// What a plan is made for.
struct Selection<'m> {
    dataset: &'m Dataset,
    sources: &'m [Source],
    /// Indices into `sources`.
    key: Vec<usize>,
    changed_at: Option<&'m Stamp>,
    version: Option<VersionRule>,
}

/// What changes are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// A stamp.
    Stamp { source: usize, form: Form },
    /// A sequence that is unique over the table.
    Sequence { source: usize },
    /// Nothing: the mapping cannot be read by changes.
    Nothing,
}

/// The table's name as the mapping gives it.
pub(super) fn table_name(dataset: &Dataset) -> &str {
    dataset.name()
}

fn expression(dialect: Dialect, source: &Source) -> String {
    match source {
        Source::Path(column) => dialect.column(column),
        Source::Sql(expression) => format!("({expression})"),
    }
}

/// The statement whose result columns tell the types. Returns no rows if it is run.
pub(super) fn typing_statement(dialect: Dialect, dataset: &Dataset, sources: &[Source]) -> String {
    let columns: Vec<_> = sources.iter().map(|source| expression(dialect, source)).collect();
    format!("SELECT {} FROM {} t WHERE 1=0", columns.join(", "), dialect.table(table_name(dataset)))
}

impl Plan {
    /// `columns` are what preparing [`typing_statement`] said of the mapping, `children` the same for each kind of
    /// its children.
    ///
    /// # Errors
    /// In words, when the mapping cannot be read like this.
    pub fn new(
        dialect: Dialect,
        mapping: &Mapping,
        columns: Vec<ResultColumn>,
        children: Vec<Vec<ResultColumn>>,
    ) -> Result<Self, String> {
        let selection = Selection {
            dataset: &mapping.dataset,
            sources: &mapping.sources,
            key: mapping.key.iter().filter_map(|field| key_source(mapping, *field)).collect(),
            changed_at: mapping.changed_at.as_ref(),
            version: mapping.version,
        };
        let mut plan = Self::of(dialect, &selection, columns)?;
        for (kind, columns) in mapping.children.iter().zip(children) {
            let read = ChildPlan::new(dialect, kind, columns).map_err(|reason| format!("`{}`: {reason}", kind.name))?;
            plan.children.push((kind.clone(), read));
        }
        Ok(plan)
    }

    fn of(dialect: Dialect, selection: &Selection<'_>, columns: Vec<ResultColumn>) -> Result<Self, String> {
        if columns.len() != selection.sources.len() {
            return Err(format!("{} columns for {} sources", columns.len(), selection.sources.len()));
        }
        let mut select = Vec::with_capacity(columns.len());
        let mut terms = Vec::with_capacity(columns.len());
        for (source, column) in selection.sources.iter().zip(&columns) {
            let sql = expression(dialect, source);
            select.push(column.read_cast.map_or_else(|| sql.clone(), |cast| format!("({sql})::{cast}")));
            let only_text = dialect == Dialect::Postgres && column.bind_cast.is_none();
            terms.push(Term { sql: if only_text { format!("({sql})::text") } else { sql }, cast: column.bind_cast });
        }
        if selection.key.is_empty() {
            return Err("its key names no column".to_owned());
        }
        let kinds: Vec<_> = columns.iter().map(|column| column.kind).collect();
        let order = order(selection, &kinds)?;
        Ok(Self {
            dialect,
            dataset: selection.dataset.clone(),
            sources: selection.sources.to_vec(),
            table: dialect.table(table_name(selection.dataset)),
            select: select.join(", "),
            selected: select,
            kinds,
            columns,
            terms,
            key: selection.key.clone(),
            order,
            grouped_by: None,
            children: Vec::new(),
        })
    }

    /// Whether the plan was made for this mapping as it is now.
    pub fn fits(&self, mapping: &Mapping) -> bool {
        self.dataset == mapping.dataset
            && self.sources == mapping.sources
            && mapping.key.iter().filter_map(|field| key_source(mapping, *field)).eq(self.key.iter().copied())
            && self.children.iter().map(|(children, _)| children).eq(&mapping.children)
    }

    /// Where the rows are.
    pub const fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// How the engine writes SQL.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// One source as it stands in the select list.
    pub fn select_of(&self, source: usize) -> &str {
        &self.selected[source]
    }

    /// `SELECT … FROM table t`.
    pub fn select_from(&self) -> Statement {
        let mut statement = Statement::new(self.dialect, format!("SELECT {} FROM {} t", self.select, self.table));
        statement.planned = true;
        statement
    }

    /// The key's columns.
    pub fn key_terms(&self) -> Vec<Term> {
        self.key.iter().map(|source| self.terms[*source].clone()).collect()
    }

    /// The values to bind for a key, one for each key column; `None` when no row can have the key.
    pub fn key_args(&self, mapping: &Mapping, key: &Key) -> Option<Vec<Arg>> {
        let raw = mapping.raw_key(key)?;
        let of = |source: &usize| raw.iter().find(|(index, _)| index == source).map(|(_, raw)| raw);
        self.key.iter().map(|source| arg_for(self.dialect, self.kinds[*source], of(source)?)).collect()
    }

    /// The same for the raw key columns of a row, to go on after it; `None` when a part cannot be compared with.
    pub fn args_of_key(&self, parts: &[Raw]) -> Option<Vec<Arg>> {
        self.key.iter().zip(parts).map(|(source, raw)| self.arg(*source, raw)).collect()
    }

    /// The value to bind for what a row holds in `source`.
    pub fn arg(&self, source: usize, raw: &Raw) -> Option<Arg> {
        arg_for(self.dialect, self.kinds[source], raw)
    }

    /// ` GROUP BY …` where equal rows are read as one.
    pub fn group_by(&self) -> &str {
        self.grouped_by.as_deref().unwrap_or_default()
    }

    /// Selects the rows with these keys.
    pub fn by_keys(&self, keys: &[Vec<Arg>]) -> Statement {
        self.by_terms(&self.key_terms(), keys)
    }

    /// Selects the rows that hold one of these values in `source`.
    pub fn by_source(&self, source: usize, values: &[Arg]) -> Statement {
        let values: Vec<_> = values.iter().map(|value| vec![value.clone()]).collect();
        self.by_terms(&[self.terms[source].clone()], &values)
    }

    fn by_terms(&self, terms: &[Term], values: &[Vec<Arg>]) -> Statement {
        let mut wanted = values.to_vec();
        if self.dialect == Dialect::Sqlite {
            wanted.extend(values.iter().filter_map(|key| self.in_other_classes(key)));
        }
        let mut statement = super::text::select_by_keys(self.dialect, &self.select, &self.table, terms, &wanted);
        statement.planned = true;
        statement
    }

    /// A single-column SQLite key may be stored as number or as text.
    fn in_other_classes(&self, key: &[Arg]) -> Option<Vec<Arg>> {
        let [arg] = key else { return None };
        Some(vec![other_storage_class(arg)?])
    }
}

impl ChildPlan {
    fn new(dialect: Dialect, children: &Children, columns: Vec<ResultColumn>) -> Result<Self, String> {
        let moved = match &children.changed_at {
            Some(stamp) => Some(moved(dialect, children, stamp, &columns)?),
            None => None,
        };
        let selection = Selection {
            dataset: &children.dataset,
            sources: &children.sources,
            key: vec![children.parent],
            changed_at: None,
            version: None,
        };
        Ok(Self { content: Plan::of(dialect, &selection, columns)?, moved })
    }
}

/// Where the moved plan has the stamp and the parent.
const MOVED_STAMP: usize = 0;
pub(super) const MOVED_PARENT: usize = 1;

/// A parent with many children that moved at once is one row.
fn moved(dialect: Dialect, children: &Children, stamp: &Stamp, columns: &[ResultColumn]) -> Result<Plan, String> {
    let (Some(at), Some(parent)) = (columns.get(stamp.source), columns.get(children.parent)) else {
        return Err("its columns are not those that were asked for".to_owned());
    };
    let sources = [children.sources[stamp.source].clone(), children.sources[children.parent].clone()];
    let own_stamp = Stamp { source: MOVED_STAMP, ..stamp.clone() };
    let selection = Selection {
        dataset: &children.dataset,
        sources: &sources,
        key: vec![MOVED_PARENT],
        changed_at: Some(&own_stamp),
        version: None,
    };
    let mut plan = Plan::of(dialect, &selection, vec![at.clone(), parent.clone()])?;
    let columns: Vec<_> = sources.iter().map(|source| expression(dialect, source)).collect();
    plan.grouped_by = Some(format!(" GROUP BY {}", columns.join(", ")));
    Ok(plan)
}

fn key_source(mapping: &Mapping, field: usize) -> Option<usize> {
    match mapping.fields.get(field)?.as_ref()?.origin {
        Origin::Source(source) => Some(source),
        Origin::Const(_) | Origin::Children(_) => None,
    }
}

fn order(selection: &Selection<'_>, kinds: &[Kind]) -> Result<Order, String> {
    let Some(stamp) = selection.changed_at else {
        return Ok(match selection.version {
            Some(VersionRule::Sequence(source)) => Order::Sequence { source },
            _ => Order::Nothing,
        });
    };
    let form = match (kinds[stamp.source], stamp.epoch) {
        (Kind::Instant, _) => Form::Instant,
        (Kind::Naive, _) => Form::Naive(stamp.zone),
        (Kind::Date, _) => Form::Date(stamp.zone),
        (Kind::Int { .. } | Kind::Decimal | Kind::Float8 | Kind::Dynamic, Some(unit)) => Form::Epoch(unit),
        (Kind::Dynamic, None) => Form::Text(stamp.zone),
        (Kind::Int { .. } | Kind::Decimal | Kind::Float8, None) => {
            return Err("`changed_at` is a number: say what it counts with `epoch`".to_owned());
        }
        _ => return Err("`changed_at` is neither a time stamp, a date nor a number".to_owned()),
    };
    Ok(Order::Stamp { source: stamp.source, form })
}
