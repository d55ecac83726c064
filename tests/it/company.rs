//! The demo company at work: four systems, the sync job in its own process, and what they write down.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use plumbline::clock::{AnchoredClock, Clock};
use plumbline::sandbox::book::Write;
use plumbline::sandbox::record::Content;
use plumbline::sandbox::score::{Reports, score};
use plumbline::sandbox::{Company, Entity, FaultKind, Faults, Options, Places, System};

use crate::support::wait_until;

/// A company in a hurry: every kind of fault within a few seconds.
fn hurried(seed: u64) -> Options {
    Options {
        products: 30,
        customers: 20,
        changes_per_second: 100.0,
        deadline: Duration::from_millis(300),
        probe_every: Duration::from_millis(50),
        sync_delay: (Duration::from_millis(5), Duration::from_millis(30)),
        first_fault: Duration::from_millis(300),
        fault_every: Duration::from_millis(60),
        rest: Duration::from_millis(300),
        day: None,
        ..Options::for_run(seed, None, Duration::from_secs(1), Faults { systems: Vec::new(), ..Faults::all() })
    }
}

async fn company(directory: &Path, options: Options) -> (Company, AnchoredClock) {
    let clock = AnchoredClock::from_machine();
    let places = Places::in_directory(directory, Path::new(env!("CARGO_BIN_EXE_plumbline"))).expect("places");
    (Company::create(places, options, clock.clone()).await.expect("a company"), clock)
}

/// Works until every kind of fault was planted.
async fn worked_day(directory: &Path, options: Options) -> (Company, AnchoredClock) {
    let (mut company, clock) = company(directory, options).await;
    company.open().await.expect("an open company");
    let records = company.records();
    wait_until(async || {
        let kinds = records.day().plants.into_iter().map(|plant| plant.kind);
        kinds.collect::<std::collections::BTreeSet<_>>().len() == FaultKind::ALL.len()
    })
    .await;
    company.close().await.expect("a clean end");
    (company, clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_say_what_the_systems_hold() {
    let directory = tempfile::tempdir().expect("a directory");
    let (company, _) = worked_day(directory.path(), hurried(11)).await;
    let mut last: BTreeMap<(System, Entity, String), Write> = BTreeMap::new();
    let mut writes = company.records().day().writes;
    writes.sort_by_key(|write| write.committed.low);
    for write in writes {
        last.insert((write.system, write.entity, write.key.clone()), write);
    }
    let mut seen: BTreeMap<System, usize> = BTreeMap::new();
    for ((system, entity, key), write) in last {
        // What was held open or came by the sync job as everybody went home may have been written after the last word.
        let held = company.read(system, entity, &key).await.expect("a read");
        let seen_by_target = |contents: &[Content]| -> Vec<Content> {
            let concerns = |content: &Content| match entity.targets().contains(&system) {
                true => content.for_target(entity, system),
                false => Some(content.clone()),
            };
            contents.iter().filter_map(concerns).collect()
        };
        assert_eq!(seen_by_target(&held), seen_by_target(&write.contents), "{system} {entity} {key}");
        *seen.entry(system).or_default() += 1;
    }
    assert!(System::ALL.iter().all(|system| seen[system] >= 20), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_spoils_arrives_everywhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options { faults: Faults::default(), ..hurried(5) };
    let (mut company, clock) = company(directory.path(), options.clone()).await;
    company.open().await.expect("an open company");
    let records = company.records();
    let flows =
        || Entity::ALL.into_iter().flat_map(|entity| entity.targets().iter().map(move |target| (entity, *target)));
    wait_until(async || {
        let writes = records.day().writes;
        let wrote =
            |entity, target| writes.iter().filter(|write| write.entity == entity && write.system == target).count();
        // More than the company opened with.
        flows().all(|(entity, target)| wrote(entity, target) > 40)
    })
    .await;
    let summary = score(&records.day(), &Reports::default(), clock.now(), &options);
    assert_eq!(summary.planted, 0);
    company.close().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_auditor_misses_what_could_be_seen() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = hurried(11);
    let (company, clock) = worked_day(directory.path(), options.clone()).await;
    let found = score(&company.records().day(), &Reports::default(), clock.now(), &options);
    assert_eq!((found.found, found.planted), (0, found.missed + found.undecided));
    assert!(found.missed > 0 && !found.is_right(), "{found:?}");
}
