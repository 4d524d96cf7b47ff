//! Runs models in a checker's world, and shows each as it ends.
//!
//! The models are ordinary tests, so what they print is held back by the test
//! harness; what they report goes through the file that `LOOM_REPORT` names
//! (see `report.rs`). Cargo's own output goes to a log, which is shown if the
//! run fails.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::cargo::shown;
use crate::report::{Heading, Model, Tally, take_lines};

const POLL: Duration = Duration::from_millis(100);

/// Runs the command's models whose names have the filter in them, or all, which must then have
/// among them those that are expected. What the run writes is kept in the directory if it fails.
pub(crate) fn run(
    mut command: Command,
    filter: Option<&str>,
    expected: &[&str],
    directory: &Path,
) -> anyhow::Result<Vec<Model>> {
    // By what they report as, not by the test functions' names.
    if let Some(filter) = filter {
        command.env("LOOM_ONLY", filter);
    }
    println!("$ {}", shown(&command));

    let files = Files::create(directory)?;
    let log = File::create(&files.log)?;
    // From an absolute path: cargo runs tests in their package's folder.
    command.env("LOOM_REPORT", &files.report).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);

    let mut models = Models::open(&files.report)?;
    let started = Instant::now();
    let mut child = command.spawn().context("cargo cannot be started")?;
    let followed = models.follow(&mut child);
    if followed.is_err() {
        // Nobody is shown the rest, but the run is not left behind either.
        child.wait()?;
    }
    let status = followed.context("the run could not be followed")?;
    if models.tally.models > 0 {
        println!("{}", models.tally.total(started.elapsed()));
    }

    if !status.success() {
        io::copy(&mut File::open(&files.log)?, &mut io::stderr())?;
        bail!("the run failed ({status}); {}", files.log.display());
    }
    ensure!(
        models.refused == 0 && models.unread.is_empty(),
        "not every line is a model's: {}",
        files.report.display()
    );
    files.remove()?;
    if let Some(filter) = filter {
        ensure!(models.tally.models > 0, "no model ran: none has `{filter}` in its name");
    } else {
        let ran: HashSet<_> = models.ended.iter().map(|model| &*model.name).collect();
        let missing: Vec<_> = expected.iter().filter(|name| !ran.contains(**name)).collect();
        ensure!(missing.is_empty(), "models that should have run and did not: {missing:?}");
    }
    Ok(models.ended)
}

/// What one run writes, under the target directory. Named for this process, so
/// that two runs at once don't read each other's models.
struct Files {
    report: PathBuf,
    log: PathBuf,
}

impl Files {
    fn create(directory: &Path) -> anyhow::Result<Self> {
        let dir = std::path::absolute(directory)?;
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let id = process::id();
        let files =
            Files { report: dir.join(format!("models-{id}.tsv")), log: dir.join(format!("models-{id}.log")) };
        File::create(&files.report)?;
        Ok(files)
    }

    /// After a run whose tests passed; the files of another are kept.
    fn remove(self) -> anyhow::Result<()> {
        fs::remove_file(self.report)?;
        fs::remove_file(self.log)?;
        Ok(())
    }
}

/// The report as it is read.
struct Models {
    report: File,
    unread: Vec<u8>,
    tally: Tally,
    ended: Vec<Model>,
    /// Lines that are no model's. They fail the run when it has ended.
    refused: u64,
}

impl Models {
    fn open(report: &Path) -> io::Result<Self> {
        Ok(Models {
            report: File::open(report)?,
            unread: Vec::new(),
            tally: Tally::default(),
            ended: Vec::new(),
            refused: 0,
        })
    }

    /// Shows each model as it ends, until the child does.
    fn follow(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        loop {
            // Asked before the report is read: what the child wrote before it
            // ended is then in this last read.
            let ended = child.try_wait()?;
            self.show_new()?;
            if let Some(status) = ended {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
    }

    fn show_new(&mut self) -> io::Result<()> {
        self.report.read_to_end(&mut self.unread)?;
        // Not `println`, whose panic at a closed pipe would leave the child.
        let mut out = io::stdout();
        for line in take_lines(&mut self.unread) {
            match Model::parse(&line) {
                Ok(model) => {
                    if self.tally.models == 0 {
                        writeln!(out, "{Heading}")?;
                    }
                    writeln!(out, "{model}")?;
                    self.tally.add(&model);
                    self.ended.push(model);
                }
                Err(why) => {
                    writeln!(out, "not a model's line ({why:#}): {line:?}")?;
                    self.refused += 1;
                }
            }
        }
        Ok(())
    }
}
