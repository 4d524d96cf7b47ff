//! The plots, as SVG.
//!
//! Drawn with kuva, which is kept (its last release is of October 2026), is plain Rust with three small
//! dependencies, and has horizontal bars with room for long names, logarithmic axes, and a place for a
//! style sheet. plotters, which Criterion brings along, had its last release in 2024; charming draws SVG
//! with a JavaScript engine.

mod bars;
mod lines;
mod scatter;
mod style;

pub(crate) use bars::bars;
pub(crate) use lines::{over_live, over_scales, over_sizes, over_threads};
pub(crate) use scatter::waits;

/// A file, and what it shows for who cannot see it.
#[derive(Debug)]
pub(crate) struct Plot {
    pub(crate) file: String,
    pub(crate) alt: String,
    pub(crate) svg: String,
}

/// A name as part of the name of a file.
fn slug(name: &str) -> String {
    let dashed: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain() {
        assert_eq!(slug("64 B, 2 threads"), "64-b-2-threads");
        assert_eq!(slug("8x2 (work)"), "8x2-work");
    }
}
