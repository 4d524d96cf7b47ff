//! The command line.
//!
//! Whoever knows `xargs` knows most of it: `-P` launches at a time, `-n`
//! arguments a launch. What `xargs` lacks is a choice of *protocol*: what a
//! launcher does when there is no item left to build its argument block in.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::PossibleValue;
use clap::{Parser, ValueEnum};

use super::args::{self, Args, Launches};
use super::block::Environment;
use super::launchers::Work;
use super::report::{self, Row};
use super::{files, page, run, spawn};

/// Run PROG once for every few of many arguments, as `xargs -P` does, with all
/// argument blocks together in a bounded memory.
///
/// Every launch builds its arguments and environment, as exec does, in one
/// contiguous item of 256 KiB from a pool, and starts the program straight from
/// there (but for `pieces`). There are fewer items than launchers, so launchers wait. The protocols
/// differ in what the wait can end by, and the table at the end shows what each
/// of them did: how many launches were done, how many launchers hang and where.
#[derive(Debug, Parser)]
#[command(name = "storm", version)]
pub(crate) struct Cli {
    /// Read the arguments from FILE, or from the standard input if it is `-`.
    ///
    /// They are separated by NUL bytes if there is one, else by newlines.
    /// Without this option: the names of all files below the current directory,
    /// sorted, but for those in directories named `.git` or `target`.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) args_from: Option<PathBuf>,

    /// The program to start; searched for in PATH unless it contains a slash.
    ///
    /// Its standard input is /dev/null; its output is this program's.
    #[arg(long, value_name = "PROG", default_value = "true")]
    pub(crate) program: OsString,

    /// Launchers that work at the same time.
    #[arg(short = 'P', long, value_name = "N", default_value = "8")]
    pub(crate) parallel: NonZeroUsize,

    /// Most arguments a launch: with 1, every argument is a launch of its own.
    #[arg(short = 'n', long, value_name = "N", default_value = "1")]
    pub(crate) max_args: NonZeroUsize,

    /// What a launcher does when no item is left.
    #[arg(long, value_name = "PROTOCOL", default_value = "all")]
    pub(crate) protocol: Protocols,

    /// Stop after N launches [default: when the arguments are used up].
    #[arg(long, value_name = "N")]
    pub(crate) launches: Option<usize>,

    /// Also write the results to FILE, as a JSON array with an object a protocol.
    ///
    /// Times are in microseconds (`_us`) or seconds (`_s`), memory in bytes (`_bytes`).
    /// `samples` is what was seen while the protocol ran, `stuck_at` since when each stuck
    /// launcher slept and how many items were put meanwhile, `memory` what the pool held.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Also write a page to FILE, for people: what happened over time under each protocol,
    /// how long launchers waited, the memory held, and the race in which a page is stolen.
    ///
    /// It is one HTML file that needs no network and no script.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

/// What `xargs` exits with if a command exited non-zero.
const SOME_FAILED: u8 = 123;

/// Does what the arguments say, the program's name first; gives the exit code.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    match storm(&Cli::parse_from(&args), &args) {
        Ok(rows) if rows.iter().any(Row::fell_short) => {
            eprintln!("storm: a protocol that should complete did not");
            1
        }
        Ok(rows) if rows.iter().any(|row| row.failed > 0) => SOME_FAILED,
        Ok(_) => 0,
        Err(error) => {
            eprintln!("storm: {error:#}");
            1
        }
    }
}

fn storm(cli: &Cli, args: &[OsString]) -> Result<Vec<Row>> {
    let outputs = [("--json", &cli.json), ("--report", &cli.report)];
    if let (Some(json), Some(page)) = (&cli.json, &cli.report) {
        files::check_distinct(("--json", json), ("--report", page))?;
    }
    for (option, path) in outputs {
        path.as_ref().map_or(Ok(()), |path| files::check(option, path))?;
    }
    let program = spawn::resolve(&cli.program)?;
    let blocks = Args::load(cli.args_from.as_deref())?;
    let launches = Launches::new(&blocks, cli.max_args, cli.launches);
    let environment = Environment::capture();
    args::check_fits(&launches, &program, &environment, run::ITEM)?;
    if launches.len() == 0 {
        eprintln!("storm: no arguments, so nothing to launch");
    }
    let work = Work { program: &program, launches, environment: &environment };
    let mut rows = Vec::new();
    for &protocol in cli.protocol.each() {
        rows.push(run::run(protocol, &work, cli.parallel.get())?);
    }
    println!("{}", report::table(&rows));
    if let Some(path) = &cli.json {
        files::write(path, &report::json(&rows)?)?;
    }
    if let Some(path) = &cli.report {
        files::write(path, page::html(&rows, args)?.as_bytes())?;
    }
    Ok(rows)
}

/// How a getter that found nothing waits, and what can end its wait.
///
/// The doc comments are the help texts of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// the getter sleeps in the arena, unreachable (NetBSD kern/45718)
    Sleep,
    /// option 1: all that may ever be held is held from the beginning, and the arena never asked again
    Prime,
    /// option 2: blocks are built in pieces of 4 KiB, and copied out once, when the program is started
    Pieces,
    /// option 3 as posted: a put gives its page back, which others may steal
    Release,
    /// option 3 with claims: the page freed goes to the getter it was freed for
    Claim,
    /// option 4, the library's default: whichever comes first, a put or the arena
    Choose,
}

impl Protocol {
    /// What a getter does when nothing is left, in a few words.
    pub(crate) fn about(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| Some(value.get_help()?.to_string())).unwrap_or_default()
    }

    /// The name on the command line, in the table and in the JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Prime => "prime",
            Self::Pieces => "pieces",
            Self::Release => "release",
            Self::Claim => "claim",
            Self::Choose => "choose",
        }
    }
}

/// The value of `--protocol`: one of them, or `all`.
///
/// A type of its own, so that whoever runs a [`Protocol`] need not say what
/// running `all` at once would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocols {
    /// Just this one.
    One(Protocol),
    /// Each in turn: the status quo, then option by option.
    All,
}

impl Protocols {
    /// The protocols to run, in order.
    pub(crate) fn each(&self) -> &[Protocol] {
        match self {
            Self::One(protocol) => std::slice::from_ref(protocol),
            Self::All => Protocol::value_variants(),
        }
    }
}

impl ValueEnum for Protocols {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::One(Protocol::Sleep),
            Self::One(Protocol::Prime),
            Self::One(Protocol::Pieces),
            Self::One(Protocol::Release),
            Self::One(Protocol::Claim),
            Self::One(Protocol::Choose),
            Self::All,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::One(protocol) => protocol.to_possible_value(),
            Self::All => Some(PossibleValue::new("all").help("each of them in turn")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_as_documented() {
        let cli = Cli::try_parse_from(["storm"]).unwrap();
        assert_eq!(cli.program, "true");
        assert_eq!((cli.parallel.get(), cli.max_args.get()), (8, 1));
        let names: Vec<_> = cli.protocol.each().iter().map(|p| p.name()).collect();
        assert_eq!(names, ["sleep", "prime", "pieces", "release", "claim", "choose"]);
    }

    #[test]
    fn names_are_what_the_command_line_takes() {
        for protocol in Protocol::value_variants() {
            let cli = Cli::try_parse_from(["storm", "--protocol", protocol.name()]).unwrap();
            assert_eq!(cli.protocol, Protocols::One(*protocol));
        }
    }

    #[test]
    fn nobody_launches_with_nobody() {
        assert!(Cli::try_parse_from(["storm", "-P", "0"]).is_err());
        assert!(Cli::try_parse_from(["storm", "-n", "0"]).is_err());
    }
}
