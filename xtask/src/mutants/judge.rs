//! Building a judge, and what it says.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use cargo_metadata::Message;

use super::LIMIT;
use super::list::Judge;
use super::tree::Tree;
use crate::cargo::{cargo, jobs, with_loom_in};

/// What a model prints where it fails, in `loom-tests/src/run.rs`.
const FAILED: &str = "the world failed in execution ";
/// Names the one model that is to run.
const MODEL: &str = "LOOM_KNOWN_BAD";

/// Builds sooner, and models run a little slower.
const QUICK: [(&str, &str); 5] = [
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_DEV_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "true"),
    ("CARGO_INCREMENTAL", "1"),
];

const POLL: Duration = Duration::from_millis(20);

/// What a judge says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fails {
        executions: Option<u64>,
        message: String,
    },
    Holds {
        executions: Option<u64>,
    },
    /// Nothing, in all the time it had.
    Silent,
}

/// Where judges are built.
pub(super) struct Bench<'a> {
    tree: &'a Tree,
}

/// The programs that judges are in, by their package and, within it, the name of the test or of the
/// package again.
pub(super) type Built = HashMap<(String, String), PathBuf>;

impl<'a> Bench<'a> {
    pub(super) const fn new(tree: &'a Tree) -> Self {
        Self { tree }
    }

    /// Builds the programs that these judges are in.
    ///
    /// # Errors
    /// The code does not compile.
    pub(super) fn build(&self, judges: &BTreeSet<&Judge>) -> anyhow::Result<Built> {
        let dir = super::directory()?.join("target");
        let mut models = cargo();
        models.args(["test", "--release", "--no-run", "-p", "loom-tests"]);
        let mut units = cargo();
        units.args(["test", "--no-run"]).arg("--target-dir").arg(&dir);
        let (mut any_model, mut any_unit, mut any_lib) = (false, false, false);
        for judge in judges {
            match judge {
                Judge::Model { test, .. } => {
                    models.args(["--test", test]);
                    any_model = true;
                }
                Judge::Unit { package, test, .. } => {
                    units.args(["-p", package]);
                    match test {
                        None => any_lib = true,
                        Some(test) => _ = units.args(["--test", test]),
                    }
                    any_unit = true;
                }
            }
        }
        if any_lib {
            units.arg("--lib");
        }
        let mut built = Built::new();
        if any_model {
            self.programs(with_loom_in(&mut models, &dir.join("loom")), &mut built)?;
        }
        if any_unit {
            self.programs(&mut units, &mut built)?;
        }
        Ok(built)
    }

    fn programs(&self, command: &mut Command, built: &mut Built) -> anyhow::Result<()> {
        // Nearly all of the time goes into building what runs for a moment.
        for (setting, value) in QUICK {
            command.env(setting, value);
        }
        command.args(["-j", jobs(), "--message-format", "json"]).current_dir(self.tree.root());
        let output = command.output().context("cargo cannot be started")?;
        let mut errors = String::new();
        for message in Message::parse_stream(&*output.stdout) {
            match message? {
                Message::CompilerArtifact(artifact) if artifact.profile.test => {
                    if let Some(program) = artifact.executable {
                        // A package is named as its folder is.
                        let package = artifact.manifest_path.parent().and_then(|dir| dir.file_name());
                        let package = package.context("a package has a folder")?.to_owned();
                        built.insert((package, artifact.target.name), program.into());
                    }
                }
                Message::CompilerMessage(told) if told.message.message.starts_with("aborting") => {}
                Message::CompilerMessage(told) => {
                    let level = told.message.level;
                    if matches!(level, cargo_metadata::diagnostic::DiagnosticLevel::Error) {
                        errors += &told.message.rendered.unwrap_or(told.message.message);
                    }
                }
                _ => {}
            }
        }
        if errors.is_empty() {
            // Of no code: a test that is not there, or a compiler that was killed.
            errors = String::from_utf8_lossy(&output.stderr).into_owned();
        }
        ensure!(output.status.success(), "it does not compile: {}", errors.trim());
        Ok(())
    }

    /// Asks one.
    ///
    /// # Errors
    /// There is no such judge, or it says nothing that is understood.
    pub(super) fn ask(&self, judge: &Judge, built: &Built) -> anyhow::Result<Verdict> {
        let (program, arguments, package) = match judge {
            Judge::Model { test, .. } => (test, vec!["--nocapture", "--test-threads=1"], "loom-tests"),
            Judge::Unit { package, test, unit } => {
                (test.as_ref().unwrap_or(package), vec!["--exact", unit], &**package)
            }
        };
        let path = built.get(&(package.to_owned(), program.clone()));
        let path = path.with_context(|| format!("no program has {judge}"))?;
        let mut command = Command::new(path);
        command.args(arguments).current_dir(self.tree.root().join(package)).stdin(Stdio::null());
        if let Judge::Model { model, .. } = judge {
            command.env(MODEL, model).env_remove("LOOM_REPORT").env_remove("LOOM_ONLY");
        }
        let said = super::directory()?.join("said");
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&said)?;
        let mut child = command.stdout(file.try_clone()?).stderr(file.try_clone()?).spawn()?;
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if started.elapsed() > LIMIT {
                child.kill()?;
                child.wait()?;
                return Ok(Verdict::Silent);
            }
            thread::sleep(POLL);
        };
        file.rewind()?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        fs::remove_file(&said)?;
        let text = String::from_utf8_lossy(&text);
        match judge {
            Judge::Model { model, .. } => of_model(model, &text, status),
            Judge::Unit { unit, .. } => of_unit(unit, &text, status),
        }
    }
}

fn of_model(model: &str, text: &str, status: ExitStatus) -> anyhow::Result<Verdict> {
    if let Some((_, told)) = text.lines().find_map(|line| line.split_once(FAILED)) {
        let (executions, message) = told.split_once(' ').unwrap_or((told, ""));
        return Ok(Verdict::Fails { executions: executions.parse().ok(), message: message.into() });
    }
    // It says where it ended, but for a fault.
    if status.code().is_none() {
        return Ok(Verdict::Fails { executions: None, message: status.to_string() });
    }
    let held = text.lines().find_map(|line| line.split_once(&format!("{model}: ")).map(|(_, held)| held));
    match held.and_then(|held| held.split_once(" executions, ")) {
        Some((executions, _)) if status.success() => {
            Ok(Verdict::Holds { executions: executions.parse().ok() })
        }
        _ => bail!("{model} says nothing ({status}): {text}"),
    }
}

fn of_unit(unit: &str, text: &str, status: ExitStatus) -> anyhow::Result<Verdict> {
    if status.success() {
        ensure!(text.contains("1 passed"), "there is no test {unit}");
        return Ok(Verdict::Holds { executions: None });
    }
    // The line after the one that says where it panicked.
    let told = text.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    Ok(Verdict::Fails { executions: None, message: told.unwrap_or("it fails").trim().into() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn exit(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn what_a_model_says_is_understood() {
        let model = |text, status| of_model("bias/joined", text, status);
        let failed = "x\ntest a ... the world failed in execution 12 Causality violation: a\n";
        assert_eq!(
            model(failed, exit(101)).unwrap(),
            Verdict::Fails { executions: Some(12), message: "Causality violation: a".into() }
        );
        let held = "test a ... bias/joined: 34 executions, 0.01 s, exhaustive, holds\nok\n";
        assert_eq!(model(held, exit(0)).unwrap(), Verdict::Holds { executions: Some(34) });
        // A fault has no words, and is one nevertheless.
        assert!(matches!(model("", ExitStatus::from_raw(11)).unwrap(), Verdict::Fails { .. }));
    }

    #[test]
    fn a_model_that_did_not_run_judges_nothing() {
        for (text, status) in [("", exit(0)), ("bias/joined_again: 3 executions, 0 s", exit(0))] {
            assert!(of_model("bias/joined", text, status).is_err());
        }
        assert!(of_model("bias/joined", "error: unknown argument", exit(1)).is_err());
    }

    #[test]
    fn what_a_unit_test_says_is_understood() {
        let failed = "thread 'a' panicked at a.rs:1:\nP1: too many\nnote: run";
        assert_eq!(
            of_unit("a", failed, exit(101)).unwrap(),
            Verdict::Fails { executions: None, message: "P1: too many".into() }
        );
        assert_eq!(of_unit("a", "ok. 1 passed; 0", exit(0)).unwrap(), Verdict::Holds { executions: None });
        assert!(of_unit("a", "ok. 0 passed; 0", exit(0)).is_err());
    }
}
