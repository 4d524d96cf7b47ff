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
use crate::{loom, shuttle};

/// So many sequences of operations has each property.
pub(super) const SEQUENCES: u32 = 1000;

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
        Ok(Self {
            spin: said("spin", is_chosen(Method::Spin), || spin::run(None))?,
            tests: said("tests", is_chosen(Method::Tests), || run_tests(plan))?,
            shuttle: said("shuttle", is_chosen(Method::Shuttle), || {
                shuttle::run(&shuttle::Options::default())
            })?,
            loom: said("loom", is_chosen(Method::Loom), || loom::run(None, false))?,
            mutants: said("mutants", is_chosen(Method::Mutants), || mutants::run(&mutants::Args::default()))?,
        })
    }
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
    for tests in plan.tests() {
        ensure!(passed.iter().any(|passed| passed.is_of(tests)), "no test passed of: cargo test {tests}");
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
