//! What is done with subjects, a file each.
//!
//! Each has an `add`, which adds the cases of one subject. Where several threads take part they
//! begin together, and are timed one by one, without the time to spawn and join them. A thread that is
//! alone is timed by how long it had a processor. Each warms up at its seat before: allocators and
//! caches set themselves up for a thread when it first comes.

pub mod burst;
pub mod bytes;
pub mod churn;
pub mod committed;
pub mod contended;
pub mod create;
pub mod large;
pub mod memory;
pub mod moving;
pub mod remote;
pub mod scale;
pub mod scarce;
pub mod spans;
pub mod uncontended;

use crate::subject::{Stock, Subject, pairs};
use crate::threads::{mean_ns, together};

/// How many operations to warm up with, before so many are measured.
fn warm_up(operations: u64) -> u64 {
    (operations / 4).max(64)
}

/// Has one thread get an object and put it back, so many times; nanoseconds a pair.
fn pairs_alone<S: Subject>(operations: u64) -> f64 {
    let subject = S::new(Stock::Ample(1));
    let times = together(1, |start| {
        subject.enter(|seat| {
            pairs(seat, warm_up(operations));
            start.time_alone(|| pairs(seat, operations))
        })
    });
    mean_ns(&times, operations)
}

/// Has each of so many threads get an object and put it back, so many times; nanoseconds a pair.
fn pairs_by<S: Subject>(threads: usize, operations: u64) -> f64 {
    let subject = S::new(Stock::Ample(threads));
    let times = together(threads, |start| {
        subject.enter(|seat| {
            pairs(seat, warm_up(operations));
            start.time(|| pairs(seat, operations))
        })
    });
    mean_ns(&times, operations)
}
