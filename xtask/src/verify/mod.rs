//! `cargo xtask verify`: runs all that checks the promises, and writes docs/VERIFICATION.md: which
//! promise is checked by which method, how much of it was explored, and which seeded bug was caught.
//!
//! `verification.toml` says what is evidence for what (`plan.rs`). Each method runs whole, and all that it
//! has must be as it should be. What it said is kept under the target directory (`outcomes.rs`), so that one
//! can be run again without the others: those are quoted with what they said last. `page.rs` writes.
//!
//! Every model, world and case has to be for something, no cell may be empty, and what is named has to be
//! there: unit tests of `plan.rs` see to that, so that `cargo xtask test` does.

mod outcomes;
mod page;
mod plan;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;

use outcomes::Outcomes;
use plan::Plan;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only these, and take what the others said when they last ran
    methods: Vec<Method>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Method {
    /// The specification; needs spin and a C compiler
    Spin,
    /// The tests that are named for a promise, with many sequences for each property
    Tests,
    /// Everything at once for two minutes
    Soak,
    /// The large worlds
    Shuttle,
    /// The models
    Loom,
    /// The seeded bugs: the longest
    Mutants,
}

/// Runs what was chosen, or all, and writes the page.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let plan = Plan::load()?;
    let chosen: BTreeSet<_> = if args.methods.is_empty() {
        Method::value_variants().iter().copied().collect()
    } else {
        args.methods.iter().copied().collect()
    };
    let outcomes = Outcomes::of(&plan, &chosen)?;
    let page = page::of(&plan, &outcomes)?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("VERIFICATION.md");
    fs::write(&path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
