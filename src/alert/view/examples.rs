//! Messages that every template is tried on before the first real one, and that mails are looked at with.

use uuid::Uuid;

use super::{Setting, View, view};
use crate::alert::payload::{Line, Payload, Several, Told, Undelivered};
use crate::incident::{
    Blame, BrokenSlo, Contributors, Evidence, Happened, Incident, IncidentId, IncidentState, SampleRecord, Severity,
    Step,
};
use crate::model::{Moment, Money, Number, TenantId};

/// 23 November 2026, 11:04 UTC.
const NOW: Moment = Moment::from_micros(1_795_431_840_000_000);
const MINUTE: i64 = 60_000_000;

/// One of each kind.
pub fn examples() -> Vec<View> {
    let setting = Setting { zone: chrono_tz::Tz::UTC, link: Some("https://plumbline.example.org".to_owned()) };
    example_payloads().iter().map(|payload| view(payload, "logistics", NOW, &setting)).collect()
}

/// One of each kind, with everything that a message may hold and with nothing of it.
pub fn example_payloads() -> Vec<Payload> {
    let (full, bare) = (example_incident(), bare_incident());
    let by = || "ann".to_owned();
    let happened = [
        Happened::Opened,
        Happened::Worsened,
        Happened::Reopened,
        Happened::Reminder,
        Happened::Escalated { level: 1 },
        Happened::Acknowledged { by: by() },
        Happened::Resolved { by: None },
        Happened::Resolved { by: Some(by()) },
    ];
    let steps = happened.into_iter().flat_map(|happened| [told(&full, happened.clone()), told(&bare, happened)]);
    let line =
        |text: &str, severity| Line { at: NOW, severity, text: text.to_owned(), incident: Uuid::nil().to_string() };
    let lines = vec![
        line("opened: stock: erp to store breaks its promise", Severity::Ticket),
        line("resolved: price: erp to store", Severity::Page),
    ];
    let undelivered = |told| Undelivered {
        channel: "chat".to_owned(),
        why: "it answered 404: no_service".to_owned(),
        for_good: true,
        in_part: false,
        at: NOW,
        told,
    };
    let first = told(&full, Happened::Opened);
    steps
        .map(|told| Payload::Step(Box::new(told)))
        .chain([
            Payload::Several(Several { digest: true, lines: lines.clone(), more: 0 }),
            Payload::Several(Several { digest: false, lines, more: 240 }),
            Payload::Undelivered(Box::new(undelivered(Some(first)))),
            Payload::Undelivered(Box::new(undelivered(None))),
            Payload::Test,
        ])
        .collect()
}

fn told(incident: &Incident, happened: Happened) -> Told {
    let mut incident = incident.clone();
    if let Happened::Resolved { .. } = happened {
        incident.state = IncidentState::Resolved;
        incident.resolved_at = Some(NOW);
    }
    Told { incident, step: Step { at: NOW, happened }, remind_every_secs: 0 }
}

/// Prices do not reach the store.
pub fn example_incident() -> Incident {
    let name = |text: &str| text.to_owned();
    let record = |key: &str, owner: &str, target: &str| SampleRecord {
        key: name(key),
        verdict: name("stale"),
        fields: vec![name("price")],
        owner_values: vec![name(owner)],
        target_values: vec![name(target)],
        link: Some(format!("https://shop.example.org/wp-admin/post.php?post={key}")),
    };
    let money = [("1284.50", "EUR"), ("96.00", "GBP")].into_iter();
    let money = money.filter_map(|(amount, currency)| {
        Some(Money { amount: amount.parse::<Number>().ok()?, currency: currency.parse().ok()? })
    });
    Incident {
        state: IncidentState::Open,
        broken: vec![BrokenSlo {
            name: name("prices-fresh"),
            promise: name("99.5 % of price changes erp -> store within 5m over 30d"),
            tier: name("14.4x over 1h and 5m"),
            burn: 61.2,
            sli_best: 0.9821,
            sli_worst: 0.9764,
            objective: 0.995,
            budget_left: -2.58,
            since: NOW.shifted(-65 * MINUTE),
        }],
        blame: Some(Blame {
            system: name_of("store"),
            because: name("412 of 412 late records are stale there, and it answered every read"),
        }),
        evidence: Evidence {
            lag_p99_us: Some(2_340_000_000),
            wrong: 412,
            checked: 18_230,
            overdue: 388,
            oldest: Some(NOW.shifted(-71 * MINUTE)),
            money_at_risk: money.collect(),
            samples: vec![
                record("4711", "19.90 EUR", "17.90 EUR"),
                record("4712", "5.00 EUR", "4.50 EUR"),
                record("4790", "129.00 GBP", "119.00 GBP"),
                record("4791", "1.00 EUR", "0.90 EUR"),
            ],
            contributors: Contributors {
                keys: vec![(name("4711"), 4), (name("4790"), 2)],
                hours: vec![(NOW.shifted(-64 * MINUTE), 371), (NOW.shifted(-124 * MINUTE), 41)],
                targets: vec![(name("store"), 412), (name("warehouse"), 3)],
            },
            series: series(),
        },
        ..bare_incident()
    }
}

/// An incident of which nothing is known but that it is there.
fn bare_incident() -> Incident {
    Incident {
        id: IncidentId(Uuid::from_u128(0x0192_f0c4_7d3a_7000_8000_0000_0000_0001)),
        tenant: TenantId::default(),
        entity: "price".parse().ok(),
        cause: crate::incident::Cause::Flow(crate::model::FlowId {
            entity: name_of("price"),
            owner: name_of("erp"),
            target: name_of("store"),
        }),
        severity: Severity::Page,
        state: IncidentState::Open,
        opened_at: NOW.shifted(-65 * MINUTE),
        acknowledged_at: None,
        resolved_at: None,
        clean_since: None,
        reopened: 0,
        assignee: None,
        snoozed_until: None,
        broken: Vec::new(),
        blame: None,
        evidence: Evidence::default(),
    }
}

/// Four hours: good, a gap of ten minutes in which nothing was decided, then worse and worse.
fn series() -> Vec<(Moment, Option<f64>)> {
    let sli = |minute: i64| match minute {
        0..=99 => Some(0.998 + (minute % 3) as f64 / 1500.0),
        100..=109 => None,
        110..=170 => Some(0.999),
        _ => Some((0.999 - (minute - 170) as f64 / 500.0).max(0.87)),
    };
    (0..240).map(|minute| (NOW.shifted((minute - 240) * MINUTE), sli(minute))).collect()
}

/// A name that is known to be one.
fn name_of<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    #[expect(clippy::expect_used, reason = "the names above are constants, and a test makes the examples")]
    text.parse().expect("a name")
}
