//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Prints the targets beside the figures of a run of the benches.
#[derive(Debug, Parser)]
#[command(name = "bench_report", version)]
pub(crate) struct Cli {
    /// The run, as the benches wrote it.
    #[arg(value_name = "BENCH_JSON")]
    pub(crate) run: PathBuf,

    /// Also write BENCHMARKS.md and its plots into this folder. Of a whole run only.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) docs: Option<PathBuf>,
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
