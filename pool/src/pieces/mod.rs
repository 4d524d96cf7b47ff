//! Pieces: what needs no long contiguous run is kept in a list of small ones.
//!
//! A pool of 256 KiB blocks wants 64 pages side by side, and an arena may have hundreds free and
//! no two of them together. A pool of single pages is never short of a *run*. So whoever can work
//! on a list of pieces should: that is the second of the four ways out of a pool that hangs on
//! its back-end. [`PieceBuf`] is such a list, with the look of one file: it is read and written by
//! the traits of [`std::io`], and goes to the kernel and comes from it without a copy, a slice a
//! piece.
//!
//! # Hold and wait
//!
//! Pieces bring a trouble of their own. Two writers that each hold half of what they need, and wait
//! for the other half, wait for ever; no order of service helps. Of the conditions that a deadlock
//! needs, this module denies *hold and wait*, as Havender did in OS/360 (IBM Systems Journal 7(2),
//! 1968; the conditions are Coffman's, the trouble Dijkstra's):
//!
//! > **A buffer never waits while it holds a piece.**
//!
//! That leaves two ways to get them:
//!
//! - *All or nothing.* [`PieceBuf::with_capacity`] has one place in the line for all pieces, and
//!   holds none until it has them all. It gets them in the end, whatever others do who keep to the
//!   rule. Choose it whenever the size is known.
//! - *As you go.* [`PieceBuf::new`] holds nothing. Its first piece is waited for; those after it are
//!   taken if they are there right now ([`grow`](PieceBuf::grow), or a write). If they are not,
//!   the call fails, and nothing is lost: the buffer can be used as it is (written out, say, and
//!   filled again), or dropped and begun again all or nothing, now that the size is better known.
//!   Whoever only tries again, and keeps what it holds, has the deadlock back, as a loop.
//!
//! The rule is a buffer's. Two buffers of one thread, or a buffer and an item, are hold and wait
//! again; so is a thread that waits for another that waits for pieces. The guide's chapter on
//! deadlock is about those.
//!
//! ```
//! # if kva::sync::IS_MODEL { return Ok(()) }
//! # use kva::{Arena, Region, Reserve};
//! use pool::RawPool;
//! use pool::pieces::{GrowError, PieceBuf};
//! use std::alloc::Layout;
//!
//! # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
//! let pool = RawPool::builder(Layout::new::<[u8; 4096]>(), 64).build(arena)?;
//! let message = [7; 20_000]; // as it comes: who knows how long it is?
//!
//! let mut buf = PieceBuf::new(&pool);
//! while buf.capacity() < message.len() {
//!     match buf.grow() {
//!         Ok(()) => {}
//!         Err(GrowError::NotNow { held, wanted, .. }) => {
//!             drop(buf); // hold nothing,
//!             let bytes = (held + wanted) * 4096;
//!             buf = PieceBuf::with_capacity(&pool, bytes)?; // and wait for all of it
//!         }
//!         Err(other) => return Err(other.into()),
//!     }
//! }
//! buf.try_extend_from_slice(&message)?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where pieces cannot serve
//!
//! A callee that needs one run cannot take a list of pieces: exec(2) copies its strings itself but
//! wants each of them contiguous, a device without scatter/gather reads one range of addresses, and
//! an ARM's level-1 table is 16 KiB at 16 KiB. What is built in pieces is then copied out once, at
//! the end, when its length is known, and the run is held for a moment instead of for as long as
//! the building takes:
//!
//! ```
//! # if kva::sync::IS_MODEL { return Ok(()) }
//! # use kva::{Arena, Region, Reserve};
//! use pool::RawPool;
//! use pool::pieces::PieceBuf;
//! use std::alloc::Layout;
//! use std::io::Write;
//!
//! # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
//! let small = RawPool::builder(Layout::new::<[u8; 4096]>(), 64).build(arena.clone())?;
//! let blocks = RawPool::builder(Layout::new::<[u8; 65536]>(), 1).build(arena)?;
//!
//! // An argument block, as exec has it: strings that end with a NUL, one behind the other.
//! let mut block = PieceBuf::new(&small);
//! for number in 0..2000 {
//!     write!(block, "argument {number}\0")?;
//! }
//! assert!(block.as_contiguous().is_none(), "no &[u8], and no &CStr, is all of it");
//!
//! let run = blocks.get()?; // the scarce one, and now only
//! // SAFETY: the item is ours and so long; nothing is said of what is in it.
//! let place = unsafe { std::slice::from_raw_parts_mut(run.as_ptr().cast(), 65536) };
//! let strings: &[u8] = block.copy_out(place);
//! assert!(strings.ends_with(b"argument 1999\0"));
//! drop(block);
//! # // SAFETY: it is used no more.
//! # unsafe { blocks.put(run) }?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it allocates
//!
//! Its list of pieces, 8 bytes each (P7): all or nothing before it waits, as you go when it grows. Nothing
//! else here allocates.

mod acquire;
#[cfg(feature = "bytes")]
mod bytes;
mod error;
mod into_buf;
mod io;
mod piece;
mod vectored;

use std::fmt;
use std::mem::MaybeUninit;

use kva::Arena;

pub use self::error::GrowError;
pub use self::into_buf::IntoBuf;
use self::piece::Pieces;
use crate::backend::Backend;
use crate::raw::RawPool;

/// A buffer of bytes that is a list of items of a [`RawPool`]; see [the module](self).
///
/// It has contents, [`len`](Self::len) bytes; room behind them, up to the
/// [`capacity`](Self::capacity); and a [position](Self::position), at which it is read and written
/// as an [`io::Cursor`](std::io::Cursor) is. What appends does so behind the contents, wherever
/// the position is: [`try_extend_from_slice`](Self::try_extend_from_slice),
/// [`read_from`](Self::read_from), and `BufMut` with the feature `bytes`.
///
/// Pieces go back to the pool when the buffer is dropped, whatever panics, and earlier by
/// [`shrink_to_fit`](Self::shrink_to_fit) or [`into_buf`](Self::into_buf). It holds a handle, so
/// the pool stays open while it lives, unless somebody closes it. What it holds then stays good.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::RawPool;
/// use pool::pieces::PieceBuf;
/// use std::alloc::Layout;
/// use std::io::{BufRead, Seek, Write};
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = RawPool::builder(Layout::new::<[u8; 8]>(), 1).build(arena)?;
/// let mut buf = PieceBuf::new(&pool);
/// writeln!(buf, "one line over")?;
/// writeln!(buf, "several pieces")?;
/// assert_eq!((buf.len(), buf.pieces(), pool.stats().out), (29, 4, 4));
///
/// buf.rewind()?;
/// let lines: Result<Vec<_>, _> = buf.lines().collect();
/// assert_eq!(lines?, ["one line over", "several pieces"]);
/// assert_eq!(pool.stats().out, 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "its pieces go back to their pool when it is dropped"]
pub struct PieceBuf<B: Backend = Arena> {
    /// At least `len` bytes of them are initialised.
    pieces: Pieces<B>,
    len: usize,
    position: u64,
}

impl<B: Backend> PieceBuf<B> {
    /// An empty buffer, which holds nothing yet and grows as it goes.
    pub fn new(pool: &RawPool<B>) -> Self {
        Self::of(Pieces::new(pool.clone(), Vec::new()))
    }

    const fn of(pieces: Pieces<B>) -> Self {
        Self { pieces, len: 0, position: 0 }
    }

    /// The pool that its pieces are of.
    pub const fn pool(&self) -> &RawPool<B> {
        self.pieces.pool()
    }

    /// How many bytes are in it.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in it.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes its pieces have room for.
    pub fn capacity(&self) -> usize {
        self.pieces.capacity()
    }

    /// How many bytes there is room for behind the contents.
    pub fn spare(&self) -> usize {
        self.capacity() - self.len
    }

    /// How many bytes a piece has: the size of [an item](RawPool::item_layout).
    pub const fn piece_size(&self) -> usize {
        self.pieces.size()
    }

    /// How many pieces it holds.
    pub fn pieces(&self) -> usize {
        self.pieces.count()
    }

    /// Gives back all pieces but the first so many.
    fn keep(&mut self, pieces: usize) {
        while self.pieces() > pieces {
            self.pieces.pop_back();
        }
    }

    /// Gives back so many pieces from the front, with what is in them.
    fn drop_front(&mut self, pieces: usize) {
        let size = self.piece_size();
        for _ in 0..pieces {
            // Before the piece goes: somebody's waker may panic.
            self.len = self.len.saturating_sub(size);
            self.position = self.position.saturating_sub(size as u64);
            self.pieces.pop_front();
        }
    }

    /// Makes it empty, and the [position](Self::position) 0. It keeps its pieces.
    pub fn clear(&mut self) {
        (self.len, self.position) = (0, 0);
    }

    /// Forgets all but the first `len` bytes. Does nothing if there are no more. It keeps its
    /// pieces, and its [position](Self::position), which may be past the end then.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Gives back the pieces that nothing is in, one by one. An empty buffer holds none then, and
    /// may wait for its first again.
    pub fn shrink_to_fit(&mut self) {
        self.keep(self.len.div_ceil(self.piece_size()));
    }

    /// Writes `bytes` behind the contents: all of them, or nothing. Takes what pieces it needs, if
    /// they are there right now, as [`try_reserve`](Self::try_reserve) does.
    ///
    /// # Errors
    /// They are not, and why. The buffer is as it was.
    ///
    /// # Panics
    /// As [`grow`](Self::grow).
    #[track_caller]
    pub fn try_extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), GrowError<B::Error>> {
        self.try_reserve(bytes.len())?;
        self.pieces.write(self.len, bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// All that is in it, piece by piece.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.pieces.chunks(0, self.len)
    }

    /// As [`chunks`](Self::chunks), to be written to.
    pub fn chunks_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.pieces.chunks_mut(0, self.len)
    }

    /// All that is in it as one slice, if one piece holds it all.
    pub fn as_contiguous(&self) -> Option<&[u8]> {
        (self.len <= self.piece_size()).then(|| self.pieces.chunk(0, self.len))
    }

    /// Copies all that is in it to the beginning of `dst`, and returns that.
    ///
    /// # Panics
    /// If `dst` is shorter.
    pub fn copy_to_slice<'d>(&self, dst: &'d mut [u8]) -> &'d mut [u8] {
        let dst = self.part_of(dst);
        let mut left = &mut *dst;
        for chunk in self.chunks() {
            let (now, later) = left.split_at_mut(chunk.len());
            now.copy_from_slice(chunk);
            left = later;
        }
        dst
    }

    /// As [`copy_to_slice`](Self::copy_to_slice), to where nothing is yet: an item of another
    /// pool, or the spare capacity of a `Vec`.
    ///
    /// # Panics
    /// If `dst` is shorter.
    pub fn copy_out<'d>(&self, dst: &'d mut [MaybeUninit<u8>]) -> &'d mut [u8] {
        self.pieces.copy_out(0, self.len, self.part_of(dst))
    }

    fn part_of<'d, T>(&self, dst: &'d mut [T]) -> &'d mut [T] {
        let (len, room) = (self.len, dst.len());
        dst.get_mut(..len).unwrap_or_else(|| panic!("{len} bytes do not fit into {room}"))
    }

    /// All room behind the contents, piece by piece, for those who write it by other means; then
    /// [`set_len`](Self::set_len). [`spare_io_slices_mut`](Self::spare_io_slices_mut) needs no
    /// `unsafe`.
    pub fn spare_capacity_mut(&mut self) -> impl Iterator<Item = &mut [MaybeUninit<u8>]> {
        self.pieces.uninit(self.len)
    }

    /// Says how many bytes are written.
    ///
    /// # Safety
    /// The first `len` bytes are initialised, and `len` is at most the
    /// [capacity](Self::capacity).
    pub unsafe fn set_len(&mut self, len: usize) {
        // SAFETY: the caller says so.
        unsafe { self.pieces.assume_init(len) };
        self.len = len;
    }

    /// What is in it from the [position](Self::position) on, to be read once: each piece goes back
    /// when it is used up. Spare pieces, and those before the position, go back at once.
    pub fn into_buf(self) -> IntoBuf<B> {
        IntoBuf::new(self)
    }
}

impl<B: Backend> fmt::Debug for PieceBuf<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceBuf")
            .field("len", &self.len)
            .field("position", &self.position)
            .field("pieces", &self.pieces())
            .field("piece_size", &self.piece_size())
            .finish_non_exhaustive()
    }
}
