//! The way into a page: its [word](super::pin), and what is done on the strength of it.
//!
//! Generic in what opens, closes and tells, so that loom explores these very steps on memory that
//! is a few of its own cells.
//!
//! # Waiting
//!
//! Who finds a page busy waits for one system call, or for one copy. It puts its waker into the
//! list under the list's lock, after it has marked the word there. Who leaves the busy phase takes
//! the mark away, and if there was one takes the lock: it comes after the hold in which the mark
//! was made, and finds the waker. If the mark comes too late, the page is at rest, and nobody
//! waits.

use std::task::{Poll, Waker};

use arrayvec::ArrayVec;

use super::pin::{Leaving, Moving, PinWord, Pinning, Rest, Rested, Unpinning};
use crate::sync::{BATCH, Mutex, block_on_until};

/// What is behind the address of a page.
pub trait Access {
    /// Why it cannot be opened.
    type Error;

    /// How the page is to be while nobody has it pinned.
    fn rest(&self) -> Rest;

    /// Makes it accessible.
    ///
    /// # Errors
    /// It stays inaccessible.
    fn open(&self) -> Result<(), Self::Error>;

    /// Makes it inaccessible. `false`: it stays accessible.
    fn close(&self) -> bool;

    /// The page can be moved now; when somebody wanted to, it could not.
    fn movable(&self);
}

/// The way into one page.
#[derive(Debug, Default)]
pub struct Gate {
    word: PinWord,
}

/// Who waits until a page is at rest, by its number. Few, and briefly.
#[derive(Debug, Default)]
pub struct Waits(Mutex<Vec<(u32, Waker)>>);

impl Waits {
    fn until_rested(&self, page: u32, word: &PinWord) {
        block_on_until(None, |waker| {
            let mut waits = self.0.lock();
            if !word.wait() {
                return Poll::Ready(());
            }
            // It is looked at again for no reason too.
            if !waits.iter().any(|(other, known)| *other == page && known.will_wake(waker)) {
                waits.push((page, waker.clone()));
            }
            Poll::Pending
        });
    }

    fn wake(&self, page: u32) {
        // A batch at a time, so that each is woken unlocked and nothing is allocated.
        loop {
            let mut waits = self.0.lock();
            let of_page = waits.extract_if(.., |entry| entry.0 == page).map(|(_, waker)| waker);
            let batch: ArrayVec<Waker, BATCH> = of_page.take(BATCH).collect();
            drop(waits);
            let is_last = batch.remaining_capacity() > 0;
            batch.into_iter().for_each(Waker::wake);
            if is_last {
                return;
            }
        }
    }
}

/// One page: its number, its gate, who waits for any, and what is behind its address.
#[derive(Debug)]
pub struct At<'a, A> {
    /// What those who wait call it.
    pub page: u32,
    /// Its own.
    pub gate: &'a Gate,
    /// That of all pages.
    pub waits: &'a Waits,
    /// Behind it.
    pub access: A,
}

impl<A: Access> At<'_, A> {
    fn rested(&self, rested: Rested) {
        if rested.waited {
            self.waits.wake(self.page);
        }
        if rested.wanted {
            self.access.movable();
        }
    }

    /// There is a page now, mapped as it is to be while nobody has it pinned.
    pub fn appear(&self) {
        self.gate.word.appear(self.access.rest());
    }

    /// Pins the page, waiting while it is moved, opened or closed.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn pin(&self) -> Result<(), A::Error> {
        while !self.try_pin()? {
            self.waits.until_rested(self.page, &self.gate.word);
        }
        Ok(())
    }

    /// Pins the page, unless that would wait for another thread.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn try_pin(&self) -> Result<bool, A::Error> {
        match self.gate.word.pin() {
            Pinning::Pinned => Ok(true),
            Pinning::Busy => Ok(false),
            Pinning::Opening => {
                let opened = self.access.open();
                self.rested(self.gate.word.opened(opened.is_ok()));
                opened.map(|()| true)
            }
        }
    }

    /// Takes a pin back.
    pub fn unpin(&self) {
        match self.gate.word.unpin(self.access.rest()) {
            Unpinning::Pinned => {}
            Unpinning::Open(rested) => self.rested(rested),
            Unpinning::Closing => {
                let is_closed = self.access.close();
                self.rested(self.gate.word.closed(is_closed));
            }
        }
    }

    /// Calls `work` while nobody has the page pinned and nobody can; it returns what it did and how the
    /// page is mapped now. It is told how it was, and must not panic.
    ///
    /// # Errors
    /// Somebody has it pinned, and will say so when it is movable ([`Access::movable`]); or there
    /// is none.
    pub fn relocate<R>(&self, work: impl FnOnce(Rest) -> (R, Rest)) -> Result<R, Unmovable> {
        match self.gate.word.begin_move() {
            Moving::Begun(rest) => {
                let (result, rest) = work(rest);
                self.rested(self.gate.word.moved(rest));
                Ok(result)
            }
            Moving::Kept => Err(Unmovable::Kept),
            Moving::Vacant => Err(Unmovable::Vacant),
        }
    }

    /// Takes the page away for good, after who moves it just now.
    pub fn vacate(&self) {
        while self.gate.word.vacate() == Leaving::Busy {
            self.waits.until_rested(self.page, &self.gate.word);
        }
    }

    /// Whether it cannot be moved now; then it is marked, as by a [`relocate`](Self::relocate) that fails.
    #[must_use]
    pub fn want(&self) -> bool {
        self.gate.word.want()
    }

    /// Whether it could be moved, as it looks.
    pub fn is_movable(&self) -> bool {
        self.gate.word.is_movable()
    }
}

/// Why a page is not moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmovable {
    /// Somebody has it pinned or is about something, and will say so when it is movable.
    Kept,
    /// There is none.
    Vacant,
}
