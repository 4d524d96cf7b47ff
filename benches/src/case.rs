//! One subject in one workload, ready to be measured by whoever measures.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::threads::mean_ns;
use crate::workloads::spans::Sum;
use crate::workloads::{large, scarce};

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
    /// Spans of mixed shapes from an arena with many of them out.
    Spans,
    /// Spans of 16 KiB of memory.
    Committed,
    /// A large span of an arena that is full of small ones.
    Large,
    /// Pages that are moved to other frames.
    Moving,
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
    /// Of large cases only: how many quanta are wanted at once.
    pub quanta: Option<u32>,
    /// Cases of a bench that have the same are prepared and measured in the same rounds. Those of another
    /// are prepared when these are done: all at once would not fit into memory.
    pub together: String,
    prepare: Box<dyn Fn() -> Trial>,
}

/// What so many operations came to, some of which may have failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tried {
    /// Nanoseconds an operation.
    pub ns: f64,
    /// How many of the operations failed, as a share.
    pub failed: f64,
}

impl Tried {
    pub(crate) fn of(sum: Sum, operations: u64) -> Self {
        Self { ns: mean_ns(&[sum.time], operations), failed: sum.failed as f64 / operations as f64 }
    }
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
    /// As counted, of what may fail.
    Tried(Box<dyn FnMut(u64) -> Tried>),
    /// Goes on for so long.
    Scarce(Box<dyn FnMut(Duration) -> scarce::Outcome>),
    /// Goes on for so long, of large spans.
    Large(Box<dyn FnMut(Duration) -> large::Outcome>),
    /// Measures once, in a process that has done nothing else; bytes an item.
    Memory(fn() -> f64),
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counted(_) => "Counted",
            Self::Tried(_) => "Tried",
            Self::Scarce(_) => "Scarce",
            Self::Large(_) => "Large",
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
        Self::new(bench, shape.into(), subject, threads, prepare)
    }

    /// A case of one thread whose operations may fail.
    pub(crate) fn tried<M: FnMut(u64) -> Tried + 'static>(
        bench: Bench,
        together: impl Into<String>,
        shape: impl Into<String>,
        subject: &'static str,
        prepare: impl Fn() -> M + 'static,
    ) -> Self {
        let prepare = Box::new(move || Trial::Tried(Box::new(prepare())));
        Self { together: together.into(), ..Self::new(bench, shape.into(), subject, 1, prepare) }
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
        Self { scarcity: Some(scarcity), ..Self::new(Bench::Scarce, shape.into(), subject, threads, prepare) }
    }

    /// A case of an arena that is short of large spans.
    pub(crate) fn large(
        shape: impl Into<String>,
        subject: &'static str,
        threads: usize,
        quanta: u32,
        measure: impl Fn(Duration) -> large::Outcome + Clone + 'static,
    ) -> Self {
        let prepare = Box::new(move || Trial::Large(Box::new(measure.clone())));
        Self { quanta: Some(quanta), ..Self::new(Bench::Large, shape.into(), subject, threads, prepare) }
    }

    /// A case that is about bytes.
    pub(crate) fn memory(shape: impl Into<String>, subject: &'static str, measure: fn() -> f64) -> Self {
        let prepare = Box::new(move || Trial::Memory(measure));
        Self::new(Bench::Memory, shape.into(), subject, 1, prepare)
    }

    fn new(
        bench: Bench,
        shape: String,
        subject: &'static str,
        threads: usize,
        prepare: Box<dyn Fn() -> Trial>,
    ) -> Self {
        Self {
            bench,
            shape,
            subject,
            threads,
            scarcity: None,
            quanta: None,
            together: String::new(),
            prepare,
        }
    }

    /// Makes what it needs.
    #[must_use]
    pub fn prepare(&self) -> Trial {
        (self.prepare)()
    }

    /// Whether the two are to be measured in the same rounds.
    #[must_use]
    pub fn is_together_with(&self, other: &Self) -> bool {
        (self.bench, &self.together) == (other.bench, &other.together)
    }

    /// Whether the two are to be compared: the same but for the subject.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        (self.bench, &self.shape, self.threads) == (other.bench, &other.shape, other.threads)
    }
}
