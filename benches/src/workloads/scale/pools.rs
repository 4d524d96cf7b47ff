//! Many pools of one arena, and one thread that gets from and puts to one after the other.

use pool::Pool;

use crate::arena;
use crate::case::{Bench, Case};
use crate::contestants::OURS;
use crate::subject::{Block, Subject, USUAL, pairs};
use crate::subjects::ours::Ours;
use crate::threads::{mean_ns, together};
use crate::workloads::warm_up;

/// The hard limit of each of them, in pages: far more than it needs.
const LIMIT: u32 = 1024;

/// How many pages there are for each of them.
const ROOM: usize = 16;

/// Adds the case of so many pools.
pub(super) fn add(cases: &mut Vec<Case>, count: usize) {
    cases.push(Case::prepared(Bench::Scale, format!("pools {count}"), OURS, 1, move || {
        let pools = pools(count);
        move |operations| {
            let times = together(1, |start| {
                // Each of them is warm before it is timed.
                go_round(&pools, warm_up(operations).max(4 * pools.len() as u64));
                start.time_alone(|| go_round(&pools, operations))
            });
            mean_ns(&times, operations)
        }
    }));
}

fn pools(count: usize) -> Vec<Ours<USUAL>> {
    // One, as they would have: arenas of their own would all begin at addresses that compete for
    // the same lines of the processor's caches.
    let arena = arena(count * ROOM * 4096);
    let pool = || Pool::builder(LIMIT, Block::default).build(arena.clone()).expect("a good pool");
    (0..count).map(|_| Ours::over(pool())).collect()
}

#[inline(never)]
fn go_round(pools: &[Ours<USUAL>], times: u64) {
    for pool in pools.iter().cycle().take(times as usize) {
        pool.enter(|seat| pairs(seat, 1));
    }
}
