//! What checks which promise: `verification.toml`.

use std::fmt;

use anyhow::Context;
use serde::Deserialize;

/// All that is promised, and what it rests on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    pub(super) promise: Vec<Promise>,
    pub(super) foundation: Vec<Foundation>,
}

/// A promise, and by each method what checks it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Promise {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) says: String,
    pub(super) loom: Evidence<Race>,
    pub(super) shuttle: Evidence<Race>,
    pub(super) spin: Evidence<Race>,
    pub(super) properties: Evidence<Tests>,
    pub(super) faults: Evidence<Tests>,
    pub(super) stress: Evidence<Tests>,
    /// What the soak says where it does not hold.
    pub(super) soak: Evidence<String>,
}

/// What no promise says, and they rest on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Foundation {
    pub(super) title: String,
    pub(super) loom: Vec<Race>,
}

/// What a method has on a promise.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Evidence<T> {
    Has(Vec<T>),
    /// Nothing, and why it cannot.
    Cannot(String),
}

impl<T> Evidence<T> {
    pub(super) fn list(&self) -> &[T] {
        match self {
            Self::Has(list) => list,
            Self::Cannot(_) => &[],
        }
    }
}

/// Worlds of one race: those that must hold, and the same ones with a bug in them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Race {
    pub(super) holds: Vec<String>,
    #[serde(default)]
    pub(super) twins: Vec<String>,
}

/// Tests of one program.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Tests {
    pub(super) program: Program,
    /// What is in their names.
    pub(super) filter: String,
}

/// What `cargo test` runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Program {
    pub(super) package: String,
    /// A file of `tests`; without one, the unit tests.
    pub(super) test: Option<String>,
}

impl TryFrom<String> for Tests {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (package, test, filter) = match *words {
            [package, "--lib", ref filter @ ..] => (package, None, filter),
            [package, "--test", test, ref filter @ ..] => (package, Some(test.to_owned()), filter),
            _ => anyhow::bail!("neither `PACKAGE --lib` nor `PACKAGE --test NAME`: {text:?}"),
        };
        anyhow::ensure!(filter.len() <= 1, "more than one filter: {text:?}");
        let filter = filter.first().copied().unwrap_or_default().to_owned();
        Ok(Self { program: Program { package: package.to_owned(), test }, filter })
    }
}

impl Program {
    /// What names it for `cargo test`.
    pub(super) fn arguments(&self) -> Vec<&str> {
        match &self.test {
            None => vec!["-p", &self.package, "--lib"],
            Some(test) => vec!["-p", &self.package, "--test", test],
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arguments().join(" "))
    }
}

impl fmt::Display for Tests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [&*self.program.to_string(), &self.filter];
        f.write_str(words.join(" ").trim_end())
    }
}

impl Plan {
    /// # Errors
    /// The list is not one.
    pub(super) fn load() -> anyhow::Result<Self> {
        toml::from_str(include_str!("../../verification.toml")).context("xtask/verification.toml")
    }

    /// All tests that are named.
    pub(super) fn tests(&self) -> impl Iterator<Item = &Tests> {
        self.promise.iter().flat_map(|promise| {
            [&promise.properties, &promise.faults, &promise.stress].into_iter().flat_map(Evidence::list)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::{loom, shuttle, spin};

    fn names<'a>(races: impl IntoIterator<Item = &'a Race>) -> BTreeSet<&'a str> {
        races.into_iter().flat_map(|race| race.holds.iter().chain(&race.twins)).map(|name| &**name).collect()
    }

    #[test]
    fn each_model_world_and_case_is_for_something() {
        let plan = Plan::load().unwrap();
        let of = |method: fn(&Promise) -> &Evidence<Race>| {
            plan.promise.iter().flat_map(move |promise| method(promise).list())
        };
        let foundations = plan.foundation.iter().flat_map(|foundation| &foundation.loom);
        let loom = names(of(|promise| &promise.loom).chain(foundations));
        assert_eq!(loom, loom::EXPECTED.iter().copied().collect());
        assert_eq!(names(of(|promise| &promise.shuttle)), shuttle::EXPECTED.iter().copied().collect());
        assert_eq!(names(of(|promise| &promise.spin)), spin::names().collect());
    }

    #[test]
    fn no_cell_of_a_promise_is_empty() {
        let plan = Plan::load().unwrap();
        assert!(plan.promise.iter().map(|promise| &*promise.name).eq((1..=8).map(|n| format!("P{n}"))));
        for promise in &plan.promise {
            let races = [&promise.loom, &promise.shuttle, &promise.spin];
            let tests = [&promise.properties, &promise.faults, &promise.stress];
            assert!(races.into_iter().all(is_filled) && tests.into_iter().all(is_filled), "{}", promise.name);
            assert!(is_filled(&promise.soak), "{}", promise.name);
        }
    }

    fn is_filled<T>(evidence: &Evidence<T>) -> bool {
        match evidence {
            Evidence::Has(list) => !list.is_empty(),
            Evidence::Cannot(why) => !why.is_empty(),
        }
    }

    #[test]
    fn each_program_that_is_named_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for tests in Plan::load().unwrap().tests() {
            let Program { package, test } = &tests.program;
            let file = match test {
                None => root.join(package).join("src/lib.rs"),
                Some(test) => {
                    let path = root.join(package).join("tests").join(test);
                    if path.is_dir() { path.join("main.rs") } else { path.with_extension("rs") }
                }
            };
            assert!(fs::exists(&file).unwrap(), "{tests}: {}", file.display());
        }
    }

    #[test]
    fn each_law_that_is_named_is_one_of_the_soaks() {
        let soak = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("pool").join("examples/soak");
        let folders = [soak.join("actions"), soak].map(|folder| fs::read_dir(folder).unwrap());
        let files = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
        let sources: String =
            files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()).collect();
        for promise in &Plan::load().unwrap().promise {
            for law in promise.soak.list() {
                assert!(law.starts_with(&format!("{}: ", promise.name)), "{law}");
                assert!(sources.contains(law), "{law}");
            }
        }
    }

    #[test]
    fn tests_are_named_as_for_cargo() {
        let tests = |text: &str| Tests::try_from(text.to_owned());
        assert_eq!(tests("pool --test cancel").unwrap().to_string(), "-p pool --test cancel");
        assert_eq!(tests("kva --lib space::").unwrap().filter, "space::");
        for wrong in ["", "pool", "pool --test", "pool --bin x", "pool --lib a b"] {
            assert!(tests(wrong).is_err(), "{wrong}");
        }
    }
}
