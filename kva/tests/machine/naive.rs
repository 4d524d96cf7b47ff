//! Who has each quantum, and who waits for what.

use std::ops::Range;

use kva::Shape;

/// One who waits, or has a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// When it came, by a count of ours.
    pub(crate) came: usize,
    pub(crate) shape: Shape,
    pub(crate) client: usize,
    /// How many that came later have had something since, at least.
    pub(crate) overtaken: u64,
}

#[derive(Debug)]
pub(crate) struct Naive {
    /// Which client has it.
    pub(crate) owner: Vec<Option<usize>>,
    /// Where each region begins; the last ends where the arena does.
    pub(crate) regions: Vec<u32>,
    pub(crate) quotas: Vec<u32>,
    pub(crate) closed: bool,
}

impl Naive {
    pub(crate) fn quanta(&self) -> u32 {
        self.owner.len() as u32
    }

    fn region_of(&self, start: u32) -> Range<u32> {
        let at = self.regions.iter().rposition(|first| *first <= start).unwrap();
        self.regions[at]..self.regions.get(at + 1).copied().unwrap_or(self.quanta())
    }

    /// Whether that is a place for it, taken or not.
    pub(crate) fn is_place(&self, start: u32, shape: Shape) -> bool {
        let region = self.region_of(start);
        start + shape.len() <= region.end && (start - region.start).is_multiple_of(shape.align())
    }

    pub(crate) fn is_free(&self, quanta: Range<u32>) -> bool {
        quanta.end <= self.quanta() && quanta.into_iter().all(|at| self.owner[at as usize].is_none())
    }

    /// Where it would fit, if what is `withheld` is not for it.
    pub(crate) fn fits(&self, shape: Shape, withheld: &Range<u32>) -> bool {
        let is_outside = |start: u32| {
            withheld.is_empty() || start + shape.len() <= withheld.start || withheld.end <= start
        };
        let mut starts = 0..self.quanta();
        starts.any(|start| {
            self.is_place(start, shape) && is_outside(start) && self.is_free(start..start + shape.len())
        })
    }

    /// Whether it would fit if nothing were taken.
    pub(crate) fn could_ever_fit(&self, shape: Shape) -> bool {
        (0..self.quanta()).any(|start| self.is_place(start, shape))
    }

    pub(crate) fn has(&self, client: usize) -> u32 {
        self.owner.iter().filter(|owner| **owner == Some(client)).count() as u32
    }

    pub(crate) fn may_have(&self, client: usize, shape: Shape) -> bool {
        self.has(client).saturating_add(shape.len()) <= self.quotas[client]
    }

    pub(crate) fn set(&mut self, quanta: Range<u32>, owner: Option<usize>) {
        for at in quanta {
            assert_ne!(
                self.owner[at as usize].is_some(),
                owner.is_some(),
                "quantum {at} is somebody's, or was"
            );
            self.owner[at as usize] = owner;
        }
    }
}
