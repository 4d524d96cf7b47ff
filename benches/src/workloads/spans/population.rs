//! A source with many spans out, and what is done with them.
//!
//! The harness is not to be measured: who is freed and what is taken is chosen before the clock is read,
//! for a batch at a time, and the batch is small enough for the first cache. So what a table of a
//! million spans costs is in no figure. The clock is read twice a batch, which is a nanosecond or two
//! for each of it; the source [`Nothing`](crate::sources::nothing::Nothing) shows all that is left.

use std::mem::take;
use std::time::{Duration, Instant};

use fastrand::Rng;
use kva::Shape;

use super::Mix;
use crate::source::{Room, Source};
use crate::threads::processor_time;

/// How many are chosen at a time: a part only of the smallest population.
const BATCH: usize = 256;

/// How long a population is left to itself before it is measured, at most. It is for those that are slow.
const SETTLE: Duration = Duration::from_millis(500);

/// What some operations came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    /// How long they took.
    pub(crate) time: Duration,
    /// How many of them found no span.
    pub(crate) failed: u64,
}

/// Batches of random shapes.
#[derive(Debug)]
pub(super) struct Rounds {
    mix: Mix,
    random: Rng,
}

impl Rounds {
    pub(super) fn new(mix: Mix) -> Self {
        // The same for all sources.
        Self { mix, random: Rng::with_seed(0x5eed) }
    }

    /// Takes a span and frees it, so many times.
    pub(super) fn pairs<S: Source>(&mut self, source: &mut S, operations: u64) -> Sum {
        let mut sum = Sum::default();
        self.batches(operations, |shapes| {
            let (failed, time) = processor_time(|| pairs(source, shapes));
            sum.time += time;
            sum.failed += failed;
        });
        sum
    }

    fn batches(&mut self, operations: u64, mut work: impl FnMut(&[Shape])) {
        let mut shapes = Vec::with_capacity(BATCH);
        let mut left = operations;
        while left > 0 {
            let batch = left.min(BATCH as u64);
            shapes.clear();
            shapes.extend((0..batch).map(|_| self.mix.shape(&mut self.random)));
            work(&shapes);
            left -= batch;
        }
    }
}

/// Takes and frees spans of these shapes, one after the other; how many there were not.
#[inline(never)]
fn pairs<S: Source>(source: &mut S, shapes: &[Shape]) -> u64 {
    let mut failed = 0;
    for &shape in shapes {
        match source.alloc(shape) {
            Some(span) => source.free(span),
            None => failed += 1,
        }
    }
    failed
}

/// A source, and the spans of it that are out.
pub(crate) struct Population<S: Source> {
    source: S,
    /// A place for each span that is to be out; `None` where there was none to be had.
    places: Vec<Option<S::Span>>,
    random: Rng,
    rounds: Rounds,
}

impl<S: Source> Population<S> {
    /// A source of which so many spans take so many percent.
    ///
    /// It was full once, and was then freed at random: so the free quanta are spread over all of it, as
    /// they are where much has come and gone.
    pub(crate) fn new(mix: Mix, live: u32, fill: u32) -> Self {
        let full = (u64::from(live) * 100).div_ceil(u64::from(fill)) as u32;
        let quanta = (f64::from(full) * mix.mean()).ceil() as u32;
        let mut rounds = Rounds::new(mix);
        let mut source = S::new(Room { quanta, spans: full });
        let mut places = Vec::with_capacity(full as usize);
        rounds.batches(u64::from(full), |shapes| {
            places.extend(shapes.iter().map(|shape| source.alloc(*shape)));
        });
        let mut random = Rng::with_seed(0xdead);
        random.shuffle(&mut places);
        for span in places.drain(live as usize..).flatten() {
            source.free(span);
        }
        let mut population = Self { source, places, random, rounds };
        population.settle();
        population
    }

    /// Has about as many come and go as are out.
    fn settle(&mut self) {
        let begun = Instant::now();
        let mut left = self.places.len();
        while left > 0 && begun.elapsed() < SETTLE {
            self.exchange(BATCH as u64);
            left = left.saturating_sub(BATCH);
        }
    }

    /// Frees a random span and takes one of a random shape for it, so many times. Where there was none
    /// before, nothing is freed.
    pub(crate) fn exchange(&mut self, operations: u64) -> Sum {
        let Self { source, places, random, rounds } = self;
        let mut sum = Sum::default();
        let mut batch = Vec::with_capacity(BATCH);
        rounds.batches(operations, |shapes| {
            batch.extend(shapes.iter().map(|_| places.swap_remove(random.usize(..places.len()))));
            let (failed, time) = processor_time(|| exchange(source, &mut batch, shapes));
            sum.time += time;
            sum.failed += failed;
            places.append(&mut batch);
        });
        sum
    }
}

/// Frees each of these spans, and takes one of its shape for it; how many there were not.
#[inline(never)]
fn exchange<S: Source>(source: &mut S, spans: &mut [Option<S::Span>], shapes: &[Shape]) -> u64 {
    let mut failed = 0;
    for (span, &shape) in spans.iter_mut().zip(shapes) {
        if let Some(old) = take(span) {
            source.free(old);
        }
        *span = source.alloc(shape);
        failed += u64::from(span.is_none());
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::nothing::Nothing;
    use crate::sources::numbers::Numbers;

    #[test]
    fn as_many_are_out_as_were_asked_for() {
        for mix in Mix::ALL {
            let mut population = Population::<Numbers>::new(mix, 1_000, 50);
            population.exchange(10_000);
            assert_eq!(population.places.len(), 1_000);
            let out: u32 = population.places.iter().flatten().map(|span| span.len()).sum();
            assert!((f64::from(out) / 1e3 / mix.mean() - 1.0).abs() < 0.2, "{}: {out} quanta", mix.name());
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_and_leaves_a_gap() {
        // Of the space for as many spans as are out, not all can be used by spans of random lengths.
        let mut population = Population::<Numbers>::new(Mix::OneToSixteen, 1_000, 100);
        let sum = population.exchange(10_000);
        assert!(sum.failed > 0 && sum.failed < 5_000, "{sum:?}");
        let gaps = population.places.iter().filter(|place| place.is_none()).count();
        assert!(gaps > 0 && gaps < 500, "{gaps}");
        assert_eq!(Population::<Nothing>::new(Mix::OneToSixteen, 1_000, 100).exchange(1_000).failed, 0);
    }

    #[test]
    fn all_that_is_taken_alone_is_freed() {
        let mut source = Numbers::new(Room { quanta: 16, spans: 1 });
        let sum = Rounds::new(Mix::OneToSixteen).pairs(&mut source, 1_000);
        assert_eq!(sum.failed, 0, "all of it is free each time");
    }
}
