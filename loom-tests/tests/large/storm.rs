//! Three pools in two arenas, whose limits change: getters of every kind, and a thief.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use kva::sync::Arc;
use kva::{AllocError, Arena};
use loom_tests::historical::{KeepsOwnTime, QueuesBlindly, SleepsUnreachably};
use loom_tests::run::{known_bad, model, witnessed};
use loom_tests::world::{Item, arena, assert_arena_whole, assert_pool_at_rest, block_on, one, pages};
use pool::{ArenaPages, Backend, Classic, GetError, RawPool};

use crate::dice::{IN_TIME, below, one_of, pause};
use crate::holders::{Holders, join_all, threads};

/// Getters, of which each gets so often.
const GETTERS: usize = 24;
const ROUNDS: usize = 3;

/// Pages that each pool may have, while its limit is not lowered.
const LIMIT: u32 = 3;

/// Of each pool: its arena, and its low water.
const POOLS: [(usize, u32); 3] = [(0, 1), (0, 0), (1, 0)];

/// Fewer than the pools would have, and two more than they hold at low water: so many somebody wants.
const QUANTA: [usize; 2] = [3, 2];

struct World<B: Backend> {
    arenas: [Arena; 2],
    pools: [RawPool<B>; 3],
    holders: Holders,
}

type Way<B> = fn(&World<B>, usize);

impl<B: Backend<Error = AllocError>> World<B> {
    /// Waiters of the first pool may be overtaken so often, and those of each other pool once more.
    fn new(backend: impl Fn(Arena) -> B, mut bypass: u32) -> Arc<Self> {
        let arenas = QUANTA.map(|quanta| arena(quanta, 1));
        let pools = POOLS.map(|(at, low)| {
            let builder = pages(LIMIT).low_water(low).high_water(low + 1).bypass(bypass);
            bypass += 1;
            let pool = builder.build(backend(arenas[at].clone())).unwrap();
            assert_eq!(pool.prime(low).unwrap(), low);
            pool
        });
        Arc::new(Self { arenas, pools, holders: Holders::new() })
    }

    fn hold(&self, at: usize, items: impl IntoIterator<Item = impl Into<Item>>) {
        self.holders.hold(POOLS[at].0, &self.pools[at], items);
    }

    fn waits(&self, at: usize) {
        let item = self.pools[at].get().unwrap();
        self.hold(at, [item]);
    }

    fn tries(&self, at: usize) {
        if let Ok(item) = self.pools[at].try_get() {
            self.hold(at, [item]);
        }
    }

    fn times_out(&self, at: usize) {
        if let Ok(item) = self.pools[at].get_timeout(IN_TIME) {
            self.hold(at, [item]);
        }
    }

    /// It gives up its page, and then the wait for an item.
    fn gives_up_its_page(&self, at: usize) {
        let request = self.pools[at].request().grow_timeout(IN_TIME).timeout(IN_TIME);
        if let Ok(item) = request.get() {
            self.hold(at, [item]);
        }
    }

    fn wants_two(&self, at: usize) {
        match self.pools[at].get_many(2) {
            Ok(items) => self.hold(at, items),
            Err(error) => assert!(matches!(error, GetError::TooMany { .. }), "{error:?}"),
        }
    }

    fn awaits(&self, at: usize) {
        let item = block_on(self.pools[at].get_async()).unwrap();
        self.hold(at, [item]);
    }

    /// A future that is polled once, and dropped.
    fn drops_a_future(&self, at: usize) {
        let pool = &self.pools[at];
        let early = {
            let mut getter = pin!(pool.get_async());
            let early = getter.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            pause();
            early
        };
        if let Poll::Ready(item) = early {
            self.hold(at, [item.unwrap()]);
        }
    }

    /// Takes what it finds in an arena, and frees it; looks at the pools before.
    fn steal(&self) {
        for _ in 0..ROUNDS {
            for pool in &self.pools {
                let stats = pool.stats();
                assert!(stats.pages + stats.growing <= LIMIT, "bound: {stats:?}");
            }
            let arena = one_of(&self.arenas);
            let span = arena.try_alloc(one());
            pause();
            if let Ok(span) = span {
                arena.free(span).unwrap();
            }
        }
    }

    fn change_limits(&self) {
        for _ in 0..ROUNDS {
            let at = below(POOLS.len());
            let (pool, low) = (&self.pools[at], POOLS[at].1);
            match below(4) {
                0 => pool.set_hard_limit(1 + below(LIMIT as usize) as u32).unwrap(),
                1 => pool.set_water(low, low + 1).unwrap(),
                2 => pool.set_water(low, low).unwrap(),
                _ => drop(pool.drain()),
            }
            pause();
            pool.set_hard_limit(LIMIT).unwrap();
        }
    }

    fn assert_at_rest(self) {
        for (at, (pool, (_, low))) in self.pools.iter().zip(POOLS).enumerate() {
            pool.set_water(low, low).unwrap();
            pool.drain();
            let stats = assert_pool_at_rest(pool, low);
            assert!(stats.most_overtaken <= at as u64, "overtaken too often: {stats:?}");
        }
        drop(self.pools);
        self.arenas.iter().for_each(assert_arena_whole);
    }
}

fn storm<B: Backend<Error = AllocError>>(
    backend: impl Fn(Arena) -> B,
    bypass: u32,
    ways: impl IntoIterator<Item = Way<B>>,
    end: impl FnOnce(&World<B>),
) where
    World<B>: Send + Sync + 'static,
{
    let world = World::new(backend, bypass);
    let ways: Arc<[Way<B>]> = ways.into_iter().collect();
    let getters = threads(GETTERS, {
        let world = world.clone();
        move |_| {
            for _ in 0..ROUNDS {
                one_of(&ways)(&world, below(POOLS.len()));
            }
        }
    });
    let others = threads(3, {
        let world = world.clone();
        move |at| if at == 0 { world.change_limits() } else { world.steal() }
    });
    join_all(getters.chain(others));
    end(&world);
    Arc::into_inner(world).expect("all others have ended").assert_at_rest();
}

/// Those that any back-end has.
fn of_threads<B: Backend<Error = AllocError>>() -> [Way<B>; 5] {
    [World::waits, World::tries, World::times_out, World::gives_up_its_page, World::wants_two]
}

fn of_all<B: Backend<Error = AllocError>>() -> impl Iterator<Item = Way<B>> {
    of_threads().into_iter().chain([World::awaits as Way<B>, World::drops_a_future])
}

#[test]
fn all_at_once() {
    witnessed("large/storm", "somebody waited in each pool", |waited| {
        storm(
            |arena| arena,
            0,
            of_all(),
            |world| waited.saw(world.pools.iter().all(|pool| pool.stats().waits.served > 0)),
        );
    });
}

/// Getters sleep in the back-end, and pages go to them by claims.
#[test]
fn asleep_in_the_back_end() {
    model("large/storm/classic", || storm(|arena| Classic::new(ArenaPages(arena)), 0, of_threads(), |_| ()));
}

#[test]
fn asleep_unreachably() {
    known_bad("large/storm/status_quo", "deadlock", || storm(SleepsUnreachably, 0, of_threads(), |_| ()));
}

#[test]
fn pools_that_keep_what_others_wait_for() {
    known_bad("large/storm/keeps_idle", "deadlock", || storm(KeepsOwnTime, 0, of_all(), |_| ()));
}

#[test]
fn requests_that_are_queued_blindly() {
    known_bad("large/storm/queued_blindly", "deadlock", || storm(QueuesBlindly::new, 0, of_all(), |_| ()));
}

#[test]
fn waiters_that_are_overtaken_once_too_often() {
    known_bad("large/storm/overtaken", "overtaken too often", || storm(|arena| arena, 1, of_all(), |_| ()));
}
