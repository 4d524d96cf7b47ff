//! The arena on its own: threads asleep in it, their deadlines, and its close.

use std::time::Duration;

use kva::sync::thread::spawn;
use kva::{AllocError, Arena};
use loom_tests::run::{known_bad, model};
use loom_tests::world::{arena, assert_arena_whole, one};

/// Under loom a deadline passes when loom wants.
const SOON: Duration = Duration::from_micros(50);

/// Two sleep, one of them not for ever, while one span is freed. What the impatient one is
/// granted in the last moment it keeps, and frees.
fn world(impatient: impl Fn(&Arena) + Copy + Send + 'static) {
    let arena = arena(1, 0);
    let others = arena.try_alloc(one()).unwrap();
    let first = {
        let arena = arena.clone();
        spawn(move || impatient(&arena))
    };
    let second = {
        let arena = arena.clone();
        spawn(move || arena.alloc(one()).map(|span| arena.free(span).unwrap()))
    };
    arena.free(others).unwrap();
    first.join().unwrap();
    // Ends the other's sleep, if the span was lost.
    arena.close();
    let end = second.join().unwrap();
    assert!(matches!(end, Ok(()) | Err(AllocError::Closed)), "{end:?}");
    assert_arena_whole(&arena);
}

#[test]
fn a_deadline_against_a_grant() {
    model("arena/deadline_against_grant", || {
        world(|arena| match arena.alloc_timeout(one(), SOON) {
            Ok(span) => arena.free(span).unwrap(),
            Err(error) => assert!(matches!(error, AllocError::TimedOut | AllocError::Closed)),
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
