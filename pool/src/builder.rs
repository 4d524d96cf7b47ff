//! How a pool is made.

use std::alloc::Layout;
use std::fmt;
use std::pin::Pin;
use std::time::Instant;

use crate::backend::{Backend, ObjectFactory, Place};
use crate::error::{ConfigError, ConstructError};
use crate::handle::Handle;
use crate::hardening::Hardening;
use crate::limits::Limits;
use crate::object::Lifecycle;
use crate::raw::RawPool;
use crate::timer::Timer;
use crate::typed::Pool;

/// What both kinds of pools are set up with.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) name: Option<Box<str>>,
    pub(crate) items_per_page: Option<u32>,
    pub(crate) limits: Limits,
    pub(crate) timer: Option<Timer>,
    pub(crate) hardening: Option<Hardening>,
}

/// Objects of type `T`, how they are constructed and reset: what
/// [`Pool::builder`] builds a pool of.
///
/// ```
/// use pool::{Builder, Objects, Pool};
///
/// let builder: Builder<Objects<String>> = Pool::builder(8, || String::with_capacity(64));
/// ```
pub struct Objects<T>(Lifecycle<T>);

impl<T> fmt::Debug for Objects<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "objects of type {}", std::any::type_name::<T>())
    }
}

/// Objects that a factory makes, and how they are reset and validated: what
/// [`Pool::from_factory`] builds a pool of.
///
/// ```
/// use pool::{Builder, Created, Factory, Pool};
/// use std::{fs::File, io};
///
/// let files = Factory::new(|| File::open("Cargo.toml"));
/// let builder: Builder<Created<Factory<File, io::Error>>> = Pool::from_factory(8, files);
/// ```
pub struct Created<F: ObjectFactory> {
    factory: F,
    life: Lifecycle<F::Object>,
}

impl<F: ObjectFactory> fmt::Debug for Created<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "objects of type {}, made by a factory", std::any::type_name::<F::Object>())
    }
}

/// What has a life: constructed, or created by a factory. Nobody else can name it.
#[allow(private_interfaces, reason = "nobody else can call it")]
pub trait Lives {
    /// Its type.
    type Object;

    #[doc(hidden)]
    fn life(&mut self) -> &mut Lifecycle<Self::Object>;
}

#[allow(private_interfaces, reason = "as above")]
impl<T> Lives for Objects<T> {
    type Object = T;

    fn life(&mut self) -> &mut Lifecycle<T> {
        &mut self.0
    }
}

#[allow(private_interfaces, reason = "as above")]
impl<F: ObjectFactory> Lives for Created<F> {
    type Object = F::Object;

    fn life(&mut self) -> &mut Lifecycle<F::Object> {
        &mut self.life
    }
}

/// What is carved from pages. Nobody else can name it.
pub trait Carved {}

impl Carved for Layout {}
impl<T> Carved for Objects<T> {}

/// How a pool is made: of memory of one layout ([`RawPool::builder`]), of objects
/// ([`Pool::builder`]), or of objects that a factory makes ([`Pool::from_factory`]): those have a
/// page each, so that limits count objects.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::Pool;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(16, || Vec::<u8>::with_capacity(512))
///     .reset(|buffer| buffer.clear())
///     .name("lines")
///     .low_water(2)
///     .critical_reserve(1)
///     .build(arena)?;
/// assert_eq!(pool.stats().low_water, 2);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder builds nothing until it is told to"]
pub struct Builder<Of> {
    of: Of,
    pub(crate) setup: Setup,
}

impl<Of> Builder<Of> {
    fn new(of: Of, hard: u32) -> Self {
        let limits = Limits {
            hard,
            low: None,
            high: None,
            growing: Builder::DEFAULT_MAX_GROWING,
            bypass: Builder::DEFAULT_BYPASS,
            reserve: 0,
            rounds: None,
        };
        Self { of, setup: Setup { name: None, items_per_page: None, limits, timer: None, hardening: None } }
    }

    /// What people call the pool. A pool with a name is [registered](crate::registered).
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.setup.name = Some(name.into());
        self
    }

    /// Pages never given up when idle. Default 0; of a pool that is
    /// [built primed](Self::build_primed), the hard limit.
    pub fn low_water(mut self, pages: u32) -> Self {
        self.setup.limits.low = Some(pages);
        self
    }

    /// Pages kept when idle: a page that becomes wholly free while more are held goes back
    /// at once. Default: no bound but the hard limit, so that all are kept until the
    /// back-end is scarce or the pool is drained.
    pub fn high_water(mut self, pages: u32) -> Self {
        self.setup.limits.high = Some(pages);
        self
    }

    /// How often a waiter may be overtaken by later arrivals (P4). 0 is strict first-in
    /// first-out, and slow under contention: every item is handed to a thread that must
    /// wake up first. Default: [512](Builder::DEFAULT_BYPASS), and
    /// [8](Builder::DEFAULT_BYPASS_OF_FACTORIES) where a factory makes the objects.
    pub fn bypass(mut self, times: u32) -> Self {
        self.setup.limits.bypass = times;
        self
    }

    /// How many grows may be pending at once. Getters beyond that wait for those.
    pub fn max_growing(mut self, grows: u32) -> Self {
        self.setup.limits.growing = grows;
        self
    }

    /// How many items a magazine has room for: of those a thread keeps two at hand, for which its
    /// gets and puts take no lock, and two more are kept in the depot for it. At most 64; 0: threads
    /// keep nothing, and each get and put takes the lock.
    ///
    /// Default: 8, doubled while threads contend for the lock, and fewer where that would be more
    /// than an eighth of the pool's items divided by the threads that keep any: so none in small
    /// pools, which are faster with the lock. A number that is set here is kept to, however small
    /// the pool.
    ///
    /// What is kept counts as out against [high water](Self::high_water), and nothing is kept in
    /// pools of a factory and in those with a [critical reserve](Self::critical_reserve). It
    /// strands nothing: who is about to wait, or to fail, has it all back first.
    pub fn magazine_rounds(mut self, rounds: usize) -> Self {
        self.setup.limits.rounds = Some(rounds);
        self
    }

    /// Items that only [critical](crate::Request::critical) getters may take: the last ones
    /// for root. They are held and not just promised: an ordinary getter takes an item only
    /// if so many others are left idle, the pool grows to fill the reserve first, and it is
    /// given up to nobody, low water or not, until the pool is closed or its limit lowered.
    /// Default 0.
    pub fn critical_reserve(mut self, items: u32) -> Self {
        self.setup.limits.reserve = items;
        self
    }
}

impl<Of> Builder<Of> {
    /// Lets a runtime wake async getters when their time is up, [deadline](crate::Request::deadline)
    /// or [time to wait for a page](crate::Request::grow_timeout): `sleep_until` makes a future
    /// that is ready at a moment. Such a getter allocates it when it begins to wait. Default:
    /// nothing wakes them, and they look at the time when they are polled.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// # mod runtime {
    /// #     pub async fn sleep_until(_: std::time::Instant) {}
    /// # }
    /// use pool::Pool;
    /// use std::time::Instant;
    ///
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// let pool = Pool::builder(1, || [0_u8; 4096])
    ///     // Of tokio: `tokio::time::sleep_until(moment.into())`; of smol: `Timer::at(moment)`.
    ///     .timer(|moment: Instant| runtime::sleep_until(moment))
    ///     .build(arena)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn timer<S>(mut self, sleep_until: impl Fn(Instant) -> S + Send + Sync + 'static) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        self.setup.timer = Some(Timer::new(sleep_until));
        self
    }
}

impl<Of: Carved> Builder<Of> {
    /// How many items a page has. Default: as many as fit into a page of eight items or
    /// more, or one, if an item is as large as the back-end's smallest page.
    pub fn items_per_page(mut self, items: u32) -> Self {
        self.setup.items_per_page = Some(items);
        self
    }
}

impl<Of: Lives> Builder<Of> {
    /// What is done to an object when it is put back, before anybody else can get it. It runs
    /// on the thread that puts. If it panics, the object is destroyed and its place goes back.
    pub fn reset(mut self, reset: impl Fn(&mut Of::Object) + Send + Sync + 'static) -> Self {
        self.of.life().set_reset(reset);
        self
    }

    /// Whether an object that was idle is good still. It is asked when the object is got, on the
    /// getter's thread, and not of one that was made for those who waited. One that is not good is
    /// destroyed, and its getter has another, constructed in its place; or, where a factory makes
    /// them, waits for another, as old as it was. If it panics, the object is destroyed and the
    /// getter has the panic.
    pub fn validate(mut self, is_good: impl Fn(&mut Of::Object) -> bool + Send + Sync + 'static) -> Self {
        self.of.life().set_validate(is_good);
        self
    }

    /// As [`validate`](Self::validate), by a future that the getter drives before it returns. A
    /// getter that is cancelled meanwhile destroys the object, which is in no known state. A
    /// getter that blocks its thread sleeps until the future is ready, also one that would not
    /// wait for an object, and whatever its deadline.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # struct Connection;
    /// # impl Connection {
    /// #     async fn ping(&mut self) -> std::io::Result<()> { Ok(()) }
    /// # }
    /// # async fn connect() -> std::io::Result<Connection> { Ok(Connection) }
    /// use pool::{AsyncFactory, Pool};
    ///
    /// let pool = Pool::from_factory(8, AsyncFactory::new(connect))
    ///     .validate_async(|connection| Box::pin(async { connection.ping().await.is_ok() }))
    ///     .build()?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn validate_async(
        mut self,
        is_good: impl for<'a> Fn(&'a mut Of::Object) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.of.life().set_validate_async(is_good);
        self
    }
}

impl<F: ObjectFactory> Builder<Created<F>> {
    pub(crate) fn created(hard: u32, factory: F) -> Self {
        let created = Self::new(Created { factory, life: Lifecycle::brought() }, hard);
        created.bypass(Builder::DEFAULT_BYPASS_OF_FACTORIES)
    }

    /// Makes the pool. It holds no objects yet; [`Pool::reserve`] and dropping the reservation
    /// has some made, [`build_primed`](Self::build_primed) all.
    ///
    /// All that `get`, `put` and waiting need is allocated here, but for what the factory makes:
    /// tables of about 80 bytes an object, backed by the kernel as far as they are used.
    ///
    /// # Errors
    /// The limits contradict each other, or there is no memory for the tables.
    pub fn build(self) -> Result<Pool<F::Object, F>, ConfigError> {
        const { assert!(F::CREATES, "an object factory creates") };
        let Created { factory, life } = self.of;
        let setup = Setup { items_per_page: Some(1), ..self.setup };
        let destroy = Some(Lifecycle::<F::Object>::DESTROY);
        let handle = Handle::new(Place::<F::Object>::LAYOUT, setup, factory, destroy)?;
        Ok(Pool::new(handle, life))
    }
}

impl Builder<Layout> {
    /// How often a waiter may be overtaken, unless [`bypass`](Self::bypass) says otherwise. Of what
    /// `cargo xtask bench` compares, about where more has little effect on throughput: for objects that
    /// are held for microseconds, less than it takes to wake a thread up.
    pub const DEFAULT_BYPASS: u32 = 512;
    /// The same where a [factory](crate::Pool::from_factory) makes the objects: they are held for long
    /// beside that, so that overtaking gains nothing.
    pub const DEFAULT_BYPASS_OF_FACTORIES: u32 = 8;
    /// How many grows of a pool of either kind may be pending at once, unless
    /// [`max_growing`](Self::max_growing) says otherwise.
    pub const DEFAULT_MAX_GROWING: u32 = 64;

    pub(crate) fn raw(item: Layout, hard: u32) -> Self {
        Self::new(item, hard)
    }

    /// Makes a pool that is fed by `backend`. It holds no pages yet.
    ///
    /// All that `get`, `put` and waiting need is allocated here: tables of about 80 bytes a page
    /// and 4 bytes an item, backed by the kernel as far as they are used.
    ///
    /// # Errors
    /// The limits contradict each other, the items cannot be carved from pages, or there
    /// is no memory for the tables.
    pub fn build<B: Backend>(self, backend: B) -> Result<RawPool<B>, ConfigError> {
        const { assert!(!B::CREATES, "a factory's objects are not memory: `Pool::from_factory` pools them") };
        Ok(RawPool::new(Handle::new(self.of, self.setup, backend, None)?))
    }
}

impl<T: Send + 'static> Builder<Objects<T>> {
    pub(crate) fn objects(
        hard: u32,
        construct: impl Fn() -> Result<T, ConstructError> + Send + Sync + 'static,
    ) -> Self {
        Self::new(Objects(Lifecycle::new(construct)), hard)
    }

    /// Makes a pool that is fed by `backend`. It holds no pages and no objects yet.
    ///
    /// All that `get`, `put` and waiting need is allocated here: tables of about 80 bytes a page
    /// and 4 bytes an item, backed by the kernel as far as they are used.
    ///
    /// # Errors
    /// The limits contradict each other, the objects cannot be carved from pages (those of
    /// size zero cannot), or there is no memory for the tables.
    pub fn build<B: Backend>(self, backend: B) -> Result<Pool<T, B>, ConfigError> {
        const { assert!(!B::CREATES, "a factory makes its objects itself: `Pool::from_factory` pools them") };
        let handle = Handle::new(Layout::new::<T>(), self.setup, backend, Some(Lifecycle::<T>::DESTROY))?;
        Ok(Pool::new(handle, self.of.0))
    }
}
