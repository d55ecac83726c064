//! The write log is exact: whatever anybody reads at any time is what the log says was there then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plumbline::model::Moment;
use plumbline::sandbox::book::{Book, Manner, Write};
use plumbline::sandbox::record::{Content, Entity, Field, System, status};
use plumbline::sandbox::store::{NewOrder, Store};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::company::{Company, customer, product, stock};

/// Somebody who acts at random.
struct Actor {
    company: Arc<Company>,
    random: StdRng,
}

/// What somebody read: between which moments, of what, and what it said.
type Seen = (Moment, Moment, System, Entity, String, Vec<Content>);

impl Actor {
    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.random.random_range(0..all.len())].clone()
    }

    fn key(&mut self, entity: Entity) -> String {
        let number = self.random.random_range(1..=4);
        match entity {
            Entity::Order => (1_000 + number).to_string(),
            Entity::Customer => format!("c{number:04}"),
            _ => format!("SKU-{number:04}"),
        }
    }

    fn lines(&mut self) -> Vec<(String, i64)> {
        let count = self.random.random_range(1..=3);
        (0..count).map(|_| (self.key(Entity::Product), self.random.random_range(1..=3))).collect()
    }

    fn content(&mut self, entity: Entity) -> Content {
        let number = self.random.random_range(0..1_000);
        match entity {
            Entity::Product => product(&format!("Bob & {number}"), number),
            Entity::Stock => stock(number),
            // An e-mail belongs to one user, so some of these writes are refused.
            Entity::Customer => customer(&format!("Ada {number}"), &format!("ada{}@x.example", number % 40)),
            _ => Content::default()
                .with(Field::Status, self.one_of(&[status::PENDING, status::OPEN, status::SHIPPED, status::CANCELLED]))
                .with(Field::Currency, self.one_of(&["EUR", "JPY"]))
                .with(Field::Total, 1_000 + number)
                .with(Field::Refunded, number / 2)
                .with(Field::Lines, "SKU-0001*2,SKU-0002*1"),
        }
    }

    fn manner(&mut self) -> Manner {
        Manner { softly: self.random.random_bool(0.5), unstamped: self.random.random_bool(0.2), ..Manner::default() }
    }

    /// One write, which may be refused.
    async fn act(&mut self) {
        let company = Arc::clone(&self.company);
        let entity = self.one_of(&[Entity::Product, Entity::Stock, Entity::Order, Entity::Order, Entity::Customer]);
        if entity == Entity::Order && self.random.random_bool(0.6) {
            return self.sell(&company.store);
        }
        let (key, manner) = (self.key(entity), self.manner());
        let contents = if self.random.random_bool(0.2) { vec![] } else { vec![self.content(entity)] };
        let crm = entity == Entity::Customer && self.random.random_bool(0.5);
        let _refused = match (crm, self.random.random_bool(0.5)) {
            (true, true) => company.crm.write(entity, &key, &contents, manner).await,
            (true, false) => company.crm.client().unwrap().write(entity, &key, &contents, manner).await,
            (false, true) => company.store.write(entity, &key, &contents, manner).await,
            (false, false) => company.store.client().unwrap().write(entity, &key, &contents, manner).await,
        };
    }

    /// What shoppers and clerks do with orders.
    fn sell(&mut self, store: &Store) {
        let (key, lines) = (self.key(Entity::Order), self.lines());
        let _refused = match self.random.random_range(0..5) {
            0 => {
                let (status, currency) = (status::OPEN.to_owned(), self.one_of(&["EUR", "JPY"]).to_owned());
                store.place(&NewOrder { status, currency, lines, ..NewOrder::default() }).map(drop)
            }
            1 => store.set_status(&key, self.one_of(&[status::OPEN, status::SHIPPED, status::CANCELLED])),
            2 => store.refund(&key, self.random.random_range(1..500), "random"),
            3 => store.edit_lines(&key, &lines),
            _ => store.erase(&key),
        };
    }

    /// Reads something, from inside or over HTTP.
    async fn look(&mut self) -> Seen {
        let company = Arc::clone(&self.company);
        let entity = self.one_of(&[Entity::Product, Entity::Stock, Entity::Order, Entity::Customer]);
        let key = self.key(entity);
        let crm = entity == Entity::Customer && self.random.random_bool(0.5);
        let from = company.clock.now();
        let found = match (crm, self.random.random_bool(0.5)) {
            (true, true) => company.crm.read(entity, &key).await,
            (true, false) => company.crm.client().unwrap().read(entity, &key).await,
            (false, true) => company.store.read(entity, &key).await,
            (false, false) => company.store.client().unwrap().read(entity, &key).await,
        };
        let system = if crm { System::Crm } else { System::Store };
        (from, company.clock.now(), system, entity, key, found.unwrap())
    }
}

/// Whether the log says that this could be seen between these moments.
fn is_told(log: &[Write], (from, until, system, entity, key, found): &Seen) -> bool {
    let writes = log.iter().filter(|write| (write.system, write.entity, &write.key) == (*system, *entity, key));
    let mut states = vec![(Moment::MIN, &[][..])];
    states.extend(writes.map(|write| (write.committed.low, &*write.contents)));
    let ends = |place: usize| log_end(log, &states, place);
    (0..states.len()).any(|place| states[place].1 == found && states[place].0 <= *until && ends(place) >= *from)
}

/// When the next state of the key had surely come.
fn log_end(log: &[Write], states: &[(Moment, &[Content])], place: usize) -> Moment {
    let Some((begun, _)) = states.get(place + 1) else { return Moment::MAX };
    log.iter().filter(|write| write.committed.low == *begun).map(|write| write.committed.high).max().unwrap_or(*begun)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_anybody_reads_at_any_time_is_what_the_log_says() {
    let company = Arc::new(Company::open().await);
    let actor = |seed| Actor { company: Arc::clone(&company), random: StdRng::seed_from_u64(seed) };
    let is_done = Arc::new(AtomicBool::new(false));
    let watchers: Vec<_> = (0..2)
        .map(|seed| {
            let (mut watcher, is_done) = (actor(100 + seed), Arc::clone(&is_done));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !is_done.load(Ordering::SeqCst) {
                    seen.push(watcher.look().await);
                }
                seen
            })
        })
        .collect();
    let actors: Vec<_> = (0..4)
        .map(|seed| {
            let mut actor = actor(seed);
            tokio::spawn(async move {
                for _ in 0..200 {
                    actor.act().await;
                }
            })
        })
        .collect();
    for actor in actors {
        actor.await.unwrap();
    }
    is_done.store(true, Ordering::SeqCst);
    let log = company.log.writes();
    for watcher in watchers {
        let seen = watcher.await.unwrap();
        assert!(seen.len() > 100, "only {} looks", seen.len());
        for look in seen {
            assert!(is_told(&log, &look), "{look:?}");
        }
    }
    let mut said = std::collections::BTreeMap::new();
    for write in &log {
        said.insert((write.system, write.entity, write.key.clone()), write.contents.clone());
    }
    assert!(said.len() >= 16, "{said:?}");
    for ((system, entity, key), contents) in said {
        let held = match system {
            System::Store => company.store.read(entity, &key).await.unwrap(),
            _ => company.crm.read(entity, &key).await.unwrap(),
        };
        assert_eq!(held, contents, "{system} {entity} {key}");
    }
    // Writes of one system come one after the other.
    for system in [System::Store, System::Crm] {
        let of: Vec<&Write> = log.iter().filter(|write| write.system == system).collect();
        let in_order =
            |pair: &[&Write]| pair[0].committed == pair[1].committed || pair[0].committed.high <= pair[1].committed.low;
        assert!(of.windows(2).all(in_order), "{system}");
    }
}
