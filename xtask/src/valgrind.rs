//! `cargo xtask valgrind`: the storm, and the stress test, under valgrind's memcheck.
//!
//! No error, and nothing that nobody points to any more. Only what is on the heap is checked: the memory
//! that an arena hands out is mapped, and all of it is valgrind's to see as one. Its threads run one at a
//! time, so it finds no races. It hands membarrier(2) on to the kernel, so caches are what they are.

use crate::cargo::{cargo, is_there, run as start};
use crate::steps;

/// By which cargo runs what it has built.
const RUNNER: &str = r#"target."cfg(unix)".runner = ["valgrind", "-q", "--fair-sched=yes", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]"#;

const STRESS: [&str; 5] = ["test", "-p", "pool", "--test", "stress"];
const STORM: [&str; 10] = ["run", "-q", "-p", "pool", "--example", "storm", "--", "-P", "6", "--protocol"];

/// What is missing to run it, if anything.
pub(crate) fn missing() -> Option<String> {
    (!is_there("valgrind", "--version")).then(|| "valgrind is not installed".to_owned())
}

/// As [`run`]; passed over aloud where something is missing.
pub(crate) fn run_if_installed() -> anyhow::Result<()> {
    steps::unless_missing(missing(), run)
}

/// Runs both, shortly.
pub(crate) fn run() -> anyhow::Result<()> {
    for protocol in ["claim", "choose"] {
        let mut storm = cargo();
        storm.args(["--config", RUNNER]).args(STORM).args([protocol, "--launches", "12"]);
        start(&mut storm)?;
    }
    start(cargo().args(["--config", RUNNER]).args(STRESS))
}
