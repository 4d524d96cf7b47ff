//! Each async operation, dropped after each of its polls, whatever happens in between: every sequence of
//! events that is short enough. Then nothing is lost (P5), whoever waits is served, all is at rest (P6);
//! and no poll finds anything that it was not woken for (P2).
//!
//! `cargo xtask cancel` shows the table.

#![cfg(not(loom))]

mod support;

use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kva::sync::{Arc, Mutex};
use kva::{Arena, Span};
use pool::{AsyncFactory, Backend, OwnedItem, Pool, RawPool};
use support::{Task, arena, assert_whole, objects, poll_once, take};

/// Of all pools, when a run begins: two objects are out, and a third can be had.
const HARD_LIMIT: u32 = 3;
const HELD: usize = 2;
/// After how many polls it is dropped at most, with an event after each.
const POLLS: usize = 4;

/// What happens between two polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Nothing,
    /// Somebody puts.
    Put,
    /// The back-end has a page; of what somebody else made, a creation or a validation, one step is done.
    Page,
    Close,
    /// The limit comes down to what is out.
    Lower,
    /// Somebody else begins to wait.
    Rival,
}

const EVENTS: [Event; 6] =
    [Event::Nothing, Event::Put, Event::Page, Event::Close, Event::Lower, Event::Rival];

/// Steps of callers' futures, each of which waits until it is let through.
#[derive(Debug, Clone, Default)]
struct Gate(Arc<Mutex<Waits>>);

#[derive(Debug, Default)]
struct Waits {
    open: usize,
    wakers: Vec<Waker>,
    /// Creations and objects there are.
    live: usize,
}

impl Gate {
    /// Lets everybody through the first so many steps.
    fn open(&self, steps: usize) {
        let mut waits = self.0.lock();
        waits.open = waits.open.saturating_add(steps);
        let wakers = std::mem::take(&mut waits.wakers);
        drop(waits);
        wakers.into_iter().for_each(Waker::wake);
    }

    async fn pass(&self, step: usize) {
        std::future::poll_fn(|context| {
            let mut waits = self.0.lock();
            if waits.open > step {
                return Poll::Ready(());
            }
            waits.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn counted(&self) -> Counted {
        self.0.lock().live += 1;
        Counted(self.clone())
    }
}

/// What is counted as long as it is there.
struct Counted(Gate);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.lock().live -= 1;
    }
}

/// What was got, or how that failed; dropped as one.
type Outcome = Result<Box<dyn Send>, String>;
type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

fn boxed<T: Send + 'static, E: Debug>(outcome: Result<T, E>) -> Outcome {
    outcome.map(|had| Box::new(had) as _).map_err(|error| format!("{error:?}"))
}

/// A pool, and what a run can do to it.
trait World {
    /// The operation that is looked at.
    fn begin(&self) -> Running;
    /// A plain get.
    fn get(&self) -> Running;
    fn put(&mut self);
    fn page(&mut self);
    fn close(&self);
    fn lower(&self);
    /// Pages held and asked for, of how many; idle items and getters that wait.
    fn looks(&self) -> (u32, u32, usize, usize);
    /// P6, once everything was let go.
    fn assert_rest(self: Box<Self>);
}

/// What a pool of objects is asked for.
type Begin<T, B> = fn(&Pool<T, B>) -> Running;

struct Typed<T: Send + 'static, B: Backend> {
    pool: Pool<T, B>,
    begin: Begin<T, B>,
    held: Vec<OwnedItem<T, B>>,
    memory: Option<(Arena, Option<Span>)>,
    gate: Gate,
}

impl<T: Send + 'static, B: Backend<Error: Debug>> World for Typed<T, B> {
    fn begin(&self) -> Running {
        (self.begin)(&self.pool)
    }

    fn get(&self) -> Running {
        let getting = self.pool.get_owned_async();
        Box::pin(async { boxed(getting.await) })
    }

    fn put(&mut self) {
        self.held.pop();
    }

    fn page(&mut self) {
        if let Some((memory, span)) = &mut self.memory {
            span.take().inspect(|span| memory.free(*span).unwrap());
        }
        self.gate.open(1);
    }

    fn close(&self) {
        self.pool.close();
    }

    fn lower(&self) {
        self.pool.set_hard_limit(HELD as u32).unwrap();
    }

    fn looks(&self) -> (u32, u32, usize, usize) {
        let stats = self.pool.stats();
        (stats.pages + stats.growing, stats.hard_limit, stats.idle, stats.waiting)
    }

    fn assert_rest(mut self: Box<Self>) {
        self.held.clear();
        self.pool.drain();
        let stats = self.pool.stats();
        assert_eq!((stats.out, stats.waiting, stats.growing, stats.pages), (0, 0, 0, 0), "{stats:?}");
        assert_eq!(stats.gets, stats.puts, "{stats:?}");
        assert_eq!(self.gate.0.lock().live, 0, "what was made or begun has ended");
        if let Some((memory, _)) = &self.memory {
            assert_whole(memory);
        }
    }
}

/// The arena has pages for those that are held, and another that somebody else has. `idle`: how many of
/// those that were held are idle.
fn with_arena(
    idle: usize,
    pool: impl FnOnce(Arena, &Gate) -> Pool<support::Block>,
    begin: Begin<support::Block, Arena>,
) -> Box<dyn World> {
    let memory = arena(HELD + 1);
    let gate = Gate::default();
    let pool = pool(memory.clone(), &gate);
    let mut held: Vec<_> = (0..HELD).map(|_| pool.get_owned().unwrap()).collect();
    held.truncate(HELD - idle);
    let span = take(&memory, 1);
    Box::new(Typed { pool, begin, held, memory: Some((memory, Some(span))), gate })
}

type Made = AsyncFactory<Counted, Infallible>;

/// A creation takes two steps.
async fn create(gate: Gate) -> Result<Counted, Infallible> {
    let _begun = gate.counted();
    gate.pass(0).await;
    gate.pass(1).await;
    Ok(gate.counted())
}

/// `validates`: what is got again takes a step, and one of them is idle.
fn with_factory(validates: bool, begin: Begin<Counted, Made>) -> Box<dyn World> {
    let gate = Gate::default();
    let creates = gate.clone();
    let mut builder = Pool::from_factory(HARD_LIMIT, AsyncFactory::new(move || create(creates.clone())));
    if validates {
        let gate = gate.clone();
        builder = builder.validate_async(move |_| {
            let gate = gate.clone();
            Box::pin(async move {
                gate.pass(0).await;
                true
            })
        });
    }
    let pool = builder.build().unwrap();
    gate.open(2);
    let mut held: Vec<_> = (0..HELD).map(|_| pool.get_owned().unwrap()).collect();
    gate.0.lock().open = 0;
    if validates {
        held.pop();
    }
    Box::new(Typed { pool, begin, held, memory: None, gate })
}

/// A sleep that ends when it is told to: never.
fn with_timer(memory: Arena, _: &Gate) -> Pool<support::Block> {
    objects(HARD_LIMIT).timer(|_| std::future::pending()).build(memory).unwrap()
}

fn plain(memory: Arena, _: &Gate) -> Pool<support::Block> {
    objects(HARD_LIMIT).build(memory).unwrap()
}

/// What is got again takes a step to validate.
fn validating(memory: Arena, gate: &Gate) -> Pool<support::Block> {
    let gate = gate.clone();
    let builder = objects(HARD_LIMIT).validate_async(move |_| {
        let gate = gate.clone();
        Box::pin(async move {
            gate.pass(0).await;
            true
        })
    });
    builder.build(memory).unwrap()
}

/// Memory, which has no guards.
struct Raw {
    pool: RawPool,
    critical: bool,
    held: Vec<Memory>,
    memory: Arena,
    span: Option<Span>,
}

struct Memory(RawPool, std::ptr::NonNull<u8>);

// SAFETY: an item of memory that is nobody else's.
unsafe impl Send for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        support::put(&self.0, self.1).unwrap();
    }
}

fn raw(critical: bool) -> Box<dyn World> {
    let memory = arena(HELD + 1);
    let pool = support::blocks(HARD_LIMIT).build(memory.clone()).unwrap();
    let held = (0..HELD).map(|_| Memory(pool.clone(), pool.get().unwrap())).collect();
    let span = Some(take(&memory, 1));
    Box::new(Raw { pool, critical, held, memory, span })
}

impl Raw {
    fn getting(&self, critical: bool) -> Running {
        let pool = self.pool.clone();
        Box::pin(async move {
            let request = pool.request();
            let request = if critical { request.critical() } else { request };
            boxed(request.get_async().await.map(|item| Memory(pool.clone(), item)))
        })
    }
}

impl World for Raw {
    fn begin(&self) -> Running {
        self.getting(self.critical)
    }
    fn get(&self) -> Running {
        self.getting(false)
    }
    fn put(&mut self) {
        self.held.pop();
    }
    fn page(&mut self) {
        self.span.take().inspect(|span| self.memory.free(*span).unwrap());
    }
    fn close(&self) {
        self.pool.close();
    }
    fn lower(&self) {
        self.pool.set_hard_limit(HELD as u32).unwrap();
    }
    fn looks(&self) -> (u32, u32, usize, usize) {
        let stats = self.pool.stats();
        (stats.pages + stats.growing, stats.hard_limit, stats.idle, stats.waiting)
    }
    fn assert_rest(mut self: Box<Self>) {
        self.held.clear();
        support::assert_rests(&self.pool, &self.memory);
    }
}

/// What one run came to.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// How often it awaited something: what it was woken for was not the end of it.
    awaits: usize,
    /// Whether it ended. Else it was dropped while it waited, or before it was polled at all.
    ended: bool,
}

/// Polls once before each event, and drops the future after the last.
fn run(mut world: Box<dyn World>, events: &[Event]) -> Run {
    let (task, waker) = Task::new();
    let mut running = world.begin();
    let mut had = None;
    let mut awaits = 0;
    let mut rivals: Vec<(Arc<Task>, Running)> = Vec::new();
    let mut closed = false;
    let bound = world.looks().1;
    for (at, event) in events.iter().enumerate() {
        let woken = at == 0 || task.woken() > 0;
        task.woken.store(0, kva::sync::atomic::Ordering::SeqCst);
        match running.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => had = Some(outcome),
            Poll::Pending => awaits += usize::from(woken),
        }
        assert!(woken || had.is_none(), "it was not woken for what it has: {events:?}");
        if had.is_some() {
            break;
        }
        match event {
            Event::Nothing => {}
            Event::Put => world.put(),
            Event::Page => world.page(),
            Event::Lower => world.lower(),
            Event::Close => {
                closed = true;
                world.close();
            }
            Event::Rival => {
                let (task, mut rival) = (Task::new().0, world.get());
                if task.poll(rival.as_mut()).is_pending() {
                    rivals.push((task, rival));
                }
            }
        }
        assert!(world.looks().0 <= bound, "P1: {events:?}");
    }
    let ended = had.is_some();
    drop((running, had));
    // P2: who waits beside what is idle was told. Who is being validated is not in line.
    let (_, _, idle, waiting) = world.looks();
    let told = rivals.iter().any(|(task, _)| task.woken() > 0);
    assert!(idle == 0 || waiting == 0 || told, "somebody waits beside what is idle: {events:?}");
    // Each of those who wait has its turn, polled only as it is woken, when all that others have is put.
    for _ in 0..HELD {
        world.put();
    }
    for _ in 0..2 {
        world.page();
    }
    for (at, (task, mut rival)) in rivals.into_iter().enumerate() {
        let mut outcome = Poll::Pending;
        for _ in 0..4 {
            outcome = task.poll_if_woken(rival.as_mut());
            if outcome.is_ready() {
                break;
            }
        }
        let Poll::Ready(outcome) = outcome else { panic!("rival {at} waits for ever: {events:?}") };
        // Of a closed pool it may have an object, if that was being validated by then.
        assert!(closed || outcome.is_ok(), "rival {at}: {:?}: {events:?}", outcome.err());
    }
    let mut next = world.get();
    let next = (0..4).find_map(|_| match poll_once(next.as_mut()) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    });
    let next = next.unwrap_or_else(|| panic!("the next getter waits for ever: {events:?}"));
    assert_eq!(next.is_err(), closed, "the next getter: {:?}: {events:?}", next.err());
    drop(next);
    world.assert_rest();
    Run { awaits, ended }
}

/// All sequences of so many events.
fn sequences(events: usize) -> Vec<Vec<Event>> {
    (0..events).fold(vec![Vec::new()], |shorter, _| {
        let longer = |events: Vec<Event>| EVENTS.map(|event| [&*events, &[event]].concat());
        shorter.into_iter().flat_map(longer).collect()
    })
}

/// Which operation, the fewest awaits that it must be found to have, and a world for it.
type Operation = (&'static str, usize, fn() -> Box<dyn World>);

const OPERATIONS: &[Operation] = &[
    ("RawPool::get_async", 1, || raw(false)),
    ("Request::critical, get_async", 1, || raw(true)),
    ("Pool::get_async", 1, || {
        with_arena(0, plain, |pool| {
            let pool = pool.clone();
            Box::pin(async move { boxed(pool.get_async().await.map(drop)) })
        })
    }),
    ("Pool::get_owned_async", 1, || with_arena(0, plain, |pool| owned(pool.request()))),
    ("Request::timeout, with a timer", 1, || {
        with_arena(0, with_timer, |pool| owned(pool.request().timeout(Duration::from_hours(1))))
    }),
    ("Request::grow_timeout, with a timer", 1, || {
        with_arena(0, with_timer, |pool| owned(pool.request().grow_timeout(Duration::from_hours(1))))
    }),
    ("get_owned_async, validate_async", 2, || with_arena(0, validating, |pool| owned(pool.request()))),
    ("Request::reserve_async(2)", 1, || with_arena(0, plain, |pool| reserved(pool.request()))),
    ("reserve_async(2), validate_async", 2, || with_arena(1, validating, |pool| reserved(pool.request()))),
    ("AsyncFactory, get_owned_async", 2, || with_factory(false, |pool| owned(pool.request()))),
    ("AsyncFactory, validate_async", 1, || with_factory(true, |pool| owned(pool.request()))),
    ("AsyncFactory, reserve_async(2)", 2, || with_factory(false, |pool| reserved(pool.request()))),
    #[cfg(feature = "bytes")]
    ("RawPool::get_buffer_async", 1, || buffers()),
];

fn owned<T: Send + 'static, B: Backend<Error: Debug>>(request: pool::Request<'_, Pool<T, B>>) -> Running {
    let getting = request.get_owned_async();
    Box::pin(async { boxed(getting.await) })
}

fn reserved<T: Send + 'static, B: Backend<Error: Debug>>(request: pool::Request<'_, Pool<T, B>>) -> Running {
    let reserving = request.reserve_async(2);
    Box::pin(async { boxed(reserving.await) })
}

#[cfg(feature = "bytes")]
fn buffers() -> Box<dyn World> {
    struct Buffers(Box<dyn World>, RawPool);
    impl World for Buffers {
        fn begin(&self) -> Running {
            let pool = self.1.clone();
            Box::pin(async move { boxed(pool.get_buffer_async().await) })
        }
        fn get(&self) -> Running {
            self.0.get()
        }
        fn put(&mut self) {
            self.0.put();
        }
        fn page(&mut self) {
            self.0.page();
        }
        fn close(&self) {
            self.0.close();
        }
        fn lower(&self) {
            self.0.lower();
        }
        fn looks(&self) -> (u32, u32, usize, usize) {
            self.0.looks()
        }
        fn assert_rest(self: Box<Self>) {
            self.0.assert_rest();
        }
    }
    let memory = arena(HELD + 1);
    let pool = support::blocks(HARD_LIMIT).build(memory.clone()).unwrap();
    let held = (0..HELD).map(|_| Memory(pool.clone(), pool.get().unwrap())).collect();
    let span = Some(take(&memory, 1));
    let world = Raw { pool: pool.clone(), critical: false, held, memory, span };
    Box::new(Buffers(Box::new(world), pool))
}

#[test]
fn each_operation_can_be_dropped_at_each_of_its_awaits() {
    println!("{:<38}{:>7}{:>8}{:>8}", "operation", "awaits", "drops", "ended");
    for &(name, least, world) in OPERATIONS {
        let (mut awaits, mut drops, mut ended) = (0, 0, 0);
        for polls in 0..=POLLS {
            for events in sequences(polls) {
                let run = run(world(), &events);
                awaits = awaits.max(run.awaits);
                drops += usize::from(!run.ended);
                ended += usize::from(run.ended);
            }
        }
        println!("{name:<38}{awaits:>7}{drops:>8}{ended:>8}");
        assert!(awaits >= least, "{name}: {awaits} awaits were found, and there are {least} at least");
        assert!(drops > 0 && ended > 0, "{name}");
    }
}
