//! What the tests of this folder share: small arenas, who asks by token, and the check of rest
//! (P6).

#![allow(dead_code, reason = "each test uses some of it")]

use std::thread;

use kva::sync::{Arc, Mutex};
use kva::{
    AllocError, Answer, Arena, GrowId, GrowTable, Placement, Reclaim, Refusal, Region, Shape, Sink, Span,
    SpanGrow,
};

pub(crate) fn numbers(quanta: u32) -> Arena {
    Arena::new(Region::numbers(quanta), 1).unwrap()
}

pub(crate) fn with_bypass(quanta: u32, bypass: u32) -> Arena {
    Arena::with_bypass(Region::numbers(quanta), 1, bypass).unwrap()
}

pub(crate) fn shape(len: u32) -> Shape {
    Shape::new(len).unwrap()
}

pub(crate) fn aligned(len: u32) -> Shape {
    Shape::aligned(len, len).unwrap()
}

/// All quanta that are free, in order, each as a span.
pub(crate) fn take_each(arena: &Arena) -> Vec<Span> {
    let mut all: Vec<_> = std::iter::from_fn(|| arena.try_alloc(shape(1)).ok()).collect();
    all.sort_by_key(|span| span.start());
    all
}

pub(crate) fn free_all(arena: &Arena, spans: impl IntoIterator<Item = Span>) {
    for span in spans {
        arena.free(span).unwrap();
    }
}

/// Returns once it is so.
pub(crate) fn until(mut it_is_so: impl FnMut() -> bool) {
    while !it_is_so() {
        thread::yield_now();
    }
}

/// Returns once `waiting` requests wait.
pub(crate) fn until_waiting(arena: &Arena, waiting: usize) {
    until(|| arena.stats().waiting == waiting);
}

/// P6, of an arena of so many regions.
pub(crate) fn assert_rests(arena: &Arena, regions: u32) {
    let stats = arena.stats();
    let rest = (stats.free, stats.free_runs, stats.waiting, stats.withheld);
    assert_eq!(rest, (stats.quanta, regions, 0, 0), "{stats:?}");
}

pub(crate) fn assert_whole(arena: &Arena) {
    assert_rests(arena, 1);
}

/// Lets a failed test end, instead of joining those who wait for ever.
pub(crate) struct CloseOnPanic<'a>(pub(crate) &'a Arena);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
        }
    }
}

pub(crate) type End = Result<Span, Refusal<AllocError>>;

#[derive(Default)]
struct Ends(Mutex<Vec<(GrowId, End)>>);

impl Sink<Span, AllocError> for Ends {
    fn finish(&self, id: GrowId, end: End) {
        self.0.lock().push((id, end));
    }
}

/// Who asks by token.
pub(crate) struct Asker {
    pub(crate) table: Arc<GrowTable>,
    ends: Arc<Ends>,
}

impl Asker {
    pub(crate) fn new(slots: u32) -> Self {
        Self { table: GrowTable::new(slots), ends: Arc::default() }
    }

    pub(crate) fn reserve(&self, arena: &Arena, slot: u32) -> SpanGrow {
        self.table.reserve(slot, arena.clock().now(), self.ends.clone())
    }

    /// Asks; what it is told at once is among the ends.
    pub(crate) fn ask(&self, arena: &Arena, slot: u32, placement: impl Into<Placement>) -> GrowId {
        let grow = self.reserve(arena, slot);
        let id = grow.id();
        if let Answer::Now(committed, end) = arena.ask(placement, grow) {
            committed.finish(end.map_err(Refusal::Error));
        }
        id
    }

    pub(crate) fn withdraw(&self, arena: &Arena, id: GrowId) {
        if self.table.withdraw(id) {
            arena.forget(id);
        }
    }

    pub(crate) fn ends(&self) -> Vec<End> {
        self.ends_by_id().into_iter().map(|(_, end)| end).collect()
    }

    /// What it was told, and of which of its requests.
    pub(crate) fn ends_by_id(&self) -> Vec<(GrowId, End)> {
        std::mem::take(&mut *self.ends.0.lock())
    }

    /// What it was granted.
    pub(crate) fn granted(&self) -> Vec<Span> {
        self.ends().into_iter().map(Result::unwrap).collect()
    }
}

/// A hook of nobody who asks.
pub(crate) fn register(arena: &Arena, hook: &Arc<impl Reclaim + 'static>) {
    arena.register(&GrowTable::new(0), Arc::downgrade(hook) as _);
}

/// xorshift64*: the same on every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % u64::from(bound)) as u32
    }
}
