//! A worker: a thread, or a task, that draws actions until its life is over.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use pool::{GetError, TryGetError};

use super::actions::{ACTIONS, TASKS};
use super::failure;
use super::world::World;

/// What an action came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Yes,
    /// With an error that was to be expected.
    Refused,
    /// By a panic that was planned.
    Panicked,
}

/// One action by name: how often it is drawn, and how often it came to what.
#[derive(Debug, Default)]
pub(crate) struct Count([AtomicU64; 3]);

impl Count {
    fn add(&self, done: Done) {
        // Relaxed: figures for people, and for the slope, which needs no better.
        self.0[done as usize].fetch_add(1, Relaxed);
    }

    /// Done, refused, panicked.
    pub(crate) fn all(&self) -> [u64; 3] {
        [0, 1, 2].map(|at: usize| self.0[at].load(Relaxed))
    }
}

/// A place for a worker, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Actions begun, here.
    pub(crate) begun: AtomicU64,
    /// Which it is in.
    pub(crate) action: AtomicU64,
    /// Whether somebody is in it.
    pub(crate) busy: AtomicBool,
}

/// What workers share beside the world.
pub(crate) struct Shift {
    pub(crate) world: Arc<World>,
    pub(crate) places: Vec<Place>,
    pub(crate) counts: Vec<Count>,
    pub(crate) stop: AtomicBool,
    /// Whether to leak one small allocation in a hundred actions.
    pub(crate) leak: bool,
}

/// What an action has.
pub(crate) struct Cx {
    pub(crate) world: Arc<World>,
    pub(crate) rng: fastrand::Rng,
    /// Whether this is the last thing it does.
    pub(crate) ends: bool,
}

impl Cx {
    pub(crate) fn one_in(&mut self, times: u32) -> bool {
        self.rng.u32(..times) == 0
    }

    /// Holds what one has for a moment: mostly none at all, seldom a millisecond.
    pub(crate) fn linger(&mut self) {
        match self.rng.u32(..64) {
            0 => std::thread::sleep(std::time::Duration::from_micros(self.rng.u64(..1000))),
            1..8 => std::thread::yield_now(),
            _ => {}
        }
    }

    /// A little patience: often too little.
    pub(crate) fn patience(&mut self) -> std::time::Duration {
        std::time::Duration::from_micros(1 << self.rng.u32(..12))
    }
}

/// Which errors an action is ready for.
#[expect(clippy::struct_excessive_bools, reason = "each is one kind of error")]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ready {
    pub(crate) timeout: bool,
    /// That there is none right now.
    pub(crate) none: bool,
    /// That making one failed.
    pub(crate) make: bool,
    /// That the limit was lowered.
    pub(crate) limit: bool,
    pub(crate) close: bool,
}

pub(crate) const SURE: Ready = Ready { timeout: false, none: false, make: false, limit: false, close: false };
pub(crate) const IN_TIME: Ready = Ready { timeout: true, ..SURE };
pub(crate) const NOW: Ready = Ready { none: true, ..SURE };

impl Ready {
    pub(crate) const fn or_fail(self) -> Self {
        Self { make: true, ..self }
    }
    pub(crate) const fn or_limit(self) -> Self {
        Self { limit: true, ..self }
    }
    pub(crate) const fn or_close(self) -> Self {
        Self { close: true, ..self }
    }

    /// What an error comes to. One that nobody is ready for is a failure of the run.
    pub(crate) fn get<E: std::fmt::Debug>(self, error: &GetError<E>) -> Done {
        let ready = match error {
            GetError::Closed => self.close,
            GetError::TimedOut(_) => self.timeout,
            GetError::Backend(_) | GetError::Abandoned | GetError::Construct(_) => self.make,
            GetError::TooMany { .. } => self.limit,
            _ => false,
        };
        if !ready {
            failure::report(format!("only what may go wrong does: {error:?}, where it was {self:?}"));
        }
        Done::Refused
    }

    pub(crate) fn try_get<E: std::fmt::Debug>(self, error: &TryGetError<E>) -> Done {
        let ready = match error {
            TryGetError::Closed => self.close,
            TryGetError::Exhausted | TryGetError::Scarce => self.none,
            TryGetError::Backend(_) | TryGetError::Construct(_) => self.make,
            TryGetError::TooMany { .. } => self.limit,
            _ => false,
        };
        if !ready {
            failure::report(format!("only what may go wrong does: {error:?}, where it was {self:?}"));
        }
        Done::Refused
    }
}

/// Draws one of `actions` by its weight.
fn draw<A>(rng: &mut fastrand::Rng, actions: &[(&'static str, u32, A)]) -> usize {
    let sum: u32 = actions.iter().map(|(_, weight, _)| weight).sum();
    let mut at = rng.u32(..sum);
    for (index, (_, weight, _)) in actions.iter().enumerate() {
        if at < *weight {
            return index;
        }
        at -= weight;
    }
    unreachable!("it is below the sum")
}

/// The actions of threads come first in tables, then those of tasks.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|(name, ..)| *name).chain(TASKS.iter().map(|(name, ..)| *name))
}

impl Shift {
    fn begins(&self, place: usize, action: usize) {
        self.places[place].action.store(action as u64, Relaxed);
        let nth = self.places[place].begun.fetch_add(1, Relaxed) + 1;
        if self.leak && nth.is_multiple_of(100) {
            // What the run is to find.
            std::mem::forget(std::hint::black_box(Box::new([nth; 2])));
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Relaxed) && !failure::is_reported()
    }
}

/// A thread's life: so many actions, and then it ends with whatever its caches have. A panic ends it, too.
pub(crate) fn live(shift: &Shift, place: usize, seed: u64) {
    let mut cx = Cx { world: shift.world.clone(), rng: fastrand::Rng::with_seed(seed), ends: false };
    // What is made by futures needs a clock, whoever drives them.
    let _within = shift.world.runtime.enter();
    let life = cx.rng.u64(20..2000);
    for _ in 0..life {
        if cx.ends || !shift.goes_on() {
            break;
        }
        let action = draw(&mut cx.rng, ACTIONS);
        shift.begins(place, action);
        let (name, _, act) = ACTIONS[action];
        match catch_unwind(AssertUnwindSafe(|| act(&mut cx))) {
            Ok(done) => shift.counts[action].add(done),
            Err(panic) => {
                if failure::was_planned(&*panic, name) {
                    shift.counts[action].add(Done::Panicked);
                }
                // Half of them end their thread in the middle of things.
                if cx.rng.bool() {
                    break;
                }
            }
        }
    }
    shift.places[place].busy.store(false, Relaxed);
}

/// Says that a task's place is empty, also if it unwinds.
struct Leaves<'s>(&'s Place);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Relaxed);
    }
}

/// A task's life. A panic ends it.
pub(crate) async fn live_as_task(shift: Arc<Shift>, place: usize, seed: u64) {
    let _leaves = Leaves(&shift.places[place]);
    let mut cx = Cx { world: shift.world.clone(), rng: fastrand::Rng::with_seed(seed), ends: false };
    let life = cx.rng.u64(20..1000);
    for nth in 0..life {
        if !shift.goes_on() {
            break;
        }
        let task = draw(&mut cx.rng, TASKS);
        shift.begins(place, ACTIONS.len() + task);
        let done = (TASKS[task].2)(&mut cx).await;
        shift.counts[ACTIONS.len() + task].add(done);
        if nth % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
}
