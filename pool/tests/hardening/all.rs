//! All knobs at once, on many threads: nothing is found that was not done, and all of P6 holds.

use std::alloc::Layout;
use std::thread;
use std::time::Duration;

use pool::{Hardening, RawPool};

use super::support::{Random, arena, assert_adds_up, assert_rests, put, put_all, wait_for};
use super::watchdog::Watchdog;
use super::world::{Told, items};

const THREADS: usize = 4;
const ROUNDS: usize = 2000;

fn storm(pool: &RawPool) {
    thread::scope(|scope| {
        for at in 0..THREADS {
            scope.spawn(move || {
                let mut random = Random::new(at);
                let bytes = pool.item_layout().size();
                for _ in 0..ROUNDS {
                    let got = match random.below(12) {
                        0 => pool.get_many(2).unwrap(),
                        1 => pool.try_get().into_iter().collect(),
                        2 => pool.get_timeout(Duration::from_micros(50)).into_iter().collect(),
                        3 => vec![wait_for(pool.get_async()).unwrap()],
                        4 => {
                            pool.drain();
                            Vec::new()
                        }
                        5 => {
                            pool.set_hard_limit(3 + random.below(3) as u32).unwrap();
                            Vec::new()
                        }
                        _ => vec![pool.get().unwrap()],
                    };
                    for item in &got {
                        // SAFETY: it is ours, as long.
                        unsafe { item.write_bytes(at as u8, bytes) };
                    }
                    if random.below(4) == 0 {
                        thread::yield_now();
                    }
                    for item in &got {
                        // SAFETY: as above.
                        let all = unsafe { std::slice::from_raw_parts(item.as_ptr(), bytes) };
                        assert!(all.iter().all(|byte| *byte == at as u8), "it is had by two");
                    }
                    put_all(pool, got);
                }
            });
        }
    });
}

#[test]
fn a_storm_with_all_knobs() {
    let _watchdog = Watchdog::new("a_storm_with_all_knobs", || "somebody waits".into());
    for guards in [true, false] {
        let (memory, told) = (arena(16), Told::default());
        let harden = told.by(Hardening::all().guard_pages(guards).quarantine(3).seed(4));
        let builder = if guards {
            RawPool::builder(Layout::from_size_align(256, 8).unwrap(), 5)
        } else {
            items(5).items_per_page(2)
        };
        let pool = builder.harden(harden).build(memory.clone()).unwrap();
        storm(&pool);
        assert_eq!(told.take(), []);
        assert_adds_up(&pool, 0);
        pool.set_hard_limit(5).unwrap();
        assert_rests(&pool, &memory);
    }
}

#[test]
fn primed_it_is_hardened_too() {
    let memory = arena(8);
    let pool = items(2).harden(Hardening::all().guard_pages(false)).build_primed(memory.clone()).unwrap();
    assert_eq!(pool.stats().pages, 2);
    put_all(&pool, pool.get_many(32).unwrap());
    drop(pool);
    super::support::assert_whole(&memory);
}

/// A stack is what is put to be got next: a hardened pool has none a thread.
#[test]
fn no_thread_keeps_anything() {
    let memory = arena(1);
    let pool = items(1).magazine_rounds(4).harden(Hardening::new()).build(memory.clone()).unwrap();
    let local = pool.local();
    for _ in 0..8 {
        let item = local.get().unwrap();
        assert_eq!(put(&pool, item), Ok(()));
        assert_eq!(pool.stats().cached, 0);
    }
    assert_rests(&pool, &memory);
}

/// Whoever knows the seed knows the order.
#[test]
fn the_seed_is_not_said() {
    let harden = Hardening::all().seed(31_337_133_731_337);
    let said = format!("{harden:?} {:?}", items(1).guarded_free(harden.clone()));
    assert!(said.contains("poison") && !said.contains("31337133731337"), "{said}");
}

trait GuardedFree {
    fn guarded_free(self, harden: Hardening) -> RawPool;
}

impl GuardedFree for pool::Builder<Layout> {
    fn guarded_free(self, harden: Hardening) -> RawPool {
        self.harden(harden.guard_pages(false)).build(arena(1)).unwrap()
    }
}
