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
    /// The kernel's own pages, by quantum.
    wired: Vec<bool>,
    /// Oldest first: quantum and contents. Of those that went out of turn, the entry stays.
    order: VecDeque<(u32, u64)>,
    random: Random,
}

/// What the page daemon goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Knows {
    /// How many pages are free.
    Count,
    /// What is short, and where it may be had.
    Shape,
    /// And that pages in use are moved.
    Moves,
}

impl Knows {
    fn may_move(self) -> bool {
        self == Self::Moves
    }
}

/// The page cache, and the page daemon that frees its pages.
#[derive(Debug)]
pub(crate) struct Cache {
    arena: Arena,
    knows: Knows,
    /// Pages that are to be free: the page daemon's target.
    pub(crate) target: u32,
    pages: Mutex<Pages>,
    pub(crate) evicted: AtomicU64,
    /// Pages whose contents were wrong. There are none.
    pub(crate) damaged: AtomicU64,
}

impl Cache {
    pub(crate) fn new(arena: Arena, knows: Knows, target: u32, seed: u64) -> Self {
        let at = vec![None; arena.quanta() as usize];
        let wired = vec![false; at.len()];
        let pages = Pages { at, wired, order: VecDeque::new(), random: Random(seed) };
        Self {
            arena,
            knows,
            target,
            pages: Mutex::new(pages),
            evicted: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
        }
    }

    /// A page is the kernel's.
    pub(crate) fn wire(&self, span: Span) {
        self.pages.lock().wired[span.start() as usize] = true;
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
            let Some(span) = self.take_anywhere() else { break };
            self.keep(span);
        }
        if spare > 0 && self.knows >= Knows::Shape {
            // There may be a run of nothing but its pages now, where there was none when it was asked.
            self.arena.reap();
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
        self.free_oldest((self.target + more).saturating_sub(self.free()));
    }

    fn free_oldest(&self, pages: u32) {
        for _ in 0..pages {
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

    /// The run of `shape` that is best to be freed, but for those with wired pages: the one with most
    /// of its own pages. Where nothing is moved, only one that has no others.
    fn best_run(&self, shape: Shape) -> Option<u32> {
        let pages = self.pages.lock();
        let runs = (0..self.arena.quanta() / shape.align()).map(|run| run * shape.align());
        let own = runs.filter_map(|start| Some((pages.own_of(&(start..start + shape.len()))?, start)));
        let least = if self.knows.may_move() { 1 } else { shape.len() };
        own.filter(|&(own, _)| own >= least).max_by_key(|&(own, _)| own).map(|(_, start)| start)
    }

    /// Whether a window may come free by what this frees, and by what is moved if that is done.
    fn is_good(&self, window: &Range<u32>) -> bool {
        let withheld = self.arena.stats().withheld;
        let own = self.pages.lock().own_of(window);
        let least = if self.knows.may_move() { 1 } else { window.end - window.start };
        own.is_some_and(|own| own + withheld >= least)
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
    /// How many of these quanta are the cache's; `None` if one is wired, or there are not so many.
    fn own_of(&self, quanta: &Range<u32>) -> Option<u32> {
        let quanta = quanta.start as usize..quanta.end as usize;
        let may_go = !self.wired.get(quanta.clone())?.contains(&true);
        may_go.then(|| self.at[quanta].iter().flatten().count() as u32)
    }

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
        let Some(window) = shortage.window().filter(|_| self.knows >= Knows::Shape) else {
            return self.free_some(shortage.shape().len());
        };
        // The arena aims at where the least is busy, and does not know what is wired.
        let better = if self.is_good(&window) { None } else { self.best_run(shortage.shape()) };
        let len = shortage.shape().len();
        match better.filter(|&start| shortage.aim(start)) {
            Some(start) => self.free_within(start..start + len),
            None => self.free_within(window),
        }
        // What is free in the window is no place for what is moved out of it. And who is behind in
        // line wants pages, and may have tables that others wait for.
        self.free_oldest(len.saturating_sub(self.arena.stats().free));
    }
}
