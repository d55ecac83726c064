//! Which step of which incident goes to which channels, and when. Pure: the outbox holds what comes out of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::payload::{Payload, Told};
use crate::config::alerting::{Alerting, Route};
use crate::incident::{Cause, Happened, Incident, Severity, Step};
use crate::model::{Moment, SystemId};
use crate::state::{Echo, OutboxRow, Outgoing};

/// What the config says about who is told.
#[derive(Clone, Copy, Debug)]
pub struct Routing<'c> {
    alerting: &'c Alerting,
}

/// When and how a channel is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct When {
    due_at: Moment,
    bundled: bool,
}

impl<'c> Routing<'c> {
    /// By this config.
    pub const fn new(alerting: &'c Alerting) -> Self {
        Self { alerting }
    }

    /// The first team that owns the blamed system, the entity, or another system of the incident; empty without one.
    pub fn team(&self, incident: &Incident) -> &'c str {
        let of_system = |system: &SystemId| self.alerting.teams.iter().find(|team| team.systems.contains(system));
        let of_entity = || {
            let entity = incident.entity.as_ref()?;
            self.alerting.teams.iter().find(|team| team.entities.contains(entity))
        };
        let blamed = incident.blame.as_ref().and_then(|blame| of_system(&blame.system));
        let any = || systems(incident).into_iter().find_map(of_system);
        blamed.or_else(of_entity).or_else(any).map_or("", |team| team.name.as_str())
    }

    /// What a step of an incident gives to tell; `None` when nobody is told of such steps. Call it with the incident as it is
    /// after the step, and write the answer in the step's transaction ([`crate::state::StateStore::enqueue`]).
    pub fn outgoing(&self, incident: &Incident, step: &Step) -> Option<Outgoing> {
        let base = Outgoing { incident: incident.id.to_string(), ..Outgoing::default() };
        match &step.happened {
            Happened::Opened | Happened::Reopened | Happened::Worsened => {
                Some(Outgoing { rows: self.rows(incident, step), ..base })
            }
            Happened::Acknowledged { .. } | Happened::Resolved { .. } => {
                Some(Outgoing { settles: true, echo: Some(echo(incident, step)), ..base })
            }
            Happened::Snoozed { until, .. } => Some(Outgoing { quiet_until: Some(*until), ..base }),
            Happened::Assigned { .. }
            | Happened::Note { .. }
            | Happened::Reminder
            | Happened::Escalated { .. }
            | Happened::Notified { .. } => None,
        }
    }

    fn rows(&self, incident: &Incident, step: &Step) -> Vec<OutboxRow> {
        let mut told: BTreeMap<&str, When> = BTreeMap::new();
        let mut rows = Vec::new();
        let routes = self.matching(incident, step.at);
        for route in &routes {
            for channel in &route.channels {
                let when = self.when(route, channel, step.at);
                told.entry(channel.as_str()).and_modify(|known| *known = when.min(*known)).or_insert(when);
            }
            if incident.acknowledged_at.is_none() {
                rows.extend(pushing(route, incident, step));
            }
        }
        if routes.is_empty() && (incident.severity == Severity::Page || self.alerting.routes.is_empty()) {
            let at_once = When { due_at: step.at, bundled: false };
            told.extend(self.alerting.channels.keys().map(|channel| (channel.as_str(), at_once)));
        }
        let kind = step.happened.as_str();
        rows.extend(told.into_iter().map(|(channel, when)| row(incident, step, channel, kind, kind, when, 0)));
        rows.sort_by(|a, b| (a.due_at, &a.channel).cmp(&(b.due_at, &b.channel)));
        rows
    }

    fn matching(&self, incident: &Incident, at: Moment) -> Vec<&'c Route> {
        let team = self.team(incident);
        let systems = systems(incident);
        let is_meant = |route: &&Route| {
            // A ticket waits for the hours, a page does not.
            let in_hours = route.hours.is_none_or(|hours| incident.severity == Severity::Ticket || hours.hold(at));
            in_hours
                && route.severity.is_none_or(|severity| severity == incident.severity)
                && (route.entities.is_empty()
                    || incident.entity.as_ref().is_some_and(|entity| route.entities.contains(entity)))
                && (route.systems.is_empty() || systems.iter().any(|system| route.systems.contains(system)))
                && (route.teams.is_empty() || route.teams.iter().any(|name| name == team))
        };
        self.alerting.routes.iter().filter(is_meant).collect()
    }

    fn when(&self, route: &Route, channel: &str, at: Moment) -> When {
        let opening = route.hours.map_or(at, |hours| hours.next(at));
        let holds_alerts = self.alerting.channels.get(channel).is_some_and(|channel| channel.kind.holds_alerts());
        match route.digest {
            Some(every) if !holds_alerts => When { due_at: next_multiple(opening, every), bundled: true },
            _ => When { due_at: opening, bundled: false },
        }
    }
}

/// Digests go out at round times: every hour at the full hour.
fn next_multiple(at: Moment, every: Duration) -> Moment {
    let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
    at.shifted(every - at.micros().rem_euclid(every))
}

/// Every system that an incident is about.
fn systems(incident: &Incident) -> Vec<&SystemId> {
    let of_cause: Vec<&SystemId> = match &incident.cause {
        Cause::Flow(flow) => vec![&flow.owner, &flow.target],
        Cause::Path { system } | Cause::Blind { system } | Cause::Queue { system, .. } => vec![system],
        Cause::Auditor | Cause::Delivery { .. } => Vec::new(),
    };
    incident.blame.iter().map(|blame| &blame.system).chain(of_cause).collect()
}

/// Reminders and escalations of a route. One of each for an episode, however often it worsens.
fn pushing(route: &Route, incident: &Incident, step: &Step) -> Vec<OutboxRow> {
    let start = incident.snoozed_until.map_or(step.at, |until| until.max(step.at));
    let start = route.hours.map_or(start, |hours| hours.next(start));
    let episode = incident.reopened;
    let mut rows = Vec::new();
    if let Some(every) = route.remind_every {
        let step = Step { at: step.at, happened: Happened::Reminder };
        let when = When { due_at: start + every, bundled: false };
        let name = format!("reminder/{episode}");
        let one = |channel: &String| row(incident, &step, channel, "reminder", &name, when, every.as_secs());
        rows.extend(route.channels.iter().map(one));
    }
    if let Some(escalation) = &route.escalation {
        let step = Step { at: step.at, happened: Happened::Escalated { level: 1 } };
        let when = When { due_at: start + escalation.after, bundled: false };
        let name = format!("escalated/{episode}");
        rows.extend(escalation.to.iter().map(|channel| row(incident, &step, channel, "escalated", &name, when, 0)));
    }
    rows
}

fn row(
    incident: &Incident,
    step: &Step,
    channel: &str,
    kind: &str,
    name: &str,
    when: When,
    remind_every_secs: u64,
) -> OutboxRow {
    let id = incident.id.to_string();
    // What is told once an episode has its name from the episode.
    let named_at = if kind == name { step.at } else { Moment::from_micros(0) };
    let told = Told { incident: incident.clone(), step: step.clone(), remind_every_secs };
    OutboxRow {
        id: OutboxRow::id_of(&id, channel, name, named_at),
        incident: id,
        channel: channel.to_owned(),
        kind: kind.to_owned(),
        severity: incident.severity.as_str().to_owned(),
        happened_at: step.at,
        due_at: when.due_at,
        bundled: when.bundled,
        payload: Payload::Step(Box::new(told)).to_stored(),
    }
}

fn echo(incident: &Incident, step: &Step) -> Echo {
    let told = Told { incident: incident.clone(), step: step.clone(), remind_every_secs: 0 };
    Echo {
        kind: step.happened.as_str().to_owned(),
        severity: incident.severity.as_str().to_owned(),
        happened_at: step.at,
        payload: Payload::Step(Box::new(told)).to_stored(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::alert::view::example_incident;
    use crate::config::{Environment, parse_with};
    use crate::incident::Blame;

    const REST: &str = include_str!("../../tests/fixtures/prices.toml");
    const HEAD: &str = r#"
[channel.chat]
kind = "slack"
url = "env:URL"
[channel.mail]
kind = "email"
smtp = "smtp://localhost"
from = "a@example.org"
to = "b@example.org"
[channel.pager]
kind = "pagerduty"
key = "env:KEY"
[team.shop]
system = "store"
[team.backend]
system = "erp"
entity = "price"
"#;

    fn alerting(routes: &str) -> Arc<Alerting> {
        let environment = Environment::fixed([("URL", "https://hooks.example.org/x"), ("KEY", "key")]);
        let text = format!("{REST}{HEAD}{routes}");
        let config = parse_with(&text, Path::new("plumbline.toml"), Path::new("/"), &environment);
        config.unwrap_or_else(|problems| panic!("{problems}")).alerting
    }

    /// `channel kind +MINUTES`, with `*` where it waits for a digest.
    fn told(routes: &str, incident: &Incident, happened: Happened) -> String {
        let alerting = alerting(routes);
        let step = Step { at: incident.opened_at, happened };
        let Some(outgoing) = Routing::new(&alerting).outgoing(incident, &step) else { return "nobody".to_owned() };
        let one = |row: &OutboxRow| {
            let minutes = row.due_at.since(step.at).as_secs() / 60;
            format!("{} {} +{minutes}{}", row.channel, row.kind, if row.bundled { "*" } else { "" })
        };
        let mut rows: Vec<String> = outgoing.rows.iter().map(one).collect();
        rows.sort();
        rows.join(", ")
    }

    fn page() -> Incident {
        example_incident()
    }

    fn ticket() -> Incident {
        Incident { severity: Severity::Ticket, ..example_incident() }
    }

    #[test]
    fn without_routes_everybody_is_told_and_with_them_who_fits() {
        let check = |routes: &str, incident: Incident, expect: &str| {
            assert_eq!(told(routes, &incident, Happened::Opened), expect, "{routes}");
        };
        check("", page(), "chat opened +0, mail opened +0, pager opened +0");
        check("", ticket(), "chat opened +0, mail opened +0, pager opened +0");
        let by_severity = "[[route]]\nseverity = \"page\"\nchannel = \"pager\"\n[[route]]\nchannel = \"chat\"";
        check(by_severity, page(), "chat opened +0, pager opened +0");
        check(by_severity, ticket(), "chat opened +0");
        let by_system =
            "[[route]]\nsystem = \"erp\"\nchannel = \"mail\"\n[[route]]\nentity = \"price\"\nchannel = \"chat\"";
        check(by_system, page(), "chat opened +0, mail opened +0");
        // A page that fits no route is told to everybody, a ticket to nobody.
        let other = "[[route]]\nteam = \"backend\"\nchannel = \"mail\"";
        check(other, page(), "chat opened +0, mail opened +0, pager opened +0");
        check(other, ticket(), "");
    }

    #[test]
    fn the_team_of_the_blamed_system_is_told_first_that_of_the_entity_else() {
        let alerting = alerting("");
        let routing = Routing::new(&alerting);
        assert_eq!(routing.team(&page()), "shop");
        let of_erp = Blame { system: "erp".parse().unwrap(), because: String::new() };
        assert_eq!(routing.team(&Incident { blame: Some(of_erp), ..page() }), "backend");
        assert_eq!(routing.team(&Incident { blame: None, ..page() }), "backend");
        // The team of the owner before that of the target.
        assert_eq!(routing.team(&Incident { blame: None, entity: None, ..page() }), "backend");
    }

    #[test]
    fn tickets_wait_for_hours_and_digests_and_pages_do_not() {
        // The example began on a Monday at 9:59 UTC.
        let morning = "[[route]]\nchannel = \"mail\"\nhours = \"mon-fri 10:30-18:00\"";
        assert_eq!(told(morning, &ticket(), Happened::Opened), "mail opened +31");
        assert_eq!(told(morning, &page(), Happened::Opened), "chat opened +0, mail opened +0, pager opened +0");
        let hourly = "[[route]]\nseverity = \"ticket\"\nchannel = [\"mail\", \"pager\"]\ndigest = \"1h\"";
        // What holds alerts groups by itself.
        assert_eq!(told(hourly, &ticket(), Happened::Opened), "mail opened +1*, pager opened +0");
        let both = format!("{hourly}\n[[route]]\nchannel = \"mail\"");
        assert_eq!(told(&both, &ticket(), Happened::Opened), "mail opened +0, pager opened +0");
    }

    #[test]
    fn who_does_not_acknowledge_is_reminded_and_overtaken_once_an_episode() {
        let routes =
            "[[route]]\nchannel = \"chat\"\nremind_every = \"4h\"\nescalate_after = \"15m\"\nescalate_to = \"pager\"";
        let expect = "chat opened +0, chat reminder +240, pager escalated +15";
        assert_eq!(told(routes, &page(), Happened::Opened), expect);
        let seen = Incident { acknowledged_at: Some(page().opened_at), ..page() };
        assert_eq!(told(routes, &seen, Happened::Worsened), "chat worsened +0");
        let alerting = alerting(routes);
        let ids = |minute: i64, reopened: u32| {
            let incident = Incident { reopened, ..page() };
            let step = Step { at: incident.opened_at.shifted(minute * 60_000_000), happened: Happened::Worsened };
            let rows = Routing::new(&alerting).outgoing(&incident, &step).unwrap().rows;
            let pushing = rows.into_iter().filter(|row| row.kind != "worsened");
            pushing.map(|row| row.id).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(ids(0, 0), ids(5, 0), "an incident that worsens is no other episode");
        assert!(ids(0, 0).is_disjoint(&ids(0, 1)), "one that comes back is");
    }

    #[test]
    fn who_knows_of_it_is_told_that_it_is_looked_after_or_over() {
        let alerting = alerting("");
        let outgoing = |happened| {
            let step = Step { at: page().opened_at, happened };
            Routing::new(&alerting).outgoing(&page(), &step)
        };
        let by = || "ann".to_owned();
        for happened in [Happened::Acknowledged { by: by() }, Happened::Resolved { by: None }] {
            let outgoing = outgoing(happened).unwrap();
            assert!(outgoing.settles && outgoing.rows.is_empty() && outgoing.echo.is_some());
        }
        let until = page().opened_at.shifted(1);
        let snoozed = outgoing(Happened::Snoozed { until, by: by() }).unwrap();
        assert_eq!((snoozed.quiet_until, snoozed.echo, snoozed.rows.len()), (Some(until), None, 0));
        for happened in [Happened::Note { by: by(), text: String::new() }, Happened::Reminder] {
            assert_eq!(outgoing(happened), None);
        }
    }
}
