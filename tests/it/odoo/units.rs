//! Units over an Odoo and a database.

use super::site::Interface;
use crate::config_text::ConfigText;
use crate::support::Odoo;
use crate::verdicts::pair::{Database, Product};
use crate::world::World;

/// Each interface once, each kind of database once.
pub const PAIRS: [(Interface, Product); 2] =
    [(Interface::Json2, Product::Postgres), (Interface::JsonRpc, Product::Mariadb)];

/// With a changes probe and a deadline; `entity` is the sections of `thing`.
pub async fn world(odoo: &Odoo, interface: Interface, other: &Database, entity: &str) -> World {
    world_of(odoo, interface, other, entity, ["changes", "every 200ms", ""]).await
}

/// With some probe: its kind, its schedule, and more lines.
pub async fn world_of(
    odoo: &Odoo,
    interface: Interface,
    other: &Database,
    entity: &str,
    [kind, schedule, lines]: [&str; 3],
) -> World {
    let config = ConfigText::new()
        .system("odoo", &interface.system(&odoo.database, "reader"))
        .database("other", other.kind(), "env:OTHER", "commit_delay = \"2s\"")
        .more(entity)
        .probe("thing", kind, schedule, lines)
        .fresh_within("thing", "2s");
    let variables = [("ODOO", odoo.url.clone()), ("KEY", odoo.key("reader").to_owned()), ("OTHER", other.url())];
    World::open(&config.text(), &variables).await
}
