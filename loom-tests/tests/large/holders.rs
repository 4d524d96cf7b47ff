//! Who has which item: nobody has what somebody else has. And the threads of a world.

use kva::sync::GlobalMutex;
use kva::sync::thread::{JoinHandle, spawn};
use loom_tests::world::{Item, put};
use pool::{Backend, RawPool};

use crate::dice::pause;

/// Each item that is out, and of which arena it is. shuttle does not see the lock: it must not order
/// what it looks at.
#[derive(Debug)]
pub(crate) struct Holders(GlobalMutex<Vec<(usize, Item)>>);

impl Holders {
    pub(crate) const fn new() -> Self {
        Self(GlobalMutex::new(Vec::new()))
    }

    /// Has the items of the arena for a while, and puts them.
    pub(crate) fn hold<B: Backend>(
        &self,
        arena: usize,
        pool: &RawPool<B>,
        items: impl IntoIterator<Item = impl Into<Item>>,
    ) {
        let items: Vec<Item> = items.into_iter().map(Into::into).collect();
        self.0.with(|all| {
            for item in &items {
                assert!(!all.contains(&(arena, *item)), "two have one item");
                all.push((arena, *item));
            }
        });
        pause();
        for item in items {
            self.0.with(|all| all.retain(|other| *other != (arena, item)));
            put(pool, item);
        }
    }
}

/// So many threads that do the same, each told which it is.
pub(crate) fn threads(
    count: usize,
    work: impl Fn(usize) + Clone + Send + 'static,
) -> impl Iterator<Item = JoinHandle<()>> {
    (0..count).map(move |at| {
        let work = work.clone();
        spawn(move || work(at))
    })
}

/// Waits for all of them.
pub(crate) fn join_all(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    let threads: Vec<_> = threads.into_iter().collect();
    for thread in threads {
        thread.join().expect("a thread that does not panic");
    }
}
