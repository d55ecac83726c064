//! What the company opens with.

use super::super::record::{Content, Field};

/// The stock keeping unit of a product.
pub fn sku(product: usize) -> String {
    format!("SKU-{product:04}")
}

/// The key of a customer.
pub fn customer_key(customer: usize) -> String {
    format!("c{customer:04}")
}

/// A product as the company opens. All honest prices end in 49 or 99, so that a spoiled one cannot be one that was
/// right once.
pub fn first_product(product: usize) -> Content {
    let price = 999 + 50 * (product % 40);
    Content::of([(Field::Title, first_title(product)), (Field::Price, price.to_string())])
}

/// The title of a product as the company opens.
pub fn first_title(product: usize) -> String {
    const THINGS: [&str; 8] =
        ["Plumb line", "Spirit level", "Chalk reel", "Folding rule", "Trowel", "Mallet", "Set square", "Bob"];
    const KINDS: [&str; 5] = ["brass", "oak", "steel", "pocket", "professional extra long"];
    format!("{} {}, no. {product}", KINDS[product % KINDS.len()], THINGS[product % THINGS.len()])
}

/// The stock of a product as the company opens.
pub fn first_stock(product: usize) -> Content {
    Content::of([(Field::Pieces, (20 + (product * 7) % 80).to_string())])
}

/// A customer as the company opens.
pub fn first_customer(customer: usize) -> Content {
    const FIRST: [&str; 8] = ["Ada", "Bruno", "Chiara", "Dörte", "Emil", "Françoise", "Goran", "Hedda"];
    const LAST: [&str; 7] = ["Lotte", "Mauer", "Niveau", "Obel", "Pendel", "Quader", "Richt"];
    let (first, last) = (FIRST[customer % FIRST.len()], LAST[customer % LAST.len()]);
    let email = format!("{}@example.com", customer_key(customer));
    Content::of([(Field::Name, format!("{first} {last}")), (Field::Email, email)])
}
