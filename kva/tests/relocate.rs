//! Spans that their owners move out of the way: when they are asked, what they can answer, and
//! what becomes of the two spans.

#![cfg(not(loom))]

mod support;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{Arena, Client, Decommit, Heir, Placement, Region, Relocate, Relocation, Reserve, Span};
use support::{Asker, aligned, assert_whole, free_all, numbers, shape, take_each, until};

/// Answers what it is told to, and notes what it was asked.
struct Owner {
    arena: Mutex<Option<Arena>>,
    spans: Mutex<Vec<Span>>,
    asked: Mutex<Vec<(Span, Span)>>,
    answer: Mutex<Answer>,
}

#[derive(Clone, Copy)]
enum Answer {
    Say(Relocation),
    Panic,
    /// Frees the span by itself, and says this.
    Free(Relocation),
}

impl Relocate for Owner {
    fn relocate(&self, from: Span, to: Span) -> Relocation {
        self.asked.lock().push((from, to));
        let at = self.spans.lock().iter().position(|span| *span == from).expect("it is ours");
        let answer = *self.answer.lock();
        match answer {
            Answer::Say(Relocation::Moved) => self.spans.lock()[at] = to,
            Answer::Say(Relocation::Unneeded) => drop(self.spans.lock().remove(at)),
            Answer::Say(_) => {}
            Answer::Panic => panic!("as it was told to"),
            Answer::Free(_) => {
                let span = self.spans.lock().remove(at);
                self.arena.lock().as_ref().unwrap().free(span).unwrap();
            }
        }
        match answer {
            Answer::Say(verdict) | Answer::Free(verdict) => verdict,
            Answer::Panic => unreachable!(),
        }
    }
}

impl Owner {
    fn new(answer: Answer) -> Arc<Self> {
        Arc::new(Self {
            arena: Mutex::default(),
            spans: Mutex::default(),
            asked: Mutex::default(),
            answer: Mutex::new(answer),
        })
    }

    fn client(self: &Arc<Self>, arena: &Arena) -> Arena {
        *self.arena.lock() = Some(arena.clone());
        arena.client(Client::new("movable").relocate(Arc::downgrade(self) as _)).unwrap()
    }

    fn asked(&self) -> Vec<(Span, Span)> {
        std::mem::take(&mut *self.asked.lock())
    }

    /// Frees all, and lets go of the arena.
    fn end(&self) {
        let arena = self.arena.lock().take().unwrap();
        free_all(&arena, self.spans.lock().drain(..));
    }
}

/// Eight quanta: the owner's at 1, others' at 4 to 6, and the rest free.
fn world(answer: Answer) -> (Arena, Arena, Arc<Owner>, Vec<Span>) {
    let arena = numbers(8);
    let owner = Owner::new(answer);
    let client = owner.client(&arena);
    let spans = take_each(&client);
    owner.spans.lock().push(spans[1]);
    free_all(&arena, spans.into_iter().filter(|span| span.start() != 1));
    let others = vec![arena.try_alloc_at(4..6).unwrap(), arena.try_alloc_at(6..7).unwrap()];
    (arena, client, owner, others)
}

#[test]
fn what_is_moved_makes_room() {
    let (arena, client, owner, others) = world(Answer::Say(Relocation::Moved));
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(4));
    let [four] = asker.granted()[..] else { panic!("it was moved out of the way") };
    assert_eq!(four.range(), 0..4);
    let [(from, to)] = owner.asked()[..] else { panic!("one span was in the way") };
    assert_eq!((from.start(), to.range(), client.used()), (1, 7..8, 1));
    assert!(arena.free(from).is_err(), "the old receipt is worthless");
    owner.end();
    free_all(&arena, others.into_iter().chain([four]));
    assert_whole(&arena);
}

#[test]
fn what_is_not_needed_is_freed() {
    let (arena, client, owner, others) = world(Answer::Say(Relocation::Unneeded));
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(4));
    let granted = asker.granted();
    assert_eq!((granted.len(), owner.asked().len(), client.used()), (1, 1, 0));
    owner.end();
    free_all(&arena, others.into_iter().chain(granted));
    assert_whole(&arena);
}

#[test]
fn a_no_is_for_as_long_as_the_span_is_taken() {
    let (arena, client, owner, others) = world(Answer::Say(Relocation::No));
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(4));
    assert_eq!((asker.granted().len(), owner.asked().len(), client.used()), (0, 1, 1));
    *owner.answer.lock() = Answer::Say(Relocation::Moved);
    arena.reap();
    assert_eq!((asker.granted().len(), owner.asked().len()), (0, 0), "it is not asked again");
    // Another span in its place is.
    owner.end();
    *owner.arena.lock() = Some(arena.clone());
    let granted = asker.granted();
    free_all(&arena, granted);
    let again = take_each(&client);
    owner.spans.lock().extend(again.iter().copied().filter(|span| span.start() == 1));
    free_all(&arena, again.into_iter().filter(|span| span.start() != 1));
    asker.ask(&arena, 0, aligned(4));
    assert_eq!(owner.asked().len(), 1);
    owner.end();
    free_all(&arena, others.into_iter().chain(asker.granted()));
    assert_whole(&arena);
}

#[test]
fn a_later_is_asked_again_when_somebody_says_so() {
    let (arena, client, owner, others) = world(Answer::Say(Relocation::Later));
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(4));
    assert_eq!((asker.granted().len(), owner.asked().len(), client.used()), (0, 1, 1));
    let brief = arena.try_alloc(shape(1)).unwrap();
    arena.free(brief).unwrap();
    assert_eq!(owner.asked().len(), 0, "nothing is new");
    *owner.answer.lock() = Answer::Say(Relocation::Moved);
    arena.reap();
    let granted = asker.granted();
    assert_eq!((granted.len(), owner.asked().len()), (1, 1));
    owner.end();
    free_all(&arena, others.into_iter().chain(granted));
    assert_whole(&arena);
}

#[test]
fn an_owner_that_panics_keeps_what_it_has() {
    let (arena, client, owner, others) = world(Answer::Panic);
    let asker = Asker::new(2);
    assert!(catch_unwind(AssertUnwindSafe(|| asker.ask(&arena, 0, aligned(4)))).is_err());
    assert_eq!((arena.stats().waiting, client.used()), (1, 1), "where it would have moved is free again");
    *owner.answer.lock() = Answer::Say(Relocation::Moved);
    arena.reap();
    assert_eq!(owner.asked().len(), 2, "and others are asked, and it again");
    let granted = asker.granted();
    assert_eq!(granted.len(), 1);
    owner.end();
    free_all(&arena, others.into_iter().chain(granted));
    assert_whole(&arena);
}

/// Two in the way, and a panic for each, of which one is had by who asks.
#[test]
fn an_owner_that_panics_is_asked_for_the_next_span() {
    let (arena, client, owner, others) = world(Answer::Panic);
    let spans = take_each(&client);
    owner.spans.lock().push(spans[0]);
    free_all(&arena, spans[1..].iter().copied());
    let starts = |spans: &[(Span, Span)]| spans.iter().map(|(from, _)| from.start()).collect::<Vec<_>>();
    let asker = Asker::new(1);
    assert!(catch_unwind(AssertUnwindSafe(|| asker.ask(&arena, 0, aligned(4)))).is_err());
    assert_eq!(starts(&owner.asked()), [0, 1]);
    assert_eq!((arena.stats().waiting, client.used()), (1, 2), "it has both");
    owner.end();
    free_all(&arena, others.into_iter().chain(asker.granted()));
    assert_whole(&arena);
}

/// A span that waits for the grow that it was freed to is not its former owner's to move.
#[test]
fn what_was_freed_to_a_grow_on_its_way_is_not_moved() {
    let (arena, client, owner, others) = world(Answer::Say(Relocation::Unneeded));
    let (claimant, asker) = (Asker::new(1), Asker::new(1));
    let grow = claimant.reserve(&arena, 0);
    let kept = owner.spans.lock().pop().unwrap();
    assert_eq!(arena.free_to(grow.claim(), kept), Ok(Heir::Claimant));
    asker.ask(&arena, 0, aligned(4));
    assert_eq!((owner.asked().len(), asker.granted().len()), (0, 0), "it is in the way, and stays");
    // Whoever has it then can be asked.
    let kva::Answer::Now(committed, Ok(span)) = client.ask(shape(1), grow) else { panic!("it was kept") };
    assert_eq!(span.range(), kept.range());
    committed.deliver(span);
    owner.spans.lock().extend(claimant.granted());
    arena.reap();
    assert_eq!(owner.asked().len(), 1);
    owner.end();
    free_all(&arena, others.into_iter().chain(asker.granted()));
    assert_whole(&arena);
}

/// Whatever it answers then but that it moved.
#[test]
fn a_span_that_is_freed_while_it_is_asked_for() {
    for verdict in [Relocation::Unneeded, Relocation::No, Relocation::Later] {
        let (arena, client, owner, others) = world(Answer::Free(verdict));
        let asker = Asker::new(1);
        asker.ask(&arena, 0, aligned(4));
        let granted = asker.granted();
        assert_eq!((granted.len(), owner.asked().len(), client.used()), (1, 1, 0), "{verdict:?}");
        owner.end();
        free_all(&arena, others.into_iter().chain(granted));
        assert_whole(&arena);
    }
}

#[test]
fn nobody_is_asked_where_nobody_is_short() {
    let (arena, _client, owner, others) = world(Answer::Say(Relocation::Moved));
    arena.reap();
    let two = arena.try_alloc(shape(2)).unwrap();
    assert!(arena.try_alloc(aligned(4)).is_err(), "who does not wait asks nobody");
    arena.free(two).unwrap();
    assert_eq!(owner.asked().len(), 0);
    owner.end();
    free_all(&arena, others);
    assert_whole(&arena);
}

/// What else was asked for than a shape is not known to whoever would move it.
#[test]
fn what_is_where_it_was_asked_to_be_is_not_moved() {
    for which in 0..3 {
        let (arena, client, owner, others) = world(Answer::Say(Relocation::Moved));
        owner.end();
        // One after the other at the same place, since it is freed in between.
        let span = match which {
            0 => client.try_alloc(Placement::from(shape(1)).within(1..2).unwrap()),
            1 => client.try_alloc(Placement::from(shape(1)).nocross(8).unwrap().within(1..2).unwrap()),
            _ => client.try_alloc_at(1..2),
        };
        let asker = Asker::new(1);
        asker.ask(&arena, 0, aligned(4));
        assert_eq!((owner.asked().len(), asker.granted().len()), (0, 0), "{which}");
        arena.free(span.unwrap()).unwrap();
        free_all(&arena, others.into_iter().chain(asker.granted()));
        assert_whole(&arena);
    }
}

#[test]
fn an_owner_that_is_gone_is_not_asked() {
    let (arena, client, owner, others) = world(Answer::Say(Relocation::Moved));
    let span = owner.spans.lock().pop().unwrap();
    *owner.arena.lock() = None;
    drop(owner);
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(4));
    assert_eq!((asker.granted().len(), arena.stats().free), (0, 1), "nothing is taken to move to");
    arena.free(span).unwrap();
    free_all(&arena, others.into_iter().chain(asker.granted()));
    assert_eq!(client.used(), 0);
    assert_whole(&arena);
}

/// As long and as aligned as it was, and nothing shorter where there is no such room.
#[test]
fn where_to_is_as_good() {
    let arena = numbers(32);
    let owner = Owner::new(Answer::Say(Relocation::Moved));
    let client = owner.client(&arena);
    let pair = client.try_alloc(aligned(2)).unwrap();
    let four = client.try_alloc(aligned(4)).unwrap();
    let single = client.try_alloc(shape(1)).unwrap();
    owner.spans.lock().extend([pair, four, single]);
    let asker = Asker::new(1);
    let other = arena.try_alloc_at(16..24).unwrap();
    asker.ask(&arena, 0, aligned(16));
    let [large] = asker.granted()[..] else { panic!("there is room for all three") };
    for (from, to) in owner.asked() {
        assert_eq!(from.len(), to.len());
        let align = if from == single { 1 } else { from.len() };
        assert_eq!(to.start() % align, 0, "{from:?} to {to:?}");
        assert!(to.start() >= large.range().end || to.range().end <= large.start());
    }
    owner.end();
    free_all(&arena, [other, large]);
    assert_whole(&arena);
}

/// Two of them, and only one place outside the window: the other one is moved when there is
/// another, and nobody has to say so.
#[test]
fn what_had_no_room_is_moved_when_there_is_some() {
    let arena = numbers(8);
    let owner = Owner::new(Answer::Say(Relocation::Moved));
    let client = owner.client(&arena);
    let all = take_each(&client);
    owner.spans.lock().extend([all[0], all[1]]);
    free_all(&arena, all[2..].iter().copied());
    let others: Vec<_> = (4..8).map(|at| arena.try_alloc_at(at..at + 1).unwrap()).collect();
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(4));
    assert_eq!(owner.asked().len(), 0, "there is no room");
    arena.free(others[0]).unwrap();
    assert_eq!(owner.asked().len(), 1, "there is");
    arena.free(others[1]).unwrap();
    let granted = asker.granted();
    assert_eq!((granted.len(), owner.asked().len()), (1, 1));
    owner.end();
    free_all(&arena, granted.into_iter().chain(others[2..].iter().copied()));
    assert_whole(&arena);
}

/// Where it is moved to is memory that can be written, and what it had can be copied.
#[test]
fn memory_is_copied_by_its_owner() {
    struct Copies(Arena, Mutex<Span>);
    impl Relocate for Copies {
        fn relocate(&self, from: Span, to: Span) -> Relocation {
            let bytes = from.len() as usize * self.0.quantum();
            let (old, new) = (self.0.ptr(from).unwrap(), self.0.ptr(to).unwrap());
            // SAFETY: both are held, by us and for us, and they do not overlap.
            unsafe { old.copy_to_nonoverlapping(new, bytes) };
            *self.1.lock() = to;
            Relocation::Moved
        }
    }
    let page = rustix::param::page_size();
    let memory = Region::reserve(8 * page, Reserve::new().decommit(Decommit::Protect)).unwrap();
    let arena = Arena::new(memory, page).unwrap();
    let filler = arena.try_alloc(shape(1)).unwrap();
    let owner = Arc::new(Copies(arena.clone(), Mutex::new(filler)));
    let client = arena.client(Client::new("copies").relocate(Arc::downgrade(&owner) as _)).unwrap();
    let span = client.try_alloc(shape(2)).unwrap();
    *owner.1.lock() = span;
    // SAFETY: it is held.
    unsafe { arena.ptr(span).unwrap().as_ptr().write_bytes(7, 2 * page) };
    arena.free(filler).unwrap();
    let other = arena.try_alloc_at(4..6).unwrap();
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(4));
    let granted = asker.granted();
    assert_eq!(granted.len(), 1);
    let moved = *owner.1.lock();
    assert_ne!(moved, span);
    let start = arena.ptr(moved).unwrap();
    // SAFETY: it is held, and was written as a whole.
    let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), 2 * page) };
    assert!(bytes.iter().all(|byte| *byte == 7));
    free_all(&arena, granted.into_iter().chain([moved, other]));
    assert_whole(&arena);
}

/// While the memory of a span is decommitted, which takes a system call, the span is the arena's, by a
/// receipt that its owner never had.
#[test]
fn what_is_being_decommitted_is_not_moved() {
    /// What the owner ever had, and how often it was asked.
    #[derive(Default)]
    struct Had(Mutex<HashSet<Span>>, AtomicU32);
    impl Relocate for Had {
        fn relocate(&self, from: Span, _: Span) -> Relocation {
            self.1.fetch_add(1, SeqCst);
            assert!(self.0.lock().contains(&from), "{from:?} is not its own");
            Relocation::Later
        }
    }
    // Long, as is the system call then.
    const LEN: u32 = 256;
    const ROUNDS: u32 = 500;
    let page = rustix::param::page_size();
    let memory =
        Region::reserve(3 * LEN as usize * page, Reserve::new().decommit(Decommit::Discard)).unwrap();
    let arena = Arena::new(memory, page).unwrap();
    let owner = Arc::new(Had::default());
    let client = arena.client(Client::new("had").relocate(Arc::downgrade(&owner) as _)).unwrap();
    for _ in 0..ROUNDS {
        // The second of three, so that it is in the way of all that is longer, and there is room for it.
        let spans: Vec<_> = (0..3).map(|_| client.try_alloc(shape(LEN)).unwrap()).collect();
        owner.0.lock().extend(&spans);
        let (middle, rest): (Vec<_>, Vec<_>) = spans.into_iter().partition(|span| span.start() == LEN);
        free_all(&arena, rest);
        // SAFETY: it is held.
        unsafe { arena.ptr(middle[0]).unwrap().as_ptr().write_bytes(7, LEN as usize * page) };
        let (stop, asked) = (AtomicBool::new(false), owner.1.load(SeqCst));
        thread::scope(|scope| {
            let asks = scope.spawn(|| {
                while !stop.load(SeqCst) {
                    if let Ok(longer) = arena.alloc_timeout(shape(LEN + 1), Duration::ZERO) {
                        arena.free(longer).unwrap();
                    }
                }
            });
            until(|| owner.1.load(SeqCst) > asked);
            let freed = catch_unwind(AssertUnwindSafe(|| free_all(&arena, middle)));
            stop.store(true, SeqCst);
            asks.join().unwrap();
            freed.unwrap();
        });
        assert_whole(&arena);
    }
}

/// Many, one after the other, on a stack that has no room for them all at once.
#[test]
fn many_are_moved_on_a_small_stack() {
    const MANY: u32 = 1 << 14;
    let run = || {
        let arena = numbers(2 * MANY);
        let owner = Owner::new(Answer::Say(Relocation::Moved));
        let client = owner.client(&arena);
        // Looked up by a search from the front, and found there.
        owner.spans.lock().extend(take_each(&client));
        let every_second: Vec<_> = owner.spans.lock().extract_if(.., |span| span.start() % 2 == 0).collect();
        free_all(&arena, every_second);
        let asker = Asker::new(1);
        asker.ask(&arena, 0, aligned(MANY));
        let [half] = asker.granted()[..] else { panic!("there is as much room as is needed") };
        assert_eq!(owner.asked().len(), MANY as usize / 2);
        owner.end();
        arena.free(half).unwrap();
        assert_whole(&arena);
    };
    thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap().join().unwrap();
}
