//! One peer in one scenario, in a process of its own: a panic, an abort or a thread that hangs
//! for ever ends with it.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

use crate::suite::scenarios::{Rounds, Scenario, Verdict};
use crate::suite::subject::Peer;
use crate::suite::versions::version;

/// More than the longest cell takes, even where every wait in it ends by patience.
const LIMIT: Duration = Duration::from_mins(3);

/// The subcommand that a child is started with.
pub(crate) const COMMAND: &str = "cell";

/// A cell of the table.
#[derive(Serialize)]
pub(crate) struct Cell {
    pub(crate) peer: &'static Peer,
    /// The peer's version.
    pub(crate) version: &'static str,
    pub(crate) scenario: &'static Scenario,
    pub(crate) outcome: Outcome,
    /// What was observed, or why it is not offered.
    pub(crate) observed: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Pass,
    Fail,
    NotOffered,
    /// Nothing is known.
    Error,
}

impl Outcome {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotOffered => "not offered",
            Self::Error => "error",
        }
    }
}

/// Puts `peer` through `scenario` in a child process.
pub(crate) fn run(peer: &'static Peer, scenario: &'static Scenario, rounds: Rounds) -> Cell {
    let cell = |outcome, observed| Cell { peer, version: version(peer.package), scenario, outcome, observed };
    if let Some(why) = peer.lacks(scenario.needs) {
        return cell(Outcome::NotOffered, why);
    }
    let (outcome, observed) = outcome(child(peer, scenario, rounds));
    cell(outcome, observed)
}

/// What a run that ended so comes to, and what was observed.
fn outcome(verdict: Result<Verdict>) -> (Outcome, String) {
    match verdict {
        Ok(Verdict { pass: true, observed }) => (Outcome::Pass, observed),
        Ok(Verdict { pass: false, observed }) => (Outcome::Fail, observed),
        Err(error) => (Outcome::Error, format!("could not be set up: {error:#}")),
    }
}

fn child(peer: &Peer, scenario: &Scenario, rounds: Rounds) -> Result<Verdict> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([COMMAND, peer.name, scenario.name])
        .args(rounds.0.map(|rounds| format!("--rounds={rounds}")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Panics are part of the scenarios, and would be read as the suite's.
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start a child")?;
    if !ends(&mut child)? {
        child.kill()?;
        child.wait()?;
        let observed = format!("it had not ended after {} s", LIMIT.as_secs());
        return Ok(Verdict { pass: false, observed });
    }
    let status = child.wait()?;
    let mut said = String::new();
    child.stdout.take().context("no output")?.read_to_string(&mut said)?;
    match said.lines().last() {
        Some(line) if status.success() => match serde_json::from_str::<Result<Verdict, String>>(line)? {
            Ok(verdict) => Ok(verdict),
            Err(why) => Err(anyhow!(why)),
        },
        _ if status.code() == Some(USAGE) => bail!("the child did not understand its arguments"),
        _ => Ok(Verdict { pass: false, observed: format!("its process died ({status})") }),
    }
}

/// What clap exits with.
const USAGE: i32 = 2;

/// Waits for the end of the child, or of [`LIMIT`].
fn ends(child: &mut Child) -> Result<bool> {
    let end = Instant::now() + LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() > end {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// As the child: runs the scenario here, and says what came of it in a line of JSON.
pub(crate) fn here(peer: &'static Peer, scenario: &'static Scenario, rounds: Rounds) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    let verdict = runtime.block_on((scenario.run)(peer, rounds)).map_err(|error| format!("{error:#}"));
    let mut line = serde_json::to_vec(&verdict)?;
    line.push(b'\n');
    std::io::stdout().write_all(&line)?;
    std::io::stdout().flush()?;
    // Not by returning: the runtime's end would wait for what hangs.
    std::process::exit(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_set_up_is_an_error_and_no_failure() {
        let told = outcome(Err(anyhow!("6 objects after priming, not 5")));
        assert_eq!(told, (Outcome::Error, "could not be set up: 6 objects after priming, not 5".to_owned()));
        assert_eq!(outcome(Ok(Verdict::new(false, "2 alive"))), (Outcome::Fail, "2 alive".to_owned()));
    }
}
