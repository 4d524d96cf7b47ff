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
    tried(&mut out);
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

/// What stands between ours and the targets that runs have missed, and what was tried. It names no figure
/// of a run.
const TRIED: &str = "\
- **Pairs of one thread.** Each get and put marks its owner as inside, looks whether it is revoked, moves a word, \
counts itself and leaves. Tried, and kept: items and guards of one word (two words were stored in halves and loaded \
whole, which stalls), places of caches without a destructor, what is rare out of line. Tried, and dropped: \
`ArrayVec`, whose bounds are checked twice. What is left above the bare array is that mark and its look, \
twice a pair; through the thread-local also the search for the cache, twice. Not tried: to leave the counts to the \
exchanges with the depot, and to have a guard remember its cache.\n\
- **Raw items** cost two searches for their page besides, since anybody may put any pointer, and a wrong one is told.\n\
- **Remote, burst.** Magazines begin small and double where the depot has no empty one left, or its lock is found \
taken: at a fixed size of eight rounds a burst went through the lock, and was ten times slower. `by handle` spares \
the search for the cache, sixty-four times a burst.\n\
- **Scarce, throughput.** A bound on bypass is a switch of threads every so many gets, which barging never pays, and \
what is decided under the lock is longer than a mutex around a list. Tried: getting and putting beside who \
waits without settling what cannot break, which doubled it; other bounds, which are in the tables below as \
`ours, bypass ..`: the default is about where more has little effect but with many more threads than \
objects, where the longest waits grow with it.\n\
- **Scarce, p99.99.** Quantiles are over gets, and who starves gets little: see the longest waits and the fairness \
beside them. With work, an ordinary wait is a time slice of the scheduler.\n\
- **Many pools.** A thread finds its cache at once for sixty-four pools, and in a second table beyond that, by way of \
the slow path's calls; and what so many pools touch does not fit into the first cache of the processor.\n\
- **Spans.** A pair cost about twice what it does before what is taken and freed while nobody waits went past \
settling, and before the length of each run left the table, which is half as large since. With few out, half of what \
is left is the lock: two locked pairs of instructions, which the peers' mutex has too. With a million out it is \
misses of the cache, a few a pair: peers that keep their nodes dense have fewer. Tried, and dropped: the tables on huge \
pages, which gained a tenth and cost memory.\n";

fn tried(out: &mut String) {
    let _ = write!(
        out,
        "## What was tried\n\nWhere runs have missed targets, why, and what was done about it.\n\n{TRIED}\n"
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
