//! The nightly toolchain, for what stable Rust has not: fuzzing and sanitizers.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

/// Its cargo. By rustup, since the one that started this xtask knows no other toolchain.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]);
    command
}

/// Why there is none, if there is none.
pub(crate) fn missing() -> Option<String> {
    let has_one = says(cargo().arg("--version")).is_ok();
    (!has_one).then(|| "there is no nightly toolchain (rustup toolchain install nightly)".to_owned())
}

/// Whether `std` can be built along: the component rust-src is there.
pub(crate) fn has_source() -> anyhow::Result<bool> {
    let sysroot = says(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]))?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library").is_dir())
}

/// The target that this machine is: sanitizers must not be built into build scripts.
pub(crate) fn host() -> anyhow::Result<String> {
    let version = says(Command::new("rustup").args(["run", "nightly", "rustc", "-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say its host")?.to_owned())
}

/// What it prints.
pub(crate) fn says(command: &mut Command) -> anyhow::Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("{shown} cannot be started"))?;
    anyhow::ensure!(output.status.success(), "{shown} ({})", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
