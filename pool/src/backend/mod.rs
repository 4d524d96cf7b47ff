//! Where pages come from.
//!
//! A back-end is asked for a page with a [`Grow`] token in hand and does one of four
//! things, never sleeping longer than its kind allows:
//!
//! - it has a page, or knows that it will have none: it commits and answers at once;
//! - it has none now: it keeps the token, and delivers when it has one ([`Arena`](kva::Arena));
//! - it makes one as somebody drives it, and hands its asker what is to be driven
//!   ([`AsyncFactory`], [`Growers`]);
//! - it sleeps on the caller's thread until it has one ([`Classic`]). Then it commits
//!   *before* it sleeps, and says so by [`SLEEPS`](Backend::SLEEPS): no put can reach that
//!   getter, and the pool falls back on option 3's rule to get it out.
//!
//! A back-end that sleeps although it says that it does not breaks the one thing a pool
//! relies on: the pool serves the getter on its node, and the getter sleeps on inside
//! (NetBSD kern/45718).

use std::alloc::Layout;
use std::ptr::NonNull;

use kva::sync::{Arc, Weak};
use kva::{Answer, Arena, Claim, Clock, Grow, GrowId, GrowTable, Reclaim};

pub(crate) mod arena;
mod async_factory;
mod classic;
mod factory;
mod growers;

pub use async_factory::AsyncFactory;
pub use classic::{ArenaPages, Classic, PageAllocator};
pub use factory::{Factory, ObjectFactory, Place};
pub use growers::{GrowerError, Growers};

/// Where pages come from. Every method is called with no lock of ours held (P8).
///
/// Small adapters compose. This one counts the pages that come and go:
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{AllocError, Answer, Arena, Grow, GrowId, Region, Reserve, Span};
/// use pool::{Backend, Pool};
/// use std::alloc::Layout;
/// use std::ptr::NonNull;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
///
/// struct Counted(Arena, Arc<AtomicI64>);
///
/// // SAFETY: pages are the arena's, which promises the same.
/// unsafe impl Backend for Counted {
///     type Page = Span;
///     type Error = AllocError;
///
///     fn granule(&self) -> Option<usize> {
///         Backend::granule(&self.0)
///     }
///     fn ask(&self, page: Layout, grow: Grow<Span, AllocError>) -> Answer<Span, AllocError> {
///         Backend::ask(&self.0, page, grow)
///     }
///     fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
///         self.0.try_page(page)
///     }
///     fn forget(&self, id: GrowId) {
///         Backend::forget(&self.0, id);
///     }
///     fn release(&self, page: Span, layout: Layout) {
///         self.1.fetch_sub(1, Relaxed);
///         Backend::release(&self.0, page, layout);
///     }
///     // Asked once for each page that comes.
///     fn base(&self, page: &Span) -> NonNull<u8> {
///         self.1.fetch_add(1, Relaxed);
///         Backend::base(&self.0, page)
///     }
/// }
///
/// let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let held = Arc::new(AtomicI64::new(0));
/// let pool = Pool::builder(4, || [0_u8; 4096]).build(Counted(arena, held.clone()))?;
/// drop(pool.get_many(3)?);
/// assert_eq!(held.load(Relaxed), 3);
/// pool.drain();
/// assert_eq!(held.load(Relaxed), 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Safety
/// The memory of a page, as many bytes as were asked for from [`base`](Backend::base) on,
/// aligned as asked, is valid for reads and writes and nobody else's, from when the page
/// is delivered until it is released. Pools hand it out to safe code.
///
/// A pool sees no more of that than where a page starts. If that is not aligned, or is a page that it
/// has already, it panics on the thread that delivers, and the request
/// [fails](crate::GetError::Abandoned). In builds with debug assertions so are pages that
/// overlap, where they start at multiples of the [granule](Backend::granule).
pub unsafe trait Backend: Send + Sync + 'static {
    /// What stands for a page here: what the back-end needs to take it back.
    type Page: Send;
    /// Why there is no page.
    type Error: Send;

    /// Whether [`ask`](Self::ask) may sleep on its caller's thread.
    const SLEEPS: bool = false;
    /// Whether a page is one item that comes with an object in it, made for the request: a
    /// [factory](crate::ObjectFactory). An item that comes back without its object is then
    /// released; and no page is, to serve who is asleep in here, since it would not come again.
    const CREATES: bool = false;
    /// Whether [`release_to`](Self::release_to) hands the page to its heir, or back, so that
    /// nobody else can have it. Matters only where [`SLEEPS`](Self::SLEEPS).
    const CLAIMS: bool = false;

    /// Pages are multiples of this many bytes, a power of two. `None`: there is no memory
    /// here, and no pool can be made of it.
    fn granule(&self) -> Option<usize>;

    /// Asks for a page of `page`'s size and alignment.
    ///
    /// The token is answered at once, or kept and ended later, by any thread. Where it
    /// [sleeps](Self::SLEEPS), until the token's [deadline](Grow::deadline) at most:
    /// [`Answer::Late`].
    fn ask(&self, page: Layout, grow: Grow<Self::Page, Self::Error>) -> Answer<Self::Page, Self::Error>;

    /// A page if there is one right now, without sleeping; `None`: scarce.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    fn try_page(&self, page: Layout) -> Result<Option<Self::Page>, Self::Error>;

    /// A page without an object, for one that the caller brings. Only where a page comes with an
    /// object otherwise ([`CREATES`](Self::CREATES)); `None` elsewhere.
    fn empty_page(&self) -> Option<Self::Page> {
        None
    }

    /// Drops a grow that was withdrawn, if it was asked and is still kept; and what is kept
    /// for a grow that a page was released to, and that has ended.
    fn forget(&self, id: GrowId) {
        let _ = id;
    }

    /// Takes a page back.
    fn release(&self, page: Self::Page, layout: Layout);

    /// Takes a page back for the oldest request of another pool that came before `moment`,
    /// by the [`clock`](Self::clock), if there is one that the page suits. `Some`: there is
    /// none, and the page is still the pool's.
    fn yield_to_older(&self, page: Self::Page, layout: Layout, moment: u64) -> Option<Self::Page> {
        let _ = (layout, moment);
        Some(page)
    }

    /// Takes a page back for the grow `heir`, which is asleep in here and should have it. `Some`:
    /// that one has its answer already, as it was refused or its time was up, and the page is still the
    /// pool's. Only where [`CLAIMS`](Self::CLAIMS): elsewhere nobody can know.
    fn release_to(&self, page: Self::Page, layout: Layout, heir: Claim<'_>) -> Option<Self::Page> {
        let _ = heir;
        self.release(page, layout);
        None
    }

    /// Where the page's memory starts. Must not panic: nobody else knows where a page is.
    fn base(&self, page: &Self::Page) -> NonNull<u8>;

    /// The clock that orders waiters by age, shared with other pools of the same
    /// back-end if they are to be fair to each other.
    fn clock(&self) -> Arc<Clock> {
        Arc::new(Clock::new())
    }

    /// The arena that all pages come from, each as large as was asked for, if that is so: a deadlock
    /// of those that hold spans of it and those that wait for pages is found then
    /// ([`kva::deadlock`]).
    fn arena(&self) -> Option<&Arena> {
        None
    }

    /// A pool was made on this back-end: its requests are those of `table`, and it gives
    /// idle pages back through `pool`.
    fn attach(&self, table: &GrowTable, pool: Weak<dyn Reclaim>) {
        let _ = (table, pool);
    }
}
