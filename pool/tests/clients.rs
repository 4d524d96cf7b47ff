//! The example `clients`, as its users run it: against its own server, and against a real one
//! that is killed in the middle. It is this file, started again: never an older build.

#![cfg(not(loom))]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

#[path = "../examples/clients/main.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod clients;

const ARGS: &str = "POOL_TEST_CLIENTS_ARGS";
/// A server that has not come up after so long does not come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Past what the harness captures: who runs the tests is to know.
fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "skipped: {why}");
}

/// No test, but the process that tests start.
#[test]
fn the_clients_themselves() {
    if let Ok(args) = std::env::var(ARGS) {
        let args = std::iter::once("clients").chain(args.split_whitespace());
        std::process::exit(clients::cli::run(args.map(Into::into)).into());
    }
}

fn example(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // With one thread, as on one CPU, the test's name would begin the first line.
    command
        .args(["--exact", "the_clients_themselves", "--nocapture", "--test-threads=2"])
        .env(ARGS, arguments.join(" "));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
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
    let arguments =
        ["--clients", "12", "--connections", "3", "--minimum", "2", "--requests", "100", "--uses", "10"];
    let output = example(&arguments).output().unwrap();
    let table = assert_done(&output, "1200 of 1200");
    let most: u32 = figure(&table, "most at the server").parse().unwrap();
    assert!((1..=3).contains(&most), "{table}");
    assert_eq!(figure(&table, "refused by the server"), "0");
    assert!(String::from_utf8(output.stderr).unwrap().contains("the server is up again"));
}

#[test]
fn a_time_ends_it_too() {
    let mut example = example(&["--clients", "4", "--connections", "2", "--duration", "1"]);
    assert!(example.output().unwrap().status.success());
}

#[test]
fn so_does_an_interrupt() {
    for (signal, says) in [(libc::SIGINT, "clients: interrupted"), (libc::SIGTERM, "clients: terminated")] {
        let mut child = example(&["--duration", "600"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(lines.next().as_deref(), Some("clients: 64 tasks share 8 connections"));
        // SAFETY: always callable; the process is not yet waited for, so it is still this one.
        let sent = unsafe { libc::kill(child.id().cast_signed(), signal) };
        assert_eq!(sent, 0);
        assert!(lines.any(|line| line == says), "not told: {says}");
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        figure(str::from_utf8(&output.stdout).unwrap(), "requests done");
    }
}

#[test]
fn nobody_listens_to_what_it_says() {
    let mut child = example(&["--clients", "4", "--duration", "1"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    drop((lines, child.stdout.take()));
    assert!(child.wait().unwrap().success());
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
        let output = example(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}

/// A server that keeps nothing. Killed when dropped, as by a crash.
struct Redis(Child);

impl Redis {
    /// One that is up. `Err`: it is not to be had.
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
        command.current_dir(std::env::temp_dir()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut redis = Self(command.spawn()?);
        redis.wait_until_up(port);
        Ok(redis)
    }

    fn wait_until_up(&mut self, port: u16) {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.0.try_wait().unwrap();
            if ended.is_some() || begin.elapsed() > PATIENCE {
                let _ = self.0.kill();
                let mut says = String::new();
                let _ = self.0.stdout.take().map(|mut out| out.read_to_string(&mut says));
                panic!("redis-server does not come up: {ended:?}\n{says}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Has the server die under the load, and come back when the load has noticed.
fn assert_survives(url: &str, die: impl FnOnce(), rise: impl FnOnce()) {
    let mut child = example(&["--url", url, "--clients", "16", "--requests", "1000"]).spawn().unwrap();
    let mut says = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(says.next().as_deref(), Some("clients: 16 tasks share 8 connections"));
    die();
    let noticed = says.find(|line| line.contains("could not connect"));
    rise();
    let stderr = says.collect::<Vec<_>>().join("\n").into_bytes();
    let output = Output { stderr, ..child.wait_with_output().unwrap() };
    assert_done(&output, "16000 of 16000");
    assert!(noticed.is_some(), "the load was over before the server was killed");
}

#[test]
fn all_is_done_although_a_redis_server_is_killed() {
    let port = free_port();
    let Ok(redis) = Redis::start(port) else { return skipped("there is no redis-server") };
    let mut again = None;
    assert_survives(
        &format!("redis://127.0.0.1:{port}/1"),
        || drop(redis),
        || again = Some(Redis::start(port).unwrap()),
    );
}

#[test]
fn what_a_redis_server_refuses_is_told_as_such() {
    let port = free_port();
    let Ok(_redis) = Redis::start(port) else { return skipped("there is no redis-server") };
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.write_all(b"CONFIG SET requirepass secret\r\n").unwrap();
    let mut answer = [0; 5];
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n");
    let output = example(&["--url", &format!("redis://127.0.0.1:{port}")]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let refusal = "cannot use the server: refused by the server: NOAUTH Authentication required.\n";
    assert!(error.ends_with(refusal), "{error}");
}

/// A database server in a folder of its own.
struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
}

impl Postgres {
    /// `Err`: why there is none.
    fn init() -> Result<Self, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Where Debian has them.
        let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut folders = std::env::split_paths(&path).chain(debian.map(|entry| entry.path().join("bin")));
        let programs = folders.find(|folder| folder.join("initdb").exists()).ok_or("there is no initdb")?;
        let folder = std::env::temp_dir().join(format!("pool-clients-{}", std::process::id()));
        let postgres = Self { programs, folder };
        let mut command = Command::new(postgres.programs.join("initdb"));
        command.args(["--auth=trust", "--username=pool", "--no-sync", "-D"]).arg(&postgres.folder);
        let output = command.output().map_err(|error| error.to_string())?;
        // It refuses to run as root, for one.
        let why = || String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
        if output.status.success() { Ok(postgres) } else { Err(why()) }
    }

    fn control(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new(self.programs.join("pg_ctl"));
        command.arg("-D").arg(&self.folder).arg("-w").arg("-l").arg(self.folder.join("log")).args(arguments);
        // The server inherits them.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    fn start(&self, port: u16) {
        let options = format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=");
        if !self.control(&["-o", &options, "start"]) {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            panic!("PostgreSQL does not start:\n{log}");
        }
    }

    fn die(&self) -> bool {
        self.control(&["-m", "immediate", "stop"])
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.die();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn all_is_done_although_a_postgresql_server_is_killed() {
    let port = free_port();
    let postgres = match Postgres::init() {
        Ok(postgres) => postgres,
        Err(why) => return skipped(&why),
    };
    postgres.start(port);
    let url = format!("postgres://pool@127.0.0.1:{port}/postgres");
    assert_survives(&url, || assert!(postgres.die()), || postgres.start(port));
}
