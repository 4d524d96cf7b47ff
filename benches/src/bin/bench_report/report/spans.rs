//! What is measured with many spans out: which shapes, how full, and how many, by the names of shapes.

use benches::case::Bench;

use super::number::short;
use super::run::{Place, Run, distinct};

/// Where the same shapes are taken of an arena that is as full, with several numbers of spans out.
#[derive(Debug)]
pub(crate) struct Filled<'a> {
    /// As in `1 to 16`.
    pub(crate) mix: &'a str,
    /// As in `80 %`.
    pub(crate) fill: &'a str,
    /// How many are out, from the fewest on, and where that is.
    pub(crate) places: Vec<(u32, Place<'a>)>,
}

/// As in `1 to 16, 80 %, 1000 live`.
fn parse(shape: &str) -> Option<(&str, &str, u32)> {
    let (rest, live) = shape.strip_suffix(" live")?.rsplit_once(", ")?;
    let (mix, fill) = rest.rsplit_once(", ")?;
    Some((mix, fill, live.parse().ok()?))
}

impl<'a> Filled<'a> {
    /// All of them, in the order of the run.
    pub(crate) fn all(run: &'a Run) -> Vec<Self> {
        let places: Vec<_> = run.places(Bench::Spans);
        let read: Vec<_> = places.iter().filter_map(|place| Some((parse(place.shape)?, *place))).collect();
        let filled = |(mix, fill)| {
            let same = read.iter().filter(|((other, percent, _), _)| (*other, *percent) == (mix, fill));
            let mut places: Vec<_> = same.map(|((.., live), place)| (*live, *place)).collect();
            places.sort_by_key(|(live, _)| *live);
            Self { mix, fill, places }
        };
        distinct(read.iter().map(|((mix, fill, _), _)| (*mix, *fill))).into_iter().map(filled).collect()
    }

    /// Where nothing else is out.
    pub(crate) fn empty(run: &'a Run) -> Vec<Place<'a>> {
        let mut places = run.places(Bench::Spans);
        places.retain(|place| parse(place.shape).is_none());
        places
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        format!("{}, {}", self.mix, self.fill)
    }

    /// The places, and what they are called among each other.
    pub(crate) fn columns(&self) -> (Vec<Place<'a>>, Vec<String>) {
        let name = |(live, _): &(u32, _)| format!("{} live", short(f64::from(*live)));
        (self.places.iter().map(|(_, place)| *place).collect(), self.places.iter().map(name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_from_behind() {
        assert_eq!(parse("1 to 16, 80 %, 1000 live"), Some(("1 to 16", "80 %", 1000)));
        assert_eq!(parse("1 to 16, empty"), None);
        assert_eq!(parse("80 %, some live"), None);
    }
}
