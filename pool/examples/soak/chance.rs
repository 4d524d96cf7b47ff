//! Chance for callers' code that runs on any thread: constructors, factories, resets.

use kva::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Numbers from a seed, in the order in which they are asked for.
#[derive(Debug)]
pub(crate) struct Chance {
    seed: u64,
    drawn: AtomicU64,
    /// Nothing happens by chance while the world is put to rest.
    calm: AtomicBool,
}

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0), calm: AtomicBool::new(false) }
    }

    pub(crate) fn set_calm(&self, calm: bool) {
        self.calm.store(calm, Relaxed);
    }

    /// Once in so many times.
    pub(crate) fn one_in(&self, times: u64) -> bool {
        // Relaxed: only that each number is drawn once counts.
        let drawn = self.drawn.fetch_add(1, Relaxed);
        let mixed = fastrand::Rng::with_seed(self.seed ^ drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15)).u64(..);
        mixed.is_multiple_of(times) && !self.calm.load(Relaxed)
    }
}
