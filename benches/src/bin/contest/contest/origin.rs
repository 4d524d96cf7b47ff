//! Where figures come from.

use std::env;
use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use benches::results::Machine;

/// The compiler.
pub(crate) const TOOLCHAIN: &str = env!("TOOLCHAIN");

const UNKNOWN: &str = "unknown";

/// This machine.
pub(crate) fn machine() -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
    Machine {
        cpus: available_parallelism().map_or(1, usize::from),
        cpu: cpu(&cpuinfo).unwrap_or(UNKNOWN).to_owned(),
        kernel: kernel.map_or_else(|_| UNKNOWN.to_owned(), |release| release.trim().to_owned()),
        os: env::consts::OS.to_owned(),
    }
}

fn cpu(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim())
}

/// What is checked out, if git knows.
pub(crate) fn commit() -> Option<String> {
    let here = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("git").args(["-C", here, "rev-parse", "--short", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_a_name() {
        assert_eq!(cpu("processor\t: 0\nmodel name\t: AMD EPYC\n"), Some("AMD EPYC"));
        assert_eq!(cpu("processor\t: 0\n"), None);
    }

    #[test]
    fn the_toolchain_is_known() {
        assert!(TOOLCHAIN.starts_with("rustc 1."), "{TOOLCHAIN}");
    }
}
