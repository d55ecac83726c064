//! Reading lists: one page, or a whole list that adds up.

use super::HttpReader;
use super::classify::{self, Fault};
use super::client::Answer;
use super::decode::{self, Shape, text_of};
use super::plan::Plan;
use super::request::{Query, Request};
use super::walk::{Astray, Facts, Token, Walk};
use crate::config::pack::{Answered, JsonPath, PageKind, Place};
use crate::connect::{ReadError, Told};
use crate::model::{Interval, Mapping, Raw, RawRow, Record};

/// How often a list is begun anew because it changed while it was read.
pub(super) const MOST_RESTARTS: u8 = 3;

/// One page of a list.
pub(super) struct Page {
    pub records: Vec<Record>,
    /// Parallel to `records`.
    pub ids: Vec<Raw>,
    pub facts: Facts,
    pub window: Interval,
}

/// A whole list.
pub(super) struct Whole {
    pub records: Vec<Record>,
    /// Parallel to `records`.
    pub ids: Vec<Raw>,
    pub window: Interval,
    /// The second page was the first one again: the product does not page this list, and it may hold more than it gave.
    pub repeats: bool,
}

impl HttpReader {
    /// Reads one page. `query` stands beside what the dataset asks for anyway and wins over it.
    pub(super) async fn page(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        query: &Query,
        token: &Token,
    ) -> Result<Page, ReadError> {
        let request = self.request(plan, query, token)?;
        let read = &mut |answer: &Answer| {
            let (mut page, row) = self.read_answer(mapping, plan, &plan.outer.shape, answer)?;
            page.facts = facts(plan, answer, &row, page.records.len())?;
            Ok(page)
        };
        self.client.ask(&request, read).await
    }

    pub(super) fn request(&self, plan: &Plan, query: &Query, token: &Token) -> Result<Request, ReadError> {
        let request = plan.request(&self.client.pack, query, token, plan.entity.page.size);
        request.map_err(|reason| self.client.bad(reason))
    }

    /// Reads the records that a document of its own answers.
    pub(super) async fn own(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        document: &Answered,
        query: &Query,
    ) -> Result<Page, ReadError> {
        let shape = plan.outer.values.clone().with_records(&document.items, document.whole.as_ref());
        let read = &mut |answer: &Answer| Ok(self.read_answer(mapping, plan, &shape, answer)?.0);
        let mut page = self.client.ask(&plan.own(document, query), read).await?;
        // `null` stands for what there is not.
        let is_there: Vec<bool> = page.ids.iter().map(|id| *id != Raw::Null).collect();
        page.records = only(page.records, &is_there).collect();
        page.ids.retain(|id| *id != Raw::Null);
        Ok(page)
    }

    /// Reads the one record at an address of its own; `None` when there is none.
    pub(super) async fn at(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        path: &str,
        item: &JsonPath,
        value: &str,
    ) -> Result<Option<Page>, ReadError> {
        let mut url = plan.url.clone();
        let wrong = || self.client.bad("the address of a record is no address".to_owned());
        let steps = path.split('/').filter(|step| !step.is_empty()).map(|step| step.replace("{value}", value));
        url.path_segments_mut().map_err(|()| wrong())?.extend(steps);
        let shape = plan.outer.values.clone().with_record(item);
        let read = &mut |answer: &Answer| Ok(self.read_answer(mapping, plan, &shape, answer)?.0);
        self.client.find(&Request::get(url), read).await
    }

    /// The records of an answer, and the values beside them.
    fn read_answer(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        outer: &Shape,
        answer: &Answer,
    ) -> Result<(Page, RawRow), Fault> {
        let mut page = Page {
            records: Vec::new(),
            ids: Vec::new(),
            facts: Facts::default(),
            window: Interval::new(answer.sent, answer.answered),
        };
        let mut on_row = |row: &mut Vec<Raw>, inner: &mut decode::Inner| {
            page.ids.push(row[plan.id].clone());
            page.records.push(plan.record_of(mapping, row, inner));
        };
        let around = decode::read(&answer.text, outer, &plan.record, &mut on_row)
            .map_err(|error| not_readable(answer, &error.0))?;
        self.spend(plan, &around.row);
        self.refuse_faults(plan, answer, &around)?;
        self.obey_body(plan, answer, &around.row);
        self.client.budget.add_rows(page.records.len());
        Ok((page, around.row))
    }

    fn refuse_faults(&self, plan: &Plan, answer: &Answer, around: &decode::Around) -> Result<(), Fault> {
        let pack = &self.client.pack;
        if let Some(fault) = classify::by_header(pack, answer.status, |name| answer.header(name)) {
            return Err(fault);
        }
        let rules: Vec<_> = plan.outer.errors.iter().filter_map(|(rule, _)| pack.errors.get(*rule)).collect();
        let values: Vec<Raw> =
            plan.outer.errors.iter().map(|(_, slot)| around.row.get(*slot).cloned().unwrap_or(Raw::Null)).collect();
        if let Some(fault) = classify::beside_records(&rules, &values, answer.status, &answer.text) {
            return Err(fault);
        }
        if !around.is_whole {
            let items = &plan.entity.items;
            return Err(Fault::Shape(format!(
                "a list within the list at `{items}` goes on beyond what one answer holds, or does not say that it ends"
            )));
        }
        if around.has_records {
            return Ok(());
        }
        Err(classify::without_records(pack, answer.status, answer.content_type(), &answer.text))
    }

    /// Accounts for the points that an answer says it cost. One that was refused cost nothing and tells what it wants.
    fn spend(&self, plan: &Plan, row: &[Raw]) {
        let Some((slots, cost)) = plan.outer.cost.zip(self.client.pack.limit.cost.as_ref()) else { return };
        let number = |slot: usize| row.get(slot).and_then(text_of)?.parse::<f64>().ok().filter(|number| *number >= 0.0);
        let [asked, used, available, maximum, restore] = slots.map(number);
        if let (Some(available), Some(maximum), Some(restore)) = (available, maximum, restore) {
            let (asked, used) = (asked.unwrap_or_default(), used.unwrap_or_default());
            self.client.budget.spend(Told { asked, used, available, maximum, restore }, cost.share);
        }
    }

    fn obey_body(&self, plan: &Plan, answer: &Answer, row: &[Raw]) {
        let text = |slot: Option<usize>| slot.and_then(|slot| text_of(row.get(slot)?));
        if let Some(remaining) = text(plan.outer.remaining) {
            self.client.obey(&remaining, text(plan.outer.reset).as_deref(), answer.their_now);
        }
    }

    /// Reads a whole list. A list that changes while it is read is read again.
    pub(super) async fn whole(&self, mapping: &Mapping, plan: &Plan, query: &Query) -> Result<Whole, ReadError> {
        let mut restarts = 0;
        loop {
            match self.try_whole(mapping, plan, query).await? {
                Ok(read) => return Ok(read),
                Err(astray) if restarts >= MOST_RESTARTS || !astray.may_pass() => return Err(self.astray(astray)),
                Err(_) => restarts += 1,
            }
        }
    }

    async fn try_whole(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        query: &Query,
    ) -> Result<Result<Whole, Astray>, ReadError> {
        let mut walk = Walk::new(&plan.entity.page, plan.entity.ordered);
        let now = self.client.clock.now();
        let mut whole = Whole { records: Vec::new(), ids: Vec::new(), window: Interval::new(now, now), repeats: false };
        while let Some(token) = walk.token().cloned() {
            let page = self.page(mapping, plan, query, &token).await?;
            whole.window.high = page.window.high;
            match walk.take(&page.ids, &page.facts) {
                Ok(fresh) => {
                    whole.records.extend(only(page.records, &fresh));
                    let ids = page.ids.into_iter().zip(&fresh);
                    whole.ids.extend(ids.filter(|(_, fresh)| **fresh).map(|(id, _)| id));
                }
                Err(Astray::Loop(_)) if Some(token) == walk.second() && page.facts.total.is_none() => {
                    whole.repeats = true;
                    return Ok(Ok(whole));
                }
                Err(astray) => return Ok(Err(astray)),
            }
        }
        Ok(Ok(whole))
    }

    /// The error that a walk gone astray is.
    pub(super) fn astray(&self, astray: Astray) -> ReadError {
        let system = self.client.system.clone();
        match astray {
            Astray::Loop(what) => self.client.bad(format!("the list never ends: {what}")),
            Astray::Moved(what) => self.client.bad(format!("the list keeps changing while it is read: {what}")),
            Astray::Capped(total) => {
                let reason =
                    format!("the list has {total} records, more than the product gives of one, and cannot be split");
                ReadError::Shape { system, reason }
            }
            Astray::Short(reason) => ReadError::Refused { system, reason },
            Astray::Unordered => {
                let reason =
                    "the list does not come in the order that was asked for: a parameter is ignored".to_owned();
                ReadError::Shape { system, reason }
            }
        }
    }
}

impl Astray {
    /// Whether another try may help.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self, Self::Moved(_) | Self::Short(_))
    }
}

/// The records that are new.
pub(super) fn only(records: Vec<Record>, fresh: &[bool]) -> impl Iterator<Item = Record> {
    records.into_iter().zip(fresh).filter(|(_, fresh)| **fresh).map(|(record, _)| record)
}

fn not_readable(answer: &Answer, why: &str) -> Fault {
    let start = answer.text.trim_start();
    if start.starts_with('<') {
        return Fault::Bad(format!("there is HTML (a PHP warning?) where JSON should begin: {why}"));
    }
    let kind = answer.content_type();
    let kind =
        if kind.contains("json") || kind.is_empty() { String::new() } else { format!("; it says it is `{kind}`") };
    Fault::Bad(format!("{why}{kind}"))
}

fn facts(plan: &Plan, answer: &Answer, row: &[Raw], rows: usize) -> Result<Facts, Fault> {
    let found = |place: &Place, slot: Option<usize>| match place {
        Place::Header(name) => answer.header(name).map(str::to_owned),
        Place::Body(_) => slot.and_then(|slot| text_of(row.get(slot)?)),
    };
    let page = &plan.entity.page;
    let total = page.total.as_ref().and_then(|place| found(place, plan.outer.total)?.trim().parse().ok());
    let next = match &page.kind {
        PageKind::Cursor { from, more: None, .. } => found(from, plan.outer.next),
        PageKind::Cursor { from, more: Some(more), .. } => {
            next_if(found(more, plan.outer.more).as_deref(), found(from, plan.outer.next))?
        }
        PageKind::Link { from: Place::Header(name) } => answer.header(name).and_then(next_link),
        PageKind::Link { from } => found(from, plan.outer.next),
        PageKind::Page { .. } | PageKind::Offset { .. } | PageKind::Keyset => None,
    };
    Ok(Facts { rows: rows as u64, total, next: next.filter(|next| !next.is_empty()) })
}

/// The cursor of the next page, where a page says whether there is one. A page that says nothing, or says yes and does
/// not name it, must not be taken for the last.
fn next_if(more: Option<&str>, cursor: Option<String>) -> Result<Option<String>, Fault> {
    match (more, cursor.filter(|cursor| !cursor.is_empty())) {
        (Some("false"), _) => Ok(None),
        (Some("true"), Some(cursor)) => Ok(Some(cursor)),
        (Some("true"), None) => Err(Fault::Bad("it says that there is a next page and does not name it".to_owned())),
        _ => Err(Fault::Bad("it does not say whether there is a next page".to_owned())),
    }
}

/// The address with `rel="next"` of a `Link` header (RFC 8288).
fn next_link(header: &str) -> Option<String> {
    header.split('<').skip(1).find_map(|part| {
        let (address, parameters) = part.split_once('>')?;
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            parameter == "rel=next" || parameter == "rel=\"next\""
        });
        is_next.then(|| address.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_the_last_only_when_it_says_so() {
        let cursor = || Some("c".to_owned());
        assert_eq!(next_if(Some("true"), cursor()), Ok(cursor()));
        assert_eq!(next_if(Some("false"), cursor()), Ok(None), "the last page has a cursor too");
        assert!(next_if(Some("true"), None).is_err());
        assert!(next_if(None, cursor()).is_err());
        assert!(next_if(None, None).is_err());
    }

    #[test]
    fn the_next_page_is_found_among_links() {
        let check = |header: &str, expect: Option<&str>| assert_eq!(next_link(header).as_deref(), expect, "{header}");
        check("<https://a/?page=1>; rel=\"prev\", <https://a/?page=3>; rel=\"next\"", Some("https://a/?page=3"));
        check("<https://a/?x=1,2&page=3>; rel=next", Some("https://a/?x=1,2&page=3"));
        check("<https://a/?page=1>; rel=\"prev\"", None);
        check("<https://a/wp-json/>; rel=\"https://api.w.org/\"", None);
        check("", None);
    }
}
