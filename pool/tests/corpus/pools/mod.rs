//! A script, played on pools of one arena and on a naive model of each.
//!
//! The model knows what is out, who waits for how much since when, and what each pool is set to.
//! After each operation pool and model say the same (`check.rs`). What one thread can see of the promises
//! is asserted: the bound (P1); nobody waits beside what it could have, and whoever waits is covered
//! by requests (P2); nobody is passed too often (P4); nothing is lost by leaving, by wrong puts, by a
//! close (P5); at the end pools and arena are at rest (P6).

mod check;
mod front;
mod gets;
mod inn;
mod script;

use std::collections::HashSet;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::Poll;

use kva::sync::Arc;
use kva::{AllocError, Arena, Region, Shape, Span};
use pool::{ConfigError, PutError, TryGetError};

use front::{Front, Held};
use inn::{Inn, QUANTUM, Wakes};
use script::{By, Op, Script, Setup, Wrong};

const MOST_QUANTA: usize = 32;
/// Who wait, for a pool or for the arena: no more than the arena looks at in one go.
const MOST_TASKS: usize = 12;

#[repr(align(4096))]
struct Memory(#[allow(dead_code, reason = "it has a size")] [u8; QUANTUM * MOST_QUANTA]);

/// Somebody else who waits for the arena.
struct Other {
    future: Pin<Box<dyn Future<Output = Result<Span, AllocError>>>>,
    wakes: Arc<Wakes>,
}

struct World {
    setup: Setup,
    inns: Vec<Inn>,
    /// What others have of the arena, and who of them waits for more.
    spans: Vec<Span>,
    others: Vec<Other>,
    arena: Arena,
    /// Last: objects are in there.
    memory: Box<Memory>,
}

/// Plays what these bytes say.
pub(crate) fn play(bytes: &[u8]) {
    let Script { setup, ops } = Script::of(bytes);
    let mut world = World::new(setup);
    for op in &ops {
        world.apply(op);
        world.settle();
    }
    world.end();
}

/// What these bytes say, for people.
pub(crate) fn describe(bytes: &[u8]) -> String {
    let Script { setup, ops } = Script::of(bytes);
    let ops = ops.iter().map(|op| format!("  {op:?}\n"));
    format!("{setup:#?}\n{}", ops.collect::<String>())
}

impl World {
    fn new(setup: Setup) -> Self {
        let mut memory = Box::new(Memory([0; _]));
        let quanta = 1 + usize::from(setup.quanta) % MOST_QUANTA;
        let bytes = NonNull::from(&mut memory.0[..quanta * QUANTUM]);
        // SAFETY: the memory is dropped after all that is made of it; see `World`.
        let region = unsafe { Region::borrowed(bytes) };
        let bypass = [64, 0, 1, 3][usize::from(setup.bypass) % 4];
        let arena = Arena::with_bypass(region, QUANTUM, bypass).expect("a good arena");
        let pools = &setup.each[..=usize::from(setup.pools) % 3];
        let inns = pools.iter().filter_map(|pool| Inn::new(*pool, &arena)).collect();
        Self { setup, inns, spans: Vec::new(), others: Vec::new(), arena, memory }
    }

    fn inn(&mut self, index: u8) -> Option<&mut Inn> {
        let pools = self.inns.len();
        (pools > 0).then(|| &mut self.inns[usize::from(index) % pools])
    }

    fn has_room(&self) -> bool {
        let tasks: usize = self.inns.iter().map(|inn| inn.tasks.len()).sum();
        tasks + self.others.len() < MOST_TASKS
    }

    /// All tasks, as pool and place there.
    fn pick_task(&self, index: u8) -> Option<(usize, usize)> {
        let all = self.inns.iter().enumerate();
        let all: Vec<_> =
            all.flat_map(|(at, inn)| (0..inn.tasks.len()).map(move |task| (at, task))).collect();
        (!all.is_empty()).then(|| all[usize::from(index) % all.len()])
    }

    fn poll_woken(&mut self) {
        loop {
            let woken = |inn: &Inn| inn.tasks.iter().position(inn::Task::is_woken);
            let task = self.inns.iter().enumerate().find_map(|(at, inn)| Some((at, woken(inn)?)));
            if let Some((inn, task)) = task {
                self.inns[inn].poll(task);
            } else if let Some(other) = self.others.iter().position(|other| other.wakes.is_woken()) {
                self.poll_other(other);
            } else {
                return;
            }
        }
    }

    fn poll_other(&mut self, at: usize) {
        let other = &mut self.others[at];
        let was_woken = other.wakes.is_woken();
        if let Poll::Ready(span) = other.wakes.poll(other.future.as_mut()) {
            assert!(was_woken, "whoever is served is woken");
            self.spans.push(span.expect("it fits, and nobody closes the arena"));
            drop(self.others.remove(at));
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Try(wanted) => self.try_get(wanted),
            Op::Now(wanted) => self.get_now(wanted),
            Op::Get(by, index) => self.get(by, index),
            Op::TryReserve(wanted) => self.try_reserve(wanted),
            Op::Begin(wanted) => self.begin(wanted, false),
            Op::BeginLate(wanted) => self.begin(wanted, true),
            Op::Poll(index) => {
                if let Some((inn, task)) = self.pick_task(index) {
                    self.inns[inn].poll(task);
                }
            }
            Op::PollWoken => self.poll_woken(),
            Op::Leave(index) => {
                if let Some((inn, task)) = self.pick_task(index) {
                    drop(self.inns[inn].tasks.remove(task));
                }
            }
            Op::Put(by, pool, index) => {
                let Some(inn) = self.inn(pool) else { return };
                let Some(held) = inn.take_held(index) else { return };
                inn.put.extend(held.address());
                inn.front.put(by, held);
            }
            Op::Use(pool, index) => {
                let Some(inn) = self.inn(pool) else { return };
                let Some(held) = inn.take_held(index) else { return };
                let got = Front::discard(held);
                inn.held.extend(got);
            }
            Op::Attach(pool) => self.attach(pool),
            Op::PutWrong(pool, wrong) => self.put_wrong(pool, wrong),
            Op::Limit(pool, limit) => self.set_limit(pool, u32::from(limit) % 8),
            Op::Water(pool, low, high) => {
                let Some(inn) = self.inn(pool) else { return };
                let (low, high) = (u32::from(low) % 4, u32::from(high) % 8);
                let limit = inn.set.limit;
                let refusal = ConfigError::Water { low, high, limit };
                let set = inn.front.set_water(low, high);
                assert_eq!(set, if low > high || low > limit { Err(refusal) } else { Ok(()) });
                if set.is_ok() {
                    (inn.set.low, inn.set.high) = (low, high);
                }
            }
            Op::Critical(pool, items) => {
                let Some(inn) = self.inn(pool) else { return };
                let (reserve, items) = (u32::from(items) % 4, inn.capacity() as u64);
                let refusal = ConfigError::Reserve { reserve, items };
                let set = inn.front.set_critical_reserve(reserve);
                assert_eq!(set, if u64::from(reserve) >= items { Err(refusal) } else { Ok(()) });
                if set.is_ok() {
                    inn.set.reserve = reserve;
                }
            }
            Op::Prime(pool, pages) => {
                let Some(inn) = self.inn(pool) else { return };
                match inn.front.prime(u32::from(pages) % 8) {
                    Ok(pages) => assert!(pages == inn.stats().pages && !inn.is_closed),
                    Err(TryGetError::Closed) => assert!(inn.is_closed),
                    Err(error) => assert!(inn.never_fits(), "nobody refuses a page: {error:?}"),
                }
            }
            Op::Drain(pool) => {
                let Some(inn) = self.inn(pool) else { return };
                let before = inn.stats();
                let given = inn.front.drain();
                let after = inn.stats();
                assert!(after.pages + given as u32 <= before.pages + before.growing);
                assert!(inn.is_drained(&after), "{after:?}");
            }
            Op::Close(pool) => {
                let Some(inn) = self.inn(pool) else { return };
                inn.front.close();
                inn.is_closed = true;
            }
            Op::Take(len) => {
                let shape = Shape::new(1 + u32::from(len) % 8).expect("not zero");
                self.spans.extend(self.arena.try_alloc(shape));
            }
            Op::Free(index) => {
                if !self.spans.is_empty() {
                    let at = usize::from(index) % self.spans.len();
                    self.arena.free(self.spans.swap_remove(at)).expect("it is held");
                }
            }
            Op::Wait(len) => self.wait(1 + u32::from(len) % 8),
            Op::Stop(index) => {
                if !self.others.is_empty() {
                    let at = usize::from(index) % self.others.len();
                    drop(self.others.remove(at));
                }
            }
        }
    }

    fn wait(&mut self, len: u32) {
        if !self.has_room() || len > self.arena.quanta() {
            return;
        }
        let (arena, shape) = (self.arena.clone(), Shape::new(len).expect("not zero"));
        let future = Box::pin(async move { arena.alloc_async(shape).await });
        let mut other = Other { future, wakes: Arc::default() };
        match other.wakes.poll(other.future.as_mut()) {
            Poll::Ready(span) => self.spans.push(span.expect("it fits")),
            Poll::Pending => self.others.push(other),
        }
    }

    fn set_limit(&mut self, pool: u8, limit: u32) {
        let Some(inn) = self.inn(pool) else { return };
        let set = inn.front.set_hard_limit(limit);
        assert_eq!(set, if limit == 0 { Err(ConfigError::ZeroLimit) } else { Ok(()) });
        if set.is_ok() {
            inn.set.limit = limit;
            inn.bound = inn.bound.max(limit);
        }
    }

    fn attach(&mut self, pool: u8) {
        let Some(inn) = self.inn(pool) else { return };
        match inn.front.attach() {
            None => {}
            Some(Ok(())) => assert!(!inn.is_closed),
            Some(Err(TryGetError::Closed)) => assert!(inn.is_closed),
            Some(Err(TryGetError::Exhausted | TryGetError::Scarce)) => {
                let stats = inn.stats();
                let there_is = stats.waiting == 0 && inn.tasks.is_empty() && inn.supply(&stats, false) > 0;
                assert!(!there_is, "{stats:?}");
            }
            Some(Err(error)) => assert!(inn.never_fits(), "nobody refuses a page: {error:?}"),
        }
    }

    /// Puts what is none of the items that are out: that is said, and nothing else comes of it.
    fn put_wrong(&mut self, pool: u8, wrong: Wrong) {
        let out: HashSet<usize> =
            self.inns.iter().flat_map(|inn| &inn.held).filter_map(Held::address).collect();
        let others =
            self.inns.iter().enumerate().flat_map(|(at, inn)| inn.held.iter().map(move |held| (at, held)));
        let others: Vec<_> = others.filter_map(|(at, held)| Some((at, held.address()?))).collect();
        let spans =
            self.spans.iter().filter_map(|span| self.arena.ptr(*span)).map(|start| start.addr().get());
        let spans: Vec<_> = spans.collect();
        let quiet = self.inns.iter().all(Inn::is_quiet);
        let (pools, base) = (self.inns.len(), std::ptr::from_ref(&*self.memory).addr());
        let Some(inn) = self.inn(pool) else { return };
        let this = usize::from(pool) % pools;
        let pick = |all: &[usize], index: u8| (!all.is_empty()).then(|| all[usize::from(index) % all.len()]);
        let its: Vec<_> = others.iter().filter(|(at, _)| *at == this).map(|(_, address)| *address).collect();
        let elsewhere: Vec<_> =
            others.iter().filter(|(at, _)| *at != this).map(|(_, address)| *address).collect();
        let address = match wrong {
            // What somebody was served and has not looked at may be there.
            Wrong::Twice(index) => pick(&inn.put, index).filter(|_| quiet),
            Wrong::Within(index, by) => pick(&its, index).map(|item| item + 1 + usize::from(by) % 31),
            Wrong::Others(index) => pick(&[elsewhere, spans].concat(), index),
            Wrong::Address(by) => Some(base + usize::from(by)).filter(|_| quiet),
        };
        let Some(address) = address.filter(|address| !its.contains(address)) else { return };
        let before = inn.stats();
        let Some(put) = inn.front.put_wrong(address) else { return };
        let error = put.expect_err("what is not out was put");
        if matches!(wrong, Wrong::Others(_)) {
            assert!(out.contains(&address) || !matches!(error, PutError::DoublePut(_)));
            assert_eq!(error, PutError::Foreign(address));
        }
        let after = inn.stats();
        let figures = |stats: &pool::PoolStats| (stats.pages, stats.idle, stats.out, stats.gets, stats.puts);
        assert_eq!(figures(&before), figures(&after), "a wrong put changed something");
    }

    fn end(mut self) {
        self.others.clear();
        for inn in &mut self.inns {
            inn.tasks.clear();
            for held in inn.held.drain(..) {
                inn.front.put(By::Pool, held);
            }
        }
        for span in self.spans.drain(..) {
            self.arena.free(span).expect("it is held");
        }
        for inn in &mut self.inns {
            inn.front.drain();
            let stats = inn.stats();
            let rest = (stats.out, stats.waiting, stats.growing, stats.gets - stats.puts);
            assert_eq!(rest, (0, 0, 0, 0), "P6: {stats:?}");
            assert!(inn.is_drained(&stats), "P6: {stats:?}");
            inn.front.close();
            assert_eq!(inn.stats().pages, 0, "P6");
            assert!(inn.front.alive().is_none_or(|alive| alive == 0), "P6: objects that nobody has");
        }
        let stats = self.arena.stats();
        assert_eq!((stats.free, stats.free_runs, stats.waiting), (stats.quanta, 1, 0), "P6: {stats:?}");
    }
}
