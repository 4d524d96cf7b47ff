//! The command line.

use std::ffi::OsString;
use std::num::NonZeroU32;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Runtime;

use super::report::complain;

/// Put load on a server through a pool of connections, and see how the pool does.
///
/// Many tasks share few connections. Each request gets a connection from the pool, which asks
/// whether it is good still, sends something over it, checks what comes back and puts the
/// connection back. A connection that broke is discarded, and its request is done again.
///
/// Without --url the server is one of the example's own, which speaks a little of Redis's
/// protocol, refuses more connections than --connections, and in the middle of the run is
/// killed and started again. Interrupt it (Ctrl-C, SIGTERM) to have the table early.
#[derive(Debug, Parser)]
#[expect(clippy::doc_markdown, reason = "a help text is no Markdown")]
#[command(name = "clients", version)]
pub(crate) struct Cli {
    /// The server: redis://host:port[/db] or postgres://user:pass@host[:port]/db.
    ///
    /// In Redis, a key is written for each task, which expires after a minute; in PostgreSQL, nothing.
    /// While the server cannot be reached, the tasks go on trying.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// Tasks that send requests.
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) clients: NonZeroU32,

    /// The most connections there ever are, those that are being opened included.
    #[arg(long, value_name = "N", default_value = "8")]
    pub(crate) connections: NonZeroU32,

    /// Connections to open at the start, and never to give up because they are idle.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) minimum: u32,

    /// The most connections to keep when they are idle [default: as --connections].
    #[arg(long, value_name = "N")]
    pub(crate) idle: Option<u32>,

    /// Close a connection after so many requests [default: never].
    #[arg(long, value_name = "N")]
    pub(crate) uses: Option<NonZeroU32>,

    /// Requests for each task.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) requests: NonZeroU32,

    /// Stop after so many seconds, instead of after a number of requests.
    #[arg(long, value_name = "S", conflicts_with = "requests")]
    pub(crate) duration: Option<NonZeroU32>,

    /// How long a task waits for a connection before it counts an error, in milliseconds.
    #[arg(long, value_name = "MS", default_value = "1000")]
    pub(crate) timeout: NonZeroU32,
}

/// Does what the arguments say; gives the exit code.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = Cli::parse_from(args);
    let tokio = Runtime::new().context("cannot start tokio");
    match tokio.and_then(|tokio| tokio.block_on(super::run::run(&cli))) {
        Ok(()) => 0,
        Err(error) => {
            complain(format_args!("{error:#}"));
            1
        }
    }
}
