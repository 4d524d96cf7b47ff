//! What is said: on the way, and in the end what the buffers did, as a table.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment, Table, presets};
use kva::sync::atomic::Ordering::Relaxed;

use super::connection::Proxy;
use super::serve::Tally;

/// Says what went wrong. If nobody reads the standard error any more, the proxy goes on all the same.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "proxy: {text}");
}

/// Says what goes on, to whoever still reads it.
pub(crate) fn announce(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints what the proxy was run for. A reader that wants no more of it is no error.
pub(crate) fn print(text: impl Display) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("cannot print the table"),
    }
}

/// The table and what it comes to.
pub(crate) fn table(proxy: &Proxy, tally: &Tally) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "to the",
        "bytes",
        "buffers",
        "most out",
        "gets",
        "waited",
        "wait p50/p99/max",
        "held",
    ]);
    let (mut buffers, mut held, mut reserved) = (0, 0, 0);
    for direction in [&proxy.up, &proxy.down] {
        let stats = direction.buffers.stats();
        let waits = stats.waits;
        let bytes = direction.buffers.bytes(stats.most_out);
        buffers += stats.most_pages;
        held += bytes;
        reserved += direction.buffers.bytes(stats.most_pages as usize);
        let [p50, p99, max] = [waits.p50, waits.p99, waits.max].map(human);
        let mut row = vec![Cell::new(direction.to)];
        row.extend(
            [
                direction.bytes.load(Relaxed).to_string(),
                stats.hard_limit.to_string(),
                stats.most_out.to_string(),
                stats.gets.to_string(),
                waits.served.to_string(),
                format!("{p50}/{p99}/{max}"),
                format!("{} KiB", bytes >> 10),
            ]
            .map(|text| Cell::new(text).set_alignment(CellAlignment::Right)),
        );
        table.add_row(row);
    }
    let Tally { accepted, failed, cut } = tally;
    format!(
        "{}\nconnections: {accepted}, of which {failed} failed and {cut} were cut at the end\n\
         There were never more than {buffers} buffers of {} bytes: {} KiB reserved, {} KiB held at most.",
        table.trim_fmt(),
        proxy.limits.size,
        reserved >> 10,
        held >> 10,
    )
}

fn human(wait: Duration) -> String {
    if wait.is_zero() { "-".to_owned() } else { format!("{wait:.1?}") }
}
