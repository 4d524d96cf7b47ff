//! More threads than objects: each gets one, waiting for it, perhaps works for a microsecond, and
//! puts it back.
//!
//! A run has three passes, so that none measures what another costs: how many gets there are, how
//! long each waits, and how often waiters are overtaken.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use kva::sync::atomic::{AtomicBool, Ordering};

use crate::case::{Case, Scarcity};
use crate::statistics::evenness;
use crate::subject::{Seat, Stock, Subject, touch};
use crate::threads::Start;

mod work;
use work::Work;

/// Threads, and objects for them.
const SHAPES: [(usize, usize); 4] = [(4, 2), (8, 2), (8, 7), (64, 4)];

/// What is done while an object is held, where anything is.
const HELD: Duration = Duration::from_micros(1);

/// Adds the cases of a subject.
pub(crate) fn add<S: Subject>(cases: &mut Vec<Case>) {
    for (threads, objects) in SHAPES {
        for work in [false, true] {
            let shape = format!("{threads} for {objects}{}", if work { ", 1 us held" } else { "" });
            let measure = move |time| measure::<S>(threads, objects, work, time);
            cases.push(Case::scarce(shape, S::NAME, threads, Scarcity { objects, work }, measure));
        }
    }
}

/// What came of a run, or of several.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The gets of each thread.
    pub gets: Vec<u64>,
    /// How long those took, as the mean thread sees it.
    pub elapsed: Duration,
    /// How long each get took, in nanoseconds, within 1 %. Of another pass.
    pub waits: Histogram<u64>,
    /// The most that a waiter was overtaken by later arrivals, if that is counted.
    pub most_overtaken: Option<u64>,
}

impl Outcome {
    /// Gets a second, of all threads together.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.gets.iter().sum::<u64>() as f64 / self.elapsed.as_secs_f64()
    }

    /// Nanoseconds a get, as one thread sees it.
    #[must_use]
    pub fn ns(&self) -> f64 {
        self.gets.len() as f64 * 1e9 / self.per_second()
    }

    /// The gets of the thread that had the fewest, as a share of those of the one that had the most.
    #[must_use]
    pub fn fairness(&self) -> Option<f64> {
        evenness(&self.gets)
    }
}

/// No waits at all.
///
/// # Panics
/// Never: the bounds are good.
#[must_use]
pub fn no_waits() -> Histogram<u64> {
    // Two digits: what is more is noise, and would not fit into a cache.
    let minute = 60_000_000_000;
    let mut waits = Histogram::new_with_bounds(1, minute, 2).expect("good bounds");
    waits.auto(true);
    waits
}

/// Puts together what several threads or rounds waited.
///
/// # Panics
/// Never: they grow as they need.
#[must_use]
pub fn all_waits<'a>(parts: impl IntoIterator<Item = &'a Histogram<u64>>) -> Histogram<u64> {
    let mut all = no_waits();
    parts.into_iter().for_each(|part| all.add(part).expect("it grows"));
    all
}

fn measure<S: Subject>(threads: usize, objects: usize, work: bool, time: Duration) -> Outcome {
    let work = if work { Work::of(HELD) } else { Work::NONE };
    let stocked = |counted| S::new(Stock::Scarce { objects, counted });

    let subject = stocked(false);
    let counted: Vec<(Duration, Count)> = drive(&subject, threads, work, time.mul_f64(0.4));
    let overtaken = subject.most_overtaken();

    let subject = stocked(false);
    let timed: Vec<(Duration, Timed)> = drive(&subject, threads, work, time.mul_f64(0.4));
    let overtaken = overtaken.max(subject.most_overtaken());

    let subject = stocked(true);
    let _: Vec<(Duration, Count)> = drive(&subject, threads, work, time.mul_f64(0.2));
    let overtaken = overtaken.max(subject.most_overtaken());

    Outcome {
        elapsed: counted.iter().map(|(elapsed, _)| *elapsed).sum::<Duration>() / threads as u32,
        gets: counted.iter().map(|(_, count)| count.0).collect(),
        waits: all_waits(timed.iter().map(|(_, timed)| &timed.waits)),
        most_overtaken: overtaken,
    }
}

/// What a thread notes of its gets.
trait Notes: Default + Send {
    /// Gets.
    fn get<T>(&mut self, get: impl FnOnce() -> T) -> T;

    /// What was got has been put.
    fn put(&mut self);
}

/// How many there were.
#[derive(Default)]
struct Count(u64);

impl Notes for Count {
    #[inline]
    fn get<T>(&mut self, get: impl FnOnce() -> T) -> T {
        get()
    }

    #[inline]
    fn put(&mut self) {
        self.0 += 1;
    }
}

/// How long each took.
struct Timed {
    latest: Duration,
    waits: Histogram<u64>,
}

impl Default for Timed {
    fn default() -> Self {
        Self { latest: Duration::ZERO, waits: no_waits() }
    }
}

impl Notes for Timed {
    #[inline]
    fn get<T>(&mut self, get: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let item = get();
        self.latest = begun.elapsed();
        item
    }

    /// Written down only now: nobody waits for it.
    #[inline]
    fn put(&mut self) {
        self.waits.saturating_record(self.latest.as_nanos() as u64);
    }
}

/// Has so many threads get and put until the time is up; how long each went on, and its notes.
fn drive<S: Subject, N: Notes>(
    subject: &S,
    threads: usize,
    work: Work,
    time: Duration,
) -> Vec<(Duration, N)> {
    let start = Start::of(threads + 1);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let one = || {
            let mut notes = N::default();
            let elapsed = subject.enter(|seat| start.time(|| go_on(seat, &mut notes, work, &stop)));
            (elapsed, notes)
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        start.wait();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        running.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

#[inline(never)]
fn go_on<S: Seat>(seat: &S, notes: &mut impl Notes, work: Work, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut item = notes.get(|| seat.get());
        touch::<S>(&mut item);
        work.run();
        seat.put(item);
        notes.put();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_all_threads() {
        let outcome = Outcome {
            gets: vec![1_000, 3_000],
            elapsed: Duration::from_millis(2),
            waits: no_waits(),
            most_overtaken: None,
        };
        assert!((outcome.per_second() - 2e6).abs() < 1.0);
        assert!((outcome.ns() - 1_000.0).abs() < 1e-6, "each thread had a get a microsecond on average");
        assert_eq!(outcome.fairness(), Some(1.0 / 3.0));
    }

    #[test]
    fn waits_are_put_together() {
        let (mut one, mut other) = (no_waits(), no_waits());
        one.record_n(100, 99).unwrap();
        other.record(10_000_000).unwrap();
        let all = all_waits([&one, &other]);
        assert_eq!(all.len(), 100);
        assert!(all.equivalent(all.value_at_quantile(0.5), 100));
        assert!(all.equivalent(all.max(), 10_000_000));
    }

    #[test]
    fn a_wait_of_hours_is_not_lost() {
        let mut one = no_waits();
        one.record(3_600_000_000_000).unwrap();
        assert!(all_waits([&one]).max() >= 3_600_000_000_000);
    }

    #[test]
    fn all_threads_are_driven_and_all_gets_are_noted() {
        use crate::subjects::ours::Ours;
        let outcome = measure::<Ours<64>>(4, 2, true, Duration::from_millis(50));
        assert_eq!(outcome.gets.len(), 4);
        assert!(outcome.gets.iter().sum::<u64>() > 0 && !outcome.waits.is_empty());
        assert!(outcome.most_overtaken.is_some());
    }
}
