//! What a thread does by chance, and does again when its schedule is run again.

use std::time::Duration;

use kva::sync::thread::yield_now;
use shuttle::rand::{Rng, thread_rng};

/// Far enough that no real clock gets there: under shuttle a deadline passes by chance.
pub(crate) const IN_TIME: Duration = Duration::from_hours(1);

/// A number less than `end`.
pub(crate) fn below(end: usize) -> usize {
    thread_rng().gen_range(0..end)
}

/// True so often.
pub(crate) fn one_in(times: usize) -> bool {
    below(times) == 0
}

/// One of them.
pub(crate) fn one_of<T>(all: &[T]) -> &T {
    &all[below(all.len())]
}

/// For a while others run, or for none.
pub(crate) fn pause() {
    for _ in 0..below(3) {
        yield_now();
    }
}
