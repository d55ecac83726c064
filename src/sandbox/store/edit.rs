//! What writes over REST say, checked as the original checks it.

use serde_json::Value;

use super::amount;
use super::answer::Answer;
use super::goods::{Product, ProductEdit};
use super::people::CustomerEdit;
use super::sale::Order;
use super::shop::Shop;

/// The statuses that an order may be given.
pub const ORDER_STATUSES: [&str; 9] = [
    "auto-draft",
    "pending",
    "processing",
    "on-hold",
    "completed",
    "cancelled",
    "refunded",
    "failed",
    "checkout-draft",
];

/// A member that must be text.
pub fn text(body: &Value, name: &str) -> Result<Option<String>, Answer> {
    match body.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Answer::wrong_type(name, "string")),
    }
}

/// A member that must be a whole number, be it as text.
fn integer(body: &Value, name: &str) -> Result<Option<i64>, Answer> {
    let number = match body.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_i64(),
    };
    number.map(Some).ok_or_else(|| Answer::wrong_type(name, "integer"))
}

/// What is said of a product. `stock_quantity` alone counts for nothing where the stock is not managed.
pub fn product(body: &Value, before: Option<&Product>) -> Result<ProductEdit, Answer> {
    let pieces = integer(body, "stock_quantity")?;
    let was = before.and_then(|product| product.stock);
    let stock = match body.get("manage_stock").and_then(Value::as_bool) {
        Some(false) => Some(None),
        Some(true) => Some(Some(pieces.or(was).unwrap_or_default())),
        None => pieces.filter(|_| was.is_some()).map(Some),
    };
    let name = text(body, "name")?.map(|name| html_escape::decode_html_entities(&name).into_owned());
    let (sku, price, status) = (text(body, "sku")?, text(body, "regular_price")?, text(body, "status")?);
    Ok(ProductEdit { sku, name, price, stock, status })
}

pub fn customer(body: &Value) -> Result<CustomerEdit, Answer> {
    Ok(CustomerEdit {
        username: text(body, "username")?,
        email: text(body, "email")?,
        first_name: text(body, "first_name")?,
        last_name: text(body, "last_name")?,
    })
}

/// Makes an order say what the body says.
pub fn order(shop: &mut Shop, order: &mut Order, body: &Value, at: i64) -> Result<(), Answer> {
    if let Some(currency) = text(body, "currency")? {
        order.currency = currency;
    }
    if let Some(id) = integer(body, "customer_id")? {
        order.customer = u64::try_from(id).unwrap_or_default();
    }
    if let Some(items) = body.get("line_items") {
        let items = items.as_array().ok_or_else(|| Answer::wrong_type("line_items", "array"))?;
        lines(shop, order, items)?;
    }
    if let Some(fees) = body.get("fee_lines").and_then(Value::as_array) {
        let total = |fee: &Value| amount::minor(fee.get("total")?.as_str()?, &order.currency);
        order.fee = fees.iter().filter_map(total).sum();
    }
    if let Some(status) = text(body, "status")? {
        if !ORDER_STATUSES.contains(&&*status) {
            let message = format!("status is not one of {}.", ORDER_STATUSES.join(", "));
            return Err(Answer::invalid("status", "rest_not_in_enum", &message, Value::Null));
        }
        order.become_(&status, at);
    }
    Ok(())
}

/// A line with an id changes that line, with no pieces it goes; one without an id is added.
fn lines(shop: &mut Shop, order: &mut Order, items: &[Value]) -> Result<(), Answer> {
    let mut wanted: Vec<(String, i64)> = order.lines.iter().map(|line| (line.sku.clone(), line.pieces)).collect();
    for item in items {
        let pieces = integer(item, "quantity")?.unwrap_or(1);
        match integer(item, "id")? {
            Some(id) => {
                let place = order.lines.iter().position(|line| i64::try_from(line.id) == Ok(id));
                let place = place.ok_or_else(no_item)?;
                wanted[place].1 = pieces;
            }
            None => wanted.push((sku_of(shop, item)?, pieces)),
        }
    }
    wanted.retain(|(_, pieces)| *pieces != 0);
    order.lines = shop.lines(&wanted, &order.currency, &order.lines);
    Ok(())
}

fn no_item() -> Answer {
    Answer::refusal(400, "woocommerce_rest_invalid_item_id", "Order item ID provided is not associated with order.")
}

fn sku_of(shop: &Shop, item: &Value) -> Result<String, Answer> {
    if let Some(sku) = text(item, "sku")? {
        return Ok(sku);
    }
    let id = integer(item, "product_id")?.and_then(|id| u64::try_from(id).ok());
    let product = id.and_then(|id| shop.products.live(id));
    let missing =
        || Answer::refusal(400, "woocommerce_rest_required_product_reference", "Product ID or SKU is required.");
    product.map(|product| product.sku.clone()).ok_or_else(missing)
}
