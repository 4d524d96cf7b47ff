//! The page cache: it takes what is free, and gives back when it is told to.
//!
//! A page is read in wherever one is free, so the oldest ones, which go first, lie anywhere. Who
//! is told *how many* pages are short frees those, and there is enough free, and no run. Who is
//! told *what* is short, and where, frees what is in the way.
//!
//! The lock is never held in a call of the arena, which may call the hook.

use std::collections::VecDeque;
use std::ops::Range;

use kva::sync::Mutex;
use kva::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kva::{AllocError, Arena, Placement, Reclaim, Shape, Shortage, Span};

use super::memory::{self, PAGE, Random};

/// A page is looked for in so many quanta at a random place first.
const NEIGHBOURHOOD: u32 = 64;
/// How many neighbourhoods are looked at.
const TRIES: u32 = 4;

/// A page of a file.
#[derive(Debug, Clone, Copy)]
struct Page {
    span: Span,
    /// What is in it.
    seed: u64,
}

#[derive(Debug)]
struct Pages {
    /// By quantum.
    at: Vec<Option<Page>>,
    /// Oldest first: quantum and contents. Of those that went out of turn, the entry stays.
    order: VecDeque<(u32, u64)>,
    random: Random,
}

/// The page cache.
#[derive(Debug)]
pub(crate) struct Cache {
    arena: Arena,
    /// Whether it frees by shape and not by count.
    knows_the_shape: bool,
    /// Pages that are to be free: the page daemon's target.
    pub(crate) target: u32,
    pages: Mutex<Pages>,
    pub(crate) evicted: AtomicU64,
    /// Pages whose contents were wrong. There are none.
    pub(crate) damaged: AtomicU64,
}

impl Cache {
    pub(crate) fn new(arena: Arena, knows_the_shape: bool, target: u32, seed: u64) -> Self {
        let at = vec![None; arena.quanta() as usize];
        let pages = Pages { at, order: VecDeque::new(), random: Random(seed) };
        Self {
            arena,
            knows_the_shape,
            target,
            pages: Mutex::new(pages),
            evicted: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
        }
    }

    /// Reads a page into `span`.
    pub(crate) fn keep(&self, span: Span) {
        let seed = self.pages.lock().random.next().expect("it has no end");
        let base = self.arena.ptr(span).expect("the arena has memory");
        // SAFETY: the span was just taken, nobody else knows it.
        unsafe { memory::fill(base, PAGE, seed) };
        let pages = &mut *self.pages.lock();
        pages.at[span.start() as usize] = Some(Page { span, seed });
        pages.order.push_back((span.start(), seed));
    }

    /// A page to begin with.
    pub(crate) fn take(&self) -> Result<Span, AllocError> {
        self.arena.try_alloc(Shape::new(1).expect("not empty"))
    }

    /// Frees all of them.
    pub(crate) fn give_all(&self) {
        self.free_within(0..self.arena.quanta());
    }

    /// Reads pages, as many as leave the target free, at most `most`.
    pub(crate) fn read(&self, most: u32) {
        let spare = self.free().saturating_sub(self.target).min(most);
        for _ in 0..spare {
            let Some(span) = self.take_anywhere() else { return };
            self.keep(span);
        }
    }

    /// A free page at a random place.
    fn take_anywhere(&self) -> Option<Span> {
        let page = Shape::new(1).expect("not empty");
        let size = self.arena.quanta();
        for _ in 0..TRIES {
            let start = self.pages.lock().random.below(size.div_ceil(NEIGHBOURHOOD)) * NEIGHBOURHOOD;
            let near = Placement::from(page).within(start..(start + NEIGHBOURHOOD).min(size));
            if let Ok(span) = self.arena.try_alloc(near.expect("a neighbourhood has room for a page")) {
                return Some(span);
            }
        }
        self.arena.try_alloc(page).ok()
    }

    /// Pages that are free.
    pub(crate) fn free(&self) -> u32 {
        let stats = self.arena.stats();
        stats.free + stats.withheld
    }

    /// What a page daemon does that counts: frees the oldest pages until the target and `more` are
    /// free, and nothing if they are.
    pub(crate) fn free_some(&self, more: u32) {
        let short = (self.target + more).saturating_sub(self.free());
        for _ in 0..short {
            let Some(page) = self.pages.lock().oldest() else { return };
            self.evict(page);
        }
    }

    /// Frees its pages in `window`.
    fn free_within(&self, window: Range<u32>) {
        for quantum in window {
            let page = self.pages.lock().at[quantum as usize].take();
            if let Some(page) = page {
                self.evict(page);
            }
        }
    }

    /// How many of its pages are in `window`.
    fn has_within(&self, window: Range<u32>) -> u32 {
        let pages = self.pages.lock();
        window.filter(|&quantum| pages.at[quantum as usize].is_some()).count() as u32
    }

    /// The oldest page that is in a run of `shape` of nothing but its pages: that run.
    fn run_of(&self, shape: Shape) -> Option<Range<u32>> {
        let pages = self.pages.lock();
        let is_ours = |run: &Range<u32>| {
            let run = pages.at.get(run.start as usize..run.end as usize);
            run.is_some_and(|run| run.iter().all(Option::is_some))
        };
        let runs = pages.order.iter().map(|&(quantum, _)| {
            let start = quantum / shape.align() * shape.align();
            start..start + shape.len()
        });
        runs.into_iter().find(is_ours)
    }

    fn evict(&self, page: Page) {
        let base = self.arena.ptr(page.span).expect("the arena has memory");
        // SAFETY: whoever takes a page out of `pages` has it alone, and `keep` filled it.
        let intact = unsafe { memory::is_intact(base, PAGE, page.seed) };
        self.damaged.fetch_add(u64::from(!intact), Relaxed);
        self.evicted.fetch_add(1, Relaxed);
        self.arena.free(page.span).expect("it was taken");
    }
}

impl Pages {
    fn oldest(&mut self) -> Option<Page> {
        while let Some((quantum, seed)) = self.order.pop_front() {
            let at = &mut self.at[quantum as usize];
            if at.is_some_and(|page| page.seed == seed) {
                return at.take();
            }
        }
        None
    }
}

/// The page daemon, woken by who waits in the arena.
impl Reclaim for Cache {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let Some(window) = shortage.window().filter(|_| self.knows_the_shape) else {
            return self.free_some(shortage.shape().len());
        };
        let missing = (window.end - window.start).saturating_sub(self.arena.stats().withheld);
        if self.has_within(window.clone()) < missing {
            // Something in the window is not its own, and may be wired. Where it can free another
            // run, that is the better place, and the window moves there.
            if let Some(run) = self.run_of(shortage.shape()) {
                return self.free_within(run);
            }
        }
        self.free_within(window);
    }
}
