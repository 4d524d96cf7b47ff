//! The word of a page: who has it pinned, whether it is being moved, and whether its address
//! may be accessed.
//!
//! # The problem
//!
//! A page may be moved to another frame while nobody looks at it. Whether somebody looks, and
//! whether somebody moves, is decided by different threads at the same moment. If both win, the
//! mover copies what is being written, and a write is lost with the old frame. And where an
//! unpinned page is inaccessible, the first pin and the last unpin each have a system call to
//! make, which two threads must not make against each other: an address that is closed by who
//! left, after who came had opened it, faults in the hands of who has it pinned.
//!
//! # States
//!
//! | phase | pins | who may touch the page | may become |
//! | --- | --- | --- | --- |
//! | `VACANT` | 0 | who has the number of the page | closed, open |
//! | `CLOSED` | 0 | nobody: it is inaccessible | opening, moving, vacant |
//! | `OPENING` | 0 | who opens it | open, closed |
//! | `OPEN` | 0 | nobody | open with a pin, moving, vacant |
//! | `OPEN` | n | those who have it pinned | open, closing, vacant |
//! | `CLOSING` | 0 | who closes it | closed, open |
//! | `MOVING` | 0 | who moves it | closed, open |
//!
//! *At rest* are `VACANT`, `CLOSED` and `OPEN`. The others are *busy*: one thread is in a system
//! call or copies a frame, and whoever comes meanwhile waits for that and nothing else. `VACANT`
//! from `OPEN` with pins: their guards were forgotten, and nobody can have one any more, since the
//! page was dropped.
//!
//! Two marks go with the phase. `WAITED`: somebody waits until the page is at rest, and is to be
//! woken by who brings that about. `WANTED`: a mover wanted the page and passed it over; who
//! makes it movable is to say so, or the request that it was to make room for sleeps for ever.
//!
//! # Invariants
//!
//! 1. A busy phase is left by the thread that entered it, and by no other.
//! 2. Pins are counted in `OPEN` only; a page with pins is neither moved nor closed.
//! 3. All changes are read-modify-writes, so each sees the latest value, and none loses a mark:
//!    a mark that is taken away is handed to the caller, as [`Rested`].
//!
//! # Memory orderings
//!
//! The word publishes the contents of the page, which frame it is in, and how it is mapped. Who
//! touches any of these leaves by a Release, and who is next comes by an Acquire. Since all
//! changes are read-modify-writes, each continues the release sequences of those before it: an
//! Acquire sees what all did who ever left.

use crate::sync::atomic::{
    AtomicU32,
    Ordering::{self, AcqRel, Acquire, Relaxed, Release},
};

const PHASE: u32 = 0b111;
const VACANT: u32 = 0;
const CLOSED: u32 = 1;
const OPENING: u32 = 2;
const OPEN: u32 = 3;
const CLOSING: u32 = 4;
const MOVING: u32 = 5;

const WAITED: u32 = 1 << 3;
const WANTED: u32 = 1 << 4;
const MARKS: u32 = WAITED | WANTED;
/// One pin.
const PIN: u32 = 1 << 5;
const MAX_PINS: u32 = u32::MAX / PIN;

/// How a page is while nobody has it pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Accessible.
    Open,
    /// Inaccessible: a use without a pin faults.
    Closed,
}

impl Rest {
    const fn phase(self) -> u32 {
        match self {
            Self::Open => OPEN,
            Self::Closed => CLOSED,
        }
    }
}

/// A page is at rest again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "others may wait for this"]
pub struct Rested {
    /// Somebody waits for it.
    pub waited: bool,
    /// A mover passed it over, and could have it now.
    pub wanted: bool,
}

/// What became of a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Pinning {
    /// It is counted.
    Pinned,
    /// The caller opens the page, and then says so by [`PinWord::opened`].
    Opening,
    /// Another thread is about something. Nothing was changed.
    Busy,
}

/// What became of an unpin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Unpinning {
    /// Others have it pinned.
    Pinned,
    /// It was the last pin: the caller closes the page, and then says so by [`PinWord::closed`].
    Closing,
    /// It was the last pin, and the page stays open.
    Open(Rested),
}

/// What became of an attempt to move a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Moving {
    /// It is the caller's until [`PinWord::moved`]. How it was is how it is to be left, if it could not
    /// be moved.
    Begun(Rest),
    /// Somebody has it pinned, or is about something. It is marked: whoever makes it movable is
    /// told that it was wanted.
    Kept,
    /// There is no page.
    Vacant,
}

/// What became of an attempt to take a page away for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Leaving {
    /// It is the caller's.
    Vacant,
    /// Another thread is about something. Nothing was changed.
    Busy,
}

/// The word.
#[derive(Debug)]
pub struct PinWord(AtomicU32);

impl Default for PinWord {
    fn default() -> Self {
        Self::new()
    }
}

const fn is_busy(word: u32) -> bool {
    matches!(word & PHASE, OPENING | CLOSING | MOVING)
}

impl PinWord {
    /// No page.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU32::new(VACANT))
    }

    /// Goes on to what `next` says, or leaves it at that.
    fn change<R>(&self, order: Ordering, next: impl Fn(u32) -> Result<(u32, R), R>) -> R {
        // Relaxed: what is found is confirmed by the exchange, or is that there is nothing to do.
        let mut word = self.0.load(Relaxed);
        loop {
            let (new, result) = match next(word) {
                Ok(step) => step,
                Err(result) => return result,
            };
            match self.0.compare_exchange(word, new, order, Relaxed) {
                Ok(_) => return result,
                Err(found) => word = found,
            }
        }
    }

    /// There is a page now. Who has its number has mapped it.
    pub fn appear(&self, rest: Rest) {
        // Release: pairs with the Acquires of `begin_move` and `pin`, so that who moves it knows
        // its frame, and who pins it finds it mapped.
        self.change(Release, |word| {
            debug_assert_eq!(word, VACANT);
            Ok((rest.phase(), ()))
        });
    }

    /// Pins the page.
    ///
    /// # Panics
    /// There are as many pins as can be counted: guards were forgotten.
    pub fn pin(&self) -> Pinning {
        // Acquire: pairs with the Releases of `moved`, `opened`, `closed` and `unpin`: who has it
        // pinned finds it mapped, copied, and as the last one left it; and who opens it does so
        // after who closed it.
        self.change(Acquire, |word| match word & PHASE {
            OPEN => {
                assert!(word / PIN < MAX_PINS, "a page with {MAX_PINS} pins");
                Ok((word + PIN, Pinning::Pinned))
            }
            CLOSED => Ok((word & MARKS | OPENING, Pinning::Opening)),
            VACANT => unreachable!("it is pinned by who has the page"),
            _ => Err(Pinning::Busy),
        })
    }

    /// The page was opened for the caller, whose pin it is then; or could not be.
    pub fn opened(&self, is_open: bool) -> Rested {
        // Release: pairs with the Acquire of `pin`: who comes next finds it accessible. Acquire: pairs
        // with the Release of the mark in `begin_move`, as in `unpin`.
        self.change(AcqRel, |word| {
            debug_assert_eq!(word & !MARKS, OPENING);
            let waited = word & WAITED != 0;
            Ok(if is_open {
                // Still wanted: that is for who unpins it last.
                (OPEN | PIN | word & WANTED, Rested { waited, wanted: false })
            } else {
                (CLOSED, Rested { waited, wanted: word & WANTED != 0 })
            })
        })
    }

    /// Takes a pin back. `rest`: how the page is to be, if that was the last.
    pub fn unpin(&self, rest: Rest) -> Unpinning {
        // Release: pairs with the Acquires of `begin_move` and `pin`: what is copied is what was
        // written. Acquire: pairs with the Release of the mark in `begin_move`, so that who is
        // told that the page was wanted finds the request that wanted it.
        self.change(AcqRel, |word| {
            debug_assert!(word & PHASE == OPEN && word / PIN > 0);
            if word / PIN > 1 {
                return Ok((word - PIN, Unpinning::Pinned));
            }
            Ok(match rest {
                Rest::Closed => (word & MARKS | CLOSING, Unpinning::Closing),
                Rest::Open => (OPEN, Unpinning::Open(Self::rested(word))),
            })
        })
    }

    /// The page was closed, or could not be: then it stays open, and the next pin finds it so.
    pub fn closed(&self, is_closed: bool) -> Rested {
        let rest = if is_closed { Rest::Closed } else { Rest::Open };
        self.leave(CLOSING, rest)
    }

    /// Takes the page away from those who would pin it, to move it.
    pub fn begin_move(&self) -> Moving {
        // Acquire: pairs with the Releases of `unpin`, `closed`, `moved` and `appear`: what is
        // copied is what was written, from the frame where it is. Release, of the mark: pairs with
        // the Acquires of `unpin` and of those who leave a busy phase.
        self.change(AcqRel, |word| match word & !MARKS {
            VACANT => Err(Moving::Vacant),
            OPEN => Ok((MOVING | word & WAITED, Moving::Begun(Rest::Open))),
            CLOSED => Ok((MOVING | word & WAITED, Moving::Begun(Rest::Closed))),
            _ => Ok((word | WANTED, Moving::Kept)),
        })
    }

    /// Marks the page as wanted if it cannot be moved now, as a failed [`begin_move`](Self::begin_move)
    /// does. `false`: it could be, or there is none.
    #[must_use]
    pub fn want(&self) -> bool {
        // Release: as there.
        self.change(Release, |word| match word & !MARKS {
            VACANT | OPEN | CLOSED => Err(false),
            _ => Ok((word | WANTED, true)),
        })
    }

    /// The page is where it is to be, and mapped as `rest` says.
    pub fn moved(&self, rest: Rest) -> Rested {
        self.leave(MOVING, rest)
    }

    fn leave(&self, busy: u32, rest: Rest) -> Rested {
        // Release: pairs with the Acquires of `pin`, `begin_move` and `vacate`: they find it mapped
        // and copied. Acquire: pairs with the Release of the mark in `begin_move`, as in `unpin`.
        self.change(AcqRel, |word| {
            debug_assert_eq!(word & !MARKS, busy);
            Ok((rest.phase(), Self::rested(word)))
        })
    }

    const fn rested(word: u32) -> Rested {
        Rested { waited: word & WAITED != 0, wanted: word & WANTED != 0 }
    }

    /// Takes the page away for good. Pins that are still counted were forgotten.
    pub fn vacate(&self) -> Leaving {
        // Acquire: pairs with the Release of `moved`: the caller learns which frame it is in.
        self.change(
            Acquire,
            |word| if is_busy(word) { Err(Leaving::Busy) } else { Ok((VACANT, Leaving::Vacant)) },
        )
    }

    /// Whether somebody is about something. A hint.
    pub fn is_busy(&self) -> bool {
        // Relaxed: who goes on by it makes an exchange.
        is_busy(self.0.load(Relaxed))
    }

    /// Whether nobody has it pinned or is about something. A hint.
    pub fn is_movable(&self) -> bool {
        // Relaxed: who goes on by it makes an exchange.
        matches!(self.0.load(Relaxed) & !MARKS, OPEN | CLOSED)
    }

    /// Notes that the caller waits until the page is at rest. `false`: it is.
    #[must_use]
    pub fn wait(&self) -> bool {
        // Relaxed: whether it waits is all that is said. Who is woken by it takes the lock of the list of
        // those who wait, which the caller holds.
        self.change(Relaxed, |word| if is_busy(word) { Ok((word | WAITED, true)) } else { Err(false) })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const QUIET: Rested = Rested { waited: false, wanted: false };

    fn at(rest: Rest) -> PinWord {
        let word = PinWord::new();
        assert_eq!(word.begin_move(), Moving::Vacant);
        word.appear(rest);
        word
    }

    #[test]
    fn the_first_pin_opens_and_the_last_unpin_closes() {
        let word = at(Rest::Closed);
        assert_eq!(word.pin(), Pinning::Opening);
        assert_eq!(word.pin(), Pinning::Busy, "another must not use it before it is open");
        assert_eq!(word.opened(true), QUIET);
        assert_eq!(word.pin(), Pinning::Pinned);
        assert_eq!(word.unpin(Rest::Closed), Unpinning::Pinned);
        assert_eq!(word.unpin(Rest::Closed), Unpinning::Closing);
        assert_eq!(word.pin(), Pinning::Busy, "another must not find it closed under its hands");
        assert_eq!(word.vacate(), Leaving::Busy);
        assert_eq!(word.closed(true), QUIET);
        assert_eq!(word.begin_move(), Moving::Begun(Rest::Closed));
        assert_eq!(word.moved(Rest::Closed), QUIET);
        assert_eq!(word.vacate(), Leaving::Vacant);
    }

    #[test]
    fn what_cannot_be_closed_stays_open() {
        let word = at(Rest::Closed);
        assert_eq!((word.pin(), word.opened(true)), (Pinning::Opening, QUIET));
        assert_eq!((word.unpin(Rest::Closed), word.closed(false)), (Unpinning::Closing, QUIET));
        assert_eq!(word.pin(), Pinning::Pinned);
    }

    #[test]
    fn what_cannot_be_opened_stays_closed_and_can_be_had_by_a_mover() {
        let word = at(Rest::Closed);
        assert_eq!(word.pin(), Pinning::Opening);
        assert_eq!(word.begin_move(), Moving::Kept);
        assert!(word.wait());
        assert_eq!(word.opened(false), Rested { waited: true, wanted: true });
        assert_eq!(word.begin_move(), Moving::Begun(Rest::Closed));
    }

    #[test]
    fn who_made_a_mover_pass_it_over_is_told() {
        for rest in [Rest::Open, Rest::Closed] {
            let word = at(rest);
            if rest == Rest::Closed {
                assert_eq!(word.pin(), Pinning::Opening);
                assert_eq!(word.begin_move(), Moving::Kept, "the mark outlasts the opening");
                assert_eq!(word.opened(true), QUIET);
            } else {
                assert_eq!(word.pin(), Pinning::Pinned);
                assert!(word.want());
            }
            assert_eq!(word.pin(), Pinning::Pinned);
            assert_eq!(word.unpin(rest), Unpinning::Pinned, "it is not movable yet");
            let wanted = Rested { waited: false, wanted: true };
            match word.unpin(rest) {
                Unpinning::Open(rested) => assert_eq!((rest, rested), (Rest::Open, wanted)),
                Unpinning::Closing => assert_eq!((rest, word.closed(true)), (Rest::Closed, wanted)),
                Unpinning::Pinned => panic!("that was the last"),
            }
            assert_eq!(word.begin_move(), Moving::Begun(rest));
            assert_eq!(word.begin_move(), Moving::Kept);
            assert_eq!(word.moved(rest), wanted, "by another mover this time");
        }
    }

    #[test]
    fn pins_that_were_forgotten_hold_up_no_drop() {
        let word = at(Rest::Open);
        assert_eq!(word.pin(), Pinning::Pinned);
        assert_eq!(word.vacate(), Leaving::Vacant);
        assert_eq!(word.begin_move(), Moving::Vacant);
        word.appear(Rest::Open);
        assert_eq!(word.begin_move(), Moving::Begun(Rest::Open), "the next page has no pins");
    }

    #[test]
    fn only_busy_pages_are_waited_for() {
        let word = at(Rest::Open);
        assert!(!word.wait() && !word.want());
        assert_eq!(word.begin_move(), Moving::Begun(Rest::Open));
        assert!(word.is_busy() && word.wait());
        assert_eq!(word.moved(Rest::Open), Rested { waited: true, wanted: false });
        assert!(!word.is_busy() && word.is_movable());
    }
}
