//! How a mapping is read: select list, decoders, key and order columns. Made once per mapping and kept.

use super::engine::{Kind, ResultColumn};
use super::stamp::Form;
use super::text::{Arg, Dialect, Statement, Term};
use super::values::{arg_for, other_storage_class};
use crate::model::mapping::{Dataset, Origin, Source, VersionRule};
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
    let Dataset::Table(name) = dataset;
    name
}

fn expression(dialect: Dialect, source: &Source) -> String {
    match source {
        Source::Path(column) => dialect.column(column),
        Source::Sql(expression) => format!("({expression})"),
    }
}

/// The statement whose result columns tell the types. Returns no rows if it is run.
pub(super) fn typing_statement(dialect: Dialect, mapping: &Mapping) -> String {
    let columns: Vec<_> = mapping.sources.iter().map(|source| expression(dialect, source)).collect();
    format!("SELECT {} FROM {} t WHERE 1=0", columns.join(", "), dialect.table(table_name(&mapping.dataset)))
}

impl Plan {
    /// `columns` are what preparing [`typing_statement`] said.
    ///
    /// # Errors
    /// In words, when the mapping cannot be read like this.
    pub fn new(dialect: Dialect, mapping: &Mapping, columns: Vec<ResultColumn>) -> Result<Self, String> {
        if columns.len() != mapping.sources.len() {
            return Err(format!("{} columns for {} sources", columns.len(), mapping.sources.len()));
        }
        let mut select = Vec::with_capacity(columns.len());
        let mut terms = Vec::with_capacity(columns.len());
        for (source, column) in mapping.sources.iter().zip(&columns) {
            let sql = expression(dialect, source);
            select.push(column.read_cast.map_or_else(|| sql.clone(), |cast| format!("({sql})::{cast}")));
            let only_text = dialect == Dialect::Postgres && column.bind_cast.is_none();
            terms.push(Term { sql: if only_text { format!("({sql})::text") } else { sql }, cast: column.bind_cast });
        }
        let key: Vec<_> = mapping.key.iter().filter_map(|field| key_source(mapping, *field)).collect();
        if key.is_empty() {
            return Err("its key names no column".to_owned());
        }
        let kinds: Vec<_> = columns.iter().map(|column| column.kind).collect();
        let order = order(mapping, &kinds)?;
        Ok(Self {
            dialect,
            dataset: mapping.dataset.clone(),
            sources: mapping.sources.clone(),
            table: dialect.table(table_name(&mapping.dataset)),
            select: select.join(", "),
            kinds,
            columns,
            terms,
            key,
            order,
        })
    }

    /// Whether the plan was made for this mapping as it is now.
    pub fn fits(&self, mapping: &Mapping) -> bool {
        self.dataset == mapping.dataset && self.sources == mapping.sources
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

    /// Selects the rows with these keys.
    pub fn by_keys(&self, keys: &[Vec<Arg>]) -> Statement {
        let mut wanted = keys.to_vec();
        if self.dialect == Dialect::Sqlite {
            wanted.extend(keys.iter().filter_map(|key| self.in_other_classes(key)));
        }
        let mut statement =
            super::text::select_by_keys(self.dialect, &self.select, &self.table, &self.key_terms(), &wanted);
        statement.planned = true;
        statement
    }

    /// A single-column SQLite key may be stored as number or as text.
    fn in_other_classes(&self, key: &[Arg]) -> Option<Vec<Arg>> {
        let [arg] = key else { return None };
        Some(vec![other_storage_class(arg)?])
    }
}

fn key_source(mapping: &Mapping, field: usize) -> Option<usize> {
    match mapping.fields.get(field)?.as_ref()?.origin {
        Origin::Source(source) => Some(source),
        Origin::Const(_) => None,
    }
}

fn order(mapping: &Mapping, kinds: &[Kind]) -> Result<Order, String> {
    let Some(stamp) = &mapping.changed_at else {
        return Ok(match mapping.version {
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
