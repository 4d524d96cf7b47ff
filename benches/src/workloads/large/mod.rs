//! A large, aligned span is wanted of an arena that others keep full of single quanta.
//!
//! The others are a storm: each thread of it has its share of single quanta, and goes on freeing a random
//! one and taking another, without waiting. Refused, it frees one more, so that nobody sits on what the
//! large request needs: whoever sleeps and holds would make it wait for ever, here as anywhere.
//!
//! A run has two passes. In the first each request is timed. In the second it is counted how many
//! singles were granted while it waited.
//!
//! Who serves the large request only when nobody else happens to take what it needs may never do it: each
//! is given up after a while, and counted as not served.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use fastrand::Rng;
use hdrhistogram::Histogram;
use kva::Shape;
use kva::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::case::Case;
use crate::threads::Start;
use crate::workloads::scarce::no_waits;

mod barging;
mod ours;

pub(crate) use barging::Barging;
pub(crate) use ours::Ours;

/// Quanta of each arena.
const QUANTA: u32 = 4096;

/// Threads of the storm.
const STORM: usize = 4;

/// How many singles each has where all quanta are taken.
const FULL: usize = QUANTA as usize / STORM;

/// How many percent of the quanta the storm has, together.
const OCCUPANCY: [u32; 2] = [95, 100];

/// Large spans: quanta, and what they are aligned to.
pub(crate) const SHAPES: [(u32, u32); 3] = [(4, 4), (64, 64), (64, 1)];

/// How often the large request looks whether the storm is back at its share.
const LOOK: Duration = Duration::from_micros(50);

/// What singles and large spans are taken from, by all threads.
pub(crate) trait Waitable: Sync + Sized + 'static {
    /// Its name, as that of other [sources](crate::source::Source).
    const NAME: &'static str;

    /// A span that is out.
    type Span: Send;

    /// Makes one with so many quanta, which counts what is granted if it is asked to.
    fn new(quanta: u32, counted: bool) -> Self;

    /// Takes a single quantum, if there is one to be had.
    fn try_single(&self) -> Option<Self::Span>;

    /// Gives a span back.
    fn free(&self, span: Self::Span);

    /// Takes a span of that shape, waiting for it until then.
    fn wait(&self, shape: Shape, until: Instant) -> Waited<Self::Span>;

    /// Whether anybody waits now.
    #[cfg(test)]
    fn is_waited_for(&self) -> bool;
}

/// How a wait ended.
#[derive(Debug)]
pub(crate) struct Waited<T> {
    /// What was waited for, if it came.
    pub(crate) span: Option<T>,
    /// How many singles were granted meanwhile, if that is counted.
    pub(crate) overtaken: Option<u64>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Large spans asked for, in both passes.
    pub asked: u64,
    /// How many of them were served.
    pub served: u64,
    /// How long each waited in the first pass, in nanoseconds, within 1 %. One that was not served is
    /// in it with the time after which it was given up.
    pub waits: Histogram<u64>,
    /// The most singles that were granted while one waited.
    pub most_overtaken: u64,
    /// Singles granted a second in the first pass, to all threads together.
    pub singles_per_second: f64,
}

impl Outcome {
    /// The median wait, in nanoseconds.
    #[must_use]
    pub fn ns(&self) -> f64 {
        self.waits.value_at_quantile(0.5).max(1) as f64
    }
}

/// Adds the cases of who can be asked for these shapes.
pub(crate) fn add<S: Waitable>(cases: &mut Vec<Case>, shapes: &[(u32, u32)]) {
    for &(len, align) in shapes {
        for occupancy in OCCUPANCY {
            let shape = match align {
                1 => format!("{len}, {occupancy} %"),
                align => format!("{len} at {align}, {occupancy} %"),
            };
            let wanted = Shape::aligned(len, align).expect("a good shape");
            let measure = move |time| measure::<S>(wanted, occupancy, time);
            cases.push(Case::large(shape, S::NAME, STORM + 1, len, measure));
        }
    }
}

fn measure<S: Waitable>(wanted: Shape, occupancy: u32, time: Duration) -> Outcome {
    let timed = pass::<S>(wanted, occupancy, time.mul_f64(0.6), 2 * time, false);
    let counted = pass::<S>(wanted, occupancy, time.mul_f64(0.4), time, true);
    Outcome {
        asked: timed.asked + counted.asked,
        served: timed.served + counted.served,
        most_overtaken: counted.most_overtaken,
        ..timed
    }
}

/// What the storm is told, and what it says.
struct Storm {
    start: Start,
    stop: AtomicBool,
    /// How many singles each of its threads is to hold.
    share: AtomicUsize,
    /// How many each holds.
    held: [CachePadded<AtomicUsize>; STORM],
}

impl Storm {
    /// Waits until each thread holds so many. They do in the end where nobody waits for a large span.
    fn reach(&self, share: usize) {
        // Relaxed, here and where they are read: nothing else is published by them.
        self.share.store(share, Ordering::Relaxed);
        while self.held.iter().any(|held| held.load(Ordering::Relaxed) != share) {
            thread::sleep(LOOK);
        }
    }
}

fn pass<S: Waitable>(
    wanted: Shape,
    occupancy: u32,
    time: Duration,
    patience: Duration,
    counted: bool,
) -> Outcome {
    let arena = S::new(QUANTA, counted);
    let storm = Storm {
        start: Start::of(STORM + 1),
        stop: AtomicBool::new(false),
        share: AtomicUsize::new(FULL),
        held: Default::default(),
    };
    thread::scope(|scope| {
        let (arena, storm) = (&arena, &storm);
        let running: Vec<_> = (0..STORM).map(|nth| scope.spawn(move || rage(arena, storm, nth))).collect();
        storm.start.wait();
        let begun = Instant::now();
        let mut outcome = ask(arena, storm, wanted, FULL * occupancy as usize / 100, time, patience);
        storm.stop.store(true, Ordering::Relaxed);
        let elapsed = begun.elapsed();
        let singles: u64 = running.into_iter().map(|thread| thread.join().expect("no thread panics")).sum();
        outcome.singles_per_second = singles as f64 / elapsed.as_secs_f64();
        outcome
    })
}

/// Frees a random single and takes others, up to its share, until it is told to stop; how many it took.
fn rage<S: Waitable>(arena: &S, storm: &Storm, nth: usize) -> u64 {
    let mut random = Rng::with_seed(nth as u64);
    let mut held: Vec<S::Span> = Vec::with_capacity(FULL);
    let mut taken = 0;
    storm.start.wait();
    while !storm.stop.load(Ordering::Relaxed) {
        let share = storm.share.load(Ordering::Relaxed);
        if held.is_empty() {
            thread::yield_now();
        } else {
            arena.free(held.swap_remove(random.usize(..held.len())));
        }
        while held.len() < share
            && let Some(single) = arena.try_single()
        {
            held.push(single);
            taken += 1;
        }
        storm.held[nth].store(held.len(), Ordering::Relaxed);
    }
    for single in held {
        arena.free(single);
    }
    taken
}

/// Asks for large spans, one after the other, until the time is up; each is given up when patience is at an
/// end. Before it asks, the arena was full, so that what is free by then is scattered.
fn ask<S: Waitable>(
    arena: &S,
    storm: &Storm,
    wanted: Shape,
    share: usize,
    time: Duration,
    patience: Duration,
) -> Outcome {
    let mut outcome =
        Outcome { asked: 0, served: 0, waits: no_waits(), most_overtaken: 0, singles_per_second: 0.0 };
    let end = Instant::now() + time;
    loop {
        storm.reach(FULL);
        storm.reach(share);
        let asked_at = Instant::now();
        if asked_at >= end && outcome.asked > 0 {
            return outcome;
        }
        let Waited { span, overtaken } = arena.wait(wanted, asked_at + patience);
        outcome.waits.saturating_record(asked_at.elapsed().as_nanos() as u64);
        outcome.asked += 1;
        outcome.most_overtaken = outcome.most_overtaken.max(overtaken.unwrap_or(0));
        if let Some(span) = span {
            outcome.served += 1;
            arena.free(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::offset::Offset;
    use crate::sources::range::Ranges;

    const MOMENT: Duration = Duration::from_millis(20);

    fn four() -> Shape {
        Shape::aligned(4, 4).unwrap()
    }

    #[test]
    fn ours_serves_all_and_few_overtake() {
        let outcome = pass::<Ours>(four(), 100, MOMENT, Duration::from_mins(1), true);
        assert!(outcome.asked > 0 && outcome.served == outcome.asked, "{outcome:?}");
        assert!(outcome.most_overtaken <= 4 * u64::from(kva::Arena::DEFAULT_BYPASS), "{outcome:?}");
    }

    #[test]
    fn who_is_never_served_is_given_up_and_counted() {
        let outcome = measure::<Barging<Ranges>>(Shape::aligned(64, 64).unwrap(), 100, MOMENT);
        assert_eq!(outcome.served, 0, "sixty-four of a full arena come together by no chance");
        assert_eq!(outcome.asked, 2, "one in each pass, after which there was no time left");
        assert!(outcome.singles_per_second > 0.0, "there was a storm");
        assert!(outcome.waits.max() >= 30_000_000, "it waited as long as it was let");
    }

    fn waits_and_counts<S: Waitable>(align: u32) {
        let (shape, all) = (Shape::aligned(8, align).unwrap(), Shape::new(64).unwrap());
        let arena = S::new(64, true);
        let mut singles: Vec<_> = (0..64).map(|_| arena.try_single().unwrap()).collect();
        assert!(arena.try_single().is_none(), "{}", S::NAME);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| arena.wait(shape, Instant::now() + Duration::from_mins(1)));
            while !arena.is_waited_for() {
                thread::yield_now();
            }
            let mut granted = 0;
            // Five are too few to serve it, whichever they are.
            for _ in 0..5 {
                arena.free(singles.pop().unwrap());
                if let Some(single) = arena.try_single() {
                    singles.push(single);
                    granted += 1;
                }
            }
            singles.drain(..).for_each(|single| arena.free(single));
            let waited = waiting.join().unwrap();
            assert_eq!(waited.overtaken, Some(granted), "{}", S::NAME);
            arena.free(waited.span.unwrap());
        });
        let at_once = arena.wait(all, Instant::now());
        assert_eq!(at_once.overtaken, Some(0), "{}", S::NAME);
        let late = arena.wait(all, Instant::now());
        assert!(late.span.is_none(), "{}", S::NAME);
        arena.free(at_once.span.unwrap());
        assert!(arena.try_single().is_some(), "{}: what was given up has gone", S::NAME);
    }

    #[test]
    fn who_waits_is_served_and_who_overtakes_is_counted() {
        waits_and_counts::<Ours>(8);
        waits_and_counts::<Barging<Ranges>>(8);
        waits_and_counts::<Barging<Offset>>(1);
    }
}
