//! What each kind of receiver is sent, and what its answers lead to.

use std::time::Duration;

use plumbline::alert::channel::signature;
use plumbline::incident::Happened;
use secrecy::SecretString;
use serde_json::Value;

use super::bench::Bench;
use super::receiver::{Answer, Receiver, Request};

const AGO: Duration = Duration::from_secs(60);

fn acknowledged() -> Happened {
    Happened::Acknowledged { by: "ann".to_owned() }
}

#[tokio::test]
async fn pagerduty_is_told_to_trigger_acknowledge_and_resolve_one_alert_through_429_and_500() {
    let limited = Answer::Says(429, "Retry-After: 1\r\n", "");
    let broken = Answer::Says(500, "", "internal error");
    let pager = Receiver::start([limited, broken]).await;
    let config = format!("[channel.pager]\nkind = \"pagerduty\"\nurl = \"{}\"\nkey = \"env:KEY\"", pager.url);
    let bench = Bench::new(&config, &[]).await;
    let incident = bench.incident(1, AGO).await;
    bench.opens(&incident).await;
    bench.happens(&incident, acknowledged()).await;
    bench.resolves(&incident).await;
    let sending = bench.start();
    let requests = pager.has(5).await;
    let waited = requests[1].at - requests[0].at;
    assert!(waited >= Duration::from_secs(1), "`Retry-After` is obeyed, not {waited:?}");
    let events: Vec<Value> = requests.iter().map(Request::json).collect();
    let actions: Vec<&str> = events.iter().map(|event| event["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "trigger", "trigger", "acknowledge", "resolve"]);
    assert!(events.iter().all(|event| event["dedup_key"] == events[0]["dedup_key"]));
    assert!(events.iter().all(|event| event["routing_key"] == "0123456789abcdef0123456789abcdef"));
    let first = &events[0]["payload"];
    assert_eq!((&first["severity"], &first["source"]), (&Value::from("critical"), &Value::from("store")));
    assert!(first["summary"].as_str().unwrap().contains("412 of 18,230"));
    bench.quiet().await;
    assert_eq!(sending.metric("plumbline_notifications_total{channel=\"pager\",outcome=\"retried\"}"), 2.0);
    assert_eq!(pager.requests().len(), 5);
}

#[tokio::test]
async fn slack_and_teams_get_their_own_form_and_what_hangs_is_tried_again() {
    let slack = Receiver::start([Answer::Hangs, Answer::HangsUp, Answer::Says(200, "", "ok")]).await;
    let limited = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429";
    let teams = Receiver::start([Answer::Says(200, "", limited)]).await;
    let config = "[channel.chat]\nkind = \"slack\"\nurl = \"env:SLACK\"\ntimeout = \"300ms\"\n\
                  [channel.team]\nkind = \"teams\"\nurl = \"env:TEAMS\"";
    let bench = Bench::new(config, &[("SLACK", &slack.url), ("TEAMS", &teams.url)]).await;
    let incident = bench.incident(1, AGO).await;
    bench.opens(&incident).await;
    let _sending = bench.start();
    let slack = slack.has(3).await;
    let message = slack[2].json();
    assert_eq!(message["blocks"][0]["text"]["text"], "price: erp to store breaks its promise");
    assert!(message["blocks"][1]["text"]["text"].as_str().unwrap().contains("19.90 EUR → 17.90 EUR"));
    let teams = teams.has(2).await;
    let card = &teams[1].json()["attachments"][0]["content"];
    assert_eq!(card["body"][0]["text"], "price: erp to store breaks its promise");
    assert_eq!(teams[0].header("content-type"), Some("application/json; charset=utf-8"));
    bench.quiet().await;
}

#[tokio::test]
async fn opsgenie_is_told_by_alias() {
    let opsgenie = Receiver::start([]).await;
    let config = format!("[channel.genie]\nkind = \"opsgenie\"\nurl = \"{}\"\nkey = \"env:KEY\"", opsgenie.url);
    let bench = Bench::new(&config, &[]).await;
    let incident = bench.incident(1, AGO).await;
    bench.opens(&incident).await;
    bench.happens(&incident, acknowledged()).await;
    bench.resolves(&incident).await;
    let _sending = bench.start();
    let requests = opsgenie.has(3).await;
    let alias = requests[0].json()["alias"].as_str().unwrap().to_owned();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    let acknowledge = format!("/v2/alerts/{alias}/acknowledge?identifierType=alias");
    let close = format!("/v2/alerts/{alias}/close?identifierType=alias");
    assert_eq!(paths, ["/v2/alerts", &acknowledge, &close]);
    assert_eq!(requests[0].header("authorization"), Some("GenieKey 0123456789abcdef0123456789abcdef"));
    assert!(requests[0].json()["message"].as_str().unwrap().chars().count() <= 130);
}

#[tokio::test]
async fn a_webhook_is_signed_and_409_means_that_it_is_there() {
    let hook = Receiver::start([Answer::Says(409, "", "known")]).await;
    let config = "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"";
    let bench = Bench::new(config, &[("HOOK", &hook.url)]).await;
    let incident = bench.incident(1, AGO).await;
    bench.opens(&incident).await;
    let _sending = bench.start();
    bench.quiet().await;
    let requests = hook.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    let expected = signature(
        &SecretString::from("0123456789abcdef0123456789abcdef"),
        request.header("plumbline-timestamp").unwrap(),
        &request.body,
    );
    assert_eq!(request.header("plumbline-signature"), Some(expected.as_str()));
    assert_eq!(request.json()["id"].as_str(), request.header("plumbline-id"));
    assert_eq!(request.json()["message"]["samples"][0]["key"], "4711");
}

#[tokio::test]
async fn what_is_refused_is_kept_as_dead_and_told_on_another_channel() {
    let chat = Receiver::start([Answer::Says(404, "", "no_service")]).await;
    let pager = Receiver::start([]).await;
    let config = format!(
        "[channel.chat]\nkind = \"slack\"\nurl = \"env:CHAT\"\nfallback = \"pager\"\n\
         [channel.pager]\nkind = \"pagerduty\"\nurl = \"{}\"\nkey = \"env:KEY\"\n\
         [[route]]\nchannel = \"chat\"",
        pager.url
    );
    let bench = Bench::new(&config, &[("CHAT", &chat.url)]).await;
    let incident = bench.incident(1, AGO).await;
    bench.opens(&incident).await;
    let sending = bench.start();
    let told = pager.has(1).await;
    let details = told[0].json()["payload"]["custom_details"]["text"].as_str().unwrap().to_owned();
    assert!(details.contains("chat refused a message") && details.contains("it answered 404: no_service"), "{details}");
    assert!(details.contains("price: erp to store breaks its promise"), "{details}");
    bench.quiet().await;
    crate::support::wait_until(async || sending.metric("plumbline_outbox_dead_messages{channel=\"chat\"}") == 1.0)
        .await;
    assert_eq!((chat.requests().len(), pager.requests().len()), (1, 1));
    // Who never knew of it is not told that it is over.
    bench.resolves(&incident).await;
    bench.quiet().await;
    assert_eq!((chat.requests().len(), pager.requests().len()), (1, 1));
    // The next message that the chat takes ends the trouble, which whoever knows of it is told.
    let next = bench.incident(2, AGO).await;
    bench.opens(&next).await;
    let told: Vec<Value> = pager.has(2).await.iter().map(Request::json).collect();
    assert_eq!((&told[1]["event_action"], &told[1]["dedup_key"]), (&Value::from("resolve"), &told[0]["dedup_key"]));
}

#[tokio::test]
async fn nobody_acknowledges_so_others_are_told_until_somebody_does() {
    let (first, second) = (Receiver::start([]).await, Receiver::start([]).await);
    let config = "[channel.first]\nkind = \"webhook\"\nurl = \"env:FIRST\"\nkey = \"env:KEY\"\n\
                  [channel.second]\nkind = \"webhook\"\nurl = \"env:SECOND\"\nkey = \"env:KEY\"\n\
                  [[route]]\nchannel = \"first\"\nremind_every = \"10m\"\nescalate_after = \"15m\"\nescalate_to = \"second\"";
    let bench = Bench::new(config, &[("FIRST", &first.url), ("SECOND", &second.url)]).await;
    let kinds = |receiver: &Receiver| -> Vec<String> {
        receiver
            .requests()
            .iter()
            .map(|request| request.json()["message"]["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    // Twenty minutes ago: reminder and escalation are due now.
    let unseen = bench.incident(1, Duration::from_secs(1200)).await;
    bench.opens(&unseen).await;
    // Seen at once, and snoozed: neither is told.
    let seen = bench.incident(2, Duration::from_secs(1200)).await;
    bench.opens(&seen).await;
    bench.happens(&seen, acknowledged()).await;
    let snoozed = bench.incident(3, Duration::from_secs(1200)).await;
    bench.opens(&snoozed).await;
    let until = bench.now().await + Duration::from_secs(3600);
    bench.happens(&snoozed, Happened::Snoozed { until, by: "ann".to_owned() }).await;
    let _sending = bench.start();
    first.has(5).await;
    second.has(1).await;
    bench.quiet().await;
    let mut told = kinds(&first);
    told.sort();
    assert_eq!(told, ["acknowledged", "opened", "opened", "opened", "reminder"]);
    assert_eq!(kinds(&second), ["escalated"]);
    // Whoever was told by escalation is told of the end, too.
    bench.resolves(&unseen).await;
    second.has(2).await;
    assert_eq!(kinds(&second), ["escalated", "resolved"]);
}
