//! Who looks on while it storms, and the page cache's own thread.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::storm::Scene;

const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
/// Between two reads of the page cache, and how many pages each brings at the most.
const BETWEEN_READS: Duration = Duration::from_millis(1);
const READ: u32 = 64;

/// What there was to be seen while forks waited for a table.
pub(crate) struct Seen {
    /// Free pages.
    pub(crate) free: Histogram<u64>,
    /// How often there was no aligned run among them.
    pub(crate) without_a_run: u64,
    /// Tables that were kept for later, at the end.
    pub(crate) idle_tables: u64,
}

/// Looks on until the run is over; and ends it when `stop` says so or its time is up.
pub(crate) fn watch(scene: &Scene, stop: &AtomicBool, end: Instant) -> Seen {
    let free = Histogram::new(3).expect("three digits are allowed");
    let mut seen = Seen { free, without_a_run: 0, idle_tables: 0 };
    let mut closed = false;
    while !scene.over.load(Relaxed) {
        thread::sleep(BETWEEN_LOOKS);
        if !closed {
            seen.idle_tables = scene.tables.idle();
        }
        if scene.waiting.load(Relaxed) > 0 {
            let free = scene.world.cache.free();
            seen.free.record(free.into()).expect("the histogram grows as it must");
            seen.without_a_run += u64::from(!scene.world.has_a_run());
        }
        if !closed && (stop.load(Relaxed) || Instant::now() >= end) {
            closed = true;
            // Whoever waits, for a table or a page, waits no more.
            scene.over.store(true, Relaxed);
            scene.tables.close();
            scene.world.arena.close();
        }
    }
    seen
}

/// Files are read all the time, as long as there is memory for them.
pub(crate) fn read_files(scene: &Scene) {
    while !scene.over.load(Relaxed) {
        scene.world.cache.read(READ);
        thread::sleep(BETWEEN_READS);
    }
}
