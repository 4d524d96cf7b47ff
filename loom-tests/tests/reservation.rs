//! A reservation against a getter: what was set aside is there, and the getter is served from
//! what is left.

use kva::Arena;
use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::run::{known_bad, witnessed};
use loom_tests::world::{QUANTUM, Shelves, assert_arena_whole};
use pool::Pool;

type Block = [u8; QUANTUM];

fn pool_of(pages: u32, arena: &Arena) -> Arc<Pool<Block>> {
    let builder = Pool::builder(pages, || [0; QUANTUM]).max_growing(2).bypass(0);
    Arc::new(builder.build(arena.clone()).unwrap())
}

/// Somebody gets and puts, while two of two are reserved.
fn world(reserve: impl Fn(&Pool<Block>)) {
    let mut shelves = Shelves::new();
    // SAFETY: the pool is dropped below, with nothing out.
    let arena = unsafe { shelves.arena(2) };
    let pool = pool_of(2, &arena);
    assert_eq!(pool.prime(2).unwrap(), 2);
    let getter = {
        let pool = pool.clone();
        spawn(move || drop(pool.get().unwrap()))
    };
    reserve(&pool);
    getter.join().unwrap();
    let stats = pool.stats();
    assert_eq!((stats.out, stats.waiting, stats.growing), (0, 0, 0), "rest: {stats:?}");
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn now_or_not_at_all() {
    witnessed("reservation/against_get", "it was too late", |too_late| {
        world(|pool| match pool.try_reserve(2) {
            Ok(mut both) => {
                let both = [both.get(), both.get()];
                assert!(both.iter().all(Option::is_some), "reserved and not there");
            }
            Err(_) => too_late.saw(true),
        });
    });
}

/// It waits for both, and the getter may have to wait for it.
#[test]
fn waits_for_all() {
    witnessed("reservation/waits_beside_get", "they waited", |waited| {
        world(|pool| {
            let mut both = pool.reserve(2).unwrap();
            assert_eq!((both.get().is_some(), both.get().is_some()), (true, true));
            waited.saw(pool.stats().waits.served > 0);
        });
    });
}

/// As those do who look and then take.
#[test]
fn looks_and_then_takes() {
    known_bad("reservation/looks_and_takes", "reserved and not there", || {
        world(|pool| {
            if pool.stats().idle == 2 {
                let both = [pool.try_get(), pool.try_get()];
                assert!(both.iter().all(Result::is_ok), "reserved and not there");
            }
        });
    });
}
