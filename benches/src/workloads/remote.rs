//! One thread gets objects, another puts them. They go through a ring, the same for all subjects.
//!
//! They go in batches: what two processors pay to pass one object at a time is more than what most
//! subjects take for it. What the ring costs by itself is measured beside them.

use std::thread;

use crossbeam_utils::Backoff;
use rtrb::chunks::ChunkError;
use rtrb::{Consumer, Producer, RingBuffer};

use super::warm_up;
use crate::case::{Bench, Case};
use crate::subject::{Seat, Shared, Stock, touch};
use crate::threads::{Start, mean_ns};

/// How many objects are sent at once.
const BATCH: usize = 16;

/// How many objects the ring has room for: enough that switching between the two threads, if they
/// have to share a processor for a while, is a small part of what is measured.
const RING: usize = 32 * BATCH;

/// Adds the case of a subject.
pub(crate) fn add<S: Shared>(cases: &mut Vec<Case>)
where
    for<'a> S::Item<'a>: Send,
{
    cases.push(Case::counted(Bench::Remote, "64 B", S::NAME, 2, measure::<S>));
}

/// Nanoseconds an object, of at least so many.
fn measure<S: Shared>(operations: u64) -> f64
where
    for<'a> S::Item<'a>: Send,
{
    let batches = operations.div_ceil(BATCH as u64);
    // What is in the ring, and a batch in each thread's hands.
    let subject = S::new(Stock::Ample(RING + 2 * BATCH));
    let (mut outward, mut back) = RingBuffer::new(RING);
    let (start, seat) = (Start::of(2), &subject);
    let times = thread::scope(|scope| {
        let getter = scope.spawn(|| {
            get_all(&seat, &mut outward, warm_up(batches));
            start.time(|| get_all(&seat, &mut outward, batches))
        });
        let putter = scope.spawn(|| {
            put_all(&seat, &mut back, warm_up(batches));
            start.time(|| put_all(&seat, &mut back, batches))
        });
        [getter, putter].map(|thread| thread.join().expect("no thread panics"))
    });
    mean_ns(&times, batches * BATCH as u64)
}

#[inline(never)]
fn get_all<S: Seat>(seat: &S, outward: &mut Producer<S::Item>, batches: u64) {
    for _ in 0..batches {
        send(outward, || {
            let mut item = seat.get();
            touch::<S>(&mut item);
            item
        });
    }
}

#[inline(never)]
fn put_all<S: Seat>(seat: &S, back: &mut Consumer<S::Item>, batches: u64) {
    for _ in 0..batches {
        receive(back, |mut item| {
            touch::<S>(&mut item);
            seat.put(item);
        });
    }
}

/// Makes a batch when there is room for it, and sends it.
#[inline]
fn send<T>(outward: &mut Producer<T>, mut make: impl FnMut() -> T) {
    let backoff = Backoff::new();
    loop {
        match outward.write_chunk_uninit(BATCH) {
            Ok(room) => {
                room.fill_from_iter((0..BATCH).map(|_| make()));
                return;
            }
            Err(ChunkError::TooFewSlots(_)) => backoff.snooze(),
        }
    }
}

/// Uses a batch up when there is one.
#[inline]
fn receive<T>(back: &mut Consumer<T>, consume: impl FnMut(T)) {
    let backoff = Backoff::new();
    loop {
        match back.read_chunk(BATCH) {
            Ok(batch) => return batch.into_iter().for_each(consume),
            Err(ChunkError::TooFewSlots(_)) => backoff.snooze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_once_and_in_order() {
        let (mut outward, mut back) = RingBuffer::new(RING);
        let batches = 100;
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut numbers = 0..;
                (0..batches).for_each(|_| send(&mut outward, || numbers.next().unwrap()));
            });
            let mut expected = 0..;
            for _ in 0..batches {
                receive(&mut back, |number: u64| assert_eq!(Some(number), expected.next()));
            }
            assert_eq!(expected.next(), Some(batches * BATCH as u64));
        });
        assert!(back.is_empty());
    }
}
