//! Many messages: rates with "and N more", digests, hours.

use std::time::Duration;

use plumbline::incident::Severity;
use serde_json::Value;

use super::bench::Bench;
use super::receiver::Receiver;

const HOOK: &str = "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"";

fn messages(receiver: &Receiver) -> Vec<Value> {
    receiver.requests().iter().map(|request| request.json()["message"].clone()).collect()
}

fn kinds(receiver: &Receiver) -> Vec<String> {
    messages(receiver).iter().map(|message| message["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_exceeds_the_rate_is_told_as_so_many_more_and_ends_are_told_of_what_was_told() {
    let hook = Receiver::start([]).await;
    let bench = Bench::new(&format!("{HOOK}\nmax_per_hour = 2"), &[("HOOK", &hook.url)]).await;
    let mut incidents = Vec::new();
    for number in 0..30 {
        let incident = bench.incident(number, Duration::from_secs(60)).await;
        bench.opens(&incident).await;
        incidents.push(incident);
    }
    let sending = bench.start();
    hook.has(3).await;
    bench.quiet().await;
    assert_eq!(kinds(&hook), ["opened", "opened", "more"]);
    let more = &messages(&hook)[2];
    assert_eq!(more["headline"], "and 28 more");
    assert_eq!((more["lines"].as_array().unwrap().len(), &more["more"]), (20, &Value::from(8)));
    assert_eq!(sending.metric("plumbline_notifications_total{channel=\"hook\",outcome=\"folded\"}"), 28.0);
    for incident in &incidents {
        bench.resolves(incident).await;
    }
    hook.has(5).await;
    // The ends of what was folded wait for the next "more", ten minutes after the first.
    assert_eq!(kinds(&hook), ["opened", "opened", "more", "resolved", "resolved"]);
    let ids: Vec<Value> = messages(&hook).iter().map(|message| message["incident"].clone()).collect();
    assert_eq!((&ids[3], &ids[4]), (&ids[0], &ids[1]));
}

#[tokio::test]
async fn tickets_are_told_together_and_pages_at_once() {
    let hook = Receiver::start([]).await;
    let routes = "[[route]]\nchannel = \"hook\"\nseverity = \"ticket\"\ndigest = \"1m\"\n\
                  [[route]]\nchannel = \"hook\"\nseverity = \"page\"";
    let bench = Bench::new(&format!("{HOOK}\n{routes}"), &[("HOOK", &hook.url)]).await;
    // Two minutes ago: the digest of that minute is due.
    for number in 0..3 {
        let mut ticket = bench.incident(number, Duration::from_secs(120)).await;
        ticket.severity = Severity::Ticket;
        bench.opens(&ticket).await;
        if number == 0 {
            bench.resolves(&ticket).await;
        }
    }
    let page = bench.incident(9, Duration::from_secs(5)).await;
    bench.opens(&page).await;
    let _sending = bench.start();
    hook.has(2).await;
    bench.quiet().await;
    let mut told = kinds(&hook);
    told.sort();
    assert_eq!(told, ["digest", "opened"]);
    let digest = messages(&hook).into_iter().find(|message| message["kind"] == "digest").unwrap();
    let lines: Vec<&str> =
        digest["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("opened: ")).count(), 3, "{lines:?}");
}
