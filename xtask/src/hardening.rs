//! `cargo xtask hardening`: what each knob of a hardened pool costs.
//!
//! A binary of `benches` of its own, with the feature that everything else there is measured without.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::cargo::cargo;

/// Measures, and writes docs/HARDENING.md.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut cost = cargo();
    cost.args(["run", "--release", "-p", "benches", "--features", "hardening", "--bin", "hardening_cost"]);
    let output = cost.stderr(std::process::Stdio::inherit()).output().context("cargo")?;
    ensure!(output.status.success(), "hardening_cost: {}", output.status);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("HARDENING.md");
    fs::write(&docs, &output.stdout).with_context(|| format!("{}", docs.display()))?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
