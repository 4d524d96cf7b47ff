//! Each async operation, dropped after each of its polls, whatever happens in between: every sequence of
//! events that is short enough. Then nothing is lost (P5), whoever waits is served, all is at rest (P6);
//! and no poll finds anything that it was not woken for (P2).
//!
//! `cargo xtask cancel` shows the table.

#![cfg(not(loom))]

#[path = "../support/mod.rs"]
mod support;

mod choices;
mod gate;
mod objects;
mod primed;
mod raw;
mod run;
mod spans;
mod world;

use std::fmt::Write;

use run::{EVENTS, Event, run};
use world::World;

/// Of all pools, when a run begins: two objects are out, and a third can be had.
const HARD_LIMIT: u32 = 3;
const HELD: usize = 2;
/// After how many polls it is dropped at most, with an event after each.
const POLLS: usize = 4;

/// All sequences of so many events.
fn sequences(events: usize) -> Vec<Vec<Event>> {
    (0..events).fold(vec![Vec::new()], |shorter, _| {
        let longer = |events: Vec<Event>| EVENTS.map(|event| [&*events, &[event]].concat());
        shorter.into_iter().flat_map(longer).collect()
    })
}

/// Which operation, the fewest awaits that it must be found to have, and a world for it.
type Operation = (&'static str, usize, fn() -> World);

fn each_can_be_dropped(operations: &[Operation]) {
    let mut table = format!("{:<45}{:>7}{:>8}{:>8}", "operation", "awaits", "drops", "ended");
    for &(name, least, world) in operations {
        let (mut awaits, mut drops, mut ended) = (0, 0, 0);
        for polls in 0..=POLLS {
            for events in sequences(polls) {
                let run = run(world(), &events);
                awaits = awaits.max(run.awaits);
                drops += usize::from(!run.ended);
                ended += usize::from(run.ended);
            }
        }
        write!(table, "\n{name:<45}{awaits:>7}{drops:>8}{ended:>8}").unwrap();
        assert!(awaits >= least, "{name}: {awaits} awaits were found, and there are {least} at least");
        assert!(drops > 0 && ended > 0, "{name}");
    }
    println!("{table}");
}

#[test]
fn each_operation_on_memory_can_be_dropped_at_each_of_its_awaits() {
    each_can_be_dropped(raw::OPERATIONS);
}

#[test]
fn each_operation_on_objects_can_be_dropped_at_each_of_its_awaits() {
    each_can_be_dropped(objects::OPERATIONS);
}

#[test]
fn each_operation_on_what_is_made_can_be_dropped_at_each_of_its_awaits() {
    each_can_be_dropped(primed::OPERATIONS);
}

#[test]
fn each_operation_on_spans_can_be_dropped_at_each_of_its_awaits() {
    each_can_be_dropped(spans::OPERATIONS);
}

#[test]
fn each_kind_of_event_can_be_dropped_at_each_of_its_awaits() {
    each_can_be_dropped(choices::OPERATIONS);
}
