//! What an idea did: a row of a table for people, an object of JSON for programs.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment, LineStyle, Table, presets};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::cli::Cli;
use super::idea::Idea;

/// One idea's run. The fields are the JSON's, in its order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Its name on the command line.
    pub(crate) idea: String,
    pub(crate) seed: u64,
    /// Forks that were to be done.
    pub(crate) asked: u64,
    pub(crate) done: u64,
    /// Forks that got no table before their deadline.
    pub(crate) eagain: u64,
    /// Those of root among them.
    pub(crate) eagain_root: u64,
    /// Forks that waited for a table to the end of the run, a second at least.
    pub(crate) stuck: u64,
    /// Forks that the end of the run came upon before they were stuck.
    pub(crate) cut_short: u64,
    pub(crate) seconds: f64,
    pub(crate) forks_per_s: f64,
    /// How long forks waited for a table.
    pub(crate) wait_us: WaitUs,
    /// Free pages while a fork waited, the median of what was looked at.
    pub(crate) free_while_waiting: u64,
    /// How often that was looked at, and how often no aligned run was among them.
    pub(crate) samples: u64,
    pub(crate) samples_without_a_run: u64,
    /// Pages of the page cache that were given up.
    pub(crate) evicted: u64,
    pub(crate) evicted_per_fork: f64,
    /// Pages that were moved.
    pub(crate) moved: u64,
    /// Tables that were kept for later, at the end.
    pub(crate) idle_tables: u64,
    /// Pages and tables whose contents were wrong.
    pub(crate) damaged: u64,
}

impl Row {
    pub(crate) fn new(idea: Idea, cli: &Cli) -> Self {
        Self {
            idea: idea.name(),
            seed: cli.seed,
            asked: cli.forks.get().into(),
            done: 0,
            eagain: 0,
            eagain_root: 0,
            stuck: 0,
            cut_short: 0,
            seconds: 0.0,
            forks_per_s: 0.0,
            wait_us: WaitUs::default(),
            free_while_waiting: 0,
            samples: 0,
            samples_without_a_run: 0,
            evicted: 0,
            evicted_per_fork: 0.0,
            moved: 0,
            idle_tables: 0,
            damaged: 0,
        }
    }
}

/// Waits, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct WaitUs {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

impl WaitUs {
    pub(crate) fn of(waits: &Histogram<u64>) -> Self {
        Self { p50: waits.value_at_quantile(0.5), p99: waits.value_at_quantile(0.99), max: waits.max() }
    }
}

/// Microseconds in a unit that leaves two or three digits to read.
fn human(us: u64) -> String {
    let digits = usize::from(!matches!(us, 10_000..1_000_000));
    format!("{:.digits$?}", Duration::from_micros(us)).replace(".0", "")
}

/// The table, a row an idea.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header([
        "idea",
        "forks\ndone",
        "EAGAIN\n(root)",
        "stuck",
        "forks/s",
        "wait\np50/p99/max",
        "free while\nwaiting",
        "no run\nin them",
        "evicted\na fork",
        "moved",
        "tables\nkept",
    ]);
    for row in rows {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let WaitUs { p50, p99, max } = row.wait_us;
        let share =
            |part: u64, of: u64| (100 * part).checked_div(of).map_or("-".into(), |it| format!("{it} %"));
        table.add_row([
            Cell::new(&row.idea),
            right(format!("{}/{}", row.done, row.asked)),
            right(format!("{} ({})", row.eagain, row.eagain_root)),
            right(row.stuck.to_string()),
            right(format!("{:.0}", row.forks_per_s)),
            right(format!("{}/{}/{}", human(p50), human(p99), human(max))),
            right(if row.samples == 0 { "-".into() } else { row.free_while_waiting.to_string() }),
            right(share(row.samples_without_a_run, row.samples)),
            right(format!("{:.1}", row.evicted_per_fork)),
            right(row.moved.to_string()),
            right(row.idle_tables.to_string()),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table
}

/// To whoever still reads the standard error.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "l1pt: {text}");
}

/// A reader that wants no more of it is no error.
pub(crate) fn print(text: impl Display) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("cannot print the results"),
    }
}

/// Whether the rows can be written there: better told before they are made than after.
pub(crate) fn check_json(path: &Path) -> Result<()> {
    if path != Path::new("-") {
        let opened = File::options().append(true).create(true).open(path);
        opened.with_context(|| unwritable(path))?;
    }
    Ok(())
}

fn unwritable(path: &Path) -> String {
    format!("cannot write the results to {}", path.display())
}

/// Writes the rows as a JSON array.
pub(crate) fn write_json(path: &Path, rows: &[Row]) -> Result<()> {
    let json = serde_json::to_string_pretty(rows).context("cannot make JSON of the results")?;
    if path == Path::new("-") {
        return print(json);
    }
    fs::write(path, json + "\n").with_context(|| unwritable(path))
}

/// How far it has come; drawn where standard error is a terminal. Elsewhere, that it has begun.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn start(idea: &str, forks: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(forks), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>6} [{wide_bar}] {pos}/{len}  {elapsed}");
        bar.set_style(style.expect("a good template").progress_chars("=> "));
        bar.set_prefix(idea.to_owned());
        if bar.is_hidden() {
            complain(format_args!("{idea} ..."));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    pub(crate) fn tick(&self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
