//! What is behind an arena's quanta: reserved address space, somebody's memory, or
//! nothing.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

use crate::reserve::{Decommit, Reserve};

/// A huge page: what reserved regions are aligned to, if they are as long.
const HUGE: usize = 2 << 20;

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
    Reserved { base: NonNull<u8>, bytes: usize, how: Reserve },
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
    /// [explicit huge pages](Reserve::hugetlb) are to be decommitted or the system has too few of
    /// them, or `mmap(2)` fails.
    pub fn reserve(bytes: usize, how: Reserve) -> io::Result<Self> {
        let page = page_of(how);
        if bytes == 0 || !bytes.is_multiple_of(page) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a region of {bytes} bytes: it must be a positive multiple of the page size, {page}"),
            ));
        }
        if how.hugetlb && how.decommit != Decommit::Never {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "explicit huge pages are never decommitted: others could take them meanwhile",
            ));
        }
        // Aligned as its largest spans may want it, and as huge pages do.
        let align = bytes.checked_next_power_of_two().unwrap_or(HUGE).clamp(page, HUGE);
        if how.align != 0 && !how.align.is_power_of_two() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a region at a multiple of {}: it must be a power of two", how.align),
            ));
        }
        let align = align.max(how.align);
        let Some(mapped) = bytes.checked_add(align - page) else {
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!(
                    "a region of {bytes} bytes at a multiple of {align}: there are not as many addresses"
                ),
            ));
        };
        // Set aside now: else a touch is what finds that there are too few (SIGBUS).
        let explicit = MapFlags::HUGETLB | MapFlags::HUGE_2MB;
        let flags = if how.hugetlb { explicit } else { MapFlags::NORESERVE };
        // SAFETY: a null hint and no MAP_FIXED: the kernel picks addresses that nobody uses.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                mapped,
                ProtFlags::empty(),
                MapFlags::PRIVATE | flags,
            )
        };
        let start = start.map_err(|error| {
            let error = io::Error::from(error);
            if how.hugetlb { too_few_huge(mapped, &error) } else { failed("mmap(2)", mapped, error) }
        })?;
        let before = start.addr().next_multiple_of(align) - start.addr();
        let base = start.wrapping_byte_add(before);
        for (at, bytes) in [(start, before), (base.wrapping_byte_add(bytes), mapped - before - bytes)] {
            if bytes > 0
                // SAFETY: the ends of the mapping just made, which nobody else knows.
                && let Err(error) = unsafe { rustix::mm::munmap(at, bytes) }
            {
                // The kernel has no room for the pieces. Without them there is nothing to cut.
                unmap(start, mapped);
                return Err(failed("munmap(2)", bytes, error));
            }
        }
        let Some(base) = NonNull::new(base.cast::<u8>()) else {
            return Err(io::Error::other("mmap placed a region at address zero"));
        };
        let region = Self(Kind::Reserved { base, bytes, how });
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
            Kind::Reserved { how, .. } => page_of(how),
        }
    }

    /// Whether [`Region::decommit`] does anything.
    pub(crate) const fn decommits(&self) -> bool {
        matches!(self.0, Kind::Reserved { how, .. } if !matches!(how.decommit, Decommit::Never))
    }

    /// Whether memory has to be [committed](Self::commit) before it is used.
    pub(crate) const fn commits(&self) -> bool {
        matches!(self.0, Kind::Reserved { .. })
    }

    /// Makes `bytes` bytes from `offset` on accessible, which are of a span that was just taken, and
    /// populates them, if that is wanted.
    pub(crate) fn commit(&self, offset: usize, bytes: usize) -> io::Result<()> {
        let Kind::Reserved { base, how, .. } = self.0 else {
            return Ok(());
        };
        let at = base.as_ptr().wrapping_add(offset).cast::<c_void>();
        // SAFETY: the range lies in our own mapping, and nobody else uses it: the caller
        // holds the span and has not handed it out yet.
        unsafe { rustix::mm::mprotect(at, bytes, MprotectFlags::READ | MprotectFlags::WRITE) }?;
        if how.populate {
            // SAFETY: the range is the caller's, as above, and has just been made accessible.
            unsafe { populate(at.cast(), bytes) }?;
        }
        Ok(())
    }

    /// Gives `bytes` bytes from `offset` on back to the kernel, by policy. They must be of a span
    /// held by the caller and used by nobody. Whether they have to be committed again.
    ///
    /// Failure is ignored: the memory then stays resident, which costs memory and
    /// breaks nothing.
    pub(crate) fn decommit(&self, offset: usize, bytes: usize) -> bool {
        let Kind::Reserved { base, how, .. } = self.0 else {
            return false;
        };
        let Reserve { decommit, populate, .. } = how;
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
        decommit == Decommit::Protect || populate
    }
}

/// What a region reserved so is mapped in.
fn page_of(how: Reserve) -> usize {
    if how.hugetlb { HUGE } else { rustix::param::page_size() }
}

/// What the kernel said, and to what.
#[cold]
fn failed(call: &str, bytes: usize, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{call} of {bytes} bytes: {error}"))
}

/// Failure is ignored: where the kernel joined the mapping to a neighbour it has to cut that in two, and
/// may have no room for both. Then it stays, and nobody knows of it.
fn unmap(at: *mut c_void, bytes: usize) {
    // SAFETY: a mapping of ours, which nobody uses any more.
    let _ = unsafe { rustix::mm::munmap(at, bytes) };
}

#[cold]
fn too_few_huge(bytes: usize, error: &io::Error) -> io::Error {
    let pages = bytes / HUGE;
    let text = format!(
        "{pages} explicit huge pages of 2 MiB: {error}; the system has as many as \
         /proc/sys/vm/nr_hugepages says, less those in use"
    );
    io::Error::new(error.kind(), text)
}

/// Faults all of it in, for writing. Contents stay.
///
/// # Safety
/// Valid for reads and writes, and nobody else uses it.
unsafe fn populate(at: *mut u8, bytes: usize) -> io::Result<()> {
    // SAFETY: the advice changes no contents, and the range is valid by our own contract.
    let done = rustix::io::retry_on_intr(|| unsafe {
        rustix::mm::madvise(at.cast(), bytes, Advice::LinuxPopulateWrite)
    });
    match done {
        // A kernel before 5.14.
        Err(rustix::io::Errno::INVAL) => {
            // SAFETY: by our own contract.
            unsafe { touch(at, bytes) };
            Ok(())
        }
        done => Ok(done?),
    }
}

/// Writes to each page what it holds already.
///
/// # Safety
/// Valid for reads and writes, and nobody else uses it.
unsafe fn touch(at: *mut u8, bytes: usize) {
    for offset in (0..bytes).step_by(rustix::param::page_size()) {
        // SAFETY: within the range.
        let byte = unsafe { at.add(offset) };
        // SAFETY: valid for reads and initialised, as all memory from the kernel is. Volatile, or it
        // would be found to change nothing.
        let value = unsafe { byte.read_volatile() };
        // SAFETY: valid for writes.
        unsafe { byte.write_volatile(value) };
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Kind::Reserved { base, bytes, .. } = self.0 {
            // The mapping that `reserve` made. The arena drops its region last, and its contract says
            // that no span is used after it.
            unmap(base.as_ptr().cast(), bytes);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    /// How many pages from `at` on are resident.
    fn resident(at: *mut u8, pages: usize) -> usize {
        let pagemap = std::fs::File::open("/proc/self/pagemap").unwrap();
        let mut words = vec![0; 8 * pages];
        pagemap.read_exact_at(&mut words, (8 * (at.addr() / rustix::param::page_size())) as u64).unwrap();
        words.as_chunks::<8>().0.iter().filter(|word| u64::from_ne_bytes(**word) >> 63 == 1).count()
    }

    /// What kernels before 5.14 have instead of the advice.
    #[test]
    fn touching_populates_and_keeps_contents() {
        let page = rustix::param::page_size();
        let region = Region::reserve(8 * page, Reserve::new()).unwrap();
        region.commit(0, 8 * page).unwrap();
        let base = region.base().unwrap().as_ptr();
        let fourth = base.wrapping_add(3 * page);
        // SAFETY: committed, and nobody else's.
        unsafe { fourth.write(7) };
        assert_eq!(resident(base, 8), 1);
        // SAFETY: as above; all but the last page.
        unsafe { touch(base, 7 * page) };
        assert_eq!(resident(base, 8), 7);
        // SAFETY: as above.
        assert_eq!(unsafe { fourth.read() }, 7);
    }
}
