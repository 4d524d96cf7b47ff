//! How a page is carved into items.
//!
//! A page of several items is a power of two long and aligned to its length, so that
//! an item's address with its low bits cleared is its page's. A page of one item needs
//! neither: the item's address *is* the page's. Most scarce things (a 256 KiB argument
//! block) are of that kind, and asking for more alignment than needed would make
//! them scarcer.

use std::alloc::Layout;
use std::ptr::NonNull;

use crate::hardening::Margin;

/// How a page is carved into items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carve {
    /// From one item to the next, in bytes.
    pub(crate) stride: usize,
    /// How many items a page has.
    pub(crate) items: u32,
    /// What is asked of the back-end.
    pub(crate) page: Layout,
    /// Pages start at multiples of this.
    pub(crate) granule: usize,
    /// What of a page is no item's on purpose.
    pub(crate) margin: Option<Margin>,
}

/// Why items cannot be carved from pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CarveError {
    #[error("items of size zero")]
    ZeroSize,
    #[error("pages of no items")]
    NoItems,
    #[error("pages of {0} items: {MOST_ITEMS} is the most")]
    TooManyItems(u32),
    #[error("pages of {items} items of {stride} bytes do not fit into the address space")]
    TooLarge { items: u32, stride: usize },
    #[cfg(feature = "hardening")]
    #[error("{0} items to a page, and a guard page after each: they have one each")]
    Guarded(u32),
}

/// The most items a page may have: three values of an item's link are taken.
const MOST_ITEMS: u32 = u32::MAX - 3;

/// Where nothing else is asked for, a page has room for at least this many items that
/// are smaller than what the back-end hands out: then less than an eighth is wasted.
const ROOM: usize = 8;

impl Carve {
    /// Carves pages for items of `item`, from a back-end that hands out multiples of
    /// `granule` bytes, a power of two. `items`: how many to a page, if not left to us.
    pub(crate) fn new(item: Layout, granule: usize, items: Option<u32>) -> Result<Self, CarveError> {
        debug_assert!(granule.is_power_of_two());
        if item.size() == 0 {
            return Err(CarveError::ZeroSize);
        }
        if items == Some(0) {
            return Err(CarveError::NoItems);
        }
        let stride = item.pad_to_align().size();
        if let Some(items) = items.filter(|items| *items > MOST_ITEMS) {
            return Err(CarveError::TooManyItems(items));
        }
        let too_large = CarveError::TooLarge { items: items.unwrap_or(1), stride };
        let power = |bytes: usize| bytes.checked_next_power_of_two().ok_or(too_large);
        let (items, bytes) = match items {
            Some(items) => (items, stride.checked_mul(items as usize).ok_or(too_large)?),
            None if stride >= granule => (1, stride),
            None => {
                let bytes = power(stride * ROOM)?.max(granule);
                let items = u32::try_from(bytes / stride).ok().filter(|&items| items <= MOST_ITEMS);
                (items.ok_or(too_large)?, bytes)
            }
        };
        let (bytes, align) = if items == 1 {
            (bytes.checked_next_multiple_of(granule).ok_or(too_large)?, item.align())
        } else {
            let bytes = power(bytes)?.max(granule);
            (bytes, bytes)
        };
        let page = Layout::from_size_align(bytes, align).map_err(|_| too_large)?;
        Ok(Self { stride, items, page, granule: granule.max(align), margin: None })
    }

    /// What every item is good for: as long and as aligned as was asked for, or more so.
    pub(crate) fn item(&self) -> Layout {
        // One to a page starts where the page does, or as far behind that as it is led. Several are at
        // multiples of the stride, in a page that is aligned to its length, which is a larger power of two.
        let align = if self.items > 1 {
            1 << self.stride.trailing_zeros()
        } else if self.lead() == 0 {
            self.page.align()
        } else {
            self.page.align().min(1 << self.lead().trailing_zeros())
        };
        Layout::from_size_align(self.stride, align).expect("a stride is a multiple of its alignment")
    }

    /// How far behind where a page starts, to its back-end, it starts to us.
    pub(crate) fn lead(&self) -> usize {
        self.margin.map_or(0, Margin::lead)
    }

    /// Where an item of the page at `base` starts.
    pub(crate) fn item_at(&self, base: NonNull<u8>, index: u32) -> NonNull<u8> {
        let ptr = base.as_ptr().wrapping_add(index as usize * self.stride);
        NonNull::new(ptr).expect("a page does not wrap around the address space")
    }

    /// Where the page that `address` may lie in would start.
    #[inline]
    pub(crate) const fn page_of(&self, address: usize) -> usize {
        if self.items == 1 { address } else { address & !(self.page.size() - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carve(size: usize, align: usize, items: Option<u32>) -> Carve {
        Carve::new(Layout::from_size_align(size, align).unwrap(), 4096, items).unwrap()
    }

    #[test]
    fn small_items_share_a_page_that_is_aligned_to_its_length() {
        let bytes = carve(1, 1, None);
        assert_eq!((bytes.items, bytes.page.size(), bytes.page.align()), (4096, 4096, 4096));
        let odd = carve(700, 4, None);
        assert_eq!((odd.items, odd.page.size()), (11, 8192));
        assert_eq!(odd.page_of(3 * 8192 + 7000), 3 * 8192);
        assert_eq!([bytes, odd].map(|carve| carve.item().align()), [1, 4]);
        assert_eq!(carve(48, 8, None).item(), Layout::from_size_align(48, 16).unwrap());
    }

    #[test]
    fn large_items_have_a_page_of_their_own_at_their_own_alignment() {
        let args = carve(256 * 1024, 1, None);
        assert_eq!((args.items, args.page.size(), args.page.align()), (1, 256 * 1024, 1));
        let odd = carve(5000, 8, None);
        assert_eq!((odd.items, odd.page.size(), odd.page.align()), (1, 8192, 8));
        let aligned = carve(4096, 16384, None);
        assert_eq!((aligned.stride, aligned.page.align()), (16384, 16384));
        assert_eq!([args, odd, aligned].map(|carve| carve.item().align()), [1, 8, 16384]);
    }

    #[test]
    fn the_number_of_items_can_be_chosen() {
        let two = carve(4096, 1, Some(2));
        assert_eq!((two.items, two.page.size(), two.page.align()), (2, 8192, 8192));
        let three = carve(100, 4, Some(3));
        assert_eq!((three.items, three.page.size()), (3, 4096));
    }

    #[test]
    fn what_cannot_be_carved_says_why() {
        let new = |size, items| Carve::new(Layout::from_size_align(size, 1).unwrap(), 4096, items);
        assert_eq!(new(0, None), Err(CarveError::ZeroSize));
        assert_eq!(new(8, Some(0)), Err(CarveError::NoItems));
        assert!(matches!(new(isize::MAX as usize, Some(9)), Err(CarveError::TooLarge { .. })));
    }
}
