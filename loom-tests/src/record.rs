//! What happened in one execution, in the order in which it did: who did what, and to whom.
//!
//! A world that is recorded notes its steps where they are done. loom does not see the
//! notes, so that a world explores as many executions with them as without; and since it
//! runs one thread at a time, they are in the order in which it ran them. A step that is a
//! call is noted before it, and its outcome after it.
//!
//! Threads are told apart by [`Recorder::i_am`]: what is noted deep inside an allocator
//! carries the name of the thread that called it.

use std::fmt;
use std::sync::PoisonError;

use kva::sync::Arc;
use kva::sync::thread;
use serde::{Deserialize, Serialize};

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Who did it.
    pub who: String,
    /// To whom; to nobody: it is about who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What was done.
    pub what: String,
    /// Whether it is the outcome of an earlier step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outcome: bool,
}

/// An execution that loom found, as `loom-tests/recordings/` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The model's name.
    pub model: String,
    /// Which execution it is, of those that loom explored, from 1.
    pub execution: usize,
    /// What failed in it.
    pub failed: String,
    /// What happened.
    pub steps: Vec<Step>,
}

impl Recording {
    /// Reads one.
    ///
    /// # Errors
    /// It is none: says where it is not.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// As it is committed: one that is read again is the same.
    ///
    /// # Panics
    /// Never: it is made of strings and numbers.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers") + "\n"
    }
}

/// The steal race of option 3 without claims, as loom found it (`tests/steal.rs`,
/// `steal/no_claim`): a [`Recording`] in JSON.
pub const STEAL: &str = include_str!("../recordings/steal.json");

#[derive(Debug, Default)]
struct Notes {
    steps: Vec<Step>,
    names: Vec<(thread::ThreadId, &'static str)>,
}

#[allow(clippy::disallowed_types, reason = "loom must not see it")]
type Shared = Arc<std::sync::Mutex<Notes>>;

/// Where steps are noted. The default notes nothing.
#[derive(Clone, Default)]
pub struct Recorder(Option<Shared>);

impl Recorder {
    /// One that has noted nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Notes) -> R) -> Option<R> {
        let notes = self.0.as_ref()?;
        // The notes are whole between any two of its methods, so a panic elsewhere is nothing to them.
        Some(f(&mut notes.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Begins anew: another execution, with other threads.
    pub fn clear(&self) {
        self.with(|notes| *notes = Notes::default());
    }

    /// Names the thread that calls.
    pub fn i_am(&self, name: &'static str) {
        self.with(|notes| notes.names.push((thread::id(), name)));
    }

    /// The thread that calls does something to itself, or comes to know something.
    pub fn note(&self, what: impl Into<String>) {
        self.step(None, None, what.into(), false);
    }

    /// The same of `who`, which is no thread.
    pub fn note_of(&self, who: &'static str, what: impl Into<String>) {
        self.step(Some(who), None, what.into(), false);
    }

    /// The thread that calls does something to `to`.
    pub fn call(&self, to: &'static str, what: impl Into<String>) {
        self.step(None, Some(to), what.into(), false);
    }

    /// What the thread that calls has of `from`, of which it had asked for something.
    pub fn outcome(&self, from: &'static str, what: impl Into<String>) {
        self.with(|notes| {
            let to = notes.name().to_owned();
            notes.steps.push(Step { who: from.to_owned(), to: Some(to), what: what.into(), outcome: true });
        });
    }

    /// `who`, which is no thread, does something to `to`, on the thread that calls.
    pub fn inside(&self, who: &'static str, to: &'static str, what: impl Into<String>) {
        self.step(Some(who), Some(to), what.into(), false);
    }

    fn step(&self, who: Option<&'static str>, to: Option<&'static str>, what: String, outcome: bool) {
        self.with(|notes| {
            let who = who.unwrap_or_else(|| notes.name()).to_owned();
            notes.steps.push(Step { who, to: to.map(str::to_owned), what, outcome });
        });
    }

    /// What was noted so far.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        self.with(|notes| notes.steps.clone()).unwrap_or_default()
    }
}

impl Notes {
    fn name(&self) -> &'static str {
        let me = thread::id();
        self.names.iter().rev().find(|(id, _)| *id == me).map_or("somebody", |(_, name)| name)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorder").field(&self.steps().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_read_and_written_as_it_is() {
        let recording = Recording::from_json(STEAL).unwrap();
        assert!(recording.execution > 0 && !recording.steps.is_empty());
        assert_eq!(recording.to_json(), STEAL);
    }

    #[test]
    #[cfg(not(loom))]
    fn steps_carry_the_name_of_the_thread_that_did_them() {
        let recorder = Recorder::new();
        recorder.i_am("one");
        recorder.note("before");
        recorder.clear();
        recorder.i_am("two");
        recorder.call("three", "asks");
        let inside = recorder.clone();
        let other = thread::spawn(move || inside.outcome("three", "answers"));
        other.join().unwrap();
        let step = |who: &str, to: &str, what: &str, outcome| Step {
            who: who.into(),
            to: Some(to.into()),
            what: what.into(),
            outcome,
        };
        let steps = [step("two", "three", "asks", false), step("three", "somebody", "answers", true)];
        assert_eq!(recorder.steps(), steps);
        Recorder::default().note("nothing");
        assert!(Recorder::default().steps().is_empty());
    }
}
