//! Which item is lent is drawn.

use kva::Arena;
use pool::{Hardening, RawPool};

use super::support::{QUANTUM, arena, assert_rests, blocks, put, put_all, visit};
use super::world::items;

/// The order of a fresh page, as numbers of items.
fn fresh(pool: &RawPool) -> Vec<usize> {
    let all = pool.get_many(16).unwrap();
    let order = all.iter().map(|item| item.addr().get() % QUANTUM / 256).collect();
    put_all(pool, all);
    order
}

fn drawn(memory: &Arena, seed: u64) -> RawPool {
    items(1).harden(Hardening::new().random_order(true).seed(seed)).build(memory.clone()).unwrap()
}

#[test]
fn a_fresh_page_is_lent_in_an_order_that_its_seed_tells() {
    let memory = arena(1);
    let order = |seed| {
        let pool = drawn(&memory, seed);
        let order = fresh(&pool);
        assert_rests(&pool, &memory);
        order
    };
    assert_eq!(order(1), order(1), "the same seed");
    assert_ne!(order(1), order(2), "another");
    let ascending: Vec<_> = (0..16).collect();
    assert_ne!(order(1), ascending);
    let mut sorted = order(1);
    sorted.sort_unstable();
    assert_eq!(sorted, ascending, "each once");
    // Not without the knob.
    let plain = items(1).harden(Hardening::new()).build(memory.clone()).unwrap();
    assert_eq!(fresh(&plain), ascending);
}

/// As often as by chance, of 16, and not each time as from a stack.
#[test]
fn what_was_put_last_is_not_lent_next() {
    let again = |pool: &RawPool| {
        let mut last = visit(pool).unwrap();
        (0..160).filter(|_| std::mem::replace(&mut last, visit(pool).unwrap()) == last).count()
    };
    let memory = arena(1);
    let pool = drawn(&memory, 5);
    let times = again(&pool);
    assert!(times > 0 && times < 40, "{times} of 160");
    drop(pool);
    let plain = items(1).harden(Hardening::new()).build(memory).unwrap();
    assert_eq!(again(&plain), 160);
}

/// Pages of one item have no order inside. Which of them is next is drawn.
#[test]
fn pages_of_one_item_are_lent_from_either_end() {
    let memory = arena(32);
    let harden = Hardening::new().random_order(true).seed(3);
    let pool = blocks(32).harden(harden).build(memory.clone()).unwrap();
    let all = pool.get_many(32).unwrap();
    put_all(&pool, all.clone());
    let again = pool.get_many(32).unwrap();
    let reversed: Vec<_> = all.iter().rev().copied().collect();
    assert!(again != all && again != reversed, "neither first in nor last in");
    put_all(&pool, again);
    assert_rests(&pool, &memory);
}

/// What leaves quarantine is drawn too.
#[test]
fn what_leaves_quarantine_is_drawn() {
    let leaves = |random| {
        let memory = arena(32);
        let harden = Hardening::new().quarantine(8).random_order(random).seed(9);
        let pool = blocks(32).harden(harden).build(memory.clone()).unwrap();
        let all = pool.get_many(32).unwrap();
        // 8 of 16 stay: the others are free, and so is what was put first, in turn.
        let place = |address: usize| all.iter().position(|item| item.addr().get() == address).unwrap();
        for &item in &all[..16] {
            put(&pool, item).unwrap();
        }
        assert_eq!(pool.stats().cached, 8);
        let mut left: Vec<_> = (0..8).map(|_| pool.try_get().unwrap()).collect();
        let mut order: Vec<_> = left.iter().map(|item| place(item.addr().get())).collect();
        order.sort_unstable();
        left.extend(&all[16..]);
        left.extend((0..8).map(|_| pool.get().unwrap()));
        put_all(&pool, left);
        assert_rests(&pool, &memory);
        order
    };
    let oldest: Vec<_> = (0..8).collect();
    assert_eq!(leaves(false), oldest);
    assert_ne!(leaves(true), oldest);
}
