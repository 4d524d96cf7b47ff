//! The grows a pool has pending: plain data under the pool's lock.

use std::time::Instant;

use arrayvec::ArrayVec;
use kva::sync::thread::Thread;
use kva::{GrowId, Work};

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
    /// How old it is to the back-end: when the getter came that began it.
    pub(crate) asked_at: u64,
    /// Who is asleep in it, where the back-end sleeps on its caller's thread.
    pub(crate) asleep: Option<Asleep>,
    /// How many pages were released for this grow, by option 3's rule: one where claims
    /// are understood.
    pub(crate) released: u64,
    /// With claims: whether the back-end keeps one of them for it.
    inherits: bool,
    /// Where the last of them start.
    heir_of: ArrayVec<usize, REMEMBERED>,
    /// What its driver left, until another takes it on.
    pub(crate) parked: Option<Work>,
    /// Nobody needs it, and it ends when it ends.
    pub(crate) surplus: bool,
    /// Whether a getter that drove it gave up waiting.
    was_left: bool,
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

    /// It was not released after all.
    pub(crate) fn keep(&mut self, base: usize) {
        self.released -= 1;
        self.heir_of.retain(|heir_of| *heir_of != base);
    }

    /// The back-end has a page for it that will not come back.
    pub(crate) fn inherits(&mut self) {
        self.inherits = true;
    }

    /// With claims, of one that comes back without a page: whether one was kept for it, where it never
    /// went. That is anybody's now.
    pub(crate) const fn left_its_page(&self) -> bool {
        self.inherits
    }

    /// Without claims: how many of the pages that were released for it did not reach it, if it comes back
    /// with the one that starts at `base`.
    pub(crate) fn stolen(&self, base: Option<usize>) -> u64 {
        let reached = base.is_some_and(|base| self.heir_of.contains(&base));
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
    parked: usize,
    surplus: usize,
}

impl Grows {
    /// None pending, at most `slots` at once.
    pub(crate) fn new(slots: u32) -> Self {
        let pending = Vec::with_capacity(slots as usize);
        Self { pending, vacant: (0..slots).rev().collect(), asleep: 0, parked: 0, surplus: 0 }
    }

    /// Whether another may begin.
    pub(crate) fn has_room(&self) -> bool {
        !self.vacant.is_empty()
    }

    /// How many are pending that somebody counts on.
    pub(crate) fn counted_on(&self) -> usize {
        self.pending.len() - self.surplus
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
    pub(crate) fn begin(&mut self, id: GrowId, asked_at: u64, asleep: Option<Asleep>) {
        self.asleep += usize::from(asleep.is_some());
        let heir_of = ArrayVec::new();
        self.pending.push(Pending {
            id,
            asked_at,
            asleep,
            released: 0,
            inherits: false,
            heir_of,
            parked: None,
            surplus: false,
            was_left: false,
        });
    }

    /// Ends a grow; its slot may begin another.
    pub(crate) fn end(&mut self, id: GrowId) -> Pending {
        let at = self.pending.iter().position(|pending| pending.id == id);
        let pending = self.pending.remove(at.expect("a grow ends once, and was begun"));
        self.asleep -= usize::from(pending.asleep.is_some());
        self.parked -= usize::from(pending.parked.is_some());
        self.surplus -= usize::from(pending.surplus);
        self.vacant.push(id.slot());
        pending
    }

    /// Whether the grow is pending still.
    pub(crate) fn is_pending(&self, id: GrowId) -> bool {
        self.pending.iter().any(|pending| pending.id == id)
    }

    /// Nobody counts on this grow any more.
    pub(crate) fn give_up(&mut self, id: GrowId) {
        let pending = self.get_mut(id).filter(|pending| !pending.surplus);
        pending.expect("a grow is given up once, while it is pending").surplus = true;
        self.surplus += 1;
    }

    /// A getter that drove it gives up waiting; whether one had before.
    pub(crate) fn note_left(&mut self, id: GrowId) -> bool {
        std::mem::replace(&mut self.get_mut(id).expect("it is pending").was_left, true)
    }

    /// Keeps what is to be driven for a pending grow until somebody takes it on.
    pub(crate) fn park(&mut self, id: GrowId, work: Work) {
        let before = self.get_mut(id).expect("it is pending").parked.replace(work);
        debug_assert!(before.is_none(), "a grow has one driver");
        self.parked += 1;
    }

    /// Whether any grow has nobody who drives it.
    pub(crate) fn any_parked(&self) -> bool {
        self.parked > 0
    }

    /// Takes on the oldest grow that nobody drives.
    pub(crate) fn take_on(&mut self) -> Option<(GrowId, Work)> {
        if self.parked == 0 {
            return None;
        }
        let found = self.pending.iter_mut().find_map(|pending| Some((pending.id, pending.parked.take()?)));
        self.parked -= usize::from(found.is_some());
        found
    }

    /// Takes the youngest grow that nobody drives out of everybody's counting.
    pub(crate) fn give_up_parked(&mut self) -> Option<Work> {
        let mut youngest_first = self.pending.iter_mut().rev();
        let (id, work) = youngest_first.find_map(|pending| Some((pending.id, pending.parked.take()?)))?;
        self.parked -= 1;
        self.give_up(id);
        Some(work)
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

    /// The grow, if it is pending still.
    pub(crate) fn get_mut(&mut self, id: GrowId) -> Option<&mut Pending> {
        self.pending.iter_mut().find(|pending| pending.id == id)
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
