//! Reading lists: one page, or a whole list that adds up.

use url::Url;

use super::HttpReader;
use super::classify;
use super::client::Answer;
use super::decode::{self, Shape, text_of};
use super::plan::Plan;
use super::walk::{Astray, Facts, Token, Walk};
use crate::config::pack::{JsonPath, PageKind, Place};
use crate::connect::ReadError;
use crate::model::{Interval, Mapping, Raw, Record};

/// How often a list is begun anew because it changed while it was read.
pub(super) const MOST_RESTARTS: u8 = 3;

/// Query parameters, in order; a name may stand twice.
pub(super) type Query = Vec<(String, String)>;

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
    pub window: Interval,
    /// The second page was the first one again: the product does not page this list, and it may hold more than it gave.
    pub repeats: bool,
}

impl HttpReader {
    /// Reads one page. `query` stands beside the dataset's own parameters and wins over them.
    pub(super) async fn page(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        query: &[(String, String)],
        token: &Token,
    ) -> Result<Page, ReadError> {
        let url = self.address(plan, query, token)?;
        let answer = self.client.get(&url).await?;
        self.read_answer(mapping, plan, &plan.outer.shape, &answer)
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
        match self.client.find(&url).await? {
            Some(answer) => {
                let shape = plan.outer.values.clone().with_record(item);
                self.read_answer(mapping, plan, &shape, &answer).map(Some)
            }
            None => Ok(None),
        }
    }

    fn read_answer(&self, mapping: &Mapping, plan: &Plan, outer: &Shape, answer: &Answer) -> Result<Page, ReadError> {
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
            .map_err(|error| self.not_readable(answer, &error.0))?;
        self.refuse_faults(plan, answer, &around)?;
        self.obey_body(plan, answer, &around.row);
        page.facts = facts(plan, answer, &around.row, page.records.len());
        self.client.budget.add_rows(page.records.len());
        Ok(page)
    }

    pub(super) fn address(&self, plan: &Plan, query: &[(String, String)], token: &Token) -> Result<Url, ReadError> {
        if let (PageKind::Link { .. }, Token::Named(link)) = (&plan.entity.page.kind, token) {
            return self.linked(plan, link);
        }
        let page = &plan.entity.page;
        let mut all: Query = plan.entity.query.clone();
        all.retain(|(name, _)| !query.iter().any(|(other, _)| other == name));
        all.extend_from_slice(query);
        if let Some(param) = &page.size_param {
            all.push((param.clone(), page.size.to_string()));
        }
        if let (Some(param), Some(fields)) = (&self.client.pack.fields_param, &plan.fields) {
            all.push((param.clone(), fields.clone()));
        }
        match (&page.kind, token) {
            (PageKind::Page { param, first }, Token::First) => all.push((param.clone(), first.to_string())),
            (PageKind::Page { param, .. } | PageKind::Offset { param }, Token::Number(number)) => {
                all.push((param.clone(), number.to_string()));
            }
            (PageKind::Cursor { param, .. }, Token::Named(word)) => all.push((param.clone(), word.clone())),
            _ => {}
        }
        let mut url = plan.url.clone();
        if !all.is_empty() {
            url.query_pairs_mut().extend_pairs(&all);
        }
        Ok(url)
    }

    /// The address of a next page; it never leaves the system.
    fn linked(&self, plan: &Plan, link: &str) -> Result<Url, ReadError> {
        let url =
            plan.url.join(link).map_err(|_| self.client.bad("the link to the next page is no address".to_owned()))?;
        if super::address::same_origin(&self.client.pack.base, &url) {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or("nowhere");
        Err(self
            .client
            .bad(format!("the link to the next page leads to another host (`{host}`), which is never followed")))
    }

    fn not_readable(&self, answer: &Answer, why: &str) -> ReadError {
        let start = answer.text.trim_start();
        if start.starts_with('<') {
            return self.client.bad(format!("there is HTML (a PHP warning?) where JSON should begin: {why}"));
        }
        let kind = answer.content_type();
        let kind =
            if kind.contains("json") || kind.is_empty() { String::new() } else { format!("; it says it is `{kind}`") };
        self.client.bad(format!("{why}{kind}"))
    }

    fn refuse_faults(&self, plan: &Plan, answer: &Answer, around: &decode::Around) -> Result<(), ReadError> {
        let pack = &self.client.pack;
        let rules: Vec<_> = plan.outer.errors.iter().filter_map(|(rule, _)| pack.errors.get(*rule)).collect();
        let values: Vec<Raw> =
            plan.outer.errors.iter().map(|(_, slot)| around.row.get(*slot).cloned().unwrap_or(Raw::Null)).collect();
        if let Some(fault) = classify::beside_records(&rules, &values, answer.status) {
            return Err(self.client.error(fault));
        }
        if around.has_records {
            return Ok(());
        }
        let fault = classify::without_records(pack, answer.status, answer.content_type(), &answer.text);
        Err(self.client.error(fault))
    }

    fn obey_body(&self, plan: &Plan, answer: &Answer, row: &[Raw]) {
        let text = |slot: Option<usize>| slot.and_then(|slot| text_of(row.get(slot)?));
        if let Some(remaining) = text(plan.outer.remaining) {
            self.client.obey(&remaining, text(plan.outer.reset).as_deref(), answer.their_now);
        }
    }

    /// Reads a whole list. A list that changes while it is read is read again.
    pub(super) async fn whole(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        query: &[(String, String)],
    ) -> Result<Whole, ReadError> {
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
        query: &[(String, String)],
    ) -> Result<Result<Whole, Astray>, ReadError> {
        let mut walk = Walk::new(&plan.entity.page, plan.entity.ordered);
        let now = self.client.clock.now();
        let mut whole = Whole { records: Vec::new(), window: Interval::new(now, now), repeats: false };
        while let Some(token) = walk.token().cloned() {
            let page = self.page(mapping, plan, query, &token).await?;
            whole.window.high = page.window.high;
            match walk.take(&page.ids, &page.facts) {
                Ok(fresh) => whole.records.extend(only(page.records, &fresh)),
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

fn facts(plan: &Plan, answer: &Answer, row: &[Raw], rows: usize) -> Facts {
    let found = |place: &Place, slot: Option<usize>| match place {
        Place::Header(name) => answer.header(name).map(str::to_owned),
        Place::Body(_) => slot.and_then(|slot| text_of(row.get(slot)?)),
    };
    let page = &plan.entity.page;
    let total = page.total.as_ref().and_then(|place| found(place, plan.outer.total)?.trim().parse().ok());
    let next = match &page.kind {
        PageKind::Cursor { from, .. } => found(from, plan.outer.next),
        PageKind::Link { from: Place::Header(name) } => answer.header(name).and_then(next_link),
        PageKind::Link { from } => found(from, plan.outer.next),
        PageKind::Page { .. } | PageKind::Offset { .. } => None,
    };
    Facts { rows: rows as u64, total, next: next.filter(|next| !next.is_empty()) }
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
    fn the_next_page_is_found_among_links() {
        let check = |header: &str, expect: Option<&str>| assert_eq!(next_link(header).as_deref(), expect, "{header}");
        check("<https://a/?page=1>; rel=\"prev\", <https://a/?page=3>; rel=\"next\"", Some("https://a/?page=3"));
        check("<https://a/?x=1,2&page=3>; rel=next", Some("https://a/?x=1,2&page=3"));
        check("<https://a/?page=1>; rel=\"prev\"", None);
        check("<https://a/wp-json/>; rel=\"https://api.w.org/\"", None);
        check("", None);
    }
}
