//! Frames: memory that is moved without its address changing.
//!
//! # The problem
//!
//! An ARM pmap needs aligned, contiguous runs of page frames for its tables. The page daemon sees
//! enough free frames and goes back to sleep, although there is no run: they are scattered. But
//! most of what is in the way is not *wired*. Nobody cares which frame it is in, as long as its
//! virtual address stays the same. So it can be moved out of the way.
//!
//! # The shape of it
//!
//! [`Frames`] are the frames of one file in memory (`memory.rs`), numbered by an [`Arena`], in which
//! requests wait as in any other. A [`Page`] is a frame's worth of bytes that may be in any
//! of them: it is *pinned* while somebody looks at it, and may be moved while nobody does. A [`Run`] is
//! frames side by side, and wired. When a run has to wait, pages are moved out of the window that
//! it is to have (`mover.rs`).
//!
//! | file | owns |
//! | --- | --- |
//! | `pin.rs` | the word of each page: pinned, moving, accessible. Pure |
//! | `gate.rs` | what is done on the strength of it, and the waiting |
//! | `table.rs` | who is in which frame |
//! | `window.rs` | which run is cheapest to clear. Pure |
//! | `mover.rs` | clearing it |
//! | `memory.rs` | the file, the mappings, all system calls |
//! | `page.rs`, `run.rs` | what callers have |
//!
//! # Protection
//!
//! A pointer that outlives its pin is a bug that shows only if the page is moved just then. So in
//! builds with debug assertions pages are inaccessible while nobody has them pinned, at the cost
//! of two system calls for each first pin; see [`FramesBuilder::protect`].
//!
//! # What it does not do
//!
//! What a frame has in it is not cleared when it changes hands. A process that forks shares the
//! frames with its child, which must use neither pages nor runs: each of the two would move them
//! under the other.

mod builder;
mod error;
#[doc(hidden)]
pub mod gate;
mod hook;
mod memory;
mod mover;
mod page;
#[doc(hidden)]
pub mod pin;
mod run;
mod table;
mod window;

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

pub use builder::FramesBuilder;
pub use error::{FrameAllocError, FramesError, PinError};
use memory::Memory;
pub use mover::Compaction;
pub use page::{Page, Pinned, PinnedMut};
use pin::Rest;
pub use run::Run;
use table::Table;
use window::Cost;

use crate::arena::{AllocError, Arena};
use crate::shape::{Shape, Span};
use crate::stats::ArenaStats;
use crate::sync::unseen::AtomicU64;
use crate::sync::{Arc, Mutex};

/// Frames of memory, in which there are [pages](Page) that can be moved, and [runs](Run) that
/// cannot.
///
/// Cheap to clone: clones are handles of the same frames, which are there until the last handle,
/// page and run is gone.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Frames, Shape};
///
/// let frames = Frames::new(64)?;
/// // Every second frame is in use: half of them are free, and no two of these side by side.
/// let mut pages = (0..64).map(|_| frames.page()).collect::<Result<Vec<_>, _>>()?;
/// pages.retain(|page| page.frame() % 2 == 0);
/// let addresses: Vec<_> = pages.iter().map(|page| page.address()).collect();
///
/// let run = frames.run(Shape::aligned(16, 16)?)?; // what was in there is elsewhere now
/// assert!(pages.iter().all(|page| !run.frames().contains(&page.frame())));
/// assert!(pages.iter().map(|page| page.address()).eq(addresses));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Frames(Arc<Inner>);

/// What all handles, pages and runs share.
pub(super) struct Inner {
    arena: Arena,
    table: Table,
    /// How a page is while nobody has it pinned.
    rest: Rest,
    counts: Counts,
    /// What a search for a window counts with: nothing is allocated while memory is scarce.
    costs: Mutex<Box<[Cost]>>,
    memory: Memory,
}

#[derive(Debug, Default)]
struct Counts {
    moved: AtomicU64,
    kept: AtomicU64,
    refused: AtomicU64,
}

/// A snapshot of [`Frames`].
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::Frames;
///
/// let frames = Frames::new(2)?;
/// let page = frames.page()?;
/// frames.compact(page.frame()..page.frame() + 1);
/// let stats = frames.stats();
/// assert_eq!((stats.moved, stats.arena.free), (1, 1));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FramesStats {
    /// What the arena of the frames says, whose quanta are frames.
    pub arena: ArenaStats,
    /// How many pages were ever moved.
    pub moved: u64,
    /// How often one was to be moved and was pinned.
    pub kept: u64,
    /// How often one was to be moved and the system did not map the copy.
    pub refused: u64,
}

/// How long somebody would wait for frames.
#[derive(Clone, Copy)]
enum Patience {
    None,
    Until(Option<Instant>),
}

impl Patience {
    fn of(timeout: Duration) -> Self {
        Self::Until(Instant::now().checked_add(timeout))
    }
}

impl Inner {
    /// Gives frames back to the arena.
    fn give(&self, span: Span) {
        let freed = self.arena.free(span);
        debug_assert!(freed.is_ok(), "{freed:?}");
    }

    /// Gives frames back, and makes room again for who waits, if it was this that was missing.
    fn free(&self, span: Span) {
        self.give(span);
        self.kick_if_short();
    }

    fn alloc(&self, shape: Shape, patience: Patience) -> Result<Span, AllocError> {
        match patience {
            Patience::None => self.arena.try_alloc(shape),
            Patience::Until(None) => self.arena.alloc(shape),
            Patience::Until(Some(deadline)) => self.arena.alloc_deadline(shape, deadline),
        }
    }
}

impl Frames {
    /// So many frames, each of the system's page size. They are numbered from 0.
    ///
    /// # Errors
    /// There are to be none, or too many; or the system has no memory for them.
    pub fn new(frames: u32) -> Result<Self, FramesError> {
        Self::builder(frames).build()
    }

    /// So many frames, and how.
    pub fn builder(frames: u32) -> FramesBuilder {
        FramesBuilder::new(frames)
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0.arena.quanta()
    }

    /// The size of each in bytes.
    pub fn frame_size(&self) -> usize {
        self.0.memory.frame_size()
    }

    fn get_page(&self, patience: Patience) -> Result<Page, FrameAllocError> {
        let one = Shape::new(1).expect("not zero");
        Page::new(self.0.clone(), self.0.alloc(one, patience)?)
    }

    /// A page, waiting until a frame is free.
    ///
    /// # Errors
    /// The frames were [closed](Self::close), or the page cannot be mapped.
    pub fn page(&self) -> Result<Page, FrameAllocError> {
        self.get_page(Patience::Until(None))
    }

    /// A page, if a frame is free.
    ///
    /// # Errors
    /// As [`page`](Self::page), and [`AllocError::Scarce`].
    pub fn try_page(&self) -> Result<Page, FrameAllocError> {
        self.get_page(Patience::None)
    }

    /// A page, waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`page`](Self::page), and [`AllocError::TimedOut`].
    pub fn page_timeout(&self, timeout: Duration) -> Result<Page, FrameAllocError> {
        self.get_page(Patience::of(timeout))
    }

    /// A page, waiting until `deadline`.
    ///
    /// # Errors
    /// As [`page_timeout`](Self::page_timeout).
    pub fn page_deadline(&self, deadline: Instant) -> Result<Page, FrameAllocError> {
        self.get_page(Patience::Until(Some(deadline)))
    }

    fn get_run(&self, shape: Shape, patience: Patience) -> Result<Run, FrameAllocError> {
        Run::new(self.0.clone(), self.0.alloc(shape, patience)?)
    }

    /// A run of `shape`, in frames. Pages are moved out of its way; waits for what is pinned or wired, and
    /// for others who came before.
    ///
    /// # Errors
    /// The shape does not fit into all frames there are, they were [closed](Self::close), or the run
    /// cannot be mapped.
    pub fn run(&self, shape: Shape) -> Result<Run, FrameAllocError> {
        self.get_run(shape, Patience::Until(None))
    }

    /// A run of `shape`, if it can be had without waiting for anybody. Pages are moved out of its
    /// way.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`AllocError::Scarce`].
    pub fn try_run(&self, shape: Shape) -> Result<Run, FrameAllocError> {
        match self.get_run(shape, Patience::None) {
            Err(FrameAllocError::Alloc(AllocError::Scarce)) => {}
            done => return done,
        }
        self.0.clear_for(shape);
        self.get_run(shape, Patience::None)
    }

    /// A run of `shape`, as [`run`](Self::run), waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`AllocError::TimedOut`].
    pub fn run_timeout(&self, shape: Shape, timeout: Duration) -> Result<Run, FrameAllocError> {
        self.get_run(shape, Patience::of(timeout))
    }

    /// A run of `shape`, as [`run`](Self::run), waiting until `deadline`.
    ///
    /// # Errors
    /// As [`run_timeout`](Self::run_timeout).
    pub fn run_deadline(&self, shape: Shape, deadline: Instant) -> Result<Run, FrameAllocError> {
        self.get_run(shape, Patience::Until(Some(deadline)))
    }

    /// Moves the pages out of `window`, in frames, as far as they are not pinned and there are free frames
    /// elsewhere. What is outside of all frames is empty.
    ///
    /// What is emptied is free for anybody; who wants a run asks for [one](Self::run), and it is kept
    /// for it.
    pub fn compact(&self, window: Range<u32>) -> Compaction {
        let end = window.end.min(self.count());
        self.0.compact(window.start.min(end)..end)
    }

    /// Refuses every waiting and every later request for pages and runs with
    /// [`AllocError::Closed`]. Those there are stay as they are.
    pub fn close(&self) {
        self.0.arena.close();
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.0.arena.is_closed()
    }

    /// A snapshot.
    pub fn stats(&self) -> FramesStats {
        let Counts { moved, kept, refused } = &self.0.counts;
        FramesStats {
            arena: self.0.arena.stats(),
            moved: moved.get(),
            kept: kept.get(),
            refused: refused.get(),
        }
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("Frames").field("frame_size", &self.frame_size()).field("stats", &stats).finish()
    }
}
