//! Threads that begin together, each timed by itself.
#![allow(clippy::disallowed_types, reason = "the harness is no part of what loom explores")]

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Where threads wait for each other before they are measured.
#[derive(Debug)]
pub struct Start(Barrier);

impl Start {
    /// For so many threads.
    #[must_use]
    pub fn of(threads: usize) -> Self {
        Self(Barrier::new(threads))
    }

    /// Waits until all are here.
    pub fn wait(&self) {
        self.0.wait();
    }

    /// Waits until all are here, and times what this thread does then.
    pub fn time(&self, work: impl FnOnce()) -> Duration {
        self.wait();
        let begun = Instant::now();
        work();
        begun.elapsed()
    }

    /// As [`time`](Self::time), of a thread that is alone: by [`processor_time`].
    pub fn time_alone(&self, work: impl FnOnce()) -> Duration {
        self.wait();
        processor_time(work).1
    }
}

/// Does `work`, and times it by how long this thread had a processor for it. For who waits for nobody
/// that is what it took, but for what others on the machine did meanwhile.
///
/// # Panics
/// Never: that clock is there, and does not go back.
pub fn processor_time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("it is positive");
    let begun = now();
    let done = work();
    (done, now().checked_sub(begun).expect("it does not go back"))
}

/// Runs `work` on so many threads, each of which is to wait at the start once; what it returned, in
/// the order in which they were spawned.
///
/// # Panics
/// If one of them does. See [`abort_on_panic`].
pub fn together<T: Send>(threads: usize, work: impl Fn(&Start) -> T + Sync) -> Vec<T> {
    let start = Start::of(threads);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&start))).collect();
        running.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

/// What an operation took, in nanoseconds, as one thread sees it: the mean over threads of which
/// each did so many.
#[must_use]
pub fn mean_ns(times: &[Duration], operations: u64) -> f64 {
    let total: Duration = times.iter().sum();
    total.as_secs_f64() * 1e9 / (times.len() as f64 * operations as f64)
}

/// Ends the process when a thread panics. Else those that wait for it at the start would wait for
/// ever.
pub fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_run_and_what_they_return_is_in_order() {
        use kva::sync::atomic::{AtomicUsize, Ordering};
        let arrived = AtomicUsize::new(0);
        let seen = together(4, |start| {
            arrived.fetch_add(1, Ordering::Relaxed);
            start.wait();
            arrived.load(Ordering::Relaxed)
        });
        assert_eq!(seen, [4; 4]);
    }

    #[test]
    fn the_mean_is_over_threads_and_operations() {
        let times = [Duration::from_micros(1), Duration::from_micros(3)];
        assert!((mean_ns(&times, 100) - 20.0).abs() < 1e-9);
    }
}
