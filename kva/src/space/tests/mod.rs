//! The space as a whole.

mod search;
mod world;

use proptest::prelude::*;
use world::{Op, Wanted, World};

use super::*;
use crate::placement::Fit;
use crate::shape::Shape;

fn shape(len: u32, align: u32) -> Placement {
    Shape::aligned(len, align).unwrap().into()
}

/// All quanta taken one by one, and those given back whose bit is set.
fn with_free(n: u32, origin: usize, free: u32) -> Space {
    let mut space = Space::new(n, origin).unwrap();
    let singles: Vec<Busy> = (0..n).map(|_| space.take(&shape(1, 1), 0).unwrap()).collect();
    singles.into_iter().filter(|busy| free & (1 << busy.start) != 0).for_each(|busy| space.give(busy));
    space
}

#[test]
fn frees_join_on_both_sides() {
    let mut space = Space::new(12, 0).unwrap();
    let [a, b, c] = [4, 4, 4].map(|len| space.take(&shape(len, 1), 0).unwrap());
    assert_eq!(space.take(&shape(1, 1), 0), None);
    space.give(a);
    space.give(c);
    assert_eq!((space.free(), space.largest(1)), (8, 4));
    space.give(b);
    assert_eq!(space.runs().collect::<Vec<_>>(), [(0, 12)]);
    space.check();
}

#[test]
fn alignment_counts_from_the_origin() {
    let mut space = Space::new(8, 3).unwrap();
    let taken = space.take(&shape(4, 4), 0).unwrap();
    assert_eq!(taken.start, 1, "position 4");
    assert_eq!(space.largest(4), 3, "position 8 on");
}

#[test]
fn runs_of_two_regions_do_not_join() {
    let mut space = Space::new(4, 0).unwrap();
    assert_eq!(space.add(Runs::new(4, 4).unwrap()), 4);
    assert_eq!(space.take(&shape(5, 1), 0), None);
    assert!(!space.could_ever_fit(&shape(5, 1)));
    assert_eq!(space.take_at(3, 2, 0), None);
    let [a, b] = [4, 4].map(|len| space.take(&shape(len, 1), 0).unwrap());
    assert_eq!((a.start, b.start), (0, 4));
    space.give(b);
    space.give(a);
    assert_eq!(space.runs().collect::<Vec<_>>(), [(0, 4), (4, 4)]);
}

#[test]
fn best_fit_takes_the_snug_run_and_instant_fit_the_sure_one() {
    // Four quanta that are aligned by chance, eight in which four fit wherever they start, and
    // four that are not aligned, which are the first of their bin.
    let free = 0b1111 << 2 | 0b1111_1111 << 9 | 0b1111 << 19;
    for (fit, start) in [(Fit::Instant, 10), (Fit::Best, 2)] {
        let mut space = with_free(24, 0, free);
        assert_eq!(space.take(&shape(4, 2).fit(fit), 0).unwrap().start, start);
    }
}

#[test]
fn what_was_given_is_taken_again() {
    let mut space = Space::new(64, 0).unwrap();
    let [_, given, _] = [4; 3].map(|len| space.take(&shape(len, 4), 0).unwrap());
    space.give(given);
    assert_eq!(space.take(&shape(4, 4), 0).unwrap().start, given.start, "and nothing else is cut");
}

#[test]
fn what_is_too_large_is_refused() {
    let mut space = Space::new(2, (1 << 40) + 1).unwrap();
    for (len, align) in [(3, 1), (2, 4), (1, 1 << 31), (u32::MAX, 1), (u32::MAX, 1 << 31), (1 << 31, 2)] {
        for fit in [Fit::Instant, Fit::Best] {
            assert_eq!(space.take(&shape(len, align).fit(fit), 0), None);
        }
        assert!(!space.could_ever_fit(&shape(len, align)), "{len} at {align}");
        assert_eq!(space.take_at(1, len.max(2), 0), None);
        space.aim(&shape(len, align));
        assert_eq!(space.window(), None);
    }
}

/// Every set of free quanta of a small space, and everything that can be asked of it.
#[test]
fn whatever_fits_is_found_wherever_it_may_be() {
    for (n, origin) in (1..8).flat_map(|n| [0, 1, 6, 511].map(|origin| (n, origin))) {
        for free in 0..1 << n {
            let mut space = with_free(n, origin, free);
            space.check();
            for (len, log) in (1..=n).flat_map(|len| (0..3).map(move |log| (len, log))) {
                for (min, max) in (0..n).flat_map(|min| (min + len..=n).map(move |max| (min, max))) {
                    let placement = shape(len, 1 << log).within(min..max).unwrap();
                    let fits = |at: u32| {
                        (origin as u32 + at).is_multiple_of(1 << log)
                            && (at..at + len).all(|quantum| free & (1 << quantum) != 0)
                    };
                    for fit in [Fit::Instant, Fit::Best] {
                        let taken = space.take(&placement.fit(fit), 0);
                        assert_eq!(taken.is_some(), (min..=max - len).any(fits), "{free:b} {placement:?}");
                        if let Some(busy) = taken {
                            assert!(min <= busy.start && busy.end() <= max && fits(busy.start));
                            space.give(busy);
                        }
                    }
                }
            }
        }
    }
}

/// More runs that may do, and do not, than are looked at.
#[test]
fn what_few_looks_do_not_find_the_search_does() {
    let n = 4096;
    let mut space = Space::new(n, 1).unwrap();
    let all: Vec<Busy> = (0..n).map(|_| space.take(&shape(1, 1), 0).unwrap()).collect();
    // Pairs at odd positions, but for one at an even one, which is the last that is looked at.
    let odd = 2 * 1001 + 1;
    space.give(all[odd]);
    space.give(all[odd + 1]);
    for at in (0..n as usize - 4).step_by(4).filter(|at| at.abs_diff(odd) > 8) {
        space.give(all[at]);
        space.give(all[at + 1]);
    }
    for fit in [Fit::Instant, Fit::Best] {
        let taken = space.take(&shape(2, 2).fit(fit), 0).unwrap();
        assert_eq!(taken.start as usize, odd);
        space.check();
        assert_eq!(space.take(&shape(2, 2).fit(fit), 0), None);
        space.give(taken);
    }
}

#[test]
fn a_claim_is_whole_or_nothing() {
    let mut space = with_free(8, 0, 0b0111_0110);
    space.aim(&shape(4, 4));
    assert_eq!(space.window(), Some(4..8));
    assert_eq!((space.missing(), space.withheld(), space.free()), (1, 3, 2));
    assert_eq!(space.claim_window(7), None);
    assert_eq!(space.take(&shape(1, 1).within(4..8).unwrap(), 0), None, "withheld");
    assert_eq!(space.take_at(4, 1, 0), None, "withheld");
    let last = space.busy_at(7).unwrap();
    space.give(last);
    let claimed = space.claim_window(7).unwrap();
    assert_eq!((claimed.start, claimed.len, space.note_of(claimed)), (4, 4, 7));
    assert_eq!((space.window(), space.withheld(), space.free()), (None, 0, 2));
    space.check();
}

#[test]
fn the_window_moves_to_where_less_is_missing() {
    let mut space = with_free(16, 0, 0b0000_0000_0000_0111);
    space.aim(&shape(4, 4));
    assert_eq!((space.window(), space.missing(), space.aimings()), (Some(0..4), 1, 1));
    for at in 8..11 {
        space.give(space.busy_at(at).unwrap());
    }
    assert_eq!(space.window(), Some(0..4), "as good, so it stays");
    space.give(space.busy_at(11).unwrap());
    assert_eq!((space.window(), space.missing(), space.aimings()), (Some(8..12), 0, 2));
    assert_eq!(space.free(), 3, "what it moved off");
    space.check();
}

/// Two searches that find nothing better than the other go on where the last one ended.
#[test]
fn a_search_begins_where_the_last_one_ended() {
    let mut space = with_free(12, 0, 0b0111_0111_0111);
    let windows = [(); 4].map(|()| {
        space.aim(&shape(4, 4));
        space.window().unwrap().start
    });
    assert_eq!(windows, [0, 4, 8, 0]);
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let len = prop_oneof![8 => 1u32..20, 2 => 20u32..50, 1 => 50u32..150];
    let align_log = prop_oneof![4 => Just(0u32), 4 => 1u32..4, 1 => 4u32..12];
    let phase = prop_oneof![4 => Just(0u32), 1 => any::<u32>()];
    let nocross = prop_oneof![4 => Just(0u32), 1 => 1u32..5];
    let room = prop::option::weighted(0.2, any::<(u32, u32)>());
    (len, align_log, phase, nocross, room, any::<bool>()).prop_map(
        |(len, align_log, phase, nocross, room, best)| Wanted { len, align_log, phase, nocross, room, best },
    )
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (wanted(), any::<u32>()).prop_map(|(wanted, client)| Op::Take(wanted, client)),
        2 => (any::<u32>(), 1u32..12).prop_map(|(start, len)| Op::TakeAt(start, len)),
        10 => any::<u32>().prop_map(Op::Give),
        2 => (any::<u32>(), 1u32..20, any::<u32>()).prop_map(|(i, len, client)| Op::PassOn(i, len, client)),
        2 => (any::<u32>(), 1u32..20).prop_map(|(i, len)| Op::Split(i, len)),
        2 => wanted().prop_map(Op::Aim),
        1 => Just(Op::Unaim),
        1 => any::<u32>().prop_map(Op::Claim),
    ]
}

fn regions() -> impl Strategy<Value = Vec<(u32, usize)>> {
    let n = prop_oneof![1u32..130, Just(1), Just(2), Just(63), Just(64), Just(65)];
    let origin = prop_oneof![
        Just(0usize),
        0usize..1100,
        (0usize..2000, 9u32..47).prop_map(|(less, log)| (2000usize << log) - less)
    ];
    prop_oneof![
        2 => prop::collection::vec((n.clone(), origin.clone()), 1),
        1 => prop::collection::vec((n, origin), 2..4)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The clever structure beside a naive one.
    #[test]
    fn agrees_with_a_vector_of_owners(
        regions in regions(),
        ops in prop::collection::vec(op(), 1..100),
    ) {
        let mut world = World::new(regions[0].0, regions[0].1);
        for &(n, origin) in &regions[1..] {
            world.apply(&Op::Add(n, origin));
        }
        for op in ops {
            world.apply(&op);
            world.check();
        }
        world.end();
    }
}

/// Fixed seeds, sizes over many blocks, and far more operations; most of them are not checked
/// one by one.
#[test]
fn agrees_in_the_long_run() {
    for (seed, n, origin, ops) in
        [(1u64, 700, 3usize, 40_000), (2, 2600, 511, 30_000), (3, 1024, (1 << 40) - 100, 30_000)]
    {
        let mut state = seed;
        // SplitMix64 (Steele, Lea and Flood 2014).
        let mut random = move |below: u32| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 33) as u32 % below
        };
        let mut world = World::new(n, origin);
        world.apply(&Op::Add(300, 77));
        world.thorough = false;
        for i in 0..ops {
            let mut wanted = |len| Wanted {
                len,
                align_log: [0, 0, 0, 1, 2, 5][random(6) as usize],
                phase: if random(8) == 0 { random(1 << 16) } else { 0 },
                nocross: if random(8) == 0 { 1 + random(4) } else { 0 },
                room: (random(8) == 0).then(|| (random(1 << 16), random(1 << 16))),
                best: random(2) == 0,
            };
            // Phases with more takes, and with more gives.
            let crowd = if i / 3000 % 2 == 0 { 12 } else { 8 };
            let (small, large) = (wanted(1), wanted(1));
            let op = match random(24) {
                k if k < crowd => {
                    let len = if random(10) == 0 { 1 + random(200) } else { 1 + random(12) };
                    Op::Take(Wanted { len, ..small }, i)
                }
                20 => Op::Aim(Wanted { len: 1 + random(100), ..large }),
                21 => Op::Claim(i),
                22 => match random(3) {
                    0 => Op::Unaim,
                    1 => Op::Split(random(1 << 16), 1 + random(6)),
                    _ => Op::PassOn(random(1 << 16), 1 + random(6), i),
                },
                23 => Op::TakeAt(random(1 << 16), 1 + random(9)),
                _ => Op::Give(random(1 << 16)),
            };
            world.apply(&op);
            if i % 500 == 0 {
                world.check();
            }
        }
        world.end();
    }
}

/// The one place that will do is a quantum beside those that are looked at step by step.
#[test]
fn a_long_window_moves_to_the_only_place_that_will_do() {
    for hole in 300..340 {
        let mut space = Space::new(1000, 0).unwrap();
        let plain = |len| Placement::from(Shape::new(len).unwrap());
        let before = space.take_at(0, hole, 0).unwrap();
        let gap = space.take_at(hole, 100, 0).unwrap();
        let after = space.take_at(hole + 100, 900 - hole, 0).unwrap();
        space.aim(&plain(100));
        space.give(gap);
        assert_eq!(space.claim_window(1).map(|busy| busy.start), Some(hole));
        space.give(before);
        space.give(after);
        space.check();
    }
}
