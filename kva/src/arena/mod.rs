//! The arena: a bounded range of quanta, and the requests that wait for them.
//!
//! # The problem
//!
//! An allocator that wakes its sleepers and lets them race for what was freed loses
//! exactly the race that matters: a page freed *for* somebody is taken by a thief
//! before that somebody is awake. So nothing is ever freed for anybody to find: a
//! free looks for its heir under the lock that makes the quanta free, and the span
//! leaves that lock as the heir's.
//!
//! # The shape of it
//!
//! [`Space`](crate::space) knows which quanta are free, [`Requests`](crate::requests)
//! who waits; both are plain data under one lock. Every operation decides under the
//! lock (`state.rs`), notes what is to be done (`todo.rs`), unlocks, and does it: delivers, wakes,
//! refuses. No sink, waker, system call or reclaimer runs under the lock (P8).
//!
//! # Invariants
//!
//! 1. Between two holds of the lock, no waiting request among the first
//!    [`LOOKAHEAD`] that may be granted fits into the free quanta.
//! 2. A request leaves the queue exactly once: granted, refused, forgotten, or given
//!    up by its sleeper. A grow's word is committed before its request is granted or
//!    refused, so that a withdrawn grow is passed over and costs nobody a span.
//! 3. A span in `Todo` is busy in `Space`: nobody can take what is being delivered.
//!
//! # Fairness
//!
//! Requests are granted oldest first. Where the head does not fit, later ones that do
//! may overtake it, as [`try_alloc`](Arena::try_alloc) may, at most `bypass` times;
//! then everything that is freed stays free until the head fits (P4).
//!
//! Holding spans while waiting for more can deadlock under any first-in first-out
//! discipline. Take all you will need at once, or use `try_alloc`.

use std::fmt;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

#[cfg(feature = "allocator-api2")]
mod allocator;
#[cfg(feature = "allocator-api2")]
pub use allocator::empty_block;
mod error;
mod holding;
mod sleeper;
mod state;
mod todo;

pub use error::{AllocError, ArenaError, FreeError, SpanAtError};
use state::{Reclaimer, Reclaimers, State};
use todo::Todo;

use crate::clock::{Clock, NEVER};
use crate::grow::{Answer, Claim, Grow, GrowId, GrowTable};
use crate::holds::{Holders, Holds};
use crate::region::Region;
use crate::requests::{Asker, Requests};
use crate::shape::{Shape, Span};
use crate::space::{Busy, MAX_QUANTA, Space};
use crate::stats::ArenaStats;
use crate::sync::{Arc, LeakCheck, Mutex, MutexGuard, Weak, unique_id};

/// A grow token as arenas take it.
///
/// Here `sink` sends how requests end to the channel `ends`; see [`Sink`](crate::Sink):
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{AllocError, GrowId, Refusal, Sink, Span};
/// # struct Ends(mpsc::Sender<Result<Span, Refusal<AllocError>>>);
/// # impl Sink<Span, AllocError> for Ends {
/// #     fn finish(&self, _: GrowId, end: Result<Span, Refusal<AllocError>>) {
/// #         let _ = self.0.send(end);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// use kva::{Answer, Arena, GrowTable, Region, Shape, SpanGrow};
///
/// let arena = Arena::new(Region::numbers(8), 1)?;
/// let all = arena.try_alloc(Shape::new(8)?)?;
///
/// let table = GrowTable::new(1);
/// let grow: SpanGrow = table.reserve(0, arena.clock().now(), sink);
/// assert!(matches!(arena.ask(Shape::new(2)?, grow), Answer::Later)); // it waits
/// arena.free(all)?; // and is delivered to
/// let span = ends.try_recv()??; // what its sink was told
/// assert_eq!(span.len(), 2);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub type SpanGrow = Grow<Span, AllocError>;

/// Who got a span that was freed to a claim.
///
/// Here `sink` is told how requests end; see [`Sink`](crate::Sink):
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{AllocError, GrowId, Refusal, Sink, Span};
/// # struct Ends(mpsc::Sender<Result<Span, Refusal<AllocError>>>);
/// # impl Sink<Span, AllocError> for Ends {
/// #     fn finish(&self, _: GrowId, end: Result<Span, Refusal<AllocError>>) {
/// #         let _ = self.0.send(end);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// use kva::{Answer, Arena, Claim, GrowTable, Heir, Region, Shape};
///
/// let arena = Arena::new(Region::numbers(2), 1)?;
/// let one = Shape::new(1)?;
/// let (first, second) = (arena.try_alloc(one)?, arena.try_alloc(one)?);
/// let table = GrowTable::new(1);
/// let grow = table.reserve(0, arena.clock().now(), sink);
/// let claim = Claim::new(&table, grow.id());
/// assert_eq!(arena.free_to(claim, first)?, Heir::Claimant); // kept until it comes
/// let Answer::Now(committed, Ok(span)) = arena.ask(one, grow) else { panic!("it was kept") };
/// assert_eq!(arena.free_to(claim, second)?, Heir::Gone); // it has its answer
/// # committed.deliver(span);
/// # assert_eq!(ends.try_recv()??.start(), first.start());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a claim that is gone means that the span is free for anybody"]
pub enum Heir {
    /// The grow it was freed for, which has it or will find it when it comes.
    Claimant,
    /// That grow had its answer already: the span was freed as by [`Arena::free`].
    Gone,
}

/// Gives memory back when an arena is short; see [`Arena::register`].
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::{sync::Arc, time::Duration};
/// # use kva::{Arena, GrowTable, Reclaim, Region, Shape, Span, sync::Mutex};
/// # let arena = Arena::new(Region::numbers(8), 1)?;
/// # let all = Shape::new(8)?;
/// struct Spare(Arena, Mutex<Option<Span>>);
/// impl Reclaim for Spare {
///     fn reclaim(&self, _: Shape) {
///         let Some(span) = self.1.lock().take() else { return }; // and unlock
///         self.0.free(span).expect("it was held");
///     }
/// }
/// let spare = Arc::new(Spare(arena.clone(), Mutex::new(Some(arena.alloc(all)?))));
/// let hook = Arc::downgrade(&spare);
/// arena.register(&GrowTable::new(0), hook); // a table of no requests: it asks for nothing
/// assert!(arena.alloc_timeout(all, Duration::from_secs(10)).is_ok(), "it was given back");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Reclaim: Send + Sync {
    /// Somebody waits for `shape`. Called with no lock held, on the thread of whoever
    /// waits; it should free what it can spare and return soon.
    fn reclaim(&self, shape: Shape);
}

/// A bounded range of quanta from which aligned, contiguous spans are taken.
///
/// Cheap to clone: clones are handles of one arena.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Arena, Region, Reserve, Shape};
///
/// let memory = Region::reserve(1 << 20, Reserve::new())?;
/// let arena = Arena::new(memory, 4096)?;
/// let table = arena.try_alloc(Shape::aligned(4, 4)?)?; // 16 KiB at 16 KiB
/// let start = arena.ptr(table).expect("this arena has memory");
/// assert_eq!(start.addr().get() % 16384, 0);
/// arena.free(table)?;
/// assert!(arena.free(table).is_err(), "a double free is an error and changes nothing");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Arena(Arc<Inner>);

struct Inner {
    id: u32,
    quantum: usize,
    bypass: u32,
    state: Mutex<State>,
    /// What others may know of the queue without the lock.
    clock: Arc<Clock>,
    holds: Holds,
    /// By first quantum.
    holders: Holders,
    _leak: LeakCheck,
    /// Last, so that memory is unmapped when nothing refers to it.
    region: Region,
}

impl Inner {
    const fn span(&self, busy: Busy) -> Span {
        Span { start: busy.start, len: busy.len, serial: busy.serial, arena: self.id }
    }

    /// Backs a span with memory, or frees it again.
    fn commit(&self, span: Span) -> Result<Span, AllocError> {
        match self.region.commit(span, self.quantum) {
            Ok(()) => Ok(span),
            Err(error) => {
                self.change(|state, _| state.space.give(span.busy()));
                Err(AllocError::Commit(error.kind()))
            }
        }
    }

    /// Decides under the lock, acts after it.
    fn change<R>(&self, decide: impl FnOnce(&mut State, &mut Todo<'_>) -> R) -> R {
        let mut todo = Todo::new(self);
        let mut state = self.state.lock();
        let result = decide(&mut state, &mut todo);
        state.settle(&mut todo);
        drop(state);
        todo.act();
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Tells those who may hold memory they don't need that somebody waits for `shape`.
    /// `some`: the first of them, from the hold of the lock that queued the request.
    fn call_reclaimers(&self, shape: Shape, owner: Option<u32>, mut some: Reclaimers) {
        let mut called = 0;
        while !some.is_empty() {
            called += some.len();
            let last = some.remaining_capacity() > 0;
            for reclaimer in some.drain(..).flatten() {
                reclaimer.reclaim(shape);
            }
            if last {
                return;
            }
            some = self.lock().reclaimers_from(called, owner);
        }
    }
}

impl Arena {
    /// How many later requests may overtake a waiting one, unless
    /// [`with_bypass`](Self::with_bypass) says otherwise.
    pub const DEFAULT_BYPASS: u32 = 64;

    /// An arena over the whole of `region`, in quanta of `quantum` bytes.
    ///
    /// # Errors
    /// The quantum is no power of two or smaller than the region's pages, the region is
    /// smaller than a quantum or misaligned, or holds 2^31 quanta or more.
    pub fn new(region: Region, quantum: usize) -> Result<Self, ArenaError> {
        Self::with_bypass(region, quantum, Self::DEFAULT_BYPASS)
    }

    /// As [`new`](Self::new), where a waiting request is overtaken by at most `bypass`
    /// later ones. 0 is strict first-in first-out.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_bypass(region: Region, quantum: usize, bypass: u32) -> Result<Self, ArenaError> {
        let granule = region.granule();
        if region.base().is_none() && quantum != 1 {
            return Err(ArenaError::NumbersQuantum(quantum));
        }
        if !quantum.is_power_of_two() || quantum < granule {
            return Err(ArenaError::Quantum { quantum, granule });
        }
        let base = region.base().map_or(0, |base| base.addr().get());
        if !base.is_multiple_of(quantum) {
            return Err(ArenaError::Misaligned { base, quantum });
        }
        let quanta = region.len() / quantum;
        let n = u32::try_from(quanta).ok().filter(|n| (1..=MAX_QUANTA).contains(n));
        let n = n.ok_or(ArenaError::Size(quanta))?;
        let space = Space::new(n, base / quantum).ok_or(ArenaError::Tables(quanta))?;
        let holders = Holders::new(quanta).ok_or(ArenaError::Tables(quanta))?;
        let arena = Self(Arc::new(Inner {
            id: unique_id(),
            quantum,
            bypass,
            state: Mutex::new(State {
                space,
                requests: Requests::default(),
                reclaimers: Vec::new(),
                published: NEVER,
                closed: false,
            }),
            clock: Arc::new(Clock::new()),
            holds: Holds::new(),
            holders,
            _leak: LeakCheck::new(),
            region,
        }));
        arena.make_known();
        Ok(arena)
    }

    /// The size in quanta.
    pub fn quanta(&self) -> u32 {
        self.0.lock().space.size()
    }

    /// The quantum in bytes; 1 for an arena of numbers.
    pub fn quantum(&self) -> usize {
        self.0.quantum
    }

    /// Whether there is memory behind it, and not just numbers.
    pub fn has_memory(&self) -> bool {
        self.0.region.base().is_some()
    }

    /// Where the memory of `span` starts; `None` for an arena of numbers.
    ///
    /// The pointer is good for reads and writes of the span's bytes while the span is
    /// held and the arena lives.
    ///
    /// # Panics
    /// If `span` is another arena's.
    pub fn ptr(&self, span: Span) -> Option<NonNull<u8>> {
        assert_eq!(span.arena, self.0.id, "{span:?} belongs to another arena");
        let base = self.0.region.base()?;
        NonNull::new(base.as_ptr().wrapping_add(span.start as usize * self.0.quantum))
    }

    /// The span that starts at `address`, for callers that keep addresses only, as the
    /// classic pair of functions does.
    ///
    /// # Errors
    /// The address is not in this arena, or no span that is taken starts there.
    ///
    /// # Safety
    /// The span is the caller's: a span that is another's is not to be freed, since its
    /// memory is in use.
    pub unsafe fn span_at(&self, address: NonNull<u8>) -> Result<Span, SpanAtError> {
        let address = address.addr().get();
        let Some(base) = self.0.region.base() else {
            return Err(SpanAtError::Foreign(address));
        };
        let offset = address.wrapping_sub(base.addr().get());
        if offset >= self.quanta() as usize * self.0.quantum {
            return Err(SpanAtError::Foreign(address));
        }
        let busy = offset
            .is_multiple_of(self.0.quantum)
            .then(|| self.0.lock().space.busy_at((offset / self.0.quantum) as u32))
            .flatten();
        busy.map(|busy| self.0.span(busy)).ok_or(SpanAtError::NotTaken(address))
    }

    /// The clock by which this arena orders who waits for it.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.0.clock
    }

    /// Makes somebody known whose requests are those of `owner`: there is room for all of
    /// them at once from now on, so that queueing them allocates nothing; and `hook` is
    /// called whenever a request has to wait, but for those of `owner`: who asks has
    /// nothing to spare. For as long as `hook` can be upgraded.
    pub fn register(&self, owner: &GrowTable, hook: Weak<dyn Reclaim>) {
        let new = Reclaimer { owner: owner.id(), requests: owner.len() as usize, hook };
        let mut state = self.0.lock();
        let living = state.reclaimers.iter().filter(|other| other.hook.strong_count() > 0);
        let requests = living.map(|other| other.requests).sum::<usize>() + new.requests;
        state.requests.reserve(requests);
        // In a dead one's place: none moves while somebody calls them one by one.
        match state.reclaimers.iter_mut().find(|other| other.hook.strong_count() == 0) {
            Some(dead) => *dead = new,
            None => state.reclaimers.push(new),
        }
    }

    /// Takes a span if one is free and nobody who waits would be overtaken once too often.
    ///
    /// # Errors
    /// [`Scarce`](AllocError::Scarce), or any other [`AllocError`] but `TimedOut`.
    pub fn try_alloc(&self, shape: Shape) -> Result<Span, AllocError> {
        let look = self.0.change(|state, _| state.look(&self.0, shape, NEVER));
        match look {
            Ok(Some(span)) => self.0.commit(span).inspect(|span| self.0.note_got(*span)),
            Ok(None) => Err(AllocError::Scarce),
            Err(error) => Err(error),
        }
    }

    /// Takes a span, sleeping until one is free.
    ///
    /// # Errors
    /// [`TooLarge`](AllocError::TooLarge), [`Closed`](AllocError::Closed) or
    /// [`Commit`](AllocError::Commit).
    pub fn alloc(&self, shape: Shape) -> Result<Span, AllocError> {
        self.alloc_until(shape, None)
    }

    /// Takes a span, sleeping at most `timeout`.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc), and [`TimedOut`](AllocError::TimedOut).
    pub fn alloc_timeout(&self, shape: Shape, timeout: Duration) -> Result<Span, AllocError> {
        self.alloc_until(shape, Instant::now().checked_add(timeout))
    }

    /// Takes a span, sleeping until `deadline`.
    ///
    /// # Errors
    /// As [`alloc_timeout`](Self::alloc_timeout).
    pub fn alloc_deadline(&self, shape: Shape, deadline: Instant) -> Result<Span, AllocError> {
        self.alloc_until(shape, Some(deadline))
    }

    /// Takes a span, sleeping until one is free or is freed to `claim`: what a back-end
    /// that sleeps on its caller's thread calls, once, for a grow it has committed to. One
    /// that fails before it gets here must be [forgotten](Self::forget) when the grow has
    /// [ended](GrowTable::end), or what was freed to it meanwhile stays with it.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc).
    pub fn alloc_claiming(
        &self,
        shape: Shape,
        claim: Claim<'_>,
        deadline: Option<Instant>,
    ) -> Result<Span, AllocError> {
        self.sleep_for(shape, Some(claim), deadline)
    }

    fn alloc_until(&self, shape: Shape, deadline: Option<Instant>) -> Result<Span, AllocError> {
        self.sleep_for(shape, None, deadline)
    }

    /// Asks for a span, and never sleeps: it is granted now, or `grow` waits in the
    /// queue and is delivered to when its turn comes.
    ///
    /// A grow that was withdrawn on its way here is not queued.
    pub fn ask(&self, shape: Shape, grow: SpanGrow) -> Answer<Span, AllocError> {
        let inner = &*self.0;
        let owner = Some(grow.id().table());
        let mut reclaimers = Reclaimers::new();
        let answer = inner.change(|state, todo| {
            if grow.is_withdrawn() {
                // Dropped outside the lock.
                todo.withdrawn.push(grow);
                return Answer::Withdrawn;
            }
            let kept = state.take_kept(inner, grow.claim(), shape);
            let look = kept.map_or_else(|| state.look(inner, shape, grow.asked_at()), |kept| Ok(Some(kept)));
            let end = match look {
                Ok(None) => {
                    let asked_at = grow.asked_at();
                    state.requests.push(shape, asked_at, Asker::Grow(grow));
                    reclaimers = state.reclaimers_from(0, owner);
                    return Answer::Later;
                }
                Ok(Some(span)) => Ok(span),
                Err(error) => Err(error),
            };
            match grow.commit() {
                Ok(committed) => {
                    state.spend(Some(committed.claim()));
                    Answer::Now(committed, end)
                }
                Err(withdrawn) => {
                    todo.withdrawn.push(withdrawn);
                    if let Ok(span) = end {
                        state.space.give(span.busy());
                    }
                    Answer::Withdrawn
                }
            }
        });
        match answer {
            Answer::Now(committed, Ok(span)) => Answer::Now(committed, inner.commit(span)),
            Answer::Later => {
                inner.call_reclaimers(shape, owner, reclaimers);
                Answer::Later
            }
            other => other,
        }
    }

    /// Takes a grow out of the queue that was [withdrawn](GrowTable::withdraw), if it got
    /// there, and lets go what is kept for it; or what is kept for one that was committed
    /// to and has [ended](GrowTable::end).
    ///
    /// Either the asker queued it before this call has the lock, and it is found here; or
    /// the asker gets the lock later, by which it sees the withdrawal, and does not queue it.
    pub fn forget(&self, id: GrowId) {
        self.0.change(|state, todo| {
            state.let_go(id);
            if let Some(at) = state.requests.find_claim(id)
                && matches!(state.requests.asker(at), Asker::Grow(_))
                && let Asker::Grow(grow) = state.requests.remove(at)
            {
                todo.withdrawn.push(grow);
            }
        });
    }

    /// Gives a span back. Whoever has waited longest for something that fits now has it
    /// before this returns.
    ///
    /// # Errors
    /// The span is another arena's, or was freed before. Nothing is changed then.
    pub fn free(&self, span: Span) -> Result<(), FreeError> {
        self.release(span, None).map(|_| ())
    }

    /// Gives a span back to the grow that `claim` names, past everybody else who waits:
    /// the span never is free in between (P3). The grow may be asleep in
    /// [`alloc_claiming`](Self::alloc_claiming), or on its way there, or wait as a token
    /// ([`ask`](Self::ask)). If it has its answer already, or asked for a shape that
    /// `span` does not satisfy, the span is freed as by [`free`](Self::free).
    ///
    /// # Errors
    /// As [`free`](Self::free).
    pub fn free_to(&self, claim: Claim<'_>, span: Span) -> Result<Heir, FreeError> {
        self.release(span, Some(claim))
    }

    /// Gives a span to the oldest request that came before `than` and that it suits: to
    /// that one and nobody else. `Ok(false)`: there is none, nothing was changed, and the
    /// span is still the caller's.
    ///
    /// # Errors
    /// As [`free`](Self::free).
    pub fn yield_to_older(&self, span: Span, than: u64) -> Result<bool, FreeError> {
        let inner = &*self.0;
        if span.arena != inner.id {
            return Err(FreeError::ForeignArena(span));
        }
        inner.note_puts(span);
        inner.change(|state, todo| {
            state.check_held(span)?;
            let Some(at) = state.requests.find_older(than, |shape| state.space.suits(span.busy(), shape))
            else {
                return Ok(false);
            };
            let shape = state.requests.get(at).shape;
            let kept = inner.span(state.space.pass_on(span.busy(), shape));
            if !state.answer(at, Ok(kept), todo) {
                // It was withdrawn just now; what it would have had is free, and granted in turn.
                todo.more = true;
            }
            Ok(true)
        })
    }

    fn release(&self, span: Span, claim: Option<Claim<'_>>) -> Result<Heir, FreeError> {
        let inner = &*self.0;
        if span.arena != inner.id {
            return Err(FreeError::ForeignArena(span));
        }
        inner.note_puts(span);
        let mut span = span;
        if inner.region.decommits() {
            // The system calls run unlocked: the receipt is changed first, so that a second
            // free of the old one is an error all the while.
            span = {
                let mut state = inner.lock();
                state.check_held(span)?;
                let len = Shape::new(span.len).expect("a span is never empty");
                inner.span(state.space.pass_on(span.busy(), len))
            };
            inner.region.decommit(span, inner.quantum);
        }
        inner.change(|state, todo| {
            state.check_held(span)?;
            let Some(claim) = claim else {
                state.space.give(span.busy());
                return Ok(Heir::Gone);
            };
            let Some(at) = state.requests.find_claim(claim.id()) else {
                if claim.is_open() && !state.requests.is_answered(claim.id()) {
                    state.requests.park(claim.id(), span);
                    return Ok(Heir::Claimant);
                }
                state.space.give(span.busy());
                return Ok(Heir::Gone);
            };
            let shape = state.requests.get(at).shape;
            if !state.space.suits(span.busy(), shape) {
                state.space.give(span.busy());
                return Ok(Heir::Gone);
            }
            let kept = inner.span(state.space.pass_on(span.busy(), shape));
            // A token may have been withdrawn and not yet forgotten.
            Ok(if state.answer(at, Ok(kept), todo) { Heir::Claimant } else { Heir::Gone })
        })
    }

    /// Refuses every waiting and every later request with
    /// [`Closed`](AllocError::Closed). Spans can still be freed. Closing twice is once.
    pub fn close(&self) {
        self.0.change(|state, _| state.closed = true);
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// A snapshot; walks the free runs under the lock.
    pub fn stats(&self) -> ArenaStats {
        let state = self.0.lock();
        ArenaStats::of(&state.space, state.requests.waiting())
    }
}

/// A snapshot, taken before anything is written: the writer is the caller's.
impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("Arena")
            .field("id", &self.0.id)
            .field("quantum", &self.0.quantum)
            .field("stats", &stats)
            .finish()
    }
}
