//! A table of texts, for a terminal or for Markdown.

use std::fmt::Write;

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

/// Columns of a table that is not on a terminal, which has a width itself.
const WIDTH: u16 = 120;

/// Rows under a head. All are as long as it.
#[derive(Debug)]
pub(crate) struct Grid {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    pub(crate) fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.head.len());
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// For people at a terminal.
    pub(crate) fn terminal(&self) -> String {
        let mut table = Table::new();
        let style =
            TableStyle::new().header_separator(LineStyle::none().fill('\u{2500}').junction('\u{2500}'));
        table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic);
        if !table.is_tty() {
            table.set_width(WIDTH);
        }
        table.set_header(&self.head).add_rows(&self.rows);
        table.trim_fmt()
    }

    /// For the document: the first column to the left, figures to the right if `figures`.
    pub(crate) fn markdown(&self, figures: bool) -> String {
        let mut out = String::new();
        let mut line = |cells: &[String]| {
            for cell in cells {
                let _ = write!(out, "| {} ", cell.replace('|', "\\|"));
            }
            out.push_str("|\n");
        };
        line(&self.head);
        let rest = if figures { "---:" } else { "---" };
        let rule: Vec<String> =
            (0..self.head.len()).map(|nth| if nth == 0 { "---" } else { rest }.to_owned()).collect();
        line(&rule);
        self.rows.iter().for_each(|row| line(row));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_has_a_rule_and_no_stray_bars() {
        let mut grid = Grid::new(["", "ns"]);
        grid.row(vec!["a|b".into(), "1.00".into()]);
        assert_eq!(grid.markdown(true), "|  | ns |\n| --- | ---: |\n| a\\|b | 1.00 |\n");
    }
}
