//! The contest: who is chosen, how much they do, the rounds, and what is shown and written.

mod cli;
mod effort;
mod fresh;
mod origin;
mod output;
mod progress;
mod rounds;
mod rows;
mod terminal;

use std::process::ExitCode;

use anyhow::ensure;
use benches::contestants::cases;
use benches::results::Results;
use benches::threads::abort_on_panic;
use clap::Parser;

use cli::Cli;
use output::Output;

pub(crate) fn main() -> ExitCode {
    // Those that would wait for a thread that panics cannot be told.
    abort_on_panic();
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("contest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let chosen: Vec<_> = cases().into_iter().filter(|case| cli.chooses(case)).collect();
    ensure!(!chosen.is_empty(), "none of these subjects takes part in any of these benches: see --list");
    if cli.list {
        print!("{}", terminal::list(&chosen));
        return Ok(());
    }
    if cli.alone {
        return fresh::answer(&chosen);
    }
    let output = cli.json.as_deref().map(Output::to).transpose()?;
    let effort = cli.effort();
    let rows = rounds::run(&chosen, &effort)?;
    println!("{}", terminal::tables(&rows));
    if let Some(output) = output {
        let results = Results {
            quick: cli.quick,
            rounds: effort.rounds,
            machine: origin::machine(),
            toolchain: origin::TOOLCHAIN.to_owned(),
            commit: origin::commit(),
            rows,
        };
        output.write(&results)?;
    }
    Ok(())
}
