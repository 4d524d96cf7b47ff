//! How far the run is: a bar on a terminal, a line a bench elsewhere.

use benches::case::{Bench, Case};
use indicatif::{ProgressBar, ProgressStyle};

const TEMPLATE: &str = "[{elapsed_precise}] {bar:30} {pos}/{len} {msg}";

#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn start(samples: usize) -> Self {
        let bar = ProgressBar::new(samples as u64);
        bar.set_style(ProgressStyle::with_template(TEMPLATE).expect("a good template"));
        Self(bar)
    }

    pub(crate) fn begin(&self, bench: Bench) {
        if self.0.is_hidden() {
            eprintln!("{bench}, after {:.0} s", self.0.elapsed().as_secs_f64());
        }
    }

    /// A sample begins. The bar is drawn between samples only: while one is taken nothing else is
    /// to run.
    pub(crate) fn sample(&self, case: &Case) {
        self.0.set_message(format!("{}: {}", case.bench, case.subject));
    }

    pub(crate) fn end(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_good() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
