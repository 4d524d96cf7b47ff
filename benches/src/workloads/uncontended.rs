//! One thread gets an object and puts it back.

use super::pairs_alone;
use crate::case::{Bench, Case};
use crate::subject::Subject;

/// Adds the cases of a subject.
pub(crate) fn add<S: Subject>(cases: &mut Vec<Case>) {
    cases.push(Case::counted(Bench::Uncontended, "64 B", S::NAME, 1, pairs_alone::<S>));
}
