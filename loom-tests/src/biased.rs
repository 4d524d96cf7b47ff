//! A cell that its owner passes into without the lock of who revokes that: on
//! [`Bias`], and on what is known to be wrong. Each flaw is one edge of the
//! protocol that is not there.

use kva::bias::{Bias, Owner};
use kva::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use kva::sync::atomic::{AtomicBool, fence};

/// A bias that has one owner.
pub trait Biased: Send + Sync + 'static {
    /// Calls `f` inside; `false`: it was turned away.
    fn pass(&self, f: impl FnOnce()) -> bool;

    /// Turns the owner away, from the barrier on.
    fn revoke(&self);

    /// What comes between a revocation and the look whether the owner is inside.
    fn barrier(&self);

    /// The same, by another than who revoked.
    fn barrier_of_another(&self) {
        self.barrier();
    }

    /// Whether the owner is inside.
    fn is_inside(&self) -> bool;

    /// Lets the owner pass again.
    fn restore(&self);
}

/// The one in production.
#[derive(Debug, Default)]
pub struct Production {
    bias: Bias,
    owner: Owner,
}

impl Biased for Production {
    fn pass(&self, f: impl FnOnce()) -> bool {
        let inside = self.owner.enter(&self.bias);
        let passes = inside.is_some();
        if passes {
            f();
        }
        passes
    }

    fn revoke(&self) {
        self.bias.revoke();
    }

    fn barrier(&self) {
        self.bias.barrier();
    }

    fn is_inside(&self) -> bool {
        self.owner.is_inside()
    }

    fn restore(&self) {
        self.bias.restore();
    }
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The owner's store may be seen after its look.
    OwnerHasNoFence,
    /// The revoker's store may be seen after its look.
    RevokerHasNoFence,
    /// Who revokes has a barrier, which may be still to come; another that relies on that
    /// revocation has none.
    OneBarrierForAll,
    /// The owner looks whether it may pass, and says then that it is inside.
    LooksFirst,
    /// What the owner did inside need not be seen by who sees that it left.
    LeavesWithoutRelease,
    /// The same, on the other side.
    LooksInsideWithoutAcquire,
    /// What was done meanwhile need not be seen by an owner that passes again.
    RestoresWithoutRelease,
    /// The same, on the other side.
    PassesWithoutAcquire,
}

/// The same with a flaw.
#[derive(Debug)]
pub struct Flawed {
    flaw: Flaw,
    revoked: AtomicBool,
    inside: AtomicBool,
}

impl Flawed {
    /// The owner may pass.
    #[must_use]
    pub fn new(flaw: Flaw) -> Self {
        Self { flaw, revoked: AtomicBool::new(false), inside: AtomicBool::new(false) }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn is_revoked(&self) -> bool {
        self.revoked.load(if self.has(Flaw::PassesWithoutAcquire) { Relaxed } else { Acquire })
    }
}

impl Biased for Flawed {
    fn pass(&self, f: impl FnOnce()) -> bool {
        let looks_first = self.has(Flaw::LooksFirst);
        if looks_first && self.is_revoked() {
            return false;
        }
        self.inside.store(true, Relaxed);
        if !self.has(Flaw::OwnerHasNoFence) {
            fence(SeqCst);
        }
        let passes = looks_first || !self.is_revoked();
        if passes {
            f();
        }
        self.inside.store(false, if self.has(Flaw::LeavesWithoutRelease) { Relaxed } else { Release });
        passes
    }

    fn revoke(&self) {
        self.revoked.store(true, Relaxed);
    }

    fn barrier(&self) {
        if !self.has(Flaw::RevokerHasNoFence) {
            fence(SeqCst);
        }
    }

    fn barrier_of_another(&self) {
        if !self.has(Flaw::OneBarrierForAll) {
            self.barrier();
        }
    }

    fn is_inside(&self) -> bool {
        self.inside.load(if self.has(Flaw::LooksInsideWithoutAcquire) { Relaxed } else { Acquire })
    }

    fn restore(&self) {
        self.revoked.store(false, if self.has(Flaw::RestoresWithoutRelease) { Relaxed } else { Release });
    }
}
