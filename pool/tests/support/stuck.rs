//! Clients that hold and wait, and whether that is found.

use std::thread;
use std::time::Duration;

use kva::deadlock::{self, Blocked, Cycle};
use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};
use kva::{Arena, Shape, client};
use pool::{Backend, Builder, RawPool};

use super::{arena, blocks, put, until};

pub(crate) fn named(name: &str, hard_limit: u32) -> Builder<std::alloc::Layout> {
    blocks(hard_limit).name(name)
}

/// A pool of one item for each of these, as many as asked for.
pub(crate) fn pool(name: &str, items: u32) -> RawPool {
    named(name, items).build(arena(items as usize)).unwrap()
}

/// Where so many meet.
pub(crate) struct Meeting {
    all: u32,
    come: AtomicU32,
}

impl Meeting {
    pub(crate) fn new(all: u32) -> Self {
        Self { all, come: AtomicU32::new(0) }
    }

    pub(crate) fn wait(&self) {
        self.come.fetch_add(1, SeqCst);
        until(|| self.come.load(SeqCst) == self.all);
    }
}

/// As [`CloseOnPanic`].
pub(crate) struct ArenaCloses<'a>(pub(crate) &'a Arena);

impl Drop for ArenaCloses<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The deadlocks that this client is in. Others' tests may have theirs meanwhile.
pub(crate) fn of(name: &str) -> Vec<Cycle> {
    let is_in = |cycle: &Cycle| cycle.clients.iter().any(|client| client.name == name);
    deadlock::check().into_iter().filter(is_in).collect()
}

pub(crate) fn until_found(name: &str) -> Vec<Blocked> {
    let mut found = Vec::new();
    until(|| {
        found = of(name);
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "{found:?}");
    let mut clients = found.remove(0).clients;
    clients.sort_by(|one, other| one.name.cmp(&other.name));
    clients
}

/// That nothing is found, also when everybody has had the time to fall asleep.
pub(crate) fn assert_never_found(name: &str) {
    for _ in 0..100 {
        assert_eq!(of(name), []);
        thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn assert_blocked(client: &Blocked, name: &str, holds: &[(&str, u64)], waits_for: &str) {
    assert_eq!((client.name.as_str(), client.waits_for.as_str()), (name, waits_for));
    let held: Vec<_> = client.holds.iter().map(|held| (held.of.as_str(), held.amount)).collect();
    assert_eq!(held, holds);
}

pub(crate) fn spawn_named<'s>(
    scope: &'s thread::Scope<'s, '_>,
    name: &str,
    run: impl FnOnce() + Send + 's,
) -> thread::ScopedJoinHandle<'s, ()> {
    thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, run).unwrap()
}

/// Waits for an item until its pool is closed, or whoever has it has given up as another was.
pub(crate) fn wait_in_vain(pool: &RawPool<impl Backend>) {
    if let Ok(item) = pool.get() {
        put(pool, item).unwrap();
    }
}

/// Gets one of the first, meets the others, and waits for one of the second.
pub(crate) fn hold_and_wait(first: &RawPool, second: &RawPool, all_hold: &Meeting) {
    let _client = client::thread();
    hold_and_wait_as_is(first, second, all_hold);
}

/// As [`hold_and_wait`], by whatever client the thread is.
pub(crate) fn hold_and_wait_as_is(first: &RawPool, second: &RawPool, all_hold: &Meeting) {
    let item = first.get().unwrap();
    all_hold.wait();
    wait_in_vain(second);
    put(first, item).unwrap();
}

pub(crate) fn hold_a_span_and_wait_for_an_item(arena: &Arena, pool: &RawPool<impl Backend>, all: &Meeting) {
    let _client = client::thread();
    let span = arena.alloc(Shape::new(1).unwrap()).unwrap();
    all.wait();
    wait_in_vain(pool);
    arena.free(span).unwrap();
}

pub(crate) fn hold_an_item_and_wait_for_a_span(arena: &Arena, pool: &RawPool<impl Backend>, all: &Meeting) {
    let _client = client::thread();
    let item = pool.get().ok().unwrap();
    all.wait();
    let late = arena.alloc(Shape::new(1).unwrap());
    put(pool, item).unwrap();
    if let Ok(span) = late {
        arena.free(span).unwrap();
    }
}
