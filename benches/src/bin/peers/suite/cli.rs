//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};

use crate::suite::pools::PEERS;
use crate::suite::scenarios::{SCENARIOS, Scenario};
use crate::suite::subject::Peer;

/// Puts this pool and its peers through the same scenarios.
///
/// Each peer in each scenario is a cell, and runs in a process of its own. A cell is `pass`,
/// `fail`, `not offered`, which is said only of what a peer's API does not have, or `error`, if the
/// scenario could not be set up.
#[derive(Debug, Parser)]
#[command(name = "peers", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Says which peers and scenarios there are
    List,
    /// Runs cells, all of them unless told otherwise, and prints the table
    ///
    /// The exit status is non-zero if this workspace's pool fails a scenario, or could
    /// not be put through it.
    Run(Run),
    /// Runs one cell in this process and prints a line of JSON
    #[command(hide = true)]
    Cell {
        #[arg(value_parser = peers())]
        peer: &'static Peer,
        #[arg(value_parser = scenarios())]
        scenario: &'static Scenario,
        #[arg(long)]
        rounds: Option<usize>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Only this peer; may be repeated.
    #[arg(long = "peer", value_name = "PEER", value_parser = peers())]
    peers: Vec<&'static Peer>,

    /// Only this workspace's pool.
    #[arg(long, conflicts_with = "peers")]
    ours: bool,

    /// Only this scenario; may be repeated.
    #[arg(long = "scenario", value_name = "SCENARIO", value_parser = scenarios())]
    scenarios: Vec<&'static Scenario>,

    /// Run the races at most so often.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rounds: Option<usize>,

    /// Also write the cells to FILE, as a JSON array.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Also write the report to FILE, as Markdown. Of a whole run only.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["peers", "ours", "scenarios", "rounds"])]
    pub(crate) markdown: Option<PathBuf>,
}

impl Run {
    /// The peers to run, in the table's order.
    pub(crate) fn peers(&self) -> Vec<&'static Peer> {
        let chosen = |one: &Peer| {
            if self.ours {
                one.is_ours()
            } else {
                self.peers.is_empty() || self.peers.iter().any(|chosen| chosen.name == one.name)
            }
        };
        PEERS.into_iter().filter(|peer| chosen(peer)).collect()
    }

    /// The scenarios to run, in the table's order.
    pub(crate) fn scenarios(&self) -> Vec<&'static Scenario> {
        let all = self.scenarios.is_empty();
        let chosen = |one: &Scenario| self.scenarios.iter().any(|chosen| chosen.name == one.name);
        SCENARIOS.into_iter().filter(|scenario| all || chosen(scenario)).collect()
    }
}

fn peers() -> impl TypedValueParser<Value = &'static Peer> {
    PossibleValuesParser::new(PEERS.map(|peer| peer.name))
        .map(|name| PEERS.into_iter().find(|peer| peer.name == name).expect("a possible value"))
}

fn scenarios() -> impl TypedValueParser<Value = &'static Scenario> {
    PossibleValuesParser::new(SCENARIOS.map(|scenario| scenario.name))
        .map(|name| SCENARIOS.into_iter().find(|scenario| scenario.name == name).expect("a possible value"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(arguments: &[&str]) -> Result<Run, clap::Error> {
        let cli = Cli::try_parse_from([&["peers", "run"], arguments].concat())?;
        match cli.task {
            Task::Run(run) => Ok(run),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_choice_all_run() {
        let run = run(&[]).unwrap();
        assert_eq!((run.peers().len(), run.scenarios().len()), (PEERS.len(), SCENARIOS.len()));
    }

    #[test]
    fn choices_are_run_in_the_order_of_the_table() {
        let run = run(&["--peer", "bb8", "--peer", "deadpool/managed", "--scenario", "spike"]).unwrap();
        let names: Vec<_> = run.peers().iter().map(|peer| peer.name).collect();
        assert_eq!(names, ["deadpool/managed", "bb8"]);
        assert_eq!(run.scenarios().len(), 1);
    }

    #[test]
    fn ours_are_this_workspaces() {
        let run = run(&["--ours"]).unwrap();
        assert_eq!(run.peers().iter().filter(|peer| peer.is_ours()).count(), run.peers().len());
        assert_eq!(run.peers().len(), PEERS.iter().filter(|peer| peer.is_ours()).count());
    }

    #[test]
    fn what_is_not_there_is_an_error_that_says_what_is() {
        let error = run(&["--peer", "bb9"]).unwrap_err().to_string();
        assert!(error.contains("bb9") && error.contains("deadpool"), "{error}");
        assert!(run(&["--peer", "bb8", "--markdown", "file"]).is_err());
    }
}
