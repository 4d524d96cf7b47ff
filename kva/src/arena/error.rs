//! Why an arena did not do what it was asked.

use std::io;

use crate::shape::{Shape, Span};
use crate::space::MAX_QUANTA;

/// Why an arena cannot be made.
///
/// ```
/// use kva::{Arena, ArenaError, Region};
///
/// let empty = Arena::new(Region::numbers(0), 1).unwrap_err();
/// assert!(matches!(empty, ArenaError::Size(0)));
/// let error = Arena::new(Region::numbers(8), 16).unwrap_err();
/// assert_eq!(error.to_string(), "a quantum of 16 for an arena of numbers: it must be 1");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaError {
    /// No quanta, or more than the tables can number.
    #[error("an arena of {0} quanta: there must be at least 1 and at most {max}", max = MAX_QUANTA)]
    Size(usize),
    /// The quantum is not a power of two, or smaller than the region can commit.
    #[error("a quantum of {quantum} bytes: it must be a power of two and at least {granule}")]
    Quantum {
        /// What was asked for.
        quantum: usize,
        /// The least that the region can commit.
        granule: usize,
    },
    /// Numbers have no size: their quantum is 1.
    #[error("a quantum of {0} for an arena of numbers: it must be 1")]
    NumbersQuantum(usize),
    /// A region of numbers added to an arena with memory, or the other way round.
    #[error("an arena has memory or numbers: a region of the other kind was added")]
    Mixed,
    /// There is no memory for the tables of so many quanta.
    #[error("no memory for the tables of {0} quanta")]
    Tables(usize),
    /// The memory does not start at a multiple of the quantum.
    #[error("memory at {base:#x} does not start at a multiple of the quantum, {quantum}")]
    Misaligned {
        /// Where the memory starts.
        base: usize,
        /// The quantum.
        quantum: usize,
    },
    /// The address space could not be reserved.
    #[error("reserving address space")]
    Reserve(#[from] io::Error),
}

/// Why a request got no span.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use std::time::Duration;
/// use kva::{AllocError, Arena, Region, Shape};
///
/// let arena = Arena::new(Region::numbers(8), 1)?;
/// let (one, nine) = (Shape::new(1)?, Shape::new(9)?);
/// assert_eq!(arena.alloc(nine), Err(AllocError::TooLarge { shape: nine, quanta: 8 }));
/// let all = arena.alloc(Shape::new(8)?)?;
/// assert_eq!(arena.try_alloc(one), Err(AllocError::Scarce));
/// assert_eq!(arena.alloc_timeout(one, Duration::from_millis(1)), Err(AllocError::TimedOut));
/// arena.close();
/// assert_eq!(arena.alloc(one), Err(AllocError::Closed));
/// # arena.free(all)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocError {
    /// The shape does not fit even into an empty arena.
    #[error("{shape:?} does not fit into an arena of {quanta} quanta")]
    TooLarge {
        /// What was asked for.
        shape: Shape,
        /// The size of the arena.
        quanta: u32,
    },
    /// The shape is more than the client may ever have.
    #[error("{shape:?} is more than the client's quota of {quota} quanta")]
    OverQuota {
        /// What was asked for.
        shape: Shape,
        /// What the client may have at once.
        quota: u32,
    },
    /// The quanta that were asked for are not in the arena, or none.
    #[error("quanta {start}..{end} of an arena of {quanta}")]
    Outside {
        /// The first.
        start: u32,
        /// The first that is not wanted any more.
        end: u32,
        /// The size of the arena.
        quanta: u32,
    },
    /// Nothing fits now, or others have waited longer, or the client's quota is used up. Only of requests that do not wait.
    #[error("scarce: nothing free fits, others wait for it, or the quota is used up")]
    Scarce,
    /// The deadline passed.
    #[error("the deadline passed before a span was free")]
    TimedOut,
    /// The arena was closed.
    #[error("the arena is closed")]
    Closed,
    /// A span was free but the kernel would not back it with memory.
    #[error("mprotect(2) or madvise(2) did not commit memory: {0}")]
    Commit(io::ErrorKind),
}

/// Why a span was not freed. Nothing was changed.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Arena, FreeError, Region, Shape};
///
/// let arena = Arena::new(Region::numbers(8), 1)?;
/// let all = Shape::new(8)?;
/// let old = arena.try_alloc(all)?;
/// arena.free(old)?;
/// let new = arena.try_alloc(all)?; // the same quanta, taken again
/// assert_eq!(arena.free(old), Err(FreeError::DoubleFree(old)));
/// let other = Arena::new(Region::numbers(8), 1)?;
/// assert_eq!(other.free(new), Err(FreeError::ForeignArena(new)));
/// arena.free(new)?; // the wrong frees changed nothing
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FreeError {
    /// It was given out by another arena.
    #[error("{0:?} belongs to another arena")]
    ForeignArena(Span),
    /// It was freed before; its quanta may be somebody else's by now.
    #[error("double free of {0:?}")]
    DoubleFree(Span),
}

/// Why an address names no span; see [`Arena::span_at`](crate::Arena::span_at).
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Arena, Region, Reserve, Shape, SpanAtError};
///
/// let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 1 << 16)?;
/// let span = arena.try_alloc(Shape::new(1)?)?;
/// let start = arena.ptr(span).expect("this arena has memory");
/// // SAFETY: all spans here are ours.
/// let find = |address| unsafe { arena.span_at(address) };
/// assert_eq!(find(start), Ok(span));
/// arena.free(span)?;
/// assert_eq!(find(start), Err(SpanAtError::NotTaken(start.addr().get())));
/// let other = std::ptr::NonNull::from(&0_u8);
/// assert_eq!(find(other), Err(SpanAtError::Foreign(other.addr().get())));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpanAtError {
    /// The address is outside the arena's memory, or the arena has none.
    #[error("address {0:#x} is outside the arena")]
    Foreign(usize),
    /// No taken span starts there.
    #[error("no span that is taken starts at {0:#x}")]
    NotTaken(usize),
}
