//! How frames are made.

use super::memory::Memory;
use super::pin::Rest;
use super::table::Table;
use super::window::Cost;
use super::{Counts, Frames, FramesError, Inner};
use crate::arena::Arena;
use crate::grow::GrowTable;
use crate::region::Region;
use crate::sync::{Arc, Mutex};

/// How [`Frames`] are made; see [`Frames::builder`].
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::Frames;
///
/// let frames = Frames::builder(8).frame_size(16384).primed(true).build()?;
/// assert_eq!(frames.page()?.pin().len(), 16384);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is made until it is built"]
pub struct FramesBuilder {
    frames: u32,
    frame_size: usize,
    bypass: u32,
    protect: bool,
    primed: bool,
}

impl FramesBuilder {
    pub(super) fn new(frames: u32) -> Self {
        Self {
            frames,
            frame_size: rustix::param::page_size(),
            bypass: Arena::DEFAULT_BYPASS,
            protect: cfg!(debug_assertions),
            primed: false,
        }
    }

    /// The size of a frame in bytes, a multiple of the system's page size, which it is by default.
    pub fn frame_size(mut self, bytes: usize) -> Self {
        self.frame_size = bytes;
        self
    }

    /// How many later requests may overtake one that waits, for each frame that it waits for, as in
    /// [`Arena::with_bypass`](crate::Arena::with_bypass).
    pub fn bypass(mut self, bypass: u32) -> Self {
        self.bypass = bypass;
        self
    }

    /// Whether pages are inaccessible while nobody has them pinned, so that a use after the last unpin
    /// faults at once. Costs a system call for each first pin and each last unpin. By default in
    /// builds with debug assertions.
    pub fn protect(mut self, yes: bool) -> Self {
        self.protect = yes;
        self
    }

    /// Whether the memory of all frames is there from the beginning (`fallocate(2)`), so that it cannot
    /// be missing later, when a frame is first used. By default it is not.
    pub fn primed(mut self, yes: bool) -> Self {
        self.primed = yes;
        self
    }

    /// Makes the frames.
    ///
    /// # Errors
    /// The size of a frame is no positive multiple of the system's page size, there are no frames or too
    /// many, or the system has no memory for them.
    pub fn build(self) -> Result<Frames, FramesError> {
        let Self { frames, frame_size, bypass, protect, primed } = self;
        let page = rustix::param::page_size();
        if frame_size == 0 || !frame_size.is_multiple_of(page) {
            return Err(FramesError::FrameSize { bytes: frame_size, page });
        }
        let arena = Arena::with_bypass(Region::numbers(frames), 1, bypass)?;
        let tables = FramesError::Tables(frames);
        let mut costs = Vec::new();
        if costs.try_reserve_exact(frames as usize).is_err() {
            return Err(tables);
        }
        costs.resize(frames as usize, Cost::Nothing);
        let Some(table) = Table::new(frames) else {
            return Err(tables);
        };
        let inner = Arc::new(Inner {
            arena,
            table,
            rest: if protect { Rest::Closed } else { Rest::Open },
            counts: Counts::default(),
            costs: Mutex::new(costs.into()),
            memory: Memory::new(frames, frame_size, primed)?,
        });
        // A table of no requests: what it tells itself from others by is not known of its own.
        let hook = Arc::downgrade(&inner);
        inner.arena.register(&GrowTable::new(0), hook);
        Ok(Frames(inner))
    }
}
