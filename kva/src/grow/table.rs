//! The words of requests: who owns them, and what may become of them. No other file reads or writes one.

use std::fmt;

use super::{Grow, Sink};
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::{Arc, unique_id};

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
        Grow::new(self.clone(), GrowId { table: self.id, slot, number }, asked_at, sink)
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
        self.spend(id);
    }

    /// Decides that the request ends with its back-end. `false`: it was withdrawn.
    #[must_use]
    pub(super) fn commit(&self, id: GrowId) -> bool {
        self.elect(id, COMMITTED)
    }

    fn elect(&self, id: GrowId, state: u64) -> bool {
        // Relaxed: the word only elects; see the module.
        self.slots[id.slot as usize]
            .word
            .compare_exchange(word(id.number, PENDING), word(id.number, state), Relaxed, Relaxed)
            .is_ok()
    }

    /// Whether neither side has decided yet.
    pub(super) fn is_pending(&self, id: GrowId) -> bool {
        // Relaxed: a stale "pending" is settled by `commit`; see the module.
        self.slots[id.slot as usize].word.load(Relaxed) == word(id.number, PENDING)
    }

    /// Whether the request is here or will come, unless it is withdrawn first. Under the
    /// back-end's lock.
    pub(super) fn is_open(&self, id: GrowId) -> bool {
        // Relaxed: the caller's lock orders this with `spend`, and with the `forget` that
        // follows a withdrawal; see the module.
        let now = self.slots[id.slot as usize].word.load(Relaxed);
        [PENDING, COMMITTED].map(|state| word(id.number, state)).contains(&now)
    }

    /// The request has its answer. Under the back-end's lock.
    pub(super) fn spend(&self, id: GrowId) {
        let cell = &self.slots[id.slot as usize].word;
        // Relaxed: the back-end's lock orders this with `is_open`. It fails, and changes
        // nothing, for a grow that is not committed or has ended.
        let _ = cell.compare_exchange(word(id.number, COMMITTED), word(id.number, SPENT), Relaxed, Relaxed);
    }
}
