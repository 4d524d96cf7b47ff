//! The first request that its quota allows never waits while a place for it is idle: whatever was
//! taken, freed, asked for and withdrawn before, and wherever hooks have aimed the window.
//!
//! The oracle knows who holds what and who waits, in which order, and nothing of windows, bypass and
//! what is withheld. After each operation it looks at every place that the first request could be in,
//! and finds a busy quantum there.

#![cfg(not(loom))]

mod support;

use std::fmt;
use std::ops::Range;

use kva::sync::atomic::{AtomicU32, Ordering::Relaxed};
use kva::sync::{Arc, Mutex};
use kva::{Arena, Client, GrowId, Placement, Reclaim, Region, Shape, Shortage, Span};
use support::{Asker, Random, assert_rests, free_all, register, shape, with_bypass};

const SEEDS: u64 = 500;
const OPERATIONS: u32 = 400;
/// At once, so that they are granted now and then.
const WAITING: usize = 10;

/// A request that has no answer yet.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    id: GrowId,
    client: usize,
    wants: Wants,
}

/// A placement, to be read by the oracle.
#[derive(Debug, Clone, Copy)]
struct Wants {
    len: u32,
    align: u32,
    phase: u32,
    /// A multiple of it may not be inside; 0: all may.
    nocross: u32,
    min: u32,
    max: u32,
}

impl Wants {
    fn random(random: &mut Random, quanta: u32) -> Self {
        let (len, align) = (1 + random.below(70), 1 << random.below(4));
        let phase = if random.below(4) == 0 { random.below(align) } else { 0 };
        let nocross = if random.below(4) == 0 { len.next_power_of_two() << random.below(2) } else { 0 };
        let all = Self { len, align, phase, nocross, min: 0, max: u32::MAX };
        if random.below(4) == 0 && quanta > len {
            let min = random.below(quanta - len);
            Self { min, max: min + len + random.below(quanta - len - min + 1), ..all }
        } else {
            all
        }
    }

    fn placement(&self) -> Placement {
        let placement = Placement::from(Shape::aligned(self.len, self.align).unwrap());
        let placement = placement.phase(self.phase).unwrap().within(self.min..self.max).unwrap();
        if self.nocross == 0 { placement } else { placement.nocross(self.nocross).unwrap() }
    }

    /// Every place for it within a region of numbers, whose positions start at 0.
    fn places(self, region: Range<u32>) -> impl Iterator<Item = Range<u32>> {
        let suits = move |at: u32| {
            let (first, last) = (at - region.start, at - region.start + self.len - 1);
            first % self.align == self.phase
                && (self.nocross == 0 || first / self.nocross == last / self.nocross)
        };
        let end = region.end.min(self.max);
        let starts = region.start.max(self.min)..(end + 1).saturating_sub(self.len);
        starts.filter(move |&at| suits(at)).map(move |at| at..at + self.len)
    }
}

/// Moves the window to anywhere, whenever it is told of one.
struct Aims {
    random: Mutex<Random>,
    quanta: u32,
    moved: Arc<AtomicU32>,
}

impl Reclaim for Aims {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let at = self.random.lock().below(self.quanta);
        self.moved.fetch_add(u32::from(shortage.aim(at)), Relaxed);
    }
}

struct World {
    random: Random,
    /// By client; the first is nobody's, and has no quota.
    handles: [Arena; 2],
    quotas: [u32; 2],
    regions: Vec<Range<u32>>,
    asker: Asker,
    asked: u32,
    held: Vec<(usize, Span)>,
    /// Oldest first.
    waiting: Vec<Waiting>,
    granted: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let bypass = [0, 1, u32::MAX, u32::MAX][random.below(4) as usize];
        let first = 40 + random.below(160);
        let arena = with_bypass(first, bypass);
        let more = (0..random.below(3)).map(|_| arena.add_region(Region::numbers(40 + random.below(160))));
        let regions = std::iter::once(0..first).chain(more.map(Result::unwrap)).collect();
        let quota = 30 + random.below(100);
        let client = arena.client(Client::new("quota").quota(quota)).unwrap();
        Self {
            random,
            handles: [arena, client],
            quotas: [u32::MAX, quota],
            regions,
            asker: Asker::new(OPERATIONS),
            asked: 0,
            held: Vec::new(),
            waiting: Vec::new(),
            granted: 0,
        }
    }

    fn arena(&self) -> &Arena {
        &self.handles[0]
    }

    fn has(&self, client: usize) -> u32 {
        self.held.iter().filter(|(whose, _)| *whose == client).map(|(_, span)| span.len()).sum()
    }

    fn step(&mut self) {
        let client = self.random.below(2) as usize;
        match self.random.below(20) {
            0..8 => {
                let len = if self.random.below(2) == 0 { 1 } else { 1 + self.random.below(4) };
                self.held.extend(self.handles[client].try_alloc(shape(len)).map(|span| (client, span)));
            }
            8..15 if !self.held.is_empty() => {
                let at = self.random.below(self.held.len() as u32);
                let (_, span) = self.held.swap_remove(at as usize);
                self.arena().free(span).unwrap();
            }
            15 if !self.waiting.is_empty() => {
                let at = self.random.below(self.waiting.len() as u32);
                let gone = self.waiting.remove(at as usize);
                self.asker.withdraw(self.arena(), gone.id);
            }
            16.. if self.waiting.len() < WAITING => {
                let quanta = self.arena().quanta();
                let wants = Wants::random(&mut self.random, quanta);
                let id = self.asker.ask(&self.handles[client], self.asked, wants.placement());
                self.asked += 1;
                self.waiting.push(Waiting { id, client, wants });
            }
            _ => {}
        }
        self.note_ends();
    }

    /// Those that have their answers do not wait any more.
    fn note_ends(&mut self) {
        for (id, end) in self.asker.ends_by_id() {
            let at = self.waiting.iter().position(|waiting| waiting.id == id);
            let Waiting { client, wants, .. } = self.waiting.remove(at.expect("it was not withdrawn"));
            // Refused: it was too large, and told so at once.
            if let Ok(span) = end {
                let is_a_place =
                    |region: &Range<u32>| wants.places(region.clone()).any(|at| at == span.range());
                assert!(self.regions.iter().any(is_a_place), "{span:?} is not what was wanted: {wants:?}");
                self.held.push((client, span));
                self.granted += 1;
            }
        }
    }

    /// The oracle.
    fn check(&self, when: fmt::Arguments<'_>) {
        let mut busy = vec![false; self.arena().quanta() as usize];
        for quantum in self.held.iter().flat_map(|(_, span)| span.range()) {
            assert!(!std::mem::replace(&mut busy[quantum as usize], true), "{quantum} is held twice: {when}");
        }
        let left = [0, 1].map(|client| self.quotas[client].checked_sub(self.has(client)).expect("its quota"));
        let first = self.waiting.iter().find(|waiting| waiting.wants.len <= left[waiting.client]);
        let Some(Waiting { wants, .. }) = first else { return };
        let mut places = self.regions.iter().flat_map(|region| wants.places(region.clone()));
        let idle = places.find(|place| !busy[place.start as usize..place.end as usize].contains(&true));
        assert_eq!(idle, None, "is idle, and {first:?} waits: {when}, {:?}", self.arena().stats());
    }

    fn end(mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.asker.withdraw(&self.handles[0], waiting.id);
            free_all(&self.handles[0], self.asker.granted());
        }
        let regions = self.regions.len() as u32;
        free_all(&self.handles[0], self.held.drain(..).map(|(_, span)| span));
        assert_rests(&self.handles[0], regions);
    }
}

/// How often anybody was granted what it had waited for.
fn run(seed: u64, prepare: impl Fn(&Arena) -> Vec<Arc<Aims>>) -> u32 {
    let mut world = World::new(seed);
    let _hooks = prepare(world.arena());
    for operation in 0..OPERATIONS {
        world.step();
        world.check(format_args!("seed {seed}, operation {operation}"));
    }
    let granted = world.granted;
    world.end();
    granted
}

#[test]
fn the_first_never_waits_for_what_is_idle() {
    let granted: u32 = (0..SEEDS).map(|seed| run(seed, |_| Vec::new())).sum();
    assert!(granted > 10 * SEEDS as u32, "{granted} in all: hardly anybody waited for anything");
}

/// Two of them, of which one has its way for each request.
#[test]
fn the_first_never_waits_for_what_is_idle_wherever_hooks_aim() {
    let moved = Arc::new(AtomicU32::new(0));
    let hooks = |arena: &Arena| {
        let aims = |seed| {
            let (random, quanta) = (Mutex::new(Random::new(seed)), arena.quanta());
            let hook = Arc::new(Aims { random, quanta, moved: moved.clone() });
            register(arena, &hook);
            hook
        };
        vec![aims(0), aims(1)]
    };
    let granted: u32 = (0..SEEDS).map(|seed| run(seed, hooks)).sum();
    assert!(granted > 10 * SEEDS as u32, "{granted} in all: hardly anybody waited for anything");
    assert!(moved.load(Relaxed) > 5 * SEEDS as u32, "{moved:?}: hardly any window was moved");
}
