//! What an operation is dropped in: a pool or an arena, somebody who has two of it, and what can happen.

use std::fmt::Debug;
use std::pin::Pin;

use kva::sync::Arc;
use kva::{Arena, Span};
use pool::{Backend, Pool, RawPool};

use super::HELD;
use super::gate::Gate;
use super::support::{AnyPool, assert_whole};

/// What was got; dropped as one. With a name, or the compiler loses sight of its being `Send` in a choice.
pub(crate) struct Had(#[allow(dead_code, reason = "it is dropped")] Box<dyn Send>);

/// What was got, or how that failed.
pub(crate) type Outcome = Result<Had, String>;
pub(crate) type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub(crate) fn had<T: Send + 'static>(had: T) -> Had {
    Had(Box::new(had))
}

pub(crate) fn boxed<T: Send + 'static, E: Debug>(outcome: Result<T, E>) -> Outcome {
    outcome.map(had).map_err(|error| format!("{error:?}"))
}

/// What it is about, as far as it is the same for all.
pub(crate) trait Subject {
    fn close(&self);
    /// The limit comes down to what is out.
    fn lower(&self);
    fn looks(&self) -> Looks;
    /// P6, once everything was let go.
    fn assert_rest(&self);
}

/// What it says of itself.
pub(crate) struct Looks {
    /// Held and asked for, of how much.
    pub(crate) used: u32,
    pub(crate) most: u32,
    pub(crate) idle: usize,
    pub(crate) waiting: usize,
}

pub(crate) struct World {
    pub(crate) subject: Box<dyn Subject>,
    /// The operation that is looked at.
    pub(crate) begin: Box<dyn Fn() -> Running>,
    /// A plain get.
    pub(crate) get: Box<dyn Fn() -> Running>,
    /// What somebody else has.
    pub(crate) held: Vec<Box<dyn Send>>,
    /// The memory behind it, and what of it somebody else has.
    pub(crate) memory: Option<(Arena, Option<Span>)>,
    pub(crate) gate: Gate,
}

impl World {
    /// Somebody puts.
    pub(crate) fn put(&mut self) {
        drop(self.held.pop());
    }

    /// The back-end has a page; of what somebody else makes, a creation or a validation, one step is done.
    pub(crate) fn page(&mut self) {
        if let Some((memory, span)) = &mut self.memory {
            span.take().inspect(|span| memory.free(*span).unwrap());
        }
        self.gate.open(1);
    }

    pub(crate) fn assert_rest(mut self) {
        self.held.clear();
        self.subject.assert_rest();
        drop((self.subject, self.begin, self.get));
        assert_eq!(self.gate.live(), 0, "what was made or begun has ended");
        if let Some((memory, _)) = &self.memory {
            assert_whole(memory);
        }
    }
}

fn looks(pool: &impl AnyPool) -> Looks {
    let stats = pool.stats();
    let used = stats.pages + stats.growing;
    Looks { used, most: stats.hard_limit, idle: stats.idle, waiting: stats.waiting }
}

fn rests(pool: &impl AnyPool) {
    pool.drain();
    let stats = pool.stats();
    assert_eq!((stats.out, stats.waiting, stats.growing, stats.pages), (0, 0, 0, 0), "{stats:?}");
    assert_eq!(stats.gets, stats.puts, "{stats:?}");
}

impl<T: Send + 'static, B: Backend> Subject for Pool<T, B> {
    fn close(&self) {
        self.close();
    }
    fn lower(&self) {
        self.set_hard_limit(HELD as u32).unwrap();
    }
    fn looks(&self) -> Looks {
        looks(self)
    }
    fn assert_rest(&self) {
        rests(self);
    }
}

impl Subject for RawPool {
    fn close(&self) {
        self.close();
    }
    fn lower(&self) {
        self.set_hard_limit(HELD as u32).unwrap();
    }
    fn looks(&self) -> Looks {
        looks(self)
    }
    fn assert_rest(&self) {
        rests(self);
    }
}

/// An arena has no limit but its size.
impl Subject for Arena {
    fn close(&self) {
        self.close();
    }
    fn lower(&self) {}
    fn looks(&self) -> Looks {
        let stats = self.stats();
        let free = stats.free + stats.withheld;
        Looks { used: stats.quanta - free, most: stats.quanta, idle: free as usize, waiting: stats.waiting }
    }
    fn assert_rest(&self) {
        assert_whole(self);
    }
}

/// Shared with those that run.
impl<S: Subject> Subject for Arc<S> {
    fn close(&self) {
        (**self).close();
    }
    fn lower(&self) {
        (**self).lower();
    }
    fn looks(&self) -> Looks {
        (**self).looks()
    }
    fn assert_rest(&self) {
        (**self).assert_rest();
    }
}
