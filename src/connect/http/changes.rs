//! Reading changes: one call of a pass (see [`super::position`]).

use super::HttpReader;
use super::bound::{Bound, bound, upper};
use super::list::{MOST_RESTARTS, only};
use super::plan::Plan;
use super::position::{Pass, Position};
use super::request::Query;
use super::walk::{Astray, Walk};
use crate::connect::{ChangesPage, ClockReading, Cursor, ReadError};
use crate::model::mapping::Source;
use crate::model::{Interval, Mapping, Moment, Record};

const SECOND: i64 = 1_000_000;

/// A time from which nothing can be yet: a filter that gives records for it filters nothing.
const FAR_AHEAD_MICROS: i64 = 10 * 365 * 86_400 * 1_000_000;

impl HttpReader {
    pub(super) async fn changes_page(
        &self,
        mapping: &Mapping,
        cursor: &Cursor,
        limit: usize,
    ) -> Result<ChangesPage, ReadError> {
        let plan = self.plan(mapping)?;
        if mapping.changed_at.is_none() {
            let reason = format!("the mapping of `{}` names no `changed_at`", mapping.entity);
            return Err(self.shape(reason));
        }
        let clock = self.their_clock().await?;
        let settle = plan.entity.since.as_ref().map_or(self.commit_delay, |since| since.settle.max(self.commit_delay));
        let lookback = plan.entity.since.as_ref().map_or(0, |since| micros(since.lookback));
        let now = self.client.clock.now();
        // `Date` may be a proxy's. If that runs ahead of what stamps the records, a bound by it would skip changes:
        // the earlier of both clocks is never wrong, only further back than needed.
        let theirs = now.shifted(clock.offset_micros) - clock.uncertainty;
        let safe = (theirs.min(now - clock.uncertainty) - settle).micros();
        let known = Position::decode(cursor, plan.fingerprint()).map_err(|reason| self.unfit(reason))?;
        let position = known.unwrap_or(Position { fingerprint: plan.fingerprint(), settled: Some(safe), pass: None });
        let latest = (theirs + clock.uncertainty * 2).micros();
        let set_back = position.is_set_back_to(latest);
        let mut read = Read {
            records: Vec::new(),
            window: Interval::new(now, now),
            pass: position.pass(safe, lookback, set_back),
        };
        let complete = self.read_pass(mapping, &plan, &mut read, limit).await?;
        let next = if complete {
            Position { settled: Some(read.pass.covers), pass: None, ..position }
        } else {
            Position { pass: Some(read.pass.clone()), ..position }
        };
        read.records.sort_by_key(|record| record.changed_at);
        Ok(ChangesPage {
            first_again: first_again(&plan, &read, lookback),
            records: read.records,
            next: next.encode().ok_or_else(|| self.unfit("it cannot be encoded"))?,
            watermark: complete.then(|| on_our_timeline(&clock, read.pass.covers)),
            complete,
            given_up: Vec::new(),
            window: read.window,
            clock: Some(clock),
            set_back,
        })
    }

    /// Reads on until the pass ends (`true`) or `limit` is reached.
    async fn read_pass(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        read: &mut Read,
        limit: usize,
    ) -> Result<bool, ReadError> {
        let since = plan.entity.since.as_ref();
        loop {
            let from = read.pass.slice.map(|(from, _)| from).or(read.pass.bound);
            let bound = from.zip(since).map(|(micros, since)| bound(since, micros));
            if bound.is_some() {
                self.prove_since(mapping, plan).await?;
            }
            let Some(query) = part_query(plan, bound.as_ref(), &read.pass) else { return Ok(true) };
            match self.read_part(mapping, plan, read, &query, bound.as_ref(), limit).await? {
                End::Limit => return Ok(false),
                End::Capped(total) => read.pass.slice = Some(self.halved(plan, &read.pass, total)?),
                End::List => read.next_list(),
            }
        }
    }

    /// The first half of the part that is too long.
    fn halved(&self, plan: &Plan, pass: &Pass, total: u64) -> Result<(i64, Option<i64>), ReadError> {
        let can_split = plan.entity.since.as_ref().is_some_and(|since| since.bounds.has_upper());
        let (from, until) = pass.slice.unwrap_or((pass.bound.unwrap_or(0), None));
        let end = until.unwrap_or_else(|| self.client.clock.now().micros().max(pass.covers));
        let middle = (from + (end - from) / 2).div_euclid(SECOND) * SECOND;
        if can_split && middle > from {
            return Ok((from, Some(middle)));
        }
        Err(self.astray(Astray::Capped(total)))
    }

    /// Reads on in one list until it ends, `limit` is reached or it turns out to be too long.
    async fn read_part(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        read: &mut Read,
        query: &Query,
        bound: Option<&Bound>,
        limit: usize,
    ) -> Result<End, ReadError> {
        let (page, ordered) = (&plan.entity.page, plan.entity.ordered);
        let mut walk = match &read.pass.halt {
            Some(halt) => Walk::resume(page, ordered, halt),
            None => Walk::new(page, ordered),
        };
        while let Some(token) = walk.token().cloned() {
            if !read.records.is_empty() && read.records.len().saturating_add(page.size) > limit {
                read.pass.halt = walk.halt();
                return Ok(End::Limit);
            }
            let next = self.page(mapping, plan, query, &token).await?;
            read.window.high = next.window.high;
            self.refuse_old(mapping, plan, &next.records, bound)?;
            match walk.take(&next.ids, &next.facts) {
                Ok(fresh) => read.add(only(next.records, &fresh)),
                Err(astray) if astray.may_pass() && read.pass.restarts < MOST_RESTARTS => {
                    read.pass.restarts += 1;
                    walk = Walk::new(page, ordered);
                }
                Err(Astray::Capped(total)) => return Ok(End::Capped(total)),
                Err(astray) => return Err(self.astray(astray)),
            }
        }
        read.pass.halt = None;
        Ok(End::List)
    }

    /// A record from before the bound shows that the bound did not count.
    fn refuse_old(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        records: &[Record],
        bound: Option<&Bound>,
    ) -> Result<(), ReadError> {
        let (Some(bound), Some(since)) = (bound, &plan.entity.since) else { return Ok(()) };
        if !stamp_is_the_packs(mapping, plan) {
            return Ok(());
        }
        let is_old = |record: &Record| record.changed_at.is_some_and(|at| at.micros() < bound.micros);
        match records.iter().find(|record| is_old(record)) {
            None => Ok(()),
            Some(_) => {
                let name = since.bounds.name();
                Err(self.shape(format!("it ignores `{name}`: a record from before `{}` came back", bound.text)))
            }
        }
    }

    /// Asks for changes from years ahead: there must be none, or the filter filters nothing.
    pub(super) async fn prove_since(&self, mapping: &Mapping, plan: &Plan) -> Result<(), ReadError> {
        let Some(since) = &plan.entity.since else { return Ok(()) };
        let what = format!("{} changes of {}", plan.url, plan.dataset);
        if self.is_proven(&what) {
            return Ok(());
        }
        let ahead = bound(since, self.client.clock.now().micros().saturating_add(FAR_AHEAD_MICROS));
        let query = Query::between(since, &ahead.text, None);
        let page = self.page(mapping, plan, &query, &super::walk::Token::First).await?;
        if page.facts.rows > 0 || page.facts.total.is_some_and(|total| total > 0) {
            return Err(self.shape(format!(
                "it ignores `{}`: asked for changes after `{}`, it gives records all the same",
                since.bounds.name(),
                ahead.text
            )));
        }
        self.set_proven(what);
        Ok(())
    }

    fn unfit(&self, reason: &str) -> ReadError {
        ReadError::Cursor { system: self.client.system.clone(), reason: reason.to_owned() }
    }
}

/// Why reading a list stopped.
enum End {
    /// It is read.
    List,
    /// Enough for one call.
    Limit,
    /// It has so many records, more than the product gives of one list.
    Capped(u64),
}

/// What one call has read.
struct Read {
    records: Vec<Record>,
    window: Interval,
    pass: Pass,
}

impl Read {
    /// Goes on behind the part that was read: with the rest of the list, or with the next list.
    fn next_list(&mut self) {
        match self.pass.slice.take() {
            Some((_, Some(until))) => self.pass.slice = Some((until, None)),
            _ => self.pass.part += 1,
        }
    }

    /// Where everything is read each time, only what changed since is handed on.
    fn add(&mut self, records: impl Iterator<Item = Record>) {
        let bound = self.pass.bound.unwrap_or(i64::MIN);
        self.records.extend(records.filter(|record| record.changed_at.is_none_or(|at| at.micros() >= bound)));
    }
}

/// The first record that the next pass reads again; records without a stamp, which come first, always may.
fn first_again(plan: &Plan, read: &Read, lookback: i64) -> usize {
    let next = read.pass.covers.saturating_sub(lookback);
    let next = plan.entity.since.as_ref().map_or(next, |since| bound(since, next).micros);
    match read.records.first() {
        Some(first) if first.changed_at.is_some() => {
            read.records.partition_point(|record| record.changed_at.is_some_and(|at| at.micros() < next))
        }
        _ => 0,
    }
}

/// The parameters of the list of this number; `None` behind the last. Records that left the main list only matter to
/// those who have read it before.
fn part_query(plan: &Plan, bound: Option<&Bound>, pass: &Pass) -> Option<Query> {
    let mut query = Query::default();
    if let (Some(bound), Some(since)) = (bound, &plan.entity.since) {
        let until = pass.slice.and_then(|(_, until)| until).map(|until| upper(since, until));
        query = Query::between(since, &bound.text, until.as_deref());
    }
    if pass.part > 0 {
        pass.bound?;
        query.params.extend_from_slice(plan.entity.also.get(pass.part - 1)?);
    }
    Some(query)
}

fn stamp_is_the_packs(mapping: &Mapping, plan: &Plan) -> bool {
    let source = mapping.changed_at.as_ref().and_then(|stamp| mapping.sources.get(stamp.source));
    matches!(source, Some(Source::Path(path)) if Some(path) == plan.entity.changed_at.as_ref())
}

/// Their time on our timeline, not later than it was.
fn on_our_timeline(clock: &ClockReading, micros: i64) -> Moment {
    clock.on_our_timeline(Moment::from_micros(micros)).low
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
