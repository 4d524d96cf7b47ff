//! The example `soak`, for a moment: that it runs, and that it can fail. The example is this file, started again: never an
//! older build.

#![cfg(not(loom))]

use std::process::{Command, Output, Stdio};

#[path = "../examples/soak/main.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod soak;

const ARGS: &str = "POOL_TEST_SOAK_ARGS";

/// No test, but the process that tests start.
#[test]
fn the_soak_itself() {
    if let Ok(args) = std::env::var(ARGS) {
        let args = std::iter::once("soak").chain(args.split(' '));
        std::process::exit(soak::cli::run(args.map(Into::into)).into());
    }
}

fn example(arguments: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_soak_itself", "--nocapture", "--test-threads=2"]);
    command.env(ARGS, arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
