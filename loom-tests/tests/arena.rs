//! The arena on its own: threads asleep in it, their deadlines, and its close.

use std::time::Duration;

use kva::sync::thread::spawn;
use kva::{AllocError, Arena, Client};
use loom_tests::asking::Asker;
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{arena, assert_arena_whole, numbers, one};

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

/// Closed while a thread comes to sleep for what is taken: it is told, whether it slept already or not.
#[test]
fn a_close_against_a_sleeper() {
    witnessed("arena/close_against_alloc", "it slept already", |slept| {
        let arena = numbers(1, 0);
        let others = arena.try_alloc(one()).unwrap();
        let sleeper = {
            let arena = arena.clone();
            spawn(move || assert!(matches!(arena.alloc(one()), Err(AllocError::Closed))))
        };
        slept.saw(arena.stats().waiting > 0);
        arena.close();
        sleeper.join().unwrap();
        arena.free(others).unwrap();
        assert_arena_whole(&arena);
    });
}

/// Closed while somebody asks by a token for what is taken, or is more than `whose` it is may have: the
/// token ends.
fn close_against_ask(arena: &Arena, whose: Arena, queued: &Witness) {
    let others = whose.try_alloc(one()).unwrap();
    let asker = Asker::new(1);
    let thread = {
        let asker = asker.clone();
        spawn(move || asker.ask(&whose, 0, one()))
    };
    queued.saw(arena.stats().waiting > 0);
    arena.close();
    let id = thread.join().unwrap();
    assert_eq!((asker.granted(), asker.told_of_close()), (0, 1), "a request was left behind");
    assert!(!asker.table().withdraw(id), "it has ended");
    arena.free(others).unwrap();
    assert_arena_whole(arena);
}

#[test]
fn a_close_against_a_request() {
    witnessed("arena/close_against_ask", "it was in line", |queued| {
        let arena = numbers(1, 0);
        close_against_ask(&arena, arena.clone(), queued);
    });
    witnessed("arena/close_against_ask/held_back", "it was held back", |queued| {
        let arena = numbers(2, 0);
        let client = arena.client(Client::new("one").quota(1)).unwrap();
        close_against_ask(&arena, client, queued);
    });
}
