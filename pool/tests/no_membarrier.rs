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

fn install_filter() {
    if !support::filter::refuse(libc::SYS_membarrier, libc::ENOSYS) {
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
