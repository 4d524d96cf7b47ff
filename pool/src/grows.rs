//! The grows a pool has pending: plain data under the pool's lock.

use std::time::Instant;

use arrayvec::ArrayVec;
use kva::GrowId;
use kva::sync::thread::Thread;

use crate::waiter::{Class, Want};

/// A getter asleep inside a back-end, on its own thread: no put can reach it there.
#[derive(Debug, Clone)]
pub(crate) struct Asleep {
    pub(crate) thread: Thread,
    pub(crate) since: Instant,
    pub(crate) asked_at: u64,
    pub(crate) want: Want,
}

/// One pending grow.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) id: GrowId,
    /// Who is asleep in it, where the back-end sleeps on its caller's thread.
    pub(crate) asleep: Option<Asleep>,
    /// How many pages were released for this grow, by option 3's rule: one where claims
    /// are understood.
    pub(crate) released: u64,
    /// Where the last of them start.
    heir_of: ArrayVec<usize, REMEMBERED>,
}

/// Without claims a getter may have several pages released for it before it wakes. This
/// many are remembered, to tell whether the one it comes back with is one of them.
const REMEMBERED: usize = 4;

impl Pending {
    /// A page that starts at `base` is released for this grow.
    pub(crate) fn release(&mut self, base: usize) {
        self.released += 1;
        if self.heir_of.is_full() {
            self.heir_of.remove(0);
        }
        self.heir_of.push(base);
    }

    /// How many of the pages that were released for it did not reach it, if it comes back
    /// with the one that starts at `base`. With claims no page goes astray: if it comes back
    /// with another, it had that before the release, which then was for anybody.
    pub(crate) fn stolen(&self, base: Option<usize>, claims: bool) -> u64 {
        let reached = base.is_some_and(|base| claims || self.heir_of.contains(&base));
        self.released.saturating_sub(u64::from(reached))
    }
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

    /// How many are pending.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether nothing is pending.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// A slot for a grow that is about to begin.
    pub(crate) fn take_slot(&mut self) -> Option<u32> {
        self.vacant.pop()
    }

    /// Begins a grow.
    pub(crate) fn begin(&mut self, id: GrowId, asleep: Option<Asleep>) {
        self.asleep += usize::from(asleep.is_some());
        self.pending.push(Pending { id, asleep, released: 0, heir_of: ArrayVec::new() });
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

    /// How many items those want, and whether any of them is ordinary.
    pub(crate) fn wanted(&self) -> (usize, bool) {
        if self.asleep == 0 {
            return (0, false);
        }
        let wants =
            || self.pending.iter().filter_map(|pending| pending.asleep.as_ref()).map(|asleep| asleep.want);
        let items = wants().map(|want| want.items as usize).sum();
        (items, wants().any(|want| want.class == Class::Ordinary))
    }

    /// The pending grows, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Pending> {
        self.pending.iter()
    }

    /// Whether some getter is asleep inside the back-end and had no page released for it.
    pub(crate) fn any_without_a_page(&self) -> bool {
        self.asleep > 0
            && self.pending.iter().any(|pending| pending.asleep.is_some() && pending.released == 0)
    }

    /// The grow that a page should be released for: the oldest whose getter is asleep, could
    /// make use of the page and had none. Without claims that page may have been stolen, so
    /// that all having had one means no more than that it is the turn of those who had fewest.
    pub(crate) fn next_heir(
        &mut self,
        once: bool,
        is_of_use: impl Fn(&Asleep) -> bool,
    ) -> Option<&mut Pending> {
        let asleep =
            self.pending.iter_mut().filter(|pending| pending.asleep.as_ref().is_some_and(&is_of_use));
        asleep.min_by_key(|pending| pending.released).filter(|pending| pending.released == 0 || !once)
    }
}
