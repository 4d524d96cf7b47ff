//! Cases that are measured in a process of their own, which has done nothing else.

use std::env;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use benches::case::{Case, Trial};

/// Measures a case in a new process.
pub(crate) fn measure(case: &Case) -> anyhow::Result<f64> {
    let this = env::current_exe().context("cannot find this program")?;
    let bench = case.bench.to_string();
    let arguments = ["--alone", "--bench", &bench, "--subject", case.subject];
    let output = Command::new(this).args(arguments).output().context("cannot start another process")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{case:?}, alone: {}: {}", output.status, said.trim());
    let figure = String::from_utf8_lossy(&output.stdout);
    figure.trim().parse().with_context(|| format!("{case:?}, alone, said {figure:?}"))
}

/// Does so, in that process.
pub(crate) fn answer(chosen: &[Case]) -> anyhow::Result<()> {
    let [case] = chosen else { bail!("--alone is for one case, not {}", chosen.len()) };
    let Trial::Memory(measure) = case.prepare() else { bail!("{case:?} need not be alone") };
    println!("{}", measure());
    Ok(())
}
