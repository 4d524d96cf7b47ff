//! The grow token: one pending request for one page, and who decides how it ends.
//!
//! # The problem
//!
//! A getter asks a back-end for a page and the back-end has none. Now two parties
//! may end the request at the same moment: the back-end, which finds a page, and
//! the getter's pool, which no longer needs it because somebody put an item back.
//! They hold different locks, and never both. If both win, a page nobody counted
//! arrives (P1) or one is lost (P5); if each thinks that the other won, the getter
//! sleeps for ever (P2).
//!
//! # The protocol
//!
//! Each request has one *word*, and whoever changes it from *pending* has won:
//!
//! | state | who holds the [`Grow`] | may become |
//! | --- | --- | --- |
//! | pending, *reserved* | the asker, on its way to the back-end | committed, withdrawn |
//! | pending, *asked* | the back-end, in its queue | committed, withdrawn |
//! | committed | the back-end, as [`Committed`]: a page or an error will follow | spent |
//! | spent | as before, but the answer is known: what is freed to it now comes too late | - |
//! | withdrawn | whoever still has the token, which is worthless now | - |
//!
//! *Reserved* and *asked* are one state of the word: a request that is withdrawn on
//! its way to the back-end is found withdrawn when it gets there, under the
//! back-end's own lock, and is not queued.
//!
//! A back-end that can look at the word while it waits commits at the last moment,
//! when it has the page in hand. One that sleeps on the caller's thread and cannot
//! look commits before it sleeps: its request cannot be withdrawn, and its page
//! comes whenever it comes.
//!
//! One that makes pages rather than finds them, a factory, commits before it begins, since
//! what it has begun takes its place in the world (a connection at its server) until it has
//! ended. Where somebody must keep it going, it hands its asker the [`Work`]. Dropping that
//! says that nobody needs the page any more; the request still ends by its token,
//! [given up](Refusal::GivenUp), once nothing is left of it.
//!
//! # Claims
//!
//! A back-end that sleeps on its caller's thread is reached by freeing a page *to* the
//! grow it sleeps for: a [`Claim`] names it. Between its reservation and its sleep the
//! grow is on its way, and a page that is freed to it must not be lost to a thief
//! just then. So whoever keeps the pages looks at the word, under its own lock: while it
//! says pending or committed, the request is here or will come, and the page is kept for
//! it; once it says *spent*, which the same lock orders, the request has its answer. A
//! withdrawal is followed by a `forget`, which takes that lock and lets the page go.
//!
//! # Invariants
//!
//! 1. A word leaves *pending* exactly once for each reservation: by `commit` or by
//!    `withdraw`, never both.
//! 2. A [`Committed`] ends exactly once: delivered or refused. Dropping it refuses,
//!    as dropping a [`Grow`] does, so that a panic in a back-end ends the request.
//! 3. A token of an earlier reservation of the same slot changes nothing: the word
//!    carries the reservation's number.
//!
//! # Memory orderings
//!
//! The word elects a winner and carries no data: what the winner hands over (a
//! page, a ledger slot) is handed over under the pool's or the back-end's lock. All
//! its accesses are Relaxed; a read-modify-write always sees the latest value, and
//! the argument for "withdrawn before asked" goes by the back-end's lock, see
//! [`Arena::forget`](crate::Arena::forget).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::{Arc, unique_id};

/// Names one reservation of one slot of one table, for ever.
///
/// Here `sink` is told how requests end; see [`Sink`]:
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{GrowId, Sink};
/// # type End = Result<u8, kva::Refusal<&'static str>>;
/// # struct Ends(mpsc::Sender<End>);
/// # impl Sink<u8, &'static str> for Ends {
/// #     fn finish(&self, _: GrowId, end: End) {
/// #         let _ = self.0.send(end);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// use kva::GrowTable;
///
/// let table = GrowTable::new(1);
/// let old = table.reserve(0, 0, sink.clone());
/// assert!(table.withdraw(old.id()));
/// let new = table.reserve(0, 1, sink);
/// assert_ne!(old.id(), new.id()); // the same slot, another reservation
/// assert!(!table.withdraw(old.id())); // the old name says nothing of the new request
/// assert!(!new.is_withdrawn());
/// # drop(new);
/// # assert_eq!(ends.try_recv()?, Err(kva::Refusal::Abandoned));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrowId {
    table: u32,
    slot: u32,
    number: u64,
}

impl GrowId {
    /// The table that the slot is of.
    pub(crate) const fn table(self) -> u32 {
        self.table
    }

    /// The slot of the pool that asks.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.slot
    }
}

impl fmt::Debug for GrowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grow({}.{}#{})", self.table, self.slot, self.number)
    }
}

const FREE: u64 = 0;
const PENDING: u64 = 1;
const COMMITTED: u64 = 2;
const WITHDRAWN: u64 = 3;
const SPENT: u64 = 4;
const STATE_BITS: u32 = 3;

const fn word(number: u64, state: u64) -> u64 {
    number << STATE_BITS | state
}

#[derive(Debug)]
struct Slot {
    word: AtomicU64,
}

/// The words of all requests that one pool may have pending at once.
///
/// Here `sink` is told how requests end; see [`Sink`]:
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{GrowId, Sink};
/// # type End = Result<u8, kva::Refusal<&'static str>>;
/// # struct Ends(mpsc::Sender<End>);
/// # impl Sink<u8, &'static str> for Ends {
/// #     fn finish(&self, _: GrowId, end: End) {
/// #         let _ = self.0.send(end);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// use kva::GrowTable;
///
/// let table = GrowTable::new(2); // at most two at once
/// let first = table.reserve(0, 0, sink.clone());
/// let second = table.reserve(1, 1, sink);
/// assert!(table.withdraw(first.id())); // the asker was first
/// assert!(first.commit().is_err());
/// let second = second.commit().expect("it is pending"); // the back-end was first
/// assert!(!table.withdraw(second.id()));
/// # second.deliver(7);
/// # assert_eq!(ends.try_recv()?, Ok(7));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GrowTable {
    id: u32,
    slots: Box<[Slot]>,
}

impl GrowTable {
    /// A table of `slots` slots, all free.
    #[must_use]
    pub fn new(slots: u32) -> Arc<Self> {
        Arc::new(Self {
            id: unique_id(),
            slots: (0..slots).map(|_| Slot { word: AtomicU64::new(word(0, FREE)) }).collect(),
        })
    }

    /// What sets this table apart from all others.
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// How many requests may be pending at once.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Whether nothing can ever be pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Begins a request in `slot`, whose last one must have ended. `asked_at` is when
    /// the waiter it is for came: back-ends serve older requests first.
    pub fn reserve<P, E>(
        self: &Arc<Self>,
        slot: u32,
        asked_at: u64,
        sink: Arc<dyn Sink<P, E>>,
    ) -> Grow<P, E> {
        let cell = &self.slots[slot as usize].word;
        // Relaxed: the pool's lock, held here and where the last request of this slot
        // ended, orders the two.
        let last = cell.load(Relaxed);
        debug_assert_ne!(last & ((1 << STATE_BITS) - 1), PENDING, "the slot is in use");
        let number = (last >> STATE_BITS) + 1;
        // Relaxed: a late token of an earlier number fails its exchange against any
        // value of this word that it can see, old or new (invariant 3).
        cell.store(word(number, PENDING), Relaxed);
        let id = GrowId { table: self.id, slot, number };
        Grow(Some(Token { table: self.clone(), id, asked_at, deadline: None, sink }))
    }

    /// Takes the request back, unless the back-end has committed to it. On `true`
    /// the back-end will never deliver to it, and should be told to forget it.
    #[must_use]
    pub fn withdraw(&self, id: GrowId) -> bool {
        debug_assert_eq!(id.table, self.id, "a request of another table");
        self.elect(id, WITHDRAWN)
    }

    /// Notes that the request, which was committed to, has ended: what is freed to it from
    /// now on comes too late. Under the lock of the pool that asked. Whoever keeps
    /// something for it must be told to [`forget`](crate::Arena::forget) it afterwards.
    pub fn end(&self, id: GrowId) {
        Claim { table: self, id }.spend();
    }

    fn elect(&self, id: GrowId, state: u64) -> bool {
        // Relaxed: the word only elects; see the module.
        self.slots[id.slot as usize]
            .word
            .compare_exchange(word(id.number, PENDING), word(id.number, state), Relaxed, Relaxed)
            .is_ok()
    }
}

/// Names a pending grow, so that what is freed can be freed to it.
///
/// What is freed to a claim passes those who have waited longer. Here `ask` queues a request,
/// whose sink sends who was answered to the channel `ends`:
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{AllocError, GrowId, Refusal, Sink, Span};
/// # struct Ends(mpsc::Sender<GrowId>);
/// # impl Sink<Span, AllocError> for Ends {
/// #     fn finish(&self, id: GrowId, _: Result<Span, Refusal<AllocError>>) {
/// #         let _ = self.0.send(id);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// # use kva::{Answer, Arena, Claim, GrowTable, Heir, Region, Shape};
/// # let arena = Arena::new(Region::numbers(2), 1)?;
/// # let one = Shape::new(1)?;
/// # let (left, right) = (arena.try_alloc(one)?, arena.try_alloc(one)?);
/// # let table = GrowTable::new(2);
/// # let ask = |slot| {
/// #     let grow = table.reserve(slot, arena.clock().now(), sink.clone());
/// #     let id = grow.id();
/// #     assert!(matches!(arena.ask(one, grow), Answer::Later));
/// #     id
/// # };
/// let [first, second] = [0, 1].map(ask); // both wait for a quantum
/// assert_eq!(arena.free_to(Claim::new(&table, second), left)?, Heir::Claimant);
/// assert_eq!(ends.try_recv()?, second); // past the first
/// arena.free(right)?;
/// assert_eq!(ends.try_recv()?, first);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    table: &'a GrowTable,
    id: GrowId,
}

impl<'a> Claim<'a> {
    /// The claim of the grow `id` of `table`.
    #[must_use]
    pub const fn new(table: &'a GrowTable, id: GrowId) -> Self {
        Self { table, id }
    }

    /// Which grow.
    #[must_use]
    pub const fn id(&self) -> GrowId {
        self.id
    }

    /// Whether the request is here or will come, unless it is withdrawn first. Under the
    /// back-end's lock.
    pub(crate) fn is_open(&self) -> bool {
        // Relaxed: the caller's lock orders this with `spend`, and with the `forget` that
        // follows a withdrawal; see the module.
        let now = self.table.slots[self.id.slot as usize].word.load(Relaxed);
        [PENDING, COMMITTED].map(|state| word(self.id.number, state)).contains(&now)
    }

    /// The request has its answer. Under the back-end's lock.
    pub(crate) fn spend(&self) {
        let cell = &self.table.slots[self.id.slot as usize].word;
        // Relaxed: the back-end's lock orders this with `is_open`. It fails, and changes
        // nothing, for a grow that is not committed or has ended.
        let _ = cell.compare_exchange(
            word(self.id.number, COMMITTED),
            word(self.id.number, SPENT),
            Relaxed,
            Relaxed,
        );
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claim of {:?}", self.id)
    }
}

/// Where requests end: the pool that asked.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// use kva::{GrowId, GrowTable, Refusal, Sink};
///
/// type End = Result<u8, Refusal<&'static str>>;
/// struct Ends(mpsc::Sender<(GrowId, End)>);
/// impl Sink<u8, &'static str> for Ends {
///     fn finish(&self, id: GrowId, end: End) {
///         self.0.send((id, end)).expect("the asker listens");
///     }
/// }
///
/// # let (sender, ends) = mpsc::channel();
/// let grow = GrowTable::new(1).reserve(0, 0, Arc::new(Ends(sender)));
/// let id = grow.id();
/// grow.commit().expect("it is pending").deliver(7); // what the back-end does
/// assert_eq!(ends.try_recv()?, (id, Ok(7)));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Sink<P, E>: Send + Sync {
    /// The request `id` ended. Called exactly once for each request that a back-end
    /// committed to, with no lock held, on whatever thread found out.
    fn finish(&self, id: GrowId, end: Result<P, Refusal<E>>);
}

/// Why a request ended without a page.
///
/// Here `sink` sends how requests end to the channel `ends`; see [`Sink`]:
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{GrowId, Sink};
/// # type End = Result<u8, Refusal<&'static str>>;
/// # struct Ends(mpsc::Sender<End>);
/// # impl Sink<u8, &'static str> for Ends {
/// #     fn finish(&self, _: GrowId, end: End) {
/// #         let _ = self.0.send(end);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// use kva::{GrowTable, Refusal};
///
/// let table = GrowTable::new(1);
/// let full = table.reserve(0, 0, sink.clone()).commit().expect("it is pending");
/// full.refuse("full");
/// assert_eq!(ends.try_recv()?, Err(Refusal::Error("full")));
/// drop(table.reserve(0, 1, sink)); // a back-end that forgets it
/// assert_eq!(ends.try_recv()?, Err(Refusal::Abandoned));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal<E> {
    /// The back-end said so.
    #[error(transparent)]
    Error(#[from] E),
    /// The back-end dropped the request, or panicked with it in hand.
    #[error("the back-end dropped the request")]
    Abandoned,
    /// The [deadline](Grow::deadline) of who is asleep in it passed.
    #[error("the deadline passed before there was a page")]
    TimedOut,
    /// It was given up because nobody needed the page any more, or by a panic that its asker
    /// has: there is nobody to be told.
    #[error("the request was given up")]
    GivenUp,
}

struct Token<P, E> {
    table: Arc<GrowTable>,
    id: GrowId,
    asked_at: u64,
    deadline: Option<Instant>,
    sink: Arc<dyn Sink<P, E>>,
}

/// One pending request for one page, as its back-end holds it.
///
/// Dropping it undecided refuses the request.
///
/// Here `sink` sends how requests end to the channel `ends`; see [`Sink`]:
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{GrowId, Sink};
/// # type End = Result<u8, kva::Refusal<&'static str>>;
/// # struct Ends(mpsc::Sender<End>);
/// # impl Sink<u8, &'static str> for Ends {
/// #     fn finish(&self, _: GrowId, end: End) {
/// #         let _ = self.0.send(end);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// use kva::GrowTable;
///
/// let table = GrowTable::new(1);
/// let grow = table.reserve(0, 0, sink.clone());
/// grow.commit().expect("it is pending").deliver(7); // the back-end had a page
/// assert_eq!(ends.try_recv()?, Ok(7));
///
/// let grow = table.reserve(0, 1, sink);
/// assert!(table.withdraw(grow.id())); // the asker no longer needs one
/// assert!(grow.commit().is_err());
/// assert!(ends.try_recv().is_err(), "nothing came");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a request refuses it"]
pub struct Grow<P, E>(Option<Token<P, E>>);

/// A request that a back-end has committed to: it can no longer be withdrawn.
///
/// Dropping it refuses the request.
///
/// Here `sink` sends how requests end to the channel `ends`; see [`Sink`]:
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{GrowId, Sink};
/// # type End = Result<u8, kva::Refusal<&'static str>>;
/// # struct Ends(mpsc::Sender<End>);
/// # impl Sink<u8, &'static str> for Ends {
/// #     fn finish(&self, _: GrowId, end: End) {
/// #         let _ = self.0.send(end);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// use kva::GrowTable;
///
/// let table = GrowTable::new(1);
/// let committed = table.reserve(0, 0, sink).commit().expect("it is pending");
/// assert!(!table.withdraw(committed.id()), "too late");
/// assert!(ends.try_recv().is_err(), "its page may come whenever it comes");
/// committed.deliver(7);
/// assert_eq!(ends.try_recv()?, Ok(7));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a request refuses it"]
pub struct Committed<P, E>(Option<Token<P, E>>);

const HELD: &str = "a token is taken only by what consumes it";

impl<P, E> Grow<P, E> {
    fn token(&self) -> &Token<P, E> {
        self.0.as_ref().expect(HELD)
    }

    fn take(&mut self) -> Token<P, E> {
        self.0.take().expect(HELD)
    }

    /// Which request this is.
    #[must_use]
    pub fn id(&self) -> GrowId {
        self.token().id
    }

    /// When the waiter it is for came; see [`GrowTable::reserve`].
    #[must_use]
    pub fn asked_at(&self) -> u64 {
        self.token().asked_at
    }

    /// Until when its asker would sleep in the back-end; `None`: as long as it takes, or it
    /// does not sleep there. A back-end that sleeps on its caller's thread answers
    /// [`Answer::Late`] once this has passed.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.token().deadline
    }

    /// Sets the [deadline](Self::deadline).
    pub fn until(mut self, deadline: Option<Instant>) -> Self {
        if let Some(token) = &mut self.0 {
            token.deadline = deadline;
        }
        self
    }

    /// Names the request, so that spans can be freed to it.
    #[must_use]
    pub fn claim(&self) -> Claim<'_> {
        let token = self.token();
        Claim { table: &token.table, id: token.id }
    }

    /// Decides that the request ends with this back-end.
    ///
    /// # Errors
    /// It was withdrawn, and there is nothing more to do. The token comes back, to be
    /// dropped where no lock is held: it may be the last thing that keeps its pool alive.
    pub fn commit(mut self) -> Result<Committed<P, E>, Self> {
        let token = self.take();
        if token.table.elect(token.id, COMMITTED) {
            Ok(Committed(Some(token)))
        } else {
            Err(Self(Some(token)))
        }
    }

    /// Whether it was withdrawn already. A back-end that keeps tokens looks under its own
    /// lock before it queues one: a withdrawal that comes later finds it in the queue
    /// ([`Arena::forget`](crate::Arena::forget) has the argument).
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        let token = self.token();
        let pending = word(token.id.number, PENDING);
        // Relaxed: a stale "pending" is settled by `commit`; see the module.
        token.table.slots[token.id.slot as usize].word.load(Relaxed) != pending
    }
}

impl<P, E> Drop for Grow<P, E> {
    fn drop(&mut self) {
        if let Some(token) = self.0.take()
            && token.table.elect(token.id, COMMITTED)
        {
            token.sink.finish(token.id, Err(Refusal::Abandoned));
        }
    }
}

impl<P, E> Committed<P, E> {
    fn take(&mut self) -> Token<P, E> {
        self.0.take().expect(HELD)
    }

    fn token(&self) -> &Token<P, E> {
        self.0.as_ref().expect(HELD)
    }

    /// Which request this is.
    #[must_use]
    pub fn id(&self) -> GrowId {
        self.token().id
    }

    /// Names the request, so that spans can be freed to it while it sleeps.
    #[must_use]
    pub fn claim(&self) -> Claim<'_> {
        let token = self.token();
        Claim { table: &token.table, id: token.id }
    }

    /// Ends the request with a page.
    pub fn deliver(self, page: P) {
        self.finish(Ok(page));
    }

    /// Ends the request with an error.
    pub fn refuse(self, error: E) {
        self.finish(Err(Refusal::Error(error)));
    }

    /// Ends the request.
    pub fn finish(mut self, end: Result<P, Refusal<E>>) {
        let token = self.take();
        token.sink.finish(token.id, end);
    }

    /// Ends the request without a page, and nobody is to be told: [`Refusal::GivenUp`].
    pub fn give_up(self) {
        self.finish(Err(Refusal::GivenUp));
    }

    /// Gives the duty to end the request to the caller, which must be its sink.
    pub fn into_id(mut self) -> GrowId {
        self.take().id
    }
}

impl<P, E> Drop for Committed<P, E> {
    fn drop(&mut self) {
        if let Some(token) = self.0.take() {
            token.sink.finish(token.id, Err(Refusal::Abandoned));
        }
    }
}

impl<P, E> fmt::Debug for Grow<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.token().id)
    }
}

impl<P, E> fmt::Debug for Committed<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id())
    }
}

/// What a back-end says to a request.
///
/// Here `sink` sends how requests end to the channel `ends`; see [`Sink`]:
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
/// use kva::{Answer, Arena, GrowTable, Region, Shape};
///
/// let arena = Arena::new(Region::numbers(8), 1)?;
/// let table = GrowTable::new(2);
/// let all = Shape::new(8)?;
/// let Answer::Now(committed, Ok(span)) = arena.ask(all, table.reserve(0, 0, sink.clone())) else {
///     panic!("there is room");
/// };
/// committed.deliver(span); // the asker ends it, by its own sink
/// # assert_eq!(ends.try_recv()?, Ok(span));
/// assert!(matches!(arena.ask(all, table.reserve(1, 1, sink)), Answer::Later));
/// arena.free(span)?; // this ends the second
/// assert_eq!(ends.try_recv()??.len(), 8);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "an answer may carry a page"]
pub enum Answer<P, E> {
    /// The back-end has the token and will end the request later.
    Later,
    /// The request was withdrawn before it was asked. Nothing will come.
    Withdrawn,
    /// It ended at once, on the asker's thread.
    Now(Committed<P, E>, Result<P, E>),
    /// Its [deadline](Grow::deadline) passed while the back-end slept for it.
    Late(Committed<P, E>),
    /// The back-end has begun, and the asker is to drive it, or to drop it once nobody needs
    /// the page. The request ends by its token, as ever.
    Driven(Work),
}

/// What is to be driven for a page to come: a future that is ready when the request has ended.
/// Dropping it before says that nobody needs the page. It may be passed on to another driver.
///
/// ```
/// use kva::Work;
/// use std::future::ready;
///
/// let work = Work::new(ready(())); // what ends the request
/// ```
#[must_use = "what is not driven does not go on"]
pub struct Work(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Work {
    /// The work that `future` does.
    pub fn new(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl Future for Work {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Mutex;

    #[derive(Debug, Default)]
    struct Ends(Mutex<Vec<Result<u8, Refusal<&'static str>>>>);

    impl Sink<u8, &'static str> for Ends {
        fn finish(&self, _: GrowId, end: Result<u8, Refusal<&'static str>>) {
            self.0.lock().push(end);
        }
    }

    fn world() -> (Arc<GrowTable>, Arc<Ends>) {
        (GrowTable::new(1), Arc::default())
    }

    #[test]
    fn each_way_to_end_ends_once() {
        let (table, ends) = world();
        let commit = |table: &Arc<GrowTable>| table.reserve(0, 0, ends.clone()).commit().unwrap();
        commit(&table).deliver(7);
        commit(&table).refuse("no");
        drop(commit(&table));
        drop(table.reserve(0, 0, ends.clone()));
        let expected = [Ok(7), Err(Refusal::Error("no")), Err(Refusal::Abandoned), Err(Refusal::Abandoned)];
        assert_eq!(*ends.0.lock(), expected);
    }

    #[test]
    fn withdrawn_is_neither_committed_nor_refused() {
        let (table, ends) = world();
        let grow = table.reserve(0, 0, ends.clone());
        assert!(table.withdraw(grow.id()));
        assert!(!table.withdraw(grow.id()), "only once");
        assert!(grow.is_withdrawn());
        assert!(grow.commit().is_err());
        let dropped = table.reserve(0, 0, ends.clone());
        assert!(table.withdraw(dropped.id()));
        drop(dropped);
        assert!(ends.0.lock().is_empty());
    }

    #[test]
    fn a_late_token_of_an_earlier_reservation_changes_nothing() {
        let (table, ends) = world();
        let late = table.reserve(0, 0, ends.clone());
        assert!(table.withdraw(late.id()));
        let current = table.reserve(0, 0, ends.clone());
        assert!(late.commit().is_err());
        let committed = current.commit().expect("not disturbed by the late one");
        assert!(!table.withdraw(committed.id()), "too late");
        committed.deliver(1);
        assert_eq!(*ends.0.lock(), [Ok(1)]);
    }
}
