//! The grows a pool has pending: plain data under the pool's lock.

use std::time::Instant;

use kva::GrowId;
use kva::sync::thread::Thread;

/// A getter asleep inside a back-end, on its own thread: no put can reach it there.
#[derive(Debug, Clone)]
pub(crate) struct Asleep {
    pub(crate) thread: Thread,
    pub(crate) since: Instant,
    pub(crate) asked_at: u64,
}

/// One pending grow.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) id: GrowId,
    /// Who is asleep in it, where the back-end sleeps on its caller's thread.
    pub(crate) asleep: Option<Asleep>,
    /// Where the page starts that was released for this grow, by option 3's rule.
    pub(crate) heir_of: Option<usize>,
}

/// The grows a pool has pending, oldest first.
///
/// Invariant: a slot is in `vacant` or in a pending grow, never in both.
#[derive(Debug)]
pub(crate) struct Grows {
    pending: Vec<Pending>,
    vacant: Vec<u32>,
    asleep: usize,
}

impl Grows {
    /// None pending, at most `slots` at once.
    pub(crate) fn new(slots: u32) -> Self {
        let pending = Vec::with_capacity(slots as usize);
        Self { pending, vacant: (0..slots).rev().collect(), asleep: 0 }
    }

    /// Whether another may begin.
    pub(crate) fn has_room(&self) -> bool {
        !self.vacant.is_empty()
    }

    /// A slot for a grow that is about to begin.
    pub(crate) fn take_slot(&mut self) -> Option<u32> {
        self.vacant.pop()
    }

    /// Begins a grow.
    pub(crate) fn begin(&mut self, id: GrowId, asleep: Option<Asleep>) {
        self.asleep += usize::from(asleep.is_some());
        self.pending.push(Pending { id, asleep, heir_of: None });
    }

    /// Ends a grow; its slot may begin another.
    pub(crate) fn end(&mut self, id: GrowId) -> Pending {
        let at = self.pending.iter().position(|pending| pending.id == id);
        let pending = self.pending.remove(at.expect("a grow ends once, and was begun"));
        self.asleep -= usize::from(pending.asleep.is_some());
        self.vacant.push(id.slot());
        pending
    }

    /// How many getters are asleep inside the back-end.
    pub(crate) fn asleep(&self) -> usize {
        self.asleep
    }

    /// The pending grows, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Pending> {
        self.pending.iter()
    }

    /// The oldest grow whose getter is asleep and was not released a page yet.
    pub(crate) fn next_heir(&mut self) -> Option<&mut Pending> {
        self.pending.iter_mut().find(|pending| pending.asleep.is_some() && pending.heir_of.is_none())
    }
}
