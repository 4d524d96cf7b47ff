//! A lock that is biased to owners: each passes into its own cell without a locked instruction or
//! a fence, and can be shut out.
//!
//! The owner of a cell stores that it is inside, then looks whether the bias is revoked. Who
//! revokes stores that, then looks whether the owner is inside. Each must not miss the other, and
//! for that a full barrier must lie between the store and the look, on both sides (Dekker). The
//! owner passes a million times for each revocation, so the revoker pays for both: its
//! membarrier(2) makes every thread of the process pass a full barrier, wherever it is, and the
//! owner only keeps its compiler from reordering. Where there is no such call, both sides use a full
//! fence. (Dice, Huang and Yang, "Asymmetric Dekker Synchronization", 2001; Russell and Detlefs,
//! "Eliminating Synchronization-Related Atomic Operations with Biased Locking and Bulk
//! Rebiasing", OOPSLA 2006.)
//!
//! # States of a [`Bias`]
//!
//! | state | owners | changed by |
//! | --- | --- | --- |
//! | `DIRECT` | pass, with a light barrier | [`Bias::revoke`] |
//! | `FENCED` | pass, with a full fence; instead of `DIRECT` where there is no heavy barrier | [`Bias::revoke`] |
//! | `REVOKED` | are turned away | [`Bias::restore`] |
//!
//! # Invariants
//!
//! 1. `revoke` and `restore` are called by one thread at a time, and each sees what the one before
//!    did: their caller holds a lock.
//! 2. After `revoke` and a [`barrier`](Bias::barrier) that came after it, an owner of whom
//!    [`Owner::is_inside`] says that it is outside stays outside until `restore`. What it did
//!    inside happened before that was said.
//! 3. What was done before `restore` happened before an owner is inside again.

use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use crate::sync::{has_heavy_barrier, heavy_barrier, light_barrier};

const DIRECT: u32 = 0;
const FENCED: u32 = 1;
const REVOKED: u32 = 2;

/// Whether owners may pass.
#[derive(Debug)]
pub struct Bias {
    state: AtomicU32,
}

/// Who passes, by itself, one at a time.
#[derive(Debug)]
pub struct Owner {
    inside: AtomicBool,
}

/// An owner that is inside. It leaves when this is dropped.
#[derive(Debug)]
#[must_use = "whoever is inside leaves when this is dropped"]
pub struct Inside<'a>(&'a Owner);

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `is_inside`, so that what was done inside is seen by
        // whoever sees that nobody is.
        self.0.inside.store(false, Ordering::Release);
    }
}

impl Bias {
    /// Owners may pass.
    #[must_use]
    pub fn new() -> Self {
        Self { state: AtomicU32::new(Self::passing()) }
    }

    fn passing() -> u32 {
        if has_heavy_barrier() { DIRECT } else { FENCED }
    }

    /// Owners may not pass any more; those inside are inside still. To be followed by a
    /// [`barrier`](Self::barrier).
    pub fn revoke(&self) {
        // Relaxed: the barrier that follows orders it before the look at who is inside.
        self.state.store(REVOKED, Ordering::Relaxed);
    }

    /// After this, an owner that did not see the revocation is seen to be inside, or was.
    pub fn barrier(&self) {
        if has_heavy_barrier() {
            heavy_barrier();
        } else {
            // SeqCst: pairs with the fence in `enter`. If this one is first in their order, the
            // owner's look after its own sees `REVOKED`. If that one is first, our look at
            // `inside` sees the owner's store, or a later one.
            fence(Ordering::SeqCst);
        }
    }

    /// Owners may pass again.
    pub fn restore(&self) {
        // Release: pairs with the Acquire in `enter`, so that an owner sees what was done to its
        // cell meanwhile.
        self.state.store(Self::passing(), Ordering::Release);
    }

    /// Whether owners are turned away. A hint, but to who holds the lock.
    #[inline]
    pub fn is_revoked(&self) -> bool {
        // Relaxed: who relies on it has the lock, or had it after the last store that matters.
        self.state.load(Ordering::Relaxed) == REVOKED
    }
}

impl Default for Bias {
    fn default() -> Self {
        Self::new()
    }
}

impl Owner {
    /// Outside.
    #[must_use]
    pub fn new() -> Self {
        Self { inside: AtomicBool::new(false) }
    }

    /// Passes, unless the bias is revoked. Called by one thread at a time, the cell's owner, and
    /// not while it is inside.
    #[inline]
    pub fn enter(&self, bias: &Bias) -> Option<Inside<'_>> {
        // Relaxed: ordered before the look by the barrier between them.
        self.inside.store(true, Ordering::Relaxed);
        let inside = Inside(self);
        light_barrier();
        // Acquire: pairs with the Release in `restore`.
        match bias.state.load(Ordering::Acquire) {
            DIRECT => Some(inside),
            state => Self::with_fence(inside, bias, state),
        }
    }

    #[cold]
    fn with_fence<'a>(inside: Inside<'a>, bias: &Bias, state: u32) -> Option<Inside<'a>> {
        if state == REVOKED {
            return None;
        }
        // SeqCst: pairs with the one in `barrier`.
        fence(Ordering::SeqCst);
        // Acquire: as in `enter`.
        (bias.state.load(Ordering::Acquire) == FENCED).then_some(inside)
    }

    /// Whether the owner is inside.
    pub fn is_inside(&self) -> bool {
        // Acquire: pairs with the Release of who leaves.
        self.inside.load(Ordering::Acquire)
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self::new()
    }
}
