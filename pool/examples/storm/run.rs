//! One protocol's run: a fresh arena, a pool of argument blocks over it, two other
//! clients that keep it fragmented, and the launchers.
//!
//! All protocols run in the same world, and with the same pool: what differs is the
//! back-end, that is, how a getter asks the arena. The two that are known to be wrong
//! are the loom models' known-bad twins.

use std::alloc::Layout;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use kva::{Arena, Region, Reserve};
use loom_tests::historical::{FreeThenWake, SleepsUnreachably};
use pool::{ArenaPages, Backend, Classic, RawPool};

use super::cli::Protocol;
use super::clients::Clients;
use super::launchers::{Work, launch_all};
use super::progress::Progress;
use super::report::{Memory, Quantile, Row, WaitUs, rate};

/// An argument block, in bytes: what NetBSD's exec takes for one.
pub(crate) const ITEM: usize = 256 * 1024;
const QUANTUM: usize = 4096;
/// What the other clients share, in items: room enough, but no run of an item's length.
const OTHERS: usize = 4;

/// Runs `protocol` on all of the work, with `parallel` launchers.
pub(crate) fn run(protocol: Protocol, work: &Work<'_>, parallel: usize) -> Result<Row> {
    let parallel = u32::try_from(parallel).context("too many launchers")?;
    // Half as many pages as launchers, so that launchers wait; the limit would allow a
    // page for each, so that they wait for the arena.
    let pages = parallel.div_ceil(2);
    let bytes = (pages as usize + OTHERS) * ITEM;
    let region = Region::reserve(bytes, Reserve::new())?;
    let arena = Arena::new(region, QUANTUM)?;
    match protocol {
        Protocol::Sleep => {
            let closer = arena.clone();
            let free = |arena: &Arena, span| arena.free(span).expect("a span that is taken");
            storm(
                protocol,
                work,
                pages,
                parallel,
                &arena,
                SleepsUnreachably(arena.clone()),
                free,
                move || {
                    closer.close();
                },
            )
        }
        Protocol::Release => {
            let allocator = FreeThenWake::new(arena.clone());
            let (closer, freer) = (allocator.clone(), allocator.clone());
            let free = move |_: &Arena, span| freer.free_span(span);
            storm(protocol, work, pages, parallel, &arena, Classic::new(allocator), free, move || {
                closer.close();
            })
        }
        Protocol::Claim => {
            let closer = arena.clone();
            let free = |arena: &Arena, span| arena.free(span).expect("a span that is taken");
            let backend = Classic::new(ArenaPages(arena.clone()));
            storm(protocol, work, pages, parallel, &arena, backend, free, move || closer.close())
        }
        Protocol::Choose => {
            let free = |arena: &Arena, span| arena.free(span).expect("a span that is taken");
            storm(protocol, work, pages, parallel, &arena, arena.clone(), free, || {})
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "called by `run` only, which says what each is")]
fn storm<B: Backend>(
    protocol: Protocol,
    work: &Work<'_>,
    pages: u32,
    parallel: u32,
    arena: &Arena,
    backend: B,
    free: impl Fn(&Arena, kva::Span) + Clone + Send + 'static,
    close_backend: impl Fn() + Sync,
) -> Result<Row>
where
    B::Error: std::fmt::Display,
{
    let block = Layout::from_size_align(ITEM, align_of::<*const u8>())?;
    let pool = RawPool::builder(block, parallel).low_water(pages).build(backend)?;
    let primed = pool.prime(pages).ok();
    anyhow::ensure!(primed == Some(pages), "the arena had no room for {pages} argument blocks at the start");
    let asked = work.launches.len() as u64;
    let progress = Progress::start(protocol.name(), asked);
    let clients = Clients::start(arena, free)?;
    let close = || {
        pool.close();
        close_backend();
    };
    let outcome = launch_all(work, &pool, arena, parallel as usize, close, &progress)?;
    let stats = pool.stats();
    clients.stop();
    let mut waits = Histogram::<u64>::new(3)?;
    for wait in &outcome.waits {
        waits.add(wait)?;
    }
    Ok(Row {
        protocol: protocol.name().to_owned(),
        asked,
        done: outcome.done,
        stuck: outcome.stuck.len() as u64,
        stolen: stats.stolen,
        below_low_water: u64::from(pages.saturating_sub(outcome.pages_at_end)),
        launches_per_s: rate(outcome.done, outcome.elapsed),
        wait_us: WaitUs::from_histogram(&waits),
        failed: outcome.failed,
        stuck_in: outcome.stuck.iter().map(|stuck| stuck.state.clone()).collect(),
        stuck_at: outcome.stuck,
        elapsed_s: outcome.elapsed.as_secs_f64(),
        launchers: parallel.into(),
        wait_quantiles: Quantile::all_of(&waits),
        memory: Memory::of(&outcome.samples, stats.item_size as u64),
        item_bytes: stats.item_size as u64,
        quantum_bytes: arena.quantum() as u64,
        arena_quanta: arena.quanta().into(),
        samples: outcome.samples,
    })
}
