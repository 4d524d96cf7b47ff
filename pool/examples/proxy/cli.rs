//! The command line, and what it asks for.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, value_parser};
use kva::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::buffer::{BUFFERS_MAX, SIZE_MAX};
use super::connection::{Limits, Proxy};
use super::serve::serve;
use super::{demo, report};

/// Forward TCP connections through a fixed number of buffers.
///
/// Without --to this is a demonstration: it starts an echo server, has clients of its own send
/// through the proxy, and compares every byte that comes back; Ctrl-C ends it early. With --to it
/// forwards until Ctrl-C or SIGTERM. Then it accepts no more, lets connections end for 5 seconds, and cuts the rest; a
/// second Ctrl-C cuts them at once.
///
/// Both print a table of what the buffers did. Connections that failed are told of on the standard
/// error, and end nothing but themselves.
#[derive(Debug, Parser)]
#[command(name = "proxy", version)]
pub(crate) struct Cli {
    /// Where to accept connections. Port 0 is any free port; the one it is gets printed.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: String,

    /// Where to forward them, a name or an address with a port. It must be up at the start, which
    /// is tried with one connection; later it may come and go.
    #[arg(long, value_name = "ADDR")]
    to: Option<String>,

    /// How many buffers there are. Half of them are for each direction.
    #[arg(long, value_name = "N", default_value = "8", value_parser = value_parser!(u32).range(2..=BUFFERS_MAX))]
    buffers: u32,

    /// How large a buffer is.
    #[arg(long, value_name = "BYTES", default_value = "16384", value_parser = value_parser!(u32).range(1..=SIZE_MAX))]
    buffer_size: u32,

    /// How many connections are served at a time. More wait, not yet accepted. A connection that is
    /// idle may stay as long as it likes, and counts.
    #[arg(long, value_name = "MAX", default_value = "1000", value_parser = value_parser!(u32).range(1..))]
    connections: u32,

    /// Cut a connection whose receiver does not take a buffer's bytes within S seconds, or whose
    /// upstream does not answer the call.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    stall_timeout: Duration,

    /// How much the kernel may hold for each receiver, on top of the buffers; it takes up to
    /// twice as much. [default: the kernel's choice, often some MiB; 16384 in the demonstration]
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u32).range(1..=SIZE_MAX))]
    send_buffer: Option<u32>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("it must be more than 0".to_owned()) } else { Ok(duration) }
}

/// Does what the arguments say; gives the exit code.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = Cli::parse_from(args);
    match Runtime::new().context("cannot start tokio").and_then(|tokio| tokio.block_on(proxy(&cli))) {
        Ok(()) => 0,
        Err(error) => {
            report::complain(format_args!("{error:#}"));
            1
        }
    }
}

async fn proxy(cli: &Cli) -> Result<()> {
    let listener = TcpListener::bind(&cli.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", cli.listen))?;
    let most = cli.connections as usize;
    let mut limits = Limits {
        buffers: cli.buffers,
        size: cli.buffer_size as usize,
        stall: cli.stall_timeout,
        send_buffer: cli.send_buffer,
    };
    // Before anybody can know that we listen, and send one.
    let mut interrupts = interrupts()?;
    let (proxy, tally) = if let Some(to) = &cli.to {
        let up = timeout(cli.stall_timeout, TcpStream::connect(to)).await;
        let up = up.map_err(anyhow::Error::from).and_then(|up| up.map_err(Into::into));
        drop(up.with_context(|| format!("cannot connect to the upstream {to}"))?);
        let proxy = Arc::new(Proxy::new(to.clone(), limits)?);
        let tally = serve(&proxy, listener, most, &mut interrupts).await;
        (proxy, tally)
    } else {
        // The kernel would take all that a client sends at once, and no buffer ever be waited for.
        limits.send_buffer.get_or_insert(16384);
        let proxy = Arc::new(Proxy::new(demo::echo().await?, limits)?);
        let tally = demo::run(&proxy, listener, most, &mut interrupts).await?;
        (proxy, tally)
    };
    report::print(report::table(&proxy, &tally))
}

/// Has a message for each Ctrl-C and each SIGTERM from now on.
fn interrupts() -> Result<mpsc::Receiver<()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let (stop, stopped) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(stopped)
}
