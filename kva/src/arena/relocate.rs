//! Spans that their owners can move out of the way.
//!
//! Where a window is aimed and what is inside is not freed, it may be moved: each busy span in
//! it whose client [can](crate::Client::relocate) is offered a span of the same shape elsewhere,
//! one after the other, with no lock held (P8). `kmem_cache_move` has the answers.
//!
//! # Invariants
//!
//! 1. One span is being moved at a time, by whoever aimed the window, called the hooks, or
//!    moved the last one.
//! 2. Each span in the window is offered once for each time that the hooks are owed a call, or
//!    that there is room for one that there was none for: so moving ends.

use arrayvec::ArrayVec;

use super::Inner;
use super::state::{Note, State};
use super::todo::Todo;
use crate::holds::as_nobody;
use crate::panics::FirstPanic;
use crate::shape::Span;
use crate::space::Busy;
use crate::sync::{Arc, BATCH, Weak};

/// Moves a client's spans out of the way; see [`Client::relocate`](crate::Client::relocate).
pub trait Relocate: Send + Sync {
    /// Somebody needs what `from` has. `to` is as long and as aligned, it is committed, and
    /// nobody else's. What is answered says who has which from now on.
    ///
    /// Called with no lock of ours held, on the thread of whoever waits, or of any that freed
    /// something, the owner's own threads included: it must not wait for this arena, nor for a lock
    /// that is held while something is freed to it. `from` may be on its way to the client, who
    /// does not know it yet, or just be freed by it: of what is not known the answer is
    /// [`Later`](Relocation::Later).
    fn relocate(&self, from: Span, to: Span) -> Relocation;
}

/// What became of a span that somebody else needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it says whose the two spans are"]
#[non_exhaustive]
pub enum Relocation {
    /// The client uses the new one, and the old one is the arena's.
    Moved,
    /// It stays, and is not asked again as long as it is taken.
    No,
    /// It stays, and may be asked again. Also of a span that the client does not know.
    Later,
    /// The client has `from`, and needs neither.
    Unneeded,
}

/// One span that is to be moved, unlocked.
pub(super) struct Step {
    from: Span,
    to: Span,
    owner: Arc<dyn Relocate>,
}

impl Step {
    /// Asks the owner, and gives back what is nobody's then. A panic is a `Later`.
    pub(super) fn ask(self, arena: &Inner) {
        let Self { from, to, owner } = self;
        let mut asked = Asked { arena, from, to, verdict: Relocation::Later };
        if arena.regions.commit(to, arena.quantum).is_ok() {
            asked.verdict = as_nobody(|| owner.relocate(from, to));
        }
    }
}

/// A span whose owner was asked.
struct Asked<'a> {
    arena: &'a Inner,
    from: Span,
    to: Span,
    verdict: Relocation,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let Self { arena, from, to, verdict } = *self;
        // Whoever is served by what is freed may panic.
        let mut panics = FirstPanic::default();
        if matches!(verdict, Relocation::Moved | Relocation::Unneeded) {
            // It may be free already: the owner freed it while it was asked.
            panics.guard(|| {
                let _ = arena.release(from);
            });
        }
        if verdict != Relocation::Moved {
            panics.guard(|| {
                let freed = arena.release(to);
                debug_assert!(freed.is_ok(), "an owner that answers so has not freed it");
            });
        }
        // The next step is found by who made this one, and not from in here: the depth of the
        // stack does not grow with the number of spans.
        arena.lock().has_moved(from, verdict);
        panics.go_on();
    }
}

/// How far moving has come.
#[derive(Debug, Default)]
pub(super) struct Moving {
    running: bool,
    /// For which call of the hooks.
    owed: u64,
    /// The first quantum that was not looked at for that.
    next: u32,
    /// The shortest of those that there was no room for outside the window.
    no_room: Option<Busy>,
}

impl State {
    /// Finds the next span to move, if it is time for that.
    pub(super) fn next_to_move(&mut self, todo: &mut Todo<'_>) {
        if self.moving.running || !self.clients.any_relocates() || !todo.calls.is_empty() {
            return;
        }
        let Some(window) = self.space.window() else { return };
        if self.moving.owed != self.hooks.owed() {
            self.moving.owed = self.hooks.owed();
            (self.moving.next, self.moving.no_room) = (window.start, None);
        }
        let from = self.moving.next.max(window.start);
        // A bound on the time under the lock.
        let mut inside = ArrayVec::<Busy, BATCH>::new();
        inside.extend(self.space.busy_within(from..window.end).take(BATCH));
        todo.more |= inside.is_full() || (inside.is_empty() && self.look_again(window.start));
        for busy in inside {
            self.moving.next = busy.start + busy.len;
            let note = self.note(busy);
            let owner = self.clients.relocate(note.client());
            if !note.is_movable() || owner.is_none_or(|owner| owner.strong_count() == 0) {
                continue;
            }
            let Some(to) = self.take(&note.shape_of(busy).into(), note.client()) else {
                if self.moving.no_room.is_none_or(|other| busy.len < other.len) {
                    self.moving.no_room = Some(busy);
                }
                continue; // another may be shorter
            };
            // Last, since an owner must not be dropped under the lock.
            let Some(owner) = self.clients.relocate(note.client()).and_then(Weak::upgrade) else {
                self.give(to);
                continue;
            };
            self.moving.running = true;
            todo.step = Some(Step { from: todo.arena.span(busy), to: todo.arena.span(to), owner });
            return;
        }
    }

    /// Whether there is room now for what there was none for.
    fn look_again(&mut self, start: u32) -> bool {
        let Some(busy) = self.moving.no_room else { return false };
        let next = if let Some(note) = self.space.note_of_held(busy) {
            if !self.space.fits(&Note(note).shape_of(busy).into()) {
                return false;
            }
            busy.start
        } else {
            start // it is gone: others had none either
        };
        (self.moving.next, self.moving.no_room) = (next, None);
        true
    }

    /// A span was moved, or not.
    pub(super) fn has_moved(&mut self, from: Span, verdict: Relocation) {
        self.moving.running = false;
        if verdict == Relocation::No && self.check_held(from).is_ok() {
            self.stays(from.busy());
        }
    }
}
