//! Waiting for any of several: one commits, the others are withdrawn.

#![cfg(not(loom))]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use kva::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Arena, Shape};
use pool::choose::{
    BoxedEvent, Event, Nack, Wait, after, always, choose, deadline, deadline_by, future, guard, never, span,
    with_nack,
};
use pool::{AsyncFactory, GetError, Pool, RawPool};

#[macro_use]
mod support;

use support::{
    CloseOnPanic, Random, Task, arena, assert_rests, blocks, objects, poll_once, put, until, until_waiting,
    wait_for,
};

/// Nobody waits as long as this for what can be had.
const LONG: Duration = Duration::from_secs(20);
/// What is not to be had is waited for this long.
const SHORT: Duration = Duration::from_millis(5);

fn shape(quanta: u32) -> Shape {
    Shape::new(quanta).unwrap()
}

fn numbers(quanta: u32) -> Arena {
    Arena::new(kva::Region::numbers(quanta), 1).unwrap()
}

/// An event that says when it is nacked.
fn telling<'a, T>(
    event: Event<impl Wait<Output = T> + 'a>,
    told: &'a Mutex<Vec<Nack>>,
) -> Event<impl Wait<Output = T> + 'a> {
    with_nack(move |nack| {
        told.lock().push(nack);
        event
    })
}

/// Pools of one item, each out.
fn all_out(pools: usize) -> (Arena, Vec<RawPool>, Vec<std::ptr::NonNull<u8>>) {
    let arena = arena(pools);
    let pools: Vec<_> = (0..pools).map(|_| blocks(1).bypass(0).build(arena.clone()).unwrap()).collect();
    let items = pools.iter().map(|pool| pool.get().unwrap()).collect();
    (arena, pools, items)
}

// What can be had at once.

#[test]
fn what_is_there_is_had_and_nobody_is_disturbed() {
    let arena = arena(2);
    let pools = [(); 2].map(|()| blocks(1).build(arena.clone()).unwrap());
    let out = pools[0].get().unwrap();
    put(&pools[1], pools[1].get().unwrap()).unwrap();
    let asked = pools[0].stats();
    for _ in 0..8 {
        let (from, item) = choose([0, 1].map(|at| pools[at].get_event().wrap(move |item| (at, item)))).sync();
        assert_eq!(from, 1);
        put(&pools[1], item.unwrap()).unwrap();
    }
    let stats = pools[0].stats();
    assert_eq!((stats.grows, stats.failures.cancelled), (asked.grows, 0), "it got in no line");
    put(&pools[0], out).unwrap();
    let [one, other] = pools;
    drop(one);
    assert_rests(&other, &arena);
}

#[test]
fn each_of_several_that_are_ready_is_chosen() {
    const TIMES: usize = 300;
    let arena = arena(3);
    let pools = [(); 3].map(|()| objects(1).build(arena.clone()).unwrap());
    for pool in &pools {
        drop(pool.get().unwrap());
    }
    let (mut ready, mut granted) = ([0; 3], [0; 3]);
    for _ in 0..TIMES {
        let event = choose([0, 1, 2].map(|at| pools[at].get_event().wrap(move |item| item.map(|_| at))));
        ready[event.sync().unwrap()] += 1;
        // Another choice in between does not decide which of the first one's is asked.
        choose((always(1), always(2))).sync();
        // And of those that were granted while it waited.
        let out = [0, 1, 2].map(|at| pools[at].get().unwrap());
        let mut waits = pin!(
            choose([0, 1, 2].map(|at| pools[at].get_event().wrap(move |item| item.map(|_| at))))
                .into_future()
        );
        assert!(poll_once(waits.as_mut()).is_pending());
        drop(out);
        let Poll::Ready(at) = poll_once(waits.as_mut()) else { panic!("all were put") };
        granted[at.unwrap()] += 1;
    }
    assert!(ready.iter().all(|times| *times > TIMES / 6), "{ready:?}");
    assert!(granted.iter().all(|times| *times > TIMES / 6), "{granted:?}");
}

/// A thread that chooses only once prefers nothing either.
#[test]
fn threads_that_choose_once_do_not_all_choose_the_first() {
    const TIMES: usize = 120;
    let mut chosen = [0; 2];
    for _ in 0..TIMES {
        chosen[thread::spawn(|| choose((always(0), always(1))).sync()).join().unwrap()] += 1;
    }
    assert!(chosen.iter().all(|times| *times > TIMES / 6), "{chosen:?}");
}

/// A reservation of several is as ready as an item, where its objects are there.
#[test]
fn a_reservation_of_several_is_chosen_as_often_as_an_item() {
    const TIMES: usize = 200;
    let arena = arena(8);
    let pools = [(); 2].map(|()| objects(4).build(arena.clone()).unwrap());
    for pool in &pools {
        drop(pool.reserve(4).unwrap());
    }
    let mut chosen = [0; 2];
    for _ in 0..TIMES {
        let several = pools[0].reserve_event(2).wrap(|several| {
            assert_eq!(several.unwrap().len(), 2);
            0
        });
        chosen[choose((several, pools[1].get_event().wrap(|item| item.map(|_| 1).unwrap()))).sync()] += 1;
    }
    assert!(chosen.iter().all(|times| *times > TIMES / 6), "{chosen:?}");
    // All or none.
    let out = pools[0].reserve(3).unwrap();
    let mut first = Box::pin(pools[0].request().reserve_async(3));
    assert!(poll_once(first.as_mut()).is_pending());
    let mut more = 0;
    for _ in 0..4 {
        more += choose((pools[0].reserve_event(2).wrap(|_| 1), always(0))).sync();
    }
    drop(out);
    assert!(poll_once(first.as_mut()).is_ready());
    assert_eq!((more, pools[0].stats().waiting), (0, 0));
    drop(first);
    pools[0].close();
    assert_is!(choose((pools[0].reserve_event(2), never())).sync(), Err(GetError::Closed));
}

/// Who takes several at once passes nobody, and has nothing of a closed pool.
#[test]
fn several_are_not_had_past_who_waits_nor_of_a_closed_pool() {
    let pool = Pool::builder(1, || 0_u8).items_per_page(4).bypass(0).build(arena(1)).unwrap();
    let one = pool.get().unwrap();
    let mut all = Box::pin(pool.request().reserve_async(4));
    assert!(poll_once(all.as_mut()).is_pending());
    for _ in 0..4 {
        assert_eq!(choose((pool.reserve_event(2).wrap(|_| 1), always(0))).sync(), 0);
    }
    drop(all);
    // There are others on the page of the one that is out.
    pool.close();
    assert_is!(pool.reserve_event(2).sync(), Err(GetError::Closed));
    drop(one);
}

// One commits, the others are withdrawn.

#[test]
fn the_others_are_withdrawn_before_what_was_chosen_is_wrapped() {
    let (_, pools, items) = all_out(2);
    let mut chooser = pin!(
        choose((
            pools[0].get_event().wrap(|item| (item.unwrap(), pools[1].stats().waiting)),
            pools[1].get_event().wrap(|item| (item.unwrap(), usize::MAX)),
        ))
        .into_future()
    );
    assert!(poll_once(chooser.as_mut()).is_pending());
    put(&pools[0], items[0]).unwrap();
    let Poll::Ready((item, waiting)) = poll_once(chooser) else { panic!("it was put") };
    assert_eq!(waiting, 0, "it is in line in the other pool");
    put(&pools[0], item).unwrap();
    put(&pools[1], items[1]).unwrap();
}

#[test]
fn one_commits_and_what_the_others_were_granted_goes_on() {
    let (arena, pools, items) = all_out(3);
    let (task, waker) = Task::new();
    let mut chooser =
        pin!(choose([0, 1, 2].map(|at| pools[at].get_event().wrap(move |item| (at, item)))).into_future());
    assert!(chooser.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    assert_eq!(pools.iter().map(|pool| pool.stats().waiting).sum::<usize>(), 3);
    // Two others wait behind it.
    let mut behind: Vec<_> = pools.iter().map(|pool| Box::pin(pool.get_async())).collect();
    for future in &mut behind {
        assert!(poll_once(future.as_mut()).is_pending());
    }
    for (pool, item) in pools.iter().zip(&items) {
        put(pool, *item).unwrap();
    }
    assert!(task.woken() > 0);
    let Poll::Ready((at, item)) = task.poll(chooser.as_mut()) else { panic!("all were put") };
    assert_eq!(item.as_ref().ok(), Some(&items[at]));
    for (other, future) in behind.iter_mut().enumerate() {
        assert_eq!(poll_once(future.as_mut()).is_ready(), other != at, "what it was granted is theirs");
    }
    assert_eq!(pools.iter().map(|pool| pool.stats().waiting).sum::<usize>(), 1);
    put(&pools[at], item.unwrap()).unwrap();
    for (other, mut future) in behind.into_iter().enumerate() {
        if other == at {
            assert_is!(poll_once(future.as_mut()), Poll::Ready(Ok(_)));
        }
        put(&pools[other], items[other]).unwrap();
    }
    for pool in &pools {
        pool.drain();
        let stats = pool.stats();
        assert_eq!((stats.out, stats.waiting, stats.gets), (0, 0, stats.puts), "{stats:?}");
    }
    assert_eq!((arena.stats().free_runs, arena.stats().free), (1, 3));
}

#[test]
fn a_chooser_that_waits_is_served_in_its_turn() {
    let (_arena, pools, items) = all_out(1);
    let (pool, item) = (&pools[0], items[0]);
    let mut first = pin!(choose([pool.get_event()]).into_future());
    assert!(poll_once(first.as_mut()).is_pending());
    assert_is!(pool.try_get(), Err(_));
    put(pool, item).unwrap();
    assert_is!(pool.try_get(), Err(_), "strictly in turn: it is granted");
    let Poll::Ready(Ok(item)) = poll_once(first) else { panic!("it was put") };
    put(pool, item).unwrap();
    assert_eq!(pool.stats().most_overtaken, 0);
}

#[test]
fn a_future_that_is_dropped_is_withdrawn() {
    let (_, pools, items) = all_out(2);
    let told = Mutex::default();
    let mut chooser = Box::pin(choose([0, 1].map(|at| telling(pools[at].get_event(), &told))).into_future());
    assert!(told.lock().is_empty(), "nothing happens until it is polled");
    assert!(poll_once(chooser.as_mut()).is_pending());
    put(&pools[0], items[0]).unwrap();
    assert_eq!(pools[0].stats().out, 1, "it was granted");
    assert!(told.lock().iter().all(|nack| !nack.is_told()));
    drop(chooser);
    assert!(told.lock().len() == 2 && told.lock().iter().all(Nack::is_told));
    assert_eq!((pools[0].stats().out, pools[1].stats().waiting), (0, 0));
    put(&pools[1], items[1]).unwrap();
}

#[test]
fn time_that_is_up_withdraws_all() {
    let (_, pools, items) = all_out(2);
    let told = Mutex::default();
    let event = choose([0, 1].map(|at| telling(pools[at].get_event(), &told)));
    assert_is!(event.sync_timeout(SHORT), None);
    assert!(told.lock().len() == 2 && told.lock().iter().all(Nack::is_told));
    assert_eq!((pools[0].stats().waiting, pools[1].stats().waiting), (0, 0));
    // What is there is had, however late.
    put(&pools[0], items[0]).unwrap();
    let past = Instant::now();
    let item =
        choose([0, 1].map(|at| pools[at].get_event())).sync_deadline(past).expect("it is there").unwrap();
    put(&pools[0], item).unwrap();
    put(&pools[1], items[1]).unwrap();
}

#[test]
fn a_chooser_asleep_is_woken_by_a_put() {
    for at in [0, 1] {
        let (_, pools, items) = all_out(2);
        thread::scope(|scope| {
            let waits = scope.spawn(|| {
                choose([&pools[0], &pools[1]].map(|pool| pool.get_event().wrap(|item| item.map(drop))))
                    .sync_timeout(LONG)
            });
            until_waiting(&pools[0], 1);
            until_waiting(&pools[1], 1);
            put(&pools[at], items[at]).unwrap();
            waits.join().unwrap().expect("it was put").unwrap();
        });
        put(&pools[at], items[at]).unwrap();
        put(&pools[1 - at], items[1 - at]).unwrap();
        assert_eq!(pools.iter().map(|pool| pool.stats().waiting + pool.stats().out).sum::<usize>(), 0);
    }
}

/// Its own patience ends a branch with an error, which is chosen like an item.
#[test]
fn a_branch_may_have_less_patience_than_the_choice() {
    let (_, pools, items) = all_out(2);
    let impatient = pools[0].request().timeout(SHORT).get_event();
    let end = choose((impatient, pools[1].get_event())).sync_timeout(LONG).expect("one gives up");
    assert_is!(end, Err(GetError::TimedOut(_)));
    assert_eq!(pools[0].stats().failures.timed_out, 1);
    put(&pools[0], items[0]).unwrap();
    put(&pools[1], items[1]).unwrap();
}

/// So it is wherever the branch stands: nothing else wakes its thread.
#[test]
fn a_branch_of_an_array_or_a_list_may_have_less_patience() {
    for of_list in [false, true] {
        let (_, pools, items) = all_out(2);
        thread::scope(|scope| {
            let _close: Vec<_> = pools.iter().map(CloseOnPanic).collect();
            let waits = scope.spawn(|| {
                let events = [pools[0].request().timeout(SHORT).get_event(), pools[1].request().get_event()];
                if of_list { choose(Vec::from(events)).sync() } else { choose(events).sync() }.map(drop)
            });
            let begun = Instant::now();
            let timed_out = || pools[0].stats().failures.timed_out == 1;
            until(|| timed_out() || begun.elapsed() > LONG);
            assert!(timed_out(), "it sleeps");
            assert_is!(waits.join().unwrap(), Err(GetError::TimedOut(_)));
        });
        put(&pools[0], items[0]).unwrap();
        put(&pools[1], items[1]).unwrap();
    }
}

/// What comes at the deadline is had.
#[test]
fn a_deadline_that_passed_is_looked_at_last() {
    let at = Instant::now() + SHORT;
    assert_eq!(choose((deadline(at), never())).sync_deadline(at), Some(()));
}

#[test]
fn the_time_for_a_page_holds_in_a_choice() {
    let arena = arena(1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    let event = pool.request().grow_timeout(SHORT).get_event();
    let end = choose((event, never())).sync_timeout(LONG).expect("it gives up");
    assert_is!(end, Err(GetError::TimedOut(pool::Awaited::Page)));
    put(&pool, item).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn a_closed_pool_is_an_error_that_is_chosen() {
    let (_, pools, items) = all_out(2);
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            choose([&pools[0], &pools[1]].map(|pool| pool.get_event().wrap(|item| item.map(drop))))
                .sync_timeout(LONG)
        });
        until_waiting(&pools[1], 1);
        pools[0].close();
        assert_is!(waits.join().unwrap().expect("it was closed"), Err(GetError::Closed));
    });
    put(&pools[0], items[0]).unwrap();
    put(&pools[1], items[1]).unwrap();
}

#[test]
fn reservations_and_critical_getters_can_be_chosen() {
    let arena = arena(3);
    let pool = objects(3).critical_reserve(1).build(arena).unwrap();
    let two = choose((pool.reserve_event(2).wrap(Result::unwrap), never())).sync();
    assert_eq!(two.len(), 2);
    assert_is!(pool.get_event().sync_timeout(SHORT), None);
    let root = choose((pool.request().critical().get_event(), never())).sync().unwrap();
    assert_is!(pool.reserve_event(3).sync(), Err(GetError::TooMany { asked: 3, most: 2 }));
    assert!(pool.reserve_event(0).sync().unwrap().is_empty());
    drop(root);
    thread::scope(|scope| {
        let waits = scope.spawn(|| choose((pool.reserve_event(2), never())).sync_timeout(LONG));
        until_waiting(&pool, 1);
        drop(two);
        assert_eq!(waits.join().unwrap().expect("they were put").unwrap().len(), 2);
    });
    assert_eq!(pool.stats().out, 0);
}

/// What one branch was granted is seen before a constructor of another runs, which waits for it.
#[test]
fn what_was_granted_is_chosen_before_anything_is_begun() {
    // Whichever is asked first.
    for (of_span, bypass) in [(false, 0), (false, 512), (true, 0)].into_iter().cycle().take(24) {
        let (arena, others) = (arena(1), arena(1));
        let other = blocks(1).bypass(bypass).build(others).unwrap();
        let numbers = numbers(1);
        let (held, number) = (other.get().unwrap(), numbers.try_alloc(shape(1)).unwrap());
        let constructed = Arc::new(AtomicU32::new(0));
        let needs = {
            let (other, numbers, constructed) = (other.clone(), numbers.clone(), constructed.clone());
            let construct = move || {
                constructed.fetch_add(1, SeqCst);
                if of_span {
                    let span = span(&numbers, shape(1)).sync_timeout(SHORT).expect("nobody has it");
                    numbers.free(span.unwrap()).unwrap();
                } else {
                    let item = other.request().timeout(SHORT).get().expect("nobody has it");
                    put(&other, item).unwrap();
                }
                1_u32
            };
            Pool::builder(1, construct).build(arena.clone()).unwrap()
        };
        let page = arena.try_alloc(shape(1)).unwrap();
        let mut chooser = pin!(
            choose((
                needs.get_event().wrap(|item| panic!("{item:?} is chosen")),
                other.get_event().wrap(Result::ok),
                span(&numbers, shape(1)).wrap(|span| {
                    numbers.free(span.unwrap()).unwrap();
                    None
                }),
            ))
            .into_future()
        );
        assert!(poll_once(chooser.as_mut()).is_pending());
        if of_span {
            numbers.free(number).unwrap();
        } else {
            put(&other, held).unwrap();
        }
        arena.free(page).unwrap();
        let Poll::Ready(item) = poll_once(chooser) else { panic!("one was granted") };
        assert_eq!((item, constructed.load(SeqCst)), ((!of_span).then_some(held), 0));
        assert_eq!((other.stats().waiting, needs.stats().waiting, needs.stats().out), (0, 0, 0));
        put(&other, held).unwrap();
        drop(needs.get().unwrap());
        if !of_span {
            numbers.free(number).unwrap();
        }
    }
}

// Spans.

#[test]
fn a_span_or_an_item() {
    let arena = numbers(2);
    let all = arena.try_alloc(shape(2)).unwrap();
    let (_, pools, items) = all_out(1);
    let mut chooser = pin!(
        choose((
            span(&arena, shape(1)).wrap(|span| Ok::<_, ()>(span.unwrap())),
            pools[0].get_event().wrap(|_| Err(())),
        ))
        .into_future()
    );
    assert!(poll_once(chooser.as_mut()).is_pending());
    arena.free(all).unwrap();
    assert_eq!(arena.stats().free, 1, "it was granted");
    let Poll::Ready(Ok(span)) = poll_once(chooser) else { panic!("it was granted") };
    assert_eq!(pools[0].stats().waiting, 0);
    arena.free(span).unwrap();
    put(&pools[0], items[0]).unwrap();
}

#[test]
fn a_span_that_was_granted_and_not_chosen_is_free_again() {
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let mut chooser = Box::pin(choose((span(&arena, shape(1)).wrap(drop), never())).into_future());
    assert!(poll_once(chooser.as_mut()).is_pending());
    arena.free(held).unwrap();
    assert_eq!(arena.stats().free, 0);
    drop(chooser);
    assert_eq!(arena.stats().free, 1);
    arena.close();
    assert_eq!(span(&arena, shape(1)).sync(), Err(AllocError::Closed));
}

// Moments.

#[test]
fn moments_come_for_threads_and_for_tasks_that_are_polled() {
    let soon = Instant::now() + SHORT;
    assert_eq!(choose((deadline(soon).wrap(|()| 1), after(LONG).wrap(|()| 2))).sync(), 1);
    assert!(soon <= Instant::now());
    after(Duration::ZERO).sync();
    assert_eq!(after(Duration::MAX).sync_timeout(SHORT), None, "too long to be told");
    let mut waits = pin!(after(SHORT).into_future());
    let begun = Instant::now();
    assert!(poll_once(waits.as_mut()).is_pending());
    until(|| poll_once(waits.as_mut()).is_ready());
    assert!(begun.elapsed() >= SHORT);
}

#[test]
fn a_runtimes_clock_wakes_a_task_and_not_a_thread() {
    let rings = Arc::new(AtomicU32::new(0));
    let count = rings.clone();
    let clock = move |_| {
        count.fetch_add(1, SeqCst);
        async {}
    };
    let far = Instant::now() + LONG;
    wait_for(deadline_by(far, clock.clone()).into_future());
    assert_eq!(rings.load(SeqCst), 1, "its clock runs ahead");
    assert_eq!(deadline_by(far, clock).sync_timeout(SHORT), None);
    assert_eq!(rings.load(SeqCst), 1);
}

// Close.

#[test]
fn who_waits_for_a_close_is_told_and_in_nobodys_way() {
    let arena = arena(1);
    let pool = blocks(1).build(arena).unwrap();
    let (task, waker) = Task::new();
    let mut watchers: Vec<_> = (0..40).map(|_| Box::pin(pool.closed_event().into_future())).collect();
    for watcher in &mut watchers {
        assert!(watcher.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    }
    let dropped = watchers.pop();
    drop(dropped);
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.growing, stats.pages), (0, 0, 0));
    put(&pool, pool.get().unwrap()).unwrap();
    assert_eq!(task.woken(), 0);
    thread::scope(|scope| {
        let asleep = scope.spawn(|| choose((pool.closed_event(), after(LONG))).sync());
        pool.close();
        asleep.join().unwrap();
    });
    assert_eq!(task.woken(), 39, "more than one batch");
    for watcher in watchers {
        assert_is!(task.poll(pin!(watcher)), Poll::Ready(()));
    }
    pool.closed_event().sync();
    drop(waker);
    assert_eq!(Arc::strong_count(&task), 1);
}

#[test]
fn a_watcher_that_another_task_has_wakes_that_one() {
    let arena = arena(1);
    let pool = blocks(1).build(arena).unwrap();
    let [(first, one), (second, other)] = [Task::new(), Task::new()];
    let mut watcher = pin!(pool.closed_event().into_future());
    for waker in [&one, &other] {
        assert!(watcher.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    drop(one);
    assert_eq!(Arc::strong_count(&first), 1);
    pool.close();
    assert_eq!((first.woken(), second.woken()), (0, 1));
    assert!(poll_once(watcher).is_ready());
}

// Combinators.

#[test]
fn tuples_lists_and_boxes() {
    let one = choose((never(), never(), never(), never(), never(), never(), never(), always(8)));
    assert_eq!(one.sync(), 8);
    assert_eq!(choose((always(1),)).sync(), 1);
    let mut seen = [false; 3];
    for _ in 0..100 {
        seen[choose((always(0), always(1), always(2))).sync()] = true;
        let list: Vec<_> = (0..3).map(always).collect();
        seen[choose(list).sync()] = true;
    }
    assert_eq!(seen, [true; 3]);
    let none: Vec<BoxedEvent<'_, u32>> = Vec::new();
    assert_eq!(choose(none).sync_timeout(SHORT), None, "a choice of nothing never is made");
    let list: Vec<BoxedEvent<'_, u32>> = vec![never().boxed(), choose((never(), always(3))).boxed()];
    assert_eq!(choose(list).sync(), 3);
    let array: [Event<_>; 0] = [(); 0].map(|()| never::<u32>());
    assert_eq!(choose(array).sync_timeout(SHORT), None);
}

#[test]
fn choices_nest() {
    let (_, pools, items) = all_out(3);
    let told = Mutex::default();
    let inner = choose([0, 1].map(|at| telling(pools[at].get_event().wrap(move |item| (at, item)), &told)));
    let outer = choose((inner.wrap(|it| it), telling(pools[2].get_event().wrap(|item| (2, item)), &told)));
    let mut chooser = pin!(outer.into_future());
    assert!(poll_once(chooser.as_mut()).is_pending());
    put(&pools[1], items[1]).unwrap();
    let Poll::Ready((1, Ok(item))) = poll_once(chooser) else { panic!("it was put") };
    let told: Vec<_> = told.lock().iter().map(Nack::is_told).collect();
    assert_eq!(told, [true, false, true]);
    put(&pools[1], item).unwrap();
    for at in [0, 2] {
        assert_eq!(pools[at].stats().waiting, 0);
        put(&pools[at], items[at]).unwrap();
    }
}

#[test]
fn functions_run_when_they_should() {
    let said = Mutex::new(Vec::new());
    let say = |what| said.lock().push(what);
    let event = choose((
        guard(|| {
            say("made");
            always(1).wrap(|one| {
                say("wrapped");
                one
            })
        }),
        guard(|| {
            say("made too");
            never().wrap(|one: u32| {
                say("never");
                one
            })
        }),
    ))
    .wrap(|one| {
        say("outside");
        one
    });
    assert!(said.lock().is_empty(), "an event does nothing");
    assert_eq!(event.sync(), 1);
    assert_eq!(*said.lock(), ["made", "made too", "wrapped", "outside"]);
}

#[test]
fn a_nack_comes_once_and_only_to_what_was_not_chosen() {
    let told = Mutex::default();
    assert_eq!(choose((telling(always(1), &told), never())).sync(), 1);
    assert_eq!(choose((always(1), telling(never(), &told))).sync(), 1);
    let [chosen, lost] = &told.lock()[..] else { panic!("each was made once") };
    assert_eq!((chosen.is_told(), lost.is_told()), (false, true));
    assert_eq!(chosen.event().sync_timeout(SHORT), None);
    for _ in 0..2 {
        lost.clone().event().sync();
    }
}

#[test]
fn a_nack_wakes_who_waits_for_it() {
    thread::scope(|scope| {
        let (sender, nacks) = std::sync::mpsc::channel();
        let server = scope.spawn(move || {
            let nack: Nack = nacks.recv().unwrap();
            choose((nack.event().wrap(|()| true), after(LONG).wrap(|()| false))).sync()
        });
        let asks = with_nack(move |nack| {
            sender.send(nack).unwrap();
            never()
        });
        assert_eq!(asks.sync_timeout(SHORT), None::<u32>);
        assert!(server.join().unwrap(), "the server was told");
    });
}

/// Who is told finds nothing left of what was withdrawn.
#[test]
fn a_nack_comes_when_all_is_withdrawn() {
    struct Looks(RawPool, AtomicU32);
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            self.1.store(1 + self.0.stats().waiting as u32, SeqCst);
        }
    }
    let (_, pools, items) = all_out(1);
    let looks = Arc::new(Looks(pools[0].clone(), AtomicU32::new(0)));
    let told = Mutex::default();
    let mut chooser = Box::pin(telling(pools[0].get_event(), &told).into_future());
    assert!(poll_once(chooser.as_mut()).is_pending());
    let nack = told.lock()[0].event();
    let mut hears = pin!(nack.into_future());
    let waker = Waker::from(looks.clone());
    assert!(hears.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    drop(chooser);
    assert_eq!(looks.1.load(SeqCst), 1);
    put(&pools[0], items[0]).unwrap();
}

#[test]
fn futures_of_others_can_be_chosen() {
    let (_, pools, items) = all_out(1);
    let word = choose((pools[0].get_event().wrap(|_| 0), future(async { 7 }))).sync();
    assert_eq!((word, pools[0].stats().waiting), (7, 0));
    put(&pools[0], items[0]).unwrap();
}

// Panics.

#[test]
fn a_function_that_panics_withdraws_the_rest() {
    let (_, pools, items) = all_out(2);
    let told = Mutex::default();
    let panics = |event: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(event)).is_err());
    // Before anything is waited for.
    panics(&|| {
        let event = choose((
            telling(pools[0].get_event(), &told),
            guard(|| -> Event<pool::choose::Boxed<'_, _>> { panic!("a guard") }),
        ));
        drop(event.sync());
    });
    panics(&|| {
        let bad = with_nack(|nack| -> Event<pool::choose::Boxed<'_, _>> {
            told.lock().push(nack);
            panic!("a server")
        });
        drop(choose((telling(pools[0].get_event(), &told), bad)).sync());
    });
    assert!(told.lock().len() == 3 && told.lock().iter().all(Nack::is_told));
    assert_eq!(pools[0].stats().waiting, 0);
    // After it was chosen.
    put(&pools[0], items[0]).unwrap();
    let objects = objects(1).build(arena(1)).unwrap();
    panics(&|| {
        let chosen = telling(objects.get_event(), &told).wrap(|_item| panic!("what it is wrapped in"));
        choose((chosen, pools[1].get_event().wrap(drop))).sync();
    });
    assert_eq!((objects.stats().out, pools[1].stats().waiting), (0, 0));
    assert!(!told.lock()[3].is_told(), "it was chosen");
    put(&pools[1], items[1]).unwrap();
}

/// What is not chosen panics as it is dropped: the others go, and what was committed to goes back.
#[test]
fn a_destructor_that_panics_loses_nothing() {
    struct Panics(&'static str);
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("{}", self.0);
        }
    }
    let (_, pools, items) = all_out(2);
    let arena = numbers(1);
    let bad = |word| {
        let kept = Panics(word);
        future(async move {
            std::future::pending::<()>().await;
            drop(kept);
        })
    };
    put(&pools[0], items[0]).unwrap();
    for _ in 0..4 {
        let event = choose((
            bad("one"),
            pools[0].get_event().wrap(drop),
            bad("two"),
            pools[1].get_event().wrap(drop),
            bad("three"),
            span(&arena, shape(1)).wrap(drop),
        ));
        assert!(catch_unwind(AssertUnwindSafe(|| event.sync())).is_err());
        let stats = [0, 1].map(|at| pools[at].stats());
        assert_eq!((stats[0].out, stats[1].waiting, arena.stats().free), (0, 0, 1));
    }
    // As time is up.
    let event = choose((bad("one"), pools[1].get_event().wrap(drop), bad("two")));
    assert!(catch_unwind(AssertUnwindSafe(|| event.sync_timeout(SHORT))).is_err());
    assert_eq!(pools[1].stats().waiting, 0);
    put(&pools[1], items[1]).unwrap();
}

/// The future that was chosen panics as it is dropped: what it came to is dropped, not leaked.
#[test]
fn a_winner_whose_destructor_panics_loses_nothing() {
    struct Item(Arc<AtomicU32>);
    impl Drop for Item {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    struct Panics(Arc<AtomicU32>);
    impl Future for Panics {
        type Output = Item;
        fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<Item> {
            Poll::Ready(Item(self.0.clone()))
        }
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a winner");
        }
    }
    let dropped = Arc::new(AtomicU32::new(0));
    let event = || choose((future(Panics(dropped.clone())), never()));
    assert!(catch_unwind(AssertUnwindSafe(|| event().sync())).is_err());
    assert_eq!(dropped.load(SeqCst), 1);
    assert!(catch_unwind(AssertUnwindSafe(|| event().sync_timeout(LONG))).is_err());
    assert_eq!(dropped.load(SeqCst), 2);
    assert!(catch_unwind(AssertUnwindSafe(|| wait_for(event().into_future()))).is_err());
    assert_eq!(dropped.load(SeqCst), 3);
}

#[test]
fn a_waker_that_panics_strands_nobody() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics");
        }
    }
    let (_, pools, items) = all_out(1);
    let pool = &pools[0];
    let bad = Waker::from(Arc::new(Panics));
    let mut first = Box::pin(choose((pool.get_event(), never())).into_future());
    let mut watcher = Box::pin(pool.closed_event().into_future());
    let mut context = std::task::Context::from_waker(&bad);
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(watcher.as_mut().poll(&mut context).is_pending());
    let (task, waker) = Task::new();
    let mut others = pin!(choose((pool.closed_event(), never())).into_future());
    assert!(others.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| put(pool, items[0]))).is_err());
    let Poll::Ready(Ok(item)) = poll_once(first.as_mut()) else { panic!("it was granted all the same") };
    put(pool, item).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| pool.close())).is_err());
    assert_eq!(task.woken(), 1);
    assert!(poll_once(watcher.as_mut()).is_ready());
}

// Validation.

/// A replica that died is not chosen: another is, while it is validated and made again.
#[test]
fn a_dead_replica_does_not_win() {
    for asynchronous in [false, true] {
        let alive = Arc::new(AtomicBool::new(true));
        let replica = |at: u32, hangs: bool| {
            let made = Cell::new(0);
            let made = Mutex::new(made);
            let create = move || {
                let first = made.lock().replace(1) == 0;
                async move {
                    if hangs && !first {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, std::io::Error>(at)
                }
            };
            let alive = alive.clone();
            let builder = Pool::from_factory(1, AsyncFactory::new(create));
            if asynchronous {
                builder.validate_async(move |at| {
                    let good = *at == 1 || alive.load(SeqCst);
                    Box::pin(async move { good })
                })
            } else {
                builder.validate(move |at| *at == 1 || alive.load(SeqCst))
            }
            .build()
            .unwrap()
        };
        alive.store(true, SeqCst);
        let pools = [replica(0, true), replica(1, false)];
        for pool in &pools {
            drop(wait_for(pool.get_async()).unwrap());
        }
        alive.store(false, SeqCst);
        for _ in 0..8 {
            let item = choose([0, 1].map(|at| pools[at].get_event())).sync_timeout(LONG);
            assert_eq!(*item.expect("the other one is good").unwrap(), 1);
        }
        assert_eq!(pools[0].stats().invalid, 1);
        assert_eq!((pools[0].stats().out, pools[0].stats().waiting), (0, 0));
    }
}

/// What is being validated is in no state to be used if another event is chosen.
#[test]
fn a_validation_that_is_cut_short_destroys_its_object() {
    let pool = objects(1).validate_async(|_| Box::pin(std::future::pending())).build(arena(1)).unwrap();
    drop(pool.get().unwrap());
    assert_eq!(choose((pool.get_event().wrap(|_| 1), after(SHORT).wrap(|()| 2))).sync(), 2);
    let stats = pool.stats();
    assert_eq!((stats.invalid, stats.live, stats.out), (1, 0, 0));
}

/// What is validated by a future is not even begun with where something else is ready.
#[test]
fn what_is_ready_costs_no_validation() {
    let pool = objects(1).validate_async(|_| Box::pin(std::future::pending())).build(arena(1)).unwrap();
    drop(pool.get().unwrap());
    for _ in 0..16 {
        assert_eq!(choose((pool.get_event().wrap(|_| 1), always(2))).sync(), 2);
        let several = pool.reserve_event(1).wrap(|_| 1);
        assert_eq!(wait_for(choose((several, always(2))).into_future()), 2);
    }
    let stats = pool.stats();
    assert_eq!((stats.invalid, stats.live, stats.out), (0, 1, 0));
}

/// A chooser whose object was not good does not lose its place: nobody overtakes it any more.
#[test]
fn who_was_lent_a_dead_object_is_not_overtaken() {
    let (made, dead) = (AtomicU32::new(0), Arc::new(AtomicU32::new(u32::MAX)));
    let create = move || {
        let number = made.fetch_add(1, SeqCst);
        async move {
            if number > 1 {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::io::Error>(number)
        }
    };
    let is_dead = dead.clone();
    let pool = Pool::from_factory(2, AsyncFactory::new(create))
        .bypass(8)
        .validate(move |number| *number != is_dead.load(SeqCst))
        .build()
        .unwrap();
    let [first, second] = [(); 2].map(|()| wait_for(pool.get_async()).unwrap());
    dead.store(*first, SeqCst);
    drop(first);
    let mut chooser = pin!(choose((pool.get_event(), never())).into_future());
    assert!(poll_once(chooser.as_mut()).is_pending(), "another one is being made");
    assert_eq!(pool.stats().invalid, 1);
    drop(second);
    assert_is!(pool.try_get(), Err(_));
    let Poll::Ready(Ok(item)) = poll_once(chooser) else { panic!("it is there") };
    assert_eq!(*item, 1);
}

// Many.

/// Threads choose between all pools and put; others come with one pool, with none of them, and leave.
#[test]
fn choosers_and_others_come_and_go() {
    const THREADS: usize = 6;
    const ROUNDS: u32 = 400;
    let arena = arena(4);
    let pools: Vec<RawPool> =
        [0, 2, 512].map(|bypass| blocks(2).bypass(bypass).build(arena.clone()).unwrap()).into();
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (pools, arena) = (&pools, &arena);
            scope.spawn(move || {
                let _close: Vec<_> = pools.iter().map(CloseOnPanic).collect();
                let mut random = Random::new(seed);
                let event = |at: usize| pools[at].get_event().wrap(move |item| (at, item.unwrap()));
                for _ in 0..ROUNDS {
                    let first = random.below(3) as usize;
                    let (one, other) = (first, (first + 1) % 3);
                    let got = match random.below(6) {
                        0 => Some(choose([event(one), event(other)]).sync()),
                        1 => Some(wait_for(choose([event(other), event(one)]).into_future())),
                        2 => choose([0, 1, 2].map(event)).sync_timeout(Duration::from_micros(50)),
                        3 => {
                            let mut chooser = pin!(choose([0, 1, 2].map(event)).into_future());
                            match poll_once(chooser.as_mut()) {
                                Poll::Ready(got) => Some(got),
                                Poll::Pending => None,
                            }
                        }
                        4 => Some((one, pools[one].get().unwrap())),
                        _ => {
                            if let Some(Ok(span)) =
                                span(arena, shape(1)).sync_timeout(Duration::from_micros(50))
                            {
                                arena.free(span).unwrap();
                            }
                            None
                        }
                    };
                    if let Some((at, item)) = got {
                        put(&pools[at], item).unwrap();
                    }
                }
            });
        }
    });
    for pool in &pools {
        pool.drain();
        let stats = pool.stats();
        assert_eq!((stats.out, stats.waiting, stats.growing, stats.pages), (0, 0, 0, 0), "{stats:?}");
        assert_eq!(stats.gets, stats.puts, "{stats:?}");
    }
    assert_eq!((arena.stats().free_runs, arena.stats().waiting), (1, 0));
}

#[tokio::test]
async fn tasks_of_a_runtime_choose() {
    let pools = [(); 2].map(|()| objects(1).build(arena(1)).unwrap());
    let out = pools[0].get_owned().unwrap();
    let other = pools[1].get_owned().unwrap();
    let [one, two] = pools.clone();
    let chooser = tokio::spawn(async move {
        choose((
            one.get_owned_event().wrap(Result::ok),
            two.get_owned_event().wrap(Result::ok),
            future(tokio::time::sleep(LONG)).wrap(|()| None),
        ))
        .await
    });
    tokio::task::yield_now().await;
    drop(out);
    let item = chooser.await.unwrap().expect("one was put");
    assert_eq!(pools[0].stats().out, 1);
    drop((item, other));
    let late = choose((future(tokio::time::sleep(SHORT)), pools[0].closed_event())).into_future();
    late.await;
}
