//! Buffers: items that are filled as a `BytesMut` is, and frozen into [`Bytes`].
//!
//! # Invariant
//!
//! 1. A buffer is the exclusive use of an item that is out, until it is dropped. The first `len`
//!    bytes of the item are initialised, and `len` is at most the item's length.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use bytes::buf::UninitSlice;
use bytes::{BufMut, Bytes};
use kva::Arena;
use kva::sync::Arc;

use crate::backend::Backend;
use crate::core::Core;
use crate::error::{GetError, TryGetError};
use crate::raw::RawPool;
use crate::request::Request;

/// An item of a [`RawPool`] as a buffer of bytes, empty at first, with the feature `bytes`.
///
/// It is as long as [the item](RawPool::item_layout) and never grows. It derefs to what has been
/// written, is written to as a [`BufMut`] or an [`io::Write`], and [`freeze`](Self::freeze) makes
/// [`Bytes`] of it, without copying. It goes back to its pool when it is dropped, or when the last
/// of those `Bytes` is. It borrows nothing, and may outlive the pool's handles.
///
/// Reading into it as a `BufMut`, say by tokio's `read_buf`, reads as much as there is room for.
/// Into a full one that is nothing, which looks like the end of what is read.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Arena, Region, Reserve};
/// use pool::{Buffer, RawPool};
/// use std::alloc::Layout;
///
/// let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = RawPool::builder(Layout::new::<[u8; 4096]>(), 16).build(arena)?;
/// let mut buffer: Buffer = pool.get_buffer()?;
/// buffer.try_extend_from_slice(b"no heap, no copy")?;
/// buffer[..2].make_ascii_uppercase();
/// assert_eq!((buffer.len(), buffer.capacity()), (16, 4096));
///
/// let message = buffer.freeze();
/// let word = message.slice(..2);
/// drop(message);
/// assert_eq!(&word[..], b"NO");
/// assert_eq!(pool.stats().out, 1);
/// drop(word);
/// assert_eq!(pool.stats().out, 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a buffer goes back to its pool when it is dropped"]
pub struct Buffer<B: Backend = Arena> {
    core: Arc<Core<B>>,
    item: NonNull<u8>,
    len: usize,
}

/// There is less room in a [`Buffer`] than was asked for. Nothing was written.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{BufferFull, RawPool};
/// use std::alloc::Layout;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = RawPool::builder(Layout::new::<[u8; 8]>(), 1).build(arena)?;
/// let mut buffer = pool.get_buffer()?;
/// buffer.try_extend_from_slice(b"hello")?;
/// let error = buffer.try_extend_from_slice(b", world").unwrap_err();
/// assert_eq!(error, BufferFull { asked: 7, room: 3 });
/// assert_eq!(&buffer[..], b"hello");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{asked} bytes for a buffer that has room for {room}")]
pub struct BufferFull {
    /// How many bytes were to be written.
    pub asked: usize,
    /// How many there is room for.
    pub room: usize,
}

// SAFETY: a buffer is the exclusive use of its item (invariant 1), and shares its pool, which is
// `Sync`.
unsafe impl<B: Backend> Send for Buffer<B> {}
// SAFETY: a shared buffer gives out shared slices of bytes, and nothing else.
unsafe impl<B: Backend> Sync for Buffer<B> {}

impl<B: Backend> Buffer<B> {
    /// `item` is out of `pool`, and now the buffer's.
    fn new(pool: &RawPool<B>, item: NonNull<u8>) -> Self {
        Self { core: pool.handle().core.clone(), item, len: 0 }
    }

    /// How many bytes it can hold.
    pub fn capacity(&self) -> usize {
        self.core.carve.stride
    }

    /// Makes it empty.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Forgets all but the first `len` bytes. Does nothing if there are no more.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Writes all of `bytes`, or nothing.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn try_extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        let room = self.remaining_mut();
        if bytes.len() > room {
            return Err(BufferFull { asked: bytes.len(), room });
        }
        self.put_slice(bytes);
        Ok(())
    }

    /// The bytes that are not written yet, for those who write them by other means; then
    /// [`set_len`](Self::set_len).
    pub fn spare_capacity_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        let spare = self.item.as_ptr().wrapping_add(self.len).cast();
        let room = self.remaining_mut();
        // SAFETY: the item is ours alone, and there is so much of it after `len` (invariant 1).
        unsafe { slice::from_raw_parts_mut(spare, room) }
    }

    /// Says how many bytes are written.
    ///
    /// # Safety
    /// The first `len` bytes are initialised, and `len` is at most the
    /// [capacity](Self::capacity).
    pub unsafe fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.capacity());
        self.len = len;
    }

    /// What was written, as [`Bytes`], where it is. The item goes back when the last clone or
    /// slice of it is dropped, so a slice of a few bytes keeps all of it out.
    ///
    /// This allocates the few words that such `Bytes` share from the global heap. The bytes can
    /// be written to no more: a conversion into `BytesMut` copies them.
    #[must_use = "bytes that are dropped are gone, and their item goes back"]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

/// Puts the item back; while anybody waits, this makes some waiter return, as
/// [`RawPool::put`] does.
impl<B: Backend> Drop for Buffer<B> {
    fn drop(&mut self) {
        let put = self.core.put(self.item);
        debug_assert_eq!(put, Ok(()), "a buffer's item is out");
    }
}

impl<B: Backend> Deref for Buffer<B> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes are initialised, and ours alone (invariant 1).
        unsafe { slice::from_raw_parts(self.item.as_ptr(), self.len) }
    }
}

impl<B: Backend> DerefMut for Buffer<B> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`.
        unsafe { slice::from_raw_parts_mut(self.item.as_ptr(), self.len) }
    }
}

impl<B: Backend> AsRef<[u8]> for Buffer<B> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<B: Backend> AsMut<[u8]> for Buffer<B> {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

/// What was written, as a byte string.
impl<B: Backend> fmt::Debug for Buffer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl<B: Backend> From<Buffer<B>> for Bytes {
    fn from(buffer: Buffer<B>) -> Self {
        buffer.freeze()
    }
}

/// A buffer does not grow: the methods of this trait panic, and write nothing, if there is not
/// enough [room](BufMut::remaining_mut). [`Buffer::try_extend_from_slice`] and [`io::Write`] do
/// not.
//
// SAFETY: what is left of the item is the same each time it is asked for, until `advance_mut`
// moves on, by no more than that.
unsafe impl<B: Backend> BufMut for Buffer<B> {
    fn remaining_mut(&self) -> usize {
        self.capacity() - self.len
    }

    unsafe fn advance_mut(&mut self, bytes: usize) {
        let room = self.remaining_mut();
        assert!(bytes <= room, "{bytes} bytes were written to a buffer that had room for {room}");
        self.len += bytes;
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        UninitSlice::uninit(self.spare_capacity_mut())
    }
}

/// Writes as much as there is room for, which is 0 bytes if it is full.
impl<B: Backend> io::Write for Buffer<B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(self.remaining_mut())];
        self.put_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// With the feature `bytes`.
impl<B: Backend> RawPool<B> {
    /// As [`get`](Self::get), as a [`Buffer`].
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_buffer(&self) -> Result<Buffer<B>, GetError<B::Error>> {
        self.request().get_buffer()
    }

    /// As [`try_get`](Self::try_get), as a [`Buffer`].
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    #[track_caller]
    pub fn try_get_buffer(&self) -> Result<Buffer<B>, TryGetError<B::Error>> {
        self.request().try_get_buffer()
    }

    /// As [`get_async`](Self::get_async), as a [`Buffer`].
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_buffer_async(&self) -> impl Future<Output = Result<Buffer<B>, GetError<B::Error>>> + Send {
        self.request().get_buffer_async()
    }
}

/// With the feature `bytes`.
impl<'p, B: Backend> Request<'p, RawPool<B>> {
    /// As [`get`](Self::get), as a [`Buffer`].
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_buffer(self) -> Result<Buffer<B>, GetError<B::Error>> {
        Ok(Buffer::new(self.pool, self.get()?))
    }

    /// As [`try_get`](Self::try_get), as a [`Buffer`].
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    #[track_caller]
    pub fn try_get_buffer(self) -> Result<Buffer<B>, TryGetError<B::Error>> {
        Ok(Buffer::new(self.pool, self.try_get()?))
    }

    /// As [`get_async`](Self::get_async), as a [`Buffer`].
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_buffer_async(
        self,
    ) -> impl Future<Output = Result<Buffer<B>, GetError<B::Error>>> + Send + use<'p, B> {
        let item = self.get_async();
        async move { Ok(Buffer::new(self.pool, item.await?)) }
    }
}
