//! The in-flight queue of one unit in memory: unsettled keys of its flows, by key and by when they are due.
//!
//! State holds the durable copy; every change goes there with the run that made it. Keys enter only through a
//! run's commit, so the queue never holds what a crash would lose.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Moment, Verdict};

use super::entry::Entry;

/// Position of a flow in its unit, and the in-memory digest of a key.
pub type Slot = (usize, u128);

/// Unsettled keys.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<Slot, Entry>,
    due: BTreeSet<(Moment, Slot)>,
}

/// What is past its deadline in one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// Keys in flight, overdue ones among them.
    pub in_flight: u64,
    /// Keys past their deadline.
    pub keys: u64,
    /// The oldest of them: when its divergence began, at the latest.
    pub oldest: Option<Moment>,
}

impl Queue {
    /// How many keys are unsettled.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether everything is settled.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of a key.
    pub fn get(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(&slot)
    }

    /// Adds or replaces an entry; says whether the key is new.
    pub fn insert(&mut self, slot: Slot, entry: Entry) -> bool {
        let is_new = self.remove(slot).is_none();
        self.due.insert((entry.due_at, slot));
        self.entries.insert(slot, entry);
        is_new
    }

    /// Settles a key.
    pub fn remove(&mut self, slot: Slot) -> Option<Entry> {
        let entry = self.entries.remove(&slot)?;
        self.due.remove(&(entry.due_at, slot));
        Some(entry)
    }

    /// Takes out the entries that are wanted.
    pub fn take(&mut self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let slots: Vec<Slot> = self.entries.iter().filter(|(_, entry)| wanted(entry)).map(|(slot, _)| *slot).collect();
        slots.into_iter().filter_map(|slot| self.remove(slot)).collect()
    }

    /// When the next key is due.
    pub fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(due_at, _)| *due_at)
    }

    /// When the next key without an open discrepancy is due.
    pub fn next_undecided(&self) -> Option<Moment> {
        let undecided = |slot: &Slot| self.entries.get(slot).is_some_and(|entry| entry.discrepancy.is_none());
        self.due.iter().find(|(_, slot)| undecided(slot)).map(|(due_at, _)| *due_at)
    }

    /// Up to `limit` keys that are due at `now`, the longest waiting first.
    pub fn due(&self, now: Moment, limit: usize) -> Vec<Slot> {
        self.due.iter().take_while(|(due_at, _)| *due_at <= now).take(limit).map(|(_, slot)| *slot).collect()
    }

    /// The digests of all keys of one flow.
    pub fn keys_of_flow(&self, flow: usize) -> impl Iterator<Item = u128> {
        self.entries.keys().filter(move |(entry_flow, _)| *entry_flow == flow).map(|(_, digest)| *digest)
    }

    /// All entries of one flow.
    pub fn of_flow(&self, flow: usize) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |((entry_flow, _), _)| *entry_flow == flow).map(|(_, entry)| entry)
    }

    /// Open discrepancies of one flow by verdict; every bad verdict is listed, also with 0.
    pub fn open_discrepancies(&self, flow: usize) -> Vec<(Verdict, u64)> {
        let mut counts: Vec<(Verdict, u64)> =
            Verdict::ALL.into_iter().filter(|verdict| verdict.is_bad()).map(|verdict| (verdict, 0)).collect();
        for open in self.of_flow(flow).filter_map(|entry| entry.discrepancy) {
            counts.iter_mut().filter(|(verdict, _)| *verdict == open.verdict).for_each(|(_, count)| *count += 1);
        }
        counts
    }

    /// What is past `deadline` in one flow at `now`. By the upper bound of the divergence's start: certainly late.
    pub fn overdue(&self, flow: usize, deadline: std::time::Duration, now: Moment) -> Overdue {
        let mut overdue = Overdue::default();
        for entry in self.of_flow(flow) {
            overdue.in_flight += 1;
            let began = entry.track.diverged.high;
            if now.since(began) > deadline {
                overdue.keys += 1;
                overdue.oldest = Some(overdue.oldest.map_or(began, |oldest| oldest.min(began)));
            }
        }
        overdue
    }
}
