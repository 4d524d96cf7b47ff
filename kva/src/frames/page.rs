//! A page: one frame's worth of bytes, at an address that stays.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use super::error::PinError;
use super::gate::{Access, At};
use super::pin::Rest;
use super::{FrameAllocError, Inner};
use crate::shape::Span;
use crate::sync::Arc;

/// As many bytes as a frame has, at an address that never changes, in a frame that may.
///
/// While nobody has it pinned, it may be moved to another frame; its bytes stay the same. Dropping
/// it frees the frame it is in by then. Its bytes are at first what the last owner of its frame
/// left there, and zero if there was none.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::Frames;
///
/// let frames = Frames::new(2)?;
/// let mut page = frames.page()?;
/// let address = page.address();
/// page.pin_mut()[..5].copy_from_slice(b"hello");
///
/// let was_in = page.frame();
/// frames.compact(was_in..was_in + 1);
/// assert_ne!(page.frame(), was_in);
/// assert_eq!(page.address(), address);
/// assert_eq!(page.pin()[..5], *b"hello");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a page frees it"]
pub struct Page {
    frames: Arc<Inner>,
    number: u32,
}

/// A page's address, to the system.
pub(super) struct Behind<'a> {
    frames: &'a Inner,
    number: u32,
}

impl Access for Behind<'_> {
    type Error = io::Error;

    fn rest(&self) -> Rest {
        self.frames.rest
    }

    fn open(&self) -> io::Result<()> {
        self.frames.memory.protect_page(self.number, Rest::Open)
    }

    fn close(&self) -> bool {
        self.frames.memory.protect_page(self.number, Rest::Closed).is_ok()
    }

    fn movable(&self) {
        self.frames.kick();
    }
}

impl Inner {
    pub(super) fn at(&self, page: u32) -> At<'_, Behind<'_>> {
        At {
            page,
            gate: &self.table.slot(page).gate,
            waits: &self.table.waits,
            access: Behind { frames: self, number: page },
        }
    }
}

impl Page {
    /// A page in the frame of `span`.
    pub(super) fn new(frames: Arc<Inner>, span: Span) -> Result<Self, FrameAllocError> {
        let number = frames.table.take_number();
        if let Err(error) = frames.memory.map_page(number, span.start(), frames.rest) {
            frames.table.give_number(number);
            frames.free(span);
            return Err(FrameAllocError::Map(error.kind()));
        }
        frames.table.put(number, span);
        frames.at(number).appear();
        // Whoever was to make room since the span was taken found a frame of nobody's.
        frames.kick();
        Ok(Self { frames, number })
    }

    fn at(&self) -> At<'_, Behind<'_>> {
        self.frames.at(self.number)
    }

    fn bytes(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.address(), self.frames.memory.frame_size())
    }

    /// Where the page is. Its bytes are there while it is pinned; at any other time they may be on
    /// their way, and the address inaccessible.
    pub fn address(&self) -> NonNull<u8> {
        self.frames.memory.page(self.number)
    }

    /// The frame that the page is in just now. It stays in it while it is pinned.
    pub fn frame(&self) -> u32 {
        self.frames.table.frame_of(self.number)
    }

    /// Pins the page, to read it. If it is being moved, waits for that. As long as there is a pin, the
    /// frame is in the way of [runs](crate::Run).
    ///
    /// # Panics
    /// Pages are [protected](crate::FramesBuilder::protect), and the system does not make this one
    /// accessible; [`try_pin`](Self::try_pin) says so instead.
    pub fn pin(&self) -> Pinned<'_> {
        self.pin_it();
        Pinned(self)
    }

    /// Pins the page, to write to it, as by [`pin`](Self::pin).
    ///
    /// # Panics
    /// As [`pin`](Self::pin).
    pub fn pin_mut(&mut self) -> PinnedMut<'_> {
        self.pin_it();
        PinnedMut(self)
    }

    fn pin_it(&self) {
        let pinned = self.at().pin();
        pinned.unwrap_or_else(|error| panic!("a protected page cannot be made accessible: {error}"));
    }

    /// Pins the page, to read it, unless that would wait for a move.
    ///
    /// # Errors
    /// It is busy, or cannot be made accessible.
    pub fn try_pin(&self) -> Result<Pinned<'_>, PinError> {
        self.try_pin_it()?;
        Ok(Pinned(self))
    }

    /// Pins the page, to write to it, unless that would wait for a move.
    ///
    /// # Errors
    /// As [`try_pin`](Self::try_pin).
    pub fn try_pin_mut(&mut self) -> Result<PinnedMut<'_>, PinError> {
        self.try_pin_it()?;
        Ok(PinnedMut(self))
    }

    fn try_pin_it(&self) -> Result<(), PinError> {
        match self.at().try_pin() {
            Ok(true) => Ok(()),
            Ok(false) => Err(PinError::Busy),
            Err(error) => Err(PinError::Open(error.kind())),
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let (frames, number) = (&*self.frames, self.number);
        self.at().vacate();
        let span = frames.table.span_of(number);
        frames.memory.unmap_page(number);
        frames.table.clear(span);
        frames.table.give_number(number);
        frames.free(span);
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("address", &self.address()).field("frame", &self.frame()).finish()
    }
}

macro_rules! guard {
    ($name:ident) => {
        impl Deref for $name<'_> {
            type Target = [u8];
            fn deref(&self) -> &[u8] {
                let bytes = self.0.bytes();
                // SAFETY: the page is mapped, and stays where it is while it is pinned; all that is
                // written to it while this guard lives is written through the guard.
                unsafe { slice::from_raw_parts(bytes.cast().as_ptr(), bytes.len()) }
            }
        }

        impl AsRef<[u8]> for $name<'_> {
            fn as_ref(&self) -> &[u8] {
                self
            }
        }

        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&*self.0).finish()
            }
        }

        impl Drop for $name<'_> {
            fn drop(&mut self) {
                self.0.at().unpin();
            }
        }
    };
}

/// The bytes of a page that is pinned, to read; see [`Page::pin`].
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::Frames;
///
/// let page = Frames::new(1)?.page()?;
/// let (one, another) = (page.pin(), page.pin()); // as many as there are readers
/// assert_eq!(one[0], another[0]);
/// # drop((one, another));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the page is pinned until this is dropped"]
pub struct Pinned<'a>(&'a Page);

/// The bytes of a page that is pinned, to write; see [`Page::pin_mut`].
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::Frames;
///
/// let mut page = Frames::new(1)?.page()?;
/// page.pin_mut().fill(7);
/// assert!(page.pin().iter().all(|byte| *byte == 7));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the page is pinned until this is dropped"]
pub struct PinnedMut<'a>(&'a mut Page);

guard!(Pinned);
guard!(PinnedMut);

impl DerefMut for PinnedMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        let bytes = self.0.bytes();
        // SAFETY: the page is mapped, and stays where it is while it is pinned; who has it
        // borrowed mutably is the only one that pins it.
        unsafe { slice::from_raw_parts_mut(bytes.cast().as_ptr(), bytes.len()) }
    }
}

impl AsMut<[u8]> for PinnedMut<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::frames::Frames;

    #[test]
    fn who_would_not_wait_is_told_that_a_page_is_moved() {
        for protect in [false, true] {
            let frames = Frames::builder(1).protect(protect).build().unwrap();
            let mut page = frames.page().unwrap();
            let mover = frames.0.at(page.number);
            let refused = mover.relocate(|rest| ([page.try_pin().err(), page.try_pin_mut().err()], rest));
            assert_eq!(refused, Ok([Some(PinError::Busy); 2]));
            assert_eq!(page.try_pin_mut().map(|pin| pin[0]), Ok(0), "it is at rest again");
            assert_eq!(page.try_pin().map(|pin| pin[0]), Ok(0));
        }
    }
}
