//! The arena on its own: threads asleep in it, and their deadlines.

use std::time::Duration;

use kva::sync::thread::spawn;
use kva::{AllocError, Arena};
use loom_tests::run::{known_bad, model};
use loom_tests::world::{arena, assert_arena_whole, one};

/// Under loom a deadline passes when loom wants.
const SOON: Duration = Duration::from_micros(50);

/// One sleeps, but not for ever, while one span is freed, and another comes then. What the impatient
/// one is granted in the last moment it keeps, and frees.
fn world(impatient: impl Fn(&Arena) + Copy + Send + 'static) {
    let arena = arena(1, 0);
    let others = arena.try_alloc(one()).unwrap();
    let first = {
        let arena = arena.clone();
        spawn(move || impatient(&arena))
    };
    arena.free(others).unwrap();
    arena.free(arena.alloc(one()).unwrap()).unwrap();
    first.join().unwrap();
    assert_arena_whole(&arena);
}

#[test]
fn a_deadline_against_a_grant() {
    model("arena/deadline_against_grant", || {
        world(|arena| match arena.alloc_timeout(one(), SOON) {
            Ok(span) => arena.free(span).unwrap(),
            Err(error) => assert!(matches!(error, AllocError::TimedOut)),
        });
    });
}

#[test]
fn a_grant_that_comes_too_late_is_dropped() {
    known_bad("arena/late_grant_dropped", "rest: a span was lost", || {
        world(|arena| {
            let _ = arena.alloc_timeout(one(), SOON);
        });
    });
}
