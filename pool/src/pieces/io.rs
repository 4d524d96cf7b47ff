//! A buffer as the traits of `std::io` have it: one position for reading and writing, as
//! `io::Cursor<Vec<u8>>` has one.

use std::cmp;
use std::error::Error;
use std::io::{self, BufRead, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};

use super::PieceBuf;
use crate::backend::Backend;

impl<B: Backend> PieceBuf<B> {
    /// Where the next read or write begins, in bytes. It may be past the end: then nothing is
    /// read, and a write fills the gap with zeroes.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Where the next read or write shall begin.
    pub const fn set_position(&mut self, position: u64) {
        self.position = position;
    }

    /// How many bytes there are from the [position](Self::position) to the end.
    pub fn remaining(&self) -> usize {
        self.len - self.read_position()
    }

    /// The position, or the end if that comes first.
    pub(super) fn read_position(&self) -> usize {
        usize::try_from(self.position).map_or(self.len, |position| position.min(self.len))
    }

    /// From the position on, as far as it lies in one piece.
    pub(super) fn next_chunk(&self) -> &[u8] {
        self.pieces.chunk(self.read_position(), self.len)
    }

    /// Copies what comes next, and how much.
    pub(super) fn copy_next(&self, dst: &mut [u8]) -> usize {
        let mut copied = 0;
        for chunk in self.pieces.chunks(self.read_position(), self.len) {
            let bytes = cmp::min(chunk.len(), dst.len() - copied);
            dst[copied..copied + bytes].copy_from_slice(&chunk[..bytes]);
            copied += bytes;
            if copied == dst.len() {
                break;
            }
        }
        copied
    }
}

/// Reads from the position on, through as many pieces as it takes. Gives nothing back: see
/// [`PieceBuf::into_buf`].
impl<B: Backend> Read for PieceBuf<B> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let read = self.copy_next(dst);
        self.position += read as u64;
        Ok(read)
    }

    fn read_vectored(&mut self, dsts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut read = 0;
        for dst in dsts {
            let bytes = self.read(dst)?;
            read += bytes;
            if bytes < dst.len() {
                break;
            }
        }
        Ok(read)
    }
}

/// A piece at a time.
impl<B: Backend> BufRead for PieceBuf<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.next_chunk())
    }

    fn consume(&mut self, bytes: usize) {
        self.position = self.position.saturating_add(bytes as u64);
    }
}

/// Writes at the position, over what is there, and grows piece by piece as [`grow`](PieceBuf::grow)
/// does: it waits for the first piece if it holds none, and for no other.
///
/// When no more pieces are to be had, what there is room for is written and counted. If that is
/// nothing, it is an error, a [`GrowError`](super::GrowError) inside an [`io::Error`], and the
/// buffer is as it was. So after a failed [`write_all`](Write::write_all) the
/// [position](PieceBuf::position) says how much was written. What [`io::copy`] had read and could
/// not write is lost, though: [`read_from`](PieceBuf::read_from) and
/// [`spare_io_slices_mut`](PieceBuf::spare_io_slices_mut) read what there is room for, and no more.
impl<B: Backend<Error: Error + Send + Sync>> Write for PieceBuf<B> {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    #[track_caller]
    fn write_vectored(&mut self, all: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = all.iter().fold(0_usize, |sum, bytes| sum.saturating_add(bytes.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let too_far = |_| io::Error::new(io::ErrorKind::FileTooLarge, "a position past all memory");
        let start = usize::try_from(self.position).map_err(too_far)?;
        let room = self.room_at(start, wanted)?;
        if start > self.len {
            self.pieces.zero(self.len, start);
        }
        let (mut at, end) = (start, start + room);
        for bytes in all {
            let now = &bytes[..cmp::min(bytes.len(), end - at)];
            self.pieces.write(at, now);
            at += now.len();
        }
        self.len = cmp::max(self.len, at);
        self.position = at as u64;
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As in an [`io::Cursor`]: past the end is allowed, before the beginning is not.
impl<B: Backend> Seek for PieceBuf<B> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::End(offset) => (self.len as u64, offset),
            SeekFrom::Current(offset) => (self.position, offset),
        };
        let nowhere = || {
            let why = format!("a position {offset} from {base}, before the beginning or too large");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        };
        self.position = base.checked_add_signed(offset).ok_or_else(nowhere)?;
        Ok(self.position)
    }
}
