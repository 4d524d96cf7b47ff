//! Lines: how a cost changes with the number of threads, the size of an item, the scale, the spans that are out.
//!
//! What is below is as far apart as the columns of a table: threads and sizes double and more from one
//! to the next. The cost is logarithmic, since the slowest is a hundred times the fastest.

use benches::case::Bench;
use kuva::plot::legend::LegendShape;
use kuva::plot::line::LinePlot;
use kuva::plot::scatter::ScatterPlot;
use kuva::render::plots::Plot as Drawing;

use super::style::{self, Look};
use super::{Plot, slug};
use crate::report::number::{figure, short, short_duration};
use crate::report::run::{Place, Run, distinct};
use crate::report::scale;
use crate::report::spans::Filled;

struct Line {
    name: String,
    look: Look,
    /// Which column, from 1, and nanoseconds.
    points: Vec<(f64, f64)>,
}

impl Line {
    fn last(&self) -> f64 {
        self.points[self.points.len() - 1].1
    }
}

/// A line for each subject over the numbers of threads, in the first shape of the bench.
pub(crate) fn over_threads(run: &Run, bench: Bench, title: &str) -> Option<Plot> {
    let mut places = run.places(bench);
    let shape = places.first()?.shape;
    places.retain(|place| place.shape == shape);
    places.sort_by_key(|place| place.threads);
    let columns = places.iter().map(|place| place.threads.to_string()).collect();
    over_places(run, &places, columns, bench, &format!("{title}, {shape}"), "threads")
}

/// A line for each subject over the sizes of items.
pub(crate) fn over_sizes(run: &Run, bench: Bench, title: &str) -> Option<Plot> {
    let mut places = run.places(bench);
    places.retain(|place| scale::bytes(place.shape).is_some());
    places.sort_by_key(|place| scale::bytes(place.shape));
    let columns = places.iter().map(|place| place.shape.to_owned()).collect();
    over_places(run, &places, columns, bench, title, "size of an item")
}

/// A line of ours for each kind of scale. A column is a power of ten.
pub(crate) fn over_scales(run: &Run, title: &str) -> Option<Plot> {
    let line = |(nth, line): (usize, scale::Line)| Line {
        name: line.name,
        look: style::nth_of_ours(nth),
        points: line.points.into_iter().map(|(number, ns)| (f64::from(number).log10() + 1.0, ns)).collect(),
    };
    let lines = scale::lines(run, None).into_iter().enumerate().map(line);
    let lines: Vec<Line> = lines.filter(|line| line.points.len() > 1).collect();
    let longest = lines.iter().flat_map(|line| &line.points).map(|point| point.0).fold(0.0, f64::max);
    let columns = (0..longest.ceil() as i32).map(|power| short(10_f64.powi(power))).collect();
    drawn(&lines, columns, format!("{}.svg", Bench::Scale), title, "how many")
}

/// The fill that is drawn. The others are in tables.
const FILL: &str = "80 %";

/// For each mix of shapes a line for each subject over the numbers of spans that are out.
pub(crate) fn over_live(run: &Run, title: &str) -> Vec<Plot> {
    let plot = |filled: &Filled<'_>| {
        let (places, columns) = filled.columns();
        let file = format!("{}-{}.svg", Bench::Spans, slug(filled.mix));
        let title = format!("{title}: {}", filled.name());
        drawn(&through(run, &places), columns, file, &title, "spans that are out")
    };
    Filled::all(run).iter().filter(|filled| filled.fill == FILL).filter_map(plot).collect()
}

fn over_places(
    run: &Run,
    places: &[Place<'_>],
    columns: Vec<String>,
    bench: Bench,
    title: &str,
    axis: &str,
) -> Option<Plot> {
    drawn(&through(run, places), columns, format!("{bench}.svg"), title, axis)
}

/// A line for each subject through these places.
fn through(run: &Run, places: &[Place<'_>]) -> Vec<Line> {
    let line = |subject: &str| Line {
        name: subject.to_owned(),
        look: style::look(run, subject),
        points: (1..)
            .zip(places)
            .filter_map(|(at, place)| Some((f64::from(at), run.ns(*place, subject).ok()?)))
            .collect(),
    };
    let subjects = distinct(places.iter().flat_map(|place| run.at(*place)).map(|row| &*row.subject));
    let mut lines: Vec<Line> = subjects.into_iter().map(line).filter(|line| line.points.len() > 1).collect();
    // As they lie above each other at the right end, where people look for who is who.
    lines.sort_by(|one, other| other.last().total_cmp(&one.last()));
    lines
}

/// The lines over the columns. Nothing, if no line has two points.
fn drawn(lines: &[Line], columns: Vec<String>, file: String, title: &str, axis: &str) -> Option<Plot> {
    if lines.is_empty() {
        return None;
    }
    let alt = format!("{title}, as lines over {axis} ({}): {}", columns.join(", "), ends(lines));
    let mut drawings: Vec<Drawing> = Vec::new();
    for Line { look, points, .. } in lines {
        let line = LinePlot::new().with_data(points.iter().copied()).with_color(look.colour);
        let line = line.with_stroke_width(look.width).with_line_style(look.dashes.clone());
        let dots = ScatterPlot::new().with_data(points.iter().copied()).with_color(look.colour);
        drawings.push(line.into());
        drawings.push(dots.with_size(look.width + 1.0).into());
    }
    let end = columns.len() as f64 + 0.5;
    let layout = style::layout(&drawings, title)
        .with_x_categories(columns)
        .with_log_y()
        .with_x_axis_min(0.5)
        .with_x_axis_max(end)
        .with_x_label(axis)
        .with_y_tick_format(style::ticks(short_duration));
    let layout =
        style::with_legend(layout, |_| LegendShape::Line, lines.iter().map(|line| (&*line.name, &line.look)));
    Some(Plot { file, svg: style::svg(drawings, layout, &alt), alt })
}

/// Where the lines begin and end, in words.
fn ends(lines: &[Line]) -> String {
    let end = |line: &Line| {
        let (first, last) = (line.points[0].1, line.last());
        format!("{} from {} to {} ns", line.name, figure(first), figure(last))
    };
    lines.iter().map(end).collect::<Vec<_>>().join(", ")
}
