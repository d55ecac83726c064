//! A store that speaks Shopify's Admin API as its documentation describes it: it runs the GraphQL documents it is sent
//! (only what they ask for is answered, unknown fields are errors), pages its connections, filters by a search index
//! that may be late, and counts points.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Response, Uri};
use plumbline::clock::{AnchoredClock, Clock};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

mod language;
mod run;

use language::Document;
use run::Run;

pub const TOKEN: &str = "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";

/// The version of the API that the store has.
const VERSION: &str = "2026-10";

/// A running store.
pub struct Shopify {
    pub url: String,
    shop: Arc<Mutex<Shop>>,
    server: JoinHandle<()>,
}

/// What it holds and how it misbehaves.
struct Shop {
    /// By type and number.
    records: BTreeMap<(&'static str, i64), Json>,
    /// What the search knows of them.
    index: BTreeMap<(&'static str, i64), Json>,
    index_is_late: bool,
    next_id: i64,
    version: String,
    /// Fields that the app may not see: `Order.email`.
    denied: Vec<String>,
    points: Points,
    /// Points that requests did cost.
    spent: f64,
    /// Answered before the right answers, in order.
    instead: Vec<Json>,
    /// Answered instead of every right answer.
    always: Option<Json>,
    requests: Vec<Json>,
}

/// The bucket.
#[derive(Clone, Copy)]
struct Points {
    maximum: f64,
    available: f64,
    restore: f64,
    at: Instant,
}

impl Points {
    fn full(maximum: f64, restore: f64) -> Self {
        Self { maximum, available: maximum, restore, at: Instant::now() }
    }

    fn restored(&mut self) {
        let now = Instant::now();
        let more = self.restore * now.saturating_duration_since(self.at).as_secs_f64();
        (self.available, self.at) = ((self.available + more).min(self.maximum), now);
    }
}

impl Shopify {
    /// An empty store.
    pub async fn start() -> Self {
        let shop = Arc::new(Mutex::new(Shop {
            records: BTreeMap::new(),
            index: BTreeMap::new(),
            index_is_late: false,
            next_id: 100,
            version: VERSION.to_owned(),
            denied: Vec::new(),
            points: Points::full(2e6, 1e6),
            spent: 0.0,
            instead: Vec::new(),
            always: None,
            requests: Vec::new(),
        }));
        let shared = Arc::clone(&shop);
        let routes = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let response = answer(&mut shared.lock().unwrap(), &method, &uri, &headers, &body);
            async move { response }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, shop, server }
    }

    fn shop(&self) -> MutexGuard<'_, Shop> {
        self.shop.lock().unwrap()
    }

    /// Adds a record with the usual members and these; gives its number.
    pub fn add(&self, kind: &'static str, members: Json) -> i64 {
        let mut shop = self.shop();
        let id = shop.next_id;
        shop.next_id += 1;
        let mut record = usual(kind, id);
        set(&mut record, members);
        shop.write(kind, id, record);
        id
    }

    /// Changes a record: its `updatedAt` moves.
    pub fn save(&self, kind: &'static str, id: i64, members: Json) {
        let mut shop = self.shop();
        let mut record = shop.records[&(kind, id)].clone();
        set(&mut record, members);
        set(&mut record, json!({ "updatedAt": now() }));
        shop.write(kind, id, record);
    }

    /// Changes a record and leaves its `updatedAt`.
    pub fn save_quietly(&self, kind: &'static str, id: i64, members: Json) {
        let mut shop = self.shop();
        let mut record = shop.records[&(kind, id)].clone();
        set(&mut record, members);
        shop.write(kind, id, record);
    }

    /// Deletes a record for good.
    pub fn delete(&self, kind: &'static str, id: i64) {
        let mut shop = self.shop();
        shop.records.remove(&(kind, id)).unwrap();
        if !shop.index_is_late {
            shop.index.remove(&(kind, id));
        }
    }

    /// An item of this number at each of these locations; gives the numbers of its levels.
    pub fn stock(&self, sku: &str, levels: &[(i64, i64)]) -> Vec<i64> {
        let item = self.add("InventoryItem", json!({ "sku": sku }));
        let item = json!({ "id": gid("InventoryItem", item), "legacyResourceId": item.to_string(), "sku": sku, "tracked": true });
        let level = |(location, available): &(i64, i64)| {
            let place = gid("Location", *location);
            let place = json!({ "id": place, "legacyResourceId": location.to_string(), "name": "x", "isActive": true });
            let quantities = quantities(*available);
            self.add("InventoryLevel", json!({ "item": item, "location": place, "quantities": quantities }))
        };
        levels.iter().map(level).collect()
    }

    /// Sets what is available of a level: its own stamp moves, its item's does not.
    pub fn set_stock(&self, level: i64, available: i64) {
        self.save("InventoryLevel", level, json!({ "quantities": quantities(available) }));
    }

    /// From now on the search does not notice what is written.
    pub fn let_index_be_late(&self) {
        self.shop().index_is_late = true;
    }

    /// The app may not see this field: `Order.email`.
    pub fn deny(&self, field: &str) {
        self.shop().denied.push(field.to_owned());
    }

    /// The version of the API that answers.
    pub fn answer_as_version(&self, version: &str) {
        version.clone_into(&mut self.shop().version);
    }

    /// A bucket of so many points that gets so many a second.
    pub fn set_points(&self, maximum: f64, restore: f64) {
        self.shop().points = Points::full(maximum, restore);
    }

    /// Another app of ours has used all points.
    pub fn empty_points(&self) {
        self.shop().points.available = 0.0;
    }

    /// Points that requests did cost since the last call.
    pub fn take_spent(&self) -> f64 {
        std::mem::take(&mut self.shop().spent)
    }

    /// Given instead of the next answer.
    pub fn instead(&self, answer: Json) {
        self.shop().instead.push(answer);
    }

    /// Given instead of every answer from now on; `None`: the right ones again.
    pub fn always(&self, answer: Option<Json>) {
        self.shop().always = answer;
    }

    /// What has been asked since the last call.
    pub fn take_requests(&self) -> Vec<Json> {
        std::mem::take(&mut self.shop().requests)
    }
}

impl Drop for Shopify {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shop {
    fn write(&mut self, kind: &'static str, id: i64, record: Json) {
        if !self.index_is_late {
            self.index.insert((kind, id), record.clone());
        }
        self.records.insert((kind, id), record);
    }
}

/// The address of a record.
pub fn gid(kind: &str, id: i64) -> String {
    format!("gid://shopify/{kind}/{id}")
}

fn now() -> String {
    AnchoredClock::from_machine().now().to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn quantities(available: i64) -> Json {
    let states = [("available", available), ("on_hand", available + 2), ("committed", 2), ("incoming", 0)];
    states.iter().map(|(name, quantity)| json!({ "name": name, "quantity": quantity })).collect()
}

/// An amount in the shop's currency and in the customer's.
pub fn money(amount: &str) -> Json {
    json!({ "shopMoney": { "amount": amount, "currencyCode": "EUR" },
            "presentmentMoney": { "amount": "999.0", "currencyCode": "JPY" } })
}

/// A record with every member that its type has, as far as the packs ask for them.
fn usual(kind: &str, id: i64) -> Json {
    let mut record = match kind {
        "ProductVariant" => json!({
            "sku": "", "barcode": null, "title": "Default Title", "displayName": "Mug - Default Title", "price": "10.00",
            "compareAtPrice": null, "inventoryPolicy": "DENY", "inventoryQuantity": 0, "taxable": true,
            "product": { "id": gid("Product", 1), "legacyResourceId": "1", "title": "Mug", "handle": "mug",
                         "status": "ACTIVE", "vendor": "x", "productType": "" },
            "inventoryItem": { "id": gid("InventoryItem", id), "legacyResourceId": id.to_string(), "tracked": true },
        }),
        "InventoryItem" => json!({ "sku": "", "tracked": true }),
        "InventoryLevel" => json!({}),
        "Location" => json!({ "name": "x", "isActive": true }),
        "Order" => json!({
            "name": format!("#{id}"), "email": "a@b.example", "test": false, "displayFinancialStatus": "PAID",
            "displayFulfillmentStatus": "UNFULFILLED", "cancelledAt": null, "currencyCode": "EUR", "processedAt": now(),
            "totalPriceSet": money("20.0"), "currentTotalPriceSet": money("20.0"), "totalRefundedSet": money("0.0"),
            "totalTaxSet": money("0.0"), "customer": null, "lineItems": [], "refunds": [],
        }),
        "Customer" => json!({
            "firstName": "A", "lastName": "B", "displayName": "A B", "state": "ENABLED", "note": null,
            "taxExempt": false, "verifiedEmail": true, "numberOfOrders": "0", "defaultPhoneNumber": null,
            "defaultEmailAddress": { "emailAddress": "a@b.example" },
            "amountSpent": { "amount": "0.0", "currencyCode": "EUR" },
        }),
        other => panic!("there is no type `{other}`"),
    };
    let id = json!({ "__typename": kind, "id": gid(kind, id), "legacyResourceId": id.to_string(), "createdAt": now(), "updatedAt": now() });
    set(&mut record, id);
    record
}

fn set(record: &mut Json, members: Json) {
    let Json::Object(members) = members else { panic!("members are an object") };
    record.as_object_mut().unwrap().extend(members);
}

fn answer(shop: &mut Shop, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
    assert_eq!(uri.path(), "/admin/api/2026-10/graphql.json");
    let respond = |status: u16, version: &str, answer: &Json| {
        let answer = Body::from(serde_json::to_vec(answer).unwrap());
        let response = Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
        response.header("x-shopify-api-version", version).body(answer).unwrap()
    };
    let version = shop.version.clone();
    if headers.get("x-shopify-access-token").is_none_or(|token| token != TOKEN) {
        let said = "[API] Invalid API key or access token (unrecognized login or wrong password)";
        return respond(401, &version, &json!({ "errors": said }));
    }
    if method != Method::POST {
        return respond(404, &version, &json!({ "errors": "Not Found" }));
    }
    let request: Json = serde_json::from_slice(body).unwrap();
    shop.requests.push(request.clone());
    if !shop.instead.is_empty() {
        let instead = shop.instead.remove(0);
        return respond(200, &version, &instead);
    }
    if let Some(always) = &shop.always {
        return respond(200, &version, always);
    }
    let document = Document::parse(request["query"].as_str().unwrap());
    respond(200, &version, &paid(shop, &document, &request["variables"]))
}

/// Runs a document if there are points for it.
fn paid(shop: &mut Shop, document: &Document, variables: &Json) -> Json {
    /// Of a single query.
    const MOST: f64 = 1000.0;
    shop.points.restored();
    let asked = document.cost(variables);
    let error = |message: &str, code: &str| json!([{ "message": message, "extensions": { "code": code } }]);
    let mut answer = if asked > MOST {
        json!({ "errors": error("Query cost is too high", "MAX_COST_EXCEEDED") })
    } else if asked > shop.points.available {
        json!({ "errors": error("Throttled", "THROTTLED") })
    } else {
        Run::new(&shop.records, &shop.index, &shop.denied, variables).document(document)
    };
    let used = answer.as_object_mut().unwrap().remove("used");
    let cost = used.as_ref().and_then(Json::as_f64).unwrap_or_default();
    shop.points.available -= cost;
    shop.spent += cost;
    let points = shop.points;
    answer["extensions"] = json!({ "cost": {
        "requestedQueryCost": asked, "actualQueryCost": used,
        "throttleStatus": { "maximumAvailable": points.maximum, "currentlyAvailable": points.available.floor(), "restoreRate": points.restore },
    } });
    answer
}
