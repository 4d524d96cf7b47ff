//! What is kept for a large request, in a storm of small ones: how many frees it takes, and how
//! often it is overtaken; and the same storm where nothing is kept for it.

#![cfg(not(loom))]

mod support;

use std::thread;

use kva::sync::Mutex;
use kva::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use kva::{AllocError, Placement, Shape, Span};
use support::{
    Asker, CloseOnPanic, Random, aligned, assert_whole, free_all, numbers, shape, take_each, until_waiting,
    with_bypass,
};

const QUANTA: u32 = 64;
const LARGE: u32 = 16;

/// An arena of a bitmap, which keeps nothing for anybody.
struct Bitmap(Vec<bool>);

impl Bitmap {
    fn take(&mut self, len: u32) -> Option<u32> {
        let mut starts = (0..QUANTA).step_by(len as usize);
        let start = starts.find(|&start| !self.0[start as usize..(start + len) as usize].contains(&true))?;
        self.0[start as usize..(start + len) as usize].fill(true);
        Some(start)
    }
}

/// The storm: singles come and go at random, and take whatever is free at once. How many frees it
/// took until `served`, if it ever was.
fn storm<S>(
    seed: u64,
    frees: u32,
    mut singles: Vec<S>,
    mut take: impl FnMut() -> Option<S>,
    mut free: impl FnMut(S),
    mut served: impl FnMut() -> bool,
) -> (Option<u32>, Vec<S>) {
    let mut random = Random::new(seed);
    for freed in 0..frees {
        if served() {
            return (Some(freed), singles);
        }
        let at = random.below(singles.len() as u32);
        free(singles.swap_remove(at as usize));
        singles.extend(std::iter::from_fn(&mut take));
    }
    (None, singles)
}

/// After `bypass` overtakes a quantum nothing is taken any more, so that each quantum is freed
/// once at most.
#[test]
fn a_storm_of_singles_does_not_starve_a_large_request() {
    for bypass in [0, 1, 4, 64] {
        let bound = bypass * LARGE + QUANTA;
        let mut most = 0;
        for seed in 0..40 {
            let arena = with_bypass(QUANTA, bypass);
            let singles = take_each(&arena);
            let asker = Asker::new(1);
            asker.ask(&arena, 0, aligned(LARGE));
            let large = Mutex::new(Vec::new());
            let (served, rest) = storm(
                seed,
                bound + 1,
                singles,
                || arena.try_alloc(shape(1)).ok(),
                |span| arena.free(span).unwrap(),
                || {
                    large.lock().extend(asker.granted());
                    !large.lock().is_empty()
                },
            );
            let served = served.unwrap_or_else(|| panic!("starved, bypass {bypass}, seed {seed}"));
            most = most.max(served);
            assert!(arena.stats().most_overtaken <= u64::from(bypass * LARGE), "P4");
            free_all(&arena, rest.into_iter().chain(std::mem::take(&mut *large.lock())));
            assert_whole(&arena);
        }
        assert!(most <= bound, "{most} frees, bypass {bypass}");
    }
}

/// With the bypass out of the way, the window alone does it: each free in it is for good.
#[test]
fn a_window_alone_is_enough() {
    for seed in 0..20 {
        let arena = with_bypass(QUANTA, u32::MAX);
        let singles = take_each(&arena);
        let asker = Asker::new(1);
        asker.ask(&arena, 0, aligned(LARGE));
        let large = Mutex::new(Vec::new());
        let (served, rest) = storm(
            seed,
            100_000,
            singles,
            || arena.try_alloc(shape(1)).ok(),
            |span| arena.free(span).unwrap(),
            || {
                large.lock().extend(asker.granted());
                !large.lock().is_empty()
            },
        );
        // All sixteen are to be drawn of sixty-four: some two hundred draws, and a thousand never.
        assert!(served.is_some_and(|frees| frees < 2000), "{served:?}, seed {seed}");
        free_all(&arena, rest.into_iter().chain(std::mem::take(&mut *large.lock())));
        assert_whole(&arena);
    }
}

#[test]
fn without_windows_the_same_storm_starves_it() {
    for seed in 0..5 {
        let bitmap = Mutex::new(Bitmap(vec![true; QUANTA as usize]));
        let (served, _) = storm(
            seed,
            20_000,
            (0..QUANTA).collect(),
            || bitmap.lock().take(1),
            |at| bitmap.lock().0[at as usize] = false,
            || bitmap.lock().take(LARGE).is_some(),
        );
        assert_eq!(served, None, "seed {seed}");
    }
}

/// Threads that take and free, and one large request after the other: the bound holds in every
/// run, however they interleave.
#[test]
fn a_storm_of_threads() {
    for bypass in [0, 1, 8] {
        let arena = with_bypass(QUANTA, bypass);
        let (stop, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            let _close = CloseOnPanic(&arena);
            for seed in 0..3 {
                let (arena, stop, rounds) = (&arena, &stop, &rounds);
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    let mut held: Vec<Span> = Vec::new();
                    while !stop.load(SeqCst) && !arena.is_closed() {
                        if let Ok(span) = arena.try_alloc(shape(1)) {
                            held.push(span);
                        }
                        if held.len() > 30 || (!held.is_empty() && random.below(2) == 0) {
                            let at = random.below(held.len() as u32);
                            arena.free(held.swap_remove(at as usize)).unwrap();
                        }
                        rounds.fetch_add(1, SeqCst);
                    }
                    free_all(arena, held);
                });
            }
            for _ in 0..100 {
                // So that there is a storm.
                let so_far = rounds.load(SeqCst);
                support::until(|| rounds.load(SeqCst) >= so_far + 50 || arena.is_closed());
                let large = arena.alloc(aligned(LARGE)).unwrap();
                assert_eq!(large.start() % LARGE, 0);
                arena.free(large).unwrap();
            }
            stop.store(true, SeqCst);
        });
        assert!(arena.stats().most_overtaken <= u64::from(bypass * LARGE), "{:?}", arena.stats());
        assert_whole(&arena);
    }
}

/// The bypass is a quantum of the head's length: how long it is decides how many pass.
#[test]
fn the_bypass_counts_by_the_heads_length() {
    for (bypass, len) in [(0, 4), (1, 2), (1, 8), (3, 4)] {
        let arena = with_bypass(16, bypass);
        let spans = take_each(&arena);
        let asker = Asker::new(1);
        let id = asker.ask(&arena, 0, aligned(len));
        arena.free(spans[15]).unwrap();
        let outside = arena.stats().free;
        let passed =
            (0..100).take_while(|_| arena.try_alloc(shape(1)).is_ok_and(|span| arena.free(span).is_ok()));
        let passed = passed.count() as u32;
        // The window may have moved to where something was freed.
        let most = if outside == 0 { 0 } else { bypass * len };
        assert_eq!(passed, most, "{bypass} a quantum of {len}");
        asker.withdraw(&arena, id);
        assert_eq!(arena.stats().most_overtaken, u64::from(most));
        free_all(&arena, spans[..15].iter().copied());
        assert_whole(&arena);
    }
}

#[test]
fn what_is_withheld_is_nobodys_and_is_free_once_the_head_is_gone() {
    let arena = numbers(8);
    let spans = take_each(&arena);
    let asker = Asker::new(1);
    let id = asker.ask(&arena, 0, aligned(4));
    free_all(&arena, [spans[0], spans[2], spans[3]]);
    let stats = arena.stats();
    assert_eq!((stats.withheld, stats.free), (3, 0));
    assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce));
    assert_eq!(arena.try_alloc_at(2..3), Err(AllocError::Scarce));
    asker.withdraw(&arena, id);
    let stats = arena.stats();
    assert_eq!((stats.withheld, stats.free), (0, 3));
    let pair = arena.try_alloc_at(2..4).unwrap();
    free_all(&arena, [pair, spans[1]].into_iter().chain(spans[4..].iter().copied()));
    assert_whole(&arena);
}

/// A window is where its request may be, and what is freed elsewhere is anybody's.
#[test]
fn a_window_is_within_its_constraints() {
    let arena = numbers(16);
    let spans = take_each(&arena);
    let asker = Asker::new(1);
    let placement = Placement::from(Shape::aligned(2, 4).unwrap()).phase(1).unwrap().within(8..16).unwrap();
    asker.ask(&arena, 0, placement);
    free_all(&arena, spans[..8].iter().copied());
    assert_eq!(asker.ends().len(), 0, "eight are free, and none of use");
    let others = take_each(&arena);
    assert_eq!((others.len(), arena.stats().withheld), (8, 0));
    free_all(&arena, [spans[8], spans[11], spans[12], spans[15]]);
    assert_eq!(asker.ends().len(), 0, "4k + 1 is not among them");
    free_all(&arena, [spans[13], spans[14]]);
    let [pair] = asker.granted()[..] else { panic!("13 and 14 are") };
    assert_eq!(pair.range(), 13..15);
    free_all(&arena, [pair, spans[9], spans[10]].into_iter().chain(others));
    assert_whole(&arena);
}

/// The window goes to where less is busy, and never back to where more is.
#[test]
fn a_window_moves_to_where_less_is_busy() {
    let arena = numbers(12);
    let spans = take_each(&arena);
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(4));
    let mut withheld = Vec::new();
    for at in [1, 8, 9, 4, 5, 6] {
        arena.free(spans[at]).unwrap();
        withheld.push(arena.stats().withheld);
    }
    // One in 0..4; one in 8..12, no better; two there; then as many in 4..8, and at last three.
    assert_eq!(withheld, [1, 1, 2, 2, 2, 3]);
    assert_eq!(arena.stats().free, 3, "what it left is free");
    arena.free(spans[7]).unwrap();
    let [four] = asker.granted()[..] else { panic!("its window is complete") };
    assert_eq!(four.range(), 4..8);
    free_all(&arena, [0, 2, 3, 10, 11].map(|at| spans[at]).into_iter().chain([four]));
    assert_whole(&arena);
}

/// What is freed lies in the window, and completes another place, which overlaps it.
#[test]
fn what_completes_a_place_beside_the_window_is_had_at_once() {
    let arena = numbers(68);
    let spans = take_each(&arena);
    let (stay, go): (Vec<_>, Vec<_>) =
        spans.into_iter().partition(|span| [0, 20, 66, 67].contains(&span.start()));
    free_all(&arena, go);
    let asker = Asker::new(1);
    asker.ask(&arena, 0, shape(64));
    assert_eq!(arena.stats().withheld, 62, "the window is 0..64, and 0 and 20 are busy");
    arena.free(stay[1]).unwrap();
    let [long] = asker.granted()[..] else { panic!("1..66 is idle") };
    assert_eq!(long.range(), 1..65);
    free_all(&arena, [stay[0], stay[2], stay[3], long]);
    assert_whole(&arena);
}

#[test]
fn a_large_sleeper_is_served_by_its_window() {
    let arena = numbers(8);
    let spans = take_each(&arena);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        let sleeper = scope.spawn(|| arena.alloc(aligned(4)));
        until_waiting(&arena, 1);
        for &span in &spans[..4] {
            assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce));
            arena.free(span).unwrap();
        }
        let four = sleeper.join().unwrap().unwrap();
        free_all(&arena, spans[4..].iter().copied().chain([four]));
    });
    assert_whole(&arena);
}
