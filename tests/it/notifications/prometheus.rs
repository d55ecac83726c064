//! A real Prometheus that scrapes the auditor and fires the shipped rules, and a real Alertmanager that it and the auditor tell.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plumbline::alert::route::Routing;
use plumbline::alert::view::example_incident;
use plumbline::incident::{Happened, Incident, IncidentId, Step};
use plumbline::state::{StateSecret, StateStore};
use serde_json::Value;
use uuid::Uuid;

use super::bench::REST;
use super::receiver::{Answer, Receiver};
use crate::support::{free_port, http_client, libchdb, repository_file, wait_until};

/// A program that is killed when dropped, or when this process ends.
pub struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Program {
    pub fn start(program: &str, arguments: &[String], log: &Path, environment: &[(&str, &str)]) -> Self {
        let log = std::fs::File::create(log).unwrap();
        let started = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", program])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        Self(started.unwrap())
    }
}

pub async fn answers(url: &str) -> bool {
    let client = http_client(Duration::from_secs(10));
    client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}

/// The alerts that an Alertmanager holds, by name, with their state.
async fn alerts(alertmanager: &str) -> Vec<Value> {
    let client = http_client(Duration::from_secs(10));
    let answer = client.get(format!("{alertmanager}/api/v2/alerts")).send().await.unwrap();
    let alerts: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    alerts.as_array().unwrap().clone()
}

/// An incident of ours that is about no flow.
fn is_about_delivery(alert: &Value) -> bool {
    alert["labels"]["alertname"] == "PlumblineIncident" && alert["labels"]["entity"].is_null()
}

/// The open alert of an incident.
async fn of_incident(alertmanager: &str, incident: &Incident) -> Option<Value> {
    let name = format!("plumbline-{}", incident.id);
    alerts(alertmanager).await.into_iter().find(|alert| alert["labels"]["incident"] == name)
}

async fn alert(alertmanager: &str, name: &str) -> Option<Value> {
    alerts(alertmanager).await.into_iter().find(|alert| alert["labels"]["alertname"] == name)
}

/// The routing that is shipped, to a receiver of ours, quicker.
async fn start_alertmanager(dir: &Path, receiver: &Receiver) -> (Program, String) {
    let shipped = std::fs::read_to_string(repository_file("alerts/alertmanager.example.yml")).unwrap();
    let routing = shipped.replace("http://127.0.0.1:9099", &receiver.url).replace("group_wait: 10s", "group_wait: 1s");
    std::fs::write(dir.join("alertmanager.yml"), routing.replace("group_wait: 30s", "group_wait: 1s")).unwrap();
    let url = format!("http://127.0.0.1:{}", free_port());
    let arguments = [
        format!("--config.file={}", dir.join("alertmanager.yml").display()),
        format!("--storage.path={}", dir.join("alertmanager").display()),
        format!("--web.listen-address={}", url.trim_start_matches("http://")),
        "--cluster.listen-address=".to_owned(),
    ];
    let program = Program::start("prometheus-alertmanager", &arguments, &dir.join("alertmanager.log"), &[]);
    wait_until(async || answers(&format!("{url}/-/ready")).await).await;
    (program, url)
}

/// The rules that are shipped; only that the auditor's death is believed after a second instead of two minutes.
async fn start_prometheus(dir: &Path, target: &str, alertmanager: &str) -> Program {
    let rules = std::fs::read_to_string(repository_file("alerts/plumbline.rules.yml")).unwrap();
    assert!(rules.contains("for: 2m"));
    std::fs::write(dir.join("rules.yml"), rules.replace("for: 2m", "for: 1s")).unwrap();
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\n\
         alerting: {{ alertmanagers: [ {{ static_configs: [ {{ targets: ['{}'] }} ] }} ] }}\n\
         scrape_configs: [ {{ job_name: plumbline, static_configs: [ {{ targets: ['{target}'] }} ] }} ]\n",
        alertmanager.trim_start_matches("http://")
    );
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let arguments = [
        format!("--config.file={}", dir.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", dir.join("prometheus").display()),
        format!("--web.listen-address={listen}"),
    ];
    let program = Program::start("prometheus", &arguments, &dir.join("prometheus.log"), &[]);
    wait_until(async || answers(&format!("http://{listen}/-/ready")).await).await;
    program
}

#[tokio::test]
async fn prometheus_fires_the_shipped_rules_and_alertmanager_is_told_by_both() {
    let dir = tempfile::tempdir().unwrap();
    let on_call = Receiver::start([]).await;
    let chat = Receiver::start([Answer::Says(403, "", "action_prohibited")]).await;
    let pinged = Receiver::start([]).await;
    let (_alertmanager, alertmanager) = start_alertmanager(dir.path(), &on_call).await;
    let listen = format!("127.0.0.1:{}", free_port());
    let config = format!(
        "[plumbline]\nlisten = \"{listen}\"\ndata_dir = \"data\"\n[plumbline.ledger]\nlibchdb = \"{}\"\n\
         [alert]\nheartbeat_url = \"env:PING\"\nheartbeat_every = \"1s\"\n\
         [channel.alertmanager]\nkind = \"alertmanager\"\nurl = \"{alertmanager}\"\nresend = \"1s\"\n\
         [channel.chat]\nkind = \"slack\"\nurl = \"env:CHAT\"\n{REST}",
        libchdb().display()
    );
    std::fs::write(dir.path().join("plumbline.toml"), config).unwrap();
    let arguments = ["serve", "--config", "plumbline.toml"];
    let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
    arguments[2] = dir.path().join("plumbline.toml").display().to_string();
    let environment = [("CHAT", chat.url.as_str()), ("PING", pinged.url.as_str())];
    let log = dir.path().join("plumbline.log");
    let serve = Program::start(env!("CARGO_BIN_EXE_plumbline"), &arguments, &log, &environment);
    wait_until(async || answers(&format!("http://{listen}/readyz")).await).await;
    let _prometheus = start_prometheus(dir.path(), &listen, &alertmanager).await;
    pinged.has(2).await;

    // An incident: Alertmanager has it, again and again; Slack refuses it.
    let secret = StateSecret::in_dir(&dir.path().join("data")).unwrap();
    let url = format!("sqlite://{}", dir.path().join("data/state.db").display());
    let state = StateStore::open(&url, &secret).await.unwrap();
    let loaded = super::bench::alerting(
        "[channel.alertmanager]\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:1\"\n\
         [channel.chat]\nkind = \"slack\"\nurl = \"env:CHAT\"",
        &[("CHAT", &chat.url)],
    );
    let now = state.now().await.unwrap();
    let mut incident = Incident { opened_at: now, ..example_incident() };
    let step = Step { at: now, happened: Happened::Opened };
    state.tell(&Routing::new(&loaded).outgoing(&incident, &step).unwrap()).await.unwrap();
    wait_until(async || of_incident(&alertmanager, &incident).await.is_some()).await;
    let first = of_incident(&alertmanager, &incident).await.unwrap();
    assert_eq!((&first["labels"]["entity"], &first["labels"]["severity"]), (&"price".into(), &"page".into()));
    wait_until(async || {
        // One that was repeated late has lapsed meanwhile.
        let now = of_incident(&alertmanager, &incident).await;
        now.is_some_and(|now| now["endsAt"].as_str() > first["endsAt"].as_str())
    })
    .await;

    // The rule about refused messages is the shipped one: Prometheus saw the metric and told Alertmanager.
    wait_until(async || alert(&alertmanager, "PlumblineMessagesRefused").await.is_some()).await;
    let refused = alert(&alertmanager, "PlumblineMessagesRefused").await.unwrap();
    assert_eq!(refused["annotations"]["summary"], "chat refused 1 messages");

    // The end of the incident.
    let at = state.now().await.unwrap();
    let step = incident.resolve("ann", at).unwrap();
    state.tell(&Routing::new(&loaded).outgoing(&incident, &step).unwrap()).await.unwrap();
    wait_until(async || of_incident(&alertmanager, &incident).await.is_none()).await;

    // That the chat does not take messages is an incident of its own; the next message that it takes ends it.
    wait_until(async || alerts(&alertmanager).await.iter().any(is_about_delivery)).await;
    let now = state.now().await.unwrap();
    let other = Incident { id: IncidentId(Uuid::from_u128(5)), opened_at: now, ..example_incident() };
    let step = Step { at: now, happened: Happened::Opened };
    state.tell(&Routing::new(&loaded).outgoing(&other, &step).unwrap()).await.unwrap();
    wait_until(async || !alerts(&alertmanager).await.iter().any(is_about_delivery)).await;
    wait_until(async || of_incident(&alertmanager, &other).await.is_some()).await;

    // The auditor's own death.
    assert!(alert(&alertmanager, "PlumblineGone").await.is_none());
    drop(serve);
    wait_until(async || alert(&alertmanager, "PlumblineGone").await.is_some()).await;
    let told = |name: &str| on_call.requests().iter().any(|request| request.json().to_string().contains(name));
    wait_until(async || told("PlumblineGone") && told("PlumblineMessagesRefused")).await;
}
