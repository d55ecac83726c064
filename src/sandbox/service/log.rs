//! Notes what a service's lock applies.

use std::sync::Arc;

use crate::clock::Clock;
use crate::model::{Interval, Moment};
use crate::sandbox::book::{Write, WriteLog};
use crate::sandbox::record::{Content, Entity, System};

/// What was written: of what, of which, and all that the key says afterwards.
pub(crate) type Written = (Entity, String, Vec<Content>);

/// A system's end of the write log.
pub(crate) struct Notary {
    pub system: System,
    pub log: Arc<WriteLog>,
    pub clock: Arc<dyn Clock>,
}

impl Notary {
    /// Notes what was written since `begun`. Only while the lock is held that applied it: nobody has seen it before
    /// `begun`, and everybody sees it who comes after.
    pub fn note(&self, begun: Moment, written: Vec<Written>) {
        let committed = Interval::new(begun, self.clock.now());
        for (entity, key, contents) in written {
            self.log.note(Write { system: self.system, entity, key, contents, committed });
        }
    }
}
