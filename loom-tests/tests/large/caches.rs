//! Pools whose threads have caches: threads that get, put, try, wait for several, and end, with what is
//! in their caches; and another pool of the same arena that needs what is cached.

use kva::sync::{Arc, Mutex};
use loom_tests::caching::flawed::{Flaw, Flawed};
use loom_tests::caching::{Caching, Production};
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, pages};
use pool::RawPool;

use crate::dice::{below, pause};
use crate::holders::{Holders, join_all, threads};

/// Fewer than would have one at the same time.
const ITEMS: u32 = 6;
const THREADS: usize = 12;

/// Each gets and puts at most so often: so often that the pool comes to rest in between.
const ROUNDS: usize = 16;

/// All get and put. Half of them end then, with what is in their caches; the others stay until those
/// have ended, so that nothing comes out of a cache because its thread ends.
fn crowd<P: Caching>(pool: P) {
    let (pool, gate) = (Arc::new(pool), Arc::new(Mutex::new(())));
    let closed = gate.lock();
    let work = |pool: &P| {
        for _ in 0..=below(ROUNDS) {
            match below(4) {
                0 => pool.put_all(pool.try_get()),
                1 => {
                    let several = pool.get_many(3);
                    pause();
                    pool.put_all(several);
                }
                _ => {
                    let item = pool.get();
                    pause();
                    pool.put(item);
                }
            }
        }
    };
    let staying: Vec<_> = threads(THREADS / 2, {
        let (pool, gate) = (pool.clone(), gate.clone());
        move |_| {
            work(&pool);
            drop(gate.lock());
        }
    })
    .collect();
    join_all(threads(THREADS / 2, {
        let pool = pool.clone();
        move |_| work(&pool)
    }));
    // None is lost, wherever they are.
    pool.put_all(pool.get_many(ITEMS as usize));
    drop(closed);
    join_all(staying);
    Arc::into_inner(pool).expect("all others have ended").assert_at_rest();
}

#[test]
fn a_crowd_with_caches() {
    model("large/caches", || crowd(Production::new(ITEMS)));
}

#[test]
fn a_crowd_whose_caches_are_not_swept() {
    known_bad("large/caches/sweeps_nothing", "deadlock", || {
        crowd(Flawed::new(Flaw::SweepsNothing, ITEMS as usize));
    });
}

#[test]
fn a_crowd_whose_caches_are_swept_while_busy() {
    known_bad("large/caches/sweeps_past_the_busy", "Causality violation", || {
        crowd(Flawed::new(Flaw::SweepsPastTheBusy, ITEMS as usize));
    });
}

#[test]
fn a_crowd_whose_depot_is_not_swept() {
    known_bad("large/caches/sweeps_no_depot", "deadlock", || {
        crowd(Flawed::new(Flaw::SweepsNoDepot, ITEMS as usize));
    });
}

#[test]
fn a_crowd_whose_dead_are_forgotten() {
    known_bad("large/caches/forgets_the_dead", "deadlock", || {
        crowd(Flawed::new(Flaw::ForgetsTheDead, ITEMS as usize));
    });
}

#[test]
fn a_crowd_that_caches_beside_waiters() {
    known_bad("large/caches/restored_beside_waiters", "deadlock", || {
        crowd(Flawed::new(Flaw::RestoresBesideWaiters, ITEMS as usize));
    });
}

/// Two pools of one arena that cannot both have what they would: what one has cached is what the
/// other waits for. Threads have caches of both; some go by a handle of their own.
fn two_pools(cached: &Witness) {
    const ITEMS: u32 = 4;

    // A page is of four quanta.
    let (arena, holders) = (arena(12, 0), Arc::new(Holders::new()));
    let pools = Arc::new([(); 2].map(|()| {
        let builder = pages(2).items_per_page(ITEMS).magazine_rounds(1).bypass(0);
        builder.build(arena.clone()).unwrap()
    }));
    let warm = |pool: &RawPool| holders.hold(0, pool, pool.try_get());
    pools.iter().for_each(warm);
    let crowd = threads(THREADS, {
        let pools = pools.clone();
        move |_| {
            for _ in 0..3 {
                let pool = &pools[below(2)];
                match below(4) {
                    0 => {
                        let local = pool.local();
                        let item = local.get().unwrap();
                        pause();
                        // SAFETY: nobody reads or writes items in these worlds.
                        unsafe { local.put(item) }.unwrap();
                    }
                    1 => drop(pool.drain()),
                    _ => {
                        let items = pool.get_many(1 + below(ITEMS as usize)).unwrap();
                        holders.hold(0, pool, items);
                    }
                }
            }
        }
    });
    join_all(crowd);
    cached.saw(pools.iter().any(|pool| pool.stats().cached > 0));
    for pool in &*pools {
        assert_pool_at_rest(pool, 0);
    }
    drop(pools);
    assert_arena_whole(&arena);
}

#[test]
fn two_pools_with_caches() {
    witnessed("large/caches/two_pools", "something was cached at the end", two_pools);
}
