//! Why a buffer did not get the pieces it wanted.

use std::error::Error;
use std::io;

use crate::error::{GetError, TryGetError};

/// Why a [`PieceBuf`](super::PieceBuf) did not grow. What it held it still holds, and what was
/// written is still in it.
///
/// As an [`io::Error`] it is of the kind
///
/// | kind | when |
/// | --- | --- |
/// | `WouldBlock` | there is no piece now, and there may be later |
/// | `QuotaExceeded` | the pool's limit is too low for what it holds and wants, also later |
/// | `BrokenPipe` | the pool is closed |
/// | `TimedOut` | the back-end's time was up |
/// | `OutOfMemory` | there is no memory for the list of pieces |
/// | `Other` | the back-end failed |
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::pieces::{GrowError, PieceBuf};
/// use pool::{RawPool, TryGetError};
/// use std::alloc::Layout;
/// use std::io::{self, ErrorKind};
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = RawPool::builder(Layout::new::<[u8; 4096]>(), 3).build(arena)?;
/// let other = pool.get()?;
/// let mut buf = PieceBuf::with_capacity(&pool, 8192)?;
/// let error = buf.grow().unwrap_err();
/// assert!(matches!(error, GrowError::NotNow { held: 2, wanted: 1, why: TryGetError::Exhausted }));
/// assert_eq!(io::Error::from(error).kind(), ErrorKind::WouldBlock);
///
/// let error = buf.try_reserve(16 << 10).unwrap_err(); // never: the limit is three
/// assert_eq!(io::Error::from(error).kind(), ErrorKind::QuotaExceeded);
/// # // SAFETY: it is used no more.
/// # unsafe { pool.put(other) }?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrowError<E> {
    /// It holds pieces, so it does not wait; and those it wants are not there now.
    #[error("{wanted} pieces beside the {held} that are held: {why}")]
    NotNow {
        /// How many it holds.
        held: usize,
        /// How many more it wanted.
        wanted: usize,
        /// Why they were not to be had.
        #[source]
        why: TryGetError<E>,
    },
    /// It holds none, waited for the first, and did not get it.
    #[error("no first piece: {0}")]
    First(#[source] GetError<E>),
    /// There is no memory for the list of so many pieces.
    #[error("no memory for a list of {0} pieces")]
    NoMemory(usize),
}

impl<E> GrowError<E> {
    /// Of which kind it is as an [`io::Error`].
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::NotNow { why, .. } => match why {
                TryGetError::Exhausted | TryGetError::Scarce => io::ErrorKind::WouldBlock,
                TryGetError::TooMany { .. } => io::ErrorKind::QuotaExceeded,
                TryGetError::Closed => io::ErrorKind::BrokenPipe,
                TryGetError::NoMemory(_) => io::ErrorKind::OutOfMemory,
                TryGetError::Backend(_) | TryGetError::Construct(_) => io::ErrorKind::Other,
                #[cfg(feature = "hardening")]
                TryGetError::Guard(error) => error.kind(),
            },
            Self::First(why) => match why {
                GetError::Closed => io::ErrorKind::BrokenPipe,
                GetError::TimedOut(_) => io::ErrorKind::TimedOut,
                GetError::TooMany { .. } => io::ErrorKind::QuotaExceeded,
                GetError::NoMemory(_) => io::ErrorKind::OutOfMemory,
                GetError::Backend(_) | GetError::Abandoned | GetError::Construct(_) => io::ErrorKind::Other,
                #[cfg(feature = "hardening")]
                GetError::Guard(error) => error.kind(),
            },
            Self::NoMemory(_) => io::ErrorKind::OutOfMemory,
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<GrowError<E>> for io::Error {
    fn from(error: GrowError<E>) -> Self {
        Self::new(error.kind(), error)
    }
}
