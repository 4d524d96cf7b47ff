//! What was seen of a run while it went on: samples at regular moments, and who was stuck.
//!
//! Memory is bounded however long a run is: when there is no room for another sample, every
//! second one goes, and from then on they are taken half as often. So they are always at equal
//! distances, and each is what was seen at one moment, not a mean.

use std::time::Duration;

use serde::Serialize;

/// The most samples that are kept: more than a chart has pixels.
const MOST: usize = 2_000;
/// Between two samples at first. Each takes the pool's lock once, and the arena's.
const FIRST_STEP: Duration = Duration::from_millis(1);

/// What was seen at one moment. The fields are the JSON's, in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sample {
    /// Since the run began, in microseconds.
    pub(crate) at_us: u64,
    /// Launchers that wait for an item.
    pub(crate) waiting: u64,
    /// Items in the pool that nobody uses.
    pub(crate) idle: u64,
    /// Items put so far.
    pub(crate) puts: u64,
    /// Free quanta of the arena.
    pub(crate) arena_free: u64,
    /// Memory that the pool holds, used or not, in bytes.
    pub(crate) held_bytes: u64,
    /// Pages stolen so far.
    pub(crate) stolen: u64,
}

/// Samples at equal distances.
#[derive(Debug)]
pub(crate) struct Samples {
    step: Duration,
    next: Duration,
    taken: Vec<Sample>,
}

impl Samples {
    pub(crate) fn new() -> Self {
        Self { step: FIRST_STEP, next: Duration::ZERO, taken: Vec::with_capacity(MOST) }
    }

    /// Between two samples.
    pub(crate) fn step(&self) -> Duration {
        self.step
    }

    /// Whether another is to be taken, so long after the beginning of the run.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        now >= self.next
    }

    pub(crate) fn take(&mut self, sample: Sample) {
        if self.taken.len() == MOST {
            let mut nth = 0;
            self.taken.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
            self.step *= 2;
        }
        self.taken.push(sample);
        self.next = Duration::from_micros(sample.at_us) + self.step;
    }

    pub(crate) fn into_vec(self) -> Vec<Sample> {
        self.taken
    }
}

/// A launcher that was stuck: asleep although items sat idle or were put. The fields are the
/// JSON's, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Stuck {
    /// Its number, from 1.
    pub(crate) launcher: u64,
    /// When it fell asleep, in microseconds of the run.
    pub(crate) since_us: u64,
    /// When it was last seen asleep.
    pub(crate) until_us: u64,
    /// Items that were put in between.
    pub(crate) put_meanwhile: u64,
    /// The state it was in.
    pub(crate) state: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Sample {
        Sample { at_us: ms * 1_000, puts: ms, ..Sample::default() }
    }

    #[test]
    fn however_long_a_run_is_samples_are_few_and_at_equal_distances() {
        let mut samples = Samples::new();
        let mut last = 0;
        for ms in 0..60_000 {
            if samples.is_due(Duration::from_millis(ms)) {
                samples.take(at(ms));
                last = ms;
            }
        }
        let step = samples.step();
        assert_eq!(step, Duration::from_millis(32));
        let taken = samples.into_vec();
        assert!(taken.len() > MOST / 2 && taken.len() <= MOST, "{}", taken.len());
        assert_eq!((taken[0], taken[taken.len() - 1]), (at(0), at(last)));
        let distances = taken.windows(2).map(|pair| pair[1].at_us - pair[0].at_us);
        // Where the step doubles, the one that had no room may be one step early.
        let uneven = distances.filter(|&us| u128::from(us) != step.as_micros()).count();
        assert!(uneven <= 1, "{uneven}");
    }

    #[test]
    fn a_short_run_is_seen_finely() {
        let mut samples = Samples::new();
        for ms in 0..100 {
            assert!(samples.is_due(Duration::from_millis(ms)));
            samples.take(at(ms));
        }
        assert!(!samples.is_due(Duration::from_micros(99_500)));
        assert_eq!(samples.into_vec().len(), 100);
    }
}
