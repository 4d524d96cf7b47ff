//! What is shown: a table for each bench.

use std::fmt::Write;
use std::time::Duration;

use benches::case::Case;
use benches::results::Row;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Cell, CellAlignment, LineStyle, Table};

/// A line for each case.
pub(crate) fn list(cases: &[Case]) -> String {
    let mut text = String::new();
    for case in cases {
        let _ = writeln!(text, "{:<12} {:<32} {:>2}  {}", case.bench, case.shape, case.threads, case.subject);
    }
    text
}

/// All tables.
pub(crate) fn tables(rows: &[Row]) -> String {
    let mut text = String::new();
    for bench in rows.chunk_by(|one, next| one.bench == next.bench) {
        let _ = writeln!(text, "{}\n{}\n", bench[0].bench, table(bench));
    }
    text
}

fn table(rows: &[Row]) -> Table {
    let scarce = rows.iter().any(|row| row.scarce.is_some());
    let tried = rows.iter().any(|row| row.failed.is_some());
    let bytes = rows.iter().any(|row| row.bytes_per_item.is_some());
    let mut heads = vec!["shape", "threads", "subject"];
    if bytes {
        heads.push("bytes an item");
    } else {
        heads.extend(["median ns", "min", "max", "of ours"]);
    }
    if tried {
        heads.push("% failed");
    }
    if scarce {
        heads.extend(["Mgets/s", "wait p50", "p99", "p99.99", "max", "fairness", "bypass"]);
    }
    if rows.iter().any(|row| row.large.is_some()) {
        heads.extend(["served", "of", "wait p50", "p99", "max", "overtaken", "Msingles/s"]);
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none())).set_header(heads);
    for row in rows {
        table.add_row(cells(row));
    }
    table.column_iter_mut().skip(3).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn cells(row: &Row) -> Vec<Cell> {
    let mut cells = vec![Cell::new(&row.shape), Cell::new(row.threads), Cell::new(&row.subject)];
    if let Some(bytes) = row.bytes_per_item {
        cells.push(Cell::new(format!("{bytes:.2}")));
        return cells;
    }
    cells.extend([row.median_ns, row.min_ns, row.max_ns].map(|ns| Cell::new(figure(ns))));
    cells.push(Cell::new(figure(row.ratio_to_ours)));
    cells.extend(row.failed.map(|share| Cell::new(figure(Some(share * 100.0)))));
    if let Some(scarce) = &row.scarce {
        let waits = &scarce.wait_ns;
        cells.push(Cell::new(figure(Some(scarce.ops_per_s / 1e6))));
        cells.extend([waits.p50, waits.p99, waits.p99_99, waits.max].map(|ns| Cell::new(time(ns))));
        cells.push(Cell::new(figure(scarce.fairness)));
        cells.push(Cell::new(
            scarce.largest_bypass.map_or_else(|| NONE.to_owned(), |times| times.to_string()),
        ));
    }
    if let Some(large) = &row.large {
        cells.extend([large.served, large.asked].map(Cell::new));
        cells.extend([large.wait_ns.p50, large.wait_ns.p99, large.wait_ns.max].map(|ns| Cell::new(time(ns))));
        cells.push(Cell::new(large.most_overtaken));
        cells.push(Cell::new(figure(Some(large.singles_per_s / 1e6))));
    }
    cells
}

/// Where there is no figure.
const NONE: &str = "-";

/// As many digits as mean something.
fn figure(figure: Option<f64>) -> String {
    match figure {
        None => NONE.to_owned(),
        Some(figure) if figure >= 100.0 => format!("{figure:.0}"),
        Some(figure) if figure >= 10.0 => format!("{figure:.1}"),
        Some(figure) => format!("{figure:.2}"),
    }
}

fn time(ns: u64) -> String {
    match Duration::from_nanos(ns) {
        time if ns < 1_000 => format!("{time:?}"),
        time => format!("{time:.1?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_mean_something() {
        assert_eq!(figure(None), "-");
        assert_eq!(figure(Some(1.234)), "1.23");
        assert_eq!(figure(Some(12.34)), "12.3");
        assert_eq!(figure(Some(1234.5)), "1234");
        assert_eq!([time(640), time(1_640), time(2_000_000)], ["640ns", "1.6µs", "2.0ms"]);
    }
}
