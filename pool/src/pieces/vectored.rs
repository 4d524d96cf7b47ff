//! Pieces as they go to the kernel and come from it: many at a time, by writev(2) and readv(2).

use std::error::Error;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;

use arrayvec::ArrayVec;
use rustix::io::{readv, retry_on_intr, writev};

use super::PieceBuf;
use crate::backend::Backend;

/// How many pieces go into one system call: Linux's `UIO_MAXIOV`, which no current Unix is below.
/// The list of them, 16 KiB, is on the stack, since nothing is allocated here.
const IOV_MAX: usize = 1024;

impl<B: Backend> PieceBuf<B> {
    /// What is in it from the [position](Self::position) on, a slice a piece, as writev(2) and
    /// [`write_vectored`](io::Write::write_vectored) take it.
    pub fn io_slices(&self) -> impl Iterator<Item = IoSlice<'_>> + Clone {
        self.pieces.chunks(self.read_position(), self.len).map(IoSlice::new)
    }

    /// At most `most` bytes of the [spare](Self::spare) room, a slice a piece, as readv(2) and
    /// [`read_vectored`](io::Read::read_vectored) take it. Then [`commit`](Self::commit) as many
    /// as were read. Takes no pieces: [`try_reserve`](Self::try_reserve) or
    /// [`with_capacity`](Self::with_capacity) before.
    ///
    /// What nobody wrote to since the piece was got is zeroed first: once for each piece, however
    /// often this is called. [`spare_capacity_mut`](Self::spare_capacity_mut) zeroes nothing.
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
    /// let pool = RawPool::builder(Layout::new::<[u8; 8]>(), 1).build(arena)?;
    /// let mut buf = PieceBuf::with_capacity(&pool, 16)?;
    /// let mut from: &[u8] = b"any reader will do";
    /// let read = from.read_vectored(&mut buf.spare_io_slices_mut(11).collect::<Vec<_>>())?;
    /// buf.commit(read);
    /// assert_eq!(buf.chunks().collect::<Vec<_>>(), [&b"any read"[..], b"er "]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn spare_io_slices_mut(&mut self, most: usize) -> impl Iterator<Item = IoSliceMut<'_>> {
        let end = self.len + most.min(self.spare());
        if end > self.pieces.init() {
            self.pieces.zero(self.pieces.init(), end);
        }
        self.pieces.chunks_mut(self.len, end).map(IoSliceMut::new)
    }

    /// Says that so many bytes of the spare room are written, and part of the contents now.
    ///
    /// # Panics
    /// If there were not so many in what [`spare_io_slices_mut`](Self::spare_io_slices_mut) lent.
    pub fn commit(&mut self, bytes: usize) {
        let lent = self.pieces.init() - self.len;
        assert!(bytes <= lent, "{bytes} bytes are said to be written, of {lent} that were lent");
        self.len += bytes;
    }

    /// Reads at most `most` bytes from `fd`, by one readv(2), straight into pieces behind the
    /// contents, wherever the [position](Self::position) is. How many they were; 0 is the end.
    ///
    /// It takes pieces for `most` bytes first, as [`grow`](Self::grow) does: if it holds none, it
    /// waits for one, and what else is there now it takes. If it does not get all, it reads less.
    /// Pieces that nothing came into stay: [`shrink_to_fit`](Self::shrink_to_fit) gives them back.
    /// A call that a signal interrupts is begun again.
    ///
    /// The pieces are held while this waits for the peer, so bound that: see the guide on deadlock.
    ///
    /// # Errors
    /// There is no room, and no piece to be had ([`GrowError`](super::GrowError) inside), or the
    /// error of the system. Nothing was read.
    #[track_caller]
    pub fn read_from(&mut self, fd: impl AsFd, most: usize) -> io::Result<usize>
    where
        B::Error: Error + Send + Sync,
    {
        if most == 0 {
            return Ok(0);
        }
        // No more than one call can take: what is beyond would be held, and zeroed, for nothing.
        let size = self.pieces.size();
        let one_call = size.saturating_mul(IOV_MAX) - self.len % size;
        let room = self.room_at(self.len, most.min(one_call))?;
        let mut slices: ArrayVec<_, IOV_MAX> = self.spare_io_slices_mut(room).collect();
        let read = retry_on_intr(|| readv(&fd, &mut slices))?;
        drop(slices);
        self.commit(read);
        Ok(read)
    }

    /// Writes what is in it from the [position](Self::position) on to `fd`, straight from the
    /// pieces, by as many writev(2) as it takes. How many bytes they were; the position is behind
    /// them. A call that a signal interrupts is begun again.
    ///
    /// An error after something was written, as of a descriptor that would block, ends it: what
    /// was written is counted, and the next call meets the error again, if it persists.
    ///
    /// # Errors
    /// That of the system, or `WriteZero` if it takes nothing. Nothing was written.
    pub fn write_to(&mut self, fd: impl AsFd) -> io::Result<usize> {
        write_until(|| {
            let written = self.write_once(&fd)?;
            self.position += written as u64;
            Ok((written, self.remaining()))
        })
    }

    /// By one system call, from the position on, which stays where it is.
    pub(super) fn write_once(&self, fd: impl AsFd) -> io::Result<usize> {
        let slices: ArrayVec<_, IOV_MAX> = self.io_slices().take(IOV_MAX).collect();
        if slices.is_empty() {
            return Ok(0);
        }
        match retry_on_intr(|| writev(&fd, &slices))? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }
}

/// Calls `write` until it says that nothing is left, or fails: it says what it wrote and what is
/// left. How much it was in all.
pub(super) fn write_until(mut write: impl FnMut() -> io::Result<(usize, usize)>) -> io::Result<usize> {
    let mut all = 0;
    loop {
        match write() {
            Ok((written, 0)) => return Ok(all + written),
            Ok((written, _)) => all += written,
            Err(error) if all == 0 => return Err(error),
            Err(_) => return Ok(all),
        }
    }
}
