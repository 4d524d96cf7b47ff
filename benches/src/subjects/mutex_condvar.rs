//! A stack under a mutex and a condition variable: the pool that everybody has written once.
//!
//! Written with care: getters that find an object do not queue up (they barge), nobody is notified
//! unless somebody waits, and that is done with the lock released.

use std::mem::MaybeUninit;
use std::ops::DerefMut;
use std::sync::PoisonError;

use crate::overtakes::Overtakes;
use crate::subject::{Boxed, Shared, Stock, boxes};

/// A mutex and a condition variable of one library.
pub trait Monitor<T: Send>: Sync + 'static {
    /// As [`Shared::NAME`], of the subject that uses it.
    const NAME: &'static str;

    /// The lock, held.
    type Guard<'a>: DerefMut<Target = T>;

    /// Unlocked, with `state` in it.
    fn new(state: T) -> Self;

    /// Locks.
    fn lock(&self) -> Self::Guard<'_>;

    /// Waits until notified, or woken for nothing.
    fn wait<'a>(&'a self, guard: Self::Guard<'a>) -> Self::Guard<'a>;

    /// Wakes one who waits.
    fn notify(&self);
}

/// The standard library's.
#[derive(Debug)]
pub struct Std<T> {
    state: std::sync::Mutex<T>,
    put: std::sync::Condvar,
}

impl<T: Send + 'static> Monitor<T> for Std<T> {
    const NAME: &'static str = "std mutex + condvar";

    type Guard<'a> = std::sync::MutexGuard<'a, T>;

    fn new(state: T) -> Self {
        Self { state: std::sync::Mutex::new(state), put: std::sync::Condvar::new() }
    }

    #[inline]
    fn lock(&self) -> Self::Guard<'_> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn wait<'a>(&'a self, guard: Self::Guard<'a>) -> Self::Guard<'a> {
        self.put.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn notify(&self) {
        self.put.notify_one();
    }
}

/// `parking_lot`'s.
#[derive(Debug)]
pub struct ParkingLot<T> {
    state: parking_lot::Mutex<T>,
    put: parking_lot::Condvar,
}

impl<T: Send + 'static> Monitor<T> for ParkingLot<T> {
    const NAME: &'static str = "parking_lot mutex + condvar";

    type Guard<'a> = parking_lot::MutexGuard<'a, T>;

    fn new(state: T) -> Self {
        Self { state: parking_lot::Mutex::new(state), put: parking_lot::Condvar::new() }
    }

    #[inline]
    fn lock(&self) -> Self::Guard<'_> {
        self.state.lock()
    }

    #[inline]
    fn wait<'a>(&'a self, mut guard: Self::Guard<'a>) -> Self::Guard<'a> {
        self.put.wait(&mut guard);
        guard
    }

    #[inline]
    fn notify(&self) {
        self.put.notify_one();
    }
}

/// What is under the lock.
#[derive(Debug)]
pub struct State {
    idle: Vec<Boxed>,
    waiting: usize,
    overtakes: Option<Overtakes>,
}

/// The pool.
#[derive(Debug)]
pub struct MutexCondvar<M>(M);

impl<M: Monitor<State>> Shared for MutexCondvar<M> {
    const NAME: &'static str = M::NAME;

    type Item<'a> = Boxed;

    fn new(stock: Stock) -> Self {
        let overtakes = stock.is_counted().then(Overtakes::default);
        Self(M::new(State { idle: boxes(stock).collect(), waiting: 0, overtakes }))
    }

    #[inline]
    fn get(&self) -> Boxed {
        let mut state = self.0.lock();
        match state.idle.pop() {
            Some(object) => {
                state.overtakes.iter_mut().for_each(Overtakes::passed_by);
                object
            }
            None => self.wait(state),
        }
    }

    #[inline]
    fn put(&self, item: Boxed) {
        let mut state = self.0.lock();
        state.idle.push(item);
        let somebody_waits = state.waiting > 0;
        drop(state);
        if somebody_waits {
            self.0.notify();
        }
    }

    #[inline]
    fn first_byte(item: &mut Boxed) -> &mut MaybeUninit<u8> {
        item.first_byte()
    }

    fn most_overtaken(&self) -> Option<u64> {
        self.0.lock().overtakes.as_ref().map(Overtakes::most)
    }
}

impl<M: Monitor<State>> MutexCondvar<M> {
    #[cold]
    fn wait<'a>(&'a self, mut state: M::Guard<'a>) -> Boxed {
        let ticket = state.overtakes.as_mut().map(Overtakes::begin_to_wait);
        state.waiting += 1;
        loop {
            state = self.0.wait(state);
            if let Some(object) = state.idle.pop() {
                state.waiting -= 1;
                if let (Some(overtakes), Some(ticket)) = (&mut state.overtakes, ticket) {
                    overtakes.served(ticket);
                }
                return object;
            }
        }
    }
}
