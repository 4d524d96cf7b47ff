//! Hooks: when they are called, by whom, with what, and what they may do.

#![cfg(not(loom))]

mod support;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Arena, Client, Reclaim, Region, Reserve, Shape, Shortage, Span};
use support::{
    Asker, CloseOnPanic, aligned, assert_whole, free_all, numbers, register, shape, take_each, with_bypass,
};

/// Does what it is told to.
struct Hook<F>(F);

impl<F: Fn(&Shortage<'_>) + Send + Sync> Reclaim for Hook<F> {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        (self.0)(shortage);
    }
}

fn hook<F: Fn(&Shortage<'_>) + Send + Sync + 'static>(arena: &Arena, f: F) -> Arc<Hook<F>> {
    let hook = Arc::new(Hook(f));
    register(arena, &hook);
    hook
}

/// Everything that a shortage says.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    shape: Shape,
    window: Option<Range<u32>>,
    addresses: Option<Range<usize>>,
    is_over: bool,
}

impl Said {
    fn of(shortage: &Shortage<'_>) -> Self {
        Self {
            shape: shortage.shape(),
            window: shortage.window(),
            addresses: shortage.addresses(),
            is_over: shortage.is_over(),
        }
    }
}

#[test]
fn a_shortage_says_what_is_wanted_and_where() {
    let page = rustix::param::page_size();
    let arena = Arena::new(Region::reserve(8 * page, Reserve::new()).unwrap(), page).unwrap();
    let spans = take_each(&arena);
    arena.free(spans[5]).unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let says = said.clone();
    let _hook = hook(&arena, move |shortage| {
        let whole = format!("{shortage:?}");
        assert!(whole.contains("placement") && whole.contains("window"), "{whole}");
        says.lock().push(Said::of(shortage));
    });
    let (pair, single) = (Asker::new(1), Asker::new(1));
    let id = pair.ask(&arena, 0, aligned(2));
    let base = arena.ptr(spans[4]).unwrap().addr().get();
    let wants_pair = Said {
        shape: aligned(2),
        window: Some(4..6),
        addresses: Some(base..base + 2 * page),
        is_over: false,
    };
    assert_eq!(std::mem::take(&mut *said.lock()), std::slice::from_ref(&wants_pair));
    single.ask(&arena, 0, shape(1));
    assert_eq!(said.lock().drain(..).collect::<Vec<_>>(), [wants_pair], "the oldest, again");
    pair.withdraw(&arena, id);
    let served = single.granted();
    assert_eq!(served.len(), 1, "what was withheld is anybody's");
    single.ask(&arena, 0, shape(1));
    let wants_single = Said { shape: shape(1), window: None, addresses: None, is_over: false };
    assert_eq!(said.lock().drain(..).collect::<Vec<_>>(), [wants_single], "any quantum will do");
    let others = spans.into_iter().filter(|span| span.start() != 5);
    free_all(&arena, others.chain(served));
    free_all(&arena, single.granted());
    assert!(said.lock().is_empty(), "nobody is short");
    assert_whole(&arena);
}

#[test]
fn what_is_within_the_window_is_what_has_a_quantum_of_it() {
    let arena = numbers(16);
    let spans: Vec<_> =
        [0..3, 3..5, 5..8, 8..16].into_iter().map(|at| arena.try_alloc_at(at).unwrap()).collect();
    arena.free(spans[1]).unwrap();
    let (asked, within) = (spans.clone(), Arc::new(Mutex::new(Vec::new())));
    let notes = within.clone();
    let _hook = hook(&arena, move |shortage| {
        let all: Vec<_> = asked.iter().map(|span| shortage.is_within(*span)).collect();
        notes.lock().push((shortage.window(), all));
    });
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(4));
    let (window, all) = within.lock().pop().unwrap();
    let window = window.unwrap();
    let overlaps = |span: &Span| span.start() < window.end && window.start < span.range().end;
    assert_eq!(all, spans.iter().map(overlaps).collect::<Vec<_>>());
    assert!(all.contains(&true) && all.contains(&false), "{window:?}");
    free_all(&arena, [spans[0], spans[2], spans[3]]);
    free_all(&arena, asker.granted());
    assert_whole(&arena);
}

#[test]
fn it_is_over_when_who_waited_has_it() {
    let arena = numbers(2);
    let spans = take_each(&arena);
    let (held, over) = (Mutex::new(spans), Arc::new(Mutex::new(Vec::new())));
    let (own, notes) = (arena.clone(), over.clone());
    let hook = hook(&arena, move |shortage| {
        while let Some(span) = { held.lock().pop() } {
            notes.lock().push(shortage.is_over());
            own.free(span).unwrap();
        }
        notes.lock().push(shortage.is_over());
    });
    let asker = Asker::new(1);
    asker.ask(&arena, 0, shape(2));
    assert_eq!(*over.lock(), [false, false, true]);
    free_all(&arena, asker.granted());
    drop(hook);
    assert_whole(&arena);
}

/// Who moves something is not held up by who waits; and has what is outside the window only.
#[test]
fn elsewhere_is_outside_the_window_and_past_who_waits() {
    let arena = with_bypass(8, 0);
    let spans = take_each(&arena);
    free_all(&arena, [spans[0], spans[1], spans[2], spans[4]]);
    let found = Arc::new(Mutex::new(Vec::new()));
    let notes = found.clone();
    let _hook = hook(&arena, move |shortage| {
        notes.lock().extend([shape(1), shape(1)].map(|one| shortage.try_alloc_elsewhere(one)));
    });
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(4));
    assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce));
    let [Ok(elsewhere), Err(AllocError::Scarce)] = found.lock()[..] else { panic!("{found:?}") };
    assert_eq!(elsewhere.start(), 4);
    free_all(&arena, [elsewhere, spans[3]]);
    free_all(&arena, asker.granted());
    free_all(&arena, spans[5..].iter().copied());
    assert_whole(&arena);
}

#[test]
fn reap_calls_again_and_only_where_somebody_is_short() {
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let _hook = hook(&arena, move |_| {
        count.fetch_add(1, SeqCst);
    });
    arena.reap();
    assert_eq!(calls.swap(0, SeqCst), 0, "nobody is short");
    let asker = Asker::new(1);
    let id = asker.ask(&arena, 0, shape(1));
    assert_eq!(calls.swap(0, SeqCst), 1);
    arena.stats();
    assert_eq!(arena.try_alloc(shape(1)), Err(AllocError::Scarce));
    assert_eq!(calls.swap(0, SeqCst), 0, "nothing is new");
    arena.reap();
    assert_eq!(calls.swap(0, SeqCst), 1);
    asker.withdraw(&arena, id);
    arena.reap();
    assert_eq!(calls.swap(0, SeqCst), 0);
    arena.free(held).unwrap();
    assert_whole(&arena);
}

#[test]
fn a_window_that_moves_calls_again() {
    let arena = numbers(8);
    let spans = take_each(&arena);
    let windows = Arc::new(Mutex::new(Vec::new()));
    let notes = windows.clone();
    let _hook = hook(&arena, move |shortage| notes.lock().push(shortage.window().unwrap()));
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(4));
    arena.free(spans[1]).unwrap();
    assert_eq!(windows.lock().len(), 1, "what is freed inside is not news");
    free_all(&arena, [spans[4], spans[5]]);
    assert_eq!(*windows.lock(), [0..4, 4..8]);
    free_all(&arena, [spans[6], spans[7]]);
    free_all(&arena, asker.granted());
    free_all(&arena, [spans[0], spans[2], spans[3]]);
    assert_eq!(windows.lock().len(), 2);
    assert_whole(&arena);
}

/// A request that its quota forbids is a matter of its client; once that allows it, it is everybody's,
/// and those who were told of nobody are told of it.
#[test]
fn who_is_held_back_no_more_calls_again() {
    let arena = numbers(4);
    let client = arena.client(Client::new("").quota(2)).unwrap();
    let own = take_each(&client);
    let rest = arena.try_alloc(shape(2)).unwrap();
    let (older, held_back) = (Asker::new(1), Asker::new(1));
    let wanted = Arc::new(Mutex::new(Vec::new()));
    let notes = wanted.clone();
    let hook = Arc::new(Hook(move |shortage: &Shortage<'_>| notes.lock().push(shortage.shape())));
    arena.register(&older.table, Arc::downgrade(&hook) as _);
    older.ask(&arena, 0, shape(4));
    held_back.ask(&client, 0, shape(2));
    arena.free(own[0]).unwrap();
    assert_eq!(*wanted.lock(), [], "its own, and what another client's quota forbids");
    arena.free(own[1]).unwrap();
    assert_eq!(wanted.lock().first(), Some(&shape(2)), "it waits for quanta now");
    arena.free(rest).unwrap();
    free_all(&arena, older.granted());
    free_all(&arena, held_back.granted());
    assert_whole(&arena);
}

/// It aims whenever it is called, at another place each time: that is news to all but itself.
#[test]
fn a_hook_that_aims_here_and_there_is_not_called_for_ever() {
    const MANY: u32 = 100;
    let arena = numbers(16);
    let spans = take_each(&arena);
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    // Gives up at last, so that this test would end.
    let _aims = hook(&arena, move |shortage| {
        let call = count.fetch_add(1, SeqCst);
        assert!(call >= MANY || shortage.aim(if call.is_multiple_of(2) { 4 } else { 8 }));
    });
    let windows = Arc::new(Mutex::new(Vec::new()));
    let notes = windows.clone();
    let _told = hook(&arena, move |shortage| notes.lock().push(shortage.window().unwrap()));
    let asker = Asker::new(1);
    let id = asker.ask(&arena, 0, aligned(4));
    assert_eq!(calls.swap(0, SeqCst), 1);
    assert_eq!(windows.lock().last(), Some(&(4..8)), "the other is told of where it is now");
    arena.reap();
    assert_eq!(calls.load(SeqCst), 1, "it is called again by who says so");
    asker.withdraw(&arena, id);
    free_all(&arena, spans);
    assert_whole(&arena);
}

/// Each hook frees what the request of the next one waits for, from within a free from within a
/// hook: all are called one after the other, on a stack that has no room for them all.
#[test]
fn a_thousand_hooks_that_free_do_not_nest() {
    const HOOKS: u32 = 1000;
    let run = || {
        let arena = numbers(2 * HOOKS);
        let spans = take_each(&arena);
        let depth = Arc::new(AtomicU32::new(0));
        let hooks: Vec<_> = spans[..HOOKS as usize]
            .iter()
            .map(|&span| {
                let (own, depth) = (arena.clone(), depth.clone());
                let held = Mutex::new(Some(span));
                hook(&arena, move |_| {
                    assert_eq!(depth.fetch_add(1, SeqCst), 0, "called from within another");
                    let span = held.lock().take();
                    if let Some(span) = span {
                        own.free(span).unwrap();
                    }
                    depth.fetch_sub(1, SeqCst);
                })
            })
            .collect();
        let asker = Asker::new(HOOKS);
        asker.ask(&arena, 0, aligned(8));
        for slot in 1..HOOKS / 8 {
            asker.ask(&arena, slot, shape(8));
        }
        let granted = asker.granted();
        assert_eq!(granted.len() as u32, HOOKS / 8, "each has what the hooks had");
        drop(hooks);
        free_all(&arena, granted.into_iter().chain(spans[HOOKS as usize..].iter().copied()));
        assert_whole(&arena);
    };
    thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap().join().unwrap();
}

#[test]
fn a_hook_that_panics_strands_nobody() {
    let arena = numbers(1);
    let held = Mutex::new(Some(arena.try_alloc(shape(1)).unwrap()));
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let panics = hook(&arena, move |_| {
        count.fetch_add(1, SeqCst);
        panic!("a hook that panics");
    });
    let own = arena.clone();
    let gives = hook(&arena, move |_| {
        let span = held.lock().take();
        if let Some(span) = span {
            own.free(span).unwrap();
        }
    });
    let asker = Asker::new(2);
    assert!(catch_unwind(AssertUnwindSafe(|| asker.ask(&arena, 0, shape(1)))).is_err());
    let [span] = asker.granted()[..] else { panic!("the other hook had it") };
    // It is called again, and is not thought to be running for ever.
    assert!(catch_unwind(AssertUnwindSafe(|| asker.ask(&arena, 1, shape(1)))).is_err());
    assert_eq!(calls.load(SeqCst), 2);
    drop((panics, gives));
    arena.free(span).unwrap();
    free_all(&arena, asker.granted());
    assert_whole(&arena);
}

/// A request is held back by its client's quota as the same client takes a quantum. The hook that is
/// told of it panics, so that nobody has what was taken.
#[test]
fn what_is_taken_as_a_hook_panics_is_free_again() {
    let takes: [fn(&Arena, &Asker); 3] = [
        |client, _| _ = client.try_alloc(shape(1)),
        |client, _| _ = (0..8).find_map(|at| client.try_alloc_at(at..at + 1).ok()),
        |client, asker| _ = asker.ask(client, 0, shape(1)),
    ];
    for take in takes {
        let arena = with_bypass(8, 1000);
        let mut held: Vec<Span> = (0..8).map(|_| arena.try_alloc(shape(1)).unwrap()).collect();
        let client = arena.client(Client::new("one of a quota").quota(4)).unwrap();
        let armed = Arc::new(AtomicBool::new(false));
        let trigger = armed.clone();
        let panics = hook(&client, move |_| assert!(!trigger.load(SeqCst), "a hook that panics"));
        let mut waits = Box::pin(client.alloc_async(shape(4)));
        assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        for at in [7, 5, 3, 1] {
            arena.free(held.remove(at)).unwrap();
        }
        armed.store(true, SeqCst);
        let asker = Asker::new(1);
        assert!(catch_unwind(AssertUnwindSafe(|| take(&client, &asker))).is_err());
        armed.store(false, SeqCst);
        assert_eq!(client.used(), 0, "what was taken is nobody's");
        drop((waits, panics));
        free_all(&arena, held);
        assert_whole(&arena);
    }
}

/// Two panics, of which one is had by who asks, and the rest is done all the same.
#[test]
fn two_hooks_that_panic_end_nothing() {
    let arena = numbers(1);
    let held = Mutex::new(Some(arena.try_alloc(shape(1)).unwrap()));
    let _first = hook(&arena, |_| panic!("the first"));
    let _second = hook(&arena, |_| panic!("the second"));
    let own = arena.clone();
    let _gives = hook(&arena, move |_| {
        let span = held.lock().take();
        if let Some(span) = span {
            own.free(span).unwrap();
        }
    });
    let asker = Asker::new(1);
    let panic = catch_unwind(AssertUnwindSafe(|| asker.ask(&arena, 0, shape(1)))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"the first"));
    free_all(&arena, asker.granted());
    assert_whole(&arena);
}

#[test]
fn a_hook_is_never_called_twice_at_once() {
    let arena = numbers(4);
    let spans = Arc::new(Mutex::new(take_each(&arena)));
    let inside = AtomicBool::new(false);
    let (own, held) = (arena.clone(), spans.clone());
    let hook = hook(&arena, move |_| {
        assert!(!inside.swap(true, SeqCst), "twice at once");
        thread::yield_now();
        let span = held.lock().pop();
        if let Some(span) = span {
            own.free(span).unwrap();
        }
        inside.store(false, SeqCst);
    });
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let span = arena.alloc(shape(1)).unwrap();
                    thread::yield_now();
                    // It is idle, and whoever is short has it by the hook.
                    spans.lock().push(span);
                    arena.reap();
                }
            });
        }
    });
    drop(hook);
    free_all(&arena, spans.lock().drain(..));
    assert_whole(&arena);
}

#[test]
fn a_hook_that_is_gone_is_not_called_and_its_place_is_had_by_another() {
    let arena = numbers(1);
    let held = arena.try_alloc(shape(1)).unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    for _ in 0..100 {
        let count = calls.clone();
        drop(hook(&arena, move |_| {
            count.fetch_add(1000, SeqCst);
        }));
        let count = calls.clone();
        let _hook = hook(&arena, move |_| {
            count.fetch_add(1, SeqCst);
        });
        assert_eq!(arena.alloc_timeout(shape(1), Duration::ZERO), Err(AllocError::TimedOut));
        assert_eq!(calls.swap(0, SeqCst), 1);
    }
    arena.free(held).unwrap();
    assert_whole(&arena);
}
