//! Shipped packs, and every kind of problem in a pack.

use std::path::Path;

use super::*;

fn check(text: &str) -> Result<Pack, Problems> {
    Pack::parse(text, Path::new("acme.toml"), &Values::default())
}

#[test]
fn shipped_packs_are_accepted() {
    for (name, text) in SHIPPED {
        match check(text) {
            Ok(pack) => assert_eq!(pack.id, name),
            Err(problems) => panic!("{name}: {problems}"),
        }
    }
}

/// Small and right; cases change one thing.
const ACME: &str = r#"
[pack]
id = "acme"
title = "Acme"
schema = 1
verified = "2026-11-23"
access = "a token"

[settings.token]
kind = "secret"
help = "API token"

[settings.size]
kind = "integer"
default = 50
help = "records in a page"

[http]
base = "${url}/api"

[auth]
kind = "bearer"
token = "${token}"

[page.numbered]
kind = "page"
param = "page"
size = "${size}"

[entity.orders]
path = "/orders"
items = "data"
id = "id"
page = "numbered"
by.id = { param = "ids", max = 50, none = "0" }
"#;

#[track_caller]
fn refused(from: &str, to: &str, expect: &str) {
    assert!(ACME.contains(from), "{from}");
    let problems = check(&ACME.replace(from, to)).expect_err("a problem").to_string();
    assert!(problems.contains(expect), "{problems}");
}

#[test]
fn a_small_pack_is_accepted() {
    let mut values = Values::default();
    values.set("url", "https://acme.example");
    let pack = Pack::parse(ACME, Path::new("acme.toml"), &values).unwrap();
    assert_eq!(pack.base.as_str(), "https://acme.example/api");
    assert_eq!(pack.entities["orders"].page.size, 50);
    assert!(pack.entity("customers").is_none());
}

#[test]
fn problems_have_their_place() {
    refused("items = ", "item = ", "acme.toml:32:1: unknown key `item`; did you mean `items`?");
    refused("kind = \"bearer\"", "kind = \"barer\"", "acme.toml:22:8: `kind`: `barer` is not allowed");
    refused("schema = 1", "schema = 2", "reads packs of schema 1, found 2");
    refused("page = \"numbered\"", "page = \"other\"", "there is no `[page.other]`, only `numbered`");
    refused("${size}", "${sise}", "`sise` is not a setting of this pack; did you mean `size`?");
    refused("/orders", "/${token}", "a secret setting may stand only under `[auth]`");
    refused("path = \"/orders\"", "path = \"/{dataset}\"", "`{dataset}` belongs into the path of the entity `*`");
    refused("size = \"${size}\"", "size = 0", "must be from 1 to 10000, found 0");
    refused("items = \"data\"", "items = \"data[\"", "a path is written");
    refused("items = \"data\"", "items = \"data[]\"", "names one list");
    refused("token = \"${token}\"", "token = \"${token\"", "`${` without a `}`");
    refused("[entity.orders]", "[action.x]\nkind = \"put\"\n[entity.orders]", "`action` is not supported yet");
    refused("base = \"${url}/api\"", "base = \"ftp://x\"", "must be an address");
}

/// Asked with bodies; cases change one thing.
const GRAPH: &str = r#"
[pack]
id = "graph"
title = "Graph"
schema = 1
verified = "2026-11-23"
access = "a token"

[http]
base = "${url}/api"
dialect = "graphql"

[page.cursor]
kind = "cursor"
body = { first = "{size}", after = "{cursor}" }
from = "body:data.list.next"
size = 50

[entity.orders]
path = "/graphql"
document = "query ($first: Int, $after: ID, $ids: [ID!]) { list: orders(first: $first) { nodes { id } next } }"
items = "data.list.nodes"
id = "id"
page = "cursor"
by.id = { body = { ids = "{values}" }, max = 50, none = "0" }
"#;

#[test]
fn requests_with_a_body_only_read() {
    let refused = |from: &str, to: &str, expect: &str| {
        assert!(GRAPH.contains(from), "{from}");
        let problems = check(&GRAPH.replace(from, to)).expect_err("a problem").to_string();
        assert!(problems.contains(expect), "{problems}");
    };
    check(GRAPH).unwrap();
    refused("\"query (", "\"mutation (", "`document`: it holds a `mutation`; a pack only reads");
    refused("next } }\"", "next } } subscription { x }\"", "it holds a `subscription`");
    refused("document = \"query", "model = \"res.partner\"\nx = \"", "key `document` is missing");
    refused("{ ids = ", "{ id = ", "the document has no variable `$id`, which a `body` sets");
    refused("first = \"{size}\", ", "", "it must have places for the page and its size");
    refused("{values}", "{cursor}", "there is no `{cursor}` here, only `values`");
    refused("kind = \"cursor\"", "kind = \"link\"", "`link` is for addresses");
    refused("size = 50", "size = 50\nsize_param = \"n\"", "is for addresses");
    refused("body = { ids", "param = \"ids\", body = { ids", "packs of this `[http] dialect` send a `body`");
    refused("dialect = \"graphql\"", "dialect = \"soap\"", "`soap` is not allowed");
    refused("data.list.nodes", "data.list[].nodes[].nodes", "it can reach through one list");
    refused("id = \"id\"", "id = \"id\"\nwhole = \"more\"", "belongs to `items` that reach through a list");
    let indexed = "by.sku = { index = true, body = { ids";
    refused("by.id = { body = { ids", indexed, "what an `index` finds is read again by `id`, which is not there");
    refused("id = \"id\"", "id = \"id\"\nfragment = \"mutation { x }\"", "it holds a `mutation`");
    refused("dialect = \"graphql\"", "", "belongs to packs that send bodies");
}

#[test]
fn models_are_asked_for_records_and_nothing_else() {
    let document = GRAPH.lines().find(|line| line.starts_with("document")).unwrap();
    let odoo = GRAPH
        .replace("graphql\"", "jsonrpc\"")
        .replace(document, "model = \"res.partner\"")
        .replace("path = \"/jsonrpc\"\n", "");
    check(&odoo).unwrap();
    let refused = |from: &str, to: &str, expect: &str| {
        assert!(odoo.contains(from), "{from}");
        let problems = check(&odoo.replace(from, to)).expect_err("a problem").to_string();
        assert!(problems.contains(expect), "{problems}");
    };
    refused("\"res.partner\"", "\"res.partner\"\nmethod = \"unlink\"", "unknown key `method`");
    refused("\"res.partner\"", "\"res.partner/unlink\"", "is not the name of a model");
    refused("\"res.partner\"", "\"{dataset}\"", "`{dataset}` is the model of the entity `*`");
    refused("\"cursor\"\nbody", "\"keyset\"\nbody", "there is no `{cursor}` here, only `size`, `last`");
    refused(
        "kind = \"cursor\"\nbody = { first = \"{size}\", after = \"{cursor}\"",
        "kind = \"keyset\"\nbody = { first = \"{size}\", after = \"{last}\"",
        "need `ordered = true`",
    );
    refused("\"jsonrpc\"", "\"jsonrpc\"\nrelations = \"deep\"", "`deep` is not allowed");
    refused("\"jsonrpc\"", "\"graphql\"\nrelations = \"nested\"", "belongs to the dialects `json2` and `jsonrpc`");
    let auth = "[auth]\nkind = \"odoo\"\ndatabase = \"d\"\nuser = \"u\"\ntoken = \"t\"\n";
    check(&format!("{odoo}{auth}")).unwrap();
    let problems = check(&format!("{GRAPH}{auth}")).unwrap_err().to_string();
    assert!(problems.contains("belongs to the dialects `json2` and `jsonrpc`"), "{problems}");
}

#[test]
fn limits_in_points_and_rules_are_checked() {
    let cost = |share: &str| {
        let places = ["asked", "used", "available", "maximum", "restore"];
        let places = places.map(|name| format!("{name} = \"body:cost.{name}\"\n")).concat();
        format!("{GRAPH}[limit.cost]\n{places}share = {share}\nper_second = 100\nmost = 1000\n")
    };
    for share in ["0.5", "\"0.5\"", "1"] {
        let pack = check(&cost(share)).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(pack.limit.cost.is_some_and(|cost| (0.5..=1.0).contains(&cost.share)));
    }
    for (text, expect) in [
        (cost("0"), "must be a number from 0.01 to 1"),
        (cost("\"half\""), "must be a number from 0.01 to 1"),
        (cost("0.5").replace("body:cost.used", "header:used"), "`used`: must be `body:PATH`"),
        (cost("0.5").replace("maximum =", "object ="), "key `maximum` is missing"),
        (cost("0.5").replace("most = 1000\n", ""), "key `most` is missing"),
        (cost("0.5").replace("per_second = 100", "per_second = 0"), "must be a number from 0.001 to"),
        (format!("{GRAPH}[[error]]\ndo = \"retry\"\n"), "a rule names a `status`"),
        (format!("{GRAPH}[[error]]\nheader = \"x\"\nbody = \"y\"\ndo = \"retry\"\n"), "a rule names a `status`"),
    ] {
        let problems = check(&text).unwrap_err().to_string();
        assert!(problems.contains(expect), "{problems}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let mut values = Values::default();
    values.set_secret("token", SecretString::from("s3cret"));
    let pack = Pack::parse(ACME, Path::new("acme.toml"), &values).unwrap();
    assert!(!format!("{pack:?} {values:?}").contains("s3cret"));
}

/// docs/packs.md names every key, and no other.
#[test]
fn every_key_is_described() {
    const DOCS: &str = include_str!("../../../docs/packs.md");
    let sections = [
        &read::PACK_KEYS,
        &settings::KEYS,
        &read::HTTP_KEYS,
        &auth::KEYS,
        &limit::KEYS,
        &limit::COST_KEYS,
        &read::ERROR_KEYS,
        &page::KEYS,
        &entity::KEYS,
        &entity::SINCE_KEYS,
        &entity::GONE_KEYS,
        &entity::PART_KEYS,
        &by::KEYS,
    ];
    for keys in sections {
        let heading = format!("### `{}`\n", keys.section);
        let start = DOCS.find(&heading).unwrap_or_else(|| panic!("no heading for `{}`", keys.section));
        let text = DOCS[start + heading.len()..].split("\n#").next().unwrap();
        let rows: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        let (mut rows, mut names) = (rows, keys.names.to_vec());
        rows.sort_unstable();
        names.sort_unstable();
        assert_eq!(rows, names, "{}", keys.section);
    }
}

/// The page of each shipped pack names its settings and datasets.
#[test]
fn shipped_packs_are_described() {
    let pages = [
        include_str!("../../../docs/packs/json-api.md"),
        include_str!("../../../docs/packs/odoo.md"),
        include_str!("../../../docs/packs/shopify.md"),
        include_str!("../../../docs/packs/woocommerce.md"),
    ];
    for ((name, text), page) in SHIPPED.into_iter().zip(pages) {
        let settings = read::declared(text, Path::new(name));
        let entities = check(text).unwrap().entities;
        let named = settings.iter().map(|setting| setting.name.as_str()).chain(entities.keys().map(String::as_str));
        for word in named.filter(|word| *word != "*") {
            assert!(page.contains(&format!("`{word}`")), "{name}: `{word}`");
        }
    }
}

/// A config with a store; cases change one thing.
const CONFIG: &str = r#"
[system.store]
kind = "http"
pack = "woocommerce"
url = "https://shop.example"
settings = { key = "env:KEY", secret = "env:KEY" }

[system.erp]
kind = "sqlite"
url = "sqlite:erp.db"

[entity.stock]
key = "sku"
fields.sku = "text"
fields.qty = { type = "integer", owner = "erp" }

[entity.stock.in.store]
dataset = "products"
fields = { sku = "sku", qty = "stock_quantity" }

[entity.stock.in.erp]
dataset = "stock"
changed_at = "updated_at"
fields = { sku = "sku", qty = "qty" }

[[probe]]
entity = "stock"
kind = "changes"
schedule = "every 30s"
"#;

fn config(text: &str) -> Result<crate::config::Config, Problems> {
    let environment = Environment::fixed([("KEY", "s3cret")]);
    crate::config::parse_with(text, Path::new("plumbline.toml"), Path::new("/nowhere"), &environment)
}

#[test]
fn a_pack_fills_in_what_it_knows() {
    let config = config(CONFIG).unwrap_or_else(|problems| panic!("{problems}"));
    let store = &config.systems[&"store".parse().unwrap()];
    assert_eq!((store.budget.requests_per_second, store.budget.concurrency), (4.0, 2));
    let mapping = &config.entities[&"stock".parse().unwrap()].mappings[&"store".parse().unwrap()];
    let path = |index: usize| mapping.sources[index].clone();
    let named = |name: &str| crate::model::mapping::Source::Path(name.to_owned());
    assert_eq!(path(mapping.changed_at.as_ref().unwrap().source), named("date_modified_gmt"));
    assert_eq!(path(mapping.native.unwrap()), named("id"));
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn uses_of_a_pack_are_checked() {
    let refused = |from: &str, to: &str, expect: &str| {
        assert!(CONFIG.contains(from), "{from}");
        let problems = config(&CONFIG.replace(from, to)).expect_err("a problem").to_string();
        assert!(problems.contains(expect), "{problems}");
        assert!(!problems.contains("s3cret"), "{problems}");
    };
    refused("pack = \"woocommerce\"\n", "", "plumbline.toml:2:1: key `pack` is missing");
    refused("\"woocommerce\"", "\"woocomerce\"", "there is no pack `woocomerce`; did you mean `woocommerce`?");
    refused("\"woocommerce\"", "\"acme.toml\"", "`acme.toml` cannot be read");
    refused("key = \"env:KEY\", ", "", "plumbline.toml:6:12: setting `key` of the pack is missing: consumer key");
    refused("key = \"env:KEY\"", "key = \"s3cret\"", "a secret must not stand here; write `env:NAME` or `file:PATH`");
    refused("key = \"env:KEY\"", "kee = \"env:KEY\"", "`kee` is not a setting of this pack; did you mean `key`?");
    refused("https://shop", "http://shop", "plain `http` would show the login");
    refused("https://shop", "https://me:s3cret@shop", "must not hold a login");
    refused(
        "dataset = \"products\"",
        "dataset = \"product\"",
        "`product` is not a dataset of pack `woocommerce`; did you mean `products`?",
    );
    refused(
        "fields = { sku = \"sku\", qty = \"stock_quantity\"",
        "native = \"slug\"\nfields = { sku = \"name\", qty = \"stock_quantity\"",
        "records cannot be asked for by `name`, only by `id`, `sku`",
    );
    refused(
        "fields = { sku = \"sku\", qty = \"stock_quantity\"",
        "native = \"slug\"\nkey_index = true\nfields = { sku = \"sku\", qty = \"stock_quantity\"",
        "the key is found by an index, and records cannot be asked for by `slug`",
    );
    refused("qty = \"stock_quantity\"", "qty = { sql = \"1\" }", "`sql` is for databases");
    refused("qty = \"stock_quantity\"", "qty = \"a..b\"", "a path is written");
    refused(
        "url = \"sqlite:erp.db\"",
        "url = \"sqlite:erp.db\"\npack = \"woocommerce\"",
        "a SQLite file has no `pack`",
    );
}

#[test]
fn what_cannot_be_asked_for_by_its_key_is_asked_for_by_its_id() {
    let mapping = |text: &str| {
        let config = config(text).unwrap_or_else(|problems| panic!("{problems}"));
        let entity = config.entities.values().next().unwrap();
        let mapping = entity.mappings[&"store".parse().unwrap()].clone();
        (mapping.key_index, config.warnings)
    };
    assert!(!mapping(CONFIG).0);
    let by_name = CONFIG.replace("sku = \"sku\", qty = \"stock_quantity\"", "sku = \"name\", qty = \"stock_quantity\"");
    assert_eq!(mapping(&by_name), (true, Vec::new()));
    let lower = CONFIG.replace(
        "sku = \"sku\", qty = \"stock_quantity\"",
        "sku = { path = \"sku\", steps = [\"lower\"] }, qty = \"stock_quantity\"",
    );
    assert_eq!(mapping(&lower), (true, Vec::new()));
    let customers = by_name.replace("\"products\"", "\"customers\"").replace("\"stock_quantity\"", "\"id\"");
    let (has_index, warnings) = mapping(&customers.replace("\"name\"", "\"username\""));
    assert!(has_index);
    assert!(warnings[0].contains("every read by key reads the whole list"), "{warnings:?}");
}

#[test]
fn unknown_paths_are_warned_about() {
    let config = config(&CONFIG.replace("\"stock_quantity\"", "\"stock_quantiy\"")).unwrap();
    assert!(config.warnings[0].contains("does not know `stock_quantiy`; did you mean `stock_quantity`?"));
}
