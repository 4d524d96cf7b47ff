//! The arena from outside, with real threads: its bad calls, its order, its ends.

#![cfg(not(loom))]

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::thread;
use std::time::{Duration, Instant};

use kva::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use kva::sync::{Arc, BATCH, Mutex, Weak};
use kva::{
    AllocError, Answer, Arena, ArenaError, Claim, FreeError, GrowId, GrowTable, Heir, NEVER, Reclaim,
    Refusal, Region, Reserve, Shape, ShapeError, Shortage, Sink, Span, SpanAtError, SpanGrow,
};

fn numbers(quanta: u32) -> Arena {
    Arena::new(Region::numbers(quanta), 1).unwrap()
}

fn strict(quanta: u32) -> Arena {
    Arena::with_bypass(Region::numbers(quanta), 1, 0).unwrap()
}

fn shape(len: u32) -> Shape {
    Shape::new(len).unwrap()
}

fn aligned(len: u32, align: u32) -> Shape {
    Shape::aligned(len, align).unwrap()
}

/// Single quanta, by where they are.
fn take_all(arena: &Arena) -> HashMap<u32, Span> {
    let spans = (0..arena.quanta()).map(|_| arena.try_alloc(shape(1)).unwrap());
    let spans: HashMap<_, _> = spans.map(|span| (span.start(), span)).collect();
    assert_eq!(spans.len(), arena.quanta() as usize, "no quantum was given out twice");
    assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce));
    spans
}

/// Returns once `waiting` requests wait.
fn until_waiting(arena: &Arena, waiting: usize) {
    while arena.stats().waiting != waiting {
        thread::yield_now();
    }
}

fn assert_whole(arena: &Arena) {
    let stats = arena.stats();
    assert_eq!((stats.free, stats.free_runs, stats.waiting), (stats.quanta, 1, 0));
}

/// Lets a failed test end, instead of joining those who wait for ever.
struct CloseOnPanic<'a>(&'a Arena);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
        }
    }
}

type End = Result<Span, Refusal<AllocError>>;

/// A sink that keeps how grows ended.
#[derive(Default)]
struct Ends(Mutex<Vec<(GrowId, End)>>);

impl Ends {
    fn take(&self) -> Vec<End> {
        self.0.lock().drain(..).map(|(_, end)| end).collect()
    }
}

impl Sink<Span, AllocError> for Ends {
    fn finish(&self, id: GrowId, end: End) {
        self.0.lock().push((id, end));
    }
}

/// Who asks by token.
struct Asker {
    table: Arc<GrowTable>,
    ends: Arc<Ends>,
}

impl Asker {
    fn new(slots: u32) -> Self {
        Self { table: GrowTable::new(slots), ends: Arc::default() }
    }

    fn reserve(&self, arena: &Arena, slot: u32) -> SpanGrow {
        self.table.reserve(slot, arena.clock().now(), self.ends.clone())
    }

    /// Queues a token.
    fn queue(&self, arena: &Arena, slot: u32, shape: Shape) -> GrowId {
        let grow = self.reserve(arena, slot);
        let id = grow.id();
        let answer = arena.ask(shape, grow);
        assert!(matches!(answer, Answer::Later), "{answer:?}");
        id
    }

    fn claim(&self, id: GrowId) -> Claim<'_> {
        Claim::new(&self.table, id)
    }
}

// Bad calls.

fn span_at(arena: &Arena, address: NonNull<u8>) -> Result<Span, SpanAtError> {
    // SAFETY: all spans here are this test's.
    unsafe { arena.span_at(address) }
}

#[test]
fn shapes_of_nothing_and_odd_alignments_say_which() {
    assert_eq!(Shape::new(0), Err(ShapeError::ZeroLength));
    assert_eq!(Shape::aligned(0, 3), Err(ShapeError::ZeroLength));
    for align in [0, 3, 6, u32::MAX] {
        assert_eq!(Shape::aligned(4, align), Err(ShapeError::Alignment(align)));
    }
    assert_eq!(ShapeError::Alignment(3).to_string(), "alignment 3 is no power of two");
}

#[test]
fn arenas_that_cannot_be_say_why() {
    let quantum = |region, quantum| Arena::new(region, quantum).unwrap_err();
    let page = rustix::param::page_size();
    for bad in [0, 3, 4097, usize::MAX] {
        let error = quantum(Region::numbers(8), bad);
        assert!(matches!(error, ArenaError::NumbersQuantum(quantum) if quantum == bad), "{error}");
        let error = quantum(Region::reserve(page, Reserve::new()).unwrap(), bad);
        assert!(matches!(error, ArenaError::Quantum { quantum, .. } if quantum == bad), "{error}");
    }
    let small = quantum(Region::reserve(page, Reserve::new()).unwrap(), page / 2);
    assert!(
        matches!(small, ArenaError::Quantum { quantum, granule } if (quantum, granule) == (page / 2, page))
    );

    assert!(matches!(quantum(Region::numbers(0), 1), ArenaError::Size(0)));
    assert!(matches!(quantum(Region::numbers(1 << 31), 1), ArenaError::Size(quanta) if quanta == 1 << 31));

    let memory = NonNull::slice_from_raw_parts(NonNull::without_provenance(0x1010.try_into().unwrap()), 4096);
    // SAFETY: nobody touches the memory: the arena is not even made.
    let region = unsafe { Region::borrowed(memory) };
    let error = quantum(region, 64);
    assert!(matches!(error, ArenaError::Misaligned { base: 0x1010, quantum: 64 }), "{error}");
}

#[test]
fn what_never_fits_is_too_large_for_every_way_to_ask() {
    let arena = numbers(8);
    let error = AllocError::TooLarge { shape: shape(9), quanta: 8 };
    let asker = Asker::new(1);
    assert_eq!(arena.try_alloc(shape(9)), Err(error));
    assert_eq!(arena.alloc(shape(9)), Err(error));
    assert_eq!(arena.alloc_timeout(shape(u32::MAX), Duration::MAX).map(drop), {
        Err(AllocError::TooLarge { shape: shape(u32::MAX), quanta: 8 })
    });
    let Answer::Now(committed, answer) = arena.ask(shape(9), asker.reserve(&arena, 0)) else {
        panic!("it can be told at once");
    };
    assert_eq!(answer, Err(error));
    committed.refuse(error);
    assert_eq!(asker.ends.take(), [Err(Refusal::Error(error))]);
    assert_whole(&arena);
}

/// An arena from quantum 1 on, counted by address, so that no multiple of 8 has four after it.
#[test]
fn an_alignment_that_never_comes_is_too_large() {
    let memory = NonNull::slice_from_raw_parts(NonNull::without_provenance(64.try_into().unwrap()), 10 * 64);
    // SAFETY: nobody touches the memory: spans are only taken and freed here.
    let arena = Arena::new(unsafe { Region::borrowed(memory) }, 64).unwrap();
    let never = aligned(4, 8);
    assert_eq!(arena.try_alloc(never), Err(AllocError::TooLarge { shape: never, quanta: 10 }));
    assert_eq!(arena.alloc(never), Err(AllocError::TooLarge { shape: never, quanta: 10 }));
    assert_eq!(arena.try_alloc(aligned(1, 1 << 31)).map(drop), {
        Err(AllocError::TooLarge { shape: aligned(1, 1 << 31), quanta: 10 })
    });
    let just = arena.try_alloc(aligned(3, 8)).unwrap();
    assert_eq!(just.range(), 7..10);
    assert_eq!(arena.ptr(just).unwrap().addr().get(), 8 * 64);
    arena.free(just).unwrap();
    assert_whole(&arena);
}

#[test]
fn wrong_frees_are_told_and_change_nothing() {
    let arena = numbers(8);
    let kept = arena.try_alloc(shape(3)).unwrap();
    let gone = arena.try_alloc(shape(2)).unwrap();
    arena.free(gone).unwrap();

    let before = arena.stats();
    assert_eq!(arena.free(gone), Err(FreeError::DoubleFree(gone)));
    assert_eq!(arena.stats(), before);

    let retaken = arena.try_alloc(shape(2)).unwrap();
    assert_eq!(retaken.range(), gone.range(), "the same quanta, another taking");
    let before = arena.stats();
    assert_eq!(arena.free(gone), Err(FreeError::DoubleFree(gone)));
    let asker = Asker::new(1);
    let grow = asker.reserve(&arena, 0);
    assert_eq!(arena.free_to(grow.claim(), gone), Err(FreeError::DoubleFree(gone)));

    let other = numbers(8);
    let foreign = other.try_alloc(shape(3)).unwrap();
    assert_eq!(foreign.range(), kept.range());
    assert_eq!(arena.free(foreign), Err(FreeError::ForeignArena(foreign)));
    assert_eq!(arena.free_to(grow.claim(), foreign), Err(FreeError::ForeignArena(foreign)));
    assert_eq!(arena.stats(), before);

    other.free(foreign).unwrap();
    arena.free(retaken).unwrap();
    arena.free(kept).unwrap();
    drop(grow);
    assert_whole(&arena);
    assert_whole(&other);
}

/// With memory that is decommitted, a free changes the receipt before its system calls.
#[test]
fn a_double_free_of_decommitted_memory_is_told() {
    let page = rustix::param::page_size();
    let reserve = Reserve::new().decommit(kva::Decommit::Protect);
    let arena = Arena::new(Region::reserve(4 * page, reserve).unwrap(), page).unwrap();
    let span = arena.try_alloc(shape(2)).unwrap();
    arena.free(span).unwrap();
    assert_eq!(arena.free(span), Err(FreeError::DoubleFree(span)));
    assert_whole(&arena);
}

#[test]
#[should_panic(expected = "belongs to another arena")]
fn the_memory_of_another_arenas_span_is_not_to_be_had() {
    let arena = numbers(1);
    let foreign = numbers(1).try_alloc(shape(1)).unwrap();
    let _ = arena.ptr(foreign);
}

#[test]
fn addresses_name_spans_that_are_taken_and_no_others() {
    let page = rustix::param::page_size();
    let arena = Arena::new(Region::reserve(8 * page, Reserve::new()).unwrap(), page).unwrap();
    let span = arena.try_alloc(shape(3)).unwrap();
    let start = arena.ptr(span).unwrap();
    assert_eq!(span_at(&arena, start), Ok(span));

    let at = |offset: usize| NonNull::new(start.as_ptr().wrapping_add(offset)).unwrap();
    for inside in [1, page, page + 1, 3 * page, 7 * page] {
        let address = at(inside);
        assert_eq!(span_at(&arena, address), Err(SpanAtError::NotTaken(address.addr().get())), "{inside}");
    }
    let base = start.addr().get() - span.start() as usize * page;
    let last = NonNull::new(start.as_ptr().with_addr(base + 8 * page - 1)).unwrap();
    assert_eq!(span_at(&arena, last), Err(SpanAtError::NotTaken(last.addr().get())));
    for outside in [base - 1, base + 8 * page, 1, usize::MAX] {
        let address = NonNull::new(start.as_ptr().with_addr(outside)).unwrap();
        assert_eq!(span_at(&arena, address), Err(SpanAtError::Foreign(outside)));
    }
    assert_eq!(span_at(&numbers(8), start), Err(SpanAtError::Foreign(start.addr().get())));

    arena.free(span).unwrap();
    assert_eq!(span_at(&arena, start), Err(SpanAtError::NotTaken(start.addr().get())));
    assert_whole(&arena);
}

// Waiting.

#[test]
fn a_request_sleeps_until_what_it_needs_is_freed() {
    let arena = numbers(4);
    let spans = take_all(&arena);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        let waiter = scope.spawn(|| arena.alloc(aligned(2, 2)));
        until_waiting(&arena, 1);
        arena.free(spans[&1]).unwrap();
        arena.free(spans[&2]).unwrap();
        assert_eq!(arena.stats().waiting, 1, "two quanta are free, but not aligned ones");
        arena.free(spans[&0]).unwrap();
        assert_eq!(arena.stats().waiting, 0, "granted before the free returned");
        let span = waiter.join().unwrap().unwrap();
        assert_eq!(span.range(), 0..2);
        arena.free(span).unwrap();
    });
    arena.free(spans[&3]).unwrap();
    assert_whole(&arena);
}

#[test]
fn a_deadline_passes_and_leaves_nothing_behind() {
    let arena = numbers(4);
    let at_once = arena.alloc_timeout(shape(4), Duration::ZERO).unwrap();
    assert_eq!(arena.alloc_timeout(shape(1), Duration::ZERO), Err(AllocError::TimedOut));
    assert_eq!(arena.alloc_timeout(shape(1), Duration::from_millis(5)), Err(AllocError::TimedOut));
    assert_eq!(arena.alloc_deadline(shape(1), Instant::now()), Err(AllocError::TimedOut));
    assert_eq!(arena.stats().waiting, 0);
    assert_eq!(arena.clock().oldest(), NEVER);
    arena.free(at_once).unwrap();
    assert_whole(&arena);
    let later = arena.alloc_timeout(shape(4), Duration::MAX).unwrap();
    arena.free(later).unwrap();
}

#[test]
fn a_head_that_gives_up_lets_those_behind_it_have_what_is_free() {
    let arena = strict(4);
    let held = arena.try_alloc(shape(3)).unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        let front = scope.spawn(|| arena.alloc_timeout(shape(4), Duration::from_millis(30)));
        while arena.stats().waiting == 0 && !front.is_finished() {
            thread::yield_now();
        }
        // Nothing is freed: only the head's leaving can let this one pass.
        let span = arena.alloc(shape(1)).unwrap();
        assert_eq!(front.join().unwrap(), Err(AllocError::TimedOut));
        arena.free(span).unwrap();
    });
    arena.free(held).unwrap();
    assert_whole(&arena);
}

#[test]
fn close_refuses_who_waits_and_who_comes_later() {
    const TOKENS: u32 = 2 * BATCH as u32 + 1;
    let arena = numbers(4);
    let spans = take_all(&arena);
    let asker = Asker::new(TOKENS + 1);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        let sleepers: Vec<_> = (0..4).map(|_| scope.spawn(|| arena.alloc(shape(1)))).collect();
        let timed = scope.spawn(|| arena.alloc_timeout(shape(2), Duration::MAX));
        until_waiting(&arena, 5);
        for slot in 0..TOKENS {
            asker.queue(&arena, slot, shape(1));
        }
        assert!(!arena.is_closed());
        arena.close();
        assert_eq!(arena.stats().waiting, 0);
        for sleeper in sleepers {
            assert_eq!(sleeper.join().unwrap(), Err(AllocError::Closed));
        }
        assert_eq!(timed.join().unwrap(), Err(AllocError::Closed));
    });
    let ends = asker.ends.take();
    assert_eq!(ends.len(), TOKENS as usize, "each once");
    assert!(ends.iter().all(|end| *end == Err(Refusal::Error(AllocError::Closed))));

    arena.close();
    assert!(arena.is_closed());
    for span in spans.into_values() {
        arena.free(span).unwrap();
    }
    assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Closed));
    assert_eq!(arena.alloc(shape(1)), Err(AllocError::Closed));
    assert_eq!(arena.alloc_timeout(shape(1), Duration::ZERO), Err(AllocError::Closed));
    let Answer::Now(committed, answer) = arena.ask(shape(1), asker.reserve(&arena, TOKENS)) else {
        panic!("a closed arena answers at once");
    };
    assert_eq!(answer, Err(AllocError::Closed));
    committed.refuse(AllocError::Closed);
    assert_whole(&arena);
}

#[test]
fn no_quantum_is_ever_two_threads() {
    const THREADS: u32 = 4;
    let arena = numbers(8);
    let owners: [AtomicU32; 8] = Default::default();
    let own = |span: Span, thread: u32| {
        for quantum in span.range() {
            assert_eq!(owners[quantum as usize].swap(thread, SeqCst), 0, "handed out twice");
        }
    };
    let disown = |span: Span, thread: u32| {
        for quantum in span.range() {
            assert_eq!(owners[quantum as usize].swap(0, SeqCst), thread);
        }
        arena.free(span).unwrap();
    };
    thread::scope(|scope| {
        for thread in 1..=THREADS {
            let (arena, own, disown) = (&arena, &own, &disown);
            scope.spawn(move || {
                let _close = CloseOnPanic(arena);
                let mut random = thread.wrapping_mul(0x9E37_79B9);
                for _ in 0..2000 {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let shape = aligned(1 + (random >> 8) % 5, 1 << ((random >> 16) % 3));
                    // Sleeps only with nothing in hand: nobody waits for who waits.
                    let first = match random >> 30 {
                        0 => arena.alloc_timeout(shape, Duration::from_micros(50)).ok(),
                        1 => arena.try_alloc(shape).ok(),
                        _ => Some(arena.alloc(shape).unwrap()),
                    };
                    let more = arena.try_alloc(aligned(1, 2)).ok();
                    for span in first.into_iter().chain(more) {
                        assert!(span.start().is_multiple_of(if Some(span) == more {
                            2
                        } else {
                            shape.align()
                        }));
                        own(span, thread);
                    }
                    thread::yield_now();
                    for span in more.into_iter().chain(first) {
                        disown(span, thread);
                    }
                }
            });
        }
    });
    assert_whole(&arena);
}

// Order.

#[test]
fn without_bypass_requests_are_granted_as_they_came() {
    const WAITERS: usize = 6;
    let arena = strict(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        for number in 0..WAITERS {
            let (arena, order) = (&arena, &order);
            scope.spawn(move || {
                let span = arena.alloc(shape(1)).unwrap();
                order.lock().push(number);
                arena.free(span).unwrap();
            });
            until_waiting(arena, number + 1);
        }
        arena.free(held).unwrap();
    });
    assert_eq!(*order.lock(), (0..WAITERS).collect::<Vec<_>>());
    assert_whole(&arena);
}

#[test]
fn without_bypass_nothing_small_passes_a_waiting_head() {
    let arena = strict(4);
    let held = arena.try_alloc(shape(2)).unwrap();
    let asker = Asker::new(2);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        let front = scope.spawn(|| arena.alloc(shape(4)));
        until_waiting(&arena, 1);
        assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce), "though two quanta are free");
        assert_eq!(arena.alloc_timeout(shape(1), Duration::from_millis(1)), Err(AllocError::TimedOut));
        asker.queue(&arena, 0, shape(1));
        arena.free(held).unwrap();
        let all = front.join().unwrap().unwrap();
        assert!(asker.ends.take().is_empty(), "it has nothing before the head has all");
        arena.free(all).unwrap();
    });
    let [Ok(span)] = asker.ends.take()[..] else { panic!("it was next") };
    arena.free(span).unwrap();
    assert_whole(&arena);
}

/// P4 and its knob: exactly `bypass` a quantum of its length overtake the head, then nobody, until
/// it is served.
#[test]
fn the_bypass_is_how_many_may_overtake() {
    for (bypass, len) in [0, 1, 3, Arena::DEFAULT_BYPASS].into_iter().flat_map(|k| [(k, 2), (k, 3)]) {
        let arena = if bypass == Arena::DEFAULT_BYPASS {
            Arena::new(Region::numbers(8), 1).unwrap()
        } else {
            Arena::with_bypass(Region::numbers(8), 1, bypass).unwrap()
        };
        let mut held = take_all(&arena);
        for start in [0, 2, 4, 6] {
            arena.free(held.remove(&start).unwrap()).unwrap();
        }
        thread::scope(|scope| {
            let _close = CloseOnPanic(&arena);
            let front = scope.spawn(|| arena.alloc(shape(len)));
            until_waiting(&arena, 1);
            for thief in 0..bypass * len {
                let stolen = arena.try_alloc(shape(1));
                arena.free(stolen.unwrap_or_else(|error| panic!("{thief} of {bypass}: {error}"))).unwrap();
            }
            for _ in 0..3 {
                assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce), "{bypass} overtook it");
                assert_eq!(arena.try_alloc_at(4..5), Err(AllocError::Scarce), "there or anywhere");
            }
            for span in held.into_values() {
                arena.free(span).unwrap();
            }
            let large = front.join().unwrap().unwrap();
            arena.free(large).unwrap();
        });
        assert_eq!(arena.stats().most_overtaken, u64::from(bypass * len));
        let nobody_waits = arena.try_alloc(shape(1)).unwrap();
        arena.free(nobody_waits).unwrap();
        assert_whole(&arena);
    }
}

/// A short request behind a long one has a limit of its own, which it may reach first.
#[test]
fn nobody_passes_any_older_request_once_too_often() {
    let arena = Arena::with_bypass(Region::numbers(16), 1, 1).unwrap();
    let spans = take_all(&arena);
    for start in (0..16).step_by(2) {
        arena.free(spans[&start]).unwrap();
    }
    let asker = Asker::new(3);
    asker.queue(&arena, 0, shape(4));
    let short = asker.queue(&arena, 1, shape(2));
    let pass = || arena.free(arena.try_alloc(shape(1))?).map_err(|error| panic!("{error}"));
    assert_eq!([pass(), pass(), pass()], [Ok(()), Ok(()), Err(AllocError::Scarce)]);
    // Once it is gone the long one may be passed twice more.
    assert!(asker.table.withdraw(short));
    arena.forget(short);
    assert_eq!([pass(), pass(), pass()], [Ok(()), Ok(()), Err(AllocError::Scarce)]);
    for start in (1..16).step_by(2) {
        arena.free(spans[&start]).unwrap();
    }
    let [Ok(span)] = asker.ends.take()[..] else { panic!("the long one") };
    assert_eq!(arena.stats().most_overtaken, 4);
    arena.free(span).unwrap();
    assert_whole(&arena);
}

/// Thieves on threads of their own, that take and free as fast as they can: the head, which
/// needs everything, is served all the same.
#[test]
fn thieves_cannot_starve_a_large_request() {
    let arena = Arena::with_bypass(Region::numbers(4), 1, 5).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    if let Ok(span) = arena.try_alloc(shape(1)) {
                        thread::yield_now();
                        arena.free(span).unwrap();
                    }
                }
            });
        }
        for _ in 0..100 {
            let all = arena.alloc(shape(4));
            if let Ok(all) = all {
                arena.free(all).unwrap();
            }
        }
        stop.store(true, SeqCst);
    });
    assert_whole(&arena);
}

/// Waiting requests that fit pass a head that does not, as often as the knob says, but not with
/// what is in its window.
#[test]
fn waiting_requests_pass_a_head_that_does_not_fit() {
    for (bypass, passing) in [(0, 0), (1, 2), (8, 4)] {
        let arena = Arena::with_bypass(Region::numbers(12), 1, bypass).unwrap();
        let spans = take_all(&arena);
        let asker = Asker::new(6);
        asker.queue(&arena, 5, shape(2));
        for slot in 0..5 {
            asker.queue(&arena, slot, shape(1));
        }
        // The first of them is kept for the head.
        for start in [2, 4, 6, 8, 10] {
            arena.free(spans[&start]).unwrap();
        }
        assert_eq!(arena.stats().withheld, 1);
        let passed = asker.ends.take();
        assert_eq!(passed.len(), passing, "bypass {bypass}");
        for end in passed {
            arena.free(end.unwrap()).unwrap();
        }
        for start in [0, 1, 3, 5, 7, 9, 11] {
            arena.free(spans[&start]).unwrap();
        }
        // The head, then one after the other.
        loop {
            let ends = asker.ends.take();
            if ends.is_empty() {
                break;
            }
            for end in ends {
                arena.free(end.unwrap()).unwrap();
            }
        }
        assert_whole(&arena);
    }
}

// Tokens, and what is freed to them.

#[test]
fn a_token_is_delivered_to_by_a_free() {
    let arena = numbers(2);
    let asker = Asker::new(1);
    let Answer::Now(committed, Ok(span)) = arena.ask(shape(2), asker.reserve(&arena, 0)) else {
        panic!("all is free");
    };
    assert_eq!(committed.into_id().slot(), 0);
    asker.queue(&arena, 0, shape(1));
    assert_eq!(arena.stats().waiting, 1);
    arena.free(span).unwrap();
    let [Ok(span)] = asker.ends.take()[..] else { panic!("one end, a span") };
    assert_eq!((span.len(), arena.stats().waiting), (1, 0));
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn one_free_serves_more_than_a_batch() {
    const TOKENS: u32 = 2 * BATCH as u32 + 3;
    let arena = numbers(TOKENS);
    let asker = Asker::new(TOKENS);
    let all = arena.try_alloc(shape(TOKENS)).unwrap();
    for slot in 0..TOKENS {
        asker.queue(&arena, slot, shape(1));
    }
    arena.free(all).unwrap();
    let ends = asker.ends.take();
    assert_eq!(ends.len(), TOKENS as usize);
    for end in ends {
        arena.free(end.unwrap()).unwrap();
    }
    assert_whole(&arena);
}

#[test]
fn a_withdrawn_token_leaves_the_queue_and_keeps_nothing() {
    let arena = strict(2);
    let asker = Asker::new(3);
    let all = arena.try_alloc(shape(2)).unwrap();

    let queued = asker.queue(&arena, 0, shape(2));
    asker.queue(&arena, 1, shape(1));
    assert!(asker.table.withdraw(queued));
    arena.forget(queued);
    assert_eq!(arena.stats().waiting, 1);

    let unasked = asker.reserve(&arena, 2);
    assert!(asker.table.withdraw(unasked.id()));
    arena.forget(unasked.id());
    assert!(matches!(arena.ask(shape(1), unasked), Answer::Withdrawn));
    assert_eq!(arena.stats().waiting, 1);

    arena.free(all).unwrap();
    let [Ok(span)] = asker.ends.take()[..] else { panic!("the one that was not withdrawn, and no other") };
    arena.free(span).unwrap();
    assert_whole(&arena);
}

/// Withdrawn, and passed over before anybody could forget it.
#[test]
fn a_free_passes_over_a_withdrawn_token() {
    let arena = strict(1);
    let asker = Asker::new(2);
    let held = arena.try_alloc(shape(1)).unwrap();
    let withdrawn = asker.queue(&arena, 0, shape(1));
    asker.queue(&arena, 1, shape(1));
    assert!(asker.table.withdraw(withdrawn));
    arena.free(held).unwrap();
    let [Ok(span)] = asker.ends.take()[..] else { panic!("the span went past the withdrawn one") };
    arena.forget(withdrawn);
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn a_span_freed_to_a_queued_token_goes_past_who_is_older() {
    let arena = strict(4);
    let all = arena.try_alloc(shape(4)).unwrap();
    let asker = Asker::new(2);
    asker.queue(&arena, 0, shape(4));
    let younger = asker.queue(&arena, 1, shape(3));
    assert_eq!(arena.free_to(asker.claim(younger), all), Ok(Heir::Claimant));
    let [Ok(span)] = asker.ends.take()[..] else { panic!("the younger, and no other") };
    let stats = arena.stats();
    assert_eq!((span.len(), stats.waiting), (3, 1), "cut to what was asked");
    assert_eq!((stats.free, stats.withheld), (0, 1), "the rest is kept for the older one");
    assert_eq!(arena.free(all), Err(FreeError::DoubleFree(all)), "the receipt was good once");
    arena.free(span).unwrap();
    let [Ok(span)] = asker.ends.take()[..] else { panic!("then the older") };
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn a_span_freed_to_a_grow_on_its_way_is_kept_for_it() {
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let asker = Asker::new(1);
    let grow = asker.reserve(&arena, 0);
    assert_eq!(arena.free_to(grow.claim(), held), Ok(Heir::Claimant));
    assert_eq!(arena.stats().free, 0);
    assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce), "no thief has it");
    assert_eq!(arena.alloc_timeout(shape(1), Duration::from_millis(1)), Err(AllocError::TimedOut));
    let Answer::Now(committed, Ok(span)) = arena.ask(shape(1), grow) else {
        panic!("it was kept");
    };
    let id = committed.into_id();
    assert_eq!(arena.free_to(asker.claim(id), span), Ok(Heir::Gone), "it had its answer");
    assert_eq!(arena.stats().free, 0, "and the span is whose it was");
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn what_was_kept_is_free_once_the_grow_is_withdrawn() {
    let arena = numbers(2);
    let asker = Asker::new(2);
    let held = arena.try_alloc(shape(2)).unwrap();
    let grow = asker.reserve(&arena, 0);
    let id = grow.id();
    assert_eq!(arena.free_to(asker.claim(id), held), Ok(Heir::Claimant));
    asker.queue(&arena, 1, shape(2));
    assert!(asker.table.withdraw(id));
    arena.forget(id);
    let [Ok(span)] = asker.ends.take()[..] else { panic!("forgetting frees what was kept") };
    drop(grow);
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn a_span_whose_heir_is_gone_stays_its_owners() {
    let arena = numbers(1);
    let asker = Asker::new(1);
    let held = arena.try_alloc(shape(1)).unwrap();

    let withdrawn = asker.reserve(&arena, 0);
    let id = withdrawn.id();
    assert!(asker.table.withdraw(id));
    assert_eq!(arena.free_to(asker.claim(id), held), Ok(Heir::Gone));
    drop(withdrawn);

    // Queued, withdrawn and not yet forgotten.
    let id = asker.queue(&arena, 0, shape(1));
    assert!(asker.table.withdraw(id));
    assert_eq!(arena.free_to(asker.claim(id), held), Ok(Heir::Gone));
    arena.forget(id);
    assert_eq!((arena.stats().free, arena.stats().waiting), (0, 0));

    // Delivered.
    let id = asker.queue(&arena, 0, shape(1));
    arena.free(held).unwrap();
    let [Ok(held)] = asker.ends.take()[..] else { panic!("delivered") };
    assert_eq!(arena.free_to(asker.claim(id), held), Ok(Heir::Gone));

    // An earlier reservation of a slot that is in use again.
    let current = asker.reserve(&arena, 0);
    assert_eq!(arena.free_to(asker.claim(id), held), Ok(Heir::Gone));
    drop(current);
    assert_eq!(asker.ends.take(), [Err(Refusal::Abandoned)]);

    // It is the same taking all the while.
    assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce));
    arena.free(held).unwrap();
    assert_whole(&arena);
}

/// Memory goes to the heir as it is: it is not given back to the system on the way.
#[test]
fn what_is_freed_to_a_claim_stays_committed() {
    let page = rustix::param::page_size();
    let region = Region::reserve(page, Reserve::new().decommit(kva::Decommit::Protect)).unwrap();
    let arena = Arena::new(region, page).unwrap();
    let held = arena.try_alloc(shape(1)).unwrap();
    let asker = Asker::new(1);
    let grow = asker.reserve(&arena, 0);
    assert_eq!(arena.free_to(grow.claim(), held), Ok(Heir::Claimant));
    assert_eq!(arena.stats().committed, 1);
    let Answer::Now(committed, Ok(span)) = arena.ask(shape(1), grow) else { panic!("it was kept") };
    assert_eq!(arena.free_to(committed.claim(), span), Ok(Heir::Gone));
    assert_eq!(arena.stats().committed, 1, "nor is that of who keeps it");
    committed.give_up();
    arena.free(span).unwrap();
    assert_eq!(arena.stats().committed, 0);
    assert_whole(&arena);
}

/// What was kept for a grow and is nobody's goes the way of all that is freed.
#[test]
fn what_nobody_comes_for_is_decommitted() {
    const SPANS: usize = 2 * BATCH + 1;
    let page = rustix::param::page_size();
    let region = Region::reserve(SPANS * page, Reserve::new().decommit(kva::Decommit::Protect)).unwrap();
    let arena = Arena::new(region, page).unwrap();
    let asker = Asker::new(1);
    let spans: Vec<_> = (0..SPANS).map(|_| arena.try_alloc(shape(1)).unwrap()).collect();
    let grow = asker.reserve(&arena, 0);
    for span in spans {
        assert_eq!(arena.free_to(grow.claim(), span), Ok(Heir::Claimant));
    }
    let id = grow.id();
    assert!(asker.table.withdraw(id));
    drop(grow);
    arena.forget(id);
    assert_eq!(arena.stats().committed, 0);
    assert_whole(&arena);

    // What does not suit it, as it comes.
    let odd = asker.reserve(&arena, 0);
    let all = arena.try_alloc(shape(2)).unwrap();
    assert_eq!(arena.free_to(odd.claim(), all), Ok(Heir::Claimant));
    let large = shape(SPANS as u32);
    let Answer::Later = arena.ask(large, odd) else { panic!("it is kept, but too short") };
    let [Ok(span)] = asker.ends.take()[..] else { panic!("it is all free") };
    arena.free(span).unwrap();
    assert_eq!(arena.stats().committed, 0);
    assert_whole(&arena);
}

#[test]
fn a_double_free_of_what_is_kept_for_a_claimant_is_told() {
    let arena = strict(1);
    let asker = Asker::new(1);
    let span = arena.try_alloc(shape(1)).unwrap();
    let grow = asker.reserve(&arena, 0);
    assert_eq!(arena.free_to(asker.claim(grow.id()), span), Ok(Heir::Claimant));
    assert_eq!(arena.free(span), Err(FreeError::DoubleFree(span)));
    let Answer::Now(committed, Ok(span)) = arena.ask(shape(1), grow) else { panic!("it was kept") };
    committed.give_up();
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn a_span_that_does_not_suit_the_claimant_stays_its_owners() {
    let arena = strict(4);
    let asker = Asker::new(2);
    let spans = take_all(&arena);
    let large = asker.queue(&arena, 0, shape(2));
    assert_eq!(arena.free_to(asker.claim(large), spans[&0]), Ok(Heir::Gone), "too short");
    assert_eq!((arena.stats().free, arena.stats().withheld), (0, 0));
    arena.free(spans[&0]).unwrap();
    arena.free(spans[&1]).unwrap();
    let [Ok(span)] = asker.ends.take()[..] else { panic!("served by what was free") };
    assert_eq!(span.range(), 0..2);

    let odd = asker.reserve(&arena, 1);
    let id = odd.id();
    assert_eq!(arena.free_to(asker.claim(id), spans[&3]), Ok(Heir::Claimant), "nobody knows its shape yet");
    assert!(matches!(arena.ask(aligned(1, 2), odd), Answer::Later), "kept, but not at a multiple of two");
    assert_eq!(arena.stats().free, 1, "so it is free again");
    arena.free(spans[&2]).unwrap();
    let [Ok(even)] = asker.ends.take()[..] else { panic!("an aligned one") };
    assert_eq!(even.start(), 2);
    arena.free(even).unwrap();
    arena.free(span).unwrap();
    assert_whole(&arena);
}

/// A sleeper with a claim that gave up has its answer: what is freed to it then stays its owner's.
#[test]
fn nothing_is_kept_for_a_sleeper_that_gave_up() {
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let asker = Asker::new(1);
    let committed = asker.reserve(&arena, 0).commit().unwrap();
    let end = arena.alloc_claiming(shape(1), committed.claim(), Some(Instant::now()));
    assert_eq!(end, Err(AllocError::TimedOut));
    assert_eq!(arena.free_to(committed.claim(), held), Ok(Heir::Gone));
    arena.free(held).unwrap();
    committed.finish(Err(Refusal::TimedOut));
    assert_whole(&arena);
}

/// What a classic back-end does: it commits, and then sleeps on its caller's thread.
#[test]
fn a_span_freed_to_a_sleeper_reaches_it_past_thieves_and_who_is_older() {
    for asleep in [false, true] {
        let arena = numbers(1);
        let held = arena.try_alloc(shape(1)).unwrap();
        let asker = Asker::new(2);
        asker.queue(&arena, 0, shape(1));
        let committed = asker.reserve(&arena, 1).commit().unwrap();
        let id = committed.id();
        thread::scope(|scope| {
            let _close = CloseOnPanic(&arena);
            let sleep = || arena.alloc_claiming(shape(1), committed.claim(), None);
            let span = if asleep {
                let sleeper = scope.spawn(sleep);
                until_waiting(&arena, 2);
                assert_eq!(arena.free_to(asker.claim(id), held), Ok(Heir::Claimant));
                assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce), "no thief has it");
                sleeper.join().unwrap().unwrap()
            } else {
                assert_eq!(arena.free_to(asker.claim(id), held), Ok(Heir::Claimant));
                assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce), "no thief has it");
                sleep().unwrap()
            };
            assert!(asker.ends.take().is_empty(), "the older one waits on");
            assert_eq!(arena.free_to(asker.claim(id), span), Ok(Heir::Gone), "it had its answer");
            arena.free(span).unwrap();
        });
        let [Ok(span)] = asker.ends.take()[..] else { panic!("then the older one") };
        arena.free(span).unwrap();
        committed.finish(Err(Refusal::Abandoned));
        assert_whole(&arena);
    }
}

#[test]
fn tokens_of_an_arena_that_is_dropped_are_refused() {
    let asker = Asker::new(3);
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    for slot in 0..3 {
        asker.queue(&arena, slot, shape(1));
    }
    assert_eq!(held.len(), 1);
    drop(arena);
    assert_eq!(asker.ends.take(), vec![Err(Refusal::Abandoned); 3]);
}

/// P5: a sink that panics strands nobody behind it, and the arena goes on.
#[test]
fn a_panicking_sink_strands_nobody() {
    struct Bomb;
    impl Sink<Span, AllocError> for Bomb {
        fn finish(&self, _: GrowId, end: End) {
            panic!("a sink panics with {end:?} in hand");
        }
    }
    for bomb in 0..3 {
        let arena = numbers(3);
        let all = arena.try_alloc(shape(3)).unwrap();
        let asker = Asker::new(3);
        for slot in 0..3 {
            if slot == bomb {
                let grow = asker.table.reserve(slot, arena.clock().now(), Arc::new(Bomb));
                assert!(matches!(arena.ask(shape(1), grow), Answer::Later));
            } else {
                asker.queue(&arena, slot, shape(1));
            }
        }
        assert!(catch_unwind(AssertUnwindSafe(|| arena.free(all))).is_err());
        let ends = asker.ends.take();
        assert_eq!(ends.len(), 2);
        assert_eq!(arena.stats().waiting, 0);
        for end in ends {
            arena.free(end.unwrap()).unwrap();
        }
        assert_eq!(arena.stats().free, 2, "the third span is the panicked sink's own");
    }
}

// Reclaim hooks.

/// Counts its calls, and frees a span that it has to spare.
struct Spare {
    arena: Arena,
    spans: Mutex<Vec<Span>>,
    calls: AtomicUsize,
    shapes: Mutex<Vec<Shape>>,
}

impl Spare {
    fn new(arena: &Arena, spans: Vec<Span>) -> Arc<Self> {
        Arc::new(Self {
            arena: arena.clone(),
            spans: Mutex::new(spans),
            calls: AtomicUsize::new(0),
            shapes: Mutex::default(),
        })
    }

    fn register(self: &Arc<Self>, owner: &GrowTable) {
        let weak = Arc::downgrade(self);
        let hook: Weak<dyn Reclaim> = weak;
        self.arena.register(owner, hook);
    }

    fn calls(&self) -> usize {
        self.calls.swap(0, SeqCst)
    }
}

impl Reclaim for Spare {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        self.calls.fetch_add(1, SeqCst);
        self.shapes.lock().push(shortage.shape());
        let spans = std::mem::take(&mut *self.spans.lock());
        for span in spans {
            self.arena.free(span).unwrap();
        }
    }
}

#[test]
fn who_has_something_to_spare_is_asked_when_a_request_must_wait() {
    let arena = numbers(4);
    let owner = GrowTable::new(1);
    let spare = Spare::new(&arena, take_all(&arena).into_values().collect());
    spare.register(&owner);

    assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce));
    assert_eq!(spare.calls(), 0, "who does not wait calls nobody");
    // Nobody else runs: this returns because the hook frees.
    let all = arena.alloc(shape(4)).unwrap();
    assert_eq!(spare.calls(), 1);
    assert_eq!(*spare.shapes.lock(), [shape(4)]);
    arena.free(all).unwrap();

    let now = arena.alloc(shape(3)).unwrap();
    assert_eq!(spare.calls(), 0, "nor who has not to wait");
    spare.spans.lock().push(now);
    let asker = Asker::new(1);
    asker.queue(&arena, 0, shape(2));
    assert_eq!(spare.calls(), 1, "tokens call too");
    let [Ok(span)] = asker.ends.take()[..] else { panic!("served by the hook") };
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn who_asks_is_not_asked_to_give() {
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let asker = Asker::new(2);
    let (own, other) = (Spare::new(&arena, vec![]), Spare::new(&arena, vec![]));
    own.register(&asker.table);
    other.register(&GrowTable::new(1));

    let id = asker.queue(&arena, 0, shape(1));
    assert_eq!((own.calls(), other.calls()), (0, 1));
    assert!(asker.table.withdraw(id));
    arena.forget(id);

    let committed = asker.reserve(&arena, 1).commit().unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        let sleeper = scope.spawn(|| arena.alloc_claiming(shape(1), committed.claim(), None));
        until_waiting(&arena, 1);
        arena.free(held).unwrap();
        let span = sleeper.join().unwrap().unwrap();
        assert_eq!((own.calls(), other.calls()), (0, 1), "nor when it sleeps in the arena");
        assert_eq!(arena.alloc_timeout(shape(1), Duration::ZERO), Err(AllocError::TimedOut));
        assert_eq!((own.calls(), other.calls()), (1, 1), "a stranger's request calls both");
        arena.free(span).unwrap();
    });
    committed.finish(Err(Refusal::Abandoned));
    assert_whole(&arena);
}

/// As many as fill a batch exactly, one fewer and one more.
#[test]
fn every_live_hook_is_called_once_however_many_there_are() {
    for hooks in [1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 3 * BATCH + 1] {
        let arena = numbers(1);
        let held = arena.try_alloc(shape(1)).unwrap();
        let owners: Vec<_> = (0..hooks).map(|_| GrowTable::new(1)).collect();
        let mut all: Vec<_> = owners.iter().map(|_| Spare::new(&arena, vec![])).collect();
        for (hook, owner) in all.iter().zip(&owners) {
            hook.register(owner);
        }
        let dead = all.pop();
        drop(dead);
        assert_eq!(arena.alloc_timeout(shape(1), Duration::ZERO), Err(AllocError::TimedOut));
        assert!(all.iter().all(|hook| hook.calls() == 1), "{hooks} hooks");
        arena.free(held).unwrap();
    }
}

// What it says of itself.

#[test]
fn stats_of_a_layout_made_by_hand() {
    let arena = numbers(16);
    let stats = arena.stats();
    assert_eq!((stats.quanta, stats.free, stats.free_runs, stats.waiting), (16, 16, 1, 0));
    assert_eq!(stats.largest, [16; 5]);
    assert!(stats.fragmentation().abs() < f64::EPSILON);

    let spans = take_all(&arena);
    let stats = arena.stats();
    assert_eq!((stats.free, stats.free_runs), (0, 0));
    assert_eq!(stats.largest, [0; 5]);
    assert!(stats.fragmentation().abs() < f64::EPSILON, "nothing is free");

    // Busy: 0, 5, 6 and 12. Free: 1..5, 7..12 and 13..16.
    for (start, span) in &spans {
        if ![0, 5, 6, 12].contains(start) {
            arena.free(*span).unwrap();
        }
    }
    let stats = arena.stats();
    assert_eq!((stats.free, stats.free_runs), (12, 3));
    assert_eq!(stats.largest, [5, 4, 4, 4, 0], "at multiples of 1, 2, 4, 8 and 16");
    assert!((stats.fragmentation() - (1.0 - 5.0 / 12.0)).abs() < 1e-9);

    let asker = Asker::new(2);
    asker.queue(&arena, 0, shape(6));
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        let sleeper = scope.spawn(|| arena.alloc(shape(13)));
        until_waiting(&arena, 2);
        assert!(arena.clock().oldest() < NEVER);
        for start in [0, 5, 6, 12] {
            arena.free(spans[&start]).unwrap();
        }
        let [Ok(span)] = asker.ends.take()[..] else { panic!("six were in a row") };
        arena.free(span).unwrap();
        let span = sleeper.join().unwrap().unwrap();
        arena.free(span).unwrap();
    });
    assert_eq!(arena.clock().oldest(), NEVER);
    assert_whole(&arena);
}

#[test]
fn handles_are_of_one_arena() {
    let arena = numbers(4);
    let handle = arena.clone();
    assert_eq!((handle.quanta(), handle.quantum()), (4, 1));
    let span = arena.try_alloc(shape(4)).unwrap();
    assert_eq!(arena.ptr(span), None, "numbers have no memory");
    assert_eq!(handle.try_alloc(shape(1)), Err(AllocError::Scarce));
    handle.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn a_withdrawn_request_is_forgotten_although_its_slot_is_in_use_again() {
    struct Nobody;
    impl Sink<Span, AllocError> for Nobody {
        fn finish(&self, _: GrowId, end: Result<Span, Refusal<AllocError>>) {
            panic!("nobody is owed anything: {end:?}");
        }
    }
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let table = GrowTable::new(1);
    let ask = || {
        let grow = table.reserve(0, arena.clock().now(), Arc::new(Nobody));
        let id = grow.id();
        assert!(matches!(arena.ask(shape(1), grow), Answer::Later));
        assert!(table.withdraw(id));
        id
    };
    let (first, second) = (ask(), ask());
    arena.forget(first);
    assert_eq!(arena.stats().waiting, 1, "the first is gone, the second is not");
    arena.forget(second);
    arena.free(held).unwrap();
    assert_whole(&arena);
}

/// A hook that knows better than the arena where there will be room.
struct Aims {
    at: u32,
    held: Mutex<Vec<Span>>,
    arena: Arena,
    windows: Mutex<Vec<Option<std::ops::Range<u32>>>>,
}

impl Reclaim for Aims {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        self.windows.lock().push(shortage.window());
        for bad in [self.at + 1, 9, 16, u32::MAX] {
            assert!(!shortage.aim(bad), "no four fit at {bad}, aligned");
        }
        assert!(shortage.aim(self.at));
        // What was withheld before is not any more: all that is free is here.
        let taken: Vec<_> = std::iter::from_fn(|| shortage.try_alloc_elsewhere(shape(1)).ok()).collect();
        assert!(taken.iter().all(|span| !(self.at..self.at + 4).contains(&span.start())));
        let held: Vec<_> = self.held.lock().drain(..).collect();
        for span in taken.into_iter().chain(held) {
            self.arena.free(span).unwrap();
        }
    }
}

#[test]
fn a_hook_moves_the_window_to_where_it_makes_room() {
    let arena = numbers(16);
    let mut spans = take_all(&arena);
    // The arena aims at 0..4, of which one is busy for good; the hook has 8..12.
    for free in 1..4 {
        arena.free(spans.remove(&free).unwrap()).unwrap();
    }
    let held = (8..12).map(|at| spans.remove(&at).unwrap()).collect();
    let hook =
        Arc::new(Aims { at: 8, held: Mutex::new(held), arena: arena.clone(), windows: Mutex::default() });
    arena.register(&GrowTable::new(0), Arc::downgrade(&hook) as Weak<dyn Reclaim>);
    let four = arena.alloc_timeout(aligned(4, 4), Duration::from_secs(20)).unwrap();
    assert_eq!(four.range(), 8..12);
    assert_eq!(hook.windows.lock()[0], Some(0..4));
    arena.free(four).unwrap();
    for span in spans.into_values() {
        arena.free(span).unwrap();
    }
    assert_whole(&arena);
}

/// Two hooks that want the window in two places: the first has it, and they do not move it for ever.
#[test]
fn only_one_hook_moves_a_window() {
    struct Greedy(u32, AtomicUsize, AtomicUsize);
    impl Reclaim for Greedy {
        fn reclaim(&self, shortage: &Shortage<'_>) {
            self.1.fetch_add(1, SeqCst);
            self.2.fetch_add(usize::from(shortage.aim(self.0)), SeqCst);
        }
    }
    let arena = numbers(16);
    let spans = take_all(&arena);
    let hooks = [4, 8].map(|at| Arc::new(Greedy(at, AtomicUsize::new(0), AtomicUsize::new(0))));
    for hook in &hooks {
        arena.register(&GrowTable::new(0), Arc::downgrade(hook) as Weak<dyn Reclaim>);
    }
    for _ in 0..2 {
        assert_eq!(arena.alloc_timeout(aligned(4, 4), Duration::ZERO), Err(AllocError::TimedOut));
        assert!(hooks[0].2.swap(0, SeqCst) > 0, "the first had its way");
        assert_eq!(hooks[1].2.load(SeqCst), 0, "the second had not");
        assert!(hooks.iter().all(|hook| hook.1.swap(0, SeqCst) < 4), "and then it was over");
    }
    for span in spans.into_values() {
        arena.free(span).unwrap();
    }
    assert_whole(&arena);
}
