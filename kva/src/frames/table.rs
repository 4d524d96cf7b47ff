//! Who is in which frame.
//!
//! Two tables: by page, its gate and the frame it is in; by frame, who has it. A page's entries are
//! written by who has the page to itself (its word vacant, or moving), a frame's by who has its
//! span. Both are read by anybody: what the table of frames says is a hint, to be confirmed
//! while the page that it names is held still.

use super::gate::{Gate, Waits};
use crate::shape::Span;
use crate::sync::Mutex;
use crate::sync::unseen::{AtomicU32, zeroed};

const NOBODY: u32 = 0;
const WIRED: u32 = u32::MAX;

/// Who has a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// It is free, or on its way to or from somebody.
    Nobody,
    /// A run: it stays where it is.
    Wired,
    /// The page of this number.
    Page(u32),
}

/// A page.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) gate: Gate,
    frame: AtomicU32,
    /// Which taking of the frame is the page's, and of which arena.
    serial: AtomicU32,
    arena: AtomicU32,
}

#[derive(Debug)]
pub(super) struct Table {
    owners: Box<[AtomicU32]>,
    slots: Box<[Slot]>,
    /// The numbers that no page has.
    vacant: Mutex<Vec<u32>>,
    pub(super) waits: Waits,
}

impl Table {
    /// For so many frames. `None`: there is no memory for it.
    pub(super) fn new(frames: u32) -> Option<Self> {
        let owners = zeroed(frames as usize)?;
        let mut vacant = Vec::new();
        vacant.try_reserve_exact(frames as usize).ok()?;
        // The lowest first.
        vacant.extend((0..frames).rev());
        let mut slots = Vec::new();
        slots.try_reserve_exact(frames as usize).ok()?;
        slots.resize_with(frames as usize, Slot::default);
        Some(Self { owners, slots: slots.into(), vacant: Mutex::new(vacant), waits: Waits::default() })
    }

    pub(super) fn slot(&self, page: u32) -> &Slot {
        &self.slots[page as usize]
    }

    /// A number for a new page. Who has the span of a frame finds one: there are as many.
    pub(super) fn take_number(&self) -> u32 {
        self.vacant.lock().pop().expect("no more pages than frames")
    }

    /// The number is no page's any more. Before its frame is free.
    pub(super) fn give_number(&self, page: u32) {
        self.vacant.lock().push(page);
    }

    /// The frame that the page is in; the caller has the page to itself.
    pub(super) fn span_of(&self, page: u32) -> Span {
        let Slot { frame, serial, arena, .. } = self.slot(page);
        Span { start: frame.get(), len: 1, serial: serial.get(), arena: arena.get() }
    }

    /// The frame that the page is in, as it looks.
    pub(super) fn frame_of(&self, page: u32) -> u32 {
        self.slot(page).frame.get()
    }

    /// The page is in this frame now; the caller has the page to itself.
    pub(super) fn put(&self, page: u32, span: Span) {
        debug_assert_eq!(span.len, 1);
        let slot = self.slot(page);
        slot.frame.set(span.start);
        slot.serial.set(span.serial);
        slot.arena.set(span.arena);
        self.owners[span.start as usize].set(page + 1);
    }

    /// Nobody is in these frames any more; the caller has their span.
    pub(super) fn clear(&self, span: Span) {
        span.range().for_each(|frame| self.owners[frame as usize].set(NOBODY));
    }

    /// These frames stay where they are; the caller has their span.
    pub(super) fn wire(&self, span: Span) {
        span.range().for_each(|frame| self.owners[frame as usize].set(WIRED));
    }

    /// Who has the frame, as it looks.
    pub(super) fn owner(&self, frame: u32) -> Owner {
        match self.owners[frame as usize].get() {
            NOBODY => Owner::Nobody,
            WIRED => Owner::Wired,
            page => Owner::Page(page - 1),
        }
    }
}
