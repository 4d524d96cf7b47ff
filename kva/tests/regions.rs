//! Regions that are added: who waits is served, and their spans are as those of the first; what
//! of all of them is committed, and how often.

#![cfg(not(loom))]

mod support;

use std::ops::Range;
use std::ptr::NonNull;
use std::slice;
use std::thread;

use kva::sync::Mutex;
use kva::{AllocError, Arena, ArenaError, Decommit, Region, Reserve, Shape, Span, SpanAtError};
use rustix::mm::{MprotectFlags, mprotect};
use support::{
    Asker, CloseOnPanic, aligned, assert_rests, assert_whole, free_all, numbers, shape, take_each,
    until_waiting,
};

/// What is mapped is the process's: tests that look at it take turns.
static TURN: Mutex<()> = Mutex::new(());

fn page() -> usize {
    rustix::param::page_size()
}

fn memory(quanta: usize, decommit: Decommit) -> Region {
    Region::reserve(quanta * page(), Reserve::new().decommit(decommit)).unwrap()
}

fn extent(arena: &Arena, span: Span) -> Range<usize> {
    let start = arena.ptr(span).unwrap().addr().get();
    start..start + span.len() as usize * arena.quantum()
}

/// How the mapping that has this address may be accessed, as in `rw-p`; empty: there is none.
fn access(address: usize) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (start, end) = words.next().unwrap().split_once('-').unwrap();
        let parse = |number| usize::from_str_radix(number, 16).unwrap();
        if (parse(start)..parse(end)).contains(&address) {
            return words.next().unwrap().to_owned();
        }
    }
    String::new()
}

fn span_at(arena: &Arena, address: usize) -> Result<Span, SpanAtError> {
    let address = NonNull::without_provenance(address.try_into().unwrap());
    // SAFETY: all spans here are this test's.
    unsafe { arena.span_at(address) }
}

#[test]
fn who_waits_is_served_before_it_returns() {
    let arena = numbers(4);
    let spans = take_each(&arena);
    let asker = Asker::new(3);
    asker.ask(&arena, 0, aligned(4));
    asker.ask(&arena, 1, shape(2));
    asker.ask(&arena, 2, shape(4));
    free_all(&arena, [spans[0], spans[1]]);
    assert_eq!(arena.stats().withheld, 2);
    assert_eq!(arena.add_region(Region::numbers(6)).unwrap(), 4..10);
    let granted = asker.granted();
    assert_eq!(granted.iter().map(|span| span.range()).collect::<Vec<_>>(), [4..8, 0..2]);
    let stats = arena.stats();
    assert_eq!((stats.quanta, stats.waiting, arena.quanta()), (10, 1, 10));
    free_all(&arena, granted);
    free_all(&arena, asker.granted().into_iter().chain([spans[2], spans[3]]));
    assert_rests(&arena, 2);

    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        let all = take_each(&arena);
        let sleeper = scope.spawn(|| arena.alloc(shape(3)).unwrap());
        until_waiting(&arena, 1);
        arena.add_region(Region::numbers(3)).unwrap();
        assert_eq!(sleeper.join().unwrap().range(), 10..13);
        free_all(&arena, all);
    });
}

/// A request that only the second region could ever satisfy is no mistake from then on.
#[test]
fn spans_are_in_one_region() {
    let arena = numbers(4);
    let error = AllocError::TooLarge { shape: shape(5), quanta: 4 };
    assert_eq!(arena.try_alloc(shape(5)), Err(error));
    arena.add_region(Region::numbers(4)).unwrap();
    let error = AllocError::TooLarge { shape: shape(5), quanta: 8 };
    assert_eq!(arena.try_alloc(shape(5)), Err(error));
    assert_eq!(arena.try_alloc_at(3..5), Err(AllocError::Scarce), "not across");
    arena.add_region(Region::numbers(6)).unwrap();
    let five = arena.try_alloc(shape(5)).unwrap();
    assert_eq!(five.start() / 8, 1);
    let fours = [arena.try_alloc(shape(4)).unwrap(), arena.try_alloc(shape(4)).unwrap()];
    assert_eq!(arena.try_alloc(shape(2)), Err(AllocError::Scarce));
    free_all(&arena, fours.into_iter().chain([five]));
    assert_rests(&arena, 3);
}

#[test]
fn a_region_that_cannot_be_added_says_why_and_changes_nothing() {
    let number = numbers(4);
    let memories = Arena::new(memory(4, Decommit::Never), page()).unwrap();
    assert!(matches!(number.add_region(memory(4, Decommit::Never)), Err(ArenaError::Mixed)));
    assert!(matches!(memories.add_region(Region::numbers(4)), Err(ArenaError::Mixed)));
    assert!(matches!(number.add_region(Region::numbers(0)), Err(ArenaError::Size(0))));
    let rest = (1 << 31) - 1;
    let many = number.add_region(Region::numbers(rest));
    // Or there is no memory for the tables of so many.
    assert!(matches!(many, Err(ArenaError::Size(_) | ArenaError::Tables(_))), "{many:?}");
    let large = Arena::new(memory(64, Decommit::Never), 16 * page()).unwrap();
    let small = large.add_region(memory(4, Decommit::Never));
    assert!(matches!(small, Err(ArenaError::Misaligned { .. } | ArenaError::Size(0))), "{small:?}");
    assert_eq!((number.quanta(), memories.quanta(), large.quanta()), (4, 4, 4));
    assert_whole(&number);
}

#[test]
fn memory_of_every_region_is_found_by_its_address() {
    let _turn = TURN.lock();
    let arena = Arena::new(memory(3, Decommit::Never), page()).unwrap();
    let mut sizes = vec![3];
    for more in (1..6).cycle().take(40) {
        let size: u32 = sizes.iter().sum();
        assert_eq!(arena.add_region(memory(more as usize, Decommit::Never)).unwrap(), size..size + more);
        sizes.push(more);
    }
    let all = take_each(&arena);
    assert_eq!(all.len() as u32, sizes.iter().sum::<u32>());
    for (at, &span) in all.iter().enumerate() {
        let at_span = extent(&arena, span);
        assert_eq!(span_at(&arena, at_span.start), Ok(span));
        assert_eq!(span_at(&arena, at_span.start + 8), Err(SpanAtError::NotTaken(at_span.start + 8)));
        // SAFETY: the span is held, and committed.
        unsafe { arena.ptr(span).unwrap().as_ptr().write_bytes(at as u8, page()) };
    }
    for (at, &span) in all.iter().enumerate() {
        // SAFETY: as above, and all of it was written.
        let bytes = unsafe { slice::from_raw_parts(arena.ptr(span).unwrap().as_ptr(), page()) };
        assert!(bytes.iter().all(|byte| *byte == at as u8), "{at}");
    }
    let last = extent(&arena, *all.last().unwrap());
    free_all(&arena, all);
    assert_eq!(span_at(&arena, last.start), Err(SpanAtError::NotTaken(last.start)));
    assert!(matches!(span_at(&arena, 0x10_0000), Err(SpanAtError::Foreign(0x10_0000))));
    assert_rests(&arena, 41);
    drop(arena);
    assert_ne!(access(last.start), "rw-p", "unmapped with the arena");
}

/// Each region goes by its own policy.
#[test]
fn what_is_freed_goes_back_by_its_regions_policy() {
    let _turn = TURN.lock();
    let arena = Arena::new(memory(2, Decommit::Never), page()).unwrap();
    arena.add_region(memory(2, Decommit::Protect)).unwrap();
    arena.add_region(memory(2, Decommit::Discard)).unwrap();
    let spans: Vec<_> = [0..2, 2..4, 4..6].map(|at| arena.try_alloc_at(at).unwrap()).into();
    let places: Vec<_> = spans.iter().map(|&span| extent(&arena, span)).collect();
    for place in &places {
        assert_eq!(access(place.start), "rw-p");
        // SAFETY: it is held.
        unsafe { (place.start as *mut u8).write_bytes(7, 2 * page()) };
    }
    free_all(&arena, spans);
    let now = |place: &Range<usize>| access(place.start);
    assert_eq!(places.iter().map(now).collect::<Vec<_>>(), ["rw-p", "---p", "rw-p"]);
    let again: Vec<_> = [0..1, 2..3, 4..5].map(|at| arena.try_alloc_at(at).unwrap()).into();
    // SAFETY: they are held.
    let first = again.iter().map(|&span| unsafe { arena.ptr(span).unwrap().read() }).collect::<Vec<_>>();
    assert_eq!(first, [7, 0, 0]);
    assert_eq!(access(places[1].start + page()), "---p", "what was not taken again");
    free_all(&arena, again);
    assert_rests(&arena, 3);
}

/// What is committed stays so, and is not made so again: a page that is made read-only meanwhile
/// would be writable by that.
#[test]
fn what_is_committed_is_not_committed_again() {
    for (policy, again) in
        [(Decommit::Never, "r--p"), (Decommit::Discard, "r--p"), (Decommit::Protect, "rw-p")]
    {
        let _turn = TURN.lock();
        let arena = Arena::new(memory(2, policy), page()).unwrap();
        arena.add_region(memory(130, policy)).unwrap();
        for at in [0..2, 2..3, 65..67, 60..131] {
            let span = arena.try_alloc_at(at.clone()).unwrap();
            let place = extent(&arena, span);
            // SAFETY: it is held, and nobody writes there.
            unsafe { mprotect(place.start as *mut _, place.len(), MprotectFlags::READ) }.unwrap();
            arena.free(span).unwrap();
            let span = arena.try_alloc_at(at.clone()).unwrap();
            assert_eq!(access(place.start), again, "{policy:?} {at:?}");
            assert_eq!(access(place.end - 1), again, "{policy:?} {at:?}");
            // SAFETY: as above.
            unsafe {
                mprotect(place.start as *mut _, place.len(), MprotectFlags::READ | MprotectFlags::WRITE)
            }
            .unwrap();
            arena.free(span).unwrap();
        }
        // A span of which a part was never committed is committed as a whole.
        let span = arena.try_alloc_at(2..132).unwrap();
        assert!(extent(&arena, span).step_by(page()).all(|at| access(at) == "rw-p"));
        arena.free(span).unwrap();
    }
}

/// Threads that take and free at the borders of the words that remember what is committed.
#[test]
fn what_is_committed_is_known_beside_neighbours() {
    for policy in [Decommit::Never, Decommit::Discard, Decommit::Protect] {
        let arena = Arena::new(memory(128, policy), page()).unwrap();
        thread::scope(|scope| {
            for thread in 0..4_u8 {
                let arena = &arena;
                scope.spawn(move || {
                    for round in 0..200_u32 {
                        let len = 1 + (round + u32::from(thread)) % 5;
                        let Ok(span) = arena.try_alloc(Shape::new(len).unwrap()) else { continue };
                        let (start, bytes) = (arena.ptr(span).unwrap(), len as usize * page());
                        // SAFETY: it is held.
                        unsafe { start.as_ptr().write_bytes(thread, bytes) };
                        thread::yield_now();
                        // SAFETY: it is held, and was written.
                        let bytes = unsafe { slice::from_raw_parts(start.as_ptr(), bytes) };
                        assert!(bytes.iter().all(|byte| *byte == thread), "somebody else's");
                        arena.free(span).unwrap();
                    }
                });
            }
        });
        assert_whole(&arena);
    }
}
