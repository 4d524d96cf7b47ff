//! Nobody is said to be in a deadlock who is in none, or of whom it is not known.

#![cfg(all(debug_assertions, not(loom)))]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kva::client;
use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use pool::choose::choose;
use pool::{Growers, Pool};

mod support;
use support::stuck::*;
use support::*;

/// Longer than any test takes.
const AGES: Duration = Duration::from_hours(1);

#[test]
fn one_who_would_not_wait_for_ever_is_in_none() {
    let (left, right) = (pool("early", 1), pool("late", 1));
    let both_hold = Meeting::new(2);
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&left);
        let _closes_too = CloseOnPanic(&right);
        spawn_named(scope, "eternal", || hold_and_wait(&left, &right, &both_hold));
        spawn_named(scope, "mortal", || {
            let _client = client::thread();
            let item = right.get().unwrap();
            both_hold.wait();
            let late = left.get_timeout(AGES);
            put(&right, item).unwrap();
            if let Ok(item) = late {
                put(&left, item).unwrap();
            }
        });
        until_waiting(&left, 1);
        until_waiting(&right, 1);
        assert_never_found("eternal");
        left.close();
        right.close();
    });
}

/// Nor one who waits for another pool at the same time.
#[test]
fn one_who_waits_for_any_of_several_is_in_none() {
    let (own, other) = (pool("own", 1), pool("another", 1));
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&own);
        let _closes_too = CloseOnPanic(&other);
        let elsewhere = other.get().unwrap();
        spawn_named(scope, "chooser", || {
            let _client = client::thread();
            let item = own.get().unwrap();
            let elsewhere = choose([own.get_event(), other.get_event()]).sync().unwrap();
            put(&other, elsewhere).unwrap();
            put(&own, item).unwrap();
        });
        until_waiting(&own, 1);
        until_waiting(&other, 1);
        assert_never_found("chooser");
        put(&other, elsewhere).unwrap();
    });
}

/// Nor with a time of its own to wait for a page.
#[test]
fn one_who_would_not_wait_for_a_page_for_ever_is_in_none() {
    let pool = pool("pageless", 1);
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        spawn_named(scope, "impatient", || {
            let _client = client::thread();
            let item = pool.get().unwrap();
            assert!(pool.request().grow_timeout(AGES).get().is_err());
            put(&pool, item).unwrap();
        });
        until_waiting(&pool, 1);
        assert_never_found("impatient");
        pool.close();
    });
}

/// Whoever has it, has it outside of any client: perhaps elsewhere by now.
#[test]
fn what_is_nobodys_may_be_put() {
    let pool = pool("commons", 2);
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        spawn_named(scope, "commoner", || {
            let of_nobody = pool.get().unwrap();
            let _client = client::thread();
            let of_mine = pool.get().unwrap();
            assert!(pool.get().is_err());
            put_all(&pool, [of_nobody, of_mine]);
        });
        until_waiting(&pool, 1);
        assert_never_found("commoner");
        pool.close();
    });
}

#[test]
fn what_a_client_that_was_left_has_is_nobodys() {
    let pool = pool("estate", 1);
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        spawn_named(scope, "heir", || {
            let _client = client::thread();
            let item = {
                let _ancestor = client::enter("ancestor");
                pool.get().unwrap()
            };
            assert!(pool.get().is_err());
            put(&pool, item).unwrap();
        });
        until_waiting(&pool, 1);
        assert_never_found("heir");
        assert_eq!(of("ancestor"), []);
        pool.close();
    });
}

/// Futures go on where they are polled next.
#[test]
fn what_a_future_got_is_nobodys() {
    let pool = pool("future", 1);
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        spawn_named(scope, "poller", || {
            let _client = client::thread();
            let item = wait_for(pool.get_async()).unwrap();
            assert!(pool.get().is_err());
            put(&pool, item).unwrap();
        });
        until_waiting(&pool, 1);
        assert_never_found("poller");
        pool.close();
    });
}

/// A future may be dropped while it waits.
#[test]
fn a_future_that_waits_is_in_none() {
    let pool = pool("awaited", 1);
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        spawn_named(scope, "awaiter", || {
            let _client = client::thread();
            let item = pool.get().unwrap();
            assert!(wait_for(pool.get_async()).is_err());
            put(&pool, item).unwrap();
        });
        until_waiting(&pool, 1);
        assert_never_found("awaiter");
        pool.close();
    });
}

/// A pool whose items travel is known by the first that does, although a client said otherwise.
#[test]
fn what_is_put_elsewhere_than_it_was_got_is_not_tracked_again() {
    let pool = objects(1).name("travel").build(arena(1)).unwrap();
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        spawn_named(scope, "sender", || {
            let _client = client::thread();
            let sent = pool.get_owned().unwrap();
            thread::spawn(move || drop(sent)).join().unwrap();
            let kept = pool.get().unwrap();
            assert!(pool.get().is_err());
            drop(kept);
        });
        until_waiting(&pool, 1);
        assert_never_found("sender");
        pool.close();
    });
}

/// All at once, or nothing: who waits holds nothing.
#[test]
fn reservations_are_in_none() {
    let pool = objects(2).name("reserved").build(arena(2)).unwrap();
    let (holds, held) = mpsc::channel();
    let (frees, freed) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let pool = &pool;
        spawn_named(scope, "first in", move || {
            let _client = client::thread();
            let both = pool.request().reserve(2).unwrap();
            holds.send(()).unwrap();
            freed.recv().unwrap();
            drop(both);
        });
        held.recv().unwrap();
        spawn_named(scope, "second in", move || {
            let _client = client::thread();
            drop(pool.request().reserve(2).unwrap());
        });
        until_waiting(pool, 1);
        assert_never_found("second in");
        assert_eq!(of("first in"), []);
        frees.send(()).unwrap();
    });
    assert_eq!(pool.stats().out, 0);
}

/// What is free is of use to the second in line when the first gives up.
#[test]
fn one_in_front_who_would_not_wait_for_ever_leaves_what_is_free() {
    let pool = named("queue", 2).bypass(0).build(arena(2)).unwrap();
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        let (in_line, is_in_line) = mpsc::channel::<()>();
        let pool = &pool;
        spawn_named(scope, "behind", move || {
            let _client = client::thread();
            let item = pool.get().unwrap();
            is_in_line.recv().unwrap();
            assert!(pool.get().is_err());
            put(pool, item).unwrap();
        });
        until(|| pool.stats().out == 1);
        spawn_named(scope, "in front", move || {
            assert!(pool.request().timeout(AGES).get_many(2).is_err());
        });
        until_waiting(pool, 1);
        in_line.send(()).unwrap();
        until_waiting(pool, 2);
        assert_never_found("behind");
        pool.close();
    });
}

/// Another pool has a page of that arena, and somebody has its item who may put it.
#[test]
fn another_pool_of_the_arena_may_give_a_page_back() {
    let arena = arena(3);
    let pool = named("poor", 4).build(arena.clone()).unwrap();
    let rich = named("rich", 1).build(arena.clone()).unwrap();
    let kept = rich.get().unwrap();
    let all_hold = Meeting::new(2);
    thread::scope(|scope| {
        let _closes_arena = ArenaCloses(&arena);
        let _closes = CloseOnPanic(&pool);
        spawn_named(scope, "poor getter", || hold_an_item_and_wait_for_a_span(&arena, &pool, &all_hold));
        spawn_named(scope, "poor spanner", || hold_a_span_and_wait_for_an_item(&arena, &pool, &all_hold));
        until_asked(&arena, 2);
        assert_never_found("poor getter");
        arena.close();
        pool.close();
    });
    put(&rich, kept).unwrap();
}

/// What is being made may come, however long it takes.
#[test]
fn a_factory_may_answer() {
    let (goes_on, go_on) = mpsc::channel::<()>();
    let go_on = Mutex::new(go_on);
    let made = AtomicU32::new(0);
    let create = move || {
        if made.fetch_add(1, SeqCst) > 0 {
            let _ = go_on.lock().recv();
        }
        Ok::<_, std::convert::Infallible>(())
    };
    let pool = Pool::from_factory(2, Growers::new(1, create)).name("made").build().unwrap();
    thread::scope(|scope| {
        spawn_named(scope, "customer", || {
            let _client = client::thread();
            let one = pool.get().unwrap();
            let other = pool.get();
            drop((one, other));
        });
        until_waiting(&pool, 1);
        assert_never_found("customer");
        drop(goes_on);
    });
    // Where nothing more is made, it is as with any pool.
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        spawn_named(scope, "other customer", || {
            let _client = client::thread();
            let items = [pool.get().unwrap(), pool.get().unwrap()];
            assert!(pool.get().is_err());
            drop(items);
        });
        assert_eq!(until_found("other customer").len(), 1);
        pool.close();
    });
}

/// What a constructor gets goes with its object, which is somebody else's next.
#[test]
fn what_an_object_is_made_of_is_nobodys() {
    let parts = Arc::new(pool("parts", 1));
    let of_parts = parts.clone();
    let pool = Pool::builder(1, move || of_parts.get().unwrap().addr()).build(arena(1)).unwrap();
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&*parts);
        spawn_named(scope, "assembler", || {
            let _client = client::thread();
            drop(pool.get().unwrap());
            assert!(parts.get().is_err());
        });
        until_waiting(&*parts, 1);
        assert_never_found("assembler");
        parts.close();
    });
}
