//! Where a storm is played: a mapped arena of pages that is full, but for what the page daemon
//! keeps free, and fragmented.

use anyhow::{Context, Result, ensure};
use kva::sync::Arc;
use kva::{Arena, Client, Region, Reserve, Shape, Span};

use super::cache::Cache;
use super::cli::Cli;
use super::idea::Idea;
use super::memory::{PAGE, Random, TABLE_PAGES};
use super::processes::{Mover, Number, Processes};

/// Pages of a hundred that are wired: the kernel's own.
const WIRED: u32 = 6;
/// One in so many is to be free.
const FREE: u32 = 64;

/// The arena, and who has pages of it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) arena: Arena,
    pub(crate) cache: Arc<Cache>,
    pub(crate) processes: Arc<Processes>,
    /// The arena, for the processes.
    pub(crate) lent: Arena,
    /// Pages of processes that stay.
    resident: Vec<Number>,
    wired: Vec<Span>,
    /// Who is asked to move pages: as long as it is here.
    _mover: Arc<Mover>,
}

/// The least memory in which the storm of `cli` can be played, in pages: beside what stays there must
/// be room for all forks at once, and for what is to be free.
fn least(cli: &Cli) -> Result<u64> {
    let forks = u64::from(cli.processes.get()) * u64::from(TABLE_PAGES + super::storm::MOST_PAGES);
    let stays = u64::from(WIRED + cli.in_use);
    let free = u64::from(100_u32.div_ceil(FREE));
    let left = 100_u64.checked_sub(stays + free).filter(|&left| left > 0);
    let left = left.with_context(|| {
        format!(
            "{} % of memory in use leave nothing to forks: {WIRED} % are wired, {free} % free",
            cli.in_use
        )
    })?;
    Ok((forks * 100).div_ceil(left))
}

impl World {
    pub(crate) fn new(idea: Idea, cli: &Cli) -> Result<Self> {
        let bytes = u64::from(cli.memory.get()) << 20;
        let least = least(cli)? * PAGE as u64;
        ensure!(
            bytes >= least,
            "{} MiB of memory are too little for {} processes beside {} % in use: it takes {} MiB",
            cli.memory,
            cli.processes,
            cli.in_use,
            least.div_ceil(1 << 20)
        );
        let region = usize::try_from(bytes).context("more memory than there are addresses")?;
        let region = Region::reserve(region, Reserve::new()).context("reserving the memory")?;
        let arena = Arena::new(region, PAGE)?;
        let quanta = arena.quanta();
        let mut random = Random(cli.seed);

        let processes = Arc::new(Processes::default());
        let mover = Arc::new(Mover { arena: arena.clone(), processes: processes.clone() });
        let client = Client::new("processes");
        let client = if idea.moves() { client.relocate(Arc::downgrade(&mover) as _) } else { client };
        let lent = arena.client(client)?;
        let cache = arena.client(Client::new("page cache"))?;
        let cache = Cache::new(cache, idea.knows(), quanta / FREE, random.next().unwrap_or(0));

        // Each page is taken by itself, by lot, and then the cache's pages are given an age by lot.
        let page = Shape::new(1)?;
        let (mut wired, mut resident, mut cached) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..quanta {
            match random.below(100) {
                lot if lot < WIRED => {
                    let span = arena.try_alloc(page)?;
                    cache.wire(span);
                    wired.push(span);
                }
                lot if lot < WIRED + cli.in_use => {
                    resident.push(processes.add(&lent, lent.try_alloc(page)?));
                }
                _ => cached.push(cache.take()?),
            }
        }
        random.shuffle(&mut cached);
        for span in cached {
            cache.keep(span);
        }
        cache.free_some(0);
        let cache = Arc::new(cache);
        arena.register(&kva::GrowTable::new(0), Arc::downgrade(&cache) as _);
        Ok(Self { arena, cache, processes, lent, resident, wired, _mover: mover })
    }

    /// Pages that are free, and how many aligned runs of a table's length there are among them at
    /// the most.
    pub(crate) fn has_a_run(&self) -> bool {
        self.arena.stats().largest[TABLE_PAGES.ilog2() as usize] >= TABLE_PAGES
    }

    /// Frees all, having looked at it; how many pages were not as they should be.
    pub(crate) fn end(self) -> Result<u64> {
        use kva::sync::atomic::Ordering::Relaxed;
        for &number in &self.resident {
            self.processes.give(&self.lent, number);
        }
        self.cache.give_all();
        for &span in &self.wired {
            self.arena.free(span)?;
        }
        let stats = self.arena.stats();
        ensure!(stats.free == stats.quanta && stats.free_runs == 1, "the arena is not whole: {stats:?}");
        Ok(self.cache.damaged.load(Relaxed) + self.processes.damaged.load(Relaxed))
    }
}
