//! `cargo xtask features`: each feature alone, none, and all of them build.

use anyhow::Context;
use cargo_metadata::MetadataCommand;

use crate::cargo::{self, NO_BENCHES, cargo};

/// Builds the packages that have features in each of these ways, but not the benches if told so.
pub(crate) fn check(without_benches: bool) -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
    for package in metadata.workspace_packages() {
        let features: Vec<_> = package.features.keys().filter(|name| *name != "default").cloned().collect();
        if features.is_empty() || (without_benches && NO_BENCHES.contains(&package.name.as_str())) {
            continue;
        }
        let alone = features.iter().map(|name| Some(name.clone()));
        for set in [None].into_iter().chain(alone).chain([Some(features.join(","))]) {
            let mut check = cargo();
            check.args(["check", "--lib", "--no-default-features", "-p", &package.name]);
            check.args(set.iter().flat_map(|set| ["--features", set]));
            cargo::run(&mut check)?;
        }
    }
    Ok(())
}
