//! What a scenario sees of a pool, and what it may ask of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::suite::census::Maker;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An object that a getter was given. Dropping it puts it back.
pub(crate) type Held = Box<dyn Send>;

/// What a getter was told: an object, or an error in the pool's own words.
pub(crate) type Got = Result<Held, String>;

/// A pool under probe. Handles are the same pool.
pub(crate) type Subject = Arc<dyn Probed>;

/// One get, not begun, in the form that the pool has for it.
pub(crate) enum Get {
    /// A future. Dropped, it is cancelled.
    Task(BoxFuture<Got>),
    /// A call that blocks its thread, for as long as is said or without end.
    Thread(Box<dyn FnOnce(Option<Duration>) -> Got + Send>),
}

/// A pool, as its users have it. What a [`Peer`] says it lacks is never called.
pub(crate) trait Probed: Send + Sync {
    fn get(&self) -> Get;

    /// Changes the limit.
    fn resize(&self, _limit: usize) -> BoxFuture<()> {
        unreachable!("it has no resize")
    }

    /// Ends the pool for those who wait.
    fn close(&self) {
        unreachable!("it has no close")
    }
}

/// Wraps a future that gets, whatever its guard and its error are.
pub(crate) fn task<T: Send + 'static, E: ToString>(
    get: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Get {
    Get::Task(Box::pin(async move { told(get.await) }))
}

/// Wraps a call that gets.
pub(crate) fn thread<T: Send + 'static, E: ToString>(
    get: impl FnOnce(Option<Duration>) -> Result<T, E> + Send + 'static,
) -> Get {
    Get::Thread(Box::new(move |patience| told(get(patience))))
}

fn told<T: Send + 'static, E: ToString>(got: Result<T, E>) -> Got {
    match got {
        Ok(guard) => Ok(Box::new(guard)),
        Err(error) => Err(error.to_string()),
    }
}

/// What a scenario cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A bound on the objects there are.
    Limit,
    /// A get that waits for an object to be put.
    Waiting,
    /// A creator that the pool calls.
    Creator,
    /// A creator that may fail.
    FallibleCreator,
    /// A getter that does not run the creator on its own thread.
    FreeGetter,
    /// A limit that can be changed.
    Resize,
    /// An end that is told to those who wait.
    Close,
    /// A setting for how many creates there may be at once.
    CreatesBound,
    /// A setting for how many objects may be idle, which acts as they become so.
    IdleBound,
}

/// How a pool is to be made.
pub(crate) struct Setup {
    /// The most objects.
    pub(crate) limit: usize,
    /// The most objects kept idle, where the pool has such a setting.
    pub(crate) keep: usize,
    /// The fewest objects, where the pool has such a setting.
    pub(crate) minimum: usize,
    /// The most creates at once, where the pool has such a setting, or its default.
    pub(crate) creates: Option<usize>,
    pub(crate) maker: Maker,
}

impl Setup {
    /// No more than a limit.
    pub(crate) fn limited(limit: usize, maker: &Maker) -> Self {
        Self { limit, keep: limit, minimum: 0, creates: None, maker: maker.clone() }
    }
}

/// A pool that takes part.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its name in the table and on the command line.
    pub(crate) name: &'static str,
    /// Its package.
    pub(crate) package: &'static str,
    /// How it is configured, and where it runs its creator.
    pub(crate) setup: &'static str,
    /// What it does not have, and why a scenario that needs it cannot be put to it.
    pub(crate) lacks: &'static [(Need, &'static str)],
    pub(crate) build: fn(Setup) -> BoxFuture<anyhow::Result<Subject>>,
}

impl Peer {
    /// Whether it is this workspace's pool.
    pub(crate) fn is_ours(&self) -> bool {
        self.package == "pool"
    }

    /// Why it cannot be put through what needs all of `needs`.
    pub(crate) fn lacks(&self, needs: &[Need]) -> Option<String> {
        let lacked = self.lacks.iter().filter(|(need, _)| needs.contains(need)).map(|(_, why)| *why);
        let reasons: Vec<_> = lacked.collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// Its name.
impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.name)
    }
}
