//! How level-1 tables were had: `uvm_pglistalloc`, and `uvm_wait` where that finds no run.
//!
//! The getter tells the page daemon that it is short, and sleeps until the daemon has been round or
//! a tick has passed; then it tries again. It stands in no line, and nothing is kept for it: a run
//! that comes free between two ticks is anybody's.

use std::alloc::Layout;
use std::io;
use std::ptr::NonNull;
use std::thread;
use std::time::{Duration, Instant};

use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Answer, Arena, GrowId, Shape, Span, SpanGrow};
use pool::Backend;

use super::cache::Cache;
use super::memory::{PAGE, TABLE_PAGES};

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
    /// A table, or `None` if there was none before `deadline`. Each try begins with `kept`.
    pub(crate) fn table(
        &self,
        kept: impl Fn() -> Option<Span>,
        deadline: Instant,
    ) -> Result<Option<Span>, AllocError> {
        let mut more = 0;
        loop {
            if let Some(span) = kept().map_or_else(|| self.try_table(), |span| Ok(Some(span)))? {
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
}

/// The same for a pool, whose getters sleep in the pool: their requests are tried again each tick,
/// by a thread of the pager's.
#[derive(Debug, Clone)]
pub(crate) struct Ticking {
    pager: Pager,
    /// What waits, and what it asks the daemon for next.
    asked: Arc<Mutex<Vec<(SpanGrow, u32)>>>,
}

impl Ticking {
    pub(crate) fn start(pager: Pager) -> io::Result<Self> {
        let this = Self { pager, asked: Arc::default() };
        let ticking = this.clone();
        thread::Builder::new().name("pager".into()).spawn(move || {
            while !ticking.pager.over.load(Relaxed) {
                thread::sleep(TICK);
                ticking.tick();
            }
        })?;
        Ok(this)
    }

    fn tick(&self) {
        let asked = std::mem::take(&mut *self.asked.lock());
        for (grow, more) in asked {
            self.pager.cache.free_some(more);
            let next = (2 * more).clamp(TABLE_PAGES, self.pager.arena.quanta());
            if let Some(grow) = self.serve(grow) {
                self.asked.lock().push((grow, next));
            }
        }
    }

    /// Ends a request, if that can be done now.
    fn serve(&self, grow: SpanGrow) -> Option<SpanGrow> {
        if grow.is_withdrawn() {
            return None;
        }
        let end = self.pager.try_table().transpose();
        let Some(end) = end else { return Some(grow) };
        match (grow.commit(), end) {
            (Ok(committed), Ok(span)) => committed.deliver(span),
            (Ok(committed), Err(error)) => committed.refuse(error),
            (Err(_), Ok(span)) => self.pager.arena.free(span).expect("it was just taken"),
            (Err(_), Err(_)) => {}
        }
        None
    }
}

// SAFETY: the arena hands out each quantum to one span at a time.
unsafe impl Backend for Ticking {
    type Page = Span;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        Some(PAGE)
    }

    fn ask(&self, _: Layout, grow: SpanGrow) -> Answer<Span, AllocError> {
        self.pager.cache.free_some(0);
        match self.pager.try_table() {
            Ok(None) => {
                self.asked.lock().push((grow, TABLE_PAGES));
                Answer::Later
            }
            end => match (grow.commit(), end) {
                (Ok(committed), end) => Answer::Now(committed, end.map(|span| span.expect("not none"))),
                (Err(_), Ok(Some(span))) => {
                    self.pager.arena.free(span).expect("it was just taken");
                    Answer::Withdrawn
                }
                (Err(_), _) => Answer::Withdrawn,
            },
        }
    }

    fn try_page(&self, _: Layout) -> Result<Option<Span>, AllocError> {
        self.pager.try_table()
    }

    fn forget(&self, id: GrowId) {
        // Dropped unlocked.
        let _gone = {
            let asked = &mut *self.asked.lock();
            asked.iter().position(|(grow, _)| grow.id() == id).map(|at| asked.swap_remove(at))
        };
    }

    fn release(&self, page: Span, _: Layout) {
        self.pager.arena.free(page).expect("a pool gives back what it was given");
    }

    fn base(&self, page: &Span) -> NonNull<u8> {
        self.pager.arena.ptr(*page).expect("the arena has memory")
    }
}
