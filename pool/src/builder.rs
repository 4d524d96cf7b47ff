//! How a pool is made.

use std::alloc::Layout;
use std::fmt;

use crate::backend::Backend;
use crate::core::Limits;
use crate::error::{ConfigError, ConstructError};
use crate::handle::Handle;
use crate::object::Lifecycle;
use crate::raw::RawPool;
use crate::typed::Pool;

/// What both kinds of pools are set up with.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) name: Option<Box<str>>,
    pub(crate) items_per_page: Option<u32>,
    pub(crate) limits: Limits,
}

/// Objects of type `T`, how they are constructed and reset: what
/// [`Pool::builder`] builds a pool of.
///
/// ```
/// use pool::{Builder, Objects, Pool};
///
/// let builder: Builder<Objects<String>> = Pool::builder(8, || String::with_capacity(64));
/// ```
pub struct Objects<T>(Lifecycle<T>);

impl<T> fmt::Debug for Objects<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "objects of type {}", std::any::type_name::<T>())
    }
}

/// How a pool is made: of memory of one layout ([`RawPool::builder`]), or of objects
/// ([`Pool::builder`]).
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::Pool;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(16, || Vec::<u8>::with_capacity(512))
///     .reset(|buffer| buffer.clear())
///     .name("lines")
///     .low_water(2)
///     .critical_reserve(1)
///     .build(arena)?;
/// assert_eq!(pool.stats().low_water, 2);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder builds nothing until it is told to"]
pub struct Builder<Of> {
    of: Of,
    setup: Setup,
}

impl<Of> Builder<Of> {
    fn new(of: Of, hard: u32) -> Self {
        let limits = Limits {
            hard,
            low: 0,
            high: None,
            growing: Builder::DEFAULT_MAX_GROWING,
            bypass: Builder::DEFAULT_BYPASS,
            reserve: 0,
        };
        Self { of, setup: Setup { name: None, items_per_page: None, limits } }
    }

    /// What people call the pool. A pool with a name is [registered](crate::registered).
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.setup.name = Some(name.into());
        self
    }

    /// Pages never given up when idle. Default 0.
    pub fn low_water(mut self, pages: u32) -> Self {
        self.setup.limits.low = pages;
        self
    }

    /// Pages kept when idle: a page that becomes wholly free while more are held goes back
    /// at once. Default: no bound but the hard limit, so that all are kept until the
    /// back-end is scarce or the pool is drained.
    pub fn high_water(mut self, pages: u32) -> Self {
        self.setup.limits.high = Some(pages);
        self
    }

    /// How many items a page has. Default: as many as fit into a page of eight items or
    /// more, or one, if an item is as large as the back-end's smallest page.
    pub fn items_per_page(mut self, items: u32) -> Self {
        self.setup.items_per_page = Some(items);
        self
    }

    /// How often a waiter may be overtaken by later arrivals (P4). 0 is strict first-in
    /// first-out, and slow under contention: every item is handed to a thread that must
    /// wake up first.
    pub fn bypass(mut self, times: u32) -> Self {
        self.setup.limits.bypass = times;
        self
    }

    /// How many grows may be pending at once. Getters beyond that wait for those.
    pub fn max_growing(mut self, grows: u32) -> Self {
        self.setup.limits.growing = grows;
        self
    }

    /// Items that only [critical](crate::Request::critical) getters may take: the last ones
    /// for root. They are held and not just promised: an ordinary getter takes an item only
    /// if so many others are left idle, the pool grows to fill the reserve first, and it is
    /// given up to nobody, low water or not, until the pool is closed or its limit lowered.
    /// Default 0.
    pub fn critical_reserve(mut self, items: u32) -> Self {
        self.setup.limits.reserve = items;
        self
    }
}

impl Builder<Layout> {
    /// How often a waiter of a pool of either kind may be overtaken, unless
    /// [`bypass`](Self::bypass) says otherwise.
    pub const DEFAULT_BYPASS: u32 = 32;
    /// How many grows of a pool of either kind may be pending at once, unless
    /// [`max_growing`](Self::max_growing) says otherwise.
    pub const DEFAULT_MAX_GROWING: u32 = 64;

    pub(crate) fn raw(item: Layout, hard: u32) -> Self {
        Self::new(item, hard)
    }

    /// Makes a pool that is fed by `backend`. It holds no pages yet.
    ///
    /// All that `get`, `put` and waiting need is allocated here: tables of about 80 bytes a page
    /// and 4 bytes an item, backed by the kernel as far as they are used.
    ///
    /// # Errors
    /// The limits contradict each other, the items cannot be carved from pages, or there
    /// is no memory for the tables.
    pub fn build<B: Backend>(self, backend: B) -> Result<RawPool<B>, ConfigError> {
        Ok(RawPool::new(Handle::new(self.of, self.setup, backend, None)?))
    }
}

impl<T: Send + 'static> Builder<Objects<T>> {
    pub(crate) fn objects(
        hard: u32,
        construct: impl Fn() -> Result<T, ConstructError> + Send + Sync + 'static,
    ) -> Self {
        Self::new(Objects(Lifecycle::new(construct)), hard)
    }

    /// What is done to an object when it is put back, before anybody else can get it. It runs
    /// on the thread that puts. If it panics, the object is destroyed and its place goes back.
    pub fn reset(mut self, reset: impl Fn(&mut T) + Send + Sync + 'static) -> Self {
        self.of.0.set_reset(reset);
        self
    }

    /// Makes a pool that is fed by `backend`. It holds no pages and no objects yet.
    ///
    /// All that `get`, `put` and waiting need is allocated here: tables of about 80 bytes a page
    /// and 4 bytes an item, backed by the kernel as far as they are used.
    ///
    /// # Errors
    /// The limits contradict each other, the objects cannot be carved from pages (those of
    /// size zero cannot), or there is no memory for the tables.
    pub fn build<B: Backend>(self, backend: B) -> Result<Pool<T, B>, ConfigError> {
        let handle = Handle::new(Layout::new::<T>(), self.setup, backend, Some(Lifecycle::<T>::DESTROY))?;
        Ok(Pool::new(handle, self.of.0))
    }
}
