//! The depot: a pool's store of magazines, and the list of its caches. Plain data under the pool's
//! lock.
//!
//! # How large magazines are
//!
//! A thread's cache and its share of the depot hold four magazines at most. All caches together
//! should hold no more than half of what the pool may have, since a getter that finds the rest gone
//! has to sweep. So a magazine has at most one eighth of the pool's items, divided by the caches.
//! Where that is nothing, there are no caches: there the lock is cheaper than sweeping.
//!
//! Within that, it begins small and doubles when the depot's lock is contended, as in the magazine
//! paper, or when the depot has no empty one left: a larger magazine is exchanged less often.
//!
//! # How long a pool stays scarce
//!
//! A sweep costs a barrier and puts all that was cached back, some microseconds; an operation under
//! the lock costs some ten nanoseconds more than one without. By staying scarce for as many operations
//! as a sweep costs, a pool never pays more than twice what it would if it knew the future (as for
//! how long to rent skis before buying them). [`CALM`] is of that size.

use std::mem;

use crossbeam_utils::CachePadded;
use kva::sync::{Arc, BATCH, ROUNDS};

use super::{Cache, Magazine, Magazines, Owned};
use crate::error::ConfigError;
use crate::hardening::Quarantine;
use crate::loan::Round;

/// So many operations in a row, while nobody has to wait, end the scarcity. See above.
const CALM: u32 = (BATCH * BATCH) as u32;

/// Magazines begin with so many rounds.
const FEW_ROUNDS: usize = 8;

/// So many times the lock is found taken before magazines are doubled.
const CONTENDED: u32 = 16;

/// The share of the pool's items that one magazine of a pool's only cache may have.
const SHARE: usize = 8;

/// Magazines that come with a cache, for the depot.
const SPARE: usize = 2;

/// What may become of what is in caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Caching,
    /// Somebody takes all of it back.
    Sweeping,
    Scarce,
}

/// The depot.
#[derive(Debug)]
pub(crate) struct Depot {
    phase: Phase,
    /// How often everything was taken back.
    sweeps: u64,
    /// Operations since somebody had to wait.
    calm: u32,
    /// Whether there may be caches at all.
    allowed: bool,
    /// What magazines were told to have, if not left to us.
    fixed: Option<usize>,
    /// What magazines have, if that is left to us and there is room.
    rounds: usize,
    contended: u32,
    shelves: Shelves,
    /// How many of the caches have an owner.
    owned: usize,
    /// Rounds that went into caches otherwise than by a put, less those that left them otherwise than
    /// by a get.
    moved: u64,
    /// What was put and is lent to nobody for a while: to all but the pages it is as if in the depot.
    quarantine: Option<Quarantine>,
}

/// What there is of memory, allocated unlocked.
#[derive(Debug, Default)]
pub(crate) struct Shelves {
    caches: Vec<Arc<CachePadded<Cache>>>,
    vacant: Vec<Arc<CachePadded<Cache>>>,
    #[allow(clippy::vec_box, reason = "they are exchanged, not moved")]
    full: Vec<Box<Magazine>>,
    #[allow(clippy::vec_box, reason = "as above")]
    empty: Vec<Box<Magazine>>,
}

impl Shelves {
    /// Room for so many caches and their magazines.
    pub(crate) fn with_room(caches: usize) -> Self {
        Self {
            caches: Vec::with_capacity(caches),
            vacant: Vec::with_capacity(caches),
            full: Vec::with_capacity(caches * SPARE),
            empty: Vec::with_capacity(caches * SPARE),
        }
    }

    /// Takes in all that is in another, for which there must be room.
    fn take_in(&mut self, other: &mut Self) {
        self.caches.append(&mut other.caches);
        self.vacant.append(&mut other.vacant);
        self.full.append(&mut other.full);
        self.empty.append(&mut other.empty);
    }
}

/// A cache that nobody has, and the magazines that the depot has for it, allocated unlocked.
pub(crate) struct Spare {
    cache: Arc<CachePadded<Cache>>,
    magazines: [Box<Magazine>; SPARE],
}

impl Spare {
    pub(crate) fn new() -> Self {
        Self {
            cache: Arc::new(CachePadded::new(Cache::new())),
            magazines: std::array::from_fn(|_| Magazine::new()),
        }
    }
}

/// What came of asking for a cache.
#[must_use]
pub(crate) enum Registered {
    Cache(Arc<CachePadded<Cache>>),
    /// There is none that is vacant: bring one, and room for so many.
    Needs(usize),
    /// There are as many as the limit allows.
    Enough,
}

impl Depot {
    /// No caches yet, in a pool of so many `items`. `fixed`: how many rounds magazines have, if not
    /// left to us.
    pub(crate) fn new(
        allowed: bool,
        fixed: Option<usize>,
        items: usize,
        quarantine: Option<Quarantine>,
    ) -> Self {
        let mut depot = Self {
            phase: Phase::Scarce,
            sweeps: 0,
            calm: 0,
            allowed,
            fixed,
            rounds: FEW_ROUNDS,
            contended: 0,
            shelves: Shelves::default(),
            owned: 0,
            moved: 0,
            quarantine,
        };
        if (depot.has_room(items) || depot.has_quarantine(items)) && items > 0 {
            depot.phase = Phase::Caching;
        }
        depot
    }

    /// Whether owners may get and put without the lock.
    pub(crate) fn is_caching(&self) -> bool {
        self.phase == Phase::Caching
    }

    /// Whether somebody takes back what is in caches, the `nth` time.
    pub(crate) fn is_sweeping(&self, nth: u64) -> bool {
        self.phase == Phase::Sweeping && self.sweeps == nth
    }

    /// Whether nothing is in caches, and nothing comes in.
    pub(crate) fn is_scarce(&self) -> bool {
        self.phase == Phase::Scarce
    }

    pub(crate) const fn sweeps(&self) -> u64 {
        self.sweeps
    }

    /// Somebody needs what is in caches: begins to take it back, or joins who does. Which time it is;
    /// `None`: there is nothing.
    pub(crate) fn begin_sweep(&mut self) -> Option<u64> {
        match self.phase {
            Phase::Scarce => None,
            Phase::Sweeping => Some(self.sweeps),
            Phase::Caching if self.shelves.caches.is_empty() && self.in_quarantine() == 0 => {
                self.end_sweep();
                None
            }
            Phase::Caching => {
                self.phase = Phase::Sweeping;
                self.sweeps += 1;
                Some(self.sweeps)
            }
        }
    }

    /// All caches have been swept.
    pub(crate) fn end_sweep(&mut self) {
        self.phase = Phase::Scarce;
        self.calm = 0;
    }

    /// An operation in which nobody had to wait, in a pool of so many `items`. Whether owners may get
    /// and put without the lock again: the caller restores the bias.
    #[must_use]
    pub(crate) fn note_calm(&mut self, items: usize) -> bool {
        if self.phase != Phase::Scarce || (!self.allowed && self.quarantine.is_none()) {
            return false;
        }
        self.calm += 1;
        if self.calm < CALM {
            return false;
        }
        self.calm = 0;
        let caches = self.allowed && self.most_rounds(items, self.owned.max(1)) > 0;
        if !caches && !self.has_quarantine(items) {
            return false;
        }
        self.phase = Phase::Caching;
        true
    }

    /// Somebody has to wait.
    pub(crate) fn note_wait(&mut self) {
        self.calm = 0;
    }

    /// The most rounds for magazines of so many caches, in a pool of so many items.
    fn most_rounds(&self, items: usize, caches: usize) -> usize {
        self.fixed.unwrap_or(items / (SHARE * caches)).min(ROUNDS)
    }

    /// How many rounds magazines have now, in a pool of so many items.
    fn rounds(&self, items: usize) -> usize {
        let most = self.most_rounds(items, self.owned.max(1));
        if self.fixed.is_some() { most } else { self.rounds.min(most) }
    }

    /// The lock was found taken.
    pub(crate) fn note_contention(&mut self) {
        self.contended += 1;
        if self.contended >= CONTENDED {
            self.contended = 0;
            self.double();
        }
    }

    fn double(&mut self) {
        self.rounds = (self.rounds * 2).min(ROUNDS);
    }

    /// Whether there may be a cache more, in a pool of so many items.
    pub(crate) fn has_room(&self, items: usize) -> bool {
        self.allowed && self.most_rounds(items, self.owned + 1) > 0
    }

    /// A cache for a thread that has none, in a pool of so many items.
    pub(crate) fn register(
        &mut self,
        items: usize,
        spare: &mut Option<Spare>,
        shelves: &mut Shelves,
    ) -> Registered {
        if !self.has_room(items) {
            return Registered::Enough;
        }
        let cache = if let Some(vacant) = self.shelves.vacant.pop() {
            vacant
        } else {
            let caches = self.shelves.caches.len();
            let is_full = caches == self.shelves.caches.capacity();
            let Some(Spare { cache, magazines }) =
                spare.take_if(|_| !is_full || caches < shelves.caches.capacity())
            else {
                return Registered::Needs(caches + 1);
            };
            if is_full {
                shelves.take_in(&mut self.shelves);
                mem::swap(shelves, &mut self.shelves);
            }
            self.shelves.caches.push(cache.clone());
            self.shelves.empty.extend(magazines);
            cache
        };
        self.owned += 1;
        Registered::Cache(cache)
    }

    /// A cache's owner has ended, and what was in it is out of it.
    pub(crate) fn retire(&mut self, owned: &Owned) {
        self.owned -= 1;
        self.shelves.vacant.push(owned.cache().clone());
    }

    /// All caches there ever were, by number.
    pub(crate) fn cache(&self, at: usize) -> Option<&Arc<CachePadded<Cache>>> {
        self.shelves.caches.get(at)
    }

    /// Loads a full magazine, for an empty one.
    ///
    /// # Safety
    /// As for [`Owned::locked`].
    pub(crate) unsafe fn load(&mut self, owned: &Owned, items: usize) -> Option<Round> {
        let rounds = self.rounds(items);
        // SAFETY: the caller's promise.
        unsafe {
            owned.locked(|magazines| {
                if let Some(round) = magazines.pop() {
                    return Some(round);
                }
                let full = self.shelves.full.pop()?;
                self.moved = self.moved.wrapping_add(full.len() as u64);
                let empty = magazines.exchange(full);
                self.shelves.empty.push(empty);
                magazines.resize(rounds);
                magazines.pop()
            })
        }
    }

    /// Stows a round, for which there is no room in the loaded magazines: loads an empty one. Else it
    /// is the caller's to make room, by [`unload`](Self::unload).
    ///
    /// # Safety
    /// As for [`Owned::locked`].
    pub(crate) unsafe fn stow(&mut self, owned: &Owned, round: Round, items: usize) -> bool {
        let stow = |magazines: &mut Magazines| {
            magazines.resize(self.rounds(items));
            if magazines.push(round) {
                return true;
            }
            let Some(empty) = self.shelves.empty.pop() else {
                self.double();
                magazines.resize(self.rounds(items));
                return magazines.push(round);
            };
            let full = magazines.exchange(empty);
            self.moved = self.moved.wrapping_sub(full.len() as u64);
            // It may have had room for none, before it learnt how many it takes.
            let shelf = if full.len() > 0 { &mut self.shelves.full } else { &mut self.shelves.empty };
            shelf.push(full);
            magazines.resize(self.rounds(items));
            magazines.push(round)
        };
        // SAFETY: the caller's promise.
        unsafe { owned.locked(stow) }
    }

    /// Puts an item into quarantine that was put, if it may have any, in a pool of so many items. `Some`:
    /// what is to go into the pages.
    #[cfg(feature = "hardening")]
    pub(crate) fn quarantine(&mut self, round: Round, items: usize) -> Option<Round> {
        match &mut self.quarantine {
            Some(quarantine) if self.phase == Phase::Caching && quarantine.room(items) > 0 => {
                quarantine.exchange(round, items)
            }
            _ => Some(round),
        }
    }

    fn has_quarantine(&self, items: usize) -> bool {
        self.quarantine.as_ref().is_some_and(|quarantine| quarantine.room(items) > 0)
    }

    fn in_quarantine(&self) -> usize {
        self.quarantine.as_ref().map_or(0, Quarantine::len)
    }

    /// Whether so many items may be kept for critical getters.
    pub(crate) fn check_reserve(&self, items: u32) -> Result<(), ConfigError> {
        if self.quarantine.is_some() { Quarantine::check_reserve(items) } else { Ok(()) }
    }

    /// The rounds that are in the depot, and in quarantine, to be put back.
    pub(crate) fn pop(&mut self) -> Option<Round> {
        if let Some(round) = self.quarantine.as_mut().and_then(Quarantine::pop) {
            return Some(round);
        }
        loop {
            let last = self.shelves.full.last_mut()?;
            if let Some(round) = last.pop() {
                return Some(round);
            }
            let empty = self.shelves.full.pop()?;
            self.shelves.empty.push(empty);
        }
    }

    /// A round left a cache otherwise than by a get.
    pub(crate) fn note_moved_out(&mut self) {
        self.moved = self.moved.wrapping_sub(1);
    }

    /// Gets from caches and puts into them, and how many items are in caches and in the depot. While
    /// owners are at it, they may be one ahead each.
    pub(crate) fn counts(&self) -> (u64, u64, usize) {
        let (mut gets, mut puts) = (0_u64, 0_u64);
        for cache in &self.shelves.caches {
            let (more_gets, more_puts) = cache.counts();
            gets += more_gets;
            puts += more_puts;
        }
        let in_caches = self.moved.wrapping_add(puts).wrapping_sub(gets);
        let in_depot: usize = self.shelves.full.iter().map(|magazine| magazine.len()).sum();
        (
            gets,
            puts,
            in_caches.cast_signed().max(0).cast_unsigned() as usize + in_depot + self.in_quarantine(),
        )
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
