//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};

use super::subjects::{SUBJECTS, Subject};

/// Counts the instructions of a get and a put, under callgrind.
#[derive(Debug, Parser)]
#[command(name = "instructions", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Counts all subjects. Without valgrind it says so, and counts nothing
    Count {
        /// Also put the counts into FILE, a run of the benches.
        #[arg(long, value_name = "FILE")]
        into: Option<PathBuf>,
    },
    /// Counts ours; fails if there are more instructions than the ceilings allow
    Check,
    /// Does so many pairs, to be counted
    #[command(hide = true)]
    Pairs {
        #[arg(value_parser = subjects())]
        subject: &'static Subject,
        pairs: u64,
    },
}

fn subjects() -> impl TypedValueParser<Value = &'static Subject> {
    PossibleValuesParser::new(SUBJECTS.iter().map(|subject| subject.name))
        .map(|name| SUBJECTS.iter().find(|subject| subject.name == name).expect("a possible value"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }
}
