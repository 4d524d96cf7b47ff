//! A pool as one writes it on a free afternoon: a count, a list of wakers, one lock. Each
//! flaw is one that real pools had.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Instant;

use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kva::sync::{Mutex, block_on_until};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A put strikes off the waiter it wakes, and a cancelled one tells nobody that it was
    /// woken (embassy#6964): the rest sleep on beside a free item. All of them have this one.
    ForgetsTheWoken,
    /// A put wakes only one of two kinds of sleepers (`PR_WANTED` and `PR_GROWING` of pool(9)).
    WakesThreadsOnly,
    /// A future leaves its waker when it is first polled, and no other when another task has
    /// it.
    KeepsFirstWaker,
    /// A raised limit wakes nobody.
    RaisesQuietly,
    /// A put wakes before it unlocks.
    WakesLocked,
    /// What everybody waits for wakes one, as `notify_one` does.
    OpensForOne,
    /// A drain destroys idle objects before it takes them out of the list.
    DestroysInPlace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thread,
    Task,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    made: usize,
    limit: usize,
    waiters: VecDeque<(Kind, Waker)>,
}

/// The pool.
#[derive(Debug)]
pub struct Naive {
    flaw: Flaw,
    state: Mutex<State>,
    /// Whether the object is good. There is one.
    good: AtomicBool,
}

impl Naive {
    /// A pool of at most `limit` items, all of them made and out.
    #[must_use]
    pub fn with_all_out(flaw: Flaw, limit: usize) -> Self {
        let state = State { made: limit, limit, ..State::default() };
        Self { flaw, state: Mutex::new(state), good: AtomicBool::new(true) }
    }

    fn poll(&self, kind: Kind, waker: &Waker, left: &mut bool) -> Poll<()> {
        let mut state = self.state.lock();
        if state.free > 0 {
            state.free -= 1;
            return Poll::Ready(());
        }
        if state.made < state.limit {
            state.made += 1;
            self.good.store(true, Relaxed);
            return Poll::Ready(());
        }
        let keeps = std::mem::replace(left, true) && self.flaw == Flaw::KeepsFirstWaker;
        if !keeps && !state.waiters.iter().any(|(_, other)| other.will_wake(waker)) {
            state.waiters.push_back((kind, waker.clone()));
        }
        Poll::Pending
    }

    /// Waits for an item; `false` once `deadline` has passed.
    pub fn get(&self, deadline: Option<Instant>) -> bool {
        let mut left = false;
        block_on_until(deadline, |waker| self.poll(Kind::Thread, waker, &mut left)).is_some()
    }

    /// Waits for an item as a task.
    pub fn get_async(&self) -> impl Future<Output = ()> {
        let mut left = false;
        poll_fn(move |context| self.poll(Kind::Task, context.waker(), &mut left))
    }

    fn wake_one(&self, state: &mut State) -> Option<Waker> {
        let threads_only = self.flaw == Flaw::WakesThreadsOnly;
        let at = state.waiters.iter().position(|(kind, _)| !threads_only || *kind == Kind::Thread)?;
        state.waiters.remove(at).map(|(_, waker)| waker)
    }

    /// Puts an item back.
    pub fn put(&self) {
        let mut state = self.state.lock();
        state.free += 1;
        let waker = self.wake_one(&mut state);
        let locked = (self.flaw == Flaw::WakesLocked).then_some(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        drop(locked);
    }

    /// How many items are idle.
    pub fn idle(&self) -> usize {
        self.state.lock().free
    }

    /// Raises the limit by one.
    pub fn raise(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.limit += 1;
            if self.flaw == Flaw::RaisesQuietly { None } else { self.wake_one(&mut state) }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nobody has to wait any more.
    pub fn open(&self) {
        let mut wakers = {
            let mut state = self.state.lock();
            state.limit = usize::MAX;
            std::mem::take(&mut state.waiters)
        };
        if self.flaw == Flaw::OpensForOne {
            wakers.truncate(1);
        }
        for (_, waker) in wakers {
            waker.wake();
        }
    }

    /// Destroys an idle object.
    pub fn drain(&self) {
        if self.flaw != Flaw::DestroysInPlace {
            let mut state = self.state.lock();
            if state.free == 0 {
                return;
            }
            (state.free, state.made) = (state.free - 1, state.made - 1);
        } else if self.state.lock().free == 0 {
            return;
        }
        self.good.store(false, Relaxed);
        if self.flaw == Flaw::DestroysInPlace {
            let mut state = self.state.lock();
            if state.free > 0 {
                (state.free, state.made) = (state.free - 1, state.made - 1);
            }
        }
    }

    /// Whether the object that was got is good.
    pub fn is_good(&self) -> bool {
        self.good.load(Relaxed)
    }
}
