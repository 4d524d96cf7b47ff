//! Who waits: the waiter's node and the queue it is linked in.
//!
//! # The problem
//!
//! A waiter must be reachable wherever it sleeps, and its being served must be decided
//! once. So it sleeps on its own node and nowhere else, and whoever serves it moves the
//! item into the node under the pool's lock. The node lives in the waiting frame or
//! future: waiting allocates nothing (P7).
//!
//! # States
//!
//! | word | meaning | the node is | who acts next |
//! | --- | --- | --- | --- |
//! | [`WAITING`] | nothing yet | linked (or not yet) | a put, a grow's end, close, or the waiter's own deadline |
//! | [`KICKED`] | there may be something for you | linked, without a waker | the waiter: takes the lock, looks, and leaves a waker again |
//! | [`DONE`] | served, failed or closed; see [`Outcome`] | unlinked | the waiter: takes its outcome |
//!
//! # Invariants
//!
//! 1. A linked node is pinned and valid: its owner unlinks it, under the lock, before
//!    it goes away ([`Queue::cancel`]).
//! 2. `shared` is read and written under the pool's lock only. Every function here that
//!    touches it takes the [`Queue`], which lives under that lock; but for the destructor, when nobody
//!    else can reach the node.
//! 3. `outcome` is written once, under the lock, while the node is being unlinked, and
//!    before `word` becomes `DONE`; after that it is its owner's alone.
//! 4. Nobody touches a node after making it `DONE`, not even to wake it: the waker was
//!    moved out before, since the node may vanish with its frame at once.
//! 5. A linked node has a waker, unless it is kicked: then its waker was taken to wake it.
//!    Wakers of tasks are callers' code, so they are moved under the lock and never cloned,
//!    woken or dropped there (P8).
//!
//! [`mod@line`] has the waiters of one class in order of age and counts who overtakes them;
//! [`queue`] has both classes and says whose turn it is; [`watch`] has those who wait for the pool to
//! be closed, and for nothing else.
//!
//! # Memory orderings
//!
//! `word` is stored with Release when it becomes `DONE`, and loaded with Acquire by its
//! owner, without the lock: the outcome is published by that edge alone.

use std::borrow::Cow;
use std::marker::PhantomPinned;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::Waker;
use std::time::Instant;

use kva::holds::Client;
use kva::sync::atomic::{AtomicU32, Ordering::Acquire};
use kva::sync::thread::Thread;
use kva::sync::{CHECKED, UnsafeCell};

use crate::error::GetError;
use crate::loan::{Loans, Rest};

mod line;
mod queue;
mod watch;

pub(crate) use queue::{Queue, Supply};
pub(crate) use watch::{Watched, Watcher, Watchers};

const WAITING: u32 = 0;
const KICKED: u32 = 1;
const DONE: u32 = 2;

/// How a wait ended: all the items it was for, or why there are none.
pub(crate) type Outcome<E> = Result<Loans, GetError<E>>;

/// Who may have which items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Those beyond the reserve.
    Ordinary,
    /// The reserve too.
    Critical,
}

/// What one getter wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    /// How many items, all or none; not zero.
    pub(crate) items: u32,
    pub(crate) class: Class,
    /// Who sleeps for it, where that is known.
    pub(crate) client: Client,
    /// Where it was called from.
    pub(crate) caller: &'static Location<'static>,
}

/// The waker that a getter would leave: a thread's own, which is ours and may be cloned under
/// the lock; or a task's, which is the caller's code and was cloned before.
pub(crate) type Leaves<'w> = Cow<'w, Waker>;

/// What the waiter finds when it looks at its node.
#[derive(Debug)]
pub(crate) enum News<E> {
    /// Nothing.
    None,
    /// It should take the lock and look.
    Kicked,
    /// It is over.
    Done(Outcome<E>),
}

/// A waiter.
#[derive(Debug)]
pub(crate) struct Waiter<E> {
    word: AtomicU32,
    outcome: UnsafeCell<Option<Outcome<E>>>,
    shared: UnsafeCell<Shared<E>>,
    _pinned: PhantomPinned,
}

#[derive(Debug)]
struct Shared<E> {
    prev: Option<NonNull<Waiter<E>>>,
    next: Option<NonNull<Waiter<E>>>,
    linked: bool,
    kicked: bool,
    want: Want,
    /// Room for all but the first item.
    rest: Rest,
    /// By the back-end's clock; [`NEVER`](kva::NEVER) until it first has to wait.
    asked_at: u64,
    /// Its line's overtakes when it first had to wait.
    overtakes_before: u64,
    /// Whether it was lent something before that was of no use: nobody overtakes it any more.
    returns: bool,
    waker: Option<Waker>,
    /// Who it is and since when, for people.
    who: Option<(Thread, Instant)>,
}

// SAFETY: a node is reached from other threads through the queue only, by invariants 2
// and 3: under the lock, or alone. What it carries, an item or an error, may be sent.
unsafe impl<E: Send> Send for Waiter<E> {}
// SAFETY: as above.
unsafe impl<E: Send> Sync for Waiter<E> {}

impl<E> Waiter<E> {
    /// One who wants `want` and came at `asked_at`; [`NEVER`](kva::NEVER): it has not come yet.
    /// `rest` has room for all but the first item. `returns`: it was lent something before that
    /// was of no use.
    pub(crate) fn new(want: Want, rest: Rest, asked_at: u64, returns: bool) -> Self {
        debug_assert!(rest.room() + 1 >= want.items as usize);
        Self {
            word: AtomicU32::new(WAITING),
            outcome: UnsafeCell::new(None),
            shared: UnsafeCell::new(Shared {
                prev: None,
                next: None,
                linked: false,
                kicked: false,
                want,
                rest,
                asked_at,
                overtakes_before: 0,
                returns,
                waker: None,
                who: None,
            }),
            _pinned: PhantomPinned,
        }
    }

    /// Looks for news, without the lock.
    pub(crate) fn look(self: Pin<&Self>) -> News<E> {
        // Acquire: pairs with the Release in `Line::finish`, which published the outcome.
        match self.word.load(Acquire) {
            WAITING => News::None,
            KICKED => News::Kicked,
            _ => {
                // SAFETY: by invariant 3 the outcome is ours alone once the word is DONE.
                let outcome = self.outcome.with_mut(|outcome| unsafe { (*outcome).take() });
                News::Done(outcome.expect("an outcome is taken once"))
            }
        }
    }

    /// What it was served, unless it took that already: of one who leaves, maybe as what it did on the
    /// way panicked.
    pub(crate) fn leftover(self: Pin<&Self>) -> Option<Outcome<E>> {
        // Acquire: as in `look`.
        match self.word.load(Acquire) {
            WAITING | KICKED => None,
            // SAFETY: as in `look`.
            _ => self.outcome.with_mut(|outcome| unsafe { (*outcome).take() }),
        }
    }
}

/// Where equations are checked, so is that nobody can reach what goes away: in no line it is missed before
/// memory that is somebody else's by then is written to.
impl<E> Drop for Waiter<E> {
    fn drop(&mut self) {
        // SAFETY: by invariant 1 nobody else can reach it; and if somebody can, it ends here.
        let is_linked = CHECKED && self.shared.with(|shared| unsafe { (*shared).linked });
        assert!(!is_linked, "a waiter goes away and is in line");
    }
}

fn node_of<E>(node: Pin<&Waiter<E>>) -> NonNull<Waiter<E>> {
    NonNull::from(node.get_ref())
}
