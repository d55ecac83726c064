//! Requests: an address, and for some products a body. Pure.
//!
//! Whatever a pack says, what comes out is a read: GET, a GraphQL `query`, or one of the methods of Odoo that [`odoo`] names.

use serde_json::{Map, Value as Json, json};
use url::Url;

use super::odoo::{self, FIELDS_GET, SEARCH_READ, WEB_SEARCH_READ};
use super::plan::Plan;
use super::walk::Token;
use crate::config::pack::{Answered, Bounds, Dialect, Pack, PageKind, Placeholder, Question, Relations, Since};

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub url: Url,
    pub content: Content,
}

/// What a request carries.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// Nothing: GET.
    Nothing,
    /// A body: POST.
    Json(Json),
    /// A call of a model's method with named arguments: POST, within an envelope that holds the login.
    Call { model: String, method: &'static str, arguments: Map<String, Json> },
}

/// What a request asks for beside the dataset's own: parameters of its address, or members of its body.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Query {
    /// In order; a name may stand twice.
    pub params: Vec<(String, String)>,
    pub body: Map<String, Json>,
}

impl Request {
    /// Of what is at this address.
    pub const fn get(url: Url) -> Self {
        Self { url, content: Content::Nothing }
    }
}

impl Query {
    /// Asks for what changed within these bounds, as they are written.
    pub fn between(since: &Since, low: &str, high: Option<&str>) -> Self {
        let mut query = Self::default();
        match &since.bounds {
            Bounds::Params { low: name, high: upper, query: more } => {
                query.params.push((name.clone(), low.to_owned()));
                query.params.extend_from_slice(more);
                let upper = upper.as_ref().zip(high);
                query.params.extend(upper.map(|(name, high)| (name.clone(), high.to_owned())));
            }
            Bounds::Body(body) => {
                let mut filling = vec![(Placeholder::Low, Json::from(low))];
                filling.extend(high.map(|high| (Placeholder::High, Json::from(high))));
                body.fill(&filling, &mut query.body);
            }
        }
        query
    }
}

impl Plan {
    /// The request for one page of the list; `Err` says what is no address. `query` stands beside the dataset's own
    /// parameters and wins over them.
    pub fn request(&self, pack: &Pack, query: &Query, token: &Token, size: usize) -> Result<Request, String> {
        let url = match (&self.entity.page.kind, token) {
            (PageKind::Link { .. }, Token::Named(link)) => return self.linked(pack, link).map(Request::get),
            _ => self.url.clone(),
        };
        let fields = Some(&self.fields[..]);
        if pack.dialect == Dialect::Rest {
            return Ok(Request::get(self.with_params(pack, url, query, token, (size, fields))));
        }
        Ok(Request { url, content: self.content(pack.dialect, self.body(query, token, size)) })
    }

    /// The request for the first records with all of their members.
    pub fn first_records(&self, pack: &Pack, size: usize) -> Request {
        let (query, url) = (Query::default(), self.url.clone());
        if pack.dialect == Dialect::Rest {
            return Request::get(self.with_params(pack, url, &query, &Token::First, (size, None)));
        }
        Request { url, content: self.content(pack.dialect, self.body(&query, &Token::First, size)) }
    }

    fn body(&self, query: &Query, token: &Token, size: usize) -> Map<String, Json> {
        let mut body = Map::new();
        self.entity.body.fill(&[], &mut body);
        let mut page = vec![(Placeholder::Size, json!(size))];
        page.extend(place(&self.entity.page.kind, token));
        self.entity.page.body.fill(&page, &mut body);
        crate::config::pack::merge(&mut body, query.body.clone());
        if let Question::Model(_) = &self.entity.question {
            let (name, wanted) = match &self.specification {
                Some(specification) => ("specification", specification.clone()),
                None => ("fields", json!(self.fields)),
            };
            body.insert(name.to_owned(), wanted);
        }
        body
    }

    /// The request for the fields of a model of Odoo; `None` for other products.
    pub fn fields_of_model(&self, pack: &Pack) -> Option<Request> {
        let Question::Model(model) = &self.entity.question else { return None };
        let model = model.replace("{dataset}", &self.dataset);
        let arguments = odoo::fields_arguments();
        if pack.dialect == Dialect::JsonRpc {
            let content = Content::Call { model, method: FIELDS_GET, arguments };
            return Some(Request { url: self.url.clone(), content });
        }
        let mut url = self.url.clone();
        url.path_segments_mut().ok()?.pop().push(FIELDS_GET);
        Some(Request { url, content: Content::Json(Json::Object(arguments)) })
    }

    /// The request of a document of its own.
    pub fn own(&self, document: &Answered, query: &Query) -> Request {
        Request { url: self.url.clone(), content: graphql(&document.text, query.body.clone()) }
    }

    fn content(&self, dialect: Dialect, body: Map<String, Json>) -> Content {
        match &self.entity.question {
            Question::Path(_) => Content::Nothing,
            Question::Document { text, .. } => graphql(text, body),
            Question::Model(_) if dialect == Dialect::Json2 => Content::Json(Json::Object(body)),
            Question::Model(model) => {
                let model = model.replace("{dataset}", &self.dataset);
                let method = if self.specification.is_some() { WEB_SEARCH_READ } else { SEARCH_READ };
                Content::Call { model, method, arguments: body }
            }
        }
    }

    fn with_params(
        &self,
        pack: &Pack,
        mut url: Url,
        query: &Query,
        token: &Token,
        (size, fields): (usize, Option<&[String]>),
    ) -> Url {
        let page = &self.entity.page;
        let mut all = self.entity.query.clone();
        all.retain(|(name, _)| !query.params.iter().any(|(other, _)| other == name));
        all.extend_from_slice(&query.params);
        if let Some(param) = &page.size_param {
            all.push((param.clone(), size.to_string()));
        }
        if let (Some(param), Some(fields)) = (&pack.fields_param, fields) {
            all.push((param.clone(), fields.join(",")));
        }
        match (&page.kind, token) {
            (PageKind::Page { param, first }, Token::First) => all.push((param.clone(), first.to_string())),
            (PageKind::Page { param, .. } | PageKind::Offset { param }, Token::Number(number)) => {
                all.push((param.clone(), number.to_string()));
            }
            (PageKind::Cursor { param, .. }, Token::Named(word)) => all.push((param.clone(), word.clone())),
            _ => {}
        }
        if !all.is_empty() {
            url.query_pairs_mut().extend_pairs(&all);
        }
        url
    }

    /// The address of a next page; it never leaves the system.
    fn linked(&self, pack: &Pack, link: &str) -> Result<Url, String> {
        let url = self.url.join(link).map_err(|_| "the link to the next page is no address".to_owned())?;
        if super::address::same_origin(&pack.base, &url) {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or("nowhere");
        Err(format!("the link to the next page leads to another host (`{host}`), which is never followed"))
    }
}

fn graphql(document: &str, variables: Map<String, Json>) -> Content {
    Content::Json(json!({ "query": document, "variables": variables }))
}

/// What names the page in a body; nothing for the first of most kinds.
fn place(kind: &PageKind, token: &Token) -> Option<(Placeholder, Json)> {
    match (kind, token) {
        (PageKind::Page { first, .. }, Token::First) => Some((Placeholder::Page, json!(first))),
        (PageKind::Page { .. }, Token::Number(number)) => Some((Placeholder::Page, json!(number))),
        (PageKind::Offset { .. }, Token::Number(number)) => Some((Placeholder::Offset, json!(number))),
        (PageKind::Offset { .. }, Token::First) => Some((Placeholder::Offset, json!(0))),
        (PageKind::Cursor { .. }, Token::Named(word)) => Some((Placeholder::Cursor, json!(word))),
        (PageKind::Keyset, Token::After(id)) => Some((Placeholder::Last, json!(id))),
        _ => None,
    }
}

/// Where requests of a dataset go; `Err` says what is no address.
pub(super) fn address(pack: &Pack, question: &Question, dataset: &str) -> Result<Url, String> {
    let path = match question {
        Question::Path(path) | Question::Document { path, .. } => path.replace("{dataset}", dataset),
        Question::Model(model) if pack.dialect == Dialect::Json2 => {
            let nested = pack.relations == Relations::Nested;
            let method = if nested { WEB_SEARCH_READ } else { SEARCH_READ };
            format!("json/2/{}/{method}", model.replace("{dataset}", dataset))
        }
        Question::Model(_) => "jsonrpc".to_owned(),
    };
    let base = pack.base.as_str().trim_end_matches('/');
    let text = format!("{base}/{}", path.trim_start_matches('/'));
    Url::parse(&text).map_err(|error| format!("`{text}` is not an address: {error}"))
}

/// The envelope of a call (Odoo, external RPC: service `object`, method `execute_kw`).
pub(super) fn execute_kw(
    (database, user_id, key): (&str, i64, &str),
    model: &str,
    method: &str,
    arguments: &Map<String, Json>,
) -> Json {
    call("object", "execute_kw", json!([database, user_id, key, model, method, [], arguments]))
}

/// The call that tells a user's id (service `common`, method `authenticate`).
pub(super) fn authenticate(database: &str, user: &str, key: &str) -> Json {
    call("common", "authenticate", json!([database, user, key, {}]))
}

fn call(service: &str, method: &str, arguments: Json) -> Json {
    let params = json!({ "service": service, "method": method, "args": arguments });
    json!({ "jsonrpc": "2.0", "method": "call", "id": 1, "params": params })
}
