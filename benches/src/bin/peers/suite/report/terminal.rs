//! The table for a terminal.

use std::fmt::Write;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use super::{find, peers, scenarios};
use crate::suite::cell::{Cell, Outcome};

/// Columns of the table when it is not on a terminal, which has a width itself.
const WIDTH: u16 = 120;

/// A row a peer, a column a scenario; below, what those that failed were seen to do.
pub(crate) fn terminal(cells: &[Cell]) -> String {
    let scenarios = scenarios(cells);
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["peer"].into_iter().chain(scenarios.iter().map(|scenario| scenario.name)));
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    for peer in peers(cells) {
        let marks = scenarios.iter().map(|scenario| match find(cells, peer, scenario).outcome {
            Outcome::Pass => "pass",
            Outcome::Fail => "FAIL",
            Outcome::NotOffered => "-",
            Outcome::Error => "ERROR",
        });
        table.add_row([peer.name].into_iter().chain(marks));
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        match at {
            0 => column.set_constraint(ColumnConstraint::ContentWidth),
            _ => column.set_delimiter('-'),
        };
    }
    let mut out = table.trim_fmt();
    out.push_str("\n-: not offered\n");
    for cell in cells.iter().filter(|cell| matches!(cell.outcome, Outcome::Fail | Outcome::Error)) {
        let _ = write!(out, "\n{}, {}: {}", cell.peer.name, cell.scenario.name, cell.observed);
    }
    out
}
