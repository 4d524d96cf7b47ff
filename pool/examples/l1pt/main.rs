//! A fork storm that runs out of aligned runs, not of pages: the tech-kern thread on the level-1
//! tables of the ARM pmap, and what each of its ideas does about it.
//!
//! See `--help`; the README says what to expect.

#[cfg(not(loom))]
mod cache;
#[cfg(not(loom))]
pub(crate) mod cli;
#[cfg(not(loom))]
mod idea;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod pager;
#[cfg(not(loom))]
mod processes;
#[cfg(not(loom))]
mod report;
#[cfg(not(loom))]
mod storm;
#[cfg(not(loom))]
mod tables;
#[cfg(not(loom))]
mod watch;
#[cfg(not(loom))]
mod world;

/// There are no storms in loom's small worlds.
#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os()).into()
}
