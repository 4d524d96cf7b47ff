//! What is measured at several sizes: numbers in the names of shapes, and lines through them.

use benches::case::Bench;

use super::run::{Run, distinct};
use super::subjects::OURS;

/// A size in bytes, as in `4 KiB`.
pub(crate) fn bytes(shape: &str) -> Option<u64> {
    let (number, unit) = shape.split_once(' ')?;
    let unit = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * unit)
}

/// A number of something, as in `pages 1000` or `pages 1000, 48 at once`.
#[derive(Debug, PartialEq, Eq)]
struct Scaled<'a> {
    of: &'a str,
    number: u32,
    /// What else there is to say, as in `48 at once`.
    but: &'a str,
}

impl<'a> Scaled<'a> {
    fn parse(shape: &'a str) -> Option<Self> {
        let (of, rest) = shape.split_once(' ')?;
        let (number, but) = rest.split_once(", ").unwrap_or((rest, ""));
        let number = number.parse().ok().filter(|number| *number > 0)?;
        Some(Self { of, number, but })
    }
}

/// What ours costs at each number of something.
#[derive(Debug)]
pub(crate) struct Line {
    /// `pages, 48 at once`.
    pub(crate) name: String,
    /// Numbers and nanoseconds, from the smallest number on.
    pub(crate) points: Vec<(u32, f64)>,
}

/// The lines through what `scale` has of `of`, or of everything.
pub(crate) fn lines(run: &Run, of: Option<&str>) -> Vec<Line> {
    let ours = run.of(Bench::Scale).filter(|row| row.subject == OURS);
    let points = ours.filter_map(|row| Some((Scaled::parse(&row.shape)?, row.median_ns?)));
    let points: Vec<_> = points.filter(|(scaled, _)| of.is_none_or(|of| scaled.of == of)).collect();
    let line = |(of, but): (&str, &str)| {
        let same = points.iter().filter(|(scaled, _)| (scaled.of, scaled.but) == (of, but));
        let mut points: Vec<(u32, f64)> = same.map(|(scaled, ns)| (scaled.number, *ns)).collect();
        points.sort_by_key(|(number, _)| *number);
        Line { name: if but.is_empty() { of.to_owned() } else { format!("{of}, {but}") }, points }
    };
    distinct(points.iter().map(|(scaled, _)| (scaled.of, scaled.but))).into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let read = ["64 B", "4 KiB", "256 KiB", "1 MiB", "many B", "64"].map(bytes);
        assert_eq!(read, [Some(64), Some(4096), Some(262_144), Some(1_048_576), None, None]);
    }

    #[test]
    fn scales_have_a_number() {
        let scaled = |number, but| Some(Scaled { of: "pages", number, but });
        assert_eq!(Scaled::parse("pages 1000000"), scaled(1_000_000, ""));
        assert_eq!(Scaled::parse("pages 1, 48 at once"), scaled(1, "48 at once"));
        assert_eq!(Scaled::parse("pages"), None);
        assert_eq!(Scaled::parse("pages 0"), None);
        assert_eq!(Scaled::parse("pages of a kind"), None);
    }
}
