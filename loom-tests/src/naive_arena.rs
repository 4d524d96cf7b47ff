//! An arena as one writes it on a free afternoon: a bitmap, one large request, one lock. Each
//! flaw is one of who lets small requests starve it.

use kva::sync::Mutex;
use kva::{Arena, Span};

use crate::asking::Asker;
use crate::world::{assert_arena_whole, numbers, one, shape};

/// What a world of windows is played on.
pub trait Quanta: Send + Sync + 'static {
    /// One quantum that is taken.
    type Quantum: Copy + Send + 'static;

    /// Takes a quantum, if one can be had.
    fn take_one(&self) -> Option<Self::Quantum>;
    /// Where it is.
    fn at(&self, quantum: Self::Quantum) -> u32;
    /// Frees it.
    fn free(&self, quantum: Self::Quantum);
    /// From now on somebody waits for `len` quanta side by side.
    fn wait_for(&self, len: u32);
    /// Whether they were had.
    fn is_served(&self) -> bool;
    /// How many free quanta nobody else can have.
    fn withheld(&self) -> u32;
    /// Frees them. Nothing else is taken, and nothing was lost.
    fn end(&self);
}

/// All of them, in order.
#[must_use]
pub fn take_all<Q: Quanta>(quanta: &Q) -> Vec<Q::Quantum> {
    let mut all: Vec<_> = std::iter::from_fn(|| quanta.take_one()).collect();
    all.sort_by_key(|quantum| quanta.at(*quantum));
    all
}

/// That of production, and who asks.
#[derive(Debug)]
pub struct Real(pub Arena, pub Asker);

impl Real {
    /// An arena of so many quanta.
    #[must_use]
    pub fn new(quanta: u32, bypass: u32) -> Self {
        Self(numbers(quanta, bypass), Asker::new(1))
    }
}

impl Quanta for Real {
    type Quantum = Span;

    fn take_one(&self) -> Option<Span> {
        self.0.try_alloc(one()).ok()
    }
    fn at(&self, quantum: Span) -> u32 {
        quantum.start()
    }
    fn free(&self, quantum: Span) {
        self.0.free(quantum).expect("a span that is taken");
    }
    fn wait_for(&self, len: u32) {
        self.1.ask(&self.0, 0, shape(len));
    }
    fn is_served(&self) -> bool {
        self.1.granted() == 1
    }
    fn withheld(&self) -> u32 {
        self.0.stats().withheld
    }
    fn end(&self) {
        self.1.free_all(&self.0);
        assert_arena_whole(&self.0);
    }
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing is kept for who waits: a free looks whether it fits now.
    NoWindow,
    /// A free looks for the best window in one hold of the lock, and moves it in the next.
    AimsInTwoSteps,
}

#[derive(Debug)]
struct State {
    busy: Vec<bool>,
    wanted: usize,
    window: Option<usize>,
    served: Option<usize>,
}

/// The naive one.
#[derive(Debug)]
pub struct NaiveArena {
    flaw: Flaw,
    state: Mutex<State>,
}

impl NaiveArena {
    /// Of so many quanta.
    #[must_use]
    pub fn new(flaw: Flaw, quanta: usize) -> Self {
        let state = State { busy: vec![false; quanta], wanted: 0, window: None, served: None };
        Self { flaw, state: Mutex::new(state) }
    }
}

impl State {
    fn busy_in(&self, start: usize) -> usize {
        self.busy[start..start + self.wanted].iter().filter(|busy| **busy).count()
    }

    /// The place with the least busy inside; where it is, if none is better.
    fn best(&self) -> usize {
        let best = (0..=self.busy.len() - self.wanted).min_by_key(|start| self.busy_in(*start));
        let best = best.expect("it would fit");
        self.window.filter(|&window| self.busy_in(window) <= self.busy_in(best)).unwrap_or(best)
    }

    fn is_withheld(&self, at: usize) -> bool {
        self.window.is_some_and(|start| (start..start + self.wanted).contains(&at))
    }

    fn serve_at(&mut self, start: usize) {
        if self.busy_in(start) == 0 {
            self.busy[start..start + self.wanted].fill(true);
            (self.served, self.window) = (Some(start), None);
        }
    }

    const fn waits(&self) -> bool {
        self.wanted > 0 && self.served.is_none()
    }
}

impl Quanta for NaiveArena {
    type Quantum = u32;

    fn take_one(&self) -> Option<u32> {
        let mut state = self.state.lock();
        let at = (0..state.busy.len()).rfind(|&at| !state.busy[at] && !state.is_withheld(at))?;
        state.busy[at] = true;
        u32::try_from(at).ok()
    }
    fn at(&self, quantum: u32) -> u32 {
        quantum
    }
    fn free(&self, quantum: u32) {
        let mut state = self.state.lock();
        state.busy[quantum as usize] = false;
        if !state.waits() {
            return;
        }
        let best = state.best();
        if self.flaw == Flaw::AimsInTwoSteps {
            drop(state);
            state = self.state.lock();
            if !state.waits() {
                return;
            }
            state.window = Some(best);
        }
        state.serve_at(best);
    }
    fn wait_for(&self, len: u32) {
        let mut state = self.state.lock();
        state.wanted = len as usize;
        let best = state.best();
        state.window = Some(best).filter(|_| self.flaw != Flaw::NoWindow);
        state.serve_at(best);
    }
    fn is_served(&self) -> bool {
        self.state.lock().served.is_some()
    }
    fn withheld(&self) -> u32 {
        let state = self.state.lock();
        (0..state.busy.len()).filter(|&at| !state.busy[at] && state.is_withheld(at)).count() as u32
    }
    fn end(&self) {
        let mut state = self.state.lock();
        if let Some(start) = state.served.take() {
            let end = start + state.wanted;
            state.busy[start..end].fill(false);
        }
        assert!(state.busy.iter().all(|busy| !busy), "rest: a span was lost");
    }
}
