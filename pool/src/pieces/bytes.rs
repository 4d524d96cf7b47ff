//! The feature `bytes`: a buffer of pieces as a [`BufMut`], and what is left of one as a [`Buf`].

use std::io::IoSlice;

use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut};

use super::{IntoBuf, PieceBuf};
use crate::backend::Backend;

/// Writes behind the contents, wherever the [position](PieceBuf::position) is, into what it holds
/// already: [`remaining_mut`](BufMut::remaining_mut) is [`spare`](PieceBuf::spare), and it never
/// grows here. The methods of this trait panic, and write nothing, if there is not enough room:
/// [`try_reserve`](PieceBuf::try_reserve) first, or [`PieceBuf::try_extend_from_slice`].
//
// SAFETY: what is behind the contents is the same each time it is asked for, until `advance_mut`
// moves on, by no more than there is.
unsafe impl<B: Backend> BufMut for PieceBuf<B> {
    fn remaining_mut(&self) -> usize {
        self.spare()
    }

    unsafe fn advance_mut(&mut self, bytes: usize) {
        let room = self.spare();
        assert!(bytes <= room, "{bytes} bytes were written to pieces that had room for {room}");
        // SAFETY: the caller says that so many are written behind the contents.
        unsafe { self.set_len(self.len() + bytes) };
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        UninitSlice::uninit(self.spare_capacity_mut().next().unwrap_or_default())
    }
}

/// Each piece goes back once its last byte is advanced past.
impl<B: Backend> Buf for IntoBuf<B> {
    fn remaining(&self) -> usize {
        self.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.next_chunk()
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let slices = dst.iter_mut().zip(self.buf().io_slices());
        slices.map(|(place, slice)| *place = slice).count()
    }

    fn advance(&mut self, bytes: usize) {
        self.skip(bytes);
    }
}
