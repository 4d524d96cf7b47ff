//! Two arenas, each with a head that waits for what the other head's owner has.

use kva::sync::thread::spawn;
use kva::sync::{Arc, Mutex};
use kva::{Arena, GrowTable, Reclaim, Shortage, Span};
use loom_tests::run::{known_bad, model};
use loom_tests::world::{assert_arena_whole, numbers, shape};

/// Holds a pair of one arena until it is asked for it.
struct Holder {
    arena: Arena,
    pair: Mutex<Option<Span>>,
}

impl Holder {
    fn new() -> Arc<Self> {
        let arena = numbers(2, 0);
        let pair = Mutex::new(Some(arena.try_alloc(shape(2)).unwrap()));
        let holder = Arc::new(Self { arena: arena.clone(), pair });
        arena.register(&GrowTable::new(0), Arc::downgrade(&holder) as _);
        holder
    }
}

impl Reclaim for Holder {
    fn reclaim(&self, _: &Shortage<'_>) {
        let pair = self.pair.lock().take();
        if let Some(pair) = pair {
            self.arena.free(pair).unwrap();
        }
    }
}

/// Each needs what the other holds.
fn heads(needs: impl Fn(&Holder, &Arena) -> Span + Copy + Send + 'static) {
    let (one, other) = (Holder::new(), Holder::new());
    let thread = {
        let (one, other) = (one.clone(), other.clone());
        spawn(move || {
            let span = needs(&one, &other.arena);
            other.arena.free(span).unwrap();
        })
    };
    let span = needs(&other, &one.arena);
    one.arena.free(span).unwrap();
    thread.join().unwrap();
    assert_arena_whole(&one.arena);
    assert_arena_whole(&other.arena);
}

#[test]
fn two_heads() {
    model("two_arenas/two_heads", || heads(|_, arena| arena.alloc(shape(2)).unwrap()));
}

#[test]
fn two_heads_that_hold_a_lock_their_hooks_need() {
    known_bad("two_arenas/asks_with_its_lock", "deadlock", || {
        heads(|own, arena| {
            let _pair = own.pair.lock();
            arena.alloc(shape(2)).unwrap()
        });
    });
}
