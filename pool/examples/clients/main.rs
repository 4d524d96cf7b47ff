//! A pool of real connections under load, while the server breaks in the middle.
//!
//! See `--help`; the README says what to expect.

#[cfg(not(loom))]
pub(crate) mod cli;
#[cfg(not(loom))]
mod client;
#[cfg(not(loom))]
mod load;
#[cfg(not(loom))]
mod report;
#[cfg(not(loom))]
mod run;
#[cfg(not(loom))]
mod server;

/// There are no servers in loom's small worlds.
#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os()).into()
}
