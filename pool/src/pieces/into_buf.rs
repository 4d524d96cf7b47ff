//! Reading a buffer for good: each piece goes back once it is read.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::os::fd::AsFd;

use super::PieceBuf;
use super::vectored::write_until;
use crate::backend::Backend;
use kva::Arena;

/// What is left to read of a [`PieceBuf`] that is read once; from [`PieceBuf::into_buf`].
///
/// Each piece goes back to the pool as soon as its last byte is read, and so serves who waits
/// while the rest is still being read. It is an [`io::Read`] and [`io::BufRead`], with the feature
/// `bytes` a `Buf`, and writes itself to a descriptor.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::RawPool;
/// use pool::pieces::PieceBuf;
/// use std::alloc::Layout;
/// use std::io::Read;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = RawPool::builder(Layout::new::<[u8; 4096]>(), 2).build(arena)?;
/// let mut buf = PieceBuf::with_capacity(&pool, 5000)?;
/// buf.try_extend_from_slice(&[7; 5000])?;
///
/// let mut rest = buf.into_buf();
/// let mut head = [0; 4096];
/// rest.read_exact(&mut head)?;
/// assert_eq!((rest.remaining(), pool.stats().out), (904, 1)); // the first piece is back
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "what is not read goes back when this is dropped"]
pub struct IntoBuf<B: Backend = Arena> {
    /// What was read lies in its first piece, before its position.
    buf: PieceBuf<B>,
}

impl<B: Backend> IntoBuf<B> {
    pub(super) fn new(mut buf: PieceBuf<B>) -> Self {
        buf.shrink_to_fit();
        let read = buf.read_position();
        buf.position = 0;
        let mut this = Self { buf };
        this.skip(read);
        this
    }

    /// How many bytes are left to read.
    pub fn remaining(&self) -> usize {
        self.buf.remaining()
    }

    /// How many pieces it still holds.
    pub fn pieces(&self) -> usize {
        self.buf.pieces()
    }

    /// The next bytes, as far as they lie in one piece.
    pub(super) fn next_chunk(&self) -> &[u8] {
        self.buf.next_chunk()
    }

    #[cfg(feature = "bytes")]
    pub(super) const fn buf(&self) -> &PieceBuf<B> {
        &self.buf
    }

    /// Has so many bytes read, and gives back the pieces that end in them.
    ///
    /// # Panics
    /// If there are fewer. Nothing is skipped then.
    pub fn skip(&mut self, bytes: usize) {
        let left = self.remaining();
        assert!(bytes <= left, "{bytes} bytes to skip of {left}");
        self.buf.position += bytes as u64;
        let used =
            if bytes == left { self.buf.pieces() } else { self.buf.read_position() / self.buf.piece_size() };
        self.buf.drop_front(used);
    }

    /// Writes all that is left to `fd`, as [`PieceBuf::write_to`] does. The pieces that are
    /// written go back between one system call and the next.
    ///
    /// # Errors
    /// As [`PieceBuf::write_to`].
    pub fn write_to(&mut self, fd: impl AsFd) -> io::Result<usize> {
        write_until(|| {
            let written = self.buf.write_once(&fd)?;
            self.skip(written);
            Ok((written, self.remaining()))
        })
    }
}

impl<B: Backend> fmt::Debug for IntoBuf<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoBuf")
            .field("remaining", &self.remaining())
            .field("pieces", &self.pieces())
            .finish_non_exhaustive()
    }
}

impl<B: Backend> Read for IntoBuf<B> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let read = self.buf.copy_next(dst);
        self.skip(read);
        Ok(read)
    }
}

impl<B: Backend> BufRead for IntoBuf<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.next_chunk())
    }

    fn consume(&mut self, bytes: usize) {
        self.skip(bytes.min(self.remaining()));
    }
}
