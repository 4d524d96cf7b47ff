//! What a run of the benches came to: the targets beside the figures, the tables and the plots.
//!
//! `cargo xtask bench` calls it on the run's JSON; `--help` says how to call it by hand. Nothing is
//! measured here, and nothing written that the JSON does not have.

#![allow(clippy::cast_precision_loss, reason = "figures are estimates")]

#[cfg(not(loom))]
mod report;

/// There are no figures of loom's small worlds.
#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    report::main()
}
