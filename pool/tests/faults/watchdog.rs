//! Ends the process where a test hangs, with what the pool says of itself. No test passes or fails by
//! how long it takes: nothing that does not hang takes nearly as long.

use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

/// While this is there, somebody watches.
pub(crate) struct Watchdog(mpsc::Sender<()>);

impl Watchdog {
    /// `describe` says what hangs, and may hang itself.
    pub(crate) fn new(name: &'static str, describe: impl Fn() -> String + Send + 'static) -> Self {
        let (goes_on, went_on) = mpsc::channel();
        thread::spawn(move || {
            loop {
                match went_on.recv_timeout(PATIENCE) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
            // Past what the harness captures.
            let mut says = io::stderr();
            let _ = writeln!(says, "{name} hangs");
            let _ = writeln!(says, "{}", describe());
            std::process::abort();
        });
        Self(goes_on)
    }

    /// Its patience begins anew.
    pub(crate) fn goes_on(&self) {
        self.0.send(()).expect("it watches");
    }
}
