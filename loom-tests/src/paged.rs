//! A page of scripted memory that is pinned and moved: through [the gate](kva::frames::gate) of
//! production, and through one that lacks a part of the protocol.
//!
//! Two cells stand for two frames, and one for how the page is mapped. loom sees each access to them:
//! what is touched by two at once, or without the last one's work being seen, fails.

use kva::frames::gate::{Access, At, Gate, Waits};
use kva::frames::pin::Rest;
use kva::sync::atomic::AtomicU32;
use kva::sync::atomic::Ordering::{AcqRel, Relaxed};
use kva::sync::{UnsafeCell, thread::yield_now, unseen};

/// How the page is mapped.
#[derive(Debug, Clone, Copy)]
struct Mapping {
    frame: usize,
    is_open: bool,
}

/// Two frames, and a page that is in one of them.
#[derive(Debug)]
pub struct Memory {
    frames: [UnsafeCell<u32>; 2],
    mapping: UnsafeCell<Mapping>,
}

// SAFETY: that the cells are one's at a time, or many readers', is what the models show.
unsafe impl Sync for Memory {}
// SAFETY: they are numbers.
unsafe impl Send for Memory {}

/// What is in a frame that nobody is in.
const NOTHING: u32 = u32::MAX;

impl Memory {
    fn new(is_open: bool) -> Self {
        Self {
            frames: [UnsafeCell::new(0), UnsafeCell::new(NOTHING)],
            mapping: UnsafeCell::new(Mapping { frame: 0, is_open }),
        }
    }

    fn frame(&self) -> &UnsafeCell<u32> {
        // SAFETY: the page is pinned. If somebody maps it meanwhile, loom fails before the pointer is used.
        let Mapping { frame, is_open } = self.mapping.with(|mapping| unsafe { *mapping });
        assert!(is_open, "a page that is pinned faults");
        &self.frames[frame]
    }

    /// Reads the page, which is pinned.
    ///
    /// # Panics
    /// It is inaccessible, or torn.
    pub fn read(&self) -> u32 {
        // SAFETY: as in `frame`.
        let value = self.frame().with(|value| unsafe { *value });
        assert_ne!(value, NOTHING, "it is read where it is no more");
        value
    }

    /// Writes to the page, which is pinned by nobody else.
    ///
    /// # Panics
    /// It is inaccessible.
    pub fn write(&self, new: u32) {
        // SAFETY: as in `frame`.
        self.frame().with_mut(|value| unsafe { *value = new });
    }

    fn protect(&self, open: bool) {
        // SAFETY: who opens or closes it has it alone. If not, loom fails first.
        self.mapping.with_mut(|mapping| unsafe { (*mapping).is_open = open });
    }

    fn relocate(&self, rest: Rest) {
        // SAFETY: who moves it has it alone. If not, loom fails first.
        let from = self.mapping.with(|mapping| unsafe { (*mapping).frame });
        // SAFETY: as above.
        let value = self.frames[from].with_mut(|value| unsafe { value.replace(NOTHING) });
        // SAFETY: as above.
        self.frames[1 - from].with_mut(|other| unsafe { *other = value });
        let new = Mapping { frame: 1 - from, is_open: rest == Rest::Open };
        // SAFETY: as above.
        self.mapping.with_mut(|mapping| unsafe { *mapping = new });
    }
}

/// A page.
pub trait Paged: Send + Sync + 'static {
    /// Pins it, calls `f`, and unpins it.
    fn pinned<R>(&self, f: impl FnOnce(&Memory) -> R) -> R;

    /// As [`pinned`](Self::pinned), unless that would wait.
    fn pinned_now<R>(&self, f: impl FnOnce(&Memory) -> R) -> Option<R>;

    /// Moves it to the other frame. `false`: it is pinned, or about to be.
    fn relocate(&self) -> bool;

    /// How often it was said that it is movable, after it had not been.
    fn told(&self) -> u32;
}

/// The gate of production.
#[derive(Debug)]
pub struct Production {
    gate: Gate,
    waits: Waits,
    rest: Rest,
    memory: Memory,
    told: unseen::AtomicU32,
}

impl Access for &Production {
    type Error = std::convert::Infallible;

    fn rest(&self) -> Rest {
        self.rest
    }

    fn open(&self) -> Result<(), Self::Error> {
        self.memory.protect(true);
        Ok(())
    }

    fn close(&self) -> bool {
        self.memory.protect(false);
        true
    }

    fn movable(&self) {
        // One at a time: each time it was marked by the one mover that looks at this.
        self.told.set(self.told.get() + 1);
    }
}

impl Production {
    /// A page that is accessible while nobody has it pinned, or not.
    #[must_use]
    pub fn new(rest: Rest) -> Self {
        let new = Self {
            gate: Gate::default(),
            waits: Waits::default(),
            rest,
            memory: Memory::new(rest == Rest::Open),
            told: unseen::AtomicU32::new(0),
        };
        new.at().appear();
        new
    }

    fn at(&self) -> At<'_, &Self> {
        At { page: 0, gate: &self.gate, waits: &self.waits, access: self }
    }

    /// Takes the page away.
    pub fn vacate(&self) {
        self.at().vacate();
    }

    /// Writes to the page that was taken away.
    pub fn write_vacant(&self) {
        self.memory.protect(true);
        self.memory.write(1);
    }
}

impl Paged for Production {
    fn pinned<R>(&self, f: impl FnOnce(&Memory) -> R) -> R {
        let Ok(()) = self.at().pin();
        let result = f(&self.memory);
        self.at().unpin();
        result
    }

    fn pinned_now<R>(&self, f: impl FnOnce(&Memory) -> R) -> Option<R> {
        let Ok(is_pinned) = self.at().try_pin();
        let result = is_pinned.then(|| f(&self.memory));
        if is_pinned {
            self.at().unpin();
        }
        result
    }

    fn relocate(&self) -> bool {
        let moved = self.at().relocate(|_| {
            self.memory.relocate(self.rest);
            ((), self.rest)
        });
        moved.is_ok()
    }

    fn told(&self) -> u32 {
        self.told.get()
    }
}

/// What is wrong with a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The mover does not look at pins.
    MovesWhatIsPinned,
    /// A pin does not look whether the page is being moved.
    PinsWhatIsMoved,
    /// The second pin does not wait until the first has opened the page.
    PinsBeforeOpen,
    /// The last unpin says that nobody has it pinned, and closes it then.
    ClosesAfterwards,
    /// Who unpins last does not say that the page was wanted.
    TellsNobody,
    /// What was written need not be seen by who moves.
    UnpinsWithoutRelease,
    /// The same, on the other side.
    MovesWithoutAcquire,
    /// What was moved need not be seen by who pins.
    MovesWithoutRelease,
    /// The same, on the other side.
    PinsWithoutAcquire,
}

const MOVING: u32 = 1;
const CHANGING: u32 = 2;
const WANTED: u32 = 4;
const OPEN: u32 = 8;
const PIN: u32 = 16;

/// A gate with a flaw.
#[derive(Debug)]
pub struct Flawed {
    flaw: Flaw,
    rest: Rest,
    word: AtomicU32,
    memory: Memory,
    told: unseen::AtomicU32,
}

impl Flawed {
    /// A page that is accessible while nobody has it pinned, or not.
    #[must_use]
    pub fn new(flaw: Flaw, rest: Rest) -> Self {
        let is_open = rest == Rest::Open;
        Self {
            flaw,
            rest,
            word: AtomicU32::new(if is_open { OPEN } else { 0 }),
            memory: Memory::new(is_open),
            told: unseen::AtomicU32::new(0),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    /// Goes on to what `next` says, or answers `None`. All edges there are, unless it is `weak`.
    fn change(&self, weak: Flaw, next: impl Fn(u32) -> Option<u32>) -> Option<u32> {
        let order = if self.has(weak) { Relaxed } else { AcqRel };
        let mut word = self.word.load(Relaxed);
        loop {
            match self.word.compare_exchange(word, next(word)?, order, Relaxed) {
                Ok(word) => return Some(word),
                Err(found) => word = found,
            }
        }
    }
}

impl Paged for Flawed {
    fn pinned<R>(&self, f: impl FnOnce(&Memory) -> R) -> R {
        let mut f = Some(f);
        loop {
            if let Some(result) = self.pinned_now(|memory| f.take().expect("called once")(memory)) {
                return result;
            }
            yield_now();
        }
    }

    fn pinned_now<R>(&self, f: impl FnOnce(&Memory) -> R) -> Option<R> {
        let waits_for = match self.flaw {
            Flaw::PinsWhatIsMoved => CHANGING,
            Flaw::PinsBeforeOpen => MOVING,
            _ => MOVING | CHANGING,
        };
        let opens = |word: u32| word & (OPEN | CHANGING) == 0;
        let word = self.change(Flaw::PinsWithoutAcquire, |word| {
            let opening = if opens(word) { CHANGING } else { 0 };
            (word & waits_for == 0).then_some((word + PIN) | opening)
        })?;
        if opens(word) {
            self.memory.protect(true);
            self.change(Flaw::PinsWithoutAcquire, |word| Some(word & !CHANGING | OPEN));
        }
        let result = f(&self.memory);
        let closes = self.rest == Rest::Closed;
        let changing = if self.has(Flaw::ClosesAfterwards) { 0 } else { CHANGING };
        let word = self.change(Flaw::UnpinsWithoutRelease, |word| {
            let is_last = word / PIN == 1;
            Some(match (is_last, closes) {
                (true, true) => (word - PIN) & !OPEN | changing,
                (true, false) => (word - PIN) & !WANTED,
                (false, _) => word - PIN,
            })
        });
        let word = word.expect("always");
        if word / PIN == 1 {
            let mut wanted = word;
            if closes {
                self.memory.protect(false);
                let closed = |word| Some(word & !(CHANGING | WANTED));
                wanted = self.change(Flaw::UnpinsWithoutRelease, closed).expect("always");
            }
            if wanted & WANTED != 0 && !self.has(Flaw::TellsNobody) {
                self.told.set(self.told.get() + 1);
            }
        }
        Some(result)
    }

    fn relocate(&self) -> bool {
        let looks_at = if self.has(Flaw::MovesWhatIsPinned) { CHANGING } else { !(OPEN | WANTED) };
        let found = self.change(Flaw::MovesWithoutAcquire, |word| {
            let is_free = word & looks_at == 0;
            Some(if is_free { word | MOVING } else { word | WANTED })
        });
        if found.expect("always") & looks_at != 0 {
            return false;
        }
        self.memory.relocate(self.rest);
        self.change(Flaw::MovesWithoutRelease, |word| Some(word & !MOVING));
        true
    }

    fn told(&self) -> u32 {
        self.told.get()
    }
}
