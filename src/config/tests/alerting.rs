//! What is wrong with channels, routes, teams; and what hours mean.

use std::path::Path;
use std::time::Duration;

use crate::config::alerting::{Alerting, ChannelKind, Hours, SmtpTls};
use crate::config::{Environment, parse_with};
use crate::model::Moment;

use super::BASE;

const SECRETS: [(&str, &str); 3] =
    [("KEY", "a key"), ("HOOK", "https://hooks.example.org/T0/B0"), ("PLAIN", "http://hooks.example.org/T0/B0")];

/// The problems of the base config with these lines behind it; lines are counted from them.
fn problems(text: &str) -> Vec<String> {
    let whole = format!("{BASE}\n{text}");
    match parse_with(&whole, Path::new("plumbline.toml"), Path::new("/"), &Environment::fixed(SECRETS)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| format!("{}:{}: {problem}", problem.line - BASE.lines().count() - 1, problem.column))
            .collect(),
    }
}

fn alerting(text: &str) -> std::sync::Arc<Alerting> {
    let whole = format!("{BASE}\n{text}");
    let config = parse_with(&whole, Path::new("plumbline.toml"), Path::new("/"), &Environment::fixed(SECRETS));
    config.unwrap_or_else(|problems| panic!("{problems}")).alerting
}

#[test]
fn channels() {
    let found: Vec<String> = [
        "[channel.chat]\nkind = \"slak\"",
        "[channel.chat]\nkind = \"slack\"\nurl = \"https://hooks.example.org/T0/B0\"",
        "[channel.chat]\nkind = \"slack\"\nurl = \"env:PLAIN\"",
        "[channel.chat]\nkind = \"slack\"\nurl = \"env:KEY\"",
        "[channel.chat]\nkind = \"slack\"\nurl = \"env:HOOK\"\nsmtp = \"smtp://localhost\"",
        "[channel.chat]\nkind = \"slack\"\nurl = \"env:HOOK\"\nfallback = \"chat\"",
        "[channel.chat]\nkind = \"slack\"\nurl = \"env:HOOK\"\nfallback = \"mial\"\n[channel.mail]\nkind = \"email\"\n\
         smtp = \"mail.example.org\"\nfrom = \"ops\"\nto = []",
        "[channel.pager]\nkind = \"pagerduty\"\nkey = \"R0UT1NG\"\nmax_per_hour = 3",
        "[channel.am]\nkind = \"alertmanager\"\nurl = \"http://alerts.example.org\"\nresend = \"1h\"",
    ]
    .iter()
    .flat_map(|text| problems(text))
    .collect();
    insta::assert_snapshot!(found.join("\n"), @r#"
        2:8: `kind`: `slak` is not allowed, only `email`, `slack`, `teams`, `pagerduty`, `opsgenie`, `alertmanager`, `webhook`; did you mean `slack`?
        3:7: `url`: a secret must not stand here; write `env:NAME` or `file:PATH`
        3:7: `url`: plain `http` is for this machine only; use `https`
        3:7: `url`: not an address such as `https://alerts.example.org`: relative URL without a base
        4:8: a channel of kind `slack` has no `smtp`
        4:12: `fallback`: a channel cannot stand in for itself
        4:12: `mial` is not a channel; did you mean `mail`?
        7:8: `smtp`: not an address such as `smtps://mail.example.org`: relative URL without a base
        8:8: `from`: `ops` is not a mail address: Invalid input
        9:6: `to`: must name somebody
        3:7: `key`: a secret must not stand here; write `env:NAME` or `file:PATH`
        4:16: a channel of kind `pagerduty` has no `max_per_hour`: the receiver groups by itself
        3:7: `url`: plain `http` is for this machine only; use `https`
        4:10: `resend`: must be from `1s` to `5m`, found `1h`
        "#);
}

#[test]
fn routes_and_teams() {
    let found: Vec<String> = [
        "[[route]]\nchannel = \"mail\"",
        "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"\n[[route]]\nchannel = \"hok\"\n\
         severity = \"pages\"\nentity = \"ordr\"\nsystem = [\"erp\", \"crm\"]\nteam = \"ops\"",
        "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"\n[[route]]\nchannel = \"hook\"\n\
         hours = \"mon-fry 8-18\"\ndigest = \"1h\"\nescalate_after = \"15m\"",
        "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"\n[[route]]\nchannel = \"hook\"\n\
         hours = \"daily 18:00-08:00\"\nescalate_to = \"hook\"",
        "[team.ops]\nentity = \"ordr\"\n[alert]\ntime_zone = \"Europe/Berlyn\"\ntemplates = \"nowhere\"\nlink = \"plumbline\"\n\
         heartbeat_url = \"https://beats.example.org/x\"",
    ]
    .iter()
    .flat_map(|text| problems(text))
    .collect();
    insta::assert_snapshot!(found.join("\n"), @r#"
        2:11: `mail` is not a channel; none is known here
        6:11: `hok` is not a channel; did you mean `hook`?
        7:12: `severity`: `pages` is not allowed, only `page`, `ticket`; did you mean `page`?
        8:10: `ordr` is not an entity; did you mean `order`?
        9:18: `crm` is not a system; known: `erp`, `shop`, `files`
        10:8: `ops` is not a team; none is known here
        7:9: `hours`: `mon-fry 8-18` is not written like `mon-fri 08:00-18:00` or `sat,sun 00:00-24:00`
        8:10: `digest`: only tickets can wait for a digest; write `severity = "ticket"`
        9:18: `escalate_after`: needs `escalate_to`: whom to tell then
        7:9: `hours`: `daily 18:00-08:00` ends before it begins; write two routes for a night
        8:15: `escalate_to`: needs `escalate_after`: when to tell them
        2:10: `ordr` is not an entity; did you mean `order`?
        4:13: `time_zone`: `Europe/Berlyn` is not a time zone; did you mean `Europe/Berlin`?
        5:13: `templates`: `/nowhere` is not a directory
        6:8: `link`: not an address such as `https://alerts.example.org`: relative URL without a base
        7:17: `heartbeat_url`: a secret must not stand here; write `env:NAME` or `file:PATH`
        "#);
}

#[test]
fn mail_goes_over_tls_unless_it_stays_here() {
    let check = |server: &str, port: u16, tls: SmtpTls| {
        let text = format!(
            "[channel.mail]\nkind = \"email\"\nsmtp = \"{server}\"\nfrom = \"a@example.org\"\nto = \"b@example.org\""
        );
        let alerting = alerting(&text);
        let ChannelKind::Email(email) = &alerting.channels["mail"].kind else { panic!("no mail") };
        assert_eq!((email.port, email.tls), (port, tls), "{server}");
    };
    check("smtps://mail.example.org", 465, SmtpTls::Implicit);
    check("smtp://mail.example.org", 587, SmtpTls::Starttls);
    check("smtp://mail.example.org:25", 25, SmtpTls::Starttls);
    check("smtp://127.0.0.1:2525", 2525, SmtpTls::Off);
    check("smtp://localhost", 25, SmtpTls::Off);
}

#[test]
fn hours_are_local_times() {
    let hours = |text: &str, zone: &str| -> Hours {
        let text = format!(
            "[alert]\ntime_zone = \"{zone}\"\n[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"\n\
             [[route]]\nchannel = \"hook\"\nhours = \"{text}\""
        );
        alerting(&text).routes[0].hours.unwrap()
    };
    let at = |text: &str| -> Moment {
        Moment::from(chrono::DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&chrono::Utc))
    };
    // 23 November 2026 is a Monday.
    let check = |hours: &Hours, moment: &str, next: &str| {
        assert_eq!(hours.next(at(moment)), at(next), "{moment}");
        assert_eq!(hours.hold(at(moment)), moment == next, "{moment}");
    };
    let office = hours("mon-fri 08:00-18:00", "Europe/Berlin");
    check(&office, "2026-11-23T07:00:00Z", "2026-11-23T07:00:00Z");
    check(&office, "2026-11-23T06:59:59Z", "2026-11-23T07:00:00Z");
    check(&office, "2026-11-23T17:00:00Z", "2026-11-24T07:00:00Z");
    check(&office, "2026-11-27T20:00:00Z", "2026-11-30T07:00:00Z");
    // Clocks go forward on 28 March 2027: eight o'clock is an hour earlier in UTC.
    check(&office, "2027-03-26T20:00:00Z", "2027-03-29T06:00:00Z");
    // Half past two does not exist on that Sunday.
    check(&hours("sun 02:30-04:00", "Europe/Berlin"), "2027-03-27T20:00:00Z", "2027-03-28T01:30:00Z");
    check(&hours("sat-mon 00:00-24:00", "UTC"), "2026-11-24T00:00:00Z", "2026-11-28T00:00:00Z");
    check(&hours("daily 06:00-22:00", "UTC"), "2026-11-24T23:00:00Z", "2026-11-25T06:00:00Z");
    assert_eq!(
        office.next(at("2026-11-23T17:00:00Z")).since(at("2026-11-23T17:00:00Z")),
        Duration::from_secs(14 * 3600)
    );
}
