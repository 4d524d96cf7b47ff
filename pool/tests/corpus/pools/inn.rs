//! One pool of a world, and what the model knows of it.

use std::alloc::Layout;
use std::task::{Context, Poll, Wake, Waker};

use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use kva::{Arena, Client};
use pool::{ConfigError, Pool, PoolStats, RawPool};

use super::front::{Front, Future, Got, Held, Manner, Object};
use super::script::Pooled;

/// Of the arena.
pub(super) const QUANTUM: usize = 64;

/// Who waits here.
pub(super) struct Task {
    pub(super) manner: Manner,
    pub(super) items: usize,
    pub(super) number: u64,
    /// How often it was passed by who came later.
    passed: u32,
    future: Future,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
pub(super) struct Wakes(AtomicBool);

impl Wake for Wakes {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl Wakes {
    pub(super) fn is_woken(&self) -> bool {
        self.0.load(SeqCst)
    }

    /// Polls with this as the waker.
    pub(super) fn poll<F: std::future::Future + ?Sized>(
        self: &Arc<Self>,
        future: std::pin::Pin<&mut F>,
    ) -> Poll<F::Output> {
        self.0.store(false, SeqCst);
        future.poll(&mut Context::from_waker(&Waker::from(self.clone())))
    }
}

impl Task {
    pub(super) fn is_woken(&self) -> bool {
        self.wakes.is_woken()
    }

    fn poll(&mut self) -> Poll<Got> {
        self.wakes.poll(self.future.as_mut())
    }
}

/// What a pool is set to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) limit: u32,
    pub(super) low: u32,
    pub(super) high: u32,
    pub(super) reserve: u32,
    pub(super) per_page: u32,
    pub(super) growing: u32,
    pub(super) bypass: u32,
    pub(super) quota: u32,
}

pub(super) struct Inn {
    pub(super) front: Front,
    pub(super) set: Limits,
    pub(super) is_closed: bool,
    pub(super) held: Vec<Held>,
    pub(super) tasks: Vec<Task>,
    /// Where items were that were put.
    pub(super) put: Vec<usize>,
    /// The most that it may hold or have asked for.
    pub(super) bound: u32,
    numbers: u64,
}

impl Inn {
    /// As it is set up, if that can be; else the error must be as the model has it.
    pub(super) fn new(setup: Pooled, arena: &Arena) -> Option<Self> {
        let quota = if setup.quota == 0 { u32::MAX } else { 1 + u32::from(setup.quota) % 8 };
        let arena = match quota {
            u32::MAX => arena.clone(),
            quota => arena.client(Client::new("a pool").quota(quota)).expect("an account"),
        };
        let per_page = 1 << (setup.per_page % 3);
        let set = Limits {
            limit: u32::from(setup.limit) % 8,
            low: u32::from(setup.water[0]) % 4,
            high: if setup.water[1] == 0 { u32::MAX } else { u32::from(setup.water[1]) % 8 },
            reserve: u32::from(setup.reserve) % 4,
            per_page,
            growing: u32::from(setup.growing) % 4,
            bypass: [512, 0, 1, 3][usize::from(setup.bypass) % 4],
            quota,
        };
        let front = if setup.is_typed {
            let alive = Arc::new(AtomicUsize::new(0));
            let of = alive.clone();
            let builder = Pool::builder(set.limit, move || Object::new(&of));
            set.apply(setup, builder.items_per_page(per_page))
                .build(arena)
                .map(|pool| Front::Typed(pool, alive))
        } else {
            // Those of one to a page are as long as some quanta.
            let bytes = if per_page == 1 { QUANTUM * (1 + usize::from(setup.size) % 3) } else { 32 };
            let item = Layout::from_size_align(bytes, 8).expect("a good layout");
            let builder = RawPool::builder(item, set.limit).items_per_page(per_page);
            set.apply(setup, builder).build(arena).map(Front::Raw)
        };
        match front {
            Ok(front) => {
                assert_eq!(set.refusal(), None);
                Some(Self {
                    front,
                    set,
                    is_closed: false,
                    held: Vec::new(),
                    tasks: Vec::new(),
                    put: Vec::new(),
                    bound: set.limit,
                    numbers: 0,
                })
            }
            Err(error) => {
                assert_eq!(set.refusal(), Some(error));
                None
            }
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        self.front.stats()
    }

    /// Items for critical getters only.
    pub(super) fn reserve(&self) -> usize {
        (self.set.reserve as usize).min(self.capacity() - 1)
    }

    pub(super) fn capacity(&self) -> usize {
        self.set.limit as usize * self.set.per_page as usize
    }

    /// The most that anybody of this kind can have.
    pub(super) fn most(&self, manner: Manner) -> usize {
        if manner.is_critical { self.capacity() } else { self.capacity() - self.reserve() }
    }

    /// What there is for one of this kind.
    pub(super) fn supply(&self, stats: &PoolStats, is_critical: bool) -> usize {
        stats.idle.saturating_sub(if is_critical { 0 } else { self.reserve() })
    }

    /// Those who wait for sure: nobody woke them.
    pub(super) fn asleep(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| !task.is_woken())
    }

    pub(super) fn is_quiet(&self) -> bool {
        !self.tasks.iter().any(Task::is_woken)
    }

    /// Somebody of this kind, who came as the `number`th, has what it wants: whoever came before
    /// and waits was passed (P4), if it could have had that.
    pub(super) fn passed_by(&mut self, manner: Manner, number: u64) {
        let all_wait = self.stats().waiting == self.tasks.len();
        for task in &mut self.tasks {
            let could = task.manner.is_critical || !manner.is_critical;
            // Of those who were woken it is not known whether they have something.
            if task.number < number && could && (all_wait || !task.is_woken()) {
                task.passed += 1;
                assert!(task.passed <= self.set.bypass, "P4: passed {} times", task.passed);
            }
        }
    }

    pub(super) fn note(&mut self, manner: Manner, number: u64, items: Vec<Held>) {
        self.held.extend(items);
        self.passed_by(manner, number);
    }

    /// Somebody comes and looks; what it has at once, if it does not wait.
    pub(super) fn begin(&mut self, manner: Manner, items: usize) -> Option<Got> {
        self.numbers += 1;
        let future = self.front.get_async(manner, items);
        let wakes = Arc::default();
        let mut task = Task { manner, items, number: self.numbers, passed: 0, future, wakes };
        match task.poll() {
            Poll::Ready(got) => Some(got),
            Poll::Pending => {
                self.tasks.push(task);
                None
            }
        }
    }

    /// Looks again for a task.
    pub(super) fn poll(&mut self, at: usize) {
        let was_woken = self.tasks[at].is_woken();
        let Poll::Ready(got) = self.tasks[at].poll() else { return };
        let Task { manner, number, items, .. } = self.tasks.remove(at);
        assert!(was_woken, "whoever is served or told is woken");
        match got {
            Ok(got) => {
                assert_eq!(got.iter().map(Held::items).sum::<usize>(), items);
                self.note(manner, number, got);
            }
            Err(pool::GetError::Closed) => assert!(self.is_closed),
            // The limit came down, or the reserve went up, since it came; and may have changed again.
            Err(pool::GetError::TooMany { asked, most }) => assert!(asked == items && most < items),
            Err(error) => panic!("nobody refuses a page: {error:?}"),
        }
    }

    pub(super) fn take_held(&mut self, index: u8) -> Option<Held> {
        (!self.held.is_empty()).then(|| self.held.swap_remove(usize::from(index) % self.held.len()))
    }
}

impl Limits {
    fn apply<Of>(&self, setup: Pooled, builder: pool::Builder<Of>) -> pool::Builder<Of> {
        let builder = builder.low_water(self.low).critical_reserve(self.reserve);
        let builder = builder.max_growing(self.growing).bypass(self.bypass);
        let builder = if self.high == u32::MAX { builder } else { builder.high_water(self.high) };
        match setup.rounds % 8 {
            0..4 => builder,
            rounds => builder.magazine_rounds(usize::from(rounds) - 4),
        }
    }

    /// Why no pool can be built so.
    fn refusal(&self) -> Option<ConfigError> {
        let Self { limit, low, high, reserve, per_page, growing, .. } = *self;
        let high = if high == u32::MAX { limit } else { high };
        let items = u64::from(limit) * u64::from(per_page);
        if limit == 0 {
            Some(ConfigError::ZeroLimit)
        } else if growing == 0 {
            Some(ConfigError::ZeroGrowing)
        } else if low > high || low > limit {
            Some(ConfigError::Water { low, high, limit })
        } else if u64::from(reserve) >= items {
            Some(ConfigError::Reserve { reserve, items })
        } else {
            None
        }
    }
}
