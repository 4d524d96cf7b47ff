//! What is kept for the request at the head: a window that nobody else takes of, that moves to
//! where less is busy, and that goes with its request.

use std::time::Duration;

use kva::Arena;
use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::asking::Asker;
use loom_tests::naive_arena::{Flaw, NaiveArena, Quanta, Real, take_all};
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{aligned, assert_arena_whole, numbers, one, shape, take_each};

/// The head wants two of three quanta, and all are freed once, while somebody takes single ones:
/// one that he frees again, and then two that he keeps.
fn thief<Q: Quanta>(quanta: Q) -> Arc<Q> {
    let quanta = Arc::new(quanta);
    let [first, second, third] = take_all(&*quanta)[..] else { panic!("three quanta") };
    quanta.wait_for(2);
    let thief = {
        let quanta = quanta.clone();
        spawn(move || {
            if let Some(brief) = quanta.take_one() {
                quanta.free(brief);
            }
            [quanta.take_one(), quanta.take_one()]
        })
    };
    for quantum in [third, first, second] {
        quanta.free(quantum);
    }
    let stolen = thief.join().unwrap();
    assert!(quanta.is_served(), "starved, although each quantum was freed");
    stolen.into_iter().flatten().for_each(|quantum| quanta.free(quantum));
    quanta.end();
    quanta
}

#[test]
fn a_thief_cannot_starve_the_head() {
    witnessed("windows/thief", "overtaken", |overtaken| {
        let Real(arena, _) = &*thief(Real::new(3, 2));
        let times = arena.stats().most_overtaken;
        assert!(times <= 4, "P4: twice a quantum, not {times} times");
        overtaken.saw(times > 0);
    });
}

#[test]
fn without_a_window_a_thief_starves_it() {
    known_bad("windows/without", "starved", || {
        thief(NaiveArena::new(Flaw::NoWindow, 3));
    });
}

/// The head wants two of five quanta, and nobody may pass it: not even by the last, which is free
/// and not in its window.
fn strict<Q: Quanta>(quanta: Q) {
    let quanta = Arc::new(quanta);
    let [first, second, third, fourth, last] = take_all(&*quanta)[..] else { panic!("five quanta") };
    quanta.wait_for(2);
    quanta.free(first);
    let freer = {
        let quanta = quanta.clone();
        spawn(move || quanta.free(last))
    };
    assert!(quanta.take_one().is_none(), "passed, although nobody may");
    freer.join().unwrap();
    assert!(quanta.take_one().is_none(), "passed, although nobody may");
    assert!(quanta.withheld() < 2, "the last is in no window");
    quanta.free(second);
    assert!(quanta.is_served(), "starved, although nothing in its window is busy");
    quanta.free(third);
    quanta.free(fourth);
    quanta.end();
}

#[test]
fn nobody_passes_the_head() {
    model("windows/strict", || strict(Real::new(5, 0)));
}

#[test]
fn somebody_passes_the_head() {
    known_bad("windows/not_strict", "passed, although nobody may", || {
        strict(NaiveArena::new(Flaw::NoWindow, 5));
    });
}

/// The head wants three of five. Quanta are freed on both sides of the window, which moves or
/// not, and somebody takes what is outside it just then. The middle one is freed last.
fn reaim<Q: Quanta>(quanta: Q, thefts: usize, moved: &Witness) {
    let quanta = Arc::new(quanta);
    let [a, b, middle, d, e] = take_all(&*quanta)[..] else { panic!("five quanta") };
    quanta.wait_for(3);
    let other = {
        let quanta = quanta.clone();
        spawn(move || {
            quanta.free(e);
            quanta.free(d);
        })
    };
    let thief = {
        let quanta = quanta.clone();
        spawn(move || (0..thefts).filter_map(|_| quanta.take_one()).collect::<Vec<_>>())
    };
    quanta.free(a);
    quanta.free(b);
    other.join().unwrap();
    let stolen = thief.join().unwrap();
    assert!(!quanta.is_served(), "the middle one is in every window");
    assert_eq!(quanta.withheld(), 2, "starved: of a window of three, all but the middle one is free");
    moved.saw(stolen.iter().any(|quantum| quanta.at(*quantum) < 2));
    quanta.free(middle);
    assert!(quanta.is_served(), "starved, although nothing in its window is busy");
    for quantum in stolen {
        quanta.free(quantum);
    }
    quanta.end();
}

#[test]
fn a_free_against_a_window_that_moves() {
    witnessed("windows/free_against_reaim", "somebody had what the window had left", |moved| {
        reaim(Real::new(5, 1), 2, moved);
    });
}

#[test]
fn a_window_that_is_aimed_and_moved_in_two_steps() {
    known_bad("windows/two_steps", "starved", || {
        reaim(NaiveArena::new(Flaw::AimsInTwoSteps, 5), 2, &Witness::default());
    });
}

/// The head wants both quanta and leaves while the first is freed, which is for who is behind it
/// then. The second is freed at the end.
fn leaves(leave: impl FnOnce(&Arena, &Asker) + Send + 'static) {
    let arena = numbers(2, 0);
    let [first, second] = take_each(&arena)[..] else { panic!("two quanta") };
    let (head, next) = (Asker::new(1), Asker::new(1));
    let leaver = {
        let (arena, head) = (arena.clone(), head.clone());
        spawn(move || leave(&arena, &head))
    };
    next.ask(&arena, 0, one());
    arena.free(first).unwrap();
    leaver.join().unwrap();
    assert_eq!(next.granted(), 1, "what was withheld for who left stays withheld");
    assert_eq!(arena.stats().withheld, 0);
    arena.free(second).unwrap();
    next.free_all(&arena);
    assert_arena_whole(&arena);
}

#[test]
fn a_head_that_is_withdrawn() {
    model("windows/head_leaves", || {
        leaves(|arena, head| {
            let id = head.ask(arena, 0, shape(2));
            head.withdraw(arena, id);
            assert_eq!(head.granted(), 0, "the second quantum is taken");
        });
    });
}

#[test]
fn a_head_whose_time_is_up() {
    model("windows/head_times_out", || {
        leaves(|arena, _| {
            arena.alloc_timeout(shape(2), Duration::from_micros(50)).unwrap_err();
        });
    });
}

#[test]
fn a_head_that_is_withdrawn_and_not_forgotten() {
    known_bad("windows/head_not_forgotten", "stays withheld", || {
        leaves(|arena, head| {
            let id = head.ask(arena, 0, shape(2));
            assert!(head.table().withdraw(id));
        });
    });
}

/// Two wait for two quanta, the second where the first would not look. The first leaves while they are
/// freed: whose window it is then, where it is, and whose they are, is one decision.
#[test]
fn a_window_goes_to_the_next_head() {
    witnessed("windows/next_head", "the first had left", |left| {
        let arena = numbers(4, 0);
        let spans = take_each(&arena);
        let (head, next) = (Asker::new(1), Asker::new(1));
        let id = head.ask(&arena, 0, shape(2));
        next.ask(&arena, 0, aligned(2));
        let leaver = {
            let (arena, head) = (arena.clone(), head.clone());
            spawn(move || head.withdraw(&arena, id))
        };
        // The last one completes what either waits for.
        for at in [1, 3, 2] {
            arena.free(spans[at]).unwrap();
        }
        leaver.join().unwrap();
        assert_eq!(head.granted() + next.granted(), 1, "one of them has two of those that are free");
        left.saw(next.granted() == 1);
        head.free_all(&arena);
        let [span] = next.take()[..] else { panic!("and it was the other's turn") };
        assert_eq!(span.start(), 2, "it has what was to be another's");
        arena.free(span).unwrap();
        arena.free(spans[0]).unwrap();
        assert_arena_whole(&arena);
    });
}
