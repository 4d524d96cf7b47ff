//! The depot with the caches of a few threads, and beside it sets of what is where.

use std::collections::BTreeSet;
use std::ptr::NonNull;

use kva::bias::Bias;
use kva::sync::Weak;
use proptest::prelude::*;

use super::super::{Magazines, Retire};
use super::*;

/// Large enough for a small world of threads.
const ITEMS: usize = 256;

struct Nobody;

impl Retire for Nobody {
    fn retire(&self, _: &Owned) {}
}

fn round(number: usize) -> Round {
    Round { ptr: NonNull::without_provenance(number.try_into().unwrap()) }
}

fn register(depot: &mut Depot, items: usize) -> Option<Owned> {
    let (mut spare, mut shelves) = (None, Shelves::default());
    loop {
        match depot.register(items, &mut spare, &mut shelves) {
            Registered::Enough => return None,
            Registered::Needs(caches) => {
                spare = Some(Spare::new());
                shelves = Shelves::with_room(caches);
            }
            Registered::Cache(cache) => {
                // SAFETY: the depot gives each cache to one, until that is retired.
                return Some(unsafe { Owned::new(cache, Weak::<Nobody>::new()) });
            }
        }
    }
}

/// As many puts of one thread as it takes to see how many its cache and the depot keep.
fn keeps(depot: &mut Depot, owned: &Owned, items: usize) -> usize {
    // SAFETY: no other thread knows of it.
    (1..=ITEMS * 4).take_while(|&number| unsafe { depot.stow(owned, round(number), items) }).count()
}

#[test]
fn magazines_are_as_large_as_the_limit_and_the_caches_allow() {
    for (items, caches, rounds) in [
        (0, 1, 0),
        (7, 1, 0),
        (8, 1, 1),
        (64, 1, 8),
        (1 << 20, 1, FEW_ROUNDS),
        (64, 8, 1),
        (63, 8, 0),
        (128, 8, 2),
    ] {
        let mut depot = Depot::new(true, None, items, None);
        let all: Vec<_> = (0..caches).map_while(|_| register(&mut depot, items)).collect();
        assert_eq!(all.len() == caches, rounds > 0, "{items} items");
        if rounds > 0 {
            assert_eq!(depot.rounds(items), rounds, "{items} items, {caches} caches");
            // Doubled where the depot has none left, as far as there is room.
            let most = depot.most_rounds(items, caches);
            let kept = keeps(&mut depot, &all[0], items);
            assert!(kept >= rounds * (2 + SPARE * caches) && kept <= most * (2 + SPARE * caches));
        }
    }
}

#[test]
fn magazines_grow_where_the_lock_is_contended_as_far_as_there_is_room() {
    let large = SHARE * ROUNDS;
    for (items, most) in [(large, ROUNDS), (large * 4, ROUNDS), (large / 2, ROUNDS / 2), (64, 8)] {
        let mut depot = Depot::new(true, None, items, None);
        let owned = register(&mut depot, items).unwrap();
        let mut sizes = vec![depot.rounds(items)];
        for _ in 0..20 {
            (1..CONTENDED).for_each(|_| depot.note_contention());
            assert_eq!(Some(&depot.rounds(items)), sizes.last(), "not yet");
            depot.note_contention();
            sizes.push(depot.rounds(items));
        }
        assert!(sizes.iter().zip(&sizes[1..]).all(|(&size, &next)| next == (size * 2).min(most)));
        assert_eq!((sizes[0], sizes.last()), (FEW_ROUNDS, Some(&most)));
        assert_eq!(keeps(&mut depot, &owned, items), most * (2 + SPARE));
        // A limit that comes down takes it back.
        assert_eq!(depot.rounds(SHARE), 1);
    }
    // What was set does not change.
    let mut depot = Depot::new(true, Some(3), ITEMS, None);
    (0..100 * CONTENDED).for_each(|_| depot.note_contention());
    assert_eq!((depot.rounds(ITEMS), depot.rounds(1)), (3, 3));
}

#[test]
fn who_may_have_no_caches_has_none() {
    for (allowed, fixed, items) in [
        (false, None, ITEMS),
        (false, Some(8), ITEMS),
        (true, Some(0), ITEMS),
        (true, None, 7),
        (true, None, 0),
    ] {
        let mut depot = Depot::new(allowed, fixed, items, None);
        assert!(depot.is_scarce() && !depot.has_room(items));
        assert!(register(&mut depot, items).is_none());
        assert!((0..3 * CALM).all(|_| !depot.note_calm(items)));
        assert_eq!(depot.begin_sweep(), None);
    }
}

#[test]
fn the_phases_follow_one_another() {
    let mut depot = Depot::new(true, None, ITEMS, None);
    assert_eq!(depot.begin_sweep(), None, "where there are no caches, that is done");
    assert!(depot.is_scarce() && (1..CALM).all(|_| !depot.note_calm(ITEMS)) && depot.note_calm(ITEMS));
    let _owned = register(&mut depot, ITEMS).unwrap();
    assert!(depot.is_caching());
    for nth in 1..4 {
        assert!(!depot.note_calm(ITEMS), "it is");
        assert_eq!((depot.begin_sweep(), depot.sweeps()), (Some(nth), nth));
        // Who comes meanwhile joins.
        assert_eq!((depot.begin_sweep(), depot.sweeps()), (Some(nth), nth));
        assert!(depot.is_sweeping(nth) && !depot.is_sweeping(nth - 1) && !depot.is_sweeping(nth + 1));
        assert!(!depot.is_caching() && !depot.is_scarce());
        assert!((0..2 * CALM).all(|_| !depot.note_calm(ITEMS)), "not before that is done");
        depot.end_sweep();
        assert!(depot.is_scarce() && !depot.is_sweeping(nth));
        assert_eq!((depot.begin_sweep(), depot.sweeps()), (None, nth), "there is nothing");
        // In a row.
        assert!((1..CALM).all(|_| !depot.note_calm(ITEMS)));
        depot.note_wait();
        assert!((1..CALM).all(|_| !depot.note_calm(ITEMS)));
        assert!(depot.note_calm(ITEMS) && depot.is_caching());
    }
    // Where the limit allows none any more, it looks again after as many.
    let _ = depot.begin_sweep();
    depot.end_sweep();
    assert!((0..3 * CALM).all(|_| !depot.note_calm(1)));
    assert!((1..CALM).all(|_| !depot.note_calm(ITEMS)));
    assert!(depot.note_calm(ITEMS));
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Get(usize),
    Put(usize),
    GetLocked(usize),
    PutLocked(usize),
    Retire(usize),
    Sweep,
    Resize(usize),
    Contention,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0_usize..4).prop_map(Move::Get),
        4 => (0_usize..4).prop_map(Move::Put),
        8 => (0_usize..4).prop_map(Move::GetLocked),
        12 => (0_usize..4).prop_map(Move::PutLocked),
        1 => (0_usize..4).prop_map(Move::Retire),
        1 => Just(Move::Sweep),
        1 => (1_usize..300).prop_map(Move::Resize),
        1 => Just(Move::Contention),
    ];
    prop::collection::vec(one, 1..200)
}

/// Four threads, one after the other, and a set of what is cached.
struct World {
    depot: Depot,
    bias: Bias,
    owners: [Option<Owned>; 4],
    items: usize,
    cached: BTreeSet<usize>,
    gets: u64,
    puts: u64,
    /// Numbers of rounds that were not cached before.
    next: usize,
}

impl World {
    fn new(fixed: Option<usize>) -> Self {
        Self {
            depot: Depot::new(true, fixed, ITEMS, None),
            bias: Bias::new(),
            owners: [const { None }; 4],
            items: ITEMS,
            cached: BTreeSet::new(),
            gets: 0,
            puts: 0,
            next: 1,
        }
    }

    fn got(&mut self, round: Option<Round>) {
        if let Some(round) = round {
            assert!(self.cached.remove(&round.ptr.addr().get()), "it was not there, or twice");
            self.gets += 1;
        }
    }

    fn put(&mut self, number: usize, done: bool) {
        if done {
            assert!(self.cached.insert(number));
            self.puts += 1;
            self.next += 1;
        }
    }

    /// Out of caches otherwise than by a get.
    fn moved_out(&mut self, round: Round) {
        self.depot.note_moved_out();
        assert!(self.cached.remove(&round.ptr.addr().get()));
    }

    fn owner(&mut self, at: usize) -> Option<Owned> {
        self.owners[at].take().or_else(|| register(&mut self.depot, self.items))
    }

    fn empty_the_depot(&mut self) {
        while let Some(round) = self.depot.pop() {
            assert!(self.cached.remove(&round.ptr.addr().get()), "it was in the depot");
        }
    }

    fn act(&mut self, step: Move) {
        match step {
            Move::Get(at) | Move::Put(at) | Move::GetLocked(at) | Move::PutLocked(at) => {
                let Some(owned) = self.owner(at) else { return };
                let number = self.next;
                match step {
                    Move::Get(_) => {
                        let round = owned.take(&self.bias);
                        self.got(round);
                    }
                    Move::Put(_) => {
                        let done = owned.put(&self.bias, round(number));
                        self.put(number, done);
                    }
                    Move::GetLocked(_) => {
                        // SAFETY: no other thread knows of it.
                        let round = unsafe { self.depot.load(&owned, self.items) };
                        if round.is_some() {
                            owned.count_get();
                        }
                        self.got(round);
                    }
                    _ => {
                        // SAFETY: as above.
                        let done = unsafe { self.depot.stow(&owned, round(number), self.items) };
                        if done {
                            owned.count_put();
                        }
                        self.put(number, done);
                    }
                }
                self.owners[at] = Some(owned);
            }
            Move::Retire(at) => {
                let Some(owned) = self.owners[at].take() else { return };
                // SAFETY: as above.
                while let Some(round) = unsafe { owned.locked(Magazines::pop) } {
                    self.moved_out(round);
                }
                self.depot.retire(&owned);
            }
            Move::Sweep => {
                self.empty_the_depot();
                let mut at = 0;
                while let Some(cache) = self.depot.cache(at).cloned() {
                    // SAFETY: as above.
                    while let Some(round) = unsafe { cache.swept(Magazines::pop) }.flatten() {
                        self.moved_out(round);
                    }
                    at += 1;
                }
                assert!(self.cached.is_empty(), "it found all");
            }
            Move::Resize(items) => self.items = items,
            Move::Contention => self.depot.note_contention(),
        }
    }
}

proptest! {
    #[test]
    fn the_counts_are_those_of_a_set(fixed in prop::option::of(1_usize..80), steps in moves()) {
        let mut world = World::new(fixed);
        for step in steps {
            world.act(step);
            prop_assert_eq!(world.depot.counts(), (world.gets, world.puts, world.cached.len()));
        }
        world.act(Move::Sweep);
        prop_assert_eq!(world.depot.counts().2, 0);
    }
}
