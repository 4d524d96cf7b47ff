//! `cargo xtask hardening`: what each knob of a hardened pool costs.
//!
//! A binary of `benches` of its own, with the feature that everything else there is measured without.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::cargo::{cargo, output};

/// Measures, and writes docs/HARDENING.md.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut cost = cargo();
    cost.args(["run", "--release", "-p", "benches", "--features", "hardening", "--bin", "hardening_cost"]);
    let page = output(&mut cost)?;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("HARDENING.md");
    fs::write(&docs, &page).with_context(|| format!("{}", docs.display()))?;
    println!("{}", String::from_utf8_lossy(&page));
    Ok(())
}
