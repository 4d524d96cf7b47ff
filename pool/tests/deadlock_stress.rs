//! Clients that get in one order from pools of one arena are never deadlocked, however they wait, and
//! are never said to be: neither by those who fall asleep nor by who looks on.

#![cfg(all(debug_assertions, not(loom)))]

use std::process::Command;
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use kva::{Shape, client, deadlock};

mod support;
use support::*;

const CLIENTS: usize = 6;
const ROUNDS: usize = 2000;

/// Set in a process of which all that it says is read.
const ALONE: &str = "POOL_DEADLOCK_ALONE";

#[test]
fn those_who_keep_an_order_are_in_none() {
    if std::env::var_os(ALONE).is_some() {
        return run();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "those_who_keep_an_order_are_in_none", "--nocapture"]).env(ALONE, "1");
    let output = child.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !said.contains("deadlock: "), "{said}");
}

fn run() {
    // Enough for all pages and one more, so that who has got from both pools can go on.
    let arena = arena(4);
    let first = blocks(2).name("first").build(arena.clone()).unwrap();
    let second = objects(1).name("second").build(arena.clone()).unwrap();
    let (ended, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (arena, first, second, ended) = (&arena, &first, &second, &ended);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn(move || {
                    let _client = client::enter(&format!("client {number}"));
                    let mut random = Random::new(number);
                    for _ in 0..ROUNDS {
                        let items = match random.below(4) {
                            0 => Vec::new(),
                            1 => first.get_many(2).unwrap(),
                            2 => first
                                .get_timeout(Duration::from_micros(random.below(100)))
                                .into_iter()
                                .collect(),
                            _ => vec![first.get().unwrap()],
                        };
                        let _part = (random.below(2) == 0).then(|| client::enter("part"));
                        let object = (random.below(3) > 0).then(|| second.get().unwrap());
                        let span =
                            (random.below(3) > 0).then(|| arena.alloc(Shape::new(1).unwrap()).unwrap());
                        if random.below(8) == 0 {
                            thread::yield_now();
                        }
                        if let Some(span) = span {
                            arena.free(span).unwrap();
                        }
                        drop(object);
                        put_all(first, items);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !ended.load(SeqCst) {
                assert_eq!(deadlock::check(), []);
                looks.fetch_add(1, SeqCst);
            }
        });
        let panicked = clients.into_iter().filter_map(|client| client.join().err()).count();
        ended.store(true, SeqCst);
        assert_eq!(panicked, 0);
    });
    assert!(looks.load(SeqCst) > 0);
    second.drain();
    assert_rests(first, arena);
}
