//! What is counted: the objects, and the making of them.
//!
//! Every pool is given the same [`Maker`] and does with it what it does with its users'
//! creators. An object is alive until it is dropped, wherever it is; one that is being made
//! counts until its making ends, be it by a panic or because its future is dropped. The
//! counts are under one lock, so that the most at once is a sum that was true.

use std::fmt;
use std::thread;
use std::time::Duration;

use kva::sync::{Arc, Mutex};

/// The figures of one pool.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Made and not yet dropped.
    pub(crate) alive: u32,
    /// Being made.
    pub(crate) making: u32,
    /// Makings begun so far.
    pub(crate) begun: u32,
    /// The most that were alive or being made at once.
    pub(crate) most: u32,
}

/// How one making goes.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    /// How long until it ends.
    pub(crate) takes: Duration,
    pub(crate) end: End,
}

/// How a making ends.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Made,
    Never,
    Panics,
    Fails,
}

/// What the makings do: the step of each, which are numbered from 0.
pub(crate) type Script = fn(u32) -> Step;

/// A step that ends at once.
pub(crate) const fn at_once(end: End) -> Step {
    Step { takes: Duration::ZERO, end }
}

/// Makes objects and counts them. Clones are the same maker.
#[derive(Clone)]
pub(crate) struct Maker(Arc<Mutex<State>>);

struct State {
    counts: Counts,
    script: Script,
    /// Makings begun before the script was given.
    before: u32,
}

/// An object of a pool. It says that it is alive.
pub(crate) struct Object(Maker);

/// Why there is no object.
#[derive(Debug)]
pub(crate) struct Refused(String);

/// A making that has begun. Dropped, it is over.
struct Making {
    maker: Maker,
    /// Whether an object came of it.
    made: bool,
}

impl Maker {
    /// Makes whatever it is asked for, at once.
    pub(crate) fn new() -> Self {
        let script: Script = |_| at_once(End::Made);
        Self(Arc::new(Mutex::new(State { counts: Counts::default(), script, before: 0 })))
    }

    /// From now on makings follow `script`, numbered anew.
    pub(crate) fn follow(&self, script: Script) {
        let mut state = self.0.lock();
        state.script = script;
        state.before = state.counts.begun;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().counts
    }

    /// Makes one, on this thread.
    pub(crate) fn make(&self) -> Result<Object, Refused> {
        let (making, step) = self.begin();
        thread::sleep(step.takes);
        match step.end {
            End::Never => loop {
                thread::sleep(Duration::from_hours(1));
            },
            end => making.end(end),
        }
    }

    /// Makes one, as a future.
    pub(crate) async fn make_async(self) -> Result<Object, Refused> {
        let (making, step) = self.begin();
        if !step.takes.is_zero() {
            tokio::time::sleep(step.takes).await;
        }
        match step.end {
            End::Never => std::future::pending().await,
            end => making.end(end),
        }
    }

    fn begin(&self) -> (Making, Step) {
        let mut state = self.0.lock();
        let step = (state.script)(state.counts.begun - state.before);
        let counts = &mut state.counts;
        counts.begun += 1;
        counts.making += 1;
        counts.most = counts.most.max(counts.alive + counts.making);
        drop(state);
        (Making { maker: self.clone(), made: false }, step)
    }
}

impl Making {
    fn end(mut self, end: End) -> Result<Object, Refused> {
        match end {
            End::Made => {
                self.made = true;
                let maker = self.maker.clone();
                drop(self);
                Ok(Object(maker))
            }
            End::Fails => Err(Refused::from("the creator failed")),
            End::Panics => panic!("the creator panicked"),
            End::Never => unreachable!("a making that never ends is not ended"),
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // Both under one lock: the sum neither dips nor counts the object twice.
        let mut state = self.maker.0.lock();
        state.counts.making -= 1;
        state.counts.alive += u32::from(self.made);
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.0.0.lock().counts.alive -= 1;
    }
}

impl From<&str> for Refused {
    fn from(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}
