//! One owner with two targets, and deadlines from several promises.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plumbline::connect::{ReadError, Reader};
use plumbline::model::Verdict;

use super::between::{Agenda, Between};
use super::pair::{COMMIT_DELAY, Database, PROBE, Product, QUANTITIES, STOCK};
use super::sampling::SAMPLE;
use crate::config_text::ConfigText;
use crate::world::World;

struct Company {
    erp: Database,
    store: Database,
    cash: Database,
}

impl Company {
    async fn new() -> Self {
        let company = Self {
            erp: Database::new(Product::Postgres).await,
            store: Database::new(Product::Mariadb).await,
            cash: Database::new(Product::Sqlite).await,
        };
        for database in [&company.erp, &company.store, &company.cash] {
            database.create_stock().await;
        }
        company
    }

    async fn world(&self) -> World {
        self.world_with("").await
    }

    async fn world_with(&self, more: &str) -> World {
        self.world_through(more, |reader| reader).await
    }

    async fn world_through(&self, more: &str, around: impl Fn(Arc<dyn Reader>) -> Arc<dyn Reader>) -> World {
        let config = ConfigText::new()
            .database("erp", "postgres", "env:ERP", "")
            .database("store", "mariadb", "env:STORE", COMMIT_DELAY)
            .database("cash", "sqlite", "env:CASH", COMMIT_DELAY)
            .entity("stock", QUANTITIES)
            .mapping("stock", "erp", STOCK)
            .mapping("stock", "store", STOCK)
            .mapping("stock", "cash", STOCK)
            .more(PROBE)
            .promise("all", "stock", "60s", "")
            .promise("cash-desks", "stock", "1s", "target = \"cash\"")
            .more(more);
        let urls = [("ERP", self.erp.url()), ("STORE", self.store.url()), ("CASH", self.cash.url())];
        World::open_through(&config.text(), &urls, around).await
    }
}

/// The last verdict of a flow.
fn last(world: &World, target: &str) -> Option<String> {
    world.checks().into_iter().rev().find(|row| row.target == target).map(|row| row.verdict)
}

#[tokio::test]
async fn a_sync_that_reaches_one_of_two_targets_is_told_for_the_other_only() {
    let company = Company::new().await;
    let mut world = company.world().await;
    company.erp.put("A", 1).await;
    company.store.put("A", 1).await;
    world.look_until("the cash desks to lack it", |world| last(world, "cash").as_deref() == Some("missing")).await;
    assert_eq!(last(&world, "store").as_deref(), Some("match"));
    assert_eq!(world.open_discrepancies().await, 1);
    assert_eq!(world.discrepancies()[0].target, "cash");
    company.cash.put("A", 1).await;
    world.look_until_verdict("A", Verdict::Match).await;
    world.look_until("nothing to be open", |world| world.in_flight() == 0).await;
    assert_eq!(world.open_discrepancies().await, 0);
}

#[tokio::test]
async fn a_target_that_keeps_us_waiting_does_not_keep_the_other() {
    let company = Company::new().await;
    let (of_store, of_cash) = (Arc::new(Agenda::default()), Arc::new(Agenda::default()));
    let around = |reader: Arc<dyn Reader>| match reader.system().as_str() {
        "store" => Arc::new(Between::new(reader, &of_store)) as Arc<dyn Reader>,
        "cash" => Arc::new(Between::new(reader, &of_cash)) as Arc<dyn Reader>,
        _ => reader,
    };
    let mut world = company.world_through("", around).await;
    // Neither answers before the other was asked.
    let meeting = Arc::new(tokio::sync::Barrier::new(2));
    for (agenda, system) in [(&of_store, "store"), (&of_cash, "cash")] {
        let meeting = Arc::clone(&meeting);
        agenda.before_keys_of(system, async move {
            meeting.wait().await;
        });
    }
    company.erp.put("A", 1).await;
    company.store.put("A", 1).await;
    company.cash.put("A", 1).await;
    let looks = world.look_until("both to be seen", |world| {
        ["store", "cash"].iter().all(|target| last(world, target).as_deref() == Some("match"))
    });
    // Asked one after the other they would wait for ever.
    tokio::time::timeout(Duration::from_secs(60), looks).await.expect("targets are asked at once");
    assert!(of_store.is_done() && of_cash.is_done());
}

/// It refuses the first portion for longer than it is waited for. Its answer comes while others are waited for.
#[tokio::test]
async fn what_a_target_says_too_late_is_no_answer_to_another_question() {
    let company = Company::new().await;
    let agenda = Arc::new(Agenda::default());
    let cash: Arc<Mutex<Option<Arc<dyn Reader>>>> = Arc::default();
    let around = |reader: Arc<dyn Reader>| {
        if reader.system().as_str() != "cash" {
            return reader;
        }
        *cash.lock().unwrap() = Some(Arc::clone(&reader));
        Arc::new(Between { portion: 5, ..Between::new(reader, &agenda) }) as Arc<dyn Reader>
    };
    let mut world = company.world_through("", around).await;
    let cash = cash.lock().unwrap().take().unwrap();
    for database in [&company.cash, &company.store, &company.erp] {
        let rows: Vec<_> = (0..100).map(|key| format!("('K{key:02}', 1, {})", database.now())).collect();
        database.run(&format!("INSERT INTO stock (sku, qty, updated_at) VALUES {}", rows.join(", "))).await;
    }
    agenda.before_keys_of("cash", async move {
        let limit = "it refuses requests".to_owned();
        cash.budget().note(Some(&ReadError::Budget { system: cash.system().clone(), limit }));
        // Past its patience of a second and past the deadline.
        tokio::time::sleep(Duration::from_millis(1_700)).await;
    });
    let checks = |world: &World, verdict: &str| {
        let all = world.checks().into_iter().filter(|row| row.target == "cash" && row.verdict == verdict);
        all.map(|row| row.key).collect::<BTreeSet<_>>()
    };
    world.changes().await;
    assert!(agenda.is_done());
    assert_eq!(checks(&world, "unknown").len(), 100);
    world.look_until("all to agree", |world| checks(world, "match").len() == 100).await;
    assert_eq!(world.discrepancies(), []);
}

#[tokio::test]
async fn the_tightest_promise_of_a_flow_is_its_deadline() {
    let company = Company::new().await;
    let mut world = company.world().await;
    company.erp.put("A", 1).await;
    world.look_until("the tighter promise to break", |world| last(world, "cash").as_deref() == Some("missing")).await;
    assert_eq!(last(&world, "store").as_deref(), Some("in_flight"));
    let deadline = |target: &str| world.checks().into_iter().find(|row| row.target == target).unwrap().deadline_us;
    assert_eq!((deadline("cash"), deadline("store")), (1_000_000, 60_000_000));
}

#[tokio::test]
async fn samples_tell_of_each_target_by_itself() {
    let company = Company::new().await;
    for database in [&company.erp, &company.store, &company.cash] {
        let then = database.now_and(-86_400);
        let rows: Vec<String> = (0..300).map(|n| format!("('K{n:03}', {n}, {then})")).collect();
        database.run(&format!("INSERT INTO stock (sku, qty, updated_at) VALUES {}", rows.join(", "))).await;
    }
    let tight = ConfigText::new().more(SAMPLE).promise("store", "stock", "2s", "target = \"store\"");
    let mut world = company.world_with(&tight.text()).await;
    company.store.run("UPDATE stock SET qty = -1 WHERE sku IN ('K010', 'K020', 'K030')").await;
    company.cash.run("DELETE FROM stock WHERE sku = 'K020'").await;
    company.cash.put_at("K100x", 1, &company.cash.now_and(-86_400)).await;
    // A target that is away for a while makes nothing of the other one unknown.
    company.cash.rename("qty", "quantity").await;
    world.sample().await;
    let unknown = world.checks().into_iter().filter(|row| row.is(Verdict::Unknown));
    assert!(unknown.into_iter().all(|row| row.target == "cash"));
    company.cash.rename("quantity", "qty").await;
    let said = |world: &World, target: &str, measure: &str| {
        let all = world.estimates();
        let row = all.iter().rev().find(|row| row.target == target && row.measure == measure)?;
        Some((row.sampled, row.bad))
    };
    let wanted = [
        ("store", "agreement", (300, 3)),
        ("store", "extra", (300, 0)),
        ("cash", "agreement", (300, 1)),
        ("cash", "completeness", (300, 1)),
        ("cash", "extra", (300, 1)),
    ];
    let began = tokio::time::Instant::now();
    while !wanted.iter().all(|(target, measure, counts)| said(&world, target, measure) == Some(*counts)) {
        let last: Vec<_> = wanted.iter().map(|(target, measure, _)| said(&world, target, measure)).collect();
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{last:?}");
        world.sample().await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        world.recheck().await;
    }
    assert_eq!(world.open_discrepancies().await, 5);
}
