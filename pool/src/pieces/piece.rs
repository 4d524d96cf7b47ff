//! The pieces that a buffer holds, as bytes that are initialised and bytes that are not. All that
//! is `unsafe` about pieces is here.
//!
//! Bytes are numbered through all pieces, from the start of the first.
//!
//! # Invariants
//!
//! 1. What is listed are items of the pool that are out, each once. They are this list's alone,
//!    each `size` bytes of it, until they are put, and they leave the list before that.
//! 2. The first `init` bytes are initialised, and `init` is at most the capacity.

use std::collections::{TryReserveError, VecDeque};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

use kva::panics::FirstPanic;

use crate::backend::Backend;
use crate::loan::Round;
use crate::raw::RawPool;

/// Items of a pool, one behind the other. They go back when this is dropped.
pub(super) struct Pieces<B: Backend> {
    pool: RawPool<B>,
    list: VecDeque<Round>,
    size: usize,
    init: usize,
}

// SAFETY: a shared list gives out shared slices of bytes, and its pool, which is `Sync`.
unsafe impl<B: Backend> Sync for Pieces<B> {}

impl<B: Backend> Pieces<B> {
    /// `list`: items of the pool that are out, and now these pieces'. What it has room for beyond
    /// them is kept.
    pub(super) fn new(pool: RawPool<B>, list: Vec<Round>) -> Self {
        let size = pool.item_layout().size();
        Self { pool, list: VecDeque::from(list), size, init: 0 }
    }

    pub(super) const fn pool(&self) -> &RawPool<B> {
        &self.pool
    }

    /// Of a piece, in bytes.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    /// In bytes. It fits: the pieces are in memory, side by side at best.
    pub(super) fn capacity(&self) -> usize {
        self.count() * self.size
    }

    /// How many bytes, from the first on, are initialised.
    pub(super) const fn init(&self) -> usize {
        self.init
    }

    /// Makes room in the list.
    pub(super) fn reserve_room(&mut self, pieces: usize) -> Result<(), TryReserveError> {
        self.list.try_reserve(pieces)
    }

    /// Adds items of the pool that are out.
    pub(super) fn extend(&mut self, items: impl IntoIterator<Item = Round>) {
        self.list.extend(items);
    }

    /// Adds an item of the pool that is out, or puts it back if there is no room in the list.
    pub(super) fn push(&mut self, item: NonNull<u8>) -> Result<(), TryReserveError> {
        let piece = Round { ptr: item };
        self.reserve_room(1).inspect_err(|_| self.put(piece))?;
        self.list.push_back(piece);
        Ok(())
    }

    /// Gives the last piece back.
    pub(super) fn pop_back(&mut self) {
        if let Some(piece) = self.list.pop_back() {
            self.init = self.init.min(self.capacity());
            self.put(piece);
        }
    }

    /// Gives the first piece back; bytes are numbered from the next on.
    pub(super) fn pop_front(&mut self) {
        if let Some(piece) = self.list.pop_front() {
            self.init = self.init.saturating_sub(self.size);
            self.put(piece);
        }
    }

    fn put(&self, piece: Round) {
        // SAFETY: it was ours alone, and is not listed (invariant 1).
        let put = unsafe { self.pool.put(piece.ptr) };
        debug_assert_eq!(put, Ok(()), "a buffer's piece is out");
    }

    /// The byte numbered `at`, and how many there are from it to the end of its piece. None past
    /// the last.
    fn place(&self, at: usize) -> Option<(*mut u8, usize)> {
        let piece = self.list.get(at / self.size)?;
        let offset = at % self.size;
        Some((piece.ptr.as_ptr().wrapping_add(offset), self.size - offset))
    }

    /// Of the bytes from `from` to `to`, which are initialised, those in the first piece.
    pub(super) fn chunk(&self, from: usize, to: usize) -> &[u8] {
        debug_assert!(from <= to);
        assert!(to <= self.init, "bytes that nobody wrote");
        let Some((start, rest)) = self.place(from) else {
            return &[];
        };
        // SAFETY: so many bytes of the piece are ours (invariant 1), and initialised (2).
        unsafe { slice::from_raw_parts(start, rest.min(to - from)) }
    }

    /// The bytes from `from` to `to`, which are initialised, piece by piece.
    pub(super) fn chunks(&self, from: usize, to: usize) -> impl Iterator<Item = &[u8]> + Clone {
        debug_assert!(from <= to);
        assert!(to <= self.init, "bytes that nobody wrote");
        let mut at = from;
        std::iter::from_fn(move || {
            let chunk = self.chunk(at, to);
            at += chunk.len();
            (!chunk.is_empty()).then_some(chunk)
        })
    }

    /// As [`chunks`](Self::chunks), to be written to.
    pub(super) fn chunks_mut(&mut self, from: usize, to: usize) -> impl Iterator<Item = &mut [u8]> {
        debug_assert!(from <= to);
        assert!(to <= self.init, "bytes that nobody wrote");
        let mut at = from;
        let this: &Self = self;
        std::iter::from_fn(move || {
            let (start, rest) = this.place(at).filter(|_| at < to)?;
            let bytes = rest.min(to - at);
            at += bytes;
            // SAFETY: so many bytes of the piece are ours, exclusively borrowed for as long as the
            // iterator's items live, and initialised (invariants 1 and 2); none is in two chunks.
            Some(unsafe { slice::from_raw_parts_mut(start, bytes) })
        })
    }

    /// All bytes from `from` on, piece by piece, to be written by whoever asks. They count as
    /// initialised no more: safe code may leave any of them as it never was.
    pub(super) fn uninit(&mut self, from: usize) -> impl Iterator<Item = &mut [MaybeUninit<u8>]> {
        self.init = self.init.min(from);
        let mut at = from;
        let this: &Self = self;
        std::iter::from_fn(move || {
            let (start, rest) = this.place(at)?;
            at += rest;
            // SAFETY: as in `chunks_mut`, but for being initialised, which these need not be.
            Some(unsafe { slice::from_raw_parts_mut(start.cast(), rest) })
        })
    }

    /// Says that the first `to` bytes are initialised.
    ///
    /// # Safety
    /// They are, and `to` is at most the capacity.
    pub(super) unsafe fn assume_init(&mut self, to: usize) {
        debug_assert!(to <= self.capacity());
        self.init = self.init.max(to);
    }

    /// Writes `bytes` from `at` on, where all before is initialised, and there is room.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        let mut left = bytes;
        self.initialise(at, at + bytes.len(), |place| {
            let (now, later) = left.split_at(place.len());
            place.write_copy_of_slice(now);
            left = later;
        });
    }

    /// Writes zeroes from `from`, where all before is initialised, to `to`, where there is room.
    pub(super) fn zero(&mut self, from: usize, to: usize) {
        self.initialise(from, to, |place| {
            place.fill(MaybeUninit::new(0));
        });
    }

    /// Has `write` write the bytes from `from` to `to`, all of them.
    fn initialise(&mut self, from: usize, to: usize, mut write: impl FnMut(&mut [MaybeUninit<u8>])) {
        assert!(from <= self.init, "a gap before what is written");
        assert!(to <= self.capacity(), "no room for what is written");
        let init = self.init.max(to);
        let mut at = from;
        let mut places = self.uninit(from);
        // Finding a place is a division: none more than is needed.
        while at < to {
            let place = places.next().expect("it is within the capacity");
            let bytes = place.len().min(to - at);
            write(&mut place[..bytes]);
            at += bytes;
        }
        drop(places);
        // Those from `to` to the old `init` were not touched: `uninit` gave them to nobody else.
        self.init = init;
    }

    /// Copies the bytes from `from` to `to`, which are initialised, to the beginning of `dst`,
    /// which is long enough.
    pub(super) fn copy_out<'d>(
        &self,
        from: usize,
        to: usize,
        dst: &'d mut [MaybeUninit<u8>],
    ) -> &'d mut [u8] {
        let dst = &mut dst[..to - from];
        let mut at = 0;
        for chunk in self.chunks(from, to) {
            dst[at..at + chunk.len()].write_copy_of_slice(chunk);
            at += chunk.len();
        }
        assert_eq!(at, dst.len());
        // SAFETY: all of it was written in this loop.
        unsafe { dst.assume_init_mut() }
    }
}

/// Puts the pieces back, one by one, whatever panics: while anybody waits, each makes some waiter
/// return, or brings it nearer to the several that it wants (P2, P5).
impl<B: Backend> Drop for Pieces<B> {
    fn drop(&mut self) {
        let mut panic = FirstPanic::default();
        while let Some(piece) = self.list.pop_front() {
            // A waker's, if any: the piece has been put.
            panic.guard(|| self.put(piece));
        }
        panic.go_on();
    }
}
