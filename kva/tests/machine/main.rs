//! A state machine of an arena through its public interface, on one thread: spans taken and freed, also to
//! a claim or to an older request; tasks and tokens in one line; clients with quotas; a hook that has a
//! stash; regions that are added; the close. Beside it: who has each quantum, and who waits for what. What
//! has to come of an operation is compared; where more than one outcome is right, it is judged.

#![cfg(not(loom))]

#[path = "../support/mod.rs"]
mod support;

mod asks;
mod check;
mod hook;
mod naive;
mod world;

use kva::Shape;
use proptest::prelude::*;
use proptest::sample::Index;

use world::World;

/// What is done. Those that are told which of several say it by an index.
#[derive(Debug, Clone)]
enum Op {
    TryAlloc(Wanted),
    TryAllocAt(Index, u32),
    /// A task begins to wait.
    Alloc(Wanted),
    /// A token is reserved, and asked with now or later.
    Ask(Wanted),
    Reserve(Wanted),
    AskReserved(Index),
    Cancel(Index),
    Free(Index),
    FreeTo(Index, Index),
    YieldToOlder(Index),
    FreeAgain(Index),
    /// A span becomes the hook's.
    Stash(Index),
    AddRegion(u32),
    Close,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    shape: Shape,
    client: usize,
}

/// The longest span that is asked for.
const LONGEST: u32 = 4;

fn wanted() -> impl Strategy<Value = Wanted> {
    (1..=LONGEST, 0_u32..3, 0_usize..3)
        .prop_map(|(len, log, client)| Wanted { shape: Shape::aligned(len, 1 << log).unwrap(), client })
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<Index>;
    prop_oneof![
        30 => wanted().prop_map(Op::TryAlloc),
        4 => (which(), 1_u32..4).prop_map(|(start, len)| Op::TryAllocAt(start, len)),
        20 => wanted().prop_map(Op::Alloc),
        12 => wanted().prop_map(Op::Ask),
        6 => wanted().prop_map(Op::Reserve),
        6 => which().prop_map(Op::AskReserved),
        8 => which().prop_map(Op::Cancel),
        40 => which().prop_map(Op::Free),
        10 => (which(), which()).prop_map(|(span, claim)| Op::FreeTo(span, claim)),
        8 => which().prop_map(Op::YieldToOlder),
        2 => which().prop_map(Op::FreeAgain),
        6 => which().prop_map(Op::Stash),
        1 => (1_u32..9).prop_map(Op::AddRegion),
        1 => Just(Op::Close),
    ]
}

/// How the arena is made.
#[derive(Debug, Clone)]
struct Setup {
    quanta: u32,
    /// Of two clients.
    quotas: [u32; 2],
    bypass: u32,
}

/// As if there were none.
const NO_LIMIT: u32 = 1_000;

fn setup() -> impl Strategy<Value = Setup> {
    let bypass = prop_oneof![Just(0), Just(1), Just(NO_LIMIT)];
    (4_u32..13, [1_u32..5, 2..9], bypass).prop_map(|(quanta, quotas, bypass)| Setup {
        quanta,
        quotas,
        bypass,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_arena_does_as_it_must(setup in setup(), ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new(&setup);
        for op in &ops {
            world.apply(op);
        }
        world.end();
    }
}
