//! `cargo xtask cancel`: drops each async operation at each of its awaits, and shows how many there are.

use crate::cargo::{self, cargo};

/// Runs the test that does it, with what it prints.
pub(crate) fn run() -> anyhow::Result<()> {
    let test = ["test", "-p", "pool", "--features", "bytes", "--test", "cancel"];
    cargo::run(cargo().args(test).args(["--", "--nocapture"]))
}
