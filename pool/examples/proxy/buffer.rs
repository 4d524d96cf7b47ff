//! Buffers: items of a raw pool, since their size is known at run time only, in a guard.

use std::alloc::Layout;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

use anyhow::{Context, Result, ensure};
use kva::{Arena, Region, Reserve};
use pool::{PoolStats, RawPool};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Quantum of the arena, and so what the size of a buffer is rounded up to.
const QUANTUM: usize = 4096;
/// The most buffers, and the most bytes of one: together they still fit into an address.
pub(crate) const BUFFERS_MAX: i64 = 1 << 20;
pub(crate) const SIZE_MAX: i64 = 1 << 30;

/// The buffers of one direction.
pub(crate) struct Buffers {
    pool: RawPool,
    size: usize,
}

/// A buffer that is out. Goes back when it is dropped.
pub(crate) struct Buffer<'p> {
    from: &'p Buffers,
    memory: NonNull<u8>,
}

// Invariant: the memory of a `Buffer` is an item of its pool that is out, `size` bytes long, which
// nobody else has.

// SAFETY: by the invariant it is an owner like a `Box`, and its pool is `Sync`.
unsafe impl Send for Buffer<'_> {}

/// An arena with room for so many buffers, and no more.
pub(crate) fn arena(buffers: u32, size: usize) -> Result<Arena> {
    let bytes = buffers as usize * size.next_multiple_of(QUANTUM);
    let region = Region::reserve(bytes, Reserve::new());
    let region = region.with_context(|| format!("cannot reserve {bytes} bytes for the buffers"))?;
    Ok(Arena::new(region, QUANTUM)?)
}

impl Buffers {
    pub(crate) fn new(arena: Arena, name: &str, number: u32, size: usize) -> Result<Self> {
        let layout = Layout::from_size_align(size, 1)?;
        let pool = RawPool::builder(layout, number).items_per_page(1).name(name).build(arena)?;
        // All at the start, so that the address space is there, and nobody's wait for a put is
        // counted together with a wait for a page. The kernel backs a buffer when it is used.
        ensure!(pool.prime(number)? == number, "the arena has no room for {number} buffers");
        Ok(Self { pool, size })
    }

    /// Waits in line for a buffer.
    pub(crate) async fn get(&self) -> Result<Buffer<'_>> {
        let memory = self.pool.get_async().await.context("cannot get a buffer")?;
        Ok(Buffer { from: self, memory })
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// How much of the arena so many take up.
    pub(crate) fn bytes(&self, buffers: usize) -> usize {
        buffers * self.size.next_multiple_of(QUANTUM)
    }
}

impl Buffer<'_> {
    /// Reads once, as much as there is and fits. No bytes are the end.
    pub(crate) async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<&[u8]> {
        let memory = self.memory.cast::<MaybeUninit<u8>>().as_ptr();
        // SAFETY: the invariant; nothing is said of what is in there.
        let mut room = unsafe { slice::from_raw_parts_mut(memory, self.from.size) };
        let read = from.read_buf(&mut room).await?;
        // SAFETY: the invariant; and so many bytes were initialised.
        Ok(unsafe { slice::from_raw_parts(self.memory.as_ptr(), read) })
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        // SAFETY: what `read` returned borrows the buffer, which is no more.
        let put = unsafe { self.from.pool.put(self.memory) };
        debug_assert!(put.is_ok(), "by the invariant: {put:?}");
    }
}
