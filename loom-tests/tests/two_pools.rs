//! Two clients of one arena: neither starves the other, and nobody hangs on what the other
//! holds without need.

use kva::sync::thread::spawn;
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Answer, Arena, GrowId, GrowTable, Refusal, Sink, Span};
use loom_tests::historical::KeepsOwnTime;
use loom_tests::run::{known_bad, model};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, one, pages, put};
use pool::Backend;

/// Another client's request, older than everybody's here.
#[derive(Default)]
struct Older(Mutex<Vec<Span>>);

impl Sink<Span, AllocError> for Older {
    fn finish(&self, _: GrowId, end: Result<Span, Refusal<AllocError>>) {
        self.0.lock().extend(end);
    }
}

/// A pool recycles its only page among its own getters while an older request waits.
fn recycling<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(0).build(backend(arena.clone())).unwrap());
    let item = pool.try_get().unwrap();
    let (older, table) = (Arc::new(Older::default()), GrowTable::new(1));
    let token = table.reserve(0, arena.clock().now(), older.clone());
    assert!(matches!(arena.ask(one(), token), Answer::Later));
    let younger = {
        let pool = pool.clone();
        spawn(move || get(&pool).unwrap())
    };
    put(&pool, item);
    let served = older.0.lock().pop();
    let served = served.expect("the older request was starved");
    arena.free(served).unwrap();
    put(&pool, younger.join().unwrap());
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn the_older_request_first() {
    model("two_pools/older_first", || recycling(|arena| arena));
}

#[test]
fn a_pool_that_keeps_its_own_time() {
    known_bad("two_pools/own_time", "the older request was starved", || recycling(KeepsOwnTime));
}

/// Each of two pools needs the arena's only page once; the first to have it keeps it idle.
fn sharing<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let arena = arena(1, 0);
    let pools = [(); 2].map(|()| Arc::new(pages(1).bypass(0).build(backend(arena.clone())).unwrap()));
    let [first, second] = &pools;
    let getter = {
        let pool = first.clone();
        spawn(move || put(&pool, pool.get().unwrap()))
    };
    put(second, second.get().unwrap());
    getter.join().unwrap();
    for pool in pools {
        assert_pool_at_rest(&pool, 0);
    }
    assert_arena_whole(&arena);
}

#[test]
fn no_deadlock() {
    model("two_pools/no_deadlock", || sharing(|arena| arena));
}

#[test]
fn a_pool_that_keeps_what_others_wait_for() {
    known_bad("two_pools/keeps_idle", "deadlock", || sharing(KeepsOwnTime));
}
