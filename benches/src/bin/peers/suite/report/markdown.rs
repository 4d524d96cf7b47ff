//! The document for the repository.

use std::fmt::Write;
use std::thread;

use super::day::today;
use super::{find, peers, scenarios};
use crate::suite::cell::{Cell, Outcome};
use crate::suite::scenarios::Scenario;
use crate::suite::subject::Peer;
use crate::suite::versions::version;

/// All of it.
pub(crate) fn markdown(cells: &[Cell]) -> String {
    let mut out = String::new();
    head(&mut out);
    table(&mut out, cells);
    for scenario in scenarios(cells) {
        section(&mut out, cells, scenario);
    }
    out.push_str("## How each is set up\n\n");
    for peer in peers(cells) {
        setup(&mut out, peer);
    }
    out
}

fn head(out: &mut String) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let _ = write!(
        out,
        "# This pool and its peers\n\n\
         What each of these pools did in the same scenarios. This file is written by\n\n\
         ```sh\ncargo xtask peers\n```\n\n\
         from a run on {}, on a machine with {cores} cores. \
         The code is in `benches/src/bin/peers`: a file a pool, a file a scenario.\n\n\
         - Every cell was observed, in a process of its own. `-` is not offered: the API does not have \
         what the scenario is about. The reasons are [below](#how-each-is-set-up). `error`: the scenario could \
         not be set up, so that nothing is known.\n\
         - \"Not served within 5 s\" is taken for never. No create that ends takes more than 150 ms, and the \
         longest that any have to queue is 2.25 s: r2d2's in `spike`, 45 of them on three threads, while \
         puts serve its getters.\n\
         - Pools are configured as their documentation says, without timeouts. With a timeout a getter \
         that hangs has an error in the end; what is asked here is whether it is served.\n\
         - `bound` and `cancel` are races. That a pool passed them says that nothing was seen.\n\n",
        today()
    );
}

fn table(out: &mut String, cells: &[Cell]) {
    let scenarios = scenarios(cells);
    out.push_str("| | version |");
    for scenario in &scenarios {
        let anchor = scenario.title.to_lowercase().replace(' ', "-").replace(',', "");
        let _ = write!(out, " [{}](#{anchor}) |", scenario.name);
    }
    out.push_str("\n| --- | --- |");
    out.push_str(&" --- |".repeat(scenarios.len()));
    out.push('\n');
    for peer in peers(cells) {
        let _ = write!(out, "| {} | {} |", peer.name, version(peer.package));
        for scenario in &scenarios {
            out.push_str(match find(cells, peer, scenario).outcome {
                Outcome::Pass => " pass |",
                Outcome::Fail => " **fail** |",
                Outcome::NotOffered => " - |",
                Outcome::Error => " error |",
            });
        }
        out.push('\n');
    }
    out.push('\n');
}

fn section(out: &mut String, cells: &[Cell], scenario: &Scenario) {
    let Scenario { name, title, setup, passes, .. } = scenario;
    let _ = write!(out, "## {title}\n\n`{name}`. {setup}\n\nPasses if: {passes}\n\n");
    let _ = write!(out, "| | | observed |\n| --- | --- | --- |\n");
    for cell in cells.iter().filter(|cell| cell.scenario.name == *name) {
        if cell.outcome != Outcome::NotOffered {
            let observed = cell.observed.replace('|', "\\|");
            let _ = writeln!(out, "| {} | {} | {observed} |", cell.peer.name, cell.outcome.words());
        }
    }
    out.push('\n');
}

fn setup(out: &mut String, peer: &Peer) {
    let _ = write!(out, "- **{}**: {}", peer.name, peer.setup);
    for (nth, (_, reason)) in peer.lacks.iter().enumerate() {
        let _ = write!(out, "{} {reason}", if nth == 0 { " Not offered:" } else { ";" });
    }
    out.push_str(if peer.lacks.is_empty() { "\n" } else { ".\n" });
}
