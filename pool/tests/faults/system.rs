//! System calls that are refused, and limits that are reached, each in a process of its own. Nobody hangs
//! or leaks, what is there goes on working, and the error says which call it was and why.

use std::alloc::Layout;
use std::error::Error;
use std::fs;
use std::io;
use std::task::Poll;

use kva::{AllocError, Arena, ArenaError, Decommit, FrameAllocError, Frames, Region, Reserve, Shape, Span};
use pool::{ConfigError, GetError, GrowerError, Growers, Pool, RawPool, TryGetError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::children::{self, cannot};
use super::support::filter::refuse;
use super::support::{
    QUANTUM, arena, assert_rests, assert_whole, blocks, objects, poll_once, put, put_all, take,
};

/// No test, but the processes that tests start.
#[test]
fn the_process_itself() {
    let Some(role) = children::role() else { return };
    match &*role {
        "no mmap" => no_mmap(),
        "no mprotect" => no_mprotect(),
        "no mprotect for many" => no_mprotect_for_many(),
        "no madvise" => no_madvise(),
        "no munmap" => no_munmap(),
        "no mremap" => no_mremap(),
        "no threads" => no_threads(),
        "no memfd_create" => no_file(libc::SYS_memfd_create, "memfd_create(2)"),
        "no ftruncate" => no_file(libc::SYS_ftruncate, "ftruncate(2)"),
        "no fcntl" => no_file(libc::SYS_fcntl, "fcntl(2)"),
        "no fallocate" => no_file(libc::SYS_fallocate, "fallocate(2)"),
        "few addresses" => few_addresses(),
        "little data" => little_data(),
        "few mappings" => few_mappings(),
        other => panic!("{other}"),
    }
}

macro_rules! processes {
    ($($test:ident: $role:literal,)*) => {
        $(
            #[test]
            fn $test() {
                children::passes("system::the_process_itself", $role);
            }
        )*
    };
}

processes! {
    mmap_is_refused: "no mmap",
    mprotect_is_refused: "no mprotect",
    mprotect_is_refused_to_all_who_wait: "no mprotect for many",
    madvise_is_refused: "no madvise",
    munmap_is_refused: "no munmap",
    mremap_is_refused: "no mremap",
    threads_are_refused: "no threads",
    memfd_create_is_refused: "no memfd_create",
    ftruncate_is_refused: "no ftruncate",
    fcntl_is_refused: "no fcntl",
    fallocate_is_refused: "no fallocate",
    the_limit_of_addresses_is_reached: "few addresses",
    the_limit_of_data_is_reached: "little data",
    the_most_mappings_are_reached: "few mappings",
}

fn refused(call: libc::c_long) {
    if !refuse(call, libc::EPERM) {
        cannot();
    }
}

/// All that an error says, to its root.
fn said(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

fn assert_says(error: &dyn Error, what: &[&str]) {
    let said = said(error).to_lowercase();
    for what in what {
        assert!(said.contains(what), "{said:?} does not say {what:?}");
    }
}

/// How much address space the process has.
fn address_space() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().next().unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

fn reserved(quanta: usize, how: Reserve) -> Arena {
    Arena::new(Region::reserve(quanta * QUANTUM, how).unwrap(), QUANTUM).unwrap()
}

fn one(arena: &Arena) -> Result<Span, AllocError> {
    arena.try_alloc(Shape::new(1).unwrap())
}

/// Address space is had before, memory after.
fn no_mmap() {
    let memory = arena(2);
    let pool = blocks(2).build(memory.clone()).unwrap();
    let frames = Frames::new(4).unwrap();
    refused(libc::SYS_mmap);
    assert_says(
        &Region::reserve(1 << 20, Reserve::new()).unwrap_err(),
        &["mmap(2) of", "operation not permitted"],
    );
    let error = Frames::new(4).unwrap_err();
    assert_says(&error, &["file behind the frames", "mmap(2)", "operation not permitted"]);
    let error = frames.page().unwrap_err();
    assert!(matches!(error, FrameAllocError::Map(_)), "{error:?}");
    assert_says(&error, &["mmap(2)", "permission denied"]);
    assert_says(&frames.run(Shape::new(2).unwrap()).unwrap_err(), &["mmap(2)", "permission denied"]);
    let stats = frames.stats();
    assert_eq!((stats.arena.free, stats.arena.waiting), (4, 0), "no frame is lost: {stats:?}");
    put_all(&pool, [pool.get().unwrap(), pool.get().unwrap()]);
    pool.set_hard_limit(64).unwrap();
    assert_rests(&pool, &memory);
}

/// Whoever wants memory that is not committed yet is told. What is, is good still.
fn no_mprotect() {
    let memory = arena(3);
    let pool = blocks(3).build(memory.clone()).unwrap();
    put(&pool, pool.get().unwrap()).unwrap();
    let typed = objects(3).build(arena(3)).unwrap();
    refused(libc::SYS_mprotect);
    let first = pool.get().unwrap();
    let what = ["back-end refused a page", "mprotect(2)", "permission denied"];
    for _ in 0..3 {
        assert_says(&pool.get().unwrap_err(), &what);
        assert_says(&pool.try_get().unwrap_err(), &what);
        assert_says(&pool.get_many(2).unwrap_err(), &what);
        assert_says(&typed.get().unwrap_err(), &what);
        assert_says(&typed.reserve(2).unwrap_err(), &what);
        assert_says(&typed.attach([0; QUANTUM]).unwrap_err().error, &what);
    }
    let error = pool.prime(3).unwrap_err();
    assert_says(&error, &["mprotect(2)"]);
    assert_says(&memory.alloc(Shape::new(2).unwrap()).unwrap_err(), &what[1..]);
    assert_says(&memory.try_alloc_at(0..3).map(|_| ()).unwrap_err(), &["scarce"]);
    put(&pool, first).unwrap();
    assert_rests(&pool, &memory);
    no_mprotect_for_tasks();
    assert_eq!(typed.stats().growing, 0);
}

/// Each getter is told, also as a task.
fn no_mprotect_for_tasks() {
    let memory = arena(1);
    let (pool, other) = (blocks(1).build(memory.clone()).unwrap(), blocks(1).build(memory.clone()).unwrap());
    let mut waits = [pool.get_async(), other.get_async()].map(Box::pin);
    for waits in &mut waits {
        let Poll::Ready(Err(error)) = poll_once(waits.as_mut()) else { panic!("it was committed") };
        assert!(matches!(error, GetError::Backend(AllocError::Commit(_))), "{error:?}");
    }
    drop(waits);
    assert_rests(&pool, &memory);
    assert_rests(&other, &memory);
}

/// What one has no memory for goes on to the next, who has none either, through all of them.
fn no_mprotect_for_many() {
    const MANY: u32 = 2000;
    let region = Region::reserve(QUANTUM, Reserve::new().decommit(Decommit::Protect)).unwrap();
    let memory = Arena::new(region, QUANTUM).unwrap();
    let pool = RawPool::builder(Layout::new::<[u8; QUANTUM]>(), MANY).max_growing(MANY);
    let pool = pool.build(memory.clone()).unwrap();
    let span = memory.try_alloc(Shape::new(1).unwrap()).unwrap();
    let mut all: Vec<_> = (0..MANY).map(|_| Box::pin(pool.get_async())).collect();
    assert!(all.iter_mut().all(|get| poll_once(get.as_mut()).is_pending()));
    assert_eq!(memory.stats().waiting, MANY as usize);
    refused(libc::SYS_mprotect);
    memory.free(span).unwrap();
    for get in &mut all {
        let Poll::Ready(Err(error)) = poll_once(get.as_mut()) else { panic!("it was not told") };
        assert_says(&error, &["back-end refused a page", "mprotect(2)"]);
    }
    drop(all);
    assert_rests(&pool, &memory);
}

/// What is freed stays resident, and keeps its contents.
fn no_madvise() {
    refused(libc::SYS_madvise);
    for policy in [Decommit::Discard, Decommit::Protect] {
        let memory = reserved(2, Reserve::new().decommit(policy).huge_pages(true));
        let pool = blocks(2).build(memory.clone()).unwrap();
        for _ in 0..3 {
            let items = [pool.get().unwrap(), pool.get().unwrap()];
            // SAFETY: the item is ours.
            unsafe { items[0].write(7) };
            put_all(&pool, items);
            pool.drain();
        }
        assert_rests(&pool, &memory);
    }
    let populates = reserved(1, Reserve::new().populate(true));
    let error = one(&populates).unwrap_err();
    assert_says(&error, &["madvise(2)", "permission denied"]);
    assert_whole(&populates);
}

/// What cannot be unmapped stays, and is nobody's.
fn no_munmap() {
    let memory = arena(2);
    let frames = Frames::new(2).unwrap();
    refused(libc::SYS_munmap);
    // What a region is cut from is too large, and cannot be cut.
    let error = Region::reserve(2 << 20, Reserve::new()).map(drop).unwrap_err();
    assert_says(&error, &["munmap(2) of", "operation not permitted"]);
    let run = frames.run(Shape::new(1).unwrap()).unwrap();
    drop(run);
    assert_eq!(frames.stats().arena.free, 2);
    let pool = blocks(2).build(memory.clone()).unwrap();
    put(&pool, pool.get().unwrap()).unwrap();
    assert_rests(&pool, &memory);
    drop((pool, memory, frames));
}

fn no_mremap() {
    refused(libc::SYS_mremap);
    let memory = arena(2);
    let pool = blocks(2).build(memory.clone()).unwrap();
    for limit in [100, 10_000, 1_000_000] {
        pool.set_hard_limit(limit).unwrap();
    }
    put_all(&pool, pool.get_many(2).unwrap());
    assert_rests(&pool, &memory);
}

/// Creations that have no thread fail, one getter each, and keep no slot.
fn no_threads() {
    if !refuse(libc::SYS_clone3, libc::ENOSYS) {
        cannot();
    }
    if !refuse(libc::SYS_clone, libc::EAGAIN) {
        cannot();
    }
    let pool = Pool::from_factory(2, Growers::new(2, || Ok::<_, io::Error>(7))).build().unwrap();
    for _ in 0..5 {
        let error = pool.get().unwrap_err();
        assert!(matches!(error, GetError::Backend(GrowerError::NoThread(_))), "{error:?}");
        assert_says(&error, &["no grower thread", "temporarily unavailable"]);
        assert!(matches!(pool.try_get(), Err(TryGetError::Scarce)));
    }
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.growing, stats.waiting, stats.out), (0, 0, 0, 0), "{stats:?}");
}

/// The file behind frames cannot be made. Nothing of it stays.
fn no_file(call: libc::c_long, name: &str) {
    let before = address_space();
    refused(call);
    for _ in 0..64 {
        let error = Frames::builder(1 << 12).primed(true).build().unwrap_err();
        assert_says(&error, &["file behind the frames", name, "operation not permitted"]);
    }
    // Of any of the 64, it would be 16 MiB.
    assert!(address_space() < before + (8 << 20), "{} of {before}", address_space());
    let open = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < 32, "{open} files are open");
}

fn limited(resource: Resource, more: usize, used: usize) -> Rlimit {
    let before = getrlimit(resource);
    let limit = Rlimit { current: Some((used + more) as u64), maximum: before.maximum };
    if setrlimit(resource, limit).is_err() {
        cannot();
    }
    before
}

/// The limit of addresses is reached by regions and by tables. When it is lifted, all is well again.
fn few_addresses() {
    const MORE: usize = 64 << 20;
    let memory = arena(2);
    let pool = blocks(2).build(memory.clone()).unwrap();
    let used = address_space();
    let before = limited(Resource::As, MORE, used);
    for _ in 0..64 {
        let error = Region::reserve(2 * MORE, Reserve::new()).unwrap_err();
        assert_says(&error, &["mmap(2) of", "cannot allocate memory"]);
        let error = Frames::new(1 << 16).unwrap_err();
        assert_says(&error, &["mmap(2)", "cannot allocate memory"]);
        let error = Arena::new(Region::numbers((1 << 31) - 1), 1).unwrap_err();
        assert!(matches!(error, ArenaError::Tables(_)), "{error:?}");
        assert_says(&error, &["no memory for the tables"]);
        let error = blocks(1 << 30).build(memory.clone()).unwrap_err();
        assert!(matches!(error, ConfigError::Tables { .. }), "{error:?}");
        assert_says(&error, &["no memory for the tables"]);
        let error = pool.set_hard_limit(1 << 30).unwrap_err();
        assert_says(&error, &["no memory for the tables"]);
        let error = memory.add_region(Region::numbers(1)).unwrap_err();
        assert!(matches!(error, ArenaError::Mixed), "{error:?}");
    }
    let items = pool.get_many(2).unwrap();
    put_all(&pool, items);
    // What was not had has left nothing.
    let now = address_space();
    assert!(now < used + (16 << 20), "{now} of {used}");
    setrlimit(Resource::As, before).unwrap();
    drop(Region::reserve(2 * MORE, Reserve::new()).unwrap());
    pool.set_hard_limit(1 << 20).unwrap();
    assert_rests(&pool, &memory);
}

/// `mprotect(2)` finds that the process has as much private memory as it may have.
fn little_data() {
    const QUANTA: usize = 4096;
    let memory = arena(QUANTA);
    let pool = blocks(QUANTA as u32).build(memory.clone()).unwrap();
    let typed = objects(8).build(arena(8)).unwrap();
    let data = {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap().to_owned();
        line.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10
    };
    let before = limited(Resource::Data, QUANTA / 2 * QUANTUM, data);
    let mut items = Vec::with_capacity(QUANTA);
    let error = loop {
        match pool.get() {
            Ok(item) => items.push(item),
            Err(error) => break error,
        }
        if items.len() == QUANTA {
            cannot();
        }
    };
    let what = ["mprotect(2)", "out of memory"];
    assert_says(&error, &what);
    assert_says(&typed.get().unwrap_err(), &what);
    // Those who wait are told, or have what is put.
    let mut waits = Box::pin(pool.get_async());
    assert!(matches!(poll_once(waits.as_mut()), Poll::Ready(Err(_))));
    drop(waits);
    put(&pool, items.pop().unwrap()).unwrap();
    items.push(pool.get().unwrap());
    setrlimit(Resource::Data, before).unwrap();
    items.push(pool.get().unwrap());
    drop(typed.get().unwrap());
    put_all(&pool, items);
    assert_rests(&pool, &memory);
}

/// Every second quantum is committed, each a mapping of its own, until there may be no more.
fn few_mappings() {
    let most = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let most: u32 = most.trim().parse().unwrap();
    if most > 1 << 18 {
        cannot();
    }
    let memory = reserved(2 * most as usize, Reserve::new().decommit(Decommit::Protect));
    let mut spans = Vec::with_capacity(most as usize);
    let mut even = (0..most).map(|at| 2 * at);
    let error = loop {
        let at = even.next().expect("the limit is reached before the end");
        match memory.try_alloc_at(at..at + 1) {
            Ok(span) => spans.push(span),
            Err(error) => break error,
        }
    };
    assert_says(&error, &["mprotect(2)", "out of memory"]);
    // It may join a neighbour, which is no other mapping then.
    if let Err(error) = Region::reserve(2 << 20, Reserve::new()) {
        assert_says(&error, &["(2) of", "cannot allocate memory"]);
    }
    let pool = RawPool::builder(Layout::from_size_align(QUANTUM, QUANTUM).unwrap(), 2).build(memory.clone());
    let pool = pool.unwrap();
    for span in spans {
        memory.free(span).unwrap();
    }
    put_all(&pool, pool.get_many(2).unwrap());
    assert_rests(&pool, &memory);
    drop((pool, take(&memory, 1)));
    let before = address_space();
    drop(memory);
    assert!(address_space() + most as usize * QUANTUM < before, "it was unmapped");
}
