//! What a pool may hold, and how that is changed while it is in use; its close is the last change.

use crate::backend::Backend;
use crate::core::Core;
use crate::error::ConfigError;
use crate::reclaim::WindowOnly;
use crate::state::State;
use crate::trace::event;

/// The limits a pool starts with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) hard: u32,
    /// None, if not set.
    pub(crate) low: Option<u32>,
    /// No bound but the hard limit, if not set.
    pub(crate) high: Option<u32>,
    pub(crate) growing: u32,
    pub(crate) bypass: u32,
    /// Items for critical getters only.
    pub(crate) reserve: u32,
    /// Rounds of a magazine, if not left to us.
    pub(crate) rounds: Option<usize>,
}

/// The most grows that may be pending at once: their table is made at once.
const MOST_GROWING: u32 = 1 << 16;

impl Limits {
    pub(crate) fn check(self, items_per_page: u32) -> Result<(), ConfigError> {
        let Self { hard, growing, .. } = self;
        let low = self.low.unwrap_or(0);
        let high = self.high.unwrap_or(hard);
        if hard == 0 {
            return Err(ConfigError::ZeroLimit);
        }
        if growing == 0 {
            return Err(ConfigError::ZeroGrowing);
        }
        if growing > MOST_GROWING {
            return Err(ConfigError::TooManyGrowing { growing, most: MOST_GROWING });
        }
        if low > high || low > hard {
            return Err(ConfigError::Water { low, high, limit: hard });
        }
        check_reserve(self.reserve, hard, items_per_page)
    }
}

fn check_reserve(reserve: u32, hard: u32, items_per_page: u32) -> Result<(), ConfigError> {
    let items = u64::from(hard) * u64::from(items_per_page);
    if u64::from(reserve) >= items {
        return Err(ConfigError::Reserve { reserve, items });
    }
    Ok(())
}

impl<B: Backend> Core<B> {
    /// Changes what caches have to keep to: what is in them counts as out, so it comes back.
    fn change_limits<R>(&self, change: impl FnOnce(&mut State<B>) -> R) -> R {
        let mut sweeps = SweepsAfter { core: self, cached: false, only: None };
        self.change(|state, _| {
            sweeps.cached = !state.depot.is_scarce();
            if sweeps.cached && state.wanted.window.is_some() {
                state.wanted.only = true;
                sweeps.only = Some(WindowOnly(self));
            }
            state.pages.try_guards();
            change(state)
        })
    }

    pub(crate) fn set_hard_limit(&self, limit: u32) -> Result<(), ConfigError> {
        if limit == 0 {
            return Err(ConfigError::ZeroLimit);
        }
        self.change_limits(|state| {
            if !state.pages.reserve(limit) {
                return Err(ConfigError::Tables { pages: limit, items: self.carve.items });
            }
            state.ledger.set_limit(limit);
            state.lowered = true;
            Ok(())
        })
    }

    pub(crate) fn set_water(&self, low: u32, high: u32) -> Result<(), ConfigError> {
        self.change_limits(|state| {
            let limit = state.ledger.limit();
            if low > high || low > limit {
                return Err(ConfigError::Water { low, high, limit });
            }
            state.ledger.set_water(low, high);
            Ok(())
        })
    }

    pub(crate) fn set_critical_reserve(&self, items: u32) -> Result<(), ConfigError> {
        self.change_limits(|state| {
            check_reserve(items, state.ledger.limit(), self.carve.items)?;
            state.depot.check_reserve(items)?;
            state.reserve = items;
            state.lowered = true;
            Ok(())
        })
    }

    pub(crate) fn close(&self) {
        let first = self.change_limits(|state| !std::mem::replace(&mut state.closed, true));
        if first {
            event!(self, "closed");
        }
    }
}

/// Sweeps when dropped, if anything is cached, so also if caller code panics before that: a
/// destructor.
struct SweepsAfter<'a, B: Backend> {
    core: &'a Core<B>,
    cached: bool,
    /// While pages of a window are to be swept for first.
    only: Option<WindowOnly<'a, B>>,
}

impl<B: Backend> Drop for SweepsAfter<'_, B> {
    fn drop(&mut self) {
        if !self.cached {
            return;
        }
        self.core.sweep();
        if let Some(only) = self.only.take() {
            drop(only);
            self.core.change(|_, _| ()); // what was kept back meanwhile
        }
    }
}
