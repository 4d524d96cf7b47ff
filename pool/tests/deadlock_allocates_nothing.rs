//! P7 where it is tracked who holds what: a client gets, puts, and looks for deadlocks as it falls
//! asleep, and allocates nothing. A test binary of its own, since it counts what the whole process does.

#![cfg(all(debug_assertions, not(loom)))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::thread;

use kva::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use kva::{Shape, client, deadlock};

mod support;
use support::*;

/// Counts what is allocated while somebody measures.
struct Counting;

static MEASURING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is passed on to the system's allocator as it came; `realloc` and `alloc_zeroed` come
// down to these.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if MEASURING.load(SeqCst) {
            COUNT.fetch_add(1, SeqCst);
        }
        // SAFETY: the caller's duties are those of this call.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

#[test]
fn a_client_that_falls_asleep_with_something_allocates_nothing() {
    let arena = arena(3);
    let [held, wanted] = [1, 1].map(|limit| blocks(limit).build(arena.clone()).unwrap());
    // Taken turns at: what the other thread should do next, and has done.
    let (turn, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let _client = client::enter("one who runs");
    thread::scope(|scope| {
        scope.spawn(|| {
            let _client = client::enter("one who waits");
            for round in 1..4 {
                until(|| turn.load(SeqCst) == round);
                let items = [held.get().unwrap(), wanted.get().unwrap()];
                put(&held, items[0]).unwrap();
                put(&wanted, items[1]).unwrap();
                let span = arena.alloc(Shape::new(1).unwrap()).unwrap();
                arena.free(span).unwrap();
                done.store(round, SeqCst);
            }
        });
        let mut waited = 0;
        for round in 1..4 {
            // The first two set up the threads: their wakers, and the locks that they contend for.
            MEASURING.store(round == 3, SeqCst);
            let item = wanted.get().unwrap();
            turn.store(round, SeqCst);
            until(|| wanted.stats().waiting == 1);
            // So that it has fallen asleep, looked, and found that there is one who runs.
            for _ in 0..1000 {
                thread::yield_now();
            }
            waited += wanted.stats().waiting;
            put(&wanted, item).unwrap();
            until(|| done.load(SeqCst) == round);
            MEASURING.store(false, SeqCst);
        }
        assert_eq!(waited, 3);
    });
    assert_eq!(COUNT.load(SeqCst), 0);
    assert_eq!(deadlock::check(), []);
}
