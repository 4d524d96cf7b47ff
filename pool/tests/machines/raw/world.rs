//! The pool, who has what of it, and what is done.

use std::alloc::Layout;
use std::collections::BTreeSet;
use std::ptr::NonNull;

use kva::{AllocError, Arena, Span};
use pool::pieces::PieceBuf;
use pool::{ConfigError, GetError, PutError, RawPool, TryGetError};
use proptest::sample::Index;

use super::super::support::{QUANTUM, arena, put};
use super::super::tasks::Tasks;
use super::naive::{Getter, Naive};
use super::{Op, Setup};

/// What a getter has.
pub(super) enum Had {
    One(NonNull<u8>),
    Pieces(PieceBuf),
}

impl Had {
    pub(super) fn addresses(&mut self) -> Vec<usize> {
        match self {
            Self::One(item) => vec![item.addr().get()],
            Self::Pieces(buf) => buf.spare_capacity_mut().map(|piece| piece.as_ptr().addr()).collect(),
        }
    }
}

pub(super) type Outcome = Result<Had, GetError<AllocError>>;

pub(super) struct World {
    pub(super) pool: RawPool,
    pub(super) memory: Arena,
    pub(super) setup: Setup,
    pub(super) naive: Naive,
    pub(super) tasks: Tasks<Getter, Outcome>,
    pub(super) held: Vec<Had>,
    pub(super) others: Vec<Span>,
    pub(super) came: usize,
    /// Pages may be more, since the limit was lowered below them.
    pub(super) bound: u32,
}

impl World {
    pub(super) fn new(setup: &Setup) -> Self {
        let memory = arena(setup.quanta);
        let item = Layout::from_size_align(QUANTUM / 4, 8).unwrap();
        let builder = RawPool::builder(item, setup.hard_limit)
            .items_per_page(setup.items_per_page)
            .bypass(setup.bypass)
            .magazine_rounds(usize::from(setup.caches));
        let pool = builder.build(memory.clone()).unwrap();
        let naive = Naive {
            per_page: setup.items_per_page as usize,
            limit: setup.hard_limit,
            low: 0,
            high: u32::MAX,
            reserve: 0,
            closed: false,
            pages: 0,
            quanta_free: setup.quanta as u32,
            out: 0,
        };
        let (tasks, setup, bound) = (Tasks::new(), setup.clone(), setup.hard_limit);
        Self { pool, memory, setup, naive, tasks, held: Vec::new(), others: Vec::new(), came: 0, bound }
    }

    /// What the model takes from elsewhere.
    pub(super) fn look(&mut self) {
        let arena = self.memory.stats();
        self.naive.quanta_free = arena.free;
        self.naive.pages = arena.quanta - arena.free - self.others.len() as u32;
        let granted: usize = self.granted().iter().map(|getter| getter.items).sum();
        self.naive.out = self.addresses().len() + granted;
    }

    /// Those that wait, oldest first, with those that have what they waited for and do not know it yet.
    pub(super) fn tasks(&self) -> Vec<Getter> {
        self.tasks.0.iter().map(|waiting| waiting.about).collect()
    }

    /// Who was served and does not know it: the oldest, as many as are not in line any more.
    pub(super) fn granted(&self) -> Vec<Getter> {
        if self.naive.closed {
            return Vec::new(); // those that are left were told of that
        }
        let mut tasks = self.tasks();
        tasks.truncate(tasks.len() - self.pool.stats().waiting);
        tasks
    }

    pub(super) fn addresses(&mut self) -> Vec<usize> {
        self.held.iter_mut().flat_map(Had::addresses).collect()
    }

    pub(super) fn line(&self) -> Vec<Getter> {
        let granted = self.granted();
        self.tasks().into_iter().filter(|getter| !granted.contains(getter)).collect()
    }

    /// What one has is nobody else's, and is as much as it wanted.
    fn hand_out(&mut self, getter: Getter, mut had: Had) {
        let (all, new) = (self.addresses(), had.addresses());
        assert_eq!(new.len(), getter.items);
        assert!(new.iter().all(|item| !all.contains(item)), "handed out twice");
        assert_eq!(new.iter().collect::<BTreeSet<_>>().len(), new.len(), "handed out twice to one");
        if !new.is_empty() {
            self.held.push(had);
        }
    }

    pub(super) fn ended(&mut self, all: Vec<(Getter, Outcome)>) {
        for (getter, outcome) in all {
            match outcome {
                Ok(had) => {
                    // Also of those that waited: whoever is older, and waits still, was passed.
                    if getter.items > 0 && !self.naive.closed {
                        let line = self.line();
                        self.passes(&line, getter);
                    }
                    self.hand_out(getter, had);
                }
                Err(GetError::Closed) => assert!(self.naive.closed),
                Err(GetError::TooMany { asked, most }) => {
                    assert_eq!(asked, getter.items);
                    assert!(asked > most, "{asked} of {most}");
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    /// P4. Of two classes nobody is overtaken, but by who takes the reserve.
    fn passes(&mut self, line: &[Getter], who: Getter) {
        for waiting in &mut self.tasks.0 {
            let about = &mut waiting.about;
            let counts = who.critical <= about.critical || self.naive.reserve() < who.items;
            if counts && about.number < who.number && line.contains(about) {
                about.overtaken += 1;
                assert!(about.overtaken <= self.setup.bypass, "{about:?} is overtaken by {who:?}");
            }
        }
    }

    fn newcomer(&mut self, items: usize, critical: bool) -> Getter {
        self.came += 1;
        let critical = critical && self.setup.classes;
        Getter { number: self.came, items, critical, overtaken: 0 }
    }

    /// Whether it must be had at once, if that is plain.
    fn must_have(&self, line: &[Getter], getter: Getter) -> Option<bool> {
        let Getter { items, critical, .. } = getter;
        if line.is_empty() {
            return Some(self.naive.can_have(items, critical));
        }
        if self.setup.bypass > 0 || !self.tasks.is_quiet() {
            return None;
        }
        // Nobody is overtaken: only a critical one has what no ordinary one may have.
        let only_ordinary = !line.iter().any(|getter| getter.critical);
        Some(only_ordinary && critical && items <= self.naive.reserve() && items <= self.naive.supply(true))
    }

    fn try_get(&mut self, getter: Getter) {
        let Getter { items, critical, .. } = getter;
        self.look();
        let (line, most) = (self.line(), self.naive.most(critical));
        let must = self.must_have(&line, getter);
        let request = self.pool.request();
        let request = if critical { request.critical() } else { request };
        let had = match items {
            1 => request.try_get().map(Had::One),
            _ => request.try_get_pieces(items * self.pool.item_layout().size()).map(Had::Pieces),
        };
        let says = format!("{had:?}", had = had.as_ref().map(|_| items));
        // Which of the two would have had to allow more.
        let is_scarce = self.naive.quanta_free < self.naive.limit.saturating_sub(self.naive.pages);
        match had {
            _ if items == 0 => {}
            _ if self.naive.closed || items > most => {
                let is_closed = matches!(had, Err(TryGetError::Closed));
                let is_too_many = matches!(had, Err(TryGetError::TooMany { .. }));
                assert!((is_closed && self.naive.closed) || (is_too_many && items > most), "{says}");
            }
            Ok(had) => {
                assert_ne!(must, Some(false), "{says}");
                self.passes(&line, getter);
                self.hand_out(getter, had);
            }
            Err(TryGetError::Exhausted) => {
                assert!(must != Some(true) && !(is_scarce && line.is_empty()), "{says}");
            }
            Err(TryGetError::Scarce) => assert!(must != Some(true) && is_scarce && line.is_empty(), "{says}"),
            Err(error) => panic!("{error:?}"),
        }
    }

    fn get(&mut self, getter: Getter) {
        let Getter { items, critical, .. } = getter;
        self.look();
        let line = self.line();
        let must = self.must_have(&line, getter);
        let most = self.naive.most(critical);
        let pool = self.pool.clone();
        let ended = self.tasks.begin(
            getter,
            Box::pin(async move {
                let request = pool.request();
                let request = if critical { request.critical() } else { request };
                if items == 1 {
                    return request.get_async().await.map(Had::One);
                }
                let bytes = items * pool.item_layout().size();
                request.get_pieces_async(bytes).await.map(Had::Pieces)
            }),
        );
        match &ended {
            _ if items == 0 => return,
            Some((_, Ok(_))) => {
                assert!(must != Some(false) && !self.naive.closed && items <= most);
            }
            Some((_, Err(GetError::Closed))) => {}
            Some((_, Err(GetError::TooMany { .. }))) => assert!(items > most),
            Some((_, Err(error))) => panic!("{error:?}"),
            None => assert!(must != Some(true) && !self.naive.closed && items <= most),
        }
        self.ended(ended.into_iter().collect());
    }

    fn put_wrong(&mut self, at: usize) {
        let pool = self.pool.clone();
        let held = self.addresses();
        let Some(&near) = held.first() else { return };
        let address = (near & !0xffff) + at;
        let before = pool.stats();
        let is_out = held.contains(&address) || self.granted().iter().any(|getter| getter.items > 0); // nobody knows where those are
        let Some(pointer) = NonNull::new(std::ptr::without_provenance_mut(address)) else { return };
        if is_out {
            return;
        }
        assert!(matches!(
            put(&pool, pointer),
            Err(PutError::Foreign(_) | PutError::NotAnItem { .. } | PutError::DoublePut(_))
        ));
        assert_eq!(pool.stats(), before, "nothing was changed");
    }

    /// As they are told: of two classes it is hard to say who was served, unless all know it at once; nor is
    /// it once some were turned away.
    pub(super) fn apply(&mut self, op: &Op) {
        let all_know = self.setup.classes || matches!(op, Op::Close | Op::Limit(_) | Op::Reserve(_));
        if all_know {
            let ended = self.tasks.run();
            self.ended(ended);
        }
        self.act(op);
        if all_know {
            let ended = self.tasks.run();
            self.ended(ended);
        }
    }

    fn act(&mut self, op: &Op) {
        let pick = |which: &Index, len: usize| (len > 0).then(|| which.index(len.max(1)));
        match op {
            &Op::TryGet { items, critical } => {
                let getter = self.newcomer(items, critical);
                self.try_get(getter);
            }
            &Op::Get { items, critical } => {
                let getter = self.newcomer(items, critical);
                self.get(getter);
            }
            Op::Poll(which) => {
                let Some(at) = pick(which, self.tasks.0.len()) else { return };
                let ended = self.tasks.poll(at);
                self.ended(ended.into_iter().collect());
            }
            Op::Run => {
                let ended = self.tasks.run();
                self.ended(ended);
            }
            Op::Cancel(which) => {
                let Some(at) = pick(which, self.tasks.0.len()) else { return };
                drop(self.tasks.0.remove(at));
            }
            Op::Put(which) => {
                let Some(at) = pick(which, self.held.len()) else { return };
                match self.held.swap_remove(at) {
                    Had::One(item) => put(&self.pool, item).unwrap(),
                    Had::Pieces(buf) => drop(buf),
                }
            }
            Op::PutWrong(at) => self.put_wrong(*at),
            Op::OthersTake => {
                let one = kva::Shape::new(1).unwrap();
                self.others.extend(self.memory.try_alloc(one).ok());
            }
            Op::OthersFree(which) => {
                let Some(at) = pick(which, self.others.len()) else { return };
                self.memory.free(self.others.swap_remove(at)).unwrap();
            }
            &Op::Prime(pages) => {
                self.look();
                let (before, room) = (self.naive.pages, self.naive.to_be_had());
                let alone = self.line().is_empty();
                let primed = self.pool.prime(pages);
                if self.naive.closed {
                    assert!(matches!(primed, Err(TryGetError::Closed)));
                } else if alone && pages.saturating_sub(before) <= room {
                    assert!(primed.is_ok(), "{primed:?}: {pages} pages, of which {before} were held");
                }
            }
            Op::Drain => {
                self.look();
                let before = (self.naive.pages, self.naive.free());
                self.pool.drain();
                self.drained(before);
            }
            &Op::Limit(limit) => {
                self.look();
                let set = self.pool.set_hard_limit(limit);
                assert_eq!(set, Ok(()));
                let used = self.pool.stats();
                self.bound = limit.max(self.bound.min(used.pages + used.growing));
                self.naive.limit = limit;
            }
            &Op::Water(low, high) => {
                let set = self.pool.set_water(low, high);
                let limit = self.naive.limit;
                if low > high || low > limit {
                    assert_eq!(set, Err(ConfigError::Water { low, high, limit }));
                } else {
                    set.unwrap();
                    (self.naive.low, self.naive.high) = (low, high);
                }
            }
            &Op::Reserve(reserve) => {
                let items = u64::from(self.naive.limit) * self.naive.per_page as u64;
                let set = self.pool.set_critical_reserve(reserve);
                if u64::from(reserve) >= items {
                    assert_eq!(set, Err(ConfigError::Reserve { reserve, items }));
                } else {
                    set.unwrap();
                    self.naive.reserve = reserve as usize;
                }
            }
            Op::Close => {
                self.pool.close();
                self.naive.closed = true;
            }
        }
    }
}
