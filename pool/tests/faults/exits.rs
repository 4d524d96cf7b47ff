//! Processes that end while threads and tasks wait, hold and have caches; and threads that are left asleep
//! in a pool whose other handles go. Each process is one of its own.

use std::process::exit;
use std::thread;

use kva::sync::atomic::{AtomicBool, Ordering::SeqCst};
use pool::{GetError, Pool};

use super::children::{self, role};
use super::support::{
    Block, arena, assert_whole, get_and_put, objects, until, until_asked, until_waiting, wait_for,
};
use super::watchdog::Watchdog;

/// No test, but the processes that tests start.
#[test]
fn the_process_itself() {
    match role().as_deref() {
        Some("exits while others wait") => {
            let _pool = all_wait();
            exit(0);
        }
        Some("returns while others wait") => {
            let _pool = all_wait();
        }
        Some("exits within a constructor") => exits_within(|| exit(0), || {}),
        Some("exits within a destructor") => exits_within(|| {}, || exit(0)),
        Some(other) => panic!("{other}"),
        None => {}
    }
}

/// Threads and tasks, in the pool and in the arena, and one that holds all; this thread has a cache.
fn all_wait() -> Pool<Block> {
    let memory = arena(3);
    let pool = objects(2).build(memory.clone()).unwrap();
    let leaked = [pool.get_owned(), pool.get_owned()].map(Result::unwrap);
    let other = objects(2).build(memory.clone()).unwrap();
    let last = other.get_owned().unwrap();
    for at in 0..4 {
        let (pool, other) = (pool.clone(), other.clone());
        thread::spawn(move || match at {
            0 => drop(pool.get()),
            1 => drop(wait_for(pool.get_async())),
            2 => drop(other.get()),
            _ => drop(wait_for(other.request().reserve_async(2))),
        });
    }
    until_waiting(&pool, 2);
    until_waiting(&other, 2);
    until_asked(&memory, 1);
    // Of this thread, in a cache and in its locals when it ends.
    let cached = Pool::builder(1, || [0_u8; 64]).build(arena(1)).unwrap();
    get_and_put(&cached, 8);
    std::mem::forget((leaked, last, cached));
    pool
}

/// An object whose drop is callers' code.
struct Ends(fn());

impl Drop for Ends {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The process ends inside of callers' code, by a thread that has caches.
fn exits_within(constructs: fn(), drops: fn()) {
    let small = Pool::builder(1, || [0_u8; 64]).build(arena(1)).unwrap();
    get_and_put(&small, 8);
    let pool = Pool::builder(1, move || {
        constructs();
        Ends(drops)
    });
    let pool = pool.build(arena(1)).unwrap();
    drop(pool.get().unwrap());
    pool.drain();
    panic!("it was to end in there");
}

fn ends_well(name: &'static str) {
    let _watchdog = Watchdog::new(name, || "its process does not end".to_owned());
    let output = children::output("exits::the_process_itself", name).expect("it can be had anywhere");
    assert!(output.status.success(), "{name}: {output:?}");
}

#[test]
fn a_process_exits_while_others_wait() {
    ends_well("exits while others wait");
}

#[test]
fn a_process_returns_while_others_wait() {
    ends_well("returns while others wait");
}

#[test]
fn a_process_exits_within_a_constructor() {
    ends_well("exits within a constructor");
}

#[test]
fn a_process_exits_within_a_destructor() {
    ends_well("exits within a destructor");
}

/// A thread is asleep by a handle of its own, and everybody else's is gone: it is served by the last that
/// is put, and closes the pool as it leaves.
#[test]
fn the_last_handle_is_the_sleepers() {
    let memory = arena(1);
    let pool = objects(1).build(memory.clone()).unwrap();
    let item = pool.get_owned().unwrap();
    let sleeper = pool.clone();
    let sleeps = thread::spawn(move || sleeper.get().map(drop).is_ok());
    until_waiting(&pool, 1);
    drop(pool);
    drop(item);
    assert!(sleeps.join().unwrap(), "it was served");
    assert_whole(&memory);
}

/// A thread drives a future that borrows no handle. The last handle closes the pool, and it is told.
#[test]
fn the_last_handle_goes_while_a_detached_thread_sleeps() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let memory = arena(1);
    let pool = objects(1).build(memory.clone()).unwrap();
    let item = pool.get_owned().unwrap();
    let getting = pool.get_owned_async();
    thread::spawn(move || {
        let told = wait_for(getting);
        assert!(matches!(told, Err(GetError::Closed)), "{:?}", told.map(drop));
        TOLD.store(true, SeqCst);
    });
    until_waiting(&pool, 1);
    drop(pool);
    until(|| TOLD.load(SeqCst));
    drop(item);
    assert_whole(&memory);
}
