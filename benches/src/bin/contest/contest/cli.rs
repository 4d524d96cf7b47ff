//! The command line.

use std::collections::BTreeSet;
use std::path::PathBuf;

use benches::case::{Bench, Case};
use benches::contestants::cases;
use clap::Parser;
use clap::builder::PossibleValuesParser;

use super::effort::Effort;

/// Measures this pool and what people use instead, in interleaved rounds.
///
/// A round measures each case once, side by side with those that it is compared with, in an order
/// that differs from round to round: a machine that is slow for a while is slow for all.
#[derive(Debug, Parser)]
#[command(name = "contest", version)]
pub(crate) struct Cli {
    /// A short run: fewer rounds, shorter samples
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only this bench; may be repeated
    #[arg(long = "bench", value_name = "NAME", value_enum)]
    benches: Vec<Bench>,

    /// Only this subject; may be repeated
    ///
    /// Without "ours" nothing is compared with it.
    #[arg(long = "subject", value_name = "NAME", value_parser = subjects())]
    subjects: Vec<String>,

    /// How many samples to take of each case
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: Option<u32>,

    /// Also write what was measured to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Say which cases there are, and measure none
    #[arg(long)]
    pub(crate) list: bool,

    /// Measure the one case that is chosen here and now, and print the figure alone
    #[arg(long, hide = true)]
    pub(crate) alone: bool,
}

impl Cli {
    /// Whether a case is to be measured.
    pub(crate) fn chooses(&self, case: &Case) -> bool {
        let bench = self.benches.is_empty() || self.benches.contains(&case.bench);
        let subject = self.subjects.is_empty() || self.subjects.iter().any(|name| name == case.subject);
        bench && subject
    }

    /// How much is to be done.
    pub(crate) fn effort(&self) -> Effort {
        let effort = if self.quick { Effort::QUICK } else { Effort::FULL };
        Effort { rounds: self.rounds.map_or(effort.rounds, |rounds| rounds as usize), ..effort }
    }
}

fn subjects() -> PossibleValuesParser {
    let names: BTreeSet<_> = cases().iter().map(|case| case.subject).collect();
    PossibleValuesParser::new(names)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn chosen(arguments: &[&str]) -> Vec<Case> {
        let cli = Cli::try_parse_from([&["contest"], arguments].concat()).unwrap();
        cases().into_iter().filter(|case| cli.chooses(case)).collect()
    }

    fn refused(arguments: &[&str]) -> String {
        Cli::try_parse_from([&["contest"], arguments].concat()).unwrap_err().to_string()
    }

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_choice_all_are_measured() {
        assert_eq!(chosen(&[]).len(), cases().len());
    }

    #[test]
    fn benches_and_subjects_are_chosen_by_name() {
        let chosen =
            chosen(&["--bench", "burst", "--bench", "remote", "--subject", "ours", "--subject", "opool"]);
        let names: Vec<_> = chosen.iter().map(|case| (case.bench, case.subject)).collect();
        assert_eq!(
            names,
            [
                (Bench::Remote, "ours"),
                (Bench::Remote, "opool"),
                (Bench::Burst, "ours"),
                (Bench::Burst, "opool")
            ]
        );
    }

    #[test]
    fn what_is_not_there_is_an_error_that_says_what_is() {
        assert!(refused(&["--bench", "burts"]).contains("'burst'"));
        assert!(refused(&["--subject", "our"]).contains("mimalloc"));
        assert!(refused(&["--rounds", "0"]).contains("1..=1000"));
        assert!(refused(&["quick"]).contains("unexpected argument"));
    }

    #[test]
    fn rounds_may_be_told() {
        let effort = Cli::try_parse_from(["contest", "--quick", "--rounds", "3"]).unwrap().effort();
        assert_eq!((effort.rounds, effort.sample), (3, Effort::QUICK.sample));
    }
}
