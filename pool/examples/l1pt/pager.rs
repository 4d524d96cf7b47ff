//! How level-1 tables were had: `uvm_pglistalloc`, and `uvm_wait` where that finds no run.
//!
//! The getter tells the page daemon that it is short, and sleeps until the daemon has been round or
//! a tick has passed; then it tries again. It stands in no line, and nothing is kept for it: a run
//! that comes free between two ticks is anybody's.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::thread;
use std::time::{Duration, Instant};

use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kva::{AllocError, Arena, Claim, Shape, Span};
use pool::PageAllocator;

use super::cache::Cache;
use super::memory::TABLE_PAGES;

/// Between two tries: a tick of a kernel of 100 Hz.
const TICK: Duration = Duration::from_millis(10);

/// The allocator of level-1 tables that knows pages only.
#[derive(Debug, Clone)]
pub(crate) struct Pager {
    pub(crate) arena: Arena,
    pub(crate) cache: Arc<Cache>,
    /// Whether each try asks the daemon for twice as much as the one before.
    pub(crate) asks_for_more: bool,
    /// Whether the run is over.
    pub(crate) over: Arc<AtomicBool>,
}

/// 16 KiB at 16 KiB.
pub(crate) fn table_shape() -> Shape {
    Shape::aligned(TABLE_PAGES, TABLE_PAGES).expect("a power of two")
}

impl Pager {
    /// A table, or `None` if there was none before `deadline`.
    pub(crate) fn table(&self, deadline: Instant) -> Result<Option<Span>, AllocError> {
        let mut more = 0;
        loop {
            if let Some(span) = self.try_table()? {
                return Ok(Some(span));
            }
            self.cache.free_some(more);
            // The daemon wakes who waits, whether or not it has done anything.
            if let Some(span) = self.try_table()? {
                return Ok(Some(span));
            }
            let now = Instant::now();
            if now >= deadline || self.over.load(Relaxed) {
                return Ok(None);
            }
            if self.asks_for_more {
                more = (2 * more).clamp(TABLE_PAGES, self.arena.quanta());
            }
            thread::sleep(TICK.min(deadline - now));
        }
    }

    fn try_table(&self) -> Result<Option<Span>, AllocError> {
        match self.arena.try_alloc(table_shape()) {
            Ok(span) => Ok(Some(span)),
            Err(AllocError::Scarce) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn address(&self, span: Span) -> NonNull<u8> {
        self.arena.ptr(span).expect("the arena has memory")
    }
}

/// The classic pair of functions, for a pool. It knows no claims.
// SAFETY: the arena hands out each quantum to one span at a time.
unsafe impl PageAllocator for Pager {
    type Error = AllocError;

    fn alloc(
        &self,
        _: Layout,
        _: Claim<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<NonNull<u8>>, AllocError> {
        let deadline = deadline.expect("every getter has a deadline");
        Ok(self.table(deadline)?.map(|span| self.address(span)))
    }

    fn try_alloc(&self, _: Layout) -> Result<Option<NonNull<u8>>, AllocError> {
        Ok(self.try_table()?.map(|span| self.address(span)))
    }

    fn free(&self, base: NonNull<u8>, _: Layout) {
        // SAFETY: the pool frees what it was given.
        let span = unsafe { self.arena.span_at(base) }.expect("a pool frees what it was given");
        self.arena.free(span).expect("and once");
    }
}
