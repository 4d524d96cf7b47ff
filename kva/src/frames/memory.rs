//! The memory of frames: one file, and where it is mapped.
//!
//! The frames are a memfd(2). It is mapped three times over: once as a whole, the *alias*, which is
//! ours alone and through which frames are copied; frame by frame into a range of *pages*, each of
//! which is mapped onto whatever frame it is in, by a `mmap(2)` that replaces the mapping in one
//! step; and for each run by itself.
//!
//! # Invariants
//!
//! 1. The file is as long as all frames for as long as it is mapped: it is sealed against
//!    shrinking, so that no access beyond its end can end the process.
//! 2. What is mapped by `MAP_FIXED` lies within the range of pages, which is ours from the first
//!    call to the last.
//! 3. A page's address and a frame's bytes are touched by one at a time, or by many who read: that is
//!    for the callers to see to.

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, MprotectFlags, MsyncFlags, ProtFlags};

use super::pin::Rest;

/// The file and its mappings.
#[derive(Debug)]
pub(super) struct Memory {
    file: OwnedFd,
    frame_size: usize,
    bytes: usize,
    alias: NonNull<u8>,
    pages: NonNull<u8>,
}

// SAFETY: it hands out addresses, makes system calls on them, and copies between frames. Who may
// touch which bytes is decided by its callers (invariant 3).
unsafe impl Send for Memory {}
// SAFETY: as above; no method changes the value itself.
unsafe impl Sync for Memory {}

const READ_WRITE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

/// A file that keeps its length. Kernels before 6.3 have no flag to say that it is never executed.
fn sealed_file(bytes: usize) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match rustix::fs::memfd_create(c"kva-frames", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create(c"kva-frames", flags),
        created => created,
    }
    .map_err(|error| failed("memfd_create(2)", error))?;
    rustix::fs::ftruncate(&file, bytes as u64).map_err(|error| failed("ftruncate(2)", error))?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(|error| failed("fcntl(2), F_ADD_SEALS", error))?;
    Ok(file)
}

/// What the kernel said, and to what.
fn failed(call: &str, error: rustix::io::Errno) -> io::Error {
    io::Error::new(error.kind(), format!("{call}: {error}"))
}

fn non_null(mapped: *mut c_void) -> io::Result<NonNull<u8>> {
    NonNull::new(mapped.cast()).ok_or_else(|| io::Error::other("mmap placed memory at address zero"))
}

impl Memory {
    /// `frames` frames of `frame_size` bytes; `primed`: all of it is there from the beginning.
    pub(super) fn new(frames: u32, frame_size: usize, primed: bool) -> io::Result<Self> {
        let bytes = (frames as usize).checked_mul(frame_size).filter(|bytes| i64::try_from(*bytes).is_ok());
        let bytes = bytes.ok_or(io::ErrorKind::OutOfMemory)?;
        let file = sealed_file(bytes)?;
        if primed {
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes as u64)
                .map_err(|error| failed("fallocate(2)", error))?;
        }
        // SAFETY: a null hint and no MAP_FIXED: the kernel picks addresses that nobody uses.
        let alias =
            unsafe { rustix::mm::mmap(ptr::null_mut(), bytes, READ_WRITE, MapFlags::SHARED, &file, 0) }
                .map_err(|error| failed("mmap(2)", error))?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: as above.
        let pages = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::empty(), flags) };
        let pages = pages.map_err(|error| {
            unmap(alias, bytes);
            failed("mmap(2)", error)
        })?;
        Ok(Self { file, frame_size, bytes, alias: non_null(alias)?, pages: non_null(pages)? })
    }

    /// The size of a frame in bytes.
    pub(super) const fn frame_size(&self) -> usize {
        self.frame_size
    }

    const fn offset(&self, number: u32) -> usize {
        number as usize * self.frame_size
    }

    /// The address of a page, for good.
    pub(super) fn page(&self, page: u32) -> NonNull<u8> {
        debug_assert!(self.offset(page) < self.bytes);
        // SAFETY: within the range of pages.
        unsafe { self.pages.add(self.offset(page)) }
    }

    fn map_fixed(&self, page: u32, frame: u32, rest: Rest, fixed: MapFlags) -> io::Result<()> {
        let (access, populate) = match rest {
            // A fault costs more than the call that it would be spared.
            Rest::Open => (READ_WRITE, MapFlags::POPULATE),
            Rest::Closed => (ProtFlags::empty(), MapFlags::empty()),
        };
        let flags = MapFlags::SHARED | fixed | populate;
        let at = self.page(page).as_ptr().cast();
        // SAFETY: what is replaced is a page's, within our own range (invariant 2), and nobody
        // touches it: the caller has the page vacant or is moving it.
        unsafe {
            rustix::mm::mmap(at, self.frame_size, access, flags, &self.file, self.offset(frame) as u64)
        }?;
        Ok(())
    }

    /// Maps a page onto a frame, instead of whatever it was mapped onto. Nobody may touch the page
    /// meanwhile. If it fails, the page is as it was.
    pub(super) fn map_page(&self, page: u32, frame: u32, rest: Rest) -> io::Result<()> {
        self.map_fixed(page, frame, rest, MapFlags::FIXED)
    }

    /// Maps a page again onto the frame that it was on, if the kernel took that mapping away before it
    /// failed to make the new one, as those before 6.12 may.
    pub(super) fn mend_page(&self, page: u32, frame: u32, rest: Rest) {
        self.mended(page, self.map_fixed(page, frame, rest, MapFlags::FIXED_NOREPLACE));
    }

    fn mended(&self, page: u32, done: io::Result<()>) {
        match done {
            Ok(()) => {}
            // It was left as it was.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // As it is where nothing can be mapped at all.
            Err(_) if self.is_mapped(page) => {}
            // The address is nobody's any more. Nothing that goes on from here is sound.
            Err(_) => {
                let word = b"kva: the kernel took a page's mapping away, and gives none back\n";
                let _ = io::Write::write_all(&mut io::stderr(), word);
                std::process::abort();
            }
        }
    }

    /// Whether something is mapped at a page's address.
    fn is_mapped(&self, page: u32) -> bool {
        let at = self.page(page).as_ptr().cast();
        // SAFETY: the call changes no contents. Of addresses that are not mapped it is an error.
        unsafe { rustix::mm::msync(at, self.frame_size, MsyncFlags::ASYNC) }.is_ok()
    }

    /// Makes a page's address inaccessible, and its frame free of it. Nobody may touch the page any more.
    ///
    /// Failure is ignored: the address then stays mapped until it is a page's again.
    pub(super) fn unmap_page(&self, page: u32) {
        if self.reserve_page(page, MapFlags::FIXED).is_err() {
            self.mend_vacant(page);
        }
    }

    fn reserve_page(&self, page: u32, fixed: MapFlags) -> io::Result<()> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | fixed;
        let at = self.page(page).as_ptr().cast();
        // SAFETY: as in `map_fixed`.
        unsafe { rustix::mm::mmap_anonymous(at, self.frame_size, ProtFlags::empty(), flags) }?;
        Ok(())
    }

    /// As [`mend_page`](Self::mend_page), where there is no page: its address must not become
    /// somebody else's.
    pub(super) fn mend_vacant(&self, page: u32) {
        self.mended(page, self.reserve_page(page, MapFlags::FIXED_NOREPLACE));
    }

    /// Makes a mapped page accessible, or inaccessible.
    pub(super) fn protect_page(&self, page: u32, rest: Rest) -> io::Result<()> {
        let access = match rest {
            Rest::Open => MprotectFlags::READ | MprotectFlags::WRITE,
            Rest::Closed => MprotectFlags::empty(),
        };
        // SAFETY: a page's own address, which nobody touches: the caller is opening or closing it.
        unsafe { rustix::mm::mprotect(self.page(page).as_ptr().cast(), self.frame_size, access) }?;
        Ok(())
    }

    /// Copies a frame to another. Nobody may touch either, or write to the first, meanwhile.
    pub(super) fn copy(&self, from: u32, to: u32) {
        debug_assert!(from != to && self.offset(from.max(to)) < self.bytes);
        // SAFETY: within the alias.
        let from = unsafe { self.alias.add(self.offset(from)) };
        // SAFETY: within the alias.
        let to = unsafe { self.alias.add(self.offset(to)) };
        // SAFETY: both are mapped (invariant 1), differ, and are the caller's (invariant 3).
        unsafe { from.copy_to_nonoverlapping(to, self.frame_size) };
    }

    /// Maps a run of frames somewhere.
    pub(super) fn map_run(&self, frames: Range<u32>) -> io::Result<NonNull<[u8]>> {
        let bytes = frames.len() * self.frame_size;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a null hint and no MAP_FIXED: the kernel picks addresses that nobody uses.
        let at = unsafe {
            rustix::mm::mmap(
                ptr::null_mut(),
                bytes,
                READ_WRITE,
                flags,
                &self.file,
                self.offset(frames.start) as u64,
            )
        }?;
        Ok(NonNull::slice_from_raw_parts(non_null(at)?, bytes))
    }

    /// Takes away the mapping of a run, which nobody touches any more.
    pub(super) fn unmap_run(run: NonNull<[u8]>) {
        unmap(run.as_ptr().cast(), run.len());
    }
}

/// Failure is ignored: the kernel may have to cut a mapping in two, and have no room for both. Then it
/// stays, and nobody knows of it.
fn unmap(at: *mut c_void, bytes: usize) {
    // SAFETY: a mapping of ours, as long as it was made, which its owner gives up.
    let _ = unsafe { rustix::mm::munmap(at, bytes) };
}

impl Drop for Memory {
    fn drop(&mut self) {
        for range in [self.alias, self.pages] {
            unmap(range.as_ptr().cast(), self.bytes);
        }
    }
}
