//! 16 KiB of memory, at 16 KiB where the source can: an arena beside the system's own ways.

use crate::case::{Bench, Case, Tried};
use crate::source::{Mapped, Source};
use crate::sources::touched::Touched;
use crate::workloads::spans::{Mix, Population};

/// How many are out.
const LIVE: u32 = 1_000;

/// How many percent of an arena they are.
const FILL: u32 = 80;

/// Adds the cases of a source: with spans that nobody uses, and with a byte written to each.
pub(crate) fn add<S: Mapped>(cases: &mut Vec<Case>, subject: &'static str) {
    one::<S>(cases, "16 KiB, untouched", subject);
    one::<Touched<S>>(cases, "16 KiB, a byte written", subject);
}

fn one<S: Source>(cases: &mut Vec<Case>, shape: &str, subject: &'static str) {
    cases.push(Case::tried(Bench::Committed, "", shape, subject, || {
        let mut population = Population::<S>::new(Mix::FourAtFour, LIVE, FILL);
        move |operations| Tried::of(population.exchange(operations), operations)
    }));
}
