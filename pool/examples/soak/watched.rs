//! What the checker wants of a pool, whichever it is.

use std::fmt::Debug;

use hdrhistogram::Histogram;
use kva::Arena;
use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};
use pool::{Backend, ConfigError, Pool, PoolStats, RawPool};

/// A pool, for who checks it.
pub(crate) trait Subject: Send + Sync {
    fn stats(&self) -> PoolStats;
    fn waits(&self) -> Histogram<u64>;
    fn describe(&self) -> String;
    fn drain(&self) -> usize;
    fn set_water(&self, low: u32, high: u32) -> Result<(), ConfigError>;
    fn set_hard_limit(&self, pages: u32) -> Result<(), ConfigError>;
    fn set_critical_reserve(&self, items: u32) -> Result<(), ConfigError>;
    /// How many pages are held then.
    fn prime(&self, pages: u32) -> Option<u32>;
}

macro_rules! subject {
    ([$($generics:tt)*] $pool:ty) => {
        impl<$($generics)*> Subject for $pool
        where
            $pool: Debug + Send + Sync,
        {
            fn stats(&self) -> PoolStats {
                self.stats()
            }
            fn waits(&self) -> Histogram<u64> {
                self.wait_histogram()
            }
            fn describe(&self) -> String {
                format!("{self:?}")
            }
            fn drain(&self) -> usize {
                self.drain()
            }
            fn set_water(&self, low: u32, high: u32) -> Result<(), ConfigError> {
                self.set_water(low, high)
            }
            fn set_hard_limit(&self, pages: u32) -> Result<(), ConfigError> {
                self.set_hard_limit(pages)
            }
            fn set_critical_reserve(&self, items: u32) -> Result<(), ConfigError> {
                self.set_critical_reserve(items)
            }
            fn prime(&self, pages: u32) -> Option<u32> {
                self.prime(pages).ok()
            }
        }
    };
}

subject!([B: Backend] RawPool<B>);
subject!([T: Send + 'static, B: Backend] Pool<T, B>);

/// A pool and what is known of it from without.
pub(crate) struct Watched {
    pub(crate) pool: Box<dyn Subject>,
    /// P4's `K`; `None` where a getter may be asleep in the back-end, and P4 is not promised.
    pub(crate) bypass: Option<u64>,
    /// The limit, the highest if it is changed meanwhile.
    pub(crate) limit: u32,
    pub(crate) limit_changes: bool,
    pub(crate) low: u32,
    pub(crate) high: u32,
    pub(crate) reserve: u32,
    /// Whether it has had its low water since it last gave all away.
    pub(crate) had_low_water: Arc<AtomicBool>,
    /// The handle by which it takes its pages, if it has them of an arena.
    pub(crate) account: Option<Arena>,
}

impl Watched {
    pub(crate) fn new(pool: impl Subject + 'static, account: Option<&Arena>) -> Self {
        let stats = pool.stats();
        Self {
            pool: Box::new(pool),
            bypass: Some(512),
            limit: stats.hard_limit,
            limit_changes: false,
            low: stats.low_water,
            high: stats.high_water,
            reserve: stats.critical_reserve,
            had_low_water: Arc::default(),
            account: account.cloned(),
        }
    }

    /// Of another bypass than arenas' pools have.
    pub(crate) fn bypass(mut self, times: impl Into<Option<u64>>) -> Self {
        self.bypass = times.into();
        self
    }

    /// How many pages it has or has asked for at least, once it has had them: no page of low water goes but
    /// for a grow that brings it back. Of a factory, what is no good goes.
    pub(crate) fn least_pages(&self, pages: u32) -> u32 {
        if pages >= self.low {
            self.had_low_water.store(true, Relaxed);
        }
        let keeps = self.account.is_some() && !self.limit_changes && self.had_low_water.load(Relaxed);
        if keeps { self.low } else { 0 }
    }

    /// It is about to give all away.
    pub(crate) fn forget_low_water(&self) {
        self.had_low_water.store(false, Relaxed);
    }

    /// Whose limit and water are changed while it is in use, up to this.
    pub(crate) fn limit_up_to(mut self, pages: u32) -> Self {
        (self.limit, self.limit_changes) = (self.limit.max(pages), true);
        self
    }
}
