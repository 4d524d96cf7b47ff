//! What is put is lent to nobody for a while, and whoever would wait has it back first.

use std::ptr::NonNull;
use std::thread;

use kva::{Arena, Shape};
use pool::{ConfigError, Hardening, RawPool, TryGetError};

use super::support::{
    arena, assert_adds_up, assert_rests, blocks, put, put_all, until_asked, until_waiting, visit, wait_for,
};
use super::watchdog::Watchdog;
use super::world::items;

/// So many operations at rest end the scarcity that a sweep begins.
const CALM: usize = 256;

fn blocks_with(items: usize, limit: u32, memory: &Arena) -> RawPool {
    blocks(limit).harden(Hardening::new().quarantine(items)).build(memory.clone()).unwrap()
}

/// Gets one, puts it, and says how many are in quarantine then.
fn cached(pool: &RawPool) -> usize {
    visit(pool).unwrap();
    pool.stats().cached
}

#[test]
fn it_takes_so_many_other_puts() {
    let memory = arena(1);
    let pool = items(1).harden(Hardening::new().quarantine(4)).build(memory.clone()).unwrap();
    let first = visit(&pool).unwrap();
    assert_eq!(pool.stats().cached, 1);
    let mut between = 0;
    while visit(&pool).unwrap() != first {
        between += 1;
    }
    // Four others are put, the fourth of which has it leave.
    assert_eq!(between, 4);
    let plain = items(1).harden(Hardening::new()).build(arena(1)).unwrap();
    assert_eq!(visit(&plain).unwrap(), visit(&plain).unwrap(), "without the knob it is the next");
    assert_rests(&pool, &memory);
}

#[test]
fn the_pool_grows_rather_than_lend_it() {
    let memory = arena(8);
    let pool = blocks_with(3, 8, &memory);
    for pages in [1, 2, 3, 4, 4, 4] {
        visit(&pool).unwrap();
        assert_eq!(pool.stats().pages, pages);
    }
    assert_adds_up(&pool, 0);
    assert_eq!((pool.stats().cached, pool.stats().idle), (3, 4));
    assert_rests(&pool, &memory);
}

#[test]
fn it_holds_at_most_half_of_what_the_limit_allows() {
    let memory = arena(8);
    let pool = blocks_with(100, 8, &memory);
    let all = pool.get_many(8).unwrap();
    // That swept.
    put_all(&pool, all);
    until_calm(&pool);
    (0..20).for_each(|_| assert!(cached(&pool) <= 4));
    assert_eq!(cached(&pool), 4);
    pool.set_hard_limit(4).unwrap();
    until_calm(&pool);
    (0..20).for_each(|_| assert!(cached(&pool) <= 2));
    assert_eq!(cached(&pool), 2);
    assert_rests(&pool, &memory);
    let one = blocks_with(100, 1, &memory);
    assert_eq!((cached(&one), cached(&one)), (0, 0), "half of one");
    assert_rests(&one, &memory);
}

fn until_calm(pool: &RawPool) {
    let mut visits = 0;
    while cached(pool) == 0 {
        visits += 1;
        assert!(visits <= CALM, "it stays scarce");
    }
}

/// P2: nothing is stranded in it. The one item that is not out is in quarantine.
#[test]
fn whoever_is_about_to_wait_has_it_back() {
    type Get = fn(&RawPool) -> NonNull<u8>;
    let _watchdog = Watchdog::new("whoever_is_about_to_wait_has_it_back", || "a getter hangs".into());
    let ways: [Get; 5] = [
        |pool| pool.get().unwrap(),
        |pool| pool.try_get().unwrap(),
        |pool| wait_for(pool.get_async()).unwrap(),
        |pool| pool.get_event().sync().unwrap(),
        |pool| pool.get_many(1).unwrap()[0],
    ];
    for get in ways {
        let memory = arena(2);
        let pool = blocks_with(8, 2, &memory);
        let (kept, item) = (pool.get().unwrap(), pool.get().unwrap());
        put(&pool, item).unwrap();
        assert_eq!(pool.stats().cached, 1);
        assert_eq!(get(&pool), item);
        assert_eq!((pool.stats().cached, pool.stats().sweeps), (0, 1));
        put_all(&pool, [kept, item]);
        assert_rests(&pool, &memory);
    }
}

#[test]
fn a_put_serves_who_waits() {
    let _watchdog = Watchdog::new("a_put_serves_who_waits", || "a getter hangs".into());
    let memory = arena(2);
    let pool = blocks_with(8, 2, &memory);
    let held = pool.get_many(2).unwrap();
    thread::scope(|scope| {
        let waits = [(); 2].map(|()| scope.spawn(|| visit(&pool).unwrap()));
        until_waiting(&pool, 2);
        put_all(&pool, held);
        for waits in waits {
            waits.join().unwrap();
        }
    });
    assert_rests(&pool, &memory);
}

#[test]
fn while_scarce_nothing_is_put_there() {
    let memory = arena(2);
    let pool = blocks_with(8, 2, &memory);
    let both = pool.get_many(2).unwrap();
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    put_all(&pool, both);
    // Gets and puts, at rest: each counts.
    let puts = (1..CALM).take_while(|_| cached(&pool) == 0).count();
    assert!(puts > CALM / 4, "it forgot within {puts}");
    assert_eq!(cached(&pool), 1, "and it is over some time");
    assert_rests(&pool, &memory);
}

#[test]
fn a_drain_has_its_pages() {
    let memory = arena(8);
    let pool = blocks_with(4, 8, &memory);
    (0..8).for_each(|_| _ = visit(&pool));
    assert_eq!((pool.stats().cached, pool.stats().pages), (4, 5));
    assert_eq!(pool.drain(), 5);
    assert_rests(&pool, &memory);
}

#[test]
fn a_close_and_the_last_handle_give_its_pages_up() {
    for close in [true, false] {
        let memory = arena(8);
        let pool = blocks_with(4, 8, &memory);
        visit(&pool).unwrap();
        if close {
            pool.close();
            assert_eq!(memory.stats().free, 8);
        }
        drop(pool);
        assert_eq!(memory.stats().free, 8);
    }
}

#[test]
fn a_lowered_limit_has_its_pages() {
    let memory = arena(8);
    let pool = blocks_with(4, 8, &memory);
    (0..8).for_each(|_| _ = visit(&pool));
    pool.set_hard_limit(1).unwrap();
    assert_eq!((pool.stats().pages, pool.stats().cached), (1, 0));
    assert_rests(&pool, &memory);
}

/// Above low water somebody else's need goes first, and what is in quarantine is idle.
#[test]
fn whoever_waits_for_the_back_end_has_its_pages() {
    let _watchdog = Watchdog::new("whoever_waits_for_the_back_end_has_its_pages", || "it hangs".into());
    let memory = arena(4);
    let pool = blocks_with(4, 8, &memory);
    (0..4).for_each(|_| _ = visit(&pool));
    assert_eq!((memory.stats().free, pool.stats().cached), (0, 4));
    let span = memory.alloc(Shape::new(3).unwrap()).unwrap();
    memory.free(span).unwrap();
    assert_rests(&pool, &memory);
}

/// While somebody waits elsewhere for the same back-end, an item that is put is theirs.
#[test]
fn nothing_is_put_there_while_somebody_waits_for_the_back_end() {
    let _watchdog = Watchdog::new("nothing_is_put_there_while_somebody_waits", || "it hangs".into());
    let memory = arena(2);
    let pool = blocks_with(4, 2, &memory);
    let held = pool.get_many(2).unwrap();
    put_all(&pool, held);
    until_calm(&pool);
    let item = pool.get().unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| memory.alloc(Shape::new(2).unwrap()).unwrap());
        until_asked(&memory, 1);
        put(&pool, item).unwrap();
        memory.free(waits.join().unwrap()).unwrap();
    });
    assert_rests(&pool, &memory);
}

#[test]
fn beside_a_reserve_it_is_refused() {
    let refused = ConfigError::QuarantineAndReserve { reserve: 1 };
    let memory = arena(4);
    let builder = blocks(4).harden(Hardening::new().quarantine(2));
    assert_eq!(builder.clone().critical_reserve(1).build(memory.clone()).unwrap_err(), refused);
    assert!(refused.to_string().contains("what is in quarantine is no reserve"));
    let pool = builder.build(memory.clone()).unwrap();
    assert_eq!(pool.set_critical_reserve(1).unwrap_err(), refused);
    assert_eq!(pool.stats().critical_reserve, 0);
    pool.set_critical_reserve(0).unwrap();
    // The others go with one.
    let poisoned = blocks(4).critical_reserve(1).harden(Hardening::new().poison(true));
    assert_rests(&poisoned.build(memory.clone()).unwrap(), &memory);
}

#[test]
fn one_that_no_memory_holds_is_refused() {
    let error = blocks(4).harden(Hardening::new().quarantine(usize::MAX)).build(arena(4)).unwrap_err();
    assert_eq!(error, ConfigError::Quarantine(usize::MAX));
}
