//! Objects that are made on grower threads: how many there are, that every getter stays within
//! reach, and what becomes of what was begun for one who needs it no more.

#![cfg(not(loom))]

use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use pool::{Awaited, GetError, GrowerError, Growers, Pool};

#[macro_use]
mod support;

use support::shop::{
    EndOnPanic, Failed, Moment, Object, Order, Shop, assert_rest, assert_sold_out, growers, join_all,
    until_settled,
};
use support::{Task, until, until_waiting, wait_for};

type Made = Pool<Object, Growers<Object, Failed>>;

/// At most `limit` objects, made by at most `threads` threads.
fn pool(limit: u32, threads: usize, shop: &Shop) -> Made {
    Pool::from_factory(limit, growers(threads, shop)).build().unwrap()
}

/// Begins so many creations for one whose time is up before they end. How long it takes a thread to
/// begin nobody knows, and what was not begun is not begun.
fn begin_for_nobody(pool: &Made, shop: &Shop, creations: usize) {
    let before = shop.creating();
    for time in (0..).map(|power| Duration::from_millis(1 << power)) {
        let late = pool.request().timeout(time).get_many(creations);
        assert_is!(late, Err(GetError::TimedOut(Awaited::Page)));
        assert_eq!(pool.stats().waiting, 0);
        let pending = pool.stats().growing as usize;
        shop.until_creating(pending);
        if pending == before + creations {
            return;
        }
        shop.order_all(Order::Fail);
        until_settled(pool);
        shop.order_none();
    }
}

// Threads.

#[test]
fn objects_are_made_on_threads_of_the_pools_own() {
    let shop = Shop::open();
    let pool = pool(2, 1, &shop);
    drop(pool.get_many(2).unwrap());
    for number in 0..2 {
        let (thread, name) = shop.begun_by(number);
        assert_ne!(thread, thread::current().id());
        assert_eq!(name.as_deref(), Some("pool-grower"));
    }
    assert_rest(&pool, &shop, 2);
}

#[test]
fn no_more_threads_create_at_once_than_may_be() {
    for (threads, most) in [(0, 1), (1, 1), (2, 2)] {
        let shop = Shop::by_order();
        let pool = pool(4, threads, &shop);
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &shop);
            let getters = [(); 4].map(|()| scope.spawn(|| drop(pool.get_many(1).unwrap())));
            until_waiting(&pool, 4);
            shop.until_creating(most);
            assert_eq!((pool.stats().growing, shop.begun()), (4, most), "the others wait for a thread");
            shop.order_all(Order::Make);
            join_all(getters);
        });
        assert_eq!(shop.most_creating(), most);
        assert_rest(&pool, &shop, 4);
    }
}

/// A thread that made one makes the next, and one that panicked too.
#[test]
fn one_thread_makes_one_after_another() {
    let shop = Shop::by_order();
    let pool = pool(4, 1, &shop);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let getters = [(); 4].map(|()| scope.spawn(|| pool.get().map(drop)));
        until_waiting(&pool, 4);
        shop.order(0, Order::Panic);
        shop.until_begun(2);
        shop.order(1, Order::Fail);
        shop.until_begun(3);
        let failures = pool.stats().failures;
        assert_eq!((failures.backend, failures.total(), pool.stats().waiting), (2, 2, 2));
        shop.order_all(Order::Make);
        let outcomes = join_all(getters);
        let abandoned = |outcome: &&Result<_, _>| matches!(outcome, Err(GetError::Abandoned));
        let refused = |outcome: &&Result<_, _>| {
            matches!(outcome, Err(GetError::Backend(GrowerError::Failed(Failed(1)))))
        };
        assert_eq!(outcomes.iter().filter(abandoned).count(), 1);
        assert_eq!(outcomes.iter().filter(refused).count(), 1);
    });
    assert_eq!(shop.most_creating(), 1);
    assert_rest(&pool, &shop, 4);
}

/// A pool at rest has no threads; those that come later are others.
#[test]
fn threads_end_when_there_is_nothing_to_create() {
    let shop = Shop::open();
    let pool = pool(1, 1, &shop);
    drop(pool.get().unwrap());
    assert_eq!(pool.drain(), 1);
    // Of this one: what the thread holds of the crew goes with it.
    drop(pool);
    until(|| shop.is_alone());
    assert_sold_out(&shop, 1);
}

// Within reach.

#[test]
fn a_getter_takes_what_comes_first() {
    let shop = Shop::by_order();
    let pool = pool(3, 2, &shop);
    shop.order(0, Order::Make);
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let number = || pool.get().unwrap().number;
        let first = scope.spawn(|| pool.get_owned().unwrap());
        shop.until_creating(1);
        let second = scope.spawn(number);
        shop.until_creating(2);
        shop.order(2, Order::Make);
        let others = first.join().unwrap();
        assert_eq!(others.number, 2, "another's, which came before its own");
        until_waiting(&pool, 1);
        drop(held);
        assert_eq!(second.join().unwrap(), 0, "a put");
        assert_eq!((shop.begun(), shop.creating()), (3, 1));
    });
    shop.order_all(Order::Make);
    assert_rest(&pool, &shop, 3);
}

#[test]
fn a_deadline_reaches_who_waits_for_a_creation() {
    let shop = Shop::by_order();
    let pool = pool(1, 1, &shop);
    for for_page in [false, true] {
        let (task, _waker) = Task::new();
        let (request, time) = (pool.request(), Duration::from_millis(1));
        let request = if for_page { request.grow_timeout(time) } else { request.timeout(time) };
        let mut getter = pin!(request.get_async());
        let late = loop {
            if let Poll::Ready(late) = task.poll(getter.as_mut()) {
                break late;
            }
        };
        assert_is!(late, Err(GetError::TimedOut(Awaited::Page)));
        assert_is!(request.get(), Err(GetError::TimedOut(Awaited::Page)));
        shop.order_all(Order::Fail);
        until_settled(&pool);
        shop.order_none();
    }
    begin_for_nobody(&pool, &shop, 1);
    assert_eq!((shop.creating(), pool.stats().growing), (1, 1), "it goes on, for nobody");
    shop.order_all(Order::Fail);
    until_settled(&pool);
    let failures = pool.stats().failures;
    assert_eq!((failures.total(), failures.backend), (failures.timed_out, 0));
    assert_rest(&pool, &shop, 1);
}

// What was begun for one who needs it no more.

#[test]
fn what_was_not_begun_is_not_begun_once_nobody_needs_it() {
    let shop = Shop::by_order();
    let pool = pool(4, 1, &shop);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let hangs = scope.spawn(|| drop(pool.get().unwrap()));
        shop.until_creating(1);
        for _ in 0..2 {
            let late = pool.get_timeout(Duration::from_millis(1));
            assert_is!(late, Err(GetError::TimedOut(Awaited::Page)));
            assert_eq!((pool.stats().growing, shop.begun()), (1, 1), "its slot is free");
        }
        shop.order_all(Order::Make);
        hangs.join().unwrap();
    });
    assert_eq!((shop.begun(), pool.stats().withdrawn), (1, 2));
    assert_rest(&pool, &shop, 4);
}

#[test]
fn what_was_begun_goes_on_for_the_next_who_waits() {
    let shop = Shop::by_order();
    let pool = pool(2, 2, &shop);
    shop.order(0, Order::Make);
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let served = scope.spawn(|| pool.get_owned().unwrap());
        shop.until_creating(1);
        let next = scope.spawn(|| pool.get().unwrap().number);
        until_waiting(&pool, 2);
        drop(held);
        let served = served.join().unwrap();
        assert_eq!((served.number, pool.stats().growing), (0, 1));
        shop.order(1, Order::Make);
        assert_eq!(next.join().unwrap(), 1);
        assert_eq!((shop.begun(), pool.stats().withdrawn), (2, 0), "not begun anew");
    });
    assert_rest(&pool, &shop, 2);
}

/// Of one that was not begun too: it keeps its place in line for a thread.
#[test]
fn what_waits_for_a_thread_waits_on_for_the_next_who_needs_it() {
    let shop = Shop::by_order();
    let pool = pool(2, 1, &shop);
    let (task, waker) = Task::new();
    let mut hangs = pin!(pool.get_async());
    assert_is!(task.poll(hangs.as_mut()), Poll::Pending);
    shop.until_creating(1);
    let mut asks = Box::pin(pool.get_async());
    assert_is!(task.poll(asks.as_mut()), Poll::Pending);
    let mut next = pin!(pool.get_async());
    assert_is!(task.poll(next.as_mut()), Poll::Pending);
    assert_eq!((pool.stats().growing, pool.stats().waiting), (2, 3));
    drop(asks);
    assert_eq!((pool.stats().growing, pool.stats().grows), (2, 2), "it is the next one's");
    drop(waker);
    shop.order_all(Order::Make);
    let items = [wait_for(hangs).unwrap().number, wait_for(next).unwrap().number];
    assert!(items.iter().all(|number| *number < 2), "{items:?}");
    assert_eq!((shop.begun(), pool.stats().grows), (2, 2));
    assert_rest(&pool, &shop, 2);
}

/// Of which nobody is told.
#[test]
fn what_ends_for_nobody_ends_without_a_word() {
    for (order, made) in [(Order::Make, 1), (Order::Fail, 0), (Order::Panic, 0)] {
        let shop = Shop::by_order();
        let pool = pool(2, 2, &shop);
        begin_for_nobody(&pool, &shop, 1);
        let first = shop.begun() - 1;
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &shop);
            let getter = scope.spawn(|| pool.get_many(1).map(|items| items.len()));
            shop.until_creating(2);
            shop.order(first, order);
            if made == 0 {
                until(|| pool.stats().growing == 1);
                assert_eq!((pool.stats().waiting, pool.stats().failures.backend), (1, 0));
                shop.order(first + 1, Order::Make);
            }
            assert_is!(getter.join().unwrap(), Ok(1), "what comes is for who waits");
        });
        shop.order_all(Order::Make);
        until_settled(&pool);
        assert_eq!((shop.begun(), shop.live(), pool.stats().idle), (first + 2, 1 + made, 1 + made));
        assert_rest(&pool, &shop, 2);
    }
}

/// It has no part in what failed: it was begun for another, who has gone.
#[test]
fn one_who_had_no_room_beside_what_ends_for_nobody_creates_after_it() {
    for order in [Order::Fail, Order::Panic] {
        let shop = Shop::by_order();
        let pool = pool(1, 1, &shop);
        begin_for_nobody(&pool, &shop, 1);
        let first = shop.begun() - 1;
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &shop);
            let getter = scope.spawn(|| pool.get().unwrap().number);
            until_waiting(&pool, 1);
            assert_eq!((pool.stats().growing, shop.creating()), (1, 1), "there is room for no other");
            shop.order(first + 1, Order::Make);
            shop.order(first, order);
            assert_eq!(getter.join().unwrap(), first + 1);
        });
        assert_rest(&pool, &shop, 1);
    }
}

#[test]
fn what_is_made_for_nobody_is_kept_as_far_as_high_water_allows() {
    for high in [0, 1, 2] {
        let shop = Shop::by_order();
        let pool = pool(2, 2, &shop);
        pool.set_water(0, high).unwrap();
        begin_for_nobody(&pool, &shop, 2);
        shop.order_all(Order::Make);
        until_settled(&pool);
        assert_eq!((shop.live(), pool.stats().idle), (high as usize, high as usize));
        assert_rest(&pool, &shop, 2);
    }
}

/// Nobody counts on what was begun for one who has gone: who comes begins another.
#[test]
fn one_that_hangs_for_nobody_keeps_nobody_from_creating() {
    let shop = Shop::by_order();
    let pool = pool(2, 2, &shop);
    begin_for_nobody(&pool, &shop, 1);
    let hangs = shop.begun() - 1;
    shop.order(hangs + 1, Order::Make);
    for _ in 0..3 {
        assert_eq!(pool.get().unwrap().number, hangs + 1);
    }
    assert_eq!((pool.stats().growing, shop.creating()), (1, 1), "it has its slot");
    let held = pool.get().unwrap();
    assert_is!(pool.get_timeout(Duration::from_millis(1)), Err(GetError::TimedOut(_)));
    drop(held);
    shop.order(hangs, Order::Make);
    assert_rest(&pool, &shop, 2);
}

/// Where there are fewer threads than getters, a spike costs no more than those.
#[test]
fn a_spike_leaves_no_more_than_its_threads_began() {
    const THREADS: usize = 2;
    const MINIMUM: usize = 5;
    const GETTERS: usize = 50;
    let shop = Shop::open();
    let pool = pool(GETTERS as u32, THREADS, &shop);
    let held = pool.get_many(MINIMUM).unwrap();
    shop.order_none();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let getters: Vec<_> = (0..GETTERS).map(|_| scope.spawn(|| drop(pool.get().unwrap()))).collect();
        until_waiting(&pool, GETTERS);
        shop.until_creating(THREADS);
        drop(held);
        join_all(getters);
    });
    assert_eq!((shop.begun(), shop.live()), (MINIMUM + THREADS, MINIMUM));
    shop.order_all(Order::Make);
    until_settled(&pool);
    assert_eq!(shop.live(), MINIMUM + THREADS);
    assert_rest(&pool, &shop, GETTERS);
}

// The end of the pool.

#[test]
fn nothing_is_left_of_a_pool_that_is_dropped_while_it_creates() {
    for (order, makes) in [(Order::Make, 2), (Order::Fail, 0), (Order::Panic, 0)] {
        let shop = Shop::by_order();
        let pool = pool(3, 2, &shop);
        let (task, waker) = Task::new();
        let mut getters = [(); 3].map(|()| Box::pin(pool.get_owned_async()));
        for getter in &mut getters {
            assert_is!(task.poll(getter.as_mut()), Poll::Pending);
        }
        shop.until_creating(2);
        drop(pool);
        assert_eq!(task.woken(), 3);
        for getter in &mut getters {
            assert_is!(task.poll(getter.as_mut()), Poll::Ready(Err(GetError::Closed)));
        }
        drop((getters, waker));
        assert_eq!(Arc::strong_count(&task), 1);
        shop.order_all(order);
        until(|| shop.is_alone());
        assert_eq!((shop.begun(), shop.most()), (2, 2), "and the third was not begun");
        assert!(makes == 0 || shop.live() == 0);
        assert_sold_out(&shop, 2);
    }
}

#[test]
fn tasks_and_threads_wait_for_grower_threads_in_one_line() {
    let shop = Shop::by_order();
    let pool = Pool::from_factory(1, growers(1, &shop)).bypass(0).build().unwrap();
    let (task, _waker) = Task::new();
    let mut first = Box::pin(pool.get_async());
    assert_is!(task.poll(first.as_mut()), Poll::Pending);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let second = scope.spawn(|| pool.get().unwrap().number);
        until_waiting(&pool, 2);
        let mut third = pin!(pool.get_async());
        assert_is!(task.poll(third.as_mut()), Poll::Pending);
        shop.order(0, Order::Make);
        until(|| task.woken() > 0);
        let Poll::Ready(Ok(item)) = task.poll(first.as_mut()) else { panic!("it was served") };
        assert_eq!(pool.stats().waiting, 2);
        drop(item);
        assert_eq!(second.join().unwrap(), 0);
        assert_eq!(wait_for(third).unwrap().number, 0);
    });
    assert_eq!((shop.begun(), pool.stats().most_overtaken), (1, 0));
    assert_rest(&pool, &shop, 1);
}

/// It is the younger of the two, and is served after who asked for what it creates.
#[test]
fn a_creator_may_wait_for_an_object_of_its_pool() {
    let shop = Shop::open();
    let pool = pool(2, 2, &shop);
    let inner = Arc::new(AtomicUsize::new(usize::MAX));
    shop.hook({
        let (pool, inner) = (pool.clone(), inner.clone());
        move |moment| {
            if moment == Moment::Begins(0) {
                inner.store(pool.get().unwrap().number, SeqCst);
            }
        }
    });
    assert_eq!(pool.get().unwrap().number, 1);
    until_settled(&pool);
    assert_eq!((inner.load(SeqCst), shop.begun()), (1, 2));
    shop.unhook();
    assert_rest(&pool, &shop, 2);
}

/// Nobody is told what a creation on a grower's thread panicked with. It was kept for ever, each time.
#[test]
fn what_a_creation_panicked_with_is_dropped() {
    let payload = Arc::new(());
    let panics = payload.clone();
    let create = move || -> Result<u32, Failed> { std::panic::panic_any(panics.clone()) };
    let pool = Pool::from_factory(1, Growers::new(1, create)).build().unwrap();
    for _ in 0..3 {
        assert_is!(pool.get(), Err(GetError::Abandoned));
    }
    drop(pool);
    until(|| Arc::strong_count(&payload) == 1);
}
