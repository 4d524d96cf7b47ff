//! How far the run is: a bar on a terminal, a line a cell elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::suite::cell::Cell;

const TEMPLATE: &str = "[{elapsed_precise}] {bar:30} {pos}/{len} {msg}";

pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn start(cells: usize) -> Self {
        let bar = ProgressBar::new(cells as u64);
        bar.set_style(ProgressStyle::with_template(TEMPLATE).expect("a good template"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    pub(crate) fn begin(&self, peer: &str, scenario: &str) {
        self.0.set_message(format!("{peer}: {scenario}"));
    }

    pub(crate) fn end(&self, cell: &Cell) {
        self.0.inc(1);
        if self.0.is_hidden() {
            let Cell { peer, scenario, outcome, observed, .. } = cell;
            eprintln!("{}: {}: {} ({observed})", peer.name, scenario.name, outcome.words());
        }
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
