//! The example `clients`, as its users run it: against its own server, and against a real one
//! that is killed in the middle.
#![cfg(not(loom))]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

/// Past what the harness captures: who runs the tests is to know.
fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "skipped: {why}");
}

/// The example, if it was built: it is where cargo puts it when it builds all of the package.
fn example(arguments: &[&str]) -> Option<Command> {
    let deps = std::env::current_exe().unwrap();
    let path = deps.ancestors().nth(2).unwrap().join("examples/clients");
    if !path.exists() {
        skipped("the example `clients` is not built: cargo build -p pool --examples");
        return None;
    }
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

/// What a row of the table says.
fn figure<'a>(table: &'a str, row: &str) -> &'a str {
    let of_row = |line: &'a str| line.trim().strip_prefix(row);
    table.lines().find_map(of_row).unwrap_or_else(|| panic!("no {row:?} in\n{table}")).trim()
}

fn assert_done(output: &Output, requests: &str) -> String {
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}\n{table}", output.status);
    assert_eq!(figure(&table, "requests done"), requests);
    table
}

#[test]
fn all_is_done_although_the_server_is_killed() {
    let arguments = ["--clients", "12", "--connections", "3", "--minimum", "2", "--requests", "100"];
    let Some(mut example) = example(&arguments) else { return };
    let output = example.output().unwrap();
    let table = assert_done(&output, "1200 of 1200");
    let most: u32 = figure(&table, "most at the server").parse().unwrap();
    assert!((1..=3).contains(&most), "{table}");
    assert_eq!(figure(&table, "refused by the server"), "0");
    assert!(String::from_utf8(output.stderr).unwrap().contains("the server is up again"));
}

#[test]
fn a_time_ends_it_too() {
    let Some(mut example) = example(&["--clients", "4", "--connections", "2", "--duration", "1"]) else {
        return;
    };
    assert!(example.output().unwrap().status.success());
}

#[test]
fn what_is_wrong_is_said() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let unreachable = format!("redis://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let wrong: [(&[&str], i32, &str); 8] = [
        (&["--url", "127.0.0.1:6379"], 1, "no scheme"),
        (&["--url", "http://localhost/"], 1, "\"http\""),
        (&["--url", "redis://localhost:port"], 1, "not a url"),
        (&["--url", "postgres://localhost:port"], 1, "not a url"),
        (&["--url", &unreachable], 1, "could not connect"),
        (&["--connections", "2", "--minimum", "3"], 1, "low water 3"),
        (&["--connections", "0"], 2, "--connections"),
        (&["--requests", "1", "--duration", "1"], 2, "cannot be used with"),
    ];
    for (arguments, code, says) in wrong {
        let Some(mut example) = example(arguments) else { return };
        let output = example.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}

/// A server that keeps nothing. Killed when dropped, as by a crash.
struct Redis(Child);

impl Redis {
    fn start(port: u16) -> io::Result<Self> {
        let mut command = Command::new("redis-server");
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        let child = command.current_dir(std::env::temp_dir()).stdout(Stdio::null()).spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn all_is_done_although_a_redis_server_is_killed() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("redis://127.0.0.1:{port}/1");
    let Some(mut example) = example(&["--url", &url, "--clients", "16", "--requests", "1000"]) else {
        return;
    };
    let Ok(redis) = Redis::start(port) else { return skipped("there is no redis-server") };
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    let mut child = example.spawn().unwrap();
    let mut says = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(says.next().as_deref(), Some("clients: 16 tasks share 8 connections"));
    drop(redis);
    // The load has noticed, so that all that follows is after the crash.
    let noticed = says.find(|line| line.contains("could not connect"));
    let _redis = Redis::start(port).unwrap();
    let rest: Vec<_> = says.collect();
    let mut table = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut table).unwrap();
    let stderr = rest.join("\n").into_bytes();
    let output = Output { status: child.wait().unwrap(), stdout: table, stderr };
    assert_done(&output, "16000 of 16000");
    assert!(noticed.is_some(), "the load was over before the server was killed");
}
