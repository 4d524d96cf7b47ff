//! The command line.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::signal::unix::{SignalKind, signal};

use super::idea::Ideas;
use super::report::{self, Row, complain};
use super::storm;

/// Play a fork storm that runs out of aligned runs, not of pages.
///
/// Each fork needs a level-1 page table: four pages of 4 KiB side by side, at a multiple of 16 KiB.
/// Memory is full of single pages: the kernel's, which are wired, those of processes, and the page
/// cache's, which lie anywhere and go oldest first. The page daemon keeps enough pages free, and
/// there is no run among them.
///
/// The ideas are those of the tech-kern thread, each on top of the one before it.
#[derive(Debug, Parser)]
#[command(name = "l1pt", version)]
pub(crate) struct Cli {
    /// How forks come by their tables.
    #[arg(long, value_name = "IDEA", default_value = "all")]
    pub(crate) idea: Ideas,

    /// The memory, in MiB.
    #[arg(long, value_name = "MIB", default_value = "16")]
    pub(crate) memory: NonZeroU32,

    /// The part of it that processes have which stay, in percent; a further 6 are wired.
    #[arg(long, value_name = "PERCENT", default_value = "60")]
    pub(crate) in_use: u32,

    /// The most processes that fork at once; a wave of forks is between half and all of them.
    #[arg(long, value_name = "N", default_value = "32")]
    pub(crate) processes: NonZeroU32,

    /// Forks for each idea.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) forks: NonZeroU32,

    /// The end of each idea's run, if not all forks are done before: who is stuck is stuck until then.
    #[arg(long, value_name = "S", default_value = "5")]
    pub(crate) seconds: NonZeroU32,

    /// How long a fork waits before it fails with EAGAIN, from the idea `pool` on, in milliseconds.
    #[arg(long, value_name = "MS", default_value = "100")]
    pub(crate) deadline: NonZeroU32,

    /// The most tables that the pool keeps for later [default: half of --processes].
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<u32>,

    /// What the load follows from.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) seed: u64,

    /// Also write the results to FILE, as a JSON array with an object an idea; `-`: to the standard
    /// output, instead of the table.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<PathBuf>,
}

/// Does what the arguments say; gives the exit code.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    match play(&Cli::parse_from(args)) {
        Ok(()) => 0,
        Err(error) => {
            complain(format_args!("{error:#}"));
            1
        }
    }
}

fn play(cli: &Cli) -> Result<()> {
    if let Some(path) = &cli.json {
        report::check_json(path)?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let _signals = stop_when_told(&stop).context("cannot wait for Ctrl-C")?;
    let mut rows: Vec<Row> = Vec::new();
    for &idea in cli.idea.each() {
        rows.push(storm::run(idea, cli, &stop).with_context(|| format!("the idea {}", idea.name()))?);
        if stop.load(Relaxed) {
            complain("interrupted: the last row is not complete");
            break;
        }
    }
    if cli.json.as_deref() != Some(Path::new("-")) {
        report::print(report::table(&rows))?;
    }
    if let Some(path) = &cli.json {
        report::write_json(path, &rows)?;
    }
    let damaged: u64 = rows.iter().map(|row| row.damaged).sum();
    ensure!(damaged == 0, "{damaged} pages were not as they were left");
    Ok(())
}

/// Has Ctrl-C and SIGTERM set `stop`, as long as what this returns lives.
fn stop_when_told(stop: &Arc<AtomicBool>) -> Result<tokio::runtime::Runtime> {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let inside = tokio.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = stop.clone();
    tokio.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.store(true, Relaxed);
    });
    drop(inside);
    Ok(tokio)
}
