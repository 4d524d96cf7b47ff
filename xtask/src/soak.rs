//! `cargo xtask soak`: everything at once, at random, for as long as it is told.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::cargo::{self, cargo};

/// What the example is told.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// How long, as in 60s or 1h [default: 60s]
    #[arg(long = "for", value_name = "TIME")]
    time: Option<String>,
    /// Threads at a time; half as many tasks are beside them [default: 8]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// What is drawn; without it, another each time
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// With debug assertions: slower, and each equation is checked before every unlock
    #[arg(long)]
    debug: bool,
    /// Also write what it came to to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Args {
    /// For so long, with debug assertions, and with what it came to in a file.
    pub(crate) fn of(time: &str, json: PathBuf) -> Self {
        Self { time: Some(time.to_owned()), json: Some(json), debug: true, ..Self::default() }
    }
}

/// A minute of it, for `cargo xtask test`. Not in release, so that the pool checks itself, and nothing
/// has to be built that the tests have not.
pub(crate) fn minute() -> anyhow::Result<()> {
    run(&Args { time: Some("60s".to_owned()), debug: true, ..Args::default() })
}

/// Builds the example with all features, in release unless told otherwise, and runs it on this terminal.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut soak = cargo();
    soak.arg("run").args((!args.debug).then_some("--release"));
    soak.args(["-p", "pool", "--all-features", "--example", "soak", "--"]);
    // Said by the example what is no time: it is the one who reads it.
    let numbers = [
        ("--threads", args.threads.map(|it| it.to_string())),
        ("--seed", args.seed.map(|it| it.to_string())),
    ];
    for (option, value) in [("--for", args.time.clone())].into_iter().chain(numbers) {
        soak.args(value.into_iter().flat_map(|value| [option.to_owned(), value]));
    }
    if let Some(file) = &args.json {
        soak.arg("--json").arg(file);
    }
    cargo::run(&mut soak)
}
