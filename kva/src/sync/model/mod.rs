//! The shim over a model checker, which decides who runs when: loom, or shuttle.

#![allow(clippy::disallowed_types, reason = "this is the shim")]

use std::ops::{Deref, DerefMut};

#[cfg(not(shuttle))]
mod exhaustive;
#[cfg(shuttle)]
mod random;

#[cfg(not(shuttle))]
use exhaustive as checker;
#[cfg(shuttle)]
use random as checker;

pub use checker::*;

/// Threads.
pub mod thread {
    pub use super::checker::threads::{JoinHandle, Thread, ThreadId, current, spawn, yield_now};

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

/// The checker's mutex with `parking_lot`'s interface.
#[derive(Debug)]
pub struct Mutex<T>(checker::locks::Mutex<T>);

/// Holds a [`Mutex`].
#[derive(Debug)]
pub struct MutexGuard<'a, T>(checker::locks::MutexGuard<'a, T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub fn new(value: T) -> Self {
        Self(checker::locks::Mutex::new(value))
    }

    /// Locks.
    ///
    /// # Panics
    /// If a thread panicked while it held the lock, where the checker can tell. No caller code
    /// runs under a lock of ours (P8), so that is a bug in our own code.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(checker::held(self.0.lock()))
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

/// No: both sides use full fences, which loom models.
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
