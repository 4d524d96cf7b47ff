//! Who waits for any of several pools: the chooser of production, and those that one writes on a free
//! afternoon from what a pool has anyway.

use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use kva::sync::atomic::{AtomicBool, Ordering::SeqCst};
use kva::sync::{Arc, Mutex, block_on_until};
use kva::{Arena, Span};
use pool::RawPool;
use pool::choose::{Nack, choose, never, span, with_nack};

use crate::world::{Item, block_on, one, put};

/// Under loom a moment has passed when somebody sleeps until then.
pub const SOON: Duration = Duration::from_micros(50);

/// How one chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chooser {
    /// That of production.
    Real,
    /// Waits for all, takes the first, and forgets what else it was granted.
    ForgetsTheLoser,
    /// Gives up without a word.
    LeavesWithoutAWord,
    /// Gets one of each, one after the other, and puts back what it does not need.
    TakesAll,
}

impl Chooser {
    /// Gets an item of one of these, and puts it back.
    ///
    /// # Panics
    /// If a pool is closed.
    pub async fn visit(self, pools: [Arc<RawPool>; 2]) {
        let event = |at: usize| pools[at].get_event().wrap(move |item| (at, Item::from(item.unwrap())));
        let (at, item) = match self {
            Self::Real | Self::LeavesWithoutAWord => choose([event(0), event(1)]).await,
            Self::ForgetsTheLoser => {
                let mut futures = [0, 1].map(|at| Box::pin(pools[at].get_async()));
                let found = poll_fn(|context| {
                    for (at, future) in futures.iter_mut().enumerate() {
                        if let Poll::Ready(item) = future.as_mut().poll(context) {
                            return Poll::Ready((at, Item::from(item.unwrap())));
                        }
                    }
                    Poll::Pending
                })
                .await;
                mem::forget(futures);
                found
            }
            Self::TakesAll => {
                let first = pools[0].get_async().await.map(Item::from).unwrap();
                let other = pools[1].get_async().await.map(Item::from).unwrap();
                put(&pools[1], other);
                (0, first)
            }
        };
        put(&pools[at], item);
    }

    /// An item, if it is there soon, and a future that was polled once is dropped if not.
    ///
    /// # Panics
    /// If the pool is closed.
    #[must_use]
    pub fn item_at_once(self, pool: &RawPool) -> Option<Item> {
        let mut chooser = Box::pin(choose((pool.get_event(), never())).into_future());
        let first = chooser.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(item) = first {
            return Some(item.unwrap().into());
        }
        if self == Self::LeavesWithoutAWord {
            mem::forget(chooser);
        }
        None
    }

    /// An item, if it comes soon, and whether the event was told that it was not chosen.
    ///
    /// # Panics
    /// If the pool is closed.
    #[must_use]
    pub fn item_soon(self, pool: &RawPool) -> (Option<Item>, bool) {
        if self == Self::LeavesWithoutAWord {
            let mut getter = Box::pin(pool.get_async());
            let by = Some(Instant::now() + SOON);
            let found = block_on_until(by, |waker| getter.as_mut().poll(&mut Context::from_waker(waker)));
            let told = found.is_none();
            if told {
                mem::forget(getter);
            }
            return (found.map(|item| item.unwrap().into()), told);
        }
        let mut told: Option<Nack> = None;
        let item = with_nack(|nack| {
            told = Some(nack);
            pool.get_event()
        });
        let found = choose((item, never())).sync_timeout(SOON);
        let told = told.expect("it was synced on").is_told();
        (found.map(|item| item.unwrap().into()), told)
    }

    /// Gets a span or an item, and frees it or puts it back.
    ///
    /// # Panics
    /// If the pool or the arena is closed.
    pub async fn visit_span_or_item(self, arena: Arena, pool: Arc<RawPool>) {
        let found: Result<Span, Item> = if self == Self::ForgetsTheLoser {
            let mut alloc = Box::pin(arena.alloc_async(one()));
            let mut getter = Box::pin(pool.get_async());
            let found = poll_fn(|context| {
                if let Poll::Ready(item) = getter.as_mut().poll(context) {
                    return Poll::Ready(Err(item.unwrap().into()));
                }
                alloc.as_mut().poll(context).map(|span| Ok(span.unwrap()))
            })
            .await;
            mem::forget((alloc, getter));
            found
        } else {
            choose((
                pool.get_event().wrap(|item| Err(item.unwrap().into())),
                span(&arena, one()).wrap(|span| Ok(span.unwrap())),
            ))
            .await
        };
        match found {
            Ok(span) => arena.free(span).unwrap(),
            Err(item) => put(&pool, item),
        }
    }
}

/// What is wrong with an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndFlaw {
    /// Who waits is told, and then it is over: who comes in between hears of neither.
    TellsBeforeItIsSeen,
    /// Who finds that it is not over gets in line, and does not look again.
    LooksBeforeTheLine,
}

/// An end, and who waits for it, as one writes it of a flag and a list.
#[derive(Debug)]
pub struct NaiveEnd {
    flaw: EndFlaw,
    over: AtomicBool,
    line: Mutex<Vec<Waker>>,
}

impl NaiveEnd {
    /// It is not over.
    #[must_use]
    pub fn new(flaw: EndFlaw) -> Self {
        Self { flaw, over: AtomicBool::new(false), line: Mutex::default() }
    }

    /// It is over.
    pub fn set(&self) {
        if self.flaw != EndFlaw::TellsBeforeItIsSeen {
            self.over.store(true, SeqCst);
        }
        let line = mem::take(&mut *self.line.lock());
        for waker in line {
            waker.wake();
        }
        self.over.store(true, SeqCst);
    }

    /// Waits for that.
    pub fn wait(&self) {
        block_on(poll_fn(|context| {
            let is_over = || self.over.load(SeqCst);
            if is_over() {
                return Poll::Ready(());
            }
            self.line.lock().push(context.waker().clone());
            let looks_again = self.flaw != EndFlaw::LooksBeforeTheLine;
            if looks_again && is_over() { Poll::Ready(()) } else { Poll::Pending }
        }));
    }
}
