//! The rounds: A B C, B C A, C A B.

use std::time::Duration;

use benches::case::{Case, Trial, Tried};
use benches::results::Row;
use benches::workloads::{large, scarce};

use super::effort::{Effort, calibrate};
use super::progress::Progress;
use super::{fresh, rows};

/// What a case came to in each round.
#[derive(Debug)]
pub(crate) enum Samples {
    /// Nanoseconds an operation.
    Counted(Vec<f64>),
    /// The same, and how many failed.
    Tried(Vec<Tried>),
    /// All there is to know.
    Scarce(Vec<scarce::Outcome>),
    /// All there is to know of large spans.
    Large(Vec<large::Outcome>),
    /// Bytes an item. Once: no other round could differ.
    Memory(f64),
}

/// A case in the rounds.
enum Entry {
    Counted { measure: Box<dyn FnMut(u64) -> f64>, operations: u64, samples: Vec<f64> },
    Tried { measure: Box<dyn FnMut(u64) -> Tried>, operations: u64, samples: Vec<Tried> },
    Scarce { measure: Box<dyn FnMut(Duration) -> scarce::Outcome>, samples: Vec<scarce::Outcome> },
    Large { measure: Box<dyn FnMut(Duration) -> large::Outcome>, samples: Vec<large::Outcome> },
    Memory(f64),
}

/// Measures the cases, and makes rows of them.
pub(crate) fn run(cases: &[Case], effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let progress = Progress::start(cases.len() * (effort.rounds + 1));
    let mut rows = Vec::new();
    for bench in cases.chunk_by(|one, next| one.bench == next.bench) {
        progress.begin(bench[0].bench);
        for part in bench.chunk_by(Case::is_together_with) {
            let samples = one_part(part, effort, &progress)?;
            rows.extend(rows::of(part, &samples));
        }
    }
    Ok(rows)
}

/// The rounds of one bench, or of what is together in it: all its shapes in each, since some are compared
/// with each other.
fn one_part(cases: &[Case], effort: &Effort, progress: &Progress) -> anyhow::Result<Vec<Samples>> {
    let mut entries = Vec::new();
    for case in cases {
        progress.sample(case);
        entries.push(enter(case, effort)?);
        progress.end();
    }
    for round in 0..effort.rounds {
        for at in order(cases, round) {
            progress.sample(&cases[at]);
            sample(&mut entries[at], effort);
            progress.end();
        }
    }
    Ok(entries.into_iter().map(Samples::from).collect())
}

/// In what order cases are measured in a round: group by group, each begun with another of its own.
fn order(cases: &[Case], round: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..cases.len()).collect();
    for group in order.chunk_by_mut(|&one, &next| cases[one].is_beside(&cases[next])) {
        group.rotate_left(round % group.len());
    }
    order
}

/// Makes what a case needs, and finds out how much it is to do.
fn enter(case: &Case, effort: &Effort) -> anyhow::Result<Entry> {
    Ok(match case.prepare() {
        Trial::Counted(mut measure) => {
            let operations = calibrate(effort.sample, &mut measure);
            Entry::Counted { measure, operations, samples: Vec::new() }
        }
        Trial::Tried(mut measure) => {
            let operations = calibrate(effort.sample, |operations| measure(operations).ns);
            Entry::Tried { measure, operations, samples: Vec::new() }
        }
        Trial::Scarce(measure) => Entry::Scarce { measure, samples: Vec::new() },
        Trial::Large(measure) => Entry::Large { measure, samples: Vec::new() },
        Trial::Memory(_) => Entry::Memory(fresh::measure(case)?),
    })
}

fn sample(entry: &mut Entry, effort: &Effort) {
    match entry {
        Entry::Counted { measure, operations, samples } => samples.push(measure(*operations)),
        Entry::Tried { measure, operations, samples } => samples.push(measure(*operations)),
        Entry::Scarce { measure, samples } => samples.push(measure(effort.scarce)),
        Entry::Large { measure, samples } => samples.push(measure(effort.scarce)),
        Entry::Memory(_) => {}
    }
}

impl From<Entry> for Samples {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Counted { samples, .. } => Self::Counted(samples),
            Entry::Tried { samples, .. } => Self::Tried(samples),
            Entry::Scarce { samples, .. } => Self::Scarce(samples),
            Entry::Large { samples, .. } => Self::Large(samples),
            Entry::Memory(bytes) => Self::Memory(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use benches::case::Bench;
    use benches::contestants::cases;

    use super::*;

    #[test]
    fn each_round_has_all_and_begins_with_another() {
        let mut cases = cases();
        cases.retain(|case| case.bench == Bench::Contended);
        let group = cases.chunk_by(Case::is_beside).next().unwrap().len();
        assert!(group > 2);
        for round in 0..group {
            let mut order = order(&cases, round);
            assert_eq!(order[..2], [round, (round + 1) % group]);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..cases.len()));
        }
    }

    #[test]
    fn each_case_has_a_sample_a_round() {
        let mut cases = cases();
        cases.retain(|case| case.bench == Bench::Burst && case.subject == "ArrayQueue");
        let effort = Effort { rounds: 3, ..Effort::QUICK };
        let rows = run(&cases, &effort).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].samples.len(), 3);
    }
}
