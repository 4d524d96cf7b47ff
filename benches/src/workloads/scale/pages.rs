//! A pool that holds many pages, all of them idle. The limit is the same for all.

use pool::Pool;

use crate::arena;
use crate::case::{Bench, Case};
use crate::contestants::OURS;
use crate::subject::{Block, Subject, USUAL, pairs};
use crate::subjects::ours::Ours;
use crate::threads::{mean_ns, together};
use crate::workloads::burst::burst;
use crate::workloads::warm_up;

/// The hard limit of each of these pools.
const LIMIT: u32 = 1 << 20;

/// How many items are out at once in the second case: most of a page, and more than what one get
/// leaves at hand for the next.
const BURST: usize = 48;

/// Adds the cases of a pool that holds so many.
pub(super) fn add(cases: &mut Vec<Case>, held: u32) {
    cases.push(Case::prepared(Bench::Scale, format!("pages {held}"), OURS, 1, move || {
        let ours = holding(held);
        move |operations| {
            let times = together(1, |start| {
                ours.enter(|seat| {
                    pairs(seat, warm_up(operations));
                    start.time_alone(|| pairs(seat, operations))
                })
            });
            mean_ns(&times, operations)
        }
    }));
    let shape = format!("pages {held}, {BURST} at once");
    cases.push(Case::prepared(Bench::Scale, shape, OURS, 1, move || {
        let ours = holding(held);
        move |operations| {
            let bursts = operations.div_ceil(BURST as u64);
            let times = together(1, |start| {
                ours.enter(|seat| {
                    let mut out = Vec::with_capacity(BURST);
                    burst(seat, &mut out, BURST, warm_up(bursts));
                    start.time_alone(|| burst(seat, &mut out, BURST, bursts))
                })
            });
            mean_ns(&times, bursts * BURST as u64)
        }
    }));
}

fn holding(pages: u32) -> Ours<USUAL> {
    let pool = Pool::builder(LIMIT, Block::default).build(arena(LIMIT as usize * 4096)).expect("a good pool");
    assert_eq!(pool.prime(pages).expect("memory"), pages);
    Ours::over(pool)
}
