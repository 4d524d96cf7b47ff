//! Where a span may be, and which of the free runs it is cut from: the constraints of
//! `vmem_xalloc(9)`.

use std::ops::Range;

use crate::shape::Shape;

/// Which of the free runs that are long enough a span is cut from.
///
/// ```
/// use kva::{Fit, Placement, Shape};
///
/// let snug = Placement::from(Shape::new(3)?).fit(Fit::Best);
/// assert_eq!(snug.shape().len(), 3);
/// # Ok::<_, kva::ShapeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Fit {
    /// The first one found in constant time (`VM_INSTANTFIT`). Where none is sure to do, any
    /// that does.
    #[default]
    Instant,
    /// The shortest that does, to within an eighth of its length (`VM_BESTFIT`). Of the runs that
    /// are only just long enough, 64 are looked at; if none of them does, one is taken that is
    /// sure to, or else the leftmost that does.
    Best,
}

/// A [`Shape`] and where it may be.
///
/// Quanta are counted in two ways. Where a span may lie is said in quanta of the arena, as
/// [`Span::start`](crate::Span::start) has them. Alignment, phase and the boundary not to be
/// crossed are about *positions*: addresses, divided by the quantum; in an arena of numbers the
/// two are the same, and positions begin at 0 in each region that is added.
///
/// ```
/// use kva::{Placement, Shape};
///
/// // Two quanta, the first of which is 3 past a multiple of 8, in the upper half of 64.
/// let odd = Placement::from(Shape::aligned(2, 8)?).phase(3)?.within(32..64)?;
/// assert_eq!(odd.shape().align(), 8);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Placement {
    shape: Shape,
    phase: u32,
    /// 0: any boundary may be crossed.
    nocross: u32,
    min: u32,
    max: u32,
    fit: Fit,
}

/// Why a constraint cannot be met by any span.
///
/// ```
/// use kva::{Placement, PlacementError, Shape};
///
/// let four = Placement::from(Shape::aligned(4, 4)?);
/// assert_eq!(four.phase(4), Err(PlacementError::Phase { phase: 4, align: 4 }));
/// assert_eq!(four.nocross(2), Err(PlacementError::Boundary { boundary: 2, len: 4 }));
/// assert_eq!(four.within(8..11), Err(PlacementError::Room { min: 8, max: 11, len: 4 }));
/// # Ok::<_, kva::ShapeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// The phase is not less than the alignment.
    #[error("a phase of {phase} quanta: it must be less than the alignment, {align}")]
    Phase {
        /// What was asked for.
        phase: u32,
        /// The alignment.
        align: u32,
    },
    /// The boundary is no power of two, or less than the length.
    #[error("a boundary every {boundary} quanta for a span of {len}: it must be a power of two and no less")]
    Boundary {
        /// What was asked for.
        boundary: u32,
        /// The length.
        len: u32,
    },
    /// The span is longer than where it may be.
    #[error("{len} quanta within {min}..{max}")]
    Room {
        /// The first quantum it may have.
        min: u32,
        /// The first that it may not have any more.
        max: u32,
        /// The length.
        len: u32,
    },
}

impl From<Shape> for Placement {
    fn from(shape: Shape) -> Self {
        Self { shape, phase: 0, nocross: 0, min: 0, max: u32::MAX, fit: Fit::Instant }
    }
}

impl Placement {
    /// How long, and at multiples of what.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The span starts at `phase` past a multiple of its alignment, instead of at one.
    ///
    /// # Errors
    /// `phase` is not less than the alignment.
    pub const fn phase(mut self, phase: u32) -> Result<Self, PlacementError> {
        if phase >= self.shape.align() {
            return Err(PlacementError::Phase { phase, align: self.shape.align() });
        }
        self.phase = phase;
        Ok(self)
    }

    /// The span does not cross a multiple of `boundary`; it may start or end at one.
    ///
    /// # Errors
    /// `boundary` is no power of two, or less than the length.
    pub const fn nocross(mut self, boundary: u32) -> Result<Self, PlacementError> {
        if !boundary.is_power_of_two() || boundary < self.shape.len() {
            return Err(PlacementError::Boundary { boundary, len: self.shape.len() });
        }
        self.nocross = boundary;
        Ok(self)
    }

    /// All of the span is within these quanta of the arena.
    ///
    /// # Errors
    /// It is longer than they are.
    pub const fn within(mut self, quanta: Range<u32>) -> Result<Self, PlacementError> {
        let Range { start: min, end: max } = quanta;
        if max < min || max - min < self.shape.len() {
            return Err(PlacementError::Room { min, max, len: self.shape.len() });
        }
        (self.min, self.max) = (min, max);
        Ok(self)
    }

    /// Which of the free runs it is cut from.
    #[must_use]
    pub const fn fit(mut self, fit: Fit) -> Self {
        self.fit = fit;
        self
    }

    /// Which of the free runs it is cut from.
    pub(crate) const fn policy(&self) -> Fit {
        self.fit
    }

    /// The quanta it may have.
    pub(crate) const fn room(&self) -> Range<u32> {
        self.min..self.max
    }

    /// Whether nothing is asked for but a shape.
    pub(crate) const fn is_plain(&self) -> bool {
        self.phase == 0 && self.nocross == 0 && self.min == 0 && self.max == u32::MAX
    }

    /// The boundary that it does not cross; 0: it may cross any.
    pub(crate) const fn nocross_boundary(&self) -> u32 {
        self.nocross
    }

    /// Whether every position at a multiple of the alignment is good.
    pub(crate) const fn is_aligned_only(&self) -> bool {
        self.phase == 0 && self.nocross == 0
    }

    /// Whether whatever satisfies `self` satisfies `other` too.
    pub(crate) const fn covers(&self, other: &Self) -> bool {
        self.is_plain() && other.is_plain() && self.shape.covers(other.shape)
    }

    /// The first good position from `position` on; `None`: there is none that can be said.
    pub(crate) fn first_from(&self, position: u64) -> Option<u64> {
        let (len, align, phase) =
            (u64::from(self.shape.len()), u64::from(self.shape.align()), u64::from(self.phase));
        let aligned = |position: u64| {
            position.saturating_sub(phase).checked_next_multiple_of(align)?.checked_add(phase)
        };
        let at = aligned(position)?;
        if self.nocross == 0 {
            return Some(at);
        }
        let boundary = u64::from(self.nocross);
        let crosses = |at: u64| at / boundary != (at + (len - 1)) / boundary;
        if !crosses(at) {
            return Some(at);
        }
        // The boundary is a power of two and so is the alignment. If the alignment is no larger,
        // good starts repeat with the boundary, and the first after one is the best there is;
        // otherwise each start is as far from a boundary as all others.
        let next = aligned(at.checked_next_multiple_of(boundary)?)?;
        (!crosses(next)).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(of: &Placement, from: u64) -> Option<u64> {
        let (len, align) = (u64::from(of.shape.len()), u64::from(of.shape.align()));
        (from..from + 200).find(|at| {
            let crosses =
                of.nocross != 0 && at / u64::from(of.nocross) != (at + len - 1) / u64::from(of.nocross);
            at % align == u64::from(of.phase) && !crosses
        })
    }

    /// Every small constraint, beside a search from each position.
    #[test]
    fn the_first_good_position() {
        for (len, align, boundary) in (1..9).flat_map(|len| {
            (0..4).flat_map(move |align| (0..5).map(move |boundary| (len, 1 << align, boundary)))
        }) {
            for phase in 0..align {
                let of = Placement::from(Shape::aligned(len, align).unwrap()).phase(phase).unwrap();
                let of = if boundary == 0 { Ok(of) } else { of.nocross(1 << boundary) };
                let Ok(of) = of else { continue };
                for from in 0..40 {
                    assert_eq!(of.first_from(from), naive(&of, from), "{of:?} from {from}");
                }
            }
        }
    }
}
