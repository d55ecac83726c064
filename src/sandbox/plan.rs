//! What the clerks will do and which of it the sync job will spoil, all decided by a seed. Pure.
//!
//! A [`Plan`] is an endless iterator: the same seed and options give the same actions, keys and faults.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Entity, FaultKind, FaultKinds, Options};

/// One thing that somebody does.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// When, since the start.
    pub at: Duration,
    /// What.
    pub deed: Deed,
    /// How the key is spoiled from now on, if it is.
    pub fault: Option<Fault>,
    /// How long the transaction stays open after its stamp.
    pub held_open: Duration,
}

/// What somebody does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A clerk changes what the owner holds.
    Change(Change),
    /// Somebody writes into the target, past the sync job.
    Meddle(Meddling),
}

impl Deed {
    /// The entity that it is about.
    pub const fn entity(&self) -> Entity {
        match self {
            Self::Change(change) => change.entity(),
            Self::Meddle(Meddling::Swap { .. }) => Entity::Product,
            Self::Meddle(
                Meddling::Edit { entity, .. } | Meddling::Remove { entity, .. } | Meddling::Invent { entity, .. },
            ) => *entity,
        }
    }

    /// The keys that it is about.
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::Change(change) => vec![change.key()],
            Self::Meddle(Meddling::Swap { sku, other }) => vec![sku, other],
            Self::Meddle(Meddling::Edit { key, .. } | Meddling::Remove { key, .. } | Meddling::Invent { key, .. }) => {
                vec![key]
            }
        }
    }
}

/// A write into the target that the sync job knows nothing of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// A wrong value.
    Edit {
        /// Of what.
        entity: Entity,
        /// Of which.
        key: String,
    },
    /// The record is deleted.
    Remove {
        /// Of what.
        entity: Entity,
        /// Which.
        key: String,
    },
    /// A record that the owner never had.
    Invent {
        /// Of what.
        entity: Entity,
        /// Which.
        key: String,
    },
    /// Two products get each other's values.
    Swap {
        /// The one.
        sku: String,
        /// The other.
        other: String,
    },
}

/// A change in the system that owns the entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A product gets another price, in cents.
    Reprice {
        /// Which.
        sku: String,
        /// The new price.
        cents: i64,
    },
    /// A product gets another name.
    Rename {
        /// Which.
        sku: String,
        /// The new name.
        name: String,
    },
    /// An order is written down, not yet confirmed: of no concern to the warehouse.
    Draft {
        /// Its number.
        number: String,
        /// Its total in cents.
        cents: i64,
    },
    /// An order is confirmed, shipped or cancelled.
    Advance {
        /// Its number.
        number: String,
        /// Its new state.
        state: OrderState,
    },
    /// An order is deleted without a trace.
    Erase {
        /// Its number.
        number: String,
    },
    /// A product is saved with nothing changed but its stamp.
    Touch {
        /// Which.
        sku: String,
    },
    /// The warehouse counts pieces anew.
    Count {
        /// Of which product.
        sku: String,
        /// How many there are.
        pieces: i64,
    },
}

/// The states of an order in the ERP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// Written down.
    Draft,
    /// Confirmed: the warehouse must know it.
    Sale,
    /// Shipped.
    Done,
    /// Cancelled: the warehouse must forget it.
    Cancel,
}

impl OrderState {
    /// The ERP's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Sale => "sale",
            Self::Done => "done",
            Self::Cancel => "cancel",
        }
    }
}

/// How a key is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In which way.
    pub kind: FaultKind,
    /// After this long the sync job sets it right; `None` never.
    pub life: Option<Duration>,
}

impl Change {
    /// The entity that is changed.
    pub const fn entity(&self) -> Entity {
        match self {
            Self::Reprice { .. } | Self::Rename { .. } | Self::Touch { .. } => Entity::Product,
            Self::Draft { .. } | Self::Advance { .. } | Self::Erase { .. } => Entity::Order,
            Self::Count { .. } => Entity::Stock,
        }
    }

    /// The key that is changed, in the common language.
    pub fn key(&self) -> &str {
        match self {
            Self::Reprice { sku, .. } | Self::Rename { sku, .. } | Self::Touch { sku } | Self::Count { sku, .. } => sku,
            Self::Draft { number, .. } | Self::Advance { number, .. } | Self::Erase { number } => number,
        }
    }
}

/// The name of a product as the company opens.
pub fn first_name(product: usize) -> String {
    const THINGS: [&str; 8] =
        ["Plumb line", "Spirit level", "Chalk reel", "Folding rule", "Trowel", "Mallet", "Set square", "Bob"];
    const KINDS: [&str; 5] = ["brass", "oak", "steel", "pocket", "professional extra long"];
    format!("{} {}, no. {product}", KINDS[product % KINDS.len()], THINGS[product % THINGS.len()])
}

/// The price of a product as the company opens, in cents. All honest prices end in 49 or 99, so that a spoiled one
/// cannot be one that was right once.
pub const fn first_price(product: usize) -> i64 {
    999 + 50 * (product as i64 % 40)
}

/// The pieces of a product as the company opens.
pub const fn first_pieces(product: usize) -> i64 {
    20 + (product as i64 * 7) % 80
}

/// The stock keeping unit of a product.
pub fn sku(product: usize) -> String {
    format!("SKU-{product:04}")
}

/// Number of the first order.
const FIRST_ORDER: usize = 1001;
/// No product or order of the owner has a number from here on.
const FIRST_STRAY: usize = 900_000;
/// What the price of a hot key grows by, in cents: more than any other price, and ending like them.
const HOT_STEP: i64 = 10_000;
/// A hot key changes this often.
const HOT_EVERY: Duration = Duration::from_millis(120);
/// The longest time that a clerk's transaction stays open; well below what the config declares as `commit_delay`.
const LONGEST_OPEN: Duration = Duration::from_millis(150);

/// The endless list of actions.
#[derive(Debug)]
pub struct Plan {
    random: StdRng,
    options: Options,
    now: Duration,
    next_fault: Duration,
    faults: usize,
    /// Weights of products, summed up: a few are changed all the time, most rarely (Zipf).
    popularity: Vec<f64>,
    prices: Vec<i64>,
    pieces: Vec<i64>,
    /// `None` where an order was deleted.
    orders: Vec<Option<OrderState>>,
    /// The clerks' next action of no special kind.
    next_action: Duration,
    /// Further changes of hot keys, in order of time.
    queued: VecDeque<(Duration, Change)>,
    /// Spoiled keys and until when; no key is spoiled twice at a time.
    spoiled: BTreeMap<(Entity, String), Duration>,
    /// Keys changed so lately that the sync job may still be carrying them: a fault begins with a settled key.
    moving: BTreeMap<(Entity, String), Duration>,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(options: Options) -> Self {
        let mut sum = 0.0;
        let popularity = (1..=options.products)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        Self {
            random: StdRng::seed_from_u64(options.seed),
            now: Duration::ZERO,
            next_fault: options.first_fault,
            faults: 0,
            popularity,
            prices: (0..options.products).map(first_price).collect(),
            pieces: (0..options.products).map(first_pieces).collect(),
            orders: Vec::new(),
            next_action: Duration::ZERO,
            queued: VecDeque::new(),
            spoiled: BTreeMap::new(),
            moving: BTreeMap::new(),
            options,
        }
    }

    fn spoil_now(&self) -> bool {
        let over = self.options.last_fault.is_some_and(|last| self.now > last);
        self.now >= self.next_fault && !over
    }

    /// A deed and its fault; no fault when the deed shows nowhere or its key is already spoiled or on its way.
    fn spoiled_deed(&mut self) -> (Deed, Option<Fault>) {
        let Some(kind) = self.options.faults.turn(self.faults) else {
            return (Deed::Change(self.plain_change()), None);
        };
        let Some(deed) = self.deed_for(kind).filter(|deed| self.is_free(deed)) else {
            return (Deed::Change(self.plain_change()), None);
        };
        let fault = Fault { kind, life: self.life(kind) };
        let until = fault.life.map_or(Duration::MAX, |life| self.now + life + self.options.rest);
        for key in deed.keys() {
            self.spoiled.insert((deed.entity(), key.to_owned()), until);
        }
        if kind == FaultKind::HotKey {
            self.keep_hot(&deed, fault.life.unwrap_or_default());
        }
        self.faults += 1;
        let gap = self.options.fault_every.mul_f64(self.random.random_range(0.6..1.4));
        self.next_fault = self.now + gap;
        (deed, Some(fault))
    }

    /// A deed that a fault of this kind can spoil, or that is the fault; `None` when there is none just now.
    fn deed_for(&mut self, kind: FaultKind) -> Option<Deed> {
        let change = match kind {
            FaultKind::Delay | FaultKind::Corrupt | FaultKind::Drop | FaultKind::Duplicate | FaultKind::Reorder => {
                match self.random.random_range(0..3) {
                    0 => self.product_change(),
                    1 => self.stock_change(),
                    _ => self.order_change(kind),
                }
            }
            FaultKind::HotKey => self.product_change(),
            FaultKind::Truncate => self.visible_rename(),
            FaultKind::Delete => Change::Erase { number: self.settled_order()? },
            FaultKind::Swap | FaultKind::Drift | FaultKind::Lose | FaultKind::Stray => {
                return Some(Deed::Meddle(self.meddling(kind)?));
            }
        };
        shows(&change).then_some(Deed::Change(change))
    }

    fn meddling(&mut self, kind: FaultKind) -> Option<Meddling> {
        let entity = Entity::ALL[self.random.random_range(0..3)];
        let key = match entity {
            Entity::Order => self.settled_order()?,
            Entity::Product | Entity::Stock => sku(self.product()),
        };
        Some(match kind {
            FaultKind::Swap => {
                let (one, other) = (self.product(), self.product());
                if self.prices[one] == self.prices[other] {
                    return None;
                }
                Meddling::Swap { sku: sku(one), other: sku(other) }
            }
            FaultKind::Lose => Meddling::Remove { entity, key },
            FaultKind::Stray if entity == Entity::Order => {
                Meddling::Invent { entity, key: (FIRST_STRAY + self.faults).to_string() }
            }
            FaultKind::Stray => Meddling::Invent { entity, key: sku(FIRST_STRAY + self.faults) },
            _ => Meddling::Edit { entity, key },
        })
    }

    /// Whether nothing else happens to the keys: not spoiled, and not on their way.
    fn is_free(&self, deed: &Deed) -> bool {
        deed.keys().into_iter().all(|key| {
            let address = (deed.entity(), key.to_owned());
            !self.spoiled.contains_key(&address) && !self.moving.contains_key(&address)
        })
    }

    /// Goes on changing the key as long as nothing of it is carried.
    fn keep_hot(&mut self, deed: &Deed, life: Duration) {
        let Deed::Change(Change::Reprice { sku, cents }) = deed else { return };
        let (mut at, mut cents) = (self.now + HOT_EVERY, *cents);
        while at < self.now + life {
            // Never a price that the target may hold.
            cents += HOT_STEP;
            self.queued.push_back((at, Change::Reprice { sku: sku.clone(), cents }));
            at += HOT_EVERY;
        }
        self.queued.make_contiguous().sort_by_key(|(at, _)| *at);
    }

    /// How long a fault lasts: always long enough to be seen; delays and hot keys end, one in three others never does.
    fn life(&mut self, kind: FaultKind) -> Option<Duration> {
        let shortest = self.options.decidable_after();
        let ends = matches!(kind, FaultKind::Delay | FaultKind::HotKey);
        if !ends && self.random.random_range(0..3) == 0 {
            return None;
        }
        Some(shortest + Duration::from_millis(self.random.random_range(0..6000)))
    }

    fn product(&mut self) -> usize {
        let total = self.popularity.last().copied().unwrap_or(1.0);
        let point = self.random.random_range(0.0..total);
        self.popularity.partition_point(|sum| *sum <= point).min(self.options.products.saturating_sub(1))
    }

    fn plain_change(&mut self) -> Change {
        match self.random.random_range(0..10) {
            0 if self.options.faults != FaultKinds::BASIC => Change::Touch { sku: sku(self.product()) },
            0..3 => self.product_change(),
            3 => self.rename(),
            4..7 => self.stock_change(),
            _ => self.order_change(FaultKind::Delay),
        }
    }

    fn product_change(&mut self) -> Change {
        let product = self.product();
        let mut cents = self.prices[product];
        while cents == self.prices[product] {
            cents = 499 + 50 * self.random.random_range(0..60);
        }
        Change::Reprice { sku: sku(product), cents }
    }

    /// Half of the renames change only what the warehouse cuts off: a touch that changes nothing there.
    fn rename(&mut self) -> Change {
        let product = self.product();
        let edition = self.random.random_range(2..100);
        let name = match self.random.random_bool(0.5) {
            true => format!("{:<24} (edition {edition})", first_name(product)),
            false => format!("{edition}x {}", first_name(product)),
        };
        Change::Rename { sku: sku(product), name }
    }

    /// A rename that the warehouse must follow, whatever the name was.
    fn visible_rename(&mut self) -> Change {
        let product = self.product();
        let edition = 100 + self.faults;
        Change::Rename { sku: sku(product), name: format!("{edition}x {}", first_name(product)) }
    }

    /// A recent order that the warehouse holds.
    fn settled_order(&mut self) -> Option<String> {
        let recent = self.orders.len().saturating_sub(40);
        let held = |state: &Option<OrderState>| matches!(state, Some(OrderState::Sale | OrderState::Done));
        let held: Vec<usize> = (recent..self.orders.len()).filter(|index| held(&self.orders[*index])).collect();
        let index = *held.get(self.random.random_range(0..held.len().max(1)))?;
        Some((FIRST_ORDER + index).to_string())
    }

    fn stock_change(&mut self) -> Change {
        let product = self.product();
        let mut pieces = self.pieces[product];
        while pieces == self.pieces[product] {
            pieces = (self.pieces[product] + self.random.random_range(-6..=6)).clamp(0, 500);
        }
        Change::Count { sku: sku(product), pieces }
    }

    /// Moves a recent order on, or writes a new one. A cancelled order can only be late or lost, so a fault of
    /// another kind gets a confirmation or a shipment.
    fn order_change(&mut self, kind: FaultKind) -> Change {
        let recent = self.orders.len().saturating_sub(12);
        if recent < self.orders.len() {
            let index = self.random.random_range(recent..self.orders.len());
            let loses = matches!(kind, FaultKind::Delay | FaultKind::Drop);
            let next = match self.orders[index] {
                Some(OrderState::Draft) => Some(OrderState::Sale),
                Some(OrderState::Sale) if loses && self.random.random_bool(0.25) => Some(OrderState::Cancel),
                Some(OrderState::Sale) => Some(OrderState::Done),
                Some(OrderState::Done | OrderState::Cancel) | None => None,
            };
            if let Some(state) = next {
                return Change::Advance { number: (FIRST_ORDER + index).to_string(), state };
            }
        }
        let number = (FIRST_ORDER + self.orders.len()).to_string();
        Change::Draft { number, cents: 1000 + self.random.random_range(0..40_000) }
    }

    fn set_order(&mut self, number: &str, state: Option<OrderState>) {
        let index = number.parse::<usize>().unwrap_or(0).saturating_sub(FIRST_ORDER);
        if let Some(order) = self.orders.get_mut(index) {
            *order = state;
        }
    }

    /// Keeps the plan's own picture of the company.
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Reprice { sku, cents } => set(&mut self.prices, sku, *cents),
            Change::Count { sku, pieces } => set(&mut self.pieces, sku, *pieces),
            Change::Rename { .. } | Change::Touch { .. } => {}
            Change::Draft { .. } => self.orders.push(Some(OrderState::Draft)),
            Change::Advance { number, state } => self.set_order(number, Some(*state)),
            Change::Erase { number } => self.set_order(number, None),
        }
    }
}

/// Whether the target must follow the change. A draft is out of scope, and a touch changes nothing.
const fn shows(change: &Change) -> bool {
    !matches!(change, Change::Draft { .. } | Change::Touch { .. })
}

fn set(values: &mut [i64], sku: &str, value: i64) {
    let product = sku.rsplit('-').next().and_then(|digits| digits.parse::<usize>().ok());
    if let Some(slot) = product.and_then(|product| values.get_mut(product)) {
        *slot = value;
    }
}

impl Iterator for Plan {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        let gap = self.random.random_range(0.4..1.6) / self.options.changes_per_second;
        if self.next_action == Duration::ZERO {
            self.next_action = Duration::from_secs_f64(gap);
        }
        if let Some((at, change)) = self.queued.pop_front_if(|(at, _)| *at < self.next_action) {
            self.now = at;
            self.apply(&change);
            return Some(Action { at, deed: Deed::Change(change), fault: None, held_open: Duration::ZERO });
        }
        self.now = self.next_action;
        self.next_action += Duration::from_secs_f64(gap);
        let now = self.now;
        self.spoiled.retain(|_, until| *until > now);
        self.moving.retain(|_, until| *until > now);
        let (deed, fault) =
            if self.spoil_now() { self.spoiled_deed() } else { (Deed::Change(self.plain_change()), None) };
        let mut held_open = Duration::ZERO;
        if let Deed::Change(change) = &deed {
            self.apply(change);
            self.moving.insert((change.entity(), change.key().to_owned()), now + self.options.sync_delay.1 * 2);
            if self.options.faults != FaultKinds::BASIC && self.random.random_bool(0.05) {
                held_open = LONGEST_OPEN.mul_f64(self.random.random_range(0.2..1.0));
            }
        }
        Some(Action { at: now, deed, fault, held_open })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn minute(seed: u64) -> Vec<Action> {
        let options = Options::for_run(seed, Some(Duration::from_secs(60)));
        minute_of(options)
    }

    fn minute_of(options: Options) -> Vec<Action> {
        Plan::new(options).take_while(|action| action.at < Duration::from_secs(60)).collect()
    }

    fn every_kind(seed: u64) -> Options {
        Options { faults: FaultKinds::ALL, ..Options::for_run(seed, Some(Duration::from_secs(60))) }
    }

    #[test]
    fn a_seed_decides_everything() {
        assert_eq!(minute(7), minute(7));
        assert_ne!(minute(7), minute(8));
    }

    #[test]
    fn every_kind_is_planted_in_a_minute_and_none_too_late_to_be_seen() {
        for seed in 0..20 {
            let planted: Vec<Action> = minute(seed).into_iter().filter(|action| action.fault.is_some()).collect();
            let kinds: BTreeSet<&str> =
                planted.iter().filter_map(|action| action.fault).map(|fault| fault.kind.as_str()).collect();
            assert_eq!(kinds.len(), FaultKinds::BASIC.iter().count(), "seed {seed}");
            assert!(planted.iter().all(|action| action.at <= Duration::from_secs(48)), "seed {seed}");
            assert!(planted.len() >= 12, "seed {seed}: {}", planted.len());
        }
    }

    #[test]
    fn no_key_is_spoiled_twice_at_a_time() {
        for seed in 0..20 {
            let mut until: BTreeMap<(Entity, String), Duration> = BTreeMap::new();
            for action in minute_of(every_kind(seed)) {
                let Some(fault) = action.fault else { continue };
                for key in action.deed.keys() {
                    let address = (action.deed.entity(), key.to_owned());
                    assert!(until.get(&address).is_none_or(|end| *end <= action.at), "seed {seed}: {address:?}");
                    until.insert(address, fault.life.map_or(Duration::MAX, |life| action.at + life));
                }
            }
        }
    }

    #[test]
    fn time_goes_forward_and_hot_keys_stay_hot() {
        for seed in 0..20 {
            let actions = minute_of(every_kind(seed));
            assert!(actions.is_sorted_by_key(|action| action.at), "seed {seed}");
            let hot = |action: &&Action| action.fault.is_some_and(|fault| fault.kind == FaultKind::HotKey);
            for planted in actions.iter().filter(hot) {
                let life = planted.fault.and_then(|fault| fault.life).expect("a hot key cools down");
                let during = planted.at..planted.at + life;
                let same = |action: &&Action| during.contains(&action.at) && action.deed.keys() == planted.deed.keys();
                assert!(actions.iter().filter(same).count() > 30, "seed {seed}");
            }
        }
    }

    #[test]
    fn all_kinds_are_planted_when_asked_for() {
        let mut kinds = BTreeSet::new();
        for seed in 0..3 {
            kinds.extend(minute_of(every_kind(seed)).into_iter().filter_map(|action| Some(action.fault?.kind)));
        }
        assert_eq!(kinds.len(), FaultKind::ALL.len(), "{kinds:?}");
    }

    #[test]
    fn orders_follow_their_life() {
        let mut orders: BTreeMap<String, OrderState> = BTreeMap::new();
        for action in minute(3) {
            let Deed::Change(change) = action.deed else { continue };
            match change {
                Change::Draft { number, .. } => assert_eq!(orders.insert(number, OrderState::Draft), None),
                Change::Advance { number, state } => {
                    let before = orders.insert(number, state);
                    let allowed = match state {
                        OrderState::Sale => before == Some(OrderState::Draft),
                        OrderState::Done | OrderState::Cancel => before == Some(OrderState::Sale),
                        OrderState::Draft => false,
                    };
                    assert!(allowed, "{before:?} -> {state:?}");
                }
                _ => {}
            }
        }
        assert!(orders.len() > 20);
    }
}
