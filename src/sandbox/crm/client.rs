//! A book over the CRM's HTTP interface, as the sync job uses it.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::TOKEN;
use crate::sandbox::book::{Book, Manner};
use crate::sandbox::record::{Content, Entity, Field, System};
use crate::sandbox::service::CallError;
use crate::sandbox::service::caller::{self, Caller};

/// A request may take this long.
const LIMIT: Duration = Duration::from_secs(10);

/// Reads and writes the CRM over HTTP, each call once: it tries nothing again. Fails with [`CallError`] inside the
/// `anyhow::Error`. Of a [`Manner`] only `softly` counts.
#[derive(Clone)]
pub struct CrmClient {
    caller: Caller,
    base: String,
}

impl CrmClient {
    /// For the CRM at this address.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let caller = Caller { system: System::Crm.as_str(), client: caller::http(LIMIT)? };
        Ok(Self { caller, base: format!("{}/customers", url.trim_end_matches('/')) })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.caller.client.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN)
    }

    async fn get(&self, key: &str) -> anyhow::Result<Option<Value>> {
        let found = self.caller.find(self.request(Method::GET, &format!("/{key}"))).await?;
        Ok(found.map(|found| found["data"].clone()))
    }

    fn impossible(&self, what: &'static str) -> anyhow::Error {
        CallError::Impossible { system: self.caller.system, what }.into()
    }
}

impl Book for CrmClient {
    async fn read(&self, entity: Entity, key: &str) -> anyhow::Result<Vec<Content>> {
        if entity != Entity::Customer {
            return Err(self.impossible("anything but customers"));
        }
        let found = self.get(key).await?.filter(|customer| customer["archived"] != true);
        let text = |customer: &Value, name: &str| customer[name].as_str().map(str::to_owned);
        // Whoever runs the sync job was told of the other shape.
        let email = |customer: &Value| text(customer, "email").or_else(|| text(customer, "email_address"));
        let content = |customer: &Value| {
            let name = text(customer, "name").unwrap_or_default();
            Content::of([(Field::Name, name), (Field::Email, email(customer).unwrap_or_default())])
        };
        Ok(found.iter().map(content).collect())
    }

    async fn write(&self, entity: Entity, key: &str, contents: &[Content], manner: Manner) -> anyhow::Result<()> {
        if entity != Entity::Customer || contents.len() > 1 {
            return Err(self.impossible("anything but one customer of a number"));
        }
        let there = self.get(key).await?;
        let Some(content) = contents.first() else {
            if there.is_some() {
                let path = format!("/{key}?hard={}", !manner.softly);
                self.caller.find(self.request(Method::DELETE, &path)).await?;
            }
            return Ok(());
        };
        let (name, email) = (content.text(Field::Name), content.text(Field::Email));
        let body = json!({ "id": key, "name": name, "email": email, "archived": false });
        let request = match there {
            Some(_) => self.request(Method::PUT, &format!("/{key}")),
            None => self.request(Method::POST, ""),
        };
        self.caller.ask(request.body(body.to_string())).await.map(drop)
    }
}
