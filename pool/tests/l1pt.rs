//! The example `l1pt`, as its users run it. It is this file, started again: never an older build.

#![cfg(not(loom))]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

#[path = "../examples/l1pt/main.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod l1pt;

const ARGS: &str = "POOL_TEST_L1PT_ARGS";
/// A storm small enough for a build that checks all equations.
const SMALL: &str = "--memory 2 --processes 8 --in-use 40 --forks 60 --seconds 120 --deadline 60000";

/// No test, but the process that tests start.
#[test]
fn the_storm_itself() {
    if let Ok(args) = std::env::var(ARGS) {
        let args = std::iter::once("l1pt").chain(args.split_whitespace());
        std::process::exit(l1pt::cli::run(args.map(Into::into)).into());
    }
}

fn example(arguments: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // With one thread, as on one CPU, the test's name would begin the first line.
    command.args(["--exact", "the_storm_itself", "--nocapture", "--test-threads=2"]).env(ARGS, arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The only row of a run that wrote JSON to its standard output.
fn row(arguments: &str) -> Value {
    let output = example(&format!("{arguments} --json -")).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}", output.status);
    // The harness has a word before it.
    let out = String::from_utf8(output.stdout).unwrap();
    let json = &out[out.find('[').unwrap()..];
    let rows: Vec<Value> = serde_json::from_str(json).unwrap_or_else(|why| panic!("{why} in\n{out}"));
    let [row] = &rows[..] else { panic!("one idea, one row: {rows:?}") };
    row.clone()
}

fn figure(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("no {name} in {row}"))
}

/// Every fork is done, whatever the idea, where the daemon may free what it must.
#[test]
fn all_forks_are_done_by_shape() {
    for idea in ["shape", "move"] {
        let row = row(&format!("--idea {idea} {SMALL}"));
        assert_eq!(figure(&row, "done"), 60, "{row}");
        assert_eq!(figure(&row, "damaged"), 0, "{row}");
        assert!(figure(&row, "evicted") > 0, "the cache was in the way: {row}");
        assert!(figure(&row, "idle_tables") <= 4, "no more than half of the processes: {row}");
    }
}

/// The page daemon sees enough free pages, and those who wait are stuck beside them.
#[test]
fn who_waits_for_a_daemon_that_counts_is_stuck() {
    let row = row("--idea wait --memory 2 --processes 8 --forks 60 --seconds 2");
    assert!(figure(&row, "stuck") > 0, "{row}");
    assert!(figure(&row, "done") < 60, "{row}");
    assert!(figure(&row, "free_while_waiting") >= 4, "a table's worth of pages was free: {row}");
    assert!(figure(&row, "samples_without_a_run") > 0, "{row}");
}

#[test]
fn a_deadline_is_an_eagain() {
    let row = row("--idea window --memory 2 --processes 8 --forks 10 --deadline 1");
    assert!(figure(&row, "eagain") > 0, "{row}");
    assert_eq!(figure(&row, "stuck"), 0, "{row}");
}

/// The stash is private and has no bound; the pool keeps what `--keep` says.
#[test]
fn what_is_kept_is_bounded() {
    let kept = |keep: u32| figure(&row(&format!("--idea shape --keep {keep} {SMALL}")), "idle_tables");
    assert!(kept(0) <= 1, "the reserve at most");
    let kept = kept(3);
    assert!((1..=3).contains(&kept), "{kept}");
}

#[test]
fn pages_in_use_are_moved() {
    let moved = |idea: &str| {
        let arguments = "--memory 2 --processes 8 --in-use 60 --forks 100 --seconds 120 --deadline 50";
        figure(&row(&format!("--idea {idea} {arguments}")), "moved")
    };
    assert_eq!(moved("shape"), 0);
    assert!(moved("move") > 0);
}

#[test]
fn bad_arguments_say_what_is_wrong() {
    let says = |arguments: &str| {
        let Output { status, stderr, .. } = example(arguments).output().unwrap();
        assert!(!status.success(), "{arguments}");
        String::from_utf8(stderr).unwrap()
    };
    assert!(says("--memory 1").contains("1 MiB of memory are too little for 32 processes"));
    assert!(says("--in-use 99").contains("99 % of memory in use leave nothing to forks"));
    assert!(says("--processes 0").contains("invalid value '0'"));
    assert!(says("--idea panic").contains("possible values"));
    // Before anything has run.
    let unwritable = says("--json /no/such/file");
    assert!(unwritable.contains("/no/such/file"), "{unwritable}");
    assert!(!unwritable.contains("wait ..."), "{unwritable}");
}

/// Ctrl-C, while all wait: the row comes, and the process ends by itself.
#[test]
fn it_can_be_interrupted() {
    let mut storm = example("--idea wait --seconds 600").spawn().unwrap();
    let mut errors = BufReader::new(storm.stderr.take().unwrap());
    let mut begun = String::new();
    while !begun.contains("wait ...") {
        assert_ne!(errors.read_line(&mut begun).unwrap(), 0, "{begun}");
    }
    // SAFETY: it sends a signal to a child that was not waited for yet.
    assert_eq!(unsafe { libc::kill(storm.id().cast_signed(), libc::SIGINT) }, 0);
    let (mut out, mut rest) = (String::new(), String::new());
    storm.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    errors.read_to_string(&mut rest).unwrap();
    assert!(storm.wait().unwrap().success(), "{rest}");
    assert!(rest.contains("interrupted"), "{rest}");
    assert!(out.contains("wait"), "{out}");
}
