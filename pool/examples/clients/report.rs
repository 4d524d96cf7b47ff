//! What is said: on the way, and in the end what happened, as a table.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, LineStyle, Table, presets};
use kva::sync::atomic::Ordering::Relaxed;
use pool::PoolStats;

use super::load::Load;
use super::server::Census;

/// To whoever still reads the standard error.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "clients: {text}");
}

/// Prints what the load was run for. A reader that wants no more of it is no error.
pub(crate) fn print(text: impl Display) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("cannot print the table"),
    }
}

/// `stats` is of the end of the load, before the pool was drained.
pub(crate) fn table(
    load: &Load,
    elapsed: Duration,
    created: u64,
    stats: &PoolStats,
    census: Option<&Census>,
) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    let mut row = |what: &str, value: String| {
        table.add_row([what, &value]);
    };
    let done = load.done.load(Relaxed);
    row("requests done", load.total().map_or(done.to_string(), |total| format!("{done} of {total}")));
    row("in", format!("{elapsed:.1?}"));
    for (kind, count) in load.errors.lock().iter() {
        row(&format!("errors: {kind}"), count.to_string());
    }
    row("connections created", created.to_string());
    row("could not be created", stats.refused.to_string());
    row("given up while created", stats.withdrawn.to_string());
    row("found invalid", stats.invalid.to_string());
    row("most out", stats.most_out.to_string());
    row("gets that waited", stats.waits.served.to_string());
    let waits = &stats.waits;
    row("wait p50/p99/max", format!("{:.1?}/{:.1?}/{:.1?}", waits.p50, waits.p99, waits.max));
    row("most in the pool", format!("{} of {}", stats.most_pages, stats.hard_limit));
    row("live at the end", stats.live.to_string());
    row("live when drained", format!("{}, low water {}", load.pool.stats().live, stats.low_water));
    if let Some(census) = census {
        row("connections the server accepted", census.accepted.to_string());
        row("refused by the server", census.refused.to_string());
        row("most at the server", census.most.to_string());
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
