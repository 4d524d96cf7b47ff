//! What bounds the objects that a factory makes, at all times: the limit, what is still being
//! destroyed, low and high water, the reserve; and how many there are after many came at once.

#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use pool::{Factory, Item, OwnedItem, Pool, TryGetError};

#[macro_use]
mod support;

use support::shop::{
    EndOnPanic, Failed, Kind, Moment, Object, Order, Shop, assert_rest, join_all, pool_of, until_settled,
};
use support::{Random, panics, until, until_waiting};

of_each_kind![
    a_slot_is_free_when_the_destructor_has_ended,
    a_destructor_that_panics_gives_its_slot_back,
    low_and_high_water_are_what_is_kept,
    a_lowered_limit_takes_what_comes_back_and_a_raised_one_makes_more,
    a_limit_lowered_below_what_is_being_created,
    a_put_serves_beside_a_creation_that_hangs_above_the_limit,
    the_reserve_is_made_first,
    what_is_attached_leaves_the_reserve,
    what_is_attached_does_not_pass_those_who_wait,
    who_waits_is_served_in_order_where_nobody_may_pass,
    a_spike_ends_with_what_there_was_before,
    threads_come_and_go_and_creators_fail_panic_and_hang,
];

// Slots.

/// P1 for what is real: nothing is begun while anything is left of what was before.
fn a_slot_is_free_when_the_destructor_has_ended<K: Kind>() {
    type Ends<K> = fn(&Pool<Object, K>, Item<'_, Object, K>);
    let ways: [Ends<K>; 3] = [
        |_, item| Item::discard(item),
        |pool, item| {
            pool.set_water(0, 0).unwrap();
            drop(item);
        },
        |pool, item| {
            drop(item);
            pool.drain();
        },
    ];
    for ends in ways {
        let shop = Shop::open();
        let pool = pool_of::<K>(1, &shop).build().unwrap();
        let item = pool.get().unwrap();
        shop.hold_ends();
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &shop);
            let ended = scope.spawn(|| ends(&pool, item));
            shop.until_ending(1);
            let getter = scope.spawn(|| pool.get().unwrap().number);
            until_waiting(&pool, 1);
            let stats = pool.stats();
            assert_eq!((stats.pages, stats.growing, shop.begun()), (1, 0, 1));
            shop.go_on_ending();
            ended.join().unwrap();
            assert_eq!(getter.join().unwrap(), 1);
        });
        assert_rest(&pool, &shop, 1);
    }
}

fn a_destructor_that_panics_gives_its_slot_back<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(1, &shop).build().unwrap();
    let item = pool.get().unwrap();
    shop.arm(0);
    assert!(panics(|| Item::discard(item)), "discarded");
    drop(pool.get().unwrap());
    shop.arm(1);
    assert!(panics(|| pool.drain()), "drained");
    drop(pool.get().unwrap());
    shop.arm(2);
    let mine = shop.create().unwrap();
    assert!(panics(|| pool.attach(mine)), "replaced");
    let item = pool.get().unwrap();
    pool.set_water(0, 0).unwrap();
    shop.arm(item.number);
    assert!(panics(|| drop(item)), "above high water");
    let item = pool.get().unwrap();
    shop.arm(item.number);
    pool.close();
    assert!(panics(|| drop(item)), "closed");
    assert_rest(&pool, &shop, 2);
}

// Knobs.

fn low_and_high_water_are_what_is_kept<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(4, &shop).low_water(1).high_water(3).build().unwrap();
    drop(pool.get_many(4).unwrap());
    assert_eq!((pool.stats().idle, shop.live()), (3, 3), "no more than high water");
    assert_eq!((pool.drain(), shop.live()), (2, 1), "no less than low water");
    pool.set_water(2, 4).unwrap();
    drop(pool.get_many(4).unwrap());
    assert_eq!(shop.live(), 4);
    assert_eq!((pool.drain(), shop.live()), (2, 2));
    pool.set_water(0, 1).unwrap();
    assert_eq!(shop.live(), 1, "lowered, it takes what is idle");
    assert_rest(&pool, &shop, 4);
}

fn a_lowered_limit_takes_what_comes_back_and_a_raised_one_makes_more<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(3, &shop).build().unwrap();
    let mut items = pool.get_many(3).unwrap();
    pool.set_hard_limit(1).unwrap();
    for left in [2, 1] {
        drop(items.pop());
        assert_eq!((shop.live(), pool.stats().idle), (left, 0));
    }
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let getter = scope.spawn(|| pool.get().unwrap().number);
        until_waiting(&pool, 1);
        assert_eq!(pool.stats().growing, 0);
        pool.set_hard_limit(2).unwrap();
        assert_eq!(getter.join().unwrap(), 3);
    });
    drop(items);
    assert_rest(&pool, &shop, 3);
}

fn a_limit_lowered_below_what_is_being_created<K: Kind>() {
    let shop = Shop::by_order();
    let pool = pool_of::<K>(2, &shop).build().unwrap();
    shop.order(0, Order::Make);
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let getter = scope.spawn(|| drop(pool.get().unwrap()));
        shop.until_creating(1);
        pool.set_hard_limit(1).unwrap();
        shop.order(1, Order::Make);
        until_settled(&pool);
        drop(held);
        getter.join().unwrap();
    });
    assert_eq!((shop.begun(), shop.live(), pool.stats().idle), (2, 1, 1));
    assert_rest(&pool, &shop, 2);
}

/// P2: what hangs must not cost what is good.
fn a_put_serves_beside_a_creation_that_hangs_above_the_limit<K: Kind>() {
    let shop = Shop::by_order();
    let pool = pool_of::<K>(2, &shop).build().unwrap();
    shop.order(0, Order::Make);
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let hangs = scope.spawn(|| drop(pool.get().unwrap()));
        shop.until_creating(1);
        pool.set_hard_limit(1).unwrap();
        let getter = scope.spawn(|| drop(pool.get().unwrap()));
        until_waiting(&pool, 2);
        drop(held);
        getter.join().unwrap();
        shop.order(1, Order::Make);
        hangs.join().unwrap();
    });
    until_settled(&pool);
    assert!(shop.live() <= 1);
    assert_rest(&pool, &shop, 2);
}

fn the_reserve_is_made_first<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(2, &shop).critical_reserve(1).build().unwrap();
    let ordinary = pool.get().unwrap();
    assert_eq!((shop.begun(), pool.stats().idle), (2, 1));
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    let critical = pool.request().critical().get().unwrap();
    drop(ordinary);
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted), "it fills the reserve");
    drop(critical);
    assert_eq!((shop.begun(), pool.drain(), shop.live()), (2, 1, 1), "the reserve is kept");
    pool.set_critical_reserve(0).unwrap();
    assert_rest(&pool, &shop, 2);
}

fn what_is_attached_leaves_the_reserve<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(2, &shop).critical_reserve(1).build().unwrap();
    let attached = pool.attach(shop.create().unwrap()).unwrap();
    assert!(pool.attach(shop.create().unwrap()).is_err());
    drop(pool.request().critical().get().unwrap());
    drop(attached);
    pool.set_critical_reserve(0).unwrap();
    assert_rest(&pool, &shop, 2);
}

fn what_is_attached_does_not_pass_those_who_wait<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(2, &shop).max_growing(1).bypass(0).build().unwrap();
    let mine = shop.create().unwrap();
    shop.order_none();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        // One creates, and the other waits for that, since one creates at a time.
        let getters = [(); 2].map(|()| scope.spawn(|| drop(pool.get().unwrap())));
        shop.until_creating(1);
        until_waiting(&pool, 2);
        let refused = pool.attach(mine).unwrap_err();
        assert_is!(refused.error, TryGetError::Exhausted);
        shop.order_all(Order::Make);
        join_all(getters);
    });
    assert_rest(&pool, &shop, 3);
}

fn who_waits_is_served_in_order_where_nobody_may_pass<K: Kind>() {
    let shop = Shop::open();
    let pool = pool_of::<K>(1, &shop).bypass(0).build().unwrap();
    let mut held = Some(pool.get().unwrap());
    let served = AtomicUsize::new(0);
    let go_on = AtomicUsize::new(0);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        for number in 1..=3 {
            let (pool, served, go_on) = (&pool, &served, &go_on);
            scope.spawn(move || {
                let _item = pool.get().unwrap();
                served.store(number, SeqCst);
                until(|| go_on.load(SeqCst) >= number || pool.is_closed());
            });
            until_waiting(pool, number);
        }
        for number in 1..=3 {
            drop(held.take());
            go_on.store(number - 1, SeqCst);
            until(|| served.load(SeqCst) == number);
            assert_is!(pool.try_get(), Err(TryGetError::Exhausted), "nobody passes");
        }
        go_on.store(3, SeqCst);
    });
    assert_eq!((pool.stats().most_overtaken, shop.begun()), (0, 1));
    assert_rest(&pool, &shop, 1);
}

/// A getter that creates on its own thread is out of reach, and no use to what is idle.
#[test]
fn what_is_idle_beside_a_creation_that_hangs_is_drained_and_shed() {
    let shop = Shop::open();
    let pool = pool_of::<Factory<_, _>>(4, &shop).high_water(2).build().unwrap();
    let held = pool.get_many(3).unwrap();
    shop.order_none();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let hangs = scope.spawn(|| pool.get().unwrap().number);
        shop.until_creating(1);
        drop(held);
        assert_eq!((shop.live(), pool.stats().idle), (2, 2), "no more than high water");
        assert_eq!((pool.drain(), shop.live()), (2, 0));
        shop.order_all(Order::Make);
        assert_eq!(hangs.join().unwrap(), 3);
    });
    assert_rest(&pool, &shop, 4);
}

/// What was made for one who wants several is its own until it has them all.
#[test]
fn what_one_gathers_is_not_shed_while_it_creates_the_rest() {
    let shop = Shop::open();
    let pool = pool_of::<Factory<_, _>>(3, &shop).high_water(0).build().unwrap();
    shop.hook({
        let pool = pool.clone();
        move |moment| {
            if let Moment::Begins(_) = moment {
                pool.drain();
            }
        }
    });
    let items = pool.get_many(3).unwrap();
    assert_eq!(shop.begun(), 3);
    drop(items);
    assert_eq!(shop.live(), 0);
    shop.unhook();
    assert_rest(&pool, &shop, 3);
}

// Many at once.

/// `HikariCP`'s `SpikeLoadTest`: as many getters as the limit allows come at once, where it takes
/// long to create an object and no time to use one. Nothing is created before all have come.
fn a_spike_ends_with_what_there_was_before<K: Kind>() {
    const MINIMUM: usize = 5;
    const GETTERS: usize = 50;
    let shop = Shop::open();
    let minimum = MINIMUM as u32;
    let pool = pool_of::<K>(GETTERS as u32, &shop).low_water(minimum).high_water(minimum).build().unwrap();
    let held = pool.get_many(MINIMUM).unwrap();
    shop.order_none();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        let getters: Vec<_> = (0..GETTERS).map(|_| scope.spawn(|| drop(pool.get().unwrap()))).collect();
        until_waiting(&pool, GETTERS);
        if !K::IN_REACH {
            shop.until_creating(GETTERS - MINIMUM);
        }
        drop(held);
        if !K::IN_REACH {
            shop.order_all(Order::Make);
        }
        // Where they are within reach, by what there was and nothing else.
        join_all(getters);
    });
    shop.order_all(Order::Make);
    until_settled(&pool);
    assert_eq!((shop.live(), pool.stats().idle), (MINIMUM, MINIMUM));
    pool.set_water(0, 0).unwrap();
    assert_rest(&pool, &shop, GETTERS);
}

/// One creation hangs until the others have done. Whoever is left behind then, waits for that one.
fn threads_come_and_go_and_creators_fail_panic_and_hang<K: Kind>() {
    const THREADS: usize = 6;
    const ROUNDS: usize = 200;
    const HANGS: usize = 9;
    let shop = Shop::open();
    let mut random = Random::new(1);
    for number in 0..THREADS * ROUNDS {
        match random.below(16) {
            _ if number == HANGS => shop.hang(number),
            0..3 => shop.order(number, Order::Fail),
            3 => shop.order(number, Order::Panic),
            _ => {}
        }
    }
    let pool = pool_of::<K>(4, &shop).high_water(3).bypass(2).build().unwrap();
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &shop);
        for number in 0..THREADS {
            let (pool, done) = (&pool, &done);
            scope.spawn(move || {
                let mut random = Random::new(number);
                for _ in 0..ROUNDS {
                    // What a creator's panic is, is told elsewhere.
                    let _ = catch_unwind(AssertUnwindSafe(|| come_and_go(pool, &mut random)));
                }
                done.fetch_add(1, SeqCst);
            });
        }
        until(|| done.load(SeqCst) + 1 >= THREADS);
        shop.order(HANGS, Order::Make);
    });
    assert!(pool.stats().most_overtaken <= 2);
    assert_rest(&pool, &shop, 5);
}

fn come_and_go<K: Kind>(pool: &Pool<Object, K>, random: &mut Random) {
    match random.below(12) {
        0..3 => drop(pool.get()),
        3 => drop(pool.get_many(2)),
        4 => drop(pool.get_timeout(Duration::ZERO)),
        5 => drop(pool.request().grow_timeout(Duration::from_micros(50)).get()),
        6 => drop(pool.get().map(Item::discard)),
        7 => drop(pool.get_owned().map(OwnedItem::discard)),
        8 => drop(pool.try_get()),
        9 => drop(pool.drain()),
        10 => pool.set_hard_limit(3 + random.below(3) as u32).unwrap(),
        _ => {
            let polls = random.below(3);
            K::gives_up(pool, polls);
        }
    }
}
