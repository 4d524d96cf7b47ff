//! What is shuttle's own: it runs one schedule after the other, each drawn at random, of worlds too
//! large to explore.
//!
//! shuttle is sequentially consistent whatever an access says, and its fence does nothing. So it finds
//! what is wrong with a protocol, never what is wrong with an ordering: that is loom's to find.
//!
//! All threads of a world are one thread of the system, which they take turns at. What `std` keeps by
//! thread is the world's, then: `std::thread::panicking` is true of all while one of them unwinds.
//! In a world where several panic, [`FirstPanic`](crate::panics::FirstPanic) may keep one to itself.

#![allow(clippy::disallowed_types, reason = "this is the shim")]

use std::cell::Cell;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{LockResult, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use shuttle::rand::{RngCore, thread_rng};
pub(super) use shuttle::{sync as locks, thread as threads};

/// Atomics.
pub mod atomic {
    pub use shuttle::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}

/// The guard, whether somebody panicked with it or not. All threads of a world are one of the system's,
/// so that to `std` a lock is poisoned by who has it while another unwinds.
pub(super) fn held<G>(lock: LockResult<G>) -> G {
    lock.unwrap_or_else(PoisonError::into_inner)
}

#[doc(hidden)]
pub use shuttle::thread_local;

std::thread_local! {
    /// How many checks there are. All threads of a world are one thread of the system.
    static CHECKS: Cell<usize> = const { Cell::new(0) };
}

/// Counts: see [`unleaked`].
#[derive(Debug)]
pub struct LeakCheck(());

impl LeakCheck {
    /// A new check.
    #[must_use]
    pub fn new() -> Self {
        CHECKS.set(CHECKS.get() + 1);
        Self(())
    }
}

impl Default for LeakCheck {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for LeakCheck {
    fn drop(&mut self) {
        CHECKS.set(CHECKS.get() - 1);
    }
}

/// How many [`LeakCheck`]s are left of this world. At its end, that is how many things leaked.
#[must_use]
pub fn checks_left() -> usize {
    CHECKS.get()
}

/// Forgets the checks of a world that failed.
pub fn forget_checks() {
    CHECKS.set(0);
}

/// Nobody is at it.
const FREE: u32 = 0;
/// Somebody writes. Less is how many read.
const WRITTEN: u32 = u32::MAX;

/// [`std::cell::UnsafeCell`] with loom's interface. As loom's it fails if two are at it at once, of
/// whom one writes; it lets others run in the middle of an access, to find them.
#[derive(Debug, Default)]
pub struct UnsafeCell<T> {
    /// Not shuttle's: what tells of races must not order what races.
    users: AtomicU32,
    value: std::cell::UnsafeCell<T>,
}

/// Ends an access, whatever unwinds.
struct Access<'a>(&'a AtomicU32);

impl Drop for Access<'_> {
    fn drop(&mut self) {
        let users = self.0.load(Relaxed);
        self.0.store(if users == WRITTEN { FREE } else { users - 1 }, Relaxed);
    }
}

impl<T> UnsafeCell<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self { users: AtomicU32::new(FREE), value: std::cell::UnsafeCell::new(value) }
    }

    /// Calls `f` with a pointer to read through.
    ///
    /// # Panics
    /// If somebody writes.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        let users = self.users.load(Relaxed);
        assert_ne!(users, WRITTEN, "Causality violation: read beside a write");
        self.users.store(users + 1, Relaxed);
        let _access = Access(&self.users);
        let_others_run();
        f(self.value.get())
    }

    /// Calls `f` with a pointer to write through.
    ///
    /// # Panics
    /// If somebody else is at it.
    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        assert_eq!(self.users.load(Relaxed), FREE, "Causality violation: written beside another access");
        self.users.store(WRITTEN, Relaxed);
        let _access = Access(&self.users);
        let_others_run();
        f(self.value.get())
    }
}

/// Somebody else may run now.
fn let_others_run() {
    threads::sleep(Duration::ZERO);
}

/// Calls `poll` until it breaks; see the real one. The moment that it would sleep until passes when
/// the scheduler wants, by chance, and by the same chance when a schedule is replayed. It passes in
/// the end: who waits until then never hangs, as in life, so that no world should have nobody else.
pub fn block_on<T>(mut poll: impl FnMut(&Waker, Option<Instant>) -> ControlFlow<T, Option<Instant>>) -> T {
    /// One look in so many finds that the moment has passed: few enough that most are served before,
    /// in worlds whose waits are tens of looks long.
    const PATIENCE: u64 = 16;

    let mut passed = None;
    shuttle::future::block_on(poll_fn(|context| {
        loop {
            match poll(context.waker(), passed.take()) {
                ControlFlow::Break(value) => return Poll::Ready(value),
                ControlFlow::Continue(None) => return Poll::Pending,
                ControlFlow::Continue(until) if thread_rng().next_u64().is_multiple_of(PATIENCE) => {
                    passed = until;
                }
                ControlFlow::Continue(Some(_)) => threads::yield_now(),
            }
        }
    }))
}
