//! The other clients of the arena: what makes an item's run scarce.
//!
//! Each holds spans for the whole run, scattered so that no free run is as long as an
//! item, and keeps taking and freeing others of mixed sizes, up to an item's, in between.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kva::{Arena, Shape, Span};

const CLIENTS: usize = 2;
/// What is pinned alternates with holes of this length, in quanta: a quarter of an item.
const PIECE: u32 = 16;
/// The longest span a client takes, in quanta: an item's.
const LONGEST: u32 = 64;
/// How many spans a client holds besides those that are pinned.
const HELD: usize = 12;
/// Between two steps: other work a client has.
const PAUSE: Duration = Duration::from_micros(50);

/// The other clients, at work.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Fragments what is free of `arena`, and starts the clients, who free by `free`.
    pub(crate) fn start(arena: &Arena, free: impl Fn(&Arena, Span) + Clone + Send + 'static) -> Result<Self> {
        let piece = Shape::new(PIECE)?;
        let pieces: Vec<Span> = std::iter::from_fn(|| arena.try_alloc(piece).ok()).collect();
        let mut pinned: [Vec<Span>; CLIENTS] = Default::default();
        for (number, piece) in pieces.into_iter().enumerate() {
            if number % 2 == 0 {
                pinned[number / 2 % CLIENTS].push(piece);
            } else {
                arena.free(piece)?;
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (number, pinned) in (1..).zip(pinned) {
            let (arena, stop, free) = (arena.clone(), stop.clone(), free.clone());
            let client = thread::Builder::new().name(format!("client {number}"));
            let body = move || churn(&arena, number, pinned, &stop, &free);
            threads.push(client.spawn(body).context("starting a client of the arena")?);
        }
        Ok(Self { stop, threads })
    }

    /// Lets them free what they hold, and waits for that.
    pub(crate) fn stop(self) {
        // Relaxed: it carries nothing.
        self.stop.store(true, Relaxed);
        for thread in self.threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn churn(arena: &Arena, seed: u64, mut pinned: Vec<Span>, stop: &AtomicBool, free: &impl Fn(&Arena, Span)) {
    let mut random = Random(seed);
    let mut held: Vec<Span> = Vec::new();
    while !stop.load(Relaxed) {
        // Small spans are common and long ones rare: the length's logarithm is uniform.
        let longest = 1 << random.below(LONGEST.ilog2() + 1);
        let shape = Shape::new(1 + random.below(longest)).expect("at least one quantum");
        let taken = if held.len() < HELD { arena.try_alloc(shape).ok() } else { None };
        match taken {
            Some(span) => held.push(span),
            None if held.is_empty() => {}
            None => {
                let at = random.below(held.len() as u32) as usize;
                free(arena, held.swap_remove(at));
            }
        }
        thread::sleep(PAUSE);
    }
    for span in held.drain(..).chain(pinned.drain(..)) {
        free(arena, span);
    }
}

/// Marsaglia's xorshift64*: the same sizes in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % u64::from(n)) as u32
    }
}
