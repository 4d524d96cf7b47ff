//! Who is told that somebody is short: after the request is queued, in its shape, by one thread
//! at a time, and once more if it was owed another call meanwhile.

use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kva::sync::thread::{spawn, yield_now};
use kva::sync::{Arc, Mutex};
use kva::{Arena, GrowTable, Reclaim, Shortage, Span};
use loom_tests::asking::Asker;
use loom_tests::run::{known_bad, model, witnessed};
use loom_tests::world::{aligned, assert_arena_whole, numbers, one, take_each};

/// Holds spans without need, and gives up one a call.
struct Keeper {
    arena: Arena,
    idle: Mutex<Vec<Span>>,
}

impl Keeper {
    fn new(arena: &Arena, idle: Vec<Span>) -> Arc<Self> {
        Arc::new(Self { arena: arena.clone(), idle: Mutex::new(idle) })
    }

    fn give_up(&self) {
        let span = self.idle.lock().pop();
        if let Some(span) = span {
            self.arena.free(span).unwrap();
        }
    }

    fn put(&self, span: Span) {
        self.idle.lock().push(span);
    }
}

impl Reclaim for Keeper {
    fn reclaim(&self, _: &Shortage<'_>) {
        self.give_up();
    }
}

fn register(hook: &Arc<impl Reclaim + 'static>, arena: &Arena) {
    arena.register(&GrowTable::new(0), Arc::downgrade(hook) as _);
}

/// How a keeper is told, where the arena does not do it.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    ByTheArena,
    /// Before the request is queued.
    Before,
    /// Unless it is being told just now.
    UnlessRunning,
    /// By everybody.
    ByAll,
}

/// A keeper, and a way to ask that tells it.
#[derive(Clone)]
struct Teller {
    arena: Arena,
    told: Told,
    hook: Arc<dyn Fn() + Send + Sync>,
    running: Arc<Mutex<bool>>,
}

impl Teller {
    fn tell(&self) {
        if self.told == Told::UnlessRunning {
            if std::mem::replace(&mut *self.running.lock(), true) {
                return;
            }
            (self.hook)();
            *self.running.lock() = false;
        } else {
            (self.hook)();
        }
    }

    fn ask(&self, asker: &Asker, slot: u32) {
        if self.told == Told::Before {
            self.tell();
        }
        asker.ask(&self.arena, slot, one());
        if matches!(self.told, Told::UnlessRunning | Told::ByAll) {
            self.tell();
        }
    }

    /// Something is idle that was not.
    fn idles(&self) {
        if self.told == Told::ByTheArena {
            self.arena.reap();
        } else if self.arena.stats().waiting > 0 {
            self.tell();
        }
    }
}

/// What a keeper holds becomes idle while somebody asks: either the request finds it so, or who
/// makes it idle finds the request.
fn against_request(told: Told) {
    let arena = numbers(1, 0);
    let span = arena.try_alloc(one()).unwrap();
    let keeper = Keeper::new(&arena, vec![]);
    if told == Told::ByTheArena {
        register(&keeper, &arena);
    }
    let hook = keeper.clone();
    let teller = Teller {
        arena: arena.clone(),
        told,
        hook: Arc::new(move || hook.give_up()),
        running: Arc::default(),
    };
    let owner = {
        let (keeper, teller) = (keeper.clone(), teller.clone());
        spawn(move || {
            keeper.put(span);
            teller.idles();
        })
    };
    let asker = Asker::new(1);
    teller.ask(&asker, 0);
    owner.join().unwrap();
    assert_eq!(asker.granted(), 1, "a span lies idle beside a request");
    asker.free_all(&arena);
    assert_arena_whole(&arena);
}

#[test]
fn a_hook_that_is_just_looking() {
    model("reclaim/against_request", || against_request(Told::ByTheArena));
}

#[test]
fn a_hook_that_is_told_before_anybody_waits() {
    known_bad("reclaim/told_before", "a span lies idle", || against_request(Told::Before));
}

#[test]
fn a_hook_that_is_just_looking_and_owed_nothing() {
    known_bad("reclaim/owes_nothing", "a span lies idle", || against_request(Told::UnlessRunning));
}

/// Two ask, and the keeper gives up one span a call: it has both calls, whoever makes them.
fn two_requests(told: Told) {
    let arena = numbers(2, 0);
    let keeper = Keeper::new(&arena, take_each(&arena));
    if told == Told::ByTheArena {
        register(&keeper, &arena);
    }
    let hook = keeper.clone();
    let teller = Teller {
        arena: arena.clone(),
        told,
        hook: Arc::new(move || hook.give_up()),
        running: Arc::default(),
    };
    let asker = Asker::new(2);
    let other = {
        let (teller, asker) = (teller.clone(), asker.clone());
        spawn(move || teller.ask(&asker, 1))
    };
    teller.ask(&asker, 0);
    other.join().unwrap();
    assert_eq!(asker.granted(), 2, "a span lies idle beside a request");
    asker.free_all(&arena);
    assert_arena_whole(&arena);
}

#[test]
fn a_call_that_is_owed_while_the_hook_runs() {
    model("reclaim/owed_while_it_runs", || two_requests(Told::ByTheArena));
}

#[test]
fn a_call_that_is_skipped_while_the_hook_runs() {
    known_bad("reclaim/skips_who_runs", "a span lies idle", || two_requests(Told::UnlessRunning));
}

/// A hook that sees whether it is called while it runs.
#[derive(Default)]
struct Alone {
    inside: AtomicBool,
    calls: Mutex<u32>,
}

impl Alone {
    fn enter(&self) {
        assert!(!self.inside.swap(true, Relaxed), "called twice at once");
        *self.calls.lock() += 1;
        yield_now();
        self.inside.store(false, Relaxed);
    }
}

impl Reclaim for Alone {
    fn reclaim(&self, _: &Shortage<'_>) {
        self.enter();
    }
}

fn twice_at_once(told: Told) -> u32 {
    let arena = numbers(1, 0);
    let span = arena.try_alloc(one()).unwrap();
    let alone = Arc::new(Alone::default());
    if told == Told::ByTheArena {
        register(&alone, &arena);
    }
    let hook = alone.clone();
    let teller =
        Teller { arena: arena.clone(), told, hook: Arc::new(move || hook.enter()), running: Arc::default() };
    let asker = Asker::new(2);
    let other = {
        let (teller, asker) = (teller.clone(), asker.clone());
        spawn(move || teller.ask(&asker, 1))
    };
    teller.ask(&asker, 0);
    other.join().unwrap();
    arena.free(span).unwrap();
    asker.free_all(&arena);
    asker.free_all(&arena);
    assert_arena_whole(&arena);
    let calls = *alone.calls.lock();
    assert!(calls > 0, "nobody was told");
    calls
}

#[test]
fn a_hook_is_called_once_at_a_time() {
    witnessed("reclaim/never_twice_at_once", "called for each", |each| {
        each.saw(twice_at_once(Told::ByTheArena) == 2);
    });
}

#[test]
fn a_hook_that_everybody_calls() {
    known_bad("reclaim/called_by_all", "called twice at once", || {
        twice_at_once(Told::ByAll);
    });
}

/// Gives up as many quanta as are short, the oldest first: the page daemon of the ARM pmap's
/// story.
struct ByCount(Keeper);

impl Reclaim for ByCount {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let Self(Keeper { arena, idle }) = self;
        loop {
            let stats = arena.stats();
            if stats.free + stats.withheld >= shortage.shape().len() {
                return; // there is enough
            }
            let mut idle = idle.lock();
            if idle.is_empty() {
                return;
            }
            let oldest = idle.remove(0);
            drop(idle);
            arena.free(oldest).unwrap();
        }
    }
}

/// Gives up what is in the window.
struct ByShape(Keeper);

impl Reclaim for ByShape {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let Self(Keeper { arena, idle }) = self;
        let of_use: Vec<_> = idle.lock().extract_if(.., |span| shortage.is_within(*span)).collect();
        for span in of_use {
            arena.free(span).unwrap();
        }
    }
}

/// Somebody needs an aligned pair, of a keeper that has a quantum of each, and a third, while the
/// fourth is freed.
fn pair<R: Reclaim + 'static>(hook: impl Fn(Keeper) -> R) {
    let arena = numbers(4, 0);
    let [first, second, third, fourth] = take_each(&arena)[..] else { panic!("four quanta") };
    let idle = Mutex::new(vec![first, third, second]);
    let hook = Arc::new(hook(Keeper { arena: arena.clone(), idle }));
    register(&hook, &arena);
    let sleeper = {
        let arena = arena.clone();
        spawn(move || arena.alloc(aligned(2)).unwrap())
    };
    arena.free(fourth).unwrap();
    let pair = sleeper.join().unwrap();
    arena.free(pair).unwrap();
}

#[test]
fn a_run_is_reclaimed_by_its_shape() {
    model("reclaim/by_shape", || pair(ByShape));
}

#[test]
fn enough_is_reclaimed_and_no_run() {
    known_bad("reclaim/count_based", "deadlock", || pair(ByCount));
}
