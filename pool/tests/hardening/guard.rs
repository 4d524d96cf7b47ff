//! Behind each item the address space is nobody's.

use std::alloc::Layout;
use std::os::unix::process::ExitStatusExt;
use std::ptr::NonNull;
use std::task::Poll;
use std::thread;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use kva::{Arena, Region, Shape};
use pool::{
    ArenaPages, Backend, Classic, ConfigError, GetError, Hardening, PutError, RawPool, TryGetError,
    Violation, ViolationKind,
};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::children;
use super::support::{
    CloseOnPanic, QUANTUM, arena, assert_rests, assert_whole, poll_once, put, put_all, until_asked,
};
use super::watchdog::Watchdog;
use super::world::{Told, message};

fn guarded(size: usize, align: usize, limit: u32, memory: &Arena) -> RawPool {
    let layout = Layout::from_size_align(size, align).unwrap();
    RawPool::builder(layout, limit).harden(Hardening::new().guard_pages(true)).build(memory.clone()).unwrap()
}

/// No test, but the processes that tests start.
#[test]
fn the_process_itself() {
    let role = children::role();
    let _watched = role.clone().map(|role| Watchdog::new("a process of its own", move || role.clone()));
    match role.as_deref() {
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
        Some("little data") => little_data(),
        Some("little data for an heir") => little_data_for_an_heir(),
        Some("little data at the end") => little_data_at_the_end(),
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

#[test]
fn the_limit_of_data_is_reached_as_pages_go() {
    children::passes("guard::the_process_itself", "little data");
}

#[test]
fn the_limit_of_data_is_reached_as_a_page_goes_to_its_heir() {
    children::passes("guard::the_process_itself", "little data for an heir");
}

#[test]
fn the_limit_of_data_is_reached_as_the_pool_goes() {
    children::passes("guard::the_process_itself", "little data at the end");
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

/// A page whose guard will not open stays, and is told. Whoever waits for it has it.
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
    let last = items.pop().unwrap();
    let refused = message(|| put(&pool, last));
    let what =
        format!("the page of {last:p} cannot be given back, since its guard will not open: mprotect(2)");
    assert!(refused.contains(&what), "{refused}");
    assert_is!(poll_once(younger.as_mut()), Poll::Ready(Ok(item)) if item == last);
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.out, stats.growing, stats.waiting), (2, 2, 0, 0));
    assert_eq!((stats.released, stats.yielded), (0, 0));
    drop((younger, older));
    items.push(last);
    put_all(&pool, items);
    assert!(message(|| pool.drain()).contains("mprotect(2)"));
    assert!(message(|| pool.close()).contains("mprotect(2)"));
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.idle, stats.released), (2, 2, 0));
    assert!(message(|| drop(pool)).contains("mprotect(2)"), "it is lost, and not in silence");
    assert_eq!(memory.stats().free, 0);
}

/// The kernel lets this process have so much data, from now on. What was before.
fn data(limit: Option<u64>) -> Option<u64> {
    let before = getrlimit(Resource::Data);
    if setrlimit(Resource::Data, Rlimit { current: limit, ..before }).is_err() {
        children::cannot();
    }
    before.current
}

/// Memory for one page, of a pool of one that tells what it is told; it may not be opened before the limit
/// of data is what it was.
fn pool_of_one<B: Backend>(memory: &Arena, by: impl FnOnce(Arena) -> B, told: &Told) -> RawPool<B> {
    let harden = told.by(Hardening::new().guard_pages(true));
    RawPool::builder(Layout::new::<[u8; 64]>(), 1).harden(harden).build(by(memory.clone())).unwrap()
}

/// Nothing is lost, and all goes on as soon as the kernel lets it.
fn little_data() {
    let (memory, told) = (mapped(2), Told::default());
    let pool = pool_of_one(&memory, |arena| arena, &told);
    put(&pool, pool.get().unwrap()).unwrap();
    let before = data(Some(1));
    pool.drain();
    if told.take().is_empty() {
        children::cannot();
    }
    assert_eq!((pool.stats().pages, pool.stats().released, memory.stats().free), (1, 0, 0));
    // At each put, and by nobody else.
    pool.set_hard_limit(2).unwrap();
    let mut elsewhere = Box::pin(memory.alloc_async(Shape::new(1).unwrap()));
    assert!(poll_once(elsewhere.as_mut()).is_pending());
    told.take();
    for _ in 0..3 {
        let item = pool.get().unwrap();
        assert_eq!(told.take(), []);
        put(&pool, item).unwrap();
        assert_is!(&told.take()[..], [(ViolationKind::GuardShut(why), report)]
            if why.raw_os_error() == libc::ENOMEM && report.contains("cannot be given back"));
    }
    data(before);
    put(&pool, pool.get().unwrap()).unwrap();
    let Poll::Ready(Ok(span)) = poll_once(elsewhere.as_mut()) else { panic!("it went") };
    memory.free(span).unwrap();
    assert_eq!(told.take(), []);
    assert_rests(&pool, &memory);
}

/// Who is asleep inside the back-end has the page as soon as the kernel lets it go, and not by halves.
fn little_data_for_an_heir() {
    let (memory, told) = (mapped(2), Told::default());
    let pool = pool_of_one(&memory, |arena| Classic::new(ArenaPages(arena)), &told);
    pool.set_hard_limit(2).unwrap();
    let item = pool.get().unwrap();
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        let asleep = scope.spawn(|| pool.get().unwrap().addr());
        until_asked(&memory, 1);
        let before = data(Some(1));
        put(&pool, item).unwrap();
        if told.take().is_empty() {
            data(before);
            children::cannot();
        }
        let stats = pool.stats();
        assert_eq!((stats.pages, stats.idle, stats.released_to_heirs, stats.asleep_in_backend), (1, 1, 0, 1));
        assert_eq!(pool.try_get().unwrap(), item);
        data(before);
        put(&pool, item).unwrap();
        assert_eq!(asleep.join().unwrap(), item.addr());
    });
    let stats = pool.stats();
    assert_eq!((stats.released_to_heirs, stats.stolen, stats.pages), (1, 0, 1));
    put(&pool, item).unwrap();
    assert_eq!(told.take(), []);
    assert_rests(&pool, &memory);
}

/// What its close could not give back goes with the pool.
fn little_data_at_the_end() {
    let memory = mapped(2);
    let before = getrlimit(Resource::Data).current;
    let told = Arc::new(AtomicUsize::new(0));
    let tell = {
        let told = told.clone();
        move |_: &Violation<'_>| {
            told.fetch_add(1, SeqCst);
            data(before);
        }
    };
    let harden = Hardening::new().guard_pages(true).on_violation(tell);
    let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 1).harden(harden).build(memory.clone()).unwrap();
    put(&pool, pool.get().unwrap()).unwrap();
    data(Some(1));
    drop(pool);
    if told.load(SeqCst) == 0 {
        children::cannot();
    }
    assert_eq!(told.load(SeqCst), 1);
    assert_whole(&memory);
    write_everywhere(&memory);
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
