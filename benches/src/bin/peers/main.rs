//! This pool and its peers, put through the same scenarios in real runs with real threads.
//!
//! `--help` says how to call it; `cargo xtask peers` does, and writes docs/PEERS.md.

#[cfg(not(loom))]
mod suite;

/// None of it runs in loom's small worlds.
#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    suite::main()
}
