//! Spans that are moved out of a window, while their owner frees them, and while the request
//! that needs them leaves.

use kva::sync::thread::spawn;
use kva::sync::{Arc, Mutex};
use kva::{Arena, Client, GrowTable, Reclaim, Relocate, Relocation, Shortage, Span};
use loom_tests::asking::Asker;
use loom_tests::run::{Witness, known_bad, witnessed};
use loom_tests::world::{aligned, assert_arena_whole, numbers, one, take_each};

/// Has one span, or none any more.
struct Owner {
    entry: Mutex<Option<Span>>,
    /// Says that it moved what it looked up, whether it still has it or not.
    blindly: bool,
    moves: Mutex<u32>,
}

impl Owner {
    fn new(blindly: bool) -> Arc<Self> {
        Arc::new(Self { entry: Mutex::default(), blindly, moves: Mutex::default() })
    }

    fn free(&self, arena: &Arena) {
        let span = self.entry.lock().take();
        if let Some(span) = span {
            arena.free(span).unwrap();
        }
    }
}

impl Relocate for Owner {
    fn relocate(&self, from: Span, to: Span) -> Relocation {
        let mut entry = self.entry.lock();
        let has_it = *entry == Some(from);
        if self.blindly {
            drop(entry);
            entry = self.entry.lock();
        } else if !has_it {
            // Who took it out frees it.
            return Relocation::Later;
        }
        if let Some(entry) = &mut *entry {
            *entry = to;
        }
        *self.moves.lock() += 1;
        Relocation::Moved
    }
}

/// Four quanta: the owner's span and a free one, a span that stays and a free one. Who needs an
/// aligned pair has its window where the owner's is. A client's spans are moved while it has a handle.
fn arena_of(owner: &Arc<Owner>) -> (Arena, Arena, Span) {
    let arena = numbers(4, 0);
    let weak = Arc::downgrade(owner);
    let client = arena.client(Client::new("owner").relocate(weak)).unwrap();
    let [first, second, third, fourth] = take_each(&client)[..] else { panic!("four quanta") };
    *owner.entry.lock() = Some(first);
    for span in [second, third, fourth] {
        arena.free(span).unwrap();
    }
    let stays = arena.try_alloc_at(2..3).unwrap();
    (arena, client, stays)
}

/// The owner frees its span while it is asked to move it.
fn against_free(blindly: bool, moved: &Witness) {
    let owner = Owner::new(blindly);
    let (arena, _client, stays) = arena_of(&owner);
    let freer = {
        let (arena, owner) = (arena.clone(), owner.clone());
        spawn(move || owner.free(&arena))
    };
    let asker = Asker::new(1);
    asker.ask(&arena, 0, aligned(2));
    freer.join().unwrap();
    assert_eq!(asker.granted(), 1, "nothing is in its way");
    moved.saw(*owner.moves.lock() > 0);
    asker.free_all(&arena);
    arena.free(stays).unwrap();
    assert_arena_whole(&arena);
}

#[test]
fn a_span_that_is_freed_while_it_is_moved() {
    witnessed("relocate/against_free", "it was moved", |moved| against_free(false, moved));
}

#[test]
fn a_span_that_is_moved_although_it_is_gone() {
    known_bad("relocate/moves_what_is_gone", "rest: a span was lost", || {
        against_free(true, &Witness::default());
    });
}

/// The request that needs the pair leaves while the span is moved for it, and another needs it.
fn leaves(arena: &Arena) -> Asker {
    let (head, next) = (Asker::new(1), Asker::new(1));
    let leaver = {
        let (arena, head) = (arena.clone(), head.clone());
        spawn(move || {
            let id = head.ask(&arena, 0, aligned(2));
            head.withdraw(&arena, id);
        })
    };
    next.ask(arena, 0, aligned(2));
    leaver.join().unwrap();
    head.free_all(arena); // it was too late to leave
    next
}

#[test]
fn a_head_that_leaves_while_something_is_moved_for_it() {
    witnessed("relocate/against_new_head", "it was moved", |moved| {
        let owner = Owner::new(false);
        let (arena, _client, stays) = arena_of(&owner);
        let next = leaves(&arena);
        assert_eq!(next.granted(), 1, "it was moved for whoever needed it");
        next.free_all(&arena);
        owner.free(&arena);
        arena.free(stays).unwrap();
        assert_arena_whole(&arena);
        moved.saw(*owner.moves.lock() == 1);
    });
}

/// Moves by itself, as a hook.
struct MovesByHook {
    owner: Arc<Owner>,
    arena: Arena,
    /// Gives back what it took to move to, if nobody is short any more.
    gives_back: bool,
}

impl Reclaim for MovesByHook {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let Some(from) = *self.owner.entry.lock() else { return };
        if !shortage.is_within(from) {
            return;
        }
        let Ok(to) = shortage.try_alloc_elsewhere(one()) else { return };
        if shortage.is_over() {
            if self.gives_back {
                self.arena.free(to).unwrap();
            }
            return;
        }
        let freed = match self.owner.relocate(from, to) {
            Relocation::Moved => from,
            _ => to,
        };
        self.arena.free(freed).unwrap();
    }
}

/// The request leaves while a hook moves something for it.
fn by_hook(gives_back: bool, moved: &Witness) {
    let owner = Owner::new(false);
    let arena = numbers(4, 0);
    let spans = take_each(&arena);
    arena.free(spans[1]).unwrap();
    arena.free(spans[3]).unwrap();
    let head = Asker::new(1);
    let id = head.ask(&arena, 0, aligned(2));
    let hook = Arc::new(MovesByHook { owner: owner.clone(), arena: arena.clone(), gives_back });
    arena.register(&GrowTable::new(0), Arc::downgrade(&hook) as _);
    // Until now it had nothing to move.
    *owner.entry.lock() = Some(spans[0]);
    let mover = {
        let arena = arena.clone();
        spawn(move || arena.reap())
    };
    head.withdraw(&arena, id);
    mover.join().unwrap();
    moved.saw(head.granted() == 1);
    head.free_all(&arena);
    owner.free(&arena);
    arena.free(spans[2]).unwrap();
    assert_arena_whole(&arena);
}

#[test]
fn a_hook_that_moves_for_who_leaves() {
    witnessed("relocate/by_hook", "moved in time", |moved| by_hook(true, moved));
}

#[test]
fn a_hook_that_keeps_where_it_would_have_moved() {
    known_bad("relocate/keeps_where_to", "rest: a span was lost", || by_hook(false, &Witness::default()));
}
