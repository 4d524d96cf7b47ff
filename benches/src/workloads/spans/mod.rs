//! Spans of mixed shapes: a random one that is out is freed, one of a random shape is taken.

mod mix;
mod population;

pub(crate) use mix::Mix;
use population::Rounds;
pub(crate) use population::{Population, Sum};

use crate::case::{Bench, Case, Tried};
use crate::source::{Room, Source};

/// How many spans are out.
pub(crate) const LIVE: [u32; 3] = [1_000, 100_000, 1_000_000];

/// How many percent of the quanta they are.
pub(crate) const FILLS: [u32; 3] = [50, 80, 95];

/// Quanta where nothing but one span is out.
const EMPTY: u32 = 1 << 16;

/// Which of the cases a source is in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    /// The shapes that it can be asked for.
    pub(crate) mixes: &'a [Mix],
    /// Those of [`LIVE`] that it can cope with.
    pub(crate) live: &'a [u32],
    /// Those of [`FILLS`] that it is measured at.
    pub(crate) fills: &'a [u32],
}

/// Adds the cases of a source. Those that differ in nothing but how many spans are out are measured in
/// the same rounds: they are compared with each other.
pub(crate) fn add<S: Source>(cases: &mut Vec<Case>, part: Part<'_>) {
    for &mix in part.mixes {
        let together = format!("{}, empty", mix.name());
        cases.push(Case::tried(Bench::Spans, together.clone(), together, S::NAME, move || {
            let mut source = S::new(Room { quanta: EMPTY, spans: 1 });
            let mut rounds = Rounds::new(mix);
            move |operations| Tried::of(rounds.pairs(&mut source, operations), operations)
        }));
        for &fill in part.fills {
            for &live in part.live {
                let together = format!("{}, {fill} %", mix.name());
                let shape = format!("{together}, {live} live");
                cases.push(Case::tried(Bench::Spans, together, shape, S::NAME, move || {
                    let mut population = Population::<S>::new(mix, live, fill);
                    move |operations| Tried::of(population.exchange(operations), operations)
                }));
            }
        }
    }
}
