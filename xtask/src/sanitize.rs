//! `cargo xtask sanitize`: the tests under the address sanitizer, with its check for leaks, and those with
//! threads under the thread sanitizer.
//!
//! Both need a nightly toolchain. Where that has the component rust-src, `std` is built with the thread
//! sanitizer too. Where it has not, what `std` does is not seen, and `xtask/tsan.supp` says which reports
//! come of that.
//!
//! The thread sanitizer knows no fences, on which the bias of threads' caches rests (docs/ORDERINGS.md):
//! that they are right, loom says. No race is reported of what is run here with caches, and none passed over.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;

use crate::cargo::{add_flags, run as start, target_dir};
use crate::nightly;
use crate::steps;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sanitizer {
    /// Memory that is not the program's any more, or never was; and leaks
    Address,
    /// Races for data
    Thread,
}

/// Tests that cannot be run under the address sanitizer, by a part of their names, and why.
const NOT_ADDRESS: [(&str, &str); 6] = [
    ("what_is_leaked", "it leaks, and where does not say that it is the test that does"),
    ("a_pool_that_loses_nothing_says_nothing", "it leaks in a process of its own, which fails by that"),
    (
        "what_must_not_compile_does_not",
        "it builds for no target, so that the sanitizer would be in macros too",
    ),
    ("system::", "the sanitizer itself needs the system calls and the addresses that are refused there"),
    ("what_cannot_be_mapped_elsewhere_stays_where_it_was", "as above"),
    ("a_use_after_the_last_unpin_faults", "the fault is found by the sanitizer first, and told otherwise"),
];

/// As [`NOT_ADDRESS`], under the thread sanitizer.
const NOT_THREAD: [(&str, &str); 1] =
    [("a_huge_list_is_no_abort", "it asks for more memory than the sanitizer can keep books of")];

/// The tests of threads that share the most, by package: what is run under the thread sanitizer.
const THREADS: [(&str, &[&str]); 2] = [
    (
        "kva",
        &["alloc_async", "arena", "clients", "hooks", "reclaim", "regions", "relocate", "soak", "windows"],
    ),
    ("pool", &["stress", "waiting", "tasks", "growers", "thread_ends", "cache_stress", "no_membarrier"]),
];

/// Runs what there is for one of them, or for both.
pub(crate) fn run(only: Option<Sanitizer>) -> anyhow::Result<()> {
    let both = [Sanitizer::Address, Sanitizer::Thread];
    let mut chosen = both.into_iter().filter(|sanitizer| only.is_none_or(|only| only == *sanitizer));
    steps::unless_missing(nightly::missing(), || chosen.try_for_each(Sanitizer::run))
}

/// What is passed over, aloud.
fn tell(skipped: &[(&str, &str)]) {
    for (test, why) in skipped {
        println!("skipped: {test}: {why}");
    }
}

/// The option that has reports passed over which match a line of that file here.
fn suppressions(file: &str) -> String {
    format!("suppressions={}", Path::new(env!("CARGO_MANIFEST_DIR")).join(file).display())
}

impl Sanitizer {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Thread => "thread",
        }
    }

    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Address => {
                tell(&NOT_ADDRESS);
                let mut command =
                    self.cargo(&["test", "-p", "kva", "-p", "pool", "--tests", "--no-fail-fast"])?;
                // Tests ask for more than there is, and want an error.
                command.env("ASAN_OPTIONS", "detect_leaks=1:allocator_may_return_null=1");
                command.env("LSAN_OPTIONS", format!("{}:print_suppressions=0", suppressions("lsan.supp")));
                command.arg("--").args(NOT_ADDRESS.iter().flat_map(|(test, _)| ["--skip", test]));
                start(&mut command)
            }
            Self::Thread => {
                tell(&NOT_THREAD);
                for (package, tests) in THREADS {
                    let mut command = self.cargo(&["test", "-p", package])?;
                    command.args(tests.iter().flat_map(|test| ["--test", test]));
                    // One at a time they would run in the harness's own thread, of which all is passed over.
                    command.env("RUST_TEST_THREADS", "2");
                    command.arg("--").args(NOT_THREAD.iter().flat_map(|(test, _)| ["--skip", test]));
                    start(&mut command)?;
                }
                Ok(())
            }
        }
    }

    /// Cargo of the nightly toolchain, with the sanitizer in all that is built for the target, in a
    /// directory of its own.
    fn cargo(self, arguments: &[&str]) -> anyhow::Result<Command> {
        let host = nightly::host()?;
        ensure!(host.contains("linux"), "the sanitizers are run on Linux, and this is {host}");
        let sanitizer = format!("-Zsanitizer={}", self.name());
        let mut flags = vec![sanitizer.as_str()];
        let mut command = nightly::cargo();
        command.args(arguments).args(["--target", &host]);
        if self == Self::Thread {
            let mut options = "halt_on_error=1".to_owned();
            if nightly::has_source()? {
                command.arg("-Zbuild-std");
            } else {
                println!("rust-src is not installed: std is not instrumented");
                flags.push("-Cunsafe-allow-abi-mismatch=sanitizer");
                options = format!("{}:{options}", suppressions("tsan.supp"));
            }
            command.env("TSAN_OPTIONS", options);
        }
        add_flags(&mut command, "RUSTFLAGS", &flags);
        command.arg("--target-dir").arg(target_dir().join("sanitize").join(self.name()));
        Ok(command)
    }
}
