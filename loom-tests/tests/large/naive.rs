//! The flaws of real pools, in a crowd: threads and tasks that wait, time out, put, and raise the limit.

use std::task::{Context, Waker};
use std::time::Instant;

use kva::Arena;
use kva::sync::{Arc, Mutex};
use loom_tests::naive::{Flaw, Naive};
use loom_tests::run::{known_bad, model};
use loom_tests::world::{Item, arena, assert_arena_whole, assert_pool_at_rest, block_on, pages, put};
use pool::RawPool;

use crate::dice::{IN_TIME, below, pause};
use crate::holders::{join_all, threads};

/// What the crowd uses. Of items that are alike: who gets one has one, and puts one.
trait Crowded: Send + Sync + 'static {
    fn get(&self, deadline: Option<Instant>) -> bool;
    fn get_async(&self) -> impl Future<Output = ()>;
    fn put(&self);
    fn raise(&self);
    fn assert_at_rest(self);
}

impl Crowded for Naive {
    fn get(&self, deadline: Option<Instant>) -> bool {
        Naive::get(self, deadline)
    }
    fn get_async(&self) -> impl Future<Output = ()> {
        Naive::get_async(self)
    }
    fn put(&self) {
        Naive::put(self);
    }
    fn raise(&self) {
        Naive::raise(self);
    }
    fn assert_at_rest(self) {}
}

struct Production {
    pool: RawPool,
    arena: Arena,
    out: Mutex<Vec<Item>>,
    limit: Mutex<u32>,
}

impl Production {
    fn with_all_out(limit: u32) -> Self {
        let arena = arena(64, 0);
        let pool = pages(limit).build(arena.clone()).unwrap();
        let out = pool.get_many(limit as usize).unwrap().into_iter().map(Item::from).collect();
        Self { pool, arena, out: Mutex::new(out), limit: Mutex::new(limit) }
    }
}

impl Crowded for Production {
    fn get(&self, deadline: Option<Instant>) -> bool {
        let item = match deadline {
            Some(deadline) => self.pool.get_deadline(deadline),
            None => self.pool.get(),
        };
        let got = item.is_ok();
        self.out.lock().extend(item.ok().map(Item::from));
        got
    }
    async fn get_async(&self) {
        let item = self.pool.get_async().await.unwrap();
        self.out.lock().push(item.into());
    }
    fn put(&self) {
        let item = self.out.lock().pop().expect("there is what was got");
        put(&self.pool, item);
    }
    fn raise(&self) {
        let mut limit = self.limit.lock();
        *limit += 1;
        self.pool.set_hard_limit(*limit).unwrap();
    }
    fn assert_at_rest(self) {
        assert_pool_at_rest(&self.pool, 0);
        drop(self.pool);
        assert_arena_whole(&self.arena);
    }
}

const ITEMS: usize = 3;

/// All items are out. As many threads put them; others get and put, of whom some give up.
fn crowd<P: Crowded>(pool: P, ways: usize) {
    let pool = Arc::new(pool);
    let crowd: Vec<_> = threads(12, {
        let pool = pool.clone();
        move |_| {
            let got = match below(ways) {
                0 => pool.get(None),
                1 => pool.get(Some(Instant::now() + IN_TIME)),
                2 => {
                    block_on(pool.get_async());
                    true
                }
                // Polled by one task, and awaited by another.
                _ => {
                    let mut getter = Box::pin(pool.get_async());
                    let early = getter.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    if early.is_pending() {
                        block_on(getter);
                    }
                    true
                }
            };
            pause();
            if got {
                pool.put();
            }
        }
    })
    .collect();
    for _ in 0..ITEMS {
        pause();
        pool.put();
    }
    join_all(crowd);
    Arc::into_inner(pool).expect("all others have ended").assert_at_rest();
}

#[test]
fn production_in_a_crowd() {
    model("large/crowd", || crowd(Production::with_all_out(ITEMS as u32), 4));
}

#[test]
fn a_crowd_of_whom_one_forgets_the_woken() {
    known_bad("large/crowd/forgets_the_woken", "deadlock", || {
        crowd(Naive::with_all_out(Flaw::ForgetsTheWoken, ITEMS), 2);
    });
}

#[test]
fn a_crowd_of_which_tasks_are_not_woken() {
    known_bad("large/crowd/wakes_threads_only", "deadlock", || {
        crowd(Naive::with_all_out(Flaw::WakesThreadsOnly, ITEMS), 3);
    });
}

#[test]
fn a_crowd_whose_first_wakers_are_kept() {
    known_bad("large/crowd/keeps_first_waker", "deadlock", || {
        crowd(Naive::with_all_out(Flaw::KeepsFirstWaker, ITEMS), 4);
    });
}

/// Nothing is put: the limit is raised for each who waits.
fn raised<P: Crowded>(pool: P) {
    let pool = Arc::new(pool);
    let waiters: Vec<_> = threads(8, {
        let pool = pool.clone();
        move |at| {
            if at % 2 == 0 { assert!(pool.get(None)) } else { block_on(pool.get_async()) }
        }
    })
    .collect();
    for _ in 0..waiters.len() {
        pool.raise();
    }
    join_all(waiters);
    for _ in 0..8 + ITEMS {
        pool.put();
    }
    Arc::into_inner(pool).expect("all others have ended").assert_at_rest();
}

#[test]
fn limit_raised_for_a_crowd() {
    model("large/raised", || raised(Production::with_all_out(ITEMS as u32)));
}

#[test]
fn limit_raised_quietly() {
    known_bad("large/raised/quietly", "deadlock", || {
        raised(Naive::with_all_out(Flaw::RaisesQuietly, ITEMS));
    });
}
