//! Accepting connections, and ending.

use std::time::Duration;

use anyhow::Context;
use kva::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use super::connection::Proxy;
use super::report::{announce, complain};

/// How long connections have to end once the proxy is to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How long no connection is accepted after one could not be. The cause, no more file
/// descriptors above all, does not go away by trying at once.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of connections.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) failed: u64,
    /// Still there when the proxy ended.
    pub(crate) cut: u64,
}

impl Tally {
    fn count(&mut self, ended: Result<anyhow::Result<()>, JoinError>) {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.failed += 1;
                complain(format_args!("{error:#}"));
            }
            Err(error) if error.is_cancelled() => self.cut += 1,
            // tokio has caught it, and the panic hook has told of it.
            Err(_panic) => self.failed += 1,
        }
    }
}

/// Serves at most so many connections at a time, until it is told to stop, and a second time to
/// stop at once.
pub(crate) async fn serve(
    proxy: &Arc<Proxy>,
    listener: TcpListener,
    most: usize,
    stop: &mut mpsc::Receiver<()>,
) -> Tally {
    if let Ok(address) = listener.local_addr() {
        announce(format_args!("listening on {address}, forwarding to {}", proxy.to));
    }
    let mut tally = Tally::default();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < most => match accepted {
                Ok((client, address)) => {
                    tally.accepted += 1;
                    let proxy = proxy.clone();
                    connections.spawn(async move {
                        proxy.forward(client).await.with_context(|| format!("connection of {address}"))
                    });
                }
                Err(error) => {
                    complain(format_args!("cannot accept: {error}"));
                    sleep(PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => tally.count(ended),
            _ = stop.recv() => break,
        }
    }
    drop(listener);
    if !connections.is_empty() {
        let open = connections.len();
        complain(format_args!(
            "stopping; open connections: {open}, cut in {GRACE:?}, or at once on another Ctrl-C"
        ));
        tokio::select! {
            () = async {
                while let Some(ended) = connections.join_next().await {
                    tally.count(ended);
                }
            } => {}
            _ = stop.recv() => {}
            () = sleep(GRACE) => {}
        }
        connections.abort_all();
        while let Some(ended) = connections.join_next().await {
            tally.count(ended);
        }
    }
    tally
}
