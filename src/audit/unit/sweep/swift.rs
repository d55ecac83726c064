//! Keys that probably differ, where nothing is kept of a key but what it came to: judged row by row from the two sides and
//! the owner again, some thousands beside some other thousands, without a place in the unit. What is odd of a key is left
//! to the unit: several records, a history, a record that moved, a verdict that is not certain.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use smallvec::SmallVec;

use crate::audit::looks::{Stamps, stamped};
use crate::audit::redact;
use crate::audit::sweep::finder::{AbortOnDrop, SweepError, Whole};
use crate::audit::sweep::told::{Line, Told};
use crate::audit::unit::examine::{LATE, Sighting, context, key_digest};
use crate::audit::unit::{SideParts, UnitFlow, UnitParts};
use crate::compare::{Judgement, Look, Side, agrees, differing, judge, state_of};
use crate::connect::{OnRecord, ReadError, ReadWindow};
use crate::model::digest::DigestKey;
use crate::model::{Field, Key, Moment, Record, Verdict};

use super::packed::{Order, Packed, Packing, Refused, Row, Scratch, by_digest, by_number};
use super::whole::sighting;

/// What judging such keys needs.
pub(super) struct Swift {
    pub parts: Arc<UnitParts>,
    pub flow: usize,
    /// Of the owner and of the target.
    pub stamps: [Stamps; 2],
    pub secret: DigestKey,
    /// Keys of the flow that have a history.
    pub known: HashSet<u128>,
}

/// What is looked at.
#[derive(Clone)]
pub(super) enum Asked {
    /// All keys of a span.
    Span(Whole),
    /// These keys, which all have a place in this order.
    Keys(Vec<Key>, Order),
}

/// What came of it.
pub(super) enum Outcome {
    /// Keys that differ have been judged, but for the odd ones.
    Looked(Box<Looked>),
    /// Nothing was judged: more keys differ than may be judged at once.
    TooMany,
    /// Nothing was judged: its records do not fit into memory.
    TooHeavy,
    /// Nothing was judged: this has to be judged as everywhere else.
    Unusual,
}

/// What a look came to.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Rows of the owner and of the target.
    pub rows: (u64, u64),
    /// Rows of the owner that were read a second time.
    pub again: u64,
    /// What is certain.
    pub told: Told,
    /// Keys that are judged by the unit, with what the target holds of them, and when both were read.
    pub odd: Vec<(Sighting, Vec<Record>)>,
    pub windows: Option<[ReadWindow; 2]>,
}

/// What the second read of the owner showed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Nothing,
    Same,
    Moved,
}

/// The second read of the owner.
struct Second {
    /// What it showed of each row of the first one.
    of_rows: Vec<Again>,
    /// Keys that the first one did not show.
    new: HashSet<u128>,
    window: ReadWindow,
    read: u64,
}

/// Looks that are under way at once.
const AT_ONCE: usize = 3;

/// Looks at several, some at once; what comes of them comes in their order.
pub(super) fn beside_each_other(
    swift: Arc<Swift>,
    asked: Vec<Asked>,
) -> impl Stream<Item = Result<Outcome, SweepError>> + Send + Unpin {
    let look = move |asked: Asked| {
        let swift = Arc::clone(&swift);
        let look = AbortOnDrop::spawn(async move { swift.look_at(&asked).await });
        async move { look.outcome().await? }
    };
    Box::pin(stream::iter(asked).map(look).buffered(AT_ONCE))
}

impl Asked {
    /// A list of keys.
    pub fn keys(keys: Vec<Key>) -> Self {
        let are_numbers = keys.iter().all(|key| by_number(key).is_some());
        Self::Keys(keys, if are_numbers { by_number } else { by_digest })
    }

    /// What its rows may take.
    const fn room(&self) -> usize {
        match self {
            Self::Span(whole) => whole.bytes,
            Self::Keys(..) => usize::MAX,
        }
    }

    fn order(&self) -> Order {
        match self {
            Self::Span(_) => by_number,
            Self::Keys(_, order) => *order,
        }
    }

    /// Most keys that may be judged.
    const fn most(&self) -> u64 {
        match self {
            Self::Span(whole) => whole.most,
            Self::Keys(..) => u64::MAX,
        }
    }

    /// What a side holds of it, from one read or from several, one after the other. `None` where it cannot be asked so.
    async fn read(&self, side: &SideParts, on_record: OnRecord<'_>) -> Result<Option<ReadWindow>, ReadError> {
        let (reader, mapping) = (&side.reader, &side.mapping);
        match self {
            Self::Span(whole) => match reader.sweeper() {
                Some(sweeper) => sweeper.read_span(mapping, whole.span, on_record).await.map(Some),
                None => Ok(None),
            },
            Self::Keys(keys, _) => {
                let mut window: Option<ReadWindow> = None;
                for portion in keys.chunks(reader.keys_at_once(mapping).max(1)) {
                    let read = reader.by_keys(mapping, portion).await?;
                    read.records.into_iter().for_each(&mut *on_record);
                    window = Some(window.map_or(read.window, |window| window.hull(read.window)));
                }
                Ok(window)
            }
        }
    }
}

impl Swift {
    fn unit_flow(&self) -> &UnitFlow {
        &self.parts.flows[self.flow]
    }

    /// Whether the keys of a flow can be judged so at all.
    pub fn can_judge(parts: &UnitParts, flow: &UnitFlow) -> bool {
        let is_translated = !flow.flow.owner.xref.is_empty() || !flow.target.mapping.xref.is_empty();
        parts.schema.is_none() && !flow.flow.is_two_way() && !is_translated
    }

    /// Reads what both sides hold, one after the other, and what the owner holds once more, and judges what differs.
    ///
    /// # Errors
    /// When a side cannot be read: then nothing was judged.
    pub async fn look_at(&self, asked: &Asked) -> Result<Outcome, SweepError> {
        let (owners, room) = match self.read(&self.parts.owner, asked, asked.room()).await? {
            Ok(packed) => packed,
            Err(outcome) => return Ok(outcome),
        };
        let (targets, _) = match self.read(&self.unit_flow().target, asked, room).await? {
            Ok(packed) => packed,
            Err(outcome) => return Ok(outcome),
        };
        let Some(second) = self.read_again(asked, &owners).await else {
            // A read of fewer rows may still be answered, and tells the reason if it is not.
            return Ok(Outcome::Unusual);
        };
        if second.window.high.since(targets.window.high) > LATE {
            // What the target held then says nothing of now.
            return Ok(Outcome::Unusual);
        }
        let Some(looked) = self.judged(&owners, &targets, &second)? else { return Ok(Outcome::Unusual) };
        Ok(if looked.differing() > asked.most() { Outcome::TooMany } else { Outcome::Looked(Box::new(looked)) })
    }

    /// The rows of a side and the room they leave, or why they cannot be judged here.
    async fn read(
        &self,
        side: &SideParts,
        asked: &Asked,
        room: usize,
    ) -> Result<Result<(Packed, usize), Outcome>, ReadError> {
        let mut packing = Packing::new(room, asked.order());
        let read = asked.read(side, &mut |record| packing.take(&record)).await?;
        let Some(window) = read else { return Ok(Err(Outcome::Unusual)) };
        Ok(packing.end(window).map_err(|refused| match refused {
            Refused::TooHeavy => Outcome::TooHeavy,
            Refused::Unordered => Outcome::Unusual,
        }))
    }

    /// The second read of the owner; `None` if there is none.
    async fn read_again(&self, asked: &Asked, first: &Packed) -> Option<Second> {
        let (rows, order) = (first.rows(), asked.order());
        let (mut of_rows, mut new) = (vec![Again::Nothing; rows.len()], HashSet::new());
        let (mut next, mut read, mut scratch) = (0, 0, Scratch::default());
        let mut take = |record: Record| {
            read += 1;
            let Some(place) = order(&record.key).filter(|_| record.key.is_usable()) else { return };
            let is_next = rows.get(next).is_some_and(|row| row.place == place);
            let found = if is_next { Ok(next) } else { rows.binary_search_by_key(&place, |row| row.place) };
            let Ok(number) = found else {
                new.insert(place);
                return;
            };
            next = number + 1;
            let is_same = of_rows[number] == Again::Nothing && first.bytes(rows[number]) == scratch.of(&record);
            of_rows[number] = if is_same { Again::Same } else { Again::Moved };
        };
        let window = asked.read(&self.parts.owner, &mut take).await.ok()??;
        Some(Second { of_rows, new, window, read })
    }

    /// Judges what differs. What is the same on both sides is exactly one record each, in scope and agreeing, or none in scope
    /// at all. `None` when a row cannot be read as what it was packed from.
    fn judged(&self, owners: &Packed, targets: &Packed, second: &Second) -> io::Result<Option<Looked>> {
        let rows = (owners.rows().len() as u64, targets.rows().len() as u64);
        let windows = Some([owners.window, targets.window]);
        let mut looked = Looked { rows, again: second.read, windows, ..Looked::default() };
        let mut telling = Telling::new(self);
        let (mut ours, mut theirs, mut number) = (owners.rows(), targets.rows(), 0);
        while let Some(place) = ours.first().into_iter().chain(theirs.first()).map(|row| row.place).min() {
            let (our, their) = (at_place(&mut ours, place), at_place(&mut theirs, place));
            let again = match our {
                [] if !second.new.contains(&place) => Again::Same,
                [_] => second.of_rows[number],
                _ => Again::Moved,
            };
            number += our.len();
            let (Some(owner), Some(target)) = (records(owners, our), records(targets, their)) else { return Ok(None) };
            let Some(key) = owner.first().or(target.first()).map(|record| record.key.clone()) else { continue };
            let has_history = !self.known.is_empty() && self.known.contains(&key_digest(&key));
            if !has_history && self.is_same(&owner, &target) {
                continue;
            }
            let judgement = match (&*owner, &*target) {
                _ if has_history || again != Again::Same || owner.len() > 1 || target.len() > 1 => None,
                (owner, target) => {
                    self.judgement((owner.first(), owners.window), (target.first(), targets.window), second.window)
                }
            };
            match judgement {
                Some(judgement) => {
                    telling.tell(&key, (owner.first(), target.first()), &judgement, &mut looked.told)?;
                }
                None => looked.odd.push((sighting(key_digest(&key), key, owner.into_vec()), target.into_vec())),
            }
        }
        Ok(Some(looked))
    }

    fn is_same(&self, owner: &[Record], target: &[Record]) -> bool {
        match (owner, target) {
            ([one], [held]) if one.in_scope && held.in_scope => agrees(&self.unit_flow().flow, one, held),
            _ => owner.iter().chain(target).all(|record| !record.in_scope),
        }
    }

    /// What a key comes to whose owner was read twice and showed the same; `None` unless it is wrong for certain.
    fn judgement(
        &self,
        (owner, owner_window): (Option<&Record>, ReadWindow),
        (target, target_window): (Option<&Record>, ReadWindow),
        again: ReadWindow,
    ) -> Option<Judgement> {
        let (flow, [owners, targets]) = (self.unit_flow(), &self.stamps);
        // Fields are told only for looks that come after: without a history they say nothing.
        let seen = |side, record: Option<&Record>, window, stamps: &Stamps| Look {
            state: state_of(&flow.flow, side, record.as_slice()),
            ..stamped(record.as_slice(), window, stamps, Moment::MIN)
        };
        let target = seen(Side::Target, target, target_window, targets);
        let owner = seen(Side::Owner, owner, owner_window, owners);
        let context = context(flow, None, None);
        if !judge(None, &owner, &target, None, context).needs_confirmation {
            return None;
        }
        let second = Look { window: again, not_before: owner_window.low, ..owner.clone() };
        let judgement = judge(None, &owner, &target, Some(&second), context);
        let is_certain = judgement.verdict.is_bad() && judgement.verdict != Verdict::Invalid;
        (is_certain && !judgement.needs_confirmation && !judgement.owed_elsewhere).then_some(judgement)
    }
}

/// Puts what keys came to into the form of the report.
struct Telling<'s> {
    swift: &'s Swift,
    key: Vec<&'s Field>,
    texts: String,
    ends: Vec<(usize, usize, usize)>,
}

impl<'s> Telling<'s> {
    fn new(swift: &'s Swift) -> Self {
        let parts = &swift.parts;
        let key = parts.key.iter().map(|index| &parts.fields[*index]).collect();
        Self { swift, key, texts: String::new(), ends: Vec::new() }
    }

    fn tell(
        &mut self,
        key: &Key,
        (owner, target): (Option<&Record>, Option<&Record>),
        judgement: &Judgement,
        told: &mut Told,
    ) -> io::Result<()> {
        let Self { swift, texts, ends, .. } = self;
        let (flow, secret) = (&swift.unit_flow().flow, &swift.secret);
        texts.clear();
        ends.clear();
        redact::put_key(key, &self.key, secret, texts);
        let name_ends = texts.len();
        texts.push_str(&redact::key_hash(key, secret));
        let hash_ends = texts.len();
        if let (Some(owner), Some(target)) = (owner, target) {
            for position in differing(flow, owner, target) {
                let index = flow.fields[position].index;
                let rule = swift.parts.fields[index].store;
                redact::put(&owner.fields[index], rule, secret, texts);
                let owner_ends = texts.len();
                redact::put(&target.fields[index], rule, secret, texts);
                ends.push((position, owner_ends, texts.len()));
            }
        }
        let mut begins = hash_ends;
        let field = |&(position, owner_ends, target_ends): &(usize, usize, usize)| {
            let begin = std::mem::replace(&mut begins, target_ends);
            (flow.fields[position].name.as_str(), &texts[begin..owner_ends], &texts[owner_ends..target_ends])
        };
        let line = Line {
            fields: ends.iter().map(field).collect(),
            key: &texts[..name_ends],
            key_hash: &texts[name_ends..hash_ends],
            verdict: judgement.verdict.as_str(),
            likely: judgement.likely,
            reason: "",
        };
        told.push(&line, judgement.verdict)
    }
}

impl Looked {
    /// Keys that differ, those that are odd among them.
    pub fn differing(&self) -> u64 {
        self.told.count() + self.odd.len() as u64
    }
}

/// The first rows, as far as they have this place; goes on behind them.
fn at_place<'r>(rows: &mut &'r [Row], place: u128) -> &'r [Row] {
    let count = rows.iter().take_while(|row| row.place == place).count();
    let (here, rest) = rows.split_at(count);
    *rows = rest;
    here
}

/// The records of rows: nearly always one or none.
fn records(packed: &Packed, rows: &[Row]) -> Option<SmallVec<[Record; 1]>> {
    rows.iter().map(|row| packed.record(*row)).collect()
}
