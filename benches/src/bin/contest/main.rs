//! This pool and what people use instead, measured in interleaved rounds.
//!
//! `--help` says how to call it; `cargo xtask bench` does, and makes a report of what it writes.

#[cfg(not(loom))]
mod contest;

/// None of it runs in loom's small worlds.
#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    contest::main()
}
