//! Objects that a factory makes: what is the same of all kinds, on the getter's own thread, on
//! grower threads and by futures. With real threads, and creators that fail, panic and hang. What
//! bounds them is in `factory_limits`.

#![cfg(not(loom))]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use pool::{
    AsyncFactory, Awaited, Factory, GetError, Growers, Item, ObjectFactory, OwnedItem, Pool, TryGetError,
};

#[macro_use]
mod support;

use support::shop::{
    EndOnPanic, Failed, Kind, Moment, Object, Order, Shop, assert_rest, assert_sold_out, failed, is_panic,
    join_all, pool_of, until_settled,
};
use support::{until, until_waiting};

of_each_kind![
    an_object_is_made_once_and_got_again,
    the_limit_counts_what_is_being_created,
    several_are_made_for_one_getter,
    who_would_not_wait_has_nothing_made,
    a_failed_creation_is_one_waiters_error_and_the_next_is_begun,
    a_failed_creation_among_several_leaves_the_others_to_the_pool,
    a_creation_that_panics_gives_its_slot_back,
    one_that_waits_behind_a_panic_is_served,
    creations_that_hang_block_only_themselves,
    no_more_are_created_at_once_than_may_be,
    what_is_discarded_makes_room_for_another,
    what_is_detached_makes_room_for_another,
    what_is_leaked_keeps_its_place,
    what_is_attached_takes_the_place_of_what_is_idle,
    who_waits_for_a_put_can_be_late,
    a_close_tells_who_waits_and_destroys_what_is_idle,
    a_close_meets_a_creation,
    the_last_handle_closes,
    creators_and_destructors_may_use_the_pool,
];

#[test]
fn objects_of_no_size_are_told_apart() {
    /// Of those without a size, how many there are.
    static LIVE: AtomicUsize = AtomicUsize::new(0);

    #[derive(Debug)]
    struct Nothing(());

    impl Drop for Nothing {
        fn drop(&mut self) {
            LIVE.fetch_sub(1, SeqCst);
        }
    }

    fn nothing() -> Nothing {
        LIVE.fetch_add(1, SeqCst);
        Nothing(())
    }

    fn check<F: ObjectFactory<Object = Nothing>>(factory: F) {
        let pool = Pool::from_factory(2, factory).build().map_err(drop).unwrap();
        let [one, other] = [(); 2].map(|()| pool.get().map_err(drop).unwrap());
        assert_ne!(&raw const *one, &raw const *other);
        assert_eq!((LIVE.load(SeqCst), size_of_val(&one.0)), (2, 0));
        Item::discard(one);
        assert_eq!(LIVE.load(SeqCst), 1);
        drop(other);
        assert_eq!((LIVE.load(SeqCst), pool.stats().idle), (1, 1));
        assert_eq!((pool.drain(), LIVE.load(SeqCst)), (1, 0));
    }

    check(Factory::new(|| Ok::<_, Failed>(nothing())));
    check(Growers::new(1, || Ok::<_, Failed>(nothing())));
    check(AsyncFactory::new(async || Ok::<_, Failed>(nothing())));
}

#[test]
fn objects_are_where_their_alignment_wants_them() {
    #[repr(align(4096))]
    struct Aligned(u8);

    fn check<F: ObjectFactory<Object = Aligned>>(factory: F) {
        let pool = Pool::from_factory(8, factory).build().map_err(drop).unwrap();
        let items = pool.get_many(8).map_err(drop).unwrap();
        let places: BTreeSet<_> = items.iter().map(|item| (&raw const **item).addr()).collect();
        assert_eq!(places.len(), 8);
        assert!(places.iter().all(|place| place.is_multiple_of(4096)));
        assert!(items.iter().all(|item| item.0 == 7));
    }

    check(Factory::new(|| Ok::<_, Failed>(Aligned(7))));
    check(Growers::new(2, || Ok::<_, Failed>(Aligned(7))));
    check(AsyncFactory::new(async || Ok::<_, Failed>(Aligned(7))));
}

// What is made, when, and how often.

fn an_object_is_made_once_and_got_again<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(2, &shop).build().unwrap();
    assert_eq!((shop.begun(), pool.stats().live), (0, 0), "nothing before it is wanted");
    let [one, other] = [(); 2].map(|()| pool.get().unwrap());
    assert_eq!((one.number, other.number), (0, 1));
    drop(other);
    assert_eq!(pool.get().unwrap().number, 1);
    drop(one);
    let stats = pool.stats();
    assert_eq!((shop.begun(), stats.live, stats.idle, stats.pages, stats.grows), (2, 2, 2, 2, 2));
    assert_rest(&pool, &shop, 2);
}

fn the_limit_counts_what_is_being_created<K: Kind>() {
    let shop = Shop::by_order();
    let pool = pool_of::<K>(2, &shop).build().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let getters = [(); 3].map(|()| scope.spawn(|| drop(pool.get().unwrap())));
        until_waiting(&pool, 3);
        shop.until_creating(2);
        assert_eq!((pool.stats().growing, pool.stats().live, shop.begun()), (2, 0, 2));
        shop.order_all(Order::Make);
        join_all(getters);
    });
    assert_rest(&pool, &shop, 2);
}

fn several_are_made_for_one_getter<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(3, &shop).build().unwrap();
    let held = pool.get().unwrap();
    assert_is!(pool.get_many(4), Err(GetError::TooMany { asked: 4, most: 3 }));
    let mut reserved = pool.reserve(2).unwrap();
    assert_eq!((reserved.len(), pool.stats().out, shop.live()), (2, 3, 3));
    drop(reserved.get().unwrap());
    assert_eq!(pool.stats().idle, 1);
    drop((held, reserved));
    let numbers: BTreeSet<_> = pool.get_many(3).unwrap().iter().map(|item| item.number).collect();
    assert_eq!((numbers, shop.begun()), (BTreeSet::from([0, 1, 2]), 3));
    assert_rest(&pool, &shop, 3);
}

fn who_would_not_wait_has_nothing_made<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(1, &shop).build().unwrap();
    assert_is!(pool.try_get(), Err(TryGetError::Scarce));
    assert_is!(pool.try_reserve(1), Err(TryGetError::Scarce));
    assert_is!(pool.prime(1), Ok(0));
    assert_eq!((shop.begun(), pool.stats().growing), (0, 0));
    drop(pool.get().unwrap());
    let item = pool.try_get().unwrap();
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    drop(item);
    let failures = pool.stats().failures;
    assert_eq!((shop.begun(), failures.scarce, failures.exhausted), (1, 2, 1));
    assert_rest(&pool, &shop, 1);
}

// Creators that fail, panic and hang.

fn a_failed_creation_is_one_waiters_error_and_the_next_is_begun<K: Kind>() {
    let shop = Shop::by_order();
    let pool = pool_of::<K>(1, &shop).build().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let get = || pool.get().map(|item| item.number);
        let first = scope.spawn(get);
        shop.until_creating(1);
        let others = [1, 2].map(|before| {
            let other = scope.spawn(get);
            until_waiting(&pool, before + 1);
            other
        });
        shop.order(0, Order::Fail);
        assert_eq!(failed::<K>(first.join().unwrap().unwrap_err()), Failed(0));
        shop.until_begun(2);
        assert_eq!((pool.stats().waiting, pool.stats().failures.backend), (2, 1));
        shop.order(1, Order::Fail);
        shop.until_begun(3);
        assert_eq!(pool.stats().failures.backend, 2);
        shop.order(2, Order::Make);
        let outcomes = join_all(others);
        let [told, served]: [Vec<_>; 2] = [
            outcomes.iter().filter(|outcome| outcome.is_err()).collect(),
            outcomes.iter().filter(|outcome| matches!(outcome, Ok(2))).collect(),
        ];
        assert_eq!((told.len(), served.len()), (1, 1), "{outcomes:?}");
    });
    assert_eq!((pool.stats().refused, pool.stats().failures.total()), (2, 2));
    assert_rest(&pool, &shop, 1);
}

fn a_failed_creation_among_several_leaves_the_others_to_the_pool<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(3, &shop).build().unwrap();
    shop.order(1, Order::Fail);
    assert_eq!(failed::<K>(pool.get_many(2).unwrap_err()), Failed(1));
    until_settled(&pool);
    assert_eq!((pool.stats().out, pool.stats().idle, shop.live()), (0, 1, 1));
    assert_eq!(pool.get_many(3).unwrap().len(), 3);
    assert_rest(&pool, &shop, 3);
}

fn a_creation_that_panics_gives_its_slot_back<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(1, &shop).build().unwrap();
    shop.order(0, Order::Panic);
    let outcome = catch_unwind(AssertUnwindSafe(|| pool.get()));
    assert!(is_panic::<K, _>(&outcome), "{outcome:?}");
    let stats = pool.stats();
    assert_eq!((stats.growing, stats.waiting, stats.pages), (0, 0, 0));
    assert_eq!(pool.get().unwrap().number, 1);
    // Among several, which it had one of.
    pool.set_hard_limit(2).unwrap();
    shop.order(2, Order::Panic);
    let outcome = catch_unwind(AssertUnwindSafe(|| pool.get_many(2)));
    assert!(is_panic::<K, _>(&outcome), "{outcome:?}");
    assert_eq!((pool.stats().out, pool.stats().idle), (0, 1));
    assert_eq!(pool.get_many(2).unwrap().len(), 2);
    assert_rest(&pool, &shop, 2);
}

fn one_that_waits_behind_a_panic_is_served<K: Kind>() {
    let shop = Shop::by_order();
    let pool = pool_of::<K>(1, &shop).build().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let get = || pool.get().map(|item| item.number);
        let first = scope.spawn(get);
        shop.until_creating(1);
        let second = scope.spawn(get);
        until_waiting(&pool, 2);
        shop.order(0, Order::Panic);
        assert!(is_panic::<K, _>(&first.join()));
        shop.until_begun(2);
        shop.order(1, Order::Make);
        assert_is!(second.join().unwrap(), Ok(1));
    });
    assert_rest(&pool, &shop, 1);
}

/// All but one slot is lost to them, and everybody is served by what there is in the last one:
/// those too who asked for what hangs, where a put can reach them.
fn creations_that_hang_block_only_themselves<K: Kind>() {
    const HANG: usize = 2;
    let shop = Shop::open();
    (0..HANG).for_each(|number| shop.hang(number));
    let pool = pool_of::<K>(HANG as u32 + 1, &shop).build().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let hanging = [(); HANG].map(|()| scope.spawn(|| drop(pool.get().unwrap())));
        shop.until_creating(HANG);
        let others = [(); 4].map(|()| scope.spawn(|| (0..50).for_each(|_| drop(pool.get().unwrap()))));
        join_all(others);
        if K::IN_REACH {
            join_all(hanging);
        } else {
            assert_eq!((shop.creating(), pool.stats().asleep_in_backend), (HANG, HANG));
            shop.order_all(Order::Make);
            join_all(hanging);
        }
    });
    shop.order_all(Order::Make);
    assert_rest(&pool, &shop, HANG + 1);
}

fn no_more_are_created_at_once_than_may_be<K: Kind>() {
    for most in [1, 3] {
        let shop = Shop::by_order();
        let pool = pool_of::<K>(4, &shop).max_growing(most).build().unwrap();
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &shop);
            let getters = [(); 4].map(|()| scope.spawn(|| drop(pool.get().unwrap())));
            until_waiting(&pool, 4);
            shop.until_creating(most as usize);
            assert_eq!(pool.stats().growing, most);
            shop.order_all(Order::Make);
            join_all(getters);
        });
        assert_eq!(shop.most_creating(), most as usize);
        assert_rest(&pool, &shop, 4);
    }
}

// Ways out of the pool, and into it.

fn what_is_discarded_makes_room_for_another<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(1, &shop).build().unwrap();
    Item::discard(pool.get().unwrap());
    assert_eq!((shop.live(), pool.stats().pages), (0, 0));
    OwnedItem::discard(pool.get_owned().unwrap());
    let held = pool.get().unwrap();
    assert_eq!(held.number, 2);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let getter = scope.spawn(|| pool.get().unwrap().number);
        until_waiting(&pool, 1);
        Item::discard(held);
        assert_eq!(getter.join().unwrap(), 3, "made for who waited");
    });
    assert_rest(&pool, &shop, 1);
}

fn what_is_detached_makes_room_for_another<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(1, &shop).build().unwrap();
    let detached = Item::detach(pool.get().unwrap());
    assert_eq!((shop.live(), pool.stats().pages, pool.stats().live), (1, 0, 0));
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let getter = scope.spawn(|| pool.get().unwrap().number);
        until_waiting(&pool, 1);
        let other = Item::detach(held);
        assert_eq!((detached.number, other.number, getter.join().unwrap()), (0, 1, 2));
    });
    drop(detached);
    assert_rest(&pool, &shop, 3);
}

fn what_is_leaked_keeps_its_place<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(2, &shop).build().unwrap();
    let leaked = Item::leak(pool.get().unwrap());
    let other = pool.get().unwrap();
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    drop(other);
    pool.drain();
    let stats = pool.stats();
    assert_eq!((leaked.number, stats.leaked, stats.out, stats.pages, shop.live()), (0, 1, 1, 1, 1));
}

fn what_is_attached_takes_the_place_of_what_is_idle<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(2, &shop).build().unwrap();
    let first = pool.attach(shop.create().unwrap()).unwrap();
    drop(pool.get().unwrap());
    assert_eq!((first.number, shop.live(), pool.stats().idle), (0, 2, 1), "each has a place of its own");
    let third = pool.attach(shop.create().unwrap()).unwrap();
    assert_eq!((third.number, shop.live()), (2, 2), "the limit is two: what was idle is no more");
    let refused = pool.attach(shop.create().unwrap()).unwrap_err();
    assert_is!(refused.error, TryGetError::Exhausted);
    drop((first, third, refused));
    pool.close();
    assert_is!(pool.attach(shop.create().unwrap()).unwrap_err().error, TryGetError::Closed);
    assert_rest(&pool, &shop, 4);
}

// Ends of waiting.

fn who_waits_for_a_put_can_be_late<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(1, &shop).build().unwrap();
    let held = pool.get().unwrap();
    let late = pool.get_timeout(Duration::from_millis(1));
    assert_is!(late, Err(GetError::TimedOut(Awaited::Put)));
    assert_eq!((pool.stats().failures.timed_out, pool.stats().waiting, shop.begun()), (1, 0, 1));
    drop(held);
    assert_eq!(pool.get_timeout(Duration::ZERO).unwrap().number, 0, "in time");
    assert_rest(&pool, &shop, 1);
}

fn a_close_tells_who_waits_and_destroys_what_is_idle<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(2, &shop).build().unwrap();
    let [held, other] = [(); 2].map(|()| pool.get().unwrap());
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let getter = scope.spawn(|| pool.get().map(drop));
        until_waiting(&pool, 1);
        drop(other);
        getter.join().unwrap().unwrap();
        let getters = [(); 2].map(|()| scope.spawn(|| pool.get_many(2).map(drop)));
        until_waiting(&pool, 2);
        pool.close();
        for getter in getters {
            assert_is!(getter.join().unwrap(), Err(GetError::Closed));
        }
    });
    assert_eq!((shop.live(), pool.stats().pages), (1, 1), "what was idle is no more");
    drop(held);
    assert_eq!((shop.live(), pool.stats().pages), (0, 0));
    assert_is!(pool.get(), Err(GetError::Closed));
    assert_is!(pool.try_get(), Err(TryGetError::Closed));
    assert_eq!(shop.begun(), 2);
    assert_rest(&pool, &shop, 2);
}

fn a_close_meets_a_creation<K: Kind>() {
    for order in [Order::Make, Order::Fail] {
        let shop = Shop::by_order();
        let pool = pool_of::<K>(2, &shop).build().unwrap();
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &shop);
            let getters = [(); 2].map(|()| scope.spawn(|| pool.get().map(drop)));
            shop.until_creating(2);
            pool.close();
            if K::IN_REACH {
                for getter in getters {
                    assert_is!(getter.join().unwrap(), Err(GetError::Closed));
                }
                shop.order_all(order);
            } else {
                shop.order_all(order);
                for getter in getters {
                    match order {
                        Order::Make => assert_is!(getter.join().unwrap(), Err(GetError::Closed)),
                        _ => assert_is!(getter.join().unwrap(), Err(GetError::Backend(_))),
                    }
                }
            }
        });
        until_settled(&pool);
        assert_eq!((shop.live(), shop.creating(), pool.stats().pages), (0, 0, 0));
        assert_rest(&pool, &shop, 2);
    }
}

/// P5: what is idle goes at once, what is out when it comes back, and then nothing is left.
fn the_last_handle_closes<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(3, &shop).build().unwrap();
    let owned = pool.get_owned().unwrap();
    let reserved = pool.reserve(1).unwrap();
    drop(pool.get().unwrap());
    assert_eq!(shop.live(), 3);
    drop(pool.clone());
    assert_eq!(shop.live(), 3, "that was not the last");
    drop(pool);
    assert_eq!(shop.live(), 2);
    drop(reserved);
    assert_eq!((shop.live(), owned.number), (1, 0));
    drop(owned);
    until(|| shop.is_alone());
    assert_sold_out(&shop, 3);
}

/// P8.
fn creators_and_destructors_may_use_the_pool<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(3, &shop).build().unwrap();
    let calls = Arc::new([const { AtomicUsize::new(0) }; 3]);
    let (inner, called) = (pool.clone(), calls.clone());
    shop.hook(move |moment| {
        let kind = match moment {
            Moment::Begins(_) => 0,
            Moment::Ends(_) => 1,
            Moment::Destroyed(_) => 2,
        };
        called[kind].fetch_add(1, SeqCst);
        drop(inner.try_get());
        drop(inner.try_reserve(2));
        assert!(inner.stats().pages <= 3 && !format!("{inner:?}").is_empty());
        inner.set_water(0, 3).unwrap();
        inner.set_critical_reserve(0).unwrap();
        inner.set_hard_limit(3).unwrap();
        assert!(matches!(inner.prime(1), Ok(_) | Err(TryGetError::Closed)));
    });
    let items = pool.get_many(2).unwrap();
    let other = pool.get().unwrap();
    drop(items);
    Item::discard(other);
    assert_eq!(pool.drain(), 2);
    drop(pool.get().unwrap());
    pool.close();
    assert_eq!(calls.each_ref().map(|calls| calls.load(SeqCst)), [4, 4, 4]);
    assert_rest(&pool, &shop, 3);
    shop.unhook();
}

// Where all is done on the getter's own thread.

#[test]
fn a_creation_is_the_getters_own() {
    let shop = Shop::open();
    let pool = pool_of::<Factory<_, _>>(2, &shop).build().unwrap();
    drop(pool.get_many(2).unwrap());
    for number in 0..2 {
        assert_eq!(shop.begun_by(number).0, thread::current().id());
    }
    assert_rest(&pool, &shop, 2);
}

#[test]
fn a_creator_may_get_what_another_creation_brings() {
    let shop = Shop::open();
    let pool = pool_of::<Factory<_, _>>(2, &shop).build().unwrap();
    let inner = Arc::new(AtomicUsize::new(usize::MAX));
    shop.hook({
        let (pool, inner) = (pool.clone(), inner.clone());
        move |moment| {
            if moment == Moment::Begins(0) {
                inner.store(pool.get().unwrap().number, SeqCst);
            }
        }
    });
    assert_eq!((pool.get().unwrap().number, inner.load(SeqCst)), (0, 1));
    shop.unhook();
    assert_rest(&pool, &shop, 2);
}

/// Out of reach, it comes back with what it made, and not with what was put meanwhile.
#[test]
fn a_deadline_that_passes_while_it_creates_is_not_looked_at() {
    let shop = Shop::by_order();
    let pool = pool_of::<Factory<_, _>>(1, &shop).build().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let getter = scope.spawn(|| pool.get_timeout(Duration::ZERO).map(|item| item.number));
        shop.until_creating(1);
        shop.order(0, Order::Make);
        assert_is!(getter.join().unwrap(), Ok(0));
    });
    assert_rest(&pool, &shop, 1);
}
