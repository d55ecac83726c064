//! A running auditor is killed again and again while messages are on their way and incidents move on: every message is told,
//! at most once more a kill, and no end is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use plumbline::incident::{Cause, Happened, Incident, IncidentId, Step};
use plumbline::model::Moment;
use plumbline::state::{Changed, IncidentChange, OutboxRow, StateSecret};
use uuid::Uuid;

use super::bench::{Bench, REST};
use super::prometheus::Program;
use super::receiver::{Answer, Receiver};
use crate::engine::TestEngine;
use crate::support::{free_port, wait_for};

const KILLS: u128 = 8;
/// Incidents that open between two kills.
const OPENED: u128 = 4;
/// Messages that the receiver takes between two kills, at least.
const TAKEN: usize = 3;
/// Starts of an unoptimised program on a busy machine.
const MINUTES: Duration = Duration::from_secs(120);

/// The auditor that is killed; everything but its messages stands still.
struct World {
    dir: tempfile::TempDir,
    engine: TestEngine,
    hook: Receiver,
    bench: Bench,
}

impl World {
    async fn new() -> Self {
        let (dir, engine, hook) = (tempfile::tempdir().unwrap(), TestEngine::start().await, Receiver::start([]).await);
        let channel = "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"\n";
        let plumbline = format!(
            "[plumbline]\nlisten = \"127.0.0.1:{}\"\ndata_dir = \"data\"\nauditor = \"one\"\n[plumbline.ledger]\nurl = \"{}\"\n\
             user = \"{}\"\npassword = \"env:LEDGER\"\n",
            free_port(),
            engine.engine.url(),
            engine.engine.user()
        );
        std::fs::write(dir.path().join("plumbline.toml"), format!("{plumbline}{channel}{REST}")).unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let url = format!("sqlite://{}", data.join("state.db").display());
        let secret = StateSecret::in_dir(&data).unwrap();
        let bench = Bench::with(&url, &secret, channel, &[("HOOK", &hook.url)]).await;
        Self { dir, engine, hook, bench }
    }

    fn start(&self, log: &Path) -> Program {
        let config = self.dir.path().join("plumbline.toml").display().to_string();
        let environment =
            [("HOOK", self.hook.url.as_str()), ("KEY", "0123456789abcdef"), ("LEDGER", self.engine.engine.password())];
        let arguments = ["serve".to_owned(), "--config".to_owned(), config];
        Program::start(env!("CARGO_BIN_EXE_plumbline"), &arguments, log, &environment)
    }

    async fn change(&self, incident: Incident, version: Option<i64>, step: Step) -> String {
        let id = OutboxRow::id_of(&incident.id.to_string(), "hook", step.happened.as_str(), step.at);
        let change = IncidentChange { incident, version, steps: vec![step] };
        let changed = self.bench.state.change_incident(&change, None, &self.bench.teller()).await.unwrap();
        assert_eq!(changed, Changed::Done);
        id
    }

    /// Opens an incident; gives the name of the message about it.
    async fn open(&self, number: u128) -> String {
        let incident = self.bench.incident(number, Duration::ZERO).await;
        let cause: Cause = format!("flow price-{number}: erp -> store").parse().unwrap();
        let step = Step { at: incident.opened_at, happened: Happened::Opened };
        self.change(Incident { cause, ..incident }, None, step).await
    }

    /// Ends it, too.
    async fn end(&self, number: u128) -> String {
        let held = self.bench.state.incident(IncidentId(Uuid::from_u128(number))).await.unwrap().unwrap();
        let (mut incident, now): (Incident, Moment) = (held.incident, self.bench.now().await);
        let step = incident.resolve("ann", now).unwrap();
        self.change(incident, Some(held.version), step).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_that_is_killed_again_and_again_tells_everything_and_ends_what_it_began() {
    let world = World::new().await;
    let mut messages = Vec::new();
    for kill in 0..KILLS {
        let before = world.hook.requests().len();
        // Every other time it dies for certain between sending and noting that, else wherever it happens to be.
        let hangs = kill % 2 == 0;
        if hangs {
            let taken = std::iter::repeat_n(Answer::Says(202, "", "{}"), TAKEN);
            world.hook.then(taken.chain([Answer::Hangs]));
        }
        let auditor = world.start(&world.dir.path().join(format!("{kill}.log")));
        for number in kill * OPENED..(kill + 1) * OPENED {
            messages.push(world.open(number).await);
            if let Some(earlier) = number.checked_sub(OPENED) {
                messages.push(world.end(earlier).await);
            }
        }
        wait_for(MINUTES, async || world.hook.requests().len() >= before + TAKEN + usize::from(hangs)).await;
        drop(auditor);
    }
    for number in (KILLS - 1) * OPENED..KILLS * OPENED {
        messages.push(world.end(number).await);
    }
    let _last = world.start(&world.dir.path().join("last.log"));
    wait_for(MINUTES, async || world.hook.requests().len() >= messages.len()).await;
    world.bench.quiet().await;

    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for request in world.hook.requests() {
        *told.entry(request.header("plumbline-id").unwrap().to_owned()).or_default() += 1;
        let word = |name: &str| request.json()[name].as_str().unwrap().to_owned();
        last.insert(word("subject"), word("phase"));
    }
    let expected: BTreeSet<&String> = messages.iter().collect();
    assert_eq!(told.keys().collect::<BTreeSet<_>>(), expected, "everything was told, and nothing else");
    let repeated: usize = told.values().map(|times| times - 1).sum();
    let kills = usize::try_from(KILLS).unwrap();
    assert!((kills / 2..=kills).contains(&repeated), "{repeated} repetitions of {kills} kills: {told:?}");
    assert_eq!(last.len(), usize::try_from(KILLS * OPENED).unwrap());
    assert!(last.values().all(|phase| phase == "resolved"), "the end is the last that is told: {last:?}");
}
