//! What is loom's own: it explores all that can happen, the orderings of accesses included.

#![allow(clippy::disallowed_types, reason = "this is the shim")]

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::LockResult;
use std::task::{Poll, Waker};
use std::time::Instant;

pub use loom::cell::UnsafeCell;
pub(super) use loom::{sync as locks, thread as threads};

/// Atomics.
pub mod atomic {
    pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}

/// The guard, of a lock that nobody panicked with.
#[track_caller]
pub(super) fn held<G>(lock: LockResult<G>) -> G {
    lock.expect("a panic under a lock of ours")
}

#[doc(hidden)]
pub use loom::thread_local;

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
