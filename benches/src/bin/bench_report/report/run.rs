//! A run, as the benches wrote it: the JSON, checked once, and how rows are found in it.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

/// All that was measured.
#[derive(Debug, Deserialize)]
pub(crate) struct Run {
    pub(crate) quick: bool,
    pub(crate) rounds: u32,
    pub(crate) machine: Machine,
    pub(crate) toolchain: String,
    /// `None` outside a checkout.
    pub(crate) commit: Option<String>,
    pub(crate) rows: Vec<Row>,
    /// Empty if there was no valgrind.
    #[serde(default)]
    pub(crate) instructions: Vec<Count>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpus: u32,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    pub(crate) os: String,
}

/// One subject in one shape of one bench. What a bench does not measure is `None`.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) bench: String,
    pub(crate) shape: String,
    pub(crate) subject: String,
    pub(crate) threads: u32,
    /// Nanoseconds an operation, as one thread sees it.
    pub(crate) median_ns: Option<f64>,
    pub(crate) min_ns: Option<f64>,
    pub(crate) max_ns: Option<f64>,
    /// The median of the ratios of each round.
    pub(crate) ratio_to_ours: Option<f64>,
    pub(crate) bytes_per_item: Option<f64>,

    // What only `scarce` has.
    pub(crate) objects: Option<u32>,
    /// Whether something is done while an object is held.
    #[serde(default)]
    pub(crate) work: bool,
    pub(crate) ops_per_s: Option<f64>,
    pub(crate) wait_ns: Option<Waits>,
    /// The fewest gets of a thread over the most.
    pub(crate) fairness: Option<f64>,
    pub(crate) largest_bypass: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Waits {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_99: f64,
    pub(crate) max: f64,
}

/// The instructions of a pair, counted under callgrind.
#[derive(Debug, Deserialize)]
pub(crate) struct Count {
    pub(crate) subject: String,
    pub(crate) pair: f64,
    /// Whether `membarrier(2)` was there for the subject while it was counted.
    pub(crate) membarrier: Option<bool>,
}

/// Where rows are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place<'a> {
    pub(crate) bench: &'a str,
    pub(crate) shape: &'a str,
    pub(crate) threads: u32,
}

/// What a target or a plot needs and the run does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Run {
    /// Reads and checks a run.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let json = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&json).with_context(|| format!("{} is not a run of the benches", path.display()))
    }

    /// A run from its JSON. What is divided by later is positive in it, and no row is there twice.
    pub(crate) fn parse(json: &str) -> anyhow::Result<Self> {
        let run: Self = serde_json::from_str(json)?;
        ensure!(!run.rows.is_empty(), "it has no rows");
        let mut seen = HashSet::new();
        for row in &run.rows {
            if !seen.insert((row.place(), &row.subject, row.objects, row.work)) {
                bail!("`{}` is there twice in {}", row.subject, row.place());
            }
            row.check().with_context(|| format!("`{}` in {}", row.subject, row.place()))?;
        }
        Ok(run)
    }

    /// The rows of one bench.
    pub(crate) fn of(&self, bench: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.bench == bench)
    }

    /// The places of one bench, in the order of the run.
    pub(crate) fn places<'a>(&'a self, bench: &str) -> Vec<Place<'a>> {
        distinct(self.of(bench).map(Row::place))
    }

    /// The rows of one place.
    pub(crate) fn at<'a>(&'a self, place: Place<'a>) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.place() == place)
    }

    /// Nanoseconds an operation of one subject in one place.
    pub(crate) fn ns(&self, place: Place<'_>, subject: &str) -> Result<f64, Missing> {
        self.rows
            .iter()
            .find(|row| row.place() == place && row.subject == subject)
            .and_then(|row| row.median_ns)
            .ok_or_else(|| Missing(format!("no `{subject}` in {place}")))
    }
}

impl Row {
    pub(crate) fn place(&self) -> Place<'_> {
        Place { bench: &self.bench, shape: &self.shape, threads: self.threads }
    }

    fn check(&self) -> anyhow::Result<()> {
        let waits = self.wait_ns.as_ref();
        for (name, value) in [
            ("median_ns", self.median_ns),
            ("min_ns", self.min_ns),
            ("max_ns", self.max_ns),
            ("ops_per_s", self.ops_per_s),
            ("wait_ns.p99_99", waits.map(|waits| waits.p99_99)),
        ] {
            ensure!(value.is_none_or(|value| value > 0.0), "{name} is not above 0");
        }
        Ok(())
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bench, shape, threads } = self;
        write!(f, "{bench}, {shape}, {}", threads_of(*threads))
    }
}

/// A number of threads, in words.
pub(crate) fn threads_of(threads: u32) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}

/// Each once, where it comes first. For a handful: it looks through all it has.
pub(crate) fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}
