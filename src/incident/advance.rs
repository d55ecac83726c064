//! How an incident moves: with what evaluation says, and with what people do.

use std::time::Duration;

use super::{Blame, BrokenSlo, Cause, Evidence, Happened, Incident, IncidentId, IncidentState, Severity, Step};
use crate::model::{EntityId, Moment, TenantId};

/// What breaks again so soon after its end is the same incident; and one that came back once stays open until it has
/// been clean for as long.
pub const REOPEN_WITHIN: Duration = Duration::from_secs(3600);

/// What evaluation says of a cause that breaks promises.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Whose it is.
    pub tenant: TenantId,
    /// The business thing, where there is one.
    pub entity: Option<EntityId>,
    /// What is wrong.
    pub cause: Cause,
    /// How urgent it is now.
    pub severity: Severity,
    /// The promises that are broken now.
    pub broken: Vec<BrokenSlo>,
    /// Which system is to blame.
    pub blame: Option<Blame>,
    /// Figures and records.
    pub evidence: Evidence,
}

/// How a cause stands at an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It breaks promises even if everything unknown is good.
    Firing(Finding),
    /// It does not break promises for certain, nor is it clean for certain: nothing begins, nothing ends.
    Holding(Evidence),
    /// It is clean even if everything unknown is bad, and nothing is overdue.
    Clean,
}

/// Moves the last incident of a cause along; `None` when there is nothing to open and nothing open. `id` is used if one
/// opens.
pub fn advance(
    last: Option<&Incident>,
    standing: &Standing,
    now: Moment,
    id: IncidentId,
) -> Option<(Incident, Vec<Step>)> {
    let open = last.filter(|incident| incident.is_open());
    match (open, standing) {
        (None, Standing::Firing(finding)) => Some(begin(last, finding, now, id)),
        (None, Standing::Holding(_) | Standing::Clean) => None,
        (Some(incident), Standing::Firing(finding)) => Some(go_on(incident.clone(), finding, now)),
        (Some(incident), Standing::Holding(evidence)) => {
            let evidence = evidence.clone();
            Some((Incident { evidence, clean_since: None, ..incident.clone() }, Vec::new()))
        }
        (Some(incident), Standing::Clean) => Some(recover(incident.clone(), now)),
    }
}

fn begin(last: Option<&Incident>, finding: &Finding, now: Moment, id: IncidentId) -> (Incident, Vec<Step>) {
    let is_recent = |last: &&Incident| last.resolved_at.is_some_and(|end| now.since(end) <= REOPEN_WITHIN);
    let mut incident = match last.filter(is_recent) {
        Some(last) => Incident { reopened: last.reopened.saturating_add(1), ..last.clone() },
        None => Incident {
            id,
            tenant: finding.tenant.clone(),
            entity: finding.entity.clone(),
            cause: finding.cause.clone(),
            severity: finding.severity,
            state: IncidentState::Open,
            opened_at: now,
            acknowledged_at: None,
            resolved_at: None,
            clean_since: None,
            reopened: 0,
            assignee: None,
            snoozed_until: None,
            broken: Vec::new(),
            blame: None,
            evidence: Evidence::default(),
        },
    };
    let happened = if incident.resolved_at.is_some() { Happened::Reopened } else { Happened::Opened };
    incident.state = IncidentState::Open;
    incident.acknowledged_at = None;
    incident.resolved_at = None;
    incident.severity = finding.severity;
    take_in(&mut incident, finding);
    (incident, vec![Step { at: now, happened }])
}

fn go_on(mut incident: Incident, finding: &Finding, now: Moment) -> (Incident, Vec<Step>) {
    let is_new = |slo: &BrokenSlo| !incident.broken.iter().any(|known| known.name == slo.name);
    let worse = finding.severity > incident.severity || finding.broken.iter().any(is_new);
    incident.severity = incident.severity.max(finding.severity);
    take_in(&mut incident, finding);
    let steps = if worse { vec![Step { at: now, happened: Happened::Worsened }] } else { Vec::new() };
    (incident, steps)
}

/// Promises that an incident has broken stay listed with their last figures; those broken now get new ones.
fn take_in(incident: &mut Incident, finding: &Finding) {
    incident.clean_since = None;
    incident.blame.clone_from(&finding.blame);
    incident.evidence = finding.evidence.clone();
    for slo in &finding.broken {
        match incident.broken.iter_mut().find(|known| known.name == slo.name) {
            Some(known) => *known = BrokenSlo { since: known.since, ..slo.clone() },
            None => incident.broken.push(slo.clone()),
        }
    }
}

fn recover(mut incident: Incident, now: Moment) -> (Incident, Vec<Step>) {
    let clean_since = *incident.clean_since.get_or_insert(now);
    if incident.reopened > 0 && now.since(clean_since) < REOPEN_WITHIN {
        return (incident, Vec::new());
    }
    let step = incident.end(None, now);
    (incident, vec![step])
}

/// Why a person's wish was not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is over.
    #[error("the incident is resolved")]
    Resolved,
    /// Quiet until a time that has passed.
    #[error("`{0:?}` has passed")]
    Passed(Moment),
}

impl Incident {
    /// Somebody looks at it. Doing it twice changes nothing.
    ///
    /// # Errors
    /// When it is resolved.
    pub fn acknowledge(&mut self, by: &str, at: Moment) -> Result<Option<Step>, Refused> {
        self.must_be_open()?;
        if self.state == IncidentState::Acknowledged {
            return Ok(None);
        }
        self.state = IncidentState::Acknowledged;
        self.acknowledged_at = Some(at);
        Ok(Some(Step { at, happened: Happened::Acknowledged { by: by.to_owned() } }))
    }

    /// Puts somebody in charge.
    ///
    /// # Errors
    /// When it is resolved.
    pub fn assign(&mut self, to: &str, by: &str, at: Moment) -> Result<Step, Refused> {
        self.must_be_open()?;
        self.assignee = Some(to.to_owned());
        Ok(Step { at, happened: Happened::Assigned { to: to.to_owned(), by: by.to_owned() } })
    }

    /// Quiet until then: no reminders, no escalation. That it worsens or ends is told all the same.
    ///
    /// # Errors
    /// When it is resolved, or the time has passed.
    pub fn snooze(&mut self, until: Moment, by: &str, at: Moment) -> Result<Step, Refused> {
        self.must_be_open()?;
        if until <= at {
            return Err(Refused::Passed(until));
        }
        self.snoozed_until = Some(until);
        Ok(Step { at, happened: Happened::Snoozed { until, by: by.to_owned() } })
    }

    /// Writes something down; also after the end.
    pub fn note(&self, text: &str, by: &str, at: Moment) -> Step {
        Step { at, happened: Happened::Note { by: by.to_owned(), text: text.to_owned() } }
    }

    /// Ends it by hand. What still breaks promises comes back at the next evaluation.
    ///
    /// # Errors
    /// When it is resolved.
    pub fn resolve(&mut self, by: &str, at: Moment) -> Result<Step, Refused> {
        self.must_be_open()?;
        Ok(self.end(Some(by.to_owned()), at))
    }

    fn must_be_open(&self) -> Result<(), Refused> {
        if self.is_open() { Ok(()) } else { Err(Refused::Resolved) }
    }

    fn end(&mut self, by: Option<String>, at: Moment) -> Step {
        self.state = IncidentState::Resolved;
        self.resolved_at = Some(at);
        self.clean_since = None;
        self.snoozed_until = None;
        Step { at, happened: Happened::Resolved { by } }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{Money, Number};

    fn at(minute: i64) -> Moment {
        Moment::from_micros(minute * 60_000_000)
    }

    fn slo(name: &str) -> BrokenSlo {
        BrokenSlo {
            name: name.to_owned(),
            promise: "99.5 % of stock changes erp -> store within 5m over 30d".to_owned(),
            tier: "14.4x over 1h and 5m".to_owned(),
            burn: 20.0,
            sli_best: 0.9,
            sli_worst: 0.8,
            objective: 0.995,
            budget_left: -0.5,
            since: at(1),
        }
    }

    fn finding(severity: Severity, slos: &[&str]) -> Standing {
        Standing::Firing(Finding {
            tenant: TenantId::default(),
            entity: "stock".parse().ok(),
            cause: "flow stock: erp -> store".parse().unwrap(),
            severity,
            broken: slos.iter().map(|name| slo(name)).collect(),
            blame: Some(Blame { system: "store".parse().unwrap(), because: "it refuses writes".to_owned() }),
            evidence: Evidence {
                money_at_risk: vec![Money { amount: Number::from(12_i64), currency: "EUR".parse().unwrap() }],
                ..Evidence::default()
            },
        })
    }

    fn words(steps: &[Step]) -> Vec<&'static str> {
        steps.iter().map(|step| step.happened.as_str()).collect()
    }

    /// Plays standings a minute each; answers what happened when, and how many incidents there were.
    fn play(standings: &[(i64, Standing)]) -> (Vec<(i64, &'static str)>, usize) {
        let mut last: Option<Incident> = None;
        let (mut told, mut ids) = (Vec::new(), Vec::new());
        for (minute, standing) in standings {
            let id = IncidentId(Uuid::from_u128(u128::try_from(*minute).unwrap()));
            if let Some((incident, steps)) = advance(last.as_ref(), standing, at(*minute), id) {
                told.extend(words(&steps).into_iter().map(|word| (*minute, word)));
                ids.push(incident.id);
                last = Some(incident);
            }
        }
        ids.dedup();
        (told, ids.len())
    }

    #[test]
    fn it_opens_worsens_and_ends() {
        let (told, incidents) = play(&[
            (0, Standing::Clean),
            (1, Standing::Holding(Evidence::default())),
            (2, finding(Severity::Ticket, &["fresh"])),
            (3, finding(Severity::Ticket, &["fresh"])),
            (4, finding(Severity::Page, &["fresh"])),
            (5, finding(Severity::Ticket, &["fresh", "right"])),
            (6, Standing::Holding(Evidence::default())),
            (7, Standing::Clean),
            (8, Standing::Clean),
        ]);
        assert_eq!(told, [(2, "opened"), (4, "worsened"), (5, "worsened"), (7, "resolved")]);
        assert_eq!(incidents, 1);
    }

    #[test]
    fn what_comes_back_within_an_hour_is_the_same_incident_and_must_be_clean_for_an_hour() {
        let page = || finding(Severity::Page, &["fresh"]);
        let (told, incidents) = play(&[
            (0, page()),
            (10, Standing::Clean),
            (70, page()),
            (80, Standing::Clean),
            (90, page()),
            (100, Standing::Clean),
            (159, Standing::Clean),
            (160, Standing::Clean),
        ]);
        assert_eq!(told, [(0, "opened"), (10, "resolved"), (70, "reopened"), (160, "resolved")]);
        assert_eq!(incidents, 1);
        let (told, incidents) = play(&[(0, page()), (10, Standing::Clean), (71, page())]);
        assert_eq!(told, [(0, "opened"), (10, "resolved"), (71, "opened")]);
        assert_eq!(incidents, 2);
    }

    #[test]
    fn people_move_it_while_it_is_open() {
        let id = IncidentId(Uuid::nil());
        let (mut incident, _) = advance(None, &finding(Severity::Page, &["fresh"]), at(0), id).unwrap();
        assert_eq!(incident.acknowledge("ann", at(1)).unwrap().unwrap().happened.actor(), Some("ann"));
        assert_eq!(incident.acknowledge("bob", at(2)), Ok(None), "once is enough");
        assert_eq!((incident.state, incident.acknowledged_at), (IncidentState::Acknowledged, Some(at(1))));
        incident.assign("bob", "ann", at(3)).unwrap();
        assert_eq!(incident.snooze(at(3), "ann", at(3)), Err(Refused::Passed(at(3))));
        incident.snooze(at(60), "ann", at(3)).unwrap();
        assert_eq!((incident.assignee.as_deref(), incident.snoozed_until), (Some("bob"), Some(at(60))));
        incident.resolve("ann", at(4)).unwrap();
        assert_eq!((incident.is_open(), incident.snoozed_until), (false, None));
        assert_eq!(incident.acknowledge("ann", at(5)), Err(Refused::Resolved));
        assert_eq!(incident.resolve("ann", at(5)), Err(Refused::Resolved));
        let (again, steps) = advance(Some(&incident), &finding(Severity::Page, &["fresh"]), at(6), id).unwrap();
        assert_eq!((again.state, again.acknowledged_at, words(&steps)), (IncidentState::Open, None, vec!["reopened"]));
        assert_eq!(again.assignee.as_deref(), Some("bob"));
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let id = IncidentId(Uuid::from_u128(7));
        let (incident, steps) = advance(None, &finding(Severity::Page, &["fresh"]), at(0), id).unwrap();
        assert_eq!(Incident::from_stored(&incident.to_stored()), Ok(incident.clone()));
        assert_eq!(Step::from_stored(&steps[0].to_stored()), Ok(steps[0].clone()));
        let mut other = incident.to_stored();
        other[0] = 9;
        assert!(Incident::from_stored(&other).is_err());
        assert!(Incident::from_stored(&[]).is_err());
    }
}
