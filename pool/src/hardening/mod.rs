//! The feature `hardening`: what finds uses and puts of memory by those who do not have it, or
//! hampers who lives by them.
//!
//! A pool of memory hands out bare pointers, and its callers' code may be wrong: an item is used after
//! it was put, put twice, or written past its end. Nothing of ours is in items, so none of that
//! corrupts a pool; but the memory is somebody else's by then. Each knob is for one kind of that:
//!
//! | knob | what it does | at |
//! | --- | --- | --- |
//! | [poison](poison) | what is put is filled, and seen to be as it was filled when it is got | put, get |
//! | [quarantine](quarantine) | what is put is lent to nobody for a while | put |
//! | [guard pages](guard) | an item ends where an inaccessible page begins | a page comes, and goes |
//! | [random order](order) | which free item is lent is drawn | get, a page comes |
//! | [traces](traces) | where each item was got and put last is kept, for reports | get, put |
//!
//! # What all of them rest on
//!
//! 1. **Claims.** A put first claims its item under the lock: the mark goes from `OUT` to `CACHED`.
//!    So of two puts at the same time one has it and the other is found out, and the item is its
//!    putter's alone while it is filled and its trace noted, unlocked. Then it takes the lock again.
//!    A put that was found out has changed nothing.
//! 2. **No thread has a cache.** One is a stack: what is put is what is got next, by the very thread
//!    that may use it still. So each get and put takes the lock, and none of this is on the way past
//!    it.
//! 3. **What is in quarantine is what is in the depot** to everybody else (`cache/depot.rs`): out as
//!    far as the pages know, idle in the figures, and taken back by the same sweep, under the same
//!    phases. So whoever is about to wait or to fail, drains, closes or lowers the limit has it
//!    back first, and while the pool is scarce nothing comes in (P2).
//! 4. **Items are vetted on their way out**, unlocked, by their getter, after all that decides who
//!    gets what. A violation that panics there puts them back (P5).
//!
//! Without the feature each of the types here is one that has no values (`off.rs`), so that no
//! `Option` of one takes a word, or a branch on it an instruction.

#[cfg(feature = "hardening")]
mod guard;
#[cfg(feature = "hardening")]
mod hardened;
#[cfg(feature = "hardening")]
mod knobs;
#[cfg(feature = "hardening")]
mod order;
#[cfg(feature = "hardening")]
mod poison;
#[cfg(feature = "hardening")]
mod quarantine;
#[cfg(feature = "hardening")]
mod traces;
#[cfg(feature = "hardening")]
mod violation;

#[cfg(not(feature = "hardening"))]
mod off;

#[cfg(feature = "hardening")]
pub use self::{
    guard::GuardError,
    knobs::Hardening,
    traces::Trace,
    violation::{Violation, ViolationKind},
};
#[cfg(feature = "hardening")]
pub(crate) use self::{
    guard::{Guarded, Margin, Returns, Unguarded},
    hardened::Hardened,
    order::Order,
    quarantine::Quarantine,
    traces::Traces,
};

#[cfg(not(feature = "hardening"))]
pub(crate) use self::off::{Guarded, Hardened, Hardening, Margin, Order, Quarantine, Traces, Unguarded};
