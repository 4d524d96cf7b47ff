//! An `xargs -P` whose argument memory is bounded, and NetBSD kern/45718 reproduced.
//!
//! See `--help`; the README says what to expect.

#[cfg(not(loom))]
mod args;
#[cfg(not(loom))]
mod block;
#[cfg(not(loom))]
mod cli;
#[cfg(not(loom))]
mod clients;
#[cfg(not(loom))]
mod launchers;
#[cfg(not(loom))]
mod progress;
#[cfg(not(loom))]
mod report;
#[cfg(not(loom))]
mod run;
#[cfg(not(loom))]
mod spawn;

/// There is no storm in loom's small worlds.
#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;
    /// What `xargs` exits with if a command exited non-zero.
    const SOME_FAILED: u8 = 123;

    match storm() {
        Ok(rows) if rows.iter().any(report::Row::fell_short) => {
            eprintln!("storm: a protocol that should complete did not");
            ExitCode::FAILURE
        }
        Ok(rows) if rows.iter().any(|row| row.failed > 0) => ExitCode::from(SOME_FAILED),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("storm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(loom))]
fn storm() -> anyhow::Result<Vec<report::Row>> {
    use clap::Parser;

    let cli = cli::Cli::parse();
    let program = spawn::resolve(&cli.program)?;
    let args = args::Args::load(cli.args_from.as_deref())?;
    let launches = args::Launches::new(&args, cli.max_args, cli.launches);
    let environment = block::Environment::capture();
    args::check_fits(&launches, &program, &environment, run::ITEM)?;
    if launches.len() == 0 {
        eprintln!("storm: no arguments, so nothing to launch");
    }
    let work = launchers::Work { program: &program, launches, environment: &environment };
    let mut rows = Vec::new();
    for &protocol in cli.protocol.each() {
        rows.push(run::run(protocol, &work, cli.parallel.get())?);
    }
    println!("{}", report::table(&rows));
    if let Some(path) = &cli.json {
        report::write_json(path, &rows)?;
    }
    Ok(rows)
}
