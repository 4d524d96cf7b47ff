//! The counting: who is counted, how, and what becomes of the counts.
//!
//! A count is the difference of two runs of this program under callgrind, which differ in nothing but
//! the number of pairs: what it takes to start, to make a pool and to end is the same in both. By hand,
//! and not by gungraun: that needs a runner of the very same version installed beside it, and compares
//! a run with the last one on the same machine; here a count is held against a ceiling that is
//! committed, and nothing but valgrind need be there.

mod callgrind;
mod cli;
mod merge;
mod subjects;

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use rustix::thread::{MembarrierCommand, membarrier_query};

use callgrind::Count;
use cli::{Cli, Task};
use subjects::SUBJECTS;

/// The line that says that `membarrier(2)` is there, where the pairs are done.
const MEMBARRIER: &str = "membarrier";

pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Count { into } => count(into.as_deref()),
        Task::Check => check(),
        Task::Pairs { subject, pairs } => {
            if membarrier_query().contains_command(MembarrierCommand::PrivateExpedited) {
                println!("{MEMBARRIER}");
            }
            (subject.pairs)(pairs);
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Counts all subjects, and puts the counts into the file.
fn count(into: Option<&std::path::Path>) -> anyhow::Result<()> {
    if !callgrind::is_there()? {
        println!("valgrind is not installed: nothing is counted");
        return Ok(());
    }
    let counts = SUBJECTS.iter().map(callgrind::count).collect::<Result<Vec<Count>, _>>()?;
    for count in &counts {
        println!("{count}");
    }
    into.map_or(Ok(()), |path| merge::into(path, &counts))
}

/// Counts those that have a ceiling, and fails if one is above it.
fn check() -> anyhow::Result<()> {
    let mut above = Vec::new();
    for subject in &SUBJECTS {
        let Some(ceiling) = subject.ceiling else { continue };
        let count = callgrind::count(subject)?;
        println!("{count}, at most {ceiling}");
        if count.pair > f64::from(ceiling) {
            above.push(subject.name);
        }
    }
    if !above.is_empty() {
        bail!("more instructions a pair than the ceiling: {}", above.join("; "));
    }
    Ok(())
}
