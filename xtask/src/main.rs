//! `cargo xtask`: the commands that cargo alone cannot say.
//!
//! `test` is everything that has to hold before a commit; `loom` runs the
//! models alone and shows each as it ends; `mutants` says which of them catches which
//! bug; `shuttle` runs worlds too large for it; `spin` checks the specification; `cancel`
//! drops async operations wherever they await; `soak` does everything at once; `fuzz`, `sanitize` and
//! `valgrind` look for what no test was written for; `verify` runs all that checks a promise and writes
//! down what it said; `features` builds the feature matrix;
//! `peers` puts this pool beside others, and `bench` and `hardening` say what it costs. They only start cargo and
//! read what comes back, so that every step can be repeated by hand.

mod bench;
mod cancel;
mod cargo;
mod features;
mod fuzz;
mod hardening;
mod loom;
mod models;
mod mutants;
mod nightly;
mod peers;
mod report;
mod sanitize;
mod shuttle;
mod soak;
mod spin;
mod steps;
mod test;
mod valgrind;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Format, lints, tests, this pool in the peers' scenarios, instruction counts, a minute's soak,
    /// loom models, shuttle worlds and documentation, to the first failure
    Test,
    /// Builds each feature alone, none, and all
    Features,
    /// The loom models, each shown with its executions as it ends
    Loom {
        /// Run only the models with this in their names
        filter: Option<String>,
        /// Write the executions that are recorded to loom-tests/recordings/
        #[arg(long)]
        record: bool,
    },
    /// Bugs seeded into the protocol, one at a time: each must be caught by the model named for it
    Mutants(mutants::Args),
    /// Drops each async operation at each of its awaits, whatever happens in between
    Cancel,
    /// Worlds too large for loom, in schedules that shuttle draws, each shown as it ends
    Shuttle(shuttle::Options),
    /// Everything at once, at random, on many threads, beside the equations that must hold
    Soak(soak::Args),
    /// The specification in docs/spec, checked for progress under fairness; needs spin and a C compiler
    Spin {
        /// Check only the cases with this in their names
        filter: Option<String>,
    },
    /// All that checks the promises, and docs/VERIFICATION.md: which promise by which method, how much was explored
    Verify(verify::Args),
    /// Plays scripts that a fuzzer makes, beside naive models; needs a nightly toolchain and cargo-fuzz
    Fuzz(fuzz::Args),
    /// The tests under the address sanitizer, those with threads under the thread sanitizer; needs a nightly toolchain
    Sanitize {
        /// Only this one
        sanitizer: Option<sanitize::Sanitizer>,
    },
    /// The storm and the stress test under valgrind
    Valgrind,
    /// This pool and its peers in the same scenarios; a whole run writes docs/PEERS.md
    Peers(peers::Args),
    /// What a get and a put cost, beside what people use instead; a whole run writes docs/BENCHMARKS.md
    Bench(bench::Args),
    /// What each knob of a hardened pool costs; writes docs/HARDENING.md
    Hardening,
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Test => test::run(),
        Task::Features => features::check(false),
        Task::Loom { filter, record } => loom::run(filter.as_deref(), record).map(drop),
        Task::Mutants(args) => mutants::run(&args).map(drop),
        Task::Cancel => cancel::run(),
        Task::Shuttle(options) => shuttle::run(&options).map(drop),
        Task::Spin { filter } => spin::run_if_installed(filter.as_deref()),
        Task::Verify(args) => verify::run(&args),
        Task::Soak(args) => soak::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Sanitize { sanitizer } => sanitize::run(sanitizer),
        Task::Valgrind => valgrind::run_if_installed(),
        Task::Peers(args) => peers::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Hardening => hardening::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // On one line, and never with the xtask's own backtrace: under
            // RUST_BACKTRACE that would hide the model's.
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
