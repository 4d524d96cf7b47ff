//! A page that is released for one getter after another, each of which has left its back-end just then.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::thread;
use std::time::{Duration, Instant};

use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use kva::{AllocError, Claim, GrowId, GrowTable, Heir, Reclaim, Shape};
use pool::{ArenaPages, Classic, PageAllocator};

mod support;
use support::{arena, blocks, put};

const GETTERS: usize = 200;
/// Enough for a put, and for few in each other.
const STACK: usize = 128 << 10;

/// Stops getters on their way back.
#[derive(Default)]
struct Gate {
    closed: AtomicBool,
    stopped: AtomicUsize,
}

struct Stops(ArenaPages, Arc<Gate>);

// SAFETY: as for `ArenaPages`, whose pages these are.
unsafe impl PageAllocator for Stops {
    type Error = AllocError;

    const CLAIMS: bool = true;

    fn alloc(
        &self,
        page: Layout,
        claim: Claim<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<NonNull<u8>>, AllocError> {
        let base = self.0.alloc(page, claim, deadline)?;
        self.1.stopped.fetch_add(1, SeqCst);
        while self.1.closed.load(SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(base)
    }
    fn try_alloc(&self, page: Layout) -> Result<Option<NonNull<u8>>, AllocError> {
        self.0.try_alloc(page)
    }
    fn free(&self, base: NonNull<u8>, page: Layout) {
        self.0.free(base, page);
    }
    fn free_to(&self, base: NonNull<u8>, page: Layout, claim: Claim<'_>) -> Heir {
        self.0.free_to(base, page, claim)
    }
    fn forget(&self, id: GrowId) {
        self.0.forget(id);
    }
    fn attach(&self, table: &GrowTable, pool: kva::sync::Weak<dyn Reclaim>) {
        self.0.attach(table, pool);
    }
}

/// Opens the gate, also if a check fails before.
struct Opens<'a>(&'a Gate);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        self.0.closed.store(false, SeqCst);
    }
}

#[test]
fn a_page_passes_all_whose_heirs_are_gone_on_a_small_stack() {
    let arena = arena(GETTERS + 1);
    let gate = Arc::new(Gate::default());
    let stops = Stops(ArenaPages(arena.clone()), gate.clone());
    let builder = blocks(GETTERS as u32 + 1).low_water(1).max_growing(GETTERS as u32);
    let pool = &builder.build(Classic::new(stops)).unwrap();
    let held = pool.get().unwrap().addr();
    let others = arena.try_alloc(Shape::new(GETTERS as u32).unwrap()).unwrap();
    gate.stopped.store(0, SeqCst);
    gate.closed.store(true, SeqCst);
    thread::scope(|scope| {
        let _open = Opens(&gate);
        let small = || thread::Builder::new().stack_size(STACK);
        for _ in 0..GETTERS {
            small().spawn_scoped(scope, || put(pool, pool.get().unwrap()).unwrap()).unwrap();
        }
        while arena.stats().waiting < GETTERS {
            thread::yield_now();
        }
        arena.free(others).unwrap();
        while gate.stopped.load(SeqCst) < GETTERS {
            thread::yield_now();
        }
        let put_it = move || put(pool, NonNull::with_exposed_provenance(held)).unwrap();
        small().spawn_scoped(scope, put_it).unwrap().join().unwrap();
        let stats = pool.stats();
        assert_eq!((stats.released_to_heirs, stats.pages), (GETTERS as u64, 1), "none of them took it");
    });
    assert_eq!((pool.stats().stolen, pool.stats().growing), (0, 0));
}
