//! What a message says, in words and figures, before any receiver's form: what templates are given. Pure.
//!
//! The names of these fields are part of what templates may use; docs/alerts.md lists them.

use std::time::Duration;

use chrono_tz::Tz;
use serde::Serialize;

use super::payload::{Line, Payload, Several, Told, Undelivered};
use crate::incident::{BrokenSlo, Cause, Contributors, Happened, Incident, SAMPLES, SampleRecord, Severity};
use crate::model::Moment;

mod examples;
mod words;

pub use examples::{example_incident, example_payloads, examples};
pub use words::{amount, budget, duration};
use words::{grouped, percent, time};

/// What surrounds every message.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Zone of times.
    pub zone: Tz,
    /// Links begin with it.
    pub link: Option<String>,
}

/// Everything that a template may use. Texts are empty and lists are without entries where nothing is known.
#[derive(Clone, Debug, Default, Serialize)]
pub struct View {
    /// `opened`, `worsened`, `reopened`, `reminder`, `escalated`, `acknowledged`, `resolved`, `digest`, `more`,
    /// `undelivered` or `test`.
    pub kind: String,
    /// `page` or `ticket`.
    pub severity: String,
    /// One line: what happened to what.
    pub headline: String,
    /// One sentence more.
    pub detail: String,
    /// The incident's id.
    pub incident: String,
    /// What it is about: `stock: erp -> store`.
    pub about: String,
    /// Whose it is.
    pub team: String,
    /// Since when, with date and zone.
    pub since: String,
    /// For how long: `1 h 5 min`.
    pub lasted: String,
    /// The broken promises.
    pub promises: Vec<Promise>,
    /// How bad it is.
    pub figures: Vec<Figure>,
    /// The system to blame.
    pub blamed: String,
    /// Why we think so.
    pub because: String,
    /// A few records.
    pub samples: Vec<Sample>,
    /// What to do next.
    pub next_step: String,
    /// The command for it, if there is one.
    pub next_command: String,
    /// The command that shows more.
    pub command: String,
    /// Where to look.
    pub links: Vec<Link>,
    /// Several messages in one.
    pub lines: Vec<LineView>,
    /// How many more there are than lines.
    pub more: u64,
    /// Whether a chart comes with it.
    pub has_chart: bool,
}

/// A broken promise.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Promise {
    /// The SLO's name.
    pub name: String,
    /// In words.
    pub promise: String,
    /// What was kept of it: `97.21 %`, or `96.1 % to 97.2 %`.
    pub kept: String,
    /// What was promised: `99.5 %`.
    pub objective: String,
    /// What is left of the error budget: `12 % left`, `overdrawn by 30 %`.
    pub budget_left: String,
    /// How fast the budget is used up: `20x`.
    pub burn: String,
    /// The burn tier that fired.
    pub tier: String,
}

/// How bad it is, in one figure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// What is counted.
    pub name: String,
    /// How much.
    pub value: String,
}

/// A record that shows what is wrong, masked as its fields say.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sample {
    /// The key.
    pub key: String,
    /// The verdict's word.
    pub verdict: String,
    /// What differs.
    pub fields: Vec<SampleField>,
    /// Where a person can look at it.
    pub link: String,
}

/// A differing field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SampleField {
    /// Its name.
    pub name: String,
    /// The owner's value.
    pub owner: String,
    /// The target's value.
    pub target: String,
}

/// Where to look.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Link {
    /// What is there.
    pub name: String,
    /// Where it is.
    pub url: String,
}

/// One of several messages.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LineView {
    /// When.
    pub at: String,
    /// How urgent.
    pub severity: String,
    /// What.
    pub text: String,
    /// The incident's page, if there is one.
    pub link: String,
}

/// What a message says.
pub fn view(payload: &Payload, team: &str, now: Moment, setting: &Setting) -> View {
    let mut view = match payload {
        Payload::Step(told) => of_step(told, now, setting),
        Payload::Several(several) => of_several(several, setting),
        Payload::Undelivered(undelivered) => of_undelivered(undelivered, now, setting),
        Payload::Test => of_test(),
    };
    view.team = team.to_owned();
    view
}

fn of_step(told: &Told, now: Moment, setting: &Setting) -> View {
    let Told { incident, step, .. } = told;
    let until = incident.resolved_at.unwrap_or(now);
    let link = setting.link.as_ref().map(|base| format!("{base}/incidents/{}", incident.id));
    let (next_step, next_command) = if incident.is_open() { next_step(incident) } else { Default::default() };
    View {
        kind: step.happened.as_str().to_owned(),
        severity: incident.severity.as_str().to_owned(),
        headline: headline(incident, &step.happened),
        detail: detail(&step.happened, incident, setting),
        incident: incident.id.to_string(),
        about: about(&incident.cause),
        since: time(incident.opened_at, setting.zone),
        lasted: lasted(until.since(incident.opened_at)),
        promises: incident.broken.iter().map(promise).collect(),
        figures: figures(incident, now, setting.zone),
        blamed: incident.blame.as_ref().map(|blame| blame.system.to_string()).unwrap_or_default(),
        because: incident.blame.as_ref().map(|blame| blame.because.replace('`', "")).unwrap_or_default(),
        samples: incident.evidence.samples.iter().take(SAMPLES as usize).map(sample).collect(),
        next_step,
        next_command,
        command: format!("plumbline incident show {}", incident.id),
        links: link.map(|url| Link { name: "Incident".to_owned(), url }).into_iter().collect(),
        has_chart: incident.evidence.has_chart(),
        ..View::default()
    }
}

/// Nobody is told of fractions of a second.
fn lasted(so_far: Duration) -> String {
    if so_far < Duration::from_secs(10) { "just now".to_owned() } else { duration(so_far) }
}

/// What it is about, as people say it.
fn about(cause: &Cause) -> String {
    match cause {
        Cause::Flow(flow) => flow.to_string(),
        other => other.to_string(),
    }
}

/// What is wrong, without what happened to it.
pub fn matter(incident: &Incident) -> String {
    match &incident.cause {
        Cause::Flow(flow) => match incident.broken.len() {
            0 | 1 => format!("{}: {} to {} breaks its promise", flow.entity, flow.owner, flow.target),
            many => format!("{}: {} to {} breaks {many} promises", flow.entity, flow.owner, flow.target),
        },
        Cause::Path { system } => format!("what comes through {system} is late or wrong"),
        Cause::Blind { system } => format!("{system} cannot be read: nothing is known of what it holds"),
        Cause::Queue { system, queue } => format!("queue {queue} of {system} is too deep or too old"),
        Cause::Auditor => "the auditor does not see".to_owned(),
        Cause::Delivery { channel } => format!("messages to {channel} are not delivered"),
    }
}

fn headline(incident: &Incident, happened: &Happened) -> String {
    let matter = matter(incident);
    match happened {
        Happened::Worsened => format!("Worse: {matter}"),
        Happened::Reopened => format!("Back again: {matter}"),
        Happened::Reminder => format!("Still open: {matter}"),
        Happened::Escalated { .. } => format!("Nobody looks at it: {matter}"),
        Happened::Acknowledged { by } => format!("{by} looks at it: {matter}"),
        Happened::Resolved { .. } => format!("Resolved: {}", about(&incident.cause)),
        Happened::Opened
        | Happened::Assigned { .. }
        | Happened::Note { .. }
        | Happened::Snoozed { .. }
        | Happened::Notified { .. } => matter,
    }
}

fn detail(happened: &Happened, incident: &Incident, setting: &Setting) -> String {
    match happened {
        Happened::Resolved { by: Some(by) } => format!("{by} has closed it."),
        Happened::Resolved { by: None } => {
            let again = if incident.reopened > 0 {
                format!(" It came back {} times.", incident.reopened)
            } else {
                String::new()
            };
            format!("The promise is kept again, even if everything unknown is counted as bad.{again}")
        }
        Happened::Acknowledged { .. } => "There will be no more reminders unless it gets worse.".to_owned(),
        Happened::Escalated { level } => {
            format!(
                "It was told {} and nobody has acknowledged it. This is escalation {level}.",
                time(incident.opened_at, setting.zone)
            )
        }
        Happened::Reminder => format!("Open since {}, and not acknowledged.", time(incident.opened_at, setting.zone)),
        Happened::Reopened => "It was over for less than an hour.".to_owned(),
        _ => String::new(),
    }
}

fn promise(slo: &BrokenSlo) -> Promise {
    let (worst, best) = (percent(slo.sli_worst), percent(slo.sli_best));
    Promise {
        name: slo.name.clone(),
        promise: slo.promise.clone(),
        kept: if worst == best { best } else { format!("{worst} to {best}") },
        objective: percent(slo.objective),
        budget_left: budget(slo.budget_left),
        burn: format!("{:.1}x", slo.burn),
        tier: slo.tier.clone(),
    }
}

fn figures(incident: &Incident, now: Moment, zone: Tz) -> Vec<Figure> {
    let evidence = &incident.evidence;
    let mut figures = Vec::new();
    let mut add = |name: &str, value: String| figures.push(Figure { name: name.to_owned(), value });
    if evidence.wrong > 0 {
        let share = evidence.wrong as f64 / evidence.checked as f64;
        add(
            "Wrong",
            format!("{} of {} checked ({})", grouped(evidence.wrong), grouped(evidence.checked), percent(share)),
        );
    }
    if evidence.overdue > 0 {
        let oldest = evidence.oldest.map(|oldest| format!(", the oldest for {}", duration(now.since(oldest))));
        add("Overdue now", format!("{}{}", grouped(evidence.overdue), oldest.unwrap_or_default()));
    }
    if let Some(micros) = evidence.lag_p99_us {
        add("Lag p99", duration(Duration::from_micros(micros)));
    }
    let worst = incident.broken.iter().map(|slo| slo.budget_left).min_by(f64::total_cmp);
    if let Some(left) = worst {
        add("Error budget", budget(left));
    }
    if !evidence.money_at_risk.is_empty() {
        let amounts: Vec<String> = evidence.money_at_risk.iter().map(amount).collect();
        add("Money at risk", amounts.join(", "));
    }
    let Contributors { keys, hours, targets } = &evidence.contributors;
    if keys.iter().any(|(_, times)| *times > 1) {
        add("Most often wrong", counted(keys.iter().map(|(key, times)| (key.clone(), *times)), "times"));
    }
    if let Some((hour, bad)) = hours.first().filter(|_| hours.len() > 1) {
        add("Worst hour", format!("{} ({} bad)", time(*hour, zone), grouped(*bad)));
    }
    if targets.len() > 1 {
        add("Worst targets", counted(targets.iter().cloned(), "bad"));
    }
    figures
}

/// `S-1 (3 times), S-2 (2 times)`.
fn counted(counts: impl Iterator<Item = (String, u64)>, what: &str) -> String {
    let each: Vec<String> = counts.map(|(name, count)| format!("{name} ({} {what})", grouped(count))).collect();
    each.join(", ")
}

fn sample(record: &SampleRecord) -> Sample {
    let values = record.owner_values.iter().zip(&record.target_values);
    let field = |(name, (owner, target)): (&String, (&String, &String))| SampleField {
        name: name.clone(),
        owner: owner.clone(),
        target: target.clone(),
    };
    Sample {
        key: record.key.clone(),
        verdict: record.verdict.clone(),
        fields: record.fields.iter().zip(values).map(field).collect(),
        link: record.link.clone().unwrap_or_default(),
    }
}

/// What to do next, and the command for it.
fn next_step(incident: &Incident) -> (String, String) {
    let look = match (&incident.cause, &incident.blame) {
        (Cause::Delivery { channel }, _) => return test_channel(channel),
        (Cause::Blind { system }, _) => {
            return (format!("See why {system} cannot be read:"), "plumbline doctor".to_owned());
        }
        (_, Some(blame)) => format!("Look at {} first", blame.system),
        (Cause::Flow(flow), None) => {
            format!("Look at what brings {} from {} to {}", flow.entity, flow.owner, flow.target)
        }
        (Cause::Path { system }, None) => format!("Look at {system} first"),
        (Cause::Queue { system, .. }, None) => format!("Look at the consumers of the queue in {system}"),
        (_, None) => "Look at the auditor's /readyz and at its log".to_owned(),
    };
    match incident.acknowledged_at {
        None => (format!("{look}, and say that you do:"), format!("plumbline incident ack {}", incident.id)),
        Some(_) => (format!("{look}."), String::new()),
    }
}

fn test_channel(channel: &str) -> (String, String) {
    (format!("See what the receiver of {channel} answers:"), format!("plumbline notify test {channel}"))
}

fn of_several(several: &Several, setting: &Setting) -> View {
    let total = several.lines.len() as u64 + several.more;
    let is_page = several.lines.iter().any(|line| line.severity == Severity::Page);
    let line = |line: &Line| LineView {
        at: time(line.at, setting.zone),
        severity: line.severity.as_str().to_owned(),
        text: line.text.clone(),
        link: setting.link.as_ref().map(|base| format!("{base}/incidents/{}", line.incident)).unwrap_or_default(),
    };
    let headline = match (several.digest, total) {
        (true, total) => format!("{total} things happened"),
        (false, total) => format!("and {total} more"),
    };
    let detail = if several.digest { "" } else { "This channel has had as many messages as it may in an hour." };
    View {
        kind: if several.digest { "digest" } else { "more" }.to_owned(),
        severity: if is_page { Severity::Page } else { Severity::Ticket }.as_str().to_owned(),
        headline,
        detail: detail.to_owned(),
        lines: several.lines.iter().map(line).collect(),
        more: several.more,
        command: "plumbline incident list".to_owned(),
        links: setting
            .link
            .as_ref()
            .map(|base| Link { name: "Incidents".to_owned(), url: format!("{base}/incidents") })
            .into_iter()
            .collect(),
        ..View::default()
    }
}

fn of_undelivered(undelivered: &Undelivered, now: Moment, setting: &Setting) -> View {
    let Undelivered { channel, why, for_good, in_part, at, told } = undelivered;
    let inner = told.as_ref().map(|told| of_step(told, now, setting));
    let what = match (for_good, in_part) {
        (true, _) => format!("{channel} refused a message"),
        (false, true) => format!("{channel} does not reach everybody"),
        (false, false) => format!("messages do not get through to {channel}"),
    };
    let about = inner.as_ref().map(|inner| format!(" The message was: {}.", inner.headline)).unwrap_or_default();
    let mut view = inner.unwrap_or_default();
    view.kind = "undelivered".to_owned();
    view.severity = Severity::Page.as_str().to_owned();
    view.detail = format!("{}: {why}.{about}", time(*at, setting.zone));
    view.headline = what;
    (view.next_step, view.next_command) = test_channel(channel);
    view
}

fn of_test() -> View {
    View {
        kind: "test".to_owned(),
        severity: Severity::Ticket.as_str().to_owned(),
        headline: "This is a test".to_owned(),
        detail: "Somebody ran `plumbline notify test`. Whoever reads this would be told of incidents here.".to_owned(),
        ..View::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_in_the_headline() {
        let setting = Setting { zone: Tz::UTC, link: None };
        let at = |payload: &Payload| payload.told().map_or(Moment::from_micros(0), |told| told.step.at);
        let mut lines: Vec<String> = example_payloads()
            .iter()
            .map(|payload| view(payload, "", at(payload), &setting))
            .map(|view| format!("{} | {} | {}", view.kind, view.headline, view.detail).trim_end().to_owned())
            .collect();
        lines.dedup();
        insta::assert_snapshot!(lines.join("\n"), @r"
        opened | price: erp to store breaks its promise |
        worsened | Worse: price: erp to store breaks its promise |
        reopened | Back again: price: erp to store breaks its promise | It was over for less than an hour.
        reminder | Still open: price: erp to store breaks its promise | Open since 23 Nov 2026, 09:59 UTC, and not acknowledged.
        escalated | Nobody looks at it: price: erp to store breaks its promise | It was told 23 Nov 2026, 09:59 UTC and nobody has acknowledged it. This is escalation 1.
        acknowledged | ann looks at it: price: erp to store breaks its promise | There will be no more reminders unless it gets worse.
        resolved | Resolved: price: erp -> store | The promise is kept again, even if everything unknown is counted as bad.
        resolved | Resolved: price: erp -> store | ann has closed it.
        digest | 2 things happened |
        more | and 242 more | This channel has had as many messages as it may in an hour.
        undelivered | chat refused a message | 23 Nov 2026, 11:04 UTC: it answered 404: no_service. The message was: price: erp to store breaks its promise.
        undelivered | chat refused a message | 23 Nov 2026, 11:04 UTC: it answered 404: no_service.
        test | This is a test | Somebody ran `plumbline notify test`. Whoever reads this would be told of incidents here.
        ");
    }
}
