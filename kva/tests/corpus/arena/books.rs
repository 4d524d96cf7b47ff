//! Who has which span, as the script, the hook and the mover of spans know it.

use kva::sync::{Arc, Mutex};
use kva::{Placement, Reclaim, Relocate, Relocation, Shape, Shortage, Span};

use super::script::Gives;

/// A span that somebody has: 0, nobody in particular, or one of the clients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) span: Span,
    pub(super) who: usize,
    /// Whether it was asked for by its shape alone, and has not been cut since.
    pub(super) shape: Option<Shape>,
}

#[derive(Debug)]
pub(super) struct Books {
    pub(super) held: Vec<Held>,
    /// What the hook may give back.
    pub(super) stashed: Vec<Held>,
    /// Receipts that are worthless.
    pub(super) stale: Vec<Span>,
    pub(super) gives: Gives,
    /// What the mover of spans answers.
    pub(super) answers: u8,
}

#[derive(Debug, Clone)]
pub(super) struct Shared(pub(super) Arc<Mutex<Books>>);

impl Held {
    pub(super) fn new(span: Span, who: usize, placement: &Placement) -> Self {
        let shape = placement.shape();
        let is_plain = *placement == Placement::from(shape);
        Self { span, who, shape: is_plain.then_some(shape) }
    }
}

impl Shared {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Books {
            held: Vec::new(),
            stashed: Vec::new(),
            stale: Vec::new(),
            gives: Gives::All,
            answers: 0,
        })))
    }

    pub(super) fn note(&self, held: Held) {
        self.0.lock().held.push(held);
    }

    /// Takes one of those that are held.
    pub(super) fn pick(&self, index: u8) -> Option<Held> {
        let held = &mut self.0.lock().held;
        (!held.is_empty()).then(|| held.swap_remove(usize::from(index) % held.len()))
    }

    /// It was freed, or passed on: its receipt is worth nothing any more.
    pub(super) fn ended(&self, span: Span) {
        self.0.lock().stale.push(span);
    }

    /// All that anybody has.
    pub(super) fn all(&self) -> Vec<Held> {
        let books = self.0.lock();
        books.held.iter().chain(&books.stashed).copied().collect()
    }
}

/// Gives back what is stashed, as the script says.
pub(super) struct Stash {
    pub(super) books: Shared,
    /// Of nobody: it would keep itself alive by another.
    pub(super) arena: kva::Arena,
}

impl Reclaim for Stash {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let gives = self.books.0.lock().gives;
        if let Gives::Aims(start) = gives {
            let aimed = shortage.aim(u32::from(start) % 64);
            assert!(!aimed || shortage.window().is_some(), "only a window is moved");
        }
        if let Some(window) = shortage.window() {
            assert_eq!(window.end - window.start, shortage.shape().len(), "a window is a run of the shape");
        }
        let mut given = Vec::new();
        {
            let books = &mut *self.books.0.lock();
            let is_given = |held: &mut Held| match gives {
                Gives::Nothing => false,
                Gives::All | Gives::One => true,
                Gives::OfUse | Gives::Aims(_) => shortage.is_within(held.span),
            };
            given.extend(books.stashed.extract_if(.., is_given));
            if gives == Gives::One {
                books.stashed.extend(given.drain(1.min(given.len())..));
            }
        }
        for held in given {
            self.arena.free(held.span).expect("what is stashed is held");
            self.books.ended(held.span);
        }
    }
}

/// Moves spans of the first client, or says why not.
pub(super) struct Mover(pub(super) Shared);

impl Relocate for Mover {
    fn relocate(&self, from: Span, to: Span) -> Relocation {
        let books = &mut *self.0.0.lock();
        let everybody = books.held.iter().chain(&books.stashed);
        for held in everybody {
            let (there, here) = (to.range(), held.span.range());
            assert!(there.end <= here.start || here.end <= there.start, "{to:?} is {held:?}'s");
        }
        let Some(at) = books.held.iter().position(|held| held.span == from) else {
            return Relocation::Later;
        };
        let held = &mut books.held[at];
        assert_eq!((held.who, to.len()), (1, from.len()), "nobody else moves spans");
        assert!(held.shape.is_some(), "more than a shape was asked for");
        books.answers = books.answers.rotate_right(2);
        match books.answers & 3 {
            0 | 1 => {
                held.span = to;
                books.stale.push(from);
                Relocation::Moved
            }
            2 => Relocation::No,
            _ => {
                books.held.swap_remove(at);
                books.stale.push(from);
                Relocation::Unneeded
            }
        }
    }
}
