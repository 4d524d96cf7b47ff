//! The pages a pool holds, and which of their items are free. Plain data.
//!
//! Everything of ours is beside the pages, never in them: they may be device memory,
//! and a caller's overrun cannot corrupt a free list. Tables are as large as the hard
//! limit allows from the start, so that neither a page nor an item ever needs memory
//! to come or go (P7); large tables are address space that the kernel backs only as
//! far as it is touched.
//!
//! # Invariants
//!
//! 1. `out(page) + free(page) == items`, for each page that is held.
//! 2. Items `fresh..items` of a page were never handed out since it came, and have no
//!    link; every other free item is in one of the page's chains: in `objects` if there is an
//!    object in it, else in `empty`. So a page comes and goes in constant time.
//!    Where it is drawn which is lent, none is in a chain: all free ones are in the page's row of
//!    `order`, marked [`END`], and `fresh` is `items`.
//! 3. An item's link is [`OUT`] or [`CACHED`] exactly while the item is out; in a thread's cache
//!    it is out as far as this file is concerned.
//!    A page that comes with an object has one item, which is in a chain before it was ever handed
//!    out. There `fresh` is zero until it is, or until nobody waits.
//! 4. A page is in `idle` when all its items are free, in `partial` when some are, in
//!    neither when none is, or when it was set apart to have its objects destroyed. Where
//!    objects are kept, pages with free ones come before those without in both lists.
//! 5. `free_items` is the sum of `free` over all pages that are not set apart.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::Location;
use std::ptr::NonNull;

use kva::list::{Link, List};
use kva::sync::Arc;

use crate::carve::Carve;
use crate::hardening::{Guarded, Hardening, Order};
use crate::index::{At, CACHED, END, Index, OUT};
use crate::loan::{Loan, Slot};

/// Why a pointer was not taken back. Nothing was changed.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{PutError, RawPool};
/// use std::alloc::Layout;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 1).build(arena)?;
/// let item = pool.get()?;
/// // SAFETY: nobody uses the item, before or after.
/// let (first, second) = unsafe { (pool.put(item), pool.put(item)) };
/// assert_eq!(first, Ok(()));
/// assert!(matches!(second, Err(PutError::DoublePut(_))));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// It lies in no page of this pool.
    #[error("foreign pointer {0:#x}: it lies in no page of this pool")]
    Foreign(usize),
    /// It lies in a page of this pool but is not the start of an item.
    #[error("pointer {pointer:#x} is {offset} bytes into an item")]
    NotAnItem {
        /// The pointer.
        pointer: usize,
        /// How far into an item, or past the last one, it points.
        offset: usize,
    },
    /// The item is free already.
    #[error("double put of {0:#x}")]
    DoublePut(usize),
}

#[derive(Debug)]
struct Page<P> {
    /// `None` while the entry is vacant.
    payload: Option<P>,
    base: NonNull<u8>,
    /// Set apart: in no list, on its way out.
    apart: bool,
    free: u32,
    fresh: u32,
    /// Free items with an object in them, and without: the first of each chain.
    objects: u32,
    empty: u32,
}

/// The pages of one pool.
#[derive(Debug)]
pub(crate) struct Pages<P> {
    carve: Carve,
    /// Whether objects are kept in free items.
    keeps: bool,
    /// Whether a page comes with an object in its one item.
    filled: bool,
    pages: Vec<Page<P>>,
    /// Where each page starts, and each item's next one in its chain, or its mark.
    index: Arc<Index>,
    links: Vec<Link>,
    partial: List,
    idle: List,
    vacant: Vec<u32>,
    free_items: usize,
    held: usize,
    apart: usize,
    constructed: usize,
    /// Pages whose object came with them just now, for those who wait: `fresh` is zero.
    fresh: usize,
    /// A guard would not open: no page is given up until it is tried again.
    shut: bool,
    /// Which free items are lent first, where that is drawn. Then they are in no chain, and are marked
    /// as the end of one.
    order: Option<Order>,
}

// SAFETY: the pointers are addresses of memory that the pool's back-end handed over; no
// method reads or writes through them.
unsafe impl<P: Send> Send for Pages<P> {}

impl<P> Pages<P> {
    /// No pages, and room for `capacity`. `None`: there is no memory for the tables.
    pub(crate) fn new(
        carve: Carve,
        capacity: u32,
        keeps: bool,
        filled: bool,
        hardening: Option<&Hardening>,
    ) -> Option<Self> {
        debug_assert!(!filled || (keeps && carve.items == 1));
        let mut pages = Self {
            carve,
            keeps,
            filled,
            pages: Vec::new(),
            index: Arc::new(Index::new(carve, capacity, hardening.is_some_and(Hardening::keeps_traces))?),
            links: Vec::new(),
            partial: List::new(),
            idle: List::new(),
            vacant: Vec::new(),
            free_items: 0,
            held: 0,
            apart: 0,
            constructed: 0,
            fresh: 0,
            shut: false,
            order: Order::of(hardening, carve.items),
        };
        pages.reserve(capacity).then_some(pages)
    }

    /// Makes room for `capacity` pages in all. `false`: there is no memory for that.
    #[must_use]
    pub(crate) fn reserve(&mut self, capacity: u32) -> bool {
        let capacity = capacity as usize;
        let more = capacity.saturating_sub(self.pages.len());
        self.pages.try_reserve_exact(more).is_ok()
            && self.links.try_reserve_exact(more).is_ok()
            && self.vacant.try_reserve_exact(capacity.saturating_sub(self.vacant.len())).is_ok()
            && self.order.as_mut().is_none_or(|order| order.reserve(capacity))
            && self.index.reserve(capacity as u32)
    }

    /// What is known of pages and items without the lock.
    pub(crate) const fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// How many items are free.
    pub(crate) fn free_items(&self) -> usize {
        self.free_items
    }

    /// How many items are free and have what their kind has.
    pub(crate) fn ready_items(&self) -> usize {
        if self.keeps { self.constructed } else { self.free_items }
    }

    /// How many items are out.
    pub(crate) fn out_items(&self) -> usize {
        (self.held - self.apart) * self.carve.items as usize - self.free_items
    }

    /// How many free items have an object in them.
    pub(crate) fn constructed(&self) -> usize {
        self.constructed
    }

    /// Adds a page that starts at `base`, all its items free.
    pub(crate) fn insert(&mut self, payload: P, base: NonNull<u8>) {
        let items = self.carve.items;
        let objects = if self.filled { 0 } else { END };
        let fresh = if self.order.is_some() { items } else { 0 };
        let page =
            Page { payload: Some(payload), base, apart: false, free: items, fresh, objects, empty: END };
        let at = if let Some(at) = self.vacant.pop() {
            self.pages[at as usize] = page;
            at
        } else {
            self.pages.push(page);
            self.links.push([0; 2]);
            self.pages.len() as u32 - 1
        };
        if let Some(order) = &mut self.order {
            order.insert(at);
        }
        if self.filled {
            self.index.link(Slot { page: at, index: 0 }).set(END);
            self.constructed += 1;
            self.fresh += 1;
        }
        self.file(at, true);
        self.free_items += items as usize;
        self.held += 1;
        self.index.insert(at, base);
    }

    /// Puts a page into `idle` or `partial`.
    fn file(&mut self, at: u32, idle: bool) {
        let list = if idle { &mut self.idle } else { &mut self.partial };
        let last = self.order.as_mut().is_some_and(Order::flips);
        if last || (self.keeps && self.pages[at as usize].objects == END) {
            list.insert_after(&mut self.links, list.back(), at);
        } else {
            list.push_front(&mut self.links, at);
        }
    }

    /// Takes a page out of `idle` or `partial`.
    fn unfile(&mut self, at: u32, idle: bool) {
        let list = if idle { &mut self.idle } else { &mut self.partial };
        list.remove(&mut self.links, at);
    }

    /// Takes a free item: one with an object in it, if there is any; of a page that is in use,
    /// if there is one, so that idle pages stay whole and can be given up.
    pub(crate) fn take(&mut self, caller: &'static Location<'static>) -> Option<Loan> {
        let items = self.carve.items;
        let (partial, idle) = (self.partial.front(), self.idle.front());
        let has_object = |at: &u32| self.pages[*at as usize].objects != END;
        let with_object = [partial, idle].into_iter().flatten().find(has_object);
        let at = with_object.filter(|_| self.keeps).or(partial).or(idle)?;
        let page = &mut self.pages[at as usize];
        let was_idle = page.free == items;
        let constructed = page.objects != END;
        let drawn = self.order.as_mut().map(|order| order.take(at, page.free));
        let index = match (page.objects, page.empty) {
            _ if let Some(drawn) = drawn => drawn.index,
            (END, END) => page.fresh,
            (END, empty) => empty,
            (object, _) => object,
        };
        let carved = index == page.fresh;
        let fresh = drawn.map_or(carved, |drawn| drawn.fresh);
        let slot = Slot { page: at, index };
        let mark = self.index.link(slot);
        let link = mark.get();
        mark.set(OUT);
        page.fresh += u32::from(carved);
        self.fresh -= usize::from(carved && self.filled);
        if constructed {
            page.objects = link;
            self.constructed -= 1;
        } else if !carved {
            page.empty = link;
        }
        self.index.note_caller(slot, Some(caller));
        page.free -= 1;
        self.free_items -= 1;
        let now_full = page.free == 0;
        let lost_its_objects = self.keeps && constructed && page.objects == END;
        let ptr = self.carve.item_at(page.base, index);
        if was_idle || now_full || lost_its_objects {
            self.unfile(at, was_idle);
            if !now_full {
                self.file(at, false);
            }
        }
        Some(Loan { slot, ptr, constructed, fresh })
    }

    /// Finds the item that starts at `ptr`.
    pub(crate) fn locate(&self, ptr: NonNull<u8>) -> Result<Slot, PutError> {
        match self.index.at(ptr) {
            At::Item(slot) => Ok(slot),
            At::Inside(offset) => Err(PutError::NotAnItem { pointer: ptr.addr().get(), offset }),
            At::Nothing => Err(self.inside_a_page(ptr.addr().get())),
        }
    }

    /// Says what is wrong with an address that is no page's. Searches, since a page of
    /// one item can be found by its first byte only.
    fn inside_a_page(&self, address: usize) -> PutError {
        let size = self.carve.page.size();
        let offset = self
            .pages
            .iter()
            .filter(|page| page.payload.is_some())
            .map(|page| address.wrapping_sub(page.base.addr().get()))
            .find(|&offset| offset < size - self.carve.lead());
        offset.map_or(PutError::Foreign(address), |offset| PutError::NotAnItem { pointer: address, offset })
    }

    /// Marks the item that starts at `ptr`, if one does that is out, as one that is being put.
    #[cfg(feature = "hardening")]
    pub(crate) fn claim(&self, ptr: NonNull<u8>) -> Result<Slot, PutError> {
        let slot = self.locate(ptr)?;
        self.check_out(slot)?;
        self.index.note_caller(slot, None);
        self.index.link(slot).set(CACHED);
        Ok(slot)
    }

    fn check_out(&self, slot: Slot) -> Result<(), PutError> {
        let page = &self.pages[slot.page as usize];
        if slot.index >= page.fresh || self.index.link(slot).get() != OUT {
            let address = page.base.addr().get() + slot.index as usize * self.carve.stride;
            return Err(PutError::DoublePut(address));
        }
        Ok(())
    }

    /// Takes an item back, with an object in it or without.
    pub(crate) fn put(&mut self, slot: Slot, constructed: bool) -> Result<(), PutError> {
        self.check_out(slot)?;
        self.take_back(slot, constructed);
        Ok(())
    }

    /// Takes an item back that was in a cache.
    pub(crate) fn put_cached(&mut self, slot: Slot) {
        debug_assert!(matches!(self.index.link(slot).get(), OUT | CACHED));
        self.take_back(slot, self.keeps);
    }

    fn take_back(&mut self, slot: Slot, constructed: bool) {
        let items = self.carve.items;
        let page = &mut self.pages[slot.page as usize];
        let chain = if constructed { &mut page.objects } else { &mut page.empty };
        let first_object = constructed && *chain == END;
        match &mut self.order {
            None => self.index.link(slot).set(std::mem::replace(chain, slot.index)),
            Some(order) => {
                order.put(slot.page, page.free, slot.index);
                self.index.link(slot).set(END);
            }
        }
        let was_full = page.free == 0;
        page.free += 1;
        let now_idle = page.free == items;
        self.free_items += 1;
        self.constructed += usize::from(constructed);
        if was_full || now_idle || first_object {
            if !was_full {
                self.unfile(slot.page, false);
            }
            self.file(slot.page, now_idle);
        }
    }

    /// Objects that came with their pages, and that nobody took as they came, may have changed by
    /// the time that somebody does.
    pub(crate) fn no_longer_fresh(&mut self) {
        if self.fresh > 0 {
            self.fresh = 0;
            for page in self.pages.iter_mut().filter(|page| page.payload.is_some()) {
                page.fresh = 1;
            }
        }
    }

    /// The page of `slot`, if all its items are free.
    pub(crate) fn idle_page_of(&self, slot: Slot) -> Option<IdlePage> {
        (self.pages[slot.page as usize].free == self.carve.items).then_some(IdlePage(slot.page))
    }

    /// The page that has been idle longest, if any may go.
    pub(crate) fn idle_page(&self) -> Option<IdlePage> {
        self.idle.back().filter(|_| !self.shut).map(IdlePage)
    }

    /// There is a reason to try again whether guards open. Whether one would not before.
    pub(crate) fn try_guards(&mut self) -> bool {
        std::mem::take(&mut self.shut)
    }

    /// An idle page that may go and has any of these addresses: looks wherever one could start, or at
    /// all that are idle.
    pub(crate) fn idle_page_within(&self, addresses: &Range<usize>) -> Option<IdlePage> {
        if self.shut {
            return None;
        }
        let granule = self.carve.granule;
        let lead = self.carve.lead();
        let first = (addresses.start + 1).saturating_sub(self.carve.page.size());
        let bases = (first.next_multiple_of(granule)..addresses.end).step_by(granule);
        // Or at all idle pages, where these are fewer.
        let wheres = bases.len();
        if self.idle.iter(&self.links).take(wheres + 1).count() <= wheres {
            let size = self.carve.page.size();
            let has_any = |at: &u32| {
                let base = self.pages[*at as usize].base.addr().get() - lead;
                base < addresses.end && addresses.start < base + size
            };
            return self.idle.iter(&self.links).find(has_any).map(IdlePage);
        }
        bases.filter_map(NonZeroUsize::new).find_map(|base| {
            let start = NonNull::without_provenance(base.saturating_add(lead));
            let At::Item(slot) = self.index.at(start) else { return None };
            let is_apart = self.pages[slot.page as usize].apart;
            self.idle_page_of(slot).filter(|_| !is_apart)
        })
    }

    /// Where an idle page starts.
    pub(crate) fn base(&self, page: IdlePage) -> NonNull<u8> {
        self.pages[page.0 as usize].base
    }

    /// Where a page starts that was set apart.
    pub(crate) fn base_apart(&self, page: &ApartPage) -> NonNull<u8> {
        self.pages[page.0 as usize].base
    }

    /// Sets an idle page apart, so that nobody is lent an item of it any more, before it is
    /// [removed](Self::remove).
    pub(crate) fn set_apart(&mut self, page: IdlePage) -> ApartPage {
        let IdlePage(at) = page;
        debug_assert_eq!(self.pages[at as usize].free, self.carve.items);
        self.idle.remove(&mut self.links, at);
        self.free_items -= self.carve.items as usize;
        self.pages[at as usize].apart = true;
        self.apart += 1;
        self.fresh -= usize::from(self.filled && self.pages[at as usize].fresh == 0);
        ApartPage(at)
    }

    /// A page that was set apart is idle again, for its guard will not open.
    #[allow(clippy::needless_pass_by_value, reason = "it is used up")]
    pub(crate) fn stays(&mut self, page: ApartPage) {
        debug_assert!(!self.filled, "what comes with an object has no guard");
        let ApartPage(at) = page;
        self.shut = true;
        self.pages[at as usize].apart = false;
        self.apart -= 1;
        self.free_items += self.carve.items as usize;
        self.file(at, true);
    }

    /// What is to be opened before a page goes that was set apart.
    pub(crate) fn guarded(&self, page: &ApartPage) -> Option<Guarded> {
        self.carve.margin.map(|margin| margin.guarded(self.base_apart(page), self.carve.page.size()))
    }

    /// What is to be opened of all pages that are held and not set apart, as nobody will give them up
    /// any more.
    #[cfg(feature = "hardening")]
    pub(crate) fn guards(&self) -> Vec<Guarded> {
        let held = self.pages.iter().filter(|page| page.payload.is_some() && !page.apart);
        let guarded = |base| self.carve.margin.map(|margin| margin.guarded(base, self.carve.page.size()));
        held.filter_map(|page| guarded(page.base)).collect()
    }

    /// Whether there are objects in a page that was set apart.
    pub(crate) fn has_objects(&self, page: &ApartPage) -> bool {
        self.pages[page.0 as usize].objects != END
    }

    /// Takes the next object out of a page that was set apart, to be destroyed.
    pub(crate) fn next_object(&mut self, page: &ApartPage) -> Option<NonNull<u8>> {
        let at = page.0 as usize;
        let page = &mut self.pages[at];
        let index = page.objects;
        if index == END {
            return None;
        }
        let link = self.index.link(Slot { page: at as u32, index });
        page.objects = link.get();
        link.set(page.empty);
        page.empty = index;
        self.constructed -= 1;
        Some(self.carve.item_at(page.base, index))
    }

    /// Takes all objects out that are in free items.
    pub(crate) fn take_objects(&mut self) -> Vec<NonNull<u8>> {
        let pages = (0..self.pages.len() as u32).filter(|&at| self.pages[at as usize].payload.is_some());
        let pages: Vec<_> = pages.map(ApartPage).collect();
        pages
            .iter()
            .flat_map(|page| std::iter::from_fn(|| self.next_object(page)).collect::<Vec<_>>())
            .collect()
    }

    /// Takes a page out that was set apart and has no objects any more.
    #[allow(clippy::needless_pass_by_value, reason = "it is used up")]
    pub(crate) fn remove(&mut self, page: ApartPage) -> P {
        let ApartPage(at) = page;
        let entry = &mut self.pages[at as usize];
        debug_assert_eq!((entry.free, entry.objects), (self.carve.items, END));
        let payload = entry.payload.take().expect("a page set apart is held");
        self.index.remove(at);
        self.vacant.push(at);
        self.apart -= 1;
        self.held -= 1;
        payload
    }

    /// The invariants that are cheap enough to check always.
    pub(crate) fn check(&self, pages: u32) {
        assert_eq!(self.held, pages as usize, "pages that are held are counted once");
        assert!(self.free_items <= (self.held - self.apart) * self.carve.items as usize);
        let nothing_free = self.partial.is_empty() && self.idle.is_empty();
        assert_eq!(self.free_items == 0, nothing_free);
    }
}

/// A page all of whose items are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdlePage(u32);

/// A page that nobody is lent an item of any more.
#[derive(Debug)]
pub(crate) struct ApartPage(u32);

#[cfg(all(test, not(loom)))]
mod tests;
