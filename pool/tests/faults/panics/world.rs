//! A pool, and what people do with it, on one thread.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use kva::sync::Arc;
use kva::sync::atomic::Ordering::SeqCst;
use pool::{Backend, GetError, Item, OwnedItem, Pool, Reservation};

use super::callers::{Lives, Object};
use super::{HARD_LIMIT, stops};
use crate::fuse::Fuse;
use crate::support::poll_once;

pub(super) type Outcome<T, B> = Result<T, GetError<<B as Backend>::Error>>;
pub(super) type Getting<T, B> = Pin<Box<dyn Future<Output = Outcome<T, B>> + Send>>;

/// A pool, what was got of it, and who waits for it. Whatever is done to it is stopped where it panics.
pub(super) struct World<B: Backend> {
    pub(super) fuse: Fuse,
    lives: Arc<Lives>,
    pub(super) pool: Pool<Object, B>,
    tasks: Vec<Option<Getting<OwnedItem<Object, B>, B>>>,
    pub(super) items: Vec<OwnedItem<Object, B>>,
    pub(super) caught: usize,
}

impl<B: Backend> World<B> {
    pub(super) fn new(fuse: &Fuse, lives: &Arc<Lives>, pool: Pool<Object, B>) -> Self {
        let (fuse, lives) = (fuse.clone(), lives.clone());
        Self { fuse, lives, pool, tasks: Vec::new(), items: Vec::new(), caught: 0 }
    }

    pub(super) fn step(&mut self, act: impl FnOnce(&mut Self)) {
        self.caught += stops(|| act(self));
        let stats = self.fuse.pause(|| self.pool.stats());
        assert!(stats.pages + stats.growing <= HARD_LIMIT, "P1: {stats:?}");
    }

    /// Begins a get and polls it so often, each time with another waker. Which one it is.
    pub(super) fn begin(&mut self, time: Option<Duration>, polls: usize) -> usize {
        let request = self.pool.request();
        let request = if let Some(time) = time { request.timeout(time) } else { request };
        let getting: Getting<_, B> = Box::pin(request.get_owned_async());
        self.tasks.push(Some(getting));
        let task = self.tasks.len() - 1;
        for _ in 0..polls {
            self.poll(task);
        }
        task
    }

    pub(super) fn poll(&mut self, task: usize) {
        let Some(mut getting) = self.tasks[task].take() else { return };
        // Of a future that panicked nothing is left, as executors have it.
        self.step(|world| {
            let waker = world.fuse.waker();
            match getting.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(Ok(item)) => world.items.push(item),
                Poll::Ready(Err(_)) => {}
                Poll::Pending => world.tasks[task] = Some(getting),
            }
        });
    }

    /// Drops the oldest item that is out.
    pub(super) fn put(&mut self) {
        if !self.items.is_empty() {
            let item = self.items.remove(0);
            self.step(|_| drop(item));
        }
    }

    pub(super) fn cancel(&mut self, task: usize) {
        let getting = self.tasks[task].take();
        self.step(|_| drop(getting));
    }

    pub(super) fn put_all(&mut self) {
        while !self.items.is_empty() {
            self.put();
        }
    }

    pub(super) fn take_one(&mut self, act: impl FnOnce(OwnedItem<Object, B>)) {
        if let Some(item) = self.items.pop() {
            self.step(|_| act(item));
        }
    }

    /// What people do, with two objects at most.
    pub(super) fn live(&mut self) {
        self.begin(None, 3);
        self.begin(None, 3);
        // One waits, is polled by another task, and has what is put.
        let waits = self.begin(None, 3);
        self.put();
        self.poll(waits);
        self.begin(Some(Duration::ZERO), 2);
        let late = self.begin(Some(Duration::from_hours(1)), 2);
        self.cancel(late);
        // What one was served goes to the next.
        let (first, second) = (self.begin(None, 2), self.begin(None, 2));
        self.put();
        self.cancel(first);
        self.poll(second);
        self.poll(second);
        self.put_all();
        self.validated();
        self.several();
        self.take_one(|item| drop(OwnedItem::detach(item)));
        self.begin(None, 3);
        self.take_one(OwnedItem::discard);
        self.step(|world| {
            let object = Object::new(&world.fuse, &world.lives);
            drop(world.pool.attach(object).map(Item::discard));
        });
        self.limits();
        self.put_all();
        self.step(|world| {
            world.pool.drain();
        });
    }

    /// Idle objects are validated, two polls at most, and one leaves in between.
    pub(super) fn validated(&mut self) {
        for _ in 0..2 {
            self.begin(None, 4);
        }
        self.put_all();
        let leaves = self.begin(None, 1);
        self.cancel(leaves);
        self.step(|world| {
            if let Ok(item) = world.pool.request().timeout(Duration::ZERO).get_owned() {
                world.items.push(item);
            }
        });
        self.step(|world| drop(world.pool.try_get()));
        self.put_all();
    }

    pub(super) fn several(&mut self) {
        self.step(|world| drop(world.pool.request().timeout(Duration::ZERO).get_many(2)));
        self.begin(None, 4);
        let mut reserving: Option<Getting<Reservation<Object, B>, B>> =
            Some(Box::pin(self.pool.request().reserve_async(2)));
        for _ in 0..6 {
            let Some(mut getting) = reserving.take() else { break };
            let mut still = None;
            self.step(|world| {
                let waker = world.fuse.waker();
                match getting.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(Ok(mut reserved)) => world.items.extend(reserved.get()),
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => still = Some(getting),
                }
            });
            reserving = still;
            self.put();
        }
        self.step(|_| drop(reserving));
    }

    pub(super) fn limits(&mut self) {
        self.begin(None, 4);
        self.begin(None, 4);
        let waits = self.begin(None, 2);
        self.step(|world| world.pool.set_hard_limit(HARD_LIMIT - 1).unwrap());
        self.put();
        self.poll(waits);
        self.step(|world| world.pool.set_hard_limit(HARD_LIMIT).unwrap());
        self.step(|world| world.pool.set_water(0, 0).unwrap());
        self.poll(waits);
        self.cancel(waits);
        self.put_all();
        self.step(|world| world.pool.set_water(0, HARD_LIMIT).unwrap());
    }

    /// Whoever comes next is served: as many as the limit allows.
    pub(super) fn serves(&mut self) {
        let tasks: Vec<_> = self.tasks.drain(..).collect();
        for task in tasks {
            self.step(|_| drop(task));
        }
        self.put_all();
        self.fuse.clone().pause(|| {
            let all: Vec<_> = (0..HARD_LIMIT).map(|_| self.next()).collect();
            drop(all);
            self.pool.drain();
        });
    }

    /// Who is alone is served as it is polled.
    pub(super) fn next(&self) -> OwnedItem<Object, B> {
        let mut getting = std::pin::pin!(self.pool.get_owned_async());
        for _ in 0..8 {
            if let Poll::Ready(item) = poll_once(getting.as_mut()) {
                return item.ok().unwrap();
            }
        }
        panic!("nobody is served after {:?} panicked: {:?}", self.fuse.blown(), self.pool);
    }

    /// Closes it while some wait, and ends it.
    pub(super) fn end(mut self) -> usize {
        self.begin(None, 4);
        self.begin(None, 4);
        let waits = [self.begin(None, 2), self.begin(None, 2)];
        self.step(|world| world.pool.close());
        for task in waits {
            self.poll(task);
            assert!(self.tasks[task].is_none(), "it was served, or told of the close");
        }
        let Self { fuse, lives, pool, tasks, items, mut caught } = self;
        for task in tasks {
            caught += stops(|| drop(task));
        }
        // The last items outlive the last handle.
        caught += stops(|| drop(pool));
        for item in items {
            caught += stops(|| drop(item));
        }
        let blown = fuse.blown();
        assert_eq!(lives.made.load(SeqCst), lives.ended.load(SeqCst), "each object ends once: {blown:?}");
        caught
    }
}
