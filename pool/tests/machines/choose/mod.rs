//! Choices of items of two pools, a span, their close and the time, beside getters who wait for one of
//! them: whichever event is chosen could be had, and what was not chosen is as if it had not been.

mod world;

use proptest::prelude::*;
use proptest::sample::Index;

use world::World;

/// What one may wait for. Those of [`POOLS`] pools, and of an arena, come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Branch {
    /// Of this pool, or of the arena.
    Item(usize),
    Closed(usize),
    /// A moment that has come, or never does.
    Moment(bool),
}

const POOLS: usize = 2;
/// Where spans are from.
const ARENA: usize = POOLS;

/// What is done. Those that are told which of several say it by an index.
#[derive(Debug, Clone)]
enum Op {
    /// Whether it is a choice of two choices.
    Choose(Vec<Branch>, bool),
    Get(usize),
    Poll(Index),
    Run,
    Cancel(Index),
    Put(Index),
    Close(usize),
}

fn branch() -> impl Strategy<Value = Branch> {
    prop_oneof![
        10 => (0..=ARENA).prop_map(Branch::Item),
        2 => (0..POOLS).prop_map(Branch::Closed),
        1 => prop::bool::weighted(0.2).prop_map(Branch::Moment),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<Index>;
    prop_oneof![
        40 => (prop::collection::vec(branch(), 1..5), any::<bool>())
            .prop_map(|(branches, nests)| Op::Choose(branches, nests)),
        20 => (0..=ARENA).prop_map(Op::Get),
        10 => which().prop_map(Op::Poll),
        20 => Just(Op::Run),
        12 => which().prop_map(Op::Cancel),
        40 => which().prop_map(Op::Put),
        1 => (0..POOLS).prop_map(Op::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_choice_is_of_what_could_be_had(
        limits in [1_u32..3, 1_u32..3, 1_u32..3],
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new(limits);
        for op in &ops {
            world.apply(op);
            world.check();
        }
        world.end();
    }
}
