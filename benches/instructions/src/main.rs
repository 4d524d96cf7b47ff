//! Counts the instructions of a get and a put under callgrind: what no noise can touch.
//!
//! `cargo xtask bench` puts the counts into the run's JSON, `cargo xtask test` holds ours against their
//! ceilings; `--help` says how to call it by hand.

#![allow(clippy::cast_precision_loss, reason = "counts are far below what a float holds")]

#[cfg(not(loom))]
mod counting;

/// None of it runs in loom's small worlds.
#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    counting::main()
}
