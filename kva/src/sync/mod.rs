//! The one place where `std::sync`, `parking_lot` and `loom` are named.
//!
//! Under `--cfg loom` every type here is loom's, so what loom explores is the
//! production code and not a copy of it. Nothing outside this folder says
//! `cfg(loom)` inside an algorithm; what differs between the two worlds differs
//! here: how a thread waits, how large a batch is, whether equations are checked.
//!
//! # Deliberate choices
//!
//! - **One way to wait.** [`block_on_until`] is the only sleep. Whoever waits is
//!   known to others by a [`Waker`](std::task::Waker), so a thread and a future
//!   are the same thing to a queue. loom lets condition variables and park tokens
//!   interfere (tokio-rs/loom#422): here neither is used directly.
//! - **[`Arc`] is `std`'s in both worlds.** loom's cannot be unsized, and back-ends
//!   hold `Arc<dyn Sink>`. Its reference counts decide nothing in our protocols;
//!   what loom's would add is the leak check, and [`LeakCheck`] does that.
//! - **Deadlines never fire under loom by the clock.** They fire whenever loom
//!   wakes a waiter for no reason, which it explores both ways, so that a timeout
//!   is raced against everything else and nothing can rely on it.
//!
//! The module is public because `pool` and `loom-tests` use it. It is no part of
//! the API.

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

    /// A number that no other arena or table of this process has. `std`'s atomic in
    /// both worlds: loom's cannot be static, and which number it is decides nothing.
    #[must_use]
    pub fn unique_id() -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}
pub use shared::{Arc, Weak, unique_id};

/// Whether this is loom's world, where nothing works outside a model: examples in the
/// documentation ask, since `rustdoc` is not told of `--cfg loom`.
pub const IS_MODEL: bool = cfg!(loom);

/// Whether equations are checked before every unlock.
pub const CHECKED: bool = cfg!(any(debug_assertions, loom));
