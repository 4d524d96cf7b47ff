//! Points: how many gets a scarce pool serves, and how long the unluckiest of them waited.

use kuva::plot::scatter::ScatterPlot;
use kuva::render::plots::Plot as Drawing;

use super::Plot;
use super::style;
use crate::report::chapters::Scarce;
use crate::report::number::{duration, figure};
use crate::report::run::Run;

/// Pixels from top to bottom, without the legend.
const HEIGHT: f64 = 420.0;

/// One point a subject, and nothing for fewer than two.
pub(crate) fn waits(run: &Run, shape: &Scarce<'_>) -> Option<Plot> {
    let points: Vec<(&str, f64, f64)> = shape
        .rows
        .iter()
        .filter_map(|row| Some((&*row.subject, row.ops_per_s?, row.wait_ns.as_ref()?.p99_99)))
        .collect();
    if points.len() < 2 {
        return None;
    }
    let shown = points.iter().map(|(name, ops, tail)| {
        format!("{name} {} million gets/s and {}", figure(ops / 1e6), duration(*tail))
    });
    let alt = format!(
        "{}: throughput to the right, p99.99 wait upwards: {}",
        shape.title,
        shown.collect::<Vec<_>>().join(", ")
    );
    let point = |(name, ops, tail): &(&str, f64, f64)| -> Drawing {
        let look = style::look(run, name);
        let point = ScatterPlot::new().with_data([(ops / 1e6, tail / 1e3)]).with_color(look.colour);
        point.with_marker(look.marker).with_size(7.0).with_legend(*name).into()
    };
    let drawings: Vec<Drawing> = points.iter().map(point).collect();
    let layout = style::layout(&drawings, &shape.title, HEIGHT)
        .with_log_scale()
        .with_x_label("million gets a second")
        .with_y_label("p99.99 wait, microseconds");
    let file = format!("scarce-{}.svg", shape.slug);
    Some(Plot { file, svg: style::svg(drawings, layout, &alt), alt })
}
