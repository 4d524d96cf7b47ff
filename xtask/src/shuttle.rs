//! `cargo xtask shuttle`: runs large worlds in schedules that shuttle draws, and shows each as it ends.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use crate::cargo::{cargo, jobs, shuttle_target_dir, with_shuttle};
use crate::models;
use crate::report::Model;

/// What a whole run must have run: the worlds, and their twins.
pub(crate) const EXPECTED: &[&str] = &[
    "large/storm",
    "large/storm/classic",
    "large/storm/status_quo",
    "large/storm/keeps_idle",
    "large/storm/queued_blindly",
    "large/storm/overtaken",
    "large/steal",
    "large/steal/no_claim",
    "large/crowd",
    "large/crowd/forgets_the_woken",
    "large/crowd/wakes_threads_only",
    "large/crowd/keeps_first_waker",
    "large/raised",
    "large/raised/quietly",
    "large/caches",
    "large/caches/sweeps_nothing",
    "large/caches/sweeps_past_the_busy",
    "large/caches/sweeps_no_depot",
    "large/caches/forgets_the_dead",
    "large/caches/restored_beside_waiters",
    "large/caches/two_pools",
    "large/close",
    "large/close/releases_nothing",
    "large/factory",
    "large/async_factory",
    "large/growers",
    "large/factory/commits_afterwards",
    "large/hang",
    "large/hang/awaits_its_own",
    "large/factory/failure_keeps_slot",
    "large/spans",
    "large/spans/keeps_idle",
    "large/spans/owes_nothing",
    "large/thieves",
    "large/thieves/no_window",
    "large/tasks",
];

/// What is run, and how often.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Run only the worlds with this in their names
    filter: Option<String>,
    /// How many schedules of each world are drawn by each of the two schedulers [default: 500]
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// What schedules are drawn from; without it, always the same
    #[arg(long)]
    seed: Option<u64>,
    /// Run only the schedule in this file, which a run that failed has named; needs a filter
    #[arg(long, value_name = "FILE", requires = "filter", conflicts_with_all = ["iterations", "seed"])]
    replay: Option<PathBuf>,
}

/// Runs them. Schedules that fail are kept, and named in what is shown then.
pub(crate) fn run(options: &Options) -> anyhow::Result<Vec<Model>> {
    ensure!(options.iterations != Some(0), "no schedules: --iterations is zero");
    let directory = std::path::absolute(shuttle_target_dir())?;
    let schedules = directory.join("schedules");
    fs::create_dir_all(&schedules).with_context(|| format!("cannot create {}", schedules.display()))?;
    let mut command = cargo();
    // Release, because each schedule is the production code run once more.
    with_shuttle(command.args(["test", "--release", "-p", "loom-tests", "--test", "large"]));
    command.args(["-j", jobs()]).env("SHUTTLE_SCHEDULES", schedules);
    if let Some(iterations) = options.iterations {
        command.env("SHUTTLE_ITERATIONS", iterations.to_string());
    }
    if let Some(seed) = options.seed {
        command.env("SHUTTLE_RANDOM_SEED", seed.to_string());
    }
    if let Some(file) = &options.replay {
        command.env("SHUTTLE_REPLAY", existing(file)?);
    }
    models::run(command, options.filter.as_deref(), EXPECTED, &directory)
}

/// Tests run in their package's folder.
fn existing(file: &Path) -> anyhow::Result<PathBuf> {
    file.canonicalize().with_context(|| format!("no schedule: {}", file.display()))
}
