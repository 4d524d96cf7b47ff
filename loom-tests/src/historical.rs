//! Protocols that are known to be wrong, as back-ends with a weaker contract.
//!
//! Each breaks one rule that the pool or the arena keeps, and nothing else, so that the
//! model which catches it is shown to check that rule.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::task::{Poll, Waker};
use std::time::Instant;

use kva::sync::{Arc, Mutex, Weak, block_on_until};
use kva::{
    AllocError, Answer, Arena, Claim, Clock, Committed, GrowId, GrowTable, Reclaim, Shape, Span, SpanGrow,
};
use pool::{Backend, PageAllocator};

use crate::backends::Manual;
use crate::record::Recorder;
use crate::world::one;

/// `page` in quanta of the arena.
fn shape_of(arena: &Arena, page: Layout) -> Shape {
    let quantum = arena.quantum();
    let quanta = |bytes: usize| u32::try_from(bytes.div_ceil(quantum)).unwrap_or(u32::MAX);
    Shape::aligned(quanta(page.size()), quanta(page.align())).expect("a layout is a shape")
}

/// Says of a back-end over an arena what is as the arena says it: what all have in common, and
/// the methods that are named.
macro_rules! arena_backend {
    (@ask) => {
        fn ask(&self, page: Layout, grow: SpanGrow) -> Answer<Span, AllocError> {
            Backend::ask(&self.0, page, grow)
        }
    };
    (@forget) => {
        fn forget(&self, id: GrowId) {
            Backend::forget(&self.0, id);
        }
    };
    (@release) => {
        fn release(&self, page: Span, layout: Layout) {
            Backend::release(&self.0, page, layout);
        }
    };
    (@clock) => {
        fn clock(&self) -> Arc<Clock> {
            Backend::clock(&self.0)
        }
    };
    (@attach) => {
        fn attach(&self, table: &GrowTable, pool: Weak<dyn Reclaim>) {
            Backend::attach(&self.0, table, pool);
        }
    };
    ($($method:ident),*) => {
        type Page = Span;
        type Error = AllocError;

        fn granule(&self) -> Option<usize> {
            Backend::granule(&self.0)
        }
        fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
            self.0.try_page(page)
        }
        fn base(&self, page: &Span) -> NonNull<u8> {
            Backend::base(&self.0, page)
        }
        $(arena_backend!(@$method);)*
    };
}

/// NetBSD kern/45718, and deadpool, mobc and others today: the getter sleeps inside its
/// back-end, on its own thread, and nobody says so. A put serves the getter where it
/// does not look.
#[derive(Debug, Clone)]
pub struct SleepsUnreachably(pub Arena);

// SAFETY: pages are spans of an arena.
unsafe impl Backend for SleepsUnreachably {
    arena_backend!(release);

    fn ask(&self, page: Layout, grow: SpanGrow) -> Answer<Span, AllocError> {
        match grow.commit() {
            Err(_withdrawn) => Answer::Withdrawn,
            Ok(committed) => Answer::Now(committed, self.0.alloc(shape_of(&self.0, page))),
        }
    }
}

/// Option 3 as posted, over an allocator as kernels have it: a free makes the span free
/// for anybody, and wakes the sleepers, who look for it (`VM_SLEEP` of vmem(9)). Between
/// the two a thief takes it.
#[derive(Debug, Clone)]
pub struct FreeThenWake {
    arena: Arena,
    sleepers: Arc<Mutex<Sleepers>>,
    recorder: Recorder,
}

#[derive(Debug, Default)]
struct Sleepers {
    /// Frees that sleepers have been told of.
    frees: u64,
    wakers: Vec<Waker>,
    closed: bool,
}

impl FreeThenWake {
    /// Over `arena`, whose own queue is never used.
    #[must_use]
    pub fn new(arena: Arena) -> Self {
        Self::recorded(arena, Recorder::default())
    }

    /// The same, which notes what it does.
    #[must_use]
    pub fn recorded(arena: Arena, recorder: Recorder) -> Self {
        Self { arena, sleepers: Arc::default(), recorder }
    }

    /// A span, sleeping for it as long as it takes.
    ///
    /// # Errors
    /// It was closed.
    ///
    /// # Panics
    /// Never: there is no deadline.
    pub fn alloc_span(&self, shape: Shape) -> Result<Span, AllocError> {
        let recorder = &self.recorder;
        recorder.call("arena", "alloc, and sleep for it");
        let mut seen = None;
        let found = block_on_until(None, |waker| {
            loop {
                if seen.is_some() {
                    recorder.call("arena", "looks again");
                }
                match self.arena.try_alloc(shape) {
                    Err(AllocError::Scarce) => recorder.outcome("arena", "none is free"),
                    other => {
                        recorder.outcome("arena", if other.is_ok() { "a page" } else { "closed" });
                        return Poll::Ready(other);
                    }
                }
                let mut sleepers = self.sleepers.lock();
                if sleepers.closed {
                    recorder.outcome("arena", "closed");
                    return Poll::Ready(Err(AllocError::Closed));
                }
                if seen == Some(sleepers.frees) {
                    sleepers.wakers.push(waker.clone());
                    recorder.note("asleep in the arena");
                    return Poll::Pending;
                }
                // Somebody freed since we looked, or we never noted: look again.
                seen = Some(sleepers.frees);
            }
        });
        found.expect("there is no deadline")
    }

    /// Makes a span free, then wakes everybody who sleeps.
    ///
    /// # Panics
    /// If it is not taken.
    pub fn free_span(&self, span: Span) {
        self.arena.free(span).expect("a span that is taken");
        self.recorder.note_of("arena", "the page is free, for anybody");
        self.wake(|sleepers| sleepers.frees += 1);
    }

    /// Refuses whoever sleeps.
    pub fn close(&self) {
        self.wake(|sleepers| sleepers.closed = true);
    }

    fn wake(&self, change: impl FnOnce(&mut Sleepers)) {
        let wakers = {
            let mut sleepers = self.sleepers.lock();
            change(&mut sleepers);
            std::mem::take(&mut sleepers.wakers)
        };
        for waker in wakers {
            self.recorder.inside("arena", "getter", "wake");
            waker.wake();
        }
    }
}

// SAFETY: pages are spans of an arena.
unsafe impl PageAllocator for FreeThenWake {
    type Error = AllocError;

    fn granule(&self) -> usize {
        self.arena.quantum()
    }
    fn alloc(
        &self,
        page: Layout,
        _: Claim<'_>,
        _: Option<Instant>,
    ) -> Result<Option<NonNull<u8>>, AllocError> {
        let span = self.alloc_span(shape_of(&self.arena, page))?;
        Ok(Some(Backend::base(&self.arena, &span)))
    }
    fn try_alloc(&self, page: Layout) -> Result<Option<NonNull<u8>>, AllocError> {
        let span = self.arena.try_page(page)?;
        Ok(span.map(|span| Backend::base(&self.arena, &span)))
    }
    fn free(&self, base: NonNull<u8>, _: Layout) {
        self.recorder.inside("pool", "arena", "free: a getter sleeps there");
        // SAFETY: the page is the caller's, who gives it back.
        let span = unsafe { self.arena.span_at(base) };
        self.free_span(span.expect("a page starts with a span"));
    }
}

/// Sleeps on its caller's thread without having committed: the request can be withdrawn,
/// and its slot reserved again, while the page is on its way (breaks P1).
#[derive(Debug, Clone)]
pub struct CommitsLate(pub Arena);

// SAFETY: pages are spans of an arena.
unsafe impl Backend for CommitsLate {
    arena_backend!(release);

    fn ask(&self, page: Layout, grow: SpanGrow) -> Answer<Span, AllocError> {
        let span = self.0.alloc(shape_of(&self.0, page));
        match (grow.commit(), span) {
            (Ok(committed), span) => Answer::Now(committed, span),
            (Err(_withdrawn), Ok(span)) => {
                Backend::release(&self.0, span, page);
                Answer::Withdrawn
            }
            (Err(_withdrawn), Err(_)) => Answer::Withdrawn,
        }
    }
}

/// Tells nobody that a request failed (golang/go#10886, the failure exit of `pool_get`):
/// it is lost with its slot.
pub fn tell_nobody(refused: Committed<Span, AllocError>) {
    let _lost = refused.into_id();
}

/// Queues a request without looking whether it was withdrawn on the way, so that a
/// withdrawn one stays behind in the queue for ever.
#[derive(Debug, Clone)]
pub struct QueuesBlindly {
    arena: Arena,
    tokens: Arc<Mutex<Vec<SpanGrow>>>,
}

impl QueuesBlindly {
    /// With nothing queued.
    #[must_use]
    pub fn new(arena: Arena) -> Self {
        Self { arena, tokens: Arc::default() }
    }

    /// How many requests are queued.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.tokens.lock().len()
    }

    /// Drops what is queued.
    pub fn clear(&self) {
        let tokens = std::mem::take(&mut *self.tokens.lock());
        drop(tokens);
    }
}

// SAFETY: pages are spans of an arena.
unsafe impl Backend for QueuesBlindly {
    type Page = Span;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        Backend::granule(&self.arena)
    }
    fn ask(&self, _: Layout, grow: SpanGrow) -> Answer<Span, AllocError> {
        self.tokens.lock().push(grow);
        Answer::Later
    }
    fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
        self.arena.try_page(page)
    }
    fn forget(&self, id: GrowId) {
        let mut tokens = self.tokens.lock();
        let at = tokens.iter().position(|token| token.id() == id);
        let token = at.map(|at| tokens.remove(at));
        drop(tokens);
        drop(token);
    }
    fn release(&self, page: Span, layout: Layout) {
        Backend::release(&self.arena, page, layout);
    }
    fn base(&self, page: &Span) -> NonNull<u8> {
        Backend::base(&self.arena, page)
    }
}

/// Takes a page for the oldest request and only then finds it withdrawn: the page is
/// nobody's.
///
/// # Panics
/// If the arena has none left.
pub fn deliver_taking_first(backend: &Manual) {
    if backend.has_token() {
        let span = backend.arena.try_alloc(one()).expect("the test left a quantum");
        if let Some(committed) = backend.commit() {
            committed.deliver(span);
        }
    }
}

/// Keeps its own time, so that pools of one arena do not know who came first.
#[derive(Debug, Clone)]
pub struct KeepsOwnTime(pub Arena);

// SAFETY: pages are spans of an arena.
unsafe impl Backend for KeepsOwnTime {
    arena_backend!(ask, forget, release);
}

/// Gives a page to whoever has waited longer, whether it is of use there or not.
#[derive(Debug, Clone)]
pub struct YieldsToAnybody(pub Arena);

// SAFETY: pages are spans of an arena.
unsafe impl Backend for YieldsToAnybody {
    arena_backend!(ask, forget, release, clock);

    fn yield_to_older(&self, page: Span, layout: Layout, _: u64) -> Option<Span> {
        Backend::release(&self.0, page, layout);
        None
    }
}

/// Takes pages back and does not free them.
#[derive(Debug, Clone)]
pub struct ReleasesNothing(pub Arena);

// SAFETY: pages are spans of an arena.
unsafe impl Backend for ReleasesNothing {
    arena_backend!(ask, forget);

    fn release(&self, _: Span, _: Layout) {}
}

/// Gives no page to whoever has waited longer elsewhere: two pools that each gather several
/// pages wait for each other's.
#[derive(Debug, Clone)]
pub struct YieldsToNobody(pub Arena);

// SAFETY: pages are spans of an arena.
unsafe impl Backend for YieldsToNobody {
    arena_backend!(ask, forget, release, clock, attach);
}
