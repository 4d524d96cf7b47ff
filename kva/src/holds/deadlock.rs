//! Deadlocks of clients that hold and wait.
//!
//! In builds with debug assertions, a client that is about to sleep without a deadline while it holds
//! something looks whether it, or those it waits for, will ever wake. A deadlock is reported once, on
//! standard error. [`check`] looks at any time, for who would rather be told:
//!
//! ```
//! # if kva::sync::IS_MODEL { return }
//! use std::time::Duration;
//!
//! let watchdog = move || loop {
//!     for cycle in kva::deadlock::check() {
//!         eprintln!("{cycle}");
//!     }
//!     std::thread::sleep(Duration::from_secs(1));
//! };
//! # let _ = watchdog;
//! ```
//!
//! # What is not seen
//!
//! Nothing is reported that is not so, if [clients](super::client) keep what they get. What is missed
//! is a deadlock through
//!
//! - anything that is held by nobody known: outside of any client, by a client that was left, by a
//!   future; or that was [leaked](std::mem::forget) together with its guard;
//! - a wait with a deadline, for a page (`grow_timeout`) too, and a future's: it may give up;
//! - a factory or another back-end that is not an arena: it may answer;
//! - an arena with a [reclaimer](crate::Reclaim) that is not a pool's: it may give something back;
//! - an arena with a client that can [move](crate::Relocate) its spans, and what is in a region that
//!   was added; a quota that is used up while others than its spans go on;
//! - a pool in an arena with whole pages idle;
//! - anything else that threads wait for: locks, channels, peers, each other's ends.
//!
//! Nor can it be known that somebody will raise a limit, add a region or close a pool, which ends any of
//! these.
//!
//! A pool or an arena of which anything was put on another thread than it was got, although a client
//! had it, is not tracked any more.

use std::fmt;

use super::chosen;

/// Clients of which each waits for what others of them hold, or it itself does. None of them goes on
/// by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cycle {
    /// All of them that hold something, one at least.
    pub clients: Vec<Blocked>,
}

/// One of a [`Cycle`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocked {
    /// The client's name, or its thread's.
    pub name: String,
    /// What it holds.
    pub holds: Vec<Held>,
    /// The pool or arena that it waits for.
    pub waits_for: String,
}

/// What somebody holds of one pool or arena.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// The pool or arena: by its name, if it has one, else by a number.
    pub of: String,
    /// How many items, or quanta of an arena.
    pub amount: u64,
}

/// The deadlocks there are now, each time: also those that were reported. None in builds that do not
/// track who holds what.
///
/// ```
/// assert_eq!(kva::deadlock::check(), []);
/// ```
#[must_use]
pub fn check() -> Vec<Cycle> {
    chosen::check()
}

/// How often something was got that counts as nobody's since its client held some of too many pools
/// and arenas already: more than 16.
///
/// ```
/// assert_eq!(kva::deadlock::forgotten(), 0);
/// ```
#[must_use]
pub fn forgotten() -> u64 {
    chosen::forgotten()
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadlock: each of these waits for what another holds, or itself")?;
        self.clients.iter().try_for_each(|client| write!(f, "\n  {client}"))
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} holds ", self.name)?;
        for (at, Held { of, amount }) in self.holds.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{amount} of {of}")?;
        }
        write!(f, ", and waits for {}", self.waits_for)
    }
}
