//! How a run is repeated: its command line, and what it ran on.

use std::ffi::OsString;
use std::fs;
use std::thread;

/// The command line, as one would type it to a shell.
pub(super) fn command(args: &[OsString]) -> String {
    let mut command = String::from("cargo run --release --example storm --");
    for arg in args.iter().skip(1) {
        let arg = arg.to_string_lossy();
        command.push(' ');
        // What cannot be typed is shown as it is.
        command += &shlex::try_quote(&arg).unwrap_or_else(|_| arg.clone());
    }
    command
}

/// What it ran on: names and values.
pub(super) fn facts() -> Vec<(&'static str, String)> {
    let system = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    let (name, release, machine) = (text(system.sysname()), text(system.release()), text(system.machine()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let build = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    let mut facts = vec![
        ("version", format!("{}, {build}", env!("CARGO_PKG_VERSION"))),
        ("date", humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()),
        ("system", format!("{name} {release}, {machine}")),
        ("CPUs", threads.to_string()),
    ];
    // Where there is no such file there is no such line.
    let line = |path: &str, key: &str| {
        let file = fs::read_to_string(path).ok()?;
        let value = file.lines().find_map(|line| line.strip_prefix(key)?.split_once(':'))?.1;
        Some(value.trim().to_owned())
    };
    facts.extend(line("/proc/cpuinfo", "model name").map(|model| ("processor", model)));
    facts.extend(line("/proc/meminfo", "MemTotal").map(|total| ("memory", total)));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_typed() {
        let args = ["/tmp/storm", "-n", "2", "--program", "a b", "it's"].map(OsString::from);
        assert_eq!(command(&args), "cargo run --release --example storm -- -n 2 --program 'a b' \"it's\"");
    }

    #[test]
    fn the_machine_has_a_name() {
        assert!(facts().iter().all(|(_, value)| !value.is_empty()), "{:?}", facts());
    }
}
