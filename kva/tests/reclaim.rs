//! Who is told of a shortage, with real threads.

#![cfg(not(loom))]

use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kva::sync::Mutex;
use kva::{Arena, GrowTable, Reclaim, Region, Shape, Shortage, Span};

/// Nobody waits as long as this for what can be had.
const LONG: Duration = Duration::from_secs(20);

/// Gives up what is in the window; where there is none, as much as is short.
struct Cache {
    arena: Arena,
    held: Mutex<Vec<Span>>,
    /// What it was told, call by call.
    told: Mutex<Vec<Option<Range<u32>>>>,
}

impl Reclaim for Cache {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let given: Vec<Span> = {
            let held = &mut *self.held.lock();
            match shortage.window() {
                Some(window) => held.extract_if(.., |span| window.contains(&span.start())).collect(),
                None => held.drain(..held.len().min(shortage.shape().len() as usize)).collect(),
            }
        };
        for span in given {
            self.arena.free(span).unwrap();
        }
        self.told.lock().push(shortage.window());
    }
}

/// The arena is told of the larger request when the single quantum is queued behind it. What the
/// single one waits for can be had only if somebody is told of that one too, once it is the head.
#[test]
fn the_next_head_is_told_of() {
    let arena = Arena::new(Region::numbers(8), 1).unwrap();
    let one = Shape::new(1).unwrap();
    let spans: Vec<_> = (0..8).map(|_| arena.try_alloc(one).unwrap()).collect();
    // One in each half is not the cache's, so that no hook makes a run.
    let (others, held): (Vec<_>, Vec<_>) = spans.into_iter().partition(|span| span.start() % 4 == 0);
    let cache = Arc::new(Cache { arena: arena.clone(), held: Mutex::new(held), told: Mutex::default() });
    arena.register(&GrowTable::new(0), Arc::downgrade(&cache) as _);

    thread::scope(|scope| {
        let run = scope.spawn(|| arena.alloc_timeout(Shape::aligned(4, 4).unwrap(), LONG));
        while cache.told.lock().is_empty() {
            thread::yield_now();
        }
        let single = scope.spawn(|| arena.alloc_timeout(one, LONG));
        while cache.told.lock().len() < 2 {
            thread::yield_now();
        }
        let window = cache.told.lock()[1].clone().expect("it was told of the larger one");
        let inside = others.iter().find(|span| window.contains(&span.start())).unwrap();
        arena.free(*inside).unwrap();
        assert_eq!(run.join().unwrap().unwrap().range(), window);
        let _single = single.join().unwrap().expect("the cache has what it takes");
    });
}
