//! Several threads at one subject, each of which gets an object and puts it back. There are objects
//! for all.

use super::pairs_by;
use crate::case::{Bench, Case};
use crate::subject::Subject;

/// Adds the cases of a subject. One thread is among them, for what the others' cost it.
pub(crate) fn add<S: Subject>(cases: &mut Vec<Case>) {
    for threads in [1, 2, 4, 8] {
        let measure = move |pairs| pairs_by::<S>(threads, pairs);
        cases.push(Case::counted(Bench::Contended, "64 B", S::NAME, threads, measure));
    }
}
