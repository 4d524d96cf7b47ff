//! The report: what is read, what is asked of it, and what is written.

mod cases;
mod chapters;
mod cli;
mod document;
mod grid;
mod number;
mod plot;
mod run;
mod scale;
mod scarce;
mod spans;
mod subjects;
mod tables;
mod targets;
mod verdict;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use chapters::CHAPTERS;
use cli::Cli;
use document::{DOCUMENT, PLOTS};
use run::Run;
use targets::targets;
use verdict::Verdict;

pub(crate) fn main() -> ExitCode {
    match made(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench_report: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the table of targets; then writes the document, if it is to be written.
fn made(cli: &Cli) -> anyhow::Result<()> {
    let run = Run::read(&cli.run)?;
    let verdicts: Vec<Verdict> = targets().iter().map(|target| target.judge(&run)).collect();
    println!("{}", tables::targets(&verdicts, |missed| missed.replacen("missed", "MISSED", 1)).terminal());
    println!("{}", verdict::summary(&verdicts));
    if let Some(docs) = &cli.docs {
        write(docs, &run, &verdicts)?;
    }
    Ok(())
}

/// Writes the document and its plots under `docs`. The document comes last: it never names a plot that
/// is not there.
fn write(docs: &Path, run: &Run, verdicts: &[Verdict]) -> anyhow::Result<()> {
    let folder = docs.join(PLOTS);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    clear(&folder)?;
    let mut chapters = Vec::new();
    for chapter in &CHAPTERS {
        let plots = chapter.plots(run);
        for plot in &plots {
            put(&folder.join(&plot.file), &plot.svg)?;
        }
        chapters.push((chapter, plots));
    }
    put(&docs.join(DOCUMENT), &document::markdown(run, verdicts, &chapters))
}

/// Removes the plots of an earlier run, which may have had other shapes.
fn clear(folder: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
