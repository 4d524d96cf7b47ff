//! Objects that a factory makes, which fails, delivers late, begins what is then wanted no more, and says
//! nothing.

mod scripted;
mod world;

use proptest::prelude::*;
use proptest::sample::Index;

use scripted::End;
use world::World;

/// What is done. Those that are told which of several say it by an index.
#[derive(Debug, Clone)]
enum Op {
    TryGet,
    Get,
    Poll(Index),
    Run,
    Cancel(Index),
    Put(Index),
    Discard(Index),
    Detach(Index),
    Attach,
    /// The next request is answered at once.
    AnswerNow(bool),
    Begin(Index),
    End(Index, End),
    Drain,
    Limit(u32),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<Index>;
    let end = prop_oneof![
        4 => Just(End::Deliver),
        1 => Just(End::Refuse),
        1 => Just(End::GiveUp),
        1 => Just(End::Forget),
    ];
    prop_oneof![
        10 => Just(Op::TryGet),
        30 => Just(Op::Get),
        10 => which().prop_map(Op::Poll),
        20 => Just(Op::Run),
        8 => which().prop_map(Op::Cancel),
        20 => which().prop_map(Op::Put),
        5 => which().prop_map(Op::Discard),
        3 => which().prop_map(Op::Detach),
        3 => Just(Op::Attach),
        4 => any::<bool>().prop_map(Op::AnswerNow),
        20 => which().prop_map(Op::Begin),
        30 => (which(), end).prop_map(|(at, end)| Op::End(at, end)),
        3 => Just(Op::Drain),
        10 => (1_u32..4).prop_map(Op::Limit),
        1 => Just(Op::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_pool_with_a_factory_does_as_it_must(limit in 1_u32..5, ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new(limit);
        for op in &ops {
            world.apply(op);
            world.check();
        }
        world.end();
    }
}
