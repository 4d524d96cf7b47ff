//! One page: pinned, opened, closed, moved and dropped. Who has it pinned finds it mapped, whole, and as
//! the last one left it; whom a mover passed over says when it is movable.

use kva::frames::pin::Rest;
use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::paged::{Flaw, Flawed, Memory, Paged, Production};
use loom_tests::run::{bounded, known_bad, model, witnessed};

/// What is wrong if two are at the page at once: loom says it, who sees each access.
const RACE: &str = "Causality violation";
const UNHEARD: &str = "nobody says that it is movable";

fn production(rest: Rest) -> Arc<Production> {
    Arc::new(Production::new(rest))
}

/// One writes while another moves it. Whether it was moved at the first attempt.
fn pin_against_move<P: Paged>(page: &Arc<P>) -> bool {
    let writer = {
        let page = page.clone();
        spawn(move || page.pinned(|memory| memory.write(7)))
    };
    let moved = page.relocate();
    writer.join().unwrap();
    assert_eq!(page.pinned(Memory::read), 7, "what was written is lost");
    moved
}

/// A mover that came too early relies upon being told.
fn last_unpin_against_move<P: Paged>(page: &Arc<P>) -> bool {
    let reader = {
        let page = page.clone();
        spawn(move || page.pinned(Memory::read))
    };
    let moved = page.relocate();
    assert_eq!(reader.join().unwrap(), 0);
    assert!(moved || page.told() == 1, "nobody says that it is movable");
    assert!(!moved || page.told() == 0, "who has it is told that it can be had");
    assert!(page.relocate(), "it is movable now");
    moved
}

/// Two readers, of which the first opens it and the last closes it. Whether both had it.
fn pin_against_pin<P: Paged>(page: &Arc<P>) -> bool {
    let other = {
        let page = page.clone();
        spawn(move || page.pinned_now(Memory::read))
    };
    let this = page.pinned_now(Memory::read);
    let both = [this, other.join().unwrap()];
    assert!(both.contains(&Some(0)), "each waits for the other");
    assert!(both.iter().all(|value| value.is_none_or(|value| value == 0)));
    assert!(page.relocate(), "nobody has it pinned");
    both == [Some(0); 2]
}

/// One reader has it pinned when the other comes, and leaves beside it.
fn last_unpin_against_first_pin<P: Paged>(page: &Arc<P>) {
    let other = page.pinned(|_| {
        let page = page.clone();
        spawn(move || page.pinned(Memory::read))
    });
    assert_eq!(other.join().unwrap(), 0);
    assert!(page.relocate(), "nobody has it pinned");
}

/// Two readers, and a mover that came while one of them had it pinned: whoever leaves last says that it
/// is movable. Whether that was the other.
fn two_unpins_after_a_move<P: Paged>(page: &Arc<P>) -> bool {
    let other = page.pinned(|_| {
        let other = {
            let page = page.clone();
            spawn(move || page.pinned(Memory::read))
        };
        assert!(!page.relocate(), "it is pinned");
        other
    });
    let told = page.told() == 0;
    assert_eq!(other.join().unwrap(), 0);
    assert_eq!(page.told(), 1, "nobody says that it is movable, or both");
    assert!(page.relocate(), "it is movable now");
    told
}

/// Two readers and a mover.
fn two_pins_against_a_move<P: Paged>(page: &Arc<P>) {
    let readers = [(); 2].map(|()| {
        let page = page.clone();
        spawn(move || page.pinned_now(Memory::read))
    });
    let moved = page.relocate();
    let read = readers.map(|reader| reader.join().unwrap());
    assert!(read.iter().all(|value| value.is_none_or(|value| value == 0)));
    assert!(moved || page.told() > 0, "nobody says that it is movable");
}

#[test]
fn a_pin_against_a_move() {
    witnessed("pins/pin_against_move", "it was moved", |moved| {
        moved.saw(pin_against_move(&production(Rest::Open)));
    });
    witnessed("pins/pin_against_move/protected", "it was moved", |moved| {
        moved.saw(pin_against_move(&production(Rest::Closed)));
    });
}

#[test]
fn the_last_unpin_against_a_move() {
    witnessed("pins/last_unpin_against_move", "the mover came too early", |early| {
        early.saw(!last_unpin_against_move(&production(Rest::Open)));
    });
    witnessed("pins/last_unpin_against_move/protected", "the mover came too early", |early| {
        early.saw(!last_unpin_against_move(&production(Rest::Closed)));
    });
}

#[test]
fn the_first_pin_against_another_first() {
    witnessed("pins/first_pin_against_first_pin", "one would have waited", |waited| {
        waited.saw(!pin_against_pin(&production(Rest::Closed)));
    });
    // Exhaustively: 565,067 executions, 40 s.
    bounded("pins/first_pins_wait", 5, "half a million executions without", || {
        let page = production(Rest::Closed);
        let other = {
            let page = page.clone();
            spawn(move || page.pinned(Memory::read))
        };
        assert_eq!(page.pinned(Memory::read), 0);
        assert_eq!(other.join().unwrap(), 0);
        assert!(page.relocate(), "nobody has it pinned");
    });
}

#[test]
fn the_last_unpin_against_the_first_pin() {
    model("pins/last_unpin_against_first_pin", || last_unpin_against_first_pin(&production(Rest::Closed)));
}

#[test]
fn the_last_of_two_unpins_after_a_move() {
    witnessed("pins/two_unpins_after_move", "the other left last", |other| {
        other.saw(two_unpins_after_a_move(&production(Rest::Open)));
    });
}

/// The same beside a move that goes on: a larger world than [the last unpin](the_last_unpin_against_a_move)
/// against a move, and than two unpins after one.
#[test]
fn two_pins_against_a_move_beside_them() {
    bounded("pins/two_pins_against_move", 5, "700,000 executions without", || {
        two_pins_against_a_move(&production(Rest::Open));
    });
}

#[test]
fn a_move_against_a_move() {
    witnessed("pins/move_against_move", "one found the other at it", |met| {
        let page = production(Rest::Open);
        page.pinned(|memory| memory.write(3));
        let other = {
            let page = page.clone();
            spawn(move || page.relocate())
        };
        let moved = page.relocate();
        let other = other.join().unwrap();
        assert!(moved || other, "both gave way");
        assert_eq!(page.told(), u32::from(!(moved && other)), "who gave way is told, and nobody else");
        assert_eq!(page.pinned(Memory::read), 3);
        met.saw(!(moved && other));
    });
}

#[test]
fn a_drop_against_a_move() {
    witnessed("pins/drop_against_move", "it was moved", |moved| {
        let page = production(Rest::Open);
        let mover = {
            let page = page.clone();
            spawn(move || page.relocate())
        };
        page.vacate();
        page.write_vacant();
        moved.saw(mover.join().unwrap());
    });
}

fn flawed(flaw: Flaw, rest: Rest) -> Arc<Flawed> {
    Arc::new(Flawed::new(flaw, rest))
}

#[test]
fn a_mover_that_does_not_look_at_pins() {
    known_bad("pins/moves_what_is_pinned", RACE, || {
        pin_against_move(&flawed(Flaw::MovesWhatIsPinned, Rest::Open));
    });
}

#[test]
fn a_pin_that_does_not_wait_for_a_move() {
    known_bad("pins/pins_what_is_moved", RACE, || {
        pin_against_move(&flawed(Flaw::PinsWhatIsMoved, Rest::Open));
    });
}

#[test]
fn a_pin_that_does_not_wait_for_the_first() {
    known_bad("pins/pins_before_open", RACE, || {
        pin_against_pin(&flawed(Flaw::PinsBeforeOpen, Rest::Closed));
    });
}

#[test]
fn a_last_unpin_that_closes_afterwards() {
    known_bad("pins/closes_afterwards", RACE, || {
        last_unpin_against_first_pin(&flawed(Flaw::ClosesAfterwards, Rest::Closed));
    });
}

#[test]
fn a_last_unpin_that_tells_nobody() {
    known_bad("pins/tells_nobody", UNHEARD, || {
        last_unpin_against_move(&flawed(Flaw::TellsNobody, Rest::Open));
    });
}

#[test]
fn the_last_of_two_unpins_tells_nobody() {
    known_bad("pins/last_of_two_tells_nobody", UNHEARD, || {
        two_unpins_after_a_move(&flawed(Flaw::TellsNobody, Rest::Open));
    });
}

fn without_an_edge(name: &str, flaw: Flaw) {
    known_bad(name, RACE, move || {
        pin_against_move(&flawed(flaw, Rest::Open));
    });
}

#[test]
fn an_unpin_without_release() {
    without_an_edge("pins/unpins_without_release", Flaw::UnpinsWithoutRelease);
}

#[test]
fn a_move_without_acquire() {
    without_an_edge("pins/moves_without_acquire", Flaw::MovesWithoutAcquire);
}

#[test]
fn a_move_without_release() {
    without_an_edge("pins/moves_without_release", Flaw::MovesWithoutRelease);
}

#[test]
fn a_pin_without_acquire() {
    without_an_edge("pins/pins_without_acquire", Flaw::PinsWithoutAcquire);
}
