//! How much is done, and how many operations that is.

use std::time::Duration;

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Samples of each case.
    pub(crate) rounds: usize,
    /// How long a sample takes, about.
    pub(crate) sample: Duration,
    /// How long a sample of a scarce case takes: longer, since it asks for a share of rare waits.
    pub(crate) scarce: Duration,
}

impl Effort {
    /// For a first look.
    pub(crate) const QUICK: Self =
        Self { rounds: 7, sample: Duration::from_millis(10), scarce: Duration::from_millis(120) };

    /// For figures to keep.
    pub(crate) const FULL: Self =
        Self { rounds: 15, sample: Duration::from_millis(40), scarce: Duration::from_millis(450) };
}

/// How many operations take about `sample`, by trying.
#[allow(clippy::cast_sign_loss, reason = "it is positive")]
pub(crate) fn calibrate(sample: Duration, mut measure: impl FnMut(u64) -> f64) -> u64 {
    let wanted = sample.as_secs_f64() * 1e9;
    let mut operations = 1_u64;
    loop {
        let ns = measure(operations).max(0.01);
        let enough = (wanted / ns).ceil().max(1.0) as u64;
        // A short try says little: the time that a thread takes to begin is in it.
        if operations >= enough / 4 {
            return enough;
        }
        operations = enough.min(operations.saturating_mul(64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_done_as_fit_into_the_sample() {
        assert_eq!(calibrate(Duration::from_millis(1), |_| 10.0), 100_000);
        // The first ones are slow.
        #[allow(clippy::cast_precision_loss, reason = "they are few")]
        let slow_at_first = |operations: u64| 10.0 + 10_000.0 / operations as f64;
        let operations = calibrate(Duration::from_millis(1), slow_at_first);
        assert!((90_000..=110_000).contains(&operations), "{operations}");
    }

    #[test]
    fn what_takes_longer_is_done_once() {
        assert_eq!(calibrate(Duration::from_millis(1), |_| 5e9), 1);
    }

    #[test]
    fn what_takes_no_time_ends_too() {
        assert!(calibrate(Duration::from_millis(1), |_| 0.0) > 0);
    }
}
