//! What is asked for, and what is got.

use std::fmt;
use std::num::NonZeroU32;

/// What a request asks for: a length and an alignment, both in quanta.
///
/// ```
/// let table = kva::Shape::aligned(4, 4)?; // four quanta, at a multiple of four
/// assert_eq!((table.len(), table.align()), (4, 4));
/// assert!(kva::Shape::new(0).is_err());
/// # Ok::<_, kva::ShapeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    len: NonZeroU32,
    align_log2: u8,
}

/// Why a length and an alignment make no [`Shape`].
///
/// ```
/// use kva::{Shape, ShapeError};
///
/// assert_eq!(Shape::new(0), Err(ShapeError::ZeroLength));
/// assert_eq!(Shape::aligned(4, 3), Err(ShapeError::Alignment(3)));
/// assert_eq!(ShapeError::Alignment(3).to_string(), "alignment 3 is no power of two");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A span of nothing.
    #[error("a span of length zero")]
    ZeroLength,
    /// The alignment is zero or no power of two.
    #[error("alignment {0} is no power of two")]
    Alignment(u32),
}

impl Shape {
    /// `len` quanta at any quantum.
    ///
    /// # Errors
    /// [`ShapeError::ZeroLength`].
    pub const fn new(len: u32) -> Result<Self, ShapeError> {
        Self::aligned(len, 1)
    }

    /// `len` quanta at a multiple of `align` quanta.
    ///
    /// # Errors
    /// `len` is zero or `align` is no power of two.
    pub const fn aligned(len: u32, align: u32) -> Result<Self, ShapeError> {
        let Some(len) = NonZeroU32::new(len) else {
            return Err(ShapeError::ZeroLength);
        };
        if !align.is_power_of_two() {
            return Err(ShapeError::Alignment(align));
        }
        Ok(Self { len, align_log2: align.trailing_zeros() as u8 })
    }

    /// The length in quanta.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a shape is never empty")]
    pub const fn len(self) -> u32 {
        self.len.get()
    }

    /// The alignment in quanta, a power of two.
    #[must_use]
    pub const fn align(self) -> u32 {
        1 << self.align_log2
    }

    /// Whether whatever satisfies `self` satisfies `other` too.
    pub(crate) const fn covers(self, other: Self) -> bool {
        self.len.get() >= other.len.get() && self.align_log2 >= other.align_log2
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shape({} quanta at {})", self.len, self.align())
    }
}

/// A contiguous run of quanta that an [`Arena`](crate::Arena) gave out.
///
/// A span is a receipt: plain data, copied freely, good for one
/// [`free`](crate::Arena::free). It remembers its arena and which taking it was,
/// so a second free, or a free in another arena, is told from a good one even
/// after its quanta were given out again: as long as less than 2^32 spans were taken since.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Arena, Region, Shape};
///
/// let arena = Arena::new(Region::numbers(8), 1)?;
/// let single = arena.try_alloc(Shape::new(1)?)?;
/// let four = arena.try_alloc(Shape::aligned(4, 4)?)?;
/// assert_eq!((four.start() % 4, four.len()), (0, 4));
/// assert!(!four.range().contains(&single.start()));
/// let copy = four;
/// arena.free(copy)?;
/// assert!(arena.free(four).is_err(), "all copies are one receipt");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a span that is not freed is lost to its arena"]
pub struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) serial: u32,
    pub(crate) arena: u32,
}

impl Span {
    /// The first quantum, counted from the start of the arena.
    #[must_use]
    pub const fn start(self) -> u32 {
        self.start
    }

    /// The length in quanta.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a span is never empty")]
    pub const fn len(self) -> u32 {
        self.len
    }

    /// The quanta.
    #[must_use]
    pub const fn range(self) -> std::ops::Range<u32> {
        self.start..self.start + self.len
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Span({}..{} of arena {}, taking {})",
            self.start,
            self.start + self.len,
            self.arena,
            self.serial
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_shapes_say_which() {
        assert_eq!(Shape::new(0), Err(ShapeError::ZeroLength));
        assert_eq!(Shape::aligned(4, 0), Err(ShapeError::Alignment(0)));
        assert_eq!(Shape::aligned(4, 3), Err(ShapeError::Alignment(3)));
        assert!(Shape::aligned(u32::MAX, 1 << 31).is_ok());
    }
}
