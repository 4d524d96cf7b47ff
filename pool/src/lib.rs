//! A bounded object pool that cannot hang on its own back-end.
//!
//! After NetBSD's pool(9). A pool that has run dry asks its back-end for another page,
//! and the back-end may be scarce too. In an ordinary pool the getter then sleeps
//! *inside the back-end*, and sleeps on although somebody puts an item back a moment
//! later. Here it sleeps on a node of its own, which a put, a page, a deadline and a
//! close all reach; the request stays with the back-end as a token, and is withdrawn
//! when nobody needs it any more.
//!
//! - [`Pool`]: objects, constructed once and kept. [`RawPool`]: memory of one layout.
//! - Each thread keeps free items at hand, for which it takes no lock; whoever is about to wait has
//!   them back first. [`Local`] and [`RawLocal`] are a thread's own handles, a little faster.
//! - [`Request`]: a get with more to say: critical, with a deadline, for several items, as a
//!   future, as a [`Reservation`].
//! - [`pieces`]: buffers that are lists of small items, for those who need no contiguous run.
//! - [`choose`]: waiting for any of several pools, for a span, a moment, a close.
//! - The features `bytes` and `allocator-api2`: items of a [`RawPool`] as buffers that freeze into
//!   `Bytes`, and as the memory of collections.
//! - [`Backend`]: where pages come from. A [`kva::Arena`] is one; [`Classic`] makes one of
//!   the classic pair of functions, `alloc` that may sleep and `free`.
//! - [`Pool::from_factory`]: connections and the like, made on the getter's own thread
//!   ([`Factory`]), on threads of the pool's ([`Growers`]) or by futures ([`AsyncFactory`]).
//! - The feature `hardening`: `Hardening`, for a [`RawPool`] that finds uses after a put, second puts and
//!   overruns.
//! - The feature `tokio`: its clock for async getters with a deadline, its tasks for factories.
//!
//! # Promises
//!
//! The numbers are those that comments and tests cite.
//!
//! - **P1 Bound.** `pages + pending grows <= hard limit`. What threads have cached is inside it.
//! - **P2 Put progress.** While anybody waits, wherever their grow stands, a put makes some
//!   waiter return, or is one of those that the oldest waiter for several items needs, or
//!   fills the reserve; at most `K` puts for each waiter go to later arrivals first. While anybody
//!   sleeps, nothing stays in a thread's cache.
//! - **P3 Claim.** A page freed for a pending grow reaches that grow.
//! - **P4 Bounded bypass.** A waiter is overtaken at most `K` times, from when it is in line: what
//!   other threads take out of their caches before it has them back overtakes nobody. What
//!   critical getters take of the reserve, an ordinary one could not have had.
//! - **P5 Nothing lost.** Timeouts, panics, refusals, closes and the ends of threads leak no item,
//!   page, claim or limit slot, and whoever waits next is woken.
//! - **P6 Rest.** Everything put and drained, the pool holds at most low-water pages and its
//!   reserve, and the arena is whole.
//! - **P7 No allocation.** `get`, `put` and waiting allocate nothing, but for a thread's first
//!   wait, its first contended lock and its first use of a pool that is not scarce, which set up
//!   the thread: the last its cache. Gets of several items allocate the list of them, before they
//!   wait, and [`pieces`] that grow make room in theirs. A factory allocates what it makes and what
//!   is driven for it, a [`timer`](Builder::timer) each sleep; of what is chosen from, what
//!   [`choose`] says.
//! - **P8 Caller code runs unlocked.**
//!
//! Where a back-end sleeps on its caller's thread, P2 and P4 hold as far as [`Classic`] and
//! [`Factory`] say.

#[cfg(feature = "allocator-api2")]
mod allocator;
mod backend;
#[cfg(feature = "bytes")]
mod buffer;
mod builder;
mod cache;
mod cached;
mod carve;
pub mod choose;
mod core;
mod driver;
mod error;
mod getter;
mod grows;
mod guard;
mod handle;
mod hardening;
mod holding;
mod index;
mod knobs;
mod ledger;
mod lend;
mod lending;
mod limits;
mod loan;
mod local;
#[cfg(feature = "metrics")]
mod metrics;
mod object;
mod pages;
pub mod pieces;
mod prime;
mod raw;
mod reclaim;
mod registry;
mod request;
mod reservation;
mod state;
mod stats;
mod timer;
mod todo;
#[cfg(all(feature = "tokio", not(loom)))] // tokio does not build under it
mod tokio;
mod trace;
mod typed;
mod waiter;
mod waits;

pub use backend::{
    ArenaPages, AsyncFactory, Backend, Classic, Factory, GrowerError, Growers, ObjectFactory, PageAllocator,
    Place,
};
#[cfg(feature = "bytes")]
pub use buffer::{Buffer, BufferFull};
pub use builder::{Builder, Created, Objects};
pub use error::{Awaited, ConfigError, ConstructError, GetError, TryGetError};
pub use guard::{Item, OwnedItem};
#[cfg(feature = "hardening")]
pub use hardening::{GuardError, Hardening, Trace, Violation, ViolationKind};
pub use local::{Local, LocalItem, RawLocal};
#[cfg(feature = "metrics")]
pub use metrics::publish_metrics;
pub use pages::PutError;
pub use prime::PrimeError;
pub use raw::RawPool;
pub use registry::{Pools, registered};
pub use request::Request;
pub use reservation::Reservation;
pub use stats::{Failures, PoolStats};
pub use typed::{AttachError, Pool};
pub use waits::WaitStats;

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So do those of the comparison of the four options.
#[cfg(doctest)]
#[doc = include_str!("../../docs/OPTIONS.md")]
struct Options;

/// The guide's examples compile and run, with the features that some of them are about.
#[cfg(all(doctest, feature = "allocator-api2", feature = "bytes", feature = "hardening"))]
#[doc = include_str!("../../docs/GUIDE.md")]
struct Guide;
