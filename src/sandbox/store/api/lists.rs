//! Reads: lists and single records.

use serde_json::Value;

use super::super::StoreError;
use super::super::answer::{Answer, refused};
use super::super::goods::Product;
use super::super::listing::{Listed, Page, Rules, Wanted};
use super::super::people::Customer;
use super::super::render;
use super::super::sale::{Order, Refund};
use super::super::shelf::{Shelf, Shelved};
use super::super::shop::Shop;
use super::Call;

const PRODUCTS: Rules = Rules {
    orders: &["date", "id", "include", "title", "slug", "modified", "menu_order", "price", "popularity", "rating"],
    default_order: ("date", true),
    statuses: &["any", "future", "trash", "draft", "pending", "private", "publish"],
    dates: true,
};

const ORDERS: Rules = Rules {
    orders: &["date", "id", "include", "title", "slug", "modified"],
    default_order: ("date", true),
    statuses: &[
        "any",
        "trash",
        "auto-draft",
        "pending",
        "processing",
        "on-hold",
        "completed",
        "cancelled",
        "refunded",
        "failed",
        "checkout-draft",
    ],
    dates: true,
};

/// Customers cannot be asked for by date: `modified_after` is a parameter that nobody knows.
const CUSTOMERS: Rules = Rules {
    orders: &["id", "include", "name", "registered_date"],
    default_order: ("name", false),
    statuses: &[],
    dates: false,
};

const REFUNDS: Rules = Rules {
    orders: &["date", "id", "include", "title", "slug", "modified"],
    default_order: ("date", true),
    statuses: &[],
    dates: false,
};

impl Listed for Product {
    fn status(&self) -> &str {
        &self.status
    }

    fn title(&self) -> &str {
        &self.name
    }
}

impl Listed for Order {
    fn status(&self) -> &str {
        &self.status
    }

    fn title(&self) -> &str {
        ""
    }
}

impl Listed for Customer {
    fn status(&self) -> &'static str {
        ""
    }

    fn title(&self) -> &str {
        &self.username
    }
}

pub fn list(call: &Call<'_>, list: &str) -> Result<Answer, Answer> {
    match list {
        "products" => products(call),
        "orders" => orders(call),
        "customers" => customers(call),
        "refunds" => refunds(call),
        _ => Err(Answer::no_route()),
    }
}

pub fn one(call: &Call<'_>, list: &str) -> Result<Answer, Answer> {
    let (id, view) = (call.id(1).unwrap_or_default(), call.view());
    let found = call.inner.look(|shop| match list {
        "products" => Some(shop.products.get(id).map(|found| render::product(found, view))),
        "orders" => Some(shop.orders.get(id).map(|found| render::order(found, view))),
        "customers" => Some(shop.customers.get(id).map(|found| render::customer(found, view))),
        _ => None,
    });
    let record = found.ok_or_else(Answer::no_route)?.ok_or_else(|| refused(&StoreError::NotThere, list))?;
    Ok(Answer::one(200, record))
}

fn products(call: &Call<'_>) -> Result<Answer, Answer> {
    let wanted = Wanted::of(&call.query, &PRODUCTS)?;
    let view = call.view();
    Ok(call.inner.look(|shop| {
        let only = call.query.get("sku").filter(|skus| !skus.is_empty()).map(|skus| by_skus(shop, skus));
        let page = page(&wanted, &shop.products, only, |_| true);
        shown(call, &wanted, page, &shop.products, |product| render::product(product, view))
    }))
}

/// Of the whole text, and of each part of it between commas.
fn by_skus(shop: &Shop, skus: &str) -> Vec<u64> {
    let ids = |sku: &str| shop.skus.get(&sku.trim().to_lowercase()).cloned().unwrap_or_default();
    skus.split(',').chain([skus]).flat_map(ids).collect()
}

fn orders(call: &Call<'_>) -> Result<Answer, Answer> {
    let wanted = Wanted::of(&call.query, &ORDERS)?;
    let view = call.view();
    Ok(call.inner.look(|shop| {
        let page = page(&wanted, &shop.orders, None, |_| true);
        shown(call, &wanted, page, &shop.orders, |order| render::order(order, view))
    }))
}

/// Without saying so, only users who are customers; all with `role=all`.
fn customers(call: &Call<'_>) -> Result<Answer, Answer> {
    let wanted = Wanted::of(&call.query, &CUSTOMERS)?;
    let (view, role) = (call.view(), call.query.get("role").unwrap_or("customer"));
    Ok(call.inner.look(|shop| {
        let by_email = call.query.get("email").map(|email| shop.by_email(email).map(Shelved::id).into_iter().collect());
        let only = by_email.or_else(|| call.query.get("search").map(|text| searched(shop, text)));
        let has_role = |customer: &Customer| role == "all" || customer.role == role;
        let page = match role {
            "all" => page(&wanted, &shop.customers, only, has_role),
            _ => wanted.page(&shop.customers, only, has_role),
        };
        shown(call, &wanted, page, &shop.customers, |customer| render::customer(customer, view))
    }))
}

/// Users with this name or e-mail; if there are none, those with it in them.
fn searched(shop: &Shop, text: &str) -> Vec<u64> {
    let exact: Vec<u64> = shop.by_username(text).or_else(|| shop.by_email(text)).map(Shelved::id).into_iter().collect();
    if !exact.is_empty() {
        return exact;
    }
    let text = text.to_lowercase();
    let holds =
        |customer: &&Customer| customer.username.contains(&text) || customer.email.to_lowercase().contains(&text);
    let all = shop.customers.live_ids().iter().filter_map(|id| shop.customers.get(*id));
    all.filter(holds).map(Shelved::id).collect()
}

/// Without looking at the records where that will do.
fn page<T: Listed>(wanted: &Wanted, shelf: &Shelf<T>, only: Option<Vec<u64>>, keep: impl Fn(&T) -> bool) -> Page {
    let all = if only.is_none() { wanted.page_of_all(shelf) } else { None };
    all.unwrap_or_else(|| wanted.page(shelf, only, keep))
}

fn shown<T: Listed>(
    call: &Call<'_>,
    wanted: &Wanted,
    page: Page,
    shelf: &Shelf<T>,
    render: impl Fn(&T) -> Value,
) -> Answer {
    let records: Vec<Value> = page.ids.iter().filter_map(|id| shelf.get(*id)).map(render).collect();
    told(call, wanted, records, page.total)
}

fn told(call: &Call<'_>, wanted: &Wanted, records: Vec<Value>, total: usize) -> Answer {
    let rows = records.len();
    let answer = Answer::many(Value::Array(records), rows);
    let address = format!("{}/wp-json/wc/v3/{}", call.inner.url(), call.path.join("/"));
    wanted.told(answer, total, &call.query, &address)
}

fn refunds(call: &Call<'_>) -> Result<Answer, Answer> {
    let wanted = Wanted::of(&call.query, &REFUNDS)?;
    let ascending = call.query.get("order") == Some("asc");
    let view = call.view();
    Ok(call.inner.look(|shop| {
        let orders = shop.orders.live_ids().iter().filter_map(|id| shop.orders.get(*id));
        let all = orders.flat_map(|order| order.refunds.iter().map(move |refund| (order, refund)));
        let mut found: Vec<(&Order, &Refund)> = all.filter(|(_, refund)| wanted.includes(refund.id)).collect();
        found.sort_by_key(|(_, refund)| refund.id);
        if !ascending {
            found.reverse();
        }
        let total = found.len();
        let page = wanted.cut(found.into_iter());
        let records = page.into_iter().map(|(order, refund)| render::refund(order, refund, view, true)).collect();
        told(call, &wanted, records, total)
    }))
}

/// The newest first.
pub fn refunds_of_order(call: &Call<'_>) -> Result<Answer, Answer> {
    let wanted = Wanted::of(&call.query, &REFUNDS)?;
    let (id, view) = (call.id(1).unwrap_or_default(), call.view());
    call.inner.look(|shop| {
        let order = shop.orders.get(id).ok_or_else(|| refused(&StoreError::NotThere, "orders"))?;
        let page = wanted.cut(order.refunds.iter().rev());
        let records = page.into_iter().map(|refund| render::refund(order, refund, view, false)).collect();
        Ok(told(call, &wanted, records, order.refunds.len()))
    })
}

pub fn one_refund(call: &Call<'_>) -> Result<Answer, Answer> {
    let (id, wanted, view) = (call.id(1).unwrap_or_default(), call.id(3), call.view());
    call.inner.look(|shop| {
        let order = shop.orders.get(id).ok_or_else(|| refused(&StoreError::NotThere, "orders"))?;
        let refund = order.refunds.iter().find(|refund| Some(refund.id) == wanted);
        let refund = refund.ok_or_else(|| {
            Answer::refusal(404, "woocommerce_rest_invalid_order_refund_id", "Invalid order refund ID.")
        })?;
        let record = render::refund(order, refund, view, false);
        Ok(Answer::one(200, record))
    })
}
