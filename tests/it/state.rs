//! The state store, the same text on SQLite and PostgreSQL.

use std::time::Duration;

use plumbline::model::Moment;
use plumbline::state::change::{
    BaselineChange, DiscrepancyChange, InFlightChange, InFlightEntry, Lease, StateChange, UnitName, walk_name,
};
use plumbline::state::{Applied, StateError, StateSecret, StateStore};
use uuid::Uuid;

use crate::support;

const TTL: Duration = Duration::from_secs(600);
const FLOW: &str = "stock: erp -> store";

/// Runs the test body on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let file = crate::support::sqlite().await;
                super::$name(&super::open(&file.url()).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let database = crate::support::postgres().await.database().await;
                super::$name(&super::open(&database.url()).await).await;
            })*
        }
    };
}

on_both!(
    a_run_is_applied_once,
    a_stale_token_is_fenced_and_changes_nothing,
    keys_in_flight_come_change_and_go,
    twenty_thousand_keys_in_one_run,
    discrepancies_live_and_settle,
    baselines_are_replaced,
    two_auditors_split_the_units,
    leases_pass_on_when_they_run_out,
    leases_are_renewed_until_taken,
    the_clock_runs,
    migrating_again_is_harmless,
);

async fn open(url: &str) -> StateStore {
    let store = StateStore::open(url, &secret()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

fn secret() -> StateSecret {
    StateSecret::from_bytes([9; 32])
}

fn units(count: usize) -> Vec<UnitName> {
    (0..count).map(|number| format!("changes/entity-{number}/erp")).collect()
}

async fn one_lease(store: &StateStore) -> Lease {
    store.acquire(&units(1), "a", TTL, 10).await.unwrap().remove(0)
}

fn change(run: u128, lease: &Lease) -> StateChange {
    StateChange::new(Uuid::from_u128(run), lease.clone())
}

fn key_hash(number: usize) -> String {
    format!("{number:032x}")
}

fn at(seconds: i64) -> Moment {
    Moment::from_micros(seconds * 1_000_000)
}

fn in_flight(number: usize, due_at: i64, overdue_at: i64) -> InFlightChange {
    let payload = format!("payload {number}").into_bytes();
    let entry = InFlightEntry { due_at: at(due_at), overdue_at: at(overdue_at), payload };
    InFlightChange { flow: FLOW.to_owned(), key_hash: key_hash(number), entry: Some(entry) }
}

async fn a_run_is_applied_once(store: &StateStore) {
    let lease = one_lease(store).await;
    let first = StateChange { position: Some(vec![1]), ..change(1, &lease) };
    let second = StateChange { position: Some(vec![2]), walk: Some(vec![3]), ..change(2, &lease) };
    assert_eq!(store.position(&lease.unit).await.unwrap(), None);
    assert_eq!(store.apply(&first).await.unwrap(), Applied::Now);
    assert_eq!(store.apply(&second).await.unwrap(), Applied::Now);
    assert_eq!(store.apply(&first).await.unwrap(), Applied::Already);
    assert_eq!(store.position(&lease.unit).await.unwrap(), Some(vec![2]));
    assert_eq!(store.position(&walk_name(&lease.unit)).await.unwrap(), Some(vec![3]));
    // A run of the changes probe leaves the walk where it is.
    assert_eq!(store.apply(&StateChange { position: Some(vec![4]), ..change(3, &lease) }).await.unwrap(), Applied::Now);
    assert_eq!(store.position(&walk_name(&lease.unit)).await.unwrap(), Some(vec![3]));
}

async fn a_stale_token_is_fenced_and_changes_nothing(store: &StateStore) {
    let old = one_lease(store).await;
    let done = StateChange { position: Some(vec![1]), ..change(1, &old) };
    assert_eq!(store.apply(&done).await.unwrap(), Applied::Now);
    store.release("a", std::slice::from_ref(&old)).await.unwrap();
    let new = store.acquire(&units(1), "b", TTL, 10).await.unwrap().remove(0);
    assert!(new.token > old.token);

    let walk = Some(vec![8]);
    let late = StateChange { position: Some(vec![7]), walk, in_flight: vec![in_flight(1, 1, 1)], ..change(2, &old) };
    assert_eq!(store.apply(&late).await.unwrap(), Applied::Fenced);
    assert_eq!(store.apply(&late).await.unwrap(), Applied::Fenced);
    assert_eq!(store.position(&old.unit).await.unwrap(), Some(vec![1]));
    assert_eq!(store.position(&walk_name(&old.unit)).await.unwrap(), None);
    assert_eq!(store.in_flight_count().await.unwrap(), 0);
    // What was applied under the old token stays applied.
    assert_eq!(store.apply(&done).await.unwrap(), Applied::Already);
}

async fn keys_in_flight_come_change_and_go(store: &StateStore) {
    let lease = one_lease(store).await;
    let mut first = change(1, &lease);
    first.in_flight = vec![in_flight(1, 10, 100), in_flight(2, 20, 50), in_flight(3, 30, 300)];
    store.apply(&first).await.unwrap();

    let flows = [FLOW.to_owned(), "other: a -> b".to_owned()];
    let due = store.in_flight_due(&flows, at(20), 10).await.unwrap();
    let due_keys: Vec<_> = due.iter().map(|key| key.key_hash.clone()).collect();
    assert_eq!(due_keys, [key_hash(1), key_hash(2)]);
    assert_eq!(due[0].payload, b"payload 1");
    assert_eq!(store.in_flight_due(&flows, at(20), 1).await.unwrap().len(), 1);

    let mut second = change(2, &lease);
    let gone = InFlightChange { entry: None, ..in_flight(1, 0, 0) };
    // The same key twice in one run: the later change counts.
    second.in_flight = vec![gone, in_flight(3, 1, 1), in_flight(3, 40, 60)];
    store.apply(&second).await.unwrap();
    let asked: Vec<String> = (1..=4).map(key_hash).collect();
    let mut kept = store.in_flight_get(FLOW, &asked).await.unwrap();
    kept.sort_by(|a, b| a.key_hash.cmp(&b.key_hash));
    let kept: Vec<_> = kept.iter().map(|key| (key.key_hash.clone(), key.due_at)).collect();
    assert_eq!(kept, [(key_hash(2), at(20)), (key_hash(3), at(40))]);

    let stats = store.in_flight_stats(at(55)).await.unwrap();
    assert_eq!(stats.len(), 1);
    assert_eq!((stats[0].count, stats[0].overdue, stats[0].oldest_overdue_at), (2, 1, Some(at(50))));
    assert_eq!(store.in_flight_stats(at(40)).await.unwrap()[0].oldest_overdue_at, None);
}

async fn twenty_thousand_keys_in_one_run(store: &StateStore) {
    let lease = one_lease(store).await;
    let mut first = change(1, &lease);
    first.in_flight = (0..20_000).map(|number| in_flight(number, 10, 20)).collect();
    store.apply(&first).await.unwrap();
    assert_eq!(store.in_flight_count().await.unwrap(), 20_000);
    let asked: Vec<String> = (0..20_000).step_by(2).map(key_hash).collect();
    assert_eq!(store.in_flight_get(FLOW, &asked).await.unwrap().len(), 10_000);
    let mut second = change(2, &lease);
    second.in_flight = first.in_flight.iter().map(|key| InFlightChange { entry: None, ..key.clone() }).collect();
    store.apply(&second).await.unwrap();
    assert_eq!(store.in_flight_count().await.unwrap(), 0);
}

fn discrepancy(id: u128, number: usize, status: &str, at_second: i64) -> DiscrepancyChange {
    DiscrepancyChange {
        id: Uuid::from_u128(id),
        flow: FLOW.to_owned(),
        key_hash: key_hash(number),
        status: status.to_owned(),
        verdict: "missing".to_owned(),
        at: at(at_second),
        since: at(1),
        payload: format!("{status} {id}").into_bytes(),
    }
}

async fn discrepancies_live_and_settle(store: &StateStore) {
    let lease = one_lease(store).await;
    let mut first = change(1, &lease);
    first.discrepancies = vec![discrepancy(1, 1, "open", 5), discrepancy(2, 2, "open", 6)];
    store.apply(&first).await.unwrap();
    let counts = store.open_discrepancy_counts().await.unwrap();
    assert_eq!((counts.len(), counts[0].count, counts[0].verdict.as_str()), (1, 2, "missing"));

    let mut second = change(2, &lease);
    // Two steps of one discrepancy in one run.
    second.discrepancies = vec![discrepancy(1, 1, "resolving", 7), discrepancy(1, 1, "resolved", 8)];
    store.apply(&second).await.unwrap();
    let asked = [key_hash(1), key_hash(2)];
    let open = store.open_discrepancies(FLOW, &asked).await.unwrap();
    assert_eq!(open.len(), 1);
    let left = &open[&key_hash(2)];
    assert_eq!((left.opened_at, left.changed_at, left.payload.as_slice()), (at(6), at(6), b"open 2".as_slice()));
    assert_eq!(store.list_open_discrepancies(10).await.unwrap(), std::slice::from_ref(left));

    assert_eq!(store.forget_settled_discrepancies(Duration::from_secs(60)).await.unwrap(), 1);
    assert_eq!(store.list_open_discrepancies(10).await.unwrap().len(), 1);
}

async fn baselines_are_replaced(store: &StateStore) {
    let lease = one_lease(store).await;
    let agreed = |digest: u128, second: i64| BaselineChange {
        pair: "contact: crm <-> support".to_owned(),
        key_hash: key_hash(1),
        digest,
        agreed_at: at(second),
    };
    store.apply(&StateChange { baselines: vec![agreed(u128::MAX, 1)], ..change(1, &lease) }).await.unwrap();
    store.apply(&StateChange { baselines: vec![agreed(3, 2), agreed(4, 3)], ..change(2, &lease) }).await.unwrap();
    let found = store.baselines("contact: crm <-> support", &[key_hash(1), key_hash(2)]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[&key_hash(1)].digest, found[&key_hash(1)].agreed_at), (4, at(3)));
}

fn names(leases: &[Lease]) -> Vec<UnitName> {
    leases.iter().map(|lease| lease.unit.clone()).collect()
}

async fn two_auditors_split_the_units(store: &StateStore) {
    let all = units(5);
    let alone = store.acquire(&all, "a", TTL, 100).await.unwrap();
    assert_eq!(alone.len(), 5);
    assert!(store.acquire(&all, "b", TTL, 100).await.unwrap().is_empty(), "nothing is free yet");
    // The first gives up its surplus when it next asks; the second takes it.
    let first = store.acquire(&all, "a", TTL, 100).await.unwrap();
    let second = store.acquire(&all, "b", TTL, 100).await.unwrap();
    assert_eq!((first.len(), second.len()), (3, 2));
    let mut together = [names(&first), names(&second)].concat();
    together.sort();
    assert_eq!(together, all);
    assert!(second.iter().all(|lease| lease.token == 2), "{second:?}");
    // Asking again changes nothing.
    assert_eq!(store.acquire(&all, "a", TTL, 100).await.unwrap(), first);
    store.leave("b").await.unwrap();
    assert_eq!(names(&store.acquire(&all, "a", TTL, 100).await.unwrap()).len(), 5);
    assert_eq!(store.acquire(&all, "a", TTL, 2).await.unwrap().len(), 2, "never more than asked for");
}

async fn leases_pass_on_when_they_run_out(store: &StateStore) {
    let all = units(2);
    let short = Duration::from_millis(200);
    let first = store.acquire(&all, "a", short, 100).await.unwrap();
    assert_eq!(first.len(), 2);
    let taken = std::sync::Mutex::new(vec![]);
    support::wait_until(async || {
        let held = store.acquire(&all, "b", TTL, 100).await.unwrap();
        let complete = held.len() == 2;
        *taken.lock().unwrap() = held;
        complete
    })
    .await;
    let taken = taken.into_inner().unwrap();
    assert!(taken.iter().all(|lease| lease.token == 2), "{taken:?}");
    assert!(store.renew("a", &first, TTL).await.unwrap().is_empty(), "the dead one's leases are gone");
    assert_eq!(store.apply(&change(1, &first[0])).await.unwrap(), Applied::Fenced);
    assert_eq!(store.apply(&change(1, &taken[0])).await.unwrap(), Applied::Now);
}

async fn leases_are_renewed_until_taken(store: &StateStore) {
    let all = units(3);
    let held = store.acquire(&all, "a", Duration::ZERO, 100).await.unwrap();
    // They ran out at once, but nobody took them.
    assert_eq!(store.renew("a", &held, TTL).await.unwrap(), held);
    assert_eq!(store.acquire(&all, "a", TTL, 100).await.unwrap(), held);
    let stranger = Lease { unit: "changes/none/erp".to_owned(), token: 1 };
    assert!(store.renew("a", &[stranger], TTL).await.unwrap().is_empty());
}

async fn the_clock_runs(store: &StateStore) {
    let before = store.now().await.unwrap();
    let year_2020 = 1_577_836_800_000_000;
    assert!(before.micros() > year_2020);
    support::wait_until(async || store.now().await.unwrap() > before).await;
}

async fn migrating_again_is_harmless(store: &StateStore) {
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
}

#[tokio::test]
async fn another_secret_is_refused() {
    let file = support::sqlite().await;
    open(&file.url()).await;
    let other = StateStore::open(&file.url(), &StateSecret::from_bytes([1; 32])).await.unwrap();
    assert!(matches!(other.migrate().await, Err(StateError::WrongSecret)));
}

#[tokio::test]
async fn payloads_and_positions_are_encrypted_on_disk() {
    let file = support::sqlite().await;
    let store = open(&file.url()).await;
    let lease = one_lease(&store).await;
    let mut all = StateChange { position: Some(b"bob@example.org".to_vec()), ..change(1, &lease) };
    all.in_flight = vec![in_flight(1, 1, 1)];
    all.discrepancies = vec![discrepancy(1, 1, "open", 5)];
    store.apply(&all).await.unwrap();
    store.close().await;
    let bytes = std::fs::read(file.path()).unwrap();
    for clear in ["bob@example", "payload 1", "open 1"] {
        assert!(!bytes.windows(clear.len()).any(|part| part == clear.as_bytes()), "`{clear}` is readable");
    }
    assert!(bytes.windows(FLOW.len()).any(|part| part == FLOW.as_bytes()), "the file was read after its checkpoint");
}

#[tokio::test]
async fn two_auditors_at_once_never_hold_the_same_unit() {
    let database = support::postgres().await.database().await;
    let store = open(&database.url()).await;
    let all = units(20);
    let take = async |auditor: &'static str| {
        let mut held = vec![];
        for _ in 0..20 {
            held = store.acquire(&all, auditor, TTL, 100).await.unwrap();
        }
        held
    };
    let (a, b, c) = tokio::join!(take("a"), take("b"), take("c"));
    let mut together = [names(&a), names(&b), names(&c)].concat();
    let count = together.len();
    together.sort();
    together.dedup();
    assert_eq!(together.len(), count, "{a:?} {b:?} {c:?}");
}
