//! What each method said when it was last run, kept under the target directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Method;
use super::plan::{Plan, Tests};
use crate::cargo::{self, cargo};
use crate::mutants::{self, Row};
use crate::report::Model;
use crate::spin::{self, Checked};
use crate::{loom, shuttle, soak};

/// So many sequences of operations has each property, unless its source says how many.
pub(super) const SEQUENCES: u32 = 1000;

/// So long is the soak, which checks each equation before every unlock.
const SOAK: &str = "2m";

/// What one method said, and how long it took.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Said<T> {
    pub(super) seconds: f64,
    pub(super) of: Vec<T>,
}

/// What all of them said.
#[derive(Debug)]
pub(super) struct Outcomes {
    pub(super) loom: Said<Model>,
    pub(super) shuttle: Said<Model>,
    pub(super) spin: Said<Checked>,
    pub(super) mutants: Said<Row>,
    pub(super) tests: Said<Passed>,
    pub(super) soak: Said<Soaked>,
}

/// What the soak came to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Soaked {
    pub(super) seed: u64,
    pub(super) threads: u32,
    pub(super) tasks: u32,
    pub(super) seconds: f64,
    operations: Vec<Operation>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Operation {
    done: u64,
    refused: u64,
    panicked: u64,
}

impl Soaked {
    pub(super) fn operations(&self) -> u64 {
        self.operations.iter().map(|one| one.done + one.refused + one.panicked).sum()
    }
}

/// A test that passed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Passed {
    /// As for `cargo test`.
    program: String,
    name: String,
}

impl Outcomes {
    /// Runs the chosen methods, and takes from the others what they said when they last ran.
    ///
    /// # Errors
    /// One fails, cannot run here, or has not run yet.
    pub(super) fn of(plan: &Plan, chosen: &BTreeSet<Method>) -> anyhow::Result<Self> {
        let is_chosen = |method| chosen.contains(&method);
        let spin = said("spin", is_chosen(Method::Spin), || spin::run(None))?;
        let tests = said("tests", is_chosen(Method::Tests), || run_tests(plan))?;
        each_passed(plan, &tests.of)?;
        let soak = said("soak", is_chosen(Method::Soak), run_soak)?;
        let shuttle =
            said("shuttle", is_chosen(Method::Shuttle), || shuttle::run(&shuttle::Options::default()))?;
        let loom = said("loom", is_chosen(Method::Loom), || loom::run(None, false))?;
        let mutants =
            said("mutants", is_chosen(Method::Mutants), || mutants::run(&mutants::Args::default()))?;
        each_was_judged(&mutants.of)?;
        Ok(Self { loom, shuttle, spin, mutants, tests, soak })
    }
}

// What is quoted may be of another plan, or of another list of mutants. Models that did not run are missed
// by the page.

fn each_passed(plan: &Plan, passed: &[Passed]) -> anyhow::Result<()> {
    for tests in plan.tests() {
        let is_there = passed.iter().any(|passed| passed.is_of(tests));
        ensure!(is_there, "no test passed of: cargo test {tests} (cargo xtask verify tests)");
    }
    Ok(())
}

fn each_was_judged(rows: &[Row]) -> anyhow::Result<()> {
    let judged: BTreeSet<_> = rows.iter().map(|row| row.mutant.clone()).collect();
    let others: Vec<_> = mutants::names()?.symmetric_difference(&judged).cloned().collect();
    ensure!(
        others.is_empty(),
        "mutants that were not judged, or are no more: {others:?} (cargo xtask verify mutants)"
    );
    Ok(())
}

fn said<T: Serialize + DeserializeOwned>(
    name: &str,
    is_chosen: bool,
    run: impl FnOnce() -> anyhow::Result<Vec<T>>,
) -> anyhow::Result<Said<T>> {
    let path = directory()?.join(name).with_extension("json");
    if !is_chosen {
        let file = fs::read(&path).with_context(|| {
            format!("{name} has not run yet: cargo xtask verify {name} ({})", path.display())
        })?;
        return serde_json::from_slice(&file)
            .with_context(|| format!("what {name} last said is of no use: {}", path.display()));
    }
    println!("== {name}");
    let started = Instant::now();
    let of = run().with_context(|| format!("{name} failed"))?;
    let said = Said { seconds: started.elapsed().as_secs_f64(), of };
    fs::write(&path, serde_json::to_vec(&said)?)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    println!();
    Ok(said)
}

fn directory() -> anyhow::Result<PathBuf> {
    let dir = std::path::absolute(cargo::target_dir())?.join("verify");
    fs::create_dir_all(&dir).with_context(|| format!("{} cannot be created", dir.display()))?;
    Ok(dir)
}

fn run_soak() -> anyhow::Result<Vec<Soaked>> {
    let json = directory()?.join("soak-report.json");
    soak::run(&soak::Args::of(SOAK, json.clone()))?;
    let text = fs::read(&json).with_context(|| format!("{} cannot be read", json.display()))?;
    Ok(vec![serde_json::from_slice(&text).context("what the soak came to")?])
}

/// Runs each program that the plan names, whole.
fn run_tests(plan: &Plan) -> anyhow::Result<Vec<Passed>> {
    let programs: BTreeSet<_> = plan.tests().map(|tests| &tests.program).collect();
    let mut passed = Vec::new();
    for program in programs {
        let mut command = cargo();
        command.arg("test").args(program.arguments()).arg("--all-features");
        command.env("PROPTEST_CASES", SEQUENCES.to_string());
        println!("$ {}", cargo::shown(&command));
        let output = command.output().context("cargo cannot be started")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{} ({}):\n{text}{}",
            cargo::shown(&command),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        passed
            .extend(names(&text).map(|name| Passed { program: program.to_string(), name: name.to_owned() }));
    }
    println!("{} tests", passed.len());
    Ok(passed)
}

/// Of the tests that passed.
fn names(text: &str) -> impl Iterator<Item = &str> {
    // A test that is expected to panic says so behind its name.
    text.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... ok")?.split(' ').next())
}

impl Passed {
    pub(super) fn is_of(&self, tests: &Tests) -> bool {
        self.program == tests.program.to_string() && self.name.contains(&tests.filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_passed_are_found() {
        let text = "running 4 tests\ntest a::b ... ok\ntest c - should panic ... ok\n\
                    test d ... ignored\ntest e ... FAILED\n\ntest result: ok. 2 passed\n";
        assert_eq!(names(text).collect::<Vec<_>>(), ["a::b", "c"]);
    }

    #[test]
    fn a_test_is_of_its_program_and_its_filter() {
        let passed = Passed { program: "-p pool --test cancel".into(), name: "a::b".into() };
        let is_of = |text: &str| passed.is_of(&text.to_owned().try_into().unwrap());
        assert!(is_of("pool --test cancel") && is_of("pool --test cancel a::"));
        assert!(!is_of("pool --test cancel c") && !is_of("kva --test cancel") && !is_of("pool --lib"));
    }
}
