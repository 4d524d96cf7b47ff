//! One connection: two directions that end independently of each other.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use kva::sync::atomic::{AtomicU64, Ordering::Relaxed};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::buffer::{Buffers, arena};

/// What the proxy may use, and for how long.
#[derive(Debug)]
pub(crate) struct Limits {
    /// How many buffers, half of them for each direction.
    pub(crate) buffers: u32,
    /// How large a buffer is.
    pub(crate) size: usize,
    /// How long a receiver may take for a buffer's bytes, and the upstream to answer a call.
    pub(crate) stall: Duration,
    /// How much the kernel may hold for a receiver, if it is not for the kernel to say.
    pub(crate) send_buffer: Option<u32>,
}

/// What all connections share.
pub(crate) struct Proxy {
    pub(crate) to: String,
    pub(crate) limits: Limits,
    /// From the clients to the upstream.
    pub(crate) up: Direction,
    /// From the upstream to the clients.
    pub(crate) down: Direction,
}

/// One direction of all connections.
pub(crate) struct Direction {
    from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) buffers: Buffers,
    /// How much was passed on.
    pub(crate) bytes: AtomicU64,
}

/// One side of a connection. Unless both directions came to their end it is reset when it is
/// dropped, lest the peer take the part that it has for the whole.
struct Side {
    stream: TcpStream,
    complete: bool,
}

impl Side {
    fn new(stream: TcpStream, limits: &Limits) -> io::Result<Self> {
        let side = Self { stream, complete: false };
        // What was small when it was read is not to wait for more a second time.
        side.stream.set_nodelay(true)?;
        if let Some(bytes) = limits.send_buffer {
            SockRef::from(&side.stream).set_send_buffer_size(bytes as usize)?;
        }
        Ok(side)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if !self.complete {
            // An error means that there is no connection any more, so nothing to reset.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl Proxy {
    /// A proxy to there.
    pub(crate) fn new(to: String, limits: Limits) -> Result<Self> {
        let Limits { buffers, size, .. } = limits;
        let arena = arena(buffers, size)?;
        let direction = |from, to, number| {
            let buffers = Buffers::new(arena.clone(), to, number, size)?;
            Ok::<_, anyhow::Error>(Direction { from, to, buffers, bytes: AtomicU64::new(0) })
        };
        let up = direction("client", "upstream", buffers / 2)?;
        let down = direction("upstream", "client", buffers - buffers / 2)?;
        Ok(Self { to, limits, up, down })
    }

    /// Serves a client until both directions have ended. Dropping the future cuts it.
    pub(crate) async fn forward(&self, client: TcpStream) -> Result<()> {
        let stall = self.limits.stall;
        let mut client = Side::new(client, &self.limits)?;
        let upstream = timeout(stall, TcpStream::connect(&self.to)).await;
        let upstream =
            upstream.context("the upstream does not answer")?.context("cannot reach the upstream")?;
        let mut upstream = Side::new(upstream, &self.limits)?;
        let (from_client, to_client) = client.stream.split();
        let (from_upstream, to_upstream) = upstream.stream.split();
        tokio::try_join!(
            self.up.pass(from_client, to_upstream, stall),
            self.down.pass(from_upstream, to_client, stall),
        )?;
        client.complete = true;
        upstream.complete = true;
        Ok(())
    }
}

impl Direction {
    async fn pass(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, stall: Duration) -> Result<()> {
        let (sender, receiver) = (self.from, self.to);
        let cannot_read = || format!("cannot read from the {sender}");
        let cannot_write = || format!("cannot write to the {receiver}");
        // A peek waits without a buffer. `readable` would not do: tokio remembers that a socket
        // was readable until a read finds nothing, and whoever went by that would get in line for
        // a buffer to find nothing with.
        while from.peek(&mut [0]).await.with_context(cannot_read)? > 0 {
            let mut buffer = self.buffers.get().await?;
            let bytes = buffer.read(&mut from).await.with_context(cannot_read)?;
            // The whole write and not each step of it, so that a receiver that takes a byte now
            // and then holds a buffer no longer than one that takes none.
            let written = timeout(stall, to.write_all(bytes)).await;
            let written = written.with_context(|| format!("the {receiver} stalled for {stall:?}"))?;
            written.with_context(cannot_write)?;
            self.bytes.fetch_add(bytes.len() as u64, Relaxed);
        }
        // The end is passed on, and the other direction goes on.
        match to.shutdown().await {
            // It has ended altogether already, which is what it would be told.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            ended => ended.with_context(cannot_write),
        }
    }
}
