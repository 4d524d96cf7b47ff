//! `cargo xtask fuzz`: plays scripts that a fuzzer makes, beside a naive model.
//!
//! The targets are those of cargo-fuzz, in `kva/fuzz` and `pool/fuzz`; what plays a script is
//! `tests/corpus` beside them, where an ordinary test replays the corpus without any of this. What is found
//! is kept in the target directory; `--keep` adds what it adds to the corpus.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::cargo::{run as start, target_dir};
use crate::nightly;
use crate::steps;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this target: `arena` or `pools`
    target: Option<String>,
    /// How long each is fuzzed
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Add what was found to the corpus, as few scripts as reach all that all of it reaches
    #[arg(long)]
    keep: bool,
}

struct Target {
    name: &'static str,
    package: &'static str,
}

const TARGETS: [Target; 2] =
    [Target { name: "arena", package: "kva" }, Target { name: "pools", package: "pool" }];

/// Longer scripts are slower, and find nothing that these do not.
const MOST_BYTES: usize = 2000;

/// What is missing to run it, if anything.
fn missing() -> Option<String> {
    nightly::missing().or_else(|| {
        let has_it = nightly::says(nightly::cargo().args(["fuzz", "--version"])).is_ok();
        (!has_it).then(|| "cargo-fuzz is not installed (cargo install cargo-fuzz)".to_owned())
    })
}

/// Fuzzes the targets, one after the other, to the first that finds something.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let names = TARGETS.each_ref().map(|target| target.name);
    if let Some(name) = &args.target {
        ensure!(names.contains(&name.as_str()), "no target `{name}`: there are {}", names.join(" and "));
    }
    let mut chosen =
        TARGETS.iter().filter(|target| args.target.as_deref().is_none_or(|name| name == target.name));
    steps::unless_missing(missing(), || chosen.try_for_each(|target| target.fuzz(args)))
}

impl Target {
    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(self.package).join("fuzz")
    }

    /// libFuzzer on these folders; what it finds goes to the first.
    fn libfuzzer(&self, folders: &[&Path], options: &[String]) -> anyhow::Result<()> {
        let directory = std::path::absolute(target_dir())?.join("fuzz");
        let mut command = nightly::cargo();
        command.args(["fuzz", "run", "--fuzz-dir"]).arg(self.folder());
        command.arg("--target-dir").arg(&directory).arg(self.name).args(folders);
        start(command.arg("--").args(options))
    }

    fn fuzz(&self, args: &Args) -> anyhow::Result<()> {
        let corpus = self.folder().join("corpus").join(self.name);
        let found = empty(&std::path::absolute(target_dir())?.join("fuzz-found").join(self.name))?;
        let options = [
            format!("-max_total_time={}", args.time.as_secs().max(1)),
            format!("-max_len={MOST_BYTES}"),
            "-len_control=0".to_owned(),
            "-timeout=10".to_owned(),
            "-print_final_stats=1".to_owned(),
        ];
        if let Err(error) = self.libfuzzer(&[&found, &corpus], &options) {
            let artifacts = self.folder().join("artifacts").join(self.name);
            bail!(
                "{error:#}\n{}: what a script does is printed by DESCRIBE=1 in front of the command that \
                 reproduces it; it is in {}",
                self.name,
                artifacts.display()
            );
        }
        if args.keep {
            let merged = empty(&found.with_extension("merged"))?;
            self.libfuzzer(
                &[&merged, &corpus, &found],
                &["-set_cover_merge=1".to_owned(), "-use_counters=0".to_owned()],
            )?;
            let scripts = replace(&corpus, &merged)?;
            println!("{}: {scripts} scripts in {}", self.name, corpus.display());
        }
        Ok(())
    }
}

/// An empty folder.
fn empty(folder: &Path) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    Ok(folder.to_owned())
}

/// Puts the scripts of one folder, by short names, in the place of the other's; how many there are.
fn replace(corpus: &Path, merged: &Path) -> anyhow::Result<usize> {
    let mut scripts = Vec::new();
    for file in fs::read_dir(merged)? {
        let file = file?;
        let name: String = file.file_name().to_string_lossy().chars().take(10).collect();
        scripts.push((name, fs::read(file.path())?));
    }
    ensure!(!scripts.is_empty(), "nothing was merged: the corpus is left as it was");
    empty(corpus)?;
    for (name, script) in &scripts {
        fs::write(corpus.join(name), script)?;
    }
    Ok(scripts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_one_of_its_package_and_has_a_corpus() {
        for target in &TARGETS {
            let manifest = fs::read_to_string(target.folder().join("Cargo.toml")).unwrap();
            assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
            let corpus = target.folder().join("corpus").join(target.name);
            assert!(fs::read_dir(corpus).unwrap().next().is_some(), "{}", target.name);
        }
    }
}
