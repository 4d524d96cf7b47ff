//! The charts, as SVG inside the page, drawn with kuva.
//!
//! They are narrow with large letters: on a telephone a picture is shrunk to some 350 pixels. Titles
//! and legends are not in the pictures but above them, where letters are as large as elsewhere.

use std::sync::Arc;

use kuva::backend::svg::SvgBackend;
use kuva::plot::bar::BarPlot;
use kuva::plot::line::LinePlot;
use kuva::render::annotations::{ReferenceLine, ShadedRegion, TextAnnotation};
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;
use maud::{Markup, PreEscaped, html};

use super::super::report::{Row, SHARES, human};
use super::super::samples::Sample;
use super::colours::{self, BACKGROUND, BLUE, CYAN, GREEN, INK, ORANGE, PURPLE, RED, RULES};
use super::words;

/// Pixels from left to right.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 210.0;
/// Pixels of letters.
const LETTERS: u32 = 15;
/// The most points of a line: what one can tell apart.
const POINTS: usize = 140;
const SECOND: f64 = 1e6;

/// A line over time: what it is called, its colour, and its value in a sample.
type Series<'a> = (&'a str, &'static str, &'a dyn Fn(&Sample) -> f64);

/// Where the common axis of time ends, in seconds: a little after the slowest protocol that did all
/// its launches. Who is stuck would sleep for ever, and make the others a stroke at the left.
pub(super) fn end_of_time(rows: &[Row]) -> f64 {
    let complete = rows.iter().filter(|row| row.stuck == 0).map(|row| row.elapsed_s);
    let slowest = complete.reduce(f64::max);
    let stuck = rows.iter().flat_map(|row| &row.stuck_at).map(|stuck| stuck.since_us as f64 / SECOND);
    let all = rows.iter().map(|row| row.elapsed_s).fold(0.0, f64::max);
    let end = slowest.map_or(all, |slowest| stuck.fold(slowest, f64::max) * 1.15);
    // An axis has a length.
    end.clamp(0.001, all.max(0.001))
}

/// Launchers that wait and items that sit idle, with the moment a launcher stuck.
pub(super) fn waiting(row: &Row, end: f64) -> Markup {
    let series: [Series<'_>; 2] = [
        ("launchers waiting", ORANGE.light, &|sample| sample.waiting as f64),
        ("items idle", BLUE.light, &|sample| sample.idle as f64),
    ];
    let top = row.samples.iter().map(|sample| sample.waiting.max(sample.idle)).max().unwrap_or(0);
    // Room for the words above.
    let top = (top.max(1) as f64 * 1.45).ceil();
    let mut alt = format!("Launchers waiting and items idle over time under {}", row.protocol);
    let (drawings, mut layout) = over_time(&row.samples, end, &series, true);
    layout = layout.with_y_axis_max(top);
    if let Some(stuck) = words::first_stuck(row) {
        let (since, until) = (stuck.since_us as f64 / SECOND, stuck.until_us as f64 / SECOND);
        let text = format!("{} put while one slept", words::items(stuck.put_meanwhile));
        // Its middle, where all of it is inside.
        let half = text.chars().count() as f64 * 4.3 / (WIDTH - 90.0) * end;
        let middle =
            f64::midpoint(since, until.min(end)).clamp(half.min(end / 2.0), (end - half).max(end / 2.0));
        let ahead = top * 0.84;
        layout = layout
            .with_shaded_region(
                ShadedRegion::vertical(since, until.min(end)).with_color(RED.light).with_opacity(0.12),
            )
            .with_reference_line(ReferenceLine::vertical(since).with_color(RED.light).with_stroke_width(2.0))
            .with_annotation(
                TextAnnotation::new(text, middle, ahead).with_color(INK.light).with_font_size(LETTERS),
            );
        alt = format!("{alt}. {}", words::stuck(stuck));
    }
    figure("Waiting and idle", &legend(&series), &svg(drawings, layout, &alt))
}

/// Items put and pages stolen, so far.
pub(super) fn so_far(row: &Row, end: f64) -> Markup {
    let series: [Series<'_>; 2] = [
        ("items put", GREEN.light, &|sample| sample.puts as f64),
        ("pages stolen", RED.light, &|sample| sample.stolen as f64),
    ];
    let (drawings, layout) = over_time(&row.samples, end, &series, false);
    let last = row.samples.last().copied().unwrap_or_default();
    let layout = layout.with_y_axis_max((last.puts.max(last.stolen).max(1) as f64 * 1.1).ceil());
    let alt = format!(
        "Items put and pages stolen over time under {}: in the end {} and {}",
        row.protocol, last.puts, last.stolen
    );
    figure("So far", &legend(&series), &svg(drawings, layout, &alt))
}

/// What the pool holds, and what is free in the arena.
pub(super) fn memory(row: &Row, end: f64) -> Markup {
    let mib = |bytes: u64| bytes as f64 / words::MIB;
    let quantum = row.quantum_bytes;
    let held = |sample: &Sample| mib(sample.held_bytes);
    let free = |sample: &Sample| mib(sample.arena_free * quantum);
    let series: [Series<'_>; 2] =
        [("held by the pool", PURPLE.light, &held), ("free in the arena", CYAN.light, &free)];
    let (drawings, layout) = over_time(&row.samples, end, &series, true);
    let top = row.samples.iter().map(|sample| held(sample).max(free(sample))).fold(0.1, f64::max);
    let alt = format!(
        "Memory that the pool holds and memory free in the arena over time under {}: it holds {} at most",
        row.protocol,
        words::bytes(row.memory.most_bytes)
    );
    figure("Memory, MiB", &legend(&series), &svg(drawings, layout.with_y_axis_max(top * 1.15), &alt))
}

fn over_time(samples: &[Sample], end: f64, series: &[Series<'_>], with_range: bool) -> (Vec<Plot>, Layout) {
    let shown: Vec<Sample> =
        samples.iter().copied().filter(|sample| sample.at_us as f64 <= end * SECOND).collect();
    let mut drawings: Vec<Plot> = Vec::new();
    for (_, colour, value) in series {
        let bins = bins(&shown, value);
        let mut line = LinePlot::new().with_color(*colour).with_stroke_width(2.5);
        if with_range {
            let mean = |bin: &Bin| (bin.at, bin.mean);
            line = line.with_data(bins.iter().map(mean)).with_band(
                bins.iter().map(|bin| (bin.at, bin.least)).map(|(_, y)| y),
                bins.iter().map(|bin| bin.most),
            );
        } else {
            line = line.with_data(bins.iter().map(|bin| (bin.at, bin.last)));
        }
        drawings.push(line.into());
    }
    let layout = layout(&drawings)
        .with_height(HEIGHT)
        .with_x_axis_min(0.0)
        .with_x_axis_max(end)
        .with_y_axis_min(0.0)
        .with_ticks(4)
        .with_x_tick_format(ticks(seconds));
    (drawings, layout)
}

/// As many digits as there are, of a mark on the axis of time.
fn seconds(at: f64) -> String {
    let at = format!("{at:.3}");
    format!("{} s", at.trim_end_matches('0').trim_end_matches('.'))
}

/// Samples next to each other, as one point.
#[derive(Debug, PartialEq)]
struct Bin {
    /// Seconds.
    at: f64,
    mean: f64,
    least: f64,
    most: f64,
    last: f64,
}

fn bins(samples: &[Sample], value: &dyn Fn(&Sample) -> f64) -> Vec<Bin> {
    let each = samples.len().div_ceil(POINTS).max(1);
    let bin = |samples: &[Sample]| {
        let values = || samples.iter().map(value);
        Bin {
            at: samples.iter().map(|sample| sample.at_us as f64).sum::<f64>() / samples.len() as f64 / SECOND,
            mean: values().sum::<f64>() / samples.len() as f64,
            least: values().fold(f64::INFINITY, f64::min),
            most: values().fold(0.0, f64::max),
            last: values().next_back().unwrap_or(0.0),
        }
    };
    samples.chunks(each).map(bin).collect()
}

/// How long launchers waited: a line for each protocol, from the median to the longest.
pub(super) fn waits(rows: &[Row]) -> Markup {
    if rows.iter().all(|row| row.wait_quantiles.is_empty()) {
        // An axis without points has no end.
        return html! { p { "Nobody waited." } };
    }
    let mut drawings: Vec<Plot> = Vec::new();
    let mut entries = Vec::new();
    for (nth, row) in rows.iter().enumerate() {
        let colour = colours::of(&row.protocol, nth);
        // A logarithm has no zero.
        let points = (1..).zip(&row.wait_quantiles).map(|(at, wait)| (f64::from(at), wait.us.max(1) as f64));
        drawings.push(LinePlot::new().with_data(points).with_color(colour).with_stroke_width(3.0).into());
        entries.push((&*row.protocol, colour));
    }
    // Whole decades, also where nobody waited.
    let longest = rows.iter().map(|row| row.wait_us.max).max().unwrap_or(0).max(10);
    let columns = SHARES.iter().map(|share| words::share(*share)).collect();
    let layout = layout(&drawings)
        .with_width(WIDTH * 1.3)
        .with_height(HEIGHT * 1.3)
        .with_x_categories(columns)
        .with_x_axis_min(0.8)
        .with_x_axis_max(SHARES.len() as f64 + 0.4)
        .with_log_y()
        .with_y_axis_min(1.0)
        .with_y_axis_max(10_f64.powf((longest as f64).log10().ceil()))
        .with_y_tick_format(ticks(|us| human(us.round() as u64)));
    let ends = rows
        .iter()
        .map(|row| format!("{} {} and {}", row.protocol, human(row.wait_us.p50), human(row.wait_us.max)));
    let alt = format!(
        "How long launchers waited, as a line for each protocol; median and longest: {}",
        ends.collect::<Vec<_>>().join(", ")
    );
    let title = "Waits: so many of all were no longer";
    figure(title, &entries, &svg(drawings, layout, &alt))
}

/// Memory that each pool held over the time of its run, and what of it nobody used.
pub(super) fn held(rows: &[Row]) -> Markup {
    let mib = |bytes: u64| bytes as f64 / words::MIB;
    let mut bars = BarPlot::new().with_horizontal(true).with_stacked().with_width(0.6);
    // From below.
    for row in rows.iter().rev() {
        let unused = mib(row.memory.mean_unused_bytes);
        let used = (mib(row.memory.mean_bytes) - unused).max(0.0);
        bars = bars.with_group(&*row.protocol, [(used, PURPLE.light), (unused, ORANGE.light)]);
    }
    let drawings: Vec<Plot> = vec![bars.into()];
    let layout =
        layout(&drawings).with_width(WIDTH * 1.3).with_height(42.0 + 44.0 * rows.len() as f64).with_ticks(4);
    let each = rows.iter().map(|row| {
        let (held, unused) = (row.memory.mean_bytes, row.memory.mean_unused_bytes);
        format!("{} {}, of it {} unused", row.protocol, words::bytes(held), words::bytes(unused))
    });
    let alt = format!("Memory held by each pool on average: {}", each.collect::<Vec<_>>().join("; "));
    let entries = [("in use", PURPLE.light), ("held, and nobody uses it", ORANGE.light)];
    figure("Memory held, MiB, on average", &entries, &svg(drawings, layout, &alt))
}

fn layout(drawings: &[Plot]) -> Layout {
    let theme = Theme {
        background: BACKGROUND.light.into(),
        axis_color: INK.light.into(),
        grid_color: RULES.light.into(),
        tick_color: INK.light.into(),
        text_color: INK.light.into(),
        ..Theme::light()
    };
    Layout::auto_from_plots(drawings)
        .with_theme(theme)
        .with_font_family("system-ui, sans-serif")
        .with_width(WIDTH)
        // Nothing is above, and the marks of one axis below.
        .with_force_margins_y(10.0, 32.0)
        .with_label_size(LETTERS)
        .with_tick_size(LETTERS)
        .with_body_size(LETTERS)
}

fn ticks(label: fn(f64) -> String) -> TickFormat {
    TickFormat::Custom(Arc::new(label))
}

/// Who is who: names and colours.
fn legend<'a>(series: &[Series<'a>]) -> Vec<(&'a str, &'static str)> {
    series.iter().map(|(name, colour, _)| (*name, *colour)).collect()
}

/// A chart below its title and its legend.
fn figure(title: &str, legend: &[(&str, &str)], chart: &Markup) -> Markup {
    html! {
        figure {
            figcaption {
                b { (title) }
                ul class="legend" {
                    @for (name, colour) in legend {
                        li {
                            svg viewBox="0 0 16 16" aria-hidden="true" {
                                rect y="5" width="16" height="6" rx="3" fill=(colour) {}
                            }
                            (name)
                        }
                    }
                }
            }
            (chart)
        }
    }
}

/// The drawing, with a name for who cannot see it, and a box by which it scales.
fn svg(drawings: Vec<Plot>, layout: Layout, alt: &str) -> Markup {
    let scene = render_multiple(drawings, layout);
    let (width, height) = (scene.width, scene.height);
    let mut root = format!(r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label=""#);
    maud::Escaper::new(&mut root).write_str_all(alt);
    root.push_str("\" ");
    PreEscaped(SvgBackend::new().render_scene(&scene).replacen("<svg ", &root, 1))
}

trait WriteAll {
    fn write_str_all(self, text: &str);
}

impl WriteAll for maud::Escaper<'_> {
    fn write_str_all(mut self, text: &str) {
        std::fmt::Write::write_str(&mut self, text).expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64, waiting: u64) -> Sample {
        Sample { at_us: ms * 1_000, waiting, ..Sample::default() }
    }

    #[test]
    fn a_line_has_few_points_and_loses_no_peak() {
        let samples: Vec<Sample> = (0..2_000).map(|ms| at(ms, if ms == 777 { 9 } else { 1 })).collect();
        let bins = bins(&samples, &|sample| sample.waiting as f64);
        assert!(bins.len() <= POINTS, "{}", bins.len());
        assert_eq!(bins.iter().map(|bin| bin.most as u64).max(), Some(9));
        assert!(bins.iter().all(|bin| bin.least <= bin.mean && bin.mean <= bin.most));
    }

    #[test]
    fn few_samples_are_drawn_as_they_are() {
        let bins = bins(&[at(0, 3), at(1, 5)], &|sample| sample.waiting as f64);
        let bin = |at, value| Bin { at, mean: value, least: value, most: value, last: value };
        assert_eq!(bins, [bin(0.0, 3.0), bin(0.001, 5.0)]);
    }

    #[test]
    fn alternative_texts_are_escaped() {
        let Markup { 0: svg, .. } = svg(Vec::new(), layout(&[]), "a \"quoted\" <word> & more");
        assert!(svg.contains("aria-label=\"a &quot;quoted&quot; &lt;word&gt; &amp; more\""), "{svg}");
    }
}
