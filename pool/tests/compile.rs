//! What must not compile does not, for the reason that it must not.
//!
//! Each file in `tests/compile` says on lines that begin with `//~` what the errors are that it
//! gets: a code, and what the message says. They are built and not just checked: that a back-end
//! sleeps is found out when the code is generated.

#![cfg(not(loom))]
#![allow(clippy::unnecessary_debug_formatting, reason = "paths are quoted in a manifest")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The code of each error, and what its message says.
type Errors = BTreeSet<(String, String)>;

fn expected(source: &str) -> Errors {
    let said = source.lines().filter_map(|line| line.strip_prefix("//~ "));
    said.map(|said| said.split_once(": ").expect("a code and a message"))
        .map(|(code, message)| (code.to_owned(), message.to_owned()))
        .collect()
}

/// A package that has each of them as a program; its errors are told by program.
fn build(cases: &BTreeMap<String, String>) -> BTreeMap<String, Errors> {
    let (here, folder) = (Path::new(env!("CARGO_MANIFEST_DIR")), Path::new(env!("CARGO_TARGET_TMPDIR")));
    let (folder, root) = (folder.join("compile"), here.parent().unwrap());
    let mut manifest = format!(
        "[package]\nname = \"compile\"\nedition = \"2024\"\nautobins = false\n[workspace]\n\
         [dependencies]\npool.path = {here:?}\nkva.path = {:?}\n",
        root.join("kva"),
    );
    for name in cases.keys() {
        let path = here.join("tests/compile").join(name).with_extension("rs");
        writeln!(manifest, "[[bin]]\nname = {name:?}\npath = {path:?}").unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--offline", "--keep-going", "--message-format=json", "--bins"]);
    let output = cargo.current_dir(&folder).env("CARGO_TARGET_DIR", folder.join("target")).output().unwrap();
    let mut errors = BTreeMap::<_, Errors>::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let told: Value = serde_json::from_slice(line).unwrap();
        let (target, message) = (told["target"]["name"].as_str(), &told["message"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if told["reason"] == "compiler-artifact" && target.is_some_and(|target| cases.contains_key(target)) {
            errors.entry(target.unwrap().to_owned()).or_default();
        }
        // One without a code sums the others up, unless it is all there is to say.
        let sums_up = text(&message["message"]).starts_with("aborting due to");
        if told["reason"] == "compiler-message" && message["level"] == "error" && !sums_up {
            let error = (text(&message["code"]["code"]), text(&message["message"]));
            errors.entry(target.unwrap().to_owned()).or_default().insert(error);
        }
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors.len(), cases.len(), "not all were built:\n{said}");
    errors
}

#[test]
#[cfg_attr(miri, ignore = "runs cargo")]
fn what_must_not_compile_does_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile");
    let mut cases = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        cases.insert(name, std::fs::read_to_string(path).unwrap());
    }
    let errors = build(&cases);
    for (name, source) in &cases {
        let (expected, errors) = (expected(source), &errors[name]);
        let met = |(code, message): &(String, String)| {
            errors.iter().any(|(found, said)| found == code && said.contains(message))
        };
        assert_eq!(expected.is_empty(), name == "uses", "{name} says what is wrong with it");
        assert!(expected.iter().all(met), "{name}: {expected:#?} are not all in {errors:#?}");
        assert_eq!(errors.len(), expected.len(), "{name}: {errors:#?}");
    }
    assert!(cases.len() > 10 && errors["uses"].is_empty(), "and what is right does");
}
