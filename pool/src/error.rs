//! Why an operation of a pool failed.

/// Why a getter got no item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GetError<E> {
    /// The pool was closed.
    #[error("the pool is closed")]
    Closed,
    /// The deadline passed.
    #[error("the deadline passed before there was an item")]
    TimedOut,
    /// The back-end refused a page.
    #[error("the back-end refused a page: {0}")]
    Backend(#[source] E),
    /// The back-end dropped the request, or panicked with it in hand.
    #[error("the back-end dropped a request for a page")]
    Abandoned,
}

/// Why there is no item right now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryGetError<E> {
    /// The pool was closed.
    #[error("the pool is closed")]
    Closed,
    /// Every item is out and the hard limit allows no more pages; or others wait, and
    /// would be overtaken once too often.
    #[error("every item is out, and the hard limit allows no more")]
    Exhausted,
    /// The hard limit allows another page, and the back-end has none right now.
    #[error("every item is out, and the back-end is scarce")]
    Scarce,
    /// The back-end refused a page.
    #[error("the back-end refused a page: {0}")]
    Backend(#[source] E),
}

/// Why a pool cannot be built as asked, or its limits not be changed. Nothing was changed.
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
}
