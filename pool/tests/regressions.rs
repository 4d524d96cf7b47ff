//! Corners that were wrong once: each test failed before what it is about was mended.

#![cfg(not(loom))]

use std::alloc::{Layout, alloc, dealloc};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use kva::sync::Mutex;
use kva::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use kva::{AllocError, Answer, Arena, Claim, Grow, Span};
use pool::{Backend, Classic, GetError, Item, PageAllocator, Pool, RawPool};

#[macro_use]
mod support;

use support::{QUANTUM, Task, arena, assert_rests, blocks, objects, poll_once, until};

fn put<B: Backend>(pool: &RawPool<B>, item: NonNull<u8>) {
    support::put(pool, item).unwrap();
}

/// Two pools gather two pages each from an arena of two: what gathers in one goes to the older
/// request of the other.
#[test]
fn two_reservations_at_one_arena_do_not_wait_for_each_other() {
    let arena = arena(2);
    let others = blocks(2).build(arena.clone()).unwrap();
    let [one, two] = [2, 1].map(|growing| objects(2).max_growing(growing).build(arena.clone()).unwrap());
    let taken = others.get_many(2).unwrap();
    let mut older = Box::pin(two.request().reserve_async(2));
    assert!(poll_once(older.as_mut()).is_pending());
    let mut younger = Box::pin(one.request().reserve_async(2));
    assert!(poll_once(younger.as_mut()).is_pending());
    for item in taken {
        put(&others, item);
    }
    let mut served = None;
    for _ in 0..10 {
        assert!(poll_once(younger.as_mut()).is_pending(), "it came later");
        if let Poll::Ready(both) = poll_once(older.as_mut()) {
            served = Some(both.unwrap());
            break;
        }
    }
    assert!(served.is_some(), "nobody holds anything, and both wait: {one:?} {two:?} {others:?}");
    drop(served);
    two.drain();
    until(|| poll_once(younger.as_mut()).is_ready());
}

#[test]
fn an_ordinary_waiter_is_overtaken_by_critical_ones_within_the_bound() {
    let pool = blocks(2).bypass(1).critical_reserve(1).build(arena(2)).unwrap();
    let [one, other] = [(); 2].map(|()| pool.request().critical().get().unwrap());
    let mut ordinary = Box::pin(pool.get_async());
    assert!(poll_once(ordinary.as_mut()).is_pending());
    put(&pool, one);
    put(&pool, other);
    // It was told to look; meanwhile critical ones take what it could have.
    for _ in 0..2 {
        let item = pool.request().critical().try_get().unwrap();
        put(&pool, item);
    }
    let Poll::Ready(Ok(item)) = poll_once(ordinary.as_mut()) else { panic!("overtaken once too often") };
    assert_eq!(pool.stats().most_overtaken, 1);
    put(&pool, item);
}

/// The last item may be left for whoever comes first, while the oldest waiter is told to look.
/// What is more than that is handed over, though it has not looked.
#[test]
fn a_waiter_that_was_told_and_has_not_looked_is_handed_the_next_item() {
    let pool = blocks(2).build(arena(2)).unwrap();
    let both = pool.get_many(2).unwrap();
    let mut future = Box::pin(pool.get_async());
    assert!(poll_once(future.as_mut()).is_pending());
    put(&pool, both[0]);
    assert_eq!((pool.stats().idle, pool.stats().waiting), (1, 1), "told");
    put(&pool, both[1]);
    assert_eq!((pool.stats().idle, pool.stats().waiting), (1, 0), "served");
    let Poll::Ready(Ok(item)) = poll_once(future.as_mut()) else { panic!("it was served") };
    put(&pool, item);
}

/// Nothing is left idle for whoever comes first, where a critical one waits too.
#[test]
fn an_ordinary_waiter_before_a_critical_one_is_handed_its_item() {
    let pool = blocks(3).critical_reserve(1).build(arena(3)).unwrap();
    let all = pool.request().critical().get_many(3).unwrap();
    let mut ordinary = Box::pin(pool.get_async());
    assert!(poll_once(ordinary.as_mut()).is_pending());
    let stats = thread::scope(|scope| {
        // More than the reserve: in line by age.
        let critical = scope.spawn(|| {
            let both = pool.request().critical().get_many(2).map(drop);
            assert!(matches!(both, Err(GetError::Closed)));
        });
        until(|| pool.stats().waiting == 2);
        put(&pool, all[0]);
        put(&pool, all[1]);
        let stats = pool.stats();
        pool.close();
        critical.join().unwrap();
        stats
    });
    assert_eq!((stats.idle, stats.waiting), (1, 1), "the ordinary one was served");
    put(&pool, all[2]);
    let Poll::Ready(Ok(item)) = poll_once(ordinary.as_mut()) else { panic!("it was served") };
    put(&pool, item);
}

/// A heap that is scarce, and sleeps. It knows no claims.
struct Heap(Arc<(Mutex<usize>, AtomicUsize)>);

// SAFETY: the heap hands out each piece of memory once.
unsafe impl PageAllocator for Heap {
    type Error = ();

    fn alloc(&self, page: Layout, _: Claim<'_>, _: Option<Instant>) -> Result<Option<NonNull<u8>>, ()> {
        self.0.1.fetch_add(1, SeqCst);
        let base = loop {
            if let Some(base) = self.try_alloc(page)? {
                break base;
            }
            thread::yield_now();
        };
        self.0.1.fetch_sub(1, SeqCst);
        Ok(Some(base))
    }
    fn try_alloc(&self, page: Layout) -> Result<Option<NonNull<u8>>, ()> {
        let mut left = self.0.0.lock();
        if *left == 0 {
            return Ok(None);
        }
        *left -= 1;
        // SAFETY: a page is not of size zero.
        Ok(NonNull::new(unsafe { alloc(page) }))
    }
    fn free(&self, base: NonNull<u8>, page: Layout) {
        // SAFETY: it was allocated above, with this layout.
        unsafe { dealloc(base.as_ptr(), page) };
        *self.0.0.lock() += 1;
    }
}

/// What was put is for one that wants two, and is older or not; when that one gives up it is
/// the sleeper's.
#[test]
fn a_getter_asleep_in_the_back_end_has_what_another_leaves() {
    let heap = Arc::new((Mutex::new(1), AtomicUsize::new(0)));
    let pool = blocks(2).build(Classic::new(Heap(heap.clone()))).unwrap();
    let item = pool.get().unwrap();
    thread::scope(|scope| {
        let asleep = scope.spawn(|| put(&pool, pool.get().unwrap()));
        until(|| heap.1.load(SeqCst) == 1);
        let several = scope.spawn(|| pool.request().timeout(Duration::from_millis(50)).get_many(2).map(drop));
        until(|| pool.stats().waiting == 2);
        put(&pool, item);
        assert!(matches!(several.join().unwrap(), Err(GetError::TimedOut(_))));
        asleep.join().unwrap();
    });
}

#[test]
fn a_getter_asleep_in_the_back_end_has_what_a_lowered_reserve_leaves() {
    let heap = Arc::new((Mutex::new(1), AtomicUsize::new(0)));
    let pool = blocks(2).critical_reserve(1).build(Classic::new(Heap(heap.clone()))).unwrap();
    thread::scope(|scope| {
        let asleep = scope.spawn(|| put(&pool, pool.get().unwrap()));
        until(|| pool.stats().idle == 1 && heap.1.load(SeqCst) == 1);
        pool.set_critical_reserve(0).unwrap();
        asleep.join().unwrap();
    });
}

/// The object is destroyed, its place goes back, and the process lives.
#[test]
fn a_reset_that_panics_while_another_panic_unwinds() {
    let pool = Pool::builder(2, || [0_u8; QUANTUM]).reset(|_| panic!("reset")).build(arena(2)).unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _both = pool.get_many(2).unwrap();
        panic!("with both in hand");
    }));
    let message = unwound.unwrap_err().downcast_ref::<&str>().copied();
    assert_eq!(message, Some("with both in hand"));
    assert_eq!((pool.stats().out, pool.stats().live, pool.stats().idle), (0, 0, 2));
}

struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics");
    }
}

#[test]
fn two_wakers_that_panic_at_once() {
    let pool = blocks(1).build(arena(1)).unwrap();
    let item = pool.get().unwrap();
    let waker = Waker::from(Arc::new(Bad));
    let mut both = [(); 2].map(|()| Box::pin(pool.get_async()));
    for future in &mut both {
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| pool.close())).is_err());
    for future in &mut both {
        assert!(matches!(poll_once(future.as_mut()), Poll::Ready(Err(GetError::Closed))));
    }
    put(&pool, item);
}

/// The second clone panics: by then the page is in hand.
#[test]
fn a_waker_that_cannot_be_cloned_loses_no_page() {
    static CLONES: AtomicUsize = AtomicUsize::new(0);
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            assert_ne!(CLONES.fetch_add(1, SeqCst), 1, "it cannot be cloned");
            RawWaker::new(data, &TABLE)
        },
        |_| {},
        |_| {},
        |_| {},
    );
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    // SAFETY: the functions of the table do nothing with the pointer.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };
    let mut future = Box::pin(pool.get_async());
    let polled =
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()));
    assert!(polled.is_err());
    drop(future);
    let stats = pool.stats();
    assert_eq!((stats.growing, stats.pages, stats.out, stats.waiting), (0, 1, 0, 0));
    pool.drain();
    assert_eq!(arena.stats().free, 1);
}

#[test]
fn what_is_constructed_is_got_before_an_empty_place() {
    for items_per_page in [1, 3, 8] {
        let down = Arc::new(AtomicBool::new(false));
        let construct = {
            let down = down.clone();
            move || if down.load(SeqCst) { Err("the server is down") } else { Ok(7_u64) }
        };
        let builder = Pool::try_builder(8, construct).items_per_page(items_per_page);
        let pool = builder.build(arena(8)).unwrap();
        let mut three = pool.get_many(3).unwrap();
        let broken = three.pop().unwrap();
        drop(three);
        down.store(true, SeqCst);
        Item::discard(broken);
        let both = pool.get_many(2).expect("two good ones are idle");
        assert!(matches!(pool.get(), Err(GetError::Construct(_))), "there is no third");
        drop(both);
        assert_eq!(pool.stats().live, 2);
    }
}

struct Counted(Arc<AtomicUsize>, #[allow(dead_code, reason = "it has a size")] u64);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn objects_beside_one_that_was_forgotten_are_destroyed_with_the_pool() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counts = ended.clone();
    let pool =
        Pool::builder(1, move || Counted(counts.clone(), 0)).items_per_page(8).build(arena(1)).unwrap();
    let mut all = pool.get_many(8).unwrap();
    std::mem::forget(all.pop());
    drop(all);
    drop(pool);
    assert_eq!(ended.load(SeqCst), 7);
}

/// A page with objects goes to the arena, and its slot to the next, when they are destroyed
/// and not before. Whoever waits and is told the end does not wait for that.
#[test]
fn a_page_goes_when_its_objects_are_destroyed() {
    struct Slow {
        begins: mpsc::Sender<()>,
        goes_on: Arc<AtomicBool>,
        _rest: [u8; QUANTUM - 24],
    }
    impl Drop for Slow {
        fn drop(&mut self) {
            self.begins.send(()).unwrap();
            until(|| self.goes_on.load(SeqCst));
        }
    }
    let arena = arena(2);
    let (begins, begun) = mpsc::channel();
    let goes_on = Arc::new(AtomicBool::new(false));
    let makes = (Mutex::new(begins), goes_on.clone());
    let construct =
        move || Slow { begins: makes.0.lock().clone(), goes_on: makes.1.clone(), _rest: [0; QUANTUM - 24] };
    let pool = Pool::builder(2, construct).build(arena.clone()).unwrap();
    let mut both = pool.get_many(2).unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| pool.get_many(2).map(drop));
        until(|| pool.stats().waiting == 1);
        drop(both.pop());
        let closes = scope.spawn(|| pool.close());
        begun.recv().unwrap();
        // Now in the destructor.
        assert!(matches!(waits.join().unwrap(), Err(GetError::Closed)), "told at once");
        assert_eq!(arena.stats().free, 0, "the object is still in its page");
        assert_eq!(pool.stats().pages, 2, "which the pool still holds");
        goes_on.store(true, SeqCst);
        closes.join().unwrap();
        assert_eq!((arena.stats().free, pool.stats().pages), (1, 1));
    });
    drop(both);
    assert_eq!(arena.stats().free, 2);
}

/// Puts while it is asked, so that who asks is served, and panics when it takes a page back.
struct ServesItsAsker {
    arena: Arena,
    puts: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    panics: AtomicBool,
}

// SAFETY: pages are the arena's, which promises the same.
unsafe impl Backend for ServesItsAsker {
    type Page = Span;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        Backend::granule(&self.arena)
    }
    fn ask(&self, page: Layout, grow: Grow<Span, AllocError>) -> Answer<Span, AllocError> {
        let puts = self.puts.lock().take();
        let answer = Backend::ask(&self.arena, page, grow);
        if let Some(puts) = puts {
            puts();
        }
        answer
    }
    fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
        self.arena.try_page(page)
    }
    fn release(&self, page: Span, layout: Layout) {
        Backend::release(&self.arena, page, layout);
        assert!(!self.panics.swap(false, SeqCst), "a page came back");
    }
    fn base(&self, page: &Span) -> NonNull<u8> {
        Backend::base(&self.arena, page)
    }
}

/// It has what it was served in hand as a release panics that it owes. Its destructor looked for that
/// once more, and panicked as it was not there.
#[test]
fn a_getter_that_panics_with_its_outcome_in_hand() {
    let backend = ServesItsAsker { arena: arena(2), puts: Mutex::new(None), panics: AtomicBool::new(true) };
    let pool = blocks(2).high_water(1).bypass(0).build(backend).unwrap();
    let item = pool.get().unwrap();
    let (other, address) = (pool.clone(), item.addr());
    *pool.backend().puts.lock() = Some(Box::new(move || put(&other, NonNull::without_provenance(address))));
    assert!(support::panics(|| pool.get()), "the page that came was one too many");
    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.pages), (0, 1, 1), "{stats:?}");
}

/// What had gathered for the last who waited, and was more than it wanted, was kept above high water until
/// somebody else came: it was looked for before that one was served, and not after.
#[test]
fn what_gathered_is_not_kept_once_the_last_is_served() {
    let arena = arena(4);
    let pool = objects(4).high_water(0).bypass(0).build(arena.clone()).unwrap();
    let both = pool.reserve(2).unwrap();
    let (task, _) = Task::new();
    let mut three = pin!(pool.request().reserve_async(3));
    assert!(task.poll(three.as_mut()).is_pending());
    assert_eq!((pool.stats().pages, arena.stats().free), (4, 0), "two gather for it");
    drop(both);
    assert_eq!((pool.stats().out, pool.stats().pages, arena.stats().free), (3, 3, 1));
    let Poll::Ready(three) = task.poll_if_woken(three.as_mut()) else { panic!("it was served") };
    drop(three.unwrap());
    assert_rests(&pool, &arena);
}
