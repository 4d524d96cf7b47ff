//! `cargo xtask bench`: what this pool costs, beside what people would use instead.
//!
//! Three programs, one after the other: `contest` measures and writes target/bench.json, `instructions`
//! counts those of a pair and adds them to it, `bench_report` prints the targets beside the figures. On a
//! whole run it writes docs/BENCHMARKS.md and its plots.

use std::env::consts::ARCH;
use std::path::Path;

use crate::cargo::{self, cargo};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fewer and shorter rounds: all of it in under five minutes
    #[arg(long)]
    quick: bool,
    /// Run only this bench, and write no document; may be repeated
    #[arg(long = "bench", value_name = "BENCH")]
    benches: Vec<String>,
    /// Run only this subject, and write no document; may be repeated
    #[arg(long = "subject", value_name = "SUBJECT")]
    subjects: Vec<String>,
}

const CONTEST: [&str; 4] = ["-p", "benches", "--bin", "contest"];
const COUNTS: [&str; 2] = ["-p", "instructions"];
const REPORT: [&str; 6] = ["-p", "benches", "--features", "report", "--bin", "bench_report"];

/// Measures, counts, reports.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let whole = args.benches.is_empty() && args.subjects.is_empty();
    let json = cargo::target_dir().join("bench.json");

    let mut contest = cargo();
    contest.args(["run", "--release"]).args(CONTEST).arg("--");
    contest.args(args.quick.then_some("--quick"));
    contest.args(args.benches.iter().flat_map(|bench| ["--bench", bench]));
    contest.args(args.subjects.iter().flat_map(|subject| ["--subject", subject]));
    cargo::run(contest.arg("--json").arg(&json))?;

    cargo::run(cargo().args(["run", "--release"]).args(COUNTS).args(["--", "count", "--into"]).arg(&json))?;

    // Not in release: it has little to do, and what draws its plots is long to optimise.
    let mut report = cargo();
    report.arg("run").args(REPORT).arg("--").arg(&json);
    if whole {
        report.arg("--docs").arg(Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs"));
    }
    cargo::run(&mut report)
}

/// The report's own tests, for `cargo xtask test`.
pub(crate) fn report() -> anyhow::Result<()> {
    cargo::run(cargo().arg("test").args(REPORT))
}

/// Counts ours, for `cargo xtask test`, and fails if they have become more.
pub(crate) fn instructions() -> anyhow::Result<()> {
    cargo::run(cargo().args(["run", "--release"]).args(COUNTS).args(["--", "check"]))
}

/// Why instructions cannot be counted here, if they cannot.
pub(crate) fn no_instructions() -> Option<String> {
    if ARCH != "x86_64" {
        return Some(format!("the ceilings are of x86_64, and this is {ARCH}"));
    }
    (!cargo::is_there("valgrind", "--version")).then(|| "valgrind is not installed".to_owned())
}
