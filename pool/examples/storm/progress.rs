//! How far a protocol has come, on the standard error.
//!
//! A bar on a terminal; elsewhere a line at the start, one every two seconds and
//! one at the end. The lines come from a thread of their own, since a run that
//! hangs makes no progress that could print them, and that is just the run which
//! one wants to hear from.
//!
//! The bar keeps the numbers in both cases (not drawn, in the second), so there is
//! nothing here to lock.

use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Between two lines: often enough to see that it lives, seldom enough for a log.
const BETWEEN_LINES: Duration = Duration::from_secs(2);

/// Between two redraws while nothing happens, so that the clock does not stop.
const BETWEEN_REDRAWS: Duration = Duration::from_millis(200);

const TEMPLATE: &str = "{prefix:>8} [{wide_bar}] {pos}/{len}  {rate}  {elapsed}  {msg}";

/// One protocol's progress, until it is dropped. Threads may share it.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// There unless the bar is drawn.
    lines: Option<Lines>,
}

/// The thread that prints lines.
#[derive(Debug)]
struct Lines {
    /// Never sent to: the thread ends when this is dropped.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Progress {
    /// Starts to report on `protocol`, which is to do `asked` launches.
    pub(crate) fn start(protocol: &'static str, asked: u64) -> Self {
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::with_draw_target(Some(asked), ProgressDrawTarget::stderr());
        bar.set_prefix(protocol);
        bar.set_message(waiting(0));
        if bar.is_hidden() {
            print(&line(&bar));
            // Without the thread, two lines have to do.
            let lines = Lines::start(bar.clone()).ok();
            return Self { bar, lines };
        }
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> ").with_key("rate", rate));
        }
        bar.enable_steady_tick(BETWEEN_REDRAWS);
        Self { bar, lines: None }
    }

    /// So many launches are done so far.
    pub(crate) fn tick(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// So many launchers wait just now.
    pub(crate) fn waiting(&self, launchers: usize) {
        self.bar.set_message(waiting(launchers));
    }

    /// Prints a line on the standard error, above the bar if there is one.
    pub(crate) fn println(&self, text: &str) {
        self.bar.suspend(|| print(text));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(Lines { stop, thread }) = self.lines.take() {
            drop(stop);
            // It prints and nothing else: there is no panic to pass on.
            let _ = thread.join();
        }
        if self.bar.is_hidden() {
            print(&line(&self.bar));
        }
        // Not `finish`, which would show a run that hangs as complete.
        self.bar.abandon();
    }
}

impl Lines {
    fn start(bar: ProgressBar) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("progress".into()).spawn(move || {
            while stopped.recv_timeout(BETWEEN_LINES) == Err(RecvTimeoutError::Timeout) {
                print(&line(&bar));
            }
        })?;
        Ok(Self { stop, thread })
    }
}

/// The bar's numbers in words.
fn line(bar: &ProgressBar) -> String {
    format!(
        "{}: {}/{} done, {}, {:.1} s",
        bar.prefix(),
        bar.position(),
        bar.length().unwrap_or(0),
        bar.message(),
        bar.elapsed().as_secs_f64(),
    )
}

/// What `{per_sec}` would say, without its four decimals.
fn rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    let _ = write!(out, "{:.0}/s", state.per_sec());
}

fn waiting(launchers: usize) -> String {
    format!("{launchers} waiting")
}

/// Unlike `eprintln!`, does not panic when nobody reads the standard error, and
/// writes the line in one piece, since the children write there too.
fn print(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_good() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn the_line_has_the_numbers_and_stops_when_told() {
        let progress = Progress::start("claim", 20);
        thread::scope(|scope| {
            scope.spawn(|| progress.tick(7));
            scope.spawn(|| progress.waiting(3));
        });
        let line = line(&progress.bar);
        assert!(line.starts_with("claim: 7/20 done, 3 waiting, "), "{line}");
        progress.println("a word");
        drop(progress);
    }
}
