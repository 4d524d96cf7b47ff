//! Memory: gets of one and of several, by both classes, beside another client of the arena; limits, water
//! marks, the reserve, drains and the close.

mod check;
mod naive;
mod world;

use proptest::prelude::*;
use proptest::sample::Index;

use world::World;

/// What is done. Those that are told which of several say it by an index.
#[derive(Debug, Clone)]
enum Op {
    TryGet {
        items: usize,
        critical: bool,
    },
    Get {
        items: usize,
        critical: bool,
    },
    Poll(Index),
    /// Whoever was woken is polled.
    Run,
    Cancel(Index),
    Put(Index),
    /// A pointer that is none of an item that is out.
    PutWrong(usize),
    /// Another client of the arena takes a quantum, and gives it back.
    OthersTake,
    OthersFree(Index),
    Prime(u32),
    Drain,
    Limit(u32),
    Water(u32, u32),
    Reserve(u32),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<Index>;
    // Mostly one.
    let several = || prop_oneof![4 => Just(1_usize), 1 => 0_usize..5];
    let class = || prop::bool::weighted(0.25);
    prop_oneof![
        20 => (several(), class()).prop_map(|(items, critical)| Op::TryGet { items, critical }),
        40 => (several(), class()).prop_map(|(items, critical)| Op::Get { items, critical }),
        10 => which().prop_map(Op::Poll),
        40 => Just(Op::Run),
        12 => which().prop_map(Op::Cancel),
        50 => which().prop_map(Op::Put),
        4 => (0_usize..1 << 16).prop_map(Op::PutWrong),
        16 => Just(Op::OthersTake),
        12 => which().prop_map(Op::OthersFree),
        4 => (0_u32..4).prop_map(Op::Prime),
        5 => Just(Op::Drain),
        8 => (1_u32..5).prop_map(Op::Limit),
        6 => (0_u32..4, 0_u32..4).prop_map(|(one, other)| Op::Water(one, other)),
        6 => (0_u32..4).prop_map(Op::Reserve),
        1 => Just(Op::Close),
    ]
}

/// How the pool is made.
#[derive(Debug, Clone)]
struct Setup {
    items_per_page: u32,
    hard_limit: u32,
    quanta: usize,
    /// None, where there are critical getters too.
    bypass: u32,
    classes: bool,
    caches: bool,
}

fn setup() -> impl Strategy<Value = Setup> {
    let sizes = (1_u32..4, 1_u32..5, 1_usize..6);
    let kinds = (0_u32..3, any::<bool>(), any::<bool>());
    (sizes, kinds).prop_map(|((items_per_page, hard_limit, quanta), (bypass, classes, caches))| {
        let bypass = if classes { 0 } else { bypass };
        Setup { items_per_page, hard_limit, quanta, bypass, classes, caches }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_raw_pool_does_as_it_must(setup in setup(), ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new(&setup);
        for op in &ops {
            world.apply(op);
            world.check();
        }
        world.end();
    }
}
