//! Customers. The store cannot put them to the trash, nor does it tell when they are gone.

use super::StoreError;
use super::goods::How;
use super::shelf::Shelved;
use super::shop::{Shop, Stamping};
use crate::sandbox::record::{Content, Entity, Field};
use crate::sandbox::service::webhooks::What;

#[derive(Clone, Debug)]
pub struct Customer {
    pub id: u64,
    /// The CRM's number of the customer.
    pub username: String,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub role: &'static str,
    pub created: i64,
    pub modified: i64,
}

impl Shelved for Customer {
    fn id(&self) -> u64 {
        self.id
    }

    fn modified(&self) -> i64 {
        self.modified
    }

    fn is_trashed(&self) -> bool {
        false
    }
}

impl Customer {
    /// In the common language. Whoever connected the shop puts the whole name where the first belongs.
    pub fn content(&self) -> Content {
        let whole = [&*self.first_name, &*self.last_name].join(" ");
        Content::of([(Field::Name, whole.trim_end().to_owned()), (Field::Email, self.email.clone())])
    }
}

/// What a write says of a customer; what it does not say stays.
#[derive(Clone, Debug, Default)]
pub struct CustomerEdit {
    pub username: Option<String>,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
}

impl Shop {
    pub fn by_username(&self, username: &str) -> Option<&Customer> {
        self.usernames.get(username).and_then(|id| self.customers.get(*id))
    }

    pub fn by_email(&self, email: &str) -> Option<&Customer> {
        self.emails.get(&email.to_lowercase()).and_then(|id| self.customers.get(*id))
    }

    /// Adds a customer; gives the id.
    pub fn add_customer(&mut self, edit: CustomerEdit, at: i64) -> Result<u64, StoreError> {
        let username = edit.username.clone().unwrap_or_default();
        if self.usernames.contains_key(&username) {
            return Err(StoreError::UsernameTaken(username));
        }
        self.refuse_taken_email(&edit, 0)?;
        let id = self.next_customer;
        self.next_customer += 1;
        let [email, first_name, last_name] = Default::default();
        let blank =
            Customer { id, username, email, first_name, last_name, role: "customer", created: at, modified: at };
        self.touch(Entity::Customer, &blank.username);
        self.event(Entity::Customer, blank.username.clone(), id, What::Created);
        self.put_customer(blank, edit);
        Ok(id)
    }

    /// Changes a customer, if only the stamp.
    pub fn edit_customer(&mut self, id: u64, edit: CustomerEdit, stamping: Stamping) -> Result<(), StoreError> {
        self.refuse_taken_email(&edit, id)?;
        let mut customer = self.customers.get(id).ok_or(StoreError::NotThere)?.clone();
        customer.modified = stamping.of(customer.modified);
        self.touch(Entity::Customer, &customer.username);
        if !stamping.keeps {
            self.event(Entity::Customer, customer.username.clone(), id, What::Updated);
        }
        self.put_customer(customer, edit);
        Ok(())
    }

    /// Deletes a customer for good.
    pub fn drop_customer(&mut self, id: u64) -> Result<(), StoreError> {
        let customer = self.customers.remove(id).ok_or(StoreError::NotThere)?;
        self.usernames.remove(&customer.username);
        self.emails.remove(&customer.email.to_lowercase());
        self.touch(Entity::Customer, &customer.username);
        self.event(Entity::Customer, customer.username, id, What::Deleted);
        Ok(())
    }

    /// Makes the store hold exactly these customers under the number.
    pub fn write_customer(&mut self, key: &str, contents: &[Content], how: How) -> Result<(), StoreError> {
        let id = self.by_username(key).map(|customer| customer.id);
        let Some(content) = contents.first() else { return id.map_or(Ok(()), |id| self.drop_customer(id)) };
        let edit = CustomerEdit {
            username: Some(key.to_owned()),
            email: Some(content.text(Field::Email).to_owned()),
            first_name: Some(content.text(Field::Name).to_owned()),
            last_name: Some(String::new()),
        };
        match id {
            Some(id) => self.edit_customer(id, edit, how.stamping),
            None => self.add_customer(edit, how.stamping.at).map(drop),
        }
    }

    fn refuse_taken_email(&self, edit: &CustomerEdit, id: u64) -> Result<(), StoreError> {
        let Some(email) = &edit.email else { return Ok(()) };
        match self.by_email(email) {
            Some(other) if other.id != id => Err(StoreError::EmailTaken(email.clone())),
            _ => Ok(()),
        }
    }

    /// Usernames cannot be changed.
    fn put_customer(&mut self, mut customer: Customer, edit: CustomerEdit) {
        self.emails.remove(&customer.email.to_lowercase());
        customer.email = edit.email.unwrap_or(customer.email);
        customer.first_name = edit.first_name.unwrap_or(customer.first_name);
        customer.last_name = edit.last_name.unwrap_or(customer.last_name);
        self.emails.insert(customer.email.to_lowercase(), customer.id);
        self.usernames.insert(customer.username.clone(), customer.id);
        self.customers.put(customer);
    }
}
