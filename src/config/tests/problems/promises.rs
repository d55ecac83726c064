//! Promises: what they are about, when they count, and what they promise.

use super::check;

#[test]
fn what_promises_are_about() {
    check(&[
        (
            "entity = \"order\"\nwithin",
            "entity = \"ordr\"\nwithin",
            &["57:10: `ordr` is not an entity; did you mean `order`?"],
        ),
        (
            "entity = \"order\"\nwithin",
            "owner = \"files\"\nwithin",
            &[
                "55:1: no flow matches the selectors; a promise about nothing would always be kept; flows: `order: erp -> shop`, `order: shop -> erp`, `order: shop -> files`",
            ],
        ),
        (
            "entity = \"order\"\nwithin",
            "target = \"fils\"\nwithin",
            &["57:10: `fils` is not a system; did you mean `files`?"],
        ),
        (
            "entity = \"order\"\nwithin",
            "flow = \"order: shop -> rep\"\nwithin",
            &[
                "57:8: `order: shop -> rep` is not a flow that the other selectors allow; did you mean `order: shop -> erp`?",
            ],
        ),
        (
            "within = \"3m\"",
            "within = \"3m\"\nindicator = \"freshnes\"",
            &[
                "59:13: `indicator`: `freshnes` is not allowed, only `freshness`, `agreement`, `completeness`, `totals_variance`, `queue_age`, `queue_depth`, `probe_availability`; did you mean `freshness`?",
            ],
        ),
        (
            "within = \"3m\"",
            "within = \"3m\"\nfields = [\"totl\"]",
            &["59:11: `totl` is not a field that the selected flows carry; did you mean `total`?"],
        ),
        (
            "within = \"3m\"",
            "within = \"3m\"\nfields = []",
            &["59:10: `fields`: must not be empty: a promise about nothing would always be kept"],
        ),
        (
            "within = \"3m\"",
            "indicator = \"completeness\"\nfields = [\"total\"]",
            &["59:10: `fields`: is for the indicators `freshness` and `agreement`"],
        ),
        (
            "within = \"3m\"",
            "within = \"3m\"\nindicator = \"agreement\"",
            &["58:10: `within`: is for the indicators `freshness` and `queue_age`"],
        ),
        (
            "entity = \"order\"\nwithin = \"3m\"",
            "indicator = \"queue_depth\"\nsystem = \"rep\"\nqueue = \"\"\nat_most = -1",
            &["60:11: `at_most`: must be a whole number from 0 to 18446744073709551615, found `-1`"],
        ),
    ]);
}

#[test]
fn when_promises_count() {
    check(&[
        (
            "window = \"30d\"",
            "window = \"month\"\ntime_zone = \"Europe/Belin\"\ncalendar = \"ofice\"\ncoverage_floor = 2\n[calendar.office]\ntime_zone = \"Europe/Berlin\"\nweekdays = \"08:00-18:00\"",
            &[
                "61:13: `time_zone`: `Europe/Belin` is not a time zone; did you mean `Europe/Berlin`?",
                "62:12: `ofice` is not a calendar; did you mean `office`?",
                "63:18: `coverage_floor`: must be a share from 0 to 1, such as `\"50%\"`",
            ],
        ),
        (
            "window = \"30d\"",
            "window = \"30d\"\ntime_zone = \"Europe/Berlin\"\n[calendar.office]\ntime_zone = \"UTC\"\nmonday = [\"9-17\", \"08:00-12:00\", \"11:00-13:00\"]\nholidays = [\"Christmas\"]\n[calendar.never]\ntime_zone = \"UTC\"",
            &[
                "61:13: `time_zone` is for a window that is a calendar period, such as `month`",
                "64:11: `monday`: `9-17` is not a span of hours; write `08:00-18:00`, at most until `24:00`",
                "64:34: `monday`: `11:00-13:00` begins before the span before it ends",
                "65:13: `holidays`: `Christmas` is not a day, such as `2026-12-25`",
                "66:1: no hour counts; give `every_day`, `weekdays` or a day its hours",
            ],
        ),
        (
            "window = \"30d\"",
            "window = \"30d\"\ntiers = [{ severity = \"page\", factor = 101, long = \"1h\", short = \"5m\" }, { severity = \"pager\", long = \"1h\", short = \"5m\" }, { severity = \"ticket\", budget = \"2%\", long = \"31d\", short = \"5m\" }]",
            &[
                "61:10: the tier can never fire: it needs a burn of 101x, and when everything is bad the budget burns at 100x",
                "61:74: one of `factor`, `budget` is missing",
                "61:87: `severity`: `pager` is not allowed, only `page`, `ticket`; did you mean `page`?",
                "61:125: the tier needs windows that fit: short (`5m`) shorter than long (`31d`), long not longer than the SLO's counted window (`30d`)",
            ],
        ),
        (
            "window = \"30d\"",
            "window = \"30d\"\n[[maintenance]]\nfrom = 2026-12-24T22:00:00Z\nto = 2026-12-25T02:00:00Z\nreason = \"upgrade\"\nsystems = [\"erp\"]\n[[maintenance]]\nfrom = \"2026-12-25T02:30\"\nto = \"2026-12-25T04:00\"\ntime_zone = \"Europe/Berlin\"\nreason = \"backup\"\n[[maintenance]]\nfrom = \"2026-12-26T02:30\"\nto = \"soon\"\nreason = \"\"\nsystems = [\"rep\"]",
            &[
                "66:1: overlaps the maintenance `upgrade` of the same system",
                "73:6: `to`: `soon` is not a time, such as `2026-12-24T22:00` or `2026-12-24T22:00:00Z`",
                "74:10: `reason`: must not be empty",
                "75:12: `rep` is not a system; did you mean `erp`?",
            ],
        ),
    ]);
}

#[test]
fn objectives_and_deadlines() {
    check(&[
        (
            "within = \"3m\"",
            "within = \"3 m\"",
            &["58:10: `within`: `3 m` is not a duration; write numbers with `ms`, `s`, `m`, `h`, `d` or `w`: `1h30m`"],
        ),
        (
            "within = \"3m\"",
            "within = \"40s\"",
            &[
                "47:12: two looks are up to 30s apart, so a lag is known only to about 30s: too little to decide the deadline 40s of `order: shop -> erp`; look at least every 20s (half the deadline)",
                "53:12: two looks are up to 1m apart, so a lag is known only to about 1m: too little to decide the deadline 40s of `order: erp -> shop`; look at least every 20s (half the deadline)",
            ],
        ),
        (
            "\"99%\"",
            "\"100%\"",
            &["59:13: `objective`: the objective is a share between 0 and 1, such as `\"99.5%\"` or `0.995`"],
        ),
        (
            "\"99%\"",
            "99",
            &["59:13: `objective`: the objective is a share between 0 and 1, such as `\"99.5%\"` or `0.995`"],
        ),
        (
            "\"99%\"",
            "\"high\"",
            &["59:13: `objective`: the objective is a share between 0 and 1, such as `\"99.5%\"` or `0.995`"],
        ),
        ("window = \"30d\"", "window = \"2m\"", &["60:10: the window must be longer than `within` (`3m`)"]),
        (
            "window = \"30d\"",
            "window = \"30d\"\n[[slo]]\nname = \"orders\"\nwithin = \"9m\"\nobjective = 0.5\nwindow = \"1d\"",
            &["62:8: `orders` is the name of another SLO"],
        ),
    ]);
}
