//! Option 3 in many pools at once: each has one page, at low water, and each put is a release for a
//! getter that is asleep in the back-end. A page is its heir's, however many thieves there are (P3).

use kva::sync::Arc;
use kva::{AllocError, Arena};
use loom_tests::historical::FreeThenWake;
use loom_tests::run::{Witness, known_bad, witnessed};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, one, pages, put};
use pool::{ArenaPages, Classic, PageAllocator};

use crate::dice::{one_of, pause};
use crate::holders::{Holders, join_all, threads};

const POOLS: usize = 4;
const GETTERS: usize = 3;
const THIEVES: usize = 8;

fn world<A>(allocator: impl Fn(Arena) -> A, released: &Witness)
where
    A: PageAllocator<Error = AllocError>,
{
    let holders = Arc::new(Holders::new());
    let arenas = [(); POOLS].map(|()| arena(1, 0));
    let pools = Arc::new(arenas.each_ref().map(|arena| {
        let allocator = Classic::new(allocator(arena.clone()));
        pages(2).low_water(1).max_growing(1).bypass(0).build(allocator).unwrap()
    }));
    let items = pools.each_ref().map(|pool| get(pool).unwrap());
    let getters = threads(POOLS * GETTERS, {
        let pools = pools.clone();
        move |at| {
            let pool = &pools[at % POOLS];
            let item = pool.get().unwrap();
            holders.hold(at % POOLS, pool, [item]);
        }
    });
    let thieves = threads(THIEVES, {
        let arenas = arenas.clone();
        move |_| {
            pause();
            assert!(one_of(&arenas).try_alloc(one()).is_err(), "the page was stolen");
        }
    });
    let all: Vec<_> = getters.chain(thieves).collect();
    for (pool, item) in pools.iter().zip(items) {
        pause();
        put(pool, item);
    }
    join_all(all);
    let stats = pools.each_ref().map(|pool| assert_pool_at_rest(pool, 1));
    released.saw(stats.iter().all(|stats| stats.released_to_heirs > 0));
    drop(pools);
    arenas.iter().for_each(assert_arena_whole);
}

#[test]
fn thieves_get_nothing() {
    witnessed("large/steal", "each pool released a page", |released| world(ArenaPages, released));
}

#[test]
fn without_claims_pages_are_lost() {
    known_bad("large/steal/no_claim", "the page was stolen", || {
        world(FreeThenWake::new, &Witness::default());
    });
}
