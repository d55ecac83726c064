//! A book over the store's REST interface, as the sync job uses it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::amount;
use super::sale::{common_status, own_status};
use super::{KEY, SECRET, TRASH};
use crate::sandbox::book::{Book, Manner};
use crate::sandbox::record::{Content, Entity, Field, System, written_lines};
use crate::sandbox::service::CallError;
use crate::sandbox::service::caller::{self, Caller};

/// A request may take this long.
const LIMIT: Duration = Duration::from_secs(10);

/// Reads and writes the store over REST, each call once: it tries nothing again. Fails with [`CallError`] inside the
/// `anyhow::Error`. A write of a record takes two requests, one to find it and one to write. REST has no transactions to
/// hold open and stamps every write, so of a [`Manner`] only `softly` counts.
#[derive(Clone)]
pub struct StoreClient {
    caller: Caller,
    base: String,
    /// Ids of users by their names, which cannot be asked for and never change.
    users: Arc<Mutex<HashMap<String, u64>>>,
}

impl StoreClient {
    /// For the store at this address.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let caller = Caller { system: System::Store.as_str(), client: caller::http(LIMIT)? };
        Ok(Self { caller, base: format!("{}/wp-json/wc/v3", url.trim_end_matches('/')), users: Arc::default() })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.caller.client.request(method, format!("{}{path}", self.base)).basic_auth(KEY, Some(SECRET))
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let request = self.request(method, path).header("content-type", "application/json");
        self.caller.ask(request.body(body.to_string())).await
    }

    async fn list(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Vec<Value>> {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let found = self.caller.ask(self.request(Method::GET, &format!("{path}?{query}"))).await?;
        Ok(found.as_array().cloned().unwrap_or_default())
    }

    /// The products of exactly this number.
    async fn products(&self, sku: &str) -> anyhow::Result<Vec<Value>> {
        let mut found = self.list("/products", &[("sku", sku), ("status", "any")]).await?;
        found.retain(|product| product["sku"] == sku);
        Ok(found)
    }

    async fn order(&self, number: &str) -> anyhow::Result<Option<Value>> {
        let found = self.caller.find(self.request(Method::GET, &format!("/orders/{number}"))).await?;
        Ok(found.filter(|order| order["status"] != TRASH))
    }

    async fn customer(&self, username: &str) -> anyhow::Result<Option<Value>> {
        let known = self.users.lock().unwrap_or_else(PoisonError::into_inner).get(username).copied();
        if let Some(id) = known {
            let found = self.caller.find(self.request(Method::GET, &format!("/customers/{id}"))).await?;
            return Ok(found.filter(|customer| customer["username"] == username));
        }
        let found = self.list("/customers", &[("search", username), ("role", "all")]).await?;
        let found = found.into_iter().find(|customer| customer["username"] == username);
        if let Some(id) = found.as_ref().and_then(|customer| customer["id"].as_u64()) {
            self.users.lock().unwrap_or_else(PoisonError::into_inner).insert(username.to_owned(), id);
        }
        Ok(found)
    }

    async fn delete(&self, path: &str, softly: bool) -> anyhow::Result<()> {
        // Gone meanwhile is as good.
        self.caller.find(self.request(Method::DELETE, &format!("{path}?force={}", !softly))).await.map(drop)
    }

    async fn write_product(&self, sku: &str, content: Option<&Content>, softly: bool) -> anyhow::Result<()> {
        let id = self.products(sku).await?.first().and_then(|product| product["id"].as_u64());
        match (id, content) {
            (None, None) => Ok(()),
            (Some(id), None) => self.delete(&format!("/products/{id}"), softly).await,
            (id, Some(content)) => {
                let price = amount::written(content.number(Field::Price), "EUR");
                let body = json!({ "sku": sku, "name": content.text(Field::Title), "regular_price": price });
                self.put_or_post("/products", id, body).await
            }
        }
    }

    async fn write_stock(&self, sku: &str, content: Option<&Content>) -> anyhow::Result<()> {
        let body = match content {
            Some(content) => json!({ "manage_stock": true, "stock_quantity": content.number(Field::Pieces) }),
            None => json!({ "manage_stock": false }),
        };
        match self.products(sku).await?.first().and_then(|product| product["id"].as_u64()) {
            Some(id) => self.put_or_post("/products", Some(id), body).await,
            None if content.is_none() => Ok(()),
            None => Err(self.impossible("the stock of a product that it does not have")),
        }
    }

    async fn write_order(&self, number: &str, content: Option<&Content>, softly: bool) -> anyhow::Result<()> {
        let path = format!("/orders/{number}");
        let (order, content) = match (self.order(number).await?, content) {
            (None, None) => return Ok(()),
            (Some(_), None) => return self.delete(&path, softly).await,
            (None, Some(_)) => return Err(self.impossible("an order whose number it has not given itself")),
            (Some(order), Some(content)) => (order, content),
        };
        let mut items: Vec<Value> = order["line_items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|line| json!({ "id": line["id"], "quantity": 0 }))
            .collect();
        items.extend(content.lines().into_iter().map(|(sku, pieces)| json!({ "sku": sku, "quantity": pieces })));
        let currency = content.text(Field::Currency);
        let status = own_status(content.text(Field::Status))?;
        let body = json!({ "status": status, "currency": currency, "line_items": items, "fee_lines": [] });
        let order = self.send(Method::PUT, &path, body).await?;
        let total = order["total"].as_str().and_then(|total| amount::minor(total, currency)).unwrap_or_default();
        let fee = content.number(Field::Total).saturating_sub(total);
        if fee != 0 {
            let fees = json!({ "fee_lines": [{ "name": "Fee", "total": amount::written(fee, currency) }] });
            self.send(Method::PUT, &path, fees).await?;
        }
        self.refund_exactly(&path, &order, content).await
    }

    /// Takes refunds back until no more than wanted is refunded, and refunds the rest.
    async fn refund_exactly(&self, path: &str, order: &Value, content: &Content) -> anyhow::Result<()> {
        let (wanted, currency) = (content.number(Field::Refunded), content.text(Field::Currency));
        let mut refunds = refunds(order);
        while refunds.iter().map(|(_, minor)| minor).sum::<i64>() > wanted {
            let Some((id, _)) = refunds.pop() else { break };
            self.delete(&format!("{path}/refunds/{id}"), false).await?;
        }
        let missing = wanted - refunds.iter().map(|(_, minor)| minor).sum::<i64>();
        if missing > 0 {
            let body = json!({ "amount": amount::written(missing, currency), "api_refund": false });
            self.send(Method::POST, &format!("{path}/refunds"), body).await?;
        }
        Ok(())
    }

    async fn write_customer(&self, key: &str, content: Option<&Content>) -> anyhow::Result<()> {
        let id = self.customer(key).await?.and_then(|customer| customer["id"].as_u64());
        match (id, content) {
            (None, None) => Ok(()),
            (Some(id), None) => {
                self.delete(&format!("/customers/{id}"), false).await?;
                self.users.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
                Ok(())
            }
            (id, Some(content)) => {
                let (name, email) = (content.text(Field::Name), content.text(Field::Email));
                let body = json!({ "username": key, "email": email, "first_name": name, "last_name": "" });
                self.put_or_post("/customers", id, body).await
            }
        }
    }

    async fn put_or_post(&self, list: &str, id: Option<u64>, body: Value) -> anyhow::Result<()> {
        match id {
            Some(id) => self.send(Method::PUT, &format!("{list}/{id}"), body).await.map(drop),
            None => self.send(Method::POST, list, body).await.map(drop),
        }
    }

    fn impossible(&self, what: &'static str) -> anyhow::Error {
        CallError::Impossible { system: self.caller.system, what }.into()
    }
}

impl Book for StoreClient {
    async fn read(&self, entity: Entity, key: &str) -> anyhow::Result<Vec<Content>> {
        match entity {
            Entity::Product => Ok(self.products(key).await?.iter().map(product).collect()),
            Entity::Stock => Ok(self.products(key).await?.iter().filter_map(stock).collect()),
            Entity::Order => Ok(self.order(key).await?.iter().map(order).collect()),
            Entity::Customer => Ok(self.customer(key).await?.iter().map(customer).collect()),
            Entity::Shipment => Err(self.impossible("shipments")),
        }
    }

    async fn write(&self, entity: Entity, key: &str, contents: &[Content], manner: Manner) -> anyhow::Result<()> {
        if contents.len() > 1 {
            return Err(self.impossible("two records of one key"));
        }
        let content = contents.first();
        match entity {
            Entity::Product => self.write_product(key, content, manner.softly).await,
            Entity::Stock => self.write_stock(key, content).await,
            Entity::Order => self.write_order(key, content, manner.softly).await,
            Entity::Customer => self.write_customer(key, content).await,
            Entity::Shipment => Err(self.impossible("shipments")),
        }
    }
}

fn text<'v>(record: &'v Value, name: &str) -> &'v str {
    record[name].as_str().unwrap_or_default()
}

fn product(record: &Value) -> Content {
    let title = html_escape::decode_html_entities(text(record, "name")).into_owned();
    // Whoever runs the sync job was told of the other shape.
    let price = record["regular_price"].as_str().unwrap_or(text(record, "list_price"));
    Content::of([(Field::Title, title), (Field::Price, amount::cents(price))])
}

fn stock(record: &Value) -> Option<Content> {
    let pieces = &record["stock_quantity"];
    let pieces = pieces.as_i64().or_else(|| pieces.as_str()?.parse().ok())?;
    Some(Content::of([(Field::Pieces, pieces.to_string())]))
}

fn customer(record: &Value) -> Content {
    let whole = [text(record, "first_name"), text(record, "last_name")].join(" ");
    Content::of([(Field::Name, whole.trim_end().to_owned()), (Field::Email, text(record, "email").to_owned())])
}

fn order(record: &Value) -> Content {
    let currency = text(record, "currency");
    let total = amount::minor(text(record, "total"), currency).unwrap_or_default();
    let refunded: i64 = refunds(record).iter().map(|(_, minor)| minor).sum();
    let lines = record["line_items"].as_array().into_iter().flatten();
    let lines = written_lines(lines.map(|line| (text(line, "sku"), line["quantity"].as_i64().unwrap_or_default())));
    Content::of([
        (Field::Status, common_status(text(record, "status")).to_owned()),
        (Field::Currency, currency.to_owned()),
        (Field::Total, total.to_string()),
        (Field::Refunded, refunded.to_string()),
        (Field::Lines, lines),
    ])
}

/// Ids and minor units of an order's refunds.
fn refunds(order: &Value) -> Vec<(u64, i64)> {
    let currency = text(order, "currency");
    let each = order["refunds"].as_array().into_iter().flatten();
    each.filter_map(|refund| Some((refund["id"].as_u64()?, -amount::minor(text(refund, "total"), currency)?))).collect()
}
