//! What an answer means. Pure.

use std::time::Duration;

use crate::config::pack::{ErrorRule, JsonPath, Meaning, Pack, Step};
use crate::model::{Moment, Raw};

use super::decode::{self, Shape, text_of};

/// What to make of an answer that holds no records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The login may not do this.
    Refused(String),
    /// What was asked for does not exist there.
    Shape(String),
    /// Too fast, or not now: `Retry-After` says when.
    Throttle(String),
    /// The system failed for the moment.
    Failing(String),
    /// Cannot be understood.
    Bad(String),
}

/// The fault behind a status that is no success; `None` for a success.
pub(super) fn by_status(pack: &Pack, status: u16, content_type: &str, body: &[u8]) -> Option<Fault> {
    if (200..300).contains(&status) {
        return None;
    }
    let text = std::str::from_utf8(body).unwrap_or_default();
    let said = said(text, content_type);
    let rule = pack.errors.iter().find(|rule| applies(rule, status, text));
    let words = |rule: Option<&ErrorRule>| words(status, said.as_deref(), rule.and_then(|rule| rule.say.as_deref()));
    if let Some(rule) = rule {
        return Some(fault(rule.meaning, words(Some(rule))));
    }
    let words = words(None);
    Some(match status {
        _ if pack.limit.throttle.contains(&status) => Fault::Throttle(words),
        401 | 403 => Fault::Refused(words),
        408 | 425 | 429 => Fault::Throttle(words),
        400 | 404 | 405 | 410 | 413 | 414 | 422 => Fault::Shape(words),
        500..=599 => Fault::Failing(words),
        _ => Fault::Bad(words),
    })
}

/// The fault behind a success without records.
pub(super) fn without_records(pack: &Pack, status: u16, content_type: &str, text: &str) -> Fault {
    let said = said(text, content_type);
    let rule = pack.errors.iter().find(|rule| applies(rule, status, text));
    let words = words(status, said.as_deref(), rule.and_then(|rule| rule.say.as_deref()));
    match rule {
        Some(rule) => fault(rule.meaning, words),
        None => Fault::Bad(format!("no list of records where the pack says it is: {words}")),
    }
}

/// The fault that an answer with records names beside them, if it does.
pub(super) fn beside_records(rules: &[&ErrorRule], values: &[Raw], status: u16, text: &str) -> Option<Fault> {
    let hit = rules
        .iter()
        .zip(values)
        .find(|(rule, value)| rule.status.is_none_or(|wanted| wanted == status) && fits(rule, Some(value)));
    hit.map(|(rule, value)| {
        let said = said(text, "").or_else(|| text_of(value).map(short));
        fault(rule.meaning, words(status, said.as_deref(), rule.say.as_deref()))
    })
}

fn fault(meaning: Meaning, words: String) -> Fault {
    match meaning {
        Meaning::Refused => Fault::Refused(words),
        Meaning::Shape => Fault::Shape(words),
        Meaning::Throttle => Fault::Throttle(words),
        Meaning::Retry => Fault::Failing(words),
    }
}

fn applies(rule: &ErrorRule, status: u16, text: &str) -> bool {
    if rule.status.is_some_and(|wanted| wanted != status) || rule.header.is_some() {
        return false;
    }
    let Some(path) = &rule.body else { return true };
    let read = decode::read(text, &Shape::new([path]), &Shape::default(), &mut |_, _| {});
    read.is_ok_and(|around| fits(rule, around.row.first()))
}

/// Whether what stands at the rule's path, up to its first `[]`, has the rule's value: itself, or in any element.
fn fits(rule: &ErrorRule, value: Option<&Raw>) -> bool {
    let steps = rule.body.as_ref().map(|path| &path.0[..]).unwrap_or_default();
    let Some(each) = steps.iter().position(|step| *step == Step::Each) else { return value_fits(rule, value) };
    let Some(Raw::Text(list)) = value else { return false };
    let below = JsonPath(steps[each + 1..].to_vec());
    elements(list, &below).iter().any(|value| value_fits(rule, Some(value)))
}

/// What the elements of a list have at this path.
fn elements(list: &str, below: &JsonPath) -> Vec<Raw> {
    let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(list).unwrap_or_default();
    let shape = Shape::new([below]);
    let value = |element: &serde_json::value::RawValue| {
        let around = decode::read(element.get(), &shape, &Shape::default(), &mut |_, _| {}).ok()?;
        around.row.into_iter().next()
    };
    elements.into_iter().filter_map(value).collect()
}

fn value_fits(rule: &ErrorRule, value: Option<&Raw>) -> bool {
    match value {
        None | Some(Raw::Null | Raw::Bool(false)) => false,
        Some(value) => text_fits(rule, text_of(value).as_deref()),
    }
}

fn text_fits(rule: &ErrorRule, found: Option<&str>) -> bool {
    rule.eq.as_deref().is_none_or(|wanted| found == Some(wanted))
        && rule.ne.as_deref().is_none_or(|not| found != Some(not))
}

/// The fault that a header of a success names, if one does.
pub(super) fn by_header<'h>(pack: &Pack, status: u16, header: impl Fn(&str) -> Option<&'h str>) -> Option<Fault> {
    let named = pack.errors.iter().filter_map(|rule| Some((rule, header(rule.header.as_deref()?)?)));
    let mut hits =
        named.filter(|(rule, found)| rule.status.is_none_or(|wanted| wanted == status) && text_fits(rule, Some(found)));
    let (rule, found) = hits.next()?;
    let said = format!("`{}: {found}`", rule.header.as_deref().unwrap_or_default());
    Some(fault(rule.meaning, words(status, Some(&said), rule.say.as_deref())))
}

/// The product's own words, the pack's and the status, on one line.
fn words(status: u16, said: Option<&str>, pack_says: Option<&str>) -> String {
    let mut words = format!("it answered {status}");
    for part in [said, pack_says].into_iter().flatten() {
        words.push_str(": ");
        words.push_str(part);
    }
    words
}

const LONGEST_SAID: usize = 200;

/// What a body says about its failure: `message` or `error` of a JSON object (or of the first of its `errors`), or
/// what kind of thing it is instead.
fn said(text: &str, content_type: &str) -> Option<String> {
    let start = text.trim_start();
    if content_type.contains("html") || start.starts_with("<!") || start.starts_with("<html") {
        return Some("an HTML page instead of JSON".to_owned());
    }
    if text.is_empty() {
        return None;
    }
    let paths = ["message", "error.data.message", "error.message", "error"];
    let paths: Vec<_> = paths.iter().filter_map(|path| path.parse().ok()).collect();
    let around = decode::read(text, &Shape::new(&paths), &Shape::default(), &mut |_, _| {}).ok()?;
    around.row.iter().find_map(text_of).or_else(|| first_of_errors(text)).map(short)
}

/// The first message of a GraphQL answer's `errors`, or the text that stands there instead.
fn first_of_errors(text: &str) -> Option<String> {
    let errors = JsonPath(vec![Step::Member("errors".into())]);
    let around = decode::read(text, &Shape::new([&errors]), &Shape::default(), &mut |_, _| {}).ok()?;
    let found = around.row.first().and_then(text_of)?;
    let message = JsonPath(vec![Step::Member("message".into())]);
    elements(&found, &message).iter().find_map(text_of).or(Some(found))
}

/// On one line and not too long.
fn short(text: String) -> String {
    let line = |character: char| if character.is_control() { ' ' } else { character };
    let mut short: String = text.chars().take(LONGEST_SAID).map(line).collect();
    if text.chars().nth(LONGEST_SAID).is_some() {
        short.push('…');
    }
    short
}

/// How long `Retry-After` asks to wait: seconds, or a date by the clock that the same answer shows.
pub(super) fn retry_after(value: &str, their_now: Moment) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    http_date(value).map(|until| until.since(their_now))
}

/// When the count of requests begins anew: seconds from now, or a Unix time.
pub(super) fn reset(value: &str, their_now: Moment) -> Option<Duration> {
    /// Numbers beyond are Unix times: as a wait it would be three years.
    const SMALLEST_TIME: f64 = 100_000_000.0;
    let number: f64 = value.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    let seconds = if number < SMALLEST_TIME { number } else { number - their_now.micros() as f64 / 1e6 };
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

/// `Sun, 22 Nov 2026 22:24:57 GMT` (RFC 9110, 5.6.7).
pub(super) fn http_date(value: &str) -> Option<Moment> {
    let time = chrono::DateTime::parse_from_rfc2822(value.trim()).ok()?;
    Some(Moment::from(time.to_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pack::{SHIPPED, Values};

    fn woocommerce() -> Pack {
        let (_, text) = SHIPPED.iter().find(|(name, _)| *name == "woocommerce").unwrap();
        Pack::parse(text, std::path::Path::new("woocommerce.toml"), &Values::default()).unwrap()
    }

    #[test]
    fn errors_in_lists_are_found() {
        let rule = |eq: Option<&str>| ErrorRule {
            status: None,
            header: None,
            ne: None,
            body: Some("errors[].extensions.code".parse().unwrap()),
            eq: eq.map(str::to_owned),
            meaning: Meaning::Throttle,
            say: None,
        };
        let text = r#"{"errors":[{"message":"odd"},{"message":"Throttled","extensions":{"code":"THROTTLED"}}]}"#;
        assert!(applies(&rule(Some("THROTTLED")), 200, text));
        assert!(!applies(&rule(Some("ACCESS_DENIED")), 200, text));
        assert!(applies(&rule(None), 200, text));
        assert!(!applies(&rule(None), 200, r#"{"errors":[{"message":"odd"}]}"#));
        assert!(!applies(&rule(None), 200, r#"{"data":{}}"#));
        assert_eq!(said(text, "").as_deref(), Some("odd"));
        assert_eq!(said(r#"{"errors":"Invalid token"}"#, "").as_deref(), Some("Invalid token"));
        let odoo = r#"{"error":{"message":"Odoo Server Error","data":{"name":"x","message":"no field"}}}"#;
        assert_eq!(said(odoo, "").as_deref(), Some("no field"));
    }

    #[test]
    fn waits_in_seconds_and_by_date() {
        let now = http_date("Sun, 22 Nov 2026 22:24:57 GMT").unwrap();
        assert_eq!(retry_after("600", now), Some(Duration::from_secs(600)));
        assert_eq!(retry_after("Sun, 22 Nov 2026 22:25:27 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Sun, 22 Nov 2026 22:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(reset("30", now), Some(Duration::from_secs(30)));
        assert_eq!(reset(&(now.micros() / 1_000_000 + 5).to_string(), now), Some(Duration::from_secs(5)));
        assert_eq!(reset("-1", now), None);
    }

    #[test]
    fn answers_mean_what_they_say() {
        let pack = woocommerce();
        let check = |status: u16, body: &str, expect: &str| {
            let fault = by_status(&pack, status, "application/json", body.as_bytes()).unwrap();
            assert!(format!("{fault:?}").starts_with(expect), "{status} {body}: {fault:?}");
        };
        check(
            401,
            r#"{"code":"woocommerce_rest_cannot_view","message":"Sorry"}"#,
            "Refused(\"it answered 401: Sorry: the key",
        );
        check(401, "", "Refused");
        check(
            404,
            r#"{"code":"rest_no_route","message":"No route"}"#,
            "Shape(\"it answered 404: No route: this WooCommerce",
        );
        check(503, "<!DOCTYPE html><p>maintenance", "Throttle(\"it answered 503: an HTML page");
        check(502, "<html>", "Failing(\"it answered 502: an HTML page");
        check(429, "", "Throttle");
        check(301, "", "Bad");
        assert_eq!(by_status(&pack, 200, "application/json", b"[]"), None);
    }
}
