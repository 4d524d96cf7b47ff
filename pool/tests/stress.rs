//! Everything at once: threads that get and put at random at two pools of one small arena,
//! while limits change and pages go. Nothing is handed out twice, and in the end all is at
//! rest (P6).

#![cfg(not(loom))]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::thread;
use std::time::{Duration, Instant};

use kva::{Arena, Decommit, Region, Reserve};
use pool::{GetError, RawPool, TryGetError};

const QUANTUM: usize = 4096;
const THREADS: u64 = 8;
const STEPS: u32 = 4000;
const MAX_LIMIT: u32 = 5;
/// After this no thread begins another step. Bounds the test on a slow machine, and
/// decides nothing.
const ENOUGH: Duration = Duration::from_secs(2);

/// xorshift64*: the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// A pool, and how long its items are.
struct Client {
    pool: RawPool,
    size: usize,
}

/// An item that a thread holds, filled with a pattern of its own.
struct Held<'a> {
    client: &'a Client,
    item: NonNull<u64>,
    pattern: u64,
}

impl<'a> Held<'a> {
    fn fill(client: &'a Client, item: NonNull<u8>, pattern: u64) -> Self {
        let mut held = Self { client, item: item.cast(), pattern };
        held.words().fill(pattern);
        held
    }

    fn words(&mut self) -> &mut [u64] {
        // SAFETY: the item is held, `size` bytes long, aligned for words, and memory of an
        // arena is initialised.
        unsafe { std::slice::from_raw_parts_mut(self.item.as_ptr(), self.client.size / 8) }
    }

    fn put(mut self) {
        let pattern = self.pattern;
        assert!(self.words().iter().all(|word| *word == pattern), "somebody else has this item, too");
        self.words().fill(0);
        // SAFETY: the item is not used after this.
        unsafe { self.client.pool.put(self.item.cast()) }.unwrap();
    }
}

fn thread_of(number: u64, clients: &[Client; 2], until: Instant) {
    let mut random = Random(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut held: Vec<Held<'_>> = Vec::new();
    for step in 0..STEPS {
        if Instant::now() >= until {
            break;
        }
        let client = &clients[random.below(2) as usize];
        let pool = &client.pool;
        let pattern = number << 32 | u64::from(step) << 1 | 1;
        let keep = |item| Held::fill(client, item, pattern);
        match random.below(100) {
            0..15 => match pool.try_get() {
                Ok(item) => held.push(keep(item)),
                Err(error) => assert!(matches!(error, TryGetError::Exhausted | TryGetError::Scarce)),
            },
            15..35 => match pool.get_timeout(Duration::from_micros(random.below(300))) {
                Ok(item) => held.push(keep(item)),
                Err(error) => assert!(matches!(error, GetError::TimedOut(_)), "{error:?}"),
            },
            // Who waits without end holds nothing: others may wait for what it holds.
            35..60 if held.is_empty() => held.push(keep(pool.get().unwrap())),
            60..90 if !held.is_empty() => {
                let at = random.below(held.len() as u64) as usize;
                held.swap_remove(at).put();
            }
            90..93 => drop(pool.drain()),
            93..96 => pool.set_hard_limit(1 + random.below(u64::from(MAX_LIMIT)) as u32).unwrap(),
            96..98 => {
                let high = random.below(u64::from(MAX_LIMIT)) as u32;
                pool.set_water(0, high).unwrap();
            }
            98 => {
                let stats = pool.stats();
                assert!(stats.pages + stats.growing <= MAX_LIMIT, "P1: {stats:?}");
                assert!(
                    stats.most_overtaken <= u64::from(pool::Builder::<Layout>::DEFAULT_BYPASS),
                    "P4: {stats:?}"
                );
                assert!(!format!("{pool:?}").is_empty());
            }
            _ => thread::yield_now(),
        }
        while held.len() > 3 {
            held.swap_remove(0).put();
        }
    }
    for held in held {
        held.put();
    }
}

#[test]
fn two_pools_of_one_small_arena() {
    // Six quanta, anywhere: room for both kinds of page, and not for all that is wanted.
    let region = Region::reserve(6 * QUANTUM, Reserve::new().decommit(Decommit::Protect)).unwrap();
    let arena = Arena::new(region, QUANTUM).unwrap();
    let client = |size: usize, items: u32| {
        let item = Layout::from_size_align(size, 8).unwrap();
        let builder = RawPool::builder(item, MAX_LIMIT).items_per_page(items);
        Client { pool: builder.build(arena.clone()).unwrap(), size }
    };
    let clients = [client(1000, 4), client(2 * QUANTUM, 1)];
    let until = Instant::now() + ENOUGH;
    thread::scope(|scope| {
        for number in 1..=THREADS {
            let clients = &clients;
            scope.spawn(move || {
                let panicked = CloseOnPanic(clients);
                thread_of(number, clients, until);
                drop(panicked);
            });
        }
    });
    for Client { pool, .. } in &clients {
        pool.set_hard_limit(MAX_LIMIT).unwrap();
        pool.drain();
        let stats = pool.stats();
        assert_eq!((stats.pages, stats.growing, stats.out, stats.idle, stats.waiting), (0, 0, 0, 0, 0));
        assert_eq!(stats.gets, stats.puts);
        assert!(stats.gets > 0 && stats.refused == 0);
    }
    let stats = arena.stats();
    assert_eq!((stats.free, stats.free_runs, stats.waiting), (stats.quanta, 1, 0), "P6");
}

/// Lets a failed test end, instead of joining those who wait for ever.
struct CloseOnPanic<'a>(&'a [Client; 2]);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            for Client { pool, .. } in self.0 {
                pool.close();
            }
        }
    }
}
