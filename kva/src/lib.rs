//! A bounded, fair allocator of aligned spans.
//!
//! An [`Arena`] hands out *spans*, contiguous runs of *quanta*, by [`Shape`]: a length
//! and an alignment. Behind it is a [`Region`]: reserved address space, memory of
//! yours, or nothing, for an arena of numbers. It never hands out more than it has;
//! who asks for more waits, in order, asleep ([`Arena::alloc`]) or as a token
//! ([`Arena::ask`]).
//!
//! What sets it apart is what a free does. It does not make quanta free and wake
//! somebody who may find them gone: it *grants* them, under one lock, to the request
//! that has waited longest, or to the one it was told to ([`Arena::free_to`]).
//!
//! Requests are [`Grow`] tokens: the promise of exactly one end, which either side can
//! bring about and only one does. The module [`grow`] has the protocol.
//!
//! The vocabulary is that of vmem(9) (Bonwick and Adams, "Magazines and Vmem", USENIX
//! 2001) where it has a word.

mod arena;
#[doc(hidden)]
pub mod bias;
mod clients;
mod clock;
pub mod frames;
pub mod grow;
#[doc(hidden)]
pub mod holds;
#[doc(hidden)]
pub mod list;
#[doc(hidden)]
pub mod panics;
mod placement;
mod region;
mod requests;
mod reserve;
mod shape;
mod space;
mod stats;
#[doc(hidden)]
pub mod sync;

#[cfg(feature = "allocator-api2")]
#[doc(hidden)]
pub use arena::empty_block;
pub use arena::{
    AllocError, Arena, ArenaError, Client, ClientError, FreeError, Heir, Reclaim, Relocate, Relocation,
    Shortage, SpanAtError, SpanGrow,
};
pub use clock::{Clock, NEVER};
pub use frames::{
    Compaction, FrameAllocError, Frames, FramesBuilder, FramesError, FramesStats, Page, PinError, Pinned,
    PinnedMut, Run,
};
pub use grow::{Answer, Claim, Committed, Grow, GrowId, GrowTable, Refusal, Sink, Work};
pub use holds::{client, deadlock};
pub use placement::{Fit, Placement, PlacementError};
pub use region::Region;
pub use reserve::{Decommit, Reserve};
pub use shape::{Shape, ShapeError, Span};
pub use stats::ArenaStats;
