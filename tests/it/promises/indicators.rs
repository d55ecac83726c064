//! Indicators that are read from what probes and queues leave: depth and age of a queue, availability of probes,
//! completeness of samples.

use super::{CONFIG, FLOW_CAUSE, MINUTE, World};
use crate::support::sqlite;

const SAMPLE: &str = r#"
[[probe]]
entity = "stock"
kind = "sample"
schedule = "every 1m"
keys_per_run = 100
"#;
const QUEUE: &str = "system = \"store\"\nqueue = \"webhooks\"";

/// A promise that pages when it is broken for some minutes.
fn promise(name: &str, indicator: &str, about: &str) -> String {
    let tier = "{ severity = \"page\", factor = 10, long = \"10m\", short = \"1m\" }";
    format!(
        "[[slo]]\nname = \"{name}\"\nindicator = \"{indicator}\"\n{about}\nobjective = \"99%\"\nwindow = \"7d\"\ntiers = [{tier}]\n"
    )
}

/// The usual systems and entity, with a promise for each indicator.
fn config() -> String {
    let base = CONFIG.split("[[slo]]").next().unwrap().to_owned();
    base + SAMPLE
        + &promise("deep", "queue_depth", &format!("{QUEUE}\nat_most = 100"))
        + &promise("old", "queue_age", &format!("{QUEUE}\nwithin = \"5m\""))
        + &promise("runs", "probe_availability", "")
        + &promise("there", "completeness", "")
}

/// What is found in each of some minutes.
#[derive(Clone, Copy)]
struct Found {
    depth: u64,
    age_secs: u64,
    outcome: &'static str,
    missing: u64,
}

const FINE: Found = Found { depth: 5, age_secs: 1, outcome: "ok", missing: 0 };

impl World {
    async fn find(&self, from: i64, to: i64, found: Found) {
        let begin = self.start + from * MINUTE;
        let at = format!("fromUnixTimestamp64Micro({begin} + number * {MINUTE}, 'UTC')");
        let Found { depth, age_secs, outcome, missing } = found;
        let flow = "'default', 'stock', 'erp', 'store'";
        for rows in [
            format!(
                "queue_samples SELECT 'default', 'store', 'webhooks', {at}, generateUUIDv4(), {depth}, {age_secs} * 1000000, 0, 0, 0"
            ),
            format!(
                "runs SELECT 'default', 'stock', 'erp', 'sample', generateUUIDv4(), 1, 'one', {at}, {at}, '{outcome}', '', 0, 0, 0, 0"
            ),
            format!("samples SELECT {flow}, {at}, generateUUIDv4(), 'owner', 100 - {missing}, {missing}, {missing}, 0"),
            format!("coverage SELECT {flow}, 'sample', generateUUIDv4(), {at}, {at}, 100, 100, ''"),
        ] {
            let text = format!("INSERT INTO {rows} FROM numbers({})", to - from);
            self.client().query(&text).execute().await.unwrap();
        }
    }

    async fn broken(&self, cause: &str) -> Vec<String> {
        let incidents = self.incidents().await;
        let about = incidents.iter().find(|incident| incident.cause.to_string() == cause);
        about.map(|incident| incident.broken.iter().map(|slo| slo.name.clone()).collect()).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_runs_and_samples_break_their_own_promises() {
    let file = sqlite().await;
    let world = World::with(&file.url(), &config()).await;
    let (mut evaluator, _spool) = world.auditor("one").await;
    world.find(-60, 1, FINE).await;
    let fine = world.tick(&mut evaluator, 0).await.unwrap();
    assert_eq!((fine.evaluated, fine.burning, fine.blind, fine.steps), (4, 0, 0, 0));

    let queue = "queue store webhooks";
    world.find(1, 6, Found { depth: 101, ..FINE }).await;
    assert_eq!(world.tick(&mut evaluator, 5).await.unwrap().burning, 1);
    assert_eq!(world.broken(queue).await, ["deep"]);
    world.find(6, 11, Found { age_secs: 301, ..FINE }).await;
    assert_eq!(world.tick(&mut evaluator, 10).await.unwrap().burning, 1);
    assert_eq!(world.broken(queue).await, ["deep", "old"], "one queue is one incident");
    assert_eq!(world.incidents().await.len(), 1);

    world.find(11, 16, Found { outcome: "failed", missing: 50, ..FINE }).await;
    assert_eq!(world.tick(&mut evaluator, 15).await.unwrap().burning, 2);
    let mut broken = world.broken(FLOW_CAUSE).await;
    broken.sort_unstable();
    assert_eq!(broken, ["runs", "there"]);
    assert!(!world.incidents().await.iter().any(|incident| incident.cause.to_string() == queue && incident.is_open()));
    world.engine.engine.stop().await;
}
