//! The world: arenas that are short of memory, and pools of each kind over them.
//!
//! The pools may hold about 200 quanta together, of the 96 that there are: so they take pages from each
//! other, wait for windows, and get their idle ones taken away. No thread waits while it holds
//! something, and nothing that is kept for long is more than a few quanta; so whoever waits is served at
//! some time, whatever the draw.

use std::alloc::Layout;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result};
use kva::sync::atomic::AtomicBool;
use kva::sync::{Arc, Mutex};
use kva::{Arena, Client, Decommit, Frames, Page, Region, Reserve};
use pool::{ArenaPages, AsyncFactory, Classic, Factory, Growers, Pool, RawPool};
use tokio::runtime::Handle;

use super::chance::Chance;
use super::numbers::Numbers;
use super::object::{Maker, NotNow, Object};
use super::parcel::Parcels;
use super::stamp::Census;
use super::watched::Watched;

pub(crate) const QUANTUM: usize = 4096;
const QUANTA: usize = 64;
const MORE: usize = 32;
/// Regions of memory.
pub(crate) const REGIONS: u32 = 2;
/// The longest span of memory that is asked for.
pub(crate) const LONGEST: u32 = 8;
/// The highest limit of the pool whose limit is changed.
pub(crate) const RESIZED: u32 = 10;
const FRAMES: u32 = 48;

pub(crate) type FilesPool = Pool<Object, Factory<Object, NotNow>>;
pub(crate) type SessionsPool = Pool<Object, Growers<Object, NotNow>>;
pub(crate) type AsyncPool = Pool<Object, AsyncFactory<Object, NotNow>>;

/// What an async factory makes.
type Creation = Pin<Box<dyn Future<Output = Result<Object, NotNow>> + Send>>;

pub(crate) struct World {
    pub(crate) chance: Arc<Chance>,
    pub(crate) maker: Maker,
    pub(crate) memory: Arena,
    /// A client of the memory, with a quota.
    pub(crate) quota: Arena,
    /// One page, whose pool keeps it.
    pub(crate) scarce: Arena,
    pub(crate) numbers: Numbers,
    pub(crate) frames: Frames,
    /// Pages that are kept, so that runs are in the way of something.
    pub(crate) shelf: Mutex<Vec<(Page, u8)>>,
    /// Items in caches, several a page.
    pub(crate) small: RawPool,
    /// Pages of one item, strictly first-in first-out.
    pub(crate) pages: RawPool,
    /// With a reserve.
    pub(crate) root: RawPool,
    pub(crate) pieces: RawPool,
    /// Sleeps in its back-end.
    pub(crate) classic: RawPool<Classic<ArenaPages>>,
    /// The same, of all that `scarce` has.
    pub(crate) last_page: RawPool<Classic<ArenaPages>>,
    /// Whether it has that, which it keeps: it is its low water.
    pub(crate) has_last_page: Arc<AtomicBool>,
    pub(crate) primed: RawPool,
    pub(crate) lines: Pool<Object>,
    /// Its limits are changed all the time.
    pub(crate) resized: Pool<Object>,
    pub(crate) files: FilesPool,
    pub(crate) sessions: SessionsPool,
    pub(crate) links: AsyncPool,
    pub(crate) jobs: AsyncPool,
    /// A pool that is closed soon, whoever is at it.
    pub(crate) fleeting: Mutex<Option<RawPool>>,
    pub(crate) parcels: Parcels,
    pub(crate) watched: Vec<Watched>,
    pub(crate) runtime: Handle,
}

/// Words of so many bytes.
fn item(bytes: usize) -> Result<Layout> {
    Ok(Layout::from_size_align(bytes, 8)?)
}

impl World {
    /// In no state yet; `runtime` is for what tasks are needed for.
    pub(crate) fn new(seed: u64, runtime: Handle) -> Result<Self> {
        let within = runtime.enter();
        let chance = Arc::new(Chance::new(seed));
        let maker = Maker { chance: chance.clone(), census: Census::default() };
        let region = |quanta, how: Reserve| Region::reserve(quanta * QUANTUM, how);
        let memory = Arena::new(region(QUANTA, Reserve::new().decommit(Decommit::Discard))?, QUANTUM)?;
        memory.add_region(region(MORE, Reserve::new().decommit(Decommit::Protect))?)?;
        let quota = memory.client(Client::new("quota").quota(24))?;

        let small = RawPool::builder(item(64)?, 6).name("small").low_water(1).build(memory.clone())?;
        let pages = RawPool::builder(item(QUANTUM)?, 40).name("pages").bypass(0).low_water(2).high_water(24);
        let pages = pages.build(memory.clone())?;
        let root = RawPool::builder(item(1024)?, 6).name("root").critical_reserve(3).build(memory.clone())?;
        let pieces = RawPool::builder(item(512)?, 32).name("pieces").build(quota.clone())?;
        let classic = RawPool::builder(item(2 * QUANTUM)?, 8).name("classic").low_water(1);
        let classic = classic.build(Classic::new(ArenaPages(memory.clone())))?;
        let scarce = Arena::new(region(1, Reserve::new())?, QUANTUM)?.client(Client::new("scarce"))?;
        let last_page = RawPool::builder(item(QUANTUM)?, 8).name("last page").low_water(1);
        let last_page = last_page.build(Classic::new(ArenaPages(scarce.clone())))?;
        let primed = RawPool::builder(item(2048)?, 3).name("primed").build_primed(memory.clone());
        let primed = primed.context("priming")?;

        let make = maker.clone();
        let lines = Pool::try_builder(12, move || make.make()).name("lines").items_per_page(4).low_water(1);
        let lines = lines.magazine_rounds(2).reset(Object::reset).validate(Object::is_good);
        let lines = lines.build(memory.clone())?;
        let make = maker.clone();
        let resized = Pool::builder(RESIZED, move || make.make_surely()).name("resized").items_per_page(2);
        let resized = resized.magazine_rounds(1).reset(Object::reset).tokio_timer().build(memory.clone())?;

        let files = Pool::from_factory(4, Factory::new(slowly(&maker))).name("files").high_water(3);
        let files = files.reset(Object::reset).validate(Object::is_good).build()?;
        let sessions = Pool::from_factory(5, Growers::new(2, slowly(&maker))).name("sessions").max_growing(3);
        let sessions = sessions.reset(Object::reset).tokio_timer().build()?;
        let links = Pool::from_factory(4, AsyncFactory::new(in_time(&maker))).name("links").tokio_timer();
        let links = links.reset(Object::reset).validate_async(|object| {
            Box::pin(async {
                tokio::task::yield_now().await;
                object.is_good()
            })
        });
        let links = links.build()?;
        let jobs = Pool::from_factory(4, AsyncFactory::on_tokio(in_time(&maker))).name("jobs").bypass(2);
        let jobs = jobs.tokio_timer().reset(Object::reset).build()?;

        let watched_last_page = Watched::new(last_page.clone(), Some(&scarce));
        let has_last_page = watched_last_page.had_low_water.clone();
        let watched = vec![
            Watched::new(small.clone(), Some(&memory)),
            Watched::new(pages.clone(), Some(&memory)).bypass(0),
            Watched::new(root.clone(), Some(&memory)),
            Watched::new(pieces.clone(), Some(&quota)),
            Watched::new(classic.clone(), Some(&memory)),
            watched_last_page,
            Watched::new(primed.clone(), Some(&memory)),
            Watched::new(lines.clone(), Some(&memory)),
            Watched::new(resized.clone(), Some(&memory)).limit_up_to(RESIZED),
            Watched::new(files.clone(), None).bypass(None),
            Watched::new(sessions.clone(), None).bypass(8),
            Watched::new(links.clone(), None).bypass(8),
            Watched::new(jobs.clone(), None).bypass(2),
        ];
        let frames = Frames::new(FRAMES)?;
        let (shelf, fleeting, parcels) = (Mutex::default(), Mutex::default(), Parcels::default());
        let numbers = Numbers::new()?;
        drop(within);
        Ok(Self {
            chance,
            maker,
            memory,
            quota,
            scarce,
            numbers,
            frames,
            shelf,
            small,
            pages,
            root,
            pieces,
            classic,
            last_page,
            has_last_page,
            primed,
            lines,
            resized,
            files,
            sessions,
            links,
            jobs,
            fleeting,
            parcels,
            watched,
            runtime,
        })
    }

    /// All that anybody can say of itself.
    pub(crate) fn describe(&self) -> String {
        let pools: Vec<_> = self.watched.iter().map(|watched| watched.pool.describe()).collect();
        let fleeting = self.fleeting.lock().clone();
        format!(
            "{}\n\n{}\n{fleeting:?}\nmemory: {:?}\nquota: {:?}\nnumbers: {:?}\nlent: {:?}\nframes: {:?}",
            pool::registered(),
            pools.join("\n"),
            self.memory,
            self.quota,
            self.numbers.arena,
            self.numbers.lent,
            self.frames.stats(),
        )
    }
}

/// A creation that takes its time now and then, as one that connects would.
fn slowly(maker: &Maker) -> impl Fn() -> Result<Object, NotNow> + Send + Sync + 'static {
    let maker = maker.clone();
    move || {
        if maker.chance.one_in(32) {
            std::thread::sleep(Duration::from_millis(5));
        }
        maker.make()
    }
}

/// The same as a future. Some never end but by being dropped, and have a bound of their own, as the
/// guide says.
fn in_time(maker: &Maker) -> impl Fn() -> Creation + Send + Sync + 'static {
    let maker = maker.clone();
    move || {
        let maker = maker.clone();
        Box::pin(async move {
            if maker.chance.one_in(64) {
                let hangs = std::future::pending::<io::Result<()>>();
                let _ = tokio::time::timeout(Duration::from_millis(20), hangs).await;
                return Err(NotNow);
            }
            if maker.chance.one_in(8) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            maker.make()
        })
    }
}
