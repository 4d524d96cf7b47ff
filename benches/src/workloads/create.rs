//! A pool of a million items is made. Nothing is got from it.

use std::alloc::Layout;
use std::hint::black_box;
use std::time::Duration;

use pool::RawPool;

use crate::arena;
use crate::case::{Bench, Case};
use crate::contestants::OURS;
use crate::subject::{Block, USUAL};
use crate::threads::{mean_ns, processor_time};

/// How many items the pool may have.
pub(super) const ITEMS: usize = 1_000_000;

/// How many of them fit into a page of 4 KiB, which is what such items are carved from.
pub(super) const ITEMS_PER_PAGE: usize = 4096 / USUAL;

/// How many pages that takes.
pub(super) const PAGES: u32 = ITEMS.div_ceil(ITEMS_PER_PAGE) as u32;

/// Adds the case, of ours only.
pub(crate) fn add(cases: &mut Vec<Case>) {
    cases.push(Case::prepared(Bench::Create, "1,000,000 items", OURS, 1, || {
        let arena = arena(PAGES as usize * 4096);
        move |pools| {
            let mut total = Duration::ZERO;
            for _ in 0..pools {
                let builder = RawPool::builder(Layout::new::<Block<USUAL>>(), PAGES);
                let arena = arena.clone();
                let (pool, time) = processor_time(|| builder.build(black_box(arena)));
                total += time;
                drop(black_box(pool.expect("a good pool")));
            }
            mean_ns(&[total], pools)
        }
    }));
}
