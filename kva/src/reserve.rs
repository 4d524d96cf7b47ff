//! How address space is reserved, and when memory goes back to the kernel.

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
    /// At once (`MADV_DONTNEED`); the addresses stay accessible and read as zero. Where the kernel
    /// refuses, as it does for locked memory (`mlockall(2)`), contents stay.
    Discard,
    /// At once, and the addresses become inaccessible, so that a use after free
    /// faults. Costs a second system call.
    Protect,
}

/// How address space is reserved; see [`Region::reserve`](crate::Region::reserve).
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
    pub(crate) decommit: Decommit,
    pub(crate) huge_pages: bool,
    pub(crate) hugetlb: bool,
    pub(crate) populate: bool,
    pub(crate) align: usize,
}

impl Reserve {
    /// Memory is never decommitted, and there when it is first touched; no huge pages.
    #[must_use]
    pub const fn new() -> Self {
        Self { decommit: Decommit::Never, huge_pages: false, hugetlb: false, populate: false, align: 0 }
    }

    /// When freed memory goes back to the kernel.
    #[must_use]
    pub const fn decommit(mut self, policy: Decommit) -> Self {
        self.decommit = policy;
        self
    }

    /// The region starts at a multiple of `bytes`, a power of two, also where it would not
    /// [without](crate::Region::reserve): for quanta, or shapes, that are longer than 2 MiB.
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
    /// kernel without them is not an error, nor is memory too scattered for them; see
    /// [`hugetlb`](Self::hugetlb) for those that are certain.
    #[must_use]
    pub const fn huge_pages(mut self, yes: bool) -> Self {
        self.huge_pages = yes;
        self
    }

    /// Memory of explicit huge pages, 2 MiB each (`MAP_HUGETLB`): those that the administrator has
    /// set aside (`/proc/sys/vm/nr_hugepages`). As many as the region has are this region's from
    /// [`Region::reserve`](crate::Region::reserve) on, whether they are ever taken or not, and that fails if there are
    /// fewer. Lengths and quanta are multiples of 2 MiB. They are never decommitted, since what is
    /// given back may be gone when it is wanted again. With an [`align`](Self::align) beyond
    /// 2 MiB, so many more must be free for a moment.
    ///
    /// ```
    /// use kva::{Region, Reserve};
    ///
    /// let how = Reserve::new().hugetlb(true);
    /// let region = match Region::reserve(4 << 20, how) {
    ///     Ok(region) => region,
    ///     // It says how many there would have to be. Or go on without:
    ///     Err(_) => Region::reserve(4 << 20, Reserve::new().huge_pages(true))?,
    /// };
    /// assert_eq!(region.len(), 4 << 20);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub const fn hugetlb(mut self, yes: bool) -> Self {
        self.hugetlb = yes;
        self
    }

    /// Whoever takes a span has its memory there, not only its addresses: all of it is faulted in as
    /// it is committed, by `MADV_POPULATE_WRITE`, or by touching each page where the kernel has that
    /// not (before Linux 5.14). Touching it then costs no fault, and if the system has too little,
    /// it is the taking that fails ([`AllocError::Commit`](crate::AllocError::Commit)), not a later
    /// write. A memory cgroup refuses nothing: where its limit is reached the process is killed, but in
    /// the taking too. What was decommitted is populated when it is committed again. The kernel may still
    /// swap it out.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// use kva::{Arena, Region, Reserve, Shape};
    ///
    /// let arena = Arena::new(Region::reserve(1 << 20, Reserve::new().populate(true))?, 4096)?;
    /// let span = arena.try_alloc(Shape::new(16)?)?; // 64 KiB, resident
    /// # arena.free(span)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn populate(mut self, yes: bool) -> Self {
        self.populate = yes;
        self
    }
}
