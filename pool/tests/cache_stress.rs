//! Everything at once, with caches: threads that come, get and put at random in every way, and go, while
//! limits change and pages go to another pool. Nothing is lent twice, the bound holds (P1), and in the
//! end all is at rest (P6).

#![cfg(not(loom))]

use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{Decommit, Region, Reserve};
use pool::{GetError, Item, Local, LocalItem, OwnedItem, Pool, Reservation, TryGetError};

#[macro_use]
mod support;

use support::{AnyPool, CloseOnPanic, QUANTUM, Random, assert_whole, wait_for};

const THREADS: usize = 6;
const LIVES: usize = 30;
const STEPS: usize = 1500;
const PAGES: u32 = 6;
const ITEMS: usize = 8;
/// Fewer than both pools may have, and a page for each whatever the other has.
const QUANTA: usize = 7;
/// As many leave enough of one page to who wants most.
const TABLE: usize = 4;
const MOST: usize = ITEMS - TABLE;

/// Counts itself, and knows who has it.
struct Object {
    alive: Arc<AtomicUsize>,
    holder: usize,
    _rest: [u8; QUANTUM / ITEMS - 32],
}

impl Drop for Object {
    fn drop(&mut self) {
        assert_eq!(self.holder, 0, "it is destroyed while somebody has it");
        self.alive.fetch_sub(1, SeqCst);
    }
}

/// A guard of any kind.
enum Held<'p> {
    Item(Item<'p, Object>),
    Local(LocalItem<'p, Object>),
    Owned(OwnedItem<Object>),
}

impl Held<'_> {
    fn object(&mut self) -> &mut Object {
        match self {
            Self::Item(item) => &mut *item,
            Self::Local(item) => &mut *item,
            Self::Owned(item) => &mut *item,
        }
    }

    fn take(mut self, holder: usize) -> Self {
        assert_eq!(std::mem::replace(&mut self.object().holder, holder), 0, "somebody else has it, too");
        self
    }

    fn put(mut self, holder: usize) {
        assert_eq!(std::mem::take(&mut self.object().holder), holder, "somebody else has it, too");
    }

    fn discard(mut self, holder: usize) {
        assert_eq!(std::mem::take(&mut self.object().holder), holder);
        match self {
            Self::Item(item) => Item::discard(item),
            Self::Local(item) => LocalItem::discard(item),
            Self::Owned(item) => drop(OwnedItem::detach(item)),
        }
    }
}

/// What all threads share.
struct World {
    pools: [Pool<Object>; 2],
    /// What one thread got, and another puts.
    table: Mutex<Vec<OwnedItem<Object>>>,
}

/// Fails as it may: somebody else has them all, or the limit came down.
fn may_fail<T, E: std::fmt::Debug>(got: Result<T, GetError<E>>) -> Option<T> {
    match got {
        Ok(got) => Some(got),
        Err(GetError::TimedOut(_) | GetError::TooMany { .. }) => None,
        Err(other) => panic!("{other:?}"),
    }
}

fn may_be_scarce<T, E: std::fmt::Debug>(got: Result<T, TryGetError<E>>) -> Option<T> {
    match got {
        Ok(got) => Some(got),
        Err(TryGetError::Exhausted | TryGetError::Scarce | TryGetError::TooMany { .. }) => None,
        Err(other) => panic!("{other:?}"),
    }
}

/// One thread's life. Who waits without end holds nothing: others may wait for that.
fn live(world: &World, me: usize, random: &mut Random) {
    let locals: [Local<'_, _>; 2] = [world.pools[0].local(), world.pools[1].local()];
    let mut held: Vec<Held<'_>> = Vec::new();
    for _ in 0..STEPS {
        let at = random.below(2) as usize;
        let (pool, local) = (&world.pools[at], &locals[at]);
        let take = |item| Held::take(item, me);
        let soon = Duration::from_micros(random.below(200));
        match random.below(100) {
            0..15 if held.is_empty() => held.extend(may_fail(pool.get()).map(Held::Item).map(take)),
            15..30 if held.is_empty() => held.extend(may_fail(local.get()).map(Held::Local).map(take)),
            30..33 if held.is_empty() => {
                held.extend(may_fail(wait_for(pool.get_owned_async())).map(Held::Owned).map(take));
            }
            33..36 if held.is_empty() => {
                let some =
                    may_fail(pool.get_many(1 + random.below(MOST as u64) as usize)).into_iter().flatten();
                held.extend(some.map(Held::Item).map(take));
            }
            36..44 => held.extend(may_be_scarce(pool.try_get()).map(Held::Item).map(take)),
            44..52 => held.extend(may_be_scarce(local.try_get()).map(Held::Local).map(take)),
            52..55 => held.extend(may_fail(pool.get_timeout(soon)).map(Held::Item).map(take)),
            55..58 => {
                let mut some = may_be_scarce(pool.try_reserve(2));
                held.extend(some.as_mut().and_then(Reservation::get).map(Held::Owned).map(take));
            }
            58..62 => {
                let item = world.table.lock().pop();
                drop(item);
            }
            62..66 => {
                let mut item = may_be_scarce(pool.request().try_get_owned());
                let mut table = world.table.lock();
                if table.len() < TABLE {
                    table.extend(item.take());
                }
                drop(table);
            }
            66..68 => drop(pool.drain()),
            68..70 => pool.set_hard_limit(1 + random.below(u64::from(PAGES)) as u32).unwrap(),
            70 => pool.set_water(0, random.below(u64::from(PAGES)) as u32).unwrap(),
            71..73 => {
                let stats = pool.stats();
                assert!(stats.pages + stats.growing <= PAGES, "P1: {stats:?}");
                assert!(!format!("{pool:?}").is_empty());
            }
            73 if !held.is_empty() => held.swap_remove(0).discard(me),
            74 => thread::yield_now(),
            _ if !held.is_empty() => {
                let at = random.below(held.len() as u64) as usize;
                held.swap_remove(at).put(me);
            }
            _ => drop(may_be_scarce(local.try_get())),
        }
        while held.len() > 8 {
            held.swap_remove(0).put(me);
        }
    }
    for held in held {
        held.put(me);
    }
    // What is on the table may be all there is.
    let left = std::mem::take(&mut *world.table.lock());
    drop(left);
}

#[test]
fn threads_come_and_go_while_everything_changes() {
    let region = Region::reserve(QUANTA * QUANTUM, Reserve::new().decommit(Decommit::Protect)).unwrap();
    let memory = kva::Arena::new(region, QUANTUM).unwrap();
    let alive = Arc::new(AtomicUsize::new(0));
    // One whose caches are as large as they come, and one whose are always there.
    let pools = [None, Some(2)].map(|rounds| {
        let alive = alive.clone();
        let construct = move || {
            alive.fetch_add(1, SeqCst);
            Object { alive: alive.clone(), holder: 0, _rest: [0; _] }
        };
        let builder = Pool::builder(PAGES, construct).items_per_page(ITEMS as u32);
        let builder = if let Some(rounds) = rounds { builder.magazine_rounds(rounds) } else { builder };
        builder.build(memory.clone()).unwrap()
    });
    let world = World { pools, table: Mutex::new(Vec::new()) };
    thread::scope(|scope| {
        for number in 1..=THREADS {
            let world = &world;
            scope.spawn(move || {
                let _closes = world.pools.each_ref().map(CloseOnPanic);
                let mut random = Random::new(number);
                for _ in 0..LIVES {
                    // A thread of its own: what it had cached goes back as it ends.
                    let life = thread::scope(|scope| scope.spawn(|| live(world, number, &mut random)).join());
                    life.unwrap();
                }
            });
        }
    });
    let World { pools, table } = world;
    drop(table);
    for pool in &pools {
        pool.set_hard_limit(PAGES).unwrap();
        let stats = AnyPool::stats(pool);
        assert_eq!((stats.out, stats.gets), (0, stats.puts), "{stats:?}");
        assert!(stats.sweeps > 0 && stats.refused == 0, "{stats:?}");
        assert_eq!(stats.idle, stats.pages as usize * ITEMS, "{stats:?}");
        pool.drain();
        let stats = pool.stats();
        assert_eq!((stats.pages, stats.growing, stats.live, stats.waiting, stats.cached), (0, 0, 0, 0, 0));
    }
    assert_eq!(alive.load(SeqCst), 0);
    assert_whole(&memory);
}
