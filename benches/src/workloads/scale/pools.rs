//! Many pools, and one thread that gets from and puts to one after the other.

use crate::case::{Bench, Case};
use crate::contestants::OURS;
use crate::subject::{Stock, Subject, USUAL, pairs};
use crate::subjects::ours::Ours;
use crate::threads::{mean_ns, together};
use crate::workloads::warm_up;

/// Adds the case of so many pools.
pub(super) fn add(cases: &mut Vec<Case>, count: usize) {
    cases.push(Case::prepared(Bench::Scale, format!("pools {count}"), OURS, 1, move || {
        let pools: Vec<Ours<USUAL>> = (0..count).map(|_| Subject::new(Stock::Ample(1))).collect();
        move |operations| {
            let times = together(1, |start| {
                // Each of them is warm before it is timed.
                go_round(&pools, warm_up(operations).max(4 * pools.len() as u64));
                start.time(|| go_round(&pools, operations))
            });
            mean_ns(&times, operations)
        }
    }));
}

#[inline(never)]
fn go_round(pools: &[Ours<USUAL>], times: u64) {
    for pool in pools.iter().cycle().take(times as usize) {
        pool.enter(|seat| pairs(seat, 1));
    }
}
