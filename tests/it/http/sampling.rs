//! Samples of services that speak HTTP, through whole units: lists that are entered anywhere, lists that can only be
//! followed, either side of a flow.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Response, Uri};
use plumbline::ledger::rows::CheckRow;
use plumbline::model::Verdict;
use serde_json::{Value as Json, json};

use super::hostile::json_api;
use super::served::{Served, json, param};
use super::shop::WOOCOMMERCE;
use super::woo::{KEY, SECRET, Woo};
use crate::config_text::ConfigText;
use crate::verdicts::pair::{Database, Product, QUANTITIES};
use crate::world::World;

/// The config of an owner and a target with a sample probe; each side is `[system.…]` and its mapping.
fn config(owner: [&str; 2], target: [&str; 2], probe: &str) -> String {
    let ([owner, in_owner], [target, in_target]) = (owner, target);
    ConfigText::new()
        .system("a", owner)
        .system("b", target)
        .entity("stock", &QUANTITIES.replace("\"erp\"", "\"a\""))
        .mapping("stock", "a", in_owner)
        .mapping("stock", "b", in_target)
        .probe("stock", "sample", "every 1s", probe)
        .fresh_within("stock", "1s")
        .text()
}

const DATABASE: [&str; 2] = [
    "kind = \"postgres\"\nurl = \"env:ERP\"\ncommit_delay = \"2s\"",
    "dataset = \"stock\"\nchanged_at = \"updated_at\"\nfields = { sku = \"sku\", qty = \"qty\" }",
];
const STORE: [&str; 2] = [WOOCOMMERCE, "dataset = \"products\"\nfields = { sku = \"sku\", qty = \"stock_quantity\" }"];
const ITEMS: &str = "dataset = \"items\"\nfields = { sku = \"id\", qty = \"qty\" }";
const HUNDRED: &str = "keys_per_run = 100";

async fn erp() -> Database {
    let erp = Database::new(Product::Postgres).await;
    erp.create_stock().await;
    erp
}

async fn put_all(database: &Database, rows: impl Iterator<Item = (String, i64)>) {
    let stamp = database.now_and(-86_400);
    let rows: Vec<String> = rows.map(|(sku, qty)| format!("('{sku}', {qty}, {stamp})")).collect();
    for rows in rows.chunks(500) {
        database.run(&format!("INSERT INTO stock (sku, qty, updated_at) VALUES {}", rows.join(", "))).await;
    }
}

fn sku(number: usize) -> String {
    format!("K{number:05}")
}

/// A store with so many products, written long ago.
async fn store_of(products: usize) -> (Woo, Vec<i64>) {
    let store = Woo::start().await;
    let ids = (0..products).map(|n| store.add("products", json!({ "sku": sku(n), "stock_quantity": n }))).collect();
    (store, ids)
}

async fn world(config: &str, erp: Option<&Database>, services: &[(&'static str, &str)]) -> World {
    let mut variables = vec![("KEY", KEY.to_owned()), ("SECRET", SECRET.to_owned())];
    variables.extend(erp.map(|erp| ("ERP", erp.url())));
    variables.extend(services.iter().map(|(name, url)| (*name, (*url).to_owned())));
    World::open(config, &variables).await
}

fn is_bad(row: &&CheckRow) -> bool {
    Verdict::ALL.into_iter().any(|verdict| verdict.is_bad() && row.is(verdict))
}

/// Looks at due keys until all that is in flight has been called bad.
async fn decided(world: &mut World) {
    let began = tokio::time::Instant::now();
    loop {
        let bad: BTreeSet<String> = world.checks().iter().filter(is_bad).map(|row| row.key.clone()).collect();
        if bad.len() >= world.in_flight() {
            return;
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{} keys are not decided", world.in_flight());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        world.recheck().await;
    }
}

/// Samples until both frames have come around.
async fn walked(world: &mut World, owners: u64, targets: u64) {
    let whole = |world: &World, measure: &str, keys: u64| {
        world
            .estimates()
            .iter()
            .rev()
            .find(|row| row.measure == measure)
            .is_some_and(|row| row.population == keys && row.sampled == keys && row.high - row.low < 1e-9)
    };
    let began = tokio::time::Instant::now();
    while !(whole(world, "completeness", owners) && whole(world, "extra", targets)) {
        let estimates = world.estimates();
        let last = &estimates[estimates.len().saturating_sub(3)..];
        assert!(began.elapsed() < std::time::Duration::from_secs(120), "it does not come around: {last:#?}");
        assert_eq!(world.sample().await.failure, None);
        decided(world).await;
    }
}

/// The last estimate is of all keys, with this many bad ones.
#[track_caller]
fn check(world: &World, measure: &str, keys: u64, bad: u64) {
    let found = world.estimate(measure);
    assert_eq!((found.population, found.sampled, found.bad), (keys, keys, bad), "{found:#?}");
    assert!(found.high - found.low < 1e-9, "a whole walk leaves nothing to chance: {found:#?}");
}

#[tokio::test]
async fn a_store_that_owns_is_walked_from_end_to_end() {
    let (erp, (store, ids)) = (erp().await, store_of(730).await);
    put_all(&erp, (0..730).map(|n| (sku(n), n as i64))).await;
    let mut world = world(&config(STORE, DATABASE, HUNDRED), Some(&erp), &[("STORE", &store.url)]).await;
    // Nothing of this moves a stamp of the owner.
    store.write_directly("products", ids[3], json!({ "stock_quantity": -1 }));
    erp.run("UPDATE stock SET qty = -1 WHERE sku IN ('K00100', 'K00500')").await;
    erp.run("DELETE FROM stock WHERE sku IN ('K00200', 'K00729')").await;
    put_all(&erp, ["K00300x".to_owned(), "ZZZ".to_owned()].into_iter().map(|sku| (sku, 1))).await;
    walked(&mut world, 730, 730).await;
    check(&world, "agreement", 730, 5);
    check(&world, "completeness", 730, 2);
    check(&world, "extra", 730, 2);
    assert_eq!(world.open_discrepancies().await, 7);
    let by_sample: HashMap<String, usize> =
        world.checks().iter().filter(|row| row.probe == "sample").fold(HashMap::new(), |mut counts, row| {
            *counts.entry(row.key.clone()).or_default() += 1;
            counts
        });
    assert!((0..730).all(|n| by_sample.contains_key(&sku(n))), "every key at least once");
    for pass in world.coverage().iter().filter(|row| row.probe == "sample_pass") {
        assert!(pass.from < pass.to && pass.expected == 730, "{pass:?}");
    }
}

#[tokio::test]
async fn a_store_that_must_follow_is_looked_up_and_walked_for_what_it_has_too_much() {
    let (erp, (store, ids)) = (erp().await, store_of(420).await);
    put_all(&erp, (0..420).map(|n| (sku(n), n as i64))).await;
    let mut world = world(&config(DATABASE, STORE, HUNDRED), Some(&erp), &[("STORE", &store.url)]).await;
    store.write_directly("products", ids[7], json!({ "stock_quantity": 70 }));
    store.delete("products", ids[8]);
    store.trash("products", ids[9]);
    store.add("products", json!({ "sku": "EXTRA", "stock_quantity": 1 }));
    walked(&mut world, 420, 419).await;
    check(&world, "agreement", 420, 3);
    check(&world, "completeness", 420, 2);
    check(&world, "extra", 419, 1);
    assert_eq!(world.open_discrepancies().await, 4);
}

/// Items of a service, in the order of its list.
#[derive(Clone, Default)]
struct Items(Arc<Mutex<Vec<(String, i64)>>>);

impl Items {
    fn of(count: usize) -> Self {
        let items = Self::default();
        items.0.lock().unwrap().extend((0..count).map(|n| (sku(n), n as i64)));
        items
    }

    fn set(&self, sku: &str, qty: i64) {
        self.0.lock().unwrap().iter_mut().find(|(known, _)| known == sku).unwrap().1 = qty;
    }

    fn remove(&self, sku: &str) {
        self.0.lock().unwrap().retain(|(known, _)| known != sku);
    }

    fn insert(&self, index: usize, sku: &str) {
        self.0.lock().unwrap().insert(index, (sku.to_owned(), 1));
    }

    async fn serve(&self) -> Served {
        let items = self.clone();
        Served::by(move |uri| items.answer(uri)).await
    }

    /// Pages by number, offset, cursor or link: whatever is asked for. Cursors are keyset cursors.
    fn answer(&self, uri: &Uri) -> Response<Body> {
        let all = self.0.lock().unwrap();
        let item = |(sku, qty): &(String, i64)| json!({ "id": sku, "qty": qty });
        if let Some(ids) = param(uri, "ids") {
            let found: Vec<Json> = all.iter().filter(|(sku, _)| ids.split(',').any(|id| id == sku)).map(item).collect();
            return json(&json!({ "total": found.len(), "data": found }));
        }
        let size = 30;
        let number = |name: &str| param(uri, name).map(|text| text.parse::<usize>().unwrap());
        let from = match param(uri, "cursor") {
            Some(after) => all.iter().position(|(sku, _)| *sku > after).unwrap_or(all.len()),
            None => number("offset").unwrap_or((number("page").unwrap_or(1) - 1) * size),
        };
        let data: Vec<&(String, i64)> = all.iter().skip(from).take(size).collect();
        let next = data.last().filter(|_| from + size < all.len()).map(|(sku, _)| sku.clone());
        let shown: Vec<Json> = data.into_iter().map(item).collect();
        let mut response = json(&json!({ "data": shown, "total": all.len(), "next_cursor": next }));
        if let Some(next) = next {
            let link = format!("<{}?cursor={next}>; rel=\"next\"", uri.path());
            response.headers_mut().insert("link", link.parse().unwrap());
        }
        response
    }
}

fn service(settings: &str) -> String {
    json_api(&format!("size = 30, changed_at = \"\", {settings}"))
}

const PAGINGS: [&str; 7] = [
    "paging = \"cursor\"",
    "paging = \"cursor\", total = \"body:total\"",
    "paging = \"link\"",
    "paging = \"page\"",
    "paging = \"page\", total = \"body:total\"",
    "paging = \"offset\"",
    "paging = \"offset\", total = \"body:total\"",
];

#[tokio::test]
async fn a_list_that_can_only_be_followed_is_followed_whole() {
    for paging in PAGINGS {
        let (erp, items) = (erp().await, Items::of(230));
        put_all(&erp, (0..230).map(|n| (sku(n), n as i64))).await;
        let server = items.serve().await;
        let owner = [&service(paging), ITEMS];
        let mut world = world(&config(owner, DATABASE, HUNDRED), Some(&erp), &[("STORE", &server.url)]).await;
        items.set("K00017", 1_000);
        erp.run("DELETE FROM stock WHERE sku = 'K00229'").await;
        erp.run("UPDATE stock SET sku = 'K00100x' WHERE sku = 'K00100'").await;
        assert_eq!(world.sample().await.failure, None, "{paging}");
        decided(&mut world).await;
        let told = world.estimates();
        assert!(
            told.iter().all(|row| row.frame != "owner"),
            "its first pages are no sample of it: {paging}: {told:#?}"
        );
        walked(&mut world, 230, 229).await;
        check(&world, "agreement", 230, 3);
        check(&world, "completeness", 230, 2);
        check(&world, "extra", 229, 1);
    }
}

#[tokio::test]
async fn a_target_that_can_only_be_followed_shows_what_it_has_too_much() {
    for paging in PAGINGS {
        let (erp, items) = (erp().await, Items::of(130));
        put_all(&erp, (0..130).map(|n| (sku(n), n as i64))).await;
        let server = items.serve().await;
        let target = [&service(paging), ITEMS];
        let mut world = world(&config(DATABASE, target, HUNDRED), Some(&erp), &[("STORE", &server.url)]).await;
        items.insert(130, "K99999");
        items.remove("K00004");
        walked(&mut world, 130, 130).await;
        check(&world, "agreement", 130, 1);
        check(&world, "completeness", 130, 1);
        check(&world, "extra", 130, 1);
    }
}

#[tokio::test]
async fn two_services_are_sampled_without_a_database() {
    let (store, ids) = store_of(150).await;
    let items = Items::of(150);
    let server = items.serve().await;
    let items_system = service(PAGINGS[0]).replace("env:STORE", "env:OTHER");
    for store_owns in [true, false] {
        let other = [items_system.as_str(), ITEMS];
        let text = if store_owns { config(STORE, other, HUNDRED) } else { config(other, STORE, HUNDRED) };
        let mut world = world(&text, None, &[("STORE", &store.url), ("OTHER", &server.url)]).await;
        store.write_directly("products", ids[5], json!({ "stock_quantity": 77 }));
        walked(&mut world, 150, 150).await;
        check(&world, "agreement", 150, 1);
        check(&world, "extra", 150, 0);
    }
}

/// Between two runs records leave and join the list in front of where the walk stands: none of the others is left out.
#[tokio::test]
async fn a_list_that_moves_between_two_runs_loses_nothing() {
    for paging in PAGINGS {
        let items = Items::of(200);
        let (erp, server) = (erp().await, items.serve().await);
        put_all(&erp, (0..200).map(|n| (sku(n), n as i64))).await;
        let owner = [&service(paging), ITEMS];
        let mut world =
            world(&config(owner, DATABASE, "keys_per_run = 30"), Some(&erp), &[("STORE", &server.url)]).await;
        let passes = |world: &World| world.coverage().iter().filter(|row| row.probe == "sample_pass").count();
        let mut run = 0;
        while passes(&world) == 0 {
            assert_eq!(world.sample().await.failure, None, "{paging}");
            // Whole pages go, and single records; new ones come in front.
            for gone in [(0..32).collect::<Vec<_>>(), vec![40], vec![41, 42, 43]].get(run).into_iter().flatten() {
                items.remove(&sku(*gone));
            }
            items.insert(0, &format!("A{run}"));
            run += 1;
            assert!(run < 60, "{paging}");
        }
        let seen: BTreeSet<String> = world.checks().into_iter().map(|row| row.key).collect();
        let lost: Vec<String> = (44..200).map(sku).filter(|sku| !seen.contains(sku)).collect();
        assert_eq!(lost, [""; 0], "{paging}");
    }
}

#[tokio::test]
async fn a_cursor_that_was_forgotten_begins_the_walk_anew() {
    let (erp, items) = (erp().await, Items::of(100));
    put_all(&erp, (0..100).map(|n| (sku(n), n as i64))).await;
    let expired = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (source, is_expired) = (items.clone(), Arc::clone(&expired));
    let server = Served::by(move |uri| {
        if param(uri, "cursor").is_some() && is_expired.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Response::builder().status(410).body(Body::from("{\"message\":\"cursor expired\"}")).unwrap();
        }
        source.answer(uri)
    })
    .await;
    let owner = [&service(PAGINGS[0]), ITEMS];
    let mut world = world(&config(owner, DATABASE, "keys_per_run = 30"), Some(&erp), &[("STORE", &server.url)]).await;
    assert_eq!(world.sample().await.owner_records, 30);
    expired.store(true, std::sync::atomic::Ordering::SeqCst);
    let summary = world.sample().await;
    assert_eq!((summary.owner_records, summary.failure), (0, None));
    walked(&mut world, 100, 100).await;
    check(&world, "agreement", 100, 0);
}

/// A list that keeps records back never adds up: no walk comes around, nothing is said of all keys.
#[tokio::test]
async fn a_followed_list_that_keeps_records_back_is_refused() {
    for paging in ["paging = \"cursor\", total = \"body:total\"", "paging = \"page\", total = \"body:total\""] {
        let (erp, items) = (erp().await, Items::of(100));
        put_all(&erp, (0..100).map(|n| (sku(n), n as i64))).await;
        let source = items.clone();
        let server = Served::by(move |uri| {
            let shown = Items(Arc::new(Mutex::new(source.0.lock().unwrap().clone())));
            let response = shown.answer(uri);
            if param(uri, "ids").is_some() {
                return response;
            }
            let number: usize = param(uri, "page").map_or(1, |page| page.parse().unwrap());
            let from = param(uri, "cursor").map_or((number - 1) * 30, |after| after[1..].parse::<usize>().unwrap() + 1);
            let data: Vec<Json> =
                (from..(from + 30).min(100)).filter(|n| *n != 65).map(|n| json!({ "id": sku(n), "qty": n })).collect();
            let next = (from + 30 < 100).then(|| sku(from + 29));
            json(&json!({ "data": data, "total": 100, "next_cursor": next }))
        })
        .await;
        let owner = [&service(paging), ITEMS];
        let mut world = world(&config(owner, DATABASE, HUNDRED), Some(&erp), &[("STORE", &server.url)]).await;
        let mut failures = BTreeSet::new();
        for _ in 0..6 {
            failures.extend(world.sample().await.failure);
        }
        assert_eq!(failures.into_iter().collect::<Vec<_>>(), ["refused"], "{paging}");
        assert!(world.estimates().iter().all(|row| row.frame != "owner"), "{paging}");
        assert_eq!(world.discrepancies(), [], "{paging}");
    }
}

/// Worlds on a store: damage in runs of neighbours and lone, a part of a walk, and how often the interval holds the truth.
async fn the_interval_holds_the_truth(owner: [&str; 2], target: [&str; 2]) {
    const KEYS: usize = 1_000;
    let (erp, (store, ids)) = (erp().await, store_of(KEYS).await);
    put_all(&erp, (0..KEYS).map(|n| (sku(n), n as i64))).await;
    let text = config(owner, target, "keys_per_run = 200");
    let (mut held, mut told) = (0, Vec::new());
    for seed in 0..6_usize {
        let start = |number: usize| (seed * 277 + number * 533) % KEYS;
        let runs = (0..4).flat_map(|number| (0..20).map(move |n| (start(number) + n) % KEYS));
        let bad: BTreeSet<usize> = runs.chain((0..KEYS).filter(|n| (n * 7 + seed) % 101 == 0)).collect();
        for (n, id) in ids.iter().enumerate() {
            let qty = if bad.contains(&n) { -1 } else { n as i64 };
            store.write_directly("products", *id, json!({ "stock_quantity": qty }));
        }
        let mut world = world(&text, Some(&erp), &[("STORE", &store.url)]).await;
        for _ in 0..3 {
            assert_eq!(world.sample().await.failure, None);
        }
        decided(&mut world).await;
        let found = world.estimate("agreement");
        let truth = 1.0 - bad.len() as f64 / KEYS as f64;
        held += usize::from((found.low..=found.high).contains(&truth));
        told.push(format!("{truth:.3} in {:.3}..{:.3} of {} keys", found.low, found.high, found.sampled));
        assert!(found.design_effect > 1.0 && found.sampled < KEYS as u64, "{found:?}");
    }
    // 95 of 100 hold: fewer than 3 of 6 would come by chance once in ten thousand tests.
    assert!(held >= 3, "{held} of 6: {told:#?}");
}

#[tokio::test]
async fn the_interval_of_a_store_that_owns_holds_the_truth() {
    the_interval_holds_the_truth(STORE, DATABASE).await;
}

#[tokio::test]
async fn the_interval_of_a_store_that_follows_holds_the_truth() {
    the_interval_holds_the_truth(DATABASE, STORE).await;
}

/// A run asks no faster than the budget allows, and for no more records than a run may read.
#[tokio::test]
async fn a_sample_keeps_the_budget_of_the_service() {
    let (erp, (store, _)) = (erp().await, store_of(300).await);
    put_all(&erp, (0..300).map(|n| (sku(n), n as i64))).await;
    let slow = WOOCOMMERCE.replace("requests_per_second = 1000", "requests_per_second = 20");
    let text = config([&slow, STORE[1]], DATABASE, "keys_per_run = 150");
    let mut world = world(&text, Some(&erp), &[("STORE", &store.url)]).await;
    store.take_requests();
    let began = tokio::time::Instant::now();
    let summary = world.sample().await;
    assert_eq!(summary.failure, None);
    let asked = store.take_requests().len() as f64;
    let seconds = began.elapsed().as_secs_f64();
    assert!(asked > 30.0, "{asked}");
    assert!(
        asked <= 20.0 + 20.0 * seconds,
        "{asked} requests in {seconds} s: a second's worth at once, then 20 a second"
    );
    // 150 keys are drawn from the store and 150 from the database, which the store is asked for.
    assert!((300..=330).contains(&summary.owner_records), "{summary:?}");
}

/// Against a slow budget a run takes long. The changes probe of the same unit gets its turn meanwhile.
#[tokio::test]
async fn a_long_run_of_samples_keeps_no_change_waiting() {
    let (erp, (store, _)) = (erp().await, store_of(400).await);
    put_all(&erp, (0..400).map(|n| (sku(n), n as i64))).await;
    let slow = WOOCOMMERCE.replace("requests_per_second = 1000", "requests_per_second = 4");
    let changes = "keys_per_run = 400\n[[probe]]\nentity = \"stock\"\nkind = \"changes\"\nschedule = \"every 200ms\"";
    let mut world = world(&config(DATABASE, [&slow, STORE[1]], changes), Some(&erp), &[("STORE", &store.url)]).await;
    let unit = world.units.remove(0);
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(unit.run(stop.clone()));
    let of_probe = |world: &World, probe: &str| world.checks().iter().filter(|row| row.probe == probe).count();
    crate::support::wait_until(|| async { of_probe(&world, "sample") > 0 }).await;
    erp.put("NEW", 1).await;
    store.add("products", json!({ "sku": "NEW", "stock_quantity": 1 }));
    crate::support::wait_until(|| async { world.last("NEW").is_some_and(|row| row.probe == "changes") }).await;
    let sampled = of_probe(&world, "sample");
    assert!(sampled < 400, "the run was over before the change was looked at");
    crate::support::wait_until(|| async { of_probe(&world, "sample") > sampled }).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}
