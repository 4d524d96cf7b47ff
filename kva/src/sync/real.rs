//! The shim over `parking_lot` and `std`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is the shim")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Instant;

use crossbeam_utils::Backoff;
pub use parking_lot::MutexGuard;

/// Atomics: `std`'s, wrapped so that a lint can tell them from those that loom does
/// not see.
pub mod atomic {
    pub use std::sync::atomic::Ordering;

    /// `std`'s fence.
    #[inline]
    pub fn fence(order: Ordering) {
        std::sync::atomic::fence(order);
    }

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            /// `std`'s atomic of this name.
            #[derive(Debug, Default)]
            pub struct $name(std::sync::atomic::$name);

            impl $name {
                /// An atomic of `value`.
                #[must_use]
                pub const fn new(value: $value) -> Self {
                    Self(std::sync::atomic::$name::new(value))
                }
                /// Loads.
                #[inline]
                pub fn load(&self, order: Ordering) -> $value {
                    self.0.load(order)
                }
                /// Stores.
                #[inline]
                pub fn store(&self, value: $value, order: Ordering) {
                    self.0.store(value, order);
                }
                /// Stores `new` if `current` is there; what was there.
                ///
                /// # Errors
                /// Something else was there.
                #[inline]
                pub fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.0.compare_exchange(current, new, success, failure)
                }
                /// Stores; what was there.
                #[inline]
                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.0.swap(value, order)
                }
            }
        };
        ($name:ident, $value:ty, counts) => {
            atomic!($name, $value);

            impl $name {
                /// Adds, wrapping; what was there.
                #[inline]
                pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_add(value, order)
                }
                /// Subtracts, wrapping; what was there.
                #[inline]
                pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_sub(value, order)
                }
            }
        };
    }

    atomic!(AtomicBool, bool);
    atomic!(AtomicU32, u32, counts);
    atomic!(AtomicU64, u64, counts);
    atomic!(AtomicUsize, usize, counts);
}

/// `parking_lot`'s mutex.
#[derive(Debug, Default)]
pub struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    /// Locks.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock()
    }

    /// Locks, if nobody else has it locked.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock()
    }
}

/// Keeps the compiler from moving anything across it, and the processor from nothing: one half
/// of a pair whose other half is a [`heavy_barrier`].
#[inline]
pub fn light_barrier() {
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}

#[cfg(target_os = "linux")]
mod membarrier {
    use rustix::thread::{MembarrierCommand, membarrier, membarrier_query};

    fn register() -> bool {
        membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
    }

    pub(super) fn is_there() -> bool {
        static IS_THERE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *IS_THERE.get_or_init(|| {
            membarrier_query().contains_command(MembarrierCommand::PrivateExpedited) && register()
        })
    }

    pub(super) fn run() {
        let run = || membarrier(MembarrierCommand::PrivateExpedited).is_ok();
        if run() || (register() && run()) {
            return;
        }
        // Others go by light barriers since it was there. Nothing that goes on from here is sound.
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"kva: membarrier(2) worked when this process began, and is refused now\n",
        );
        std::process::abort();
    }
}

#[cfg(not(target_os = "linux"))]
mod membarrier {
    pub(super) const fn is_there() -> bool {
        false
    }

    pub(super) fn run() {
        unreachable!("it is not there");
    }
}

/// Whether there is a [`heavy_barrier`]. Says the same each time.
pub fn has_heavy_barrier() -> bool {
    membarrier::is_there()
}

/// Each thread of the process passes a full barrier before this returns: membarrier(2), private
/// and expedited.
pub fn heavy_barrier() {
    membarrier::run();
}

/// A static of each thread's own, of a constant value, dropped when the thread ends.
#[doc(hidden)]
#[macro_export]
macro_rules! thread_value {
    (static $name:ident: $type:ty = $value:expr;) => {
        std::thread_local! {
            static $name: $type = const { $value };
        }
    };
}
pub use thread_value;

/// How many rounds a magazine has room for: so many that an exchange with the depot, under a
/// lock, costs little beside them, and so few that those of a thread stay in its first cache.
pub const ROUNDS: usize = 64;

/// Threads.
pub mod thread {
    pub use std::thread::{JoinHandle, Thread, ThreadId, current, spawn, yield_now};

    /// The calling thread's.
    #[must_use]
    pub fn id() -> ThreadId {
        current().id()
    }

    /// A thread that nobody joins.
    ///
    /// # Errors
    /// The system has none.
    pub fn spawn_named(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
    }
}

/// How much is decided under one hold of a lock before it is dropped and acted
/// upon. Large enough that a put or a grant never needs a second hold; small
/// enough to live on the stack.
pub const BATCH: usize = 16;

/// [`std::cell::UnsafeCell`] with loom's interface.
#[derive(Debug, Default)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with a pointer to read through.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Calls `f` with a pointer to write through.
    #[inline]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Tells loom that whatever holds one of these must be dropped. Nothing here.
#[derive(Debug, Default)]
pub struct LeakCheck;

impl LeakCheck {
    /// A new check.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// One allocation for each thread that ever waits, none for each wait.
    static WAKER: Waker = Waker::from(Arc::new(Unpark(std::thread::current())));
}

/// Calls `poll` until it breaks, sleeping in between until the waker it was given is woken
/// or the moment that it continued with has passed. That moment is then told to `poll`.
pub fn block_on<T>(mut poll: impl FnMut(&Waker, Option<Instant>) -> ControlFlow<T, Option<Instant>>) -> T {
    // A thread whose locals are gone already can still wait, for one allocation.
    WAKER.try_with(|waker| park_until_break(waker, &mut poll)).unwrap_or_else(|_| {
        park_until_break(&Waker::from(Arc::new(Unpark(std::thread::current()))), &mut poll)
    })
}

fn park_until_break<T>(
    waker: &Waker,
    poll: &mut impl FnMut(&Waker, Option<Instant>) -> ControlFlow<T, Option<Instant>>,
) -> T {
    // What is waited for is often a few hundred nanoseconds away, and a park and
    // an unpark cost microseconds.
    let spin = Backoff::new();
    let mut passed = None;
    loop {
        let until = match poll(waker, passed.take()) {
            ControlFlow::Break(value) => return value,
            ControlFlow::Continue(until) => until,
        };
        if !spin.is_completed() {
            spin.snooze();
            continue;
        }
        match until {
            None => std::thread::park(),
            Some(moment) => {
                let left = moment.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    passed = until;
                } else {
                    std::thread::park_timeout(left);
                }
            }
        }
    }
}
