//! The targets: what the pool and its arena are to be, as bounds on medians of one run.
//!
//! A target that is missed says by how much, and one that was not measured says so. Neither changes
//! the bound.

use benches::case::Bench;
use kva::Arena;
use pool::Builder;

use super::cases;
use super::subjects::{ARRAY_QUEUE, BARE_ARRAY, BY_HANDLE, COPY_AND_MMAP, MIMALLOC, MMAP, OURS};
use super::verdict::Limit::{AtLeast, AtMost};
use super::verdict::Target;

/// All of them, in the order of the report.
pub(crate) fn targets() -> Vec<Target> {
    [alone().as_slice(), &with_others(), &scarce(), &whatever_there_is(), &arenas()].concat()
}

fn alone() -> [Target; 4] {
    [
        Target {
            what: "pair by handle, one thread",
            limit: AtMost(0.65),
            unit: "x mimalloc",
            cases: |run| cases::alone(run, BY_HANDLE, MIMALLOC),
        },
        Target {
            what: "pair by handle, one thread",
            limit: AtMost(2.5),
            unit: "x bare array",
            cases: |run| cases::alone(run, BY_HANDLE, BARE_ARRAY),
        },
        Target {
            what: "pair by handle",
            limit: AtMost(40.0),
            unit: "instructions",
            cases: |run| cases::instructions(run, BY_HANDLE),
        },
        Target {
            what: "pair through the thread-local, one thread",
            limit: AtMost(0.9),
            unit: "x mimalloc",
            cases: |run| cases::alone(run, OURS, MIMALLOC),
        },
    ]
}

fn with_others() -> [Target; 4] {
    [
        Target {
            what: "pair, two threads on one pool",
            limit: AtMost(1.2),
            unit: "x its cost alone",
            cases: cases::beside_another,
        },
        Target {
            what: "throughput, two threads on one pool",
            limit: AtLeast(4.0),
            unit: "x ArrayQueue",
            cases: |run| cases::throughput(run, ARRAY_QUEUE),
        },
        Target {
            what: "remote: one gets, another puts",
            limit: AtMost(1.0),
            unit: "x the fastest peer",
            cases: |run| cases::over_fastest(run, Bench::Remote),
        },
        Target {
            what: "burst: 64 gets, 64 puts",
            limit: AtMost(1.0),
            unit: "x the fastest peer",
            cases: |run| cases::over_fastest(run, Bench::Burst),
        },
    ]
}

fn scarce() -> [Target; 3] {
    [
        Target {
            what: "scarce: throughput",
            limit: AtLeast(1.0),
            unit: "x the best barging peer",
            cases: cases::scarce_throughput,
        },
        Target {
            what: "scarce: p99.99 wait",
            limit: AtMost(2.0),
            unit: "x the best fair peer",
            cases: cases::scarce_tail,
        },
        Target {
            what: "scarce: largest bypass seen",
            limit: AtMost(f64::from(Builder::DEFAULT_BYPASS)),
            unit: "overtakes (K)",
            cases: cases::overtakes,
        },
    ]
}

/// However large, however many.
fn whatever_there_is() -> [Target; 6] {
    [
        Target {
            what: "64 B to 256 KiB: slowest size",
            // The pool does the same for all sizes. What is left is noise.
            limit: AtMost(1.25),
            unit: "x the fastest",
            cases: cases::sizes,
        },
        Target {
            what: "1 to 1,000,000 pages: slowest",
            limit: AtMost(1.5),
            unit: "x the smallest",
            cases: |run| cases::flatness(run, "pages"),
        },
        Target {
            what: "1 to 10,000 waiters: slowest",
            limit: AtMost(1.5),
            unit: "x the smallest",
            cases: |run| cases::flatness(run, "waiters"),
        },
        Target {
            what: "1 to 1,000 pools: slowest",
            limit: AtMost(1.5),
            unit: "x the smallest",
            cases: |run| cases::flatness(run, "pools"),
        },
        Target {
            what: "memory, out of band",
            limit: AtMost(8.0),
            unit: "bytes an item",
            cases: |run| cases::ours(run, Bench::Memory, |row| row.bytes_per_item),
        },
        Target {
            what: "a pool of a million items is made in",
            limit: AtMost(1.0),
            unit: "ms",
            cases: |run| cases::ours(run, Bench::Create, |row| row.median_ns.map(|ns| ns / 1e6)),
        },
    ]
}

/// What pools take their pages from.
fn arenas() -> [Target; 6] {
    [
        Target { what: "spans: 1,000,000 out", limit: AtMost(1.5), unit: "x 1,000 out", cases: cases::live },
        Target {
            what: "spans of mixed shapes",
            limit: AtMost(1.0),
            unit: "x the fastest peer",
            cases: |run| cases::over_fastest(run, Bench::Spans),
        },
        Target {
            what: "16 KiB of memory: throughput",
            limit: AtLeast(10.0),
            unit: "x mmap + munmap",
            cases: |run| cases::committed(run, MMAP),
        },
        Target {
            what: "a large span of a full arena: served",
            limit: AtLeast(100.0),
            unit: "% of those asked for",
            cases: |run| cases::large(run, |large| 100.0 * large.served as f64 / large.asked as f64),
        },
        Target {
            what: "a large span of a full arena: overtaken",
            limit: AtMost(f64::from(Arena::DEFAULT_BYPASS)),
            unit: "times a quantum of it (K)",
            cases: |run| cases::large(run, |large| large.most_overtaken as f64 / f64::from(large.quanta)),
        },
        Target {
            what: "a page is moved",
            limit: AtMost(3.0),
            unit: "x its copy + one mmap",
            cases: |run| cases::moving(run, COPY_AND_MMAP),
        },
    ]
}
