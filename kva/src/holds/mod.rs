//! Who holds what and waits for more: finds the deadlocks that no order of service prevents.
//!
//! # The problem
//!
//! Two clients that each hold what the other waits for wait for ever, and so does one that waits for
//! what it holds itself. Nothing is wrong with the pool or the arena then, so nothing complains.
//!
//! A lock has an owner, and checkers of lock dependencies live by that. An item has none: it may be
//! got here and put there, sent through a channel, frozen into a buffer that others drop. A checker
//! that takes for the holder of a thing the thread that got it calls every producer that waits for
//! its consumers a deadlock. (Linux tried the like for completions, lockdep's cross-release, and took
//! it out again for its false alarms.) So nothing is anybody's here unless its client says that it
//! keeps what it gets ([`client`]), and what is nobody's counts as held by somebody who can go on.
//!
//! # The graph
//!
//! *Clients* hold so much of *resources*, pools and arenas, and sleep for one without a deadline. A
//! pool's pages come from an arena: of that one the pool holds quanta, which it gives back when its
//! own items are put; and while it has asked for a page there, who waits for the pool may be served
//! by the arena. So each waits for *any* of several: this is the OR model, in which a deadlock is not
//! a cycle but a knot (Holt, "Some Deadlock Properties of Computer Systems", 1972).
//!
//! `Graph::reduce` (`graph.rs`) takes out who can go on, until nobody is left of whom that
//! is known. What is left are deadlocks, and who waits behind them.
//!
//! # Invariants
//!
//! 1. What a sleeping client is said to hold it does hold, or a put of it has begun that takes it out
//!    first: things are noted after they were got, and forgotten before they are put. So the amounts
//!    are lower bounds. A resource is stuck only if they add up to all that it has out: what is on its
//!    way anywhere, in a thread's cache, or anybody's whom we do not know, is missing from the sum.
//! 2. What a resource says of itself ([`Vitals`]) is one moment's, under its own lock. It counts only
//!    beside clients that have slept since before that moment. Nobody stuck does anything after it has
//!    gone to sleep, so it does not matter that resources are looked at one after the other.
//! 3. No lock is held but one: what is noted is noted outside the locks of pools and arenas, and they
//!    are asked outside the lock of the graph (P8).
//! 4. Noting, sleeping and looking allocate nothing (P7): each client has room for a few resources, and
//!    what does not fit is forgotten. The first get of a thread after
//!    [`each_thread`](client::each_thread), and the report of a deadlock, allocate.
//!
//! # Where it is
//!
//! In builds with debug assertions, outside of loom. Elsewhere all of this has no size and does
//! nothing: `untracked.rs` has the same names.

pub mod client;
pub mod deadlock;
mod vitals;

#[cfg(all(debug_assertions, not(loom)))]
mod graph;
#[cfg(all(debug_assertions, not(loom)))]
mod tracked;
#[cfg(all(debug_assertions, not(loom)))]
use tracked as chosen;

#[cfg(not(all(debug_assertions, not(loom))))]
mod untracked;
#[cfg(not(all(debug_assertions, not(loom))))]
use untracked as chosen;

pub use chosen::{Asleep, Client, Holders, Holds, as_nobody, current};
pub use vitals::{MOST_LISTED, Resource, Vitals};

/// Whether anything is tracked in this build.
pub const TRACKS: bool = cfg!(all(debug_assertions, not(loom)));
