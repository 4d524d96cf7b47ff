//! This file started again, as a process of its own: what a test does to a whole process is done there.

use std::env;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

const ROLE: &str = "POOL_TEST_FAULTS";
/// What was to go wrong cannot be made to, here.
const CANNOT: i32 = 77;

/// What this process was started for.
pub(crate) fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// Ends the process that was started: the fault cannot be had here.
pub(crate) fn cannot() -> ! {
    std::process::exit(CANNOT);
}

/// Runs the test `name` in a process, as `role`, on its main thread. `None`: skipped, aloud.
pub(crate) fn output(name: &str, role: &str) -> Option<Output> {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.code() == Some(CANNOT) {
        // Past what the harness captures: who runs the tests is to know.
        let _ = writeln!(io::stderr(), "skipped: {role} cannot be had here");
        return None;
    }
    Some(output)
}

/// As [`output`], of one that must end well.
pub(crate) fn passes(name: &str, role: &str) {
    if let Some(output) = output(name, role) {
        let said = String::from_utf8_lossy(&output.stderr);
        let more = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{role}: {}\n{said}\n{more}", output.status);
        assert!(more.contains("1 passed"), "{role}: the test was not run:\n{more}");
    }
}
