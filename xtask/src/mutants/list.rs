//! The list of mutants, and how one is put into the code.

use std::fmt;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// One rule of the protocol, undone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mutant {
    pub(super) name: String,
    /// The promise that it breaks.
    pub(super) promise: String,
    /// What it undoes.
    pub(super) rule: String,
    /// Where, from the root of the workspace.
    pub(super) file: String,
    /// What is there once.
    find: String,
    replace: String,
    pub(super) judge: Judge,
    /// Words of what the judge is to say.
    pub(super) message: Option<String>,
    /// Why nothing can tell it from the original.
    pub(super) equivalent: Option<String>,
}

/// What is to fail.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Judge {
    /// A model, in this file of `loom-tests/tests`.
    Model { test: String, model: String },
    /// A unit test of this package, by its path; or one in this file of the package's `tests`.
    Unit { package: String, test: Option<String>, unit: String },
}

impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model { model, .. } => f.pad(model),
            Self::Unit { package, test: None, unit } => f.pad(&format!("{package}: {unit}")),
            Self::Unit { package, test: Some(test), unit } => f.pad(&format!("{package}: {test}: {unit}")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

/// All of them.
pub(super) fn load() -> anyhow::Result<Vec<Mutant>> {
    let list: List = toml::from_str(include_str!("../../mutants.toml")).context("xtask/mutants.toml")?;
    Ok(list.mutant)
}

impl Mutant {
    /// The source with this in it.
    ///
    /// # Errors
    /// What it replaces is not in there, or more than once.
    pub(super) fn apply(&self, source: &str) -> anyhow::Result<String> {
        let times = source.matches(&self.find).count();
        ensure!(
            times == 1,
            "this mutant does not apply any more: {}: its text is {times} times in {}",
            self.name,
            self.file
        );
        ensure!(self.find != self.replace, "{}: it changes nothing", self.name);
        Ok(source.replacen(&self.find, &self.replace, 1))
    }

    /// Whether it is asked for by this.
    pub(super) fn has(&self, part: &str) -> bool {
        let judge = self.judge.to_string();
        [&*self.name, &self.file, &self.promise, &judge].iter().any(|text| text.contains(part))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::loom::EXPECTED;

    fn mutant(find: &str) -> Mutant {
        Mutant {
            name: "m".into(),
            promise: "P1".into(),
            rule: "r".into(),
            file: "f".into(),
            find: find.into(),
            replace: "none".into(),
            judge: Judge::Model { test: "t".into(), model: "t/m".into() },
            message: None,
            equivalent: None,
        }
    }

    #[test]
    fn a_mutant_applies_once_or_not_at_all() {
        assert_eq!(mutant("two").apply("one two three").unwrap(), "one none three");
        for source in ["one three", "two two"] {
            let error = mutant("two").apply(source).unwrap_err().to_string();
            assert!(error.contains("does not apply any more: m"), "{error}");
        }
        assert!(mutant("none").apply("none").is_err(), "it changes nothing");
    }

    #[test]
    fn a_filter_is_of_names_files_promises_and_judges() {
        for part in ["m", "f", "P1", "t/"] {
            assert!(mutant("two").has(part));
        }
        assert!(!mutant("two").has("two"));
    }

    /// So that the list is kept in step with the code, and the models.
    #[test]
    fn each_mutant_applies_to_the_code_as_it_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let all = load().unwrap();
        let mut names = HashSet::new();
        for mutant in &all {
            let source = fs::read_to_string(root.join(&mutant.file)).expect(&mutant.file);
            mutant.apply(&source).unwrap();
            assert!(names.insert(&mutant.name), "{}: twice", mutant.name);
            let promises: Vec<_> = (1..=8).map(|number| format!("P{number}")).collect();
            assert!(promises.contains(&mutant.promise), "{}: {}", mutant.name, mutant.promise);
            if let Judge::Model { test, model } = &mutant.judge {
                assert!(EXPECTED.contains(&&**model), "{}: no model {model}", mutant.name);
                let tests = root.join("loom-tests/tests").join(test).with_extension("rs");
                let tests = fs::read_to_string(tests).expect(test);
                assert!(tests.contains(&format!("\"{model}\"")), "{}: {model} is not there", mutant.name);
            }
        }
        let by_loom =
            |mutant: &&Mutant| matches!(mutant.judge, Judge::Model { .. }) && mutant.equivalent.is_none();
        assert!(all.iter().filter(by_loom).count() >= 30, "issue: at least thirty are caught by loom");
    }
}
