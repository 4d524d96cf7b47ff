//! An `xargs -P` whose argument memory is bounded, and NetBSD kern/45718 reproduced.
//!
//! See `--help`; the README says what to expect.

#[cfg(not(loom))]
mod args;
#[cfg(not(loom))]
mod block;
#[cfg(not(loom))]
mod blocks;
#[cfg(not(loom))]
pub(crate) mod cli;
#[cfg(not(loom))]
mod clients;
#[cfg(not(loom))]
mod files;
#[cfg(not(loom))]
mod launchers;
#[cfg(not(loom))]
mod page;
#[cfg(not(loom))]
mod progress;
#[cfg(not(loom))]
mod report;
#[cfg(not(loom))]
mod run;
#[cfg(not(loom))]
mod samples;
#[cfg(not(loom))]
mod spawn;

/// There is no storm in loom's small worlds.
#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os()).into()
}
