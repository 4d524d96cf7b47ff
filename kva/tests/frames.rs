//! Frames with real memory: pages keep their bytes and addresses while they are moved, runs are got
//! out of what is scattered, and nothing is left behind.

#![cfg(not(loom))]

use std::io::{self, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use kva::sync::Mutex;
use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kva::{AllocError, Arena, FrameAllocError, Frames, FramesError, Page, Shape};

/// Descriptors and mappings are the process's: who counts them has it alone, and who makes them
/// shares it with who does not count.
static TURN: Mutex<()> = Mutex::new(());

/// For what is not to happen, in a test that would hang without it.
const LONG: Duration = Duration::from_secs(20);

fn one() -> Shape {
    Shape::new(1).unwrap()
}

fn aligned(len: u32, align: u32) -> Shape {
    Shape::aligned(len, align).unwrap()
}

fn frames(count: u32, protect: bool) -> Frames {
    Frames::builder(count).protect(protect).build().unwrap()
}

fn assert_whole(frames: &Frames) {
    let stats = frames.stats().arena;
    assert_eq!((stats.free, stats.free_runs, stats.waiting), (stats.quanta, 1, 0));
}

/// What `seed` and a place make, with no two pages alike.
fn pattern(seed: u64, at: usize) -> u64 {
    (seed << 32 | at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

fn write(page: &mut Page, seed: u64) {
    let mut bytes = page.pin_mut();
    let (words, _) = bytes.as_chunks_mut::<8>();
    for (at, word) in words.iter_mut().enumerate() {
        *word = pattern(seed, at).to_ne_bytes();
    }
}

fn assert_reads(page: &Page, seed: u64) {
    let bytes = page.pin();
    let (words, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty());
    let torn = words.iter().enumerate().position(|(at, word)| u64::from_ne_bytes(*word) != pattern(seed, at));
    assert_eq!(torn, None, "page {seed} in {}", page.frame());
}

/// All frames, each with a page that has its number written in it.
fn full(frames: &Frames) -> Vec<Page> {
    let mut pages: Vec<_> = (0..frames.count()).map(|_| frames.try_page().unwrap()).collect();
    pages.iter_mut().enumerate().for_each(|(seed, page)| write(page, seed as u64));
    pages
}

/// Returns once `waiting` requests wait.
fn until_waiting(frames: &Frames, waiting: usize) {
    while frames.stats().arena.waiting != waiting {
        thread::yield_now();
    }
}

/// Lets a failed test end, instead of joining those who wait for ever.
struct CloseOnPanic<'a>(&'a Frames);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
        }
    }
}

/// Lets a failed test end, whose others go on until they are told.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Relaxed);
        }
    }
}

/// A sequence of numbers that look random, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(bound)) as u32
    }
}

#[test]
fn bad_sizes_say_so() {
    let page = rustix::param::page_size();
    for bad in [0, 1, page - 1, page + 1] {
        let error = Frames::builder(4).frame_size(bad).build().unwrap_err();
        assert!(matches!(error, FramesError::FrameSize { bytes, .. } if bytes == bad), "{error}");
        assert!(error.to_string().contains(&bad.to_string()), "{error}");
    }
    assert!(matches!(Frames::new(0), Err(FramesError::Arena(_))));
    let error = Frames::builder(1 << 16).frame_size(1 << 44).build().unwrap_err();
    assert!(matches!(error, FramesError::Memory(_) | FramesError::Tables(_)), "{error:?}");
    let frames = frames(4, false);
    let error = frames.run(aligned(5, 1)).unwrap_err();
    assert!(matches!(error, FrameAllocError::Alloc(AllocError::TooLarge { .. })), "{error}");
}

#[test]
fn pages_are_as_large_as_frames_and_start_as_zero() {
    let size = 4 * rustix::param::page_size();
    let frames = Frames::builder(3).frame_size(size).build().unwrap();
    assert_eq!((frames.count(), frames.frame_size()), (3, size));
    let pages: Vec<_> = (0..3).map(|_| frames.page().unwrap()).collect();
    for page in &pages {
        assert_eq!(page.pin().len(), size);
        assert!(page.pin().iter().all(|byte| *byte == 0));
    }
    drop(pages);
    let run = frames.run(aligned(2, 2)).unwrap();
    assert_eq!((run.len(), run.frames()), (2 * size, 0..2));
    drop(run);
    assert_whole(&frames);
}

#[test]
fn what_is_moved_keeps_its_bytes_and_its_address() {
    for protect in [false, true] {
        let frames = frames(64, protect);
        let mut pages = full(&frames);
        let addresses: Vec<_> = pages.iter().map(Page::address).collect();
        let mut random = Random(1);
        // Half of them go, so that there is somewhere to move to.
        let mut kept: Vec<_> = pages.drain(..).enumerate().filter(|(seed, _)| seed % 2 == 0).collect();
        for round in 0..2_000 {
            let start = random.below(64);
            let done = frames.compact(start..start + random.below(12));
            assert_eq!((done.kept, done.refused, done.wired), (0, 0, 0), "{done:?}");
            let at = random.below(32) as usize;
            let (seed, page) = &mut kept[at];
            assert_eq!(page.address(), addresses[*seed]);
            assert_reads(page, *seed as u64);
            if round % 3 == 0 {
                write(page, *seed as u64);
            }
        }
        for (seed, page) in &kept {
            assert_reads(page, *seed as u64);
        }
        assert!(frames.stats().moved > 2_000, "{:?}", frames.stats());
        drop(kept);
        assert_whole(&frames);
    }
}

#[test]
fn a_window_is_emptied_as_far_as_that_can_be_done() {
    let frames = frames(8, false);
    let mut pages = full(&frames);
    assert_eq!(frames.compact(0..4).no_room, 4, "there is no free frame");
    pages.retain(|page| page.frame() < 6);
    let pin = pages.iter().find(|page| page.frame() == 1).unwrap().pin();
    let done = frames.compact(0..4);
    assert_eq!((done.moved, done.kept, done.no_room), (2, 1, 1), "{done:?}");
    drop(pin);
    assert_eq!(frames.compact(100..200), frames.compact(3..3), "there is nothing there");
    let stats = frames.stats();
    assert_eq!((stats.moved, stats.kept, stats.refused), (2, 1, 0));
}

#[test]
fn a_run_is_got_out_of_what_is_scattered() {
    for protect in [false, true] {
        let frames = frames(256, protect);
        let mut pages: Vec<_> = full(&frames).into_iter().enumerate().collect();
        pages.retain(|(_, page)| page.frame() % 2 == 0);
        let stats = frames.stats().arena;
        assert_eq!((stats.free, stats.largest[0]), (128, 1), "there is enough, and no run of two");
        let addresses: Vec<_> = pages.iter().map(|(_, page)| page.address()).collect();

        let mut run = frames.run_timeout(aligned(64, 64), LONG).unwrap();
        let taken = run.frames();
        assert!(taken.start.is_multiple_of(64) && taken.len() == 64);
        run.fill(0xff);
        for ((seed, page), address) in pages.iter().zip(addresses) {
            assert!(!taken.contains(&page.frame()) && page.address() == address);
            assert_reads(page, *seed as u64);
        }
        let stats = frames.stats();
        assert_eq!((stats.moved, stats.arena.free), (32, 64), "no more were moved than needed be");

        // The rest in one piece too, by who would not wait.
        let rest = frames.try_run(aligned(64, 64)).unwrap();
        assert_eq!(frames.try_page().unwrap_err(), FrameAllocError::Alloc(AllocError::Scarce));
        assert!(run.iter().all(|byte| *byte == 0xff), "nobody was moved into it");
        drop((run, rest, pages));
        assert_whole(&frames);
    }
}

#[test]
fn what_is_wired_is_passed_by() {
    let frames = frames(16, false);
    let pages = full(&frames);
    drop(pages);
    // A run in every window of 4 but the last, which is full of pages.
    let runs: Vec<_> = (0..16).map(|_| frames.run(one()).unwrap()).collect();
    let (mut runs, free): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.frames().start % 4 == 0);
    drop(free);
    runs.retain(|run| run.frames().start != 12);
    let pages: Vec<_> = (0..13).map(|_| frames.page().unwrap()).collect();
    let pages: Vec<_> = pages.into_iter().filter(|page| page.frame() >= 12).collect();
    assert_eq!((pages.len(), frames.stats().arena.free), (4, 9));
    let run = frames.run_timeout(aligned(4, 4), LONG).unwrap();
    assert_eq!(run.frames(), 12..16, "the window with the most in it, which is all that can be cleared");
    assert_eq!(runs.len(), 3);
}

/// The arena aims at what has least in it, which is wired here; and what is free in there is what
/// the others could be moved to.
#[test]
fn what_is_free_beside_what_is_wired_is_moved_to() {
    let frames = frames(8, false);
    let wired = frames.run(one()).unwrap();
    assert_eq!(wired.frames(), 0..1);
    let mut pages: Vec<_> = (0..7).map(|_| frames.page().unwrap()).collect();
    pages.retain(|page| matches!(page.frame(), 4 | 5 | 7));
    let run = frames.run_timeout(aligned(4, 4), LONG).unwrap();
    assert_eq!(run.frames(), 4..8);
    assert_eq!(frames.stats().moved, 3);
}

#[test]
fn what_is_pinned_is_waited_for() {
    for protect in [false, true] {
        let frames = frames(16, protect);
        let mut pages: Vec<_> = full(&frames).into_iter().enumerate().collect();
        pages.retain(|(_, page)| page.frame() % 2 == 0);
        let pins: Vec<_> = pages.iter().map(|(_, page)| (page.frame(), page.pin(), page.pin())).collect();
        assert!(frames.try_run(aligned(4, 4)).is_err(), "all of it is pinned");
        thread::scope(|scope| {
            let _closes = CloseOnPanic(&frames);
            let waiter = scope.spawn(|| frames.run(aligned(4, 4)));
            until_waiting(&frames, 1);
            // One pin of each, which changes nothing, and both in one window.
            let pins: Vec<_> = pins.into_iter().map(|(frame, pin, _)| (frame, pin)).collect();
            thread::sleep(Duration::from_millis(1));
            assert_eq!(frames.stats().arena.waiting, 1);
            let (inside, outside): (Vec<_>, Vec<_>) =
                pins.into_iter().partition(|(frame, _)| (8..12).contains(frame));
            drop(inside);
            let run = waiter.join().unwrap().unwrap();
            assert_eq!(run.frames(), 8..12);
            drop(outside);
        });
        for (seed, page) in &pages {
            assert_reads(page, *seed as u64);
        }
        drop(pages);
        assert_whole(&frames);
    }
}

#[test]
fn frames_to_move_to_are_waited_for() {
    let frames = frames(8, false);
    let mut pages = full(&frames);
    pages.retain(|page| page.frame() % 2 == 0 || page.frame() == 7);
    // Three free frames, in three windows.
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&frames);
        let waiter = scope.spawn(|| frames.run(aligned(4, 4)));
        until_waiting(&frames, 1);
        pages.pop();
        assert_eq!(waiter.join().unwrap().unwrap().len(), 4 * frames.frame_size());
    });
}

/// Until a run that was granted is wired, its frames look like nobody's to who makes room for the
/// next; once it is, that has to look elsewhere.
#[test]
fn a_run_that_is_wired_late_strands_nobody_behind_it() {
    for _ in 0..20 {
        let frames = frames(12, false);
        let mut pages = full(&frames);
        pages.retain(|page| page.frame() >= 6);
        let run = frames.run(aligned(6, 1)).unwrap();
        assert_eq!(run.frames(), 0..6);
        pages.retain(|page| page.frame() < 10);
        let pin = pages.iter().find(|page| page.frame() == 6).unwrap().pin();
        thread::scope(|scope| {
            let _closes = CloseOnPanic(&frames);
            let first = scope.spawn(|| frames.run(aligned(4, 4)));
            until_waiting(&frames, 1);
            let second = scope.spawn(|| frames.run_timeout(aligned(4, 4), LONG));
            until_waiting(&frames, 2);
            drop(run);
            let first = first.join().unwrap().unwrap();
            let second = second.join().unwrap().unwrap();
            // 6 is pinned, and 8 and 9 can go to 4 and 5.
            assert_eq!((first.frames(), second.frames()), (0..4, 8..12));
        });
        drop(pin);
        drop(pages);
        assert_whole(&frames);
    }
}

#[test]
fn closing_ends_who_waits_and_leaves_what_there_is() {
    let frames = frames(4, false);
    let pages = full(&frames);
    let _pins: Vec<_> = pages.iter().map(Page::pin).collect();
    thread::scope(|scope| {
        let waiters =
            [scope.spawn(|| frames.run(aligned(2, 2)).map(drop)), scope.spawn(|| frames.page().map(drop))];
        until_waiting(&frames, 2);
        frames.close();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Err(FrameAllocError::Alloc(AllocError::Closed)));
        }
    });
    assert!(frames.is_closed());
    assert_reads(&pages[3], 3);
}

#[test]
fn who_would_not_wait_longer_does_not() {
    let frames = frames(4, false);
    let pages = full(&frames);
    let soon = Duration::from_millis(5);
    let timed_out = FrameAllocError::Alloc(AllocError::TimedOut);
    assert_eq!(frames.page_timeout(soon).unwrap_err(), timed_out);
    assert_eq!(frames.run_timeout(aligned(2, 2), soon).unwrap_err(), timed_out);
    assert_eq!(frames.page_deadline(std::time::Instant::now()).unwrap_err(), timed_out);
    assert_eq!(frames.run_deadline(aligned(2, 2), std::time::Instant::now()).unwrap_err(), timed_out);
    drop(pages);
    assert_whole(&frames);
}

/// P4 and its knob: exactly `bypass` pages for each frame of the run overtake it, then none, until it is
/// served.
#[test]
fn the_bypass_is_how_many_may_overtake() {
    let usual = Arena::DEFAULT_BYPASS;
    for (bypass, len) in [0, 1, 3, usual].into_iter().flat_map(|k| [(k, 2), (k, 3)]) {
        let builder = Frames::builder(8).protect(false);
        let builder = if bypass == usual { builder } else { builder.bypass(bypass) };
        let frames = builder.build().unwrap();
        let mut pages = full(&frames);
        pages.retain(|page| page.frame() % 2 == 1);
        thread::scope(|scope| {
            let _closes = CloseOnPanic(&frames);
            // One in the way of each run.
            let pins: Vec<_> = pages.iter().map(Page::pin).collect();
            let front = scope.spawn(|| frames.run(aligned(len, 1)));
            until_waiting(&frames, 1);
            for thief in 0..bypass * len {
                drop(frames.try_page().unwrap_or_else(|error| panic!("{thief} of {bypass}: {error}")));
            }
            for _ in 0..3 {
                let refused = FrameAllocError::Alloc(AllocError::Scarce);
                assert_eq!(frames.try_page().unwrap_err(), refused, "{bypass} overtook it");
                assert_eq!(frames.try_run(one()).unwrap_err(), refused, "a run or a page");
            }
            drop(pins);
            assert_eq!(front.join().unwrap().unwrap().frames().len(), len as usize);
        });
        assert_eq!(frames.stats().arena.most_overtaken, u64::from(bypass * len));
        drop(frames.try_page().expect("nobody waits"));
        drop(pages);
        assert_whole(&frames);
    }
}

/// Threads that read and write their pages, against one that moves them all the time and one that
/// takes runs.
#[test]
fn pages_are_read_and_written_while_they_are_moved() {
    for protect in [false, true] {
        let frames = frames(96, protect);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _closes = CloseOnPanic(&frames);
            let workers: Vec<_> = (0..3)
                .map(|worker| {
                    let frames = &frames;
                    scope.spawn(move || {
                        let _closes = CloseOnPanic(frames);
                        let mut random = Random(worker);
                        let mut seed = worker << 20;
                        let mut pages: Vec<_> = (0..16).map(|_| (seed, frames.page().unwrap())).collect();
                        for (_, page) in &mut pages {
                            write(page, seed);
                        }
                        let addresses: Vec<_> = pages.iter().map(|(_, page)| page.address()).collect();
                        // Until enough was moved beside it.
                        for round in 0_u32.. {
                            if round % 256 == 0 && round >= 4_000 && frames.stats().moved > 1_000 {
                                break;
                            }
                            let at = random.below(16) as usize;
                            let (had, page) = &mut pages[at];
                            assert_reads(page, *had);
                            if random.below(2) == 0 {
                                seed += 1;
                                *had = seed;
                                write(page, seed);
                            }
                        }
                        assert!(pages.iter().map(|(_, page)| page.address()).eq(addresses));
                    })
                })
                .collect();
            scope.spawn(|| {
                let mut random = Random(77);
                while !stop.load(Relaxed) {
                    let start = random.below(96);
                    frames.compact(start..start + 1 + random.below(32));
                }
            });
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let mut run = frames.run_timeout(aligned(16, 16), LONG).unwrap();
                    run.fill(0xff);
                    thread::yield_now();
                    assert!(run.iter().all(|byte| *byte == 0xff), "nobody was moved into it");
                }
            });
            for worker in workers {
                let ended = worker.join();
                if ended.is_err() {
                    stop.store(true, Relaxed);
                }
                ended.unwrap();
            }
            stop.store(true, Relaxed);
        });
        assert_whole(&frames);
    }
}

/// Pages that are made, pinned and dropped, and as many pins at once as leave no window free of them for
/// a while: each run is got all the same, since whoever changes that makes room.
#[test]
fn pages_come_and_go_while_runs_wait() {
    for protect in [false, true] {
        let frames = frames(32, protect);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _closes = CloseOnPanic(&frames);
            for worker in 0..3 {
                let (frames, stop) = (&frames, &stop);
                scope.spawn(move || {
                    let mut random = Random(worker);
                    while !stop.load(Relaxed) {
                        let pages: Vec<_> = (0..=random.below(6)).map(|_| frames.page()).collect();
                        let Ok(pages) = pages.into_iter().collect::<Result<Vec<_>, _>>() else { return };
                        let pins: Vec<_> = pages.iter().map(Page::pin).collect();
                        if random.below(4) == 0 {
                            thread::yield_now();
                        }
                        drop(pins);
                    }
                });
            }
            for _ in 0..400 {
                let run = frames.run_timeout(aligned(8, 8), LONG);
                if run.is_err() {
                    stop.store(true, Relaxed);
                }
                assert_eq!(run.unwrap().frames().len(), 8);
            }
            stop.store(true, Relaxed);
        });
        assert_whole(&frames);
    }
}

/// Many readers of one page, whose first opens it and whose last closes it.
#[test]
fn readers_come_and_go_while_a_page_is_moved() {
    let frames = frames(4, true);
    let mut page = frames.page().unwrap();
    write(&mut page, 5);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let _stops = StopOnPanic(&stop);
                for round in 0_u32.. {
                    if stop.load(Relaxed) {
                        return;
                    }
                    if round % 50 == 0 {
                        assert_reads(&page, 5);
                    } else {
                        assert_eq!(page.pin()[..8], pattern(5, 0).to_ne_bytes());
                    }
                    thread::yield_now();
                }
            });
        }
        while frames.stats().moved < 500 && !stop.load(Relaxed) {
            let frame = page.frame();
            frames.compact(frame..frame + 1);
        }
        stop.store(true, Relaxed);
    });
    assert_reads(&page, 5);
}

#[test]
fn a_forgotten_pin_holds_up_no_drop() {
    let frames = frames(2, true);
    let page = frames.page().unwrap();
    std::mem::forget(page.pin());
    assert_eq!(frames.compact(page.frame()..page.frame() + 1).kept, 1, "it is pinned for good");
    drop(page);
    assert_whole(&frames);
    let page = frames.page().unwrap();
    assert_eq!(frames.compact(page.frame()..page.frame() + 1).moved, 1, "the next one is not");
}

fn count(path: &str) -> usize {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.count(),
        Err(_) => {
            std::fs::read_to_string(path).unwrap().lines().filter(|line| line.contains("kva-frames")).count()
        }
    }
}

const NAME: &str = "KVA_TEST_FRAMES";

/// No test, but the processes that tests start.
#[test]
fn the_process_itself() {
    let frames = || frames(4, true);
    match std::env::var(NAME).as_deref() {
        Ok("uses after unpin") => {
            let frames = frames();
            let page = frames.page().unwrap();
            let at = page.address();
            {
                let pin = page.pin();
                assert_eq!(pin[0], 0);
            }
            // SAFETY: it is not, which is what the test is about: it faults.
            let byte = unsafe { at.read_volatile() };
            println!("read {byte}");
        }
        Ok("uses after move") => {
            let frames = frames();
            let page = frames.page().unwrap();
            drop(page.pin());
            assert_eq!(frames.compact(page.frame()..page.frame() + 1).moved, 1);
            // SAFETY: as above.
            let byte = unsafe { page.address().read_volatile() };
            println!("read {byte}");
        }
        Ok("uses after unpin, unprotected") => {
            let frames = Frames::builder(4).protect(false).build().unwrap();
            let page = frames.page().unwrap();
            drop(page.pin());
            // SAFETY: it is mapped, and nobody moves it.
            assert_eq!(unsafe { page.address().read_volatile() }, 0);
        }
        Ok("uses after drop") => {
            let frames = Frames::builder(4).protect(false).build().unwrap();
            let page = frames.page().unwrap();
            let at = page.address();
            drop(page);
            // SAFETY: as in the first.
            let byte = unsafe { at.read_volatile() };
            println!("read {byte}");
        }
        Ok("leaves nothing behind") => leaves_nothing_behind(),
        Ok("is refused mappings") => is_refused_mappings(),
        Ok("primes") => primes(),
        _ => {}
    }
}

fn leaves_nothing_behind() {
    // What the process has by then stays.
    let run_once = || {
        let frames = frames(64, true);
        let mut pages = full(&frames);
        pages.retain(|page| page.frame() % 2 == 0);
        let run = frames.run_timeout(aligned(16, 16), LONG).unwrap();
        assert!(count("/proc/self/maps") > 32, "the file is mapped in pieces");
        // Whatever is dropped last.
        drop(frames);
        drop(pages);
        drop(run);
    };
    run_once();
    let fds = count("/proc/self/fd");
    for _ in 0..20 {
        run_once();
        assert_eq!(count("/proc/self/fd"), fds);
        assert_eq!(count("/proc/self/maps"), 0, "no mapping of the file is left");
    }
}

/// What `mmap(2)` answers once there are as many mappings as there may be.
fn is_refused_mappings() {
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
    let most: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    if most > 1 << 20 {
        let _ = writeln!(io::stderr(), "skipped: {most} mappings");
        return;
    }
    let frames = frames(16, false);
    let mut pages: Vec<_> = full(&frames).into_iter().enumerate().collect();
    pages.retain(|(_, page)| page.frame() < 8);
    let before: Vec<_> = pages.iter().map(|(_, page)| (page.frame(), page.address())).collect();
    let page = rustix::param::page_size();
    let bytes = 2 * most * page;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping.
    let base = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::empty(), flags) }.unwrap();
    // Every second page is a mapping of its own, until there may be no more.
    let refused = (0..most).any(|at| {
        let at = base.wrapping_byte_add(2 * at * page);
        // SAFETY: within the new mapping.
        unsafe { mprotect(at, page, MprotectFlags::READ) }.is_err()
    });
    assert!(refused, "more mappings than {most}");

    let done = frames.compact(2..6);
    assert!(done.refused > 0, "{done:?}");
    assert_eq!(frames.stats().refused, u64::from(done.refused));
    let stayed = pages.iter().zip(&before).filter(|((_, page), (frame, _))| page.frame() == *frame);
    assert!(stayed.count() >= 8 - done.moved as usize, "they stay where they were");
    for ((seed, page), (_, address)) in pages.iter().zip(&before) {
        assert_eq!(page.address(), *address);
        assert_reads(page, *seed as u64);
    }

    // SAFETY: the mapping of above, which nobody uses.
    unsafe { munmap(base, bytes) }.unwrap();
    assert_eq!(frames.compact(0..8).refused, 0, "it goes on");
    for (seed, page) in &pages {
        assert_reads(page, *seed as u64);
    }
    drop(pages);
    assert_whole(&frames);
}

fn primes() {
    use std::os::unix::fs::MetadataExt;
    let blocks = || {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap();
        let paths = fds.map(|entry| entry.unwrap().path());
        let is_ours = |path: &std::path::PathBuf| {
            std::fs::read_link(path).is_ok_and(|link| link.to_string_lossy().contains("kva-frames"))
        };
        let ours: Vec<_> = paths.filter(is_ours).collect();
        assert_eq!(ours.len(), 1);
        std::fs::metadata(&ours[0]).unwrap().blocks() * 512
    };
    let size = rustix::param::page_size() as u64;
    let frames = Frames::builder(32).protect(false).primed(true).build().unwrap();
    assert_eq!(blocks(), 32 * size);
    drop(frames);
    let frames = Frames::builder(32).protect(false).build().unwrap();
    assert_eq!(blocks(), 0, "nothing is there before it is used");
    let page = frames.page().unwrap();
    assert_eq!(blocks(), size);
    drop(page);
}

fn process(role: &str) -> ExitStatus {
    let _turn = TURN.lock();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_itself", "--nocapture", "--test-threads=1"])
        .env(NAME, role)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("panicked") || said.contains("skipped") {
        let _ = writeln!(io::stderr(), "{role}: {said}");
    }
    output.status
}

#[test]
fn a_use_after_the_last_unpin_faults() {
    use std::os::unix::process::ExitStatusExt;
    const SIGSEGV: i32 = 11;
    assert_eq!(process("uses after unpin").signal(), Some(SIGSEGV));
    assert_eq!(process("uses after move").signal(), Some(SIGSEGV));
    assert_eq!(process("uses after drop").signal(), Some(SIGSEGV));
    assert!(process("uses after unpin, unprotected").success());
}

#[test]
fn nothing_is_left_behind() {
    assert!(process("leaves nothing behind").success());
}

#[test]
fn what_cannot_be_mapped_elsewhere_stays_where_it_was() {
    assert!(process("is refused mappings").success());
}

#[test]
fn primed_frames_are_there_from_the_beginning() {
    assert!(process("primes").success());
}
