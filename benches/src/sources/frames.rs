//! Frames: what is in a window is moved out of it by one call.

use std::ops::Range;

#[cfg(test)]
use kva::Shape;
use kva::{Frames, Page};

use crate::contestants::OURS;
use crate::source::Moving;

/// Frames, and the pages in them.
pub struct Compacted {
    frames: Frames,
    pages: Vec<Page>,
    /// Where they are: the upper half, or the lower.
    up: bool,
}

impl Compacted {
    fn half(&self, up: bool) -> Range<u32> {
        let pages = self.pages.len() as u32;
        if up { pages..2 * pages } else { 0..pages }
    }
}

impl Moving for Compacted {
    const NAME: &'static str = OURS;

    fn new(count: u32, protect: bool) -> Self {
        let frames = Frames::builder(2 * count).protect(protect).primed(true).build().expect("memory");
        let all = || (0..2 * count).map(|_| frames.page().expect("a free frame")).collect();
        // Addresses are given again in another order than frames.
        let mut before: Vec<Page> = all();
        fastrand::Rng::with_seed(0x5eed).shuffle(&mut before);
        drop(before);
        let mut pages: Vec<Page> = all();
        pages.retain(|page| page.frame() < count);
        for (seed, page) in pages.iter_mut().enumerate() {
            page.pin_mut()[..8].copy_from_slice(&seed.to_ne_bytes());
        }
        let mut this = Self { frames, pages, up: false };
        this.pass();
        this.pass();
        this
    }

    fn pass(&mut self) {
        let done = self.frames.compact(self.half(self.up));
        assert_eq!(done.moved as usize, self.pages.len(), "{done:?}");
        self.up = !self.up;
    }

    #[cfg(test)]
    fn spoil(&mut self) {
        let all = Shape::new(self.pages.len() as u32).expect("some");
        let mut run = self.frames.try_run(all).expect("half of it is free");
        assert_eq!(run.frames(), self.half(!self.up));
        run.fill(0xff);
    }

    #[cfg(test)]
    fn are_whole(&self) -> bool {
        self.pages.iter().enumerate().all(|(seed, page)| page.pin()[..8] == seed.to_ne_bytes())
    }
}
