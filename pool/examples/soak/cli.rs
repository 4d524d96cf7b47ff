//! The command line.

use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};

use super::report::Report;
use super::run::{self, Plan};

/// Does all that there is to do with pools and arenas at once, at random, and checks that their
/// equations hold.
///
/// Each second: what figures taken together must come to. Once in a while the world is brought to a
/// stop, and has to be what it was at the start. Ends with a table, or with the first equation that did
/// not hold, and exit code 1. Ctrl-C ends it early, with the same checks.
#[derive(Debug, Parser)]
#[command(name = "soak", version)]
pub(crate) struct Cli {
    /// How long, as in 60s or 1h.
    #[arg(long = "for", value_name = "TIME", default_value = "60s")]
    time: humantime::Duration,

    /// Threads at a time; half as many tasks are beside them.
    #[arg(long, value_name = "N", default_value = "8")]
    threads: NonZeroUsize,

    /// What is drawn, by whom; how threads interleave is not. Without it, another each time.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Also write what it came to to FILE.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Looks, a second apart, at which somebody is found waiting for the same before that is a failure.
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u32).range(1..))]
    stall: u32,

    /// Leak one small allocation in 100 operations, which must fail the run.
    #[arg(long, hide = true)]
    leak: bool,
}

/// Does what the arguments say, the program's name first; gives the exit code.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    match soak(&Cli::parse_from(args)) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            say(&format!("soak: {error:#}"));
            1
        }
    }
}

/// Whether all held.
fn soak(cli: &Cli) -> Result<bool> {
    ensure!(!cli.time.is_zero(), "a run of no time checks nothing: --for is zero");
    let plan = Plan {
        time: *cli.time,
        threads: cli.threads.get(),
        tasks: cli.threads.get().div_ceil(2),
        seed: cli.seed.unwrap_or_else(|| fastrand::u64(..)),
        stall: cli.stall,
        leak: cli.leak,
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().context("a runtime")?;
    let ended = Arc::new(AtomicBool::new(false));
    watch_signals(runtime.handle(), &ended)?;
    let run = run::run(plan, runtime.handle(), &ended)?;
    let report = Report::of(&plan, &run);
    if let Some(path) = &cli.json {
        report.write(path)?;
    }
    let Some(failure) = &run.failure else {
        let mut out = io::stdout();
        // Nobody may be there to read it.
        let _ = writeln!(out, "{}seed {}: all held", report.tables(&run), plan.seed);
        return Ok(true);
    };
    let second = run.elapsed.as_secs_f64();
    say(&format!("soak: FAILED with --seed {}, after {second:.1} s\n{failure}\n", plan.seed));
    // By whoever is still at it: a lock that somebody has would hide what was just said.
    say(&run.shift.world.describe());
    // Those who hang do so for ever.
    runtime.shutdown_background();
    Ok(false)
}

fn watch_signals(runtime: &Handle, ended: &Arc<AtomicBool>) -> Result<()> {
    let _within = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind).context("waiting for signals")?;
        let ended = ended.clone();
        runtime.spawn(async move {
            signals.recv().await;
            // Relaxed: nothing else is told by it.
            ended.store(true, Relaxed);
        });
    }
    Ok(())
}

/// Unlike `eprintln!`, does not panic when nobody reads the standard error.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
