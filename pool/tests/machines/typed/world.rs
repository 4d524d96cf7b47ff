//! The pool, which objects there are and who has them, and what is checked after each operation.

use std::collections::HashMap;

use kva::{AllocError, Arena, Shape, Span};
use pool::{GetError, OwnedItem, Pool, Reservation, TryGetError};
use proptest::sample::Index;

use super::super::objects::{Object, Shop};
use super::super::support::{arena, assert_rests};
use super::super::tasks::Tasks;
use super::{Op, Setup};

type Item = OwnedItem<Object>;

/// What a getter has.
enum Had {
    One(Item),
    Several(Reservation<Object>),
}

type Outcome = Result<Had, GetError<AllocError>>;

/// Who waits, and for how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Getter {
    came: usize,
    items: usize,
}

pub(super) struct World {
    setup: Setup,
    pool: Pool<Object>,
    memory: Arena,
    shop: Shop,
    tasks: Tasks<Getter, Outcome>,
    held: Vec<Item>,
    detached: Vec<Object>,
    others: Vec<Span>,
    came: usize,
    closed: bool,
    /// How often each was got and put.
    visits: HashMap<usize, usize>,
    puts: HashMap<usize, usize>,
}

impl World {
    pub(super) fn new(setup: &Setup) -> Self {
        let memory = arena(setup.quanta);
        let shop = Shop::default();
        let makes = shop.clone();
        let mut builder = Pool::try_builder(setup.hard_limit, move || makes.try_make())
            .items_per_page(setup.items_per_page)
            .bypass(0)
            .magazine_rounds(usize::from(setup.caches));
        if setup.validates {
            builder = builder.validate(|object| object.is_good);
        }
        if setup.resets {
            builder = builder.reset(|object| object.resets += 1);
        }
        Self {
            setup: setup.clone(),
            pool: builder.build(memory.clone()).unwrap(),
            memory,
            shop,
            tasks: Tasks::new(),
            held: Vec::new(),
            detached: Vec::new(),
            others: Vec::new(),
            came: 0,
            closed: false,
            visits: HashMap::new(),
            puts: HashMap::new(),
        }
    }

    fn capacity(&self) -> usize {
        (self.setup.hard_limit * self.setup.items_per_page) as usize
    }

    /// Pages that are held: as the arena has it.
    fn pages(&self) -> u32 {
        let arena = self.memory.stats();
        arena.quanta - arena.free - self.others.len() as u32
    }

    /// Items that are free.
    fn free(&self) -> usize {
        (self.pages() * self.setup.items_per_page) as usize - self.pool.stats().out
    }

    /// Objects that are free, of those that were made.
    fn idle(&self) -> usize {
        self.pool.stats().live - self.pool.stats().out
    }

    /// Those that were served are the oldest, since nobody is overtaken.
    fn line(&self) -> Vec<Getter> {
        let waiting = self.pool.stats().waiting;
        let all: Vec<_> = self.tasks.0.iter().map(|waiting| waiting.about).collect();
        all[all.len() - waiting..].to_vec()
    }

    /// Whether one who comes now must have so many, where nobody waits.
    fn can_have(&self, items: usize) -> bool {
        let more = (self.setup.hard_limit - self.pages()).min(self.memory.stats().free);
        items <= self.free() + (more * self.setup.items_per_page) as usize
    }

    /// It is nobody else's, it is good, and it is as it was left.
    fn look_at(&mut self, object: &mut Object) {
        let number = object.number;
        assert!(self.held.iter().all(|other| other.number != number), "handed out twice");
        assert!(object.is_good || !self.setup.validates, "it is no good");
        let visits = self.visits.entry(number).or_default();
        assert_eq!(object.visits, *visits, "it is as it was left");
        *visits += 1;
        object.visits += 1;
        let puts = self.puts.get(&number).copied().unwrap_or_default();
        assert!(object.resets >= puts || !self.setup.resets, "it was reset as it was put");
    }

    fn had(&mut self, getter: Getter, had: Had) {
        match had {
            Had::One(mut item) => {
                self.look_at(&mut item);
                self.held.push(item);
            }
            Had::Several(mut reserved) => {
                assert_eq!(reserved.len(), getter.items);
                while let Some(mut item) = reserved.get() {
                    self.look_at(&mut item);
                    self.held.push(item);
                }
            }
        }
    }

    fn ended(&mut self, ended: Vec<(Getter, Outcome)>) {
        for (getter, outcome) in ended {
            match outcome {
                Ok(had) => {
                    let older = self.line().into_iter().find(|other| other.came < getter.came);
                    assert!(
                        older.is_none() || getter.items == 0,
                        "P4: {getter:?} was served before {older:?}"
                    );
                    self.had(getter, had);
                }
                Err(GetError::Closed) => assert!(self.closed),
                Err(GetError::TooMany { .. }) => assert!(getter.items > self.capacity()),
                Err(GetError::Construct(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn newcomer(&mut self, items: usize) -> Getter {
        self.came += 1;
        Getter { came: self.came, items }
    }

    fn try_get(&mut self, items: Option<usize>) {
        let getter = self.newcomer(items.unwrap_or(1));
        let (line, can_have) = (self.line(), self.can_have(getter.items));
        let request = self.pool.request();
        let tried = match items {
            None => request.try_get_owned().map(Had::One),
            Some(items) => request.try_reserve(items).map(Had::Several),
        };
        let too_many = getter.items > self.capacity();
        match tried {
            Ok(had) => {
                let must = line.is_empty() && can_have && !self.closed;
                assert!(must || getter.items == 0, "{getter:?} past {line:?}");
                self.had(getter, had);
            }
            Err(TryGetError::Closed) => assert!(self.closed),
            Err(TryGetError::TooMany { .. }) => assert!(too_many),
            Err(TryGetError::Construct(_)) => {}
            Err(error) => assert!(!can_have || !line.is_empty(), "{error:?} for {getter:?}"),
        }
    }

    fn get(&mut self, items: Option<usize>) {
        let getter = self.newcomer(items.unwrap_or(1));
        let (line, can_have) = (self.line(), self.can_have(getter.items));
        let pool = self.pool.clone();
        let ended = self.tasks.begin(
            getter,
            Box::pin(async move {
                match items {
                    None => pool.get_owned_async().await.map(Had::One),
                    Some(items) => pool.request().reserve_async(items).await.map(Had::Several),
                }
            }),
        );
        let may = can_have && line.is_empty();
        match &ended {
            Some((_, Ok(_))) => assert!(may || items == Some(0), "{getter:?} past {line:?}"),
            Some(_) => {}
            None => assert!(!may, "{getter:?} waits"),
        }
        self.ended(ended.into_iter().collect());
    }

    fn local(&mut self, items: usize, in_order: bool) {
        // It would sleep.
        if !self.line().is_empty() || !self.can_have(items) || self.closed {
            return;
        }
        let pool = self.pool.clone();
        let local = pool.local();
        let mut got = Vec::new();
        for _ in 0..items {
            let Ok(mut item) = local.get() else { continue };
            self.look_at(&mut item);
            assert!(got.iter().all(|other: &pool::LocalItem<'_, Object>| other.number != item.number));
            got.push(item);
        }
        if !in_order {
            got.reverse();
        }
        for item in got {
            *self.puts.entry(item.number).or_default() += 1;
            drop(item);
        }
    }

    fn put(&mut self, at: usize) {
        let item = self.held.swap_remove(at);
        *self.puts.entry(item.number).or_default() += 1;
    }

    pub(super) fn apply(&mut self, op: &Op) {
        let pick = |which: &Index, len: usize| (len > 0).then(|| which.index(len.max(1)));
        let (idle, made, waits) = (self.idle(), self.shop.made(), !self.tasks.0.is_empty());
        match op {
            Op::TryGet => self.try_get(None),
            Op::TryReserve(items) => self.try_get(Some(*items)),
            Op::Get => self.get(None),
            Op::Reserve(items) => self.get(Some(*items)),
            Op::Local(items, in_order) => self.local(*items, *in_order),
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
                self.put(at);
            }
            Op::Spoil(which) => {
                let Some(at) = pick(which, self.held.len()) else { return };
                self.held[at].is_good = false;
            }
            Op::Discard(which) => {
                let Some(at) = pick(which, self.held.len()) else { return };
                OwnedItem::discard(self.held.swap_remove(at));
            }
            Op::Detach(which) => {
                let Some(at) = pick(which, self.held.len()) else { return };
                self.detached.push(OwnedItem::detach(self.held.swap_remove(at)));
            }
            Op::Attach => {
                let Some(object) = self.detached.pop() else { return };
                let number = object.number;
                match self.pool.attach(object) {
                    Ok(item) => {
                        assert_eq!(item.number, number);
                        *self.puts.entry(number).or_default() += 1;
                    }
                    Err(error) => self.detached.push(error.object),
                }
            }
            Op::Fail(times) => self.shop.fail(*times),
            Op::OthersTake => self.others.extend(self.memory.try_alloc(Shape::new(1).unwrap()).ok()),
            Op::OthersFree => {
                let Some(span) = self.others.pop() else { return };
                self.memory.free(span).unwrap();
            }
            Op::Drain => {
                self.pool.drain();
                assert!(self.idle() == 0 || self.has_one_out_of_each_page() || !self.line().is_empty());
            }
            Op::Close => {
                self.pool.close();
                self.closed = true;
            }
        }
        self.check();
        self.judge(op, idle, made, waits);
    }

    /// Whether no page can be known to be idle.
    fn has_one_out_of_each_page(&self) -> bool {
        self.pages() as usize <= self.pool.stats().out
    }

    /// What was made and destroyed by that.
    fn judge(&self, op: &Op, idle: usize, made: usize, somebody_waits: bool) {
        let ended = self.shop.ended();
        let one = matches!(op, Op::TryGet | Op::Get) && !somebody_waits;
        // One is made only if there is none, or in place of one that is no good.
        let no_good = ended.len();
        let makes = self.shop.made() - made;
        assert!(!one || idle == 0 || makes <= no_good, "{makes} made beside {idle}");
        let may_end = self.setup.validates;
        let destroys = matches!(op, Op::Attach | Op::Discard(_) | Op::Drain | Op::Close) || self.closed;
        // A page may go to an older request, and that may be one of the pool's own, whose getter has left.
        let destroys = destroys || somebody_waits;
        assert!(ended.iter().all(|good| !good) || destroys, "what was good is destroyed by {op:?}");
        assert!(ended.is_empty() || may_end || destroys, "destroyed by {op:?}");
    }

    fn check(&self) {
        let (stats, line, free) = (self.pool.stats(), self.line(), self.free());
        let says = format!("{free} free, {line:?}, {stats:?}");
        let out = self.held.len();
        let granted: usize =
            self.tasks.0[..self.tasks.0.len() - line.len()].iter().map(|it| it.about.items).sum();
        assert_eq!((stats.pages, stats.idle), (self.pages(), free), "{says}");
        assert!(self.closed || stats.out == out + granted, "{out} are held, {granted} are granted: {says}");
        assert_eq!(stats.gets - stats.puts, stats.out as u64, "{says}");
        assert!(stats.pages + stats.growing <= self.setup.hard_limit, "P1: {says}");
        if self.tasks.is_quiet() {
            assert!(line.first().is_none_or(|head| head.items > free), "it could be served: {says}");
            let grows = stats.pages < self.setup.hard_limit && self.memory.stats().free > 0;
            assert!(line.is_empty() || !grows, "a page is not asked for: {says}");
        }
        assert!(!line.is_empty() || stats.growing == 0, "for nobody: {says}");
        assert!(!self.closed || line.is_empty(), "{says}");
    }

    /// Each of those that wait has its turn; then all is as it was (P5, P6).
    pub(super) fn end(mut self) {
        self.shop.fail(0);
        for span in self.others.drain(..) {
            self.memory.free(span).unwrap();
        }
        // There never is so much.
        let most = self.setup.hard_limit.min(self.memory.quanta()) * self.setup.items_per_page;
        self.tasks.0.retain(|waiting| waiting.about.items <= most as usize);
        while !self.tasks.0.is_empty() {
            let before = self.tasks.0.len();
            let ended = self.tasks.run();
            self.ended(ended);
            while !self.held.is_empty() {
                self.put(0);
            }
            let woken = !self.tasks.is_quiet();
            assert!(woken || self.tasks.0.len() < before, "{:?} wait for ever", self.line());
        }
        self.held.clear();
        assert_rests(&self.pool, &self.memory);
        drop(self.pool);
        self.detached.clear();
        assert!(self.shop.is_empty(), "what was made has ended");
    }
}
