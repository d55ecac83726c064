//! What the CRM holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::CrmError;
use crate::sandbox::record::{Content, Field};
use crate::sandbox::service::webhooks::What;

/// Customers in the order in which they came.
#[derive(Debug, Default)]
pub struct People {
    customers: BTreeMap<u64, Customer>,
    by_id: HashMap<String, u64>,
    /// Stamp and number.
    by_stamp: BTreeSet<(i64, u64)>,
    last: u64,
}

#[derive(Clone, Debug)]
pub struct Customer {
    pub id: String,
    pub name: String,
    pub email: String,
    pub archived: bool,
    /// Milliseconds since 1970.
    pub created: i64,
    /// Milliseconds since 1970.
    pub updated: i64,
}

/// What a write says; what it does not say stays.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    pub name: Option<String>,
    pub email: Option<String>,
    pub archived: Option<bool>,
}

/// The stamp that a write leaves, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Stamping {
    pub at: i64,
    /// Leaves the stamp of what is there as it is.
    pub keeps: bool,
}

/// What a write did to whom; `None`: nothing.
pub type Done = Option<Deed>;

/// What happened to a customer.
#[derive(Debug)]
pub struct Deed {
    pub id: String,
    /// What is told of it; nothing of what was done behind the service's back.
    pub told: Option<What>,
}

impl Customer {
    fn content(&self) -> Content {
        Content::of([(Field::Name, self.name.clone()), (Field::Email, self.email.clone())])
    }

    /// As the service shows it; `drifts` after a change of its shape.
    pub fn json(&self, drifts: bool) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            if drifts { "email_address" } else { "email" }: self.email,
            "archived": self.archived,
            "created_at": stamp(self.created),
            "updated_at": stamp(self.updated),
        })
    }
}

impl People {
    pub fn get(&self, id: &str) -> Option<&Customer> {
        self.by_id.get(id).and_then(|number| self.customers.get(number))
    }

    /// In the common language; archived ones do not count.
    pub fn read(&self, id: &str) -> Vec<Content> {
        self.get(id).filter(|customer| !customer.archived).map(Customer::content).into_iter().collect()
    }

    /// Up to `limit` customers behind a number, changed at or after `since`, each with its number.
    pub fn list(&self, behind: u64, since: Option<i64>, limit: usize) -> Vec<(u64, &Customer)> {
        match since {
            None => self.customers.range(behind + 1..).take(limit).map(|(number, found)| (*number, found)).collect(),
            Some(since) => {
                let changed = self.by_stamp.range((since, 0)..).map(|(_, number)| *number);
                let numbers: BTreeSet<u64> = changed.filter(|number| *number > behind).collect();
                numbers
                    .into_iter()
                    .take(limit)
                    .filter_map(|number| Some((number, self.customers.get(&number)?)))
                    .collect()
            }
        }
    }

    /// How many have changed at or after `since`.
    pub fn count(&self, since: Option<i64>) -> usize {
        since.map_or(self.customers.len(), |since| self.by_stamp.range((since, 0)..).count())
    }

    pub fn add(&mut self, id: &str, edit: Edit, at: i64) -> Result<Done, CrmError> {
        if self.by_id.contains_key(id) {
            return Err(CrmError::Taken(id.to_owned()));
        }
        self.last += 1;
        let blank = Customer {
            id: id.to_owned(),
            name: String::new(),
            email: String::new(),
            archived: false,
            created: at,
            updated: at,
        };
        self.by_id.insert(id.to_owned(), self.last);
        self.put(self.last, blank.edited(edit));
        Ok(Some(Deed { id: id.to_owned(), told: Some(What::Created) }))
    }

    pub fn edit(&mut self, id: &str, edit: Edit, stamping: Stamping) -> Result<Done, CrmError> {
        let number = *self.by_id.get(id).ok_or(CrmError::NotThere)?;
        let mut customer = self.customers.get(&number).ok_or(CrmError::NotThere)?.clone().edited(edit);
        if !stamping.keeps {
            customer.updated = stamping.at;
        }
        let what = if customer.archived { What::Deleted } else { What::Updated };
        self.put(number, customer);
        Ok(Some(Deed { id: id.to_owned(), told: (!stamping.keeps).then_some(what) }))
    }

    /// Archives, or deletes for good.
    pub fn delete(&mut self, id: &str, softly: bool, stamping: Stamping) -> Result<Done, CrmError> {
        if softly {
            return self.edit(id, Edit { archived: Some(true), ..Edit::default() }, stamping);
        }
        let number = self.by_id.remove(id).ok_or(CrmError::NotThere)?;
        if let Some(customer) = self.customers.remove(&number) {
            self.by_stamp.remove(&(customer.updated, number));
        }
        Ok(Some(Deed { id: id.to_owned(), told: (!stamping.keeps).then_some(What::Deleted) }))
    }

    /// Makes the CRM hold exactly these customers under the number.
    pub fn write(
        &mut self,
        id: &str,
        contents: &[Content],
        softly: bool,
        stamping: Stamping,
    ) -> Result<Done, CrmError> {
        let content = match contents {
            [] if self.read(id).is_empty() => return Ok(None),
            [] => return self.delete(id, softly, stamping),
            [content] => content,
            _ => return Err(CrmError::Twice),
        };
        let own = |field| Some(content.text(field).to_owned());
        let edit = Edit { name: own(Field::Name), email: own(Field::Email), archived: Some(false) };
        if self.by_id.contains_key(id) { self.edit(id, edit, stamping) } else { self.add(id, edit, stamping.at) }
    }

    fn put(&mut self, number: u64, customer: Customer) {
        if let Some(before) = self.customers.get(&number) {
            self.by_stamp.remove(&(before.updated, number));
        }
        self.by_stamp.insert((customer.updated, number));
        self.customers.insert(number, customer);
    }
}

impl Customer {
    fn edited(mut self, edit: Edit) -> Self {
        self.name = edit.name.unwrap_or(self.name);
        self.email = edit.email.unwrap_or(self.email);
        self.archived = edit.archived.unwrap_or(self.archived);
        self
    }
}

/// `2026-01-31T12:00:00.123Z`.
fn stamp(millis: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MIN_UTC);
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
