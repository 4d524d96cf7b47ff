//! What is behind an arena's quanta: reserved address space, somebody's memory, or
//! nothing.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

/// When the memory of a freed span goes back to the kernel.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Arena, Decommit, Region, Reserve, Shape};
///
/// let how = Reserve::new().decommit(Decommit::Discard);
/// let arena = Arena::new(Region::reserve(1 << 16, how)?, 1 << 16)?;
/// let span = arena.try_alloc(Shape::new(1)?)?;
/// let start = arena.ptr(span).expect("this arena has memory");
/// // SAFETY: the span is held.
/// unsafe { start.write(7) };
/// arena.free(span)?;
/// let again = arena.try_alloc(Shape::new(1)?)?; // the only quantum there is
/// assert_eq!(arena.ptr(again), Some(start));
/// // SAFETY: it is held again.
/// assert_eq!(unsafe { start.read() }, 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Decommit {
    /// Never: freed memory stays resident and keeps its contents. The cheapest.
    #[default]
    Never,
    /// At once (`MADV_DONTNEED`); the addresses stay accessible and read as zero.
    Discard,
    /// At once, and the addresses become inaccessible, so that a use after free
    /// faults. Costs a second system call.
    Protect,
}

/// How address space is reserved; see [`Region::reserve`].
///
/// ```
/// use kva::{Decommit, Region, Reserve};
///
/// let how = Reserve::new().decommit(Decommit::Protect).huge_pages(true);
/// let region = Region::reserve(4 << 20, how)?;
/// let base = region.base().expect("reserved regions have addresses");
/// assert_eq!(base.addr().get() % (2 << 20), 0, "huge pages fit");
/// assert!(Region::reserve(100, how).is_err(), "no multiple of the page size");
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Reserve {
    decommit: Decommit,
    huge_pages: bool,
    align: usize,
}

impl Reserve {
    /// Memory is never decommitted, no huge pages.
    #[must_use]
    pub const fn new() -> Self {
        Self { decommit: Decommit::Never, huge_pages: false, align: 0 }
    }

    /// When freed memory goes back to the kernel.
    #[must_use]
    pub const fn decommit(mut self, policy: Decommit) -> Self {
        self.decommit = policy;
        self
    }

    /// The region starts at a multiple of `bytes`, a power of two, also where it would not
    /// [without](Region::reserve): for quanta, or shapes, that are longer than 2 MiB.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// use kva::{Arena, Region, Reserve};
    ///
    /// let giant = 1 << 30;
    /// let arena = Arena::new(Region::reserve(2 * giant, Reserve::new().align(giant))?, giant)?;
    /// assert_eq!(arena.quanta(), 2);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn align(mut self, bytes: usize) -> Self {
        self.align = bytes;
        self
    }

    /// Advises the kernel to back the region with huge pages (`MADV_HUGEPAGE`). A
    /// kernel without them is not an error.
    #[must_use]
    pub const fn huge_pages(mut self, yes: bool) -> Self {
        self.huge_pages = yes;
        self
    }
}

/// What reserved regions are aligned to, if they are as long: a huge page.
const ALIGN: usize = 2 << 20;

/// What is behind an arena's quanta.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Arena, Region, Reserve, Shape};
///
/// let memory = Region::reserve(1 << 20, Reserve::new())?;
/// assert!(memory.base().is_some());
/// assert_eq!(memory.len(), 1 << 20);
///
/// let ports = Arena::new(Region::numbers(2), 1)?;
/// let first = 8080 + ports.try_alloc(Shape::new(1)?)?.start();
/// let second = 8080 + ports.try_alloc(Shape::new(1)?)?.start();
/// assert_eq!(first.min(second)..=first.max(second), 8080..=8081);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Region(Kind);

#[derive(Debug)]
enum Kind {
    Numbers { count: u32 },
    Borrowed { base: NonNull<u8>, bytes: usize },
    Reserved { base: NonNull<u8>, bytes: usize, decommit: Decommit },
}

// SAFETY: a region hands out addresses and makes system calls on them; it reads and
// writes no memory itself. Who may touch which bytes is decided by who holds a span.
unsafe impl Send for Region {}
// SAFETY: as above; no method changes the region itself.
unsafe impl Sync for Region {}

impl Region {
    /// Nothing: the arena hands out `count` numbers (identifiers, ports, register
    /// blocks). Its quantum is 1.
    #[must_use]
    pub const fn numbers(count: u32) -> Self {
        Self(Kind::Numbers { count })
    }

    /// `bytes` bytes of address space, reserved by `mmap(2)` and inaccessible until
    /// taken. It starts at a multiple of its length, rounded up to a power of two, or of
    /// 2 MiB if it is longer, or of what [`Reserve::align`] says if that is more. Unmapped when
    /// the arena is dropped.
    ///
    /// Taking a span commits it: `mprotect(2)` makes it accessible, which fails if the
    /// kernel's accounting refuses the memory. The failure reaches whoever asked, as
    /// [`AllocError::Commit`](crate::AllocError::Commit).
    ///
    /// # Errors
    /// `bytes` is zero or no multiple of the page size, the alignment asked for is no power of two,
    /// or `mmap(2)` fails.
    pub fn reserve(bytes: usize, how: Reserve) -> io::Result<Self> {
        let page = rustix::param::page_size();
        if bytes == 0 || !bytes.is_multiple_of(page) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a region of {bytes} bytes: it must be a positive multiple of the page size, {page}"),
            ));
        }
        // Aligned as its largest spans may want it, and as huge pages do.
        let align = bytes.checked_next_power_of_two().unwrap_or(ALIGN).clamp(page, ALIGN);
        if how.align != 0 && !how.align.is_power_of_two() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a region at a multiple of {}: it must be a power of two", how.align),
            ));
        }
        let align = align.max(how.align);
        let Some(mapped) = bytes.checked_add(align - page) else {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        };
        // SAFETY: a null hint and no MAP_FIXED: the kernel picks addresses that nobody uses.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                mapped,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let before = start.addr().next_multiple_of(align) - start.addr();
        let base = start.wrapping_byte_add(before);
        for (at, bytes) in [(start, before), (base.wrapping_byte_add(bytes), mapped - before - bytes)] {
            if bytes > 0 {
                // SAFETY: the ends of the mapping just made, which nobody else knows.
                unsafe { rustix::mm::munmap(at, bytes) }?;
            }
        }
        let Some(base) = NonNull::new(base.cast::<u8>()) else {
            return Err(io::Error::other("mmap placed a region at address zero"));
        };
        let region = Self(Kind::Reserved { base, bytes, decommit: how.decommit });
        if how.huge_pages {
            // SAFETY: the range is the mapping just made, which nobody else knows. The
            // advice changes no contents; a kernel without huge pages answers EINVAL.
            let _ = unsafe { rustix::mm::madvise(base.as_ptr().cast(), bytes, Advice::LinuxHugepage) };
        }
        Ok(region)
    }

    /// Memory that the caller owns, for instance shared, pinned or a device's. Nothing
    /// is committed or decommitted.
    ///
    /// # Safety
    /// The memory must stay valid for reads and writes, and unused by anybody else,
    /// until the arena and everything that was made from its spans are gone.
    #[must_use]
    pub const unsafe fn borrowed(memory: NonNull<[u8]>) -> Self {
        Self(Kind::Borrowed { base: memory.cast(), bytes: memory.len() })
    }

    /// The first byte; `None` for an arena of numbers.
    #[must_use]
    pub const fn base(&self) -> Option<NonNull<u8>> {
        match self.0 {
            Kind::Numbers { .. } => None,
            Kind::Borrowed { base, .. } | Kind::Reserved { base, .. } => Some(base),
        }
    }

    /// The length in bytes; for an arena of numbers, how many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Kind::Numbers { count } => count as usize,
            Kind::Borrowed { bytes, .. } | Kind::Reserved { bytes, .. } => bytes,
        }
    }

    /// Whether there is nothing to take.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The smallest quantum this region can commit.
    pub(crate) fn granule(&self) -> usize {
        match self.0 {
            Kind::Numbers { .. } | Kind::Borrowed { .. } => 1,
            Kind::Reserved { .. } => rustix::param::page_size(),
        }
    }

    /// Whether [`Region::decommit`] does anything.
    pub(crate) const fn decommits(&self) -> bool {
        matches!(self.0, Kind::Reserved { decommit: Decommit::Discard | Decommit::Protect, .. })
    }

    /// Whether memory has to be [committed](Self::commit) before it is used.
    pub(crate) const fn commits(&self) -> bool {
        matches!(self.0, Kind::Reserved { .. })
    }

    /// Makes `bytes` bytes from `offset` on accessible, which are of a span that was just taken.
    pub(crate) fn commit(&self, offset: usize, bytes: usize) -> io::Result<()> {
        let Kind::Reserved { base, .. } = self.0 else {
            return Ok(());
        };
        let at = base.as_ptr().wrapping_add(offset).cast::<c_void>();
        // SAFETY: the range lies in our own mapping, and nobody else uses it: the caller
        // holds the span and has not handed it out yet.
        unsafe { rustix::mm::mprotect(at, bytes, MprotectFlags::READ | MprotectFlags::WRITE) }?;
        Ok(())
    }

    /// Gives `bytes` bytes from `offset` on back to the kernel, by policy. They must be of a span
    /// held by the caller and used by nobody. Whether they have to be committed again.
    ///
    /// Failure is ignored: the memory then stays resident, which costs memory and
    /// breaks nothing.
    pub(crate) fn decommit(&self, offset: usize, bytes: usize) -> bool {
        let Kind::Reserved { base, decommit, .. } = self.0 else {
            return false;
        };
        if decommit == Decommit::Never {
            return false;
        }
        let at = base.as_ptr().wrapping_add(offset).cast::<c_void>();
        // SAFETY: the range lies in our own mapping and, by the contract of this
        // function, nobody reads or writes it any more.
        let _ = unsafe { rustix::mm::madvise(at, bytes, Advice::LinuxDontNeed) };
        if decommit == Decommit::Protect {
            // SAFETY: as above.
            let _ = unsafe { rustix::mm::mprotect(at, bytes, MprotectFlags::empty()) };
        }
        decommit == Decommit::Protect
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Kind::Reserved { base, bytes, .. } = self.0 {
            // SAFETY: this is the mapping that `reserve` made. The arena drops its region
            // last, and its contract says that no span is used after it.
            let unmapped = unsafe { rustix::mm::munmap(base.as_ptr().cast(), bytes) };
            debug_assert!(unmapped.is_ok());
        }
    }
}
