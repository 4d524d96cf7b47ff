//! P7 with caches: after its first operations a thread allocates nothing, whatever it gets and puts,
//! whoever sweeps, and while others come and go. And the memory of caches is had again by those who
//! come later. A test binary of its own, since it counts what the whole process does.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::thread;
use std::time::Duration;

use kva::sync::Mutex;
use kva::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use kva::{Arena, Region, Reserve};
use pool::{Pool, RawPool};

#[path = "support/heap.rs"]
mod heap;

use heap::{allocated_here, in_use};

const THREADS: usize = 3;
const PAGES: u32 = 2;
const ITEMS: usize = 2 * 4096 / 64;
/// More than a thread keeps at hand. All threads together get no more than there is: they wait with
/// what they have.
const MANY: usize = ITEMS / (THREADS + 2);

/// A pool of each kind, of so many items each.
struct Pools {
    objects: Pool<[u8; 64]>,
    memory: RawPool,
}

impl Pools {
    fn new() -> Self {
        let arena = Arena::new(Region::reserve(1 << 16, Reserve::new()).unwrap(), 4096).unwrap();
        let objects = Pool::builder(PAGES, || [0; 64]).build(arena.clone()).unwrap();
        let memory = RawPool::builder(Layout::new::<[u8; 64]>(), PAGES).build(arena).unwrap();
        Self { objects, memory }
    }

    fn sweeps(&self) -> u64 {
        self.objects.stats().sweeps + self.memory.stats().sweeps
    }

    /// Gets so many of each, and puts them: past the depot, where there are many.
    fn visit<const N: usize>(&self) {
        drop([(); N].map(|()| self.objects.get().unwrap()));
        for item in [(); N].map(|()| self.memory.get().unwrap()) {
            // SAFETY: nobody uses it after this.
            unsafe { self.memory.put(item) }.unwrap();
        }
    }

    /// All that a thread does but what allocates by its nature.
    fn exercise(&self, rounds: usize) {
        for round in 0..rounds {
            self.visit::<1>();
            self.visit::<MANY>();
            let (local, raw) = (self.objects.local(), self.memory.local());
            drop([local.get().unwrap(), local.try_get().unwrap()]);
            let item = raw.get().unwrap();
            // SAFETY: as above.
            unsafe { raw.put(item) }.unwrap();
            if round % 8 == 0 {
                // Whatever is cached pins the pages that are to go, or would be waited for.
                self.objects.drain();
                self.memory.drain();
            }
            if round % 16 == 1 {
                drop(self.objects.try_get());
                drop(self.objects.get_timeout(Duration::from_millis(1)));
            }
            // So that it is calm again.
            for _ in 0..60 {
                self.visit::<1>();
            }
        }
    }
}

/// What threads allocate once: the first time that they wait, and that they sleep for a lock.
fn first_operations(pools: &Pools, contended: &Mutex<()>, empty: &Pool<[u8; 64]>) {
    assert!(empty.get_timeout(Duration::from_micros(1)).is_err());
    drop(contended.lock());
    pools.exercise(20);
}

#[test]
fn caches_allocate_when_a_thread_comes_and_never_else() {
    let pools = Pools::new();
    let one = Pool::builder(1, || [0_u8; 64]).items_per_page(1);
    let one = one.build(Arena::new(Region::reserve(4096, Reserve::new()).unwrap(), 4096).unwrap()).unwrap();
    let item = one.get().unwrap();
    let contended = Mutex::new(());
    let (ready, done, measures) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let held = contended.lock();
        for _ in 0..THREADS {
            scope.spawn(|| {
                first_operations(&pools, &contended, &one);
                ready.fetch_add(1, SeqCst);
                while !measures.load(SeqCst) {
                    thread::yield_now();
                }
                let found = allocated_here(|| pools.exercise(60));
                done.fetch_add(1, SeqCst);
                assert_eq!(found.count, 0, "{found:?}");
            });
        }
        // So that it is likelier that they sleep for it.
        thread::sleep(Duration::from_millis(20));
        drop(held);
        while ready.load(SeqCst) < THREADS {
            thread::yield_now();
        }
        let sweeps = pools.sweeps();
        measures.store(true, SeqCst);
        // Others come and go meanwhile.
        let mut others = 0;
        while done.load(SeqCst) < THREADS || others < 20 {
            scope.spawn(|| pools.exercise(1)).join().unwrap();
            others += 1;
        }
        assert!(pools.sweeps() > sweeps, "{:?}", pools.objects.stats());
    });
    heap::assert_counts();
    drop(item);

    those_who_come_later_have_what_those_had_who_ended(&pools);

    // And a pool takes all of it along.
    let before = in_use();
    let another = Pools::new();
    those_who_come_later_have_what_those_had_who_ended(&another);
    drop(another);
    let left = in_use().saturating_sub(before);
    assert!(left < 1 << 12, "{left} bytes are left");
}

fn those_who_come_later_have_what_those_had_who_ended(pools: &Pools) {
    let several_at_once = |times: usize| {
        for _ in 0..times {
            thread::scope(|scope| {
                let threads = [(); THREADS].map(|()| scope.spawn(|| pools.visit::<MANY>()));
                for thread in threads {
                    thread.join().unwrap();
                }
            });
        }
    };
    several_at_once(30);
    let before = in_use();
    several_at_once(300);
    let more = in_use().saturating_sub(before);
    // Less than a cache for each pool has, of a thousand.
    assert!(more < 1 << 14, "{more} bytes more");
    let stats = pools.objects.stats();
    assert_eq!((stats.out, stats.idle, stats.gets), (0, stats.pages as usize * ITEMS / 2, stats.puts));
}
