//! Takes what is due from the outbox, sends it, settles it. One task a channel, so that one that hangs keeps no other waiting.
//!
//! **At least once, at most one repetition a crash.** A message is claimed for longer than a try can take; who dies between
//! sending and settling leaves it to the next one, who sends it once more under the same name. Receivers that hold alerts,
//! and webhooks that look at the name, know it for the same.
//!
//! **Too many.** A channel with `max_per_hour` that has had as many gets the rest as one message "and N more", at most every
//! ten minutes. The end of what was told alone is always told. Tickets of a route with `digest` wait and are told together.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::channel::{Answer, Channel, ChannelError, Context};
use super::notice::{Notice, Phase};
use super::payload::{Payload, Told};
use super::route::Routing;
use super::templates::{Template, TemplateError, Templates};
use super::trouble::Trouble;
use super::view::{Setting, view};
use crate::causes::chain;
use crate::config::alerting::{Alerting, ChannelKind};
use crate::fault;
use crate::incident::{Happened, Severity, Step};
use crate::metrics::{Delivery, Metrics};
use crate::model::{Moment, TenantId};
use crate::retry::Backoff;
use crate::state::{Claimed, OutboxRow, StateError, StateStore};

mod folding;
mod pace;
mod present;
mod undelivered;

pub use pace::Pace;
use present::Present;
use undelivered::Loss;

/// How long what ended is sent to receivers that want repetition, as Prometheus does.
const ENDED_FOR: Duration = Duration::from_secs(15 * 60);
const HOUR: Duration = Duration::from_secs(3600);
/// Messages that ended are kept for so long.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The messages cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// A channel cannot be built.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Sends what the outbox holds.
#[derive(Debug)]
pub struct Sender {
    channels: Vec<Channel>,
    shared: Shared,
}

#[derive(Debug)]
struct Shared {
    alerting: Arc<Alerting>,
    templates: Templates,
    setting: Setting,
    metrics: Arc<Metrics>,
    tenant: TenantId,
    auditor: String,
    pace: Pace,
}

impl Sender {
    /// Checks the templates and prepares the channels; nothing is reached yet. `alerting` is the config's, `tenant` whose it is, `auditor` the name
    /// under which this process claims messages.
    ///
    /// # Errors
    /// When a template or a channel cannot be used.
    pub fn new(
        alerting: Arc<Alerting>,
        metrics: Arc<Metrics>,
        tenant: &TenantId,
        auditor: &str,
        pace: Pace,
    ) -> Result<Self, SetUpError> {
        let templates = Templates::load(alerting.templates.as_deref())?;
        let channels = alerting.channels.values().cloned().map(Channel::build).collect::<Result<Vec<_>, _>>()?;
        channels.iter().for_each(|channel| metrics.watch_channel(&channel.config.name));
        let setting = Setting { zone: alerting.time_zone, link: alerting.link.clone() };
        let (tenant, auditor) = (tenant.clone(), auditor.to_owned());
        let shared = Shared { alerting, templates, setting, metrics, tenant, auditor, pace };
        Ok(Self { channels, shared })
    }

    /// Sends until `stop`. A try that runs then is waited for.
    pub async fn run(self, state: StateStore, stop: CancellationToken) {
        let shared = Arc::new(self.shared);
        if let Err(error) = reconcile(&state, &shared).await {
            tracing::warn!("messages of an earlier run may wait a while: {}", chain(&error));
        }
        let mut tasks = tokio::task::JoinSet::new();
        for channel in self.channels {
            let trouble = Trouble::new(shared.tenant.clone(), Arc::clone(&shared.alerting));
            let worker = Worker { state: state.clone(), shared: Arc::clone(&shared), channel, trouble };
            tasks.spawn(serve(worker, stop.clone()));
        }
        tasks.spawn(count(state, shared, stop));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!("a channel's task died: {error}");
            }
        }
    }

    /// Sends a test message on a channel, past the outbox; `None` when there is no such channel.
    pub async fn test(&self, channel: &str, id: &str, now: Moment) -> Option<Answer> {
        let channel = self.channels.iter().find(|known| known.config.name == channel)?;
        let row = OutboxRow {
            id: id.to_owned(),
            incident: format!("test-{id}"),
            channel: channel.config.name.clone(),
            kind: "test".to_owned(),
            severity: Severity::Ticket.as_str().to_owned(),
            happened_at: now,
            due_at: now,
            bundled: false,
            payload: Vec::new(),
        };
        let notice = match notice(&row, &Payload::Test, now, &self.shared) {
            Ok(notice) => notice,
            Err(error) => return Some(Answer::Refused { why: error.to_string() }),
        };
        let context = Context { templates: &self.shared.templates, setting: &self.shared.setting, now };
        let answer = channel.send(&notice, &context).await;
        if answer == Answer::Taken && channel.config.kind.holds_alerts() {
            // What it opened there is closed again.
            return Some(channel.send(&Notice { phase: Phase::Resolved, ..notice }, &context).await);
        }
        Some(answer)
    }
}

/// What a dead process of this auditor had claimed is free at once. Messages for channels that the config does not have any
/// more stay: another auditor may have a newer config.
async fn reconcile(state: &StateStore, shared: &Shared) -> Result<(), StateError> {
    let released = state.release_claims(&shared.auditor).await?;
    if released > 0 {
        tracing::info!(released, "messages that an earlier run was sending are sent again");
    }
    for channel in state.channels_waited_for().await? {
        if !shared.alerting.channels.contains_key(&channel) {
            tracing::warn!("messages wait for channel `{channel}`, which the config does not have");
        }
    }
    Ok(())
}

/// Keeps the gauges, and forgets what ended long ago.
async fn count(state: StateStore, shared: Arc<Shared>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(shared.pace.poll.max(Duration::from_secs(1)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = recount(&state, &shared).await {
            tracing::warn!("messages cannot be counted: {}", chain(&error));
        }
    }
}

async fn recount(state: &StateStore, shared: &Shared) -> Result<(), StateError> {
    let now = state.now().await?;
    let depths = state.outbox_depth(now).await?;
    let configured = shared.alerting.channels.keys();
    for channel in configured.chain(depths.keys().filter(|name| !shared.alerting.channels.contains_key(*name))) {
        let depth = depths.get(channel).copied().unwrap_or_default();
        let oldest = depth.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        shared.metrics.outbox(channel, depth.waiting, oldest, depth.dead);
    }
    state.forget_messages(now - KEPT).await.map(drop)
}

/// One channel's work.
struct Worker {
    state: StateStore,
    shared: Arc<Shared>,
    channel: Channel,
    trouble: Trouble,
}

async fn serve(worker: Worker, stop: CancellationToken) {
    let mut trouble = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    while !stop.is_cancelled() {
        let wait = match worker.step().await {
            Ok(true) => {
                trouble.reset();
                continue;
            }
            Ok(false) => {
                trouble.reset();
                worker.shared.pace.poll
            }
            Err(error) => {
                tracing::warn!("messages to `{}` wait: {}", worker.channel.config.name, chain(&error));
                trouble.next_wait()
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
    }
}

impl Worker {
    fn name(&self) -> &str {
        &self.channel.config.name
    }

    /// Longer than a try, with time to settle it.
    fn lease(&self) -> Duration {
        self.channel.config.timeout * 2 + Duration::from_secs(10)
    }

    /// Sends one message if one is due.
    async fn step(&self) -> Result<bool, StateError> {
        let now = self.state.now().await?;
        self.make_digest(now).await?;
        let full = self.is_full(now).await?;
        if full {
            self.make_more(now).await?;
        }
        let claimed = self.state.claim(self.name(), &self.shared.auditor, now, self.lease(), full).await?;
        let Some(claimed) = claimed else { return Ok(false) };
        fault::point("outbox.claimed");
        self.deliver(&claimed, now).await?;
        fault::point("outbox.settled");
        Ok(true)
    }

    async fn deliver(&self, claimed: &Claimed, now: Moment) -> Result<(), StateError> {
        let Ok(payload) = Payload::from_stored(&claimed.row.payload) else {
            return self.give_up(claimed, None, "what is stored of it is damaged", now).await;
        };
        let payload = match self.present(payload, now).await? {
            Present::Told(payload) => payload,
            Present::Late => return self.state.put_off(claimed, now + self.shared.pace.poll).await,
            Present::Nothing => return self.state.cancelled(claimed, now).await.map(drop),
        };
        let notice = match notice(&claimed.row, &payload, now, &self.shared) {
            Ok(notice) => notice,
            Err(error) => return self.give_up(claimed, Some(&payload), &error.to_string(), now).await,
        };
        let context = Context { templates: &self.shared.templates, setting: &self.shared.setting, now };
        let answer = self.channel.send(&notice, &context).await;
        fault::point("outbox.sent");
        match answer {
            Answer::Taken => {
                self.taken(claimed, &payload, notice.phase).await?;
                self.trouble.ends(&self.state, self.name(), now).await
            }
            Answer::TakenInPart { why } => {
                tracing::error!("`{}` refused some of its receivers for good: {why}", self.name());
                self.taken(claimed, &payload, notice.phase).await?;
                self.tell_hourly(claimed, &payload, &why, Loss::InPart, now).await
            }
            Answer::Again { why, after } => self.again(claimed, &payload, &why, after).await,
            Answer::Refused { why } => self.give_up(claimed, Some(&payload), &why, now).await,
        }
    }

    /// The incident's timeline shows who was told. Best effort: what it lacks was told all the same.
    async fn note(&self, payload: &Payload, outcome: &str, at: Moment) {
        let Payload::Step(told) = payload else { return };
        let (channel, outcome) = (self.name().to_owned(), outcome.to_owned());
        let mut steps = vec![Step { at, happened: Happened::Notified { channel, outcome } }];
        if let Happened::Reminder | Happened::Escalated { .. } = told.step.happened {
            steps.insert(0, Step { at, happened: told.step.happened.clone() });
        }
        if let Err(error) = self.state.add_steps(&told.incident, &steps).await {
            tracing::warn!("a timeline lacks that `{}` was told: {}", self.name(), chain(&error));
        }
    }

    async fn taken(&self, claimed: &Claimed, payload: &Payload, phase: Phase) -> Result<(), StateError> {
        let now = self.state.now().await?;
        let again_at = match &self.channel.config.kind {
            ChannelKind::Alertmanager { resend, .. } if claimed.row.kind != "test" => {
                let ended = phase == Phase::Resolved && now.since(claimed.row.happened_at) > ENDED_FOR;
                (!ended).then(|| now + *resend)
            }
            _ => None,
        };
        let next = next_reminder(&claimed.row, payload, now);
        if claimed.attempts == 1 || again_at.is_none() {
            tracing::info!("told `{}` that {} {}", self.name(), claimed.row.incident, claimed.row.kind);
        }
        self.shared.metrics.notified(self.name(), Delivery::Delivered, 1);
        // What is sent again and again stands in the timeline once.
        let is_first = claimed.attempts == 1;
        if self.settled(claimed, now, again_at, next.as_ref()).await? && (again_at.is_none() || is_first) {
            self.note(payload, "delivered", now).await;
        }
        Ok(())
    }

    /// Notes that a message was taken. A state database that is busy is asked again for as long as the claim lasts: only a
    /// crash may make a message come twice.
    async fn settled(
        &self,
        claimed: &Claimed,
        now: Moment,
        again_at: Option<Moment>,
        next: Option<&OutboxRow>,
    ) -> Result<bool, StateError> {
        let mut waits = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let until = tokio::time::Instant::now() + self.channel.config.timeout;
        loop {
            match self.state.delivered(claimed, now, again_at, next).await {
                Err(error) if tokio::time::Instant::now() < until => {
                    tracing::warn!("that `{}` took a message cannot be noted yet: {}", self.name(), chain(&error));
                    tokio::time::sleep(waits.next_wait()).await;
                }
                settled => return settled,
            }
        }
    }

    async fn again(
        &self,
        claimed: &Claimed,
        payload: &Payload,
        why: &str,
        after: Option<Duration>,
    ) -> Result<(), StateError> {
        let now = self.state.now().await?;
        let wait = self.shared.pace.wait_after(claimed.attempts, after);
        tracing::warn!("`{}` did not take a message, next try in {wait:?}: {why}", self.name());
        self.shared.metrics.notified(self.name(), Delivery::Retried, 1);
        self.state.retry(claimed, now + wait, why).await?;
        if now.since(claimed.row.due_at) < self.shared.alerting.fallback_after {
            return Ok(());
        }
        self.tell_hourly(claimed, payload, why, Loss::Late, now).await
    }

    async fn give_up(
        &self,
        claimed: &Claimed,
        payload: Option<&Payload>,
        why: &str,
        now: Moment,
    ) -> Result<(), StateError> {
        tracing::error!("`{}` refused a message for good: {why}", self.name());
        self.shared.metrics.notified(self.name(), Delivery::Dead, 1);
        let elsewhere = self.elsewhere(claimed, payload, why, Loss::Whole, now).await?;
        if let (true, Some(payload)) = (self.state.refused(claimed, now, why, elsewhere.as_ref()).await?, payload) {
            self.note(payload, "dead", now).await;
        }
        Ok(())
    }
}

/// Somebody is reminded again and again until the reminders are dropped.
fn next_reminder(row: &OutboxRow, payload: &Payload, now: Moment) -> Option<OutboxRow> {
    let Payload::Step(told) = payload else { return None };
    if row.kind != "reminder" || told.remind_every_secs == 0 {
        return None;
    }
    let told = Told { step: Step { at: now, happened: Happened::Reminder }, ..(**told).clone() };
    let due_at = now + Duration::from_secs(told.remind_every_secs);
    Some(OutboxRow {
        id: OutboxRow::id_of(&row.incident, &row.channel, "reminder", now),
        happened_at: now,
        due_at,
        payload: Payload::Step(Box::new(told)).to_stored(),
        ..row.clone()
    })
}

fn notice(row: &OutboxRow, payload: &Payload, now: Moment, shared: &Shared) -> Result<Notice, TemplateError> {
    let told = payload.told();
    let team = told.map_or("", |told| Routing::new(&shared.alerting).team(&told.incident));
    let view = view(payload, team, now, &shared.setting);
    let phase = match payload {
        Payload::Step(told) => match &told.step.happened {
            Happened::Resolved { .. } => Phase::Resolved,
            Happened::Acknowledged { .. } => Phase::Acknowledged,
            _ => Phase::Firing,
        },
        Payload::Several(_) | Payload::Undelivered(_) | Payload::Test => Phase::Firing,
    };
    let is_own = matches!(payload, Payload::Step(_));
    Ok(Notice {
        id: row.id.clone(),
        subject_id: format!("plumbline-{}", row.incident.replace(' ', "-")),
        phase,
        severity: if row.severity == Severity::Page.as_str() { Severity::Page } else { Severity::Ticket },
        at: row.happened_at,
        began: told.filter(|_| is_own).map_or(row.happened_at, |told| told.incident.opened_at),
        incident: told.filter(|_| is_own).map(|told| told.incident.clone()),
        summary: shared.templates.render(Template::Subject, &view)?,
        text: shared.templates.render(Template::Text, &view)?,
        view,
    })
}

/// The notice of an example, for tests of channels.
#[cfg(test)]
pub(crate) fn example_notice() -> Notice {
    let alerting = Arc::new(Alerting { link: Some("https://plumbline.example.org".to_owned()), ..Alerting::default() });
    let sender =
        Sender::new(alerting, Arc::new(Metrics::new()), &TenantId::default(), "test", Pace::default()).unwrap();
    let payload = super::view::example_payloads().remove(0);
    let told = payload.told().unwrap();
    let row = OutboxRow {
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        incident: told.incident.id.to_string(),
        channel: "chat".to_owned(),
        kind: "opened".to_owned(),
        severity: "page".to_owned(),
        happened_at: told.step.at,
        due_at: told.step.at,
        bundled: false,
        payload: Vec::new(),
    };
    notice(&row, &payload, told.step.at, &sender.shared).unwrap()
}
