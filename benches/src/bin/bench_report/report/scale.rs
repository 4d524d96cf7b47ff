//! What is measured at several sizes: numbers in the names of shapes, and lines through them.

use super::run::{Run, distinct};
use super::subjects::OURS;

/// A size in bytes, as in `4 KiB`.
pub(crate) fn bytes(shape: &str) -> Option<f64> {
    let (number, unit) = shape.split_once(' ')?;
    let unit = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * unit)
}

/// What `scale` was measured over, as in `pages 1000`.
pub(crate) fn kinds(run: &Run) -> Vec<&str> {
    distinct(run.of("scale").filter_map(|row| Some(scaled(&row.shape)?.0)))
}

/// What ours cost at each number of `kind`, from the smallest on.
pub(crate) fn line(run: &Run, kind: &str) -> Vec<(f64, f64)> {
    let ours = run.of("scale").filter(|row| row.subject == OURS);
    let point = ours.filter_map(|row| match scaled(&row.shape)? {
        (of, number) if of == kind => Some((number, row.median_ns?)),
        _ => None,
    });
    let mut line: Vec<(f64, f64)> = point.collect();
    line.sort_by(|one, other| one.0.total_cmp(&other.0));
    line
}

fn scaled(shape: &str) -> Option<(&str, f64)> {
    let (kind, number) = shape.rsplit_once(' ')?;
    Some((kind, number.replace(['_', ','], "").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let read = ["64 B", "4 KiB", "256 KiB", "1 MiB", "many B", "64"].map(bytes);
        assert_eq!(
            read,
            [Some(64.0), Some(4096.0), Some(262_144.0), Some(1_048_576.0), None, None]
        );
    }

    #[test]
    fn scales_have_a_number_at_the_end() {
        assert_eq!(scaled("pages 1000000"), Some(("pages", 1e6)));
        assert_eq!(scaled("pages"), None);
        assert_eq!(scaled("pages of a kind"), None);
    }
}
