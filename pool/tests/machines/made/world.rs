//! The pool, which objects there are and who has them, and what is checked after each operation.

use std::collections::BTreeSet;

use pool::{GetError, OwnedItem, Pool, TryGetError};
use proptest::sample::Index;

use super::super::objects::{Object, OutOfStock, Shop};
use super::super::tasks::Tasks;
use super::Op;
use super::scripted::{End, Scripted};

type Item = OwnedItem<Object, Scripted>;
type Outcome = Result<Item, GetError<OutOfStock>>;

pub(super) struct World {
    pool: Pool<Object, Scripted>,
    factory: Scripted,
    shop: Shop,
    /// By when they came.
    tasks: Tasks<usize, Outcome>,
    held: Vec<Item>,
    detached: Vec<Object>,
    came: usize,
    limit: u32,
    /// There may be more, since the limit was lowered below them.
    bound: u32,
    closed: bool,
    /// Errors that the factory has said, and nobody has heard.
    unheard: usize,
}

impl World {
    pub(super) fn new(limit: u32) -> Self {
        let shop = Shop::default();
        let factory = Scripted::new(shop.clone());
        let pool = Pool::from_factory(limit, factory.clone()).bypass(0).build().unwrap();
        Self {
            pool,
            factory,
            shop,
            tasks: Tasks::new(),
            held: Vec::new(),
            detached: Vec::new(),
            came: 0,
            limit,
            bound: limit,
            closed: false,
            unheard: 0,
        }
    }

    /// Those in line. Who is woken was served, or told, unless it is to ask.
    fn line(&self) -> Vec<usize> {
        let waiting = self.pool.stats().waiting;
        let all: Vec<_> = self.tasks.0.iter().map(|waiting| waiting.about).collect();
        all[all.len() - waiting..].to_vec()
    }

    fn ended(&mut self, ended: Vec<(usize, Outcome)>) {
        for (came, outcome) in ended {
            match outcome {
                Ok(mut item) => {
                    item.visits += 1;
                    assert!(self.held.iter().all(|other| other.number != item.number), "handed out twice");
                    assert!(self.shop.live().contains(&item.number));
                    // Who is younger waits behind it, and was not served before it.
                    let older =
                        self.tasks.0.iter().find(|waiting| waiting.about < came && !waiting.is_woken());
                    assert!(older.is_none(), "{came} was served before {:?}", older.map(|older| older.about));
                    self.held.push(item);
                }
                Err(GetError::Closed) => assert!(self.closed),
                Err(GetError::Backend(OutOfStock) | GetError::Abandoned) => {
                    assert!(self.unheard > 0, "told of what was not said");
                    self.unheard -= 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn idle(&self) -> usize {
        let out: BTreeSet<_> = self.held.iter().map(|item| item.number).collect();
        self.shop.live().len() - out.len() - self.detached.len() - self.granted()
    }

    /// How many were served and do not know it.
    fn granted(&self) -> usize {
        self.pool.stats().out - self.held.len()
    }

    fn try_get(&mut self) {
        let (idle, line, stats) = (self.idle(), self.line(), self.pool.stats());
        match self.pool.request().try_get_owned() {
            Ok(item) => {
                assert!(idle > 0 && line.is_empty() && !self.closed);
                self.ended(vec![(usize::MAX, Ok(item))]);
            }
            Err(TryGetError::Closed) => assert!(self.closed),
            Err(error) => {
                assert!(idle == 0 || !line.is_empty(), "{error:?}");
                let room = stats.pages + stats.growing < self.limit && line.is_empty();
                assert_eq!(matches!(error, TryGetError::Scarce), room, "{error:?}: {stats:?}");
            }
        }
    }

    fn get(&mut self) {
        let (idle, line) = (self.idle(), self.line());
        self.came += 1;
        let getting = self.pool.get_owned_async();
        let ended = self.tasks.begin(self.came, Box::pin(getting));
        if let Some((_, Ok(item))) = &ended {
            assert!(line.is_empty(), "{} is past those who wait", item.number);
        }
        let must = idle > 0 && line.is_empty();
        assert!(!must || self.closed || ended.is_some(), "one was idle");
        self.ended(ended.into_iter().collect());
    }

    pub(super) fn apply(&mut self, op: &Op) {
        let pick = |which: &Index, len: usize| (len > 0).then(|| which.index(len.max(1)));
        match op {
            Op::TryGet => self.try_get(),
            Op::Get => self.get(),
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
                drop(self.held.swap_remove(at));
            }
            Op::Discard(which) => {
                let Some(at) = pick(which, self.held.len()) else { return };
                let item = self.held.swap_remove(at);
                let number = item.number;
                OwnedItem::discard(item);
                assert!(!self.shop.live().contains(&number), "it was destroyed");
            }
            Op::Detach(which) => {
                let Some(at) = pick(which, self.held.len()) else { return };
                self.detached.push(OwnedItem::detach(self.held.swap_remove(at)));
            }
            Op::Attach => {
                let Some(object) = self.detached.pop() else { return };
                let number = object.number;
                // Back where it came from, or the caller's again.
                match self.pool.attach(object) {
                    Ok(item) => assert_eq!(item.number, number),
                    Err(error) => self.detached.push(error.object),
                }
            }
            Op::AnswerNow(good) => {
                self.factory.answer_now(good.then_some(()).ok_or(OutOfStock));
                self.unheard += usize::from(!good);
            }
            Op::Begin(which) => {
                let Some(at) = pick(which, self.factory.requests()) else { return };
                self.factory.begin(at);
            }
            Op::End(which, end) => {
                let Some(at) = pick(which, self.factory.requests()) else { return };
                // It is nobody's, if the others serve all who wait.
                let needed = self.line().len() >= self.factory.requests();
                self.unheard += usize::from(needed && matches!(end, End::Refuse | End::Forget));
                assert!(self.factory.end(at, *end), "what is wanted no more is forgotten");
            }
            Op::Drain => {
                self.pool.drain();
                let wants = !self.line().is_empty();
                assert!(self.idle() == 0 || wants);
            }
            Op::Limit(limit) => {
                let before = self.pool.stats().pages;
                self.pool.set_hard_limit(*limit).unwrap();
                // What was begun may never come, so nothing goes for its sake.
                assert!(self.pool.stats().pages >= before.min(*limit), "one went that need not");
                self.limit = *limit;
                self.bound = self.bound.max(*limit);
            }
            Op::Close => {
                self.pool.close();
                self.closed = true;
            }
        }
    }

    pub(super) fn check(&mut self) {
        let (stats, line, idle) = (self.pool.stats(), self.line(), self.idle());
        let says = format!("{idle} idle, {line:?}, {stats:?}");
        let pooled = self.shop.live().len() - self.detached.len();
        assert_eq!((stats.pages as usize, stats.idle), (pooled, idle), "{says}");
        assert_eq!(stats.gets - stats.puts, stats.out as u64, "{says}");
        // Whatever is wanted no more is forgotten, unless it was begun.
        assert_eq!(stats.growing as usize, self.factory.requests(), "{says}");
        let needed = line.len().max(self.factory.begun());
        assert!(self.factory.requests() <= needed, "more is asked for than anybody needs: {says}");
        // P1.
        let used = stats.pages + stats.growing;
        assert!(used <= self.bound, "P1: {used} of {}: {says}", self.bound);
        self.bound = self.limit.max(self.bound.min(used));
        // P2.
        assert!(line.is_empty() || idle == 0, "one is idle beside who waits: {says}");
        if self.tasks.is_quiet() {
            let covered = line.len() <= self.factory.requests() || used >= self.limit;
            assert!(covered, "nothing is asked for: {says}");
        }
        if self.closed {
            assert_eq!((line.len(), idle), (0, 0), "{says}");
        }
        assert!(stats.pages <= self.limit || idle == 0, "kept above the limit: {says}");
        self.shop.ended();
    }

    /// Each of those that wait has its turn, and nothing is left (P5, P6).
    pub(super) fn end(mut self) {
        self.pool.set_hard_limit(4).unwrap();
        while !self.tasks.0.is_empty() || self.factory.requests() > 0 {
            let before = (self.tasks.0.len(), self.factory.requests());
            let ended = self.tasks.run();
            self.ended(ended);
            self.held.clear();
            if self.factory.requests() > 0 {
                self.factory.end(0, End::Deliver);
            }
            let after = (self.tasks.0.len(), self.factory.requests());
            assert!(before != after || !self.tasks.is_quiet(), "{:?} wait for ever", self.line());
        }
        self.held.clear();
        self.pool.drain();
        let stats = self.pool.stats();
        assert_eq!((stats.out, stats.waiting, stats.growing, stats.pages), (0, 0, 0, 0), "{stats:?}");
        drop(self.pool);
        self.detached.clear();
        assert!(self.shop.live().is_empty(), "left: {:?}", self.shop.live());
    }
}
