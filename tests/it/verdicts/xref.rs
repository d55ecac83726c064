//! Translation by a table of a third system: what the owner calls 4711 is `A-17` elsewhere.

use plumbline::model::Verdict;

use super::pair::{Database, PROBE, Pair, Product, STOCK, Setup};
use super::sampling::{SAMPLE, decided};
use crate::world::World;

/// The owner holds articles by their number, which the table translates.
const BY_NUMBER: &str = r#"
    dataset = "articles"
    changed_at = "updated_at"
    xref.sku = { system = "mdm", dataset = "sku_map", from = "erp_sku", to = "sku" }
    fields = { sku = "number", qty = "qty" }
"#;

/// Three systems: the pair, and the one that translates.
struct Three {
    pair: Pair,
    mdm: Database,
}

impl Three {
    async fn new(owner: Product, target: Product) -> Self {
        let pair = Pair::empty(owner, target).await;
        let mdm = Database::new(Product::Sqlite).await;
        mdm.run("CREATE TABLE sku_map (erp_sku text, sku text)").await;
        Self { pair, mdm }
    }

    /// Articles by number at the owner, stock by code at the target.
    async fn owner_by_number(pair: &Pair) -> Self {
        let three = Self::new(pair.owner.product(), pair.target.product()).await;
        create_articles(&three.pair.owner).await;
        three.pair.target.create_stock().await;
        three
    }

    /// Stock by code at the owner, articles by number at the target.
    async fn target_by_number(pair: &Pair) -> Self {
        let three = Self::new(pair.owner.product(), pair.target.product()).await;
        three.pair.owner.create_stock().await;
        create_articles(&three.pair.target).await;
        three
    }

    async fn world(&self, in_erp: &str, in_store: &str) -> World {
        self.world_within("1s", in_erp, in_store).await
    }

    async fn world_within(&self, deadline: &str, in_erp: &str, in_store: &str) -> World {
        let mdm = format!("{PROBE}\n[system.mdm]\nkind = \"sqlite\"\nurl = \"env:MDM\"\ncommit_delay = \"2s\"\n");
        let config = self.pair.config(Setup { deadline, in_erp, in_store, more: &mdm, ..Setup::default() });
        let [erp, store] = self.pair.urls();
        World::open(&config, &[erp, store, ("MDM", self.mdm.url())]).await
    }

    async fn translate(&self, number: &str, sku: &str) {
        self.mdm.run(&format!("INSERT INTO sku_map VALUES ('{number}', '{sku}')")).await;
    }
}

/// A number is a number here: the table holds it as text.
async fn create_articles(database: &Database) {
    let stamp = database.stamp();
    let columns = format!("number integer PRIMARY KEY, qty integer, updated_at {stamp} NOT NULL");
    database.run(&format!("CREATE TABLE articles ({columns})")).await;
}

async fn put_article(database: &Database, number: i64, qty: i64) {
    let now = database.now();
    database.run(&format!("DELETE FROM articles WHERE number = {number}")).await;
    database.run(&format!("INSERT INTO articles VALUES ({number}, {qty}, {now})")).await;
}

on_each_pair! {
    async fn an_owner_by_other_keys_is_compared_by_the_common_ones(pair: Pair) {
        let three = Three::owner_by_number(&pair).await;
        three.translate("4711", "A-17").await;
        let mut world = three.world(BY_NUMBER, STOCK).await;
        put_article(&three.pair.owner, 4711, 3).await;
        world.look_until_verdict("A-17", Verdict::Missing).await;
        three.pair.target.put("A-17", 3).await;
        world.look_until_verdict("A-17", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }

    async fn a_target_by_other_keys_is_looked_up_by_its_own(pair: Pair) {
        let three = Three::target_by_number(&pair).await;
        three.translate("4711", "A-17").await;
        let mut world = three.world(STOCK, BY_NUMBER).await;
        put_article(&three.pair.target, 4711, 3).await;
        three.pair.owner.put("A-17", 3).await;
        world.look_until_verdict("A-17", Verdict::Match).await;
        three.pair.owner.put("A-17", 4).await;
        world.look_until_verdict("A-17", Verdict::Stale).await;
    }

    async fn a_missing_translation_at_the_owner_is_invalid_and_found_when_it_comes(pair: Pair) {
        let three = Three::owner_by_number(&pair).await;
        let mut world = three.world(BY_NUMBER, STOCK).await;
        put_article(&three.pair.owner, 4712, 5).await;
        three.pair.target.put("A-18", 5).await;
        let row = world.look_until_verdict("4712", Verdict::InFlight).await;
        assert_eq!(row.reason, "xref");
        world.restart().await;
        let row = world.look_until_verdict("4712", Verdict::Invalid).await;
        assert_eq!(row.reason, "xref");
        world.restart().await;
        three.translate("4712", "A-18").await;
        world.look_until_verdict("A-18", Verdict::Match).await;
        let told = world.checks().iter().filter(|row| row.key == "4712").count();
        world.changes().await;
        assert_eq!(world.checks().iter().filter(|row| row.key == "4712").count(), told, "told once");
        assert_eq!(told, 2, "in flight, then invalid");
        assert_eq!(world.open_discrepancies().await, 0);
    }

    async fn a_missing_translation_at_the_target_is_invalid_and_never_missing(pair: Pair) {
        let three = Three::target_by_number(&pair).await;
        let mut world = three.world(STOCK, BY_NUMBER).await;
        put_article(&three.pair.target, 4713, 7).await;
        three.pair.owner.put("A-19", 7).await;
        let row = world.look_until_verdict("A-19", Verdict::Invalid).await;
        assert_eq!(row.reason, "xref");
        assert_eq!(world.verdicts("A-19"), ["in_flight", "invalid"], "never missing");
        three.translate("4713", "A-19").await;
        world.look_until_verdict("A-19", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }

    async fn a_translation_that_comes_in_time_opens_nothing_at_the_owner(pair: Pair) {
        let three = Three::owner_by_number(&pair).await;
        let mut world = three.world_within("60s", BY_NUMBER, STOCK).await;
        put_article(&three.pair.owner, 4712, 5).await;
        three.pair.target.put("A-18", 5).await;
        let row = world.look_until_verdict("4712", Verdict::InFlight).await;
        assert_eq!(row.reason, "xref");
        three.translate("4712", "A-18").await;
        world.look_until_verdict("A-18", Verdict::Match).await;
        assert_eq!(world.verdicts("4712"), ["in_flight"]);
        assert_eq!(world.discrepancies(), []);
    }

    async fn a_translation_that_comes_in_time_opens_nothing_at_the_target(pair: Pair) {
        let three = Three::target_by_number(&pair).await;
        let mut world = three.world_within("60s", STOCK, BY_NUMBER).await;
        put_article(&three.pair.target, 4713, 7).await;
        three.pair.owner.put("A-19", 7).await;
        let row = world.look_until_verdict("A-19", Verdict::InFlight).await;
        assert_eq!(row.reason, "xref");
        world.restart().await;
        three.translate("4713", "A-19").await;
        world.look_until_verdict("A-19", Verdict::Match).await;
        assert_eq!(world.verdicts("A-19"), ["in_flight", "match"]);
        assert_eq!(world.discrepancies(), []);
    }

    async fn a_record_that_goes_while_it_waits_for_its_translation_is_not_told_of_again(pair: Pair) {
        let three = Three::owner_by_number(&pair).await;
        let mut world = three.world(BY_NUMBER, STOCK).await;
        put_article(&three.pair.owner, 4712, 5).await;
        world.look_until_verdict("4712", Verdict::InFlight).await;
        three.pair.owner.run("DELETE FROM articles WHERE number = 4712").await;
        // Another one that came after it is told of: the first one's time had passed by then.
        put_article(&three.pair.owner, 4714, 5).await;
        world.look_until_verdict("4714", Verdict::Invalid).await;
        assert_eq!(world.verdicts("4712"), ["in_flight"]);
    }

    async fn a_key_may_need_both_an_index_and_a_table(pair: Pair) {
        let three = Three::new(pair.owner.product(), pair.target.product()).await;
        three.pair.owner.create_stock().await;
        let (target, stamp) = (&three.pair.target, three.pair.target.stamp());
        let columns = format!("id integer PRIMARY KEY, code varchar(20), qty integer, updated_at {stamp} NOT NULL");
        target.run(&format!("CREATE TABLE codes ({columns})")).await;
        three.translate("X-1", "A-17").await;
        let in_store = r#"
            dataset = "codes"
            native = "id"
            changed_at = "updated_at"
            xref.sku = { system = "mdm", dataset = "sku_map", from = "erp_sku", to = "sku" }
            fields.sku = { path = "code", steps = ["trim", "upper"] }
            fields.qty = "qty"
        "#;
        let mut world = three.world(STOCK, in_store).await;
        target.run(&format!("INSERT INTO codes VALUES (1, ' x-1', 3, {})", target.now())).await;
        three.pair.owner.put("A-17", 3).await;
        world.look_until_verdict("A-17", Verdict::Match).await;
        target.run("DELETE FROM codes").await;
        three.pair.owner.put("A-17", 4).await;
        world.look_until_verdict("A-17", Verdict::Missing).await;
        target.run(&format!("INSERT INTO codes VALUES (2, 'X-1 ', 4, {})", target.now())).await;
        world.look_until_verdict("A-17", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }

    async fn a_table_that_is_not_one_to_one_is_invalid_for_a_key(pair: Pair) {
        let three = Three::target_by_number(&pair).await;
        three.translate("1", "A-1").await;
        three.translate("2", "A-1").await;
        three.translate("3", "A-3").await;
        three.translate("3", "A-4").await;
        let mut world = three.world(STOCK, BY_NUMBER).await;
        for number in 1..=3 {
            put_article(&three.pair.target, number, 9).await;
        }
        for sku in ["A-1", "A-3", "A-4"] {
            three.pair.owner.put(sku, 9).await;
        }
        for sku in ["A-1", "A-3", "A-4"] {
            let row = world.look_until_verdict(sku, Verdict::Invalid).await;
            assert_eq!(row.reason, "xref");
        }
    }

    async fn a_changed_translation_is_followed(pair: Pair) {
        let three = Three::target_by_number(&pair).await;
        three.translate("4711", "A-17").await;
        let mut world = three.world(STOCK, BY_NUMBER).await;
        put_article(&three.pair.target, 4711, 3).await;
        put_article(&three.pair.target, 4712, 4).await;
        three.pair.owner.put("A-17", 3).await;
        world.look_until_verdict("A-17", Verdict::Match).await;
        three.mdm.run("UPDATE sku_map SET erp_sku = '4712'").await;
        three.pair.owner.put("A-17", 4).await;
        world.look_until_verdict("A-17", Verdict::Match).await;
        let bad = world.discrepancies();
        assert_eq!(bad, [], "a translation is not used for longer than a part of the deadline");
    }

    async fn a_sample_walks_both_sides_by_their_own_keys(pair: Pair) {
        let three = Three::owner_by_number(&pair).await;
        // The higher the number, the lower the code: neither side's order leads to places of the other.
        let code = |number: i64| format!("A-{:04}", 5_000 - number);
        let rows = |row: &dyn Fn(i64) -> String| (1..=300).map(row).collect::<Vec<_>>().join(", ");
        three.mdm.run(&format!("INSERT INTO sku_map VALUES {}", rows(&|n| format!("('{n}', '{}')", code(n))))).await;
        let (ours, theirs) = (three.pair.owner.now_and(-86_400), three.pair.target.now_and(-86_400));
        let owned = rows(&|n| format!("({n}, {n}, {ours})"));
        three.pair.owner.run(&format!("INSERT INTO articles VALUES {owned}")).await;
        let held = rows(&|n| format!("('{}', {n}, {theirs})", code(n)));
        three.pair.target.run(&format!("INSERT INTO stock (sku, qty, updated_at) VALUES {held}")).await;
        let sample = SAMPLE.replace("\n    [[probe]]", "    [[probe]]");
        let mdm = format!("{sample}\n[system.mdm]\nkind = \"sqlite\"\nurl = \"env:MDM\"\ncommit_delay = \"2s\"\n");
        let config = three.pair.config(Setup { in_erp: BY_NUMBER, in_store: STOCK, more: &mdm, ..Setup::default() });
        let [erp, store] = three.pair.urls();
        let mut world = World::open(&config, &[erp, store, ("MDM", three.mdm.url())]).await;
        three.pair.target.run(&format!("UPDATE stock SET qty = -1 WHERE sku = '{}'", code(44))).await;
        three.pair.target.run(&format!("DELETE FROM stock WHERE sku = '{}'", code(45))).await;
        three.pair.owner.run("DELETE FROM articles WHERE number = 46").await;
        three.pair.target.put("B-NEW", 1).await;
        three.mdm.run("DELETE FROM sku_map WHERE erp_sku = '47'").await;
        // The owner's walk and the target's.
        world.passes(2).await;
        let last = |world: &World, key: &str| world.last(key).map(|row| (row.verdict, row.reason));
        let wanted = [
            (code(45), "missing", ""),
            (code(46), "extra", ""),
            // Nobody knows what the owner calls these.
            (code(47), "invalid", "xref"),
            ("B-NEW".to_owned(), "invalid", "xref"),
        ];
        let is_told = |world: &World, (key, verdict, reason): &(String, &str, &str)| {
            last(world, key) == Some(((*verdict).to_owned(), (*reason).to_owned()))
        };
        for _ in 0..8 {
            world.sample().await;
        }
        world.look_until("all to be told", |world| wanted.iter().all(|row| is_told(world, row))).await;
        let is_untranslated = |row: &plumbline::ledger::rows::CheckRow| row.key.contains("no translation");
        let article_47 = world.checks().into_iter().find(is_untranslated).unwrap();
        assert!(article_47.is(Verdict::Invalid) && article_47.reason == "xref", "{article_47:#?}");
        decided(&mut world).await;
        assert!(world.last(&code(44)).is_some_and(|row| row.is(Verdict::Stale) || row.is(Verdict::Mismatch)));
        let seen: std::collections::BTreeSet<String> = world.checks().into_iter().map(|row| row.key).collect();
        assert!((1..=300).filter(|n| *n != 47).all(|n| seen.contains(&code(n))), "every key once");
    }

    async fn a_table_that_cannot_be_read_leaves_everything_unknown(pair: Pair) {
        let three = Three::target_by_number(&pair).await;
        three.translate("4711", "A-17").await;
        let mut world = three.world(STOCK, BY_NUMBER).await;
        three.mdm.run("ALTER TABLE sku_map RENAME TO away").await;
        three.pair.owner.put("A-17", 3).await;
        let row = world.look_until_verdict("A-17", Verdict::Unknown).await;
        assert_eq!(row.reason, "shape");
        three.mdm.run("ALTER TABLE away RENAME TO sku_map").await;
        put_article(&three.pair.target, 4711, 3).await;
        world.look_until_verdict("A-17", Verdict::Match).await;
        assert_eq!(world.discrepancies(), []);
    }

    async fn values_beside_the_key_are_translated_too_and_many_to_one(pair: Pair) {
        let three = Three::new(pair.owner.product(), pair.target.product()).await;
        for database in [&three.pair.owner, &three.pair.target] {
            database.create_stock().await;
        }
        three.mdm.run("INSERT INTO sku_map VALUES ('new', 'open'), ('paid', 'open'), ('shut', 'closed')").await;
        let in_erp = r#"
            dataset = "stock"
            changed_at = "updated_at"
            xref.state = { system = "mdm", dataset = "sku_map", from = "erp_sku", to = "sku" }
            fields = { sku = "sku", state = "name" }
        "#;
        let in_store = in_erp.replace("xref.state", "#");
        let entity = r#"
            key = ["sku"]
            fields.sku = { type = "text", store = "clear" }
            fields.state = { type = "text", owner = "erp", store = "clear" }
        "#;
        let mdm = format!("{PROBE}\n[system.mdm]\nkind = \"sqlite\"\nurl = \"env:MDM\"\n");
        let config = three.pair.config(Setup { entity, in_erp, in_store: &in_store, more: &mdm, ..Setup::default() });
        let [erp, store] = three.pair.urls();
        let mut world = World::open(&config, &[erp, store, ("MDM", three.mdm.url())]).await;
        let rows = [("N1", "new", "open"), ("N2", "paid", "open"), ("N3", "shut", "open"), ("N4", "odd", "open")];
        for (sku, local, common) in rows {
            for (database, state) in [(&three.pair.owner, local), (&three.pair.target, common)] {
                database.put(sku, 1).await;
                database.run(&format!("UPDATE stock SET name = '{state}' WHERE sku = '{sku}'")).await;
            }
        }
        world.look_until_verdict("N1", Verdict::Match).await;
        world.look_until_verdict("N2", Verdict::Match).await;
        let row = world.look_until_verdict("N3", Verdict::Mismatch).await;
        assert_eq!((row.owner_values, row.target_values), (vec!["closed".to_owned()], vec!["open".to_owned()]));
        let row = world.look_until_verdict("N4", Verdict::Invalid).await;
        assert_eq!((row.reason.as_str(), row.fields), ("xref", vec!["state".to_owned()]));
    }
}
