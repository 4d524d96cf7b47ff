//! `cargo xtask spin`: checks the specification in `docs/spec` with Spin, where it is installed.
//!
//! What must hold is explored whole, under weak fairness; what is known to be wrong must
//! have a counterexample. Either way a row says how many states it took.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::cargo::{is_there, target_dir};
use crate::steps;

const SPECIFICATION: &str = "pool.pml";

/// One run: what the specification is compiled with, and which of its properties is checked.
struct Case {
    name: &'static str,
    flags: &'static [&'static str],
    property: &'static str,
    holds: bool,
}

const fn holds(name: &'static str, flags: &'static [&'static str], property: &'static str) -> Case {
    Case { name, flags, property, holds: true }
}

const fn fails(name: &'static str, flags: &'static [&'static str], property: &'static str) -> Case {
    Case { name, flags, property, holds: false }
}

const CASES: &[Case] = &[
    holds("choose", &[], "served"),
    holds("choose, one page", &["-DLIMIT=1"], "served"),
    holds("choose, nothing in the arena", &["-DQUANTA=1"], "served"),
    holds("choose, first-in first-out", &["-DBYPASS=0"], "served"),
    holds("choose, three getters", &["-DGETTERS=3"], "served"),
    holds("choose, three getters, three pages", &["-DGETTERS=3", "-DLIMIT=3"], "served"),
    holds("choose, withdrawn requests", &[], "vacated"),
    holds("claim", &["-DPROTOCOL=CLAIM"], "served"),
    holds("claim, nothing in the arena", &["-DPROTOCOL=CLAIM", "-DQUANTA=1"], "served"),
    holds("claim, three getters", &["-DPROTOCOL=CLAIM", "-DGETTERS=3"], "served"),
    fails("release", &["-DPROTOCOL=RELEASE"], "served"),
    fails("sleep", &["-DPROTOCOL=SLEEP"], "served"),
    fails("choose, nobody is kicked", &["-DNO_KICK"], "served"),
    fails("choose, no bound on bypass", &["-DNO_BOUND"], "served"),
    fails("choose, queues what is withdrawn", &["-DQUEUES_WITHDRAWN"], "served"),
    fails("choose, forgets nothing", &["-DNO_FORGET"], "vacated"),
];

/// What is missing to run it, if anything.
pub(crate) fn missing() -> Option<String> {
    match (is_there("spin", "-V"), is_there("cc", "--version")) {
        (true, true) => None,
        (false, _) => Some("spin is not installed (https://spinroot.com)".into()),
        (true, false) => Some("what spin writes needs a C compiler, cc".into()),
    }
}

/// What came of a case.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) name: String,
    pub(crate) property: String,
    pub(crate) states: f64,
    pub(crate) holds: bool,
}

/// The names of all cases.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.name)
}

/// As [`run`]; passed over aloud where something is missing.
pub(crate) fn run_if_installed(filter: Option<&str>) -> anyhow::Result<()> {
    steps::unless_missing(missing(), || run(filter).map(drop))
}

/// Checks the cases with this in their names, or all.
pub(crate) fn run(filter: Option<&str>) -> anyhow::Result<Vec<Checked>> {
    if let Some(missing) = missing() {
        bail!("{missing}");
    }
    let specification = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("spec");
    let chosen: Vec<_> =
        CASES.iter().filter(|case| filter.is_none_or(|part| case.name.contains(part))).collect();
    ensure!(!chosen.is_empty(), "no case has `{}` in its name", filter.unwrap_or_default());
    println!("{:<38}{:<10}{:>12}  verdict", "case", "property", "states");
    chosen.into_iter().map(|case| case.check(&specification.join(SPECIFICATION))).collect()
}

impl Case {
    /// # Errors
    /// It is not as it must be. A counterexample is kept, and how it is shown is said.
    fn check(&self, specification: &Path) -> anyhow::Result<Checked> {
        let dir = self.directory()?;
        fs::copy(specification, dir.join(SPECIFICATION)).context("docs/spec/pool.pml cannot be copied")?;
        output(Command::new("spin").arg("-a").args(self.flags).arg(SPECIFICATION).current_dir(&dir))?;
        // Weak fairness is told how many processes there may be.
        let cc = ["-O2", "-w", "-DNFAIR=3", "-o", "pan", "pan.c"];
        output(Command::new("cc").args(cc).current_dir(&dir))?;
        let search = ["-a", "-f", "-m10000000", "-N", self.property];
        let found = output(Command::new(dir.join("pan")).args(search).current_dir(&dir))?;
        let found =
            Found::parse(&found).with_context(|| format!("what spin says of {}:\n{found}", self.name))?;
        let shown =
            format!("(cd {} && spin -t -p -g {} {SPECIFICATION})", dir.display(), self.flags.join(" "));
        match (self.holds, found.errors) {
            (true, 0) => {}
            (false, 1..) if found.is_cycle => {}
            (true, _) => bail!("{}: {} has a counterexample: {shown}", self.name, self.property),
            (false, 0) => bail!("{}: {} holds, although a rule is missing", self.name, self.property),
            (false, _) => bail!("{} fails, but not for lack of progress: {shown}", self.name),
        }
        let verdict = if self.holds { "holds" } else { "caught: somebody waits for ever" };
        println!("{:<38}{:<10}{:>12.0}  {verdict}", self.name, self.property, found.states);
        fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be removed", dir.display()))?;
        Ok(Checked {
            name: self.name.into(),
            property: self.property.into(),
            states: found.states,
            holds: self.holds,
        })
    }

    /// An empty one, of its own.
    fn directory(&self) -> anyhow::Result<PathBuf> {
        let name = self.name.replace([' ', ','], "-");
        let dir = std::path::absolute(target_dir())?.join("spin").join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be removed", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("{} cannot be created", dir.display()))?;
        Ok(dir)
    }
}

/// What the search ended with.
#[derive(Debug, PartialEq)]
struct Found {
    errors: u64,
    /// Spin writes many of them as 1.3e+06.
    states: f64,
    /// The error is an execution that goes on for ever without what is promised.
    is_cycle: bool,
}

impl Found {
    fn parse(text: &str) -> anyhow::Result<Self> {
        // A search that was cut short proves nothing.
        ensure!(!text.contains("max search depth too small"), "the search was not deep enough");
        ensure!(!text.contains("Search not completed") || text.contains("pan:1:"), "the search did not end");
        let before = |what: &str| text.split(what).next().and_then(|text| text.split_whitespace().last());
        let after = text.split("errors: ").nth(1).and_then(|text| text.split_whitespace().next());
        let errors = after.context("no count of errors")?;
        let states = before("states, stored").context("no count of states")?;
        Ok(Self {
            errors: errors.parse().context("a count of errors")?,
            states: states.parse().context("a count of states")?,
            is_cycle: text.contains("acceptance cycle"),
        })
    }
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("{shown} cannot be started"))?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown} ({}):\n{text}", output.status);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDS: &str =
        "State-vector 100 byte, depth reached 6753, errors: 0\n    10448 states, stored (27857 visited)\n";

    #[test]
    fn what_spin_says_is_understood() {
        assert_eq!(Found::parse(HOLDS).unwrap(), Found { errors: 0, states: 10448.0, is_cycle: false });
        let caught =
            format!("pan:1: acceptance cycle (at depth 354)\n{}", HOLDS.replace("errors: 0", "errors: 1"));
        assert_eq!(Found::parse(&caught).unwrap(), Found { errors: 1, states: 10448.0, is_cycle: true });
        let large = HOLDS.replace("10448", "1.66975e+06");
        assert!((Found::parse(&large).unwrap().states - 1_669_750.0).abs() < 1.0);
    }

    #[test]
    fn a_search_that_was_cut_short_proves_nothing() {
        assert!(Found::parse(&format!("error: max search depth too small\n{HOLDS}")).is_err());
        assert!(Found::parse(&format!("Warning: Search not completed\n{HOLDS}")).is_err());
        assert!(Found::parse("").is_err());
    }

    #[test]
    fn each_rule_that_can_be_left_out_is_left_out_once() {
        let specification = include_str!("../../docs/spec/pool.pml");
        for rule in ["NO_KICK", "NO_BOUND", "QUEUES_WITHDRAWN", "NO_FORGET"] {
            assert!(specification.contains(&format!("def {rule}")), "{rule}");
            let flag = format!("-D{rule}");
            assert_eq!(CASES.iter().filter(|case| case.flags.contains(&&*flag)).count(), 1, "{rule}");
        }
    }
}
