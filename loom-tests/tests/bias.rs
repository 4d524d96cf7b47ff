//! A bias alone: its owner passes into a cell without a lock, and who revokes that has the
//! cell to itself once the owner is outside.

use kva::sync::thread::{spawn, yield_now};
use kva::sync::{Arc, Mutex, UnsafeCell};
use loom_tests::biased::{Biased, Flaw, Flawed, Production};
use loom_tests::run::{known_bad, model, witnessed};

/// What is wrong if two are at the cell at once: loom says it, who sees each access.
const RACE: &str = "Causality violation";

/// How often the owner tries to pass, and how often that is revoked.
#[derive(Clone, Copy)]
struct Times {
    passes: u32,
    revocations: u32,
}

/// What both count up without another lock.
struct Cell<B> {
    bias: B,
    counted: UnsafeCell<u32>,
}

// SAFETY: that the cell is one's at a time is what the models show.
unsafe impl<B: Sync> Sync for Cell<B> {}
// SAFETY: it is a number.
unsafe impl<B: Send> Send for Cell<B> {}

impl<B: Biased> Cell<B> {
    fn count(&self) {
        // SAFETY: as above. If it is not so, loom fails before the pointer is used.
        self.counted.with_mut(|counted| unsafe { *counted += 1 });
    }

    fn count_if_outside(&self, lock: &Mutex<bool>) {
        let _locked = lock.lock();
        if !self.bias.is_inside() {
            self.count();
        }
    }

    fn count_revoked(&self) {
        self.bias.revoke();
        self.bias.barrier();
        while self.bias.is_inside() {
            yield_now();
        }
        self.count();
        self.bias.restore();
    }
}

/// How often the owner passed while it was revoked and restored, all of which was counted.
fn world<B: Biased>(bias: B, times: Times) -> u32 {
    let cell = Arc::new(Cell { bias, counted: UnsafeCell::new(0) });
    let owner = {
        let cell = cell.clone();
        spawn(move || (0..times.passes).map(|_| u32::from(cell.bias.pass(|| cell.count()))).sum::<u32>())
    };
    for _ in 0..times.revocations {
        cell.count_revoked();
    }
    let passed = owner.join().unwrap();
    cell.bias.revoke();
    assert!(!cell.bias.is_inside(), "it ended inside");
    // SAFETY: the owner has ended.
    let counted = cell.counted.with(|counted| unsafe { *counted });
    assert_eq!(counted, passed + times.revocations, "a count was lost");
    passed
}

/// One revokes, and another finds that. Each has the cell to itself if it sees the owner outside,
/// after a barrier of its own.
fn joined<B: Biased>(bias: B) {
    let cell = Arc::new(Cell { bias, counted: UnsafeCell::new(0) });
    let is_revoked = Arc::new(Mutex::new(false));
    let owner = {
        let cell = cell.clone();
        spawn(move || {
            cell.bias.pass(|| cell.count());
        })
    };
    let other = {
        let (cell, is_revoked) = (cell.clone(), is_revoked.clone());
        spawn(move || {
            let joins = *is_revoked.lock();
            if joins {
                cell.bias.barrier_of_another();
                cell.count_if_outside(&is_revoked);
            }
        })
    };
    {
        let mut is_revoked = is_revoked.lock();
        cell.bias.revoke();
        *is_revoked = true;
    }
    cell.bias.barrier();
    cell.count_if_outside(&is_revoked);
    other.join().unwrap();
    owner.join().unwrap();
}

const ONCE: Times = Times { passes: 1, revocations: 1 };
const PASSES_AGAIN: Times = Times { passes: 2, revocations: 1 };
const REVOKED_AGAIN: Times = Times { passes: 1, revocations: 2 };

#[test]
fn passing_against_a_revocation() {
    witnessed("bias/pass_against_revoke", "it was turned away", |turned_away| {
        turned_away.saw(world(Production::default(), ONCE) == 0);
    });
}

#[test]
fn passing_again_after_a_restoration() {
    witnessed("bias/passes_again", "it passed twice", |twice| {
        twice.saw(world(Production::default(), PASSES_AGAIN) == 2);
    });
}

#[test]
fn revoked_twice() {
    model("bias/revoked_again", || {
        world(Production::default(), REVOKED_AGAIN);
    });
}

#[test]
fn joined_by_another() {
    model("bias/joined", || joined(Production::default()));
}

#[test]
fn joined_by_another_without_a_barrier() {
    known_bad("bias/joined_without_barrier", RACE, || joined(Flawed::new(Flaw::OneBarrierForAll)));
}

fn twin(name: &str, flaw: Flaw, times: Times) {
    known_bad(name, RACE, move || {
        world(Flawed::new(flaw), times);
    });
}

#[test]
fn an_owner_without_a_fence() {
    twin("bias/owner_without_fence", Flaw::OwnerHasNoFence, ONCE);
}

#[test]
fn a_revoker_without_a_fence() {
    twin("bias/revoker_without_fence", Flaw::RevokerHasNoFence, ONCE);
}

#[test]
fn an_owner_that_looks_first() {
    twin("bias/looks_first", Flaw::LooksFirst, ONCE);
}

#[test]
fn an_owner_that_leaves_without_release() {
    twin("bias/leaves_without_release", Flaw::LeavesWithoutRelease, ONCE);
}

#[test]
fn a_revoker_that_looks_without_acquire() {
    twin("bias/looks_without_acquire", Flaw::LooksInsideWithoutAcquire, ONCE);
}

#[test]
fn a_bias_restored_without_release() {
    twin("bias/restored_without_release", Flaw::RestoresWithoutRelease, PASSES_AGAIN);
}

#[test]
fn an_owner_that_passes_without_acquire() {
    twin("bias/passes_without_acquire", Flaw::PassesWithoutAcquire, PASSES_AGAIN);
}
