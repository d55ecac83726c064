//! The plan of a small config, and what its parts must obey whatever the numbers are.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::{Environment, parse_with};

fn config(probes: &str) -> Config {
    let text = format!(
        r#"
        [system.erp]
        kind = "sqlite"
        url = "sqlite:///erp.db"
        [system.store]
        kind = "sqlite"
        url = "sqlite:///store.db"
        budget = {{ requests_per_second = 10 }}
        [entity.stock]
        key = ["sku"]
        fields.sku = {{ type = "text", store = "clear" }}
        fields.qty = {{ type = "integer", owner = "erp" }}
        [entity.stock.in.erp]
        dataset = "stock"
        changed_at = "at"
        fields = {{ sku = "sku", qty = "qty" }}
        [entity.stock.in.store]
        dataset = "stock"
        fields = {{ sku = "sku", qty = "qty" }}
        {probes}
        [[slo]]
        name = "stock-fresh"
        within = "30s"
        objective = "99.5%"
        window = "30d"
        "#
    );
    let environment = Environment::fixed([]);
    parse_with(&text, Path::new("plumbline.toml"), Path::new("/"), &environment)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

const CHANGES: &str = "[[probe]]\nentity = \"stock\"\nkind = \"changes\"\nschedule = \"every 5s\"\n";
const SAMPLE: &str = "[[probe]]\nentity = \"stock\"\nkind = \"sample\"\nschedule = \"every 5m\"\n";

/// The same with a store that speaks HTTP.
fn over_http(pack: &str, probes: &str) -> Config {
    parsed(&over_http_text(pack, probes))
}

fn over_http_text(pack: &str, probes: &str) -> String {
    format!(
        r#"
        [system.erp]
        kind = "sqlite"
        url = "sqlite:///erp.db"
        [system.store]
        kind = "http"
        url = "https://shop.example"
        {pack}
        [entity.stock]
        key = ["sku"]
        fields.sku = {{ type = "text", store = "clear" }}
        fields.qty = {{ type = "integer", owner = "erp" }}
        [entity.stock.in.erp]
        dataset = "stock"
        fields = {{ sku = "sku", qty = "qty" }}
        [entity.stock.in.store]
        dataset = "products"
        fields = {{ sku = "id", qty = "qty" }}
        {probes}
        "#
    )
}

fn parsed(text: &str) -> Config {
    let environment = Environment::fixed([("KEY", "ck_1234567890"), ("SECRET", "cs_1234567890")]);
    parse_with(text, Path::new("plumbline.toml"), Path::new("/"), &environment)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn keys(count: u64) -> KeysOf {
    KeysOf::from([(("stock".parse().expect("a name"), "erp".parse().expect("a name")), Keys::Given(count))])
}

fn of(probes: &str, count: u64) -> Plan {
    plan(&config(probes), &keys(count))
}

#[test]
fn a_flow_with_both_probes() {
    let plan = of(&format!("{CHANGES}{SAMPLE}"), 50_000);
    let flow = &plan.flows[0];
    let sample = flow.sample.expect("there is one");
    assert_eq!((sample.keys_per_run, sample.piece), (1_000, 25));
    assert_eq!((duration(sample.walk), duration(sample.every_key)), ("4h 10m".to_owned(), "8h 20m".to_owned()));
    // Changes: 2 and 3 · ½ statements in the owner, 3 · ½ in the target, 17,280 times. Samples: 40 pieces of 2 and 1
    // statements, 3 a clock, 288 times, and a survey now and then.
    let expect = 17_280.0 * 5.0 + 288.0 * 126.0;
    assert!((flow.calls - expect).abs() < expect * 0.01, "{}", flow.calls);
    assert!((flow.rows - 288.0 * 2_000.0).abs() < 1.0, "{}", flow.rows);
    assert_eq!(flow.blind, [""; 0]);
    let [percent, permille, _] = flow.see[..] else { panic!("{:?}", flow.see) };
    assert_eq!((percent.bad, permille.bad), (500, 50));
    assert_eq!(duration(percent.apart.expect("seen")), "5m 30s", "one run and the deadline");
    assert_eq!(flow.slos.len(), 1);
    assert!(
        flow.slos[0].contains("lags are known to about 5s; samples vouch for 99.5 % agreement after"),
        "{:?}",
        flow.slos
    );
}

#[test]
fn what_nobody_looks_at_is_named() {
    let check = |probes: &str, expect: &[&str]| {
        let blind = of(probes, 1_000).flows[0].blind.join("\n");
        assert_eq!(blind.lines().count(), expect.len(), "{blind}");
        expect.iter().for_each(|words| assert!(blind.contains(words), "no `{words}` in {blind}"));
    };
    check("", &["no probe looks at this flow"]);
    check(CHANGES, &["no sample probe"]);
    check(SAMPLE, &["no changes probe"]);
    let without = of(SAMPLE, 1_000).flows[0].slos[0].clone();
    assert!(without.contains("freshness cannot be decided"), "{without}");
}

#[test]
fn a_run_that_does_not_fit_into_its_interval_is_named() {
    let dense = SAMPLE.replace("every 5m", "every 2s");
    let plan = of(&dense, 100_000);
    let store = plan.systems.iter().find(|system| system.system.as_str() == "store").expect("it is there");
    assert_eq!(
        store.too_much,
        ["a run of the sample probe of `stock` takes 4s 60ms at the budget's rate, longer than the 2s to the next one"]
    );
    assert!(store.share > 1.0);
    assert!(of(SAMPLE, 100_000).systems.iter().all(|system| system.too_much.is_empty()));
}

#[test]
fn a_promise_about_every_key_sets_the_size_of_runs() {
    let promised = format!("{SAMPLE}every_key_within = \"24h\"\n");
    let sample = of(&promised, 100_000).flows[0].sample.expect("there is one");
    assert!(sample.every_key <= DAY && sample.every_key > DAY / 2, "{sample:?}");
}

#[test]
fn wishes_that_cannot_be_met_are_answered_in_words() {
    let wish = |share: f64, within: u64, count: u64| {
        let wanted = Wanted { share, within: Duration::from_secs(within) };
        propose(&config(CHANGES), &keys(count), wanted).remove(0).sample
    };
    let refused = |share, within, count, words: &str| {
        let reason = wish(share, within, count).expect_err("it cannot be met");
        assert!(reason.contains(words), "{reason}");
    };
    refused(0.000_1, 86_400, 1_000, "less than one key");
    refused(0.01, 30, 100_000, "nothing is called bad before its deadline of 30s");
    refused(0.000_001, 120, 10_000_000, "more than the budgets allow (10 requests a second, 100000 rows a run)");
    let met = wish(0.001, 86_400, 100_000).expect("it can be met");
    assert_eq!((met.interval, met.keys_per_run), (Duration::from_secs(3_600), 135));
}

#[test]
fn numbers_as_people_read_them() {
    let check = |share: f64, expect: &str| assert_eq!(percent(share), expect);
    check(0.01, "1 %");
    check(0.000_1, "0.01 %");
    check(0.995, "99.5 %");
    check(0.999_95, "99.995 %");
    check(0.123_4, "12.3 %");
    let check = |millis: u64, expect: &str| assert_eq!(duration(Duration::from_millis(millis)), expect);
    check(0, "0s");
    check(90_061_000, "1d 1h");
    check(3_600_000, "1h");
    check(61_500, "1m 1s");
    check(400 * 86_400_000, "more than a year");
}

proptest! {
    #[test]
    fn what_is_proposed_does_what_is_wanted(count in 1_000_u64..5_000_000, share in 0.000_5_f64..0.2, hours in 1_u64..200) {
        let wanted = Wanted { share, within: Duration::from_secs(hours * 3_600) };
        for proposal in propose(&config(CHANGES), &keys(count), wanted) {
            if let Ok(sample) = proposal.sample {
                let bad = (share * count as f64).floor() as u64;
                let needed = keys_to_see(count, bad, 1).expect("some are bad");
                prop_assert!(time_for(&sample, needed, Duration::from_secs(30)) <= wanted.within, "{:?}", sample);
                prop_assert!(sample.keys_per_run <= 100_000);
            }
        }
    }

    #[test]
    fn more_keys_a_run_see_sooner_and_read_more(count in 10_000_u64..1_000_000, few in 100_u64..1_000, more in 2_u64..20) {
        let of_size = |keys: u64| of(&format!("{SAMPLE}keys_per_run = {keys}\n"), count).flows.remove(0);
        let (few, many) = (of_size(few), of_size(few * more));
        // Not more statements: the pieces of a larger run are larger.
        prop_assert!(many.rows >= few.rows);
        for (slow, quick) in few.see.iter().zip(&many.see) {
            prop_assert!(quick.apart <= slow.apart && quick.together <= slow.together);
            prop_assert!(slow.apart <= slow.together, "runs of bad keys are harder to meet");
        }
    }
}

/// 1,000 keys in 40 pieces, 288 times a day.
#[test]
fn requests_to_a_service_are_counted_as_its_lists_allow() {
    let woocommerce = "pack = \"woocommerce\"\nsettings = { key = \"env:KEY\", secret = \"env:SECRET\" }";
    let json_api = |settings: &str| format!("pack = \"json-api\"\nsettings = {{ {settings} }}");
    let of_run = |pack: &str| {
        let plan = plan(&over_http(pack, SAMPLE), &keys(50_000));
        let calls =
            |name: &str| plan.systems.iter().find(|plan| plan.system.as_str() == name).map(|plan| plan.calls / 288.0);
        let flow = plan.flows[0].calls / 288.0;
        let [erp, store] = ["erp", "store"].map(|name| calls(name).expect("a system").round());
        assert!((flow - erp - store).abs() < 2.0, "{flow} {erp} {store}");
        [erp, store]
    };
    // The database: 81 for its walk, 40 for what the store shows, 3 for its clock. The store: 3 for its clock, one or more
    // for what each piece of the database showed, and its own walk: 2.5 for each piece, or its pages.
    assert_eq!(of_run(woocommerce), [124.0, 144.0]);
    assert_eq!(of_run(&json_api("paging = \"cursor\", ids_max = 10")), [124.0, 133.0]);
    assert_eq!(of_run(&json_api("size = 500")), [124.0, 47.0]);
    assert_eq!(of_run(&json_api("ids_param = \"\", id_path = \"/{value}\", total = \"body:total\"")), [124.0, 1_013.0]);
    let plan = plan(&over_http(woocommerce, SAMPLE), &keys(50_000));
    let store = plan.systems.iter().find(|plan| plan.system.as_str() == "store").expect("it is there");
    assert!(store.longest_run > Duration::from_secs(35), "four requests a second: {:?}", store.longest_run);
}

/// 1,000 keys in 40 pieces of 25, 288 times a day; changes every five seconds.
#[test]
fn points_are_counted_where_a_service_counts_them() {
    let text = |settings: &str, fields: &str, probes: &str| {
        let pack = format!("pack = \"shopify\"\nsettings = {{ token = \"env:KEY\"{settings} }}");
        let text = over_http_text(&pack, probes).replace("dataset = \"products\"\n", "");
        text.replace("fields = { sku = \"id\", qty = \"qty\" }", fields)
    };
    let of = |settings: &str, fields: &str| plan(&parsed(&text(settings, fields, SAMPLE)), &keys(50_000));
    let store = |plan: &Plan| plan.systems.iter().find(|plan| plan.system.as_str() == "store").cloned();
    let points = |plan: &Plan| store(plan).and_then(|store| store.points).expect("it counts in points");
    let of_run = |plan: &Plan| (points(plan).a_day / 288.0).round();
    let variants =
        |key: &str| format!("dataset = \"variants\"\nfields = {{ sku = \"{key}\", qty = \"inventoryQuantity\" }}");
    // Ten pages of 302 and 40 questions for 25 variants of three objects.
    let by_id = of("", &variants("id"));
    assert_eq!(of_run(&by_id), 10.0 * 302.0 + 40.0 * 75.0);
    assert_eq!(by_id.flows[0].points, [("store".parse().expect("a name"), points(&by_id))]);
    // Half of 100 points a second.
    assert!((points(&by_id).given_a_day - 50.0 * 86_400.0).abs() < 1e-6);
    assert!((points(&by_id).share() - 288.0 * 6_020.0 / 4_320_000.0).abs() < 1e-6);
    let longest = store(&by_id).expect("it is there").longest_run;
    assert!((longest.as_secs_f64() - 6_020.0 / 50.0).abs() < 1.0, "points, not requests, take the time: {longest:?}");
    let larger = of(", points = 1000, share = \"1\"", &variants("id"));
    assert!((points(&larger).given_a_day - 86_400_000.0).abs() < 1e-3);
    // By a search, which answers with a page, and once more by id.
    let by_sku = of("", &variants("sku"));
    assert_eq!(of_run(&by_sku), 10.0 * 302.0 + 40.0 * (302.0 + 75.0));
    assert!(by_sku.flows[0].calls > by_id.flows[0].calls);
    let levels = "dataset = \"inventory_levels\"\nfields = { sku = \"item.sku\", qty = \"quantities[name=available].quantity\" }";
    let dear = store(&of(", levels = 50", levels)).expect("it is there").too_much.join("; ");
    assert!(dear.contains("a request for `inventory_levels` costs up to 4062 points, one may cost 1000"), "{dear}");
}

/// 5,000 records in pages of 20 every two minutes: the list cannot be asked for changes.
#[test]
fn a_list_that_is_read_whole_for_its_changes_costs_all_of_its_pages() {
    let pack = "pack = \"shopify\"\nsettings = { token = \"env:KEY\" }";
    let text = over_http_text(pack, "[[probe]]\nentity = \"stock\"\nkind = \"changes\"\nschedule = \"every 2m\"\n");
    let fields =
        "changed_at = \"updatedAt\"\nfields = { sku = \"item.sku\", qty = \"quantities[name=available].quantity\" }";
    let text = text.replace("products", "inventory_levels").replace("owner = \"erp\"", "owner = \"store\"");
    let owned =
        KeysOf::from([(("stock".parse().expect("a name"), "store".parse().expect("a name")), Keys::Given(5_000))]);
    let plan = plan(&parsed(&text.replace("fields = { sku = \"id\", qty = \"qty\" }", fields)), &owned);
    let points = plan.flows[0].points[0].1;
    assert!((points.a_day - 720.0 * 250.0 * 462.0).abs() < 1.0, "{points:?}");
    assert!((plan.flows[0].rows - 720.0 * 5_000.0).abs() < 1.0, "{}", plan.flows[0].rows);
    let store = plan.systems.iter().find(|plan| plan.system.as_str() == "store").expect("it is there");
    let too_much = store.too_much.join("; ");
    assert!(too_much.contains("takes 38m 30s at the budget's rate, longer than the 2m"), "{too_much}");
}
