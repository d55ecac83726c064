//! Writes over REST.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::super::StoreError;
use super::super::amount;
use super::super::answer::{Answer, Said, refused};
use super::super::edit;
use super::super::render;
use super::super::sale;
use super::super::shop::{Shop, Stamping};
use super::Call;

/// Records in one batch.
const LARGEST_BATCH: usize = 100;

pub fn dispatch(call: &Call<'_>) -> Result<Answer, Answer> {
    let is_delete = call.method == Method::DELETE;
    if !is_delete && ![Method::POST, Method::PUT, Method::PATCH].contains(&call.method) {
        return Err(Answer::no_route());
    }
    let is_post = call.method == Method::POST;
    match &call.path[..] {
        ["webhooks"] if is_post => hook(call),
        ["products", "batch"] if !is_delete => batch(call),
        ["orders", _, "refunds"] if is_post => add_refund(call),
        ["orders", _, "refunds", _] if is_delete => drop_refund(call),
        [list @ ("products" | "orders" | "customers")] if is_post => add(call, list, &call.body),
        [list @ ("products" | "orders" | "customers"), _] => {
            let id = call.id(1).ok_or_else(Answer::no_route)?;
            if is_delete { delete(call, list, id, call.is_set("force")) } else { change(call, list, id, &call.body) }
        }
        _ => Err(Answer::no_route()),
    }
}

/// A refusal of the store, or of what it was told.
enum Refusal {
    Told(Answer),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Refusal {
    fn answer(self, list: &str) -> Answer {
        match self {
            Self::Told(answer) => answer,
            Self::Store(error) => refused(&error, list),
        }
    }
}

/// Applies a write and shows what came of it.
fn written(
    call: &Call<'_>,
    list: &str,
    status: u16,
    write: impl FnOnce(&mut Shop, i64) -> Result<Value, Refusal>,
) -> Result<Answer, Answer> {
    let record = call.inner.act(write).map_err(|refusal| refusal.answer(list))?;
    Ok(with_location(call, Answer::one(status, record)))
}

/// What is new says where it is. For refunds the original says the pattern of its own route.
fn with_location(call: &Call<'_>, answer: Answer) -> Answer {
    let (201, Said::Json(record)) = (answer.status, &answer.body) else { return answer };
    let list = match &call.path[..] {
        ["orders", _, "refunds"] => r"orders/(?P<order_id>[\d]+)/refunds".to_owned(),
        path => path.join("/"),
    };
    let place = format!("{}/wp-json/wc/v3/{list}/{}", call.inner.url(), record["id"]);
    answer.with("location", place)
}

fn record(shop: &Shop, list: &str, id: u64, call: &Call<'_>) -> Result<Value, Refusal> {
    let view = call.view();
    let found = match list {
        "products" => shop.products.get(id).map(|found| render::written_product(found, view)),
        "orders" => shop.orders.get(id).map(|found| render::order(found, view)),
        _ => shop.customers.get(id).map(|found| render::customer(found, view)),
    };
    found.ok_or(Refusal::Store(StoreError::NotThere))
}

fn add(call: &Call<'_>, list: &str, body: &Value) -> Result<Answer, Answer> {
    written(call, list, 201, |shop, at| {
        let id = match list {
            "products" => shop.add_product(edit::product(body, None).map_err(Refusal::Told)?, at)?,
            "orders" => {
                let mut order = sale::blank(shop.next_order, "EUR", at);
                edit::order(shop, &mut order, body, at).map_err(Refusal::Told)?;
                let id = order.id;
                shop.add_order(order);
                id
            }
            _ => shop.add_customer(edit::customer(body).map_err(Refusal::Told)?, at)?,
        };
        record(shop, list, id, call)
    })
}

fn change(call: &Call<'_>, list: &str, id: u64, body: &Value) -> Result<Answer, Answer> {
    written(call, list, 200, |shop, at| {
        let stamping = Stamping::now(at);
        match list {
            "products" => {
                let edit = edit::product(body, shop.products.get(id)).map_err(Refusal::Told)?;
                shop.edit_product(id, edit, stamping)?;
            }
            "orders" => {
                shop.edit_order(id, stamping, |shop, order| edit::order(shop, order, body, at).map_err(Refusal::Told))?;
            }
            _ => shop.edit_customer(id, edit::customer(body).map_err(Refusal::Told)?, stamping)?,
        }
        record(shop, list, id, call)
    })
}

/// The answer shows the record as it was. Users cannot go to the trash.
fn delete(call: &Call<'_>, list: &str, id: u64, force: bool) -> Result<Answer, Answer> {
    if list == "customers" && !force {
        let message = "Customers do not support trashing.";
        return Err(Answer::refusal(501, "woocommerce_rest_trash_not_supported", message));
    }
    written(call, list, 200, |shop, at| {
        let before = record(shop, list, id, call)?;
        let is_trashed = match list {
            "products" => shop.products.live(id).is_none(),
            "orders" => shop.orders.live(id).is_none(),
            _ => false,
        };
        if is_trashed && !force {
            let message = "The record has already been deleted.";
            return Err(Refusal::Told(Answer::refusal(410, "woocommerce_rest_already_trashed", message)));
        }
        match list {
            "products" => shop.drop_product(id, !force, Stamping::now(at))?,
            "orders" => shop.drop_order(id, !force, Stamping::now(at))?,
            _ => shop.drop_customer(id)?,
        }
        Ok(before)
    })
}

fn add_refund(call: &Call<'_>) -> Result<Answer, Answer> {
    let id = call.id(1).ok_or_else(Answer::no_route)?;
    let told = edit::text(&call.body, "amount")?.unwrap_or_default();
    let reason = edit::text(&call.body, "reason")?.unwrap_or_default();
    written(call, "orders", 201, |shop, at| {
        let currency = shop.orders.get(id).ok_or(StoreError::NotThere)?.currency.clone();
        let minor = amount::minor(&told, &currency).unwrap_or_default();
        let refund = shop.refund(id, minor, &reason, at)?;
        let order = shop.orders.get(id).ok_or(StoreError::NotThere)?;
        let refund = order.refunds.iter().find(|known| known.id == refund).ok_or(StoreError::NotThere)?;
        Ok(render::refund(order, refund, call.view(), false))
    })
}

/// Refunds cannot go to the trash.
fn drop_refund(call: &Call<'_>) -> Result<Answer, Answer> {
    let (Some(id), Some(wanted)) = (call.id(1), call.id(3)) else { return Err(Answer::no_route()) };
    if !call.is_set("force") {
        let message = "Refunds do not support trashing.";
        return Err(Answer::refusal(501, "woocommerce_rest_trash_not_supported", message));
    }
    written(call, "orders", 200, |shop, _| {
        let order = shop.orders.get(id).ok_or(StoreError::NotThere)?;
        let refund = order.refunds.iter().find(|known| known.id == wanted).ok_or(StoreError::NotThere)?;
        let before = render::refund(order, refund, call.view(), false);
        shop.drop_refund(id, wanted)?;
        Ok(before)
    })
}

/// Every record is a write of its own; those that fail say so in their place.
fn batch(call: &Call<'_>) -> Result<Answer, Answer> {
    let part = |name: &str| call.body.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (create, update, delete_) = (part("create"), part("update"), part("delete"));
    if create.len() + update.len() + delete_.len() > LARGEST_BATCH {
        let code = "woocommerce_rest_request_entity_too_large";
        return Err(Answer::refusal(413, code, "Unable to accept more than 100 items for this request."));
    }
    let id = |item: &Value| item.get("id").unwrap_or(item).as_u64().unwrap_or_default();
    let mut answer = Map::new();
    let mut put = |name: &str, done: Vec<Value>| {
        if !done.is_empty() {
            answer.insert(name.to_owned(), Value::Array(done));
        }
    };
    put("create", create.iter().map(|item| in_batch(0, add(call, "products", item))).collect());
    put("update", update.iter().map(|item| in_batch(id(item), change(call, "products", id(item), item))).collect());
    put("delete", delete_.iter().map(|item| in_batch(id(item), delete(call, "products", id(item), true))).collect());
    let rows = create.len() + update.len() + delete_.len();
    Ok(Answer::many(Value::Object(answer), rows))
}

/// A failure within a batch is always one of the request: 400.
fn in_batch(id: u64, outcome: Result<Answer, Answer>) -> Value {
    match outcome {
        Ok(Answer { body: Said::Json(record), .. }) => record,
        Ok(_) => Value::Null,
        Err(refusal) => {
            let mut error = if let Said::Json(error) = refusal.body { error } else { Value::Null };
            if let Some(data) = error.get_mut("data").and_then(Value::as_object_mut) {
                data.insert("status".to_owned(), json!(400));
            }
            json!({ "id": id, "error": error })
        }
    }
}

/// A webhook for the topic's resource; this store tells each hook of everything.
fn hook(call: &Call<'_>) -> Result<Answer, Answer> {
    let topic = edit::text(&call.body, "topic")?.unwrap_or_default();
    let known = topic.split_once('.').is_some_and(|(resource, event)| {
        ["product", "order", "customer"].contains(&resource) && ["created", "updated", "deleted"].contains(&event)
    });
    if !known {
        let message = "Webhook topic is required and must be valid.";
        return Err(Answer::refusal(400, "woocommerce_rest_shop_webhook_invalid_topic", message));
    }
    let url = edit::text(&call.body, "delivery_url")?.unwrap_or_default();
    let secret = edit::text(&call.body, "secret")?.unwrap_or_default();
    let id = call.inner.webhooks.register(&url, &secret);
    Ok(Answer::one(201, json!({ "id": id, "status": "active", "topic": topic, "delivery_url": url })))
}
