//! docs/BENCHMARKS.md.

use std::fmt::Write;

use benches::results::Results;

use super::chapters::Chapter;
use super::plot::Plot;
use super::run::Run;
use super::tables;
use super::verdict::{Verdict, summary};

/// The document's name in the folder of documents.
pub(crate) const DOCUMENT: &str = "BENCHMARKS.md";
/// The folder of its plots, in that folder.
pub(crate) const PLOTS: &str = "benchmarks";

/// All of it.
pub(crate) fn markdown(run: &Run, verdicts: &[Verdict], chapters: &[(&Chapter, Vec<Plot>)]) -> String {
    let mut out = String::new();
    head(&mut out, run);
    targets(&mut out, verdicts);
    how_to_read(&mut out, run);
    for (chapter, plots) in chapters {
        section(&mut out, run, chapter, plots);
    }
    instructions(&mut out, run);
    out
}

fn head(out: &mut String, run: &Run) {
    let Results { quick, rounds, machine, toolchain, commit, .. } = &run.results;
    let commit = commit.as_deref().map_or_else(|| "no checkout".to_owned(), |commit| format!("`{commit}`"));
    let _ = write!(
        out,
        "# Benchmarks\n\n\
         What this pool costs, beside what people would use instead. This file and its plots are written by\n\n\
         ```sh\ncargo xtask bench{}\n```\n\n\
         and every figure in them is of one run of it.\n\n\
         | | |\n| --- | --- |\n\
         | commit | {commit} |\n\
         | machine | {} processors, {} |\n\
         | system | {}, {} |\n\
         | toolchain | {toolchain} |\n\
         | rounds | {} |\n\n",
        if *quick { " --quick" } else { "" },
        machine.cpus,
        machine.cpu,
        machine.os,
        machine.kernel,
        rounds,
    );
}

fn targets(out: &mut String, verdicts: &[Verdict]) {
    let _ = write!(
        out,
        "## Targets\n\n\
         What the pool is to be, and what it was in this run. Of several cases the worst is shown.\n\n\
         {}\n{}.\n\n",
        tables::targets(verdicts, |missed| format!("**{missed}**")).markdown(false),
        summary(verdicts),
    );
}

fn how_to_read(out: &mut String, run: &Run) {
    let _ = write!(
        out,
        "## How to read this\n\n\
         - **Only ratios travel.** Nanoseconds are this machine's, on this day. That is why subjects take \
         turns: each round measures all of them, one after the other, so that a machine that drifts \
         hurts all alike.\n\
         - A cell is the median of {} rounds, and in brackets how many times ours it is: the median \
         of the ratios of each round. Above 1 is slower than `ours`. `-`: not measured.\n\
         - A difference of a few percent is noise, unless it is one of instructions.\n\
         - Some of the peers promise less: no bound, no waiting, no order, or only one thread. What each does when it \
         is short is in [PEERS.md](PEERS.md).\n\n",
        run.results.rounds
    );
}

fn section(out: &mut String, run: &Run, chapter: &Chapter, plots: &[Plot]) {
    let Chapter { bench, title, text, .. } = chapter;
    let _ = write!(out, "## {title}\n\n`{bench}`. {text}\n\n");
    if run.of(*bench).next().is_none() {
        out.push_str("Not measured in this run.\n\n");
        return;
    }
    for plot in plots {
        let _ = write!(out, "![{}]({PLOTS}/{})\n\n", plot.alt, plot.file);
    }
    for (title, table) in chapter.tables(run) {
        if let Some(title) = title {
            let _ = write!(out, "### {title}\n\n");
        }
        let _ = writeln!(out, "{}", table.markdown(true));
    }
}

fn instructions(out: &mut String, run: &Run) {
    out.push_str(
        "## Instructions\n\n\
         Instructions of a pair of 64 bytes on one thread, counted under callgrind: what no noise can touch. Two \
         runs that differ in nothing but the number of pairs are subtracted from each other, so that \
         setting up doesn't count. The two or three of the loop itself do. `cargo xtask test` counts ours \
         again, and fails if it has become more.\n\n",
    );
    let table = tables::instructions(run);
    if table.is_empty() {
        out.push_str("Not counted in this run: valgrind was not there.\n");
        return;
    }
    let _ = writeln!(out, "{}", table.markdown(true));
    let there = run.instructions.iter().all(|count| count.membarrier);
    out.push_str(if there {
        "`membarrier(2)` was there under callgrind, so that what was counted of ours is the path without a \
         fence.\n"
    } else {
        "`membarrier(2)` was not there under callgrind, so that what was counted of ours is the path with full \
         fences, which is a few instructions longer than the usual one.\n"
    });
}
