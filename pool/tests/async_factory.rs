//! Objects that are made by futures: who drives them, to whom they are handed on, and when they are
//! dropped. Threads and tasks, without a runtime and with one.

#![cfg(not(loom))]

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use kva::sync::{Arc, Mutex, block_on_until};
use pool::{AsyncFactory, Awaited, GetError, Pool};

#[macro_use]
mod support;

use support::shop::{EndOnPanic, Failed, Moment, Object, Order, Shop, assert_rest, assert_sold_out, pool_of};
use support::{Task, panics, poll_once, until, until_waiting, wait_for};

type Made = Pool<Object, AsyncFactory<Object, Failed>>;

fn pool(limit: u32, shop: &Shop) -> Made {
    pool_of(limit, shop).build().unwrap()
}

// Who drives.

#[test]
fn nothing_is_begun_before_it_is_polled() {
    let shop = Shop::open();
    let pool = pool(1, &shop);
    let getter = pool.get_async();
    assert_eq!((shop.begun(), pool.stats().growing), (0, 0));
    drop(getter);
    assert_eq!(wait_for(pool.get_async()).unwrap().number, 0);
    assert_rest(&pool, &shop, 1);
}

#[test]
fn a_getter_drives_what_it_asked_for() {
    let shop = Shop::by_order();
    let pool = pool(1, &shop);
    let (task, waker) = Task::new();
    let mut getter = pin!(pool.get_async());
    assert_is!(task.poll(getter.as_mut()), Poll::Pending);
    assert_eq!((shop.creating(), pool.stats().growing, pool.stats().waiting), (1, 1, 1));
    assert_eq!(shop.begun_by(0).0, thread::current().id());
    shop.order(0, Order::Make);
    assert_eq!(task.woken(), 1);
    assert_is!(task.poll(getter.as_mut()), Poll::Ready(Ok(item)) if item.number == 0);
    drop(waker);
    assert_eq!(Arc::strong_count(&task), 1, "nobody kept the waker");
    assert_rest(&pool, &shop, 1);
}

/// All of them at once, and not one after the other.
#[test]
fn one_who_wants_several_drives_them_all() {
    let shop = Shop::by_order();
    let pool = pool(3, &shop);
    let (task, _waker) = Task::new();
    let mut getter = pin!(pool.request().reserve_async(3));
    assert_is!(task.poll(getter.as_mut()), Poll::Pending);
    assert_eq!((shop.creating(), pool.stats().growing), (3, 3));
    for number in [2, 0] {
        shop.order(number, Order::Make);
        assert_is!(task.poll_if_woken(getter.as_mut()), Poll::Pending);
    }
    assert_eq!((pool.stats().idle, shop.creating()), (2, 1));
    shop.order(1, Order::Make);
    let mut reserved = wait_for(getter).unwrap();
    assert_eq!((reserved.len(), reserved.get().unwrap().number < 3), (3, true));
    drop(reserved);
    assert_rest(&pool, &shop, 3);
}

/// As with any future, by the waker that it was polled with last.
#[test]
fn what_it_drives_goes_with_it_to_another_task() {
    let shop = Shop::by_order();
    let pool = pool(1, &shop);
    let [(one, _one), (other, _other)] = [Task::new(), Task::new()];
    let mut getter = pin!(pool.get_async());
    assert_is!(one.poll(getter.as_mut()), Poll::Pending);
    assert_is!(other.poll(getter.as_mut()), Poll::Pending);
    shop.order(0, Order::Make);
    assert_eq!((one.woken(), other.woken()), (0, 1));
    assert_is!(other.poll(getter.as_mut()), Poll::Ready(Ok(_)));
    assert_rest(&pool, &shop, 1);
}

#[test]
fn a_thread_drives_too_and_waits_beside_tasks() {
    let shop = Shop::by_order();
    let pool: Made = pool_of(1, &shop).bypass(0).build().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let first = scope.spawn(|| (pool.get().unwrap().number, thread::current().id()));
        shop.until_creating(1);
        let (task, _waker) = Task::new();
        let mut second = pin!(pool.get_async());
        assert_is!(task.poll(second.as_mut()), Poll::Pending);
        let third = scope.spawn(|| pool.get().unwrap().number);
        until_waiting(&pool, 3);
        shop.order(0, Order::Make);
        assert_eq!(first.join().unwrap(), (0, shop.begun_by(0).0));
        until(|| task.woken() > 0);
        assert_eq!(pool.stats().waiting, 1, "handed over, in order");
        assert_is!(task.poll(second.as_mut()), Poll::Ready(Ok(item)) if item.number == 0);
        assert_eq!(third.join().unwrap(), 0);
    });
    assert_eq!((shop.begun(), pool.stats().most_overtaken), (1, 0));
    assert_rest(&pool, &shop, 1);
}

// What comes first.

#[test]
fn a_put_serves_who_waits_for_a_creation_and_that_is_dropped() {
    let shop = Shop::by_order();
    let pool = pool(2, &shop);
    shop.order(0, Order::Make);
    let held = pool.get().unwrap();
    let (task, _waker) = Task::new();
    let mut getter = pin!(pool.get_async());
    assert_is!(task.poll(getter.as_mut()), Poll::Pending);
    assert_eq!(shop.creating(), 1);
    drop(held);
    assert_eq!(task.woken(), 1);
    let Poll::Ready(Ok(item)) = task.poll(getter.as_mut()) else { panic!("there is one") };
    assert_eq!((item.number, shop.creating(), pool.stats().growing), (0, 0, 0));
    assert_eq!((pool.stats().withdrawn, shop.live()), (1, 1));
    drop(item);
    assert_rest(&pool, &shop, 2);
}

#[test]
fn another_creation_serves_who_waits_longest_and_its_own_is_handed_on() {
    let shop = Shop::by_order();
    let pool = pool_of::<AsyncFactory<Object, Failed>>(2, &shop).bypass(0).build().unwrap();
    let [(first, _first), (second, _second)] = [Task::new(), Task::new()];
    let mut oldest = pin!(pool.get_async());
    let mut younger = pin!(pool.get_async());
    assert_is!(first.poll(oldest.as_mut()), Poll::Pending);
    assert_is!(second.poll(younger.as_mut()), Poll::Pending);
    assert_eq!(shop.creating(), 2);
    shop.order(1, Order::Make);
    assert_eq!((first.woken(), second.woken()), (0, 1));
    assert_is!(second.poll(younger.as_mut()), Poll::Pending, "it made it for the oldest");
    let Poll::Ready(Ok(item)) = first.poll_if_woken(oldest.as_mut()) else { panic!("it was served") };
    assert_eq!((item.number, shop.creating(), pool.stats().growing), (1, 1, 1));
    assert_is!(second.poll_if_woken(younger.as_mut()), Poll::Pending, "it takes on the other");
    shop.order(0, Order::Make);
    assert_is!(second.poll_if_woken(younger.as_mut()), Poll::Ready(Ok(item)) if item.number == 0);
    drop(item);
    assert_eq!((shop.begun(), pool.stats().withdrawn), (2, 0), "none was begun anew");
    assert_rest(&pool, &shop, 2);
}

#[test]
fn a_close_reaches_who_drives() {
    let shop = Shop::by_order();
    let pool = pool(2, &shop);
    let (task, _waker) = Task::new();
    let mut getters = [(); 2].map(|()| Box::pin(pool.get_async()));
    for getter in &mut getters {
        assert_is!(task.poll(getter.as_mut()), Poll::Pending);
    }
    pool.close();
    assert_eq!((task.woken(), shop.creating()), (2, 2));
    for (left, getter) in [1, 0].into_iter().zip(&mut getters) {
        assert_is!(task.poll(getter.as_mut()), Poll::Ready(Err(GetError::Closed)));
        assert_eq!((shop.creating(), pool.stats().growing as usize), (left, left), "dropped");
    }
    assert_rest(&pool, &shop, 2);
}

#[test]
fn the_last_handle_closes_and_nothing_is_left() {
    let shop = Shop::by_order();
    let pool = pool(1, &shop);
    let (task, _waker) = Task::new();
    let mut getter = Box::pin(pool.get_owned_async());
    assert_is!(task.poll(getter.as_mut()), Poll::Pending);
    drop(pool);
    assert_is!(task.poll_if_woken(getter.as_mut()), Poll::Ready(Err(GetError::Closed)));
    assert_eq!(shop.creating(), 0);
    drop(getter);
    assert!(shop.is_alone());
    assert_sold_out(&shop, 1);
}

#[test]
fn a_deadline_reaches_who_drives() {
    let shop = Shop::by_order();
    let pool = pool(1, &shop);
    let now = pool.request().timeout(Duration::ZERO);
    let for_page = pool.request().grow_timeout(Duration::ZERO);
    for request in [now, for_page] {
        assert_is!(request.get(), Err(GetError::TimedOut(Awaited::Page)), "a thread");
        assert_eq!((shop.creating(), pool.stats().growing), (0, 0));
        let (task, _waker) = Task::new();
        let mut getter = pin!(request.get_async());
        assert_is!(task.poll(getter.as_mut()), Poll::Ready(Err(GetError::TimedOut(Awaited::Page))));
        assert_eq!((shop.creating(), pool.stats().growing), (0, 0));
    }
    assert_eq!((shop.begun(), pool.stats().failures.timed_out), (4, 4));
    assert_rest(&pool, &shop, 1);
}

/// It waits for a creation as those do who began one.
#[test]
fn the_time_for_a_page_is_up_for_one_who_took_a_creation_on() {
    let shop = Shop::by_order();
    let pool = pool(1, &shop);
    let (task, _waker) = Task::new();
    let mut asked = Box::pin(pool.get_async());
    let mut next = pin!(pool.get_async());
    assert_is!(task.poll(asked.as_mut()), Poll::Pending);
    assert_is!(task.poll(next.as_mut()), Poll::Pending);
    drop(asked);
    // The next was told, and has not looked. Who comes before it does takes it on.
    let mut late = pin!(pool.request().grow_timeout(Duration::ZERO).get_async());
    assert_is!(task.poll(late.as_mut()), Poll::Ready(Err(GetError::TimedOut(Awaited::Page))));
    // Two gave up waiting for it: it is not handed on once more.
    shop.order(1, Order::Make);
    assert_is!(task.poll(next.as_mut()), Poll::Ready(Ok(item)) if item.number == 1);
    assert_rest(&pool, &shop, 1);
}

// Handed on, or dropped.

/// A task, a thread, and another task, of one creation.
#[test]
fn what_was_begun_is_handed_on_with_its_progress() {
    let polls = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Mutex::new((false, None::<Waker>)));
    let factory = AsyncFactory::new({
        let (polls, gate) = (polls.clone(), gate.clone());
        move || {
            let (polls, gate) = (polls.clone(), gate.clone());
            let mut times = 0;
            std::future::poll_fn(move |context| {
                times += 1;
                polls.store(times, SeqCst);
                let mut gate = gate.lock();
                if gate.0 {
                    return Poll::Ready(Ok::<_, Failed>(times));
                }
                gate.1 = Some(context.waker().clone());
                Poll::Pending
            })
        }
    });
    let pool = Pool::from_factory(1, factory).bypass(0).build().unwrap();
    let (task, _waker) = Task::new();
    let mut first = Box::pin(pool.get_async());
    assert_is!(task.poll(first.as_mut()), Poll::Pending);
    assert_eq!(polls.load(SeqCst), 1);
    thread::scope(|scope| {
        let second = scope.spawn(|| pool.get_timeout(Duration::from_millis(300)).map(drop));
        until_waiting(&pool, 2);
        drop(first);
        assert_is!(second.join().unwrap(), Err(GetError::TimedOut(Awaited::Page)));
    });
    // Nobody needed it then.
    assert_eq!(pool.stats().growing, 0);
    let seen = polls.load(SeqCst);
    assert!(seen > 1, "the thread went on with it");

    let [(one, _one), (other, _other)] = [Task::new(), Task::new()];
    let mut first = Box::pin(pool.get_async());
    let mut second = Box::pin(pool.get_async());
    assert_is!(one.poll(first.as_mut()), Poll::Pending);
    assert_is!(one.poll(first.as_mut()), Poll::Pending);
    assert_is!(other.poll(second.as_mut()), Poll::Pending);
    assert_eq!(polls.load(SeqCst), 2, "a new one");
    drop(first);
    assert_eq!(other.woken(), 1, "to take it on");
    assert_is!(other.poll_if_woken(second.as_mut()), Poll::Pending);
    assert_eq!(polls.load(SeqCst), 3, "where it stood");
    let waker = {
        let mut gate = gate.lock();
        gate.0 = true;
        gate.1.take().unwrap()
    };
    waker.wake();
    assert_eq!((one.woken(), other.woken()), (0, 1));
    assert_is!(other.poll_if_woken(second.as_mut()), Poll::Ready(Ok(times)) if *times == 4);
    assert_eq!(pool.stats().grows, 2);
}

/// Also if they all leave at once: the last who needs it has it.
#[test]
fn what_was_begun_is_handed_on_as_long_as_anybody_waits() {
    const WAITERS: usize = 5;
    let shop = Shop::by_order();
    let pool = pool(1, &shop);
    let (task, _waker) = Task::new();
    let mut getters: Vec<_> = (0..WAITERS).map(|_| Box::pin(pool.get_async())).collect();
    for getter in &mut getters {
        assert_is!(task.poll(getter.as_mut()), Poll::Pending);
    }
    let mut last = getters.pop().unwrap();
    drop(getters);
    assert_eq!((shop.creating(), pool.stats().growing, pool.stats().waiting), (1, 1, 1));
    assert_is!(task.poll(last.as_mut()), Poll::Pending);
    shop.order(0, Order::Make);
    assert_is!(task.poll(last.as_mut()), Poll::Ready(Ok(item)) if item.number == 0);
    assert_eq!((shop.begun(), pool.stats().failures.cancelled), (1, WAITERS as u64 - 1));
    assert_rest(&pool, &shop, 1);
}

#[test]
fn what_nobody_needs_is_dropped() {
    let shop = Shop::by_order();
    let pool = pool(3, &shop);
    let (task, _waker) = Task::new();
    let mut several = Box::pin(pool.request().reserve_async(2));
    let mut getter = Box::pin(pool.get_async());
    assert_is!(task.poll(several.as_mut()), Poll::Pending);
    assert_is!(task.poll(getter.as_mut()), Poll::Pending);
    assert_eq!((shop.creating(), pool.stats().growing), (3, 3));
    drop(several);
    assert_eq!((shop.creating(), pool.stats().growing), (1, 1), "two were one too many for the other");
    drop(getter);
    assert_eq!((shop.creating(), pool.stats().growing, pool.stats().withdrawn), (0, 0, 3));
    assert_rest(&pool, &shop, 3);
}

/// P1 for what is real: who comes begins nothing before what was begun has been dropped.
#[test]
fn the_slot_is_free_when_what_was_begun_has_been_dropped() {
    let shop = Shop::by_order();
    let pool = pool(1, &shop);
    let seen = Arc::new(AtomicUsize::new(0));
    shop.hook({
        let (pool, seen) = (pool.clone(), seen.clone());
        move |moment| {
            if let Moment::Ends(0) = moment {
                assert_eq!(pool.stats().growing, 1, "it is there still");
                assert_is!(poll_once(pin!(pool.get_async())), Poll::Pending);
                seen.fetch_add(1, SeqCst);
            }
        }
    });
    let mut getter = Box::pin(pool.get_async());
    assert_is!(poll_once(getter.as_mut()), Poll::Pending);
    drop(getter);
    assert_eq!((seen.load(SeqCst), shop.begun(), pool.stats().growing), (1, 1, 0));
    shop.unhook();
    assert_rest(&pool, &shop, 1);
}

#[test]
fn what_is_above_a_lowered_limit_is_not_handed_on() {
    let shop = Shop::by_order();
    let pool = pool(2, &shop);
    shop.order(0, Order::Make);
    let held = pool.get().unwrap();
    let (task, _waker) = Task::new();
    let mut asked = Box::pin(pool.get_async());
    let mut next = pin!(pool.get_async());
    assert_is!(task.poll(asked.as_mut()), Poll::Pending);
    assert_is!(task.poll(next.as_mut()), Poll::Pending);
    pool.set_hard_limit(1).unwrap();
    drop(asked);
    assert_eq!((shop.creating(), pool.stats().growing, pool.stats().waiting), (0, 0, 1));
    drop(held);
    assert_is!(task.poll(next.as_mut()), Poll::Ready(Ok(item)) if item.number == 0);
    assert_rest(&pool, &shop, 2);
}

// Futures that fail and panic.

/// And not who drives it, if that is another.
#[test]
fn the_error_is_the_oldest_waiters() {
    let shop = Shop::by_order();
    let pool = pool(2, &shop);
    let (task, _waker) = Task::new();
    let mut oldest = pin!(pool.get_async());
    let mut younger = pin!(pool.get_async());
    assert_is!(task.poll(oldest.as_mut()), Poll::Pending);
    assert_is!(task.poll(younger.as_mut()), Poll::Pending);
    shop.order(1, Order::Fail);
    assert_is!(task.poll(younger.as_mut()), Poll::Pending);
    assert_is!(task.poll(oldest.as_mut()), Poll::Ready(Err(GetError::Backend(Failed(1)))));
    assert_is!(task.poll(younger.as_mut()), Poll::Pending, "it took on the other's");
    shop.order(0, Order::Make);
    assert_is!(task.poll(younger.as_mut()), Poll::Ready(Ok(item)) if item.number == 0);
    assert_eq!((shop.begun(), pool.stats().failures.backend), (2, 1));
    assert_rest(&pool, &shop, 2);
}

/// One of those that it drives, and the others are handed on.
#[test]
fn a_panic_of_one_leaves_the_others_to_who_waits() {
    let shop = Shop::by_order();
    let pool = pool(2, &shop);
    let (task, _waker) = Task::new();
    let mut several = Box::pin(pool.request().reserve_async(2));
    let mut next = pin!(pool.get_async());
    assert_is!(task.poll(several.as_mut()), Poll::Pending);
    assert_is!(task.poll(next.as_mut()), Poll::Pending);
    assert_eq!(shop.creating(), 2);
    shop.order(1, Order::Panic);
    assert!(panics(|| task.poll(several.as_mut())));
    drop(several);
    assert_eq!((shop.creating(), pool.stats().growing, pool.stats().waiting), (1, 1, 1));
    assert_is!(task.poll(next.as_mut()), Poll::Pending);
    shop.order(0, Order::Make);
    assert_is!(task.poll(next.as_mut()), Poll::Ready(Ok(item)) if item.number == 0);
    assert_eq!(shop.begun(), 2);
    assert_rest(&pool, &shop, 2);
}

/// `create` itself, before there is a future.
#[test]
fn a_creator_that_panics_gives_its_slot_back() {
    let calls = AtomicUsize::new(0);
    let factory = AsyncFactory::new(move || {
        let call = calls.fetch_add(1, SeqCst);
        assert!(call > 0, "the creator that was to panic does");
        std::future::ready(Ok::<_, Failed>(call))
    });
    let pool = Pool::from_factory(1, factory).build().unwrap();
    assert!(panics(|| pool.get().map(drop)));
    assert_eq!((pool.stats().growing, pool.stats().waiting), (0, 0));
    assert_eq!(*pool.get().unwrap(), 1);
}

/// Whenever futures are dropped whose destructors panic, the slots are free after that, and what
/// its getter was served is not lost. More than one may, in one drop.
#[test]
fn futures_that_panic_when_they_are_dropped_give_their_slots_back() {
    let shop = Shop::by_order();
    let pool = pool(3, &shop);
    let panicked = Arc::new(AtomicUsize::new(0));
    shop.hook({
        let panicked = panicked.clone();
        move |moment| {
            if let Moment::Ends(number) = moment
                && number > 0
                && !thread::panicking()
            {
                panicked.fetch_add(1, SeqCst);
                panic!("the destructor of a future that was to panic does");
            }
        }
    });
    shop.order(0, Order::Make);
    let held = pool.get().unwrap();

    let mut getter = Box::pin(pool.get_async());
    assert_is!(poll_once(getter.as_mut()), Poll::Pending);
    assert!(panics(|| drop(getter)), "cancelled");
    assert_eq!((panicked.load(SeqCst), pool.stats().growing, pool.stats().waiting), (1, 0, 0));

    let mut getter = Box::pin(pool.get_async());
    assert_is!(poll_once(getter.as_mut()), Poll::Pending);
    drop(held);
    assert!(panics(|| poll_once(getter.as_mut()).map(drop)), "served");
    drop(getter);
    let stats = pool.stats();
    assert_eq!((panicked.load(SeqCst), stats.growing, stats.out, stats.idle), (2, 0, 0, 1));

    let mut several = Box::pin(pool.request().reserve_async(3));
    assert_is!(poll_once(several.as_mut()), Poll::Pending);
    assert_eq!(shop.creating(), 2);
    assert!(panics(|| drop(several)), "two of them");
    let stats = pool.stats();
    assert_eq!((panicked.load(SeqCst), stats.growing, stats.idle), (4, 0, 1));
    shop.unhook();
    assert_rest(&pool, &shop, 3);
}

// Futures and their surroundings.

/// The thread that drives it is asleep in there, not in the pool, when the pool wakes it.
#[test]
fn a_future_that_blocks_its_thread_swallows_no_wake() {
    /// More than a thread spins before it sleeps.
    const SPINS: u32 = 50;
    let inner = Arc::new(Inner::default());
    let factory = AsyncFactory::new({
        let inner = inner.clone();
        move || {
            let (inner, mut polls) = (inner.clone(), 0);
            std::future::poll_fn(move |context: &mut Context<'_>| {
                polls += 1;
                if polls <= SPINS {
                    context.waker().wake_by_ref();
                } else if polls == SPINS + 1 {
                    inner.block();
                }
                Poll::<Result<u8, Failed>>::Pending
            })
        }
    });
    let pool = Pool::from_factory(1, factory).build().unwrap();
    thread::scope(|scope| {
        let getter = scope.spawn(|| pool.get().map(drop));
        for _ in 0..SPINS {
            inner.wake();
        }
        let before = inner.polls.load(SeqCst);
        pool.close();
        until(|| inner.polls.load(SeqCst) > before);
        inner.is_over.store(true, SeqCst);
        inner.wake();
        assert_is!(getter.join().unwrap(), Err(GetError::Closed));
    });
}

/// Something that a thread waits for.
#[derive(Default)]
struct Inner {
    waker: Mutex<Option<Waker>>,
    polls: AtomicU32,
    is_over: AtomicBool,
}

impl Inner {
    fn block(&self) {
        let woken = block_on_until(None, |waker| {
            *self.waker.lock() = Some(waker.clone());
            self.polls.fetch_add(1, SeqCst);
            if self.is_over.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        });
        woken.expect("there is no deadline");
    }

    /// Wakes it, and waits until it has looked, if it is not over.
    fn wake(&self) {
        let before = self.polls.load(SeqCst);
        until(|| self.waker.lock().is_some());
        let waker = self.waker.lock().clone().unwrap();
        waker.wake();
        until(|| self.polls.load(SeqCst) > before || self.is_over.load(SeqCst));
    }
}

#[test]
fn a_future_that_is_spawned_goes_on_by_itself() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let shop = Shop::by_order();
    let handle = runtime.handle().clone();
    let pool = Pool::from_factory(2, {
        let shop = shop.clone();
        AsyncFactory::new(move || {
            let task = handle.spawn(shop.clone().create_async());
            async move { task.await.expect("it does not panic") }
        })
    });
    let pool = pool.build().unwrap();
    let (task, _waker) = Task::new();
    let mut getter = pin!(pool.get_async());
    assert_is!(task.poll(getter.as_mut()), Poll::Pending);
    shop.until_creating(1);
    shop.order(0, Order::Make);
    shop.until_live(1);
    assert_eq!(pool.stats().live, 0, "made, and not looked at");
    until(|| task.woken() > 0);
    assert_is!(task.poll(getter.as_mut()), Poll::Ready(Ok(item)) if item.number == 0);
    assert_rest(&pool, &shop, 2);
}

/// Tasks of a runtime beside threads, with creations that take a timer's time, fail, and are
/// given up half way.
#[test]
fn tasks_of_a_runtime_come_and_go_beside_threads() {
    const TASKS: usize = 16;
    const ROUNDS: usize = 30;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let shop = Shop::open();
    for number in (3..TASKS * ROUNDS).step_by(7) {
        shop.order(number, Order::Fail);
    }
    let handle = runtime.handle().clone();
    let pool = Pool::from_factory(3, {
        let shop = shop.clone();
        AsyncFactory::new(move || {
            let (shop, handle) = (shop.clone(), handle.clone());
            async move {
                // A thread that drives it is in no runtime.
                let time = {
                    let _in_runtime = handle.enter();
                    tokio::time::sleep(Duration::from_micros(200))
                };
                time.await;
                shop.create_async().await
            }
        })
    });
    let pool = pool.high_water(2).build().unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let pool = pool.clone();
            runtime.spawn(async move {
                for round in 0..ROUNDS {
                    let time = Duration::from_micros(100 * ((number + round) % 5) as u64);
                    match (number + round) % 4 {
                        0 => drop(tokio::time::timeout(time, pool.get_async()).await.map(drop)),
                        1 => drop(tokio::time::timeout(time, pool.request().reserve_async(2)).await),
                        2 => drop(pool.get_owned_async().await.map(pool::OwnedItem::discard)),
                        _ => {
                            let item = pool.get_owned_async().await;
                            tokio::task::yield_now().await;
                            drop(item);
                        }
                    }
                }
            })
        })
        .collect();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        for _ in 0..2 {
            scope.spawn(|| (0..ROUNDS).for_each(|_| drop(pool.get())));
        }
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
    assert_rest(&pool, &shop, 3);
}

/// No over-creation: the tasks that were served from what there was leave nothing that was begun.
#[test]
fn a_spike_of_tasks_creates_nothing_where_puts_come_first() {
    const MINIMUM: usize = 5;
    const GETTERS: usize = 50;
    let shop = Shop::open();
    let pool = pool(GETTERS as u32, &shop);
    let held = wait_for(pool.request().reserve_async(MINIMUM)).unwrap();
    shop.order_none();
    let (task, _waker) = Task::new();
    let visit = async || pool.get_async().await.unwrap().number;
    let mut getters: Vec<_> = (0..GETTERS).map(|_| Box::pin(visit())).collect();
    for getter in &mut getters {
        assert_is!(task.poll(getter.as_mut()), Poll::Pending);
    }
    assert_eq!(shop.creating(), GETTERS - MINIMUM);
    drop(held);
    while !getters.is_empty() {
        getters.retain_mut(|getter| match task.poll(getter.as_mut()) {
            Poll::Ready(number) => {
                assert!(number < MINIMUM);
                false
            }
            Poll::Pending => true,
        });
    }
    assert_eq!((shop.creating(), shop.live(), pool.stats().growing), (0, MINIMUM, 0));
    assert_rest(&pool, &shop, GETTERS);
}
