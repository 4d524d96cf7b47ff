//! The colours of the page, and how its charts turn dark.
//!
//! A chart has the colours of light mode in it; the page's style sheet exchanges each for its
//! partner where dark mode is preferred, since a rule of a sheet wins over an attribute.

use std::fmt::Write;

/// A colour in light mode and its partner in dark mode.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) light: &'static str,
    pub(super) dark: &'static str,
}

pub(super) const BACKGROUND: Pair = Pair { light: "#ffffff", dark: "#0d1117" };
pub(super) const INK: Pair = Pair { light: "#1f2328", dark: "#e6edf3" };
pub(super) const RULES: Pair = Pair { light: "#d1d9e0", dark: "#3d444d" };
pub(super) const RED: Pair = Pair { light: "#b91c1c", dark: "#f87171" };
pub(super) const AMBER: Pair = Pair { light: "#a16207", dark: "#facc15" };
pub(super) const GREEN: Pair = Pair { light: "#15803d", dark: "#4ade80" };
pub(super) const BLUE: Pair = Pair { light: "#1d4ed8", dark: "#60a5fa" };
pub(super) const PURPLE: Pair = Pair { light: "#7e22ce", dark: "#c084fc" };
pub(super) const CYAN: Pair = Pair { light: "#0e7490", dark: "#22d3ee" };
pub(super) const ORANGE: Pair = Pair { light: "#c2410c", dark: "#fb923c" };
pub(super) const PINK: Pair = Pair { light: "#be185d", dark: "#f472b6" };

const ALL: [&Pair; 11] =
    [&BACKGROUND, &INK, &RULES, &RED, &AMBER, &GREEN, &BLUE, &PURPLE, &CYAN, &ORANGE, &PINK];

/// The colour of a protocol, in all charts alike. `nth` is its place in the run, for one that has
/// none of its own.
pub(super) fn of(protocol: &str, nth: usize) -> &'static str {
    match protocol {
        "sleep" => RED.light,
        "release" => AMBER.light,
        "claim" => BLUE.light,
        "choose" => GREEN.light,
        "prime" => PURPLE.light,
        "pieces" => CYAN.light,
        _ => [ORANGE.light, PINK.light, INK.light][nth % 3],
    }
}

/// The rules that exchange each colour for its partner.
pub(super) fn sheet() -> String {
    let mut sheet = String::from("@media (prefers-color-scheme: dark) {");
    for Pair { light, dark } in ALL {
        let _ = write!(sheet, "[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}");
    }
    sheet + "}"
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
    fn what_is_drawn_can_be_told_from_the_background() {
        for pair in ALL.iter().filter(|pair| ![BACKGROUND.light, RULES.light].contains(&pair.light)) {
            assert!(contrast(pair.light, BACKGROUND.light) >= 4.5, "{pair:?}");
            assert!(contrast(pair.dark, BACKGROUND.dark) >= 4.5, "{pair:?}");
        }
    }

    #[test]
    fn each_colour_has_one_partner() {
        for (at, pair) in ALL.iter().enumerate() {
            assert!(ALL[..at].iter().all(|other| other.light != pair.light), "{pair:?}");
            assert!(sheet().contains(pair.dark));
        }
    }
}
