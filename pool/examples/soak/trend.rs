//! Whether something grows with the work done: the Theil-Sen estimator.
//!
//! Memory is looked at where the world stands still and everything has been given back, so that it
//! should be the same each time. It is not quite: the heap's own free lists, stacks that the C
//! library keeps, tables that have not reached their size yet. Those steps are few, and least squares
//! would take one for a slope. The median of the slopes between all pairs of samples (Sen, "Estimates
//! of the Regression Coefficient Based on Kendall's Tau", 1968) is moved only if nearly a third of the
//! samples are off, and a leak moves all of them.
//!
//! The tolerance is a quarter of what is to be caught, one small allocation each 100 operations, and
//! no growth below what it is said to be noise counts at all: a run of seconds has done too little for the
//! resident memory to tell.

/// A leak that is to be caught: one allocation each so many operations.
const OPERATIONS_A_LEAK: f64 = 100.0;

/// What is left out, one of so many samples, at the beginning: tables, caches and free lists reach their sizes.
const WARM_UP: usize = 4;

/// What is measured, and how much of it one leaked allocation is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Law {
    pub(crate) name: &'static str,
    /// By how much one small allocation adds to it, at least.
    pub(crate) allocation: f64,
    /// By how much it may grow in a run whatever the slope.
    pub(crate) noise: f64,
}

/// Blocks of the heap that are in use: exact, but for what threads of the runtime keep.
pub(crate) const BLOCKS: Law = Law { name: "blocks of the heap", allocation: 1.0, noise: 96.0 };

/// Memory in bytes. The least that an allocator has for an allocation is 16 bytes; glibc's malloc and
/// the stacks it keeps come and go by some hundred KiB.
pub(crate) const RESIDENT: Law =
    Law { name: "resident memory in bytes", allocation: 16.0, noise: (4 << 20) as f64 };

/// Mappings of the address space. Neighbours that are alike are one, so that a few come and go.
pub(crate) const MAPPINGS: Law = Law { name: "mappings", allocation: 1.0, noise: 64.0 };

/// So much, after so many operations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) operations: f64,
    pub(crate) amount: f64,
}

/// What samples after the warm-up come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trend {
    /// By how much it grows an operation.
    pub(crate) slope: f64,
    /// What that comes to between the first sample and the last.
    pub(crate) growth: f64,
}

impl Trend {
    /// `None` before there are enough.
    pub(crate) fn of(samples: &[Sample]) -> Option<Self> {
        let samples = &samples[samples.len().div_ceil(WARM_UP)..];
        let [first, .., last] = samples else { return None };
        if samples.len() < 4 {
            return None;
        }
        let mut slopes: Vec<f64> = Vec::new();
        for (at, one) in samples.iter().enumerate() {
            for other in &samples[at + 1..] {
                let work = other.operations - one.operations;
                if work > 0.0 {
                    slopes.push((other.amount - one.amount) / work);
                }
            }
        }
        slopes.sort_by(f64::total_cmp);
        let slope = *slopes.get(slopes.len() / 2)?;
        Some(Self { slope, growth: slope * (last.operations - first.operations) })
    }

    /// Whether that is a leak.
    pub(crate) fn is_leak(&self, law: Law) -> bool {
        self.slope > law.allocation / OPERATIONS_A_LEAK / 4.0 && self.growth > law.noise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples each 10,000 operations: `each` an operation, and what `noise` adds.
    fn samples(count: u32, each: f64, noise: impl Fn(u32) -> f64) -> Vec<Sample> {
        let sample = |at| {
            let operations = f64::from(at) * 10_000.0;
            Sample { operations, amount: 1e6 + each * operations + noise(at) }
        };
        (0..count).map(sample).collect()
    }

    fn is_leak(law: Law, samples: &[Sample]) -> bool {
        Trend::of(samples).unwrap().is_leak(law)
    }

    #[test]
    fn a_block_in_a_hundred_operations_is_a_leak() {
        let noise = |at| f64::from(at * 37 % 11) * 8.0;
        assert!(is_leak(BLOCKS, &samples(12, 0.01, noise)));
        assert!(!is_leak(BLOCKS, &samples(12, 0.0, noise)));
        assert!(!is_leak(BLOCKS, &samples(12, 0.001, noise)), "a tenth of that is within the tolerance");
        assert!(is_leak(RESIDENT, &samples(6000, 0.16, |at| f64::from(at % 7) * 65_536.0)));
    }

    #[test]
    fn a_step_is_none() {
        let step = |from| move |at| if at >= from { 50_000.0 } else { 0.0 };
        for from in [3, 14] {
            assert!(!is_leak(BLOCKS, &samples(16, 0.0, step(from))), "at {from}");
        }
        assert!(is_leak(BLOCKS, &samples(16, 0.01, step(14))), "nor does it hide one");
    }

    #[test]
    fn what_warms_up_is_none() {
        let warm = |at: u32| f64::from(at.min(4)) * 10_000.0;
        assert!(!is_leak(BLOCKS, &samples(20, 0.0, warm)));
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(Trend::of(&samples(4, 1.0, |_| 0.0)), None);
        assert_eq!(Trend::of(&[]), None);
    }
}
