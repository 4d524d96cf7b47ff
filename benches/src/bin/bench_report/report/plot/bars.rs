//! Bars: who is how fast in one place, the fastest on top.

use benches::case::Bench;
use benches::results::Row;
use kuva::plot::annotations::TextAnnotation;
use kuva::plot::bar::BarPlot;
use kuva::render::plots::Plot as Drawing;

use super::style::{self, LETTERS};
use super::{Plot, slug};
use crate::report::number::{duration, figure, short_duration};
use crate::report::run::{Place, Run};
use crate::report::tables::place_names;

/// Pixels of one bar and the gap below it.
const BAR: f64 = 34.0;
/// Pixels of title and axis.
const AROUND: f64 = 110.0;
/// Pixels of the longest bar that there is room for, beside the longest names. About: where there is more,
/// figures are a little further from their bars.
const ROOM: f64 = 270.0;
/// Letters of the title that there is room for, above the bars.
const TITLE: usize = 26;
/// How many times the median bar the axis goes to. A bar beyond is cut off, and its figure says how
/// long it is: a peer that is a hundred times slower would make all others look the same.
const LONGEST: f64 = 4.0;

/// A plot for each place of a bench that has two subjects or more.
pub(crate) fn bars(run: &Run, bench: Bench, title: &str) -> Vec<Plot> {
    let places = run.places(bench);
    let names = place_names(&places);
    let alone = places.len() == 1;
    let plot = |(place, name): (&Place<'_>, &String)| {
        let mut rows: Vec<(&Row, f64)> =
            run.at(*place).filter_map(|row| Some((row, row.median_ns?))).collect();
        rows.sort_by(|one, other| one.1.total_cmp(&other.1));
        let title = if alone { title.to_owned() } else { format!("{title}: {name}") };
        let file = if alone { format!("{bench}.svg") } else { format!("{bench}-{}.svg", slug(name)) };
        (rows.len() > 1).then(|| one(&rows, &title, file))
    };
    places.iter().zip(&names).filter_map(plot).collect()
}

fn one(rows: &[(&Row, f64)], title: &str, file: String) -> Plot {
    let slowest = rows[rows.len() - 1].1;
    let end = slowest.min(rows[rows.len() / 2].1 * LONGEST);
    // Room for the figure behind the longest bar.
    let axis = end * 1.6;
    let mut bars = BarPlot::new().with_horizontal(true).with_width(0.7);
    let mut figures = Vec::new();
    // From below.
    for (at, (row, ns)) in (1..).zip(rows.iter().rev()) {
        bars = bars.with_colored_bar(&*row.subject, ns.min(end), style::bar(&row.subject));
        let text = format!("{}{}", duration(*ns), if *ns > end { " \u{2192}" } else { "" });
        // Its middle, so that it begins a little behind the bar; and low enough to be beside it.
        let half = text.chars().count() as f64 * f64::from(LETTERS) * 0.32 + 6.0;
        let middle = ns.min(end) + half * axis / ROOM;
        figures.push(TextAnnotation::new(text, middle, f64::from(at) - 0.34));
    }
    let drawings: Vec<Drawing> = vec![bars.into()];
    let mut layout = style::layout(&drawings, title)
        .with_title_wrap(TITLE)
        .with_height(AROUND + BAR * rows.len() as f64)
        .with_x_axis_min(0.0)
        .with_x_axis_max(axis)
        .with_ticks(2)
        .with_x_tick_format(style::ticks(short_duration));
    for figure in figures {
        layout = layout.with_annotation(figure.with_color(style::ink()).with_font_size(LETTERS));
    }
    let alt = format!("{title}, as bars, the fastest on top: {}", listed(rows));
    Plot { file, svg: style::svg(drawings, layout, &alt), alt }
}

/// The first few, in words.
fn listed(rows: &[(&Row, f64)]) -> String {
    let shown = rows.iter().take(5).map(|(row, ns)| format!("{} {}", row.subject, figure(*ns)));
    shown.collect::<Vec<_>>().join(", ")
}
