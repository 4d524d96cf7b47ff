//! What is behind the quanta, with real memory: what is committed, kept, discarded,
//! protected and unmapped, as the kernel tells it in `/proc/self/smaps`.

#![cfg(not(loom))]

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::slice;

use kva::sync::Mutex;
use kva::{AllocError, Arena, Decommit, Region, Reserve, Shape, Span};

/// What is mapped is the process's, so tests that look at it take turns: otherwise the
/// mapping of one could be joined to a neighbour of another's.
static TURN: Mutex<()> = Mutex::new(());

fn page() -> usize {
    rustix::param::page_size()
}

fn reserved(quanta: usize, how: Reserve) -> Arena {
    Arena::new(Region::reserve(quanta * page(), how).unwrap(), page()).unwrap()
}

fn take(arena: &Arena, len: u32) -> Span {
    arena.try_alloc(Shape::new(len).unwrap()).unwrap()
}

/// The addresses of a span.
fn extent(arena: &Arena, span: Span) -> Range<usize> {
    let start = arena.ptr(span).unwrap().addr().get();
    start..start + span.len() as usize * arena.quantum()
}

/// The bytes of a span that the caller holds.
fn bytes<'a>(arena: &'a Arena, span: &'a mut Span) -> &'a mut [u8] {
    let start = arena.ptr(*span).unwrap();
    // SAFETY: the span is held, and the tests make one slice of it at a time; what comes
    // from the kernel is initialised.
    unsafe { slice::from_raw_parts_mut(start.as_ptr(), span.len() as usize * arena.quantum()) }
}

/// Writes something different into each byte for some way.
fn scribble(bytes: &mut [u8]) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = (at % 251) as u8 + 1;
    }
}

fn is_scribbled(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8 + 1)
}

/// A mapping, as the kernel tells it.
#[derive(Debug)]
struct Mapping {
    range: Range<usize>,
    access: String,
    flags: Vec<String>,
}

fn mappings() -> Vec<Mapping> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut all: Vec<Mapping> = Vec::new();
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        match (words.next().unwrap(), all.last_mut()) {
            ("VmFlags:", Some(mapping)) => mapping.flags = words.map(str::to_owned).collect(),
            (word, _) => {
                let Some((start, end)) = word.split_once('-') else { continue };
                let parse = |number| usize::from_str_radix(number, 16);
                let (Ok(start), Ok(end)) = (parse(start), parse(end)) else { continue };
                let access = words.next().unwrap().to_owned();
                all.push(Mapping { range: start..end, access, flags: Vec::new() });
            }
        }
    }
    all
}

/// The mappings that lie in `range` at least in part.
fn mappings_in(range: &Range<usize>) -> Vec<Mapping> {
    let touches = |other: &Range<usize>| other.start < range.end && range.start < other.end;
    mappings().into_iter().filter(|mapping| touches(&mapping.range)).collect()
}

/// How much of `range` is mapped.
fn mapped(range: &Range<usize>) -> usize {
    let part = |other: &Range<usize>| other.end.min(range.end) - other.start.max(range.start);
    mappings_in(range).iter().map(|mapping| part(&mapping.range)).sum()
}

/// How many pages of `range` are resident, or swapped out. Page by page: the kernel may
/// have joined the mapping to a neighbour's.
fn resident(range: &Range<usize>) -> usize {
    const PRESENT_OR_SWAPPED: u64 = 3 << 62;
    let pagemap = File::open("/proc/self/pagemap").unwrap();
    let mut words = vec![0; range.len() / page() * size_of::<u64>()];
    pagemap.read_exact_at(&mut words, (range.start / page() * size_of::<u64>()) as u64).unwrap();
    let (words, _) = words.as_chunks();
    words.iter().filter(|word| u64::from_ne_bytes(**word) & PRESENT_OR_SWAPPED != 0).count()
}

/// How all of `range` may be accessed, as in `rw-p`.
fn access(range: &Range<usize>) -> String {
    assert_eq!(mapped(range), range.len(), "all of it is mapped");
    let mut all: Vec<_> = mappings_in(range).into_iter().map(|mapping| mapping.access).collect();
    all.dedup();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn what_is_taken_is_readable_and_writable_and_starts_as_zero() {
    let _turn = TURN.lock();
    let arena = reserved(8, Reserve::new());
    let mut span = take(&arena, 3);
    let mut next = take(&arena, 2);
    assert!(bytes(&arena, &mut span).iter().all(|byte| *byte == 0));
    scribble(bytes(&arena, &mut span));
    assert!(bytes(&arena, &mut next).iter().all(|byte| *byte == 0), "its neighbour is untouched");
    assert!(is_scribbled(bytes(&arena, &mut span)));
    assert_eq!(access(&extent(&arena, span)), "rw-p");
    arena.free(span).unwrap();
    arena.free(next).unwrap();
}

#[test]
fn what_was_never_taken_is_not_accessible() {
    let _turn = TURN.lock();
    let arena = reserved(8, Reserve::new());
    let span = take(&arena, 3);
    let taken = extent(&arena, span);
    let start = taken.start - span.start() as usize * page();
    let (before, after) = (start..taken.start, taken.end..start + 8 * page());
    for range in [before, after].into_iter().filter(|range| !range.is_empty()) {
        assert_eq!(access(&range), "---p");
    }
    arena.free(span).unwrap();
}

#[test]
fn never_keeps_contents() {
    let _turn = TURN.lock();
    let arena = reserved(4, Reserve::new());
    let mut span = take(&arena, 4);
    scribble(bytes(&arena, &mut span));
    let range = extent(&arena, span);
    arena.free(span).unwrap();
    assert_eq!(access(&range), "rw-p");
    let mut again = take(&arena, 4);
    assert!(is_scribbled(bytes(&arena, &mut again)));
    arena.free(again).unwrap();
}

#[test]
fn discard_gives_the_memory_back_and_keeps_the_addresses() {
    const PAGES: usize = 64;
    let _turn = TURN.lock();
    let arena = reserved(PAGES, Reserve::new().decommit(Decommit::Discard));
    let mut span = take(&arena, PAGES as u32);
    scribble(bytes(&arena, &mut span));
    let range = extent(&arena, span);
    assert_eq!(resident(&range), PAGES);
    arena.free(span).unwrap();
    assert_eq!(resident(&range), 0);
    assert_eq!(access(&range), "rw-p");
    let mut again = take(&arena, PAGES as u32);
    assert!(bytes(&arena, &mut again).iter().all(|byte| *byte == 0));
    arena.free(again).unwrap();
}

#[test]
fn protect_makes_what_is_freed_inaccessible_and_nothing_else() {
    let _turn = TURN.lock();
    let arena = reserved(6, Reserve::new().decommit(Decommit::Protect));
    let mut kept = take(&arena, 2);
    let mut gone = take(&arena, 2);
    let mut last = take(&arena, 2);
    for span in [&mut kept, &mut gone, &mut last] {
        scribble(bytes(&arena, span));
    }
    let range = extent(&arena, gone);
    assert_eq!(access(&range), "rw-p");
    arena.free(gone).unwrap();
    assert_eq!(access(&range), "---p");
    for span in [&mut kept, &mut last] {
        assert_eq!(access(&extent(&arena, *span)), "rw-p");
        assert!(is_scribbled(bytes(&arena, span)));
    }
    let mut again = take(&arena, 2);
    assert_eq!(extent(&arena, again), range);
    assert_eq!(access(&range), "rw-p");
    assert!(bytes(&arena, &mut again).iter().all(|byte| *byte == 0));
    for span in [kept, again, last] {
        arena.free(span).unwrap();
    }
    assert_eq!(access(&(range.start - 2 * page()..range.end + 2 * page())), "---p");
}

/// A span that is handed over by a free, not found free, is committed all the same.
#[test]
fn what_a_waiter_is_granted_is_accessible() {
    let _turn = TURN.lock();
    let arena = reserved(2, Reserve::new().decommit(Decommit::Protect));
    let all = take(&arena, 2);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut span = arena.alloc(Shape::new(1).unwrap()).unwrap();
            scribble(bytes(&arena, &mut span));
            assert!(is_scribbled(bytes(&arena, &mut span)));
            span
        });
        while arena.stats().waiting != 1 {
            std::thread::yield_now();
        }
        arena.free(all).unwrap();
        let span = waiter.join().unwrap();
        let range = extent(&arena, span);
        assert_eq!(access(&range), "rw-p");
        arena.free(span).unwrap();
        assert_eq!(access(&range), "---p");
    });
}

#[test]
fn huge_pages_are_asked_for() {
    const HUGE: usize = 4 << 20;
    let _turn = TURN.lock();
    let flags = |huge: bool| {
        let region = Region::reserve(HUGE, Reserve::new().huge_pages(huge)).unwrap();
        let base = region.base().unwrap().addr().get();
        let arena = Arena::new(region, page()).unwrap();
        let mut span = take(&arena, (HUGE / page()) as u32);
        scribble(bytes(&arena, &mut span));
        assert!(is_scribbled(bytes(&arena, &mut span)));
        arena.free(span).unwrap();
        let all = mappings_in(&(base..base + HUGE));
        all.into_iter().map(|mapping| mapping.flags).collect::<Vec<_>>()
    };
    let advised = |all: &[Vec<String>]| all.iter().all(|flags| flags.iter().any(|flag| flag == "hg"));
    let (without, with) = (flags(false), flags(true));
    assert!(!advised(&without), "{without:?}");
    if std::fs::exists("/sys/kernel/mm/transparent_hugepage/enabled").unwrap() {
        assert!(advised(&with), "{with:?}");
    } else {
        eprintln!("SKIPPED: this kernel has no transparent huge pages, so the advice is not seen");
    }
}

/// Under every policy, and again after each decommit.
#[test]
fn what_is_taken_is_populated_if_that_is_wanted() {
    let _turn = TURN.lock();
    for decommit in [Decommit::Never, Decommit::Discard, Decommit::Protect] {
        for populate in [false, true] {
            let arena = reserved(64, Reserve::new().decommit(decommit).populate(populate));
            // All at once, and in two parts of which one was there already.
            for (few, all) in [(64, 64), (24, 64)] {
                let mut span = take(&arena, few);
                let range = extent(&arena, span);
                scribble(bytes(&arena, &mut span));
                arena.free(span).unwrap();
                let kept = if decommit == Decommit::Never { few as usize } else { 0 };
                assert_eq!(resident(&range), kept, "{decommit:?}");

                let mut span = take(&arena, all);
                let there = resident(&extent(&arena, span));
                if populate {
                    assert_eq!(there, all as usize, "{decommit:?}");
                } else {
                    assert!(there == 0 || decommit == Decommit::Never, "{decommit:?}: {there}");
                }
                let kept = bytes(&arena, &mut span).iter().filter(|byte| **byte != 0).count();
                assert_eq!(kept > 0, decommit == Decommit::Never, "{decommit:?}: populating writes nothing");
                arena.free(span).unwrap();
            }
        }
    }
}

/// By free to a waiter, and not by taking.
#[test]
fn what_a_waiter_is_granted_is_populated() {
    let _turn = TURN.lock();
    let arena = reserved(8, Reserve::new().decommit(Decommit::Discard).populate(true));
    let all = take(&arena, 8);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let span = arena.alloc(Shape::new(5).unwrap()).unwrap();
            assert_eq!(resident(&extent(&arena, span)), 5);
            span
        });
        while arena.stats().waiting != 1 {
            std::thread::yield_now();
        }
        arena.free(all).unwrap();
        arena.free(waiter.join().unwrap()).unwrap();
    });
}

#[test]
fn huge_pages_that_are_populated_are_there_and_huge() {
    const HUGE: usize = 2 << 20;
    let _turn = TURN.lock();
    let region = Region::reserve(2 * HUGE, Reserve::new().huge_pages(true).populate(true)).unwrap();
    let base = region.base().unwrap().addr().get();
    let arena = Arena::new(region, HUGE).unwrap();
    let span = take(&arena, 2);
    assert_eq!(resident(&(base..base + 2 * HUGE)), 2 * HUGE / page());
    let huge = anonymous_huge(&(base..base + 2 * HUGE));
    if huge == 0 {
        eprintln!(
            "SKIPPED: this kernel gave no transparent huge page, by its settings or for want of memory"
        );
    } else {
        assert!(huge.is_multiple_of(HUGE), "{huge}");
    }
    arena.free(span).unwrap();
}

/// Bytes of the mappings in `range` that are in transparent huge pages.
fn anonymous_huge(range: &Range<usize>) -> usize {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut within = false;
    let mut kib = 0;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let head = words.next().unwrap();
        if let Some((start, end)) = head.split_once('-')
            && let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
        {
            within = start < range.end && range.start < end;
        } else if within && head == "AnonHugePages:" {
            kib += words.next().unwrap().parse::<usize>().unwrap();
        }
    }
    kib << 10
}

/// How many explicit huge pages the system has that nobody has, or was promised. `None`: it makes
/// more as they are wanted, so that nobody knows.
fn free_explicit() -> Option<usize> {
    let of = |name: &str| {
        let path = format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{name}_hugepages");
        std::fs::read_to_string(path).map_or(0, |text| text.trim().parse::<usize>().unwrap())
    };
    (of("nr_overcommit") == 0).then(|| of("free").saturating_sub(of("resv")))
}

#[test]
fn explicit_huge_pages_are_set_aside_at_the_reserve_or_not_at_all() {
    const HUGE: usize = 2 << 20;
    let _turn = TURN.lock();
    let how = Reserve::new().hugetlb(true);
    for bad in [page(), HUGE + page()] {
        let error = Region::reserve(bad, how).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().ends_with("a positive multiple of the page size, 2097152"), "{error}");
    }
    for decommit in [Decommit::Discard, Decommit::Protect] {
        let error = Region::reserve(HUGE, how.decommit(decommit)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("never decommitted"), "{error}");
    }

    let Some(free) = free_explicit() else {
        eprintln!("SKIPPED: this system makes explicit huge pages as they are wanted");
        return;
    };
    let error = Region::reserve((free + 1) * HUGE, how).unwrap_err();
    assert!(
        error.to_string().starts_with(&format!("{} explicit huge pages of 2 MiB: ", free + 1)),
        "{error}"
    );
    assert!(error.to_string().contains("/proc/sys/vm/nr_hugepages"), "{error}");
    if free < 2 {
        eprintln!("SKIPPED: this system has no two explicit huge pages to spare, so their use is not seen");
        return;
    }
    let region = Region::reserve(2 * HUGE, how).unwrap();
    let base = region.base().unwrap().addr().get();
    assert_eq!(free_explicit(), Some(free - 2), "promised before anything is taken");
    let error = Arena::new(Region::reserve(HUGE, how).unwrap(), page()).unwrap_err();
    assert!(error.to_string().contains("2097152"), "{error}");
    let arena = Arena::new(region, HUGE).unwrap();
    let mut span = take(&arena, 2);
    scribble(bytes(&arena, &mut span));
    assert!(is_scribbled(bytes(&arena, &mut span)));
    let flags: Vec<_> = mappings_in(&(base..base + 2 * HUGE)).into_iter().flat_map(|map| map.flags).collect();
    assert!(flags.iter().any(|flag| flag == "ht"), "{flags:?}");
    arena.free(span).unwrap();
    drop(arena);
    assert_eq!(free_explicit(), Some(free));
}

#[test]
fn an_arena_says_what_it_has_committed_and_what_of_it_nobody_uses() {
    let _turn = TURN.lock();
    let figures = |arena: &Arena| {
        let stats = arena.stats();
        assert_eq!(stats.quantum, arena.quantum());
        assert_eq!(stats.committed_bytes(), stats.committed as usize * page());
        assert_eq!(stats.unused_bytes(), stats.committed_unused as usize * page());
        (stats.committed, stats.committed_unused)
    };
    for (decommit, kept) in [(Decommit::Never, 5), (Decommit::Discard, 5), (Decommit::Protect, 0)] {
        let arena = reserved(8, Reserve::new().decommit(decommit));
        assert_eq!(figures(&arena), (0, 0));
        let (five, two) = (take(&arena, 5), take(&arena, 2));
        assert_eq!(figures(&arena), (7, 0), "{decommit:?}");
        arena.free(five).unwrap();
        assert_eq!(figures(&arena), (kept + 2, kept), "{decommit:?}: what is accessible");
        // Of a region that is added, too.
        arena.add_region(Region::reserve(64 * page(), Reserve::new().decommit(decommit)).unwrap()).unwrap();
        assert_eq!(figures(&arena), (kept + 2, kept));
        let many = take(&arena, 40);
        assert_eq!(figures(&arena), (kept + 42, kept));
        arena.free(many).unwrap();
        arena.free(two).unwrap();
        let all = if kept == 0 { 0 } else { 47 };
        assert_eq!(figures(&arena), (all, all), "{decommit:?}");
    }

    // What is withheld for the head is in no span either.
    let arena = reserved(8, Reserve::new());
    let mut ones: Vec<_> = (0..8).map(|_| take(&arena, 1)).collect();
    ones.sort_by_key(|span| span.start());
    let busy = ones.split_off(7);
    for span in ones {
        arena.free(span).unwrap();
    }
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| arena.alloc(Shape::new(8).unwrap()).unwrap());
        while arena.stats().waiting != 1 {
            std::thread::yield_now();
        }
        assert_eq!((arena.stats().withheld, arena.stats().free), (7, 0));
        assert_eq!(figures(&arena), (8, 7));
        for span in busy {
            arena.free(span).unwrap();
        }
        arena.free(waiter.join().unwrap()).unwrap();
    });
    assert_eq!(figures(&arena), (8, 8));

    let numbers = Arena::new(Region::numbers(9), 1).unwrap();
    let stats = numbers.stats();
    assert_eq!((stats.quantum, stats.committed_bytes(), stats.unused_bytes()), (1, 0, 0));
}

#[test]
fn borrowed_memory_is_used_as_it_is() {
    #[repr(align(4096))]
    struct Memory([u8; 16 * 64]);
    let mut memory = Box::new(Memory([7; 16 * 64]));
    let start = NonNull::from(&mut memory.0).cast::<u8>();
    let borrowed = |bytes| {
        // SAFETY: the box outlives the arenas that are made of this, one at a time, and is
        // not used otherwise meanwhile.
        unsafe { Region::borrowed(NonNull::slice_from_raw_parts(start, bytes)) }
    };
    let region = borrowed(16 * 64);
    assert_eq!((region.base(), region.len(), region.is_empty()), (Some(start), 16 * 64, false));
    let arena = Arena::new(region, 64).unwrap();
    assert_eq!((arena.quanta(), arena.quantum()), (16, 64));
    assert_eq!((arena.stats().committed_bytes(), arena.stats().unused_bytes()), (1024, 1024));
    let mut span = take(&arena, 16);
    assert_eq!(arena.ptr(span), Some(start));
    assert!(bytes(&arena, &mut span).iter().all(|byte| *byte == 7), "nothing is cleared");
    scribble(bytes(&arena, &mut span));
    arena.free(span).unwrap();
    let mut again = take(&arena, 16);
    assert!(is_scribbled(bytes(&arena, &mut again)), "nor given to the kernel");
    drop(arena);

    // What is left over after the last whole quantum is not handed out.
    let arena = Arena::new(borrowed(16 * 64 - 1), 64).unwrap();
    assert_eq!(arena.quanta(), 15);
    let span = arena.try_alloc(Shape::aligned(1, 8).unwrap()).unwrap();
    let odd = take(&arena, 1);
    let aligned = arena.try_alloc(Shape::aligned(2, 4).unwrap()).unwrap();
    for (span, align) in [(span, 8 * 64), (odd, 64), (aligned, 4 * 64)] {
        assert!(arena.ptr(span).unwrap().addr().get().is_multiple_of(align));
        arena.free(span).unwrap();
    }
    drop(arena);
    assert!(is_scribbled(&memory.0), "it is the caller's again, as it was left");
}

#[test]
fn numbers_have_no_memory() {
    let region = Region::numbers(10);
    assert_eq!((region.base(), region.len(), region.is_empty()), (None, 10, false));
    assert!(Region::numbers(0).is_empty());
    let arena = Arena::new(region, 1).unwrap();
    let span = take(&arena, 10);
    assert_eq!((span.range(), arena.ptr(span)), (0..10, None));
    assert_eq!(arena.try_alloc(Shape::new(1).unwrap()), Err(AllocError::Scarce));
    arena.free(span).unwrap();
}

#[test]
fn a_reservation_of_a_bad_size_says_so() {
    for bad in [0, 1, page() - 1, page() + 1, usize::MAX] {
        let error = Region::reserve(bad, Reserve::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
        assert!(error.to_string().contains(&bad.to_string()), "{error}");
    }
    let more_than_there_is = usize::MAX & !(page() - 1);
    assert!(Region::reserve(more_than_there_is, Reserve::new()).is_err());
}

#[test]
fn reserved_memory_is_unmapped_with_the_last_handle_of_its_arena() {
    // So large that nothing that others map meanwhile could be taken for it.
    const BYTES: usize = 1 << 30;
    let _turn = TURN.lock();
    let region = Region::reserve(BYTES, Reserve::new()).unwrap();
    assert_eq!((region.len(), region.is_empty()), (BYTES, false));
    let base = region.base().unwrap().addr().get();
    let range = base..base + BYTES;
    let arena = Arena::new(region, page()).unwrap();
    assert_eq!(mapped(&range), BYTES);
    let handle = arena.clone();
    let span = take(&arena, 4);
    drop(arena);
    assert_eq!(mapped(&range), BYTES, "a handle is left");
    handle.free(span).unwrap();
    drop(handle);
    assert!(mapped(&range) < BYTES / 2, "{:?}", mappings_in(&range));

    let region = Region::reserve(BYTES, Reserve::new()).unwrap();
    let base = region.base().unwrap().addr().get();
    assert!(Arena::new(region, 3).is_err());
    assert!(mapped(&(base..base + BYTES)) < BYTES / 2, "nor does a failed construction keep it");
}

#[test]
fn quanta_larger_than_pages_are_committed_whole() {
    let _turn = TURN.lock();
    let quantum = 4 * page();
    // The kernel places a reservation at a multiple of its page only: this asks until one
    // is at a multiple of the quantum, as a caller has to.
    let mut misplaced = Vec::new();
    let region = loop {
        let region = Region::reserve(4 * quantum, Reserve::new().decommit(Decommit::Protect)).unwrap();
        if region.base().unwrap().addr().get().is_multiple_of(quantum) {
            break region;
        }
        misplaced.push((region, Region::reserve(page(), Reserve::new()).unwrap()));
        assert!(misplaced.len() < 64, "some of these are aligned by chance");
    };
    let arena = Arena::new(region, quantum).unwrap();
    assert_eq!((arena.quanta(), arena.quantum()), (4, quantum));
    let mut span = take(&arena, 2);
    let range = extent(&arena, span);
    assert_eq!((range.len(), access(&range)), (2 * quantum, "rw-p".to_owned()));
    scribble(bytes(&arena, &mut span));
    arena.free(span).unwrap();
    assert_eq!(access(&range), "---p");
}

#[test]
fn a_region_is_as_aligned_as_was_asked_for() {
    for align in [1 << 22, 1 << 30] {
        let region = Region::reserve(1 << 21, Reserve::new().align(align)).unwrap();
        assert_eq!(region.base().unwrap().addr().get() % align, 0);
    }
    for align in [1, 4096] {
        assert!(Region::reserve(1 << 21, Reserve::new().align(align)).is_ok(), "less than it has anyway");
    }
    let error = Region::reserve(1 << 21, Reserve::new().align(3)).unwrap_err();
    assert_eq!(error.to_string(), "a region at a multiple of 3: it must be a power of two");
    assert!(Region::reserve(1 << 21, Reserve::new().align(1 << 63)).is_err(), "no such addresses");
}
