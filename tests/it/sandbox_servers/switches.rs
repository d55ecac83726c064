//! How store and CRM misbehave, as their clients and Plumbline's readers see it.

use std::time::Duration;

use plumbline::connect::{Cursor, ReadError};
use plumbline::model::Moment;
use plumbline::sandbox::book::Book;
use plumbline::sandbox::record::{Entity, System};
use plumbline::sandbox::service::{CallError, Switches};

use super::company::{Company, customer, product};

/// Both services with what each of them holds.
const BOTH: [(System, Entity, &str); 2] =
    [(System::Store, Entity::Product, "SKU-0001"), (System::Crm, Entity::Customer, "c0001")];

async fn filled() -> Company {
    let company = Company::open().await;
    company.put(&company.store, Entity::Product, "SKU-0001", &[product("Brass bob", 1_299)]).await;
    company.put(&company.crm, Entity::Customer, "c0001", &[customer("Ada", "ada@x.example")]).await;
    company
}

fn switches(company: &Company, system: System) -> &Switches {
    if system == System::Store { company.store.switches() } else { company.crm.switches() }
}

/// What a read by the service's own client fails with.
async fn call(company: &Company, system: System) -> Result<usize, CallError> {
    let read = match system {
        System::Store => company.store.client().unwrap().read(Entity::Product, "SKU-0001").await,
        _ => company.crm.client().unwrap().read(Entity::Customer, "c0001").await,
    };
    read.map(|found| found.len()).map_err(|error| error.downcast().unwrap())
}

#[tokio::test]
async fn an_outage_is_met_by_everybody_outside_and_ends() {
    let company = filled().await;
    for (system, entity, key) in BOTH {
        let far = company.clock.now() + Duration::from_secs(600);
        switches(&company, system).outage(far);
        let error = call(&company, system).await.unwrap_err();
        let CallError::Outage { after: Some(after), .. } = error else { panic!("{error:?}") };
        assert!((598..=600).contains(&after.as_secs()), "{after:?}");
        // Plumbline gives up rather than wait for so long.
        let error = company.changes(system, entity, &Cursor::from_beginning()).await.unwrap_err();
        assert!(matches!(error, ReadError::Unreachable { .. } | ReadError::Budget { .. }), "{error:?}");
        // Who works inside works on.
        match system {
            System::Store => assert_eq!(company.store.read(entity, key).await.unwrap().len(), 1),
            _ => assert_eq!(company.crm.read(entity, key).await.unwrap().len(), 1),
        }
        switches(&company, system).outage(Moment::MIN);
        assert_eq!(call(&company, system).await.unwrap(), 1);
        assert!(switches(&company, system).cost().refused >= 2);
    }
}

#[tokio::test]
async fn a_short_outage_is_waited_for() {
    let company = filled().await;
    for (system, entity, _) in BOTH {
        switches(&company, system).outage(company.clock.now() + Duration::from_millis(300));
        let read = company.changes(system, entity, &Cursor::from_beginning()).await.unwrap();
        assert_eq!(read.records.len(), 1, "{system}");
    }
}

#[tokio::test]
async fn who_asks_too_fast_is_told_to_wait_and_reads_everything_all_the_same() {
    let company = filled().await;
    for (system, entity, _) in BOTH {
        let before = switches(&company, system).cost();
        switches(&company, system).throttle(2, company.clock.now() + Duration::from_secs(600));
        let mut refusal = None;
        while refusal.is_none() {
            refusal = call(&company, system).await.err();
        }
        let Some(CallError::Throttled { after, .. }) = refusal else { panic!("{refusal:?}") };
        assert_eq!(after, Duration::from_secs(1));
        let read = company.changes(system, entity, &Cursor::from_beginning()).await.unwrap();
        assert_eq!(read.records.len(), 1, "{system}");
        let cost = switches(&company, system).cost();
        assert!(cost.refused > before.refused && cost.rows > before.rows, "{cost:?}");
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_wrong_everywhere_but_in_the_log() {
    let company = filled().await;
    for (system, entity, key) in BOTH {
        let (reader, mapping) = company.mapping(system, entity);
        for off in [-90, 3_600] {
            switches(&company, system).clock_offset(off * 1_000_000);
            match system {
                System::Store => company.put(&company.store, entity, key, &[product("Brass bob", 1_300)]).await,
                _ => company.put(&company.crm, entity, key, &[customer("Ada Byron", "ada@x.example")]).await,
            }
            let page = reader.changes(&mapping, &Cursor::from_beginning(), 100).await.unwrap();
            // Every answer tells the time.
            let reading = reader.clock().await.unwrap();
            let missed = Duration::from_micros(reading.offset_micros.abs_diff(off * 1_000_000));
            assert!(missed <= reading.uncertainty, "{system}: {reading:?} is not {off} s");
            let stamp = page.records[0].changed_at.unwrap().micros() - off * 1_000_000;
            let written = company.log.writes().last().unwrap().committed;
            assert!(stamp <= written.high.micros() && written.low.micros() - stamp < 1_000_000, "{system}");
        }
    }
}

#[tokio::test]
async fn another_shape_is_what_a_schema_probe_looks_at() {
    let company = filled().await;
    for (system, entity, shapes) in [
        (System::Store, Entity::Product, [("regular_price", "list_price"), ("stock_quantity", "stock_quantity")]),
        (System::Crm, Entity::Customer, [("email", "email_address"), ("name", "name")]),
    ] {
        company.put(&company.store, Entity::Stock, "SKU-0001", &[super::company::stock(4)]).await;
        let (reader, mapping) = company.mapping(system, entity);
        for (column, drifted) in shapes {
            let kind = |shape: &plumbline::model::Shape, name: &str| {
                shape.columns.iter().find(|column| column.name == name).map(|column| column.type_name.clone())
            };
            let before = reader.describe(&mapping).await.unwrap();
            switches(&company, system).drift_schema(true);
            let after = reader.describe(&mapping).await.unwrap();
            assert_eq!(call(&company, system).await.unwrap(), 1, "the sync job can read it");
            switches(&company, system).drift_schema(false);
            let told = (kind(&before, column), kind(&after, column), kind(&after, drifted));
            let text = || Some("text".to_owned());
            match column {
                "stock_quantity" => assert_eq!(told, (Some("integer".to_owned()), text(), text())),
                "name" => assert_eq!(told, (text(), text(), text())),
                _ => assert_eq!(told, (text(), None, text())),
            }
        }
    }
}
