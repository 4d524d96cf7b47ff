//! Objects in memory of an arena: got and reserved, by the pool and by a thread's own handle, put, spoilt,
//! discarded, detached and attached, where they may fail to be made or be found no good.

mod world;

use proptest::prelude::*;
use proptest::sample::Index;

use world::World;

/// What is done. Those that are told which of several say it by an index.
#[derive(Debug, Clone)]
enum Op {
    TryGet,
    TryReserve(usize),
    Get,
    Reserve(usize),
    /// By the thread's own handle: so many are got, and put in the order in which they were, or not.
    Local(usize, bool),
    Poll(Index),
    Run,
    Cancel(Index),
    Put(Index),
    /// It will be found no good.
    Spoil(Index),
    Discard(Index),
    Detach(Index),
    Attach,
    /// The next so many cannot be made.
    Fail(usize),
    OthersTake,
    OthersFree,
    Drain,
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<Index>;
    prop_oneof![
        10 => Just(Op::TryGet),
        4 => (0_usize..4).prop_map(Op::TryReserve),
        25 => Just(Op::Get),
        6 => (0_usize..4).prop_map(Op::Reserve),
        6 => (1_usize..5, any::<bool>()).prop_map(|(items, in_order)| Op::Local(items, in_order)),
        8 => which().prop_map(Op::Poll),
        20 => Just(Op::Run),
        8 => which().prop_map(Op::Cancel),
        30 => which().prop_map(Op::Put),
        5 => which().prop_map(Op::Spoil),
        4 => which().prop_map(Op::Discard),
        4 => which().prop_map(Op::Detach),
        4 => Just(Op::Attach),
        3 => (1_usize..3).prop_map(Op::Fail),
        6 => Just(Op::OthersTake),
        6 => Just(Op::OthersFree),
        3 => Just(Op::Drain),
        1 => Just(Op::Close),
    ]
}

/// How the pool is made.
#[derive(Debug, Clone)]
struct Setup {
    items_per_page: u32,
    hard_limit: u32,
    quanta: usize,
    validates: bool,
    resets: bool,
    caches: bool,
}

fn setup() -> impl Strategy<Value = Setup> {
    let kinds = (any::<bool>(), any::<bool>(), any::<bool>());
    (1_u32..5, 1_u32..4, 1_usize..5, kinds).prop_map(
        |(items_per_page, hard_limit, quanta, (validates, resets, caches))| Setup {
            items_per_page,
            hard_limit,
            quanta,
            validates,
            resets,
            caches,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_pool_of_objects_does_as_it_must(setup in setup(), ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new(&setup);
        for op in &ops {
            world.apply(op);
        }
        world.end();
    }
}
