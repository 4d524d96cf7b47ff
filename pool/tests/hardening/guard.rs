//! Behind each item the address space is nobody's.

use std::alloc::Layout;
use std::os::unix::process::ExitStatusExt;
use std::ptr::NonNull;
use std::task::Poll;

use kva::{Arena, Region, Shape};
use pool::{ConfigError, GetError, Hardening, PutError, RawPool, TryGetError};
use rustix::mm::{MapFlags, ProtFlags};

use super::children;
use super::support::{QUANTUM, arena, assert_rests, assert_whole, poll_once, put, put_all};
use super::world::message;

fn guarded(size: usize, align: usize, limit: u32, memory: &Arena) -> RawPool {
    let layout = Layout::from_size_align(size, align).unwrap();
    RawPool::builder(layout, limit).harden(Hardening::new().guard_pages(true)).build(memory.clone()).unwrap()
}

/// No test, but the processes that tests start.
#[test]
fn the_process_itself() {
    match children::role().as_deref() {
        Some("writes past the end") => past_the_end(700, 1, write),
        Some("writes past an end that is aligned to more") => past_the_end(16384, 16384, write),
        Some("reads past the end") => past_the_end(700, 1, |past| {
            // SAFETY: as above.
            _ = unsafe { past.read_volatile() };
        }),
        Some("few mappings") => few_mappings(),
        Some("no mprotect") => no_mprotect(),
        Some("no mprotect any more") => no_mprotect_any_more(),
        Some("no mprotect for many") => no_mprotect_for_many(),
        Some("loses an item") => loses_an_item(),
        Some(other) => panic!("{other}"),
        None => {}
    }
}

fn write(past: *mut u8) {
    // SAFETY: it is not anybody's, and that is the test.
    unsafe { past.write_volatile(1) };
}

fn past_the_end(size: usize, align: usize, touch: fn(*mut u8)) {
    let pool = guarded(size, align, 2, &arena(32));
    let item = pool.get().unwrap();
    let end = item.as_ptr().wrapping_add(size);
    touch(end.wrapping_sub(1)); // all of it is good
    println!("the last byte was good");
    touch(end);
}

fn faults(role: &str) {
    let output = children::output("guard::the_process_itself", role).expect("it can be had anywhere");
    assert!(String::from_utf8_lossy(&output.stdout).contains("the last byte was good"), "{output:?}");
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output:?}");
}

#[test]
fn a_write_past_the_end_faults() {
    faults("writes past the end");
}

/// No later one either: what is asked for is longer by far than the item and a guard.
#[test]
fn a_write_past_an_end_that_is_aligned_to_more_faults() {
    faults("writes past an end that is aligned to more");
}

#[test]
fn a_read_past_the_end_faults() {
    faults("reads past the end");
}

#[test]
fn an_item_is_as_near_to_the_guard_as_its_alignment_lets_it() {
    let system = rustix::param::page_size();
    for (size, align, gap) in
        [(1, 1, 0), (700, 1, 0), (700, 64, 4), (4096, 4096, 0), (5000, 8, 0), (20, 16384, 16364)]
    {
        let memory = arena(64);
        let pool = guarded(size, align, 3, &memory);
        let layout = pool.item_layout();
        assert!(layout.size() >= size && layout.align() >= align);
        let all = pool.get_many(3).unwrap();
        for item in &all {
            assert!(item.addr().get().is_multiple_of(layout.align()), "{size} {align}");
            let end = item.addr().get() + size + gap;
            assert!(end.is_multiple_of(system), "{size} bytes at {align}: {item:p}");
            // SAFETY: it is ours, as long.
            unsafe { item.write_bytes(7, layout.size()) };
        }
        put_all(&pool, all);
        assert_rests(&pool, &memory);
    }
}

/// The guards are open again when the memory goes back, whatever it was that gave it up.
#[test]
fn the_back_end_has_its_memory_back_accessible() {
    let memory = arena(6);
    let pool = guarded(64, 8, 3, &memory);
    for _ in 0..3 {
        put_all(&pool, pool.get_many(3).unwrap());
        assert_eq!(pool.drain(), 3);
        write_everywhere(&memory);
    }
    let item = pool.get().unwrap();
    pool.close();
    put(&pool, item).unwrap();
    drop(pool);
    assert_whole(&memory);
    write_everywhere(&memory);
}

/// By a client that is lent all of it.
fn write_everywhere(memory: &Arena) {
    let quanta = memory.stats().quanta as usize;
    let layout = Layout::from_size_align(quanta * QUANTUM, 1).unwrap();
    let all = RawPool::builder(layout, 1).build(memory.clone()).unwrap();
    let item = all.get().unwrap();
    // SAFETY: it is ours, as long.
    unsafe { item.write_bytes(1, quanta * QUANTUM) };
    put(&all, item).unwrap();
}

/// What an item is, and what it is not, though it starts in the middle of a page.
#[test]
fn pointers_are_told_apart() {
    let memory = arena(8);
    let harden = Hardening::new().guard_pages(true).on_violation(|_| ());
    let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 2).harden(harden).build(memory.clone()).unwrap();
    let item = pool.get().unwrap();
    let moved = |by: isize| NonNull::new(item.as_ptr().wrapping_offset(by)).unwrap();
    assert_is!(put(&pool, moved(8)), Err(PutError::NotAnItem { offset: 8, .. }));
    assert_is!(put(&pool, moved(64)), Err(PutError::NotAnItem { offset: 64, .. }), "in its guard");
    assert_is!(put(&pool, moved(2 * QUANTUM.cast_signed())), Err(PutError::Foreign(_)));
    put(&pool, item).unwrap();
    assert_is!(put(&pool, item), Err(PutError::DoublePut(_)));
    assert_rests(&pool, &memory);
}

/// A page that lies in the window goes first: where it starts is not where its item does.
#[test]
fn a_window_has_the_pages_that_are_in_it() {
    let memory = arena(8);
    let pool = guarded(64, 8, 4, &memory);
    put_all(&pool, pool.get_many(4).unwrap());
    pool.set_water(3, 4).unwrap();
    let span = memory.alloc(Shape::new(2).unwrap()).unwrap();
    assert_eq!(pool.stats().pages, 3);
    memory.free(span).unwrap();
    pool.set_water(0, 4).unwrap();
    assert_rests(&pool, &memory);
}

#[test]
fn several_items_to_a_page_are_refused() {
    let builder = RawPool::builder(Layout::new::<u64>(), 1).items_per_page(2);
    let error = builder.harden(Hardening::new().guard_pages(true)).build(arena(1)).unwrap_err();
    assert_is!(&error, ConfigError::Items(_));
    assert_eq!(error.to_string(), "2 items to a page, and a guard page after each: they have one each");
}

#[test]
fn an_arena_of_numbers_has_nothing_to_guard() {
    let numbers = Arena::new(Region::numbers(8), 1).unwrap();
    let builder = RawPool::builder(Layout::new::<u64>(), 1).harden(Hardening::all());
    assert_eq!(builder.build(numbers).unwrap_err(), ConfigError::NoMemory);
}

#[test]
fn the_most_mappings_are_reached() {
    children::passes("guard::the_process_itself", "few mappings");
}

#[test]
fn mprotect_is_refused() {
    children::passes("guard::the_process_itself", "no mprotect");
}

#[test]
fn mprotect_is_refused_to_all_who_wait() {
    children::passes("guard::the_process_itself", "no mprotect for many");
}

#[test]
fn mprotect_is_refused_as_pages_go() {
    children::passes("guard::the_process_itself", "no mprotect any more");
}

/// Nobody gives its page back any more, but whose memory it is has it back once all are gone.
#[test]
fn the_guard_of_an_item_that_is_lost_is_opened() {
    children::passes("guard::the_process_itself", "loses an item");
}

/// Memory of one mapping, which is readable and writable before any is taken: else what is refused is
/// the arena's own call.
fn mapped(quanta: usize) -> Arena {
    let (read, write) = (ProtFlags::READ, ProtFlags::WRITE);
    // SAFETY: a null hint and no MAP_FIXED. It is never unmapped.
    let start = unsafe {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        rustix::mm::mmap_anonymous(std::ptr::null_mut(), quanta * QUANTUM, read | write, flags)
    };
    let bytes = NonNull::slice_from_raw_parts(NonNull::new(start.unwrap()).unwrap().cast(), quanta * QUANTUM);
    // SAFETY: nobody else knows of it.
    Arena::new(unsafe { Region::borrowed(bytes) }, QUANTUM).unwrap()
}

/// The kernel has no more mappings: the error says so, what was had goes on working, and nothing is lost.
fn few_mappings() {
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let most: u32 = most.trim().parse().unwrap();
    if most > 1 << 18 {
        children::cannot();
    }
    let memory = mapped(2 * most as usize);
    let pool = guarded(64, 8, most, &memory);
    let mut items = Vec::with_capacity(most as usize);
    let error = loop {
        match pool.get() {
            Ok(item) => items.push(item),
            Err(error) => break error,
        }
    };
    let GetError::Guard(why) = error else { panic!("{error:?}") };
    assert_eq!(why.raw_os_error(), libc::ENOMEM);
    assert!(why.to_string().contains("vm.max_map_count"), "{why}");
    assert_is!(pool.try_get(), Err(TryGetError::Guard(_)));
    assert!(items.len() > most as usize / 4, "{} of {most}", items.len());
    assert_eq!(
        memory.stats().free as usize,
        2 * (most as usize - items.len()),
        "what was not guarded went back"
    );
    // One goes, and there is room for one.
    put(&pool, items.pop().unwrap()).unwrap();
    assert_eq!(pool.drain(), 1);
    items.push(pool.get().unwrap());
    put_all(&pool, items);
    assert_rests(&pool, &memory);
}

fn no_mprotect() {
    let memory = mapped(4);
    let pool = guarded(64, 8, 2, &memory);
    if !super::support::filter::refuse(libc::SYS_mprotect, libc::EPERM) {
        children::cannot();
    }
    let error = pool.get().unwrap_err();
    assert_is!(&error, GetError::Guard(why) if why.raw_os_error() == libc::EPERM);
    assert_eq!(error.to_string(), "a page could not be guarded");
    assert_is!(pool.try_get(), Err(TryGetError::Guard(_)));
    assert_is!(pool.prime(2), Err(TryGetError::Guard(_)));
    assert_eq!(pool.stats().failures.backend, 2);
    assert_rests(&pool, &memory);
}

/// A page that one cannot guard goes on to the next, who cannot either, through all of them.
fn no_mprotect_for_many() {
    const MANY: u32 = 2000;
    let memory = mapped(2);
    let harden = Hardening::new().guard_pages(true);
    let pool = RawPool::builder(Layout::new::<[u8; 64]>(), MANY).max_growing(MANY).harden(harden);
    let pool = pool.build(memory.clone()).unwrap();
    let span = memory.try_alloc(Shape::new(2).unwrap()).unwrap();
    let mut all: Vec<_> = (0..MANY).map(|_| Box::pin(pool.get_async())).collect();
    assert!(all.iter_mut().all(|get| poll_once(get.as_mut()).is_pending()));
    if !super::support::filter::refuse(libc::SYS_mprotect, libc::EPERM) {
        children::cannot();
    }
    memory.free(span).unwrap();
    assert!(
        all.iter_mut().all(|get| matches!(poll_once(get.as_mut()), Poll::Ready(Err(GetError::Guard(_)))))
    );
    drop(all);
    assert_rests(&pool, &memory);
}

/// A page whose guard cannot be opened is lost, and told; its slot is not.
fn no_mprotect_any_more() {
    let memory = mapped(4);
    let pool = guarded(64, 8, 2, &memory);
    let mut items = pool.get_many(2).unwrap();
    let mut older = Box::pin(memory.alloc_async(Shape::new(2).unwrap()));
    assert!(poll_once(older.as_mut()).is_pending());
    let mut younger = Box::pin(pool.get_async());
    assert!(poll_once(younger.as_mut()).is_pending());
    if !super::support::filter::refuse(libc::SYS_mprotect, libc::EPERM) {
        children::cannot();
    }
    let refused = message(|| put(&pool, items.pop().unwrap()));
    assert!(refused.contains("whose guard is to be opened"), "{refused}");
    drop((younger, older));
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.growing, stats.waiting), (1, 0, 0));
    std::mem::forget(pool); // it could not open the other one either
}

fn loses_an_item() {
    let memory = mapped(4);
    let pool = guarded(64, 8, 2, &memory);
    let item = pool.get().unwrap();
    drop(pool);
    drop(memory);
    let guard = item.as_ptr().wrapping_add(64);
    // SAFETY: it is nobody else's any more, and stays mapped.
    unsafe { guard.write_bytes(1, rustix::param::page_size()) };
}
