//! Deadlocks of those who hold spans and wait for more are found, and nothing else is. Elsewhere than
//! in builds with debug assertions nothing is tracked.

#![cfg(not(loom))]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kva::sync::{Arc, Mutex};
use kva::{
    Arena, Claim, Client, GrowTable, Reclaim, Region, Relocate, Relocation, Shape, Shortage, Span, client,
    deadlock,
};

fn numbers(quanta: u32) -> Arena {
    Arena::with_bypass(Region::numbers(quanta), 1, 0).unwrap()
}

fn shape(len: u32) -> Shape {
    Shape::new(len).unwrap()
}

/// Whoever the deadlocks are of that this client is in, and how much they hold.
fn found(name: &str) -> Vec<(String, Vec<u64>)> {
    let cycles = deadlock::check().into_iter();
    let of = cycles.filter(|cycle| cycle.clients.iter().any(|client| client.name == name));
    let clients = of.flat_map(|cycle| cycle.clients);
    let mut found: Vec<_> =
        clients.map(|client| (client.name, client.holds.iter().map(|held| held.amount).collect())).collect();
    found.sort();
    found
}

fn until_asleep(arena: &Arena, waiting: usize) {
    while arena.stats().waiting < waiting {
        thread::yield_now();
    }
}

#[cfg(debug_assertions)]
fn until_found(name: &str) -> Vec<(String, Vec<u64>)> {
    loop {
        let found = found(name);
        if !found.is_empty() {
            return found;
        }
        thread::yield_now();
    }
}

/// That nothing is found, also when everybody has had the time to fall asleep.
fn assert_never_found(name: &str) {
    for _ in 0..100 {
        assert_eq!(found(name), []);
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for a span until the arena is closed.
fn wait_in_vain(arena: &Arena, len: u32) {
    if let Ok(span) = arena.alloc(shape(len)) {
        arena.free(span).unwrap();
    }
}

/// Lets a failed test end.
struct Closes<'a>(&'a Arena);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// One that holds spans of these lengths and waits for another, and what becomes of it.
fn one_client(
    name: &str,
    quanta: u32,
    first: impl FnOnce(&Arena) -> Vec<Span> + Send,
    then: impl FnOnce(&Arena),
) {
    let arena = numbers(quanta);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _client = client::enter(name);
            let spans = first(&arena);
            wait_in_vain(&arena, quanta);
            for span in spans {
                arena.free(span).unwrap();
            }
        });
        let _closes = Closes(&arena);
        until_asleep(&arena, 1);
        then(&arena);
    });
}

fn alloc(arena: &Arena, len: u32) -> Span {
    arena.alloc(shape(len)).unwrap()
}

#[cfg(debug_assertions)]
mod tracked {
    use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    #[test]
    fn two_who_hold_spans_and_wait_for_more_than_is_left() {
        let arena = numbers(4);
        let run = |name, has| {
            let arena = arena.clone();
            move |hold: &AtomicU32| {
                let _client = client::enter(name);
                let span = alloc(&arena, has);
                hold.fetch_add(1, SeqCst);
                while hold.load(SeqCst) < 2 {
                    thread::yield_now();
                }
                wait_in_vain(&arena, 2);
                arena.free(span).unwrap();
            }
        };
        let (one, other) = (run("two spans", 2), run("one span", 1));
        let hold = AtomicU32::new(0);
        thread::scope(|scope| {
            scope.spawn(|| one(&hold));
            scope.spawn(|| other(&hold));
            let both = [("one span".to_owned(), vec![1]), ("two spans".to_owned(), vec![2])];
            let _closes = Closes(&arena);
            assert_eq!(until_found("one span"), both);
        });
        assert_eq!(found("one span"), []);
    }

    #[test]
    fn one_who_waits_for_what_it_holds() {
        let first = |arena: &Arena| vec![alloc(arena, 1), arena.try_alloc(shape(2)).unwrap()];
        one_client("narcissus", 4, first, |_| {
            assert_eq!(until_found("narcissus"), [("narcissus".to_owned(), vec![3])]);
        });
    }

    /// Nor does the second free of a span change whose it is that has its quanta now.
    #[test]
    fn a_stale_receipt_frees_nothing() {
        let first = |arena: &Arena| {
            let stale = alloc(arena, 4);
            arena.free(stale).unwrap();
            let span = alloc(arena, 4);
            assert!(arena.free(stale).is_err());
            vec![span]
        };
        one_client("twice", 4, first, |_| {
            assert_eq!(until_found("twice"), [("twice".to_owned(), vec![4])]);
        });
    }

    #[cfg(feature = "allocator-api2")]
    #[test]
    fn a_block_that_was_cut_is_still_its_owners() {
        use allocator_api2::vec::Vec;
        use kva::Reserve;

        const QUANTUM: usize = 4096;
        let arena = Arena::new(Region::reserve(4 * QUANTUM, Reserve::new()).unwrap(), QUANTUM).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _client = client::enter("collector");
                let mut bytes = Vec::<u8, _>::new_in(arena.clone());
                bytes.try_reserve(3 * QUANTUM).unwrap();
                bytes.resize(2 * QUANTUM, 0);
                bytes.shrink_to_fit();
                wait_in_vain(&arena, 4);
            });
            let _closes = Closes(&arena);
            assert_eq!(until_found("collector"), [("collector".to_owned(), vec![2])]);
        });
    }

    #[test]
    fn clients_have_no_size_but_what_tracks_them() {
        assert!(size_of::<client::Scope>() > 0);
    }
}

#[test]
fn one_who_would_not_wait_for_ever_is_in_none() {
    let arena = numbers(4);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _client = client::enter("mortal");
            let span = alloc(&arena, 1);
            assert!(arena.alloc_timeout(shape(4), Duration::from_hours(1)).is_err());
            arena.free(span).unwrap();
        });
        let _closes = Closes(&arena);
        until_asleep(&arena, 1);
        assert_never_found("mortal");
    });
}

#[test]
fn what_others_hold_may_be_freed() {
    let (frees, freed) = mpsc::channel();
    let first = |arena: &Arena| {
        let of_nobody = arena.clone();
        let span = thread::spawn(move || alloc(&of_nobody, 1)).join().unwrap();
        frees.send(span).unwrap();
        vec![alloc(arena, 1)]
    };
    one_client("beside", 4, first, |arena| {
        assert_never_found("beside");
        arena.free(freed.recv().unwrap()).unwrap();
    });
}

#[test]
fn what_was_freed_elsewhere_is_not_tracked_again() {
    let first = |arena: &Arena| {
        let (of_another, span) = (arena.clone(), alloc(arena, 1));
        thread::spawn(move || of_another.free(span).unwrap()).join().unwrap();
        vec![alloc(arena, 1)]
    };
    one_client("sender", 4, first, |_| assert_never_found("sender"));
}

/// Who may have something to spare may have it later.
#[test]
fn a_reclaimer_may_give_something_back() {
    struct Spares;
    impl Reclaim for Spares {
        fn reclaim(&self, _: &Shortage<'_>) {}
    }
    let spares = Arc::new(Spares);
    let first = |arena: &Arena| {
        let hook = Arc::downgrade(&spares);
        arena.register(&GrowTable::new(0), hook);
        vec![alloc(arena, 1)]
    };
    one_client("reclaimed", 4, first, |_| assert_never_found("reclaimed"));
}

/// Another's span may be moved out of the way.
#[test]
fn spans_may_be_moved() {
    struct Stays;
    impl Relocate for Stays {
        fn relocate(&self, _: Span, _: Span) -> Relocation {
            Relocation::No
        }
    }
    let (stays, handle) = (Arc::new(Stays), Mutex::new(None));
    let first = |arena: &Arena| {
        let owner = Arc::downgrade(&stays);
        let movable = arena.client(Client::new("movable").relocate(owner)).unwrap();
        let spans = vec![alloc(&movable, 1), alloc(arena, 1)];
        *handle.lock() = Some(movable);
        spans
    };
    one_client("moved", 4, first, |_| assert_never_found("moved"));
}

/// What a reclaimer takes is its own, on whatever thread it is told.
#[test]
fn what_a_reclaimer_takes_is_nobodys() {
    struct Hoards(Mutex<Option<Span>>);
    impl Reclaim for Hoards {
        fn reclaim(&self, shortage: &Shortage<'_>) {
            let taken = shortage.try_alloc_elsewhere(shape(1)).ok();
            let mut span = self.0.lock();
            *span = span.or(taken);
        }
    }
    let hoards = Arc::new(Hoards(Mutex::new(None)));
    let first = |arena: &Arena| {
        let hook = Arc::downgrade(&hoards);
        arena.register(&GrowTable::new(0), hook);
        vec![alloc(arena, 1)]
    };
    one_client("hoarded", 4, first, |_| assert_never_found("hoarded"));
}

/// A span of a region that came later.
#[test]
fn what_is_in_another_region_is_nobodys() {
    let first = |arena: &Arena| {
        arena.add_region(Region::numbers(4)).unwrap();
        vec![alloc(arena, 4), alloc(arena, 4)]
    };
    let arena = numbers(4);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _client = client::enter("settler");
            let spans = first(&arena);
            wait_in_vain(&arena, 1);
            for span in spans {
                arena.free(span).unwrap();
            }
        });
        let _closes = Closes(&arena);
        until_asleep(&arena, 1);
        assert_never_found("settler");
    });
}

/// Who holds a span that was delivered to a token is the token's business.
#[test]
fn what_a_token_brought_is_nobodys() {
    let first = |arena: &Arena| {
        let table = GrowTable::new(1);
        let grow = table.reserve(0, arena.clock().now(), Arc::new(Ends));
        let claim = Claim::new(&table, grow.id());
        let span = arena.alloc_claiming(shape(1), claim, None).unwrap();
        drop(grow);
        vec![span, alloc(arena, 1)]
    };
    one_client("token", 4, first, |_| assert_never_found("token"));
}

struct Ends;

impl kva::Sink<Span, kva::AllocError> for Ends {
    fn finish(&self, _: kva::GrowId, _: Result<Span, kva::Refusal<kva::AllocError>>) {}
}

/// The same that is found where things are tracked.
#[cfg(not(debug_assertions))]
#[test]
fn nothing_is_there() {
    one_client("narcissus", 4, |arena| vec![alloc(arena, 3)], |_| assert_never_found("narcissus"));
    client::each_thread();
    assert_eq!(size_of::<client::Scope>(), 0);
    assert_eq!((deadlock::check(), deadlock::forgotten()), (Vec::new(), 0));
}
