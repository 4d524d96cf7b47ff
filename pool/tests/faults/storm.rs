//! Threads and tasks at a pool whose back-end does at random what a back-end may do at its worst: it
//! fails, panics, forgets a request, hangs, or delivers late. Whoever waits is served or told, though what
//! hangs ends only when all wait; and in the end nothing is lost.

use std::alloc::Layout;
use std::any::Any;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::ptr::NonNull;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use kva::sync::{Arc, Mutex, Weak};
use kva::{AllocError, Answer, Arena, Clock, Committed, Grow, GrowId, GrowTable, Reclaim, Span, Work};
use pool::{Backend, GetError, RawPool, TryGetError};

use super::support::{
    CloseOnPanic, QUANTUM, Random, arena, assert_rests, blocks, poll_once, put, until, wait_for,
};
use super::watchdog::Watchdog;

const HARD_LIMIT: u32 = 4;
/// What hangs has a slot of the limit.
const MOST_HUNG: usize = 2;
const THREADS: usize = 4;
const ROUNDS: usize = 800;
const SEEDS: usize = 8;
/// What a request fails with that is made to.
const FAILED: AllocError = AllocError::Commit(ErrorKind::Other);

/// What is panicked with.
struct Injected;

type Request = Committed<Span, AllocError>;

/// Everything that goes wrong. Each kind is counted, so that a test knows that it happened.
struct Faults {
    random: Mutex<Random>,
    on: AtomicBool,
    late: Mutex<Vec<Request>>,
    hung: Mutex<Vec<Request>>,
    counts: [AtomicU64; KINDS],
}

const KINDS: usize = 9;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Fails,
    Panics,
    Forgets,
    Hangs,
    Late,
    DrivenFails,
    DrivenPanics,
    DrivenBrings,
    ReleasePanics,
}

struct Faulty {
    arena: Arena,
    faults: Arc<Faults>,
}

impl Faults {
    fn new(seed: usize) -> Arc<Self> {
        Arc::new(Self {
            random: Mutex::new(Random::new(seed)),
            on: AtomicBool::new(true),
            late: Mutex::new(Vec::new()),
            hung: Mutex::new(Vec::new()),
            counts: [const { AtomicU64::new(0) }; KINDS],
        })
    }

    /// With one chance in so many.
    fn strikes(&self, chances: u64) -> bool {
        self.on.load(SeqCst) && self.random.lock().below(chances) == 0
    }

    fn count(&self, kind: Kind) {
        self.counts[kind as usize].fetch_add(1, SeqCst);
    }

    fn panics(&self, kind: Kind) -> ! {
        self.count(kind);
        resume_unwind(Box::new(Injected));
    }

    /// The next that is late, and any other with it.
    fn next_late(&self) -> Option<Request> {
        let some = self.random.lock().below(1 << 16) as usize;
        let mut late = self.late.lock();
        let at = some % late.len().max(1);
        (!late.is_empty()).then(|| late.swap_remove(at))
    }
}

impl Faulty {
    /// Ends a request as an arena would by now, with a page or without.
    fn end(arena: &Arena, faults: &Faults, request: Request) {
        // With half of them, as one that had none.
        let page = if faults.strikes(2) { Ok(None) } else { arena.try_page(page()) };
        match page {
            Ok(Some(page)) => request.deliver(page),
            Ok(None) => request.refuse(FAILED),
            Err(error) => request.refuse(error),
        }
    }

    /// A page that comes as it is driven.
    fn driven(&self, request: Request) -> Work {
        let (arena, faults) = (self.arena.clone(), self.faults.clone());
        let (mut request, mut polls) = (Some(request), 0);
        Work::new(poll_fn(move |context| {
            polls += 1;
            if polls < 3 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if faults.strikes(3) {
                faults.panics(Kind::DrivenPanics);
            }
            if let Some(request) = request.take() {
                faults.count(if faults.strikes(3) { Kind::DrivenFails } else { Kind::DrivenBrings });
                Self::end(&arena, &faults, request);
            }
            Poll::Ready(())
        }))
    }
}

fn page() -> Layout {
    Layout::from_size_align(QUANTUM, 8).unwrap()
}

// SAFETY: pages are the arena's, which promises the same.
unsafe impl Backend for Faulty {
    type Page = Span;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        Backend::granule(&self.arena)
    }

    fn ask(&self, page: Layout, grow: Grow<Span, AllocError>) -> Answer<Span, AllocError> {
        let faults = &*self.faults;
        if faults.strikes(8) {
            faults.panics(Kind::Panics);
        }
        if faults.strikes(8) {
            faults.count(Kind::Forgets);
            drop(grow);
            return Answer::Later;
        }
        if !faults.strikes(2) {
            return Backend::ask(&self.arena, page, grow);
        }
        let Ok(committed) = grow.commit() else { return Answer::Withdrawn };
        let how = faults.random.lock().below(6);
        match how {
            0 => {
                faults.count(Kind::Fails);
                return Answer::Now(committed, Err(FAILED));
            }
            1..=3 => return Answer::Driven(self.driven(committed)),
            4 => {
                let mut hung = faults.hung.lock();
                if hung.len() < MOST_HUNG {
                    faults.count(Kind::Hangs);
                    hung.push(committed);
                    return Answer::Later;
                }
                drop(hung);
                faults.late.lock().push(committed);
            }
            _ => faults.late.lock().push(committed),
        }
        faults.count(Kind::Late);
        Answer::Later
    }

    fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
        if self.faults.strikes(6) {
            self.faults.panics(Kind::Panics);
        }
        if self.faults.strikes(6) {
            return Err(FAILED);
        }
        self.arena.try_page(page)
    }

    fn forget(&self, id: GrowId) {
        Backend::forget(&self.arena, id);
        if self.faults.strikes(6) {
            self.faults.panics(Kind::Panics);
        }
    }

    fn release(&self, page: Span, layout: Layout) {
        Backend::release(&self.arena, page, layout);
        if self.faults.strikes(6) {
            self.faults.panics(Kind::ReleasePanics);
        }
    }

    fn base(&self, page: &Span) -> NonNull<u8> {
        Backend::base(&self.arena, page)
    }

    fn clock(&self) -> Arc<Clock> {
        Backend::clock(&self.arena)
    }

    fn attach(&self, table: &GrowTable, pool: Weak<dyn Reclaim>) {
        self.arena.attach(table, pool);
    }
}

/// Stops what was injected, and lets everything else go on.
fn stops<R>(act: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(act)).map_err(expected).ok()
}

fn expected(panic: Box<dyn Any + Send>) {
    if !panic.is::<Injected>() {
        resume_unwind(panic);
    }
}

fn is_told(error: &GetError<AllocError>) {
    let known = matches!(error, GetError::Backend(FAILED) | GetError::Abandoned | GetError::TimedOut(_));
    assert!(known, "{error:?}");
}

/// One get, by a thread or a task, and what was got.
fn gets(pool: &RawPool<Faulty>, random: &mut Random) -> Vec<NonNull<u8>> {
    let got = match random.below(6) {
        0 => pool.get().map(|item| vec![item]),
        1 => wait_for(pool.get_async()).map(|item| vec![item]),
        2 => pool.get_timeout(Duration::from_micros(random.below(200))).map(|item| vec![item]),
        3 => pool.get_many(2),
        4 => {
            // Dropped after a few polls, whatever it was about to have.
            let mut getting = pin!(pool.get_async());
            let had = (0..random.below(4)).find_map(|_| match poll_once(getting.as_mut()) {
                Poll::Ready(had) => Some(had),
                Poll::Pending => None,
            });
            had.map_or(Ok(Vec::new()), |had| had.map(|item| vec![item]))
        }
        _ => match pool.try_get() {
            Ok(item) => Ok(vec![item]),
            Err(TryGetError::Backend(error)) => Err(GetError::Backend(error)),
            Err(_) => Ok(Vec::new()),
        },
    };
    got.inspect_err(is_told).unwrap_or_default()
}

/// One thread fewer.
struct Leaves<'a>(&'a AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

fn storm(seed: usize, totals: &mut [u64; KINDS]) {
    let memory = arena(HARD_LIMIT as usize + 1);
    let faults = Faults::new(seed);
    let backend = Faulty { arena: memory.clone(), faults: faults.clone() };
    let pool = blocks(HARD_LIMIT).high_water(0).bypass(2).build(backend).unwrap();
    let watched = pool.clone();
    let _watchdog = Watchdog::new("a storm", move || format!("seed {seed}: {watched:?}"));
    let alive = AtomicUsize::new(THREADS);
    thread::scope(|scope| {
        let (pool, memory, faults, alive) = (&pool, &memory, &*faults, &alive);
        scope.spawn(move || {
            while alive.load(SeqCst) > 0 {
                // What hangs ends only where nobody is left who might put.
                let all_wait = pool.stats().waiting == alive.load(SeqCst);
                let hung = || all_wait.then(|| faults.hung.lock().pop()).flatten();
                if let Some(request) = faults.next_late().or_else(hung) {
                    stops(|| Faulty::end(memory, faults, request));
                }
                thread::yield_now();
            }
        });
        for number in 0..THREADS {
            scope.spawn(move || {
                let _closes = CloseOnPanic(pool);
                let _leaves = Leaves(alive);
                let mut random = Random::new(seed * 100 + number);
                for _ in 0..ROUNDS {
                    let items = stops(|| gets(pool, &mut random)).unwrap_or_default();
                    let stats = pool.stats();
                    assert!(stats.pages + stats.growing <= HARD_LIMIT, "P1: {stats:?}");
                    for item in items {
                        // It is put, whatever else panics.
                        stops(|| put(pool, item).unwrap());
                    }
                    if random.below(4) == 0 {
                        stops(|| pool.drain());
                    }
                }
            });
        }
    });
    faults.on.store(false, SeqCst);
    // What hung comes at last, with a page or without.
    let hung = std::mem::take(&mut *faults.hung.lock());
    let late = std::mem::take(&mut *faults.late.lock());
    for (at, request) in hung.into_iter().chain(late).enumerate() {
        if at % 2 == 0 {
            Faulty::end(&memory, &faults, request);
        }
    }
    until(|| pool.stats().growing == 0);
    // Whoever comes next is served.
    put(&pool, pool.get().unwrap()).unwrap();
    assert_rests(&pool, &memory);
    for (total, count) in totals.iter_mut().zip(&faults.counts) {
        *total += count.load(SeqCst);
    }
}

#[test]
fn a_back_end_at_its_worst() {
    let mut totals = [0; KINDS];
    for seed in 0..SEEDS {
        storm(seed, &mut totals);
    }
    println!("fails, panics, forgets, hangs, late, driven: fails, panics, brings, release: {totals:?}");
    assert!(totals.iter().all(|&count| count > 0), "each fault happened: {totals:?}");
}
