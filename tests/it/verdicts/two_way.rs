//! Fields that both sides may change.

use plumbline::model::Verdict;

use super::pair::{Pair, Product, Setup};
use crate::world::World;

const ENTITY: &str = r#"
    key = ["sku"]
    fields.sku = { type = "text", store = "clear" }
    fields.qty = { type = "integer", owners = ["erp", "store"] }
"#;

const BOTH_PROBES: &str = r#"
    [[probe]]
    entity = "stock"
    owner = "erp"
    kind = "changes"
    schedule = "every 200ms"
    [[probe]]
    entity = "stock"
    owner = "store"
    kind = "changes"
    schedule = "every 200ms"
"#;

async fn world(pair: &Pair) -> World {
    pair.world_with(Setup { entity: ENTITY, more: BOTH_PROBES, ..Setup::default() }).await
}

/// The last verdict of the flow from `owner`.
fn last_from(world: &World, owner: &str) -> Option<String> {
    world.checks().into_iter().rev().find(|row| row.owner == owner).map(|row| row.verdict)
}

/// Both sides write the same value and are seen to agree.
async fn agree(pair: &Pair, world: &mut World, qty: i64) {
    pair.both("A", qty).await;
    world.look_until("both to agree", |world| last_from(world, "erp").as_deref() == Some("match")).await;
    world.look_until("nothing to be open", |world| world.in_flight() == 0).await;
}

on_each_pair! {
    async fn without_a_baseline_a_two_way_difference_is_a_mismatch(pair: Pair) {
        let mut world = world(&pair).await;
        pair.owner.put("A", 1).await;
        pair.target.put("A", 2).await;
        world.look_until("both flows to tell", |world| {
            ["erp", "store"].iter().all(|owner| last_from(world, owner).as_deref() == Some("mismatch"))
        }).await;
        assert!(world.checks().iter().all(|row| row.verdict != "conflict"));
    }

    async fn a_two_way_field_changed_on_both_sides_is_a_conflict(pair: Pair) {
        let mut world = world(&pair).await;
        agree(&pair, &mut world, 1).await;
        pair.owner.put("A", 2).await;
        pair.target.put("A", 3).await;
        world.look_until("both flows to tell", |world| {
            ["erp", "store"].iter().all(|owner| last_from(world, owner).as_deref() == Some("conflict"))
        }).await;
        // Somebody decides.
        pair.both("A", 4).await;
        world.look_until("nothing to be open", |world| world.in_flight() == 0).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }

    async fn a_two_way_field_changed_on_one_side_is_stale_and_the_opposite_flow_is_silent(pair: Pair) {
        let mut world = world(&pair).await;
        agree(&pair, &mut world, 1).await;
        world.restart().await;
        let before = world.checks().len();
        pair.owner.put("A", 2).await;
        world.look_until("the owner's flow to tell", |world| last_from(world, "erp").as_deref() == Some("stale")).await;
        let later: Vec<_> = world.checks().drain(before..).filter(|row| row.owner == "store").collect();
        assert!(later.iter().all(|row| row.is(Verdict::Match)), "{later:#?}");
        assert_eq!(world.open_discrepancies().await, 1);
        pair.target.put("A", 2).await;
        world.look_until("nothing to be open", |world| world.in_flight() == 0).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }

    async fn samples_of_a_two_way_field_blame_the_side_that_fell_behind(pair: Pair) {
        let sample = |owner: &str| {
            format!("[[probe]]\nentity = \"stock\"\nowner = \"{owner}\"\nkind = \"sample\"\nschedule = \"every 1s\"\n")
        };
        let more = format!("{}{}", sample("erp"), sample("store"));
        for side in [&pair.owner, &pair.target] {
            let then = side.now_and(-86_400);
            let rows: Vec<String> = (0..100).map(|n| format!("('K{n:03}', {n}, {then})")).collect();
            side.run(&format!("INSERT INTO stock (sku, qty, updated_at) VALUES {}", rows.join(", "))).await;
        }
        let mut world = pair.world_with(Setup { entity: ENTITY, more: &more, ..Setup::default() }).await;
        // What both agree on is known from here on.
        world.passes(2).await;
        pair.target.run("UPDATE stock SET qty = 1000 WHERE sku = 'K050'").await;
        pair.owner.run("UPDATE stock SET qty = 2000 WHERE sku = 'K070'").await;
        pair.owner.run("UPDATE stock SET qty = 3000 WHERE sku = 'K090'").await;
        pair.target.run("UPDATE stock SET qty = 4000 WHERE sku = 'K090'").await;
        let last = |world: &World, key: &str, owner: &str| {
            world.checks().into_iter().rev().find(|row| row.key == key && row.owner == owner).map(|row| row.verdict)
        };
        let before = world.checks().len();
        world.passes(2).await;
        let told = |world: &World| {
            last(world, "K050", "store").as_deref() == Some("stale")
                && last(world, "K070", "erp").as_deref() == Some("stale")
                && ["erp", "store"].iter().all(|owner| last(world, "K090", owner).as_deref() == Some("conflict"))
        };
        world.look_until("each to be told", told).await;
        let silent = |key: &str, owner: &str| {
            let rows = world.checks();
            rows[before..].iter().filter(|row| row.key == key && row.owner == owner).all(|row| row.is(Verdict::Match))
        };
        assert!(silent("K050", "erp") && silent("K070", "store"), "{:#?}", &world.checks()[before..]);
        // Each flow's estimate counts what it answers for.
        for owner in ["erp", "store"] {
            let all = world.estimates();
            let agreement = all.iter().rev().find(|row| row.measure == "agreement" && row.owner == owner).unwrap();
            assert_eq!((agreement.sampled, agreement.bad), (99, 2), "{agreement:#?}");
        }
    }
}
