//! The scenarios, a file each.
//!
//! Each is written once, for any pool. It builds its own, and says what it observed.

mod behind;
mod bound;
mod cancelled;
mod closed;
mod failing;
mod inside;
mod panicking;
mod shrink;
mod spike;
mod surplus;

use serde::{Deserialize, Serialize, Serializer};

use crate::suite::subject::{BoxFuture, Need, Peer};

/// One scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// Its name in the table and on the command line.
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) title: &'static str,
    /// What is done.
    pub(crate) setup: &'static str,
    /// What passes.
    pub(crate) passes: &'static str,
    /// What a pool must have for it.
    pub(crate) needs: &'static [Need],
    pub(crate) run: fn(&'static Peer, Rounds) -> BoxFuture<anyhow::Result<Verdict>>,
}

/// How often the races are run, where that is not as often as their texts say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rounds(pub(crate) Option<usize>);

impl Rounds {
    /// This many, or fewer.
    fn at_most(self, all: usize) -> usize {
        self.0.map_or(all, |rounds| rounds.min(all))
    }
}

/// Its name.
impl Serialize for Scenario {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.name)
    }
}

/// What came of a scenario that could be put to a pool.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) pass: bool,
    /// In a few words, with numbers.
    pub(crate) observed: String,
}

impl Verdict {
    pub(crate) fn new(pass: bool, observed: impl Into<String>) -> Self {
        Self { pass, observed: observed.into() }
    }
}

/// All of them, in the table's order.
pub(crate) const SCENARIOS: [&Scenario; 12] = [
    &behind::SCENARIO,
    &inside::SCENARIO,
    &panicking::SCENARIO,
    &failing::SCENARIO,
    &shrink::IDLE,
    &shrink::OUT,
    &shrink::UNUSED,
    &bound::SCENARIO,
    &cancelled::SCENARIO,
    &closed::SCENARIO,
    &spike::SCENARIO,
    &surplus::SCENARIO,
];

#[cfg(test)]
mod tests {
    use kva::sync::thread;

    use super::*;
    use crate::suite::pools::naive::{HASTY, LOCKED};

    fn caught(scenario: &'static Scenario) {
        let peer = if scenario.name == "behind" { &LOCKED } else { &HASTY };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let verdict = runtime.block_on((scenario.run)(peer, Rounds::default())).unwrap();
        assert!(!verdict.pass, "{}: {}", scenario.name, verdict.observed);
        runtime.shutdown_background();
    }

    #[test]
    fn each_catches_a_pool_with_its_flaw() {
        // At once, since most of them wait for what never comes.
        let all = SCENARIOS.map(|scenario| thread::spawn(move || caught(scenario)));
        for one in all {
            one.join().unwrap();
        }
    }
}
