//! Cargo as a child process: which cargo, with which flags, and how it is
//! shown.
//!
//! Commands run where `cargo xtask` was called, in its process group: a
//! relative `CARGO_TARGET_DIR` means the same to both, and Ctrl-C ends both.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// The cargo that started this xtask, or the one in the path.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Shows the command, runs it on this terminal, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().context("cargo cannot be started")?;
    ensure!(status.success(), "{} ({status})", shown(command));
    Ok(())
}

/// As [`run`]; what it prints is handed over, and only what it says of errors is on this terminal.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    println!("$ {}", shown(command));
    let output = command.stderr(Stdio::inherit()).output().context("cargo cannot be started")?;
    ensure!(output.status.success(), "{} ({})", shown(command), output.status);
    Ok(output.stdout)
}

/// Whether `cargo <subcommand>` is there: rustfmt and clippy are components
/// that a toolchain may lack.
pub(crate) fn has(subcommand: &str) -> anyhow::Result<bool> {
    let status = cargo()
        .args([subcommand, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cargo cannot be started")?;
    Ok(status.success())
}

/// Whether there is such a tool, which says its version when it is asked so.
pub(crate) fn is_there(tool: &str, version: &str) -> bool {
    let status = Command::new(tool).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// What the benches need to build besides Rust, and is not here: their peers are partly C.
pub(crate) fn missing_for_benches() -> Option<String> {
    let missing: Vec<_> = ["cc", "make"].into_iter().filter(|tool| !is_there(tool, "--version")).collect();
    (!missing.is_empty()).then(|| format!("their peers need {}", missing.join(" and ")))
}

/// The arguments that leave the benches out.
pub(crate) const NO_BENCHES: [&str; 4] = ["--exclude", "benches", "--exclude", "instructions"];

/// The command in a target directory of its own, with `--cfg loom` after the
/// flags that the environment already has. Apart, because each artifact that
/// both kinds of build give the same name would evict the other's.
pub(crate) fn with_loom(command: &mut Command) -> &mut Command {
    with_loom_in(command, &loom_target_dir())
}

/// As [`with_loom`], in another target directory.
pub(crate) fn with_loom_in<'a>(command: &'a mut Command, target_dir: &Path) -> &'a mut Command {
    add_flags(command, "RUSTFLAGS", &["--cfg", "loom"]).arg("--target-dir").arg(target_dir)
}

/// At most two jobs; an environment that asks for one gets one.
pub(crate) fn jobs() -> &'static str {
    match env::var("CARGO_BUILD_JOBS").as_deref() {
        Ok("1") => "1",
        _ => "2",
    }
}

/// The same with `--cfg shuttle` beside it: a model's world still, but shuttle's.
pub(crate) fn with_shuttle(command: &mut Command) -> &mut Command {
    add_flags(command, "RUSTFLAGS", &["--cfg", "loom", "--cfg", "shuttle"])
        .arg("--target-dir")
        .arg(shuttle_target_dir())
}

/// The command with rustdoc's warnings as errors.
pub(crate) fn with_strict_rustdoc(command: &mut Command) -> &mut Command {
    add_flags(command, "RUSTDOCFLAGS", &["-D", "warnings"])
}

/// Where everything that is built is kept.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"), PathBuf::from)
}

/// Where everything built with `--cfg loom` is kept.
pub(crate) fn loom_target_dir() -> PathBuf {
    target_dir().join("loom")
}

/// Where everything built with `--cfg shuttle` is kept.
pub(crate) fn shuttle_target_dir() -> PathBuf {
    target_dir().join("shuttle")
}

/// Appends to a flags variable in the form that cargo will read: if
/// `CARGO_ENCODED_<variable>` is set, cargo ignores the plain one, and a loom
/// run without `--cfg loom` would pass by testing nothing.
pub(crate) fn add_flags<'a>(command: &'a mut Command, variable: &str, flags: &[&str]) -> &'a mut Command {
    let encoded = format!("CARGO_ENCODED_{variable}");
    if let Some(present) = env::var_os(&encoded) {
        command.env(encoded, appended(present, "\x1f", flags))
    } else {
        let present = env::var_os(variable).unwrap_or_default();
        command.env(variable, appended(present, " ", flags))
    }
}

fn appended(mut present: OsString, separator: &str, flags: &[&str]) -> OsString {
    for flag in flags {
        if !present.is_empty() {
            present.push(separator);
        }
        present.push(flag);
    }
    present
}

/// The command as it would be typed.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        let value = value.unwrap_or_default().to_string_lossy();
        words.push(format!("{}={value:?}", name.to_string_lossy()));
    }
    let program = Path::new(command.get_program());
    words.push(program.file_name().unwrap_or_default().to_string_lossy().into_owned());
    for argument in command.get_args() {
        words.push(argument.to_string_lossy().into_owned());
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_after_those_already_there() {
        assert_eq!(appended("".into(), " ", &["--cfg", "loom"]), OsString::from("--cfg loom"));
        assert_eq!(
            appended("-C\x1fopt-level=1".into(), "\x1f", &["--cfg", "loom"]),
            OsString::from("-C\x1fopt-level=1\x1f--cfg\x1floom")
        );
    }

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let mut command = Command::new("/a/toolchain/bin/cargo");
        command.env("RUSTFLAGS", "--cfg loom").args(["test", "-q"]);
        assert_eq!(shown(&command), r#"RUSTFLAGS="--cfg loom" cargo test -q"#);
    }
}
