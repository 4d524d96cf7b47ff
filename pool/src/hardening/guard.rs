//! An item to a page, at its end, and an inaccessible page of the system after it.
//!
//! ```text
//! | lead           | item        | guard |
//! ^ where the page starts              ^ where it ends
//! ```
//!
//! The layout is the carve's: what is asked of the back-end is longer by the guard, and the item is
//! as far behind where the page starts as its alignment lets it. Everywhere else the page *is* where
//! its item is; only what speaks of addresses to others goes back by the lead. The guard is closed
//! as the page comes ([`Core::arrival`](crate::core::Core::arrival)) and opened before it goes, both
//! with no lock held. So a back-end has its memory back as it handed it out. If the kernel will not open
//! one, its page stays with the pool, as good as before, and whoever is told of violations is told
//! (`State::keep_shut`). What is not given back, since an item of it is lost, is opened as the pool goes:
//! somebody's own memory outlives its arena.

use std::alloc::Layout;
use std::io;
use std::ptr::NonNull;

use arrayvec::ArrayVec;
use kva::panics::FirstPanic;
use kva::sync::BATCH;
use rustix::io::Errno;
use rustix::mm::MprotectFlags;

use crate::backend::Backend;
use crate::carve::{Carve, CarveError};
use crate::core::Core;
use crate::error::{GetError, TryGetError};

/// The kernel would not make the page after an item inaccessible. The memory went back to the
/// back-end.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{GetError, Hardening, RawPool};
/// use std::alloc::Layout;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let harden = Hardening::new().guard_pages(true);
/// let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 1).harden(harden).build(arena)?;
/// match pool.get() {
///     // SAFETY: it is not used after this.
///     Ok(item) => unsafe { pool.put(item) }?,
///     Err(GetError::Guard(error)) => eprintln!("{error}: raise vm.max_map_count"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("mprotect(2) refused a guard page: {}{}", io::Error::from(*.0), hint(*.0))]
pub struct GuardError(Errno);

impl GuardError {
    /// What the kernel said.
    pub fn raw_os_error(&self) -> i32 {
        self.0.raw_os_error()
    }

    pub(crate) fn kind(self) -> io::ErrorKind {
        self.0.kind()
    }
}

fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::NOMEM => "; each takes two mappings, of which a process has vm.max_map_count at most",
        Errno::INVAL => "; is it memory of huge pages?",
        _ => "",
    }
}

/// A page that came could not be guarded.
pub(crate) type Unguarded = GuardError;

impl<E> From<Unguarded> for GetError<E> {
    fn from(error: Unguarded) -> Self {
        Self::Guard(error)
    }
}

impl<E> From<Unguarded> for TryGetError<E> {
    fn from(error: Unguarded) -> Self {
        Self::Guard(error)
    }
}

/// Pages that could not be guarded, and go back one after the other.
#[derive(Debug)]
pub(crate) struct Returns<P> {
    pages: ArrayVec<P, BATCH>,
    /// Whether somebody gives them back.
    going: bool,
}

impl<P> Returns<P> {
    pub(crate) const fn new() -> Self {
        Self { pages: ArrayVec::new_const(), going: false }
    }

    /// One more. `Some`: the caller is who gives it back, and then what is [next](Self::next).
    fn begin(&mut self, page: P) -> Option<P> {
        if self.going && !self.pages.is_full() {
            self.pages.push(page);
            return None;
        }
        self.going = true;
        Some(page)
    }

    fn next(&mut self) -> Option<P> {
        let next = self.pages.pop();
        self.going = next.is_some();
        next
    }
}

impl<B: Backend> Core<B> {
    /// Gives a page back that could not be guarded. Who has it next may be another who waits here, and
    /// has no more luck, within this very call; and so on through all of them, which no stack has room
    /// for. So there is one loop, and whoever comes meanwhile leaves its page to that.
    pub(crate) fn return_unguarded(&self, page: B::Page) {
        let mut next = self.lock().returns.begin(page);
        let mut panics = FirstPanic::default();
        while let Some(page) = next {
            panics.guard(|| self.backend().release(page, self.carve.page));
            next = self.lock().returns.next();
        }
        panics.go_on();
    }

    /// As the pool goes: what could not be given up before goes now, if it can. Of what has items out the
    /// guard is opened.
    pub(crate) fn open_guards(&self, panics: &mut FirstPanic) {
        let next = || {
            let pages = &mut self.lock().pages;
            pages.try_guards();
            let page = pages.idle_page().map(|page| pages.set_apart(page))?;
            Some((pages.guarded(&page)?, page))
        };
        while let Some((guarded, page)) = next() {
            match guarded.open() {
                Ok(()) => {
                    let page = self.lock().pages.remove(page);
                    panics.guard(|| self.backend().release(page, self.carve.page));
                }
                Err(refused) => {
                    // Whatever its destructor would give to whom, that one could not use it.
                    std::mem::forget(self.lock().pages.remove(page));
                    panics.guard(|| self.tell_shut(&guarded, refused));
                }
            }
        }
        let guards = self.lock().pages.guards();
        for guarded in guards {
            if let Err(refused) = guarded.open() {
                panics.guard(|| self.tell_shut(&guarded, refused));
            }
        }
    }
}

/// What of a page is before its item, and how long the guard at its end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Margin {
    lead: usize,
    guard: usize,
}

impl Margin {
    pub(crate) const fn lead(self) -> usize {
        self.lead
    }

    /// Closes the guard of the page at `base`, of `bytes` bytes, as the whole page is handed over.
    pub(crate) fn close(self, base: NonNull<u8>, bytes: usize) -> Result<(), Unguarded> {
        let guard = base.as_ptr().wrapping_add(bytes - self.guard);
        // SAFETY: the page is ours, from when it is delivered until it is released (`Backend`), and
        // nobody has its item yet.
        unsafe { protect(guard, self.guard, MprotectFlags::empty()) }.map_err(GuardError)
    }

    /// What is to be opened before the page goes whose item is at `item`.
    pub(crate) fn guarded(self, item: NonNull<u8>, bytes: usize) -> Guarded {
        let guard = item.as_ptr().wrapping_add(bytes - self.lead - self.guard);
        Guarded { item, guard, bytes: self.guard }
    }
}

/// A guard that is closed.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// Of its page.
    pub(super) item: NonNull<u8>,
    guard: *mut u8,
    bytes: usize,
}

// SAFETY: addresses, of memory that the pool's back-end handed over.
unsafe impl Send for Guarded {}

impl Guarded {
    /// Opens it, as its page is about to go.
    ///
    /// # Errors
    /// The kernel will not. Mostly the page was split off as it came, and this joins it again, which
    /// takes nothing. But where it was joined to inaccessible memory behind it, it is cut off from that,
    /// for which there may be no mapping left; and what becomes writable counts as data
    /// (`RLIMIT_DATA`). The page must not go then: whoever had it next would fault.
    pub(crate) fn open(&self) -> Result<(), Unguarded> {
        // SAFETY: the page was idle, and is set apart: nobody is lent anything of it any more.
        unsafe { protect(self.guard, self.bytes, MprotectFlags::READ | MprotectFlags::WRITE) }
            .map_err(GuardError)
    }
}

/// # Safety
/// The pages are the caller's alone, and stay readable and writable as far as others rely on that.
unsafe fn protect(at: *mut u8, bytes: usize, flags: MprotectFlags) -> rustix::io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mprotect(at.cast(), bytes, flags) }
}

impl Carve {
    /// As [`new`](Self::new), an item to a page with a guard after it.
    pub(crate) fn guarded(item: Layout, granule: usize, items: Option<u32>) -> Result<Self, CarveError> {
        if let Some(items) = items.filter(|items| *items > 1) {
            return Err(CarveError::Guarded(items));
        }
        let system = rustix::param::page_size();
        let plain = Self::new(item, granule.max(system), Some(1))?;
        let too_large = CarveError::TooLarge { items: 1, stride: plain.stride };
        let bytes = plain.stride.checked_add(system).ok_or(too_large)?;
        let bytes = bytes.checked_next_multiple_of(plain.granule.max(granule)).ok_or(too_large)?;
        // The kernel protects whole pages of the system's.
        let align = item.align().max(system);
        let page = Layout::from_size_align(bytes, align).map_err(|_| too_large)?;
        let lead = (bytes - system - plain.stride) & !(item.align() - 1);
        // More than one, where the item is aligned to more: there is no room at its end for less.
        let guard = bytes - (lead + plain.stride).next_multiple_of(system);
        let margin = Some(Margin { lead, guard });
        Ok(Self { page, granule: granule.max(align), margin, ..plain })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_item_ends_where_its_guard_begins(size in 1_usize..100_000, align in 0_u32..16, granule in 6_u32..17) {
            let (align, granule) = (1 << align, 1 << granule);
            let system = rustix::param::page_size();
            let item = Layout::from_size_align(size, align).unwrap();
            let carve = Carve::guarded(item, granule, None).unwrap();
            let margin = carve.margin.unwrap();
            let guard = carve.page.size() - margin.guard;
            prop_assert!(guard.is_multiple_of(system) && margin.guard >= system);
            prop_assert!(carve.page.align() >= system);
            prop_assert!(carve.page.size().is_multiple_of(granule));
            prop_assert!(margin.lead.is_multiple_of(align));
            let end = margin.lead + carve.stride;
            prop_assert!(end <= guard && guard - end < align.min(system));
            prop_assert!(carve.item().size() >= size && carve.item().align() >= align);
            prop_assert!(margin.lead.is_multiple_of(carve.item().align()));
        }
    }

    #[test]
    fn several_items_to_a_page_are_refused() {
        let refused = Carve::guarded(Layout::new::<u64>(), 4096, Some(8)).unwrap_err();
        assert_eq!(refused.to_string(), "8 items to a page, and a guard page after each: they have one each");
    }
}
