//! One subject in one workload, ready to be measured by whoever measures.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::workloads::scarce;

/// A group of cases that belong in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bench {
    /// One thread gets and puts.
    Uncontended,
    /// Several threads get and put at one subject.
    Contended,
    /// More threads than objects.
    Scarce,
    /// One thread gets, another puts.
    Remote,
    /// One thread gets 64 objects, then puts them.
    Burst,
    /// Threads come, get and put a little, and go.
    Churn,
    /// Objects of several sizes.
    Bytes,
    /// Ours: pools that hold much, many who wait, many pools.
    Scale,
    /// Ours: making a large pool.
    Create,
    /// Ours: what the pool itself needs for an item.
    Memory,
}

/// Its name on the command line.
impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("all have a name");
        f.write_str(value.get_name())
    }
}

/// How scarce a subject is, and what is done with its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scarcity {
    /// How many objects there are.
    pub objects: usize,
    /// Whether there is work to do while one is held.
    pub work: bool,
}

/// One subject in one workload.
pub struct Case {
    /// The table it belongs in.
    pub bench: Bench,
    /// What distinguishes it from others of its bench and subject, but for the threads.
    pub shape: String,
    /// Who is measured.
    pub subject: &'static str,
    /// How many threads use it at once.
    pub threads: usize,
    /// Of scarce cases only.
    pub scarcity: Option<Scarcity>,
    prepare: Box<dyn Fn() -> Trial>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {} threads: {}", self.bench, self.shape, self.threads, self.subject)
    }
}

/// A case with all it needs. It may be run again and again.
pub enum Trial {
    /// Does so many operations on each thread; nanoseconds an operation, as one thread sees it.
    Counted(Box<dyn FnMut(u64) -> f64>),
    /// Goes on for so long.
    Scarce(Box<dyn FnMut(Duration) -> scarce::Outcome>),
    /// Measures once, in a process that has done nothing else; bytes an item.
    Memory(fn() -> f64),
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counted(_) => "Counted",
            Self::Scarce(_) => "Scarce",
            Self::Memory(_) => "Memory",
        })
    }
}

impl Case {
    /// A case that needs nothing made before it is timed but what `measure` makes itself.
    pub(crate) fn counted(
        bench: Bench,
        shape: impl Into<String>,
        subject: &'static str,
        threads: usize,
        measure: impl Fn(u64) -> f64 + Clone + 'static,
    ) -> Self {
        Self::prepared(bench, shape, subject, threads, move || measure.clone())
    }

    /// A case whose subject is too costly to be made for each sample.
    pub(crate) fn prepared<M: FnMut(u64) -> f64 + 'static>(
        bench: Bench,
        shape: impl Into<String>,
        subject: &'static str,
        threads: usize,
        prepare: impl Fn() -> M + 'static,
    ) -> Self {
        let prepare = Box::new(move || Trial::Counted(Box::new(prepare())));
        Self { bench, shape: shape.into(), subject, threads, scarcity: None, prepare }
    }

    /// A case with fewer objects than threads.
    pub(crate) fn scarce(
        shape: impl Into<String>,
        subject: &'static str,
        threads: usize,
        scarcity: Scarcity,
        measure: impl Fn(Duration) -> scarce::Outcome + Clone + 'static,
    ) -> Self {
        let prepare = Box::new(move || Trial::Scarce(Box::new(measure.clone())));
        let (bench, shape) = (Bench::Scarce, shape.into());
        Self { bench, shape, subject, threads, scarcity: Some(scarcity), prepare }
    }

    /// A case that is about bytes.
    pub(crate) fn memory(shape: impl Into<String>, subject: &'static str, measure: fn() -> f64) -> Self {
        let prepare = Box::new(move || Trial::Memory(measure));
        let (bench, shape) = (Bench::Memory, shape.into());
        Self { bench, shape, subject, threads: 1, scarcity: None, prepare }
    }

    /// Makes what it needs.
    #[must_use]
    pub fn prepare(&self) -> Trial {
        (self.prepare)()
    }

    /// Whether the two are to be compared: the same but for the subject.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        (self.bench, &self.shape, self.threads) == (other.bench, &other.shape, other.threads)
    }
}
