//! Option 1: all that a pool may ever hold is brought before it is needed, so that there is never a
//! grow to wait for.
//!
//! A pool that is built primed has its hard limit as low water. Pages never leave above the limit
//! nor at or below low water, so `pages == limit` from the build on: no slot of the ledger is free
//! (P1), no grow begins, and no getter ever waits for anything but a put. Other ends of a page there
//! are three: a lowered limit, a close, and an object of a factory that does not come back.

use std::alloc::Layout;

use crate::Pool;
use crate::backend::{Backend, ObjectFactory};
use crate::builder::{Builder, Created, Objects};
use crate::core::Core;
use crate::error::{ConfigError, GetError, TryGetError};
use crate::raw::RawPool;

/// Why a pool could not be [built primed](Builder::build_primed). What it had is given back.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{Pool, PrimeError};
///
/// let arena = Arena::new(Region::reserve(3 * 4096, Reserve::new())?, 4096)?; // three pages
/// let error = Pool::builder(4, || [0_u8; 4096]).build_primed(arena.clone()).unwrap_err();
/// assert!(matches!(error, PrimeError::Scarce { pages: 3, wanted: 4 }));
/// assert_eq!(error.to_string(), "3 of 4 pages: the back-end has no more right now");
/// assert_eq!(arena.stats().free, 3);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrimeError<E> {
    /// The pool cannot be built as asked, primed or not; or is to keep fewer pages than it is to be
    /// primed with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The back-end has no more right now, or others wait for it.
    #[error("{pages} of {wanted} pages: the back-end has no more right now")]
    Scarce {
        /// Pages had.
        pages: u32,
        /// The hard limit.
        wanted: u32,
    },
    /// The back-end refused a page, or a factory made no object.
    #[error("{pages} of {wanted} pages: {error}")]
    Failed {
        /// Pages had; objects, of a factory.
        pages: u32,
        /// The hard limit.
        wanted: u32,
        /// Why there are no more.
        #[source]
        error: GetError<E>,
    },
}

impl<Of> Builder<Of> {
    /// Sets low water to the hard limit, unless it was set; the hard limit.
    fn keep_all(&mut self) -> Result<u32, ConfigError> {
        let limits = &mut self.setup.limits;
        if let Some(high) = limits.high.filter(|high| *high < limits.hard) {
            return Err(ConfigError::PrimedAboveHigh { high, limit: limits.hard });
        }
        limits.low.get_or_insert(limits.hard);
        Ok(limits.hard)
    }
}

impl Builder<Layout> {
    /// Makes a pool that holds as many pages as its hard limit from the beginning, and for good:
    /// [low water](Self::low_water) is the hard limit, unless it was set. It never asks its back-end
    /// again, no getter waits for memory, and [`try_get`](RawPool::try_get) never fails with
    /// [`Scarce`](TryGetError::Scarce). What that costs is all its memory, used or not:
    /// [`PoolStats::unused_bytes`](crate::PoolStats::unused_bytes).
    ///
    /// A page is address space. To have memory behind it, use an arena of a region that
    /// [populates](kva::Reserve::populate).
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// use kva::{Arena, Region, Reserve};
    /// use pool::RawPool;
    /// use std::alloc::Layout;
    ///
    /// let memory = Region::reserve(1 << 20, Reserve::new().huge_pages(true).populate(true))?;
    /// let block = Layout::from_size_align(64 << 10, 8)?;
    /// let pool = RawPool::builder(block, 8).build_primed(Arena::new(memory, 64 << 10)?)?;
    /// let stats = pool.stats();
    /// assert_eq!((stats.pages, stats.low_water), (8, 8));
    /// assert_eq!((stats.held_bytes(), stats.unused_bytes()), (512 << 10, 512 << 10));
    /// assert_eq!(pool.drain(), 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`build`](Self::build), and there are not so many pages right now, or high water is
    /// lower. Nothing is kept then.
    ///
    /// # Panics
    /// If the back-end does; nothing is kept.
    pub fn build_primed<B: Backend>(mut self, backend: B) -> Result<RawPool<B>, PrimeError<B::Error>> {
        let wanted = self.keep_all()?;
        let pool = self.build(backend)?;
        pool.handle().core.prime_all(wanted)?;
        Ok(pool)
    }
}

impl<T: Send + 'static> Builder<Objects<T>> {
    /// Makes a pool that holds as many pages as its hard limit from the beginning, and for good; see
    /// [`RawPool`'s](Builder::build_primed). Objects are constructed as they are first got;
    /// `drop(pool.reserve(n)?)` constructs `n`.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// use pool::{Pool, TryGetError};
    ///
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// let pool = Pool::builder(2, || [0_u8; 4096]).build_primed(arena)?;
    /// let both = (pool.try_get()?, pool.try_get()?);
    /// assert!(matches!(pool.try_get(), Err(TryGetError::Exhausted))); // and not: scarce
    /// # drop(both);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`build`](Self::build), and there are not so many pages right now, or high water is
    /// lower. Nothing is kept then.
    ///
    /// # Panics
    /// If the back-end does; nothing is kept.
    pub fn build_primed<B: Backend>(mut self, backend: B) -> Result<Pool<T, B>, PrimeError<B::Error>> {
        let wanted = self.keep_all()?;
        let pool = self.build(backend)?;
        pool.shelf().core.prime_all(wanted)?;
        Ok(pool)
    }
}

impl<F: ObjectFactory> Builder<Created<F>> {
    /// Makes a pool that has as many objects as its hard limit from the beginning, all made before
    /// this returns: by a [`Factory`](crate::Factory) one after the other, else as many at once as
    /// [`max_growing`](Self::max_growing) says. It takes as long as the factory does.
    /// [Low water](Self::low_water) is the hard limit, unless it was set, so `drain` and high water
    /// destroy none. An object that is discarded, detached or found not to be good leaves a slot, and
    /// is made anew only when somebody waits for it.
    ///
    /// The calling thread drives what is to be driven, as in [`Pool::get`]. In a task use
    /// [`build_primed_async`](Self::build_primed_async).
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// use pool::{Factory, Pool};
    /// use std::fs::File;
    ///
    /// let files = Pool::from_factory(3, Factory::new(|| File::open("Cargo.toml"))).build_primed()?;
    /// assert_eq!((files.stats().live, files.stats().idle), (3, 3));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`build`](Self::build), and one of the objects could not be made, or high water is lower
    /// than the limit. Those that were made are destroyed, and those that are being made as they
    /// come.
    ///
    /// # Panics
    /// If the factory does on this thread; what was made is destroyed.
    pub fn build_primed(mut self) -> Result<Pool<F::Object, F>, PrimeError<F::Error>> {
        let wanted = self.keep_all()?;
        let pool = self.build()?;
        // Critical: what is kept for those is made, too.
        let made = pool.request().critical().reserve(wanted as usize).map(drop);
        made.map_err(|error| failed(&pool.shelf().core, wanted, error))?;
        Ok(pool)
    }

    /// As [`build_primed`](Self::build_primed), without blocking the thread. If the future is
    /// dropped, nothing is kept. With a [`Factory`](crate::Factory) it does not compile.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # struct Connection;
    /// # async fn connect() -> std::io::Result<Connection> { Ok(Connection) }
    /// use pool::{AsyncFactory, Pool};
    ///
    /// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = Pool::from_factory(8, AsyncFactory::new(connect)).build_primed_async().await?;
    /// assert_eq!(pool.stats().idle, 8);
    /// # Ok(())
    /// # }
    /// # kva::sync::block_on_future(start())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`build_primed`](Self::build_primed).
    pub async fn build_primed_async(mut self) -> Result<Pool<F::Object, F>, PrimeError<F::Error>> {
        let wanted = self.keep_all()?;
        let pool = self.build()?;
        let made = pool.request().critical().reserve_async(wanted as usize).await.map(drop);
        made.map_err(|error| failed(&pool.shelf().core, wanted, error))?;
        Ok(pool)
    }
}

fn failed<B: Backend>(core: &Core<B>, wanted: u32, error: GetError<B::Error>) -> PrimeError<B::Error> {
    PrimeError::Failed { pages: core.lock().ledger.pages(), wanted, error }
}

impl<B: Backend> Core<B> {
    /// Grows until `pages` are held, without waiting, or no more come.
    pub(crate) fn prime(&self, pages: u32) -> Result<u32, TryGetError<B::Error>> {
        loop {
            let (held, reserved) = self.change(|state, _| {
                let held = state.ledger.pages();
                if state.closed {
                    return Err(TryGetError::Closed);
                }
                Ok((held, held < pages && state.gather()))
            })?;
            if !reserved {
                return Ok(held);
            }
            let Some(arrival) = self.bring_page()? else {
                return Ok(held);
            };
            self.change(|state, _| state.gathered_page(arrival));
            if self.lock().ledger.pages() <= held {
                // It went back at once: above high water, or somebody else waits for it.
                return Ok(held);
            }
        }
    }

    /// All of `wanted`, or an error.
    fn prime_all(&self, wanted: u32) -> Result<(), PrimeError<B::Error>> {
        match self.prime(wanted) {
            Ok(pages) if pages == wanted => Ok(()),
            Ok(pages) => Err(PrimeError::Scarce { pages, wanted }),
            Err(TryGetError::Backend(error)) => Err(failed(self, wanted, GetError::Backend(error))),
            #[cfg(feature = "hardening")]
            Err(TryGetError::Guard(error)) => Err(failed(self, wanted, GetError::Guard(error))),
            // Nobody else has the pool to close it; and to prime wants nothing else.
            Err(_) => Err(failed(self, wanted, GetError::Closed)),
        }
    }
}
