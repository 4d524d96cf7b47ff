//! Spans that tasks wait for, beside threads: without a runtime, in one queue, dropped at any
//! time, and with wakers that are called with no lock held.

#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;
use std::time::Duration;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};
use kva::{Alloc, AllocError, Arena, Client, Reclaim, Shortage, Span};

mod support;

use support::{
    Asker, CloseOnPanic, Random, aligned, assert_whole, free_all, numbers, register, shape, take_each,
    until_waiting, with_bypass,
};

/// A waker that counts.
#[derive(Default)]
struct Task(AtomicU32);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Task {
    fn new() -> (Arc<Self>, Waker) {
        let task = Arc::new(Self::default());
        (task.clone(), task.into())
    }

    fn woken(&self) -> u32 {
        self.0.load(SeqCst)
    }
}

fn poll(future: &mut Alloc<'_>, waker: &Waker) -> Poll<Result<Span, AllocError>> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// A future of one quantum that waits.
fn waiting<'a>(arena: &'a Arena, waker: &Waker) -> Alloc<'a> {
    let mut future = arena.alloc_async(shape(1));
    assert!(poll(&mut future, waker).is_pending());
    future
}

#[test]
fn what_is_free_is_had_at_once() {
    let arena = numbers(8);
    let (task, waker) = Task::new();
    let mut future = arena.alloc_async(aligned(4));
    assert_eq!(arena.stats().free, 8, "nothing happens until it is polled");
    let Poll::Ready(Ok(span)) = poll(&mut future, &waker) else { panic!("all is free") };
    assert_eq!((span.start() % 4, arena.stats().free, task.woken()), (0, 4, 0));
    drop(future);
    assert_eq!((arena.stats().free, Arc::strong_count(&task)), (4, 2), "the span is the caller's");
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn a_free_wakes_who_waits() {
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let (task, waker) = Task::new();
    let mut future = waiting(&arena, &waker);
    assert!(poll(&mut future, &waker).is_pending());
    assert_eq!((arena.stats().waiting, task.woken()), (1, 0));
    arena.free(held).unwrap();
    assert_eq!((arena.stats().waiting, arena.stats().free, task.woken()), (0, 0, 1), "it has it already");
    let Poll::Ready(Ok(span)) = poll(&mut future, &waker) else { panic!("it was granted") };
    drop((future, waker));
    assert_eq!(Arc::strong_count(&task), 1, "nobody keeps the waker");
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn what_can_never_be_had_is_told_at_once_and_a_close_to_who_waits() {
    let arena = numbers(4);
    let few = arena.client(Client::new("few").quota(2)).unwrap();
    let (task, waker) = Task::new();
    let large = shape(5);
    let told = poll(&mut arena.alloc_async(large), &waker);
    assert_eq!(told, Poll::Ready(Err(AllocError::TooLarge { shape: large, quanta: 4 })));
    let three = shape(3);
    let told = poll(&mut few.alloc_async(three), &waker);
    assert_eq!(told, Poll::Ready(Err(AllocError::OverQuota { shape: three, quota: 2 })));
    let held = arena.try_alloc(shape(4)).unwrap();
    let mut future = waiting(&arena, &waker);
    arena.close();
    assert_eq!(task.woken(), 1);
    assert_eq!(poll(&mut future, &waker), Poll::Ready(Err(AllocError::Closed)));
    arena.free(held).unwrap();
    assert_whole(&arena);
}

#[test]
fn it_counts_against_its_clients_quota() {
    let arena = numbers(4);
    let one = arena.client(Client::new("one").quota(1)).unwrap();
    let (_, waker) = Task::new();
    let Poll::Ready(Ok(span)) = poll(&mut one.alloc_async(shape(1)), &waker) else { panic!("it may") };
    assert_eq!(one.used(), 1);
    let mut future = waiting(&one, &waker);
    arena.free(span).unwrap();
    let Poll::Ready(Ok(span)) = poll(&mut future, &waker) else { panic!("it may again") };
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn who_waits_can_be_dropped() {
    let arena = with_bypass(2, 0);
    let held = take_each(&arena);
    let (task, waker) = Task::new();
    let mut large = arena.alloc_async(shape(2));
    assert!(poll(&mut large, &waker).is_pending());
    let (behind, other) = Task::new();
    let mut small = waiting(&arena, &other);
    arena.free(held[0]).unwrap();
    assert_eq!((task.woken(), behind.woken()), (0, 0), "the first one needs both");
    drop((large, waker));
    assert_eq!((Arc::strong_count(&task), behind.woken()), (1, 1), "the next one is served");
    let Poll::Ready(Ok(span)) = poll(&mut small, &other) else { panic!("it was granted") };
    free_all(&arena, [held[1], span]);
    assert_whole(&arena);
}

#[test]
fn what_a_dropped_one_was_granted_is_the_next_waiters() {
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let (task, waker) = Task::new();
    let first = waiting(&arena, &waker);
    let (next, other) = Task::new();
    let mut second = waiting(&arena, &other);
    arena.free(held).unwrap();
    assert_eq!((task.woken(), next.woken()), (1, 0));
    drop(first);
    assert_eq!(next.woken(), 1);
    let Poll::Ready(Ok(span)) = poll(&mut second, &other) else { panic!("it was passed on") };
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn another_tasks_poll_replaces_the_waker() {
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let (first, one) = Task::new();
    let (second, other) = Task::new();
    let mut future = waiting(&arena, &one);
    assert!(poll(&mut future, &other).is_pending());
    drop(one);
    assert_eq!(Arc::strong_count(&first), 1, "nobody keeps the old one");
    arena.free(held).unwrap();
    assert_eq!((first.woken(), second.woken()), (0, 1));
    let (_, third) = Task::new();
    let Poll::Ready(Ok(span)) = poll(&mut future, &third) else { panic!("anybody may look") };
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn threads_tasks_and_tokens_wait_in_one_queue() {
    let arena = with_bypass(1, 0);
    let held = arena.try_alloc(shape(1)).unwrap();
    let (task, waker) = Task::new();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        let thread = scope.spawn(|| arena.alloc(shape(1)).unwrap());
        until_waiting(&arena, 1);
        let mut future = waiting(&arena, &waker);
        let asker = Asker::new(1);
        asker.ask(&arena, 0, shape(1));
        arena.free(held).unwrap();
        let first = thread.join().unwrap();
        assert_eq!((task.woken(), arena.stats().waiting), (0, 2));
        arena.free(first).unwrap();
        assert_eq!((task.woken(), arena.stats().waiting), (1, 1));
        let Poll::Ready(Ok(second)) = poll(&mut future, &waker) else { panic!("its turn") };
        assert!(asker.ends().is_empty());
        arena.free(second).unwrap();
        free_all(&arena, asker.granted());
    });
    assert_whole(&arena);
}

#[test]
fn a_future_that_was_ready_is_not_polled_again() {
    let arena = numbers(1);
    let (_, waker) = Task::new();
    let mut future = arena.alloc_async(shape(1));
    let Poll::Ready(Ok(span)) = poll(&mut future, &waker) else { panic!("it is free") };
    let again = catch_unwind(AssertUnwindSafe(|| poll(&mut future, &waker)));
    assert!(again.is_err());
    drop(future);
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn futures_may_go_to_other_threads() {
    fn is_send<T: Send>(_: &T) {}
    let arena = numbers(1);
    is_send(&arena.alloc_async(shape(1)));
}

/// A waker that looks at the arena whenever anything is done with it: with the lock held, it would
/// wait for ever.
struct Nosy {
    arena: Arena,
    count: [AtomicU32; 3],
}

const CLONES: usize = 0;
const DROPS: usize = 1;
const WAKES: usize = 2;

impl Nosy {
    const TABLE: RawWakerVTable = RawWakerVTable::new(Self::clone, Self::wake, Self::wake_by_ref, Self::drop);

    fn new(arena: &Arena) -> Arc<Self> {
        Arc::new(Self { arena: arena.clone(), count: Default::default() })
    }

    fn waker(self: &Arc<Self>) -> Waker {
        // SAFETY: the table's functions count the pointer as an `Arc`, and are thread-safe.
        unsafe { Waker::new(Arc::into_raw(self.clone()).cast(), &Self::TABLE) }
    }

    fn look(&self, what: usize) {
        self.count[what].fetch_add(1, SeqCst);
        self.arena.stats();
    }

    unsafe fn clone(this: *const ()) -> RawWaker {
        let this = this.cast::<Self>();
        // SAFETY: it came from `Arc::into_raw`, and lives as long as the waker.
        let nosy = unsafe { &*this };
        nosy.look(CLONES);
        // SAFETY: as above; the clone's drop or wake takes this count back.
        unsafe { Arc::increment_strong_count(this) };
        RawWaker::new(this.cast(), &Self::TABLE)
    }

    unsafe fn wake(this: *const ()) {
        // SAFETY: it came from `Arc::into_raw`, and the waker's count is ours now.
        let nosy = unsafe { Arc::from_raw(this.cast::<Self>()) };
        nosy.look(WAKES);
    }

    unsafe fn wake_by_ref(this: *const ()) {
        // SAFETY: as in `clone`.
        let nosy = unsafe { &*this.cast::<Self>() };
        nosy.look(WAKES);
    }

    unsafe fn drop(this: *const ()) {
        // SAFETY: as in `wake`.
        let nosy = unsafe { Arc::from_raw(this.cast::<Self>()) };
        nosy.look(DROPS);
    }
}

/// Ends what would hang: the lock is taken in a thread that nobody joins then.
#[test]
fn wakers_are_never_called_with_the_lock_held() {
    let (sender, done) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let arena = numbers(1);
        let nosy = [(); 2].map(|()| Nosy::new(&arena));
        let wakers = nosy.each_ref().map(Nosy::waker);
        // Had at once; waited for; passed to another task; dropped; granted and dropped; closed.
        let Poll::Ready(Ok(span)) = poll(&mut arena.alloc_async(shape(1)), &wakers[0]) else { panic!() };
        let mut future = waiting(&arena, &wakers[0]);
        assert!(poll(&mut future, &wakers[1]).is_pending());
        drop(waiting(&arena, &wakers[0]));
        arena.free(span).unwrap();
        let Poll::Ready(Ok(span)) = poll(&mut future, &wakers[0]) else { panic!() };
        let granted = waiting(&arena, &wakers[0]);
        arena.free(span).unwrap();
        drop(granted);
        let span = arena.try_alloc(shape(1)).unwrap();
        let mut told = waiting(&arena, &wakers[1]);
        arena.close();
        assert_eq!(poll(&mut told, &wakers[0]), Poll::Ready(Err(AllocError::Closed)));
        arena.free(span).unwrap();
        drop((future, told, wakers));
        assert_whole(&arena);
        let made = nosy.each_ref().map(|nosy| 1 + nosy.count[CLONES].load(SeqCst));
        let gone = nosy.each_ref().map(|nosy| nosy.count[DROPS].load(SeqCst));
        let woken = nosy.each_ref().map(|nosy| nosy.count[WAKES].load(SeqCst));
        sender.send((made, gone, woken)).unwrap();
    });
    let (made, gone, woken) = done.recv_timeout(Duration::from_mins(1)).expect("a waker met the lock");
    assert_eq!(woken, [1, 2]);
    assert_eq!(made, [gone[0] + woken[0], gone[1] + woken[1]], "none is kept");
}

/// A waker that panics.
struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

#[test]
fn a_waker_that_panics_loses_nothing() {
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let future = waiting(&arena, &Waker::from(Arc::new(Panicking)));
    let (next, other) = Task::new();
    let mut second = waiting(&arena, &other);
    assert!(catch_unwind(AssertUnwindSafe(|| arena.free(held))).is_err());
    assert_eq!((arena.stats().free, next.woken()), (0, 0), "the first one has it all the same");
    drop(future);
    let Poll::Ready(Ok(span)) = poll(&mut second, &other) else { panic!("it was passed on") };
    arena.free(span).unwrap();
    assert_whole(&arena);
}

/// A hook that panics as long as it is told to.
struct Hook(AtomicU32);

impl Reclaim for Hook {
    fn reclaim(&self, _: &Shortage<'_>) {
        assert_eq!(self.0.load(SeqCst), 0, "a hook that panics");
    }
}

/// It is called after the request was queued, on the thread of who asked: what was decided is kept.
#[test]
fn a_hook_that_panics_loses_no_request() {
    for sleeps in [false, true] {
        let arena = numbers(1);
        let held = arena.try_alloc(shape(1)).unwrap();
        let hook = Arc::new(Hook(AtomicU32::new(1)));
        register(&arena, &hook);
        let (task, waker) = Task::new();
        let mut future = arena.alloc_async(shape(1));
        let asked = catch_unwind(AssertUnwindSafe(|| {
            if sleeps {
                arena.alloc(shape(1)).map(drop)
            } else {
                let _ = poll(&mut future, &waker);
                Ok(())
            }
        }));
        assert!(asked.is_err(), "the hook was called");
        hook.0.store(0, SeqCst);
        assert_eq!(arena.stats().waiting, usize::from(!sleeps), "a thread has gone, a future has not");
        arena.free(held).unwrap();
        if !sleeps {
            assert_eq!(task.woken(), 1);
            let Poll::Ready(Ok(span)) = poll(&mut future, &waker) else { panic!("it was granted") };
            arena.free(span).unwrap();
        }
        drop(future);
        assert_whole(&arena);
    }
}

/// Many of both kinds take and free, and some of them leave.
#[test]
fn threads_and_tasks_come_and_go() {
    const THREADS: u64 = 4;
    const ROUNDS: u32 = 500;
    let arena = with_bypass(4, 2);
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let arena = &arena;
            scope.spawn(move || {
                let _close = CloseOnPanic(arena);
                let mut random = Random::new(seed);
                for _ in 0..ROUNDS {
                    let placement = shape(1 + random.below(3));
                    let taken = match random.below(3) {
                        0 => arena.alloc(placement).ok(),
                        1 => kva::sync::block_on_future(arena.alloc_async(placement)).ok(),
                        _ => {
                            let mut future = arena.alloc_async(placement);
                            match poll(&mut future, Waker::noop()) {
                                Poll::Ready(taken) => taken.ok(),
                                Poll::Pending => None,
                            }
                        }
                    };
                    if let Some(span) = taken {
                        arena.free(span).unwrap();
                    }
                }
            });
        }
    });
    assert_whole(&arena);
}
