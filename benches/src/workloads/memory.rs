//! What the pool itself needs for an item: its tables and its arena's.
//!
//! Measured from outside, as what the process has resident: a counting allocator would see neither
//! what is mapped nor what of it is used. All items are got, touched and put; what they occupy
//! themselves is exactly known, and taken off. The process must be a fresh one, since what an
//! allocator still has of earlier work it would use again without growing.

use std::alloc::Layout;
use std::fs;
use std::ptr::NonNull;

use pool::RawPool;

use super::create::{ITEMS, PAGES};
use crate::arena;
use crate::case::Case;
use crate::contestants::OURS;
use crate::subject::{Block, USUAL};

/// Adds the case, of ours only.
pub(crate) fn add(cases: &mut Vec<Case>) {
    cases.push(Case::memory("1,000,000 items", OURS, bytes_an_item));
}

/// Bytes an item that are not the item's.
fn bytes_an_item() -> f64 {
    // Resident before anything is measured.
    let mut out = vec![NonNull::dangling(); ITEMS];

    let before = resident();
    let builder = RawPool::builder(Layout::new::<Block<USUAL>>(), PAGES);
    let pool = builder.build(arena(PAGES as usize * 4096)).expect("a good pool");
    for item in &mut out {
        *item = pool.get().expect("an item");
        // SAFETY: it is ours, and that long.
        unsafe { item.write_bytes(1, USUAL) };
    }
    for item in &out {
        // SAFETY: nobody uses it.
        unsafe { pool.put(*item) }.expect("it is out");
    }
    let grown = resident() - before;

    (grown as f64 - (ITEMS * USUAL) as f64) / ITEMS as f64
}

/// What this process has resident, in bytes. `statm` knows it only within what each processor has
/// not yet accounted for.
fn resident() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("procfs");
    parse(&rollup).expect("a line for Rss")
}

fn parse(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found() {
        let rollup = "55d0-7ffd ---p 00000000 00:00 0   [rollup]\nRss:                1500 kB\nPss:  12 kB\n";
        assert_eq!(parse(rollup), Some(1500 * 1024));
        assert_eq!(parse("Pss: 12 kB\n"), None);
        assert!(resident() > 0);
    }
}
