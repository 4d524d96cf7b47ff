//! Objects stay constructed from put to get, and are destroyed once, before their page goes,
//! by whoever gives it up.

use kva::sync::Arc;
use kva::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use kva::sync::thread::spawn;
use loom_tests::naive::{Flaw, Naive};
use loom_tests::run::{known_bad, witnessed};
use loom_tests::world::{QUANTUM, Shelves, assert_arena_whole};
use pool::Pool;

/// A good object says so, until it is destroyed.
const GOOD: u64 = 0x600D;

struct Object {
    state: u64,
    alive: Arc<AtomicUsize>,
    _rest: [u8; QUANTUM - 16],
}

impl Drop for Object {
    fn drop(&mut self) {
        assert_eq!(std::mem::take(&mut self.state), GOOD, "destroyed twice");
        self.alive.fetch_sub(1, Relaxed);
    }
}

/// The pool is drained while somebody gets and puts its one object.
#[test]
fn drained_against_get() {
    witnessed("objects/drained_against_get", "it was destroyed and constructed again", |again| {
        let mut shelves = Shelves::new();
        // SAFETY: the pool is dropped below, with nothing out.
        let arena = unsafe { shelves.arena(1) };
        let (alive, ever) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let construct = {
            let (alive, ever) = (alive.clone(), ever.clone());
            move || {
                assert_eq!(alive.fetch_add(1, Relaxed), 0, "two objects in one place");
                ever.fetch_add(1, Relaxed);
                Object { state: GOOD, alive: alive.clone(), _rest: [0; QUANTUM - 16] }
            }
        };
        let pool = Pool::builder(1, construct).max_growing(1).bypass(0).build(arena.clone()).unwrap();
        drop(pool.try_get().unwrap());
        let getter = {
            let pool = pool.clone();
            spawn(move || assert_eq!(pool.get().unwrap().state, GOOD, "not a good object"))
        };
        pool.drain();
        getter.join().unwrap();
        again.saw(ever.load(Relaxed) == 2);
        let stats = pool.stats();
        assert_eq!((stats.live, stats.out), (alive.load(Relaxed), 0));
        drop(pool);
        assert_eq!(alive.load(Relaxed), 0, "not destroyed");
        assert_arena_whole(&arena);
    });
}

#[test]
fn destroyed_in_place() {
    known_bad("objects/destroyed_in_place", "not a good object", || {
        let pool = Arc::new(Naive::with_all_out(Flaw::DestroysInPlace, 1));
        pool.put();
        let getter = {
            let pool = pool.clone();
            spawn(move || {
                assert!(pool.get(None));
                assert!(pool.is_good(), "not a good object");
                pool.put();
            })
        };
        pool.drain();
        getter.join().unwrap();
    });
}
