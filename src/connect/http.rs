//! Reader for services that speak HTTP, taught by a pack.
//!
//! One reader for all products: the pack says what to ask, this says how. Only reads are sent (GET, or one of the POSTs
//! of [`request`]), only to the system's own host. A read is complete when the list's total, or its last page, says so; anything that does not add up is an
//! error and never a verdict. A filter is proven once, by a question whose answer must be empty, before anything is
//! concluded from what it leaves out.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::{
    Budget, ChangesPage, ClockReading, Cursor, Finding, Followed, KeyRange, KeyedRead, Place, RangeRead, Reach,
    ReadError, Reader, Shape, Usage,
};
use crate::clock::Clock;
use crate::config::System;
use crate::model::{EntityId, Key, Mapping, Record, SystemId};

mod address;
mod body;
mod bound;
mod changes;
mod classify;
mod client;
mod decode;
mod doctor;
mod follow;
mod keys;
mod list;
mod login;
mod odoo;
mod places;
mod plan;
mod position;
mod request;
mod retry;
mod sample;
mod schema;
mod walk;

pub use sample::{Recorded, Sampled, sample, sample_recorded, try_datasets};

use client::Client;
use plan::Plan;
use request::{Query, Request};
use walk::Walk;

/// A measurement of their clock is used this long.
const CLOCK_GOOD_FOR: Duration = Duration::from_secs(5);

/// A reader of one service.
pub(super) struct HttpReader {
    client: Client,
    commit_delay: Duration,
    plans: Mutex<HashMap<EntityId, Arc<Plan>>>,
    proven: Mutex<HashSet<String>>,
}

/// A reader for a system of kind `http`.
pub(super) fn open(system: &System, clock: Arc<dyn Clock>, budget: Arc<Budget>) -> Result<HttpReader, ReadError> {
    let Some(pack) = system.pack.clone() else {
        return Err(ReadError::Refused { system: system.id.clone(), reason: "it has no pack".to_owned() });
    };
    let client = Client::new(system, pack, clock, budget)?;
    let (plans, proven) = Default::default();
    Ok(HttpReader { client, commit_delay: system.commit_delay, plans, proven })
}

impl HttpReader {
    fn shape(&self, reason: String) -> ReadError {
        ReadError::Shape { system: self.client.system.clone(), reason }
    }

    /// The plan of a mapping, made at the first use.
    fn plan(&self, mapping: &Mapping) -> Result<Arc<Plan>, ReadError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&mapping.entity).filter(|plan| plan.fits(mapping)) {
            return Ok(Arc::clone(plan));
        }
        let plan = Plan::new(&self.client.pack, mapping).map_err(|reason| self.shape(reason))?;
        let plan = Arc::new(plan);
        plans.insert(mapping.entity.clone(), Arc::clone(&plan));
        Ok(plan)
    }

    fn proven(&self) -> MutexGuard<'_, HashSet<String>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a filter was seen to filter.
    fn is_proven(&self, what: &str) -> bool {
        self.proven().contains(what)
    }

    fn set_proven(&self, what: String) {
        self.proven().insert(what);
    }

    /// Their clock: as a recent answer told it, else asked for.
    async fn their_clock(&self) -> Result<ClockReading, ReadError> {
        if let Some(reading) = self.client.recent_clock(CLOCK_GOOD_FOR) {
            return Ok(reading);
        }
        let base = self.client.pack.base.as_str().trim_end_matches('/');
        let path = self.client.pack.clock.as_deref().unwrap_or_default();
        let url = url::Url::parse(&format!("{base}{path}"));
        let url = url.map_err(|error| self.shape(format!("`clock` is not an address: {error}")))?;
        // "Not found" tells the time as well; after "too fast" there is no point in going on.
        let answered = self.client.ask(&Request::get(url), &mut |_: &_| Ok(())).await;
        if let Err(error @ ReadError::Budget { .. }) = answered {
            return Err(error);
        }
        if let Some(reading) = self.client.recent_clock(CLOCK_GOOD_FOR) {
            return Ok(reading);
        }
        answered?;
        Err(self.client.bad("it did not tell its time: no `Date` header".to_owned()))
    }

    /// The pages of a whole list, one after the other.
    fn pages<'a>(&'a self, mapping: &'a Mapping) -> BoxStream<'a, Result<Vec<Record>, ReadError>> {
        let plan = match self.plan(mapping) {
            Ok(plan) => plan,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let walk = Walk::new(&plan.entity.page, plan.entity.ordered);
        stream::try_unfold((plan, walk), move |(plan, mut walk)| async move {
            let Some(token) = walk.token().cloned() else { return Ok(None) };
            let page = self.page(mapping, &plan, &Query::default(), &token).await?;
            let fresh = walk.take(&page.ids, &page.facts).map_err(|astray| self.astray(astray))?;
            Ok(Some((list::only(page.records, &fresh).collect(), (plan, walk))))
        })
        .boxed()
    }
}

#[async_trait]
impl Reader for HttpReader {
    fn system(&self) -> &SystemId {
        &self.client.system
    }

    fn usage(&self) -> Usage {
        self.client.budget.usage()
    }

    async fn describe(&self, mapping: &Mapping) -> Result<Shape, ReadError> {
        self.describe_dataset(mapping).await
    }

    async fn clock(&self) -> Result<ClockReading, ReadError> {
        self.their_clock().await
    }

    async fn changes(&self, mapping: &Mapping, cursor: &Cursor, limit: usize) -> Result<ChangesPage, ReadError> {
        self.changes_page(mapping, cursor, limit.max(1)).await
    }

    async fn by_keys(&self, mapping: &Mapping, keys: &[Key]) -> Result<KeyedRead, ReadError> {
        self.read_keys(mapping, keys).await
    }

    fn keys_at_once(&self, mapping: &Mapping) -> usize {
        let plan = self.plan(mapping).ok();
        plan.and_then(|plan| keys::keys_at_once(mapping, &plan)).unwrap_or(super::KEYS_A_STATEMENT)
    }

    async fn landmark(&self, mapping: &Mapping, within: KeyRange<'_>, keys: usize) -> Result<Reach, ReadError> {
        self.find_place(mapping, within, keys).await
    }

    async fn key_range(
        &self,
        mapping: &Mapping,
        range: KeyRange<'_>,
        limit: usize,
    ) -> Result<Option<RangeRead>, ReadError> {
        self.read_range(mapping, range, limit).await
    }

    async fn follow(&self, mapping: &Mapping, from: Option<&Place>) -> Result<Option<Followed>, ReadError> {
        self.follow_list(mapping, from).await
    }

    fn scan<'a>(&'a self, mapping: &'a Mapping, after: Option<&'a Key>) -> BoxStream<'a, Result<Record, ReadError>> {
        if after.is_some() {
            let error = self.shape("an API cannot be entered at a key".to_owned());
            return stream::iter([Err(error)]).boxed();
        }
        self.pages(mapping).map_ok(|records| stream::iter(records.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn budget(&self) -> &Budget {
        &self.client.budget
    }

    async fn doctor(&self, mappings: &[&Mapping]) -> Vec<Finding> {
        self.findings(mappings).await
    }
}
