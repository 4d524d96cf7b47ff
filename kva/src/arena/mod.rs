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
//! 4. There is a window only while there is a head, and it is the head's.
//!
//! # Fairness
//!
//! Requests are granted oldest first. Where the head does not fit, it has a claim on a
//! *window*: the run of its shape with the least busy inside. What is free in there is
//! withheld from everybody else, so that small requests cannot starve a large one; it moves when
//! what is freed makes a better one. Later requests that fit elsewhere may overtake the head, as
//! [`try_alloc`](Arena::try_alloc) may, at most `bypass` times a quantum of its length; then
//! everything that is freed stays free until the head fits (P4).
//!
//! Holding spans while waiting for more can deadlock under any first-in first-out
//! discipline. Take all you will need at once, or use `try_alloc`.

use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

#[cfg(feature = "allocator-api2")]
mod allocator;
#[cfg(feature = "allocator-api2")]
pub use allocator::empty_block;
mod client;
mod error;
mod holding;
mod inner;
mod kept;
mod reclaim;
mod regions;
mod relocate;
mod sleeper;
mod state;
mod todo;

pub use client::{Client, ClientError};
pub use error::{AllocError, ArenaError, FreeError, SpanAtError};
use inner::Inner;
use kept::Kept;
pub use reclaim::{Reclaim, Shortage};
use regions::Place;
pub use relocate::{Relocate, Relocation};
pub use sleeper::Alloc;

use crate::clients::NOBODY;
use crate::clock::{Clock, NEVER};
use crate::grow::{Answer, Claim, Grow, GrowId};
use crate::placement::Placement;
use crate::region::Region;
use crate::requests::{Asker, Request};
use crate::shape::{Shape, Span};
use crate::space::Runs;
use crate::stats::ArenaStats;
use crate::sync::Arc;

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
#[must_use = "a span whose heir is gone is still the caller's"]
pub enum Heir {
    /// The grow it was freed for, which has it or will find it when it comes.
    Claimant,
    /// Nobody: that grow had its answer already, or has no use for the span, which is still its
    /// former owner's.
    Gone,
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
pub struct Arena {
    /// Whose handle this is; `None`: of nobody in particular. First, since it refers to the other.
    client: Option<Arc<client::Account>>,
    inner: Arc<Inner>,
}

impl Arena {
    /// How many later requests may overtake a waiting one, for each quantum that it waits for,
    /// unless [`with_bypass`](Self::with_bypass) says otherwise.
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
    /// later ones for each quantum of its length. 0 is strict first-in first-out.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_bypass(region: Region, quantum: usize, bypass: u32) -> Result<Self, ArenaError> {
        let inner = Inner::new(region, quantum, bypass)?;
        let arena = Self { client: None, inner };
        arena.make_known();
        Ok(arena)
    }

    /// Adds a region, whose quanta come after those there are; which they are. Spans do not
    /// reach from one region into another. Who waits is served from it before this returns.
    ///
    /// # Errors
    /// As [`new`](Self::new), and if one has memory and the other has not.
    pub fn add_region(&self, region: Region) -> Result<Range<u32>, ArenaError> {
        let inner = &*self.inner;
        if region.base().is_some() != self.has_memory() {
            return Err(ArenaError::Mixed);
        }
        let runs = regions::runs(&region, inner.quantum)?;
        // What is not added is dropped unlocked.
        let (mut place, mut runs) = (Some(Place::new(region, inner.quantum)?), Some(runs));
        inner.change(|state, _| {
            let first = state.space.size();
            let end = regions::sum(first, runs.as_ref().map_or(0, Runs::size))?;
            // Before anybody has a span of it.
            inner.regions.add(&mut place, first)?;
            runs.take().map(|runs| state.space.add(runs));
            Ok(first..end)
        })
    }

    /// The size in quanta.
    pub fn quanta(&self) -> u32 {
        self.inner.lock().space.size()
    }

    /// The quantum in bytes; 1 for an arena of numbers.
    pub fn quantum(&self) -> usize {
        self.inner.quantum
    }

    /// Whether there is memory behind it, and not just numbers.
    pub fn has_memory(&self) -> bool {
        self.inner.regions.have_memory()
    }

    /// Where the memory of `span` starts; `None` for an arena of numbers.
    ///
    /// The pointer is good for reads and writes of the span's bytes while the span is
    /// held and the arena lives.
    ///
    /// # Panics
    /// If `span` is another arena's.
    pub fn ptr(&self, span: Span) -> Option<NonNull<u8>> {
        assert_eq!(span.arena, self.inner.id, "{span:?} belongs to another arena");
        self.inner.regions.address(span.start, self.inner.quantum)
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
        let quantum = self.inner.regions.quantum_at(address, self.inner.quantum);
        let start = quantum.ok_or(SpanAtError::Foreign(address))?;
        let busy = start.ok().and_then(|start| self.inner.lock().space.busy_at(start));
        busy.map(|busy| self.inner.span(busy)).ok_or(SpanAtError::NotTaken(address))
    }

    /// The clock by which this arena orders who waits for it. A [client's](Self::client) also knows
    /// of its own that wait for its quota.
    pub fn clock(&self) -> &Arc<Clock> {
        self.client.as_ref().map_or(&self.inner.clock, |account| account.clock())
    }

    /// Takes a span if one is free and nobody who waits would be overtaken once too often.
    ///
    /// # Errors
    /// [`Scarce`](AllocError::Scarce), or any other [`AllocError`] but `TimedOut`.
    pub fn try_alloc(&self, placement: impl Into<Placement>) -> Result<Span, AllocError> {
        let (inner, client, placement) = (&*self.inner, self.client_id(), placement.into());
        let mut state = inner.lock();
        let Some(busy) = state.take_at_rest(&placement, client) else {
            return inner.look(state, &placement, client).inspect(|span| inner.note_got(*span));
        };
        drop(state);
        inner.commit(inner.span(busy)).inspect(|span| inner.note_got(*span))
    }

    /// Takes just these quanta, if they are free and nobody who waits would be overtaken once too
    /// often.
    ///
    /// # Errors
    /// As [`try_alloc`](Self::try_alloc), and [`Outside`](AllocError::Outside): they are not in
    /// this arena, or none.
    pub fn try_alloc_at(&self, quanta: Range<u32>) -> Result<Span, AllocError> {
        let (inner, client) = (&*self.inner, self.client_id());
        let taken = inner.change(|state, _| {
            let (size, Range { start, end }) = (state.space.size(), quanta.clone());
            let shape = Shape::new(end.saturating_sub(start)).ok().filter(|_| end <= size);
            let shape = shape.ok_or(AllocError::Outside { start, end, quanta: size })?;
            if state.closed {
                return Err(AllocError::Closed);
            }
            state.check_quota(shape, client)?;
            if !state.may_take(shape.len(), client, NEVER) {
                return Err(AllocError::Scarce);
            }
            let taken = state.take_at(&quanta, client);
            if taken.is_some() {
                state.requests.note_pass(NEVER);
            }
            taken.map(|busy| Kept::new(inner, inner.span(busy))).ok_or(AllocError::Scarce)
        });
        inner.commit(taken?.into_span()).inspect(|span| inner.note_got(*span))
    }

    /// Takes a span, sleeping until one is free.
    ///
    /// # Errors
    /// [`TooLarge`](AllocError::TooLarge), [`Closed`](AllocError::Closed) or
    /// [`Commit`](AllocError::Commit).
    pub fn alloc(&self, placement: impl Into<Placement>) -> Result<Span, AllocError> {
        self.alloc_until(placement.into(), None)
    }

    /// Takes a span, sleeping at most `timeout`.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc), and [`TimedOut`](AllocError::TimedOut).
    pub fn alloc_timeout(
        &self,
        placement: impl Into<Placement>,
        timeout: Duration,
    ) -> Result<Span, AllocError> {
        self.alloc_until(placement.into(), Instant::now().checked_add(timeout))
    }

    /// Takes a span, sleeping until `deadline`.
    ///
    /// # Errors
    /// As [`alloc_timeout`](Self::alloc_timeout).
    pub fn alloc_deadline(
        &self,
        placement: impl Into<Placement>,
        deadline: Instant,
    ) -> Result<Span, AllocError> {
        self.alloc_until(placement.into(), Some(deadline))
    }

    /// Takes a span, sleeping until one is free or is freed to `claim`: what a back-end
    /// that sleeps on its caller's thread calls, once, for a grow it has committed to. One
    /// that fails before it gets here must be [forgotten](Self::forget) when the grow has
    /// [ended](crate::GrowTable::end), or what was freed to it meanwhile stays with it.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc).
    pub fn alloc_claiming(
        &self,
        placement: impl Into<Placement>,
        claim: Claim<'_>,
        deadline: Option<Instant>,
    ) -> Result<Span, AllocError> {
        self.sleep_for(placement.into(), Some(claim), deadline)
    }

    fn alloc_until(&self, placement: Placement, deadline: Option<Instant>) -> Result<Span, AllocError> {
        self.sleep_for(placement, None, deadline)
    }

    /// Asks for a span, and never sleeps: it is granted now, or `grow` waits in the
    /// queue and is delivered to when its turn comes.
    ///
    /// A grow that was withdrawn on its way here is not queued.
    pub fn ask(&self, placement: impl Into<Placement>, grow: SpanGrow) -> Answer<Span, AllocError> {
        let (inner, client, placement) = (&*self.inner, self.client_id(), placement.into());
        let answer = inner.change(|state, todo| {
            if grow.is_withdrawn() {
                // Dropped outside the lock.
                todo.withdrawn.push(grow);
                return Err(Answer::Withdrawn);
            }
            let kept = state.take_kept(inner, grow.claim(), &placement, client);
            let look = kept.map_or_else(
                || state.look(inner, &placement, client, grow.asked_at()),
                |kept| Ok(Some(kept)),
            );
            let end = match look {
                Ok(None) => {
                    state.queue(inner, placement, grow.asked_at(), client, Asker::Grow(grow));
                    return Err(Answer::Later);
                }
                Ok(Some(span)) => Ok(span),
                Err(error) => Err(error),
            };
            match grow.commit() {
                Ok(committed) => {
                    state.spend(Some(committed.claim()));
                    Ok((committed, end.map(|span| Kept::new(inner, span))))
                }
                Err(withdrawn) => {
                    todo.withdrawn.push(withdrawn);
                    if let Ok(span) = end {
                        state.give(span.busy());
                    }
                    Err(Answer::Withdrawn)
                }
            }
        });
        match answer {
            Ok((committed, end)) => {
                Answer::Now(committed, end.and_then(|kept| inner.commit(kept.into_span())))
            }
            Err(other) => other,
        }
    }

    /// Takes a grow out of the queue that was [withdrawn](crate::GrowTable::withdraw), if it got
    /// there, and lets go what is kept for it; or what is kept for one that was committed
    /// to and has [ended](crate::GrowTable::end).
    ///
    /// Either the asker queued it before this call has the lock, and it is found here; or
    /// the asker gets the lock later, by which it sees the withdrawal, and does not queue it.
    pub fn forget(&self, id: GrowId) {
        self.inner.change(|state, todo| {
            state.requests.let_go(id);
            if let Some(at) = state.requests.find_claim(id)
                && matches!(state.requests.asker(at), Asker::Grow(_))
                && let Asker::Grow(grow) = state.dequeue(at)
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
    #[inline]
    pub fn free(&self, span: Span) -> Result<(), FreeError> {
        self.inner.release(span)
    }

    /// Gives a span back to the grow that `claim` names, past everybody else who waits:
    /// the span never is free in between (P3). The grow may be asleep in
    /// [`alloc_claiming`](Self::alloc_claiming), or on its way there, or wait as a token
    /// ([`ask`](Self::ask)). Its memory stays as it is, also that of what is cut off.
    ///
    /// If the grow has its answer already, or asked for a shape that `span` does not satisfy, or for
    /// more than its client may have, nothing is changed, and the span is still the caller's
    /// ([`Heir::Gone`]): to keep, or to [`free`](Self::free). One that is not queued yet has asked for
    /// nothing. It is kept for that one, and free for anybody if it turns out not to suit.
    ///
    /// # Errors
    /// As [`free`](Self::free).
    pub fn free_to(&self, claim: Claim<'_>, span: Span) -> Result<Heir, FreeError> {
        let given = self.inner.offer(span, |state, todo| {
            let Some(at) = state.requests.find_claim(claim.id()) else {
                return state.keep_for(claim, span, todo);
            };
            let &Request { placement, client, .. } = state.requests.get(at);
            state.suits(span.busy(), &placement, client) && state.hand_over(at, span, todo)
        })?;
        Ok(if given { Heir::Claimant } else { Heir::Gone })
    }

    /// Gives a span to the oldest request that came before `than` and that it suits: to
    /// that one and nobody else. Its memory stays as it is, also that of what is cut off. `Ok(false)`: there
    /// is none, nothing was changed, and the span is still the caller's.
    ///
    /// # Errors
    /// As [`free`](Self::free).
    pub fn yield_to_older(&self, span: Span, than: u64) -> Result<bool, FreeError> {
        self.inner.offer(span, |state, todo| {
            let busy = span.busy();
            while !todo.is_full()
                && let Some(at) = state
                    .requests
                    .find_older(than, |request| state.suits(busy, &request.placement, request.client))
            {
                // Before others are back in line, whom it does not pass, as this leaves their client room.
                state.requests.note_pass_of(at);
                if state.hand_over(at, span, todo) {
                    return true;
                }
            }
            false
        })
    }

    /// What this handle's spans count against.
    #[inline]
    fn client_id(&self) -> u16 {
        self.client.as_ref().map_or(NOBODY, |account| account.id())
    }

    /// Refuses every waiting and every later request with
    /// [`Closed`](AllocError::Closed). Spans can still be freed. Closing twice is once.
    pub fn close(&self) {
        self.inner.change(|state, _| state.closed = true);
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// A snapshot; walks the free runs under the lock.
    pub fn stats(&self) -> ArenaStats {
        let state = &mut *self.inner.lock();
        let regions = &self.inner.regions;
        ArenaStats {
            quantum: self.inner.quantum,
            committed: regions.all_committed(),
            committed_unused: {
                let unused = state.space.runs().chain(state.space.withheld_runs());
                unused.map(|run| regions.committed(run)).sum()
            },
            ..ArenaStats::of(&mut state.space, &state.requests)
        }
    }
}

/// A snapshot, taken before anything is written: the writer is the caller's.
impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("Arena")
            .field("id", &self.inner.id)
            .field("client", &self.client_name())
            .field("quantum", &self.inner.quantum)
            .field("stats", &stats)
            .finish_non_exhaustive()
    }
}
