//! Which of it a pool has.

use std::alloc::Layout;
use std::fmt;

use kva::sync::Arc;

use super::order::MOST_ITEMS;
use super::violation::Violation;
use crate::builder::Builder;
use crate::carve::{Carve, CarveError};

pub(super) type Handler = Arc<dyn Fn(&Violation<'_>) + Send + Sync>;

/// What a pool of memory does against those who use what they put, put it twice, or write past its
/// end. Each knob stands alone; what each finds, what it does not and what it costs is in the guide,
/// docs/GUIDE.md.
///
/// A hardened pool, whatever its knobs, keeps nothing in threads' caches, and finds each second put
/// but one: that of an item that somebody else has got since.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{Hardening, RawPool};
/// use std::alloc::Layout;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 4)
///     .harden(Hardening::new().poison(true).quarantine(32).traces(true))
///     .build(arena)?;
/// let item = pool.get()?;
/// // SAFETY: it is not used after this.
/// unsafe { pool.put(item) }?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "knobs of a pool that is not built"]
pub struct Hardening {
    /// How many bytes of each item; 0: none.
    pub(super) poison: usize,
    /// How many items.
    pub(super) quarantine: usize,
    pub(super) guard_pages: bool,
    pub(super) random_order: bool,
    pub(super) seed: Option<u64>,
    pub(super) traces: bool,
    pub(super) on_violation: Option<Handler>,
}

impl Hardening {
    /// How many items [`all`](Self::all) has in quarantine at most.
    pub const QUARANTINE: usize = 256;

    /// No knob turned on.
    pub fn new() -> Self {
        Self::default()
    }

    /// All of them.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// use pool::{Hardening, RawPool};
    /// use std::alloc::Layout;
    ///
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 4)
    ///     .harden(Hardening::all().guard_pages(false)) // all but one
    ///     .build(arena)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn all() -> Self {
        let all = Self::new().poison(true).quarantine(Self::QUARANTINE);
        all.guard_pages(true).random_order(true).traces(true)
    }

    /// Whether items are filled with `0x6b` when they are put, and looked at when they are got: if
    /// anything of one changed, somebody used it after it was put. The back-end's memory must be
    /// good for that: not a device's.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// use pool::{Hardening, RawPool};
    /// use std::alloc::Layout;
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    ///
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// let poison = Hardening::new().poison(true);
    /// let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 1).harden(poison).build(arena)?;
    /// let item = pool.get()?;
    /// // SAFETY: it is not used after this, but for what should not be.
    /// unsafe { pool.put(item) }?;
    /// // SAFETY: the arena has the memory still. That it is the pool's by now is the bug.
    /// unsafe { item.write(1) };
    /// let found = catch_unwind(AssertUnwindSafe(|| pool.get()));
    /// let report = *found.unwrap_err().downcast::<String>().unwrap();
    /// assert!(report.contains("use after put"), "{report}");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn poison(self, poison: bool) -> Self {
        self.poison_first(if poison { usize::MAX } else { 0 })
    }

    /// As [`poison`](Self::poison), of the first so many bytes of each item: for large ones, of which
    /// most uses begin at the front. 0: none.
    pub fn poison_first(mut self, bytes: usize) -> Self {
        self.poison = bytes;
        self
    }

    /// How many items that were put wait before they may be lent again, at most; never more than half
    /// of what the limit allows. 0: none.
    ///
    /// Rather than to lend one, the pool grows. They are lent if it cannot: whoever is about to wait,
    /// or to fail, has all of them back first, and for 256 gets and puts after that none is put there.
    /// So a pool that is always short of items has none in quarantine.
    pub fn quarantine(mut self, items: usize) -> Self {
        self.quarantine = items;
        self
    }

    /// Whether each item has a page to itself, at its end, and an inaccessible page after that: who
    /// writes or reads past the end, faults. As near to the end as its alignment allows: ask for an
    /// alignment of 1 to have each byte count.
    ///
    /// Each takes a page of the system more and two of its mappings (`vm.max_map_count`), and what the
    /// kernel refuses is [`GetError::Guard`](crate::GetError::Guard). The back-end's memory must be
    /// the system's, readable and writable, and of no huge pages.
    ///
    /// It may refuse to open one, too, as its page goes: at the limit of data (`RLIMIT_DATA`), or of
    /// mappings. Then that page stays with the pool, which is told as [violations](Self::on_violation)
    /// are, as [`ViolationKind::GuardShut`](crate::ViolationKind::GuardShut).
    pub fn guard_pages(mut self, guard: bool) -> Self {
        self.guard_pages = guard;
        self
    }

    /// Whether it is drawn which free item of a page is lent, and which leaves quarantine. Nobody can
    /// then arrange for an item of theirs to be where another was, or beside it, but by chance.
    pub fn random_order(mut self, random: bool) -> Self {
        self.random_order = random;
        self
    }

    /// What [random order](Self::random_order) begins with, so that a run can be repeated. Default: the
    /// system's randomness. Whoever knows it knows the order.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether it is kept where each item was got and put last, for reports: the return addresses of
    /// 16 calls each, which takes 256 bytes an item beside the pool.
    pub fn traces(mut self, traces: bool) -> Self {
        self.traces = traces;
        self
    }

    /// Who is told of a violation. Default: it panics, with the report as its message.
    ///
    /// It is called on the thread that found it, with no lock held. If it panics, the pool is as if the
    /// get or put had not been; but of a [guard that stays shut](crate::ViolationKind::GuardShut) it is told
    /// when all else is done. If it returns, a put fails with its [`PutError`](crate::PutError), and a get
    /// goes on with the item.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// use pool::{Hardening, PutError, RawPool};
    /// use std::alloc::Layout;
    ///
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// let log = Hardening::new().traces(true).on_violation(|violation| eprintln!("{violation}"));
    /// let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 1).harden(log).build(arena)?;
    /// let item = pool.get()?;
    /// // SAFETY: nobody uses it, before or after.
    /// let (first, second) = unsafe { (pool.put(item), pool.put(item)) };
    /// assert_eq!(first, Ok(()));
    /// assert!(matches!(second, Err(PutError::DoublePut(_))));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_violation(mut self, tell: impl Fn(&Violation<'_>) + Send + Sync + 'static) -> Self {
        self.on_violation = Some(Arc::new(tell));
        self
    }
}

impl Hardening {
    pub(crate) const fn keeps_traces(&self) -> bool {
        self.traces
    }

    /// Carves pages for items of `item`; see [`Carve::new`].
    pub(crate) fn carve(
        &self,
        item: Layout,
        granule: usize,
        items: Option<u32>,
    ) -> Result<Carve, CarveError> {
        let carve = if self.guard_pages { Carve::guarded } else { Carve::new };
        let carve = carve(item, granule, items)?;
        if self.random_order && carve.items > MOST_ITEMS {
            return Err(CarveError::TooManyItems(carve.items));
        }
        Ok(carve)
    }
}

impl fmt::Debug for Hardening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hardening")
            .field("poison", &self.poison)
            .field("quarantine", &self.quarantine)
            .field("guard_pages", &self.guard_pages)
            .field("random_order", &self.random_order)
            .field("traces", &self.traces)
            .field("on_violation", &self.on_violation.is_some())
            .finish_non_exhaustive() // whoever knows the seed knows the order
    }
}

impl Builder<Layout> {
    /// Hardens the pool against those who use what they put, put it twice, or write past its end; see
    /// [`Hardening`].
    ///
    /// Pools of objects have no such knob. Their guards cannot be put twice, or used after that; what
    /// is put lives on in its item, so that there is nothing to fill; and they lend references, which
    /// end where their object does.
    pub fn harden(mut self, hardening: Hardening) -> Self {
        self.setup.hardening = Some(hardening);
        self
    }
}
