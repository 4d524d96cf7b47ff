//! Puts of what is not out, and the two traces of each.

use std::ptr::NonNull;
use std::thread;

use kva::sync::Arc;
use pool::{Hardening, PutError, RawPool, ViolationKind};

use super::support::{arena, assert_rests, panics, put, put_all};
use super::world::{Told, got_by_alice, items, message, put_by_bob};

#[inline(never)]
fn put_by_carol(pool: &RawPool, item: NonNull<u8>) -> Result<(), PutError> {
    // SAFETY: it is not used after this. That it was put before is the bug.
    unsafe { pool.put(item) }
}

#[test]
fn a_second_put_is_told_with_the_first() {
    let (memory, told) = (arena(1), Told::default());
    let harden = told.by(Hardening::new().traces(true));
    let pool = items(1).name("twice").harden(harden).build(memory.clone()).unwrap();
    let item = got_by_alice(&pool);
    put_by_bob(&pool, item);
    let error = PutError::DoublePut(item.addr().get());
    assert_eq!(put_by_carol(&pool, item), Err(error));
    let told = told.take();
    assert_is!(&told[..], [(ViolationKind::BadPut(kind), _)] if *kind == error);
    let report = &told[0].1;
    assert!(report.starts_with(&format!("pool twice: double put of {item:p}\n")), "{report}");
    let places =
        ["put a second time:", "put_by_carol", "put first:", "put_by_bob", "been got before", "got_by_alice"];
    let at = places.map(|place| report.find(place).unwrap_or_else(|| panic!("no {place} in {report}")));
    assert!(at.is_sorted(), "{report}");
    assert_rests(&pool, &memory);
}

#[test]
fn by_default_it_panics_and_the_pool_is_as_it_was() {
    let memory = arena(1);
    let pool = items(1).harden(Hardening::new()).build(memory.clone()).unwrap();
    let item = pool.get().unwrap();
    put(&pool, item).unwrap();
    let report = message(|| put(&pool, item));
    assert!(report.contains("double put of"), "{report}");
    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.puts), (0, 16, 1));
    assert_rests(&pool, &memory);
}

#[test]
fn a_handler_that_panics_is_let_go_on() {
    let memory = arena(1);
    let harden = Hardening::new().poison(true).on_violation(|_| panic!("no more of this"));
    let pool = items(1).harden(harden).build(memory.clone()).unwrap();
    let item = pool.get().unwrap();
    put(&pool, item).unwrap();
    assert!(panics(|| put(&pool, item)));
    super::world::use_after_put(item, 0);
    assert!(panics(|| pool.get()));
    assert_eq!(pool.stats().out, 0);
    put_all(&pool, pool.get_many(16).unwrap());
    assert_rests(&pool, &memory);
}

#[test]
fn a_put_out_of_bounds_says_whose_item_it_is_in() {
    let (memory, told) = (arena(1), Told::default());
    let pool = items(1).harden(told.by(Hardening::new().traces(true))).build(memory.clone()).unwrap();
    let item = got_by_alice(&pool);
    // SAFETY: within the item.
    let inside = unsafe { item.add(8) };
    assert_is!(put_by_carol(&pool, inside), Err(PutError::NotAnItem { offset: 8, .. }));
    let report = told.take().remove(0).1;
    for place in ["is 8 bytes into an item", "put_by_carol", "its item was got last:", "got_by_alice"] {
        assert!(report.contains(place), "no {place} in {report}");
    }
    assert!(!report.contains("its item was put last"), "it never was: {report}");
    put(&pool, item).unwrap();
    assert_rests(&pool, &memory);
}

#[test]
fn a_foreign_put_says_where_it_is_from() {
    let (memory, told) = (arena(1), Told::default());
    let pool = items(1).harden(told.by(Hardening::new().traces(true))).build(memory.clone()).unwrap();
    assert_is!(put_by_carol(&pool, NonNull::from(&7).cast()), Err(PutError::Foreign(_)));
    let report = told.take().remove(0).1;
    assert!(report.contains("foreign pointer") && report.contains("put_by_carol"), "{report}");
    assert_rests(&pool, &memory);
}

/// Of two at the same time one has it, and the other is found out: without the claim both would.
#[test]
fn of_two_puts_at_the_same_time_one_is_found() {
    const ROUNDS: usize = 2000;
    let (memory, told) = (arena(1), Told::default());
    let harden = told.by(Hardening::new().poison(true).quarantine(4));
    let pool = Arc::new(items(1).harden(harden).build(memory.clone()).unwrap());
    for _ in 0..ROUNDS {
        let item = pool.get().unwrap();
        let address = item.expose_provenance().get();
        let other = pool.clone();
        let puts = thread::spawn(move || {
            let item = std::ptr::with_exposed_provenance_mut(address);
            put(&other, NonNull::new(item).unwrap()).is_ok()
        });
        let mine = put(&pool, item).is_ok();
        assert_ne!(mine, puts.join().unwrap(), "one of them");
    }
    assert_eq!(told.take().len(), ROUNDS);
    assert_eq!(pool.stats().puts, ROUNDS as u64);
    assert_rests(&*pool, &memory);
}

/// A pool without the knobs says what it ever said.
#[test]
fn a_pool_that_is_not_hardened_tells_nobody() {
    let memory = arena(1);
    let pool = items(1).build(memory.clone()).unwrap();
    let item = pool.get().unwrap();
    put(&pool, item).unwrap();
    assert_is!(put(&pool, item), Err(PutError::DoublePut(_)));
    assert_rests(&pool, &memory);
}

/// The limit goes up, and the tables with it: traces are kept of items past the first segment.
#[test]
fn traces_are_kept_of_what_a_raised_limit_allows() {
    let (memory, told) = (arena(4), Told::default());
    let pool = items(1).harden(told.by(Hardening::new().traces(true))).build(memory.clone()).unwrap();
    pool.set_hard_limit(4).unwrap();
    let all: Vec<_> = (0..64).map(|_| got_by_alice(&pool)).collect();
    for &item in &all {
        put_by_bob(&pool, item);
        assert!(put_by_carol(&pool, item).is_err());
        let report = told.take().remove(0).1;
        assert!(report.contains("put_by_bob") && report.contains("got_by_alice"), "{report}");
    }
    assert_rests(&pool, &memory);
}
