//! Calls that hold their login (Odoo's JSON-RPC): the user's id is asked for once.

use secrecy::ExposeSecret;
use serde_json::{Map, Value as Json};
use url::Url;

use super::classify::Fault;
use super::client::{Answer, Client};
use super::request::{Content, Request, authenticate, execute_kw};
use crate::config::pack::Auth;
use crate::connect::ReadError;

impl Client {
    /// A call with the login around it.
    pub(super) async fn within_login(
        &self,
        url: &Url,
        model: &str,
        method: &str,
        arguments: &Map<String, Json>,
    ) -> Result<Json, ReadError> {
        let Auth::Odoo { database, user, key } = &self.pack.auth else {
            let reason = "the pack names no login: `[auth] kind` must be `odoo`".to_owned();
            return Err(self.error(Fault::Refused(reason)));
        };
        let key = key.expose_secret();
        let user_id = self.user_id.get_or_try_init(|| self.log_in(url, database, user, key)).await?;
        Ok(execute_kw((database, *user_id, key), model, method, arguments))
    }

    async fn log_in(&self, url: &Url, database: &str, user: &str, key: &str) -> Result<i64, ReadError> {
        let content = Content::Json(authenticate(database, user, key));
        let request = Request { url: url.clone(), content };
        let pack = &self.pack;
        Box::pin(self.ask(&request, &mut |answer: &Answer| match user_id(&answer.text) {
            Some(Json::Number(id)) if id.is_i64() => Ok(id.as_i64().unwrap_or_default()),
            Some(Json::Bool(false)) => {
                Err(Fault::Refused(format!("database `{database}` does not know user `{user}` with this key")))
            }
            _ => Err(super::classify::without_records(pack, answer.status, answer.content_type(), &answer.text)),
        }))
        .await
    }
}

fn user_id(text: &str) -> Option<Json> {
    let mut answer: Json = serde_json::from_str(text).ok()?;
    answer.get_mut("result").map(Json::take)
}
