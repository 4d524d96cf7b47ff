//! Pages beside a list of pages, each a list of its items, and a count of what happened.
//!
//! Where more than one answer is right, it is judged; what has to be one is compared.

use std::alloc::Layout;
use std::collections::BTreeSet;

use proptest::sample::Index as Any;

use super::super::*;
use super::address;

/// The most pages there are.
const CAPACITY: usize = 6;
/// From one page to where the next may start.
const APART: usize = 0x1000;

#[derive(Debug, Clone)]
pub(super) enum Op {
    /// Where, of the places that are vacant.
    Insert(u32),
    Take,
    /// With an object in it, where objects are kept.
    Put(Any, bool),
    PutCached(Any),
    /// Of one that is free.
    PutAgain(Any),
    /// Of any address.
    Locate(Any),
    NoLongerFresh,
    SetApart,
    /// The idle page in so many bytes that begin before where one may start.
    Within(Any, usize, usize),
    NextObject,
    Remove,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    /// Never out.
    Untouched,
    /// It came with its object, for those who wait.
    Fresh,
    Object,
    Empty,
    Out,
}

impl Item {
    fn has_object(self) -> bool {
        matches!(self, Self::Fresh | Self::Object)
    }
}

#[derive(Debug)]
struct NaivePage {
    base: usize,
    items: Vec<Item>,
    apart: bool,
    /// When it last became idle, or partly free, or was told apart anew from those without objects.
    since: usize,
}

impl NaivePage {
    fn free(&self) -> usize {
        self.items.iter().filter(|item| **item != Item::Out).count()
    }

    fn is_idle(&self) -> bool {
        !self.apart && self.free() == self.items.len()
    }

    fn is_partial(&self) -> bool {
        self.free() > 0 && self.free() < self.items.len()
    }

    fn has_object(&self) -> bool {
        self.items.iter().any(|item| item.has_object())
    }

    /// What it is looked for as; a page that changes this has changed places.
    fn place(&self, keeps: bool) -> (bool, bool, bool) {
        (self.is_idle(), self.is_partial(), keeps && self.has_object())
    }
}

pub(super) struct World {
    pages: Pages<usize>,
    keeps: bool,
    filled: bool,
    naive: Vec<NaivePage>,
    apart: Vec<ApartPage>,
    happened: usize,
}

impl World {
    pub(super) fn new(items: u32, keeps: bool, filled: bool) -> Self {
        let carve = Carve::new(Layout::from_size_align(24, 8).unwrap(), 64, Some(items)).unwrap();
        let pages = Pages::new(carve, CAPACITY as u32, keeps, filled, None).unwrap();
        Self { pages, keeps, filled, naive: Vec::new(), apart: Vec::new(), happened: 0 }
    }

    fn stride(&self) -> usize {
        self.pages.carve.stride
    }

    /// The page, and which of its items starts there.
    fn find(&self, at: usize) -> (usize, usize) {
        let page = self.naive.iter().position(|page| (page.base..page.base + APART).contains(&at)).unwrap();
        (page, (at - self.naive[page].base) / self.stride())
    }

    /// Changes one item, and notes whether its page changed places by that.
    fn set(&mut self, at: usize, to: Item) {
        let (page, index) = self.find(at);
        let page = &mut self.naive[page];
        let before = page.place(self.keeps);
        page.items[index] = to;
        if page.place(self.keeps) != before {
            page.since = self.happened;
        }
    }

    fn where_are(&self, is: impl Fn(&NaivePage, Item) -> bool) -> Vec<usize> {
        let stride = self.stride();
        let items = self.naive.iter().flat_map(|page| {
            page.items.iter().enumerate().map(move |(at, item)| (page, page.base + at * stride, *item))
        });
        items.filter(|(page, _, item)| is(page, *item)).map(|(_, at, _)| at).collect()
    }

    fn pick(&self, which: Any, is: impl Fn(&NaivePage, Item) -> bool) -> Option<usize> {
        let all = self.where_are(is);
        (!all.is_empty()).then(|| *which.get(&all))
    }

    pub(super) fn apply(&mut self, op: &Op) {
        self.happened += 1;
        match op {
            Op::Insert(place) => self.insert(*place),
            Op::Take => self.take(),
            Op::Put(which, with_object) => {
                let Some(at) = self.pick(*which, |_, item| item == Item::Out) else { return };
                let with_object = self.keeps && *with_object;
                let slot = self.pages.locate(address(at)).unwrap();
                self.pages.put(slot, with_object).unwrap();
                self.set(at, if with_object { Item::Object } else { Item::Empty });
            }
            Op::PutCached(which) => {
                let Some(at) = self.pick(*which, |_, item| item == Item::Out) else { return };
                let slot = self.pages.locate(address(at)).unwrap();
                self.pages.put_cached(slot);
                self.set(at, if self.keeps { Item::Object } else { Item::Empty });
            }
            Op::PutAgain(which) => {
                let Some(at) = self.pick(*which, |_, item| item != Item::Out) else { return };
                let slot = self.pages.locate(address(at)).unwrap();
                assert_eq!(self.pages.put(slot, false), Err(PutError::DoublePut(at)));
            }
            Op::Locate(which) => self.locate(which.index((CAPACITY + 2) * APART)),
            Op::NoLongerFresh => {
                self.pages.no_longer_fresh();
                for item in self.naive.iter_mut().flat_map(|page| &mut page.items) {
                    if *item == Item::Fresh {
                        *item = Item::Object;
                    }
                }
            }
            Op::SetApart => {
                let Some(page) = self.pages.idle_page() else { return };
                let base = self.pages.base(page).addr().get();
                self.apart.push(self.pages.set_apart(page));
                let (page, _) = self.find(base);
                self.naive[page].apart = true;
            }
            Op::Within(page, before, len) => {
                self.within((page.index(CAPACITY + 1) + 1) * APART - before, *len);
            }
            Op::NextObject => self.next_object(),
            Op::Remove => {
                let Some(at) = self.apart.iter().position(|page| !self.pages.has_objects(page)) else {
                    return;
                };
                let base = self.pages.remove(self.apart.remove(at));
                let (page, _) = self.find(base);
                assert!(self.naive[page].apart && !self.naive[page].has_object());
                self.naive.remove(page);
            }
        }
    }

    fn insert(&mut self, place: u32) {
        let bases = (1..=CAPACITY).map(|at| at * APART);
        let vacant: Vec<_> = bases.filter(|base| self.naive.iter().all(|page| page.base != *base)).collect();
        let Some(&base) = vacant.get(place as usize % vacant.len().max(1)) else { return };
        self.pages.insert(base, address(base));
        let item = if self.filled { Item::Fresh } else { Item::Untouched };
        let items = vec![item; self.pages.carve.items as usize];
        self.naive.push(NaivePage { base, items, apart: false, since: self.happened });
    }

    /// A page with an object before one without, and of these one in use before one that is idle: the one
    /// that got there last. In the page, an object before an item that was out, and that before one that
    /// never was.
    fn take(&mut self) {
        let lendable: Vec<_> = self.naive.iter().filter(|page| page.is_idle() || page.is_partial()).collect();
        let rank = |page: &NaivePage| (self.keeps && page.has_object(), page.is_partial());
        let best = lendable.iter().map(|page| rank(page)).max();
        let best = lendable.into_iter().filter(|page| Some(rank(page)) == best);
        let last = best.clone().map(|page| page.since).max();
        let expected: Vec<_> = best
            // Among pages without objects, where they are kept, none is better.
            .filter(|page| (self.keeps && !page.has_object()) || Some(page.since) == last)
            .map(|page| page.base)
            .collect();
        let taken = self.pages.take(Location::caller());
        assert_eq!(taken.is_some(), !expected.is_empty());
        let Some(loan) = taken else { return };
        let at = loan.ptr.addr().get();
        let (page, index) = self.find(at);
        let page = &self.naive[page];
        assert!(expected.contains(&page.base), "{at:#x}: one of {expected:#x?} was better");
        let item = page.items[index];
        assert_eq!(self.pages.locate(loan.ptr), Ok(loan.slot));
        assert_eq!(at, page.base + index * self.stride());
        assert_ne!(item, Item::Out, "lent twice");
        assert_eq!(loan.constructed, item.has_object());
        assert_eq!(loan.fresh, matches!(item, Item::Fresh | Item::Untouched));
        assert!(item.has_object() || !page.has_object());
        assert!(item != Item::Untouched || !page.items.contains(&Item::Empty));
        self.set(at, Item::Out);
    }

    /// How far into an item, or past the last one, `at` is.
    fn locate(&self, at: usize) {
        let size = self.pages.carve.page.size();
        let located = self.pages.locate(address(at.max(1)));
        let at = at.max(1);
        let Some(page) = self.naive.iter().find(|page| (page.base..page.base + size).contains(&at)) else {
            return assert_eq!(located, Err(PutError::Foreign(at)));
        };
        let starts = (0..page.items.len()).map(|index| page.base + index * self.stride());
        let offset = at - starts.rev().find(|start| *start <= at).unwrap();
        match located {
            Ok(_) => assert_eq!(offset, 0),
            Err(error) => assert_eq!(error, PutError::NotAnItem { pointer: at, offset }),
        }
    }

    fn within(&self, from: usize, len: usize) {
        let size = self.pages.carve.page.size();
        let overlaps = |base: usize| len > 0 && base < from + len && from < base + size;
        let any = self.naive.iter().any(|page| page.is_idle() && overlaps(page.base));
        let found = self.pages.idle_page_within(&(from..from + len));
        assert_eq!(found.is_some(), any, "in {from:#x}, {len} bytes");
        if let Some(page) = found {
            let base = self.pages.base(page).addr().get();
            assert!(overlaps(base) && self.naive[self.find(base).0].is_idle());
        }
    }

    fn next_object(&mut self) {
        let Some(page) = self.apart.first() else { return };
        let Some(object) = self.pages.next_object(page) else { return };
        let at = object.addr().get();
        let (page, index) = self.find(at);
        assert!(self.naive[page].apart && self.naive[page].items[index].has_object());
        self.set(at, Item::Empty);
    }

    /// The counts, and which page has been idle longest.
    pub(super) fn check(&self) {
        let pages = &self.pages;
        pages.check(self.naive.len() as u32);
        let free = self.where_are(|page, item| !page.apart && item != Item::Out);
        assert_eq!(pages.free_items(), free.len());
        let objects = self.where_are(|_, item| item.has_object());
        assert_eq!(pages.constructed(), objects.len());
        assert_eq!(pages.ready_items(), if self.keeps { objects.len() } else { free.len() });
        assert_eq!(pages.out_items(), self.where_are(|_, item| item == Item::Out).len());
        let idle = self.naive.iter().filter(|page| page.is_idle());
        let longest = idle.min_by_key(|page| (self.keeps && page.has_object(), page.since));
        let found = pages.idle_page().map(|page| pages.base(page).addr().get());
        assert_eq!(found.is_some(), longest.is_some());
        if let (Some(found), Some(longest)) = (found, longest) {
            let without = !self.naive[self.find(found).0].has_object();
            // Of those without objects, where they are kept, it is any.
            let any = self.keeps && without;
            assert!(found == longest.base || (any && !longest.has_object()), "{found:#x}: {longest:#x?}");
        }
    }

    /// All objects in free items are found at the end, once each.
    pub(super) fn end(mut self) {
        let expected: BTreeSet<_> = self.where_are(|_, item| item.has_object()).into_iter().collect();
        let found = self.pages.take_objects();
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.iter().map(|object| object.addr().get()).collect::<BTreeSet<_>>(), expected);
        assert_eq!(self.pages.constructed(), 0);
    }
}
