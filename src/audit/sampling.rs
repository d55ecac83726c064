//! What the samples of a unit add up to: clusters under way, sums by flow and pass, estimates. No I/O.
//!
//! A sampled key that differs at its first look may only be on its way. It waits in its cluster until the in-flight queue
//! has decided it: bad counts as bad, a key that arrived in time is left out. A cluster counts once all its keys are
//! decided.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::estimate::{Cluster, Estimate, Tally};
use crate::metrics::Measure;
use crate::model::{Moment, Verdict};

use super::queue::Slot;
use super::walk::Walk;

/// Keys that may wait in clusters; beyond it the oldest clusters are closed and their waiting keys count as unknown.
const MOST_WAITING: usize = 50_000;

/// Fewer clusters than this say too little: the whole pass before speaks until there are more.
const FEWEST_CLUSTERS: u64 = 40;

/// Whose keys a cluster is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Frame {
    /// The owner's: do they agree, are they there?
    Owner,
    /// The target's: does the owner have them?
    Target,
}

impl Frame {
    /// Whose keys a measure is a share of.
    pub const fn of(measure: Measure) -> Self {
        match measure {
            Measure::Agreement | Measure::Completeness => Self::Owner,
            Measure::Extra => Self::Target,
        }
    }

    /// The word in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Target => "target",
        }
    }
}

/// An estimate in the direction that people read: the share that agrees, is complete, is extra.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// What.
    pub measure: Measure,
    /// Keys in the frame.
    pub population: u64,
    /// As the sample gave it: shares of bad keys.
    pub estimate: Estimate,
    /// Lower end of the interval.
    pub low: f64,
    /// The share.
    pub share: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// How one look at a sampled key came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It agrees (in the target's frame: the owner has it).
    Good,
    /// A confirmed, lasting difference.
    Bad(Verdict),
    /// It differs and may be on its way.
    Waiting,
    /// Neither good nor bad: it was on its way, or another flow answers for it.
    LeftOut,
    /// It could not be decided.
    Unknown,
}

impl Seen {
    /// From a verdict; `None` stands for a key that the opposite flow answers for.
    pub fn of(verdict: Option<Verdict>) -> Self {
        match verdict {
            None => Self::LeftOut,
            Some(Verdict::Match) => Self::Good,
            Some(Verdict::InFlight) => Self::Waiting,
            Some(Verdict::Unknown) => Self::Unknown,
            Some(bad) => Self::Bad(bad),
        }
    }
}

/// A cluster whose keys are not all decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OpenCluster {
    flow: String,
    frame: Frame,
    pass: u64,
    good: u64,
    bad: u64,
    missing: u64,
    unknown: u64,
    waiting: Vec<u128>,
}

/// Sums of one pass in one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sums {
    pass: u64,
    agreement: Tally,
    completeness: Tally,
    extra: Tally,
    /// Keys drawn from the owner and from the target, in scope.
    drawn: [u64; 2],
}

/// Sums of one flow: the pass under way and the last whole one, for each frame's walk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct FlowSums {
    owner: [Sums; 2],
    target: [Sums; 2],
    /// The target's keys lie in another order than the owner's, so that it has a walk of its own.
    walks_alone: bool,
}

/// The samples of one unit. Stored in state with each run that moved them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Where the walks stand: the owner's and those of targets whose order is another, by system.
    pub walks: BTreeMap<String, Walk>,
    flows: BTreeMap<String, FlowSums>,
    open: Vec<OpenCluster>,
    /// Clusters closed since somebody asked.
    #[serde(skip)]
    closed: Vec<Decided>,
}

/// Keys of one cluster, all decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The flow.
    pub flow: String,
    /// Whose keys.
    pub frame: Frame,
    /// Keys that agree; of the target's frame those that the owner has.
    pub good: u64,
    /// Keys that do not.
    pub bad: u64,
    /// Of the bad ones, those that the target lacks.
    pub missing: u64,
    /// Keys that could not be decided.
    pub unknown: u64,
}

const FORMAT: u8 = 2;

impl Sampling {
    /// For state.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Cannot fail: postcard can express all of it and the vector grows.
        postcard::to_extend(self, vec![FORMAT]).unwrap_or_default()
    }

    /// From state; `None` when the bytes are of another format or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&format, body) = bytes.split_first()?;
        if format == FORMAT { postcard::from_bytes(body).ok() } else { None }
    }

    /// Whether a flow's target has a walk of its own.
    pub fn walks_alone(&self, flow: &str) -> bool {
        self.flows.get(flow).is_some_and(|sums| sums.walks_alone)
    }

    /// From now on the flow's target has a walk of its own. What its frame had gathered by the owner's order is dropped.
    pub fn walk_alone(&mut self, flow: &str) {
        let sums = self.flows.entry(flow.to_owned()).or_default();
        *sums = FlowSums { owner: sums.owner, walks_alone: true, ..FlowSums::default() };
        self.open.retain(|open| open.flow != flow || open.frame == Frame::Owner);
    }

    /// Adds a cluster of keys drawn together in `pass` of the frame's walk.
    pub fn add(&mut self, flow: &str, frame: Frame, pass: u64, seen: impl IntoIterator<Item = (u128, Seen)>) {
        let (good, bad, missing, unknown, waiting) = Default::default();
        let mut cluster = OpenCluster { flow: flow.to_owned(), frame, pass, good, bad, missing, unknown, waiting };
        let mut drawn = 0;
        for (key, seen) in seen {
            drawn += 1;
            cluster.note(key, seen);
        }
        let sums = self.sums(flow, frame, pass);
        if let Some(sums) = sums {
            sums.drawn[frame as usize] += drawn;
        }
        if cluster.waiting.is_empty() {
            self.close(&cluster)
        } else {
            self.open.push(cluster)
        }
        while self.waiting() > MOST_WAITING {
            let mut oldest = self.open.remove(0);
            oldest.unknown += oldest.waiting.len() as u64;
            self.close(&oldest);
        }
    }

    /// Keys that differ and wait for their verdict.
    pub fn waiting(&self) -> usize {
        self.open.iter().map(|open| open.waiting.len()).sum()
    }

    /// Takes what later looks decided of waiting keys; says whether anything changed. `name` gives a flow's name by its
    /// place in the unit.
    pub fn settle(&mut self, settled: &[(Slot, Seen)], name: impl Fn(usize) -> String) -> bool {
        let decided = settled.iter().filter(|(_, seen)| !matches!(seen, Seen::Waiting | Seen::Unknown));
        // A key that waited and agrees now was on its way: neither good nor bad.
        let decided: HashMap<(String, u128), Seen> = decided
            .map(|((flow, key), seen)| ((name(*flow), *key), if *seen == Seen::Good { Seen::LeftOut } else { *seen }))
            .collect();
        if decided.is_empty() || self.open.is_empty() {
            return false;
        }
        let mut changed = false;
        for open in &mut self.open {
            for key in std::mem::take(&mut open.waiting) {
                let seen = decided.get(&(open.flow.clone(), key)).copied().unwrap_or(Seen::Waiting);
                changed |= seen != Seen::Waiting;
                open.note(key, seen);
            }
        }
        let (closed, open) = std::mem::take(&mut self.open).into_iter().partition(|open| open.waiting.is_empty());
        self.open = open;
        let closed: Vec<OpenCluster> = closed;
        closed.iter().for_each(|cluster| self.close(cluster));
        changed
    }

    /// What was decided since the last call.
    pub fn take_decided(&mut self) -> Vec<Decided> {
        std::mem::take(&mut self.closed)
    }

    fn close(&mut self, cluster: &OpenCluster) {
        let &OpenCluster { frame, good, bad, missing, unknown, .. } = cluster;
        self.closed.push(Decided { flow: cluster.flow.clone(), frame, good, bad, missing, unknown });
        let Some(sums) = self.sums(&cluster.flow, cluster.frame, cluster.pass) else { return };
        let &OpenCluster { good, bad, missing, unknown, .. } = cluster;
        let of = |bad| Cluster { decided: good + cluster.bad, bad, unknown };
        match cluster.frame {
            Frame::Owner => {
                sums.agreement.add(of(bad));
                sums.completeness.add(of(missing));
            }
            Frame::Target => sums.extra.add(of(bad)),
        }
    }

    /// The sums of a pass, begun if it is a new one; `None` for a pass that is neither this nor the last.
    fn sums(&mut self, flow: &str, frame: Frame, pass: u64) -> Option<&mut Sums> {
        let sums = self.flows.entry(flow.to_owned()).or_default();
        let [now, before] = if frame == Frame::Owner { &mut sums.owner } else { &mut sums.target };
        if pass > now.pass {
            *before = std::mem::replace(now, Sums { pass, ..Sums::default() });
        }
        [now, before].into_iter().find(|sums| sums.pass == pass)
    }

    /// What is known of a flow whose owner and target are walked by these systems' walks: the pass under way, or as
    /// long as it says too little, the whole one before.
    pub fn findings(&self, flow: &str, owner: &str, target: &str) -> Vec<Finding> {
        let Some(sums) = self.flows.get(flow) else { return Vec::new() };
        let targets = if sums.walks_alone { target } else { owner };
        let of_owner = [Measure::Agreement, Measure::Completeness].map(|measure| (measure, &sums.owner, owner));
        let of_target = [(Measure::Extra, &sums.target, targets)];
        let all = of_owner.into_iter().chain(of_target);
        all.filter_map(|(measure, sums, system)| self.finding(measure, sums, self.walks.get(system)?)).collect()
    }

    fn finding(&self, measure: Measure, [now, before]: &[Sums; 2], walk: &Walk) -> Option<Finding> {
        let tally = |sums: &Sums| match measure {
            Measure::Agreement => sums.agreement,
            Measure::Completeness => sums.completeness,
            Measure::Extra => sums.extra,
        };
        let frame = Frame::of(measure) as usize;
        let is_whole = |sums: &Sums| walk.whole.is_some_and(|whole| whole.pass == sums.pass);
        // Pages from the beginning of a list are no sample of it.
        let speaks = |sums: &Sums| is_whole(sums) || (!walk.is_followed && tally(sums).clusters() >= FEWEST_CLUSTERS);
        let sums = if speaks(now) || tally(before).clusters() == 0 { now } else { before };
        if walk.is_followed && !is_whole(sums) {
            return None;
        }
        let drawn = sums.drawn[frame];
        let population = if is_whole(sums) { drawn } else { drawn.max(before.drawn[frame]).max(walk.keys()) };
        let estimate = tally(sums).estimate(population)?;
        let (low, share, high) = (estimate.interval.low, estimate.share, estimate.interval.high);
        let (low, share, high) = match measure {
            Measure::Extra => (low, share, high),
            Measure::Agreement | Measure::Completeness => (1.0 - high, 1.0 - share, 1.0 - low),
        };
        Some(Finding { measure, population, estimate, low, share, high })
    }
}

impl OpenCluster {
    fn note(&mut self, key: u128, seen: Seen) {
        match seen {
            Seen::Good => self.good += 1,
            // In the target's frame the question is whether the owner has the key, not whether it agrees.
            Seen::Bad(verdict) if self.frame == Frame::Target && verdict != Verdict::Extra => self.good += 1,
            Seen::Bad(verdict) => {
                self.bad += 1;
                self.missing += u64::from(verdict == Verdict::Missing);
            }
            Seen::Waiting => self.waiting.push(key),
            Seen::LeftOut => {}
            Seen::Unknown => self.unknown += 1,
        }
    }
}

/// Since when every key of a unit has been looked at: the walk that is furthest behind decides.
pub fn every_key_since<'w>(walks: impl IntoIterator<Item = &'w Walk>) -> Option<Moment> {
    let mut since = None;
    for walk in walks {
        let walk = walk.every_key_since()?;
        since = Some(since.map_or(walk, |since: Moment| since.min(walk)));
    }
    since
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: &str = "stock: erp -> store";

    fn walked() -> Sampling {
        let mut sampling = Sampling::default();
        let walk = Walk::standing(1, 10_000, None);
        sampling.walks.insert("erp".to_owned(), walk);
        sampling
    }

    fn name(_: usize) -> String {
        FLOW.to_owned()
    }

    fn of(sampling: &Sampling, measure: Measure) -> Option<(u64, u64)> {
        let findings = sampling.findings(FLOW, "erp", "store");
        let found = findings.iter().find(|finding| finding.measure == measure)?;
        assert!(found.low <= found.share && found.share <= found.high, "{found:?}");
        Some((found.estimate.sampled, found.estimate.bad))
    }

    #[test]
    fn keys_on_their_way_wait_and_are_left_out_or_bad() {
        let mut sampling = walked();
        let cluster = [(1, Seen::Good), (2, Seen::Waiting), (3, Seen::Waiting), (4, Seen::Waiting), (5, Seen::Unknown)];
        sampling.add(FLOW, Frame::Owner, 1, cluster);
        assert_eq!((of(&sampling, Measure::Agreement), sampling.waiting()), (None, 3));
        assert!(!sampling.settle(&[((0, 2), Seen::Waiting), ((0, 9), Seen::Good)], name));
        assert!(sampling.settle(&[((0, 2), Seen::Good), ((0, 3), Seen::Bad(Verdict::Missing))], name));
        assert_eq!((of(&sampling, Measure::Agreement), sampling.waiting()), (None, 1));
        let stored = Sampling::from_bytes(&sampling.to_bytes()).expect("as written");
        assert_eq!(stored, sampling, "what waits survives a restart");
        let mut sampling = stored;
        assert!(sampling.settle(&[((0, 4), Seen::Bad(Verdict::Mismatch))], name));
        // Key 2 arrived: left out. 1 is good, 3 is missing, 4 differs, 5 is unknown.
        assert_eq!(of(&sampling, Measure::Agreement), Some((3, 2)));
        assert_eq!(of(&sampling, Measure::Completeness), Some((3, 1)));
        assert_eq!(of(&sampling, Measure::Extra), None);
        assert_eq!(Sampling::from_bytes(&[]), None);
    }

    #[test]
    fn in_the_targets_frame_only_what_the_owner_lacks_is_bad() {
        let mut sampling = walked();
        let cluster = [(1, Seen::Good), (2, Seen::Bad(Verdict::Extra)), (3, Seen::Bad(Verdict::Mismatch))];
        sampling.add(FLOW, Frame::Target, 1, cluster);
        assert_eq!(of(&sampling, Measure::Extra), Some((3, 1)));
        assert_eq!(of(&sampling, Measure::Agreement), None);
    }

    #[test]
    fn the_pass_before_speaks_until_the_new_one_has_clusters_enough() {
        let mut sampling = walked();
        let whole = crate::audit::walk::WholePass { pass: 1, began: Moment::MIN, ended: Moment::MIN, keys: 600 };
        (0..60).for_each(|_| sampling.add(FLOW, Frame::Owner, 1, (0..10).map(|key| (key, Seen::Good))));
        sampling.walks.insert("erp".to_owned(), Walk::standing(2, 600, Some(whole)));
        (0..39).for_each(|_| sampling.add(FLOW, Frame::Owner, 2, [(1, Seen::Bad(Verdict::Stale))]));
        assert_eq!(of(&sampling, Measure::Agreement), Some((600, 0)));
        let whole = sampling.findings(FLOW, "erp", "store")[0];
        assert_eq!((whole.low, whole.high, whole.population), (1.0, 1.0, 600), "every key was looked at");
        sampling.add(FLOW, Frame::Owner, 2, [(1, Seen::Bad(Verdict::Stale))]);
        assert_eq!(of(&sampling, Measure::Agreement), Some((40, 40)));
        // A straggler of the pass before still finds its sums; one of a pass long gone does not.
        sampling.add(FLOW, Frame::Owner, 1, [(1, Seen::Good)]);
        sampling.add(FLOW, Frame::Owner, 0, [(1, Seen::Good)]);
        assert_eq!(of(&sampling, Measure::Agreement), Some((40, 40)));
    }

    #[test]
    fn a_list_that_is_followed_says_nothing_before_its_end() {
        let mut sampling = Sampling::default();
        let mut walk = Walk::default();
        walk.begin(Moment::MIN, 100, 0);
        walk.follow();
        sampling.walks.insert("erp".to_owned(), walk.clone());
        (0..60).for_each(|_| sampling.add(FLOW, Frame::Owner, 1, [(1, Seen::Bad(Verdict::Stale))]));
        assert_eq!(of(&sampling, Measure::Agreement), None);
        let visit = walk.visit(|| 0).expect("not over");
        walk.visited(&visit, None, 60, Moment::MIN);
        sampling.walks.insert("erp".to_owned(), walk.clone());
        assert_eq!(of(&sampling, Measure::Agreement), Some((60, 60)));
        walk.begin(Moment::MIN, 100, 0);
        walk.follow();
        sampling.walks.insert("erp".to_owned(), walk);
        (0..60).for_each(|_| sampling.add(FLOW, Frame::Owner, 2, [(1, Seen::Good)]));
        assert_eq!(of(&sampling, Measure::Agreement), Some((60, 60)), "the whole pass before");
    }

    #[test]
    fn very_many_waiting_keys_are_closed_as_unknown() {
        let mut sampling = walked();
        for cluster in 0..60_u128 {
            let keys = (0..1_000).map(|key| (cluster * 1_000 + key, Seen::Waiting));
            sampling.add(FLOW, Frame::Owner, 1, keys.chain([(u128::MAX, Seen::Good)]));
        }
        assert_eq!(sampling.waiting(), MOST_WAITING);
        let found = sampling.findings(FLOW, "erp", "store")[0];
        assert_eq!((found.estimate.sampled, found.estimate.unknown), (10, 10_000));
        assert!(found.low < 0.01, "nobody knows: {found:?}");
    }
}
