//! What spans are taken from: an arena, or what people use instead of one; and what moves pages.
//!
//! As with [subjects](crate::subject), workloads are generic over it.

use std::ptr::NonNull;

use kva::Shape;

/// How large a source is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many quanta it has.
    pub quanta: u32,
    /// The most spans that are ever out at once.
    pub spans: u32,
}

/// Something that spans of quanta are taken from.
pub trait Source: Sized + 'static {
    /// Its name in tables, on the command line and in what is written down. It does not change.
    const NAME: &'static str;

    /// A span that is out.
    type Span;

    /// Makes one of that size, all of it free.
    fn new(room: Room) -> Self;

    /// Takes a span of that shape, if there is one.
    fn alloc(&mut self, shape: Shape) -> Option<Self::Span>;

    /// Gives it back.
    fn free(&mut self, span: Self::Span);
}

/// A source that is for one thread. Behind a lock it is for all.
pub trait Unshared: Source {
    /// Its name where it is behind a lock.
    const LOCKED: &'static str;
}

/// A source whose spans are of memory that may be written to.
///
/// # Safety
/// [`start`](Self::start) is as it says.
pub unsafe trait Mapped: Source {
    /// The first byte of a span: good for writes of a byte, and the caller's alone, for as long as the
    /// span is out.
    fn start(&self, span: &Self::Span) -> NonNull<u8>;
}

/// Pages that can be moved: all of them are in one half of twice as many frames.
///
/// Which page is in which frame is as it is where pages have come and gone: neighbours are seldom side by
/// side, so that each is a mapping by itself.
pub trait Moving: Sized + 'static {
    /// As that of a [`Source`].
    const NAME: &'static str;

    /// So many pages, which have all been moved before. `protect`: nobody may touch them until they
    /// are pinned.
    fn new(pages: u32, protect: bool) -> Self;

    /// Moves each to the other half.
    fn pass(&mut self);

    /// Writes to all the frames in which no page is.
    #[cfg(test)]
    fn spoil(&mut self);

    /// Whether each page has in it what it was made with, at its own address.
    #[cfg(test)]
    fn are_whole(&self) -> bool;
}
