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
//! | [`KICKED`] | there may be something for you | linked | the waiter: takes the lock and looks |
//! | [`DONE`] | served, failed or closed; see [`Outcome`] | unlinked | the waiter: takes its outcome |
//!
//! # Invariants
//!
//! 1. A linked node is pinned and valid: its owner unlinks it, under the lock, before
//!    it goes away ([`Queue::cancel`]).
//! 2. `shared` is read and written under the pool's lock only. Every function here that
//!    touches it takes the [`Queue`], which lives under that lock.
//! 3. `outcome` is written once, under the lock, while the node is being unlinked, and
//!    before `word` becomes `DONE`; after that it is its owner's alone.
//! 4. Nobody touches a node after making it `DONE`, not even to wake it: the waker was
//!    moved out before, since the node may vanish with its frame at once.
//! 5. The queue is ordered by age, oldest first.
//!
//! # Bypass
//!
//! A waiter that is handed every item directly costs a context switch an item (a
//! convoy); one that is merely woken may find the item gone for ever. So an item may be
//! left for whoever comes first while the oldest waiter was overtaken fewer than `K`
//! times, and is handed over after that. Overtakes are counted for the queue as a
//! whole, so that who waits longest has the highest count, and looking at it is enough.
//!
//! # Memory orderings
//!
//! `word` is stored with Release when it becomes `DONE`, and loaded with Acquire by its
//! owner, without the lock: the outcome is published by that edge alone.

use std::marker::PhantomPinned;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::Waker;
use std::time::Instant;

use kva::NEVER;
use kva::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use kva::sync::thread::{self, Thread};
use kva::sync::{CHECKED, UnsafeCell};

use crate::error::GetError;
use crate::pages::Loan;

const WAITING: u32 = 0;
const KICKED: u32 = 1;
const DONE: u32 = 2;

/// How a wait ended: an item, or why there is none.
pub(crate) type Outcome<E> = Result<Loan, GetError<E>>;

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
    /// By the back-end's clock; [`NEVER`] until it first has to wait.
    asked_at: u64,
    /// The queue's overtakes when it was first linked.
    overtakes_before: u64,
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
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU32::new(WAITING),
            outcome: UnsafeCell::new(None),
            shared: UnsafeCell::new(Shared {
                prev: None,
                next: None,
                linked: false,
                kicked: false,
                asked_at: NEVER,
                overtakes_before: 0,
                waker: None,
                who: None,
            }),
            _pinned: PhantomPinned,
        }
    }

    /// Looks for news, without the lock.
    pub(crate) fn look(self: Pin<&Self>) -> News<E> {
        // Acquire: pairs with the Release in `Queue::finish`, which published the outcome.
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
}

/// The waiters of a pool, oldest first.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    head: Option<NonNull<Waiter<E>>>,
    tail: Option<NonNull<Waiter<E>>>,
    len: usize,
    kicked: usize,
    /// How often anybody took an item past a waiting head.
    overtakes: u64,
    /// The most that any waiter was overtaken.
    most_overtaken: u64,
}

// SAFETY: the queue lives under the pool's lock, and the nodes it points to are reached
// under that lock only (invariant 2).
unsafe impl<E: Send> Send for Queue<E> {}

#[allow(clippy::unused_self, reason = "the borrow of the queue is proof of the lock")]
impl<E> Queue<E> {
    /// Nobody waits.
    pub(crate) const fn new() -> Self {
        Self { head: None, tail: None, len: 0, kicked: 0, overtakes: 0, most_overtaken: 0 }
    }

    fn shared<R>(&self, node: NonNull<Waiter<E>>, f: impl FnOnce(&Shared<E>) -> R) -> R {
        // SAFETY: nodes reach this queue's functions either linked, hence valid
        // (invariant 1), or pinned by their owner, who calls.
        let node = unsafe { node.as_ref() };
        // SAFETY: under the lock (invariant 2), which the queue is proof of.
        node.shared.with(|shared| f(unsafe { &*shared }))
    }

    fn shared_mut<R>(&mut self, node: NonNull<Waiter<E>>, f: impl FnOnce(&mut Shared<E>) -> R) -> R {
        // SAFETY: as in `shared`.
        let node = unsafe { node.as_ref() };
        // SAFETY: as in `shared`; exclusive, as the borrow of the queue is.
        node.shared.with_mut(|shared| f(unsafe { &mut *shared }))
    }

    /// Whether nobody waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// How many wait.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether some waiter was told to look and has not yet.
    pub(crate) const fn any_kicked(&self) -> bool {
        self.kicked > 0
    }

    /// When the oldest waiter came; [`NEVER`] where nobody waits.
    pub(crate) fn oldest(&self) -> u64 {
        self.head.map_or(NEVER, |head| self.shared(head, |shared| shared.asked_at))
    }

    /// Whether the node is linked.
    pub(crate) fn is_linked(&self, node: Pin<&Waiter<E>>) -> bool {
        self.shared(node_of(node), |shared| shared.linked)
    }

    /// Whether the node is the oldest waiter.
    pub(crate) fn is_head(&self, node: Pin<&Waiter<E>>) -> bool {
        self.head == Some(node_of(node))
    }

    /// When the waiter came; [`NEVER`] if it has not had to wait.
    pub(crate) fn asked_at(&self, node: Pin<&Waiter<E>>) -> u64 {
        self.shared(node_of(node), |shared| shared.asked_at)
    }

    /// Notes that the waiter has to wait, from `now` on unless it had to before.
    pub(crate) fn has_to_wait(&mut self, node: Pin<&Waiter<E>>, now: impl FnOnce() -> u64) {
        let overtakes = self.overtakes;
        self.shared_mut(node_of(node), |shared| {
            if shared.asked_at == NEVER {
                shared.asked_at = now();
                shared.overtakes_before = overtakes;
                shared.who = Some((thread::current(), Instant::now()));
            }
        });
    }

    /// Whether somebody who came at `asked_at` may take an item now, where at most
    /// `bypass` may overtake a waiter (P4).
    pub(crate) fn may_pass(&self, asked_at: u64, bypass: u32) -> bool {
        self.head.is_none_or(|head| {
            self.shared(head, |head| {
                asked_at < head.asked_at || self.overtakes - head.overtakes_before < u64::from(bypass)
            })
        })
    }

    /// Notes that somebody who came at `asked_at` took an item.
    pub(crate) fn note_pass(&mut self, asked_at: u64) {
        let Some(head) = self.head else { return };
        let (came, before) = self.shared(head, |head| (head.asked_at, head.overtakes_before));
        if came < asked_at {
            self.overtakes += 1;
            self.most_overtaken = self.most_overtaken.max(self.overtakes - before);
        }
    }

    /// The most that any waiter was overtaken.
    pub(crate) const fn most_overtaken(&self) -> u64 {
        self.most_overtaken
    }

    /// Links a waiter, which [has to wait](Self::has_to_wait), in its place by age.
    pub(crate) fn link(&mut self, node: Pin<&Waiter<E>>, waker: &Waker) {
        let node = node_of(node);
        let asked_at = self.shared(node, |shared| shared.asked_at);
        // Most come in order; one that returns from a back-end may be older.
        let mut after = self.tail;
        while let Some(older) = after
            && self.shared(older, |older| older.asked_at > asked_at)
        {
            after = self.shared(older, |older| older.prev);
        }
        let before = match after {
            Some(after) => self.shared(after, |after| after.next),
            None => self.head,
        };
        self.shared_mut(node, |shared| {
            debug_assert!(!shared.linked);
            (shared.prev, shared.next) = (after, before);
            shared.linked = true;
            shared.waker = Some(waker.clone());
        });
        match after {
            Some(after) => self.shared_mut(after, |after| after.next = Some(node)),
            None => self.head = Some(node),
        }
        match before {
            Some(before) => self.shared_mut(before, |before| before.prev = Some(node)),
            None => self.tail = Some(node),
        }
        self.len += 1;
    }

    /// Takes a linked node out; its waker is the caller's to wake or drop unlocked.
    fn unlink(&mut self, node: NonNull<Waiter<E>>) -> Option<Waker> {
        let (prev, next, kicked, waker) = self.shared_mut(node, |shared| {
            debug_assert!(shared.linked);
            shared.linked = false;
            let kicked = std::mem::take(&mut shared.kicked);
            (shared.prev.take(), shared.next.take(), kicked, shared.waker.take())
        });
        match prev {
            Some(prev) => self.shared_mut(prev, |prev| prev.next = next),
            None => self.head = next,
        }
        match next {
            Some(next) => self.shared_mut(next, |next| next.prev = prev),
            None => self.tail = prev,
        }
        self.len -= 1;
        self.kicked -= usize::from(kicked);
        waker
    }

    /// Unlinks the waiter, which calls this itself, if it is linked. What comes back is
    /// to be dropped outside the lock.
    pub(crate) fn cancel(&mut self, node: Pin<&Waiter<E>>) -> Option<Waker> {
        self.calm(node);
        if self.is_linked(node) { self.unlink(node_of(node)) } else { None }
    }

    /// Takes the kick back from a waiter that is looking now, by its own call.
    pub(crate) fn calm(&mut self, node: Pin<&Waiter<E>>) {
        let was_kicked = self.shared_mut(node_of(node), |shared| std::mem::take(&mut shared.kicked));
        if was_kicked {
            self.kicked -= 1;
            // Relaxed: its reader is this thread.
            node.word.store(WAITING, Relaxed);
        }
    }

    /// Tells the oldest waiter to look, unless it was told already; wake what comes back
    /// after the lock.
    pub(crate) fn kick_head(&mut self) -> Option<Waker> {
        let head = self.head?;
        let waker = self.shared_mut(head, |shared| {
            if shared.kicked {
                return None;
            }
            shared.kicked = true;
            shared.waker.clone()
        })?;
        self.kicked += 1;
        // SAFETY: the head is linked, hence valid (invariant 1).
        // Release: carries nothing; the waker's own edge makes it seen. Release, so that
        // `look` may have one ordering for all it can find.
        unsafe { head.as_ref() }.word.store(KICKED, Release);
        Some(waker)
    }

    /// Ends the wait of the oldest waiter; wake what comes back after the lock.
    pub(crate) fn finish_head(&mut self, outcome: Outcome<E>) -> Option<Waker> {
        let head = self.head?;
        Some(self.finish(head, outcome))
    }

    fn finish(&mut self, node: NonNull<Waiter<E>>, outcome: Outcome<E>) -> Waker {
        let waker = self.unlink(node).expect("a linked waiter has a waker");
        // SAFETY: it was linked, hence valid (invariant 1), and its owner cannot let it go
        // before it sees DONE or has the lock, which we hold.
        let node = unsafe { node.as_ref() };
        // SAFETY: by invariant 3 the outcome is ours until the word is DONE.
        node.outcome.with_mut(|slot| unsafe { *slot = Some(outcome) });
        // Release: pairs with the Acquire in `Waiter::look`, publishes the outcome. The
        // node is not touched after this (invariant 4).
        node.word.store(DONE, Release);
        waker
    }

    /// Checks the order, the counts and the links, where equations are checked.
    pub(crate) fn check(&self) {
        if !CHECKED {
            return;
        }
        let (mut at, mut last, mut len, mut kicked) = (self.head, None, 0, 0);
        let mut age = 0;
        while let Some(node) = at {
            self.shared(node, |shared| {
                assert!(shared.linked && shared.prev == last && shared.asked_at >= age);
                age = shared.asked_at;
                kicked += usize::from(shared.kicked);
                at = shared.next;
            });
            last = Some(node);
            len += 1;
        }
        assert_eq!((self.tail, self.len, self.kicked), (last, len, kicked));
    }

    /// Tells `f` who waits and since when, oldest first.
    pub(crate) fn each(&self, mut f: impl FnMut(&Thread, Instant)) {
        let mut at = self.head;
        while let Some(node) = at {
            at = self.shared(node, |shared| {
                if let Some((thread, since)) = &shared.who {
                    f(thread, *since);
                }
                shared.next
            });
        }
    }
}

fn node_of<E>(node: Pin<&Waiter<E>>) -> NonNull<Waiter<E>> {
    NonNull::from(node.get_ref())
}
