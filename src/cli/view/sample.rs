//! A view with something of everything.

use std::time::Duration;

use super::{CostLine, DiscrepancyLine, Fate, FlowLine, Health, IncidentLine, PlantLine, Samples, Share, View};
use crate::model::Verdict;

/// The view.
pub(super) fn sample() -> View {
    View {
        title: "demo company, seed 7".to_owned(),
        elapsed: seconds(37.0),
        run_for: Some(seconds(60.0)),
        flows: flows(),
        checks_per_second: vec![3, 8, 9, 12, 7, 0, 4, 9],
        discrepancies: discrepancies(),
        open: 3,
        incidents: vec![IncidentLine {
            id: "1".to_owned(),
            at: seconds(33.0),
            severity: "page",
            state: "open",
            matter: "product: erp to warehouse breaks its promise".to_owned(),
            mails: vec!["/tmp/demo/mails/0001.eml".to_owned()],
        }],
        plants: plants(),
        costs: vec![
            CostLine { system: "erp".to_owned(), calls: 411, records: 20_310 },
            CostLine { system: "warehouse".to_owned(), calls: 370, records: 18_004 },
        ],
        health: Health { engine_up: true, spool_bytes: 3_500, ..Health::default() },
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A sampled flow, one that is only followed, and one in which nothing happens.
fn flows() -> Vec<FlowLine> {
    let flow = |name: &str, matches: u64, in_flight: u64, open: u64, overdue: u64| {
        let mut verdicts = [0; Verdict::ALL.len()];
        (verdicts[0], verdicts[1], verdicts[2]) = (matches, in_flight * 3, open);
        let (oldest, coverage) = (seconds(overdue as f64 * 1.7), 1.0);
        let (lag_p50, lag_p99) = (Some(seconds(0.61)), Some(seconds(8.4)));
        let (name, samples) = (name.to_owned(), None);
        FlowLine { name, verdicts, in_flight, overdue, oldest, open, lag_p50, lag_p99, coverage, samples }
    };
    let mut sampled = flow("product: erp -> warehouse", 123, 2, 2, 2);
    sampled.samples = Some(Samples {
        agreement: Some(Share { low: 0.954_3, estimate: 0.983_2, high: 0.999_96 }),
        completeness: Some(Share { low: 0.981, estimate: 1.0, high: 1.0 }),
        extra: None,
        keys: 1_250,
        every_key: Some(seconds(310.0)),
    });
    let mut quiet = flow("stock: warehouse -> erp", 98, 0, 0, 0);
    (quiet.lag_p50, quiet.lag_p99, quiet.coverage) = (None, None, 0.87);
    vec![sampled, flow("order: erp -> warehouse", 45, 1, 1, 1), quiet]
}

fn discrepancies() -> Vec<DiscrepancyLine> {
    let field = |name: &str, owner: &str, target: &str| (name.to_owned(), owner.to_owned(), target.to_owned());
    let discrepancy = |flow: &str, key: &str, verdict, likely, lasted, fields| DiscrepancyLine {
        flow: flow.to_owned(),
        key: key.to_owned(),
        verdict,
        likely,
        lasted: seconds(lasted),
        fields,
    };
    let wrong = vec![field("price", "12.99 EUR", "13.06 EUR"), field("title", "oak Mallet, no. 7", "oak Malet, no. 7")];
    let old = vec![field("price", "10.49 EUR", "9.99 EUR")];
    let product = "product: erp -> warehouse";
    vec![
        discrepancy("order: erp -> warehouse", "1004", Verdict::Missing, false, 5.4, Vec::new()),
        discrepancy(product, "SKU-0007", Verdict::Mismatch, true, 9.9, wrong),
        discrepancy(product, "SKU-0003", Verdict::Stale, false, 14.0, old),
    ]
}

fn plants() -> Vec<PlantLine> {
    let plant = |at: f64, fault: &str, place: &str, key: &str, fate| PlantLine {
        at: seconds(at),
        fault: fault.to_owned(),
        place: place.to_owned(),
        key: key.to_owned(),
        fate,
    };
    let found = |verdict, after| Fate::Found { verdict, after: seconds(after) };
    let (stock, order, product) = ("stock in warehouse", "order in warehouse", "product in warehouse");
    vec![
        plant(35.0, "drop", stock, "SKU-0001", Fate::Young),
        plant(31.6, "delay", order, "1004", found(Verdict::Missing, 5.4)),
        plant(27.1, "corrupt", product, "SKU-0007", found(Verdict::Mismatch, 6.2)),
        plant(20.0, "duplicate", order, "1001", Fate::Unseen),
        plant(12.0, "drop", stock, "SKU-0009", Fate::Over),
        plant(11.0, "outage", "all of store", "", Fate::Disturbance { left: None }),
    ]
}
