//! The one place where `std::sync`, `parking_lot`, `loom` and `shuttle` are named.
//!
//! Under `--cfg loom` every type here is a model checker's, so what it explores is the
//! production code and not a copy of it. Nothing outside this folder says
//! `cfg(loom)` inside an algorithm; what differs between the two worlds differs
//! here: how a thread waits, how large a batch is, whether equations are checked.
//!
//! The checker is loom, which explores small worlds exhaustively. With `--cfg shuttle` beside
//! `--cfg loom` it is shuttle, which runs large ones in schedules drawn at random: the same model's
//! world otherwise, so that nothing but the shim and those who run worlds has to know which it is.
//!
//! # Deliberate choices
//!
//! - **One way to wait.** [`block_on`] is the only sleep. Whoever waits is
//!   known to others by a [`Waker`](std::task::Waker), so a thread and a future
//!   are the same thing to a queue. loom lets condition variables and park tokens
//!   interfere (tokio-rs/loom#422): here neither is used directly.
//! - **[`Arc`] is `std`'s in all worlds.** loom's cannot be unsized, and back-ends
//!   hold `Arc<dyn Sink>`. Its reference counts decide nothing in our protocols;
//!   what loom's would add is the leak check, and [`LeakCheck`] does that.
//! - **Deadlines never fire under loom by the clock.** There, whoever would sleep
//!   until a moment is told at once that it has passed. What others do before it
//!   takes a lock to leave is explored, so that a timeout is raced against
//!   everything else and nothing can rely on it. Under shuttle they pass by chance.
//!
//! The module is public because `pool` and `loom-tests` use it. It is no part of
//! the API.

#[cfg(all(shuttle, not(loom)))]
compile_error!("`--cfg shuttle` says which checker a model's world is for: `--cfg loom --cfg shuttle`");

#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod real;

#[cfg(loom)]
pub use model::*;
#[cfg(not(loom))]
pub use real::*;

#[allow(clippy::disallowed_types, reason = "this is the shim")]
mod shared {
    use std::sync::atomic::{AtomicU32, Ordering};
    pub use std::sync::{Arc, Weak};

    /// A list that is the process's and decides nothing. `std`'s lock in both worlds: loom's
    /// cannot be static.
    #[derive(Debug)]
    pub struct GlobalMutex<T>(std::sync::Mutex<T>);

    impl<T> GlobalMutex<T> {
        /// Unlocked.
        pub const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        /// Calls `f` with the lock held.
        pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
        }
    }

    /// A number that no other arena or table of this process has. `std`'s atomic in
    /// both worlds: loom's cannot be static, and which number it is decides nothing.
    #[must_use]
    pub fn unique_id() -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}
pub use shared::{Arc, GlobalMutex, Weak, unique_id};

pub mod unseen;

use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Calls `poll` until it is ready, sleeping in between until the waker it was given is
/// woken; `None` once `deadline` has passed and `poll` is still pending.
pub fn block_on_until<T>(deadline: Option<Instant>, mut poll: impl FnMut(&Waker) -> Poll<T>) -> Option<T> {
    block_on(|waker, passed| match poll(waker) {
        Poll::Ready(value) => ControlFlow::Break(Some(value)),
        Poll::Pending if passed.is_some() => ControlFlow::Break(None),
        Poll::Pending => ControlFlow::Continue(deadline),
    })
}

/// Drives a future on this thread, sleeping while it is pending.
pub fn block_on_future<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    block_on(|waker, _| match future.as_mut().poll(&mut Context::from_waker(waker)) {
        Poll::Ready(output) => ControlFlow::Break(output),
        Poll::Pending => ControlFlow::Continue(None),
    })
}

/// Whether this is a model checker's world, where nothing works outside a model: examples in the
/// documentation ask, since `rustdoc` is not told of `--cfg loom`.
pub const IS_MODEL: bool = cfg!(loom);

/// Whether equations are checked before every unlock.
pub const CHECKED: bool = cfg!(any(debug_assertions, loom));
