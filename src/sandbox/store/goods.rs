//! Products and their stock: one record in the store, two entities of the company.

use super::amount;
use super::shelf::Shelved;
use super::shop::{Shop, Stamping};
use super::{StoreError, TRASH};
use crate::sandbox::record::{Content, Entity, Field};
use crate::sandbox::service::webhooks::What;

#[derive(Clone, Debug)]
pub struct Product {
    pub id: u64,
    pub sku: String,
    pub name: String,
    /// `regular_price` as it was written; empty: none.
    pub price: String,
    /// Pieces where the store counts them.
    pub stock: Option<i64>,
    pub status: String,
    pub before_trash: Option<String>,
    pub created: i64,
    pub modified: i64,
}

impl Shelved for Product {
    fn id(&self) -> u64 {
        self.id
    }

    fn modified(&self) -> i64 {
        self.modified
    }

    fn is_trashed(&self) -> bool {
        self.status == TRASH
    }
}

impl Product {
    /// Its title and price in the common language.
    pub fn product(&self) -> Content {
        Content::of([(Field::Title, self.name.clone()), (Field::Price, amount::cents(&self.price))])
    }

    /// Its stock in the common language.
    pub fn pieces(&self) -> Option<Content> {
        self.stock.map(|pieces| Content::of([(Field::Pieces, pieces.to_string())]))
    }
}

/// What a write says of a product; what it does not say stays.
#[derive(Clone, Debug, Default)]
pub struct ProductEdit {
    pub sku: Option<String>,
    pub name: Option<String>,
    pub price: Option<String>,
    /// `Some(None)`: the store counts no more.
    pub stock: Option<Option<i64>>,
    pub status: Option<String>,
}

impl ProductEdit {
    /// What it is about; a touch is about everything.
    fn names(&self) -> Vec<Entity> {
        let is_of_product = self.sku.is_some() || self.name.is_some() || self.price.is_some() || self.status.is_some();
        let mut named = Vec::new();
        if is_of_product || self.stock.is_none() {
            named.push(Entity::Product);
        }
        if self.stock.is_some() || !is_of_product {
            named.push(Entity::Stock);
        }
        named
    }
}

impl Shop {
    /// The product of this number; the store's database takes `a` for `A`.
    pub fn by_sku(&self, sku: &str) -> Option<&Product> {
        let ids = self.skus.get(&sku.to_lowercase())?;
        ids.iter().find_map(|id| self.products.live(*id))
    }

    /// The product of exactly this number, in the trash or not.
    fn product_of(&self, sku: &str) -> Option<Product> {
        let ids = self.skus.get(&sku.to_lowercase())?;
        let trashed = || ids.iter().rev().find_map(|id| self.products.get(*id));
        ids.iter().find_map(|id| self.products.live(*id)).or_else(trashed).filter(|found| found.sku == sku).cloned()
    }

    /// Adds a product; gives its id.
    pub fn add_product(&mut self, edit: ProductEdit, at: i64) -> Result<u64, StoreError> {
        self.refuse_taken(&edit, 0)?;
        let id = self.next_product;
        self.next_product += 1;
        let blank = Product {
            id,
            sku: String::new(),
            name: String::new(),
            price: String::new(),
            stock: None,
            status: "publish".to_owned(),
            before_trash: None,
            created: at,
            modified: at,
        };
        let product = blank.edited(edit);
        self.touch_product(&product);
        self.event(Entity::Product, product.sku.clone(), id, What::Created);
        self.put_product(product);
        Ok(id)
    }

    /// Changes a product, if only its stamp.
    pub fn edit_product(&mut self, id: u64, edit: ProductEdit, stamping: Stamping) -> Result<(), StoreError> {
        self.refuse_taken(&edit, id)?;
        let before = self.products.get(id).ok_or(StoreError::NotThere)?.clone();
        let named = edit.names();
        let mut product = before.clone().edited(edit);
        product.modified = stamping.of(product.modified);
        // A changed number leaves the old one without its product and stock.
        if before.sku != product.sku || before.is_trashed() != product.is_trashed() {
            self.touch_product(&before);
            self.touch_product(&product);
        }
        for entity in named {
            self.touch(entity, &product.sku);
        }
        if !stamping.keeps {
            self.event(Entity::Product, product.sku.clone(), id, What::Updated);
        }
        self.put_product(product);
        Ok(())
    }

    /// Puts a product to the trash, or deletes it for good, of which nobody is told.
    pub fn drop_product(&mut self, id: u64, softly: bool, stamping: Stamping) -> Result<(), StoreError> {
        let mut product = self.products.get(id).ok_or(StoreError::NotThere)?.clone();
        self.touch_product(&product);
        if softly {
            let before = std::mem::replace(&mut product.status, TRASH.to_owned());
            product.before_trash = Some(before);
            product.modified = stamping.of(product.modified);
            if !stamping.keeps {
                self.event(Entity::Product, product.sku.clone(), id, What::Deleted);
            }
            self.put_product(product);
        } else {
            self.products.remove(id);
            if let Some(ids) = self.skus.get_mut(&product.sku.to_lowercase()) {
                ids.retain(|known| *known != id);
            }
        }
        Ok(())
    }

    /// Makes the store hold exactly these products under the number.
    pub fn write_product(&mut self, sku: &str, contents: &[Content], how: How) -> Result<(), StoreError> {
        let Some(content) = contents.first() else {
            return match self.by_sku(sku).map(|product| product.id) {
                Some(id) => self.drop_product(id, how.softly, how.stamping),
                None => Ok(()),
            };
        };
        let price = content.number(Field::Price);
        let edit = ProductEdit {
            sku: Some(sku.to_owned()),
            name: Some(content.text(Field::Title).to_owned()),
            price: Some(if price == i64::MIN { String::new() } else { amount::written(price, "EUR") }),
            ..ProductEdit::default()
        };
        self.save_product(sku, edit, how)
    }

    /// Makes the store count exactly so many pieces, or none.
    pub fn write_stock(&mut self, sku: &str, contents: &[Content], how: How) -> Result<(), StoreError> {
        let stock = contents.first().map(|content| content.number(Field::Pieces));
        match self.by_sku(sku).map(|product| product.id) {
            Some(id) => {
                let edit = ProductEdit { stock: Some(stock), ..ProductEdit::default() };
                self.edit_product(id, edit, how.stamping)
            }
            None if stock.is_none() => Ok(()),
            None => Err(StoreError::NoProduct(sku.to_owned())),
        }
    }

    /// Changes the product of the number, takes it out of the trash, or adds it.
    fn save_product(&mut self, sku: &str, mut edit: ProductEdit, how: How) -> Result<(), StoreError> {
        match self.product_of(sku) {
            Some(product) => {
                edit.status = product.before_trash.filter(|_| product.status == TRASH);
                self.edit_product(product.id, edit, how.stamping)
            }
            None => self.add_product(edit, how.stamping.at).map(drop),
        }
    }

    fn refuse_taken(&self, edit: &ProductEdit, id: u64) -> Result<(), StoreError> {
        let Some(sku) = edit.sku.as_deref().filter(|sku| !sku.is_empty()) else { return Ok(()) };
        match self.by_sku(sku) {
            Some(other) if other.id != id => Err(StoreError::SkuTaken { sku: sku.to_owned(), id: other.id }),
            _ => Ok(()),
        }
    }

    fn put_product(&mut self, product: Product) {
        let before = self.products.get(product.id).map(|before| before.sku.to_lowercase());
        if let Some(ids) = before.and_then(|sku| self.skus.get_mut(&sku)) {
            ids.retain(|known| *known != product.id);
        }
        self.skus.entry(product.sku.to_lowercase()).or_default().push(product.id);
        self.products.put(product);
    }

    fn touch_product(&mut self, product: &Product) {
        self.touch(Entity::Product, &product.sku);
        self.touch(Entity::Stock, &product.sku);
    }
}

impl Product {
    fn edited(mut self, edit: ProductEdit) -> Self {
        let ProductEdit { sku, name, price, stock, status } = edit;
        self.sku = sku.unwrap_or(self.sku);
        self.name = name.unwrap_or(self.name);
        self.price = price.unwrap_or(self.price);
        self.stock = stock.unwrap_or(self.stock);
        self.status = status.unwrap_or(self.status);
        if self.status != TRASH {
            self.before_trash = None;
        }
        self
    }
}

/// How a write is stamped, and what becomes of a record that goes.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub stamping: Stamping,
    pub softly: bool,
}
