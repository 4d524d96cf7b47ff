//! An arena of numbers, with those who give up and move what they have, and a table of who has what.

use kva::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kva::sync::{Arc, Mutex};
use kva::{Arena, Client, GrowTable, Reclaim, Region, Relocate, Relocation, Shape, Shortage, Span};

use super::failure::{self, holds};
use super::stamp::unique;

const QUANTA: u32 = 48;
const MORE: u32 = 16;
pub(crate) const REGIONS: u32 = 2;
/// How often the oldest may be overtaken, for each quantum of its length.
pub(crate) const BYPASS: u32 = 8;
/// The longest that is asked for.
pub(crate) const LONGEST: u32 = 8;
const LENT: u32 = 12;

/// The arena, its handles and its shelves.
pub(crate) struct Numbers {
    pub(crate) arena: Arena,
    pub(crate) lent: Arena,
    movable: Arena,
    owners: Arc<Owners>,
    spare: Arc<Shelf>,
    moves: Arc<Shelf>,
}

/// Who has which quantum, as those say who have them.
struct Owners(Vec<AtomicU64>);

impl Owners {
    fn take(&self, span: Span, who: u64) {
        for quantum in span.range() {
            // Relaxed: the arena orders those who have it, which is what is checked.
            let before = self.0[quantum as usize].swap(who, Relaxed);
            holds!(before == 0, "no quantum is lent to two", "{span:?} is {before:#x}'s");
        }
    }

    fn give(&self, span: Span, who: u64) {
        for quantum in span.range() {
            let before = self.0[quantum as usize].swap(0, Relaxed);
            holds!(before == who, "no quantum is lent to two", "{span:?} was {before:#x}'s");
        }
    }
}

/// Spans that can be given up, or moved.
struct Shelf {
    arena: Arena,
    owners: Arc<Owners>,
    who: u64,
    spans: Mutex<Vec<Span>>,
    used: AtomicU64,
}

impl Shelf {
    fn new(arena: &Arena, owners: &Arc<Owners>) -> Arc<Self> {
        let (arena, owners) = (arena.clone(), owners.clone());
        Arc::new(Self { arena, owners, who: unique(), spans: Mutex::default(), used: AtomicU64::new(0) })
    }

    fn put(&self, span: Span) {
        self.owners.take(span, self.who);
        self.spans.lock().push(span);
    }

    fn free(&self, span: Span) {
        self.owners.give(span, self.who);
        free(&self.arena, span);
    }

    fn free_one(&self) -> bool {
        let span = self.spans.lock().pop();
        span.map(|span| self.free(span)).is_some()
    }
}

impl Reclaim for Shelf {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let of_use: Vec<_> = self.spans.lock().extract_if(.., |span| shortage.is_within(*span)).collect();
        for span in of_use {
            self.used.fetch_add(1, Relaxed);
            self.free(span);
        }
        // And all else, if need be: what is in the way may have to be moved, which takes room outside of
        // the window.
        while !shortage.is_over() && self.free_one() {
            self.used.fetch_add(1, Relaxed);
        }
    }
}

impl Relocate for Shelf {
    fn relocate(&self, from: Span, to: Span) -> Relocation {
        let mut spans = self.spans.lock();
        let Some(entry) = spans.iter_mut().find(|entry| **entry == from) else {
            return Relocation::Later;
        };
        self.owners.give(from, self.who);
        self.owners.take(to, self.who);
        *entry = to;
        drop(spans);
        self.used.fetch_add(1, Relaxed);
        Relocation::Moved
    }
}

/// What was taken can be freed.
pub(crate) fn free(arena: &Arena, span: Span) {
    let freed = arena.free(span);
    holds!(freed.is_ok(), "what was taken can be freed", "{freed:?}");
}

impl Numbers {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let arena = Arena::with_bypass(Region::numbers(QUANTA), 1, BYPASS)?;
        arena.add_region(Region::numbers(MORE))?;
        let owners = Arc::new(Owners((0..QUANTA + MORE).map(|_| AtomicU64::new(0)).collect()));
        let (spare, moves) = (Shelf::new(&arena, &owners), Shelf::new(&arena, &owners));
        let weak = Arc::downgrade(&spare);
        arena.register(&GrowTable::new(0), weak);
        let relocate = Arc::downgrade(&moves);
        let movable = arena.client(Client::new("movable").quota(16).relocate(relocate))?;
        let lent = arena.client(Client::new("lent").quota(LENT))?;
        Ok(Self { arena, lent, movable, owners, spare, moves })
    }

    /// A span that was just taken, until it is dropped.
    pub(crate) fn hold(&self, span: Span) -> Taken<'_> {
        let me = unique();
        self.owners.take(span, me);
        Taken { numbers: self, span: Some(span), me }
    }

    /// Leaves a span to whoever needs it more.
    pub(crate) fn spare(&self, mut taken: Taken<'_>) {
        if let Some(span) = taken.span.take() {
            self.owners.give(span, taken.me);
            self.spare.put(span);
        }
        self.arena.reap();
    }

    /// Takes one that may be moved, or frees one.
    pub(crate) fn shuffle(&self, len: u32) -> bool {
        let room = self.moves.spans.lock().len() < 8;
        match Shape::new(len).ok().filter(|_| room).map(|shape| self.movable.try_alloc(shape)) {
            Some(Ok(span)) => {
                self.moves.put(span);
                true
            }
            _ => self.moves.free_one(),
        }
    }

    pub(crate) fn is_within_quota(&self) -> bool {
        self.lent.used() <= LENT
    }

    /// How many spans were moved, and given up.
    pub(crate) fn moved(&self) -> (u64, u64) {
        (self.moves.used.load(Relaxed), self.spare.used.load(Relaxed))
    }

    /// Quanta that handles have, as they say.
    pub(crate) fn used(&self) -> u32 {
        self.arena.used() + self.lent.used() + self.movable.used()
    }

    /// Frees what is on the shelves.
    pub(crate) fn clear(&self) {
        while self.spare.free_one() || self.moves.free_one() {}
        let left = self.owners.0.iter().filter(|owner| owner.load(Relaxed) != 0).count();
        holds!(left == 0, "P6: what was taken was given back", "{left} numbers are somebody's still");
    }
}

/// A span of numbers.
pub(crate) struct Taken<'n> {
    numbers: &'n Numbers,
    span: Option<Span>,
    me: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            self.numbers.owners.give(span, self.me);
            free(&self.numbers.arena, span);
        }
    }
}
