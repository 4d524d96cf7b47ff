//! An arena as a back-end: it keeps the token and sleeps nowhere.

use std::alloc::Layout;
use std::ptr::NonNull;

use kva::sync::{Arc, Weak};
use kva::{AllocError, Answer, Arena, Clock, GrowId, GrowTable, Reclaim, Shape, Span, SpanGrow};

use super::Backend;

/// `page` in quanta of the arena. A page that cannot be said in quanta is larger than
/// any arena: it becomes the largest shape there is, and is refused as too large.
pub(crate) fn shape_of(arena: &Arena, page: Layout) -> Shape {
    let quantum = arena.quantum();
    let quanta = |bytes: usize| u32::try_from(bytes.div_ceil(quantum)).ok();
    let len = quanta(page.size()).unwrap_or(u32::MAX);
    let align = quanta(page.align()).unwrap_or(1 << 31);
    Shape::aligned(len, align).expect("a layout's alignment is a power of two, and a page is not empty")
}

/// Where a span's memory starts.
///
/// # Panics
/// If the arena is one of numbers, which cannot be a pool's back-end.
pub(super) fn base_of(arena: &Arena, span: Span) -> NonNull<u8> {
    arena.ptr(span).expect("an arena of numbers has no memory to pool")
}

// SAFETY: an arena hands out each quantum to one span at a time, and the memory behind it
// is valid while the arena lives (`Region`).
unsafe impl Backend for Arena {
    type Page = Span;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        self.has_memory().then(|| self.quantum())
    }

    fn ask(&self, page: Layout, grow: SpanGrow) -> Answer<Span, AllocError> {
        self.ask(shape_of(self, page), grow)
    }

    fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
        match self.try_alloc(shape_of(self, page)) {
            Ok(span) => Ok(Some(span)),
            Err(AllocError::Scarce) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn forget(&self, id: GrowId) {
        self.forget(id);
    }

    fn release(&self, page: Span, _: Layout) {
        let freed = self.free(page);
        debug_assert_eq!(freed, Ok(()), "a pool gives back what it was given, once");
    }

    fn yield_to_older(&self, page: Span, _: Layout, moment: u64) -> Option<Span> {
        let gone = self.yield_to_older(page, moment);
        debug_assert!(gone.is_ok(), "a pool gives away what it was given");
        (gone != Ok(true)).then_some(page)
    }

    fn base(&self, page: &Span) -> NonNull<u8> {
        base_of(self, *page)
    }

    fn clock(&self) -> Arc<Clock> {
        self.clock().clone()
    }

    fn arena(&self) -> Option<&Arena> {
        Some(self)
    }

    fn attach(&self, table: &GrowTable, pool: Weak<dyn Reclaim>) {
        self.register(table, pool);
    }
}
