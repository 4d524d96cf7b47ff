//! What is put is filled, and looked at when it is got.

use std::alloc::Layout;
use std::pin::pin;
use std::ptr::NonNull;
use std::time::Duration;

use kva::sync::{Arc, Mutex};
use pool::pieces::PieceBuf;
use pool::{Hardening, RawPool, Violation, ViolationKind};

use super::support::{arena, assert_rests, put, put_all, wait_for};
use super::world::{Told, got_by_alice, items, message, put_by_bob, use_after_put};

fn byte(item: NonNull<u8>, offset: usize) -> u8 {
    // SAFETY: within the item.
    let byte = unsafe { item.add(offset) };
    // SAFETY: nobody else is at it, and it was filled.
    unsafe { byte.read() }
}

#[test]
fn what_is_put_is_filled() {
    let memory = arena(1);
    let pool = items(1).harden(Hardening::new().poison(true)).build(memory.clone()).unwrap();
    let item = pool.get().unwrap();
    // SAFETY: it is ours.
    unsafe { item.write_bytes(7, 256) };
    put(&pool, item).unwrap();
    assert!((0..256).all(|offset| byte(item, offset) == 0x6b));
    assert_rests(&pool, &memory);
}

#[test]
fn what_is_not_poisoned_is_left_as_it_was() {
    let memory = arena(1);
    let pool = items(1).harden(Hardening::new().traces(true)).build(memory.clone()).unwrap();
    let item = pool.get().unwrap();
    // SAFETY: it is ours.
    unsafe { item.write_bytes(7, 256) };
    put(&pool, item).unwrap();
    assert!((0..256).all(|offset| byte(item, offset) == 7));
    assert_rests(&pool, &memory);
}

#[test]
fn only_the_front_is_filled_and_looked_at() {
    let (memory, told) = (arena(1), Told::default());
    let harden = told.by(Hardening::new().poison_first(100));
    let pool = items(1).harden(harden).build(memory.clone()).unwrap();
    let item = pool.get().unwrap();
    // SAFETY: it is ours.
    unsafe { item.write_bytes(7, 256) };
    put(&pool, item).unwrap();
    assert_eq!([99, 100].map(|offset| byte(item, offset)), [0x6b, 7]);
    use_after_put(item, 100);
    put_all(&pool, [pool.get().unwrap()]);
    assert_eq!(told.take(), []);
    use_after_put(item, 99);
    put_all(&pool, [pool.get().unwrap()]);
    assert_is!(&told.take()[..], [(ViolationKind::UseAfterPut { offset: 99, found: 1, bytes: 1 }, _)]);
    assert_rests(&pool, &memory);
}

/// Fresh pages hold whatever their last owner left.
#[test]
fn what_was_never_put_is_not_looked_at() {
    for order in [false, true] {
        let (memory, told) = (arena(2), Told::default());
        let harden = told.by(Hardening::new().poison(true).random_order(order).seed(1));
        let pool = items(2).harden(harden).build(memory.clone()).unwrap();
        for _ in 0..2 {
            let all = pool.get_many(32).unwrap();
            assert_eq!(told.take(), [], "nothing of it was here before");
            for &item in &all {
                // SAFETY: it is ours.
                unsafe { item.write_bytes(7, 256) };
            }
            put_all(&pool, all);
            pool.drain();
        }
        assert_rests(&pool, &memory);
    }
}

#[test]
fn a_report_says_what_changed_and_names_both() {
    let memory = arena(1);
    let harden = Hardening::new().poison(true).traces(true);
    let pool = items(1).name("poisoned").harden(harden).build(memory.clone()).unwrap();
    let item = got_by_alice(&pool);
    put_by_bob(&pool, item);
    use_after_put(item, 8);
    use_after_put(item, 200);
    let report = message(|| pool.get());
    let start =
        format!("pool poisoned: use after put of {item:p}: 2 bytes changed, from byte 8 on, which is 0x01");
    assert!(report.starts_with(&start), "{report}");
    let places = [
        "found as it was got:",
        "a_report_says",
        "it was put:",
        "put_by_bob",
        "it had been got",
        "got_by_alice",
    ];
    let at = places.map(|place| report.find(place).unwrap_or_else(|| panic!("no {place} in {report}")));
    assert!(at.is_sorted(), "{report}");
    assert!(!report.contains("pool::"), "of the pool's own calls nobody asked: {report}");
    // P5: as if the get had not been, and filled again.
    assert_eq!(pool.stats().out, 0);
    put_all(&pool, pool.get_many(16).unwrap());
    assert_rests(&pool, &memory);
}

#[test]
fn without_traces_a_report_says_that_there_are_none() {
    let pool = items(1).harden(Hardening::new().poison(true)).build(arena(1)).unwrap();
    let item = pool.get().unwrap();
    put(&pool, item).unwrap();
    use_after_put(item, 0);
    let report = message(|| pool.get());
    assert!(report.ends_with("the pool keeps no traces, so who did it is not known"), "{report}");
}

/// All of several go back if one was spoilt, and one more panic later they are as they were.
#[test]
fn if_one_of_several_was_used_all_go_back() {
    let memory = arena(1);
    let pool = items(1).harden(Hardening::new().poison(true)).build(memory.clone()).unwrap();
    let all = pool.get_many(16).unwrap();
    let seventh = all[7];
    put_all(&pool, all);
    use_after_put(seventh, 3);
    assert!(message(|| pool.get_many(16)).contains("from byte 3 on"));
    assert_eq!(pool.stats().out, 0);
    put_all(&pool, pool.get_many(16).unwrap());
    assert_rests(&pool, &memory);
}

/// What goes back is filled again, so whatever was wrong with any of several is told now or never.
#[test]
fn each_of_several_that_was_used_is_told() {
    let memory = arena(1);
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = {
        let told = told.clone();
        move |violation: &Violation<'_>| {
            told.lock().push((violation.item().unwrap(), violation.kind()));
            panic!("number {}", told.lock().len());
        }
    };
    let harden = Hardening::new().poison(true).traces(true).on_violation(tell);
    let pool = items(1).harden(harden).build(memory.clone()).unwrap();
    let all = pool.get_many(16).unwrap();
    let spoilt = [all[2], all[7], all[15]];
    put_all(&pool, all);
    for (offset, item) in spoilt.into_iter().enumerate() {
        use_after_put(item, offset);
    }
    assert_eq!(message(|| pool.get_many(16)), "number 1", "the first goes on");
    let mut told = std::mem::take(&mut *told.lock());
    told.sort_by_key(|(item, _)| *item);
    let as_it_was_used = |(offset, item): (usize, NonNull<u8>)| {
        (item.addr().get(), ViolationKind::UseAfterPut { offset, found: 1, bytes: 1 })
    };
    let mut expected: Vec<_> = spoilt.into_iter().enumerate().map(as_it_was_used).collect();
    expected.sort_by_key(|(item, _)| *item);
    assert_eq!(told, expected);
    assert_eq!(pool.stats().out, 0);
    put_all(&pool, pool.get_many(16).unwrap());
    assert_rests(&pool, &memory);
}

/// Whichever way an item is got.
#[test]
fn every_way_to_get_finds_it() {
    type Get = fn(&RawPool);
    fn puts(pool: &RawPool, item: NonNull<u8>) {
        put(pool, item).unwrap();
    }
    let ways: &[(&str, Get)] = &[
        ("get", |pool| puts(pool, pool.get().unwrap())),
        ("try_get", |pool| puts(pool, pool.try_get().unwrap())),
        ("get_timeout", |pool| puts(pool, pool.get_timeout(Duration::MAX).unwrap())),
        ("get_many", |pool| put_all(pool, pool.get_many(1).unwrap())),
        ("get_async", |pool| puts(pool, wait_for(pool.get_async()).unwrap())),
        ("get_event", |pool| puts(pool, pool.get_event().sync().unwrap())),
        ("get_event, a task", |pool| puts(pool, wait_for(pin!(pool.get_event().into_future())).unwrap())),
        ("local", |pool| puts(pool, pool.local().get().unwrap())),
        ("local, try_get", |pool| puts(pool, pool.local().try_get().unwrap())),
        ("pieces", |pool| drop(PieceBuf::with_capacity(pool, 1).unwrap())),
        ("pieces, now", |pool| drop(PieceBuf::try_with_capacity(pool, 1).unwrap())),
        ("pieces, a task", |pool| drop(wait_for(pool.request().get_pieces_async(1)).unwrap())),
        #[cfg(feature = "bytes")]
        ("buffer", |pool| drop(pool.get_buffer().unwrap())),
        #[cfg(feature = "allocator-api2")]
        ("allocator", |pool| drop(allocator_api2::boxed::Box::new_in(1_u8, pool.clone()))),
    ];
    let (memory, told) = (arena(1), Told::default());
    let harden = told.by(Hardening::new().poison(true));
    let pool = RawPool::builder(Layout::from_size_align(4096, 8).unwrap(), 1).harden(harden);
    let pool = pool.build(memory.clone()).unwrap();
    put_all(&pool, [pool.get().unwrap()]);
    for (way, get) in ways {
        let item = pool.get().unwrap();
        put(&pool, item).unwrap();
        assert_eq!(told.take(), [], "{way}");
        use_after_put(item, 5);
        get(&pool);
        assert_is!(&told.take()[..], [(ViolationKind::UseAfterPut { offset: 5, .. }, _)]);
        // It was filled anew by whatever put it.
        assert_eq!(byte(item, 5), 0x6b, "{way}");
    }
    assert_rests(&pool, &memory);
}

/// A task that is dropped after it was served: nobody had the item, and it is good for the next.
#[test]
fn what_was_served_in_the_last_moment_goes_back_filled() {
    let (memory, told) = (arena(1), Told::default());
    let harden = told.by(Hardening::new().poison(true));
    let pool = RawPool::builder(Layout::new::<[u8; 4096]>(), 1).harden(harden);
    let pool = pool.build(memory.clone()).unwrap();
    let item = pool.get().unwrap();
    {
        let mut getter = pin!(pool.get_async());
        assert!(super::support::poll_once(getter.as_mut()).is_pending());
        put(&pool, item).unwrap();
    }
    put_all(&pool, [pool.get().unwrap()]);
    assert_eq!(told.take(), []);
    assert_rests(&pool, &memory);
}
