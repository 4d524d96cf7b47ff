//! The classic pair of functions, `alloc` that may sleep and `free`, as a back-end.
//!
//! That is `struct pool_allocator` of pool(9). It sleeps on its caller's own thread and
//! knows nothing of tokens, so a put cannot reach a getter inside it. What the pool can
//! do is option 3 of "pools and scarcity": give a page back although it is below its
//! low water, since a grow is pending that will bring it back.
//!
//! Without claims, another client may take the page first. The pool cannot prevent
//! that; it notices, by the getter's coming back with another page or none, and counts
//! it (`stolen`). An allocator that understands claims is told who the page is for.
//!
//! # What holds with it
//!
//! P1, P3 (with claims), P5, P6 and P8 as ever; P7 as far as the allocator keeps it. P2 with a restriction: a put reaches a
//! getter asleep in here only if it frees a whole page; getters that wait in the pool
//! are served by any put. P4 holds among those too, while a getter in here may be
//! overtaken without bound unless the allocator understands claims. If that is not good
//! enough, the answer is a back-end that does not sleep.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::time::Instant;

use kva::sync::{Arc, Weak};
use kva::{AllocError, Answer, Arena, Claim, Clock, Grow, GrowId, GrowTable, Heir, Reclaim};

use super::Backend;
use super::arena::{base_of, shape_of};

/// A classic page allocator: two functions.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::Claim;
/// use pool::{Classic, PageAllocator, RawPool};
/// use std::alloc::{Layout, alloc, dealloc};
/// use std::convert::Infallible;
/// use std::ptr::NonNull;
/// use std::time::Instant;
///
/// struct Heap;
///
/// // SAFETY: the heap hands out each piece of memory once.
/// unsafe impl PageAllocator for Heap {
///     type Error = Infallible;
///
///     fn alloc(
///         &self,
///         page: Layout,
///         _: Claim<'_>,
///         _: Option<Instant>, // it never sleeps
///     ) -> Result<Option<NonNull<u8>>, Infallible> {
///         self.try_alloc(page)
///     }
///     fn try_alloc(&self, page: Layout) -> Result<Option<NonNull<u8>>, Infallible> {
///         // SAFETY: a page is not of size zero.
///         Ok(NonNull::new(unsafe { alloc(page) }))
///     }
///     fn free(&self, base: NonNull<u8>, page: Layout) {
///         // SAFETY: it was allocated above, with this layout.
///         unsafe { dealloc(base.as_ptr(), page) };
///     }
/// }
///
/// let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 1).build(Classic::new(Heap))?;
/// let item = pool.get()?;
/// // SAFETY: nobody uses it.
/// unsafe { pool.put(item) }?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Safety
/// As for [`Backend`]: the memory of a page is nobody else's until it is freed.
pub unsafe trait PageAllocator: Send + Sync + 'static {
    /// Why there is no page.
    type Error: Send;

    /// Whether [`free_to`](Self::free_to) hands the page to its heir, or leaves it with the pool. What
    /// is freed to a request that is on its way to [`alloc`](Self::alloc) must then be kept for it.
    const CLAIMS: bool = false;

    /// The smallest page, a power of two.
    fn granule(&self) -> usize {
        4096
    }

    /// A page, sleeping for it as long as it takes. `claim` names the request: what is
    /// freed to it meanwhile should be what this returns. `None`: there was none before
    /// `deadline`, which those who wait at most so long rely on.
    ///
    /// # Errors
    /// There is none and will be none.
    fn alloc(
        &self,
        page: Layout,
        claim: Claim<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<NonNull<u8>>, Self::Error>;

    /// A page if there is one right now (`PR_NOWAIT`).
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc).
    fn try_alloc(&self, page: Layout) -> Result<Option<NonNull<u8>>, Self::Error>;

    /// Takes a page back.
    fn free(&self, base: NonNull<u8>, page: Layout);

    /// Drops what is kept for a request that has ended. Only where
    /// [`CLAIMS`](Self::CLAIMS).
    fn forget(&self, id: GrowId) {
        let _ = id;
    }

    /// As [`Backend::clock`].
    fn clock(&self) -> Arc<Clock> {
        Arc::new(Clock::new())
    }

    /// As [`Backend::arena`].
    fn arena(&self) -> Option<&Arena> {
        None
    }

    /// As [`Backend::attach`].
    fn attach(&self, table: &GrowTable, pool: Weak<dyn Reclaim>) {
        let _ = (table, pool);
    }

    /// Takes a page back for the request that sleeps with `claim`. [`Heir::Gone`]: that one has its
    /// answer already, and the page was not taken. Only where [`CLAIMS`](Self::CLAIMS): elsewhere
    /// nobody can know.
    fn free_to(&self, base: NonNull<u8>, page: Layout, claim: Claim<'_>) -> Heir {
        let _ = claim;
        self.free(base, page);
        Heir::Claimant
    }
}

/// Makes a back-end of a [`PageAllocator`].
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{ArenaPages, Classic, Pool};
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(4, || 0_u64).build(Classic::new(ArenaPages(arena)))?;
/// *pool.get()? += 1;
/// assert_eq!(*pool.get()?, 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Classic<A>(A);

impl<A: PageAllocator> Classic<A> {
    /// Pages from `allocator`.
    pub const fn new(allocator: A) -> Self {
        Self(allocator)
    }
}

/// The start of a page that a [`PageAllocator`] handed out.
#[derive(Debug)]
pub struct ClassicPage(NonNull<u8>);

// SAFETY: an address; whoever holds it may free it, from any thread, as
// `PageAllocator: Sync` allows.
unsafe impl Send for ClassicPage {}

// SAFETY: the pages are the allocator's, which promises the same.
unsafe impl<A: PageAllocator> Backend for Classic<A> {
    type Page = ClassicPage;
    type Error = A::Error;

    const SLEEPS: bool = true;
    const CLAIMS: bool = A::CLAIMS;

    fn granule(&self) -> Option<usize> {
        Some(self.0.granule())
    }

    fn ask(&self, page: Layout, grow: Grow<ClassicPage, A::Error>) -> Answer<ClassicPage, A::Error> {
        let deadline = grow.deadline();
        // Once asleep it cannot be withdrawn, so it commits before.
        let Ok(committed) = grow.commit() else {
            return Answer::Withdrawn;
        };
        match self.0.alloc(page, committed.claim(), deadline) {
            Ok(Some(base)) => Answer::Now(committed, Ok(ClassicPage(base))),
            Ok(None) => Answer::Late(committed),
            Err(error) => Answer::Now(committed, Err(error)),
        }
    }

    fn try_page(&self, page: Layout) -> Result<Option<ClassicPage>, A::Error> {
        Ok(self.0.try_alloc(page)?.map(ClassicPage))
    }

    fn release(&self, page: ClassicPage, layout: Layout) {
        self.0.free(page.0, layout);
    }

    fn release_to(&self, page: ClassicPage, layout: Layout, heir: Claim<'_>) -> Option<ClassicPage> {
        let taken = self.0.free_to(page.0, layout, heir) == Heir::Claimant;
        if taken { None } else { Some(page) }
    }

    fn base(&self, page: &ClassicPage) -> NonNull<u8> {
        page.0
    }

    fn forget(&self, id: GrowId) {
        self.0.forget(id);
    }

    fn clock(&self) -> Arc<Clock> {
        self.0.clock()
    }

    fn arena(&self) -> Option<&Arena> {
        self.0.arena()
    }

    fn attach(&self, table: &GrowTable, pool: Weak<dyn Reclaim>) {
        self.0.attach(table, pool);
    }
}

/// An arena behind the classic pair of functions, with claims.
///
/// For code that must sleep on the getter's own thread. Elsewhere use the arena itself
/// as the back-end: it sleeps nowhere, and every put reaches every waiter.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{ArenaPages, PageAllocator};
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// assert!(ArenaPages::CLAIMS); // what is freed to a getter asleep in there reaches it
/// assert_eq!(ArenaPages(arena).granule(), 4096);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ArenaPages(pub Arena);

// SAFETY: as for `Arena` as a back-end.
unsafe impl PageAllocator for ArenaPages {
    type Error = AllocError;

    const CLAIMS: bool = true;

    fn granule(&self) -> usize {
        self.0.quantum()
    }

    fn alloc(
        &self,
        page: Layout,
        claim: Claim<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<NonNull<u8>>, AllocError> {
        match self.0.alloc_claiming(shape_of(&self.0, page), claim, deadline) {
            Ok(span) => Ok(Some(base_of(&self.0, span))),
            Err(AllocError::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn try_alloc(&self, page: Layout) -> Result<Option<NonNull<u8>>, AllocError> {
        let span = Backend::try_page(&self.0, page)?;
        Ok(span.map(|span| base_of(&self.0, span)))
    }

    fn forget(&self, id: GrowId) {
        self.0.forget(id);
    }

    fn clock(&self) -> Arc<Clock> {
        self.0.clock().clone()
    }

    fn arena(&self) -> Option<&Arena> {
        Some(&self.0)
    }

    fn attach(&self, table: &GrowTable, pool: Weak<dyn Reclaim>) {
        self.0.register(table, pool);
    }

    fn free(&self, base: NonNull<u8>, _: Layout) {
        // SAFETY: the page is ours: the pool gives it back.
        let span = unsafe { self.0.span_at(base) };
        let freed = span.map(|span| self.0.free(span));
        debug_assert_eq!(freed, Ok(Ok(())), "a pool gives back what it was given, once");
    }

    fn free_to(&self, base: NonNull<u8>, _: Layout, claim: Claim<'_>) -> Heir {
        // SAFETY: the page is ours: the pool gives it back.
        let span = unsafe { self.0.span_at(base) };
        let freed = span.map(|span| self.0.free_to(claim, span));
        debug_assert!(matches!(freed, Ok(Ok(_))), "a pool gives back what it was given, once: {freed:?}");
        // What is not the pool's to give has gone.
        freed.ok().and_then(Result::ok).unwrap_or(Heir::Claimant)
    }
}
