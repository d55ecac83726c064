//! Mail by SMTP (RFC 5321): HTML and text, threaded, with the chart.
//!
//! An incident is one thread: its first mail on a channel is named after the incident alone, and all others refer to that
//! name (RFC 5322, 3.6.4: `In-Reply-To`, `References`). Names depend on nothing but what the mail says, so that a mail that
//! is sent once more is the same mail. `Auto-Submitted: auto-generated` (RFC 3834) keeps vacation notices away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use lettre::address::{Address, Envelope};
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::ExposeSecret;

use super::{Answer, Context};
use crate::alert::chart;
use crate::alert::notice::{Notice, cut};
use crate::alert::templates::{Template, TemplateError};
use crate::causes::chain;
use crate::config::alerting::{Email, SmtpTls};

/// Longer subjects are cut by those who show them (RFC 5322, 2.1.1 recommends lines of 78 characters).
const SUBJECT: usize = 140;

/// Messages of which some receivers are remembered to have them, at most: those that are being tried again.
const REMEMBERED: usize = 1_000;

/// Sends mails through one server.
pub(super) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    /// Who has a message that others are yet to get, by its id.
    have: Mutex<BTreeMap<String, BTreeSet<Address>>>,
}

/// The transport holds the password.
impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl Mailer {
    pub fn new(email: &Email, timeout: Duration) -> Result<Self, String> {
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(email.host.as_str())
            .port(email.port)
            .timeout(Some(timeout))
            .tls(tls(email)?);
        if let Some(user) = &email.user {
            let password = email.password.as_ref().map(|password| password.expose_secret().to_owned());
            transport = transport.credentials(Credentials::new(user.clone(), password.unwrap_or_default()));
        }
        let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| format!("`{text}`: {error}"));
        let to = email.to.iter().map(|text| mailbox(text)).collect::<Result<_, _>>()?;
        Ok(Self { transport: transport.build(), from: mailbox(&email.from)?, to, have: Mutex::default() })
    }

    pub async fn send(&self, notice: &Notice, context: &Context<'_>) -> Result<Answer, TemplateError> {
        let html = context.templates.render(Template::Mail, &notice.view)?;
        let mail = match self.mail(notice, html, context) {
            Ok(mail) => mail,
            Err(error) => return Ok(Answer::Refused { why: format!("the mail cannot be written: {error}") }),
        };
        let (envelope, mail) = (mail.envelope().clone(), mail.formatted());
        let is_begun = self.have().contains_key(&notice.id);
        Ok(match is_begun {
            true => self.send_one_by_one(&notice.id, &mail).await,
            false => match self.transport.send_raw(&envelope, &mail).await {
                Ok(_) => Answer::Taken,
                // Who refuses one receiver has taken nothing for the others (RFC 5321, 3.3: DATA follows).
                Err(error) if error.is_permanent() && self.to.len() > 1 => {
                    self.send_one_by_one(&notice.id, &mail).await
                }
                Err(error) => meaning(&error),
            },
        })
    }

    /// To each receiver that does not have it, in a transaction of its own, so that one that is refused takes it from nobody
    /// else. Who has it is remembered while others are tried again; a crash forgets that, and repeats the mail to them.
    async fn send_one_by_one(&self, id: &str, mail: &[u8]) -> Answer {
        let (mut refused, mut later) = (Vec::new(), None);
        for to in self.to.iter().map(|to| &to.email) {
            if self.have().get(id).is_some_and(|have| have.contains(to)) {
                continue;
            }
            let sent = match Envelope::new(Some(self.from.email.clone()), vec![to.clone()]) {
                Ok(envelope) => self.transport.send_raw(&envelope, mail).await.map_err(|error| meaning(&error)),
                Err(error) => Err(Answer::Refused { why: error.to_string() }),
            };
            match sent {
                Ok(_) => self.remember(id, to),
                Err(Answer::Refused { why }) => refused.push(format!("`{to}`: {why}")),
                Err(answer) => later = Some(answer),
            }
        }
        if let Some(answer) = later {
            return answer;
        }
        let have = self.have().remove(id).unwrap_or_default();
        let why = refused.join("; ");
        match (have.is_empty(), refused.is_empty()) {
            (_, true) => Answer::Taken,
            (false, false) => Answer::TakenInPart { why },
            (true, false) => Answer::Refused { why },
        }
    }

    fn have(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<Address>>> {
        self.have.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, id: &str, to: &Address) {
        let mut have = self.have();
        if have.len() >= REMEMBERED && !have.contains_key(id) {
            have.pop_first();
        }
        have.entry(id.to_owned()).or_default().insert(to.clone());
    }

    fn mail(&self, notice: &Notice, html: String, context: &Context<'_>) -> Result<Message, lettre::error::Error> {
        let domain = self.from.email.domain();
        let thread = format!("<incident.{}@{domain}>", notice.subject_id);
        let is_first = notice.view.kind == "opened";
        let name = if is_first { thread.clone() } else { format!("<message.{}@{domain}>", notice.id) };
        let sent = UNIX_EPOCH + Duration::from_micros(u64::try_from(notice.at.micros()).unwrap_or_default());
        let mut mail = Message::builder()
            .from(self.from.clone())
            .subject(cut(&one_line(&notice.summary), SUBJECT))
            .date(sent)
            .message_id(Some(name))
            .header(AutoSubmitted);
        if notice.incident.is_some() && !is_first {
            mail = mail.in_reply_to(thread.clone()).references(thread);
        }
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let text = SinglePart::plain(notice.text.clone());
        let html = SinglePart::html(html);
        let body = match picture(notice, context) {
            Some(png) => {
                let png = Attachment::new_inline("chart".to_owned()).body(png, content_type_png());
                let page = MultiPart::related().singlepart(html).singlepart(png);
                MultiPart::alternative().singlepart(text).multipart(page)
            }
            None => MultiPart::alternative().singlepart(text).singlepart(html),
        };
        mail.multipart(body)
    }
}

/// A mail without its chart is better than none.
fn picture(notice: &Notice, context: &Context<'_>) -> Option<Vec<u8>> {
    let incident = notice.incident.as_ref().filter(|_| notice.view.has_chart)?;
    match chart::png(incident, context.zone()) {
        Ok(png) => png,
        Err(error) => {
            tracing::warn!("{error}");
            None
        }
    }
}

/// Header fields end with their line: whoever could put one into a name could add headers.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn content_type_png() -> ContentType {
    // A constant that parses, as the mail test sees.
    ContentType::parse("image/png").unwrap_or(ContentType::TEXT_PLAIN)
}

fn tls(email: &Email) -> Result<Tls, String> {
    if email.tls == SmtpTls::Off {
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(email.host.clone());
    if let Some(file) = &email.tls_ca {
        let shown = file.display();
        let pem = std::fs::read(file).map_err(|error| format!("`tls_ca` `{shown}`: {error}"))?;
        let authority = Certificate::from_pem(&pem).map_err(|error| format!("`tls_ca` `{shown}`: {error}"))?;
        parameters = parameters.add_root_certificate(authority);
    }
    let parameters = parameters.build_rustls().map_err(|error| format!("no TLS: {}", chain(&error)))?;
    Ok(match email.tls {
        SmtpTls::Implicit => Tls::Wrapper(parameters),
        SmtpTls::Starttls | SmtpTls::Off => Tls::Required(parameters),
    })
}

/// 5yz is for good (RFC 5321, 4.2.1); 4yz, and a server that cannot be reached, is for now.
fn meaning(error: &SmtpError) -> Answer {
    let why = chain(error);
    if error.is_permanent() { Answer::Refused { why } } else { Answer::Again { why, after: None } }
}

/// RFC 3834, 5.
#[derive(Clone, Copy, Debug)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
