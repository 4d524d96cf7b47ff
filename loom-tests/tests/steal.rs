//! Option 3's race: a put frees a whole page at low water because a grow is pending, and a
//! thief tries to take it before the grow can (P3).

#![allow(clippy::disallowed_types, reason = "counts executions from outside of them")]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kva::sync::thread::spawn;
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Answer, Arena, GrowId, GrowTable, Refusal, Sink, Span};
use loom_tests::historical::FreeThenWake;
use loom_tests::run::{known_bad, model};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, one, pages, put};
use pool::{ArenaPages, Classic, PageAllocator, RawPool};

/// One page of low water 1, which is out; the arena has no other.
fn pool_of_one<A: PageAllocator<Error = AllocError>>(allocator: A) -> Arc<RawPool<Classic<A>>> {
    Arc::new(pages(2).low_water(1).bypass(0).build(Classic::new(allocator)).unwrap())
}

/// A thief that takes what it finds free.
fn passing_thief<A>(allocator: impl Fn(Arena) -> A, free: impl Fn(&A, Span), close: impl Fn(&A))
where
    A: PageAllocator<Error = AllocError> + Clone,
{
    let arena = arena(1, 0);
    let pages = allocator(arena.clone());
    let pool = pool_of_one(pages.clone());
    let item = pool.try_get().unwrap();
    let getter = {
        let pool = pool.clone();
        spawn(move || {
            pool.get().is_ok_and(|item| {
                put(&pool, item);
                true
            })
        })
    };
    let thief = {
        let arena = arena.clone();
        spawn(move || arena.try_alloc(one()).ok())
    };
    put(&pool, item);
    let stolen = thief.join().unwrap();
    if stolen.is_some() {
        // Ends a getter that would sleep for ever.
        close(&pages);
    }
    let got = getter.join().unwrap();
    assert!(stolen.is_none(), "the page was stolen");
    assert!(got, "the getter was served");
    let stats = assert_pool_at_rest(&pool, 1);
    assert_eq!(stats.stolen, 0);
    drop(pool);
    if let Some(stolen) = stolen {
        free(&pages, stolen);
    }
    assert_arena_whole(&arena);
}

#[test]
fn a_passing_thief_gets_nothing() {
    model("steal", || passing_thief(ArenaPages, |_, _| {}, |_| {}));
}

#[test]
fn without_a_claim_the_page_is_lost() {
    known_bad("steal/no_claim", "the page was stolen", || {
        passing_thief(FreeThenWake::new, FreeThenWake::free_span, FreeThenWake::close);
    });
}

/// A thief whose request is in the arena's queue: a token that nobody waits for.
#[derive(Default)]
struct Thief(Mutex<Vec<Span>>);

impl Sink<Span, AllocError> for Thief {
    fn finish(&self, _: GrowId, end: Result<Span, Refusal<AllocError>>) {
        self.0.lock().extend(end);
    }
}

/// A thief that asked before the getter did and is first in the arena's queue: only a
/// claim keeps the page from it.
#[test]
fn a_thief_first_in_line_gets_nothing() {
    // What this world is for did happen: the page was released while both waited.
    static RELEASED: AtomicUsize = AtomicUsize::new(0);
    model("steal/first_in_line", || {
        let arena = arena(1, 0);
        let pool = pool_of_one(ArenaPages(arena.clone()));
        let item = pool.try_get().unwrap();
        let (thief, table) = (Arc::new(Thief::default()), GrowTable::new(1));
        let token = table.reserve(0, arena.clock().now(), thief.clone());
        assert!(matches!(arena.ask(one(), token), Answer::Later));
        let getter = {
            let pool = pool.clone();
            spawn(move || get(&pool).unwrap())
        };
        put(&pool, item);
        let item = getter.join().unwrap();
        let stolen = std::mem::take(&mut *thief.0.lock());
        assert!(stolen.is_empty(), "the page was stolen");
        put(&pool, item);
        arena.close();
        let stats = assert_pool_at_rest(&pool, 1);
        RELEASED.fetch_add(usize::from(stats.released_to_heirs > 0), Relaxed);
        drop(pool);
        assert_arena_whole(&arena);
    });
    let released = RELEASED.load(Relaxed);
    println!("steal/first_in_line: the page was released in {released} executions");
    assert!(cfg!(not(loom)) || released > 0, "no execution released the page");
}
