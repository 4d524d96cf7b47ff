//! All of an arena's operations at random, on several threads, beside laws that hold meanwhile
//! and at the end.

#![cfg(not(loom))]

mod support;

use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{
    AllocError, Arena, Client, Fit, Heir, Placement, Reclaim, Region, Relocate, Relocation, Shape, Shortage,
    Span,
};
use support::{Asker, CloseOnPanic, Random, assert_rests, register};

const QUANTA: u32 = 48;
/// What is added meanwhile.
const MORE: u32 = 16;
const THREADS: u32 = 4;
const NOBODY: u32 = 0;

/// Who has which quantum, as those say who have them: two who have the same see it.
struct Owners(Vec<AtomicU32>);

impl Owners {
    fn take(&self, span: Span, who: u32) {
        for quantum in span.range() {
            let before = self.0[quantum as usize].swap(who, SeqCst);
            assert_eq!(before, NOBODY, "{span:?} is another's");
        }
    }

    fn give(&self, span: Span, who: u32) {
        for quantum in span.range() {
            let before = self.0[quantum as usize].swap(NOBODY, SeqCst);
            assert_eq!(before, who, "{span:?} was another's");
        }
    }
}

/// What can be given up or moved, whoever put it here. Its quanta are marked as its own.
struct Shelf {
    arena: Arena,
    owners: Arc<Owners>,
    who: u32,
    spans: Mutex<Vec<Span>>,
    moved: AtomicU32,
    given: AtomicU32,
}

impl Shelf {
    fn put(&self, span: Span) {
        self.owners.take(span, self.who);
        self.spans.lock().push(span);
    }

    fn free(&self, span: Span) {
        self.owners.give(span, self.who);
        self.arena.free(span).unwrap();
    }

    fn free_one(&self) {
        let span = self.spans.lock().pop();
        if let Some(span) = span {
            self.free(span);
        }
    }
}

impl Reclaim for Shelf {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let of_use: Vec<_> = self.spans.lock().extract_if(.., |span| shortage.is_within(*span)).collect();
        for span in of_use {
            self.given.fetch_add(1, SeqCst);
            self.free(span);
        }
        if !shortage.is_over() && shortage.window().is_none() {
            self.free_one();
        }
    }
}

impl Relocate for Shelf {
    fn relocate(&self, from: Span, to: Span) -> Relocation {
        assert_eq!(from.len(), to.len());
        let mut spans = self.spans.lock();
        let Some(entry) = spans.iter_mut().find(|entry| **entry == from) else {
            return Relocation::Later;
        };
        self.owners.give(from, self.who);
        self.owners.take(to, self.who);
        *entry = to;
        drop(spans);
        self.moved.fetch_add(1, SeqCst);
        Relocation::Moved
    }
}

fn placement(random: &mut Random) -> Placement {
    let align = 1 << random.below(4);
    let shape = Shape::aligned(1 + random.below(8), align).unwrap();
    let placement = Placement::from(shape);
    match random.below(6) {
        0 => placement.phase(random.below(align)).unwrap(),
        1 => placement.nocross(8).unwrap(),
        2 => placement.within(8..40).unwrap(),
        3 => placement.fit(Fit::Best),
        _ => placement,
    }
}

struct World {
    arena: Arena,
    lent: Arena,
    movable: Arena,
    owners: Arc<Owners>,
    spare: Arc<Shelf>,
    moves: Arc<Shelf>,
}

/// What its requests end with is left to the caller: it may come from another thread.
fn run(world: &World, who: u32, seed: u64, rounds: u32) -> Asker {
    let World { arena, lent, movable, owners, spare, moves } = world;
    let mut random = Random::new(seed);
    let mut held: Vec<Span> = Vec::new();
    let asker = Asker::new(4);
    let mut asked = [None; 4];
    for _ in 0..rounds {
        for end in asker.ends() {
            let span = end.unwrap();
            owners.take(span, who);
            held.push(span);
        }
        let wanted = placement(&mut random);
        let client = [arena, arena, lent][random.below(3) as usize];
        let took = match random.below(10) {
            0..3 => client.try_alloc(wanted).ok(),
            3 => client.alloc_timeout(wanted, Duration::from_micros(u64::from(random.below(30)))).ok(),
            4 => {
                let start = random.below(QUANTA);
                client.try_alloc_at(start..start + 1 + random.below(4)).ok()
            }
            5 => {
                let slot = random.below(4);
                if let Some(id) = asked[slot as usize].take() {
                    asker.withdraw(arena, id);
                }
                // Its slot is free: it was withdrawn, or had its end.
                asked[slot as usize] = Some(asker.ask(client, slot, wanted));
                None
            }
            6 => {
                if let Ok(span) = movable.try_alloc(Shape::new(1 + random.below(3)).unwrap()) {
                    moves.put(span);
                }
                None
            }
            7 => {
                if random.below(2) == 0 {
                    moves.free_one();
                } else {
                    arena.reap();
                }
                None
            }
            8 => {
                let stats = arena.stats();
                assert!(stats.free + stats.withheld <= stats.quanta, "{stats:?}");
                assert!(lent.used() <= 12, "more than it is lent");
                None
            }
            _ => None,
        };
        if let Some(span) = took {
            owners.take(span, who);
            held.push(span);
        }
        if !held.is_empty() && (held.len() > 4 || random.below(3) == 0) {
            let at = random.below(held.len() as u32);
            let span = held.swap_remove(at as usize);
            owners.give(span, who);
            match random.below(4) {
                0 => {
                    spare.put(span);
                    arena.reap();
                }
                1 if asked[0].is_some() => {
                    let claim = kva::Claim::new(&asker.table, asked[0].unwrap());
                    if arena.free_to(claim, span).unwrap() == Heir::Gone {
                        arena.free(span).unwrap();
                    }
                }
                2 => {
                    if !arena.yield_to_older(span, arena.clock().now()).unwrap() {
                        arena.free(span).unwrap();
                    }
                }
                _ => arena.free(span).unwrap(),
            }
        }
    }
    for id in asked.into_iter().flatten() {
        asker.withdraw(arena, id);
    }
    for span in held {
        owners.give(span, who);
        arena.free(span).unwrap();
    }
    asker
}

fn soak(seed: u64, bypass: u32, rounds: u32) -> (u32, u32) {
    let arena = support::with_bypass(QUANTA, bypass);
    let owners = Arc::new(Owners((0..QUANTA + MORE).map(|_| AtomicU32::new(NOBODY)).collect()));
    let shelf = |who| {
        Arc::new(Shelf {
            arena: arena.clone(),
            owners: owners.clone(),
            who,
            spans: Mutex::default(),
            moved: AtomicU32::new(0),
            given: AtomicU32::new(0),
        })
    };
    let (spare, moves) = (shelf(100), shelf(101));
    register(&arena, &spare);
    let relocate = Arc::downgrade(&moves) as _;
    let movable = arena.client(Client::new("movable").quota(16).relocate(relocate)).unwrap();
    let lent = arena.client(Client::new("lent").quota(12)).unwrap();
    let world = World { arena, lent, movable, owners, spare, moves };
    let askers = thread::scope(|scope| {
        let _close = CloseOnPanic(&world.arena);
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let world = &world;
                scope.spawn(move || run(world, 1 + thread, seed * 100 + u64::from(thread), rounds))
            })
            .collect();
        world.arena.add_region(Region::numbers(MORE)).unwrap();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for asker in askers {
        support::free_all(&world.arena, asker.granted());
    }
    let World { arena, lent, movable, owners, spare, moves } = world;
    let of_moves: u32 = moves.spans.lock().iter().map(|span| span.len()).sum();
    assert_eq!(movable.used(), of_moves);
    let of_spare: u32 = spare.spans.lock().iter().map(|span| span.len()).sum();
    assert_eq!(arena.used() + lent.used(), of_spare);
    let stats = arena.stats();
    assert_eq!(stats.free + of_moves + of_spare, stats.quanta, "{stats:?}");
    for shelf in [&spare, &moves] {
        while !shelf.spans.lock().is_empty() {
            shelf.free_one();
        }
    }
    assert!(owners.0.iter().all(|owner| owner.load(SeqCst) == NOBODY));
    assert_rests(&arena, 2);
    assert_eq!(arena.try_alloc(Shape::new(QUANTA + 1).unwrap()).map(drop), {
        Err(AllocError::TooLarge { shape: Shape::new(QUANTA + 1).unwrap(), quanta: QUANTA + MORE })
    });
    (moves.moved.load(SeqCst), spare.given.load(SeqCst))
}

#[test]
fn everything_at_random() {
    let rounds = if cfg!(debug_assertions) { 2_000 } else { 20_000 };
    let (mut moved, mut given) = (0, 0);
    for (seed, bypass) in [(1, 0), (2, 1), (3, 8), (4, Arena::DEFAULT_BYPASS), (5, 2), (6, 0)] {
        let (moves, gives) = soak(seed, bypass, rounds);
        (moved, given) = (moved + moves, given + gives);
    }
    assert!(moved > 0 && given > 0, "moved {moved}, given up {given}");
}
