//! Store and CRM under audit, with the mappings that the demo uses.

use std::path::Path;
use std::sync::Arc;

use plumbline::clock::{AnchoredClock, Clock};
use plumbline::model::Verdict;
use plumbline::sandbox::book::{Book, Manner, WriteLog};
use plumbline::sandbox::crm::{self, Crm};
use plumbline::sandbox::database::Database;
use plumbline::sandbox::record::{Content, Entity, System};
use plumbline::sandbox::store::{self, Store};

use super::company::{customer, product};
use crate::world::World;

const PRODUCTS: &str = r#"
[system.erp]
kind = "sqlite"
url = "env:ERP"
commit_delay = "100ms"

[entity.product]
key = "sku"
fields.sku = { type = "text", store = "clear" }
fields.title = { type = "text", owner = "erp" }
fields.price = { type = "money", owner = "erp" }

[entity.product.in.erp]
dataset = "product"
native = "id"
scope = [{ path = "active", eq = 1 }]
changed_at = "write_date"
fields = { sku = "sku", title = "name", price = { path = "price_cents", unit = "minor", currency = "EUR" } }

[[probe]]
entity = "product"
kind = "schema"
schedule = "every 1s"
"#;

const CUSTOMERS: &str = r#"
[entity.customer]
key = "number"
fields.number = { type = "text", store = "clear" }
fields.name = { type = "text", owner = "crm" }
fields.email = { type = "text", owner = "crm" }
"#;

/// Looks often, and promises a second.
fn watched(entity: Entity) -> String {
    format!(
        "[[probe]]\nentity = \"{entity}\"\nkind = \"changes\"\nschedule = \"every 200ms\"\n\n\
         [[slo]]\nname = \"in-step\"\nwithin = \"1s\"\nobjective = \"99%\"\nwindow = \"30d\"\n\n"
    )
}

/// The store's part of the config with its system and this entity only.
fn only(config: &str, entity: Entity) -> String {
    let parts = config.split("\n[entity.");
    let wanted = format!("{entity}.in.");
    let kept = parts.enumerate().filter(|(place, part)| *place == 0 || part.starts_with(&wanted));
    let kept: Vec<&str> = kept.map(|(_, part)| part).collect();
    // Here logins come from the environment.
    kept.join("\n[entity.")
        .replace("file:store.key", "env:KEY")
        .replace("file:store.secret", "env:SECRET")
        .replace("file:crm.token", "env:TOKEN")
        + "\n"
}

fn logins() -> Vec<(&'static str, String)> {
    let logins = [("KEY", store::READ_KEY), ("SECRET", store::READ_SECRET), ("TOKEN", crm::READ_TOKEN)];
    logins.map(|(name, secret)| (name, secret.to_owned())).to_vec()
}

async fn put(book: &impl Book, entity: Entity, key: &str, content: &Content) {
    book.write(entity, key, std::slice::from_ref(content), Manner::default()).await.unwrap();
}

async fn erp(directory: &Path, log: &Arc<WriteLog>, clock: &Arc<dyn Clock>) -> (Database, String) {
    let url = format!("sqlite:{}", directory.join("erp.db").display());
    let new = format!("{url}?mode=rwc");
    (Database::create(System::Erp, &new, Arc::clone(log), Arc::clone(clock)).await.unwrap(), url)
}

#[tokio::test]
async fn another_shape_of_the_store_is_told_and_nothing_is_called_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let (log, clock): (_, Arc<dyn Clock>) = (Arc::new(WriteLog::default()), Arc::new(AnchoredClock::from_machine()));
    let store = Store::open(Arc::clone(&log), Arc::clone(&clock)).await.unwrap();
    let (erp, url) = erp(directory.path(), &log, &clock).await;
    for number in 1..=25 {
        let (key, content) = (format!("SKU-{number:04}"), product("Brass bob", 1_299));
        put(&erp, Entity::Product, &key, &content).await;
        put(&store, Entity::Product, &key, &content).await;
    }
    let parts =
        [PRODUCTS.to_owned(), only(&store::plumbline_toml(store.url()), Entity::Product), watched(Entity::Product)];
    let mut variables = logins();
    variables.push(("ERP", url));
    let mut world = World::open(&parts.concat(), &variables).await;
    world.schema().await;
    assert_eq!(world.schema_changes(), [""; 0]);

    put(&erp, Entity::Product, "SKU-0001", &product("Brass bob", 1_300)).await;
    put(&store, Entity::Product, "SKU-0001", &product("Brass bob", 1_300)).await;
    world.look_until_verdict("SKU-0001", Verdict::Match).await;

    store.switches().drift_schema(true);
    let changed = product("Brass bob", 1_400);
    put(&erp, Entity::Product, "SKU-0002", &changed).await;
    // The sync job knows the new shape.
    put(&store.client().unwrap(), Entity::Product, "SKU-0002", &changed).await;
    world
        .look_until("the other shape to be met", |world| {
            world.last("SKU-0002").is_some_and(|row| row.is(Verdict::Unknown) || row.is(Verdict::Invalid))
        })
        .await;
    world.schema().await;
    let told = world.schema_changes();
    assert!(told.iter().any(|step| step.contains("regular_price")), "{told:?}");
    store.switches().drift_schema(false);
    world.schema().await;
    let last = world.schema_changes().pop().unwrap();
    assert!(last.contains("restored"), "{last}");
    world.look_until_verdict("SKU-0002", Verdict::Match).await;
    let bad: Vec<String> = world
        .verdicts("SKU-0002")
        .into_iter()
        .filter(|word| ["mismatch", "stale", "missing"].contains(&&**word))
        .collect();
    assert_eq!(bad, [""; 0]);
}

#[tokio::test]
async fn customers_flow_from_the_crm_to_users_that_only_a_list_finds() {
    let (log, clock): (_, Arc<dyn Clock>) = (Arc::new(WriteLog::default()), Arc::new(AnchoredClock::from_machine()));
    let store = Store::open(Arc::clone(&log), Arc::clone(&clock)).await.unwrap();
    let crm = Crm::open(Arc::clone(&log), Arc::clone(&clock)).await.unwrap();
    let parts = [
        CUSTOMERS.to_owned(),
        only(&store::plumbline_toml(store.url()), Entity::Customer),
        crm::plumbline_toml(crm.url()).replace("file:crm.token", "env:TOKEN"),
        watched(Entity::Customer),
    ];
    for number in 1..=120 {
        let (key, content) = (format!("c{number:04}"), customer("Ada", &format!("ada{number}@x.example")));
        put(&crm, Entity::Customer, &key, &content).await;
        put(&store, Entity::Customer, &key, &content).await;
    }
    let mut world = World::open(&parts.concat(), &logins()).await;
    let new = customer("Grace", "grace@x.example");
    put(&crm, Entity::Customer, "c0200", &new).await;
    world.look_until_verdict("c0200", Verdict::Missing).await;
    put(&store, Entity::Customer, "c0200", &new).await;
    world.look_until_verdict("c0200", Verdict::Match).await;
    let married = customer("Grace Hopper", "grace@x.example");
    put(&crm, Entity::Customer, "c0200", &married).await;
    // What a settled key said before is not kept, so whether it is late or wrong cannot be told.
    let row = world.look_until_verdict("c0200", Verdict::Mismatch).await;
    assert!(row.likely);
    put(&store.client().unwrap(), Entity::Customer, "c0200", &married).await;
    world.look_until_verdict("c0200", Verdict::Match).await;
    // Archived there, so it must go here.
    let softly = Manner { softly: true, ..Manner::default() };
    crm.write(Entity::Customer, "c0007", &[], softly).await.unwrap();
    world.look_until_verdict("c0007", Verdict::Extra).await;
    store.write(Entity::Customer, "c0007", &[], Manner::default()).await.unwrap();
    world.look_until_verdict("c0007", Verdict::Match).await;
}
