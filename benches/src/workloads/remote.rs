//! One thread gets objects, another puts them. They go through a ring, the same for all subjects.

use std::thread;

use crossbeam_utils::Backoff;
use rtrb::{Consumer, Producer, RingBuffer};

use super::warm_up;
use crate::case::{Bench, Case};
use crate::subject::{Seat, Shared, Stock, touch};
use crate::threads::{Start, mean_ns};

/// How many objects the ring has room for.
const RING: usize = 64;

/// Adds the case of a subject.
pub(crate) fn add<S: Shared>(cases: &mut Vec<Case>)
where
    for<'a> S::Item<'a>: Send,
{
    cases.push(Case::counted(Bench::Remote, "64 B", S::NAME, 2, measure::<S>));
}

/// Nanoseconds an object, of so many.
fn measure<S: Shared>(operations: u64) -> f64
where
    for<'a> S::Item<'a>: Send,
{
    // Two more than fit: one in each thread's hands.
    let subject = S::new(Stock::Ample(RING + 2));
    let (mut outward, mut back) = RingBuffer::new(RING);
    let (start, seat) = (Start::of(2), &subject);
    let times = thread::scope(|scope| {
        let getter = scope.spawn(|| {
            get_all(&seat, &mut outward, warm_up(operations));
            start.time(|| get_all(&seat, &mut outward, operations))
        });
        let putter = scope.spawn(|| {
            put_all(&seat, &mut back, warm_up(operations));
            start.time(|| put_all(&seat, &mut back, operations))
        });
        [getter, putter].map(|thread| thread.join().expect("no thread panics"))
    });
    mean_ns(&times, operations)
}

#[inline(never)]
fn get_all<S: Seat>(seat: &S, outward: &mut Producer<S::Item>, times: u64) {
    for _ in 0..times {
        let mut item = seat.get();
        touch::<S>(&mut item);
        send(outward, item);
    }
}

#[inline(never)]
fn put_all<S: Seat>(seat: &S, back: &mut Consumer<S::Item>, times: u64) {
    for _ in 0..times {
        let mut item = receive(back);
        touch::<S>(&mut item);
        seat.put(item);
    }
}

#[inline]
fn send<T>(outward: &mut Producer<T>, mut item: T) {
    let backoff = Backoff::new();
    while let Err(rtrb::PushError::Full(returned)) = outward.push(item) {
        item = returned;
        backoff.snooze();
    }
}

#[inline]
fn receive<T>(back: &mut Consumer<T>) -> T {
    let backoff = Backoff::new();
    loop {
        if let Ok(item) = back.pop() {
            return item;
        }
        backoff.snooze();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_once_and_in_order() {
        let (mut outward, mut back) = RingBuffer::new(RING);
        let count = 100 * RING;
        thread::scope(|scope| {
            scope.spawn(|| (0..count).for_each(|number| send(&mut outward, number)));
            (0..count).for_each(|number| assert_eq!(receive(&mut back), number));
        });
        assert!(back.is_empty());
    }
}
