//! Probes, and when they look.

use super::check;

#[test]
fn probes() {
    check(&[
        (
            "kind = \"changes\"",
            "kind = \"change\"",
            &[
                "46:8: `kind`: `change` is not allowed, only `changes`, `sample`, `schema`, `sweep`, `totals`; did you mean `changes`?",
            ],
        ),
        (
            "owner = \"shop\"\nkind = \"changes\"",
            "owner = \"shop\"\nkind = \"schema\"",
            &["45:9: `owner`: is not for a probe of kind `schema`: it looks at every system that holds the entity"],
        ),
        (
            "kind = \"changes\"",
            "kind = \"changes\"\ndays = 3\ncut_off = \"18:00\"",
            &["47:8: `days` is for a probe of kind `totals`", "48:11: `cut_off` is for a probe of kind `totals`"],
        ),
        ("kind = \"changes\"", "kind = \"totals\"", &["43:1: key `day` is missing"]),
        (
            "kind = \"changes\"",
            "kind = \"totals\"\nday = \"total\"\namount = \"totl\"\nstatus = \"nothing\"\ncut_off = \"6pm\"\ndays = 0",
            &[
                "47:7: `total` is not a field that fits here; known: `paid`",
                "48:10: `totl` is not a field that fits here; did you mean `total`?",
                "49:10: `nothing` is not a field that fits here; known: `number`, `total`, `status`, `paid`",
                "50:11: `cut_off`: `6pm` is not a time of day; write `18:00`",
                "51:8: `days`: must be from 1 to 3660, found 0",
            ],
        ),
        ("kind = \"changes\"", "kind = \"queue\"", &["46:8: `kind`: a probe of kind `queue` is not supported yet"]),
        (
            "entity = \"order\"\nowner",
            "entity = \"oder\"\nowner",
            &["44:10: `oder` is not an entity; did you mean `order`?"],
        ),
        (
            "entity = \"order\"\nowner = \"shop\"\n",
            "entity = \"order\"\n",
            &["43:1: `order` has several owners (`erp`, `shop`); say which one with `owner`"],
        ),
        (
            "owner = \"shop\"\nkind",
            "owner = \"files\"\nkind",
            &["45:9: `files` is not an owner of anything that another system holds of `order`; known: `erp`, `shop`"],
        ),
        ("owner = \"erp\"\nkind", "owner = \"shop\"\nkind", &["49:1: `order` already has a changes probe on `shop`"]),
        (
            "kind = \"changes\"",
            "kind = \"changes\"\nkeys_per_run = 100",
            &["47:16: `keys_per_run` is for a probe of kind `sample`"],
        ),
        (
            "kind = \"changes\"",
            "kind = \"sample\"\nkeys_per_run = 5",
            &["47:16: `keys_per_run`: must be from 10 to 1000000, found 5"],
        ),
        (
            "kind = \"changes\"",
            "kind = \"sample\"\nkeys_per_run = 100\nevery_key_within = \"1d\"",
            &["48:20: `every_key_within`: cannot stand together with `keys_per_run`: one follows from the other"],
        ),
        (
            "kind = \"changes\"",
            "kind = \"sample\"\nevery_key_within = \"1m\"",
            &[
                "47:20: `every_key_within`: the probe runs up to 30s apart: too seldom to look at every key within 1m; `2m` or more, or a denser schedule",
            ],
        ),
        (
            "kind = \"changes\"",
            "kind = \"sample\"\nkeys_per_run = 200_000",
            &[
                "43:1: a run of 200000 keys is more than `erp` allows (`rows_per_run` = 100000)",
                "43:1: a run of 200000 keys is more than `files` allows (`rows_per_run` = 100000)",
                "43:1: a run of 200000 keys is more than `shop` allows (`rows_per_run` = 100000)",
            ],
        ),
    ]);
}

#[test]
fn schedules() {
    check(&[
        (
            "every 30s",
            "30s",
            &["47:12: `schedule`: `30s` is not a schedule; write `every 30s` or `cron 0 */5 * * * *`"],
        ),
        ("every 30s", "every 30", &["47:12: `schedule`: `30` is not a duration; write for instance `every 30s`"]),
        ("every 30s", "every 1ms", &["47:12: `schedule`: the interval must be from `100ms` to `366d`, found `1ms`"]),
        (
            "every 30s",
            "every 2m",
            &[
                "47:12: two looks are up to 2m apart, so a lag is known only to about 2m: too little to decide the deadline 3m of `order: shop -> erp`; look at least every 1m30s (half the deadline)",
            ],
        ),
        (
            "cron 0 * * * * *",
            "cron * * * * *",
            &[
                "53:12: `schedule`: a cron schedule has 6 or 7 fields (second minute hour day month weekday [year]), found 5",
            ],
        ),
        (
            "cron 0 * * * * *",
            "cron 0 61 * * * *",
            &["53:12: `schedule`: `0 61 * * * *` is not a cron schedule (second minute hour day month weekday [year])"],
        ),
        ("cron 0 * * * * *", "cron 0 0 0 30 2 *", &["53:12: `schedule`: `0 0 0 30 2 *` never comes"]),
        (
            "cron 0 * * * * *",
            "cron 0 * 8-17 * * Mon-Fri",
            &[
                "53:12: two looks are up to 2d14h1m apart, so a lag is known only to about 2d14h1m: too little to decide the deadline 3m of `order: erp -> shop`; look at least every 1m30s (half the deadline)",
            ],
        ),
        (
            "cron 0 * * * * *",
            "cron 0 */5 * * * *",
            &[
                "53:12: two looks are up to 5m apart, so a lag is known only to about 5m: too little to decide the deadline 3m of `order: erp -> shop`; look at least every 1m30s (half the deadline)",
            ],
        ),
        (
            "every 30s\"",
            "every 30s\"\ntime_zone = \"UTC\"",
            &["48:13: `time_zone` is for a cron schedule; `every` has none"],
        ),
        (
            "every 30s\"",
            "cron 0 * * * * *\"\ntime_zone = \"Europe/Paris \"",
            &["48:13: `time_zone`: `Europe/Paris ` is not a time zone; did you mean `Europe/Paris`?"],
        ),
    ]);
}
