//! Points: how many gets a scarce pool serves, and how long the unluckiest of them waited.

use kuva::plot::legend::LegendShape;
use kuva::plot::scatter::ScatterPlot;
use kuva::render::plots::Plot as Drawing;

use super::Plot;
use super::style::{self, Look};
use crate::report::number::{duration, figure, short, short_duration};
use crate::report::run::Run;
use crate::report::scarce::Shape;

/// Pixels to the left and the right: for a duration and what it is of, for half a number.
const MARGINS: (f64, f64) = (112.0, 32.0);

/// One point a subject, and nothing for fewer than two.
pub(crate) fn waits(run: &Run, shape: &Shape<'_>) -> Option<Plot> {
    let points: Vec<(&str, f64, f64)> = shape
        .subjects
        .iter()
        .map(|(subject, scarce)| (*subject, scarce.ops_per_s, scarce.wait_ns.p99_99 as f64))
        .collect();
    if points.len() < 2 {
        return None;
    }
    let shown = points.iter().map(|(name, ops, tail)| {
        format!("{name} {} million gets/s and {}", figure(ops / 1e6), duration(*tail))
    });
    let alt = format!(
        "{}: throughput to the right, p99.99 wait upwards: {}",
        shape.name(),
        shown.collect::<Vec<_>>().join(", ")
    );
    let looks: Vec<(&str, Look)> = points.iter().map(|(name, ..)| (*name, style::look(run, name))).collect();
    let point = |((_, ops, tail), (_, look)): (&(&str, f64, f64), &(&str, Look))| -> Drawing {
        let point = ScatterPlot::new().with_data([(*ops, *tail)]).with_color(look.colour);
        point.with_marker(look.marker).with_size(8.0).into()
    };
    let drawings: Vec<Drawing> = points.iter().zip(&looks).map(point).collect();
    let layout = style::layout(&drawings, &shape.name())
        .with_log_scale()
        .with_force_margins(MARGINS.0, MARGINS.1)
        .with_x_label("gets a second")
        .with_y_label("p99.99 wait")
        .with_x_tick_format(style::ticks(short))
        .with_y_tick_format(style::ticks(short_duration));
    let entries = looks.iter().map(|(name, look)| (*name, look));
    let layout = style::with_legend(layout, |look| LegendShape::Marker(look.marker), entries);
    let file = format!("scarce-{}.svg", shape.slug());
    Some(Plot { file, svg: style::svg(drawings, layout, &alt), alt })
}
