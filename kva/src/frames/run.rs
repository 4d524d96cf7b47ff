//! A run: frames that are contiguous, aligned, and stay where they are.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::slice;

use super::memory::Memory;
use super::{FrameAllocError, Inner};
use crate::shape::Span;
use crate::sync::Arc;

/// Frames that are contiguous and aligned, and wired: they are not moved. Its bytes are at first what
/// the last owners of its frames left there.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Frames, Shape};
///
/// let frames = Frames::new(16)?;
/// let mut table = frames.run(Shape::aligned(4, 4)?)?; // as an ARM has it, level 1
/// assert_eq!(table.frames().start % 4, 0);
/// assert_eq!(table.len(), 4 * frames.frame_size());
/// table.fill(0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a run frees it"]
pub struct Run {
    inner: Arc<Inner>,
    span: Span,
    bytes: NonNull<[u8]>,
}

// SAFETY: the bytes are the run's alone, and are reached through it only.
unsafe impl Send for Run {}
// SAFETY: as above; by a shared reference they are only read.
unsafe impl Sync for Run {}

impl Run {
    /// The run of `span`.
    pub(super) fn new(inner: Arc<Inner>, span: Span) -> Result<Self, FrameAllocError> {
        inner.table.wire(span);
        match inner.memory.map_run(span.range()) {
            Ok(bytes) => Ok(Self { inner, span, bytes }),
            Err(error) => {
                inner.table.clear(span);
                inner.free(span);
                Err(FrameAllocError::Map(error.kind()))
            }
        }
    }

    /// Which frames.
    pub fn frames(&self) -> Range<u32> {
        self.span.range()
    }
}

impl Deref for Run {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is this run's until it is dropped, and so are its frames.
        unsafe { slice::from_raw_parts(self.bytes.cast().as_ptr(), self.bytes.len()) }
    }
}

impl DerefMut for Run {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and this is the only reference.
        unsafe { slice::from_raw_parts_mut(self.bytes.cast().as_ptr(), self.bytes.len()) }
    }
}

impl AsRef<[u8]> for Run {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Run {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("frames", &self.frames()).finish_non_exhaustive()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        Memory::unmap_run(self.bytes);
        self.inner.table.clear(self.span);
        self.inner.free(self.span);
    }
}
