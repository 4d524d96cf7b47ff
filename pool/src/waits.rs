//! How long getters waited.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// The longest wait that is told from longer ones.
const LONGEST: Duration = Duration::from_hours(1);

/// One digit: each bucket is within 7 % of what it stands for, and all of them are 5 KiB.
const DIGITS: u8 = 1;

/// How long those waited who found no item at once, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Waits(Histogram<u64>);

impl Waits {
    /// Nobody has waited.
    pub(crate) fn new() -> Self {
        let longest = LONGEST.as_nanos() as u64;
        Self(Histogram::new_with_bounds(1, longest, DIGITS).expect("bounds in order"))
    }

    /// Somebody was served who had waited since then.
    pub(crate) fn record(&mut self, since: Instant) {
        let waited = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Clamped into the bounds: never allocates (P7).
        self.0.saturating_record(waited.max(1));
    }

    /// All of them.
    pub(crate) fn histogram(&self) -> Histogram<u64> {
        self.0.clone()
    }

    /// What they come to.
    pub(crate) fn summary(&self) -> WaitStats {
        let at = |quantile| Duration::from_nanos(self.0.value_at_quantile(quantile));
        if self.0.is_empty() {
            return WaitStats::default();
        }
        WaitStats {
            served: self.0.len(),
            mean: Duration::from_secs_f64(self.0.mean() / 1e9),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_nanos(self.0.max()),
        }
    }
}

/// How long those getters waited that found no item at once and were served, by a put or a
/// page, however soon. Each figure is within 7 %; what took longer than an hour counts as an
/// hour.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// # use pool::Pool;
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(1, || 0_u64).build(arena)?;
/// drop(pool.get()?); // for a page
/// drop(pool.get()?); // for nothing
/// assert_eq!(pool.stats().waits.served, 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct WaitStats {
    /// How many.
    pub served: u64,
    /// The mean.
    pub mean: Duration,
    /// Half of them waited at most this long.
    pub p50: Duration,
    /// 99 % of them.
    pub p99: Duration,
    /// 99.9 % of them.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}
