//! Receivers: what each is sent, within which limits, and what its answers mean.

use std::time::Duration;

use chrono_tz::Tz;

use super::notice::Notice;
use super::templates::{TemplateError, Templates};
use super::view::Setting;
use crate::config::alerting::{Channel as Config, ChannelKind};
use crate::model::Moment;

mod alertmanager;
mod email;
mod http;
mod opsgenie;
mod pagerduty;
mod slack;
mod teams;
mod webhook;

pub use http::Pinger;
pub use webhook::signature;

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The receiver has it.
    Taken,
    /// Some of its receivers have it, the others will never take it.
    TakenInPart {
        /// Who refused it, and what was answered.
        why: String,
    },
    /// It may take it later; not before `after`, if it said so.
    Again {
        /// What it answered, or why it did not.
        why: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// It will never take it.
    Refused {
        /// What it answered.
        why: String,
    },
}

/// A channel cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("channel `{channel}` cannot be used: {why}")]
pub struct ChannelError {
    /// Its name.
    pub channel: String,
    /// Why.
    pub why: String,
}

/// One way to reach people, ready to send.
#[derive(Debug)]
pub struct Channel {
    /// What the config says of it.
    pub config: Config,
    client: Client,
}

#[derive(Debug)]
enum Client {
    Smtp(Box<email::Mailer>),
    Http(http::Client),
}

/// What a try needs besides the message.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// How it is said.
    pub templates: &'c Templates,
    /// What surrounds it.
    pub setting: &'c Setting,
    /// Now.
    pub now: Moment,
}

impl Context<'_> {
    /// Zone of times.
    pub const fn zone(&self) -> Tz {
        self.setting.zone
    }
}

impl Channel {
    /// Ready to send; nothing is reached yet.
    ///
    /// # Errors
    /// When a certificate cannot be read or TLS cannot be set up.
    pub fn build(config: Config) -> Result<Self, ChannelError> {
        let failed = |why: String| ChannelError { channel: config.name.clone(), why };
        let client = match &config.kind {
            ChannelKind::Email(email) => {
                Client::Smtp(Box::new(email::Mailer::new(email, config.timeout).map_err(failed)?))
            }
            _ => Client::Http(http::Client::new(config.timeout).map_err(failed)?),
        };
        Ok(Self { config, client })
    }

    /// Tries once. A receiver that takes longer than the channel's `timeout` is tried again.
    pub async fn send(&self, notice: &Notice, context: &Context<'_>) -> Answer {
        match tokio::time::timeout(self.config.timeout, self.try_send(notice, context)).await {
            Ok(Ok(answer)) => answer,
            // The built-in templates have been tried; one of a directory can still fail on what it never met.
            Ok(Err(error)) => Answer::Refused { why: error.to_string() },
            Err(_) => Answer::Again { why: format!("no answer within {:?}", self.config.timeout), after: None },
        }
    }

    async fn try_send(&self, notice: &Notice, context: &Context<'_>) -> Result<Answer, TemplateError> {
        let http = match &self.client {
            Client::Smtp(mailer) => return mailer.send(notice, context).await,
            Client::Http(http) => http,
        };
        let request = match &self.config.kind {
            ChannelKind::Slack { url } => slack::request(url, notice, context)?,
            ChannelKind::Teams { url } => teams::request(url, notice, context)?,
            ChannelKind::Pagerduty { url, key } => pagerduty::request(url, key, notice),
            ChannelKind::Opsgenie { url, key } => opsgenie::request(url, key, notice),
            ChannelKind::Alertmanager { url, token, resend } => {
                alertmanager::request(url, token.as_ref(), *resend, notice, context.now)
            }
            ChannelKind::Webhook { url, key } => webhook::request(url, key, notice, context.now),
            ChannelKind::Email(_) => return Ok(Answer::Refused { why: "a mail is not sent by HTTP".to_owned() }),
        };
        Ok(http.send(&request).await)
    }
}
