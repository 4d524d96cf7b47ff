//! What moving a page cannot do without, by itself: a copy of the frame, and one mmap(2) that puts the copy
//! where the page is.
//!
//! It asks nobody whether the page is in use, and looks for no free frame: it is no peer, but the floor.

use std::ffi::c_void;
use std::os::fd::OwnedFd;
use std::ptr::{NonNull, null_mut};

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::source::Moving;

/// Bytes of a frame.
const FRAME: usize = 4096;

const READ_WRITE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

/// Address space that is ours.
struct Mapped {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapped {
    fn new(start: *mut c_void, bytes: usize) -> Self {
        Self { start: NonNull::new(start.cast()).expect("not at zero"), bytes }
    }

    /// Where the page or frame of this number begins.
    fn at(&self, number: u32) -> *mut u8 {
        let offset = number as usize * FRAME;
        assert!(offset < self.bytes);
        // SAFETY: it is within what is mapped.
        unsafe { self.start.as_ptr().add(offset) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody uses it any more.
        unsafe { munmap(self.start.as_ptr().cast(), self.bytes) }.expect("it was mapped");
    }
}

/// A file of frames; pages are `REMAPPED`, or only copied.
pub struct ByHand<const REMAPPED: bool> {
    file: OwnedFd,
    /// All frames.
    alias: Mapped,
    /// Where pages are: twice as many places as there are pages.
    range: Mapped,
    /// The page in each frame of its half, from the first on.
    pages: Vec<u32>,
    /// Where they are: the upper half, or the lower.
    up: bool,
    protect: bool,
}

impl<const REMAPPED: bool> ByHand<REMAPPED> {
    fn first(&self, up: bool) -> u32 {
        if up { self.pages.len() as u32 } else { 0 }
    }

    /// Maps a page onto a frame.
    fn map(&self, page: u32, frame: u32) {
        let (access, populate) = if self.protect {
            (ProtFlags::empty(), MapFlags::empty())
        } else {
            (READ_WRITE, MapFlags::POPULATE)
        };
        let (at, flags) = (self.range.at(page).cast(), MapFlags::SHARED | MapFlags::FIXED | populate);
        // SAFETY: what is replaced is a page of our own range, which nobody touches.
        unsafe { mmap(at, FRAME, access, flags, &self.file, u64::from(frame) * FRAME as u64) }
            .expect("there may be so many mappings");
    }
}

impl<const REMAPPED: bool> Moving for ByHand<REMAPPED> {
    const NAME: &'static str = if REMAPPED { "copy + mmap" } else { "copy alone" };

    fn new(count: u32, protect: bool) -> Self {
        let bytes = 2 * count as usize * FRAME;
        let file = memfd_create(c"by-hand", MemfdFlags::CLOEXEC).expect("memory");
        ftruncate(&file, bytes as u64).expect("a length");
        fallocate(&file, FallocateFlags::empty(), 0, bytes as u64).expect("memory");
        // SAFETY: a null hint and no MAP_FIXED: the kernel picks addresses that nobody uses.
        let alias = unsafe { mmap(null_mut(), bytes, READ_WRITE, MapFlags::SHARED, &file, 0) };
        let alias = Mapped::new(alias.expect("address space"), bytes);
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: as above.
        let range = unsafe { mmap_anonymous(null_mut(), bytes, ProtFlags::empty(), flags) };
        let range = Mapped::new(range.expect("address space"), bytes);

        let mut pages: Vec<u32> = (0..2 * count).collect();
        fastrand::Rng::with_seed(0x5eed).shuffle(&mut pages);
        pages.truncate(count as usize);
        for (frame, page) in (0..).zip(&pages) {
            // SAFETY: the frame is ours, and longer.
            unsafe { alias.at(frame).cast::<[u8; 4]>().write(page.to_ne_bytes()) };
        }
        let mut this = Self { file, alias, range, pages, up: false, protect };
        for (frame, page) in (0..).zip(&this.pages) {
            this.map(*page, frame);
        }
        this.pass();
        this.pass();
        this
    }

    fn pass(&mut self) {
        let (from, to) = (self.first(self.up), self.first(!self.up));
        for (nth, page) in (0..).zip(&self.pages) {
            let (old, new) = (self.alias.at(from + nth), self.alias.at(to + nth));
            // SAFETY: both are ours, and differ; nobody has a reference to them.
            unsafe { old.copy_to_nonoverlapping(new, FRAME) };
            if REMAPPED {
                self.map(*page, to + nth);
            }
        }
        self.up = !self.up;
    }

    #[cfg(test)]
    fn spoil(&mut self) {
        let unused = self.alias.at(self.first(!self.up));
        // SAFETY: that half is ours, and no page is in it.
        unsafe { unused.write_bytes(0xff, self.pages.len() * FRAME) };
    }

    #[cfg(test)]
    fn are_whole(&self) -> bool {
        let whole = |(frame, &page): (u32, &u32)| {
            // What is not mapped, or may not be touched, is looked at in its frame.
            let at = if REMAPPED && !self.protect { self.range.at(page) } else { self.alias.at(frame) };
            // SAFETY: it is mapped, and nobody writes to it.
            unsafe { at.cast::<[u8; 4]>().read() == page.to_ne_bytes() }
        };
        (self.first(self.up)..).zip(&self.pages).all(whole)
    }
}
