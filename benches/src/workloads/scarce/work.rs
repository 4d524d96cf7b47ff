//! Something to do while an object is held: arithmetic, so many steps of it. A look at the clock
//! instead would count the time in which the thread did not run.
#![allow(clippy::disallowed_types, reason = "the harness is no part of what loom explores")]

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Duration;

use crate::threads::processor_time;

/// So many steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    steps: u32,
}

/// How many steps the length of one is measured by: about a tenth of a millisecond.
const SAMPLE: u32 = 100_000;

impl Work {
    /// Nothing to do.
    pub(super) const NONE: Self = Self { steps: 0 };

    /// What takes a thread that runs about so long.
    pub(super) fn of(time: Duration) -> Self {
        static SAMPLE_TIME: OnceLock<Duration> = OnceLock::new();
        // The fastest of several: the first ones are cold.
        let fastest = || (0..20).map(|_| sample()).min().expect("there are some");
        let sample = SAMPLE_TIME.get_or_init(fastest).max(&Duration::from_nanos(1)).as_secs_f64();
        Self { steps: (time.as_secs_f64() / sample * f64::from(SAMPLE)).round() as u32 }
    }

    /// Does it.
    #[inline]
    pub(super) fn run(self) {
        let mut number = 1_u64;
        for _ in 0..self.steps {
            number = black_box(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        }
    }
}

fn sample() -> Duration {
    processor_time(|| Work { steps: SAMPLE }.run()).1
}
