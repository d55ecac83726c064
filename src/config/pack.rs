//! Packs: TOML files that teach the HTTP reader one product.
//!
//! A pack is data. It has no expressions, only `${setting}`, a closed list of typed places in bodies of requests and
//! (in the entity `*`) `{dataset}`; every word list is closed and unknown keys are refused with their place. What a
//! pack cannot say, it cannot do: there is no way to write. A request with a body is one of a few forms that only
//! read. Shipped packs are part of the program; others are named by their path.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use super::problems::{Problems, suggestion};
use super::secret::Environment;
use super::section::Reading;
use crate::model::mapping::{EpochUnit, Literal};

mod auth;
mod body;
mod by;
mod entity;
mod fill;
mod graphql;
mod limit;
mod mapping;
mod page;
mod path;
mod points;
mod read;
mod settings;
mod system;

#[cfg(test)]
mod tests;

pub use body::{Body, Filling, Placeholder, merge};
pub use fill::Values;
pub(super) use mapping::complete;
pub use path::{JsonPath, Step};
pub use points::Prices;
pub(super) use system::read_use;

/// The packs that are part of the program, by name.
pub const SHIPPED: [(&str, &str); 4] = [
    ("json-api", include_str!("../../probes/json-api.toml")),
    ("odoo", include_str!("../../probes/odoo.toml")),
    ("shopify", include_str!("../../probes/shopify.toml")),
    ("woocommerce", include_str!("../../probes/woocommerce.toml")),
];

/// What `plumbline pack new` writes.
pub const TEMPLATE: &str = include_str!("../../probes/template.toml");

/// A checked pack, its settings filled in.
#[derive(Debug)]
pub struct Pack {
    /// Its name.
    pub id: String,
    /// The product and its interface.
    pub title: String,
    /// When it was last checked against the product, as a date.
    pub verified: String,
    /// What login to ask for, for people.
    pub access: String,
    /// Everything begins here; no `/` at its end.
    pub base: url::Url,
    /// The form of its requests and answers.
    pub dialect: Dialect,
    /// How far paths reach, for the dialects of Odoo.
    pub relations: Relations,
    /// Sent with every request.
    pub headers: Vec<(String, SecretString)>,
    /// A path that is cheap to ask, for the clock.
    pub clock: Option<String>,
    /// The query parameter that limits an answer to named fields.
    pub fields_param: Option<String>,
    /// Longest answer, unpacked, in bytes.
    pub body_limit: usize,
    /// How requests prove who sends them.
    pub auth: Auth,
    /// What the product allows.
    pub limit: Limits,
    /// What answers mean, first match first.
    pub errors: Vec<ErrorRule>,
    /// The datasets by name; `*` stands for any.
    pub entities: BTreeMap<String, PackEntity>,
}

/// The form of requests and answers. All of them only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// GET with parameters in the address.
    Rest,
    /// POST of a GraphQL document that holds one `query`, and its variables.
    GraphQl,
    /// POST to `/json/2/MODEL/METHOD` of Odoo (19.0 and newer), with named arguments.
    Json2,
    /// POST of a JSON-RPC call to `/jsonrpc` of Odoo: `execute_kw` of a method, with named arguments.
    JsonRpc,
}

impl Dialect {
    /// Whether it is one of Odoo's.
    pub const fn is_odoo(self) -> bool {
        matches!(self, Self::Json2 | Self::JsonRpc)
    }
}

/// How far paths reach into what a record of Odoo is linked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relations {
    /// Anywhere: records come by `web_search_read`, which takes a specification (17.0 and newer).
    Nested,
    /// To the id and name of a linked record: records come by `search_read`.
    Flat,
}

/// How requests prove who sends them.
#[derive(Debug)]
pub enum Auth {
    /// Not at all.
    None,
    /// HTTP Basic.
    Basic {
        /// User name or key.
        user: SecretString,
        /// Password or secret.
        password: SecretString,
    },
    /// `Authorization: Bearer …`.
    Bearer(SecretString),
    /// A header of the product's own.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: SecretString,
    },
    /// Odoo's: an API key as bearer for [`Dialect::Json2`], within each call for [`Dialect::JsonRpc`].
    Odoo {
        /// Name of the database.
        database: String,
        /// Login of the user.
        user: String,
        /// API key (or password) of the user.
        key: SecretString,
    },
}

/// What the product allows, and how it says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Requests a second unless the system's budget says otherwise.
    pub requests_per_second: f64,
    /// Requests at once unless the system's budget says otherwise.
    pub concurrency: usize,
    /// Whether the limit is hidden, so that the rate must be found by trying.
    pub adaptive: bool,
    /// Answers that mean "too fast".
    pub throttle: Vec<u16>,
    /// Where the answer says how many requests are left.
    pub remaining: Option<Place>,
    /// Where the answer says in how many seconds (or at which Unix time) the count begins anew.
    pub reset: Option<Place>,
    /// Where it counts in points: what the answer says about them.
    pub cost: Option<Cost>,
}

/// What an answer says about points, by its path in the body.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// What the request was thought to cost.
    pub asked: JsonPath,
    /// What it did cost; missing when it was refused.
    pub used: JsonPath,
    /// What is left.
    pub available: JsonPath,
    /// What there can be at most.
    pub maximum: JsonPath,
    /// What is added each second.
    pub restore: JsonPath,
    /// The share of all this that we use, above 0 to 1.
    pub share: f64,
    /// Points that are added each second, for planning; the answers say what is true.
    pub per_second: f64,
    /// The most that one request may cost.
    pub most: f64,
    /// What parts of a document cost, for planning; without them each request is taken to cost the most.
    pub prices: Option<Prices>,
}

impl Cost {
    /// Points a second that are ours to use, for planning.
    pub fn ours(&self) -> f64 {
        self.per_second * self.share
    }
}

/// Where in an answer something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header, in lower case.
    Header(String),
    /// A path in the body.
    Body(JsonPath),
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorRule {
    /// Only for this status.
    pub status: Option<u16>,
    /// Only when this header of a success is there; in lower case.
    pub header: Option<String>,
    /// Only when this path in the body is there and not null.
    pub body: Option<JsonPath>,
    /// And has this value.
    pub eq: Option<String>,
    /// And has another value than this.
    pub ne: Option<String>,
    /// What it means.
    pub meaning: Meaning,
    /// What to tell people, in addition to the product's own words.
    pub say: Option<String>,
}

/// What an answer can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The login may not do this.
    Refused,
    /// What was asked for does not exist in this product.
    Shape,
    /// Too fast.
    Throttle,
    /// The product failed for the moment.
    Retry,
}

/// One dataset of a product.
#[derive(Clone, Debug)]
pub struct PackEntity {
    /// What a request asks for, and where.
    pub question: Question,
    /// Members of the body of every request.
    pub body: Body,
    /// Where the records are in the answer; through lists of lists where the path has `[]`.
    pub items: JsonPath,
    /// Where each inner list of records says whether it goes on, which must be `false`.
    pub whole: Option<JsonPath>,
    /// Lists within a record that may be cut, each with where the record says so.
    pub parts: Vec<(String, JsonPath)>,
    /// The record's own address.
    pub id: JsonPath,
    /// Whether lists come in ascending order of the id.
    pub ordered: bool,
    /// Query parameters of every request.
    pub query: Vec<(String, String)>,
    /// How pages follow each other.
    pub page: Paging,
    /// The stamp of the last change, in UTC unless it names its instant.
    pub changed_at: Option<String>,
    /// What the stamp counts, where it is a number.
    pub epoch: Option<EpochUnit>,
    /// How to ask for changes; without it everything is read.
    pub since: Option<Since>,
    /// Queries whose lists a changes read reads as well, for records that have left the main list.
    pub also: Vec<Vec<(String, String)>>,
    /// A record for which this holds counts as absent.
    pub gone: Option<(JsonPath, Vec<Literal>)>,
    /// Paths by which records can be asked for.
    pub lookups: Vec<Lookup>,
    /// Known paths and their JSON types, for `check`.
    pub columns: BTreeMap<String, String>,
    /// Paths whose change does not move the stamp.
    pub blind: Vec<String>,
}

/// What a request for records asks for, and where.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// What is at this path below the base; it may hold `{dataset}`.
    Path(String),
    /// What this GraphQL document says.
    Document {
        /// Where it is sent, below the base.
        path: String,
        /// One `query`.
        text: String,
    },
    /// The records of this model of Odoo; may be `{dataset}`.
    Model(String),
}

impl Question {
    /// For people: where it is asked.
    pub fn place(&self) -> &str {
        match self {
            Self::Path(path) | Self::Document { path, .. } | Self::Model(path) => path,
        }
    }
}

/// How pages follow each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Paging {
    /// How the next page is named.
    pub kind: PageKind,
    /// Query parameter for the page size, if the product takes one.
    pub size_param: Option<String>,
    /// Members of the body, with places for the page and its size.
    pub body: Body,
    /// Records in a page.
    pub size: usize,
    /// Where the answer says how many records the list has.
    pub total: Option<Place>,
    /// Of longer lists the product gives only so many records.
    pub cap: Option<u64>,
}

/// How the next page is named.
#[derive(Clone, Debug, PartialEq)]
pub enum PageKind {
    /// By a number that counts pages.
    Page {
        /// Query parameter; empty where the body has a place for it.
        param: String,
        /// Number of the first page.
        first: u64,
    },
    /// By the number of records before it.
    Offset {
        /// Query parameter; empty where the body has a place for it.
        param: String,
    },
    /// By a word from the page before.
    Cursor {
        /// Query parameter; empty where the body has a place for it.
        param: String,
        /// Where the page before says it.
        from: Place,
        /// Where the page before says whether there is a next one.
        more: Option<Place>,
    },
    /// By the last id of the page before: the list comes in ascending order of ids.
    Keyset,
    /// By an address from the page before.
    Link {
        /// Where the page before says it; a header is read as `Link: <…>; rel="next"`.
        from: Place,
    },
}

/// How to ask for changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Since {
    /// What carries the bounds.
    pub bounds: Bounds,
    /// Whether records with exactly the bound's stamp are left out.
    pub exclusive: bool,
    /// How the bound is written.
    pub format: SinceFormat,
    /// How long a change may take to show in the list.
    pub settle: Duration,
    /// How far before the settled bound each read begins.
    pub lookback: Duration,
}

/// What carries the bounds of changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Bounds {
    /// Parameters of the address.
    Params {
        /// Query parameter for the lower bound.
        low: String,
        /// Query parameter for the upper bound, to split lists that are too long.
        high: Option<String>,
        /// Further query parameters.
        query: Vec<(String, String)>,
    },
    /// Members of the body, with places for the bounds.
    Body(Body),
}

impl Bounds {
    /// For people: what filters.
    pub fn name(&self) -> String {
        match self {
            Self::Params { low, .. } => low.clone(),
            Self::Body(body) => body.names().collect::<Vec<_>>().join("`, `"),
        }
    }

    /// Whether there can be an upper bound.
    pub fn has_upper(&self) -> bool {
        match self {
            Self::Params { high, .. } => high.is_some(),
            Self::Body(body) => body.mentions(Placeholder::High),
        }
    }
}

/// How a bound is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinceFormat {
    /// `2026-11-05T12:00:00`, UTC without saying so. The product may take it through its own zone: hours that some
    /// zone skips are avoided.
    Naive,
    /// `2026-11-05T12:00:00Z`.
    Rfc3339,
    /// `2026-11-05 12:00:00`, UTC, and the product knows no other zone.
    Spaced,
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
}

/// How to ask for records by one of their paths.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    /// The path in the record.
    pub path: String,
    /// How it is asked for.
    pub ask: Ask,
}

/// How records are asked for by a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A list with a filter.
    Filter {
        /// Query parameter.
        param: String,
        /// How several values are asked for.
        style: LookupStyle,
        /// Values in one request.
        max: usize,
        /// Further query parameters.
        query: Vec<(String, String)>,
        /// A value that no record has, to prove that the filter filters.
        none: String,
    },
    /// A list with a filter in its body, or the answer of a document of its own.
    Body {
        /// Members of the body, with a place for the values.
        body: Body,
        /// The values are written as terms of a search text on this field: `sku:"A" OR sku:"B"`.
        search: Option<String>,
        /// Values in one request.
        max: usize,
        /// A value that no record has, to prove that the filter filters.
        none: String,
        /// A document that answers exactly what it is asked for, in one page, with `null` for what there is not.
        document: Option<Answered>,
        /// The answer comes from a search index: what it finds is read again by the record's own address.
        index: bool,
    },
    /// One record at an address of its own; 404 when there is none.
    At {
        /// Below the dataset's path; holds `{value}`.
        path: String,
        /// Where the record is in the answer.
        item: JsonPath,
    },
}

/// A GraphQL document and where the records are in its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// One `query`.
    pub text: String,
    /// Where the records are.
    pub items: JsonPath,
    /// As [`PackEntity::whole`].
    pub whole: Option<JsonPath>,
}

/// How several values are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupStyle {
    /// `ids=1,2,3`. A value that holds a comma is asked for alone.
    Csv,
    /// `ids=1&ids=2`.
    Repeat,
}

impl Pack {
    /// Checks a pack's text with these settings. `file` is its name in problems.
    ///
    /// # Errors
    /// All problems at once.
    pub fn parse(text: &str, file: &Path, values: &Values) -> Result<Self, Problems> {
        let environment = Environment::Fixed(BTreeMap::new());
        let base_dir = file.parent().unwrap_or(Path::new("/"));
        read::read(Reading::new(text, file, base_dir, &environment), values)
    }

    /// The shipped pack of this name, or the one in this file, checked by itself: settings without a default get a
    /// stand-in.
    ///
    /// # Errors
    /// In words: it cannot be read, or all its problems.
    pub fn alone(name: &str, base_dir: &Path) -> Result<Self, String> {
        let (text, file) = text_of(name, base_dir)?;
        Self::parse(&text, &file, &Values::default()).map_err(|problems| problems.to_string())
    }

    /// The dataset of this name.
    pub fn entity(&self, dataset: &str) -> Option<&PackEntity> {
        self.entities.get(dataset).or_else(|| self.entities.get("*"))
    }
}

/// The text of a pack and its file: a shipped one by name, any other by a path that ends with `.toml`.
pub(super) fn text_of(name: &str, base_dir: &Path) -> Result<(String, std::path::PathBuf), String> {
    if name.ends_with(".toml") {
        let file = base_dir.join(name);
        let text = std::fs::read_to_string(&file).map_err(|error| format!("`{name}` cannot be read: {error}"))?;
        return Ok((text, file));
    }
    let shipped = SHIPPED.iter().find(|(known, _)| *known == name);
    let Some((_, text)) = shipped else {
        let hint = suggestion(name, SHIPPED.iter().map(|(known, _)| *known));
        return Err(format!(
            "there is no pack `{name}`; {hint} A pack of your own is named by its path: `{name}.toml`"
        ));
    };
    Ok(((*text).to_owned(), format!("probes/{name}.toml").into()))
}
