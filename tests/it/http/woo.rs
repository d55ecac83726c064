//! A store that speaks WooCommerce's protocol, with the store's rules as they were observed on running ones. Its
//! records are built from captured objects.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Response};
use axum::routing::get;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use plumbline::clock::{AnchoredClock, Clock};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::captured::Captured;

pub const KEY: &str = "ck_a1b2c3d4e5a1b2c3d4e5a1b2c3d4e5a1b2c3d4e5";
pub const SECRET: &str = "cs_f6e7d8c9b0f6e7d8c9b0f6e7d8c9b0f6e7d8c9b0";

/// The store's zone, as in the captures: UTC−5 when they were made.
const SITE_OFFSET: TimeDelta = TimeDelta::hours(-5);

/// A running store.
pub struct Woo {
    pub url: String,
    shop: Arc<Mutex<Shop>>,
    server: JoinHandle<()>,
}

/// What it holds and how it misbehaves.
#[derive(Default)]
struct Shop {
    records: BTreeMap<(&'static str, i64), Value>,
    next_id: i64,
    /// Answers given instead of the right ones, in order.
    instead: VecDeque<Captured>,
    /// Given instead of every right answer.
    always: Option<Captured>,
    /// Ids that the key may not read.
    hidden: Vec<i64>,
    /// Records that are removed after so many list requests.
    vanish: Option<(usize, i64)>,
    pub requests: Vec<String>,
    /// When each of them came.
    asked_at: Vec<DateTime<Utc>>,
    grows: bool,
    shrinks: bool,
    /// Added to the clock that `Date` shows.
    clock_off_by: TimeDelta,
}

type Shared = Arc<Mutex<Shop>>;

impl Woo {
    /// An empty store.
    pub async fn start() -> Self {
        let shop = Arc::new(Mutex::new(Shop { next_id: 10, ..Shop::default() }));
        let routes = Router::new().route("/wp-json/wc/v3/{*resource}", get(answer)).with_state(Arc::clone(&shop));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, shop, server }
    }

    fn shop(&self) -> std::sync::MutexGuard<'_, Shop> {
        self.shop.lock().unwrap()
    }

    /// Adds a record of the captured form with these members set; gives its id.
    pub fn add(&self, resource: &'static str, members: Value) -> i64 {
        let mut shop = self.shop();
        let id = shop.next_id;
        shop.next_id += 1;
        let capture = match resource {
            "products" => "product-simple",
            "variations" => "product-variation",
            "orders" => "order-single",
            "customers" => "customer-single",
            other => panic!("no capture of `{other}`"),
        };
        let mut record = Captured::read(capture).json();
        record["id"] = json!(id);
        set(&mut record, members);
        touch(&mut record);
        shop.records.insert((resource, id), record);
        id
    }

    /// Changes a record as a save does: its date moves.
    pub fn save(&self, resource: &'static str, id: i64, members: Value) {
        let mut shop = self.shop();
        let record = shop.records.get_mut(&(resource, id)).unwrap();
        touch(record);
        set(record, members);
    }

    /// Changes a record behind the store's back: its date stands.
    pub fn write_directly(&self, resource: &'static str, id: i64, members: Value) {
        set(self.shop().records.get_mut(&(resource, id)).unwrap(), members);
    }

    /// Moves a record to the trash.
    pub fn trash(&self, resource: &'static str, id: i64) {
        self.save(resource, id, json!({ "status": "trash" }));
    }

    /// Deletes a record for good.
    pub fn delete(&self, resource: &'static str, id: i64) {
        self.shop().records.remove(&(resource, id)).unwrap();
    }

    /// Gives this answer to the next request.
    pub fn instead(&self, answer: Captured) {
        self.shop().instead.push_back(answer);
    }

    /// Gives this answer to every request from now on; `None`: the right ones again.
    pub fn always(&self, answer: Option<Captured>) {
        self.shop().always = answer;
    }

    /// The key may not read this record.
    pub fn hide(&self, id: i64) {
        self.shop().hidden.push(id);
    }

    /// Removes a record of a product list once so many pages have been given.
    pub fn vanish_after(&self, pages: usize, id: i64) {
        self.shop().vanish = Some((pages, id));
    }

    /// Adds a product after each page of a product list.
    pub fn grow_each_page(&self, grows: bool) {
        self.shop().grows = grows;
    }

    /// Removes the first product after each page of a product list.
    pub fn shrink_each_page(&self, shrinks: bool) {
        self.shop().shrinks = shrinks;
    }

    /// Sets the clock of whatever writes `Date`.
    pub fn set_clock_off_by(&self, off: TimeDelta) {
        self.shop().clock_off_by = off;
    }

    /// The paths and queries asked for since the last call.
    pub fn take_requests(&self) -> Vec<String> {
        let mut shop = self.shop();
        shop.asked_at.clear();
        std::mem::take(&mut shop.requests)
    }

    /// When each request since the last [`take_requests`](Self::take_requests) came.
    pub fn asked_at(&self) -> Vec<DateTime<Utc>> {
        self.shop().asked_at.clone()
    }
}

impl Drop for Woo {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn set(record: &mut Value, members: Value) {
    for (name, value) in members.as_object().unwrap() {
        record[name] = value.clone();
    }
}

fn now() -> DateTime<Utc> {
    AnchoredClock::from_machine().now().to_utc()
}

fn touch(record: &mut Value) {
    let now = now();
    record["date_modified_gmt"] = json!(now.format("%Y-%m-%dT%H:%M:%S").to_string());
    record["date_modified"] = json!((now + SITE_OFFSET).format("%Y-%m-%dT%H:%M:%S").to_string());
}

async fn answer(
    State(shop): State<Shared>,
    Path(resource): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let mut shop = shop.lock().unwrap();
    shop.requests.push(format!("/{resource}?{}", query.clone().unwrap_or_default()));
    shop.asked_at.push(now());
    let mut response = match shop.instead.pop_front().or_else(|| shop.always.clone()) {
        Some(instead) => instead.response(),
        None => right_answer(&mut shop, &resource, &query.unwrap_or_default(), &headers),
    };
    if shop.clock_off_by != TimeDelta::zero() {
        let date = (now() + shop.clock_off_by).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        response.headers_mut().insert("date", date.parse().unwrap());
    }
    response
}

fn right_answer(shop: &mut Shop, resource: &str, query: &str, headers: &HeaderMap) -> Response<Body> {
    if let Some(refusal) = refusal(headers) {
        return Captured::read(refusal).response();
    }
    let known = ["products", "variations", "orders", "customers", "refunds"];
    let Some(resource) = known.into_iter().find(|known| *known == resource) else {
        return Captured::read("error-404-route").response();
    };
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let get = |name: &str| query.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let per_page: usize = get("per_page").map_or(10, |size| size.parse().unwrap());
    if per_page > 100 {
        return Captured::read("error-400-per-page").response();
    }
    for name in ["modified_after", "modified_before"] {
        if resource != "customers" && get(name).is_some_and(|value| !value.contains('T')) {
            return Captured::read("error-400-date-only").response();
        }
    }
    let mut found: Vec<&Value> = shop
        .records
        .iter()
        .filter(|((kind, _), record)| is_listed(resource, kind, record, &get))
        .map(|(_, record)| record)
        .collect();
    // Without `orderby=id&order=asc` the newest come first.
    if get("orderby") != Some("id") || get("order") != Some("asc") {
        found.reverse();
    }
    let total = found.len();
    let page: usize = get("page").map_or(1, |page| page.parse().unwrap());
    let shown: Vec<Value> = found
        .into_iter()
        .skip((page - 1) * per_page)
        .take(per_page)
        .filter(|record| !shop.hidden.contains(&record["id"].as_i64().unwrap()))
        .map(|record| only_fields(record, get("_fields")))
        .collect();
    if let Some((pages, id)) = shop.vanish.take() {
        match pages {
            1 => drop(shop.records.remove(&(resource, id))),
            pages => shop.vanish = Some((pages - 1, id)),
        }
    }
    let is_page = get("page").is_some() && get("include").is_none() && resource == "products";
    let first = shop.records.keys().find(|(kind, _)| *kind == "products").copied();
    if let (true, Some(first)) = (is_page && shop.shrinks, first) {
        shop.records.remove(&first);
    }
    if let (true, Some(first)) = (is_page && shop.grows, first) {
        let id = shop.next_id;
        shop.next_id += 1;
        let mut record = shop.records[&first].clone();
        set(&mut record, json!({ "id": id, "sku": format!("NEW-{id}") }));
        shop.records.insert(("products", id), record);
    }
    Response::builder()
        .header("content-type", "application/json; charset=UTF-8")
        .header("x-wp-total", total)
        .header("x-wp-totalpages", total.div_ceil(per_page))
        .body(Body::from(serde_json::to_vec(&shown).unwrap()))
        .unwrap()
}

/// The store tells an unknown key from a wrong secret.
fn refusal(headers: &HeaderMap) -> Option<&'static str> {
    use base64::Engine as _;
    let Some(given) = headers.get("authorization") else { return Some("error-401-no-auth") };
    let given = given.to_str().unwrap().strip_prefix("Basic ").unwrap();
    let given = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(given).unwrap()).unwrap();
    match given.split_once(':').unwrap() {
        (KEY, SECRET) => None,
        (KEY, _) => Some("error-401-wrong-secret"),
        _ => Some("error-401-unknown-key"),
    }
}

fn is_listed<'q>(resource: &str, kind: &str, record: &Value, get: &impl Fn(&str) -> Option<&'q str>) -> bool {
    // A search by number finds variations among the products as well.
    let by_sku = get("sku").filter(|_| resource == "products");
    if kind != resource && !(by_sku.is_some() && kind == "variations") {
        return false;
    }
    let status = get("status").unwrap_or("any");
    let is_trashed = record["status"] == "trash";
    if resource != "customers" && if status == "any" { is_trashed } else { record["status"] != status } {
        return false;
    }
    // Without saying so, customers are those with that role alone.
    let role = get("role").unwrap_or("customer");
    if resource == "customers" && role != "all" && record["role"] != role {
        return false;
    }
    if let Some(ids) = get("include") {
        let id = record["id"].to_string();
        if !ids.split(',').any(|asked| asked == id) {
            return false;
        }
    }
    if let Some(numbers) = by_sku {
        // The database takes `a` for `A`.
        let number = record["sku"].as_str().unwrap().to_lowercase();
        let numbers = numbers.to_lowercase();
        if numbers != number && !numbers.split(',').any(|asked| asked == number) {
            return false;
        }
    }
    if let Some(email) = get("email").filter(|_| resource == "customers")
        && record["email"] != email
    {
        return false;
    }
    resource == "customers" || is_within(record, get)
}

/// Bounds are exclusive. Without `dates_are_gmt` local times are compared; with it, a bound that names its zone is
/// brought to local time first and then compared with UTC: the observed pitfall.
fn is_within<'q>(record: &Value, get: &impl Fn(&str) -> Option<&'q str>) -> bool {
    let gmt = get("dates_are_gmt") == Some("true");
    let stamp = record[if gmt { "date_modified_gmt" } else { "date_modified" }].as_str().unwrap();
    let stamp: NaiveDateTime = stamp.parse().unwrap();
    let bound = |text: &str| match text.parse::<NaiveDateTime>() {
        Ok(naive) => naive,
        Err(_) => text.parse::<DateTime<Utc>>().unwrap().naive_utc() + SITE_OFFSET,
    };
    get("modified_after").is_none_or(|text| stamp > bound(text))
        && get("modified_before").is_none_or(|text| stamp < bound(text))
}

fn only_fields(record: &Value, fields: Option<&str>) -> Value {
    let Some(fields) = fields else { return record.clone() };
    let members = record.as_object().unwrap();
    let wanted = fields.split(',').filter_map(|name| Some((name.to_owned(), members.get(name)?.clone())));
    Value::Object(wanted.collect())
}
