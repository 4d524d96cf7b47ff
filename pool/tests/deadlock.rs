//! Deadlocks of those who hold items and wait for more are found.

#![cfg(all(debug_assertions, not(loom)))]

use std::process::Command;
use std::sync::mpsc;
use std::thread;

use kva::{Arena, client, deadlock};
use pool::{ArenaPages, Backend, Classic};

mod support;
use support::stuck::*;
use support::*;

#[test]
fn two_who_get_from_two_pools_in_opposite_order() {
    let (left, right) = (pool("left", 1), pool("right", 1));
    let both_hold = Meeting::new(2);
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&left);
        let _closes_too = CloseOnPanic(&right);
        spawn_named(scope, "leftist", || hold_and_wait(&left, &right, &both_hold));
        spawn_named(scope, "rightist", || hold_and_wait(&right, &left, &both_hold));
        let clients = until_found("leftist");
        assert_eq!(clients.len(), 2, "{clients:?}");
        assert_blocked(&clients[0], "leftist", &[("pool left", 1)], "pool right");
        assert_blocked(&clients[1], "rightist", &[("pool right", 1)], "pool left");
        // As often as it is asked.
        assert_eq!(until_found("rightist"), clients);
        left.close();
        right.close();
    });
    assert_eq!(of("leftist"), []);
}

#[test]
fn one_who_waits_for_what_it_holds() {
    let pool = pool("mirror", 2);
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        spawn_named(scope, "narcissus", || {
            let _client = client::thread();
            let items = [pool.get().unwrap(), pool.try_get().unwrap()];
            assert!(pool.get().is_err());
            put_all(&pool, items);
        });
        let clients = until_found("narcissus");
        assert_eq!(clients.len(), 1, "{clients:?}");
        assert_blocked(&clients[0], "narcissus", &[("pool mirror", 2)], "pool mirror");
        pool.close();
    });
}

/// A third has an item of one of the pools. While it runs there is no deadlock; as soon as it waits
/// too there is one of three.
#[test]
fn one_who_runs_keeps_all_from_being_stuck() {
    let (left, right) = (pool("shared", 2), pool("single", 1));
    let (all_hold, (goes_on, go_on)) = (Meeting::new(3), mpsc::channel::<()>());
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&left);
        let _closes_too = CloseOnPanic(&right);
        spawn_named(scope, "one", || hold_and_wait(&left, &right, &all_hold));
        spawn_named(scope, "two", || hold_and_wait(&right, &left, &all_hold));
        let (left, all_hold) = (&left, &all_hold);
        spawn_named(scope, "three", move || {
            let _client = client::thread();
            let item = left.get().unwrap();
            all_hold.wait();
            go_on.recv().unwrap();
            wait_in_vain(left);
            put(left, item).unwrap();
        });
        until_waiting(left, 1);
        until_waiting(&right, 1);
        assert_never_found("one");
        goes_on.send(()).unwrap();
        let clients = until_found("one");
        let names: Vec<_> = clients.iter().map(|client| client.name.as_str()).collect();
        assert_eq!(names, ["one", "three", "two"]);
        left.close();
        right.close();
    });
}

#[test]
fn a_part_of_a_thread_has_its_own_name() {
    let (outer, inner) = (pool("outer", 1), pool("inner", 1));
    let both_hold = Meeting::new(2);
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&outer);
        let _closes_too = CloseOnPanic(&inner);
        spawn_named(scope, "worker", || {
            let _request = client::enter("request");
            let of_request = outer.get().unwrap();
            both_hold.wait();
            // The request is stuck as its part is.
            let _parser = client::enter("parser");
            wait_in_vain(&inner);
            put(&outer, of_request).unwrap();
        });
        spawn_named(scope, "another", || {
            let _client = client::enter("reply");
            let of_reply = inner.get().unwrap();
            both_hold.wait();
            wait_in_vain(&outer);
            put(&inner, of_reply).unwrap();
        });
        let clients = until_found("request");
        assert_eq!(clients.len(), 2, "{clients:?}");
        assert_blocked(&clients[0], "reply", &[("pool inner", 1)], "pool outer");
        assert_blocked(&clients[1], "request", &[("pool outer", 1)], "pool inner");
        outer.close();
        inner.close();
    });
}

/// But to hold one reservation and wait for another is as bad as anything.
#[test]
fn two_reservations_that_overlap() {
    let pool = objects(3).name("overlap").build(arena(3)).unwrap();
    let both_hold = Meeting::new(2);
    let run = || {
        let _client = client::thread();
        let one = pool.request().reserve(1).unwrap();
        both_hold.wait();
        // One is left, of use to neither.
        assert!(pool.request().reserve(2).is_err());
        drop(one);
    };
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        spawn_named(scope, "greedy", run);
        spawn_named(scope, "greedier", run);
        assert_eq!(until_found("greedy").len(), 2);
        pool.close();
    });
}

/// A getter waits for a page, which another's span is in the way of, who waits for a page that the
/// getter's item keeps.
fn a_pool_and_its_arena<B: Backend>(name: &str, of_arena: impl FnOnce(Arena) -> B) {
    let (getter, spanner) = (format!("getter of {name}"), format!("spanner of {name}"));
    let arena = arena(2);
    let pool = named(name, 4).build(of_arena(arena.clone())).unwrap();
    let both_hold = Meeting::new(2);
    thread::scope(|scope| {
        let _closes_arena = ArenaCloses(&arena);
        let _closes = CloseOnPanic(&pool);
        spawn_named(scope, &getter, || hold_an_item_and_wait_for_a_span(&arena, &pool, &both_hold));
        spawn_named(scope, &spanner, || hold_a_span_and_wait_for_an_item(&arena, &pool, &both_hold));
        let clients = until_found(&getter);
        assert_eq!(clients.len(), 2, "{clients:?}");
        let label = format!("pool {name}");
        assert_eq!((clients[0].holds[0].of.as_str(), clients[0].holds.len()), (label.as_str(), 1));
        let its_arena = &clients[0].waits_for;
        assert!(its_arena.starts_with("arena #"), "{clients:?}");
        assert_eq!((&clients[1].holds[0].of, clients[1].holds[0].amount), (its_arena, 1));
        arena.close();
        pool.close();
    });
}

#[test]
fn a_pool_and_the_arena_that_its_pages_come_from() {
    a_pool_and_its_arena("paged", |arena| arena);
}

#[test]
fn a_pool_whose_getter_sleeps_in_the_arena() {
    a_pool_and_its_arena("classic", |arena| Classic::new(ArenaPages(arena)));
}

/// A client of so many pools is not known to hold of all of them.
#[test]
fn what_there_is_no_room_to_note_is_counted() {
    let pools: Vec<_> = (0..17).map(|number| pool(&format!("crowd {number}"), 1)).collect();
    let _client = client::enter("collector");
    let before = deadlock::forgotten();
    let items: Vec<_> = pools.iter().map(|pool| pool.get().unwrap()).collect();
    assert_eq!(deadlock::forgotten(), before + 1);
    for (pool, item) in pools.iter().zip(items) {
        put(pool, item).unwrap();
    }
    let last = &pools[16];
    let item = last.get().unwrap();
    assert_eq!(deadlock::forgotten(), before + 1, "there is room again");
    put(last, item).unwrap();
}

/// Set in a process of which all that it says is read.
const ALONE: &str = "POOL_DEADLOCK_ALONE";

/// Stuck once, and others that find them stuck.
#[test]
fn each_is_reported_once() {
    if std::env::var_os(ALONE).is_some() {
        return be_reported();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "each_is_reported_once", "--nocapture"]).env(ALONE, "1");
    let output = child.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let lines: Vec<_> = said.lines().skip_while(|line| !line.starts_with("deadlock: ")).take(3).collect();
    assert_eq!(said.matches("deadlock: ").count(), 2, "{said}");
    assert_eq!(lines.len(), 3, "{said}");
    for line in [
        "  leftist holds 1 of pool left, and waits for pool right",
        "  rightist holds 1 of pool right, and waits for pool left",
    ] {
        assert_eq!(said.matches(line).count(), 2, "{said}");
    }
}

/// Twice, with somebody who holds something and waits behind them.
fn be_reported() {
    for _ in 0..2 {
        let (left, right, other) = (pool("left", 1), pool("right", 1), pool("other", 1));
        let both_hold = Meeting::new(2);
        thread::scope(|scope| {
            let _closes = CloseOnPanic(&left);
            let _closes_too = CloseOnPanic(&right);
            spawn_named(scope, "leftist", || hold_and_wait(&left, &right, &both_hold));
            spawn_named(scope, "rightist", || hold_and_wait(&right, &left, &both_hold));
            until_found("leftist");
            spawn_named(scope, "behind", || hold_and_wait(&other, &left, &Meeting::new(1)));
            until_waiting(&left, 2);
            assert_eq!(of("behind"), [], "it is in no deadlock, but behind one");
            left.close();
            right.close();
        });
    }
}

/// In a process whose standard error is closed.
#[test]
fn nobody_need_listen() {
    if std::env::var_os(ALONE).is_some() {
        return be_reported();
    }
    let mut child = Command::new("sh");
    let run = "exec \"$0\" --exact nobody_need_listen 2>&-";
    let status = child.args(["-c", run]).arg(std::env::current_exe().unwrap()).env(ALONE, "1").status();
    assert!(status.unwrap().success());
}
