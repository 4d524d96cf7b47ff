//! Where membarrier(2) is missing, caches do with full fences; where it is taken away later, the process
//! ends with a word. Each in a process of its own, this file started again, whose filter of system calls
//! refuses that call.

#![cfg(not(loom))]

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};
use std::thread;

use kva::sync::has_heavy_barrier;
use pool::Pool;

mod support;

use support::{CloseOnPanic, QUANTUM, arena, assert_rests, get_and_put, visit_often};

const ROLE: &str = "POOL_TEST_NO_MEMBARRIER";
/// The system has no filter for us.
const NO_FILTER: i32 = 77;

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod filter {
    use std::mem::offset_of;

    #[cfg(target_arch = "x86_64")]
    const MACHINE: u16 = libc::EM_X86_64;
    #[cfg(target_arch = "aarch64")]
    const MACHINE: u16 = libc::EM_AARCH64;
    /// As <linux/audit.h> has it: of 64 bits, little-endian.
    const ARCH: u32 = MACHINE as u32 | 0x8000_0000 | 0x4000_0000;

    const fn statement(code: u32, value: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: value }
    }

    /// Goes on where the loaded word is `value`, and else past `skips` statements.
    const fn is(value: u32, skips: u8) -> libc::sock_filter {
        let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        libc::sock_filter { code: code as u16, jt: 0, jf: skips, k: value }
    }

    const fn load(offset: usize) -> libc::sock_filter {
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32)
    }

    const fn answer(value: u32) -> libc::sock_filter {
        statement(libc::BPF_RET | libc::BPF_K, value)
    }

    /// From now on membarrier(2) is not there for this thread and those it spawns. Whether that could be
    /// done.
    pub(crate) fn install() -> bool {
        let mut filter = [
            load(offset_of!(libc::seccomp_data, arch)),
            is(ARCH, 3),
            load(offset_of!(libc::seccomp_data, nr)),
            is(libc::SYS_membarrier as u32, 1),
            answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
            answer(libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: it takes numbers only.
        let quiet = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: the program is there, as long as it says, and the kernel copies it.
        let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        quiet == 0 && set == 0
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod filter {
    pub(crate) fn install() -> bool {
        false
    }
}

fn install_filter() {
    if !filter::install() {
        std::process::exit(NO_FILTER);
    }
}

/// Owners of caches against those who sweep: no object is lent twice, and none is lost.
fn owners_against_sweepers() {
    const ITEMS: usize = 64;
    let memory = arena(ITEMS);
    let pool = Pool::builder(ITEMS as u32, || [0_usize; QUANTUM / 8]).magazine_rounds(4);
    let pool = pool.build(memory.clone()).unwrap();
    thread::scope(|scope| {
        for number in 1..=3 {
            let pool = &pool;
            scope.spawn(move || {
                let _closes = CloseOnPanic(pool);
                for round in 0..20_000 {
                    // Who holds nothing: others gather all there are.
                    let mut item = pool.get().unwrap();
                    assert_eq!(std::mem::replace(&mut item[0], number), 0, "it is lent twice");
                    if round % 64 == 0 {
                        thread::yield_now();
                    }
                    assert_eq!(std::mem::take(&mut item[0]), number, "it was lent twice");
                }
            });
        }
        let _closes = CloseOnPanic(&pool);
        for round in 0..600 {
            if round % 2 == 0 {
                pool.drain();
            } else {
                // All there are, once the others let go of theirs.
                assert!(pool.get_many(ITEMS).unwrap().iter().all(|item| item[0] == 0));
            }
            visit_often(&pool, 300);
        }
        assert!(pool.stats().sweeps > 20, "{:?}", pool.stats());
    });
    assert_rests(&pool, &memory);
}

/// No test, but the processes that tests start.
#[test]
fn the_process_itself() {
    match std::env::var(ROLE).as_deref() {
        Ok("never there") => {
            install_filter();
            owners_against_sweepers();
            assert!(!has_heavy_barrier(), "the filter filters");
        }
        Ok("there, and then not") => {
            let pool = Pool::builder(1, || [0_u8; 64]).build(arena(1)).unwrap();
            get_and_put(&pool, 8);
            assert!(pool.stats().cached > 0);
            if !has_heavy_barrier() {
                std::process::exit(NO_FILTER);
            }
            install_filter();
            pool.drain();
        }
        _ => {}
    }
}

/// `None`: there is no such filter here.
fn process(role: &str) -> Option<Output> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_itself", "--nocapture"])
        .env(ROLE, role)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.code() == Some(NO_FILTER) {
        // Past what the harness captures: who runs the tests is to know.
        let _ = writeln!(io::stderr(), "skipped: no membarrier(2), or no filter that refuses it");
        return None;
    }
    Some(output)
}

#[test]
fn where_it_is_missing_owners_and_sweepers_use_fences() {
    if let Some(output) = process("never there") {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{said}", output.status);
    }
}

#[test]
fn where_it_is_there_owners_and_sweepers_use_it() {
    owners_against_sweepers();
}

#[test]
fn where_it_is_taken_away_the_process_ends() {
    if let Some(output) = process("there, and then not") {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        let word = "kva: membarrier(2) worked when this process began, and is refused now";
        assert!(said.contains(word), "{}\n{said}", output.status);
    }
}
