//! One thread gets an object of some size and puts it back. One byte of it is used, so that what is
//! seen is the cost of having it.

use super::pairs_alone;
use crate::case::{Bench, Case};
use crate::subject::Subject;

/// Adds the case of a subject whose objects are that large.
pub(crate) fn add<S: Subject, const BYTES: usize>(cases: &mut Vec<Case>) {
    let shape = match BYTES / 1024 {
        0 => format!("{BYTES} B"),
        kib => format!("{kib} KiB"),
    };
    cases.push(Case::counted(Bench::Bytes, shape, S::NAME, 1, pairs_alone::<S>));
}
