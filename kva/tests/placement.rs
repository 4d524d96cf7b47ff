//! Where a span may be, beside a search from each quantum: at once, and for who waits.

#![cfg(not(loom))]

mod support;

use std::ptr::NonNull;

use kva::{AllocError, Arena, Fit, Placement, Region, Shape, Span};
use support::{Asker, Random, assert_whole, free_all, numbers, shape, take_each};

const QUANTA: u32 = 32;

/// A placement, and what it says.
#[derive(Debug, Clone)]
struct Wish {
    len: u32,
    align: u32,
    phase: u32,
    nocross: u32,
    within: (u32, u32),
}

impl Wish {
    fn new(random: &mut Random) -> Self {
        let (len, align) = (1 + random.below(6), 1 << random.below(4));
        let start = random.below(QUANTA - 6);
        Self {
            len,
            align,
            phase: if random.below(2) == 0 { random.below(align) } else { 0 },
            nocross: if random.below(2) == 0 { 8 << random.below(2) } else { 0 },
            within: if random.below(2) == 0 { (start, start + 6 + random.below(8)) } else { (0, u32::MAX) },
        }
    }

    fn placement(&self) -> Placement {
        let plain = Placement::from(Shape::aligned(self.len, self.align).unwrap());
        let placement = plain.phase(self.phase).unwrap().within(self.within.0..self.within.1).unwrap();
        if self.nocross == 0 { placement } else { placement.nocross(self.nocross).unwrap() }
    }

    /// Whether it is good there, of an arena whose first quantum is at `origin`.
    fn suits(&self, start: u32, origin: u32) -> bool {
        let at = origin + start;
        let crosses = self.nocross != 0 && at / self.nocross != (at + self.len - 1) / self.nocross;
        at % self.align == self.phase
            && !crosses
            && (self.within.0..=self.within.1 - self.len).contains(&start)
            && start + self.len <= QUANTA
    }

    fn fits(&self, free: &[bool], origin: u32) -> bool {
        (0..=QUANTA - self.len).any(|start| {
            self.suits(start, origin)
                && free[start as usize..(start + self.len) as usize].iter().all(|it| *it)
        })
    }
}

/// Numbers, or memory that begins at an odd position, which nobody touches.
fn arenas() -> [(Arena, u32); 2] {
    let base = NonNull::without_provenance((1005 * 64).try_into().unwrap());
    // SAFETY: nobody touches it.
    let odd = unsafe { Region::borrowed(NonNull::slice_from_raw_parts(base, QUANTA as usize * 64)) };
    [(numbers(QUANTA), 0), (Arena::new(odd, 64).unwrap(), 1005)]
}

/// Frees some quanta; which are.
fn some_free(random: &mut Random, arena: &Arena) -> (Vec<Span>, Vec<bool>) {
    let some = 2 + random.below(3);
    let (gone, kept): (Vec<_>, Vec<_>) = take_each(arena).into_iter().partition(|_| random.below(some) > 0);
    let mut free = vec![false; QUANTA as usize];
    for span in &gone {
        free[span.start() as usize] = true;
    }
    free_all(arena, gone);
    (kept, free)
}

#[test]
fn what_is_found_is_good_and_what_is_good_is_found() {
    let mut random = Random::new(1);
    let (mut found, mut scarce, mut never) = (0, 0, 0);
    for (arena, origin) in arenas() {
        for round in 0..2000 {
            let (kept, free) = some_free(&mut random, &arena);
            let wish = Wish::new(&mut random);
            let fit = if round % 2 == 0 { Fit::Instant } else { Fit::Best };
            match arena.try_alloc(wish.placement().fit(fit)) {
                Ok(span) => {
                    assert!(wish.suits(span.start(), origin), "{wish:?}: {span:?}");
                    assert_eq!(span.len(), wish.len);
                    assert!(span.range().all(|quantum| free[quantum as usize]));
                    arena.free(span).unwrap();
                    found += 1;
                }
                Err(AllocError::Scarce) => {
                    assert!(!wish.fits(&free, origin), "{wish:?} in {free:?}");
                    scarce += 1;
                }
                Err(AllocError::TooLarge { .. }) => {
                    assert!(!wish.fits(&[true; QUANTA as usize], origin), "{wish:?}");
                    never += 1;
                }
                Err(error) => panic!("{error}"),
            }
            free_all(&arena, kept);
        }
        assert_whole(&arena);
    }
    assert!(found > 500 && scarce > 500 && never > 10, "{found} {scarce} {never}");
}

/// Who waits is served as soon as it could be, wherever it may be: not later, and not elsewhere.
#[test]
fn who_waits_is_served_where_it_may_be_as_soon_as_that_is_free() {
    let mut random = Random::new(2);
    let mut waited = 0;
    for (arena, origin) in arenas() {
        for _ in 0..300 {
            let wish = Wish::new(&mut random);
            if !wish.fits(&[true; QUANTA as usize], origin) {
                continue;
            }
            let mut busy = take_each(&arena);
            let mut free = [false; QUANTA as usize];
            let asker = Asker::new(1);
            asker.ask(&arena, 0, wish.placement());
            let served = loop {
                let at = random.below(busy.len() as u32);
                let span = busy.swap_remove(at as usize);
                free[span.start() as usize] = true;
                arena.free(span).unwrap();
                if let [span] = asker.granted()[..] {
                    break span;
                }
                assert!(!wish.fits(&free, origin), "{wish:?} waits beside {free:?}");
                waited += 1;
            };
            assert!(wish.suits(served.start(), origin), "{wish:?}: {served:?}");
            free_all(&arena, busy.into_iter().chain([served]));
            assert_whole(&arena);
        }
    }
    assert!(waited > 1000, "{waited}");
}

/// Best fit takes a run that is no longer than the shortest that does by more than an eighth;
/// instant fit takes what it comes upon.
#[test]
fn the_fit_says_which_run() {
    let mut random = Random::new(3);
    let (mut instant, mut best) = (0, 0);
    for _ in 0..200 {
        let arena = numbers(512);
        // Free runs of some lengths, with a quantum that is taken after each.
        let (mut runs, mut kept, mut at) = (Vec::new(), Vec::new(), 0);
        let all = arena.try_alloc(shape(512)).unwrap();
        while at + 64 < 512 {
            let len = 9 + random.below(50);
            runs.push(at..at + len);
            at += len + 1;
        }
        arena.free(all).unwrap();
        kept.extend(runs.iter().map(|run| arena.try_alloc_at(run.end..run.end + 1).unwrap()));
        kept.push(arena.try_alloc_at(at..512).unwrap());
        let len = 9 + random.below(30);
        let lengths = runs.iter().map(|run| run.end - run.start);
        let Some(shortest) = lengths.filter(|run| *run >= len).min() else { continue };
        let excess = |fit| {
            let span = arena.try_alloc(Placement::from(shape(len)).fit(fit)).unwrap();
            let run = runs.iter().find(|run| run.contains(&span.start())).unwrap();
            arena.free(span).unwrap();
            run.end - run.start - shortest
        };
        let (any, snug) = (excess(Fit::Instant), excess(Fit::Best));
        assert!(snug * 8 <= shortest, "{snug} more than {shortest}");
        (instant, best) = (instant + any, best + snug);
        free_all(&arena, kept);
        assert_whole(&arena);
    }
    assert!(best * 2 < instant, "{best} too much in all, and {instant}");
}

#[test]
fn just_these_quanta() {
    let arena = numbers(8);
    let middle = arena.try_alloc_at(3..5).unwrap();
    assert_eq!(middle.range(), 3..5);
    for busy in [3..4, 4..5, 2..4, 4..8, 0..8] {
        assert_eq!(arena.try_alloc_at(busy), Err(AllocError::Scarce));
    }
    for (start, end) in [(0, 9), (8, 9), (2, 2), (5, 4), (9, u32::MAX), (0, u32::MAX)] {
        let outside = AllocError::Outside { start, end, quanta: 8 };
        assert_eq!(arena.try_alloc_at(start..end), Err(outside));
    }
    assert_eq!(arena.try_alloc_at(7..9).unwrap_err().to_string(), "quanta 7..9 of an arena of 8");
    let sides = [arena.try_alloc_at(0..3).unwrap(), arena.try_alloc_at(5..8).unwrap()];
    arena.close();
    assert_eq!(arena.try_alloc_at(0..1), Err(AllocError::Closed));
    free_all(&arena, sides.into_iter().chain([middle]));
    assert_whole(&arena);
}
