//! Panics at every callback: the n-th call of callers' code panics, for n = 0, 1, ... until a run has
//! no such call; then each two of them near each other. After each run: the panic reached who called,
//! nobody is stranded, everything is put, made objects have ended once, and the arena is whole.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{Arena, Client, GrowTable, Reclaim, Relocate, Relocation, Shape, Shortage, Span};
use pool::{AsyncFactory, Backend, Builder, GetError, Item, Objects, OwnedItem, Pool, RawPool, Reservation};

use super::faulty::Counted;
use super::fuse::Fuse;
use super::support::{QUANTUM, arena, assert_rests, assert_whole, poll_once};
use super::watchdog::Watchdog;

const HARD_LIMIT: u32 = 2;
/// Two calls of one run panic if they are no further apart.
const NEAR: usize = 2;

#[derive(Debug, Default)]
struct Lives {
    made: AtomicUsize,
    ended: AtomicUsize,
}

#[derive(Debug)]
struct Object {
    fuse: Fuse,
    lives: Arc<Lives>,
    _bytes: [u8; 64],
}

impl Object {
    fn new(fuse: &Fuse, lives: &Arc<Lives>) -> Self {
        lives.made.fetch_add(1, SeqCst);
        Self { fuse: fuse.clone(), lives: lives.clone(), _bytes: [0; 64] }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.lives.ended.fetch_add(1, SeqCst);
        self.fuse.call("object's destructor");
    }
}

/// A future of callers' code: its polls and its drop are calls, and it is ready at its second poll.
struct Steps {
    fuse: Fuse,
    kinds: (&'static str, &'static str),
    polled: bool,
}

impl Steps {
    fn new(fuse: &Fuse, kinds: (&'static str, &'static str)) -> Self {
        Self { fuse: fuse.clone(), kinds, polled: false }
    }
}

impl Future for Steps {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.fuse.call(self.kinds.0);
        if std::mem::replace(&mut self.polled, true) {
            return Poll::Ready(());
        }
        // By a clone that is dropped, as executors do.
        self.fuse.pause(|| context.waker().wake_by_ref());
        Poll::Pending
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.fuse.call(self.kinds.1);
    }
}

/// Is dropped after it made an object.
struct Creation {
    steps: Steps,
    fuse: Fuse,
    lives: Arc<Lives>,
}

impl Future for Creation {
    type Output = Result<Object, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let made = Pin::new(&mut self.steps).poll(context);
        made.map(|()| Ok(Object::new(&self.fuse, &self.lives)))
    }
}

/// A sleep of a runtime's.
struct Sleep(Fuse, Instant);

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.0.call("timer's poll");
        if Instant::now() < self.1 { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.0.call("timer's drop");
    }
}

type Outcome<T, B> = Result<T, GetError<<B as Backend>::Error>>;
type Getting<T, B> = Pin<Box<dyn Future<Output = Outcome<T, B>> + Send>>;

/// A pool, what was got of it, and who waits for it. Whatever is done to it is stopped where it panics.
struct World<B: Backend> {
    fuse: Fuse,
    lives: Arc<Lives>,
    pool: Pool<Object, B>,
    tasks: Vec<Option<Getting<OwnedItem<Object, B>, B>>>,
    items: Vec<OwnedItem<Object, B>>,
    caught: usize,
}

/// Stops what panics in `act`; how often it did.
fn stops(act: impl FnOnce()) -> usize {
    // What was panicked with panics when it is dropped.
    catch_unwind(AssertUnwindSafe(act)).map_or_else(|payload| (std::mem::forget(payload), 1).1, |()| 0)
}

impl<B: Backend> World<B> {
    fn new(fuse: &Fuse, lives: &Arc<Lives>, pool: Pool<Object, B>) -> Self {
        let (fuse, lives) = (fuse.clone(), lives.clone());
        Self { fuse, lives, pool, tasks: Vec::new(), items: Vec::new(), caught: 0 }
    }

    fn step(&mut self, act: impl FnOnce(&mut Self)) {
        self.caught += stops(|| act(self));
        let stats = self.fuse.pause(|| self.pool.stats());
        assert!(stats.pages + stats.growing <= HARD_LIMIT, "P1: {stats:?}");
    }

    /// Begins a get and polls it so often, each time with another waker. Which one it is.
    fn begin(&mut self, time: Option<Duration>, polls: usize) -> usize {
        let request = self.pool.request();
        let request = if let Some(time) = time { request.timeout(time) } else { request };
        let getting: Getting<_, B> = Box::pin(request.get_owned_async());
        self.tasks.push(Some(getting));
        let task = self.tasks.len() - 1;
        for _ in 0..polls {
            self.poll(task);
        }
        task
    }

    fn poll(&mut self, task: usize) {
        let Some(mut getting) = self.tasks[task].take() else { return };
        // Of a future that panicked nothing is left, as executors have it.
        self.step(|world| {
            let waker = world.fuse.waker();
            match getting.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(Ok(item)) => world.items.push(item),
                Poll::Ready(Err(_)) => {}
                Poll::Pending => world.tasks[task] = Some(getting),
            }
        });
    }

    /// Drops the oldest item that is out.
    fn put(&mut self) {
        if !self.items.is_empty() {
            let item = self.items.remove(0);
            self.step(|_| drop(item));
        }
    }

    fn cancel(&mut self, task: usize) {
        let getting = self.tasks[task].take();
        self.step(|_| drop(getting));
    }

    fn put_all(&mut self) {
        while !self.items.is_empty() {
            self.put();
        }
    }

    fn take_one(&mut self, act: impl FnOnce(OwnedItem<Object, B>)) {
        if let Some(item) = self.items.pop() {
            self.step(|_| act(item));
        }
    }

    /// What people do, with two objects at most.
    fn live(&mut self) {
        self.begin(None, 3);
        self.begin(None, 3);
        // One waits, is polled by another task, and has what is put.
        let waits = self.begin(None, 3);
        self.put();
        self.poll(waits);
        self.begin(Some(Duration::ZERO), 2);
        let late = self.begin(Some(Duration::from_hours(1)), 2);
        self.cancel(late);
        // What one was served goes to the next.
        let (first, second) = (self.begin(None, 2), self.begin(None, 2));
        self.put();
        self.cancel(first);
        self.poll(second);
        self.poll(second);
        self.put_all();
        self.validated();
        self.several();
        self.take_one(|item| drop(OwnedItem::detach(item)));
        self.begin(None, 3);
        self.take_one(OwnedItem::discard);
        self.step(|world| {
            let object = Object::new(&world.fuse, &world.lives);
            drop(world.pool.attach(object).map(Item::discard));
        });
        self.limits();
        self.put_all();
        self.step(|world| {
            world.pool.drain();
        });
    }

    /// Idle objects are validated, two polls at most, and one leaves in between.
    fn validated(&mut self) {
        for _ in 0..2 {
            self.begin(None, 4);
        }
        self.put_all();
        let leaves = self.begin(None, 1);
        self.cancel(leaves);
        self.step(|world| {
            if let Ok(item) = world.pool.request().timeout(Duration::ZERO).get_owned() {
                world.items.push(item);
            }
        });
        self.step(|world| drop(world.pool.try_get()));
        self.put_all();
    }

    fn several(&mut self) {
        self.step(|world| drop(world.pool.request().timeout(Duration::ZERO).get_many(2)));
        self.begin(None, 4);
        let mut reserving: Option<Getting<Reservation<Object, B>, B>> =
            Some(Box::pin(self.pool.request().reserve_async(2)));
        for _ in 0..6 {
            let Some(mut getting) = reserving.take() else { break };
            let mut still = None;
            self.step(|world| {
                let waker = world.fuse.waker();
                match getting.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(Ok(mut reserved)) => world.items.extend(reserved.get()),
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => still = Some(getting),
                }
            });
            reserving = still;
            self.put();
        }
        self.step(|_| drop(reserving));
    }

    fn limits(&mut self) {
        self.begin(None, 4);
        self.begin(None, 4);
        let waits = self.begin(None, 2);
        self.step(|world| world.pool.set_hard_limit(HARD_LIMIT - 1).unwrap());
        self.put();
        self.poll(waits);
        self.step(|world| world.pool.set_hard_limit(HARD_LIMIT).unwrap());
        self.step(|world| world.pool.set_water(0, 0).unwrap());
        self.poll(waits);
        self.cancel(waits);
        self.put_all();
        self.step(|world| world.pool.set_water(0, HARD_LIMIT).unwrap());
    }

    /// Whoever comes next is served: as many as the limit allows.
    fn serves(&mut self) {
        let tasks: Vec<_> = self.tasks.drain(..).collect();
        for task in tasks {
            self.step(|_| drop(task));
        }
        self.put_all();
        self.fuse.clone().pause(|| {
            let all: Vec<_> = (0..HARD_LIMIT).map(|_| self.next()).collect();
            drop(all);
            self.pool.drain();
        });
    }

    /// Who is alone is served as it is polled.
    fn next(&self) -> OwnedItem<Object, B> {
        let mut getting = std::pin::pin!(self.pool.get_owned_async());
        for _ in 0..8 {
            if let Poll::Ready(item) = poll_once(getting.as_mut()) {
                return item.ok().unwrap();
            }
        }
        panic!("nobody is served after {:?} panicked: {:?}", self.fuse.blown(), self.pool);
    }

    /// Closes it while some wait, and ends it.
    fn end(mut self) -> usize {
        self.begin(None, 4);
        self.begin(None, 4);
        let waits = [self.begin(None, 2), self.begin(None, 2)];
        self.step(|world| world.pool.close());
        for task in waits {
            self.poll(task);
            assert!(self.tasks[task].is_none(), "it was served, or told of the close");
        }
        let Self { fuse, lives, pool, tasks, items, mut caught } = self;
        for task in tasks {
            caught += stops(|| drop(task));
        }
        // The last items outlive the last handle.
        caught += stops(|| drop(pool));
        for item in items {
            caught += stops(|| drop(item));
        }
        let blown = fuse.blown();
        assert_eq!(lives.made.load(SeqCst), lives.ended.load(SeqCst), "each object ends once: {blown:?}");
        caught
    }
}

/// Runs `scenario` with each of its calls panicking, and each two that are near.
fn each_call_panics(name: &'static str, kinds: &[&str], scenario: impl Fn(&Fuse) -> usize) {
    let now = Arc::new(Mutex::new(Vec::new()));
    let watched = now.clone();
    let watchdog = Watchdog::new(name, move || format!("calls {:?} panic", watched.lock()));
    let all = Fuse::at(&[]);
    assert_eq!(scenario(&all), 0, "nothing panics by itself");
    let made = all.kinds();
    println!("{name}: {} calls, {made:?}", all.made());
    for kind in kinds {
        assert!(made.contains_key(kind), "{kind} is not called: {made:?}");
    }
    // A panic may be the cause of calls that there are none of otherwise.
    for first in 0.. {
        let mut one = 0;
        for second in first..=first + NEAR {
            watchdog.goes_on();
            *now.lock() = vec![first, second];
            let fuse = Fuse::at(&[first, second]);
            let mut caught = 0;
            let escaped = stops(|| caught = scenario(&fuse));
            assert_eq!(escaped, 0, "a check failed, or a panic came from elsewhere: calls {first}, {second}");
            let blown = fuse.blown();
            // What reached nobody was dropped, once, and its panic in turn ended nothing.
            assert_eq!(caught + fuse.payloads_dropped(), blown.len(), "{blown:?}");
            // Two may panic in what one call owes: the first of them goes on.
            assert!(caught >= usize::from(!blown.is_empty()), "{blown:?} reached nobody");
            one = one.max(blown.len());
        }
        if one == 0 {
            break;
        }
    }
}

fn built<Of>(builder: Builder<Of>, fuse: &Fuse) -> Builder<Of> {
    let fuse = fuse.clone();
    builder.bypass(2).timer(move |moment| {
        fuse.call("timer's call");
        Sleep(fuse.clone(), moment)
    })
}

fn carved(fuse: &Fuse, lives: &Arc<Lives>) -> Builder<Objects<Object>> {
    let (constructs, lives) = (fuse.clone(), lives.clone());
    let construct = move || {
        constructs.call("constructor");
        Object::new(&constructs, &lives)
    };
    let (resets, validates, looked) = (fuse.clone(), fuse.clone(), AtomicUsize::new(0));
    built(Pool::builder(HARD_LIMIT, construct), fuse)
        .items_per_page(1)
        .reset(move |_| resets.call("reset"))
        .validate(move |_| {
            validates.call("validate");
            looked.fetch_add(1, SeqCst) % 3 != 2
        })
}

/// Builds, where callers' code is called too.
fn build<P, E: std::fmt::Debug>(build: impl FnOnce() -> Result<P, E>) -> Result<P, usize> {
    let mut built = None;
    let caught = stops(|| built = Some(build().unwrap()));
    built.ok_or(caught)
}

#[test]
fn each_call_of_a_pool_with_an_arena() {
    let kinds = [
        "back-end's ask",
        "back-end's forget",
        "back-end's release",
        "back-end's try_page",
        "constructor",
        "object's destructor",
        "reset",
        "timer's call",
        "timer's drop",
        "timer's poll",
        "validate",
        "waker's clone",
        "waker's drop",
        "waker's wake",
    ];
    each_call_panics("a pool with an arena", &kinds, |fuse| {
        let memory = arena(HARD_LIMIT as usize);
        let lives = Arc::default();
        let backend = Counted { arena: memory.clone(), fuse: fuse.clone() };
        let pool = match build(|| carved(fuse, &lives).build(backend)) {
            Ok(pool) => pool,
            Err(caught) => return caught,
        };
        let mut world = World::new(fuse, &lives, pool);
        world.live();
        world.step(|world| drop(world.pool.try_get()));
        world.step(|world| _ = world.pool.drain());
        scarce(&mut world, &memory);
        world.serves();
        let caught = world.end();
        assert_whole(&memory);
        caught
    });
}

/// Somebody else has all of the arena. One leaves who waits for it, and one is served by it.
fn scarce<B: Backend>(world: &mut World<B>, memory: &Arena) {
    let Ok(all) = memory.try_alloc(Shape::new(HARD_LIMIT).unwrap()) else { return };
    let leaves = world.begin(None, 2);
    world.cancel(leaves);
    let waits = world.begin(None, 2);
    world.step(|_| memory.free(all).unwrap());
    world.poll(waits);
    world.poll(waits);
    world.put_all();
}

#[test]
fn each_call_of_a_pool_with_a_factory() {
    let kinds = [
        "create's call",
        "create's drop",
        "create's poll",
        "object's destructor",
        "reset",
        "timer's call",
        "validation's call",
        "validation's drop",
        "validation's poll",
        "waker's clone",
        "waker's drop",
        "waker's wake",
    ];
    each_call_panics("a pool with a factory", &kinds, |fuse| {
        let lives = Arc::<Lives>::default();
        let (creates, counts) = (fuse.clone(), lives.clone());
        let factory = AsyncFactory::new(move || {
            creates.call("create's call");
            let steps = Steps::new(&creates, ("create's poll", "create's drop"));
            Creation { steps, fuse: creates.clone(), lives: counts.clone() }
        });
        let (resets, validates) = (fuse.clone(), fuse.clone());
        let looked = Arc::new(AtomicUsize::new(0));
        let pool = built(Pool::from_factory(HARD_LIMIT, factory), fuse)
            .reset(move |_| resets.call("reset"))
            .validate_async(move |_| {
                validates.call("validation's call");
                let mut steps = Steps::new(&validates, ("validation's poll", "validation's drop"));
                let looked = looked.clone();
                Box::pin(async move {
                    poll_fn(|context| Pin::new(&mut steps).poll(context)).await;
                    looked.fetch_add(1, SeqCst) % 3 != 2
                })
            });
        let mut world = World::new(fuse, &lives, pool.build().unwrap());
        world.live();
        world.serves();
        world.end()
    });
}

/// What is cached is swept by who wants more, by a drain, by a limit that is lowered and by a close.
#[test]
fn each_call_of_a_pool_with_caches() {
    const ITEMS: usize = 8;
    let kinds = ["back-end's release", "constructor", "object's destructor", "reset"];
    each_call_panics("a pool with caches", &kinds, |fuse| {
        let memory = arena(HARD_LIMIT as usize);
        let lives = Arc::<Lives>::default();
        let (constructs, counts, resets) = (fuse.clone(), lives.clone(), fuse.clone());
        let construct = move || {
            constructs.call("constructor");
            Object::new(&constructs, &counts)
        };
        let builder = Pool::builder(HARD_LIMIT, construct).reset(move |_| resets.call("reset"));
        let backend = Counted { arena: memory.clone(), fuse: fuse.clone() };
        let builder = builder.items_per_page(ITEMS as u32).magazine_rounds(2);
        let pool = match build(|| builder.build(backend)) {
            Ok(pool) => pool,
            Err(caught) => return caught,
        };
        let mut world = World::new(fuse, &lives, pool);
        let fill = |world: &mut World<Counted>, items| {
            for _ in 0..items {
                world.step(|world| world.items.extend(world.pool.request().try_get_owned()));
            }
            world.put_all();
        };
        fill(&mut world, 2 * ITEMS - 2);
        if fuse.blown().is_empty() {
            assert!(world.pool.stats().cached > 0, "there are caches");
        }
        world.step(|world| drop(world.pool.try_reserve(2 * ITEMS)));
        fill(&mut world, ITEMS);
        world.step(|world| _ = world.pool.drain());
        fill(&mut world, ITEMS + 2);
        world.step(|world| world.pool.set_hard_limit(1).unwrap());
        world.step(|world| world.pool.set_hard_limit(HARD_LIMIT).unwrap());
        fill(&mut world, 3);
        world.serves();
        let caught = world.end();
        assert_whole(&memory);
        caught
    });
}

/// A hook, and an owner of spans that can be moved.
struct Neighbour {
    fuse: Fuse,
    spans: Mutex<Vec<Span>>,
}

impl Reclaim for Neighbour {
    fn reclaim(&self, _: &Shortage<'_>) {
        self.fuse.call("hook");
    }
}

impl Relocate for Neighbour {
    fn relocate(&self, from: Span, to: Span) -> Relocation {
        self.fuse.call("relocation");
        let mut spans = self.spans.lock();
        let Some(span) = spans.iter_mut().find(|span| **span == from) else { return Relocation::Later };
        *span = to;
        Relocation::Moved
    }
}

/// A pool of objects beside one of larger pages, and a client whose spans can be moved.
#[test]
fn each_call_of_two_pools_in_one_arena() {
    let kinds = ["back-end's yield_to_older", "hook", "relocation", "object's destructor"];
    each_call_panics("two pools in one arena", &kinds, |fuse| {
        const QUANTA: u32 = 6;
        let memory = arena(QUANTA as usize);
        let neighbour = Arc::new(Neighbour { fuse: fuse.clone(), spans: Mutex::default() });
        let hook: Arc<dyn Reclaim> = neighbour.clone();
        let owner: Arc<dyn Relocate> = neighbour.clone();
        let client = memory.client(Client::new("moves").relocate(Arc::downgrade(&owner))).unwrap();
        memory.register(&GrowTable::new(0), Arc::downgrade(&hook));
        let lives = Arc::default();
        let counted = || Counted { arena: memory.clone(), fuse: fuse.clone() };
        let small = match build(|| carved(fuse, &lives).build(counted())) {
            Ok(pool) => pool,
            Err(caught) => return caught,
        };
        let run = std::alloc::Layout::from_size_align(2 * QUANTUM, 2 * QUANTUM).unwrap();
        let large = match build(|| RawPool::builder(run, 1).build(counted())) {
            Ok(pool) => pool,
            Err(caught) => return caught + stops(|| drop(small)),
        };
        let one = std::alloc::Layout::from_size_align(QUANTUM, 8).unwrap();
        let equal = match build(|| RawPool::builder(one, 1).build(counted())) {
            Ok(pool) => pool,
            Err(caught) => return caught + stops(|| drop(small)),
        };
        let mut world = World::new(fuse, &lives, small);
        // What is in the window of a run can be moved.
        fill(&client, &neighbour);
        for start in [0, 3] {
            let one = neighbour.spans.lock().extract_if(.., |span| span.start() == start).next();
            one.inspect(|span| world.step(|_| client.free(*span).unwrap()));
        }
        large_runs(&mut world, &large, &client, &neighbour);
        // What is idle is given up for it.
        world.begin(None, 3);
        world.begin(None, 3);
        fill(&client, &neighbour);
        world.put_all();
        large_runs(&mut world, &large, &client, &neighbour);
        world.step(|_| _ = large.drain());
        older_request(&mut world, &equal, &client, &neighbour);
        world.serves();
        let caught = world.end() + stops(|| large.close()) + stops(|| equal.close());
        fuse.disarm();
        assert_rests(&equal, &memory);
        assert_rests(&large, &memory);
        caught
    });
}

/// Who is older at the arena has what is put in a pool where a younger waits.
fn older_request<B: Backend>(
    world: &mut World<B>,
    equal: &RawPool<Counted>,
    client: &Arena,
    neighbour: &Neighbour,
) {
    world.begin(None, 3);
    world.begin(None, 3);
    fill(client, neighbour);
    let fuse = world.fuse.clone();
    let mut older = Some(Box::pin(equal.get_async()));
    let mut had = fuse.pause(|| poll_once(older.as_mut().unwrap().as_mut()));
    let younger = world.begin(None, 2);
    world.put();
    world.put();
    if had.is_pending() {
        had = fuse.pause(|| poll_once(older.as_mut().unwrap().as_mut()));
    }
    world.poll(younger);
    world.cancel(younger);
    world.caught += stops(|| drop(older.take()));
    if let Poll::Ready(Ok(item)) = had {
        world.step(|_| super::support::put(equal, item).unwrap());
    }
    free(client, neighbour, &mut world.caught);
}

/// The neighbour takes all that is free, and then lets every second go.
fn fill(client: &Arena, neighbour: &Neighbour) {
    while let Ok(span) = client.try_alloc(Shape::new(1).unwrap()) {
        neighbour.spans.lock().push(span);
    }
}

fn free(client: &Arena, neighbour: &Neighbour, caught: &mut usize) {
    loop {
        let Some(span) = neighbour.spans.lock().pop() else { return };
        *caught += stops(|| client.free(span).unwrap());
    }
}

/// A run is wanted where singles lie; one who wants it gives up, another has it.
fn large_runs<B: Backend>(
    world: &mut World<B>,
    large: &RawPool<Counted>,
    client: &Arena,
    neighbour: &Neighbour,
) {
    for polls in [1, 4] {
        let mut getting = Some(Box::pin(large.get_async()));
        for _ in 0..polls {
            let Some(mut future) = getting.take() else { break };
            let (mut still, mut had) = (None, None);
            world.step(|world| {
                let waker = world.fuse.waker();
                match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(item) => had = item.ok(),
                    Poll::Pending => still = Some(future),
                }
            });
            getting = still;
            if let Some(item) = had {
                world.step(|_| super::support::put(large, item).unwrap());
            } else {
                let first = neighbour.spans.lock().first().copied();
                if let Some(span) = first {
                    neighbour.spans.lock().retain(|other| *other != span);
                    world.step(|_| client.free(span).unwrap());
                }
            }
        }
        world.step(|_| drop(getting));
    }
    free(client, neighbour, &mut world.caught);
}
