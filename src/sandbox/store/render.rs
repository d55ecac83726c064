//! Records as WooCommerce shows them. Members that are the same for all records come from files with captured ones.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::amount::written;
use super::goods::Product;
use super::listing::stamps;
use super::people::Customer;
use super::sale::{Line, Order, Refund};
use super::shop::Shop;
use crate::sandbox::record::Entity;

static PRODUCT: LazyLock<Map<String, Value>> = LazyLock::new(|| members(include_str!("product.json")));
static ORDER: LazyLock<Map<String, Value>> = LazyLock::new(|| members(include_str!("order.json")));

/// Members of a product that are its own.
const OF_PRODUCT: [&str; 20] = [
    "id",
    "name",
    "slug",
    "permalink",
    "date_created",
    "date_created_gmt",
    "date_modified",
    "date_modified_gmt",
    "status",
    "sku",
    "price",
    "regular_price",
    "list_price",
    "purchasable",
    "manage_stock",
    "stock_quantity",
    "price_html",
    "stock_status",
    "_links",
    "related_ids",
];

/// Members of an order that are its own.
const OF_ORDER: [&str; 27] = [
    "id",
    "number",
    "status",
    "currency",
    "currency_symbol",
    "total",
    "customer_id",
    "order_key",
    "line_items",
    "fee_lines",
    "refunds",
    "meta_data",
    "payment_url",
    "is_editable",
    "needs_payment",
    "date_created",
    "date_created_gmt",
    "date_modified",
    "date_modified_gmt",
    "date_paid",
    "date_paid_gmt",
    "date_completed",
    "date_completed_gmt",
    "_links",
    "prices_include_tax",
    "version",
    "parent_id",
];

const OF_CUSTOMER: [&str; 16] = [
    "id",
    "date_created",
    "date_created_gmt",
    "date_modified",
    "date_modified_gmt",
    "email",
    "first_name",
    "last_name",
    "role",
    "username",
    "billing",
    "shipping",
    "is_paying_customer",
    "avatar_url",
    "meta_data",
    "_links",
];

/// How records are shown.
#[derive(Clone, Copy)]
pub struct View<'v> {
    /// The store's own address.
    pub url: &'v str,
    /// Names of the members that are wanted; `None`: all.
    pub fields: Option<&'v [String]>,
    /// Whether the store has changed the shape of its answers.
    pub drifts: bool,
}

/// The record as a webhook tells it.
pub fn by_id(shop: &Shop, entity: Entity, id: u64, url: &str) -> Option<Value> {
    let view = View { url, fields: None, drifts: false };
    match entity {
        Entity::Product | Entity::Stock => shop.products.get(id).map(|found| product(found, view)),
        Entity::Order => shop.orders.get(id).map(|found| order(found, view)),
        Entity::Customer => shop.customers.get(id).map(|found| customer(found, view)),
        Entity::Shipment => None,
    }
}

pub fn product(product: &Product, view: View<'_>) -> Value {
    whole(&OF_PRODUCT, &PRODUCT, view.fields, |name| product_member(product, name, view))
}

/// As the answer to a write shows it: with what the slug is made of.
pub fn written_product(product: &Product, view: View<'_>) -> Value {
    let mut record = self::product(product, view);
    record["permalink_template"] = json!(format!("{}/product/%pagename%/", view.url));
    record["generated_slug"] = json!(slug(product));
    record
}

pub fn order(order: &Order, view: View<'_>) -> Value {
    whole(&OF_ORDER, &ORDER, view.fields, |name| order_member(order, name, view.url))
}

pub fn customer(customer: &Customer, view: View<'_>) -> Value {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    whole(&OF_CUSTOMER, &NONE, view.fields, |name| customer_member(customer, name, view.url))
}

/// The members of a file of this crate.
fn members(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

fn whole(
    own: &[&str],
    common: &Map<String, Value>,
    wanted: Option<&[String]>,
    member: impl Fn(&str) -> Option<Value>,
) -> Value {
    let value = |name: &str| member(name).or_else(|| common.get(name).cloned());
    let named = |name: &str| Some((name.to_owned(), value(name)?));
    let found = match wanted {
        Some(names) => names.iter().filter_map(|name| named(name)).collect(),
        None => own.iter().copied().chain(common.keys().map(String::as_str)).filter_map(named).collect(),
    };
    Value::Object(found)
}

/// The member of a pair `NAME`, `NAME_gmt`.
fn stamp(name: &str, seconds: i64) -> Value {
    let (local, gmt) = stamps(seconds);
    json!(if name.ends_with("_gmt") { gmt } else { local })
}

fn slug(product: &Product) -> String {
    product.name.to_lowercase().replace(|letter: char| !letter.is_alphanumeric(), "-")
}

fn product_member(product: &Product, name: &str, view: View<'_>) -> Option<Value> {
    let url = view.url;
    Some(match name {
        "id" => json!(product.id),
        "name" => json!(encoded(&product.name)),
        "slug" => json!(slug(product)),
        "permalink" => json!(format!("{url}/product/{}/", slug(product))),
        "date_created" | "date_created_gmt" => stamp(name, product.created),
        "date_modified" | "date_modified_gmt" => stamp(name, product.modified),
        "status" => json!(product.status),
        "sku" => json!(product.sku),
        "regular_price" if view.drifts => return None,
        "list_price" if !view.drifts => return None,
        "price" | "regular_price" | "list_price" => json!(product.price),
        "purchasable" => json!(!product.price.is_empty()),
        "manage_stock" => json!(product.stock.is_some()),
        "stock_quantity" if view.drifts => json!(product.stock.map(|pieces| pieces.to_string())),
        "stock_quantity" => json!(product.stock),
        "stock_status" => json!(if product.stock.is_none_or(|pieces| pieces > 0) { "instock" } else { "outofstock" }),
        "price_html" => json!(format!("<span class=\"woocommerce-Price-amount amount\">{}</span>", product.price)),
        "_links" => links(url, "products", product.id),
        _ => return None,
    })
}

fn order_member(order: &Order, name: &str, url: &str) -> Option<Value> {
    let dated = |at: Option<i64>| at.map_or(Value::Null, |at| stamp(name, at));
    let is_pending = order.status == "pending";
    Some(match name {
        "id" => json!(order.id),
        "number" => json!(order.id.to_string()),
        "status" => json!(order.status),
        "currency" => json!(order.currency),
        "currency_symbol" => json!(symbol(&order.currency)),
        "total" => json!(written(order.total(), &order.currency)),
        "customer_id" => json!(order.customer),
        "order_key" => json!(format!("wc_order_{:013}", order.id)),
        "line_items" => order.lines.iter().map(|item| line(item, &order.currency)).collect(),
        "fee_lines" => fee_lines(order),
        "refunds" => order.refunds.iter().map(|refund| short_refund(refund, &order.currency)).collect(),
        "meta_data" => trash_meta(order),
        "payment_url" => {
            json!(format!("{url}/checkout/order-pay/{0}/?pay_for_order=true&key=wc_order_{0:013}", order.id))
        }
        "is_editable" | "needs_payment" => json!(is_pending),
        "date_created" | "date_created_gmt" => stamp(name, order.created),
        "date_modified" | "date_modified_gmt" => stamp(name, order.modified),
        "date_paid" | "date_paid_gmt" => dated(order.paid),
        "date_completed" | "date_completed_gmt" => dated(order.completed),
        "_links" => order_links(order, url),
        _ => return None,
    })
}

/// What the order was before it went to the trash.
fn trash_meta(order: &Order) -> Value {
    match &order.before_trash {
        Some(before) => json!([{ "id": order.id, "key": "_wp_trash_meta_status", "value": format!("wc-{before}") }]),
        None => json!([]),
    }
}

fn line(line: &Line, currency: &str) -> Value {
    let total = written(line.total, currency);
    // The original shows the price of a piece as a number.
    let price = total.parse::<f64>().unwrap_or_default() / (line.pieces.max(1) as f64);
    json!({
        "id": line.id,
        "name": encoded(&line.name),
        "product_id": line.product,
        "variation_id": 0,
        "quantity": line.pieces,
        "tax_class": "",
        "subtotal": total,
        "subtotal_tax": "0.00",
        "total": total,
        "total_tax": "0.00",
        "taxes": [],
        "meta_data": [],
        "sku": line.sku,
        "global_unique_id": "",
        "price": price,
        "image": { "id": "", "src": "" },
        "parent_name": null,
    })
}

fn fee_lines(order: &Order) -> Value {
    if order.fee == 0 {
        return json!([]);
    }
    json!([{
        "id": order.id,
        "name": "Fee",
        "tax_class": "",
        "tax_status": "none",
        "amount": "",
        "total": written(order.fee, &order.currency),
        "total_tax": "0.00",
        "taxes": [],
        "meta_data": [],
    }])
}

fn short_refund(refund: &Refund, currency: &str) -> Value {
    json!({
        "id": refund.id,
        "reason": refund.reason,
        "total": written(-refund.minor, currency),
        "total_tax": "0.00",
    })
}

/// A refund with its own address; lists of all refunds name the order too.
pub fn refund(order: &Order, refund: &Refund, view: View<'_>, names_order: bool) -> Value {
    let (local, gmt) = stamps(refund.at);
    let up = format!("{}/wp-json/wc/v3/orders/{}", view.url, order.id);
    let kind = if order.refunded() == order.total() && order.refunds.len() == 1 { "full" } else { "partial" };
    let mut record = json!({
        "id": refund.id,
        "date_created": local,
        "date_created_gmt": gmt,
        "amount": written(refund.minor, &order.currency),
        "reason": refund.reason,
        "refunded_by": 1,
        "refunded_payment": false,
        "meta_data": [{ "id": refund.id, "key": "_refund_type", "value": kind }],
        "line_items": [],
        "shipping_lines": [],
        "tax_lines": [],
        "fee_lines": [],
        "_links": {
            "self": [{ "href": format!("{up}/refunds/{}", refund.id), "targetHints": { "allow": ["GET", "DELETE"] } }],
            "collection": [{ "href": format!("{up}/refunds") }],
            "up": [{ "href": up }],
        },
    });
    if names_order {
        record["parent_id"] = json!(order.id);
    }
    match (view.fields, record) {
        (Some(fields), Value::Object(mut all)) => {
            all.retain(|name, _| fields.contains(name));
            Value::Object(all)
        }
        (_, record) => record,
    }
}

fn customer_member(customer: &Customer, name: &str, url: &str) -> Option<Value> {
    Some(match name {
        "id" => json!(customer.id),
        "date_created" | "date_created_gmt" => stamp(name, customer.created),
        "date_modified" | "date_modified_gmt" => stamp(name, customer.modified),
        "email" => json!(customer.email),
        "first_name" => json!(customer.first_name),
        "last_name" => json!(customer.last_name),
        "role" => json!(customer.role),
        "username" => json!(customer.username),
        "billing" => address(customer, Some(&customer.email)),
        "shipping" => address(customer, None),
        "is_paying_customer" => json!(false),
        "avatar_url" => json!(format!("https://secure.gravatar.com/avatar/{}?s=96&d=mm&r=g", customer.id)),
        "meta_data" => json!([]),
        "_links" => links(url, "customers", customer.id),
        _ => return None,
    })
}

fn address(customer: &Customer, email: Option<&str>) -> Value {
    let mut address = json!({
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "company": "",
        "address_1": "",
        "address_2": "",
        "city": "",
        "postcode": "",
        "country": "",
        "state": "",
        "phone": "",
    });
    if let Some(email) = email {
        address["email"] = json!(email);
    }
    address
}

fn links(url: &str, list: &str, id: u64) -> Value {
    let collection = format!("{url}/wp-json/wc/v3/{list}");
    let allow = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    json!({
        "self": [{ "href": format!("{collection}/{id}"), "targetHints": { "allow": allow } }],
        "collection": [{ "href": collection }],
    })
}

fn order_links(order: &Order, url: &str) -> Value {
    let mut links = links(url, "orders", order.id);
    let templates = format!("{url}/wp-json/wc/v3/orders/{}/actions/email_templates", order.id);
    links["email_templates"] = json!([{ "embeddable": true, "href": templates }]);
    if order.customer != 0 {
        links["customer"] = json!([{ "href": format!("{url}/wp-json/wc/v3/customers/{}", order.customer) }]);
    }
    links
}

/// Names are kept HTML-encoded.
fn encoded(name: &str) -> String {
    html_escape::encode_text(name).into_owned()
}

fn symbol(currency: &str) -> &str {
    match currency {
        "EUR" => "€",
        "USD" => "$",
        "JPY" => "¥",
        other => other,
    }
}
