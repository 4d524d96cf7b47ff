//! Pages are moved out of one half of all frames into the other, and back.

use crate::case::{Bench, Case};
use crate::source::Moving;
use crate::threads::{mean_ns, processor_time};

/// How many pages there are. They and their copies go beyond the second cache, as what is moved does that
/// nobody has looked at for long.
const PAGES: u32 = 1_024;

/// Adds the cases of a mover: of pages that may be touched at any time, and of those that are inaccessible
/// until they are pinned.
pub(crate) fn add<M: Moving>(cases: &mut Vec<Case>) {
    for (shape, protect) in [("4 KiB", false), ("4 KiB, protected", true)] {
        cases.push(Case::prepared(Bench::Moving, shape, M::NAME, 1, move || {
            let mut moving = M::new(PAGES, protect);
            move |moves| passes(&mut moving, moves.div_ceil(u64::from(PAGES)))
        }));
    }
}

/// Moves all of them so many times; nanoseconds a page.
fn passes<M: Moving>(moving: &mut M, passes: u64) -> f64 {
    let ((), time) = processor_time(|| (0..passes).for_each(|_| moving.pass()));
    mean_ns(&[time], passes * u64::from(PAGES))
}
