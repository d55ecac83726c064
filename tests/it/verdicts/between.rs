//! Something that happens between two reads: a real reader that first lets a case act on the systems.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use plumbline::connect::{
    Budget, ChangesPage, ClockReading, Cursor, Finding, KeyRange, KeyedRead, RangeRead, Reach, ReadError, Reader,
    Shape, Usage,
};
use plumbline::model::{Key, Mapping, Record, SystemId};

type Act = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What shall happen right before reads by key, by system.
#[derive(Default)]
pub struct Agenda(Mutex<VecDeque<(&'static str, Act)>>);

impl Agenda {
    /// Before the next read by key of `system`; one act is done a read, in order.
    pub fn before_keys_of(&self, system: &'static str, act: impl Future<Output = ()> + Send + 'static) {
        self.0.lock().unwrap().push_back((system, Box::pin(act)));
    }

    /// Whether all of it has happened.
    pub fn is_done(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    fn next(&self, system: &SystemId) -> Option<Act> {
        let mut acts = self.0.lock().unwrap();
        acts.pop_front_if(|(name, _)| *name == system.as_str()).map(|(_, act)| act)
    }
}

/// A reader that minds an agenda.
pub struct Between {
    pub reader: Arc<dyn Reader>,
    pub agenda: Arc<Agenda>,
    /// Whether it cannot be entered but by key, as some HTTP services cannot.
    pub by_key_only: bool,
    /// How much of its changes it gives at most in one call; 0: as much as is asked for.
    pub page: usize,
    /// For how many keys it can be asked at once; 0: for as many as the system can.
    pub portion: usize,
}

impl Between {
    /// Hands a reader through, minding the agenda.
    pub fn new(reader: Arc<dyn Reader>, agenda: &Arc<Agenda>) -> Self {
        Self { reader, agenda: Arc::clone(agenda), by_key_only: false, page: 0, portion: 0 }
    }
}

#[async_trait]
impl Reader for Between {
    fn system(&self) -> &SystemId {
        self.reader.system()
    }

    async fn describe(&self, mapping: &Mapping) -> Result<Shape, ReadError> {
        self.reader.describe(mapping).await
    }

    async fn clock(&self) -> Result<ClockReading, ReadError> {
        self.reader.clock().await
    }

    async fn changes(&self, mapping: &Mapping, cursor: &Cursor, limit: usize) -> Result<ChangesPage, ReadError> {
        let limit = if self.page == 0 { limit } else { self.page };
        self.reader.changes(mapping, cursor, limit).await
    }

    fn keys_at_once(&self, mapping: &Mapping) -> usize {
        if self.portion == 0 { self.reader.keys_at_once(mapping) } else { self.portion }
    }

    async fn by_keys(&self, mapping: &Mapping, keys: &[Key]) -> Result<KeyedRead, ReadError> {
        if let Some(act) = self.agenda.next(self.system()) {
            act.await;
        }
        self.reader.by_keys(mapping, keys).await
    }

    async fn landmark(&self, mapping: &Mapping, within: KeyRange<'_>, keys: usize) -> Result<Reach, ReadError> {
        if self.by_key_only {
            return Ok(Reach::Nowhere);
        }
        self.reader.landmark(mapping, within, keys).await
    }

    async fn key_range(
        &self,
        mapping: &Mapping,
        range: KeyRange<'_>,
        limit: usize,
    ) -> Result<Option<RangeRead>, ReadError> {
        if self.by_key_only {
            return Ok(None);
        }
        self.reader.key_range(mapping, range, limit).await
    }

    fn scan<'a>(&'a self, mapping: &'a Mapping, after: Option<&'a Key>) -> BoxStream<'a, Result<Record, ReadError>> {
        self.reader.scan(mapping, after)
    }

    fn usage(&self) -> Usage {
        self.reader.usage()
    }

    fn budget(&self) -> &Budget {
        self.reader.budget()
    }

    async fn doctor(&self, mappings: &[&Mapping]) -> Vec<Finding> {
        self.reader.doctor(mappings).await
    }
}
