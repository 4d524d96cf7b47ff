//! Where each thread is a client. A test binary of its own, since there is no way back.

#![cfg(all(debug_assertions, not(loom)))]

use std::thread;

use kva::{client, deadlock};
mod support;
use support::stuck::*;
use support::*;

#[test]
fn threads_are_clients_by_their_names_or_numbers() {
    let [left, right] = ["left", "right"].map(|name| blocks(1).name(name).build(arena(1)).unwrap());
    let both_hold = Meeting::new(2);
    let waits = |name: &str| {
        let cycles = deadlock::check();
        cycles.iter().flat_map(|cycle| &cycle.clients).any(|client| client.name == name)
    };
    thread::scope(|scope| {
        client::each_thread();
        let leftist = thread::Builder::new().name("leftist".to_owned());
        leftist.spawn_scoped(scope, || hold_and_wait_as_is(&left, &right, &both_hold)).unwrap();
        let rightist = scope.spawn(|| hold_and_wait_as_is(&right, &left, &both_hold));
        let number = format!("{:?}", rightist.thread().id());
        until(|| waits("leftist"));
        assert!(waits(&number), "{:?}", deadlock::check());
        left.close();
        right.close();
    });
    until(|| !waits("leftist"));

    // What a thread has that ended is nobody's, wherever it is.
    let pool = objects(1).name("estate").build(arena(1)).unwrap();
    thread::scope(|scope| {
        let item = scope.spawn(|| pool.get().unwrap()).join().unwrap();
        let heir = thread::Builder::new().name("heir".to_owned());
        heir.spawn_scoped(scope, || assert!(pool.get().is_err())).unwrap();
        until_waiting(&pool, 1);
        assert!(!waits("heir"));
        pool.close();
        drop(item);
    });
}
