//! Children of rows that were read: by index on the parent, folded while they come, in the snapshot of their parents.

use std::collections::HashMap;

use super::lane::Lane;
use super::plan::{ChildPlan, Plan};
use super::text::Arg;
use super::values::text_of;
use crate::connect::ReadError;
use crate::model::mapping::{Children, Folded};
use crate::model::{Mapping, Raw, RawRow, Record};

/// Parents whose children are read at once.
const PARENTS_AT_ONCE: usize = 512;

/// Children in one statement; one record with more has no value in the fields made of them.
pub(in crate::connect) const MOST_CHILDREN: usize = 100_000;

/// One kind of children with the rows that they belong to.
struct Reading<'a> {
    mapping: &'a Mapping,
    /// Index into the mapping's children.
    index: usize,
    children: &'a Children,
    plan: &'a ChildPlan,
    /// Positions of the parents by what their children call them.
    parents: HashMap<String, Vec<usize>>,
}

/// A parent as its children name it.
#[derive(Clone)]
struct Named {
    name: String,
    arg: Arg,
}

/// The same value has the same text, whichever of two columns holds it; `None` when it can name nothing.
pub(super) fn name_of(raw: &Raw) -> Option<String> {
    text_of(raw).or_else(|| match raw {
        Raw::Bytes(bytes) => Some(bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))),
        _ => None,
    })
}

impl Lane<'_> {
    /// The records of rows, with what their children come to.
    pub(super) async fn with_children(
        &mut self,
        mapping: &Mapping,
        plan: &Plan,
        rows: Vec<RawRow>,
    ) -> Result<Vec<Record>, ReadError> {
        let mut folded = vec![mapping.no_children(); rows.len()];
        for (index, (children, plan)) in plan.children.iter().enumerate() {
            let (parents, named) = parents(children, plan, &rows);
            let reading = Reading { mapping, index, children, plan, parents };
            for chunk in named.chunks(PARENTS_AT_ONCE) {
                self.fold(&reading, chunk.to_vec(), &mut folded).await?;
            }
        }
        let record = |(mut row, folded): (RawRow, Folded)| mapping.record_with(&mut row, folded);
        Ok(rows.into_iter().zip(folded).map(record).collect())
    }

    /// Folds the children of some parents. Where they are too many for one statement, fewer parents are asked for at
    /// once; a parent that has too many alone is noted as that.
    async fn fold(&mut self, reading: &Reading<'_>, asked: Vec<Named>, folded: &mut [Folded]) -> Result<(), ReadError> {
        let mut waiting = vec![asked];
        while let Some(asked) = waiting.pop() {
            let before = reading.positions(&asked).map(|at| (at, folded[at].clone())).collect::<Vec<_>>();
            let counts = self.fold_at_once(reading, &asked, folded).await?;
            if counts.values().sum::<usize>() <= MOST_CHILDREN {
                continue;
            }
            // The answer was cut: what it gave does not count.
            for (at, as_before) in before {
                folded[at] = as_before;
            }
            if let [only] = asked.as_slice() {
                for &at in reading.parents.get(&only.name).into_iter().flatten() {
                    folded[at].too_many(reading.mapping, reading.index, MOST_CHILDREN);
                }
                continue;
            }
            waiting.extend(fewer(asked, &counts));
        }
        Ok(())
    }

    /// One statement. Returns how many children it found for each parent, cut behind [`MOST_CHILDREN`].
    async fn fold_at_once(
        &mut self,
        reading: &Reading<'_>,
        asked: &[Named],
        folded: &mut [Folded],
    ) -> Result<HashMap<String, usize>, ReadError> {
        let content = &reading.plan.content;
        let keys: Vec<_> = asked.iter().map(|named| vec![named.arg.clone()]).collect();
        let mut statement = content.by_keys(&keys);
        statement.limit(MOST_CHILDREN + 1);
        let mut counts: HashMap<String, usize> = HashMap::with_capacity(asked.len());
        self.query(&statement, &content.kinds, &mut |row| {
            let Some(name) = name_of(&row[reading.children.parent]) else { return };
            for &at in reading.parents.get(&name).into_iter().flatten() {
                folded[at].add(reading.mapping, reading.index, row);
            }
            *counts.entry(name).or_default() += 1;
        })
        .await?;
        Ok(counts)
    }
}

impl Reading<'_> {
    fn positions<'p>(&'p self, asked: &'p [Named]) -> impl Iterator<Item = usize> + 'p {
        asked.iter().filter_map(|named| self.parents.get(&named.name)).flatten().copied()
    }
}

/// The rows by the name that their children use, and each name once with its value to bind. A row whose name no
/// child's column can hold has no children.
fn parents(children: &Children, plan: &ChildPlan, rows: &[RawRow]) -> (HashMap<String, Vec<usize>>, Vec<Named>) {
    let mut positions: HashMap<String, Vec<usize>> = HashMap::with_capacity(rows.len());
    let mut named = Vec::with_capacity(rows.len());
    for (position, row) in rows.iter().enumerate() {
        let raw = &row[children.refers_to];
        let Some(name) = name_of(raw) else { continue };
        let same = positions.entry(name.clone()).or_default();
        same.push(position);
        if let ([_], Some(arg)) = (same.as_slice(), plan.content.arg(children.parent, raw)) {
            named.push(Named { name, arg });
        }
    }
    (positions, named)
}

/// Smaller sets of the same parents: the one that has most of the children alone, else sets that fit by their mean.
fn fewer(mut asked: Vec<Named>, counts: &HashMap<String, usize>) -> Vec<Vec<Named>> {
    let most = counts.iter().max_by_key(|(_, count)| **count).filter(|(_, count)| **count > MOST_CHILDREN / 2);
    if let Some(at) = most.and_then(|(name, _)| asked.iter().position(|named| named.name == *name)) {
        let alone = asked.swap_remove(at);
        return vec![asked, vec![alone]];
    }
    let size = (asked.len() / 2).min(counts.len() / 2).max(1);
    asked.chunks(size).map(<[Named]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_children_are_asked_for_in_smaller_sets() {
        let asked = |count: usize| -> Vec<Named> {
            (0..count).map(|number| Named { name: number.to_string(), arg: Arg::Int(number as i64) }).collect()
        };
        let sizes = |asked: Vec<Named>, counts: &[(&str, usize)]| -> Vec<usize> {
            let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
            fewer(asked, &counts).iter().map(Vec::len).collect()
        };
        let most = MOST_CHILDREN;
        assert_eq!(sizes(asked(512), &[("7", most), ("8", 1)]), [511, 1], "one has nearly all of them");
        assert_eq!(sizes(asked(6), &[("0", most / 3), ("1", most / 3), ("2", most / 3 + 2)]), [1; 6]);
        let even: Vec<_> = (0..20).map(|number| (number.to_string(), most / 20 + 1)).collect();
        let even: Vec<_> = even.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(sizes(asked(100), &even), [10; 10], "half of what one answer has room for");
        assert_eq!(sizes(asked(2), &[("0", most / 2), ("1", most / 2 + 1)]), [1, 1]);
    }
}
