//! Who came first, across everything that waits for one arena.
//!
//! Pools and arena have locks of their own that never nest, so what they must know of
//! each other goes through here: a counter that orders waiters by age, and the age of
//! the oldest request that the arena has not satisfied.

use crossbeam_utils::CachePadded;

use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The moment that is later than all others: of nobody, and of who need not be ordered.
pub const NEVER: u64 = u64::MAX;

/// Orders waiters by age and knows the age of the oldest unsatisfied request.
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
/// use kva::{Arena, GrowTable, NEVER, Region, Shape};
///
/// let arena = Arena::new(Region::numbers(8), 1)?;
/// let all = arena.try_alloc(Shape::new(8)?)?;
/// let came = arena.clock().now();
/// assert!(came < arena.clock().now());
/// assert_eq!(arena.clock().oldest(), NEVER); // nobody waits
/// let _later = arena.ask(Shape::new(1)?, GrowTable::new(1).reserve(0, came, sink));
/// assert_eq!(arena.clock().oldest(), came);
/// arena.free(all)?;
/// assert_eq!(arena.clock().oldest(), NEVER); // it was served
/// # assert_eq!(ends.try_recv()??.len(), 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Clock {
    all: Arc<All>,
    /// When the oldest request was made that waits for a client's quota, if this is a client's.
    held_back: Option<CachePadded<AtomicU64>>,
}

/// What all clocks of an arena share.
#[derive(Debug)]
struct All {
    ticks: CachePadded<AtomicU64>,
    oldest: CachePadded<AtomicU64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock that nobody waits by.
    #[must_use]
    pub fn new() -> Self {
        let (ticks, oldest) = (AtomicU64::new(0), AtomicU64::new(NEVER));
        let all = All { ticks: CachePadded::new(ticks), oldest: CachePadded::new(oldest) };
        Self { all: Arc::new(all), held_back: None }
    }

    /// The same time, and a client's own requests that wait for its quota.
    pub(crate) fn of_client(&self) -> Self {
        Self { all: self.all.clone(), held_back: Some(CachePadded::new(AtomicU64::new(NEVER))) }
    }

    /// A new moment, later than all before.
    pub fn now(&self) -> u64 {
        // Relaxed: only the order of the ticks matters, and a read-modify-write has one.
        self.all.ticks.fetch_add(1, Relaxed)
    }

    /// When the oldest unsatisfied request was made; [`NEVER`] where there is none. One that waits
    /// for its client's quota is known by that client's clock only: others cannot help it.
    ///
    /// A hint that may be old by the time it is read, yet nobody is missed. A pool reads
    /// it under its own lock, whenever it leaves a page idle. Whoever queues a request
    /// publishes it here, and then calls the reclaimers, which take the pool's lock. If
    /// the pool had its lock first, the reclaimer finds the idle page. If the reclaimer
    /// had it first, the pool's lock makes the request visible to the pool.
    pub fn oldest(&self) -> u64 {
        // Relaxed: the pool's lock makes the edge, see above.
        let oldest = self.all.oldest.load(Relaxed);
        self.held_back.as_ref().map_or(oldest, |held_back| oldest.min(held_back.load(Relaxed)))
    }

    /// Publishes the age of the oldest request. Under the lock of whoever queues them.
    pub(crate) fn set_oldest(&self, moment: u64) {
        // Relaxed: see `oldest`.
        self.all.oldest.store(moment, Relaxed);
    }

    /// Publishes the age of the client's oldest request that waits for its quota, likewise.
    pub(crate) fn set_held_back(&self, moment: u64) {
        if let Some(held_back) = &self.held_back {
            // Relaxed: see `oldest`.
            held_back.store(moment, Relaxed);
        }
    }
}
