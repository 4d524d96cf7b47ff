//! What a run of the contest writes down, for who makes a report of it.

use serde::{Deserialize, Serialize};

use crate::case::Bench;

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// Whether it was a short one.
    pub quick: bool,
    /// How many samples there are of each case.
    pub rounds: usize,
    /// Where it ran.
    pub machine: Machine,
    /// What it was built with.
    pub toolchain: String,
    /// What it was built from, if that is known.
    pub commit: Option<String>,
    /// A row for each case, in the order of the tables.
    pub rows: Vec<Row>,
}

/// A machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Processors that may be used.
    pub cpus: usize,
    /// What they call themselves.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
    /// The operating system.
    pub os: String,
}

/// What came of one case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Its table.
    pub bench: Bench,
    /// What is special about it.
    pub shape: String,
    /// Who was measured.
    pub subject: String,
    /// By how many threads at once.
    pub threads: usize,
    /// Nanoseconds an operation as one thread sees it, the median of the rounds.
    pub median_ns: Option<f64>,
    /// The least of the rounds.
    pub min_ns: Option<f64>,
    /// The most of the rounds.
    pub max_ns: Option<f64>,
    /// How many times as long it took as ours in the same round, the median of the rounds.
    pub ratio_to_ours: Option<f64>,
    /// A figure for each round, in nanoseconds an operation.
    pub samples: Vec<f64>,
    /// Of spans: how many of the operations found none, as a share; the mean of the rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<f64>,
    /// Of scarce cases.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub scarce: Option<Scarce>,
    /// Of large spans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large: Option<Large>,
    /// Of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_item: Option<f64>,
}

/// What is said of scarce cases besides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scarce {
    /// How many objects there were.
    pub objects: usize,
    /// Whether there was work to do while one was held.
    pub work: bool,
    /// Gets a second of all threads together, the median of the rounds.
    pub ops_per_s: f64,
    /// How long gets waited, in all rounds.
    pub wait_ns: Waits,
    /// Gets of the thread that had the fewest, as a share of those of the one that had the most;
    /// the median of the rounds.
    pub fairness: Option<f64>,
    /// The most that any waiter was overtaken by later arrivals, if that was counted.
    pub largest_bypass: Option<u64>,
}

/// What is said of large spans besides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Large {
    /// How many quanta each was.
    pub quanta: u32,
    /// How many were asked for.
    pub asked: u64,
    /// How many of them were served, before they were given up.
    pub served: u64,
    /// How long they waited, in all rounds. Those that were given up are in it with the time until then.
    pub wait_ns: Waits,
    /// The most singles that were granted while one waited.
    pub most_overtaken: u64,
    /// Singles granted a second meanwhile, to all threads together, the median of the rounds.
    pub singles_per_s: f64,
}

/// Quantiles of waits, in nanoseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waits {
    /// Half waited no longer.
    pub p50: u64,
    /// 99 of 100 waited no longer.
    pub p99: u64,
    /// 9,999 of 10,000 waited no longer.
    pub p99_99: u64,
    /// Nobody waited longer.
    pub max: u64,
}
