//! `cargo xtask mutants`: undoes the protocol's rules one at a time, and fails unless each is missed.
//!
//! `mutants.toml` has the rules: where each is in the code, what the code is without it, and which
//! model, or unit test, is to fail then. A model proves nothing of a rule that it holds without;
//! that it fails for the right reason is said by its name. What nothing can tell from the original
//! is argued to be equivalent, and must hold.
//!
//! The work is done on a copy under the target directory, which has a build of its own: the working
//! tree is never changed, whatever ends the run. First it sees that no judge fails without any mutant. Then
//! each mutant is built, which is most of the time, and its judge has [`LIMIT`] to fail. A mutant
//! that does not compile, or whose text is not in the code just once, is a mistake in the list: it
//! is kept in step with the code, and `cargo xtask test` checks that.
//!
//! These are picked by hand. All that `cargo mutants` can think of for these files is some
//! thousands, most of which no promise speaks of, and each takes as long to build as one of these:
//! days, on two cores. It is of use for a function at a time.

mod judge;
mod list;
mod tree;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use judge::{Bench, Verdict};
use list::{Judge, Mutant};
use tree::Tree;

/// So long may a judge take, once it is built.
const LIMIT: Duration = Duration::from_mins(1);

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Only the mutants with any of these in their names, files, promises or judges
    filters: Vec<String>,
    /// Say which there are, and do nothing
    #[arg(long)]
    list: bool,
    /// Write what came of each to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Do not see first that no judge fails without a mutant
    #[arg(long)]
    trust: bool,
}

/// What came of one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) mutant: String,
    pub(crate) promise: String,
    pub(crate) rule: String,
    /// The model, or the test, that was to fail.
    pub(crate) judge: String,
    pub(crate) outcome: Outcome,
    pub(crate) executions: Option<u64>,
    seconds: f64,
    /// How it failed, or why it may hold, or what is wrong with the mutant.
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Caught,
    /// Not caught, and there is an argument that nobody can.
    Equivalent,
    Survived,
    /// The judge failed, but not with the words that were expected.
    Otherwise,
    /// The list is wrong.
    Invalid,
}

impl Outcome {
    const fn shown(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Equivalent => "equivalent",
            Self::Survived => "SURVIVED",
            Self::Otherwise => "OTHERWISE",
            Self::Invalid => "INVALID",
        }
    }

    const fn is_good(self) -> bool {
        matches!(self, Self::Caught | Self::Equivalent)
    }
}

/// The names of all.
pub(crate) fn names() -> anyhow::Result<BTreeSet<String>> {
    Ok(list::load()?.into_iter().map(|mutant| mutant.name).collect())
}

/// Judges the mutants that are asked for, or all.
pub(crate) fn run(args: &Args) -> anyhow::Result<Vec<Row>> {
    let all = list::load()?;
    let is_chosen =
        |mutant: &&Mutant| args.filters.is_empty() || args.filters.iter().any(|part| mutant.has(part));
    let chosen: Vec<_> = all.iter().filter(is_chosen).collect();
    ensure!(!chosen.is_empty(), "no mutant has any of {:?} in it", args.filters);
    if args.list {
        for mutant in &chosen {
            println!("{:<40} {:<4} {:<44} {}", mutant.name, mutant.promise, mutant.judge, mutant.rule);
        }
        println!("{} mutants", chosen.len());
        return Ok(Vec::new());
    }
    let tree = Tree::copy()?;
    for mutant in &all {
        mutant.apply(&tree.read(&mutant.file)?)?;
    }
    let bench = Bench::new(&tree);
    if !args.trust {
        judges_do_not_fail(&bench, &chosen)?;
    }
    let mut rows = Vec::new();
    println!(
        "{:<40} {:<4} {:<44} {:<10} {:>11} {:>8}  message",
        "mutant", "", "judge", "outcome", "executions", "seconds"
    );
    for mutant in chosen {
        let row = judged(mutant, &tree, &bench)?;
        let executions = row.executions.map(|executions| executions.to_string()).unwrap_or_default();
        println!(
            "{:<40} {:<4} {:<44} {:<10} {executions:>11} {:>8.1}  {}",
            row.mutant,
            row.promise,
            row.judge,
            row.outcome.shown(),
            row.seconds,
            row.message
        );
        rows.push(row);
    }
    if let Some(path) = &args.json {
        let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
        serde_json::to_writer_pretty(BufWriter::new(file), &rows)?;
    }
    let count = |outcome| rows.iter().filter(|row| row.outcome == outcome).count();
    println!(
        "{} mutants, {} caught, {} equivalent",
        rows.len(),
        count(Outcome::Caught),
        count(Outcome::Equivalent)
    );
    let bad: Vec<_> = rows.iter().filter(|row| !row.outcome.is_good()).map(|row| &*row.mutant).collect();
    ensure!(bad.is_empty(), "not caught as they should be: {}", bad.join(", "));
    Ok(rows)
}

/// Without a mutant no judge may fail: what fails anyway judges nothing.
fn judges_do_not_fail(bench: &Bench<'_>, chosen: &[&Mutant]) -> anyhow::Result<()> {
    let started = Instant::now();
    let judges: BTreeSet<&Judge> = chosen.iter().map(|mutant| &mutant.judge).collect();
    let built = bench.build(&judges)?;
    let mut silent = 0;
    for judge in &judges {
        match bench.ask(judge, &built)? {
            Verdict::Holds { .. } => {}
            Verdict::Fails { message, .. } => bail!("{judge} fails without a mutant: {message}"),
            // It may be larger than that. With a mutant it has no more time to fail in.
            Verdict::Silent => silent += 1,
        }
    }
    println!(
        "no judge of {} fails without a mutant ({silent} go on after {} s), {:.0} s\n",
        judges.len(),
        LIMIT.as_secs(),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Puts one mutant into the tree, asks its judge, and takes it out again.
fn judged(mutant: &Mutant, tree: &Tree, bench: &Bench<'_>) -> anyhow::Result<Row> {
    let original = tree.read(&mutant.file)?;
    tree.write(&mutant.file, &mutant.apply(&original)?)?;
    let mut started = Instant::now();
    let verdict = bench.build(&BTreeSet::from([&mutant.judge])).and_then(|built| {
        started = Instant::now();
        bench.ask(&mutant.judge, &built)
    });
    let seconds = started.elapsed().as_secs_f64();
    tree.write(&mutant.file, &original)?;

    let expected = mutant.message.as_deref().unwrap_or_default();
    let argued = mutant.equivalent.as_ref();
    let (outcome, executions, message) = match verdict {
        Err(error) => (Outcome::Invalid, None, format!("{error:#}")),
        Ok(Verdict::Fails { executions, message }) => match argued {
            Some(why) => (Outcome::Otherwise, executions, format!("{message}; argued: {why}")),
            None if message.contains(expected) => (Outcome::Caught, executions, message),
            None => (Outcome::Otherwise, executions, format!("{message}; expected: {expected}")),
        },
        Ok(Verdict::Holds { executions }) => match argued {
            Some(why) => (Outcome::Equivalent, executions, why.clone()),
            None => (Outcome::Survived, executions, "it holds".into()),
        },
        Ok(Verdict::Silent) => (Outcome::Survived, None, format!("no end in {} s", LIMIT.as_secs())),
    };
    let message: String = message.replace('\n', " ").chars().take(160).collect();
    let (name, promise, rule) = (mutant.name.clone(), mutant.promise.clone(), mutant.rule.clone());
    let judge = mutant.judge.to_string();
    Ok(Row { mutant: name, promise, rule, judge, outcome, executions, seconds, message })
}

/// Where everything of this is kept.
fn directory() -> anyhow::Result<PathBuf> {
    let dir = std::path::absolute(crate::cargo::target_dir())?.join("mutants");
    fs::create_dir_all(&dir).with_context(|| format!("{} cannot be created", dir.display()))?;
    Ok(dir)
}
