//! Tasks that wait, beside threads: without a runtime, in one line, dropped at any time, and
//! with wakers that are called with no lock held.

#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::ptr::NonNull;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use kva::{AllocError, Arena};
use pool::{Awaited, GetError, RawPool, TryGetError};

#[macro_use]
mod support;

use support::{CloseOnPanic, Random, Task, arena, assert_rests, blocks, put, take, until_waiting};

/// Gets, puts at once, and says which item it was.
async fn visit(pool: &RawPool) -> Result<usize, GetError<AllocError>> {
    let item = pool.get_async().await?;
    put(pool, item).unwrap();
    Ok(item.addr().get())
}

/// Polls once.
fn poll<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// An executor of one task: polls only when it was woken.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let (task, waker) = Task::new();
    loop {
        let woken = task.woken();
        if let Poll::Ready(value) = poll(future.as_mut(), &waker) {
            return value;
        }
        while task.woken() == woken {
            thread::yield_now();
        }
    }
}

// Being served.

#[test]
fn a_task_has_what_is_there_at_once() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let (task, waker) = Task::new();
    for _ in 0..2 {
        // A page that is brought, and an idle item.
        let mut getter = pin!(pool.get_async());
        assert_is!(poll(getter.as_mut(), &waker), Poll::Ready(Ok(item)) if put(&pool, item).is_ok());
    }
    assert_eq!((task.woken(), pool.stats().grows), (0, 1));
    assert_eq!(Arc::strong_count(&task), 2, "nobody kept the waker");
    assert_rests(&pool, &arena);
}

#[test]
fn nothing_happens_until_it_is_polled() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let getter = pool.get_async();
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.growing, stats.pages, stats.out), (0, 0, 0, 0));
    drop(getter);
    let held = pool.get().unwrap();
    let getter = pool.get_async();
    assert_eq!(pool.stats().waiting, 0);
    drop(getter);
    put(&pool, held).unwrap();
    assert_eq!((pool.stats().gets, pool.stats().waiting, pool.stats().failures.total()), (1, 0, 0));
    assert_rests(&pool, &arena);
}

#[test]
fn a_put_wakes_a_task_that_waits() {
    for (bypass, handed_over) in [(0, 1), (4, 0)] {
        let arena = arena(1);
        let pool = blocks(1).bypass(bypass).build(arena.clone()).unwrap();
        let held = pool.get().unwrap();
        let (task, waker) = Task::new();
        let mut getter = pin!(pool.get_async());
        assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
        assert_eq!((pool.stats().waiting, task.woken()), (1, 0));
        assert_is!(poll(getter.as_mut(), &waker), Poll::Pending, "nobody put");
        assert_eq!((pool.stats().waiting, task.woken()), (1, 0));
        put(&pool, held).unwrap();
        assert_eq!((pool.stats().out, task.woken()), (handed_over, 1));
        assert_is!(poll(getter.as_mut(), &waker), Poll::Ready(Ok(item)) if item == held);
        assert_eq!((pool.stats().waiting, pool.stats().out, task.woken()), (0, 1, 1));
        assert_eq!(pool.stats().waits.served, 2, "who waited for the page, and who for the put");
        put(&pool, held).unwrap();
        assert_rests(&pool, &arena);
    }
}

#[test]
fn a_put_wakes_a_task_that_waits_for_the_arena() {
    let arena = arena(1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let (task, waker) = Task::new();
    let mut getter = pin!(pool.get_async());
    assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
    assert_eq!((pool.stats().growing, arena.stats().waiting), (1, 1));
    put(&pool, held).unwrap();
    assert_eq!(task.woken(), 1);
    assert_is!(poll(getter.as_mut(), &waker), Poll::Ready(Ok(item)) if item == held);
    assert_eq!((pool.stats().withdrawn, arena.stats().waiting), (1, 0));
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn the_arena_wakes_a_task_that_waits_for_a_put() {
    let arena = arena(2);
    let others = take(&arena, 1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let (task, waker) = Task::new();
    let mut getter = pin!(pool.get_async());
    assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
    arena.free(others).unwrap();
    assert_eq!((task.woken(), pool.stats().pages), (1, 2));
    assert_is!(poll(getter.as_mut(), &waker), Poll::Ready(Ok(item)) if put(&pool, item).is_ok());
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn a_task_is_told_of_a_close_and_of_a_refusal() {
    let arena = arena(1);
    let others = take(&arena, 1);
    for refuses in [false, true] {
        let pool = blocks(1).build(arena.clone()).unwrap();
        let (task, waker) = Task::new();
        let mut getter = pin!(pool.get_async());
        assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
        if refuses {
            arena.close();
        } else {
            pool.close();
        }
        assert_eq!(task.woken(), 1);
        let outcome = poll(getter.as_mut(), &waker);
        if refuses {
            assert_is!(outcome, Poll::Ready(Err(GetError::Backend(AllocError::Closed))));
        } else {
            assert_is!(outcome, Poll::Ready(Err(GetError::Closed)));
            let late = pin!(pool.get_async());
            assert_is!(poll(late, &waker), Poll::Ready(Err(GetError::Closed)));
        }
        assert_eq!((pool.stats().waiting, pool.stats().growing, arena.stats().waiting), (0, 0, 0));
    }
    arena.free(others).unwrap();
}

#[test]
fn threads_and_tasks_wait_in_one_line() {
    const WAITERS: usize = 6;
    let arena = arena(WAITERS);
    let pool = blocks(WAITERS as u32).bypass(0).build(arena.clone()).unwrap();
    let held: Vec<_> = (0..WAITERS).map(|_| pool.get().unwrap()).collect();
    let served: [AtomicUsize; WAITERS] = Default::default();
    let go_on = AtomicBool::new(false);
    let (task, waker) = Task::new();
    let mut tasks: Vec<_> = (0..WAITERS / 2).map(|_| Box::pin(pool.get_async())).collect();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        for number in 0..WAITERS {
            if number % 2 == 0 {
                assert_is!(poll(tasks[number / 2].as_mut(), &waker), Poll::Pending);
            } else {
                let (pool, served, go_on) = (&pool, &served[number], &go_on);
                scope.spawn(move || {
                    let item = pool.get().unwrap();
                    served.store(item.addr().get(), SeqCst);
                    while !go_on.load(SeqCst) {
                        thread::yield_now();
                    }
                    put(pool, item).unwrap();
                });
            }
            until_waiting(&pool, number + 1);
        }
        for (number, item) in held.iter().enumerate() {
            put(&pool, *item).unwrap();
            assert_eq!(pool.stats().waiting, WAITERS - 1 - number, "handed over");
            if number % 2 == 0 {
                assert_eq!(task.woken() as usize, number / 2 + 1);
            } else {
                while served[number].load(SeqCst) == 0 {
                    thread::yield_now();
                }
                assert_eq!(served[number].load(SeqCst), item.addr().get(), "in order of age");
            }
        }
        for (getter, item) in tasks.iter_mut().zip(held.iter().step_by(2)) {
            let had = poll(getter.as_mut(), &waker);
            assert_is!(had, Poll::Ready(Ok(had)) if had == *item, "in order of age");
            put(&pool, *item).unwrap();
        }
        go_on.store(true, SeqCst);
    });
    assert_eq!(pool.stats().most_overtaken, 0);
    assert_rests(&pool, &arena);
}

/// P4 for a task that was told to look and is in no hurry: it is overtaken as often as the
/// bypass says, and then served where it stands.
#[test]
fn a_task_that_is_not_polled_is_overtaken_no_more_often_than_others() {
    const BYPASS: u32 = 3;
    let arena = arena(1);
    let pool = blocks(1).bypass(BYPASS).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let (task, waker) = Task::new();
    let mut getter = pin!(pool.get_async());
    assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
    for _ in 0..BYPASS {
        put(&pool, held).unwrap();
        assert_eq!(pool.stats().idle, 1);
        assert_eq!(pool.try_get().unwrap(), held);
    }
    put(&pool, held).unwrap();
    assert_eq!((pool.stats().idle, pool.stats().waiting, task.woken()), (0, 0, 1), "woken once");
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    assert_is!(poll(getter.as_mut(), &waker), Poll::Ready(Ok(item)) if item == held);
    put(&pool, held).unwrap();
    assert_eq!(pool.stats().most_overtaken, u64::from(BYPASS));
    assert_rests(&pool, &arena);
}

/// Told to look, it finds the item gone: it waits on in its place, and is told again.
#[test]
fn a_task_that_looked_in_vain_is_woken_again() {
    let arena = arena(1);
    let pool = blocks(1).bypass(8).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let (task, waker) = Task::new();
    let mut getter = pin!(pool.get_async());
    assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
    for times in 1..=3 {
        put(&pool, held).unwrap();
        assert_eq!(task.woken(), times);
        assert_eq!(pool.try_get().unwrap(), held);
        assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
    }
    put(&pool, held).unwrap();
    assert_is!(poll(getter.as_mut(), &waker), Poll::Ready(Ok(item)) if item == held);
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

// Dropping the future.

#[test]
fn a_task_that_waits_can_be_dropped() {
    let arena = arena(1);
    let others = take(&arena, 1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let (task, waker) = Task::new();
    let mut getter = Box::pin(pool.get_async());
    assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
    assert_eq!((pool.stats().waiting, pool.stats().growing, arena.stats().waiting), (1, 1, 1));
    drop(getter);
    assert_eq!((pool.stats().waiting, pool.stats().growing, arena.stats().waiting), (0, 0, 0));
    let failures = pool.stats().failures;
    assert_eq!((pool.stats().withdrawn, failures.cancelled, failures.total()), (1, 1, 1));
    assert_eq!((task.woken(), Arc::strong_count(&task)), (0, 2), "its waker went with it");
    arena.free(others).unwrap();
    assert_rests(&pool, &arena);
}

/// Of a page that two wait for one goes: the request is still the other's.
#[test]
fn a_dropped_task_leaves_its_page_to_who_waits_for_it_too() {
    let arena = arena(1);
    let others = take(&arena, 1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let (_, waker) = Task::new();
    let (next, next_waker) = Task::new();
    let mut asked = Box::pin(pool.get_async());
    assert_is!(poll(asked.as_mut(), &waker), Poll::Pending);
    let mut getter = pin!(pool.get_async());
    assert_is!(poll(getter.as_mut(), &next_waker), Poll::Pending);
    drop(asked);
    let stats = pool.stats();
    assert_eq!((stats.growing, stats.withdrawn, arena.stats().waiting), (1, 0, 1));
    arena.free(others).unwrap();
    assert_eq!(next.woken(), 1);
    assert_is!(poll(getter.as_mut(), &next_waker), Poll::Ready(Ok(item)) if put(&pool, item).is_ok());
    assert_rests(&pool, &arena);
}

/// Told to look or served: what it does not take is the next waiter's.
#[test]
fn what_a_dropped_task_was_to_have_is_the_next_waiters() {
    for (bypass, handed_over) in [(0, 1), (1, 0)] {
        let arena = arena(1);
        let pool = blocks(1).bypass(bypass).build(arena.clone()).unwrap();
        let held = pool.get().unwrap();
        let [(first, first_waker), (second, second_waker)] = [Task::new(), Task::new()];
        let mut dropped = Box::pin(pool.get_async());
        let mut getter = pin!(pool.get_async());
        assert_is!(poll(dropped.as_mut(), &first_waker), Poll::Pending);
        assert_is!(poll(getter.as_mut(), &second_waker), Poll::Pending);
        put(&pool, held).unwrap();
        assert_eq!((first.woken(), second.woken(), pool.stats().out), (1, 0, handed_over));
        drop(dropped);
        assert_eq!((second.woken(), pool.stats().out), (1, handed_over));
        assert_is!(poll(getter.as_mut(), &second_waker), Poll::Ready(Ok(item)) if item == held);
        assert_eq!(Arc::strong_count(&first), 2);
        put(&pool, held).unwrap();
        assert_rests(&pool, &arena);
    }
}

/// As above, and nobody is next: the item is idle.
#[test]
fn what_a_dropped_task_was_to_have_is_the_pools() {
    for bypass in [0, 1] {
        let arena = arena(1);
        let pool = blocks(1).bypass(bypass).build(arena.clone()).unwrap();
        let held = pool.get().unwrap();
        let (_, waker) = Task::new();
        let mut dropped = Box::pin(pool.get_async());
        assert_is!(poll(dropped.as_mut(), &waker), Poll::Pending);
        put(&pool, held).unwrap();
        drop(dropped);
        let stats = pool.stats();
        assert_eq!((stats.out, stats.idle, stats.waiting), (0, 1, 0));
        assert_rests(&pool, &arena);
    }
}

/// A thread is next.
#[test]
fn what_a_dropped_task_was_to_have_wakes_a_thread() {
    for bypass in [0, 1] {
        let arena = arena(1);
        let pool = blocks(1).bypass(bypass).build(arena.clone()).unwrap();
        let held = pool.get().unwrap();
        let (_, waker) = Task::new();
        let mut dropped = Box::pin(pool.get_async());
        assert_is!(poll(dropped.as_mut(), &waker), Poll::Pending);
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let getter = scope.spawn(|| pool.get().unwrap().addr());
            until_waiting(&pool, 2);
            put(&pool, held).unwrap();
            drop(dropped);
            assert_eq!(getter.join().unwrap(), held.addr());
        });
        put(&pool, held).unwrap();
        assert_rests(&pool, &arena);
    }
}

#[test]
fn a_task_that_failed_or_is_done_can_be_dropped() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let (_, waker) = Task::new();
    let mut done = Box::pin(pool.get_async());
    let Poll::Ready(Ok(held)) = poll(done.as_mut(), &waker) else { panic!("there is one") };
    drop(done);
    assert_eq!(pool.stats().out, 1, "that is the caller's now");
    let mut failed = Box::pin(pool.get_async());
    assert_is!(poll(failed.as_mut(), &waker), Poll::Pending);
    pool.close();
    drop(failed);
    assert_eq!((pool.stats().waiting, pool.stats().failures.closed), (0, 1));
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

/// Who asked for all the pages leaves while others wait for theirs.
#[test]
fn a_dropped_task_takes_only_its_own_request_back() {
    let arena = arena(2);
    let others = [take(&arena, 1), take(&arena, 1)];
    let pool = blocks(2).build(arena.clone()).unwrap();
    let (_, waker) = Task::new();
    let (next, next_waker) = Task::new();
    let mut first = Box::pin(pool.get_async());
    let mut second = pin!(pool.get_async());
    assert_is!(poll(first.as_mut(), &waker), Poll::Pending);
    assert_is!(poll(second.as_mut(), &next_waker), Poll::Pending);
    assert_eq!((pool.stats().growing, arena.stats().waiting), (2, 2));
    drop(first);
    assert_eq!((pool.stats().growing, arena.stats().waiting), (1, 1));
    arena.free(others[0]).unwrap();
    assert_eq!(next.woken(), 1);
    assert_is!(poll(second.as_mut(), &next_waker), Poll::Ready(Ok(item)) if put(&pool, item).is_ok());
    arena.free(others[1]).unwrap();
    assert_rests(&pool, &arena);
}

// Wakers.

#[test]
fn another_tasks_poll_replaces_the_waker() {
    for bypass in [0, 1] {
        let arena = arena(1);
        let pool = blocks(1).bypass(bypass).build(arena.clone()).unwrap();
        let held = pool.get().unwrap();
        let tasks = [(); 3].map(|()| Task::new());
        let mut getter = pin!(pool.get_async());
        for (_, waker) in &tasks {
            assert_is!(poll(getter.as_mut(), waker), Poll::Pending);
        }
        let [(first, _), (second, _), (third, waker)] = &tasks;
        assert_eq!([first, second].map(Arc::strong_count), [2, 2], "the old ones were let go");
        assert!(Arc::strong_count(third) > 2);
        assert_eq!(pool.stats().waiting, 1);
        put(&pool, held).unwrap();
        assert_eq!([first, second, third].map(|task| task.woken()), [0, 0, 1]);
        assert_is!(poll(getter.as_mut(), waker), Poll::Ready(Ok(item)) if item == held);
        put(&pool, held).unwrap();
        assert_rests(&pool, &arena);
    }
}

/// Which waker was left last is known, whichever was the first.
#[test]
fn a_future_may_come_back_to_its_first_task() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let [(first, one), (second, other)] = [Task::new(), Task::new()];
    let mut getter = pin!(pool.get_async());
    for waker in [&one, &other, &one] {
        assert_is!(poll(getter.as_mut(), waker), Poll::Pending);
    }
    put(&pool, held).unwrap();
    assert_eq!((first.woken(), second.woken()), (1, 0));
    assert_is!(poll(getter.as_mut(), &one), Poll::Ready(Ok(item)) if item == held);
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

/// Woken as one task, it is polled as another, which finds nothing and is woken then.
#[test]
fn another_task_may_look_for_one_that_was_woken() {
    let arena = arena(1);
    let pool = blocks(1).bypass(8).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let [(first, first_waker), (second, second_waker)] = [Task::new(), Task::new()];
    let mut getter = pin!(pool.get_async());
    assert_is!(poll(getter.as_mut(), &first_waker), Poll::Pending);
    put(&pool, held).unwrap();
    assert_eq!(pool.try_get().unwrap(), held);
    assert_is!(poll(getter.as_mut(), &second_waker), Poll::Pending);
    put(&pool, held).unwrap();
    assert_eq!((first.woken(), second.woken()), (1, 1));
    assert_is!(poll(getter.as_mut(), &second_waker), Poll::Ready(Ok(item)) if item == held);
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn a_future_may_go_to_another_thread() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let (first, waker) = Task::new();
    let mut getter = Box::pin(visit(&pool));
    assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let there = scope.spawn(|| block_on(getter));
        // Not before it was polled there, with a waker of that thread's.
        while Arc::strong_count(&first) != 2 {
            thread::yield_now();
        }
        put(&pool, held).unwrap();
        assert_is!(there.join().unwrap(), Ok(address) if address == held.addr().get());
    });
    assert_eq!(first.woken(), 0);
    assert_rests(&pool, &arena);
}

#[test]
fn futures_are_send() {
    fn is_send<T: Send>(_: T) {}
    let arena = arena(1);
    let pool = blocks(1).build(arena).unwrap();
    is_send(pool.get_async());
    is_send(pool.request().critical().timeout(Duration::ZERO).get_async());
    is_send(visit(&pool));
}

/// A waker that looks at the pool and at the arena whenever anything is done with it: with
/// a lock held, it would wait for ever.
struct Nosy {
    pool: RawPool,
    arena: Arena,
    clones: AtomicU32,
    drops: AtomicU32,
    wakes: AtomicU32,
}

impl Nosy {
    const TABLE: RawWakerVTable = RawWakerVTable::new(Self::clone, Self::wake, Self::wake_by_ref, Self::drop);

    fn new(pool: &RawPool, arena: &Arena) -> Arc<Self> {
        let count = || AtomicU32::new(0);
        let (pool, arena) = (pool.clone(), arena.clone());
        Arc::new(Self { pool, arena, clones: count(), drops: count(), wakes: count() })
    }

    fn waker(self: &Arc<Self>) -> Waker {
        // SAFETY: the table's functions count the pointer as an `Arc`, and are thread-safe.
        unsafe { Waker::new(Arc::into_raw(self.clone()).cast(), &Self::TABLE) }
    }

    fn look(&self, count: &AtomicU32) {
        count.fetch_add(1, SeqCst);
        self.pool.stats();
        self.arena.stats();
    }

    unsafe fn clone(this: *const ()) -> RawWaker {
        let this = this.cast::<Self>();
        // SAFETY: it came from `Arc::into_raw`, and lives as long as the waker.
        let nosy = unsafe { &*this };
        nosy.look(&nosy.clones);
        // SAFETY: as above; the clone's drop or wake takes this count back.
        unsafe { Arc::increment_strong_count(this) };
        RawWaker::new(this.cast(), &Self::TABLE)
    }

    unsafe fn wake(this: *const ()) {
        // SAFETY: it came from `Arc::into_raw`, and the waker's count is ours now.
        let nosy = unsafe { Arc::from_raw(this.cast::<Self>()) };
        nosy.look(&nosy.wakes);
    }

    unsafe fn wake_by_ref(this: *const ()) {
        // SAFETY: as in `clone`.
        let nosy = unsafe { &*this.cast::<Self>() };
        nosy.look(&nosy.wakes);
    }

    unsafe fn drop(this: *const ()) {
        // SAFETY: as in `wake`.
        let nosy = unsafe { Arc::from_raw(this.cast::<Self>()) };
        nosy.look(&nosy.drops);
    }

    fn wakes(&self) -> u32 {
        self.wakes.load(SeqCst)
    }
}

/// With an arena of one quantum and a pool of one page: what tasks do with their wakers.
type Scenario = fn(&Arena, &RawPool, [&Arc<Nosy>; 2]);

const SCENARIOS: [Scenario; 8] = [
    |_, pool, [one, _]| {
        pool.drain();
        for _ in 0..2 {
            let had = poll(pin!(pool.get_async()), &one.waker());
            assert_is!(had, Poll::Ready(Ok(item)) if put(pool, item).is_ok());
        }
        assert_eq!(one.wakes(), 0);
    },
    |_, pool, [one, other]| {
        let held = pool.get().unwrap();
        let (waker, other_waker) = (one.waker(), other.waker());
        let mut getter = pin!(pool.get_async());
        for waker in [&waker, &waker, &other_waker, &waker, &other_waker, &other_waker] {
            assert_is!(poll(getter.as_mut(), waker), Poll::Pending);
        }
        put(pool, held).unwrap();
        assert_eq!((one.wakes(), other.wakes()), (0, 1));
        assert_is!(poll(getter.as_mut(), &other_waker), Poll::Ready(Ok(item)) if put(pool, item).is_ok());
    },
    |_, pool, [one, other]| {
        let held = pool.get().unwrap();
        let [mut first, mut second, mut third] = [(); 3].map(|()| Box::pin(pool.get_async()));
        assert_is!(poll(first.as_mut(), &one.waker()), Poll::Pending);
        assert_is!(poll(second.as_mut(), &one.waker()), Poll::Pending);
        assert_is!(poll(third.as_mut(), &other.waker()), Poll::Pending);
        drop(first);
        put(pool, held).unwrap();
        assert_eq!((one.wakes(), other.wakes()), (1, 0));
        drop(second);
        assert_eq!((one.wakes(), other.wakes()), (1, 1), "by the other's drop");
        assert_is!(poll(third.as_mut(), &one.waker()), Poll::Ready(Ok(item)) if put(pool, item).is_ok());
    },
    |_, pool, [one, other]| {
        let held = pool.get().unwrap();
        let waker = one.waker();
        let mut getter = pin!(pool.get_async());
        assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
        // Gone when it looks, with the same waker, and with another.
        for (woken, waker) in (1..).zip([waker.clone(), waker.clone(), other.waker()]) {
            put(pool, held).unwrap();
            assert_eq!(one.wakes(), woken);
            if pool.try_get().is_err() {
                break; // handed over
            }
            assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
        }
        if pool.stats().waiting == 1 {
            put(pool, held).unwrap();
            assert_eq!(other.wakes(), 1);
        }
        assert_is!(poll(getter.as_mut(), &waker), Poll::Ready(Ok(item)) if put(pool, item).is_ok());
    },
    |_, pool, [one, _]| {
        let held = pool.get().unwrap();
        let late = pool.request().timeout(Duration::ZERO).get_async();
        let late = poll(pin!(late), &one.waker());
        assert_is!(late, Poll::Ready(Err(GetError::TimedOut(Awaited::Put))));
        put(pool, held).unwrap();
    },
    |arena, pool, [one, _]| {
        pool.drain();
        let all = take(arena, 1);
        let mut getter = pin!(pool.get_async());
        assert_is!(poll(getter.as_mut(), &one.waker()), Poll::Pending);
        arena.free(all).unwrap();
        assert_eq!(one.wakes(), 1, "by the arena");
        assert_is!(poll(getter.as_mut(), &one.waker()), Poll::Ready(Ok(item)) if put(pool, item).is_ok());
    },
    |_, pool, [one, _]| {
        let held = pool.get().unwrap();
        let mut getter = pin!(pool.get_async());
        assert_is!(poll(getter.as_mut(), &one.waker()), Poll::Pending);
        pool.set_hard_limit(2).unwrap();
        assert_eq!(one.wakes(), 1, "to ask for a page");
        assert_is!(poll(getter.as_mut(), &one.waker()), Poll::Pending);
        put(pool, held).unwrap();
        assert_eq!(one.wakes(), 2);
        assert_is!(poll(getter.as_mut(), &one.waker()), Poll::Ready(Ok(item)) if put(pool, item).is_ok());
        pool.set_hard_limit(1).unwrap();
    },
    |arena, pool, [one, other]| {
        pool.drain();
        let all = take(arena, 1);
        let mut refused = pin!(pool.get_async());
        assert_is!(poll(refused.as_mut(), &one.waker()), Poll::Pending);
        arena.close();
        assert_eq!(one.wakes(), 1);
        let refused = poll(refused.as_mut(), &one.waker());
        assert_is!(refused, Poll::Ready(Err(GetError::Backend(AllocError::Closed))));
        arena.free(all).unwrap();

        pool.set_hard_limit(2).unwrap();
        let mut closed = pin!(pool.get_async());
        let asked = poll(closed.as_mut(), &other.waker());
        assert_is!(asked, Poll::Ready(Err(GetError::Backend(AllocError::Closed))));
    },
];

/// P8: cloned, woken and dropped in every way there is.
#[test]
fn wakers_are_never_called_with_a_lock_held() {
    for bypass in [0, 1, 8] {
        for scenario in SCENARIOS {
            let arena = arena(1);
            let pool = blocks(1).bypass(bypass).build(arena.clone()).unwrap();
            let [one, other] = [(); 2].map(|()| Nosy::new(&pool, &arena));
            scenario(&arena, &pool, [&one, &other]);
            assert_eq!([&one, &other].map(Arc::strong_count), [1, 1], "all its wakers are gone");
            assert!(one.clones.load(SeqCst) > 0, "they were cloned");
            assert!(one.drops.load(SeqCst) > 0, "and dropped");
            assert_rests(&pool, &arena);
        }
    }
}

#[test]
fn wakers_are_not_called_with_a_lock_held_by_a_close() {
    const WAITERS: u32 = 40;
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let nosy = Nosy::new(&pool, &arena);
    let mut getters: Vec<_> = (0..WAITERS).map(|_| Box::pin(pool.get_async())).collect();
    for getter in &mut getters {
        assert_is!(poll(getter.as_mut(), &nosy.waker()), Poll::Pending);
    }
    pool.close();
    assert_eq!(nosy.wakes(), WAITERS);
    for getter in &mut getters {
        assert_is!(poll(getter.as_mut(), &nosy.waker()), Poll::Ready(Err(GetError::Closed)));
    }
    assert_eq!(Arc::strong_count(&nosy), 1);
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

/// A waker that takes the item itself.
struct Greedy {
    pool: RawPool,
    had: AtomicUsize,
}

impl Wake for Greedy {
    fn wake(self: Arc<Self>) {
        if let Ok(item) = self.pool.try_get() {
            self.had.store(item.addr().get(), SeqCst);
            put(&self.pool, item).unwrap();
        }
    }
}

#[test]
fn a_waker_may_use_the_pool() {
    let arena = arena(1);
    let pool = blocks(1).bypass(8).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let greedy = Arc::new(Greedy { pool: pool.clone(), had: AtomicUsize::new(0) });
    let waker = Waker::from(greedy.clone());
    let mut getter = pin!(pool.get_async());
    assert_is!(poll(getter.as_mut(), &waker), Poll::Pending);
    put(&pool, held).unwrap();
    assert_eq!(greedy.had.load(SeqCst), held.addr().get());
    assert_is!(poll(getter.as_mut(), &waker), Poll::Ready(Ok(item)) if item == held);
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics");
    }
}

/// P5, and more of them than are woken at once.
#[test]
fn a_panicking_waker_strands_nobody_behind_it() {
    const BEHIND: u32 = 40;
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let (task, waker) = Task::new();
    let panicking = Waker::from(Arc::new(Panicking));
    let mut getters: Vec<_> = (0..=BEHIND).map(|_| Box::pin(pool.get_async())).collect();
    for (number, getter) in getters.iter_mut().enumerate() {
        let waker = if number == 0 { &panicking } else { &waker };
        assert_is!(poll(getter.as_mut(), waker), Poll::Pending);
    }
    assert!(catch_unwind(AssertUnwindSafe(|| pool.close())).is_err());
    assert_eq!((task.woken(), pool.stats().waiting), (BEHIND, 0));
    for getter in &mut getters {
        assert_is!(poll(getter.as_mut(), &waker), Poll::Ready(Err(GetError::Closed)));
    }
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

/// It is told of the item nevertheless, and what it does not take is the next waiter's.
#[test]
fn a_put_that_meets_a_panicking_waker_is_done() {
    for bypass in [0, 1] {
        let arena = arena(1);
        let pool = blocks(1).bypass(bypass).build(arena.clone()).unwrap();
        let held = pool.get().unwrap();
        let (task, waker) = Task::new();
        let mut first = Box::pin(pool.get_async());
        let mut second = pin!(pool.get_async());
        assert_is!(poll(first.as_mut(), &Waker::from(Arc::new(Panicking))), Poll::Pending);
        assert_is!(poll(second.as_mut(), &waker), Poll::Pending);
        assert!(catch_unwind(AssertUnwindSafe(|| put(&pool, held))).is_err());
        assert_eq!(pool.stats().puts, 1);
        drop(first);
        assert_eq!(task.woken(), 1);
        assert_is!(poll(second.as_mut(), &waker), Poll::Ready(Ok(item)) if item == held);
        put(&pool, held).unwrap();
        assert_rests(&pool, &arena);
    }
}

// Deadlines, which are looked at when a future is polled.

type Getting<'p> = Pin<Box<dyn Future<Output = Result<NonNull<u8>, GetError<AllocError>>> + Send + 'p>>;

/// A getter that `make` makes with a deadline, and that was polled before that. And the deadline.
fn pending<'p>(make: impl Fn(Instant) -> Getting<'p>, waker: &Waker) -> (Getting<'p>, Instant) {
    for time in 1.. {
        let deadline = Instant::now() + Duration::from_millis(time);
        let mut getter = make(deadline);
        match poll(getter.as_mut(), waker) {
            Poll::Pending => return (getter, deadline),
            Poll::Ready(late) => {
                assert_is!(late, Err(GetError::TimedOut(_)));
                assert!(Instant::now() >= deadline, "not before its time");
            }
        }
    }
    unreachable!("it has all the time in the world")
}

fn until(deadline: Instant) {
    while Instant::now() < deadline {
        thread::yield_now();
    }
}

#[test]
fn a_future_without_time_has_what_is_there() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let (_, waker) = Task::new();
    let request = pool.request().timeout(Duration::ZERO).grow_timeout(Duration::ZERO);
    for _ in 0..2 {
        let had = poll(pin!(request.get_async()), &waker);
        assert_is!(had, Poll::Ready(Ok(item)) if put(&pool, item).is_ok());
    }
    assert_rests(&pool, &arena);
}

#[test]
fn a_future_whose_time_is_up_says_so_when_it_is_polled() {
    for (limit, awaited) in [(1, Awaited::Put), (2, Awaited::Page)] {
        let arena = arena(1);
        let pool = blocks(limit).build(arena.clone()).unwrap();
        let held = pool.get().unwrap();
        let (task, waker) = Task::new();
        let none = poll(pin!(pool.request().timeout(Duration::ZERO).get_async()), &waker);
        assert_is!(none, Poll::Ready(Err(GetError::TimedOut(what))) if what == awaited);
        let make = |deadline| Box::pin(pool.request().deadline(deadline).get_async()) as Getting<'_>;
        let (mut getter, deadline) = pending(make, &waker);
        until(deadline);
        assert_eq!((task.woken(), pool.stats().waiting), (0, 1), "it has no clock to wake it");
        let late = poll(getter.as_mut(), &waker);
        assert_is!(late, Poll::Ready(Err(GetError::TimedOut(what))) if what == awaited);
        let stats = pool.stats();
        assert_eq!((stats.waiting, stats.growing, arena.stats().waiting), (0, 0, 0));
        drop(getter);
        assert_eq!(Arc::strong_count(&task), 2);
        put(&pool, held).unwrap();
        assert_rests(&pool, &arena);
    }
}

#[test]
fn a_future_that_was_served_in_time_is_never_late() {
    for (bypass, taken_away) in [(0, false), (8, false), (8, true)] {
        let arena = arena(1);
        let pool = blocks(1).bypass(bypass).build(arena.clone()).unwrap();
        let held = pool.get().unwrap();
        let (task, waker) = Task::new();
        let make = |deadline| Box::pin(pool.request().deadline(deadline).get_async()) as Getting<'_>;
        let (mut getter, deadline) = pending(make, &waker);
        put(&pool, held).unwrap();
        assert_eq!(task.woken(), 1);
        if taken_away {
            assert_eq!(pool.try_get().unwrap(), held);
        }
        until(deadline);
        let outcome = poll(getter.as_mut(), &waker);
        if taken_away {
            assert_is!(outcome, Poll::Ready(Err(GetError::TimedOut(Awaited::Put))));
        } else {
            assert_is!(outcome, Poll::Ready(Ok(item)) if item == held);
        }
        put(&pool, held).unwrap();
        assert_rests(&pool, &arena);
    }
}

/// For one whose time is nearly up.
fn poll_till_ready<F: Future>(mut future: Pin<&mut F>, waker: &Waker) -> F::Output {
    loop {
        if let Poll::Ready(output) = poll(future.as_mut(), waker) {
            return output;
        }
        thread::yield_now();
    }
}

#[test]
fn the_time_for_a_page_is_looked_at_when_a_future_is_polled() {
    const TIME: Duration = Duration::from_millis(20);
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let (task, waker) = Task::new();
    let mut getter = pin!(pool.request().grow_timeout(Duration::ZERO).get_async());
    for _ in 0..3 {
        assert_is!(poll(getter.as_mut(), &waker), Poll::Pending, "no page is owed");
    }
    pool.set_hard_limit(2).unwrap();
    assert_eq!(task.woken(), 1);
    let late = poll_till_ready(getter.as_mut(), &waker);
    assert_is!(late, Err(GetError::TimedOut(Awaited::Page)));
    assert_eq!((pool.stats().growing, arena.stats().waiting), (0, 0));

    // With time, and the page not owed any more when it is up.
    let make = |_| Box::pin(pool.request().grow_timeout(TIME).get_async()) as Getting<'_>;
    let (mut getter, _) = pending(make, &waker);
    // It began to wait before this.
    let time_is_up = Instant::now() + TIME;
    pool.set_hard_limit(1).unwrap();
    until(time_is_up);
    assert_is!(poll(getter.as_mut(), &waker), Poll::Pending, "it waits for a put now");
    put(&pool, held).unwrap();
    assert_is!(poll(getter.as_mut(), &waker), Poll::Ready(Ok(item)) if item == held);
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

/// The page is asked for by another.
#[test]
fn the_time_for_a_page_that_another_asked_for_is_looked_at_too() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let (_, waker) = Task::new();
    let mut oldest = pin!(pool.get_async());
    let mut next = pin!(pool.request().grow_timeout(Duration::ZERO).get_async());
    assert_is!(poll(oldest.as_mut(), &waker), Poll::Pending);
    assert_is!(poll(next.as_mut(), &waker), Poll::Pending, "no page is owed");
    pool.set_hard_limit(2).unwrap();
    assert_is!(poll(oldest.as_mut(), &waker), Poll::Pending);
    assert_eq!(pool.stats().growing, 1);
    let late = poll_till_ready(next.as_mut(), &waker);
    assert_is!(late, Err(GetError::TimedOut(Awaited::Page)));
    put(&pool, held).unwrap();
    assert_is!(poll(oldest.as_mut(), &waker), Poll::Ready(Ok(item)) if put(&pool, item).is_ok());
    assert_rests(&pool, &arena);
}

// All at once.

/// P2, P4 and P5 where threads and tasks come and go, and give up at any time. More want a
/// page than the limit allows, and the limit allows more than there are.
#[test]
fn threads_and_tasks_come_and_go() {
    const ROUNDS: u32 = 500;
    const BYPASS: u32 = 2;
    let arena = arena(2);
    let pool = blocks(3).bypass(BYPASS).build(arena.clone()).unwrap();
    thread::scope(|scope| {
        for number in 0..6 {
            let pool = &pool;
            scope.spawn(move || {
                let _close = CloseOnPanic(pool);
                let mut random = Random::new(number);
                for _ in 0..ROUNDS {
                    match random.below(6) {
                        0 => put(pool, pool.get().unwrap()).unwrap(),
                        1 | 2 => drop(block_on(visit(pool)).unwrap()),
                        3 => drop(pool.drain()),
                        _ => gives_up(pool, &mut random),
                    }
                }
            });
        }
    });
    assert!(pool.stats().most_overtaken <= u64::from(BYPASS));
    assert_rests(&pool, &arena);
}

/// Polls a few times, now and then as another task, and may be dropped before it was served.
fn gives_up(pool: &RawPool, random: &mut Random) {
    let tasks = [Task::new(), Task::new()];
    let mut getter = pin!(pool.get_async());
    for _ in 0..random.below(4) {
        let waker = &tasks[random.below(2) as usize].1;
        if let Poll::Ready(item) = poll(getter.as_mut(), waker) {
            put(pool, item.unwrap()).unwrap();
            return;
        }
        for _ in 0..random.below(3) {
            thread::yield_now();
        }
    }
}
