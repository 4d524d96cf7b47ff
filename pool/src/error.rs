//! Why an operation of a pool failed.

use std::error::Error;
use std::fmt;

/// What a constructor failed with.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{ConstructError, GetError, Pool};
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let connect = || Err::<u64, ConstructError>("nobody answers".into());
/// let pool = Pool::try_builder(1, connect).build(arena)?;
/// match pool.get() {
///     Err(GetError::Construct(why)) => assert_eq!(why.to_string(), "nobody answers"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub type ConstructError = Box<dyn Error + Send + Sync>;

/// What a getter waited for when its time was up.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{Awaited, GetError, Pool};
/// use std::time::Duration;
///
/// # let arena = Arena::new(Region::reserve(4096, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(2, || [0_u8; 4096]).build(arena)?; // an arena of one page
/// let item = pool.get()?;
/// let late = pool.get_timeout(Duration::from_millis(1));
/// assert!(matches!(late, Err(GetError::TimedOut(Awaited::Page)))); // a second one was owed
/// # drop(item);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Awaited {
    /// For somebody to put an item back: the hard limit allowed no more pages, or no page
    /// had been asked for.
    Put,
    /// For the back-end, which owed a page.
    Page,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Put => "a put: no page was owed",
            Self::Page => "a put or a page that the back-end owed",
        })
    }
}

/// Why a getter that would wait got no item.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{Awaited, GetError, Pool};
/// use std::time::Duration;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(1, || [0_u8; 4096]).build(arena)?;
/// let item = pool.get()?;
/// match pool.get_timeout(Duration::from_millis(1)) {
///     Err(GetError::TimedOut(awaited)) => assert_eq!(awaited, Awaited::Put),
///     other => panic!("{other:?}"),
/// }
/// # drop(item);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError<E> {
    /// The pool was closed.
    #[error("the pool is closed")]
    Closed,
    /// The deadline passed, or the time to wait for a page.
    #[error("timed out waiting for {0}")]
    TimedOut(Awaited),
    /// The back-end refused a page.
    #[error("the back-end refused a page")]
    Backend(#[source] E),
    /// The back-end dropped the request, or panicked with it in hand.
    #[error("the back-end dropped a request for a page, or panicked over it")]
    Abandoned,
    /// More items than the limit allows, or leaves beside the reserve.
    #[error("{asked} items: this getter can have {most} at most")]
    TooMany {
        /// What was asked for.
        asked: usize,
        /// The most that a getter of its class can have at once.
        most: usize,
    },
    /// There is no memory to keep so many items in.
    #[error("no memory for a list of {0} items")]
    NoMemory(usize),
    /// The constructor failed. The place went back to the pool.
    #[error("the constructor failed")]
    Construct(#[source] ConstructError),
    /// The kernel refused the [guard page](crate::Hardening::guard_pages) after an item. The memory went
    /// back to the back-end.
    #[cfg(feature = "hardening")]
    #[error("a page could not be guarded")]
    Guard(#[source] crate::hardening::GuardError),
}

/// Why there is no item right now, for a getter that would not wait.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{Pool, TryGetError};
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(1, || [0_u8; 4096]).build(arena)?;
/// let item = pool.try_get()?;
/// assert!(matches!(pool.try_get(), Err(TryGetError::Exhausted))); // and not: scarce
/// # drop(item);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TryGetError<E> {
    /// The pool was closed.
    #[error("the pool is closed")]
    Closed,
    /// Every item is out, or kept for critical getters, and the hard limit allows no more
    /// pages; or others wait, and would be overtaken once too often.
    #[error("every item is out or spoken for, and the hard limit allows no more")]
    Exhausted,
    /// The hard limit allows another page, and the back-end has none right now.
    #[error("every item is out or spoken for, and the back-end is scarce")]
    Scarce,
    /// The back-end refused a page.
    #[error("the back-end refused a page")]
    Backend(#[source] E),
    /// More items than the limit allows, or leaves beside the reserve.
    #[error("{asked} items: this getter can have {most} at most")]
    TooMany {
        /// What was asked for.
        asked: usize,
        /// The most that a getter of its class can have at once.
        most: usize,
    },
    /// There is no memory to keep so many items in.
    #[error("no memory for a list of {0} items")]
    NoMemory(usize),
    /// The constructor failed. The place went back to the pool.
    #[error("the constructor failed")]
    Construct(#[source] ConstructError),
    /// The kernel refused the [guard page](crate::Hardening::guard_pages) after an item. The memory went
    /// back to the back-end.
    #[cfg(feature = "hardening")]
    #[error("a page could not be guarded")]
    Guard(#[source] crate::hardening::GuardError),
}

/// Why a pool cannot be built as asked, or its limits not be changed. Nothing was changed.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{ConfigError, Pool};
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let error = Pool::builder(0, || 0_u64).build(arena).unwrap_err();
/// assert_eq!(error, ConfigError::ZeroLimit);
/// assert_eq!(error.to_string(), "a hard limit of zero pages");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A hard limit of zero: nobody could ever be served.
    #[error("a hard limit of zero pages")]
    ZeroLimit,
    /// `low water <= high water` and `low water <= hard limit` do not both hold.
    #[error("low water {low} must be at most high water {high} and hard limit {limit}")]
    Water {
        /// Low water in pages.
        low: u32,
        /// High water in pages.
        high: u32,
        /// Hard limit in pages.
        limit: u32,
    },
    /// To be [primed](crate::Builder::build_primed), with more than it is to keep.
    #[error("primed to the hard limit, {limit} pages: above high water, {high}, they would go back at once")]
    PrimedAboveHigh {
        /// High water in pages.
        high: u32,
        /// Hard limit in pages.
        limit: u32,
    },
    /// The reserve leaves nothing to ordinary getters.
    #[error("a reserve of {reserve} items: the limit allows {items}, one of which is for ordinary getters")]
    Reserve {
        /// The reserve in items.
        reserve: u32,
        /// The most items that the limit allows.
        items: u64,
    },
    /// The back-end has no memory: an arena of numbers.
    #[error("the back-end has no memory to carve items from")]
    NoMemory,
    /// No grow may ever be pending.
    #[error("at most zero grows pending at once")]
    ZeroGrowing,
    /// More grows pending at once than there may ever be.
    #[error("at most {growing} grows pending at once: {most} is the most")]
    TooManyGrowing {
        /// What was asked for.
        growing: u32,
        /// The most there may be.
        most: u32,
    },
    /// Items that cannot be carved from pages, and why.
    #[error("{0}")]
    Items(String),
    /// There is no memory for the tables of so many pages.
    #[error("no memory for the tables of {pages} pages of {items} items")]
    Tables {
        /// The hard limit.
        pages: u32,
        /// Items a page.
        items: u32,
    },
    /// There is no memory for a [quarantine](crate::Hardening::quarantine) of so many items.
    #[cfg(feature = "hardening")]
    #[error("no memory for a quarantine of {0} items")]
    Quarantine(usize),
    /// A [quarantine](crate::Hardening::quarantine), and a reserve: what is in quarantine is not there
    /// for critical getters, who would find the reserve short.
    #[cfg(feature = "hardening")]
    #[error("a quarantine beside a reserve of {reserve} items: what is in quarantine is no reserve")]
    QuarantineAndReserve {
        /// The reserve in items.
        reserve: u32,
    },
}
