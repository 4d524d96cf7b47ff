//! What a run came to: tables for people, an object of JSON for programs.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment, Table, presets};
use pool::PoolStats;
use serde::Serialize;

use super::run::{Plan, Run, trends};
use super::system::Usage;
use super::worker::names;

/// One run. The fields are the JSON's, in its order.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    pub(crate) tasks: usize,
    pub(crate) seconds: f64,
    /// What did not hold.
    pub(crate) failure: Option<String>,
    /// Threads and tasks that there were, one after the other.
    pub(crate) lives: u64,
    pub(crate) operations: Vec<Operation>,
    pub(crate) pools: Vec<PoolStats>,
    /// Pages of frames, and spans of numbers, that were moved; spans that were given up for others.
    pub(crate) moved: [u64; 3],
    pub(crate) growth: Vec<Growth>,
    /// At each rest, after so many operations.
    pub(crate) usage: Vec<(u64, Usage)>,
}

/// One action by name.
#[derive(Debug, Serialize)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) done: u64,
    /// With an error that was to be expected.
    pub(crate) refused: u64,
    /// By plan.
    pub(crate) panicked: u64,
}

/// What is in use, over the run.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) of: &'static str,
    pub(crate) in_100_operations: f64,
    pub(crate) in_all: f64,
}

impl Report {
    pub(crate) fn of(plan: &Plan, run: &Run) -> Self {
        let counts = names().zip(&run.shift.counts);
        let operation = |(name, count): (&'static str, &super::worker::Count)| {
            let [done, refused, panicked] = count.all();
            Operation { name, done, refused, panicked }
        };
        let world = &run.shift.world;
        let (spans, given) = world.numbers.moved();
        let growth = |(law, trend): (super::trend::Law, super::trend::Trend)| Growth {
            of: law.name,
            in_100_operations: trend.slope * 100.0,
            in_all: trend.growth,
        };
        Self {
            seed: plan.seed,
            threads: plan.threads,
            tasks: plan.tasks,
            seconds: run.elapsed.as_secs_f64(),
            failure: run.failure.clone(),
            lives: run.lives,
            operations: counts.map(operation).collect(),
            pools: world.watched.iter().map(|watched| watched.pool.stats()).collect(),
            moved: [world.frames.stats().moved, spans, given],
            growth: trends(&run.usage).into_iter().map(growth).collect(),
            usage: run.usage.clone(),
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// All of it, for people.
    pub(crate) fn tables(&self, run: &Run) -> String {
        let operations = self.operations.iter().map(|it| it.done + it.refused + it.panicked).sum::<u64>();
        let [pages, spans, given] = self.moved;
        let mut text = format!(
            "{}\n\n{}\n\n{operations} operations in {:.1} s, {} threads and tasks at a time, {} in all\n\
             moved: {pages} pages of frames, {spans} spans of numbers; given up for others: {given} spans\n",
            self.of_operations(),
            self.of_pools(run),
            self.seconds,
            self.threads + self.tasks,
            self.lives,
        );
        if let (Some((_, first)), Some((_, last))) = (self.usage.first(), self.usage.last()) {
            let rests = self.usage.len();
            let _ = writeln!(text, "at {rests} rests, first and last: {first:?}\n{:>29}{last:?}", "");
        }
        for Growth { of, in_100_operations, in_all } in &self.growth {
            let _ = writeln!(text, "{of}: {in_100_operations:+.4} in 100 operations, {in_all:+.0} in all");
        }
        text
    }

    fn of_operations(&self) -> Table {
        let rows = self.operations.iter().map(|it| [it.done, it.refused, it.panicked]);
        let rows = self
            .operations
            .iter()
            .zip(rows)
            .map(|(it, counts)| (it.name.to_owned(), counts.map(|it| it.to_string())));
        table(["operation", "done", "refused", "panicked"], rows)
    }

    fn of_pools(&self, run: &Run) -> Table {
        let rows = run.shift.world.watched.iter().zip(&self.pools).map(|(watched, stats)| {
            let waits = watched.pool.waits();
            let at = |nanos: u64| {
                humantime::format_duration(std::time::Duration::from_micros(nanos / 1000)).to_string()
            };
            let most = watched.bypass.map_or("-".to_owned(), |most| most.to_string());
            let cells = [
                stats.gets.to_string(),
                stats.failures.total().to_string(),
                format!("{}/{most}", stats.most_overtaken),
                waits.len().to_string(),
                at(waits.value_at_quantile(0.5)),
                at(waits.value_at_quantile(0.99)),
                at(waits.max()),
                stats.sweeps.to_string(),
                stats.grows.to_string(),
                stats.yielded.to_string(),
                stats.withdrawn.to_string(),
            ];
            (stats.name.clone().unwrap_or_default(), cells)
        });
        let heads = [
            "pool",
            "gets",
            "failed",
            "overtaken",
            "waited",
            "p50",
            "p99",
            "max",
            "sweeps",
            "grows",
            "yielded",
            "withdrawn",
        ];
        table(heads, rows)
    }
}

fn table<const HEADS: usize, const CELLS: usize>(
    heads: [&str; HEADS],
    rows: impl Iterator<Item = (String, [String; CELLS])>,
) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(heads);
    for (name, cells) in rows {
        let cells = cells.into_iter().map(|cell| Cell::new(cell).set_alignment(CellAlignment::Right));
        table.add_row(std::iter::once(Cell::new(name)).chain(cells));
    }
    table
}
