//! Each call panics while others are asleep: threads, and a task between them. Whoever is left of them is
//! served or told, nobody sleeps for ever, and at the end all is at rest.
//!
//! Which call is the n-th depends on who is faster, so a run says no more than that somebody's was.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use kva::{Arena, Reclaim, Shape, Shortage};
use pool::{Backend, GetError, OwnedItem, Pool};

use super::callers::{Lives, Object, carved, made};
use super::subscriber::hears;
use super::{HARD_LIMIT, build, each_call_panics, stops};
use crate::faulty::Counted;
use crate::fuse::Fuse;
use crate::support::stuck::Meeting;
use crate::support::{arena, assert_whole, poll_once, until};

/// Threads that sleep.
const GETTERS: usize = 3;

type Getting<B> =
    Pin<Box<dyn Future<Output = Result<OwnedItem<Object, B>, GetError<<B as Backend>::Error>>> + Send>>;

/// What the one thread has that is awake.
struct Awake<'a, B: Backend> {
    fuse: &'a Fuse,
    pool: &'a Pool<Object, B>,
    items: Vec<OwnedItem<Object, B>>,
    caught: usize,
}

impl<B: Backend> Awake<'_, B> {
    fn step(&mut self, act: impl FnOnce(&mut Self)) {
        self.caught += stops(|| act(self));
        let stats = self.pool.stats();
        assert!(stats.pages + stats.growing <= HARD_LIMIT, "P1: {stats:?}");
    }

    fn take(&mut self, act: impl FnOnce(OwnedItem<Object, B>)) {
        if let Some(item) = self.items.pop() {
            self.step(|_| act(item));
        }
    }

    /// A task of which there is something left, unless it panicked.
    fn poll(&mut self, mut task: Getting<B>) -> Option<Getting<B>> {
        let mut still = None;
        self.step(|awake| {
            let waker = awake.fuse.waker();
            match task.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(Ok(item)) => awake.items.push(item),
                Poll::Ready(Err(_)) => {}
                Poll::Pending => still = Some(task),
            }
        });
        still
    }

    fn put_all(&mut self) {
        while !self.items.is_empty() {
            self.take(drop);
        }
    }
}

/// All objects are out, or `scarce` is: somebody else has all of it. Then the others fall asleep, and
/// `act` is what is done.
fn while_others_sleep<B: Backend<Error: Send>>(
    fuse: &Fuse,
    lives: &Lives,
    pool: Pool<Object, B>,
    scarce: Option<&Arena>,
    act: impl FnOnce(&mut Awake<'_, B>),
) -> usize {
    let (ended, caught) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut awake = Awake { fuse, pool: &pool, items: Vec::new(), caught: 0 };
    let all = scarce.map(|memory| memory.try_alloc(Shape::new(HARD_LIMIT).unwrap()).unwrap());
    if all.is_none() {
        for _ in 0..HARD_LIMIT {
            hears(fuse, || awake.step(|awake| awake.items.extend(awake.pool.get_owned().ok())));
        }
    }
    // The oldest of them, so that it is woken before others are.
    let mut task = None;
    hears(fuse, || task = awake.poll(Box::pin(pool.get_owned_async())));
    let begin = Meeting::new(GETTERS as u32);
    thread::scope(|scope| {
        for _ in 0..GETTERS {
            scope.spawn(|| {
                hears(fuse, || {
                    begin.wait();
                    let mut item = None;
                    let panics = stops(|| item = pool.get_owned().ok()) + stops(|| drop(item.take()));
                    caught.fetch_add(panics, SeqCst);
                });
                ended.fetch_add(1, SeqCst);
            });
        }
        hears(fuse, || {
            // The task was maybe told of what panicked, and does not wait any more.
            let tasks = || usize::from(task.is_some() && fuse.blown().is_empty());
            until(|| pool.stats().waiting + ended.load(SeqCst) >= GETTERS + tasks());
            act(&mut awake);
            // What is still kept from them is let go; and what the task has is the next one's.
            if let (Some(memory), Some(all)) = (scarce, all) {
                awake.step(|_| memory.free(all).unwrap());
            }
            awake.put_all();
            let task = task.and_then(|task| awake.poll(task));
            awake.put_all();
            awake.step(|_| drop(task));
            until(|| ended.load(SeqCst) == GETTERS);
        });
    });
    let caught_awake = awake.caught;
    rests(fuse, &pool);
    let stopped = stops(|| drop(pool));
    let blown = fuse.blown();
    assert_eq!(lives.made.load(SeqCst), lives.ended.load(SeqCst), "each object ends once: {blown:?}");
    caught.load(SeqCst) + caught_awake + stopped
}

/// P5 and P6: as many as ever can be had, and nothing is left.
fn rests<B: Backend>(fuse: &Fuse, pool: &Pool<Object, B>) {
    fuse.pause(|| {
        let all: Vec<_> = (0..HARD_LIMIT).map_while(|_| next(pool)).collect();
        assert_eq!(all.len(), if pool.is_closed() { 0 } else { HARD_LIMIT as usize }, "{:?}", fuse.blown());
        drop(all);
        pool.drain();
        let stats = pool.stats();
        let rest = (stats.out, stats.waiting, stats.growing, stats.pages, stats.idle);
        assert_eq!(rest, (0, 0, 0, 0, 0), "{:?}: {stats:?}", fuse.blown());
        assert_eq!(stats.gets, stats.puts, "{:?}: {stats:?}", fuse.blown());
    });
}

/// Who is alone is served as it is polled.
fn next<B: Backend>(pool: &Pool<Object, B>) -> Option<OwnedItem<Object, B>> {
    let mut getting = std::pin::pin!(pool.get_owned_async());
    for _ in 0..8 {
        if let Poll::Ready(item) = poll_once(getting.as_mut()) {
            return item.ok();
        }
    }
    panic!("nobody is served: {pool:?}");
}

/// A hook that frees nothing.
struct Looks(Fuse);

impl Reclaim for Looks {
    fn reclaim(&self, _: &Shortage<'_>) {
        self.0.call("hook");
    }
}

/// What is called whatever is done, of a pool of objects in memory, and of all pools.
const IN_MEMORY: &[&str] = &["back-end's ask", "constructor"];
const KINDS: &[&str] = &[
    "reset",
    "waker's clone",
    "waker's drop",
    "waker's wake",
    #[cfg(feature = "tracing")]
    "subscriber",
];

fn with_memory(name: &'static str, kinds: &[&str], scarce: bool, act: fn(&mut Awake<'_, Counted>)) {
    let kinds = [KINDS, IN_MEMORY, kinds].concat();
    each_call_panics(name, &kinds, |fuse| {
        let memory = arena(HARD_LIMIT as usize);
        let hook: Arc<dyn Reclaim> = Arc::new(Looks(fuse.clone()));
        memory.register(&kva::GrowTable::new(0), Arc::downgrade(&hook));
        let lives = Arc::default();
        let backend = Counted { arena: memory.clone(), fuse: fuse.clone() };
        let pool = match build(|| carved(fuse, &lives).build(backend)) {
            Ok(pool) => pool,
            Err(caught) => return caught,
        };
        let caught = while_others_sleep(fuse, &lives, pool, scarce.then_some(&memory), act);
        assert_whole(&memory);
        caught
    });
}

#[test]
fn each_call_of_a_put_while_others_sleep() {
    with_memory("a put", &["validate"], false, |awake| awake.take(drop));
}

#[test]
fn each_call_of_an_object_that_leaves_while_others_sleep() {
    with_memory("an object that leaves", &["object's destructor"], false, |awake| {
        awake.take(OwnedItem::discard);
        awake.take(|item| drop(OwnedItem::detach(item)));
    });
}

#[test]
fn each_call_of_a_delivery_while_others_sleep() {
    with_memory("a delivery", &["hook", "validate"], true, |_| {});
}

#[test]
fn each_call_of_a_limit_that_changes_while_others_sleep() {
    with_memory("a limit that changes", &["back-end's release", "object's destructor"], false, |awake| {
        awake.step(|awake| awake.pool.set_hard_limit(1).unwrap());
        awake.take(drop);
        awake.take(drop);
        awake.step(|awake| awake.pool.set_hard_limit(HARD_LIMIT).unwrap());
        awake.step(|awake| awake.pool.set_water(0, 0).unwrap());
        awake.step(|awake| _ = awake.pool.drain());
    });
}

#[test]
fn each_call_of_a_close_while_others_sleep() {
    with_memory("a close", &["back-end's release", "object's destructor"], false, |awake| {
        awake.step(|awake| awake.pool.close());
        // Whatever panicked.
        assert!(awake.pool.is_closed());
    });
}

/// Who creates is asleep too, and another has to go on with what it leaves.
#[test]
fn each_call_of_a_factory_while_others_sleep() {
    let kinds = ["create's call", "create's drop", "create's poll", "validation's poll", "validation's drop"];
    let kinds = [KINDS, &kinds].concat();
    let acts: [(_, fn(&mut Awake<'_, _>)); 2] = [
        ("a put to a pool with a factory", |awake| awake.take(drop)),
        ("an object that leaves a pool with a factory", |awake| awake.take(OwnedItem::discard)),
    ];
    for (name, act) in acts {
        each_call_panics(name, &kinds, |fuse| {
            let lives = Arc::default();
            let pool = made(fuse, &lives).build().unwrap();
            while_others_sleep(fuse, &lives, pool, None, act)
        });
    }
}
