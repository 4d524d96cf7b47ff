//! P1: getters race, and never are more pages held or pending than the hard limit allows.
//! The ledger asserts it at every unlock; here it is asserted of what really left the
//! arena, too.

use kva::sync::Arc;
use kva::sync::thread::spawn;
use kva::{AllocError, Arena};
use loom_tests::historical::CommitsLate;
use loom_tests::run::{known_bad, model};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};
use pool::Backend;

fn assert_bound(arena: &Arena, limit: u32) {
    let stats = arena.stats();
    let taken = stats.quanta - stats.free;
    assert!(taken <= limit, "bound: {taken} pages left the arena, the limit is {limit}");
}

/// A getter's grow is withdrawn because a put serves it, and its slot reserved again.
fn world<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let arena = arena(3, 0);
    let pool = Arc::new(pages(2).bypass(0).build(backend(arena.clone())).unwrap());
    let first = pool.try_get().unwrap();
    let getter = {
        let pool = pool.clone();
        spawn(move || get(&pool).unwrap())
    };
    put(&pool, first);
    let second = pool.try_get();
    assert_bound(&arena, 2);
    put(&pool, getter.join().unwrap());
    if let Ok(second) = second {
        put(&pool, second);
    }
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

/// Two getters race for the only page, and one waits for the other's put.
#[test]
fn one_page() {
    model("bound/one_page", || {
        let arena = arena(2, 0);
        let pool = Arc::new(pages(1).bypass(0).build(arena.clone()).unwrap());
        let getters = [(); 2].map(|()| {
            let (pool, arena) = (pool.clone(), arena.clone());
            spawn(move || {
                let item = pool.get().unwrap();
                assert_bound(&arena, 1);
                put(&pool, item);
            })
        });
        for getter in getters {
            getter.join().unwrap();
        }
        assert_pool_at_rest(&pool, 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}

#[test]
fn the_last_page() {
    model("bound/last_page", || world(|arena| arena));
}

#[test]
fn a_request_withdrawn_in_flight_is_reserved_twice() {
    known_bad("bound/commits_late", "bound:", || world(CommitsLate));
}
