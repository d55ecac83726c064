//! Records that leave: deleted for good, also between two reads, or moved out of the scope.

use std::sync::Arc;

use plumbline::model::Verdict;

use super::between::{Agenda, Between};
use super::pair::{Pair, Product, Setup};
use crate::world::World;

/// A world in which things can happen between two reads.
async fn world_with_agenda(pair: &Pair, deadline: &str) -> (World, Arc<Agenda>) {
    let agenda = Arc::new(Agenda::default());
    let config = pair.config(Setup { deadline, ..Setup::default() });
    let around = |reader| Arc::new(Between::new(reader, &agenda)) as _;
    let world = World::open_through(&config, &pair.urls(), around).await;
    (world, agenda)
}

/// A is past its deadline of a second and not in the target; it was in flight when it was last looked at.
async fn late_key(pair: &Arc<Pair>) -> (World, Arc<Agenda>) {
    let (mut world, agenda) = world_with_agenda(pair, "1s").await;
    pair.owner.put("A", 1).await;
    world.look_until_verdict("A", Verdict::InFlight).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    (world, agenda)
}

on_each_pair! {
    async fn a_hard_delete_between_the_changes_and_the_targets_read(pair: Pair) {
        pair.both("A", 1).await;
        let pair = Arc::new(pair);
        let (mut world, agenda) = world_with_agenda(&pair, "30s").await;
        pair.owner.put("A", 2).await;
        let both = Arc::clone(&pair);
        agenda.before_keys_of("store", async move {
            both.owner.delete("A").await;
            both.target.delete("A").await;
        });
        world.look_until_verdict("A", Verdict::Match).await;
        assert!(agenda.is_done());
        assert_eq!(world.verdicts("A"), ["in_flight", "match"]);
        assert_eq!(world.discrepancies(), []);
    }

    async fn a_hard_delete_on_both_sides_between_the_reads_of_the_sandwich(pair: Pair) {
        let pair = Arc::new(pair);
        let (mut world, agenda) = late_key(&pair).await;
        // Past the deadline A would be missing. It goes while the owner is read the second time.
        let both = Arc::clone(&pair);
        agenda.before_keys_of("erp", async {});
        agenda.before_keys_of("erp", async move { both.owner.delete("A").await });
        world.look_until_verdict("A", Verdict::Match).await;
        assert!(agenda.is_done());
        assert_eq!(world.verdicts("A"), ["in_flight", "match"]);
        assert_eq!(world.discrepancies(), []);
    }

    async fn what_arrives_while_the_confirmation_is_waited_for_is_not_missing(pair: Pair) {
        let pair = Arc::new(pair);
        let (mut world, agenda) = late_key(&pair).await;
        // Past the deadline A would be missing. It arrives while the owner keeps us waiting for its second answer.
        let both = Arc::clone(&pair);
        agenda.before_keys_of("erp", async {});
        agenda.before_keys_of("erp", async move {
            both.target.put("A", 1).await;
            tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        });
        world.look_until_verdict("A", Verdict::Match).await;
        assert!(agenda.is_done());
        assert_eq!(world.verdicts("A"), ["in_flight", "match"]);
        assert_eq!(world.discrepancies(), []);
    }

    async fn a_hard_delete_at_the_owner_alone_leaves_an_extra_record(pair: Pair) {
        pair.both("A", 1).await;
        let pair = Arc::new(pair);
        let (mut world, agenda) = world_with_agenda(&pair, "1s").await;
        pair.owner.put("A", 2).await;
        // The owner's row goes between its read and the target's: the target still holds what it had.
        let owner = Arc::clone(&pair);
        agenda.before_keys_of("store", async move { owner.owner.delete("A").await });
        let row = world.look_until_verdict("A", Verdict::Extra).await;
        assert!(agenda.is_done() && row.lag_high_us > 1_000_000);
        assert_eq!(world.verdicts("A"), ["in_flight", "extra"]);
        pair.target.delete("A").await;
        world.look_until_verdict("A", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }

    async fn a_record_that_leaves_the_owners_scope_is_extra_in_the_target(pair: Pair) {
        pair.both("A", 1).await;
        let mut world = pair.world_with(scoped("in_erp")).await;
        pair.owner.run(&format!("UPDATE stock SET name = 'retired', updated_at = {}", pair.owner.now())).await;
        let row = world.look_until_verdict("A", Verdict::Extra).await;
        assert!(row.lag_low_us > 1_000_000);
        assert_eq!(world.verdicts("A"), ["in_flight", "extra"]);
        pair.target.delete("A").await;
        world.look_until_verdict("A", Verdict::Match).await;
        assert_eq!(world.outcomes(), ["bad"]);
    }

    async fn a_record_outside_the_targets_scope_is_missing(pair: Pair) {
        let mut world = pair.world_with(scoped("in_store")).await;
        pair.owner.put("A", 1).await;
        pair.target.put("A", 1).await;
        pair.target.run("UPDATE stock SET name = 'retired'").await;
        world.look_until_verdict("A", Verdict::Missing).await;
        pair.target.run("UPDATE stock SET name = NULL").await;
        world.look_until_verdict("A", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }
}

/// Retired articles do not belong to the entity, on one side.
fn scoped(side: &str) -> Setup<'static> {
    const SCOPED: &str = r#"
        dataset = "stock"
        changed_at = "updated_at"
        scope = [{ path = "name", is_null = true }]
        fields = { sku = "sku", qty = "qty" }
    "#;
    match side {
        "in_erp" => Setup { in_erp: SCOPED, ..Setup::default() },
        _ => Setup { in_store: SCOPED, ..Setup::default() },
    }
}
