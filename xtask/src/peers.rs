//! `cargo xtask peers`: this pool and its peers in the same scenarios.
//!
//! The suite is a binary of `benches`, in release and with its feature on. It prints the table.
//! On a whole run its own tests come first, and docs/PEERS.md is written last.

use std::path::Path;

use crate::cargo::{self, cargo};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only this peer, and write no document; may be repeated
    #[arg(long = "peer", value_name = "PEER")]
    peers: Vec<String>,
    /// Run only this scenario, and write no document; may be repeated
    #[arg(long = "scenario", value_name = "SCENARIO")]
    scenarios: Vec<String>,
}

const SUITE: [&str; 6] = ["-p", "benches", "--features", "peers", "--bin", "peers"];

/// The suite's own tests, and this pool in all scenarios, for `cargo xtask test`. Not in release, so
/// that the pool checks itself, and with fewer rounds of the races.
pub(crate) fn ours() -> anyhow::Result<()> {
    cargo::run(cargo().arg("test").args(SUITE))?;
    cargo::run(cargo().arg("run").args(SUITE).args(["--", "run", "--ours", "--rounds", "300"]))
}

/// Builds the suite and runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let whole = args.peers.is_empty() && args.scenarios.is_empty();
    if whole {
        cargo::run(cargo().args(["test", "--release"]).args(SUITE))?;
    }
    let mut suite = cargo();
    suite.args(["run", "--release"]).args(SUITE).args(["--", "run"]);
    suite.args(args.peers.iter().flat_map(|peer| ["--peer", peer]));
    suite.args(args.scenarios.iter().flat_map(|scenario| ["--scenario", scenario]));
    if whole {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs");
        suite.arg("--markdown").arg(docs.join("PEERS.md"));
    }
    cargo::run(&mut suite)
}
