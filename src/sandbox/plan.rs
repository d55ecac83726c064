//! What the clerks will do and which of it the sync job will spoil, all decided by a seed. Pure.
//!
//! A [`Plan`] is an endless iterator: the same seed and options give the same actions, keys and faults.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Entity, FaultKind, Options};

/// One thing that a clerk does.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// When, since the start.
    pub at: Duration,
    /// What.
    pub change: Change,
    /// How the sync job spoils it, if it does.
    pub fault: Option<Fault>,
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

/// How the sync job spoils a key.
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
            Self::Reprice { .. } | Self::Rename { .. } => Entity::Product,
            Self::Draft { .. } | Self::Advance { .. } => Entity::Order,
            Self::Count { .. } => Entity::Stock,
        }
    }

    /// The key that is changed, in the common language.
    pub fn key(&self) -> &str {
        match self {
            Self::Reprice { sku, .. } | Self::Rename { sku, .. } | Self::Count { sku, .. } => sku,
            Self::Draft { number, .. } | Self::Advance { number, .. } => number,
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
    orders: Vec<OrderState>,
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
            spoiled: BTreeMap::new(),
            moving: BTreeMap::new(),
            options,
        }
    }

    fn spoil_now(&self) -> bool {
        let over = self.options.last_fault.is_some_and(|last| self.now > last);
        self.now >= self.next_fault && !over
    }

    /// A change and its fault; no fault when the change shows nowhere or its key is already spoiled.
    fn spoiled_change(&mut self) -> (Change, Option<Fault>) {
        let kind = FaultKind::ALL[self.faults % FaultKind::ALL.len()];
        let change = match self.random.random_range(0..3) {
            0 => self.product_change(),
            1 => self.stock_change(),
            _ => self.order_change(kind),
        };
        let address = (change.entity(), change.key().to_owned());
        if self.spoiled.contains_key(&address) || self.moving.contains_key(&address) || !shows(&change) {
            return (change, None);
        }
        let fault = Fault { kind, life: self.life(kind) };
        let until = fault.life.map_or(Duration::MAX, |life| self.now + life + self.options.rest);
        self.spoiled.insert(address, until);
        self.faults += 1;
        let gap = self.options.fault_every.mul_f64(self.random.random_range(0.6..1.4));
        self.next_fault = self.now + gap;
        (change, Some(fault))
    }

    /// How long a fault lasts: always long enough to be seen; delays end, one in three others never does.
    fn life(&mut self, kind: FaultKind) -> Option<Duration> {
        let shortest = self.options.decidable_after();
        if kind != FaultKind::Delay && self.random.random_range(0..3) == 0 {
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
                OrderState::Draft => Some(OrderState::Sale),
                OrderState::Sale if loses && self.random.random_bool(0.25) => Some(OrderState::Cancel),
                OrderState::Sale => Some(OrderState::Done),
                OrderState::Done | OrderState::Cancel => None,
            };
            if let Some(state) = next {
                return Change::Advance { number: (FIRST_ORDER + index).to_string(), state };
            }
        }
        let number = (FIRST_ORDER + self.orders.len()).to_string();
        Change::Draft { number, cents: 1000 + self.random.random_range(0..40_000) }
    }

    /// Keeps the plan's own picture of the company.
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Reprice { sku, cents } => set(&mut self.prices, sku, *cents),
            Change::Count { sku, pieces } => set(&mut self.pieces, sku, *pieces),
            Change::Rename { .. } => {}
            Change::Draft { .. } => self.orders.push(OrderState::Draft),
            Change::Advance { number, state } => {
                let index = number.parse::<usize>().unwrap_or(0).saturating_sub(FIRST_ORDER);
                if let Some(order) = self.orders.get_mut(index) {
                    *order = *state;
                }
            }
        }
    }
}

/// Whether the target must follow the change. A draft is out of scope; a rename may be cut off.
const fn shows(change: &Change) -> bool {
    !matches!(change, Change::Draft { .. } | Change::Rename { .. })
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
        self.now += Duration::from_secs_f64(gap);
        let now = self.now;
        self.spoiled.retain(|_, until| *until > now);
        self.moving.retain(|_, until| *until > now);
        let (change, fault) = if self.spoil_now() { self.spoiled_change() } else { (self.plain_change(), None) };
        self.apply(&change);
        let address = (change.entity(), change.key().to_owned());
        self.moving.insert(address, now + self.options.sync_delay.1 * 2);
        Some(Action { at: now, change, fault })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn minute(seed: u64) -> Vec<Action> {
        let options = Options::for_run(seed, Some(Duration::from_secs(60)));
        Plan::new(options).take_while(|action| action.at < Duration::from_secs(60)).collect()
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
            assert_eq!(kinds.len(), FaultKind::ALL.len(), "seed {seed}");
            assert!(planted.iter().all(|action| action.at <= Duration::from_secs(48)), "seed {seed}");
            assert!(planted.len() >= 12, "seed {seed}: {}", planted.len());
        }
    }

    #[test]
    fn no_key_is_spoiled_twice_at_a_time() {
        for seed in 0..20 {
            let mut until: BTreeMap<(Entity, String), Duration> = BTreeMap::new();
            for action in minute(seed) {
                let Some(fault) = action.fault else { continue };
                let address = (action.change.entity(), action.change.key().to_owned());
                assert!(until.get(&address).is_none_or(|end| *end <= action.at), "seed {seed}: {address:?}");
                until.insert(address, fault.life.map_or(Duration::MAX, |life| action.at + life));
            }
        }
    }

    #[test]
    fn orders_follow_their_life() {
        let mut orders: BTreeMap<String, OrderState> = BTreeMap::new();
        for action in minute(3) {
            match action.change {
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
