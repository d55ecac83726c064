//! Entities: their fields, how systems hold them, and who owns what.

use super::check;

#[test]
fn fields() {
    check(&[
        (
            "fields.number = \"text\"",
            "fields.number = \"txt\"",
            &[
                "18:17: `number`: `txt` is not allowed, only `text`, `integer`, `decimal`, `money`, `boolean`, `timestamp`, `date`, `uuid`, `bytes`, `json`; did you mean `text`?",
            ],
        ),
        (
            "fields.number = \"text\"",
            "fields.Number = \"text\"",
            &[
                "17:7: `number` is not one of the `fields`; did you mean `Number`?",
                "18:8: `Number` cannot be a name: may hold lower-case letters, digits, `-` and `_`, and starts with a letter; found `N`",
                "26:8: `number` is not a field of `order`; did you mean `Number`?",
                "33:8: `number` is not a field of `order`; did you mean `Number`?",
                "40:8: `number` is not a field of `order`; did you mean `Number`?",
            ],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shopp\"",
            &["19:42: `shopp` is not a system; did you mean `shop`?"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shop\", owners = [\"erp\"]",
            &["19:59: only one of `owner`, `owners` may be given"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owners = [\"erp\", \"erp\"]",
            &["19:51: `erp` is named twice"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"files\"",
            &["19:42: owner `files` does not hold `total`; add it to `[entity.order.in.files]`"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shop\", tolerance = \"2s\"",
            &[
                "19:62: `tolerance`: the tolerance of a number is `\"0.01\"` (in its unit) or `\"0.5%\"` (of the owner's value)",
            ],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shop\", tolerance = \"100%\"",
            &["19:62: `tolerance`: must be less than `100%`"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shop\", tolerance = 0",
            &["19:62: `tolerance`: must be above zero; leave it out to compare exactly"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shop\", tolerance = -0.01",
            &["19:62: `tolerance`: must be above zero; leave it out to compare exactly"],
        ),
        (
            "type = \"timestamp\"",
            "type = \"timestamp\", tolerance = \"1%\"",
            &["21:49: `tolerance`: the tolerance of a timestamp is a duration above zero such as `\"2s\"`"],
        ),
        (
            "type = \"timestamp\"",
            "type = \"timestamp\", tolerance = 2",
            &["21:49: `tolerance`: the tolerance of a timestamp is a duration above zero such as `\"2s\"`"],
        ),
        (
            "type = \"text\", owner = \"erp\"",
            "type = \"text\", owner = \"erp\", tolerance = \"1\"",
            &[
                "20:61: `tolerance`: `text` is compared exactly; a tolerance is for integer, decimal, money and timestamp",
            ],
        ),
        (
            "type = \"text\", owner = \"erp\"",
            "type = \"text\", owner = \"erp\", store = \"hashed\"",
            &[
                "20:57: `store`: `hashed` is not allowed, only `clear`, `masked`, `hash`, `none`; did you mean `masked`?",
            ],
        ),
        (
            "type = \"text\", owner = \"erp\"",
            "type = \"text\", owner = \"erp\", kind = \"counter\"",
            &["20:56: a counter is a number; `status` is text"],
        ),
        (
            "key = \"number\"",
            "key = [\"number\", \"shop\"]",
            &["17:18: `shop` is not one of the `fields`; known: `number`, `total`, `status`, `paid`"],
        ),
        ("key = \"number\"", "key = [\"number\", \"number\"]", &["17:18: `number` is named twice"]),
        ("key = \"number\"", "key = []", &["17:7: the key must name at least one field"]),
        (
            "key = \"number\"",
            "key = \"total\"",
            &[
                "17:7: `total` is money, which cannot be a key",
                "38:1: key field `total` of `order` is not mapped; add it to `fields`",
            ],
        ),
        (
            "key = \"number\"",
            "class = \"near-realtime\"\nkey = \"number\"",
            &[
                "17:9: `class`: `near-realtime` is not allowed, only `realtime`, `near_realtime`, `batch`; did you mean `near_realtime`?",
            ],
        ),
        (
            "key = \"number\"",
            "for_each = [\"de\", \"fr\"]\nkey = \"number\"",
            &[
                "16:9: `for_each`: all of these would be the same; `${each}` stands for the name in texts",
                "45:10: `order` is not an entity; none is known here",
                "51:10: `order` is not an entity; none is known here",
                "58:10: `order` is not an entity; none is known here",
            ],
        ),
        (
            "fields.number = \"text\"",
            "fields.number = { type = \"integer\", tolerance = \"1\" }",
            &["18:8: `number` is part of the key and cannot have a tolerance"],
        ),
    ]);
}

#[test]
fn mappings() {
    check(&[
        (
            "[entity.order.in.files]",
            "[entity.order.in.flies]",
            &["38:18: `flies` is not a system; did you mean `files`?"],
        ),
        (
            "[entity.order.in.files]",
            "[entity.order.in.crm]",
            &["38:18: `crm` is not a system; known: `erp`, `shop`, `files`"],
        ),
        (
            "fields.status = \"state\"",
            "fields.status = \"state\"\nlink = \"https://erp.example.org/{key}\"",
            &["29:8: `link`: the key `number` is not stored in clear, so no link can name it"],
        ),
        (
            "fields.status = \"state\"",
            "fields.status = \"state\"\nlink = \"https://erp.example.org/orders\"",
            &["29:8: `link`: must say with `{key}` where the record's key goes"],
        ),
        (
            "fields.status = \"state\"",
            "fields.sttaus = \"state\"",
            &["28:8: `sttaus` is not a field of `order`; did you mean `status`?"],
        ),
        (
            "fields.status = \"state\"",
            "",
            &["20:42: owner `erp` does not hold `status`; add it to `[entity.order.in.erp]`"],
        ),
        (
            "fields.number = { path = \"ref\", steps = [{ strip_prefix = \"WC-\" }] }\n",
            "",
            &["23:1: key field `number` of `order` is not mapped; add it to `fields`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nkey = [\"id\"]",
            &["25:7: the key of `order` is `number`; a mapping cannot have another"],
        ),
        ("dataset = \"sale_order\"", "dataset = \"sale_order\"\nkey = \"number\"", &[]),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nchildren.lines = { dataset = \"l\", parnt = \"p\" }",
            &["25:35: unknown key `parnt`; did you mean `parent`?"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nchildren.\"a[]\" = { dataset = \"l\", parent = \"p\" }",
            &["25:10: `a[]` cannot be a name of children: paths are written `NAME[].column`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nxref.status = { system = \"mdm\", dataset = \"t\", from = \"a\", to = \"b\" }",
            &["25:26: `mdm` is not a system; known: `erp`, `shop`, `files`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nxref.sku = { system = \"shop\", dataset = \"t\", from = \"a\", to = \"b\" }",
            &["25:6: `sku` is not a field of `order`; known: `number`, `total`, `status`, `paid`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nxref.total = { system = \"shop\", dataset = \"t\", from = \"a\", to = \"b\" }",
            &["25:6: `total` cannot be translated: only fields of type `text`, `integer` or `uuid` can"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nxref.number = { system = \"shop\", dataset = \"t\", from = \"a\", to = \"b\" }",
            &[],
        ),
        (
            "fields.status = \"state\"",
            "fields.status = \"lines[].state\"",
            &[
                "28:17: `status`: `lines[].state` reaches into children and may have many values; say with `agg` what they come to: `{ path = \"lines[].qty\", agg = \"sum\" }`",
            ],
        ),
        (
            "fields.status = \"state\"",
            "fields.status = { path = \"state\", agg = \"max\" }",
            &["28:26: `path`: `state` has one value: an aggregate needs a path such as `lines[].qty`"],
        ),
        (
            "fields.status = \"state\"",
            "fields.status = { path = \"state\", const = \"x\" }",
            &["28:43: `const`: cannot stand together with `path`"],
        ),
        ("fields.status = \"state\"", "fields.status = {}", &["28:17: one of `path`, `sql`, `const` is missing"]),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nversion = { stamp = \"x\" }",
            &["25:11: one of `sequence`, `tag` is missing", "25:13: unknown key `stamp`; known: `sequence`, `tag`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nversion = { sequence = \"x\", tag = \"y\" }",
            &["25:35: `tag`: cannot stand together with `sequence`"],
        ),
        (
            "changed_at = \"write_date\"",
            "changed_at = { path = \"w\", zone = \"Mars\", epoch = \"minutes\" }",
            &[
                "25:35: `zone`: `Mars` is not a time zone; write an IANA name such as `UTC` or `Europe/Berlin`",
                "25:51: `epoch`: `minutes` is not allowed, only `seconds`, `milliseconds`, `microseconds`",
            ],
        ),
        ("changed_at = \"write_date\"", "changed_at = { zone = \"UTC\" }", &["25:14: key `path` is missing"]),
        (
            "changed_at = \"write_date\"\n",
            "",
            &["48:1: a changes probe needs `changed_at` (or `version = { sequence = … }`) in `[entity.order.in.erp]`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = { path = \"a\", eq = 1 }",
            &["25:9: `scope`: must be a list, found a table"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\" }]",
            &["25:10: one of `eq`, `ne`, `in`, `not_in`, `is_null` is missing"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", eq = 1, ne = 2 }]",
            &["25:37: `ne`: cannot stand together with `eq`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", equals = 1 }]",
            &[
                "25:10: one of `eq`, `ne`, `in`, `not_in`, `is_null` is missing",
                "25:24: unknown key `equals`; known: `path`, `eq`, `ne`, `in`, `not_in`, `is_null`",
            ],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", in = [] }]",
            &["25:29: `in`: must not be empty"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", eq = nan }]",
            &["25:29: `eq`: must be a decimal number"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", is_null = \"yes\" }]",
            &["25:34: `is_null`: must be `true` or `false`, found text"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", eq = 1979-05-27 }]",
            &["25:29: `eq`: must be text, a number or a boolean, found a date or time"],
        ),
    ]);
}

#[test]
fn ownership() {
    check(&[
        (
            "owner = \"shop\" }\nfields.status = { type = \"text\", owner = \"erp\" }\nfields.paid = { type = \"timestamp\", owner = \"shop\" }",
            "}\nfields.status = \"text\"\nfields.paid = \"timestamp\"",
            &[
                "16:1: `order` yields no flow: no other system holds a field that has an owner; mapped in `erp`, `files`, `shop`; give a field an `owner` and map it in another system",
            ],
        ),
        (
            "type = \"timestamp\", owner = \"shop\"",
            "type = \"timestamp\", owner = \"erp\"",
            &["21:45: owner `erp` does not hold `paid`; add it to `[entity.order.in.erp]`"],
        ),
        ("type = \"timestamp\", owner = \"shop\"", "type = \"timestamp\", owners = [\"shop\", \"files\"]", &[]),
    ]);
}
