//! The example `soak`, for a moment: that it runs, and that it can fail. The example is this file,
//! started again: never an older build.

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

/// What was written as JSON.
fn report(file: &std::path::Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn it_holds_for_a_moment_and_says_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("soak.json");
    let output =
        example(&format!("--for 2s --threads 4 --seed 7 --json {}", json.display())).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("seed 7: all held"), "{}", said(&output));
    let report = report(&json);
    assert_eq!((&report["seed"], &report["failure"]), (&7.into(), &serde_json::Value::Null));
    assert_eq!((&report["threads"], &report["tasks"]), (&4.into(), &2.into()));
    // What is never done is not soaked.
    let operations = report["operations"].as_array().unwrap();
    assert!(operations.len() > 70, "{}", operations.len());
    let never: Vec<_> = operations.iter().filter(|it| it["done"] == 0).map(|it| &it["name"]).collect();
    assert!(never.is_empty(), "{never:?} of {report:#}");
    let panicked: u64 = operations.iter().map(|it| it["panicked"].as_u64().unwrap()).sum();
    assert!(panicked > 0, "{report:#}");
    // Scarcity is what it is about.
    let pools = report["pools"].as_array().unwrap();
    let sum = |figure: &str| pools.iter().map(|pool| pool[figure].as_u64().unwrap()).sum::<u64>();
    for figure in ["sweeps", "withdrawn", "released", "refused", "invalid", "most_overtaken"] {
        assert!(sum(figure) > 0, "{figure}: {report:#}");
    }
    assert!(report["moved"].as_array().unwrap().iter().all(|moved| *moved != 0), "{}", report["moved"]);
}

#[test]
fn a_leak_fails_it() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("soak.json");
    let output =
        example(&format!("--for 4s --threads 4 --seed 7 --leak --json {}", json.display())).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("FAILED with --seed 7"), "{said}");
    assert!(said.contains("does not grow with what is done: blocks of the heap"), "{said}");
    // And all tables.
    for table in ["Pgreq", "pool \"pages\" of 4096-byte items", "numbers: Arena", "frames: FramesStats"] {
        assert!(said.contains(table), "no {table:?} in {said}");
    }
    assert!(report(&json)["failure"].as_str().unwrap().contains("blocks of the heap"));
}

#[test]
fn a_signal_ends_it_with_the_final_check() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut child = example("--for 1h --threads 2 --seed 7").spawn().unwrap();
        // Until it listens, a signal would end it.
        let pid = child.id();
        while !std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap().lines().any(|line| {
            let caught =
                line.strip_prefix("SigCgt:").map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap());
            // The two of them, each a bit, from 1.
            caught.is_some_and(|caught| caught & (1 << 1 | 1 << 14) == (1 << 1 | 1 << 14))
        }) {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::yield_now();
        }
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("seed 7: all held"), "{}", said(&output));
    }
}

#[test]
fn a_run_of_no_time_is_refused() {
    let output = example("--for 0s").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("a run of no time checks nothing"), "{}", said(&output));
    let output = example("--for soon").output().unwrap();
    assert!(!output.status.success() && said(&output).contains("--for"), "{}", said(&output));
}
