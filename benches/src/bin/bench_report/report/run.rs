//! A run, as the benches wrote it: the JSON, checked once, and how rows are found in it.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use benches::case::Bench;
use benches::results::{Results, Row};
use serde::Deserialize;

/// All that was measured.
#[derive(Debug, Deserialize)]
pub(crate) struct Run {
    #[serde(flatten)]
    pub(crate) results: Results,
    /// Empty if there was no valgrind.
    #[serde(default)]
    pub(crate) instructions: Vec<Count>,
}

/// The instructions of a pair, counted under callgrind.
#[derive(Debug, Deserialize)]
pub(crate) struct Count {
    pub(crate) subject: String,
    pub(crate) pair: f64,
    /// Whether `membarrier(2)` was there for the subject while it was counted.
    pub(crate) membarrier: bool,
}

/// Where rows are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) bench: Bench,
    pub(crate) shape: &'a str,
    pub(crate) threads: usize,
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
        ensure!(!run.results.rows.is_empty(), "it has no rows");
        let mut seen = HashSet::new();
        for row in &run.results.rows {
            if !seen.insert((row.bench.to_string(), &row.shape, row.threads, &row.subject)) {
                bail!("`{}` is there twice in {}", row.subject, Place::of(row));
            }
            check(row).with_context(|| format!("`{}` in {}", row.subject, Place::of(row)))?;
        }
        Ok(run)
    }

    /// The rows of one bench.
    pub(crate) fn of(&self, bench: Bench) -> impl Iterator<Item = &Row> {
        self.results.rows.iter().filter(move |row| row.bench == bench)
    }

    /// The places of one bench, in the order of the run.
    pub(crate) fn places(&self, bench: Bench) -> Vec<Place<'_>> {
        distinct(self.of(bench).map(Place::of))
    }

    /// The rows of one place.
    pub(crate) fn at<'a>(&'a self, place: Place<'a>) -> impl Iterator<Item = &'a Row> {
        self.results.rows.iter().filter(move |row| Place::of(row) == place)
    }

    /// Nanoseconds an operation of one subject in one place.
    pub(crate) fn ns(&self, place: Place<'_>, subject: &str) -> Result<f64, Missing> {
        let rows = self.results.rows.iter();
        let row = rows.filter(|row| Place::of(row) == place).find(|row| row.subject == subject);
        row.and_then(|row| row.median_ns).ok_or_else(|| Missing(format!("no `{subject}` in {place}")))
    }
}

impl<'a> Place<'a> {
    pub(crate) fn of(row: &'a Row) -> Self {
        Self { bench: row.bench, shape: &row.shape, threads: row.threads }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bench, shape, threads } = self;
        write!(f, "{bench}, {shape}, {}", threads_of(*threads))
    }
}

fn check(row: &Row) -> anyhow::Result<()> {
    let scarce = row.scarce.as_ref();
    ensure!(scarce.is_some() == (row.bench == Bench::Scarce), "waits belong to scarce, and to nothing else");
    let large = row.large.as_ref();
    ensure!(
        large.is_some() == (row.bench == Bench::Large),
        "large spans belong to large, and to nothing else"
    );
    ensure!(large.is_none_or(|large| large.asked > 0), "no large span was asked for");
    ensure!(row.failed.is_none_or(|share| (0.0..=1.0).contains(&share)), "failed is no share");
    for (name, value) in [
        ("median_ns", row.median_ns),
        ("min_ns", row.min_ns),
        ("max_ns", row.max_ns),
        ("ops_per_s", scarce.map(|scarce| scarce.ops_per_s)),
    ] {
        ensure!(value.is_none_or(|value| value > 0.0), "{name} is not above 0");
    }
    ensure!(scarce.is_none_or(|scarce| scarce.wait_ns.p99_99 > 0), "wait_ns.p99_99 is not above 0");
    Ok(())
}

/// A number of threads, in words.
pub(crate) fn threads_of(threads: usize) -> String {
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
