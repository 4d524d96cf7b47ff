//! An arena as a back-end whose calls are counted, and panic as they are told to.

use std::alloc::Layout;
use std::ptr::NonNull;

use kva::sync::{Arc, Weak};
use kva::{AllocError, Answer, Arena, Clock, Grow, GrowId, GrowTable, Reclaim, Span};
use pool::Backend;

use super::fuse::Fuse;

/// Calls of it panic before a page is theirs or after it is gone, as it should be: what a back-end loses
/// by its own panic is its loss.
pub(crate) struct Counted {
    pub(crate) arena: Arena,
    pub(crate) fuse: Fuse,
}

// SAFETY: pages are the arena's, which promises the same.
unsafe impl Backend for Counted {
    type Page = Span;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        self.fuse.call("back-end's granule");
        Backend::granule(&self.arena)
    }

    fn ask(&self, page: Layout, grow: Grow<Span, AllocError>) -> Answer<Span, AllocError> {
        self.fuse.call("back-end's ask");
        Backend::ask(&self.arena, page, grow)
    }

    fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
        self.fuse.call("back-end's try_page");
        self.arena.try_page(page)
    }

    fn forget(&self, id: GrowId) {
        Backend::forget(&self.arena, id);
        self.fuse.call("back-end's forget");
    }

    fn release(&self, page: Span, layout: Layout) {
        Backend::release(&self.arena, page, layout);
        self.fuse.call("back-end's release");
    }

    fn yield_to_older(&self, page: Span, layout: Layout, moment: u64) -> Option<Span> {
        let back = Backend::yield_to_older(&self.arena, page, layout, moment);
        if back.is_none() {
            self.fuse.call("back-end's yield_to_older");
        }
        back
    }

    fn base(&self, page: &Span) -> NonNull<u8> {
        Backend::base(&self.arena, page)
    }

    fn clock(&self) -> Arc<Clock> {
        self.fuse.call("back-end's clock");
        Backend::clock(&self.arena)
    }

    fn attach(&self, table: &GrowTable, pool: Weak<dyn Reclaim>) {
        self.fuse.call("back-end's attach");
        self.arena.attach(table, pool);
    }
}
