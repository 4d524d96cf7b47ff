//! A TCP proxy whose only buffers are a pool's: when they are out nobody reads, and TCP itself
//! pushes back on the senders.
//!
//! ```sh
//! cargo run --release --example proxy
//! cargo run --release --example proxy -- --listen 127.0.0.1:8080 --to example.org:80
//! ```
//!
//! A direction of a connection takes a buffer when there is something to read, and gives it back
//! when all of it is written. So idle connections hold none, however many there are.
//!
//! **Holding while waiting.** A buffer is held while its write blocks, so receivers that stall can
//! hold all of them, and those of the others wait. No order of service helps against that, so
//! there is a bound on it: a connection that has not taken a buffer's bytes within
//! `--stall-timeout` is cut, and the buffer comes back.
//!
//! **Two pools.** Each direction has buffers of its own, from one arena. With one pool for both, an
//! upstream that reads no more until its answer is taken would hang: requests that it does not
//! read could hold every buffer, and there would be none to take its answer with.
//!
//! What the kernel keeps in its socket buffers comes on top. `--send-buffer` bounds what it takes
//! off our hands; the demonstration sets it, or its buffers would never run out.

#[cfg(not(loom))]
mod buffer;
#[cfg(not(loom))]
pub(crate) mod cli;
#[cfg(not(loom))]
mod connection;
#[cfg(not(loom))]
mod demo;
#[cfg(not(loom))]
mod report;
#[cfg(not(loom))]
mod serve;

/// No sockets in loom's small worlds.
#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os()).into()
}
