//! One run: a server, a pool of connections to it, the load, and the trouble in the middle.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kva::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kva::sync::{Arc, Mutex};
use pool::{AsyncFactory, Pool};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::cli::Cli;
use super::client::Target;
use super::load::{Connections, Failure, Load};
use super::report;
use super::server::Server;

/// How many connections may be opened at once: a server that comes back is not run over.
const OPENING: u32 = 4;
/// How long the example's own server is down.
const DOWN: Duration = Duration::from_secs(1);
const BETWEEN_REDRAWS: Duration = Duration::from_millis(100);

pub(crate) async fn run(cli: &Cli) -> Result<()> {
    let limit = cli.connections.get();
    let mut server = match &cli.url {
        Some(_) => None,
        None => Some(Server::start(limit as usize).context("cannot start a server")?),
    };
    let url = cli.url.clone().or_else(|| server.as_ref().map(Server::url)).expect("of one or the other");
    let target = Target::parse(&url)?;
    let created = Arc::new(AtomicU64::new(0));
    let load = Arc::new(Load {
        pool: connections(cli, target, created.clone())?,
        requests: cli.duration.is_none().then_some(cli.requests.get().into()),
        tasks: cli.clients.get().into(),
        timeout: Duration::from_millis(cli.timeout.get().into()),
        uses: cli.uses.map_or(u32::MAX, NonZeroU32::get),
        stop: CancellationToken::new(),
        bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
        done: AtomicU64::new(0),
        half: Notify::new(),
        errors: Mutex::default(),
    });
    try_out(&load.pool, cli.minimum.max(1) as usize).await.context("cannot use the server")?;
    // Before anybody can know that there is load, and interrupt it.
    let interrupted = interrupted()?;
    load.say(&format!("{} tasks share {limit} connections", cli.clients));

    let start = Instant::now();
    let duration = cli.duration.map(|seconds| Duration::from_secs(seconds.get().into()));
    let breaks = async {
        let Some(server) = &mut server else { return Ok(()) };
        match duration {
            Some(duration) => sleep(duration / 2).await,
            None => load.half.notified().await,
        }
        load.say("the server is killed");
        server.restart_after(DOWN).await.context("cannot restart the server")?;
        load.say("the server is up again");
        Ok(())
    };
    let breaks = async { load.stop.run_until_cancelled(breaks).await.unwrap_or(Ok(())) };
    tokio::select! {
        ended = async { tokio::try_join!(load.run(), breaks) } => drop(ended?),
        never = stops(&load, duration, interrupted) => match never {},
        () = draws(&load) => {}
    }
    let elapsed = start.elapsed();
    load.bar.finish_and_clear();

    let stats = load.pool.stats();
    load.pool.drain();
    let census = server.as_ref().map(|server| server.census.lock());
    report::print(report::table(&load, elapsed, created.load(Relaxed), &stats, census.as_deref()))?;
    if let Some(census) = census {
        ensure!(census.most <= limit as usize, "the server saw more connections at once than {limit}");
    }
    Ok(())
}

fn connections(cli: &Cli, target: Target, created: Arc<AtomicU64>) -> Result<Connections> {
    let connect = move || {
        let (target, created) = (target.clone(), created.clone());
        async move {
            let client = target.connect().await?;
            created.fetch_add(1, Relaxed);
            Ok(client)
        }
    };
    let limit = cli.connections.get();
    Pool::from_factory(limit, AsyncFactory::new(connect))
        .validate_async(|client| Box::pin(async { client.ping().await.is_ok() }))
        .low_water(cli.minimum)
        .high_water(cli.idle.unwrap_or(limit))
        .max_growing(OPENING.min(limit))
        .build()
        .context("cannot make the pool")
}

/// Opens the first connections, and makes a request, before there is load: if that fails,
/// trying again is no use.
async fn try_out(pool: &Connections, minimum: usize) -> Result<(), Failure> {
    let mut first = pool.request().reserve_async(minimum).await?;
    let mut connection = first.get().expect("at least one is reserved");
    Ok(connection.request("pool-clients", "hello").await?)
}

/// Waits for Ctrl-C or SIGTERM. One that comes before it is polled is not missed.
fn interrupted() -> Result<impl Future<Output = &'static str>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "interrupted",
            _ = terminate.recv() => "terminated",
        }
    })
}

/// Has the load stop when its time is up or somebody interrupts it. The load then ends by itself.
async fn stops(
    load: &Load,
    duration: Option<Duration>,
    interrupted: impl Future<Output = &'static str>,
) -> Infallible {
    let time = async {
        match duration {
            Some(duration) => sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time => {}
        which = interrupted => load.say(which),
    }
    load.stop.cancel();
    std::future::pending().await
}

async fn draws(load: &Load) {
    let template = match load.total() {
        Some(_) => "[{wide_bar}] {pos}/{len}  {elapsed}  {msg}",
        None => "{spinner} {pos} requests  {elapsed}  {msg}",
    };
    load.bar
        .set_style(ProgressStyle::with_template(template).expect("a good template").progress_chars("=> "));
    load.bar.set_length(load.total().unwrap_or(0));
    let mut ticks = interval(BETWEEN_REDRAWS);
    loop {
        ticks.tick().await;
        let stats = load.pool.stats();
        load.bar.set_message(format!("{} connections, {} waiting", stats.live, stats.waiting));
        load.bar.set_position(load.done.load(Relaxed));
    }
}
