//! Lists: which records are meant, in which order, on which page. Parameters that nobody knows are ignored, as in the
//! original.

use chrono::{DateTime, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde_json::json;

use super::answer::Answer;
use super::shelf::{Shelf, Shelved};

/// The store's zone, as in the captures: local stamps have an hour that comes twice a year.
pub const ZONE: Tz = Tz::America__New_York;

/// A day and a bit: no zone is further from UTC.
const SLACK: i64 = 26 * 3600;

/// The parameters of a request.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The last value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A list: `a,b`, or `name[]=a&name[]=b`.
    fn list(&self, name: &str) -> Option<Vec<&str>> {
        let repeated = format!("{name}[]");
        let each: Vec<&str> =
            self.0.iter().filter(|(known, _)| *known == repeated).map(|(_, value)| value.as_str()).collect();
        if each.is_empty() { self.get(name).map(|text| text.split(',').map(str::trim).collect()) } else { Some(each) }
    }

    /// The fields that are wanted; `None`: all.
    pub fn fields(&self) -> Option<Vec<String>> {
        let fields = self.list("_fields")?;
        Some(fields.into_iter().map(|field| field.split('.').next().unwrap_or(field).to_owned()).collect())
    }

    /// The same parameters for another page.
    fn for_page(&self, page: usize) -> String {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(self.0.iter().filter(|(name, _)| name != "page"));
        text.append_pair("page", &page.to_string());
        text.finish()
    }
}

/// What a kind of list allows.
pub struct Rules {
    pub orders: &'static [&'static str],
    pub default_order: (&'static str, bool),
    /// Empty: records have no status.
    pub statuses: &'static [&'static str],
    /// Whether it can be asked for what changed.
    pub dates: bool,
}

/// More that a list must know of a record.
pub trait Listed: Shelved {
    fn status(&self) -> &str;
    fn title(&self) -> &str;
}

/// What is wanted of a list.
#[derive(Debug)]
pub struct Wanted {
    page: usize,
    per_page: usize,
    order: String,
    descending: bool,
    include: Option<Vec<u64>>,
    /// `None`: any but the trash.
    statuses: Option<Vec<String>>,
    after: Option<NaiveDateTime>,
    before: Option<NaiveDateTime>,
    gmt: bool,
}

/// One page.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub ids: Vec<u64>,
    pub total: usize,
}

impl Wanted {
    pub fn of(query: &Query, rules: &Rules) -> Result<Self, Answer> {
        let descending = match query.get("order") {
            Some(word) => one_of("order", "order", word, &["asc", "desc"])? == "desc",
            None => rules.default_order.1,
        };
        let order = match query.get("orderby") {
            Some(word) => one_of("orderby", "orderby", word, rules.orders)?,
            None => rules.default_order.0.to_owned(),
        };
        let gmt = query.get("dates_are_gmt").is_some_and(|word| ["true", "1"].contains(&word));
        let bound = |name: &str| if rules.dates { bound(query, name) } else { Ok(None) };
        Ok(Self {
            page: number(query, "page", 1, usize::MAX, 1)?,
            per_page: number(query, "per_page", 1, 100, 10)?,
            order,
            descending,
            include: query.list("include").map(|ids| ids.iter().filter_map(|id| id.parse().ok()).collect()),
            statuses: statuses(query, rules)?,
            after: bound("modified_after")?,
            before: bound("modified_before")?,
            gmt,
        })
    }

    /// The page of those among `only` (of all when there is no such narrowing) that are wanted and kept.
    pub fn page<T: Listed>(&self, shelf: &Shelf<T>, only: Option<Vec<u64>>, keep: impl Fn(&T) -> bool) -> Page {
        let fits = |record: &&T| self.fits(*record) && keep(record);
        let records = self.candidates(shelf, only);
        let mut found: Vec<&T> = records.into_iter().filter_map(|id| shelf.get(id)).filter(fits).collect();
        self.sort(&mut found);
        Page { total: found.len(), ids: self.cut(found.into_iter().map(Shelved::id)) }
    }

    /// As [`Self::page`] when every record that is not in the trash is wanted by its age: without looking at any of them.
    pub fn page_of_all<T: Listed>(&self, shelf: &Shelf<T>) -> Option<Page> {
        let filters =
            self.include.is_some() || self.statuses.is_some() || self.after.is_some() || self.before.is_some();
        if filters || !self.is_by_age() {
            return None;
        }
        let ids = shelf.live_ids();
        let all = ids.iter().copied();
        let ids_of_page = if self.descending { self.cut(all.rev()) } else { self.cut(all) };
        Some(Page { total: ids.len(), ids: ids_of_page })
    }

    /// Adds what a list says of itself: totals and its neighbours.
    pub fn told(&self, answer: Answer, total: usize, query: &Query, address: &str) -> Answer {
        let pages = total.div_ceil(self.per_page);
        let answer = answer.with("x-wp-total", total).with("x-wp-totalpages", pages);
        let link = |page: usize, rel: &str| format!("<{address}?{}>; rel=\"{rel}\"", query.for_page(page));
        let before = (self.page > 1 && pages > 0).then(|| link((self.page - 1).min(pages), "prev"));
        let after = (self.page < pages).then(|| link(self.page + 1, "next"));
        let links: Vec<String> = before.into_iter().chain(after).collect();
        if links.is_empty() { answer } else { answer.with("link", links.join(", ")) }
    }

    /// Ids are given in the order in which records come, so both orders are one.
    fn is_by_age(&self) -> bool {
        ["id", "date", "registered_date"].contains(&&*self.order)
    }

    pub fn cut<I>(&self, all: impl Iterator<Item = I>) -> Vec<I> {
        all.skip((self.page - 1).saturating_mul(self.per_page)).take(self.per_page).collect()
    }

    pub fn includes(&self, id: u64) -> bool {
        self.include.as_ref().is_none_or(|ids| ids.contains(&id))
    }

    /// Not fewer than those that fit.
    fn candidates<T: Listed>(&self, shelf: &Shelf<T>, only: Option<Vec<u64>>) -> Vec<u64> {
        if let Some(ids) = only.or_else(|| self.include.clone()) {
            let mut ids: Vec<u64> = ids;
            ids.sort_unstable();
            ids.dedup();
            return ids;
        }
        if self.after.is_some() || self.before.is_some() {
            let seconds = |bound: NaiveDateTime, slack: i64| bound.and_utc().timestamp() + slack;
            let (low, high) = (self.after.map(|b| seconds(b, -SLACK)), self.before.map(|b| seconds(b, SLACK)));
            return shelf.changed(low, high).collect();
        }
        match &self.statuses {
            Some(words) if words.iter().all(|word| word == super::TRASH) => shelf.trashed_ids().collect(),
            Some(_) => shelf.trashed_ids().chain(shelf.live_ids().iter().copied()).collect(),
            None => shelf.live_ids().to_vec(),
        }
    }

    fn fits<T: Listed>(&self, record: &T) -> bool {
        let status = match &self.statuses {
            None => !record.is_trashed(),
            Some(words) => words.iter().any(|word| word == record.status()),
        };
        status && self.includes(record.id()) && self.is_within(record.modified())
    }

    /// Bounds are exclusive. They are compared with local times, or with UTC when `dates_are_gmt`.
    fn is_within(&self, modified: i64) -> bool {
        let stamp = if self.gmt { utc(modified).naive_utc() } else { utc(modified).with_timezone(&ZONE).naive_local() };
        self.after.is_none_or(|after| stamp > after) && self.before.is_none_or(|before| stamp < before)
    }

    /// Ties are broken by id.
    fn sort<T: Listed>(&self, found: &mut [&T]) {
        match (&*self.order, &self.include) {
            ("modified", _) => found.sort_by_key(|record| (record.modified(), record.id())),
            ("title" | "slug" | "name", _) => found.sort_by_key(|record| (record.title().to_owned(), record.id())),
            ("include", Some(ids)) => {
                found.sort_by_key(|record| ids.iter().position(|id| *id == record.id()));
                return;
            }
            _ => found.sort_by_key(|record| record.id()),
        }
        if self.descending {
            found.reverse();
        }
    }
}

/// Seconds since 1970 as a time.
pub fn utc(seconds: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(seconds, 0).single().unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// As stamps are written: without saying in which zone.
pub fn stamps(seconds: i64) -> (String, String) {
    let form = "%Y-%m-%dT%H:%M:%S";
    let utc = utc(seconds);
    (utc.with_timezone(&ZONE).format(form).to_string(), utc.format(form).to_string())
}

/// A bound without a zone is taken as it stands. One with a zone is brought to local time first, even when it is then
/// compared with UTC: the original's pitfall.
fn bound(query: &Query, name: &str) -> Result<Option<NaiveDateTime>, Answer> {
    let Some(text) = query.get(name) else { return Ok(None) };
    if let Ok(naive) = text.parse::<NaiveDateTime>() {
        return Ok(Some(naive));
    }
    let zoned = DateTime::parse_from_rfc3339(text);
    let refused = |_| Answer::invalid(name, "rest_invalid_date", "Invalid date.", json!(null));
    zoned.map(|time| Some(time.with_timezone(&ZONE).naive_local())).map_err(refused)
}

fn number(query: &Query, name: &str, least: usize, most: usize, default: usize) -> Result<usize, Answer> {
    let Some(text) = query.get(name) else { return Ok(default) };
    let Ok(number) = text.parse::<usize>() else { return Err(Answer::wrong_type(name, "integer")) };
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    let message = match most {
        usize::MAX => format!("{name} must be greater than or equal to {least}"),
        _ => format!("{name} must be between {least} (inclusive) and {most} (inclusive)"),
    };
    Err(Answer::invalid(name, "rest_out_of_bounds", &message, json!(null)))
}

fn statuses(query: &Query, rules: &Rules) -> Result<Option<Vec<String>>, Answer> {
    let Some(words) = query.list("status").filter(|_| !rules.statuses.is_empty()) else { return Ok(None) };
    let words: Result<Vec<String>, Answer> = words
        .into_iter()
        .enumerate()
        .map(|(place, word)| one_of("status", &format!("status[{place}]"), word, rules.statuses))
        .collect();
    words.map(|words| (!words.iter().any(|word| word == "any")).then_some(words))
}

fn one_of(name: &str, shown: &str, word: &str, known: &[&str]) -> Result<String, Answer> {
    if known.contains(&word) {
        return Ok(word.to_owned());
    }
    let all = match known {
        [one, other] => format!("{one} and {other}"),
        [rest @ .., last] => format!("{}, and {last}", rest.join(", ")),
        [] => String::new(),
    };
    let message = format!("{shown} is not one of {all}.");
    Err(Answer::invalid(name, "rest_not_in_enum", &message, json!(null)))
}
