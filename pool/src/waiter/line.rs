//! The waiters of one class, in order of age, and who overtakes them.
//!
//! # Bypass
//!
//! A waiter that is handed every item directly costs a context switch an item (a
//! convoy); one that is merely woken may find the item gone for ever. So an item may be
//! left for whoever comes first while the oldest waiter was overtaken fewer than `K`
//! times, and is handed over after that. Overtakes are counted for the line as a
//! whole, so that who waits longest has the highest count, and looking at it is enough.

use std::pin::Pin;
use std::ptr::NonNull;
use std::task::Waker;
use std::time::Instant;

use kva::sync::atomic::Ordering::{Relaxed, Release};
use kva::sync::thread::{self, Thread};
use kva::{NEVER, sync::CHECKED};

use super::{DONE, KICKED, Leaves, Outcome, Shared, WAITING, Waiter, Want, node_of};
use crate::loan::Rest;

/// The waiters of one class, oldest first.
#[derive(Debug)]
pub(crate) struct Line<E> {
    head: Option<NonNull<Waiter<E>>>,
    tail: Option<NonNull<Waiter<E>>>,
    len: usize,
    /// How many items they want.
    wanted: usize,
    kicked: usize,
    /// How often anybody took what a waiting head could have had.
    overtakes: u64,
    /// The most that any waiter was overtaken.
    most_overtaken: u64,
}

// SAFETY: a line lives under the pool's lock, and the nodes it points to are reached
// under that lock only (invariant 2).
unsafe impl<E: Send> Send for Line<E> {}

#[allow(clippy::unused_self, reason = "the borrow of the line is proof of the lock")]
impl<E> Line<E> {
    /// Nobody waits.
    pub(super) const fn new() -> Self {
        Self { head: None, tail: None, len: 0, wanted: 0, kicked: 0, overtakes: 0, most_overtaken: 0 }
    }

    fn shared<R>(&self, node: NonNull<Waiter<E>>, f: impl FnOnce(&Shared<E>) -> R) -> R {
        // SAFETY: nodes reach this line's functions either linked, hence valid
        // (invariant 1), or pinned by their owner, who calls.
        let node = unsafe { node.as_ref() };
        // SAFETY: under the lock (invariant 2), which the line is proof of.
        node.shared.with(|shared| f(unsafe { &*shared }))
    }

    fn shared_mut<R>(&mut self, node: NonNull<Waiter<E>>, f: impl FnOnce(&mut Shared<E>) -> R) -> R {
        // SAFETY: as in `shared`.
        let node = unsafe { node.as_ref() };
        // SAFETY: as in `shared`; exclusive, as the borrow of the line is.
        node.shared.with_mut(|shared| f(unsafe { &mut *shared }))
    }

    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// How many items they want in all.
    pub(super) const fn wanted(&self) -> usize {
        self.wanted
    }

    /// Whether some waiter was told to look and has not yet.
    pub(super) const fn any_kicked(&self) -> bool {
        self.kicked > 0
    }

    /// When the oldest waiter came, and what it wants.
    pub(super) fn head(&self) -> Option<(u64, usize)> {
        self.head.map(|head| self.shared(head, |shared| (shared.asked_at, shared.want.items as usize)))
    }

    /// Whether the node is linked.
    pub(super) fn is_linked(&self, node: Pin<&Waiter<E>>) -> bool {
        self.shared(node_of(node), |shared| shared.linked)
    }

    /// Whether the node is the oldest waiter.
    pub(super) fn is_head(&self, node: Pin<&Waiter<E>>) -> bool {
        self.head == Some(node_of(node))
    }

    /// When the waiter came; [`NEVER`] if it has not had to wait.
    pub(super) fn asked_at(&self, node: Pin<&Waiter<E>>) -> u64 {
        self.shared(node_of(node), |shared| shared.asked_at)
    }

    /// What the waiter wants.
    pub(super) fn want(&self, node: Pin<&Waiter<E>>) -> Want {
        self.shared(node_of(node), |shared| shared.want)
    }

    /// Whether the oldest waiter was told to look and has not yet.
    pub(super) fn is_head_kicked(&self) -> bool {
        self.head.is_some_and(|head| self.shared(head, |shared| shared.kicked))
    }

    /// The room for all but the first item of an unlinked node.
    pub(super) fn take_rest(&mut self, node: Pin<&Waiter<E>>) -> Rest {
        self.shared_mut(node_of(node), |shared| std::mem::take(&mut shared.rest))
    }

    /// How long the waiter has had to wait, if at all.
    pub(super) fn since(&self, node: Pin<&Waiter<E>>) -> Option<Instant> {
        self.shared(node_of(node), |shared| shared.who.as_ref().map(|(_, since)| *since))
    }

    /// Notes that the waiter has to wait, from `now` on unless it had to before.
    pub(super) fn has_to_wait(&mut self, node: Pin<&Waiter<E>>, now: impl FnOnce() -> u64) {
        let overtakes = self.overtakes;
        self.shared_mut(node_of(node), |shared| {
            if shared.who.is_none() {
                if shared.asked_at == NEVER {
                    shared.asked_at = now();
                }
                shared.overtakes_before = overtakes;
                shared.who = Some((thread::current(), Instant::now()));
            }
        });
    }

    /// Whether somebody who came at `asked_at` may take what the oldest waiter here could
    /// have, where at most `bypass` may overtake a waiter (P4).
    pub(super) fn may_pass(&self, asked_at: u64, bypass: u32) -> bool {
        self.head.is_none_or(|head| {
            self.shared(head, |head| {
                asked_at < head.asked_at
                    || (!head.returns && self.overtakes - head.overtakes_before < u64::from(bypass))
            })
        })
    }

    /// Notes that somebody who came at `asked_at` took what the oldest waiter could have had.
    pub(super) fn note_pass(&mut self, asked_at: u64) {
        let Some(head) = self.head else { return };
        let (came, before) = self.shared(head, |head| (head.asked_at, head.overtakes_before));
        if came < asked_at {
            self.overtakes += 1;
            self.most_overtaken = self.most_overtaken.max(self.overtakes - before);
        }
    }

    /// The most that any waiter was overtaken.
    pub(super) const fn most_overtaken(&self) -> u64 {
        self.most_overtaken
    }

    /// Links a waiter, which [has to wait](Self::has_to_wait), in its place by age.
    pub(super) fn link(&mut self, node: Pin<&Waiter<E>>, waker: Waker) {
        let node = node_of(node);
        let (asked_at, items) = self.shared(node, |shared| (shared.asked_at, shared.want.items));
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
            shared.waker = Some(waker);
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
        self.wanted += items as usize;
    }

    /// Leaves `waker` with a linked node, unless it has one that does as well. The one it
    /// had is to be dropped outside the lock.
    pub(super) fn rearm(&mut self, node: Pin<&Waiter<E>>, waker: &mut Option<Leaves<'_>>) -> Option<Waker> {
        self.shared_mut(node_of(node), |shared| {
            let new = waker.take_if(|new| !shared.waker.as_ref().is_some_and(|old| old.will_wake(new)))?;
            shared.waker.replace(new.into_owned())
        })
    }

    /// Takes a linked node out; its waker, if it was not kicked, is the caller's to wake or
    /// drop unlocked.
    fn unlink(&mut self, node: NonNull<Waiter<E>>) -> Option<Waker> {
        let (prev, next, kicked, items, waker) = self.shared_mut(node, |shared| {
            debug_assert!(shared.linked);
            shared.linked = false;
            let kicked = std::mem::take(&mut shared.kicked);
            (shared.prev.take(), shared.next.take(), kicked, shared.want.items, shared.waker.take())
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
        self.wanted -= items as usize;
        self.kicked -= usize::from(kicked);
        waker
    }

    /// Unlinks the waiter, which calls this itself, if it is linked. What comes back is
    /// to be dropped outside the lock.
    pub(super) fn cancel(&mut self, node: Pin<&Waiter<E>>) -> Option<Waker> {
        self.calm(node);
        if self.is_linked(node) { self.unlink(node_of(node)) } else { None }
    }

    /// Takes the kick back from a waiter that is looking now, by its own call.
    pub(super) fn calm(&mut self, node: Pin<&Waiter<E>>) {
        let was_kicked = self.shared_mut(node_of(node), |shared| std::mem::take(&mut shared.kicked));
        if was_kicked {
            self.kicked -= 1;
            // Relaxed: its reader is this thread.
            node.word.store(WAITING, Relaxed);
        }
    }

    /// Tells the oldest waiter to look, unless it was told already; wake what comes back
    /// after the lock.
    pub(super) fn kick_head(&mut self) -> Option<Waker> {
        let head = self.head?;
        let waker = self.shared_mut(head, |shared| {
            if shared.kicked {
                return None;
            }
            shared.kicked = true;
            shared.waker.take()
        })?;
        self.kicked += 1;
        // SAFETY: the head is linked, hence valid (invariant 1).
        // Release: carries nothing; the waker's own edge makes it seen. Release, so that
        // `look` may have one ordering for all it can find.
        unsafe { head.as_ref() }.word.store(KICKED, Release);
        Some(waker)
    }

    /// The room for all but the first item of the oldest waiter, and since when it waits.
    pub(super) fn head_room(&mut self) -> Option<(Want, Rest, Option<Instant>)> {
        let head = self.head?;
        Some(self.shared_mut(head, |shared| {
            let since = shared.who.as_ref().map(|(_, since)| *since);
            (shared.want, std::mem::take(&mut shared.rest), since)
        }))
    }

    /// The oldest waiter that wants more than `most` items, and how many.
    pub(super) fn first_who_wants_more(&self, most: usize) -> Option<(NonNull<Waiter<E>>, usize)> {
        let mut at = self.head;
        while let Some(node) = at {
            let (next, items) = self.shared(node, |shared| (shared.next, shared.want.items as usize));
            if items > most {
                return Some((node, items));
            }
            at = next;
        }
        None
    }

    /// Ends the wait of the oldest waiter; see [`finish`](Self::finish).
    pub(super) fn finish_head(&mut self, outcome: Outcome<E>) -> Option<Waker> {
        self.finish(self.head?, outcome)
    }

    /// Ends the wait of a linked waiter; wake what comes back after the lock. Nothing comes
    /// back if it was kicked: it was woken for that, and has not looked yet.
    pub(super) fn finish(&mut self, node: NonNull<Waiter<E>>, outcome: Outcome<E>) -> Option<Waker> {
        let waker = self.unlink(node);
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
    pub(super) fn check(&self) {
        if !CHECKED {
            return;
        }
        let (mut at, mut last, mut len, mut wanted, mut kicked) = (self.head, None, 0, 0, 0);
        let mut age = 0;
        while let Some(node) = at {
            self.shared(node, |shared| {
                assert!(shared.linked && shared.prev == last && shared.asked_at >= age);
                assert_eq!(shared.waker.is_none(), shared.kicked, "invariant 5");
                age = shared.asked_at;
                wanted += shared.want.items as usize;
                kicked += usize::from(shared.kicked);
                at = shared.next;
            });
            last = Some(node);
            len += 1;
        }
        assert_eq!((self.tail, self.len, self.wanted, self.kicked), (last, len, wanted, kicked));
    }

    /// Tells `f` who waits, since when and for what, oldest first.
    pub(super) fn each(&self, f: &mut impl FnMut(&Thread, Instant, Want)) {
        let mut at = self.head;
        while let Some(node) = at {
            at = self.shared(node, |shared| {
                if let Some((thread, since)) = &shared.who {
                    f(thread, *since, shared.want);
                }
                shared.next
            });
        }
    }
}
