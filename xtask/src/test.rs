//! `cargo xtask test`: everything that has to hold before a commit.
//!
//! Needs a Rust toolchain and nothing else. Of that, rustfmt and clippy may be
//! missing: their steps are then skipped aloud, because CI has both. So are the
//! count of instructions and memcheck where there is no valgrind, the specification where there
//! is no spin, and all that is built of benches where there is no C compiler and no
//! `make`. Fuzzing and the sanitizers are no part of it: they need a nightly toolchain, and long. The
//! corpus of the fuzzer is replayed by ordinary tests.

use crate::bench;
use crate::cargo::{self, cargo, with_loom, with_shuttle, with_strict_rustdoc};
use crate::features;
use crate::loom;
use crate::peers;
use crate::shuttle;
use crate::soak;
use crate::spin;
use crate::steps::Steps;
use crate::valgrind;

const CLIPPY: [&str; 4] = ["clippy", "--workspace", "--all-targets", "--all-features"];

/// Runs the steps to the first that fails.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut steps = Steps::default();
    let result = each(&mut steps);
    println!("{steps}");
    result
}

fn each(steps: &mut Steps) -> anyhow::Result<()> {
    let missing = cargo::missing_for_benches();
    let workspace: &[&str] = if missing.is_some() { &cargo::NO_BENCHES } else { &[] };
    if cargo::has("fmt")? {
        steps.run("format", || cargo::run(cargo().args(["fmt", "--all", "--check"])))?;
    } else {
        steps.skip("format", "rustfmt is not installed".into());
    }

    if cargo::has("clippy")? {
        steps.run("clippy", || {
            cargo::run(cargo().args(CLIPPY).args(workspace).args(["--", "-D", "warnings"]))
        })?;
        steps.run("clippy, loom", || {
            let mut clippy = cargo();
            with_loom(clippy.args(CLIPPY).args(workspace).arg("--release"));
            cargo::run(clippy.args(["--", "-D", "warnings"]))
        })?;
        // Only what names the checker: the rest is as under loom.
        steps.run("clippy, shuttle", || {
            let mut clippy = cargo();
            with_shuttle(clippy.args([
                "clippy",
                "-p",
                "kva",
                "-p",
                "loom-tests",
                "--all-targets",
                "--release",
            ]));
            cargo::run(clippy.args(["--", "-D", "warnings"]))
        })?;
    } else {
        steps.skip("clippy", "clippy is not installed".into());
        steps.skip("clippy, loom", "clippy is not installed".into());
        steps.skip("clippy, shuttle", "clippy is not installed".into());
    }

    steps.run("features", || features::check(missing.is_some()))?;

    // `--tests` has the libraries, the binaries and the integration tests.
    // Examples are only built unless they are named, and doc tests run only
    // with everything or alone.
    steps.run("tests", || {
        cargo::run(cargo().args(["test", "--workspace", "--tests", "--examples"]).args(workspace))
    })?;
    steps.run("tests, features", || {
        cargo::run(cargo().args([
            "test",
            "-p",
            "kva",
            "-p",
            "pool",
            "--all-features",
            "--test",
            "stats",
            "--test",
            "events",
            "--test",
            "bytes",
            "--test",
            "pieces_bytes",
            "--test",
            "allocator",
            "--test",
            "runtimes",
            "--test",
            "cancel",
            "--test",
            "soak",
            "--test",
            "hardening",
            "--test",
            "hardening_allocates_nothing",
        ]))
    })?;
    // Of benches there are none.
    steps.run("doc tests", || {
        cargo::run(cargo().args(["test", "-p", "kva", "-p", "pool", "--all-features", "--doc"]))
    })?;

    if let Some(missing) = &missing {
        steps.skip("benches", missing.clone());
    } else {
        steps.run("peers, ours", peers::ours)?;
        steps.run("bench report", bench::report)?;
        steps.run_unless("instructions", bench::no_instructions(), bench::instructions)?;
    }

    steps.run_unless("valgrind", valgrind::missing(), valgrind::run)?;
    steps.run_unless("specification", spin::missing(), || spin::run(None).map(drop))?;
    steps.run("soak", soak::minute)?;
    steps.run("loom models", || loom::run(None, false).map(drop))?;
    steps.run("shuttle worlds", || shuttle::run(&shuttle::Options::default()).map(drop))?;

    steps.run("documentation", || {
        cargo::run(with_strict_rustdoc(
            cargo().args(["doc", "--workspace", "--all-features", "--no-deps"]).args(workspace),
        ))
    })
}
