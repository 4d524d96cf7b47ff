//! The naive model: which quanta there are, and a search from each of them.

use std::ops::Range;

use kva::Placement;

/// One region: quanta of the arena, and the position of the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) first: u32,
    pub(super) quanta: u32,
    pub(super) origin: u64,
}

/// A placement, and what is asked for by it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) placement: Placement,
    pub(super) phase: u32,
    /// 0: it may cross any boundary.
    pub(super) nocross: u32,
    pub(super) room: (u32, u32),
}

impl Wish {
    pub(super) fn len(&self) -> u32 {
        self.placement.shape().len()
    }

    fn is_good(&self, part: &Part, start: u32) -> bool {
        let len = self.len();
        let position = part.origin + u64::from(start - part.first);
        start + len <= part.first + part.quanta
            && (self.room.0 <= start && start + len <= self.room.1)
            && position % u64::from(self.placement.shape().align()) == u64::from(self.phase)
            && (self.nocross == 0
                || position / u64::from(self.nocross)
                    == (position + u64::from(len) - 1) / u64::from(self.nocross))
    }

    /// Where it may be, if nothing is taken.
    fn places(&self, parts: &[Part]) -> impl Iterator<Item = u32> {
        parts.iter().flat_map(move |part| {
            (part.first..part.first + part.quanta).filter(move |&start| self.is_good(part, start))
        })
    }

    /// Whether it may start there.
    pub(super) fn may_start(&self, parts: &[Part], start: u32) -> bool {
        self.places(parts).any(|place| place == start)
    }

    /// Whether there is any such place, taken or not.
    pub(super) fn is_possible(&self, parts: &[Part]) -> bool {
        self.places(parts).next().is_some()
    }

    /// Whether one of them is free.
    pub(super) fn fits(&self, parts: &[Part], taken: &[bool]) -> bool {
        let len = self.len();
        self.places(parts).any(|start| is_free(taken, start..start + len))
    }
}

pub(super) fn is_free(taken: &[bool], quanta: Range<u32>) -> bool {
    taken[quanta.start as usize..quanta.end as usize].iter().all(|taken| !taken)
}

/// The free runs, as starts and lengths. None reaches from one region into another.
pub(super) fn free_runs(parts: &[Part], taken: &[bool]) -> Vec<(u32, u32)> {
    let mut runs = Vec::new();
    for part in parts {
        let mut at = part.first;
        while at < part.first + part.quanta {
            let rest = &taken[at as usize..(part.first + part.quanta) as usize];
            let len = rest.iter().take_while(|taken| !**taken).count() as u32;
            if len > 0 {
                runs.push((at, len));
            }
            at += len + 1;
        }
    }
    runs
}
