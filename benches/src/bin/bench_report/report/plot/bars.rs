//! Bars: who is how fast in one place, the fastest on top.

use kuva::plot::annotations::TextAnnotation;
use kuva::plot::bar::BarPlot;
use kuva::render::plots::Plot as Drawing;

use super::style::{self, LETTERS};
use super::{Plot, slug};
use crate::report::number::figure;
use crate::report::run::{Place, Row, Run};
use crate::report::tables::place_names;

/// Pixels of one bar and the gap below it.
const BAR: f64 = 34.0;
/// Pixels of title and axis.
const AROUND: f64 = 130.0;
/// How many times the median bar the axis goes to. A bar beyond is cut off, and its figure says how
/// long it is: a peer that is a hundred times slower would make all others look the same.
const LONGEST: f64 = 4.0;

/// A plot for each place of a bench that has two subjects or more.
pub(crate) fn bars(run: &Run, bench: &str, title: &str) -> Vec<Plot> {
    let places = run.places(bench);
    let names = place_names(&places);
    let alone = places.len() == 1;
    let plot = |(place, name): (&Place<'_>, &String)| {
        let mut rows: Vec<(&Row, f64)> =
            run.at(*place).filter_map(|row| Some((row, row.median_ns?))).collect();
        rows.sort_by(|one, other| one.1.total_cmp(&other.1));
        let title = if alone { title.to_owned() } else { format!("{title}: {name}") };
        let file = if alone { format!("{bench}.svg") } else { format!("{bench}-{}.svg", slug(name)) };
        (rows.len() > 1).then(|| one(run, &rows, &title, file))
    };
    places.iter().zip(&names).filter_map(plot).collect()
}

fn one(run: &Run, rows: &[(&Row, f64)], title: &str, file: String) -> Plot {
    let slowest = rows[rows.len() - 1].1;
    let end = slowest.min(rows[rows.len() / 2].1 * LONGEST);
    // Room for the figure behind the longest bar.
    let axis = end * 1.2;
    let mut bars = BarPlot::new().with_horizontal(true).with_width(0.7);
    let mut layout_of = Vec::new();
    // From below.
    for (nth, (row, ns)) in rows.iter().rev().enumerate() {
        let colour = style::look(run, &row.subject).colour;
        bars = bars.with_colored_bar(&*row.subject, ns.min(end), colour);
        let cut = if *ns > end { " \u{2192}" } else { "" };
        // Beside the bar, and low enough to be in its middle.
        let at = (ns.min(end) + end * 0.09, (nth + 1) as f64 - 0.32);
        layout_of.push(TextAnnotation::new(format!("{}{cut}", figure(*ns)), at.0, at.1));
    }
    let drawings: Vec<Drawing> = vec![bars.into()];
    let mut layout = style::layout(&drawings, title, AROUND + BAR * rows.len() as f64)
        .with_x_label("nanoseconds")
        .with_x_axis_min(0.0)
        .with_x_axis_max(axis);
    for annotation in layout_of {
        layout = layout.with_annotation(annotation.with_color(style::ink()).with_font_size(LETTERS));
    }
    let alt = format!("{title}, as bars, the fastest on top: {}", listed(rows));
    Plot { file, svg: style::svg(drawings, layout, &alt), alt }
}

/// The first few, in words.
fn listed(rows: &[(&Row, f64)]) -> String {
    let shown = rows.iter().take(5).map(|(row, ns)| format!("{} {}", row.subject, figure(*ns)));
    shown.collect::<Vec<_>>().join(", ")
}
