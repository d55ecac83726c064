//! What follows from ownership: flows, projections, deadlines, warnings.

use std::path::Path;
use std::time::Duration;

use super::{BASE, parsed};
use crate::config::{EXAMPLE, Environment, parse_with, render_check};
use crate::model::mapping::{Origin, Source, Step, Test};
use crate::model::{Flow, Value};

/// Flows as `entity: owner -> target [fields] deadline`.
fn flows(text: &str) -> Vec<String> {
    let config = parsed(text).unwrap_or_else(|problems| panic!("{problems}"));
    let show = |flow: &Flow| {
        let fields: Vec<_> = flow.fields.iter().map(|field| field.name.as_str()).collect();
        format!("{} [{}] {}s", flow.id, fields.join(" "), flow.deadline.as_secs())
    };
    config.flows.iter().map(|flow| show(flow)).collect()
}

fn flow(text: &str, id: &str) -> Flow {
    let config = parsed(text).unwrap_or_else(|problems| panic!("{problems}"));
    let found = config.flows.iter().find(|flow| flow.id.to_string() == id);
    Flow::clone(found.unwrap_or_else(|| panic!("no flow {id}")))
}

#[test]
fn each_owner_flows_to_each_other_system_that_holds_its_fields() {
    assert_eq!(
        flows(BASE),
        ["order: erp -> shop [status] 180s", "order: shop -> erp [total] 180s", "order: shop -> files [paid] 180s",]
    );
}

#[test]
fn several_owners_flow_in_every_ordered_pair() {
    let text = BASE.replace("owner = \"erp\" }", "owners = [\"erp\", \"shop\"] }").replace(
        "fields.paid = { path = \"paid\", epoch",
        "fields.status = \"state\"\nfields.paid = { path = \"paid\", epoch",
    );
    assert_eq!(
        flows(&text),
        [
            "order: erp -> files [status] 180s",
            "order: erp -> shop [status] 180s",
            "order: shop -> erp [total status] 180s",
            "order: shop -> files [status paid] 180s",
        ]
    );
    let two_way = |id: &str| flow(&text, id).fields.iter().map(|field| field.two_way).collect::<Vec<_>>();
    assert_eq!(two_way("order: erp -> shop"), [true]);
    assert_eq!(two_way("order: shop -> erp"), [false, true]);
    // `files` owns nothing: it cannot have changed the field.
    assert_eq!(two_way("order: erp -> files"), [false]);
}

#[test]
fn the_tightest_promise_sets_the_deadline() {
    let promise = |selector: &str, within: &str| {
        format!(
            "\n[[slo]]\nname = \"x{}\"\n{selector}within = \"{within}\"\nobjective = 0.99\nwindow = \"1d\"\n",
            within.len()
        )
    };
    let (base, _) = BASE.split_once("[[slo]]").unwrap();
    let deadline = |text: &str, id: &str| flow(text, id).deadline;
    let text =
        format!("{base}{}{}", promise("owner = \"erp\"\n", "10m"), promise("flow = \"order: erp -> shop\"\n", "2m"));
    assert_eq!(deadline(&text, "order: erp -> shop"), Duration::from_secs(120));
    // Nothing is promised here: the class says it.
    assert_eq!(deadline(&text, "order: shop -> erp"), Duration::from_secs(300));
    let batch = text.replace("key = \"number\"\n", "key = \"number\"\nclass = \"batch\"\n");
    assert_eq!(deadline(&batch, "order: shop -> erp"), Duration::from_secs(86_400));
    // A promise may be looser than the class.
    let loose = format!("{base}{}", promise("", "1h"));
    assert_eq!(deadline(&loose, "order: shop -> erp"), Duration::from_secs(3600));
}

#[test]
fn each_side_is_compared_in_what_the_other_can_hold() {
    let status = flow(BASE, "order: erp -> shop").fields.remove(0);
    assert_eq!(status.owner_projection, [Step::Lower]);
    assert_eq!(status.target_projection, []);
    let example = flow(EXAMPLE, "order: shop -> erp");
    let email = example.fields.iter().find(|field| field.name.as_str() == "email").unwrap();
    assert_eq!(email.owner_projection, [Step::Trim, Step::Lower, Step::Truncate(64)]);
    assert_eq!(email.target_projection, []);
    // Translating steps are not part of it.
    let note = example.fields.iter().find(|field| field.name.as_str() == "note").unwrap();
    assert_eq!((&note.owner_projection[..], &note.target_projection[..]), (&[][..], &[][..]));
    assert!(example.has_source_version);
    assert!(!flow(EXAMPLE, "order: erp -> shop").has_source_version);
}

#[test]
fn a_mapping_selects_each_source_once() {
    let owner = flow(EXAMPLE, "order: erp -> shop").owner;
    let mut seen = std::collections::HashSet::new();
    assert!(owner.sources.iter().all(|source| seen.insert(source)), "{:?}", owner.sources);
    assert!(owner.sources.contains(&Source::Sql("coalesce(nullif(trim(note), ''), internal_note)".to_owned())));
    // `write_date`-like columns that several parts name are the same source: `state` is scope and field.
    let state = owner.sources.iter().position(|source| *source == Source::Path("state".to_owned())).unwrap();
    assert_eq!(owner.scope[0].source, state);
    assert!(matches!(owner.scope[0].test, Test::In(_)));
    assert_eq!(owner.fields[3].as_ref().unwrap().origin, Origin::Source(state));
    assert_eq!(owner.fields[0].as_ref().unwrap().origin, Origin::Const(Value::from("eu")));
    assert_eq!(owner.key, [0, 1]);
}

#[test]
fn check_prints_the_flows_with_deadline_and_probe() {
    insta::assert_snapshot!(render_check(&parsed(EXAMPLE)), @r"
    flow                                fields                                 deadline  probe
    stock: erp -> warehouse             weight                                 30s       every 15s
    stock: warehouse -> shop (via erp)  quantity                               30s       every 10s
    order: erp -> shop                  status, note (two-way)                 2m        cron 0 * * * * * (Europe/Berlin)
    order: shop -> erp                  total, email, paid_at, note (two-way)  2m        every 30s
    slo orders-in-time: 99.5 % over 30d
      page 14.4x over 1h and 5m: detects 7.2 % bad, or all bad for 5m
      page 6x over 6h and 30m: detects 3 % bad, or all bad for 11m
      ticket 3x over 1d and 2h: detects 1.5 % bad, or all bad for 22m
      ticket 1x over 3d and 6h: detects 0.5 % bad, or all bad for 22m
    ok: 3 systems, 4 flows, 4 probes, 1 SLO, 0 warnings
    ");
}

#[test]
fn check_prints_problems_as_compilers_do() {
    let text = BASE.replace("dataset = \"sale_order\"", "dataste = \"sale_order\"").replace("\"text\"", "\"txt\"");
    insta::assert_snapshot!(render_check(&parsed(&text)), @r"
    plumbline.toml:18:17: `number`: `txt` is not allowed, only `text`, `integer`, `decimal`, `money`, `boolean`, `timestamp`, `date`, `uuid`, `bytes`, `json`; did you mean `text`?
    plumbline.toml:20:26: `type`: `txt` is not allowed, only `text`, `integer`, `decimal`, `money`, `boolean`, `timestamp`, `date`, `uuid`, `bytes`, `json`; did you mean `text`?
    plumbline.toml:24:1: unknown key `dataste`; did you mean `dataset`?
    3 problems
    ");
    let missing = crate::config::load(std::path::Path::new("/does/not/exist.toml"));
    insta::assert_snapshot!(render_check(&missing), @r"
    /does/not/exist.toml: cannot be read: No such file or directory (os error 2)
    1 problem
    ");
}

#[test]
fn risky_combinations_are_warned_about() {
    let text = BASE
        .replace("tenant = \"acme\"", "ledger.url = \"http://clickhouse.example.com:8123\"")
        .replace(
            "[[probe]]\nentity = \"order\"\nowner = \"erp\"\nkind = \"changes\"\nschedule = \"cron 0 * * * * *\"",
            "",
        )
        .replace("fields.paid = { path = \"paid\", epoch = \"seconds\" }", "")
        .replace("fields.number = \"text\"", "fields.number = \"text\"\nfields.memo = \"text\"")
        .replace("[entity.order.in.files]\ndataset = \"orders\"\nfields.number = \"number\"\n", "");
    let config = parsed(&text).unwrap_or_else(|problems| panic!("{problems}"));
    insta::assert_snapshot!(config.warnings.join("\n"), @r"
    plumbline.toml:2:14: the ledger is reached over the network without TLS; use `https://`
    plumbline.toml:2:14: the ledger is reached over the network without a `user`
    plumbline.toml:12:9: no entity is mapped in system `files`
    plumbline.toml:16:1: no probe reads the changes of `order` in `erp`
    plumbline.toml:19:8: `order.memo` is never compared: it has no owner
    plumbline.toml:22:8: `order.paid` is never compared: it is held by its owner alone
    ");
}

#[test]
fn fields_of_children_that_no_probe_can_see_are_warned_about() {
    let children = |more: &str| {
        let text = BASE.replacen(
            "dataset = \"sale_order\"",
            &format!("dataset = \"sale_order\"\nnative = \"id\"\nchildren.lines = {{ dataset = \"l\", parent = \"p\"{more} }}"),
            1,
        );
        let text = text.replacen(
            "fields.status = \"state\"",
            "fields.status = { path = \"lines[].state\", agg = \"max\" }",
            1,
        );
        parsed(&text).unwrap_or_else(|problems| panic!("{problems}")).warnings.join("\n")
    };
    insta::assert_snapshot!(children(""), @"plumbline.toml:20:8: `order.status` is blind in `erp`: a changed or deleted row of `lines` moves nothing, and no sample or sweep looks for it; set `bumps_parent` if `erp` stamps the parent too");
    insta::assert_snapshot!(children(", changed_at = \"w\""), @"plumbline.toml:20:8: `order.status` is blind in `erp`: a deleted row of `lines` moves nothing, and no sample or sweep looks for it; set `bumps_parent` if `erp` stamps the parent too");
    insta::assert_snapshot!(children(", bumps_parent = true"), @"");
}

#[test]
fn one_block_stands_for_several_systems() {
    let text = BASE
        .replace(
            "url = \"mysql://auditor@localhost/shop\"",
            "for_each = [\"shop\", \"shop-fr\"]\nurl = \"mysql://auditor@${each}.localhost/x\"",
        )
        .replace("[system.shop]", "[system.shops]")
        .replace("[entity.order.in.shop]", "[entity.order.in.shops]\nfor_each = [\"shop\", \"shop-fr\"]");
    let config = parsed(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let urls: Vec<_> =
        config.systems.values().map(|system| secrecy::ExposeSecret::expose_secret(&system.url).to_owned()).collect();
    assert!(urls.iter().any(|url| url.contains("@shop-fr.localhost")) && !urls.concat().contains('$'), "{urls:?}");
    assert_eq!(
        flows(&text),
        [
            "order: erp -> shop [status] 180s",
            "order: erp -> shop-fr [status] 180s",
            "order: shop -> erp [total] 180s",
            "order: shop -> files [paid] 180s",
            "order: shop -> shop-fr [total paid] 180s",
        ]
    );
    let wrong = text.replace("changed_at = \"modified\"", "changed_at = \"modified\"\nnativ = \"id\"");
    insta::assert_snapshot!(parsed(&wrong).unwrap_err(), @r"
    plumbline.toml:35:1: unknown key `nativ` (for `shop-fr`); did you mean `native`?
    plumbline.toml:35:1: unknown key `nativ` (for `shop`); did you mean `native`?
    2 problems
    ");
}

/// Everything that can be repeated is.
const SHOPS: &str = r#"
[system.erp]
kind = "sqlite"
url = "sqlite:erp.db"

[system."shop-${each}"]
for_each = ["de", "fr"]
kind = "sqlite"
url = "sqlite:shop-${each}.db"

[entity."order-${each}"]
for_each = ["de", "fr"]
key = "number"
fields.number = "text"
fields.total = { type = "integer", owner = "shop-${each}" }

[entity."order-${each}".in."shop-${each}"]
dataset = "orders"
changed_at = "at"
fields = { number = "id", total = "total" }

[entity."order-${each}".in.erp]
dataset = "orders_${each}"
fields = { number = "number", total = "total" }

[[probe]]
for_each = ["de", "fr"]
entity = "order-${each}"
kind = "changes"
schedule = "every 30s"

[[slo]]
for_each = ["de", "fr"]
name = "orders-${each}"
entity = "order-${each}"
within = "5m"
objective = "99%"
window = "30d"
"#;

#[test]
fn entities_probes_and_promises_are_repeated() {
    let config = parsed(SHOPS).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(flows(SHOPS), ["order-de: shop-de -> erp [total] 300s", "order-fr: shop-fr -> erp [total] 300s"]);
    let probes: Vec<String> = config.probes.iter().map(|probe| format!("{} {}", probe.entity, probe.owner)).collect();
    assert_eq!(probes, ["order-de shop-de", "order-fr shop-fr"]);
    let slos: Vec<(&str, usize)> = config.slos.iter().map(|slo| (slo.name(), slo.flows.len())).collect();
    assert_eq!(slos, [("orders-de", 1), ("orders-fr", 1)]);
    let dataset = |entity: &str| {
        let mappings = &config.entities[&entity.parse::<crate::model::EntityId>().unwrap()].mappings;
        mappings[&"erp".parse::<crate::model::SystemId>().unwrap()].dataset.name().to_owned()
    };
    assert_eq!((dataset("order-de"), dataset("order-fr")), ("orders_de".to_owned(), "orders_fr".to_owned()));
}

#[test]
fn problems_of_repeated_blocks_point_at_the_block_and_name_the_repetition() {
    let mut failures = String::new();
    let mut check = |changes: &[(&str, &str)], expect: &[&str]| {
        let text = changes.iter().fold(SHOPS.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let problems = parsed(&text).unwrap_err();
        let told: Vec<String> =
            problems.iter().map(|problem| format!("{}:{}: {problem}", problem.line, problem.column)).collect();
        if told != expect {
            failures.push_str(&format!("{changes:?} gives {told:#?}\n"));
        }
    };
    // Found late, when all sections have been read: flows are known by then.
    check(
        &[("every 30s", "every 10m")],
        &[
            "30:12: two looks are up to 10m apart, so a lag is known only to about 10m: too little to decide the deadline 5m of `order-de: shop-de -> erp` (for `de`); look at least every 2m30s (half the deadline)",
            "30:12: two looks are up to 10m apart, so a lag is known only to about 10m: too little to decide the deadline 5m of `order-fr: shop-fr -> erp` (for `fr`); look at least every 2m30s (half the deadline)",
        ],
    );
    check(
        &[("owner = \"shop-${each}\"", "owner = \"erp-${each}\"")],
        &[
            "15:44: `erp-de` is not a system (for `de`); known: `erp`, `shop-de`, `shop-fr`",
            "15:44: `erp-fr` is not a system (for `fr`); known: `erp`, `shop-de`, `shop-fr`",
        ],
    );
    check(
        &[("fields = { number = \"number\"", "fields = { numbr = \"number\"")],
        &[
            "22:1: key field `number` of `order-de` is not mapped; add it to `fields` (for `de`)",
            "22:1: key field `number` of `order-fr` is not mapped; add it to `fields` (for `fr`)",
            "24:12: `numbr` is not a field of `order-de` (for `de`); did you mean `number`?",
            "24:12: `numbr` is not a field of `order-fr` (for `fr`); did you mean `number`?",
        ],
    );
    check(
        &[("name = \"orders-${each}\"", "name = \"orders\"")],
        &["34:8: `orders` is the name of another SLO (for `fr`)"],
    );
    check(
        &[("[[slo]]\nfor_each = [\"de\", \"fr\"]", "[[slo]]\nfor_each = [\"de\", \"it\"]")],
        &["35:10: `order-it` is not an entity (for `it`); did you mean `order-de`?"],
    );
    check(
        &[("[[probe]]\nfor_each = [\"de\", \"fr\"]", "[[probe]]\nfor_each = [\"de\", \"de\"]")],
        &["27:19: `de` is there twice"],
    );
    check(
        &[(
            "[entity.\"order-${each}\".in.erp]",
            "[entity.\"order-${each}\".in.erp]\nfor_each = [\"erp\", \"${each}\"]",
        )],
        &[
            "22:28: `de` is not a system (for `de`, `de`); known: `erp`, `shop-de`, `shop-fr`",
            "22:28: `fr` is not a system (for `fr`, `fr`); known: `erp`, `shop-de`, `shop-fr`",
        ],
    );
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn the_path_of_data_is_made_of_systems() {
    let via = |list: &str| {
        let text = BASE.replacen("dataset = \"orders\"", &format!("dataset = \"orders\"\nvia = {list}"), 1);
        match parsed(&text) {
            Ok(config) => {
                config.flows.iter().map(|flow| format!("{} {:?}", flow.id, flow.via())).collect::<Vec<_>>().join("\n")
            }
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    };
    assert_eq!(via("[\"middleware\"]"), "`middleware` is not a system; known: `erp`, `shop`, `files`");
    assert_eq!(via("[\"shop\"]"), "`via`: `shop` is where the path ends");
    assert_eq!(via("[\"files\", \"files\"]"), "`via`: `files` is named twice");
    // Data of the ERP starts there: what comes before it in the path is not on its way.
    assert!(via("[\"erp\", \"files\"]").contains("order: erp -> shop [\"files\"]"));
    assert!(via("[\"files\", \"erp\"]").contains("order: erp -> shop []"));
}

#[test]
fn samples_that_have_nowhere_to_draw_from_are_warned_about() {
    let config = |owner: &str, target: &str| {
        let text = format!(
            r#"
            [system.shop]
            {owner}
            [system.crm]
            {target}
            [entity.item]
            key = "sku"
            fields.sku = "text"
            fields.qty = {{ type = "integer", owner = "shop" }}
            [entity.item.in.shop]
            dataset = "products"
            fields = {{ sku = "sku", qty = "stock_quantity" }}
            [entity.item.in.crm]
            dataset = "products"
            fields = {{ sku = "sku", qty = "stock_quantity" }}
            [[probe]]
            entity = "item"
            kind = "sample"
            schedule = "every 5m"
            "#
        );
        let environment = Environment::fixed([("KEY", "ck_1234567890"), ("SECRET", "cs_1234567890")]);
        let parsed = parse_with(&text, Path::new("plumbline.toml"), Path::new("/"), &environment);
        let warnings = parsed.unwrap_or_else(|problems| panic!("{problems}")).warnings;
        warnings.into_iter().filter(|warning| warning.contains("no sample can look")).count()
    };
    let api = "kind = \"http\"\npack = \"woocommerce\"\nurl = \"https://shop.example\"\n\
               settings = { key = \"env:KEY\", secret = \"env:SECRET\" }";
    let database = "kind = \"sqlite\"\nurl = \"sqlite:crm.db\"";
    let cut = "kind = \"http\"\npack = \"json-api\"\nurl = \"https://shop.example\"\n\
               settings = { cap = 1000, total = \"body:total\", id = \"sku\" }";
    assert_eq!(config(cut, cut), 1);
    for (owner, target) in [(api, api), (api, database), (cut, database), (database, cut), (cut, api)] {
        assert_eq!(config(owner, target), 0, "{owner} {target}");
    }
}
