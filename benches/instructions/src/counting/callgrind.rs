//! callgrind as a child process.

use std::env;
use std::fmt;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Serialize;

use super::MEMBARRIER;
use super::subjects::Subject;

/// The pairs of the shorter run; the longer one has twice as many. Enough that what comes once in a
/// hundred pairs, or once in a run, is no more than a few hundredths of an instruction.
const PAIRS: u64 = 20_000;

/// What was counted.
#[derive(Debug, Serialize)]
pub(crate) struct Count {
    subject: &'static str,
    /// Instructions of one pair, with the loop's.
    pub(crate) pair: f64,
    /// Whether `membarrier(2)` was there under callgrind. If not, ours has a fence on its path.
    membarrier: bool,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, pair, membarrier } = self;
        let without = if *membarrier { "" } else { ", without membarrier" };
        write!(f, "{subject}: {pair} instructions a pair{without}")
    }
}

/// Whether valgrind is installed.
pub(crate) fn is_there() -> anyhow::Result<bool> {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    match version {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        version => Ok(version.context("valgrind cannot be started")?.success()),
    }
}

/// Counts one subject.
pub(crate) fn count(subject: &Subject) -> anyhow::Result<Count> {
    let shorter = run(subject, PAIRS)?;
    let longer = run(subject, 2 * PAIRS)?;
    let pair = (longer.instructions - shorter.instructions) as f64 / PAIRS as f64;
    // A tenth is what the report can show, and more than what two runs of the same differ in.
    let pair = (pair * 10.0).round() / 10.0;
    Ok(Count { subject: subject.name, pair, membarrier: shorter.membarrier })
}

struct Counted {
    instructions: u64,
    membarrier: bool,
}

/// This program under callgrind, doing so many pairs.
fn run(subject: &Subject, pairs: u64) -> anyhow::Result<Counted> {
    let name = subject.name;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--callgrind-out-file=/dev/stdout"])
        .arg(env::current_exe().context("this program cannot be found")?)
        .args(["pairs", name, &pairs.to_string()])
        .output()
        .context("valgrind cannot be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{name}` under callgrind: {}\n{said}", output.status);
    let profile = String::from_utf8_lossy(&output.stdout);
    parse(&profile).with_context(|| format!("`{name}` under callgrind wrote no totals\n{said}"))
}

/// The total of a profile, behind what the program itself said.
fn parse(profile: &str) -> Option<Counted> {
    let instructions = profile.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()?;
    Some(Counted { instructions, membarrier: profile.lines().next() == Some(MEMBARRIER) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found() {
        let profile = "membarrier\n# callgrind format\nevents: Ir\nfn=(0) main\n5 4\n\ntotals: 124680\n";
        let counted = parse(profile).unwrap();
        assert_eq!((counted.instructions, counted.membarrier), (124_680, true));
        assert!(!parse("totals: 1\n").unwrap().membarrier);
        assert!(parse("membarrier\nevents: Ir\n").is_none());
    }
}
