//! Worlds that loom explores on the production code.
//!
//! - [`run`] explores a world exhaustively under `--cfg loom`, and runs it with real
//!   threads otherwise. Each world is small, and for one race.
//! - [`world`] has the arenas and pools that worlds are made of, and the check of rest.
//! - [`asking`] has who asks an arena by tokens.
//! - [`backends`] has a back-end that a test plays by hand.
//! - [`biased`] has a biased lock of one owner, and those that lack one edge of it.
//! - [`caching`] has pools whose threads have caches: that of production, and a naive one.
//! - [`choosing`] has who waits for any of several pools: that of production, and naive ones.
//! - [`factories`] has objects that are counted, and factories that are known to be wrong.
//! - [`historical`] has the protocols that are known to be wrong: back-ends with a weaker
//!   contract, which the same assertions must catch. Production code has no
//!   known-bad mode.
//! - [`naive`] has the whole pool that does without a protocol, and [`naive_arena`] the arena
//!   that keeps nothing for who waits.
//! - [`paged`] has a page that is pinned and moved, of scripted memory, and gates that lack a part
//!   of the protocol.
//! - `quarantined` has pools that keep what was put from who comes next: that of production, and a
//!   naive one; only under a model checker, where the pool has the feature for it.
//! - [`record`] notes what happens in an execution, for who wants to draw it.

pub mod asking;
pub mod backends;
pub mod biased;
pub mod caching;
pub mod choosing;
pub mod factories;
pub mod historical;
pub mod naive;
pub mod naive_arena;
pub mod paged;
#[cfg(loom)]
pub mod quarantined;
pub mod record;
pub mod run;
pub mod world;
