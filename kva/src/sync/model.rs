//! The shim over loom.

#![allow(clippy::disallowed_types, reason = "this is the shim")]

use std::future::poll_fn;
use std::ops::{ControlFlow, Deref, DerefMut};
use std::task::{Poll, Waker};
use std::time::Instant;

pub use loom::cell::UnsafeCell;

/// Atomics.
pub mod atomic {
    pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}

/// Threads.
pub mod thread {
    pub use loom::thread::{JoinHandle, Thread, ThreadId, current, spawn, yield_now};

    /// The calling thread's.
    #[must_use]
    pub fn id() -> ThreadId {
        current().id()
    }

    /// A thread that nobody joins.
    ///
    /// # Errors
    /// Never.
    pub fn spawn_named(_: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        drop(spawn(work));
        Ok(())
    }
}

/// Two, so that small worlds reach the code that goes round again.
pub const BATCH: usize = 2;

/// loom's mutex with `parking_lot`'s interface.
#[derive(Debug)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

/// Holds a [`Mutex`].
#[derive(Debug)]
pub struct MutexGuard<'a, T>(loom::sync::MutexGuard<'a, T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// Locks.
    ///
    /// # Panics
    /// If a thread panicked while it held the lock. No caller code runs under a
    /// lock of ours (P8), so that is a bug in our own code.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.0.lock().expect("a panic under a lock of ours"))
    }

    /// Locks. That it might find the lock taken decides nothing but how large magazines are, so
    /// that is not explored.
    ///
    /// # Panics
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        Some(self.lock())
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// Nothing: there is no [`heavy_barrier`] to go with it.
pub const fn light_barrier() {}

/// No: loom models full fences, and both sides use those.
pub const fn has_heavy_barrier() -> bool {
    false
}

/// Is not there.
///
/// # Panics
/// Always.
pub fn heavy_barrier() {
    unreachable!("it is not there");
}

#[doc(hidden)]
pub use loom::thread_local;

/// A static of each modelled thread's own, dropped when the thread ends.
#[doc(hidden)]
#[macro_export]
macro_rules! thread_value {
    (static $name:ident: $type:ty = $value:expr;) => {
        $crate::sync::thread_local! {
            static $name: $type = $value;
        }
    };
}
pub use thread_value;

/// Two, so that one exchange more or less is one put more or less.
pub const ROUNDS: usize = 2;

/// Makes loom report whatever holds one of these and is not dropped.
#[derive(Debug)]
pub struct LeakCheck(#[allow(dead_code, reason = "dropped for its effect")] loom::alloc::Track<()>);

impl LeakCheck {
    /// A new check.
    #[must_use]
    pub fn new() -> Self {
        Self(loom::alloc::Track::new(()))
    }
}

impl Default for LeakCheck {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls `poll` until it breaks; see the real one. The moment that it would sleep until has
/// always passed: loom explores what others do before it looks again, which is all that a
/// longer wait could show. (loom's wakes for no reason would not serve: they yield, and so
/// come only after everything else that can happen.) Only the first that it would sleep until
/// after a wake, though: who looks at its time again and again would never sleep.
pub fn block_on<T>(mut poll: impl FnMut(&Waker, Option<Instant>) -> ControlFlow<T, Option<Instant>>) -> T {
    loom::future::block_on(poll_fn(|context| {
        let again = match poll(context.waker(), None) {
            ControlFlow::Continue(Some(moment)) => poll(context.waker(), Some(moment)),
            once => once,
        };
        match again {
            ControlFlow::Break(value) => Poll::Ready(value),
            ControlFlow::Continue(_) => Poll::Pending,
        }
    }))
}
