//! Pools that are closed, and handles that are dropped, while tens of threads wait, get and put: each
//! wait ends, and all pages go back (P5, P6).

use kva::sync::Arc;
use kva::{AllocError, Arena};
use loom_tests::historical::ReleasesNothing;
use loom_tests::run::{Witness, known_bad, witnessed};
use loom_tests::world::{arena, assert_arena_whole, block_on, pages};
use pool::{Backend, GetError};

use crate::dice::{IN_TIME, below, pause};
use crate::holders::{Holders, join_all, threads};

const GETTERS: usize = 40;

fn world<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B, closed: &Witness) {
    let (arena, holders) = (arena(3, 0), Arc::new(Holders::new()));
    let pools =
        Arc::new([2, 3].map(|limit| pages(limit).low_water(1).build(backend(arena.clone())).unwrap()));
    let ends = Arc::new(Witness::default());
    let getters: Vec<_> = threads(GETTERS, {
        let (pools, ends) = (pools.clone(), ends.clone());
        move |_| {
            let pool = &pools[below(2)];
            let item = match below(4) {
                0 => pool.get_timeout(IN_TIME).map(|item| vec![item]),
                1 => block_on(pool.get_async()).map(|item| vec![item]),
                2 => pool.get_many(2),
                _ => pool.get().map(|item| vec![item]),
            };
            match item {
                Ok(items) => holders.hold(0, pool, items),
                Err(GetError::Closed) => ends.saw(true),
                Err(error) => assert!(matches!(error, GetError::TimedOut(_)), "{error:?}"),
            }
        }
    })
    .collect();
    for pool in &*pools {
        pause();
        pause();
        pool.close();
    }
    join_all(getters);
    closed.saw(ends.times() > 1);
    drop(pools);
    assert_arena_whole(&arena);
}

#[test]
fn closed_while_all_wait() {
    witnessed("large/close", "several waits were ended", |closed| world(|arena| arena, closed));
}

#[test]
fn closed_with_pages_that_are_not_released() {
    known_bad("large/close/releases_nothing", "rest: a span was lost", || {
        world(ReleasesNothing, &Witness::default());
    });
}
