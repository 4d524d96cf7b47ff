//! Threads come, get and put a little, and go. Two others do nothing but to spawn and join them, one
//! at a time each, so that two of them are there at once.

use std::thread;

use super::warm_up;
use crate::case::{Bench, Case};
use crate::subject::{Stock, Subject, pairs};
use crate::threads::{mean_ns, together};

/// How many pairs a thread does in its life.
const PAIRS: u64 = 64;

/// How many threads are there at once.
const AT_ONCE: usize = 2;

/// Adds the case of a subject.
pub(crate) fn add<S: Subject>(cases: &mut Vec<Case>) {
    let shape = format!("a thread of {PAIRS} pairs");
    cases.push(Case::counted(Bench::Churn, shape, S::NAME, AT_ONCE, measure::<S>));
}

/// Nanoseconds for the life of a thread, of so many lives: to spawn it, its pairs, and until it has
/// been joined.
fn measure<S: Subject>(lives: u64) -> f64 {
    let subject = S::new(Stock::Ample(AT_ONCE));
    let times = together(AT_ONCE, |start| {
        live(&subject, warm_up(lives).min(lives));
        start.time(|| live(&subject, lives))
    });
    mean_ns(&times, lives)
}

fn live<S: Subject>(subject: &S, lives: u64) {
    for _ in 0..lives {
        thread::scope(|scope| {
            scope.spawn(|| subject.enter(|seat| pairs(seat, PAIRS)));
        });
    }
}
