//! Validation on get: what is not good any more is destroyed, and its getter has another, as old as it
//! was. Of every kind of factory, and of objects that are constructed.

#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use pool::{AsyncFactory, Awaited, Builder, Created, GetError, Item, Pool, TryGetError};

#[macro_use]
mod support;

use support::shop::{
    EndOnPanic, Failed, Kind, Object, Order, Shop, assert_rest, failed, growers, is_panic, pool_of,
};
use support::{Task, panics, until, until_waiting, wait_for};

of_each_kind![
    what_was_just_made_is_not_validated,
    what_is_not_good_is_destroyed_and_another_is_made,
    a_creation_that_fails_for_what_was_not_good,
    who_would_not_wait_has_what_is_good,
    of_several_only_what_is_not_good_is_destroyed,
    a_validation_that_panics_destroys_the_object,
    a_validation_and_a_destructor_that_panic,
    a_destructor_of_what_is_not_good_that_panics,
    what_is_not_good_is_changed_before_it_is_reset_or_handed_out,
    a_close_meets_a_validation,
    who_was_lent_what_is_not_good_keeps_its_place,
    an_async_validation_is_waited_for_by_a_thread,
    a_validation_that_hangs_blocks_only_itself,
];

of_each_kind_in_reach![a_deadline_holds_for_another_object_too];

/// Which objects are good, and how often it was asked.
#[derive(Clone, Default)]
struct Inspector(Arc<Mutex<Inspections>>);

#[derive(Default)]
struct Inspections {
    /// In the order in which it was asked.
    of: Vec<usize>,
    /// Of these numbers, once each.
    bad: Vec<usize>,
    /// Of this one it panics.
    panics: Option<usize>,
}

impl Inspector {
    fn condemn(&self, number: usize) {
        self.0.lock().bad.push(number);
    }

    fn of(&self) -> Vec<usize> {
        self.0.lock().of.clone()
    }

    fn is_good(&self, object: &Object) -> bool {
        let mut inspections = self.0.lock();
        inspections.of.push(object.number);
        let panics = inspections.panics == Some(object.number);
        let bad = inspections.bad.contains(&object.number);
        drop(inspections);
        assert!(!panics, "the validation that was to panic does");
        !bad
    }
}

fn validated<K: Kind>(limit: u32, shop: &Shop, inspector: &Inspector) -> Builder<Created<K>> {
    let inspector = inspector.clone();
    pool_of::<K>(limit, shop).validate(move |object| inspector.is_good(object))
}

/// A gate that validations wait at.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<AtGate>>);

#[derive(Default)]
struct AtGate {
    /// What those are told that pass, good or not.
    says: Option<bool>,
    wakers: Vec<Waker>,
    waiting: usize,
}

impl Gate {
    /// Lets all through.
    fn open(&self, good: bool) {
        let wakers = {
            let mut gate = self.0.lock();
            gate.says = Some(good);
            std::mem::take(&mut gate.wakers)
        };
        for waker in wakers {
            waker.wake();
        }
    }

    fn close(&self) {
        self.0.lock().says = None;
    }

    fn until_waiting(&self, waiting: usize) {
        until(|| self.0.lock().waiting == waiting);
    }

    async fn pass(&self) -> bool {
        struct Waits<'a>(&'a Gate);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.0.lock().waiting -= 1;
            }
        }
        self.0.lock().waiting += 1;
        let _waits = Waits(self);
        std::future::poll_fn(|context| {
            let mut gate = self.0.lock();
            if let Some(good) = gate.says {
                return Poll::Ready(good);
            }
            gate.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

fn gated<K: Kind>(limit: u32, shop: &Shop, gate: &Gate) -> Builder<Created<K>> {
    let gate = gate.clone();
    pool_of::<K>(limit, shop).validate_async(move |_| {
        let gate = gate.clone();
        Box::pin(async move { gate.pass().await })
    })
}

// What is asked, when, and what becomes of it.

fn what_was_just_made_is_not_validated<K: Kind>() {
    let (shop, inspector) = (Shop::open(), Inspector::default());
    let pool = validated::<K>(1, &shop, &inspector).build().unwrap();
    for _ in 0..3 {
        assert_eq!(pool.get().unwrap().number, 0);
    }
    assert_eq!((inspector.of(), pool.stats().invalid), (vec![0, 0], 0));
    // Nor what is got out of a reservation, which was when it was made.
    let mut reserved = pool.reserve(1).unwrap();
    drop(reserved.get().unwrap());
    assert_eq!(inspector.of().len(), 3);
    assert_rest(&pool, &shop, 1);
}

/// What was made for one who left may have waited for long.
#[test]
fn what_was_made_for_nobody_is_validated() {
    let (shop, inspector) = (Shop::by_order(), Inspector::default());
    let pool = {
        let inspector = inspector.clone();
        Pool::from_factory(1, growers(1, &shop)).validate(move |object| inspector.is_good(object))
    };
    let pool = pool.build().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let (task, _waker) = Task::new();
        let mut leaves = Box::pin(pool.get_async());
        assert!(task.poll(leaves.as_mut()).is_pending());
        shop.until_creating(1);
        drop(leaves);
        scope.spawn(|| shop.order_all(Order::Make));
        until(|| pool.stats().idle == 1);
    });
    assert_eq!((pool.get().unwrap().number, inspector.of()), (0, vec![0]));
    assert_rest(&pool, &shop, 1);
}

fn what_is_not_good_is_destroyed_and_another_is_made<K: Kind>() {
    let (shop, inspector) = (Shop::open(), Inspector::default());
    let pool = validated::<K>(1, &shop, &inspector).build().unwrap();
    for number in 0..3 {
        assert_eq!(pool.get().unwrap().number, number);
        inspector.condemn(number);
    }
    assert_eq!((inspector.of(), shop.live(), pool.stats().invalid), (vec![0, 1], 1, 2));
    assert_rest(&pool, &shop, 1);
}

fn a_creation_that_fails_for_what_was_not_good<K: Kind>() {
    let (shop, inspector) = (Shop::open(), Inspector::default());
    let pool = validated::<K>(1, &shop, &inspector).build().unwrap();
    drop(pool.get().unwrap());
    inspector.condemn(0);
    shop.order(1, Order::Fail);
    assert_eq!(failed::<K>(pool.get().unwrap_err()), Failed(1));
    assert_eq!((pool.stats().pages, pool.stats().growing, shop.live()), (0, 0, 0));
    assert_eq!(pool.get().unwrap().number, 2);
    assert_rest(&pool, &shop, 1);
}

fn who_would_not_wait_has_what_is_good<K: Kind>() {
    let (shop, inspector) = (Shop::open(), Inspector::default());
    let pool = validated::<K>(3, &shop, &inspector).build().unwrap();
    drop(pool.get_many(3).unwrap());
    inspector.condemn(0);
    inspector.condemn(1);
    assert_eq!(pool.try_get().unwrap().number, 2);
    let held = pool.get().unwrap();
    assert_is!(pool.try_get().map(drop), Err(TryGetError::Scarce), "and has nothing made");
    drop(held);
    assert!(shop.begun() == 3 && pool.stats().invalid <= 2);
    assert_rest(&pool, &shop, 3);
}

fn of_several_only_what_is_not_good_is_destroyed<K: Kind>() {
    let (shop, inspector) = (Shop::open(), Inspector::default());
    let pool = validated::<K>(3, &shop, &inspector).build().unwrap();
    drop(pool.get_many(3).unwrap());
    inspector.condemn(1);
    let mut numbers: Vec<_> = pool.get_many(3).unwrap().iter().map(|item| item.number).collect();
    numbers.sort_unstable();
    assert_eq!((numbers, pool.stats().invalid, shop.begun()), (vec![0, 2, 3], 1, 4));
    inspector.condemn(2);
    assert_eq!(pool.reserve(3).unwrap().len(), 3);
    assert_eq!((pool.stats().invalid, shop.begun()), (2, 5));
    assert_rest(&pool, &shop, 3);
}

fn a_validation_that_panics_destroys_the_object<K: Kind>() {
    let (shop, inspector) = (Shop::open(), Inspector::default());
    let pool = validated::<K>(2, &shop, &inspector).build().unwrap();
    drop(pool.get_many(2).unwrap());
    inspector.0.lock().panics = Some(1);
    assert!(panics(|| pool.get_many(2).map(drop)), "its getter's");
    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.pages, shop.live(), stats.invalid), (0, 1, 1, 1, 1));
    assert_eq!(pool.get_many(2).unwrap().len(), 2);
    assert_rest(&pool, &shop, 2);
}

/// The panic of the validation goes on, and the process too.
fn a_validation_and_a_destructor_that_panic<K: Kind>() {
    let (shop, inspector) = (Shop::open(), Inspector::default());
    let pool = validated::<K>(1, &shop, &inspector).build().unwrap();
    drop(pool.get().unwrap());
    inspector.0.lock().panics = Some(0);
    shop.arm(0);
    let panic = catch_unwind(AssertUnwindSafe(|| pool.get().map(drop))).unwrap_err();
    assert_is!(panic.downcast_ref::<&str>(), Some(said) if said.starts_with("the validation"));
    assert_eq!((shop.live(), pool.stats().pages, pool.stats().invalid), (0, 0, 1));
    assert_eq!(pool.get().unwrap().number, 1);
    assert_rest(&pool, &shop, 1);
}

fn a_destructor_of_what_is_not_good_that_panics<K: Kind>() {
    let (shop, inspector) = (Shop::open(), Inspector::default());
    let pool = validated::<K>(1, &shop, &inspector).build().unwrap();
    drop(pool.get().unwrap());
    inspector.condemn(0);
    shop.arm(0);
    assert!(panics(|| pool.get().map(drop)));
    let stats = pool.stats();
    assert_eq!((shop.live(), stats.pages, stats.out, stats.invalid), (0, 0, 0, 1));
    assert_eq!(pool.get().unwrap().number, 1);
    assert_rest(&pool, &shop, 1);
}

/// Each is the pool's own: reset by who puts, validated by who gets.
fn what_is_not_good_is_changed_before_it_is_reset_or_handed_out<K: Kind>() {
    let shop = Shop::open();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let [resets, validates] = [(); 2].map(|()| calls.clone());
    let pool = pool_of::<K>(1, &shop)
        .reset(move |object| resets.lock().push(("reset", object.number)))
        .validate(move |object| {
            validates.lock().push(("validate", object.number));
            false
        });
    let pool = pool.build().unwrap();
    drop(pool.get().unwrap());
    drop(pool.get().unwrap());
    let said = calls.lock().clone();
    assert_eq!(said, [("reset", 0), ("validate", 0), ("reset", 1)]);
    assert_rest(&pool, &shop, 1);
}

// Its getter.

fn a_close_meets_a_validation<K: Kind>() {
    for good in [true, false] {
        let (shop, gate) = (Shop::open(), Gate::default());
        let pool = gated::<K>(1, &shop, &gate).build().unwrap();
        drop(pool.get().unwrap());
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &shop);
            let getter = scope.spawn(|| pool.get().map(|item| item.number));
            gate.until_waiting(1);
            pool.close();
            gate.open(good);
            match getter.join().unwrap() {
                Ok(number) => assert!(good && number == 0, "it had it before"),
                Err(error) => assert!(!good && matches!(error, GetError::Closed)),
            }
        });
        assert_eq!((shop.live(), shop.begun(), pool.stats().pages), (0, 1, 0));
        assert_rest(&pool, &shop, 1);
    }
}

/// It has no more time than it came with.
fn a_deadline_holds_for_another_object_too<K: Kind>() {
    let (shop, inspector) = (Shop::open(), Inspector::default());
    let pool = validated::<K>(1, &shop, &inspector).build().unwrap();
    drop(pool.get().unwrap());
    inspector.condemn(0);
    shop.order_none();
    let late = pool.get_timeout(Duration::ZERO);
    assert_is!(late, Err(GetError::TimedOut(Awaited::Page)));
    assert_eq!((pool.stats().invalid, pool.stats().out, shop.live()), (1, 0, 0));
    shop.order_all(Order::Make);
    assert_rest(&pool, &shop, 1);
}

/// It came before the other, and is served before it, whoever of the two creates.
fn who_was_lent_what_is_not_good_keeps_its_place<K: Kind>() {
    let (shop, gate) = (Shop::open(), Gate::default());
    let pool = gated::<K>(1, &shop, &gate).bypass(0).build().unwrap();
    drop(pool.get().unwrap());
    shop.order_none();
    let served = Mutex::new(Vec::new());
    let visit = |who| {
        let item = pool.get().unwrap();
        served.lock().push((who, item.number));
    };
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        scope.spawn(|| visit("older"));
        gate.until_waiting(1);
        scope.spawn(|| visit("younger"));
        until_waiting(&pool, 1);
        gate.open(false);
        until_waiting(&pool, 2);
        gate.open(true);
        shop.until_creating(1);
        shop.order_all(Order::Make);
    });
    assert_eq!(*served.lock(), [("older", 1), ("younger", 1)]);
    assert_eq!((pool.stats().invalid, pool.stats().most_overtaken), (1, 0));
    assert_rest(&pool, &shop, 1);
}

fn an_async_validation_is_waited_for_by_a_thread<K: Kind>() {
    let (shop, gate) = (Shop::open(), Gate::default());
    let pool = gated::<K>(1, &shop, &gate).build().unwrap();
    drop(pool.get().unwrap());
    for (good, tries) in [(true, false), (true, true), (false, false)] {
        gate.close();
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &shop);
            let getter = scope.spawn(|| {
                if tries {
                    return pool.try_get().unwrap().number;
                }
                // Whatever its deadline.
                pool.get_timeout(Duration::from_secs(100)).unwrap().number
            });
            gate.until_waiting(1);
            assert_eq!((pool.stats().out, pool.stats().waiting), (1, 0));
            gate.open(good);
            assert_eq!(getter.join().unwrap(), usize::from(!good));
        });
    }
    assert_eq!((shop.begun(), pool.stats().invalid), (2, 1));
    assert_rest(&pool, &shop, 1);
}

fn a_validation_that_hangs_blocks_only_itself<K: Kind>() {
    let (shop, gate) = (Shop::open(), Gate::default());
    let pool = gated::<K>(2, &shop, &gate).build().unwrap();
    drop(pool.get().unwrap());
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let hangs = scope.spawn(|| drop(pool.get().unwrap()));
        gate.until_waiting(1);
        for number in 1..4 {
            let item = pool.get().unwrap();
            assert_eq!(item.number, number);
            Item::discard(item);
        }
        gate.open(true);
        hangs.join().unwrap();
    });
    assert_rest(&pool, &shop, 2);
}

// Tasks.

/// It is in no known state.
#[test]
fn a_task_that_is_cancelled_destroys_what_it_validates() {
    let (shop, gate) = (Shop::open(), Gate::default());
    let pool = gated::<AsyncFactory<_, _>>(2, &shop, &gate).build().unwrap();
    drop(pool.get_many(2).unwrap());
    let (task, _waker) = Task::new();
    let mut several = Box::pin(pool.request().reserve_async(2));
    assert_is!(task.poll(several.as_mut()), Poll::Pending);
    assert_eq!((pool.stats().out, shop.live()), (2, 2));
    drop(several);
    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.pages, shop.live(), stats.invalid), (0, 1, 1, 1, 1));
    gate.open(true);
    assert_eq!(wait_for(pool.request().reserve_async(2)).unwrap().len(), 2);
    assert_rest(&pool, &shop, 2);
}

/// Its slot serves who waits.
#[test]
fn what_a_cancelled_validation_destroyed_is_made_again_for_who_waits() {
    let (shop, gate) = (Shop::open(), Gate::default());
    let pool = gated::<AsyncFactory<_, _>>(1, &shop, &gate).build().unwrap();
    drop(pool.get().unwrap());
    let (task, _waker) = Task::new();
    let mut validates = Box::pin(pool.get_async());
    assert_is!(task.poll(validates.as_mut()), Poll::Pending);
    let (next, _waker) = Task::new();
    let mut getter = pin!(pool.get_async());
    assert_is!(next.poll(getter.as_mut()), Poll::Pending);
    drop(validates);
    assert_is!(next.poll_if_woken(getter.as_mut()), Poll::Ready(Ok(item)) if item.number == 1);
    assert_rest(&pool, &shop, 1);
}

/// It came first, and stands before those who came while it validated: with one creation between
/// them, it is the first to have it.
#[test]
fn a_task_that_was_lent_what_is_not_good_keeps_its_place() {
    let (shop, gate) = (Shop::open(), Gate::default());
    let pool = gated::<AsyncFactory<_, _>>(1, &shop, &gate).bypass(0).build().unwrap();
    drop(pool.get().unwrap());
    shop.order_none();
    let [(older, _older), (younger, _younger)] = [Task::new(), Task::new()];
    let mut first = Box::pin(pool.get_async());
    assert_is!(older.poll(first.as_mut()), Poll::Pending);
    let mut second = Box::pin(pool.get_async());
    assert_is!(younger.poll(second.as_mut()), Poll::Pending);
    assert_eq!((pool.stats().out, pool.stats().waiting), (1, 1));
    gate.open(false);
    assert_is!(older.poll_if_woken(first.as_mut()), Poll::Pending);
    assert_eq!((shop.begun(), pool.stats().waiting, pool.stats().invalid), (2, 2, 1));
    let _ = younger.poll_if_woken(second.as_mut());
    gate.open(true);
    shop.order(1, Order::Make);
    let _ = younger.poll_if_woken(second.as_mut());
    let Poll::Ready(Ok(item)) = older.poll(first.as_mut()) else { panic!("it came first") };
    assert_eq!(item.number, 1);
    assert_is!(younger.poll(second.as_mut()), Poll::Pending);
    drop(item);
    assert_is!(younger.poll(second.as_mut()), Poll::Ready(Ok(item)) if item.number == 1);
    drop((first, second));
    assert_rest(&pool, &shop, 1);
}

#[test]
fn a_future_that_panics_while_it_validates_destroys_the_object() {
    let shop = Shop::open();
    let pool = pool_of::<AsyncFactory<_, _>>(1, &shop).validate_async(|object| {
        Box::pin(async move {
            assert!(object.number > 0, "the validation that was to panic does");
            true
        })
    });
    let pool = pool.build().unwrap();
    drop(pool.get().unwrap());
    shop.arm(0);
    let (task, _waker) = Task::new();
    assert!(panics(|| task.poll(pin!(pool.get_async())).map(drop)), "a task's");
    drop(pool.get().unwrap());
    assert_eq!((pool.get().unwrap().number, pool.stats().invalid), (1, 1));
    assert_rest(&pool, &shop, 1);
}

// Objects that are constructed.

#[test]
fn what_is_not_good_is_constructed_anew_in_its_place() {
    let arena = support::arena(1);
    let made = Arc::new(AtomicUsize::new(0));
    let is_good = Arc::new(AtomicBool::new(true));
    let (makes, says) = (made.clone(), is_good.clone());
    let pool = Pool::builder(1, move || {
        let number = makes.fetch_add(1, SeqCst);
        [number; support::QUANTUM / size_of::<usize>()]
    });
    let pool = pool.validate(move |_| says.load(SeqCst)).build(arena.clone()).unwrap();
    assert_eq!(pool.get().unwrap()[0], 0);
    assert_eq!(pool.get().unwrap()[0], 0, "it is good");
    is_good.store(false, SeqCst);
    assert_eq!(pool.get().unwrap()[0], 1);
    let held = pool.get().unwrap();
    assert_eq!((held[0], pool.stats().invalid, pool.stats().pages), (2, 2, 1));
    drop(held);
    support::assert_rests(&pool, &arena);
}

#[test]
fn a_constructor_that_fails_for_what_was_not_good_gives_the_place_back() {
    let arena = support::arena(1);
    let made = AtomicUsize::new(0);
    let pool = Pool::try_builder(1, move || match made.fetch_add(1, SeqCst) {
        1 => Err("no second one"),
        number => Ok([number; support::QUANTUM / size_of::<usize>()]),
    });
    let pool = pool.validate(|_| false).build(arena.clone()).unwrap();
    drop(pool.get().unwrap());
    assert_is!(pool.get().map(drop), Err(GetError::Construct(_)));
    assert_eq!((pool.stats().live, pool.stats().idle), (0, 1));
    assert_eq!(pool.get().unwrap()[0], 2);
    support::assert_rests(&pool, &arena);
}

// All at once.

/// What is lent is good, or was just made.
#[test]
fn threads_validate_at_once() {
    fn check<K: Kind>() {
        let shop = Shop::open();
        (0..2000).step_by(5).for_each(|number| shop.order(number, Order::Fail));
        (0..2000).step_by(31).for_each(|number| shop.order(number, Order::Panic));
        let uses = AtomicUsize::new(0);
        let pool = pool_of::<K>(2, &shop).validate(move |object| {
            let uses = uses.fetch_add(1, SeqCst);
            assert!(!uses.is_multiple_of(37), "some validations panic");
            !(object.number + uses).is_multiple_of(3)
        });
        let pool = pool.build().unwrap();
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &shop);
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..100 {
                        let items = 1 + round % 2;
                        let outcome = catch_unwind(AssertUnwindSafe(|| pool.get_many(items).map(drop)));
                        let told = matches!(outcome, Ok(Ok(()) | Err(GetError::Backend(_))));
                        assert!(told || outcome.is_err() || is_panic::<K, _>(&outcome));
                    }
                });
            }
        });
        assert!(pool.stats().invalid > 0);
        assert_rest(&pool, &shop, 2);
    }
    check::<pool::Factory<_, _>>();
    check::<pool::Growers<_, _>>();
    check::<AsyncFactory<_, _>>();
}
