//! The view as lines, for pipes, logs and terminals that cannot do more. Says what is new, then, now and then, how
//! things stand.

use std::collections::HashSet;
use std::time::Duration;

use super::{DiscrepancyLine, Fate, FlowLine, IncidentLine, View, clock_face, spoken};
use crate::model::Verdict;

/// How far apart lines about the whole are.
const STANDING_EVERY: Duration = Duration::from_secs(5);

/// What was said already.
#[derive(Debug, Default)]
pub struct Said {
    discrepancies: HashSet<(String, String, Verdict)>,
    planted: HashSet<(Duration, String, String)>,
    incidents: HashSet<(String, &'static str, &'static str)>,
    mails: HashSet<String>,
    next_standing: Duration,
}

impl Said {
    /// Lines for what is new in `view`.
    pub fn lines(&mut self, view: &View) -> Vec<String> {
        let now = clock_face(view.elapsed);
        let mut lines = Vec::new();
        for plant in view.plants.iter().rev() {
            if self.planted.insert((plant.at, plant.place.clone(), plant.key.clone())) {
                let text =
                    format!("{} planted   {} of {} {}", clock_face(plant.at), plant.fault, plant.place, plant.key);
                lines.push(text.trim_end().to_owned());
            }
        }
        for line in view.discrepancies.iter().rev() {
            if self.discrepancies.insert((line.flow.clone(), line.key.clone(), line.verdict)) {
                lines.push(format!("{now} {}", discrepancy(line)));
            }
        }
        for incident in view.incidents.iter().rev() {
            lines.extend(self.incident(incident).into_iter().map(|line| format!("{now} {line}")));
        }
        // What is settled may come again and is then said again.
        self.discrepancies.retain(|(flow, key, _)| {
            view.discrepancies.len() as u64 != view.open
                || view.discrepancies.iter().any(|line| line.flow == *flow && line.key == *key)
        });
        if view.elapsed >= self.next_standing {
            self.next_standing = view.elapsed + STANDING_EVERY;
            lines.push(format!("{now} {}", standing(view)));
            lines.extend(view.flows.iter().filter_map(|flow| Some(format!("{now} {}", sampled(flow)?))));
        }
        lines
    }
}

impl Said {
    /// How an incident stands, when that is new, and the mails that have come since.
    fn incident(&mut self, incident: &IncidentLine) -> Vec<String> {
        let IncidentLine { id, severity, state, matter, mails, .. } = incident;
        let mut lines = Vec::new();
        if self.incidents.insert((id.clone(), severity, state)) {
            lines.push(format!("incident  {state} ({severity}): {matter}"));
        }
        let new = mails.iter().filter(|file| self.mails.insert((*file).clone()));
        lines.extend(new.map(|file| format!("mail      written to {file}: {matter}")));
        lines
    }
}

fn discrepancy(line: &DiscrepancyLine) -> String {
    let likely = if line.likely { " (likely)" } else { "" };
    let fields: Vec<String> =
        line.fields.iter().map(|(name, owner, target)| format!("{name} {owner} ≠ {target}")).collect();
    let lasted = spoken(line.lasted);
    format!("{:<9} {} {} for {lasted}{likely} {}", line.verdict.as_str(), line.flow, line.key, fields.join(", "))
        .trim_end()
        .to_owned()
}

/// What samples say of a flow.
fn sampled(flow: &FlowLine) -> Option<String> {
    let samples = flow.samples.as_ref()?;
    let mut line = format!("samples   {}", flow.name);
    for (share, what) in
        [(samples.agreement, "agree"), (samples.completeness, "there"), (samples.extra, "of the target's extra")]
    {
        if let Some(share) = share {
            line.push_str(&format!(", {share} {what}"));
        }
    }
    if let Some(every_key) = samples.every_key {
        line.push_str(&format!(", every key in {}", spoken(every_key)));
    }
    Some(line)
}

fn standing(view: &View) -> String {
    let sum = |count: fn(&FlowLine) -> u64| view.flows.iter().map(count).sum::<u64>();
    let slowest = view.flows.iter().filter_map(|flow| flow.lag_p99).max();
    let lag = slowest.map_or_else(|| "-".to_owned(), spoken);
    let mut line = format!(
        "standing  {} match, {} in flight, {} overdue, {} open, lag p99 {lag}",
        sum(|flow| flow.count(Verdict::Match)),
        sum(|flow| flow.in_flight),
        sum(|flow| flow.overdue),
        view.open,
    );
    if !view.plants.is_empty() {
        let found = view.plants.iter().filter(|plant| matches!(plant.fate, Fate::Found { .. })).count();
        let disturbed = view.plants.iter().filter(|plant| matches!(plant.fate, Fate::Disturbance { .. })).count();
        line.push_str(&format!(", {found} of {} plants found", view.plants.len() - disturbed));
    }
    if !view.health.engine_up {
        line.push_str(", ledger down");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::sample::sample;
    use super::*;

    #[test]
    fn news_are_said_once_and_the_standing_now_and_then() {
        let mut said = Said::default();
        let mut view = sample();
        insta::assert_snapshot!(said.lines(&view).join("\n"), @r#"
        00:11 planted   outage of all of store
        00:12 planted   drop of stock in warehouse SKU-0009
        00:20 planted   duplicate of order in warehouse 1001
        00:27 planted   corrupt of product in warehouse SKU-0007
        00:31 planted   delay of order in warehouse 1004
        00:35 planted   drop of stock in warehouse SKU-0001
        00:37 stale     product: erp -> warehouse SKU-0003 for 14 s price 10.49 EUR ≠ 9.99 EUR
        00:37 mismatch  product: erp -> warehouse SKU-0007 for 9.9 s (likely) price 12.99 EUR ≠ 13.06 EUR, title oak Mallet, no. 7 ≠ oak Malet, no. 7
        00:37 missing   order: erp -> warehouse 1004 for 5.4 s
        00:37 incident  open (page): product: erp to warehouse breaks its promise
        00:37 mail      written to /tmp/demo/mails/0001.eml: product: erp to warehouse breaks its promise
        00:37 standing  266 match, 3 in flight, 3 overdue, 3 open, lag p99 8.4 s, 2 of 5 plants found
        00:37 samples   product: erp -> warehouse, 98.32 % (95.43 to 99.99) agree, 100.00 % (98.10 to 100.00) there, every key in 5 min 10 s
        "#);
        view.elapsed += Duration::from_secs(1);
        assert_eq!(said.lines(&view), Vec::<String>::new());
        view.elapsed += STANDING_EVERY;
        assert_eq!(said.lines(&view).len(), 2, "the standing and what samples say");
    }

    #[test]
    fn what_comes_back_is_said_again() {
        let mut said = Said::default();
        let mut view = sample();
        said.lines(&view);
        let gone = view.discrepancies.remove(0);
        view.open -= 1;
        said.lines(&view);
        view.discrepancies.insert(0, gone);
        view.open += 1;
        assert_eq!(said.lines(&view).len(), 1);
    }
}
