//! A demonstration: an echo server, and clients that compare what comes back.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use kva::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection::Proxy;
use super::report::announce;
use super::serve::{Tally, serve};

const CLIENTS: u64 = 200;
const BYTES: u64 = 1 << 20;

/// Starts the server; gives its address.
pub(crate) async fn echo() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot start an echo server")?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                // If it fails, the client is told by what it misses.
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    Ok(address.to_string())
}

/// Has all clients served by the proxy, unless it is interrupted.
pub(crate) async fn run(
    proxy: &Arc<Proxy>,
    listener: TcpListener,
    most: usize,
    interrupts: &mut mpsc::Receiver<()>,
) -> Result<Tally> {
    let address = listener.local_addr()?;
    let (stop, mut stopped) = mpsc::channel(1);
    let serving = tokio::spawn({
        let proxy = proxy.clone();
        async move { serve(&proxy, listener, most, &mut stopped).await }
    });
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients
            .spawn(async move { client(address, number).await.with_context(|| format!("client {number}")) });
    }
    let all = async {
        while let Some(client) = clients.join_next().await {
            client??;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        all = all => {
            all?;
            stop.send(()).await?;
            announce(format_args!(
                "{CLIENTS} clients sent {BYTES} bytes each to an echo server, and had every byte back."
            ));
        }
        _ = interrupts.recv() => {
            stop.send(()).await?;
            // At once: the clients would go on for long. It may have ended by the first already.
            let _ = stop.send(()).await;
        }
    }
    Ok(serving.await?)
}

/// Sends and receives at the same time, and compares.
async fn client(proxy: SocketAddr, number: u64) -> Result<()> {
    let mut stream = TcpStream::connect(proxy).await?;
    let (mut from, mut to) = stream.split();
    let send = async {
        let mut chunk = [0; 4096];
        for start in (0..BYTES).step_by(chunk.len()) {
            fill(&mut chunk, number, start);
            to.write_all(&chunk).await?;
        }
        to.shutdown().await.context("cannot end")
    };
    let receive = async {
        let (mut chunk, mut expected) = ([0; 4096], [0; 4096]);
        for start in (0..BYTES).step_by(chunk.len()) {
            from.read_exact(&mut chunk).await.context("not all came back")?;
            fill(&mut expected, number, start);
            ensure!(chunk == expected, "other bytes came back than were sent at {start}");
        }
        ensure!(from.read(&mut chunk).await? == 0, "more came back than was sent");
        Ok(())
    };
    tokio::try_join!(send, receive)?;
    Ok(())
}

/// Bytes that differ from client to client and from place to place.
fn fill(chunk: &mut [u8], number: u64, start: u64) {
    for (at, byte) in (start..).zip(chunk) {
        *byte = ((at ^ number << 20).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    }
}
