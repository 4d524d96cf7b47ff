//! An arena without a pool: requests of all sizes, of clients with quotas, with and without deadlines;
//! and who holds what it does not need, until it is told that somebody is short.

use kva::sync::{Arc, Mutex};
use kva::{AllocError, Arena, Client, GrowTable, Reclaim, Shortage, Span};
use loom_tests::naive_arena::{Flaw, NaiveArena, Quanta, Real, take_all};
use loom_tests::run::{Witness, known_bad, witnessed};
use loom_tests::world::{aligned, assert_arena_whole, numbers, one, shape};

use crate::dice::{IN_TIME, below, one_in, one_of, pause};
use crate::holders::{join_all, threads};

const QUANTA: u32 = 16;
const QUOTA: u32 = 6;
const THREADS: usize = 14;

/// Keeps what others have done with, of one handle.
struct Keeper {
    arena: Arena,
    idle: Mutex<Vec<Span>>,
    flaw: Option<KeeperFlaw>,
}

#[derive(Clone, Copy, PartialEq)]
enum KeeperFlaw {
    /// It gives up nothing when it is told.
    Deaf,
    /// What it comes to keep while somebody is short, it does not ask to be told of again.
    Quiet,
}

impl Keeper {
    fn new(arena: Arena, flaw: Option<KeeperFlaw>) -> Arc<Self> {
        let keeper = Arc::new(Self { arena, idle: Mutex::default(), flaw });
        keeper.arena.register(&GrowTable::new(0), Arc::downgrade(&keeper) as _);
        keeper
    }

    fn keep(&self, span: Span) {
        self.idle.lock().push(span);
        if self.flaw != Some(KeeperFlaw::Quiet) {
            self.arena.reap();
        }
    }

    fn give_up(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        for span in idle {
            self.arena.free(span).unwrap();
        }
    }
}

impl Reclaim for Keeper {
    fn reclaim(&self, _: &Shortage<'_>) {
        if self.flaw != Some(KeeperFlaw::Deaf) {
            self.give_up();
        }
    }
}

fn crowd(flaw: Option<KeeperFlaw>, overtaken: &Witness) {
    let arena = numbers(QUANTA, 1);
    let poor = arena.client(Client::new("poor").quota(QUOTA)).unwrap();
    let keepers = [arena.clone(), poor].map(|arena| Keeper::new(arena, flaw));
    join_all(threads(THREADS, {
        let keepers = keepers.clone();
        move |_| {
            for _ in 0..3 {
                let keeper = one_of(&keepers);
                let wanted = *one_of(&[one(), shape(3), aligned(2), aligned(4)]);
                let span = match below(4) {
                    0 => keeper.arena.try_alloc(wanted),
                    1 => keeper.arena.alloc_timeout(wanted, IN_TIME),
                    _ => keeper.arena.alloc(wanted),
                };
                pause();
                match span {
                    Ok(span) if one_in(3) => keeper.keep(span),
                    Ok(span) => keeper.arena.free(span).unwrap(),
                    Err(error) => {
                        let is_expected = matches!(error, AllocError::Scarce | AllocError::TimedOut);
                        assert!(is_expected, "{error:?}");
                    }
                }
            }
        }
    }));
    for keeper in &keepers {
        keeper.give_up();
    }
    overtaken.saw(arena.stats().most_overtaken > 0);
    assert_arena_whole(&arena);
}

#[test]
fn requests_of_all_sizes() {
    witnessed("large/spans", "somebody was overtaken", |overtaken| crowd(None, overtaken));
}

#[test]
fn a_keeper_that_does_not_listen() {
    known_bad("large/spans/keeps_idle", "deadlock", || crowd(Some(KeeperFlaw::Deaf), &Witness::default()));
}

#[test]
fn a_keeper_that_does_not_ask_again() {
    known_bad("large/spans/owes_nothing", "deadlock", || crowd(Some(KeeperFlaw::Quiet), &Witness::default()));
}

/// The head wants four of twelve. Each quantum is freed once, while thieves take single ones, and
/// each keeps one in the end.
fn thieves<Q: Quanta>(quanta: Q, robbed: &Witness) {
    let quanta = Arc::new(quanta);
    let all = take_all(&*quanta);
    quanta.wait_for(4);
    let stolen = Arc::new(Mutex::new(Vec::new()));
    let thieves: Vec<_> = threads(8, {
        let (quanta, stolen) = (quanta.clone(), stolen.clone());
        move |_| {
            for _ in 0..2 {
                if let Some(brief) = quanta.take_one() {
                    quanta.free(brief);
                }
            }
            stolen.lock().extend(quanta.take_one());
        }
    })
    .collect();
    for quantum in all {
        quanta.free(quantum);
    }
    join_all(thieves);
    assert!(quanta.is_served(), "starved, although each quantum was freed");
    let stolen = std::mem::take(&mut *stolen.lock());
    robbed.saw(stolen.len() > 4);
    for quantum in stolen {
        quanta.free(quantum);
    }
    quanta.end();
}

#[test]
fn thieves_cannot_starve_the_head() {
    witnessed("large/thieves", "half of the rest was stolen", |robbed| thieves(Real::new(12, 2), robbed));
}

#[test]
fn without_a_window_thieves_starve_it() {
    known_bad("large/thieves/no_window", "starved", || {
        thieves(NaiveArena::new(Flaw::NoWindow, 12), &Witness::default());
    });
}
