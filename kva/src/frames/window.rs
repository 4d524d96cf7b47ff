//! Which run of frames is cheapest to clear. Pure.

use crate::shape::Shape;

/// What it takes to have a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Cost {
    /// Nothing, or nothing that a mover could do.
    #[default]
    Nothing,
    /// A move.
    Move,
    /// It stays for now: its page is pinned.
    Pinned,
    /// It stays: it is wired.
    Wired,
}

impl Cost {
    const fn moves(self) -> u32 {
        matches!(self, Self::Move) as u32
    }

    pub(super) const fn stays(self) -> u32 {
        matches!(self, Self::Pinned | Self::Wired) as u32
    }
}

/// Where the first run of `shape` starts in which nothing stays, of those that take the fewest moves.
pub(super) fn cheapest(frames: &[Cost], shape: Shape) -> Option<u32> {
    let (len, align) = (shape.len() as usize, shape.align() as usize);
    let mut best: Option<(u32, usize)> = None;
    let (mut moves, mut stay) = (0, 0);
    for end in 0..frames.len() {
        moves += frames[end].moves();
        stay += frames[end].stays();
        let Some(start) = (end + 1).checked_sub(len) else { continue };
        if start.is_multiple_of(align) && stay == 0 && best.is_none_or(|(least, _)| moves < least) {
            best = Some((moves, start));
        }
        moves -= frames[start].moves();
        stay -= frames[start].stays();
    }
    best.map(|(_, start)| start as u32)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(frames: &[Cost], shape: Shape) -> Option<u32> {
        let (len, align) = (shape.len() as usize, shape.align() as usize);
        let moves = |start: usize| {
            let inside = frames.get(start..start + len)?;
            let stays = inside.iter().any(|cost| matches!(cost, Cost::Pinned | Cost::Wired));
            (!stays).then(|| inside.iter().filter(|cost| **cost == Cost::Move).count())
        };
        let starts = (0..frames.len()).step_by(align).filter_map(|start| Some((moves(start)?, start)));
        starts.min().map(|(_, start)| start as u32)
    }

    fn cost() -> impl Strategy<Value = Cost> {
        prop_oneof![
            4 => Just(Cost::Nothing), 4 => Just(Cost::Move), 1 => Just(Cost::Pinned), 1 => Just(Cost::Wired)
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_look_at_each(
            frames in prop::collection::vec(cost(), 0..60), len in 1u32..9, align in 0u32..4
        ) {
            let shape = Shape::aligned(len, 1 << align).unwrap();
            prop_assert_eq!(cheapest(&frames, shape), naive(&frames, shape));
        }
    }
}
