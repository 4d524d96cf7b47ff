//! The suite: what is counted, who takes part, what they are put through, and the report.

mod cell;
mod census;
mod cli;
mod getter;
mod pools;
mod progress;
mod report;
mod scenarios;
mod subject;
mod versions;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use cell::{Cell, Outcome};
use cli::{Cli, Run, Task};
use progress::Progress;
use scenarios::Rounds;

pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::List => {
            print!("{}", report::list());
            Ok(ExitCode::SUCCESS)
        }
        Task::Run(run) => all(&run),
        Task::Cell { peer, scenario, rounds } => cell::here(peer, scenario, Rounds(rounds)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("peers: {error:#}");
        ExitCode::FAILURE
    })
}

fn all(run: &Run) -> anyhow::Result<ExitCode> {
    for path in run.json.iter().chain(&run.markdown) {
        writable(path)?;
    }
    let (peers, scenarios) = (run.peers(), run.scenarios());
    let progress = Progress::start(peers.len() * scenarios.len());
    let mut cells = Vec::new();
    for &peer in &peers {
        for &scenario in &scenarios {
            progress.begin(peer.name, scenario.name);
            let cell = cell::run(peer, scenario, Rounds(run.rounds));
            progress.end(&cell);
            cells.push(cell);
        }
    }
    drop(progress);
    println!("{}", report::terminal(&cells));
    if let Some(path) = &run.json {
        let json = serde_json::to_string_pretty(&cells)?;
        fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &run.markdown {
        let markdown = report::markdown(&cells);
        fs::write(path, markdown).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let ours_failed =
        |cell: &Cell| cell.peer.is_ours() && matches!(cell.outcome, Outcome::Fail | Outcome::Error);
    if cells.iter().any(ours_failed) {
        eprintln!("peers: this workspace's pool did not pass a scenario");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails if the file cannot be written, before a run is wasted on it. What is in it stays.
fn writable(path: &Path) -> anyhow::Result<()> {
    let opened = fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).with_context(|| format!("cannot write {}", path.display()))
}
