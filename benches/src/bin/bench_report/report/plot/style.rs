//! What all plots have in common: size, letters, colours, and how they turn dark.
//!
//! A plot has the colours of light mode in it, so that whatever draws SVG can draw it; a style sheet
//! exchanges each for its partner where dark mode is preferred. It has a background of its own, since a
//! page may be light where the reader's system is dark.
//!
//! Plots are narrow with large letters: on a telephone a picture is shrunk to some 350 pixels.

use std::fmt::Write;
use std::sync::Arc;

use kuva::backend::svg::SvgBackend;
use kuva::plot::legend::{LegendEntry, LegendPosition, LegendShape};
use kuva::plot::line::LineStyle;
use kuva::plot::scatter::MarkerShape;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;

use crate::report::run::{Run, distinct};
use crate::report::subjects::{is_limit, is_ours, is_peer};

/// Pixels from left to right.
const WIDTH: f64 = 560.0;
/// Pixels of letters.
pub(super) const LETTERS: u32 = 16;

/// A colour in light mode and its partner in dark mode. All are different, so that the style sheet can
/// tell them apart, and each has enough contrast with its background for text.
struct Pair {
    light: &'static str,
    dark: &'static str,
}

const BACKGROUND: Pair = Pair { light: "#ffffff", dark: "#0d1117" };
const INK: Pair = Pair { light: "#1f2328", dark: "#e6edf3" };
const RULES: Pair = Pair { light: "#d1d9e0", dark: "#3d444d" };

/// Warm, for ours in each way to call it.
const OUR_COLOURS: [Pair; 4] = [
    Pair { light: "#c2410c", dark: "#fb923c" },
    Pair { light: "#b91c1c", dark: "#f87171" },
    Pair { light: "#a16207", dark: "#facc15" },
    Pair { light: "#be185d", dark: "#f472b6" },
];
/// What no pool can be faster than.
const LIMIT_COLOUR: Pair = Pair { light: "#1c1917", dark: "#fafaf9" };
/// Cool, for the others. With the dashes below there are enough for fifteen of them.
const THEIR_COLOURS: [Pair; 5] = [
    Pair { light: "#1d4ed8", dark: "#60a5fa" },
    Pair { light: "#15803d", dark: "#4ade80" },
    Pair { light: "#7e22ce", dark: "#c084fc" },
    Pair { light: "#0e7490", dark: "#22d3ee" },
    Pair { light: "#57534e", dark: "#a8a29e" },
];

fn pairs() -> impl Iterator<Item = &'static Pair> {
    [&BACKGROUND, &INK, &RULES, &LIMIT_COLOUR].into_iter().chain(&OUR_COLOURS).chain(&THEIR_COLOURS)
}

/// How a subject is drawn, in all plots alike.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) colour: &'static str,
    pub(super) width: f64,
    pub(super) dashes: LineStyle,
    pub(super) marker: MarkerShape,
}

/// How each subject of a run is drawn. Colours go by the order of the run.
pub(super) fn look(run: &Run, subject: &str) -> Look {
    let (dashes, marker) = (LineStyle::Solid, MarkerShape::Circle);
    if is_limit(subject) {
        return Look { colour: LIMIT_COLOUR.light, width: 2.0, dashes: LineStyle::Dotted, marker };
    }
    if is_ours(subject) {
        let nth = nth_of(run, subject, is_ours) % OUR_COLOURS.len();
        return Look { colour: OUR_COLOURS[nth].light, width: 4.0, dashes, marker: MarkerShape::Star };
    }
    let nth = nth_of(run, subject, is_peer);
    let (colour, again) = (nth % THEIR_COLOURS.len(), nth / THEIR_COLOURS.len());
    let (dashes, marker) = [
        (LineStyle::Solid, MarkerShape::Circle),
        (LineStyle::Dashed, MarkerShape::Square),
        (LineStyle::Dotted, MarkerShape::Triangle),
    ][again % 3]
        .clone();
    Look { colour: THEIR_COLOURS[colour].light, width: 2.0, dashes, marker }
}

/// The place of a subject among those of its kind, in the order of the run.
fn nth_of(run: &Run, subject: &str, kind: fn(&str) -> bool) -> usize {
    let names = run.results.rows.iter().map(|row| &*row.subject).filter(|name| kind(name));
    distinct(names).iter().position(|name| *name == subject).unwrap_or(0)
}

/// How the `nth` of some lines of ours is drawn.
pub(super) fn nth_of_ours(nth: usize) -> Look {
    let colours: Vec<&Pair> = OUR_COLOURS.iter().chain(&THEIR_COLOURS).collect();
    let colour = colours[nth % colours.len()].light;
    Look { colour, width: 3.0, dashes: LineStyle::Solid, marker: MarkerShape::Circle }
}

/// The colour of a bar. Bars have their names beside them, so that colours only say whose they are.
pub(super) fn bar(subject: &str) -> &'static str {
    match subject {
        subject if is_ours(subject) => OUR_COLOURS[0].light,
        subject if is_limit(subject) => LIMIT_COLOUR.light,
        _ => THEIR_COLOURS[THEIR_COLOURS.len() - 1].light,
    }
}

/// The colour of text on the background.
pub(super) const fn ink() -> &'static str {
    INK.light
}

/// A layout with the common style, for these plots. As high as what is in it, if nothing else is said.
pub(super) fn layout(plots: &[Plot], title: &str) -> Layout {
    let theme = Theme {
        background: BACKGROUND.light.into(),
        axis_color: INK.light.into(),
        grid_color: RULES.light.into(),
        tick_color: INK.light.into(),
        text_color: INK.light.into(),
        legend_bg: BACKGROUND.light.into(),
        legend_border: "none".into(),
        ..Theme::light()
    };
    Layout::auto_from_plots(plots)
        .with_theme(theme)
        .with_width(WIDTH)
        .with_title(title)
        .with_title_size(18)
        .with_label_size(LETTERS)
        .with_tick_size(LETTERS)
        .with_body_size(LETTERS)
}

/// Labels of an axis, by what they say of a value.
pub(super) fn ticks(label: fn(f64) -> String) -> TickFormat {
    TickFormat::Custom(Arc::new(label))
}

/// Who is who, below the plot.
pub(super) fn with_legend<'a>(
    layout: Layout,
    shape: fn(&Look) -> LegendShape,
    entries: impl IntoIterator<Item = (&'a str, &'a Look)>,
) -> Layout {
    let entry = |(name, look): (&str, &Look)| LegendEntry {
        label: name.to_owned(),
        color: look.colour.to_owned(),
        shape: shape(look),
        dasharray: look.dashes.dasharray(),
    };
    layout
        .with_legend_entries(entries.into_iter().map(entry).collect())
        .with_legend_position(LegendPosition::OutsideBottomColumns)
        .with_legend_box(false)
}

/// The drawing, with the style sheet, a name for who cannot see it, and a box by which it scales.
pub(super) fn svg(plots: Vec<Plot>, layout: Layout, alt: &str) -> String {
    let mut scene = render_multiple(plots, layout);
    scene.defs.push(sheet());
    let (width, height) = (scene.width, scene.height);
    let root = format!(r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{}" "#, escaped(alt));
    let mut svg = SvgBackend::new().with_pretty(true).render_scene(&scene).replacen("<svg ", &root, 1);
    svg.push('\n');
    svg
}

/// Exchanges each colour for its partner. A rule of a sheet wins over an attribute.
fn sheet() -> String {
    let mut sheet = String::from("<style>@media (prefers-color-scheme: dark) {");
    for Pair { light, dark } in pairs() {
        let _ = write!(sheet, "[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}");
    }
    sheet + "}</style>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance and contrast, as the Web Content Accessibility Guidelines define them.
    fn contrast(one: &str, other: &str) -> f64 {
        let luminance = |colour: &str| {
            let channel = |at: usize| {
                let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
        };
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn no_two_colours_are_the_same() {
        let light: Vec<&str> = pairs().map(|pair| pair.light).collect();
        assert_eq!(distinct(light.iter()).len(), light.len());
    }

    #[test]
    fn what_is_drawn_can_be_told_from_the_background() {
        for pair in pairs().filter(|pair| ![BACKGROUND.light, RULES.light].contains(&pair.light)) {
            assert!(contrast(pair.light, BACKGROUND.light) >= 4.5, "{}", pair.light);
            assert!(contrast(pair.dark, BACKGROUND.dark) >= 4.5, "{}", pair.dark);
        }
    }
}
