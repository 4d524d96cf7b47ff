//! The example `proxy`, as a process of its own: it is this file, started again. So it is never
//! an older build, and needs none.

#![cfg(not(loom))]

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

#[path = "../examples/proxy/main.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod proxy;

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const ARGS: &str = "POOL_TEST_PROXY_ARGS";

/// No test, but the process that tests start.
#[test]
fn the_proxy_itself() {
    if let Ok(args) = std::env::var(ARGS) {
        let args = std::iter::once("proxy").chain(args.split_whitespace());
        std::process::exit(proxy::cli::run(args.map(Into::into)).into());
    }
}

/// A proxy that runs.
struct Proxy {
    process: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

/// How a proxy ended, and all that it said since it was last listened to.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Proxy {
    fn start(args: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            // With one thread, as on one CPU, the test's name would begin the first line.
            .args(["--exact", "the_proxy_itself", "--nocapture", "--test-threads=2"])
            .env(ARGS, args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let err = BufReader::new(process.stderr.take().unwrap());
        Self { process, out, err }
    }

    /// One that forwards to `upstream`, and where it listens.
    fn to(upstream: SocketAddr, args: &str) -> (Self, SocketAddr) {
        let mut proxy = Self::start(&format!("--to {upstream} {args}"));
        let line = until(&mut proxy.out, "listening on ");
        let address = line.split([' ', ',']).nth(2).unwrap().parse().unwrap();
        (proxy, address)
    }

    fn interrupt(&self) {
        // SAFETY: always callable; the process is not yet waited for, so it is still this one.
        let sent = unsafe { libc::kill(self.process.id().cast_signed(), libc::SIGINT) };
        assert_eq!(sent, 0);
    }

    /// Waits until it has ended.
    fn ended(mut self) -> Ended {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.err.read_to_string(&mut err).unwrap();
        Ended { code: self.process.wait().unwrap().code(), out, err }
    }

    /// Interrupts it, and checks what it says at the end.
    fn ends_well(self, bytes_each_way: impl Into<Option<u64>>, connections: &str) {
        self.interrupt();
        let Ended { code, out, err } = self.ended();
        assert_eq!(code, Some(0), "{out}{err}");
        if let Some(bytes) = bytes_each_way.into() {
            // Two spaces: it is not to be taken for a number of KiB.
            assert_eq!(out.matches(&format!(" {bytes}  ")).count(), 2, "{out}{err}");
        }
        assert!(out.contains(&format!("connections: {connections}")), "{out}{err}");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Of a test that failed; one that has ended cannot be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads until a line that begins so.
fn until(from: &mut impl BufRead, begin: &str) -> String {
    for line in from.lines().map(Result::unwrap) {
        if line.starts_with(begin) {
            return line;
        }
    }
    panic!("no line begins with {begin:?}");
}

/// For connections of which the kernel keeps little.
async fn listen(address: SocketAddr) -> TcpListener {
    let listener = TcpListener::bind(address).await.unwrap();
    SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    SockRef::from(&listener).set_send_buffer_size(4096).unwrap();
    listener
}

/// An upstream that echoes. It does not read while it cannot write, and the kernel keeps little for
/// it. Dropping it closes its door; the connections that it has go on.
struct Echo {
    address: SocketAddr,
    accepting: JoinHandle<()>,
    connections: mpsc::UnboundedReceiver<AbortHandle>,
}

impl Echo {
    async fn new() -> Self {
        Self::at(ANYWHERE).await
    }

    async fn at(address: SocketAddr) -> Self {
        let listener = listen(address).await;
        let address = listener.local_addr().unwrap();
        let (opened, connections) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let echo = tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    if tokio::io::copy(&mut from, &mut to).await.is_ok() {
                        let _ = to.shutdown().await;
                    }
                });
                let _ = opened.send(echo.abort_handle());
            }
        });
        Self { address, accepting, connections }
    }

    /// The oldest connection that was not asked for yet.
    async fn connection(&mut self) -> AbortHandle {
        self.connections.recv().await.unwrap()
    }

    async fn close(self) {
        self.accepting.abort();
        assert!(self.accepting.await.unwrap_err().is_cancelled());
    }
}

/// Sends a word and waits until it comes back.
async fn round_trip(stream: &mut TcpStream) {
    stream.write_all(b"hello").await.unwrap();
    let mut word = [0; 5];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"hello");
}

/// Reads to the end, be it an error.
async fn until_gone(stream: &mut (impl AsyncRead + Unpin)) {
    let mut chunk = [0; 4096];
    while stream.read(&mut chunk).await.is_ok_and(|bytes| bytes > 0) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn all_bytes_come_back_through_fewer_buffers_than_connections() {
    const CLIENTS: u8 = 16;
    const EACH: usize = 2 << 20;
    let echo = Echo::new().await;
    let (proxy, address) = Proxy::to(echo.address, "--buffers 4 --buffer-size 5000 --send-buffer 4096");
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(async move {
            let sent: Vec<u8> = (0..EACH).map(|at| (at / 7) as u8 ^ number).collect();
            let mut received = Vec::new();
            let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
            let send = async {
                to.write_all(&sent).await.unwrap();
                to.shutdown().await.unwrap();
            };
            let _ = tokio::join!(send, from.read_to_end(&mut received));
            assert!(sent == received, "client {number} had {} bytes back", received.len());
        });
    }
    clients.join_all().await;
    proxy.ends_well(u64::from(CLIENTS) * EACH as u64, "16, of which 0 failed and 0 were cut");
}

/// With one pool for both directions, requests that nobody reads yet would hold all buffers, and no
/// answer could be taken.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_reads_only_after_its_answer_was_taken() {
    const CLIENTS: usize = 4;
    const EACH: usize = 1 << 20;
    let upstream = listen(ANYWHERE).await;
    let to = upstream.local_addr().unwrap();
    let (proxy, address) = Proxy::to(to, "--buffers 2 --send-buffer 4096 --stall-timeout 60");
    let mut all = JoinSet::new();
    drop(upstream.accept().await.unwrap()); // the trial at the start
    for _ in 0..CLIENTS {
        let client = TcpStream::connect(address).await.unwrap();
        let (mut server, _) = upstream.accept().await.unwrap();
        all.spawn(async move {
            server.write_all(&vec![1; EACH]).await.unwrap();
            let mut request = Vec::new();
            server.read_to_end(&mut request).await.unwrap();
            assert!(request == vec![2; EACH]);
        });
        all.spawn(async move {
            let (mut from, mut to) = client.into_split();
            let send = async {
                to.write_all(&vec![2; EACH]).await.unwrap();
                to.shutdown().await.unwrap();
            };
            let mut answer = Vec::new();
            let (read, ()) = tokio::join!(from.read_to_end(&mut answer), send);
            read.unwrap();
            assert!(answer == vec![1; EACH]);
        });
    }
    all.join_all().await;
    proxy.ends_well((CLIENTS * EACH) as u64, "4, of which 0 failed and 0 were cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_hold_no_buffer() {
    let echo = Echo::new().await;
    let (proxy, address) = Proxy::to(echo.address, "--buffers 2");
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = TcpStream::connect(address).await.unwrap();
        round_trip(&mut client).await;
        clients.push(client);
    }
    for client in &mut clients {
        round_trip(client).await;
    }
    drop(clients);
    proxy.ends_well(20 * 10, "20, of which 0 failed and 0 were cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direction_that_ended_leaves_the_other() {
    let upstream = TcpListener::bind(ANYWHERE).await.unwrap();
    let (proxy, address) = Proxy::to(upstream.local_addr().unwrap(), "");
    drop(upstream.accept().await.unwrap()); // the trial at the start
    for client_first in [true, false] {
        let client = TcpStream::connect(address).await.unwrap();
        let (server, _) = upstream.accept().await.unwrap();
        let (mut first, mut last) = if client_first { (client, server) } else { (server, client) };
        let mut heard = String::new();
        first.write_all(b"question").await.unwrap();
        first.shutdown().await.unwrap();
        last.read_to_string(&mut heard).await.unwrap();
        last.write_all(b", answer").await.unwrap();
        last.shutdown().await.unwrap();
        first.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "question, answer");
    }
    proxy.ends_well(2 * 8, "2, of which 0 failed and 0 were cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_dies_and_comes_back() {
    let mut echo = Echo::new().await;
    let (proxy, address) = Proxy::to(echo.address, "--buffers 2");
    echo.connection().await; // the trial at the start
    let mut other = TcpStream::connect(address).await.unwrap();
    round_trip(&mut other).await;
    echo.connection().await;
    // In the middle of things: this one sends and receives without end.
    let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
    let busy = tokio::spawn(async move {
        let send = async { while to.write_all(&[7; 4096]).await.is_ok() {} };
        tokio::join!(send, until_gone(&mut from));
    });
    let dies = echo.connection().await;
    round_trip(&mut other).await;

    let at = echo.address;
    echo.close().await;
    dies.abort();
    busy.await.unwrap();
    // It may be gone before it knows that it was there.
    if let Ok(mut refused) = TcpStream::connect(address).await {
        until_gone(&mut refused).await;
    }
    round_trip(&mut other).await;

    let _echo = Echo::at(at).await;
    let mut new = TcpStream::connect(address).await.unwrap();
    round_trip(&mut new).await;
    round_trip(&mut other).await;
    drop((new, other));
    proxy.ends_well(None, "4, of which 2 failed and 0 were cut");
}

/// Whoever started it went away, and with them what read its output.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens_to_what_it_says() {
    let echo = Echo::new().await;
    let (mut proxy, address) = Proxy::to(echo.address, "");
    let (err, never) = std::io::pipe().unwrap();
    drop(never);
    // Its ends of the pipes have no other any more.
    proxy.err = BufReader::new(std::os::fd::OwnedFd::from(err).into());
    let (out, never) = std::io::pipe().unwrap();
    drop(never);
    proxy.out = BufReader::new(std::os::fd::OwnedFd::from(out).into());

    let at = echo.address;
    echo.close().await;
    if let Ok(mut refused) = TcpStream::connect(address).await {
        until_gone(&mut refused).await;
    }
    let _echo = Echo::at(at).await;
    for _ in 0..2 {
        round_trip(&mut TcpStream::connect(address).await.unwrap()).await;
    }
    proxy.interrupt();
    assert_eq!(proxy.ended().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_cut_and_its_buffer_serves_others() {
    let echo = Echo::new().await;
    let (proxy, address) = Proxy::to(echo.address, "--buffers 2 --send-buffer 4096 --stall-timeout 1");
    let mut stalls = TcpStream::connect(address).await.unwrap();
    SockRef::from(&stalls).set_recv_buffer_size(4096).unwrap();
    // Sends until it is cut, and never looks at what comes back.
    while stalls.write_all(&[7; 4096]).await.is_ok() {}
    let mut other = TcpStream::connect(address).await.unwrap();
    round_trip(&mut other).await;
    drop(other);
    proxy.interrupt();
    let Ended { code, out, err } = proxy.ended();
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("connections: 2, of which 1 failed and 0 were cut"), "{out}{err}");
    assert!(err.contains("stalled for 1s"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_are_served_than_allowed() {
    let echo = Echo::new().await;
    let (proxy, address) = Proxy::to(echo.address, "--connections 1");
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    // Each waits until the one before it has gone.
    for mut client in clients {
        round_trip(&mut client).await;
    }
    proxy.ends_well(3 * 5, "3, of which 0 failed and 0 were cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_lets_connections_end() {
    let echo = Echo::new().await;
    let (mut proxy, address) = Proxy::to(echo.address, "");
    let mut client = TcpStream::connect(address).await.unwrap();
    round_trip(&mut client).await;
    proxy.interrupt();
    until(&mut proxy.err, "proxy: stopping; open connections: 1");
    assert!(TcpStream::connect(address).await.is_err());
    round_trip(&mut client).await;
    drop(client);
    let Ended { code, out, err } = proxy.ended();
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("connections: 1, of which 0 failed and 0 were cut"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_cuts_them() {
    let echo = Echo::new().await;
    let (mut proxy, address) = Proxy::to(echo.address, "");
    let mut client = TcpStream::connect(address).await.unwrap();
    round_trip(&mut client).await;
    proxy.interrupt();
    until(&mut proxy.err, "proxy: stopping; open connections: 1");
    proxy.ends_well(5, "1, of which 0 failed and 1 were cut");
    // Not as if all had been said.
    assert!(client.read(&mut [0]).await.is_err());
}

#[test]
fn the_demonstration_runs_without_arguments() {
    let Ended { code, out, err } = Proxy::start("").ended();
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("had every byte back"), "{out}{err}");
    assert!(out.contains("never more than 8 buffers"), "{out}{err}");
}

#[test]
fn an_interrupt_ends_the_demonstration_with_its_table() {
    let mut proxy = Proxy::start("");
    until(&mut proxy.out, "listening on ");
    proxy.interrupt();
    let Ended { code, out, err } = proxy.ended();
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("of which 0 failed"), "{out}{err}");
}

#[test]
fn arguments_that_are_wrong_are_told_of() {
    let nobody = "127.0.0.1:1"; // nobody listens on tcpmux
    let listening = std::net::TcpListener::bind(ANYWHERE).unwrap();
    let busy = listening.local_addr().unwrap();
    for (args, code, why) in [
        ("--buffers 0".to_owned(), 2, "'--buffers <N>': 0 is not in 2.."),
        ("--buffers 1".to_owned(), 2, "'--buffers <N>': 1 is not in 2.."),
        ("--stall-timeout 0".to_owned(), 2, "it must be more than 0"),
        ("--stall-timeout soon".to_owned(), 2, "invalid float literal"),
        ("--listen nonsense".to_owned(), 1, "cannot listen on nonsense: invalid socket address"),
        (format!("--listen {busy}"), 1, "Address already in use"),
        ("--to nonsense".to_owned(), 1, "cannot connect to the upstream nonsense: invalid socket address"),
        (format!("--to {nobody}"), 1, "cannot connect to the upstream 127.0.0.1:1: Connection refused"),
    ] {
        let ended = Proxy::start(&args).ended();
        assert_eq!(ended.code, Some(code), "{args}: {}", ended.err);
        assert!(ended.err.contains(why), "{args}: {}", ended.err);
    }
}
