//! One protocol's run: a fresh arena, a pool of argument blocks over it, two other
//! clients that keep it fragmented, and the launchers.
//!
//! All protocols run in the same world, with the same memory for blocks at the start. What
//! differs is how a getter asks the arena, that is, the back-end; or that it need not, since
//! all is there from the beginning; or that it asks for no more than a quantum. The two
//! that are known to be wrong are the loom models' known-bad twins.

use std::alloc::Layout;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use kva::{Arena, Region, Reserve, Span};
use loom_tests::historical::{FreeThenWake, SleepsUnreachably};
use pool::{ArenaPages, Backend, Classic, RawPool};

use super::blocks::{Blocks, InPieces};
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

/// Where a protocol runs.
struct World<'a> {
    protocol: Protocol,
    work: &'a Work<'a>,
    launchers: u32,
    /// Blocks that there is memory for at the start: half as many as launchers, so that
    /// launchers wait. The limit would allow one for each, so that they wait for the arena.
    blocks: u32,
    arena: Arena,
}

/// Runs `protocol` on all of the work, with `parallel` launchers.
pub(crate) fn run(protocol: Protocol, work: &Work<'_>, parallel: usize) -> Result<Row> {
    let launchers = u32::try_from(parallel).context("too many launchers")?;
    let blocks = launchers.div_ceil(2);
    let bytes = (blocks as usize + OTHERS) * ITEM;
    let arena = Arena::new(Region::reserve(bytes, Reserve::new())?, QUANTUM)?;
    let world = World { protocol, work, launchers, blocks, arena: arena.clone() };
    let free = |arena: &Arena, span| arena.free(span).expect("a span that is taken");
    match protocol {
        Protocol::Sleep => {
            let pool = world.pool(SleepsUnreachably(arena.clone()))?;
            world.storm(&pool, free, || arena.close())
        }
        Protocol::Release => {
            let allocator = FreeThenWake::new(arena);
            let freer = allocator.clone();
            let pool = world.pool(Classic::new(allocator.clone()))?;
            world.storm(&pool, move |_: &Arena, span| freer.free_span(span), || allocator.close())
        }
        Protocol::Claim => {
            let pool = world.pool(Classic::new(ArenaPages(arena.clone())))?;
            world.storm(&pool, free, || arena.close())
        }
        Protocol::Choose => world.storm(&world.pool(arena)?, free, || {}),
        Protocol::Prime => {
            let pool = RawPool::builder(block()?, blocks).build_primed(arena);
            world.storm(&pool.context("priming argument blocks")?, free, || {})
        }
        Protocol::Pieces => {
            // One block's memory is the item that the others are copied out to.
            let of_a_block = (ITEM / QUANTUM) as u32;
            let piece = Layout::from_size_align(QUANTUM, 1)?;
            let (low, limit) = ((blocks - 1).max(1) * of_a_block, launchers * of_a_block);
            let pieces = RawPool::builder(piece, limit).low_water(low).build(arena.clone())?;
            let items = RawPool::builder(block()?, 1).build_primed(arena).context("priming the item")?;
            primed(&pieces, low)?;
            world.storm(&InPieces { pieces, items }, free, || {})
        }
    }
}

fn block() -> Result<Layout> {
    Ok(Layout::from_size_align(ITEM, align_of::<*const u8>())?)
}

fn primed<B: Backend>(pool: &RawPool<B>, pages: u32) -> Result<()> {
    let held = pool.prime(pages).ok();
    anyhow::ensure!(held == Some(pages), "the arena had no room for argument blocks at the start");
    Ok(())
}

impl World<'_> {
    /// A pool of blocks that asks `backend`.
    fn pool<B: Backend>(&self, backend: B) -> Result<RawPool<B>> {
        let pool = RawPool::builder(block()?, self.launchers).low_water(self.blocks).build(backend)?;
        primed(&pool, self.blocks)?;
        Ok(pool)
    }

    /// Has the work done, beside other clients, who free by `free`. `close_backend` ends waits that
    /// closing the pool does not.
    fn storm(
        &self,
        blocks: &impl Blocks,
        free: impl Fn(&Arena, Span) + Clone + Send + 'static,
        close_backend: impl Fn() + Sync,
    ) -> Result<Row> {
        let Self { protocol, work, launchers, ref arena, .. } = *self;
        let low_water = blocks.stats().low_water;
        let asked = work.launches.len() as u64;
        let progress = Progress::start(protocol.name(), asked);
        let clients = Clients::start(arena, free)?;
        let close = || {
            blocks.close();
            close_backend();
        };
        let outcome = launch_all(work, blocks, arena, launchers as usize, close, &progress)?;
        let stats = blocks.stats();
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
            below_low_water: u64::from(low_water.saturating_sub(outcome.pages_at_end)),
            launches_per_s: rate(outcome.done, outcome.elapsed),
            wait_us: WaitUs::from_histogram(&waits),
            failed: outcome.failed,
            stuck_in: outcome.stuck.iter().map(|stuck| stuck.state.clone()).collect(),
            stuck_at: outcome.stuck,
            elapsed_s: outcome.elapsed.as_secs_f64(),
            launchers: launchers.into(),
            wait_quantiles: Quantile::all_of(&waits),
            memory: Memory::of(&outcome.samples, stats.item_size as u64),
            item_bytes: stats.item_size as u64,
            quantum_bytes: arena.quantum() as u64,
            arena_quanta: arena.quanta().into(),
            samples: outcome.samples,
        })
    }
}
