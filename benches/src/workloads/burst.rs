//! One thread gets 64 objects, then puts them, the oldest first.

use super::warm_up;
use crate::case::{Bench, Case};
use crate::subject::{Seat, Stock, Subject, touch};
use crate::threads::{mean_ns, together};

/// How many are out at once.
const BURST: usize = 64;

/// Adds the case of a subject.
pub(crate) fn add<S: Subject>(cases: &mut Vec<Case>) {
    cases.push(Case::counted(Bench::Burst, "64 at once", S::NAME, 1, measure::<S>));
}

/// Nanoseconds for a get and a put, of at least so many.
fn measure<S: Subject>(operations: u64) -> f64 {
    let bursts = operations.div_ceil(BURST as u64);
    let subject = S::new(Stock::Ample(BURST));
    let times = together(1, |start| {
        subject.enter(|seat| {
            let mut held = Vec::with_capacity(BURST);
            burst(seat, &mut held, BURST, warm_up(bursts));
            start.time_alone(|| burst(seat, &mut held, BURST, bursts))
        })
    });
    mean_ns(&times, bursts * BURST as u64)
}

/// Gets so many and puts them, so many times.
#[inline(never)]
pub(super) fn burst<S: Seat>(seat: &S, held: &mut Vec<S::Item>, size: usize, times: u64) {
    for _ in 0..times {
        for _ in 0..size {
            let mut item = seat.get();
            touch::<S>(&mut item);
            held.push(item);
        }
        for item in held.drain(..) {
            seat.put(item);
        }
    }
}
