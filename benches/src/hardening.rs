//! What each knob of a hardened pool costs: the feature `hardening`, which is off where others are
//! measured.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::time::Duration;

use pool::{Hardening, RawPool};

use crate::arena;
use crate::threads::processor_time;

/// The sizes of items that are measured.
pub const SIZES: [usize; 2] = [64, 4096];

/// So many pages, so that a whole quarantine is less than half of all items, also of one to a page.
const PAGES: u32 = 1024;

/// A pool with some knobs on.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// What it is called.
    pub name: &'static str,
    /// `None`: it is not hardened.
    pub harden: Option<fn() -> Hardening>,
    /// Whether its threads have caches: none of a hardened one's have.
    pub caches: bool,
}

const fn knob(name: &'static str, harden: fn() -> Hardening) -> Variant {
    Variant { name, harden: Some(harden), caches: false }
}

/// All that are measured: the first two are not hardened, the third has no knob on.
pub const VARIANTS: [Variant; 9] = [
    Variant { name: "not hardened", harden: None, caches: true },
    Variant { name: "not hardened, `magazine_rounds(0)`", harden: None, caches: false },
    knob("no knob", Hardening::new),
    knob("`quarantine(256)`", || Hardening::new().quarantine(256)),
    knob("`random_order`", || Hardening::new().random_order(true)),
    knob("`guard_pages`", || Hardening::new().guard_pages(true)),
    knob("`poison`", || Hardening::new().poison(true)),
    knob("`traces`", || Hardening::new().traces(true)),
    knob("`Hardening::all()`", Hardening::all),
];

/// Which of them each is compared with: the one that has no knob on.
pub const NO_KNOB: usize = 2;

/// What is timed of a pool.
#[derive(Debug)]
pub struct Subject(RawPool);

impl Subject {
    /// A pool of items of so many bytes, which has been in use.
    ///
    /// # Panics
    /// If there is no address space for it.
    #[must_use]
    pub fn new(variant: &Variant, bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes, 8).expect("a good layout");
        let mut builder = RawPool::builder(layout, PAGES);
        if !variant.caches {
            builder = builder.magazine_rounds(0);
        }
        if let Some(harden) = variant.harden {
            builder = builder.harden(harden());
        }
        let this = Self(builder.build(arena(4 * PAGES as usize * 4096)).expect("a good pool"));
        let _ = this.pairs(2000);
        this
    }

    fn get(&self) -> NonNull<u8> {
        let item = self.0.get().expect("there is one");
        // SAFETY: it is ours alone.
        unsafe { item.as_ptr().write_volatile(1) };
        item
    }

    fn put(&self, item: NonNull<u8>) {
        // SAFETY: it is not used after this.
        unsafe { self.0.put(item) }.expect("it was out");
    }

    /// So many gets of an item, each followed by its put.
    #[must_use]
    pub fn pairs(&self, times: u64) -> Duration {
        let pairs = || (0..times).for_each(|_| self.put(self.get()));
        processor_time(pairs).1
    }

    /// As [`pairs`](Self::pairs), each with a page that comes from the back-end and goes back.
    ///
    /// # Panics
    /// If none comes.
    #[must_use]
    pub fn pages(&self, times: u64) -> Duration {
        self.0.drain();
        let pages = || {
            for _ in 0..times {
                self.put(self.get());
                assert!(self.0.drain() > 0, "it came, and goes");
            }
        };
        processor_time(pages).1
    }
}

/// How it is timed.
pub type Work = fn(&Subject, u64) -> Duration;

/// What is done, what it is called, and how often for a sample.
pub const WORKS: [(&str, Work, u64); 2] = [("pair", Subject::pairs, 4000), ("page", Subject::pages, 400)];
